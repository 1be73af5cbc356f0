package health

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/cron"
	"github.com/mosparoctl/mosparoctl/ops/local"
)

// Secrets of the rig: none of them may turn up in a report.
const (
	encryptionKey = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
	kernelSecret  = "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100"
	cachePassword = "canary-cache-password"
	dbPassword    = "canary-db-password"
)

// machine is one node of the rig: folders and processes of this machine, and a network of its own.
type machine struct {
	*local.Host
	t    *testing.T
	root string
	node *inventory.Node

	crontab string // of the user mosparo

	mu    sync.Mutex
	dials map[string]string                                                       // address as the node knows it -> where it leads
	run   func(context.Context, ops.Command) (res ops.Result, err error, ok bool) // in place of a command
}

func (m *machine) Run(ctx context.Context, c ops.Command) (ops.Result, error) {
	m.mu.Lock()
	run := m.run
	m.mu.Unlock()
	if run != nil {
		if res, err, ok := run(ctx, c); ok {
			return res, err
		}
	}
	return m.Host.Run(ctx, c)
}

func (m *machine) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	m.mu.Lock()
	to, ok := m.dials[address]
	m.mu.Unlock()
	if !ok {
		return nil, fmt.Errorf("dial %s %s: connection refused", network, address)
	}
	return m.Host.Dial(ctx, "tcp", to)
}

func (m *machine) lead(address, to string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dials[address] = to
}

// path is a path below the installation.
func (m *machine) path(name string) string { return filepath.Join(m.root, "releases/r1", name) }

func (m *machine) write(name, text string) {
	m.t.Helper()
	path := m.path(name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
		m.t.Fatal(err)
	}
}

// edit replaces text in a file, which must hold it.
func (m *machine) edit(name, old, with string) {
	m.t.Helper()
	text, err := os.ReadFile(m.path(name))
	if err != nil || !strings.Contains(string(text), old) {
		m.t.Fatalf("%s does not hold %q: %v", name, old, err)
	}
	m.write(name, strings.ReplaceAll(string(text), old, with))
}

func (m *machine) remove(name string) {
	m.t.Helper()
	if err := os.RemoveAll(m.path(name)); err != nil {
		m.t.Fatal(err)
	}
}

// age sets the time of a file.
func (m *machine) age(name string, ago time.Duration) {
	m.t.Helper()
	at := time.Now().Add(-ago)
	if err := os.Chtimes(m.path(name), at, at); err != nil {
		m.t.Fatal(err)
	}
}

// php answers what the CLI says of itself.
func (m *machine) php(version, zone string, extensions ...string) {
	m.script("php", fmt.Sprintf(`echo '{"version":"%s","timezone":"%s","extensions":["%s"]}'`, version, zone, strings.Join(extensions, `","`)))
}

func (m *machine) script(name, body string) {
	m.t.Helper()
	if err := os.WriteFile(filepath.Join(m.root, name), []byte("#!/bin/sh\n"+body+"\n"), 0o755); err != nil {
		m.t.Fatal(err)
	}
}

// rig is a deployment in which nothing is wrong.
type rig struct {
	t        *testing.T
	d        *inventory.Deployment
	machines []*machine
	dead     map[string]error
	redis    *miniredis.Miniredis
	haproxy  map[string]string // server -> "op admin status"
	secrets  []string
	secretMu sync.Mutex
}

// Host implements ops.Connector.
func (r *rig) Host(_ context.Context, node string) (ops.Host, error) {
	if err := r.dead[node]; err != nil {
		return nil, err
	}
	for _, m := range r.machines {
		if m.node.Name == node {
			return m, nil
		}
	}
	return nil, fmt.Errorf("no node %s", node)
}

var goodExtensions = []string{"gd", "intl", "sodium", "zip", "pdo_sqlite", "redis", "igbinary"}

func newRig(t *testing.T, names ...string) *rig {
	t.Helper()
	if len(names) == 0 {
		names = []string{"admin1", "app1", "app2"}
	}
	r := &rig{t: t, dead: map[string]error{}, haproxy: map[string]string{}, redis: miniredis.RunT(t)}
	r.redis.RequireAuth(cachePassword)
	r.d = &inventory.Deployment{Name: "test", Cache: inventory.Cache{Adapter: inventory.CacheRedis}}
	r.d.Balancers = []inventory.Balancer{{Name: "lb", Kind: inventory.BalancerHAProxy, Node: names[0], Socket: "lb.internal:9000", Backend: "app"}}
	r.d.Check.Skew = 5 * time.Second // this machine may be busy
	r.d.Check.DiskWarn, r.d.Check.DiskFail = 101, 101
	lb := r.serveRuntime()
	for i, name := range names {
		m := r.addMachine(name)
		m.node.Roles = []inventory.Role{inventory.RoleApp}
		r.haproxy[name] = "2 0 UP"
		if i == 0 {
			m.node.Roles = append(m.node.Roles, inventory.RoleAdmin)
			m.lead("lb.internal:9000", lb)
		}
	}
	r.schedule()
	return r
}

