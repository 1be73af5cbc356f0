package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// canary is a secret that must appear nowhere: not in output, plans, logs, process lists.
const canary = "canary-7d1f0c52-secret"

// treeFiles is the number of files of the release that is deployed, besides those that make it a mosparo.
const treeFiles = 10_000

// writeTree writes a release of that version: as many PHP files as asked for, symlinks, and enough of mosparo that its health can
// be asked.
func writeTree(t testing.TB, dir, version string, count int) {
	t.Helper()
	files := map[string]string{
		".env":                "APP_ENV=prod\n",
		"vendor/autoload.php": "<?php\n",
		"src/Kernel.php":      "<?php\nclass Kernel\n{\n    const VERSION = '" + version + "';\n}\n",
		"migrations/mysql/Version20260406155235.php": "<?php\n",
		"bin/console": `<?php
$command = $argv[1] ?? '';
$known = ['doctrine:migrations:migrate', 'cache:warmup', 'cache:clear', 'mosparo:cleanup-database', 'mosparo:rule-package:refresh'];
if (!in_array($command, $known, true)) { fwrite(STDERR, "There is no command $command\n"); exit(1); }
@mkdir(__DIR__ . '/../var/cache/prod', 0755, true);
file_put_contents(__DIR__ . '/../var/cache/prod/calls', $command . "\n", FILE_APPEND);
`,
		"public/index.php": `<?php
$config = @include __DIR__ . '/../config/env.mosparo.php';
preg_match("/VERSION = '([^']*)'/", file_get_contents(__DIR__ . '/../src/Kernel.php'), $m);
$status = 'connected';
if (!is_array($config) || empty($config['mosparo_installed'])) { $status = 'test-skipped__not-configured'; }
elseif (($config['mosparo_installed_version'] ?? '') !== $m[1]) { $status = 'test-skipped__update-not-finished'; }
if (strtok($_SERVER['REQUEST_URI'], '?') === '/api/v1/health/check') {
    header('Content-Type: application/json');
    echo json_encode(['service' => 'mosparo', 'healthy' => true, 'databaseStatus' => $status, 'error' => null, 'statusCode' => 200]);
} else { echo $m[1]; }
`,
	}
	for i := range count {
		name := fmt.Sprintf("vendor/pkg%03d/dir%d/File%05d.php", i%200, i%5, i)
		files[name] = fmt.Sprintf("<?php\n// file %d\n%s", i, strings.Repeat("// padding\n", i%60))
	}
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for i := range min(count, 20) {
		if err := os.Symlink("../autoload.php", filepath.Join(dir, fmt.Sprintf("vendor/pkg%03d/autoload.php", i))); err != nil {
			t.Fatal(err)
		}
	}
}

