package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mosparoctl/mosparoctl/internal/lab/server"
)

// sshCanary is a secret that no output may show.
const sshCanary = "s3cr3t-canary-over-ssh"

// program runs the whole program and returns its exit status and all that it printed.
func program(t *testing.T, args ...string) (int, string) {
	t.Helper()
	var out bytes.Buffer
	status := run(args, strings.NewReader(""), &out, &out)
	if strings.Contains(out.String(), sshCanary) {
		t.Errorf("%v shows a secret:\n%s", args, out.String())
	}
	return status, out.String()
}

// sshInventory writes an inventory whose nodes are folders reached through sshd.
func sshInventory(t *testing.T, sshd *server.SSHD, rest string, nodes ...string) (file, dir string) {
	t.Helper()
	dir = t.TempDir()
	t.Setenv("XDG_STATE_HOME", filepath.Join(dir, "state"))
	host, port, err := net.SplitHostPort(sshd.Addr)
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("version: 1\nname: sshd\ndefaults:\n  ssh: {user: %s, port: %s, identity: %s, known_hosts: %s, config: none}\n%snodes:\n",
		sshd.User, port, sshd.Key, sshd.KnownHosts, rest)
	for i, n := range nodes {
		roles := "[app, cron]"
		if i == 0 {
			roles = "[admin, app, cron]"
		}
		root := filepath.Join(dir, n)
		if err := os.MkdirAll(filepath.Join(root, "shared/config"), 0o755); err != nil {
			t.Fatal(err)
		}
		text += fmt.Sprintf("  - {name: %s, address: %s, roles: %s, paths: {root: %s}, php: {reload: [touch, %s/reloaded]}}\n", n, host, roles, root, root)
	}
	file = filepath.Join(dir, "mosparo.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, dir
}

// env push over a real sshd: the files arrive, the second run changes nothing.
func TestEnvPushOverSSH(t *testing.T) {
	t.Setenv("SSH_CANARY", sshCanary)
	file, dir := sshInventory(t, server.StartSSHD(t), "env:\n  OWN_PASSWORD: env:SSH_CANARY\n", "one", "two", "three")
	config := "<?php\n\nreturn array (\n  'mosparo_installed' => true,\n  'mosparo_installed_version' => '1.5.4',\n  'encryption_key' => '" +
		strings.Repeat("0b", 32) + "',\n  'database_password' => '" + sshCanary + "',\n);\n"
	if err := os.WriteFile(filepath.Join(dir, "one/shared/config/env.mosparo.php"), []byte(config), 0o640); err != nil {
		t.Fatal(err)
	}
	if status, out := program(t, "-i", file, "env", "diff"); status != 7 {
		t.Fatalf("diff ended with %d:\n%s", status, out)
	}
	if status, out := program(t, "-i", file, "env", "push"); status != 0 {
		t.Fatalf("push ended with %d:\n%s", status, out)
	}
	for _, n := range []string{"two", "three"} {
		path := filepath.Join(dir, n, "shared/config/env.mosparo.php")
		if b, err := os.ReadFile(path); err != nil || string(b) != config {
			t.Errorf("%s: %v, %q", n, err, b)
		}
		if b, err := os.ReadFile(filepath.Join(dir, n, "shared/.env.local")); err != nil || !strings.HasSuffix(string(b), "OWN_PASSWORD="+sshCanary+"\n") {
			t.Errorf("%s: %v, %q", n, err, b)
		}
		if _, err := os.Stat(filepath.Join(dir, n, "reloaded")); err != nil {
			t.Errorf("%s was not reloaded", n)
		}
	}
	status, out := program(t, "-i", file, "env", "push")
	if status != 0 || !strings.Contains(out, "nothing to do") {
		t.Errorf("the second push ended with %d:\n%s", status, out)
	}
	if status, out := program(t, "-i", file, "env", "diff", "--output", "json"); status != 0 {
		t.Errorf("diff afterwards ended with %d:\n%s", status, out)
	}
}

// cron apply over a real sshd into a folder that stands for /etc/cron.d.
func TestCronApplyOverSSH(t *testing.T) {
	server.NeedRoot(t, "nobody else may write to cron.d")
	zone := "UTC"
	if link, err := os.Readlink("/etc/localtime"); err == nil {
		if _, name, ok := strings.Cut(link, "zoneinfo/"); ok {
			zone = name
		}
	}
	cronD := t.TempDir()
	file, dir := sshInventory(t, server.StartSSHD(t), "  tz: "+zone+"\ncron: {target: cron.d, user: nobody, dir: "+cronD+"}\n", "one")
	if status, out := program(t, "-i", file, "cron", "apply"); status != 0 {
		t.Fatalf("apply ended with %d:\n%s", status, out)
	}
	path := filepath.Join(cronD, "mosparoctl-sshd")
	b, err := os.ReadFile(path)
	if err != nil || strings.Count(string(b), " nobody PATH=") != 2 {
		t.Fatalf("%v:\n%s", err, b)
	}
	st, err := os.Stat(path)
	if err != nil || st.Mode().Perm() != 0o644 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	if st, err := os.Stat(filepath.Join(dir, "one/shared/var/cron")); err != nil || !st.IsDir() {
		t.Errorf("no folder for the locks: %v", err)
	}
	if status, out := program(t, "-i", file, "cron", "apply"); status != 0 || !strings.Contains(out, "nothing to do") {
		t.Errorf("the second apply ended with %d:\n%s", status, out)
	}
	if status, out := program(t, "-i", file, "cron", "remove", "--yes"); status != 0 {
		t.Errorf("remove ended with %d:\n%s", status, out)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the file stayed: %v", err)
	}
}