// schedule writes mosparo's jobs into the crontabs, as "cron apply" does.
func (r *rig) schedule() {
	r.t.Helper()
	r.d.Cron = inventory.Cron{Mode: inventory.CronStaggered, Target: inventory.CronUser, User: "mosparo", Distance: 10 * time.Minute, Dir: r.t.TempDir()}
	states := map[string]*cron.NodeState{}
	for _, m := range r.machines {
		m.node.Roles = append(m.node.Roles, inventory.RoleCron)
		s, err := cron.Read(r.t.Context(), m, r.d, m.node, time.Now())
		if err != nil {
			r.t.Fatal(err)
		}
		states[m.node.Name] = s
	}
	lay, err := cron.Lay(r.d, states, time.Now())
	if err != nil {
		r.t.Fatal(err)
	}
	plan, _, err := cron.PlanApply(r.d, lay, states, r.d.Nodes, r)
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := ops.Apply(r.t.Context(), plan, ops.ApplyOptions{}); err != nil {
		r.t.Fatal(err)
	}
}

// fakeCron keeps a crontab in memory and gives the node a user mosparo and the time zone UTC.
func (m *machine) fakeCron() {
	m.instead(func(_ context.Context, c ops.Command) (ops.Result, error, bool) {
		say := func(text string) (ops.Result, error, bool) { return ops.Result{Stdout: []byte(text)}, nil, true }
		switch {
		case len(c.Argv) == 3 && c.Argv[2] == "id -u && id -un":
			return say("1000\nmosparo\n")
		case len(c.Argv) > 3 && strings.Contains(c.Argv[2], "/etc/timezone"):
			return say("zone UTC\n" + strings.Repeat("+0000 /etc/localtime\n", len(c.Argv)-4))
		case c.Argv[0] != "crontab":
			return ops.Result{}, nil, false
		case c.Argv[len(c.Argv)-1] == "-":
			text, err := io.ReadAll(c.Stdin)
			m.crontab = string(text)
			return ops.Result{}, err, true
		case m.crontab == "":
			return ops.Result{}, &ops.ExitError{Argv: c.Argv, Status: 1, Stderr: []byte("no crontab for mosparo")}, true
		}
		return say(m.crontab)
	})
}

func (r *rig) addMachine(name string) *machine {
	r.t.Helper()
	m := &machine{Host: local.New(name), t: r.t, root: r.t.TempDir(), dials: map[string]string{}}
	m.node = &inventory.Node{Name: name, Address: name + ".example", Paths: inventory.Paths{Root: m.root, Layout: inventory.LayoutReleases},
		PHP:  inventory.PHP{Command: []string{filepath.Join(m.root, "php")}},
		HTTP: inventory.HTTP{URL: "http://127.0.0.1:80", Host: "spam.example"}, Cache: r.d.Cache}
	m.lead("cache.internal:6379", r.redis.Addr())
	m.serve(http.StatusOK, `{"service":"mosparo","healthy":true,"databaseStatus":"connected","error":null,"statusCode":200}`)
	m.noFPM()
	m.fakeCron()
	m.write("src/Kernel.php", "<?php class Kernel { const MAJOR_VERSION = '1.5'; const VERSION = '1.5.4'; }\n")
	m.write("composer.lock", "{}")
	m.write(".env", "APP_ENV=prod\nMOSPARO_CACHE_ADAPTER=\nREDIS_URL=redis://localhost\nMEMCACHED_URL=memcached://localhost\n")
	m.write(".env.local", "MOSPARO_CACHE_ADAPTER=redis\nREDIS_URL='redis://"+cachePassword+"@cache.internal:6379/2?lazy=1'\n")
	m.write("config/env.mosparo.php", "<?php\n\nreturn array (\n  'mosparo_installed' => true,\n  'mosparo_installed_version' => '1.5.4',\n"+
		"  'encryption_key' => '"+encryptionKey+"',\n  'secret' => '"+kernelSecret+"',\n  'database_system' => 'sqlite',\n"+
		"  'database_driver' => 'pdo_sqlite',\n  'database_password' => '"+dbPassword+"',\n  'geoipActive' => true,\n);\n")
	m.write("public/resources/mappings.php", "<?php return ['u' => 'h'];")
	m.write("public/resources/u/h.css", "a{}")
	for _, name := range geoFiles {
		m.write(name, "mmdb")
	}
	m.write(".mosparoctl-manifest", "manifest")
	m.write(".mosparoctl-release", `{"id":"r1","kind":"mosparo","version":"1.5.4","digest":"`+strings.Repeat("ab", 32)+`"}`)
	for _, name := range []string{"src/Kernel.php", "composer.lock", ".mosparoctl-release"} {
		m.age(name, time.Hour)
	}
	m.write("var/cache/prod/App_KernelProdContainer.php", "<?php")
	m.php("8.2.1", "UTC", goodExtensions...)
	if err := os.Symlink("releases/r1", filepath.Join(m.root, "current")); err != nil {
		r.t.Fatal(err)
	}
	r.machines = append(r.machines, m)
	r.d.Nodes = append(r.d.Nodes, m.node)
	return m
}