// writeInventory writes the inventory of d, with secrets by reference and one in plain text.
func (d *deployment) writeInventory() {
	d.t.Helper()
	_, port, _ := strings.Cut(d.mariadb.Addr, ":")
	var b strings.Builder
	fmt.Fprintf(&b, `version: 1
name: e2e
defaults:
  ssh: {user: root, identity: %[1]s/id_ed25519, known_hosts: %[1]s/known_hosts, config: none}
  owner: {user: www-data, group: www-data}
  http: {url: "http://127.0.0.1"}
nodes:
`, d.dir)
	for i, n := range d.nodes {
		roles := "app, cron"
		if i == 0 {
			roles = "admin, app, cron"
		}
		fmt.Fprintf(&b, "  - name: %s\n    address: %s\n    roles: [%s]\n    paths: {root: %s}\n    php: {reload: [sh, -c, 'kill -USR2 $(cat %s/fpm.pid)']}\n",
			n.name, n.addr, roles, n.root, n.dir)
	}
	fmt.Fprintf(&b, `balancers:
  - {name: lb, kind: haproxy, socket: %[1]s/haproxy.sock, backend: mosparo}
cache: {adapter: redis, url: "redis://%[2]s?lazy=1"}
database:
  servers: [{host: %[3]s, port: %[4]s}]
  name: %[5]s
  user: %[6]s
  password: env:E2E_DB_PASSWORD
env:
  MOSPARO_CACHE_ADAPTER: redis
  REDIS_URL: "redis://%[2]s?lazy=1"
  APP_SECRET: %[7]s
cron: {mode: staggered, target: cron.d, user: www-data}
check: {timeout: 90s}
`, d.dir, d.redis, hostAddr, port, d.database, d.mariadb.User, canary)
	if err := os.WriteFile(d.inventory, []byte(b.String()), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

// install puts what an installed mosparo has on the admin node: its configuration.
func (d *deployment) install(version string) {
	d.t.Helper()
	_, port, _ := strings.Cut(d.mariadb.Addr, ":")
	shared := filepath.Join(d.nodes[0].root, "shared")
	for _, dir := range []string{"config", "public/resources", "var/data"} {
		if err := os.MkdirAll(filepath.Join(shared, dir), 0o755); err != nil {
			d.t.Fatal(err)
		}
	}
	config := fmt.Sprintf(`<?php

return array (
  'database_system' => 'mysql',
  'database_driver' => 'pdo_mysql',
  'database_host' => '%s',
  'database_port' => '%s',
  'database_name' => '%s',
  'database_user' => '%s',
  'database_password' => '%s',
  'database_version' => '10.11.6-MariaDB',
  'mosparo_name' => 'e2e',
  'encryption_key' => '%s',
  'secret' => '%s',
  'mosparo_installed' => true,
  'mosparo_installed_version' => '%s',
  'mosparo_assets_version' => 'AAAAAAAAAAA',
);
`, hostAddr, port, d.database, d.mariadb.User, d.mariadb.Pass, strings.Repeat("ab", 32), strings.Repeat("cd", 32), version)
	if err := os.WriteFile(filepath.Join(shared, "config/env.mosparo.php"), []byte(config), 0o640); err != nil {
		d.t.Fatal(err)
	}
	sh(d.t, "chown", "-R", "www-data:www-data", shared)
}

// versions asks each node's web server for the version it serves.
func (d *deployment) versions() []string {
	d.t.Helper()
	client := http.Client{Timeout: 10 * time.Second}
	var list []string
	for _, n := range d.nodes {
		res, err := client.Get("http://" + n.addr + "/")
		if err != nil {
			d.t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil {
			d.t.Fatal(err)
		}
		list = append(list, string(body))
	}
	return list
}

// wantNothing fails unless the program said that it changed nothing.
func wantNothing(t testing.TB, what, out string) {
	t.Helper()
	if !strings.Contains(strings.ToLower(out), "nothing") || strings.Contains(out, "✓") {
		t.Errorf("the second %s is not without effect:\n%s", what, out)
	}
}

func wantVersions(t testing.TB, d *deployment, want string) {
	t.Helper()
	for i, got := range d.versions() {
		if got != want {
			t.Errorf("%s serves %q, want %q", d.nodes[i].name, got, want)
		}
	}
}

func TestThreeRealNodes(t *testing.T) {
	d := start(t, 3)
	watchProcesses(t)
	first, second := filepath.Join(d.dir, "src-1.5.3"), filepath.Join(d.dir, "src-1.5.4")
	writeTree(t, first, "1.5.3", treeFiles)
	writeTree(t, second, "1.5.4", treeFiles)
	d.writeInventory()
	d.install("1.5.3")

	d.must("deploy", first, "--yes")
	wantVersions(t, d, "1.5.3")
	wantNothing(t, "deploy", d.must("deploy", first, "--yes"))

	resources := filepath.Join(d.nodes[0].root, "shared/public/resources")
	if err := os.WriteFile(filepath.Join(resources, "a.css"), []byte("a{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	sh(t, "chown", "-R", "www-data:www-data", resources)
	d.must("sync")
	for _, n := range d.nodes[1:] {
		if got, err := os.ReadFile(filepath.Join(n.root, "shared/public/resources/a.css")); err != nil || string(got) != "a{}" {
			t.Errorf("%s: after sync: %q, %v", n.name, got, err)
		}
	}
	wantNothing(t, "sync", d.must("sync"))

	d.must("env", "push", "--yes")
	for _, n := range d.nodes {
		if got, err := os.ReadFile(filepath.Join(n.root, "shared/.env.local")); err != nil || !strings.Contains(string(got), canary) {
			t.Errorf("%s: .env.local: %q, %v", n.name, got, err)
		}
	}
	wantNothing(t, "env push", d.must("env", "push", "--yes"))

	d.must("cron", "apply", "--yes")
	schedules := map[string]bool{}
	for _, n := range d.nodes {
		schedules[n.in("sh", "-c", "cat /etc/cron.d/*")] = true
	}
	if len(schedules) != 3 {
		t.Errorf("%d different schedules on 3 nodes: %v", len(schedules), schedules)
	}
	wantNothing(t, "cron apply", d.must("cron", "apply", "--yes"))

	if out := d.must("check"); !strings.Contains(out, "ok") {
		t.Errorf("check:\n%s", out)
	}

	d.must("deploy", second, "--yes")
	wantVersions(t, d, "1.5.4")
	d.must("rollback", "--yes")
	wantVersions(t, d, "1.5.3")
	releases := d.must("releases")
	wantNothing(t, "rollback to the same release", d.must("rollback", currentRelease(t, d.nodes[0]), "--yes"))
	if strings.Count(releases, "1.5.4") == 0 {
		t.Errorf("the release that was rolled back is gone:\n%s", releases)
	}

	plantFault(t, d)
	operateByKeys(t, d)
	d.wantNoCanary()
}

// currentRelease is the id of the release that is active on n.
func currentRelease(t testing.TB, n *node) string {
	t.Helper()
	target, err := os.Readlink(filepath.Join(n.root, "current"))
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Base(target)
}

// plantFault breaks one node in silence and wants check to find it.
func plantFault(t *testing.T, d *deployment) {
	path := filepath.Join(d.nodes[2].root, "shared/config/env.mosparo.php")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	broken := strings.Replace(string(data), strings.Repeat("ab", 32), strings.Repeat("ba", 32), 1)
	if err := os.WriteFile(path, []byte(broken), 0o640); err != nil {
		t.Fatal(err)
	}
	r := d.run("check")
	if r.status != 7 || !strings.Contains(r.stdout, "app3") {
		t.Errorf("check with another encryption key on app3: exit status %d\n%s%s", r.status, r.stdout, r.stderr)
	}
	if strings.Contains(r.stdout+r.stderr, strings.Repeat("ba", 32)) {
		t.Error("check shows the key")
	}
}

// watchProcesses fails the test if the canary is seen in the arguments of any process while it runs.
func watchProcesses(t *testing.T) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	stop, done := make(chan struct{}), make(chan struct{})
	looks := 0
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				looks++
			}
			lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
			for _, l := range lines {
				if b, err := os.ReadFile(l); err == nil && bytes.Contains(b, []byte(canary)) {
					t.Errorf("the canary secret is in the process list: %q", b)
					return
				}
			}
		}
	}()
	t.Cleanup(func() {
		tick.Stop()
		close(stop)
		<-done
		if looks == 0 {
			t.Error("the process list was never looked at")
		}
	})
}

// wantNoCanary looks for the canary in all files but those it belongs into: the inventory, and .env.local on the nodes with
// its copies in their trash, which only their owner can read.
func (d *deployment) wantNoCanary() {
	d.t.Helper()
	looked := 0
	err := filepath.WalkDir(d.dir, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && (e.Name() == "vendor" || e.Name() == "trash"):
			return fs.SkipDir
		case !e.Type().IsRegular() || path == d.inventory || e.Name() == ".env.local":
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		looked++
		if bytes.Contains(content, []byte(canary)) {
			d.t.Errorf("%s holds the canary secret", path)
		}
		return nil
	})
	if err != nil || looked == 0 {
		d.t.Errorf("looked at %d files: %v", looked, err)
	}
	for _, n := range d.nodes {
		for _, history := range []string{"/root/.bash_history", "/root/.sh_history"} {
			if b, err := os.ReadFile(history); err == nil && bytes.Contains(b, []byte(canary)) {
				d.t.Errorf("%s: %s holds the canary secret", n.name, history)
			}
		}
	}
}

