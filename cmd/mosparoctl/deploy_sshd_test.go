package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mosparoctl/mosparoctl/internal/lab/server"
	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/local"
	"github.com/mosparoctl/mosparoctl/ops/lock"
	"github.com/mosparoctl/mosparoctl/ops/release"
)

// mosparoTree writes a folder that looks like a release of mosparo, with many small PHP files and some symlinks.
func mosparoTree(t *testing.T, version string, files int) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name, content string) {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("src/Kernel.php", "<?php\nclass Kernel {\n    const VERSION = '"+version+"';\n}\n")
	for name, content := range map[string]string{"public/index.php": "<?php", ".env": "APP_ENV=prod\n", "bin/console": "#!/usr/bin/env php\n",
		"vendor/autoload.php": "<?php\n", "migrations/mysql/Version" + strings.ReplaceAll(version, ".", "") + ".php": "<?php\n"} {
		write(name, content)
	}
	for i := range files {
		content := fmt.Sprintf("<?php // %d\n%s", i, strings.Repeat("x", i%300))
		if i%50 == 0 {
			content += version
		}
		write(fmt.Sprintf("vendor/p%d/src/f%d.php", i%97, i), content)
	}
	for i := range 50 {
		if err := os.Symlink(fmt.Sprintf("p%d/src", i), filepath.Join(dir, "vendor", fmt.Sprintf("link%d", i))); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// A deploy to three nodes over a real sshd, another release, a rollback; the second run of each changes nothing and says so.
// In CI, and with DEPLOY_FULL set, a release has 10,000 files.
func TestDeployOverSSH(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	files := 500
	if os.Getenv("CI") == "true" || os.Getenv("DEPLOY_FULL") != "" {
		files = 10_000
	}
	file, dir := sshInventory(t, server.StartSSHD(t), "release: {migrate: false, warm: false}\n", "one", "two", "three")
	config := "<?php\n\nreturn array (\n  'mosparo_installed' => true,\n  'mosparo_installed_version' => '1.5.2',\n  'database_password' => '" + sshCanary + "',\n);\n"
	if err := os.WriteFile(filepath.Join(dir, "one/shared/config/env.mosparo.php"), []byte(config), 0o640); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		args    []string
		version string
	}{
		{[]string{"deploy", mosparoTree(t, "1.5.3", files)}, "1.5.3"},
		{[]string{"deploy", mosparoTree(t, "1.5.4", files)}, "1.5.4"},
		{[]string{"rollback"}, "1.5.3"},
	} {
		if status, out := program(t, append([]string{"-i", file}, step.args...)...); status != 0 {
			t.Fatalf("%v ended with %d:\n%s", step.args, status, out)
		}
		for _, n := range []string{"one", "two", "three"} {
			kernel, err := os.ReadFile(filepath.Join(dir, n, "current/src/Kernel.php"))
			if err != nil || !strings.Contains(string(kernel), step.version) {
				t.Errorf("%s after %s: %v, %q", n, step.args[0], err, kernel)
			}
			conf, err := os.ReadFile(filepath.Join(dir, n, "current/config/env.mosparo.php"))
			if err != nil || !strings.Contains(string(conf), "'mosparo_installed_version' => '"+step.version+"'") {
				t.Errorf("%s after %s: %v, configuration of another version", n, step.args[0], err)
			}
			if target, err := os.Readlink(filepath.Join(dir, n, "current/vendor/link7")); err != nil || target != "p7/src" {
				t.Errorf("%s: link leads to %q, %v", n, target, err)
			}
			if _, err := os.Stat(filepath.Join(dir, n, "reloaded")); err != nil {
				t.Errorf("%s: PHP was not reloaded", n)
			}
		}
		if step.args[0] == "rollback" {
			current, err := os.Readlink(filepath.Join(dir, "one/current"))
			if err != nil {
				t.Fatal(err)
			}
			step.args = append(step.args, filepath.Base(current))
		}
		if status, out := program(t, append([]string{"-i", file}, step.args...)...); status != 0 || !strings.Contains(out, "nothing to do") {
			t.Errorf("the second %s ended with %d:\n%s", step.args[0], status, out)
		}
	}
}

// The lock works over SFTP: a living holder is respected and named, a dead one is followed within its lease.
func TestLockOverSSH(t *testing.T) {
	file, dir := sshInventory(t, server.StartSSHD(t), "", "one", "two")
	src := filepath.Join(t.TempDir(), "any")
	if err := os.MkdirAll(src, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(src, "index.html"), []byte("hello"), 0o644); err != nil {
		t.Fatal(err)
	}
	at := release.LockDir(&inventory.Node{Paths: inventory.Paths{Root: filepath.Join(dir, "one")}})
	l, err := lock.Acquire(t.Context(), local.New("one"), lock.Options{Dir: at, Owner: "alice", Host: "her-laptop", Op: "sync"})
	if err != nil {
		t.Fatal(err)
	}
	deploy := []string{"-i", file, "deploy", "--allow-any", src}
	if status, out := program(t, deploy...); status != ops.CodeLocked.ExitStatus() || !strings.Contains(out, "alice on her-laptop") {
		t.Errorf("beside a living holder the deploy ended with %d:\n%s", status, out)
	}
	if err := l.Release(context.Background()); err != nil {
		t.Fatal(err)
	}
	// A holder that died: his lease of three seconds was written a minute ago.
	dead := filepath.Join(at, "lock.99")
	if err := os.MkdirAll(dead, 0o755); err != nil {
		t.Fatal(err)
	}
	lease := filepath.Join(dead, "lease")
	if err := os.WriteFile(lease, []byte(`{"owner":"bob","token":"t","lease":3000000000}`), 0o644); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Minute)
	if err := os.Chtimes(lease, old, old); err != nil {
		t.Fatal(err)
	}
	if status, out := program(t, deploy...); status != 0 || !strings.Contains(out, "is bob") {
		t.Errorf("after a dead holder the deploy ended with %d:\n%s", status, out)
	}
}