// serve puts a web server on the node that always answers the same.
func (m *machine) serve(status int, body string) {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Host != "spam.example" || req.URL.Path != "/api/v1/health/check" {
			http.NotFound(w, req)
			return
		}
		if status/100 == 3 {
			w.Header().Set("Location", "https://spam.example"+req.URL.Path)
		}
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}))
	m.t.Cleanup(web.Close)
	m.lead("127.0.0.1:80", web.Listener.Addr().String())
}

// noFPM hides this machine's own php-fpm from the node.
func (m *machine) noFPM() { m.fpm("") }

// fpm is what the node's php-fpm prints.
func (m *machine) fpm(out string) {
	m.instead(func(_ context.Context, c ops.Command) (ops.Result, error, bool) {
		if len(c.Argv) > 2 && c.Argv[2] == fpmScript {
			return ops.Result{Stdout: []byte(out)}, nil, true
		}
		return ops.Result{}, nil, false
	})
}

// instead answers some commands in place of the machine; earlier ones stay.
func (m *machine) instead(run func(context.Context, ops.Command) (ops.Result, error, bool)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := m.run
	m.run = func(ctx context.Context, c ops.Command) (ops.Result, error, bool) {
		if res, err, ok := run(ctx, c); ok || before == nil {
			return res, err, ok
		}
		return before(ctx, c)
	}
}

// serveRuntime answers HAProxy's runtime API for r.haproxy.
func (r *rig) serveRuntime() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			line, _ := bufio.NewReader(conn).ReadString('\n')
			out := "1\n# srv_name srv_op_state srv_admin_state\n"
			if strings.HasPrefix(line, "show stat") {
				out = "# pxname,svname,scur,status\n"
			}
			for name, state := range r.haproxy {
				f := strings.SplitN(state, " ", 3)
				if strings.HasPrefix(line, "show stat") {
					out += "app," + name + ",0," + f[2] + "\n"
				} else {
					out += name + " " + f[0] + " " + f[1] + "\n"
				}
			}
			_, _ = conn.Write([]byte(out))
			_ = conn.Close()
		}
	}()
	return l.Addr().String()
}

// check runs the checks and makes sure that no secret is in the report, and that its mends can be pasted.
func (r *rig) check(f Filter) Report {
	r.t.Helper()
	env := Env{Deployment: r.d, Hosts: r, Redact: func(s string) {
		r.secretMu.Lock()
		defer r.secretMu.Unlock()
		r.secrets = append(r.secrets, s)
	}}
	report, err := Run(r.t.Context(), env, f)
	if err != nil {
		r.t.Fatal(err)
	}
	noSecrets(r.t, report)
	nothingToFillIn(r.t, report)
	return report
}

func noSecrets(t *testing.T, r Report) {
	t.Helper()
	all := fmt.Sprintf("%+v %s %s", r, r.Nagios(), r.Prometheus())
	for _, secret := range []string{encryptionKey, kernelSecret, cachePassword, dbPassword} {
		if strings.Contains(all, secret) {
			t.Errorf("the report holds the secret %s:\n%s", secret, all)
		}
	}
}

// result is the result of a check.
func result(t *testing.T, r Report, name string) Result {
	t.Helper()
	for _, res := range r.Results {
		if res.Name == name {
			return res
		}
	}
	t.Fatalf("no result of %s", name)
	return Result{}
}