// reportWithin is how soon a dead node must be reported.
const reportWithin = 30 * time.Second

func TestDeadNodeIsReportedAndDelaysNobody(t *testing.T) {
	d := start(t, 3)
	d.writeInventory()
	dead := d.nodes[2]
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	// Each node tells that the command has begun; then the link of one is cut, without a word to either side.
	begun := filepath.Join(d.dir, "begun-")
	finished := make(chan result, 1)
	go func() {
		finished <- d.runIn(ctx, "exec", "--", "sh", "-c", "touch "+begun+"$(hostname -I | tr -d ' '); sleep 2; echo survived")
	}()
	waitForFile(t, begun+dead.addr)
	sh(t, "ip", "link", "set", dead.link, "down")
	select {
	case r := <-finished:
		if r.status != 3 {
			t.Errorf("exit status %d, want 3", r.status)
		}
		if strings.Count(r.stdout, "survived") != 2 {
			t.Errorf("the other nodes did not finish:\n%s", r.stdout)
		}
		if !strings.Contains(r.stderr, dead.name) {
			t.Errorf("the dead node is not named:\n%s", r.stderr)
		}
	case <-time.After(reportWithin):
		t.Errorf("the dead node is not reported after %s", reportWithin)
		cancel()
		<-finished
	}
}

func waitForFile(t *testing.T, path string) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for {
		if _, err := os.Stat(path); err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s was not made", path)
		}
	}
}
