package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/mosparoctl/mosparoctl/internal/lab/server"
	"github.com/mosparoctl/mosparoctl/tui/tuitest"
)

// TestTUIAsksForPassphrases opens the full screen on OpenSSH nodes whose key needs a passphrase: it is asked for once, before the screen,
// and not again when a connection was lost.
func TestTUIAsksForPassphrases(t *testing.T) {
	t.Parallel()
	x := tuitest.Open(t, 120, 40, "TERM=xterm-256color")
	sshd := server.StartSSHD(t)
	tui := lockedDeployment(t, sshd)

	x.Run(tui...)
	x.Wait(`Passphrase of \S+/id_ed25519 for web1, web2 \(enter alone leaves it locked\)`)
	x.Type("not it")
	x.Keys("Enter")
	x.Wait(`That does not open it \(1 of 3\)`)
	x.Type("open sesame")
	if s := x.Screen(); strings.Contains(s, "not it") || strings.Contains(s, "sesame") {
		t.Errorf("the passphrase is shown:\n%s", s)
	}
	x.Keys("Enter")
	x.Wait(`(?s)web1 admin +no release.*web2 +no release`)
	before := children(t, sshd.Process.PID())
	if len(before) == 0 {
		t.Fatal("no connections")
	}
	for _, pid := range before {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	x.Until("other connections", func() bool {
		x.Keys("R")
		now := children(t, sshd.Process.PID())
		return len(now) > 0 && !slices.ContainsFunc(now, func(pid int) bool { return slices.Contains(before, pid) })
	})
	x.Keys("2")
	x.Wait(`(?s)┌ web1 .*read +(now|\d+s ago)`)
	x.Keys("q")
	if status := x.Ended(); status != "0" {
		t.Errorf("exit status %s", status)
	}

	x.Run(tui...)
	x.Wait(`Passphrase of`)
	x.Keys("Enter")
	x.Wait(`key \S+/id_ed25519 stays locked \(no passphrase was given\)`)
	x.Wait(`✗ web1 +connect to \S+ login as \S+ was refused: key \S+`)
	x.Keys("2")
	x.Wait(`(?s)┌ web1 .*ssh-add`)
	x.Keys("9")
	x.Wait(`! key \S+/id_ed25519 stays locked`)
	x.Keys("q")
	x.Ended()

	x.Run(tui...)
	for try := 1; try <= 3; try++ {
		x.Until("the question", func() bool { return strings.Count(x.Screen(), "Passphrase of") == try })
		x.Type("wrong")
		x.Keys("Enter")
	}
	x.Wait(`stays locked \(the passphrase was wrong 3 times\)`)
	x.Keys("q")
	x.Ended()

	for _, key := range []string{"C-c", "C-d"} {
		x.Run(tui...)
		x.Wait(`Passphrase of`)
		x.Keys(key)
		if status := x.Ended(); status != "130" {
			t.Errorf("exit status %s after %s", status, key)
		}
	}
	x.Run(tui...)
	x.Wait(`Passphrase of`)
	if err := syscall.Kill(x.Program(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if status := x.Ended(); status != "130" {
		t.Errorf("exit status %s after a signal", status)
	}
}

// TestQuestionsGiveTheTerminalBack ends commands while they ask for a passphrase: by ^C, by a signal, and because the answer is no
// longer needed. Each time the terminal must show again what is typed, which Ended sees to.
func TestQuestionsGiveTheTerminalBack(t *testing.T) {
	t.Parallel()
	x := tuitest.Open(t, 120, 40, "TERM=xterm-256color")
	tui := lockedDeployment(t, server.StartSSHD(t))
	check := append(slices.Clone(tui[:len(tui)-1]), "check", "--only", "node-reach")
	for name, end := range map[string]func(){
		"^C": func() { x.Keys("C-c") },
		"a signal": func() {
			if err := syscall.Kill(x.Program(), syscall.SIGTERM); err != nil {
				t.Error(err)
			}
		},
	} {
		x.Run(check...)
		x.Wait(`Passphrase of \S+/id_ed25519`)
		x.Until("the terminal to hide what is typed", func() bool { return !echoes(t, x) })
		end()
		if status := x.Ended(); status != "130" {
			t.Errorf("exit status %s after %s", status, name)
		}
	}
	x.Run(check...)
	x.Wait(`Passphrase of`)
	x.Until("the terminal to hide what is typed", func() bool { return !echoes(t, x) })
	x.Type("open sesame")
	x.Keys("Enter")
	x.Wait(`all 2 nodes answer`)
	if status := x.Ended(); status != "0" {
		t.Errorf("exit status %s", status)
	}
}

// echoes reports whether the terminal shows what is typed.
func echoes(t *testing.T, x *tuitest.Terminal) bool {
	t.Helper()
	out, err := exec.Command("stty", "-F", x.TTY(), "-a").Output()
	if err != nil {
		t.Fatal(err)
	}
	return slices.Contains(strings.Fields(string(out)), "echo")
}

// lockedDeployment makes an inventory of two nodes that the key of sshd, encrypted now, lets in, and returns the command line of the full
// screen on it.
func lockedDeployment(t *testing.T, sshd *server.SSHD) []string {
	t.Helper()
	if out, err := exec.Command("ssh-keygen", "-q", "-p", "-N", "open sesame", "-f", sshd.Key).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v\n%s", err, out)
	}
	dir := t.TempDir()
	binary, inventory := filepath.Join(dir, "mosparoctl"), filepath.Join(dir, "mosparo.yaml")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	_, port, err := net.SplitHostPort(sshd.Addr)
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("version: 1\nname: locked\ndefaults:\n  ssh: {user: %s, port: %s, identity: %s, known_hosts: %s, config: none}\nnodes:\n", sshd.User, port, sshd.Key, sshd.KnownHosts)
	for i, name := range []string{"web1", "web2"} {
		root := filepath.Join(dir, name)
		if err := os.Mkdir(root, 0o755); err != nil {
			t.Fatal(err)
		}
		text += fmt.Sprintf("  - {name: %s, address: 127.0.0.1, roles: [%s], paths: {root: %s}}\n", name, []string{"admin, app", "app"}[i], root)
	}
	if err := os.WriteFile(inventory, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{"env", "-u", "SSH_AUTH_SOCK", "XDG_STATE_HOME=" + dir, "HOME=" + dir, "TERM=xterm-256color", "NO_COLOR=", binary, "-i", inventory, "tui"}
}

// children are the processes that a process has started.
func children(t *testing.T, pid int) []int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		t.Fatal(err)
	}
	var out []int
	for f := range strings.FieldsSeq(string(b)) {
		var child int
		if _, err := fmt.Sscan(f, &child); err != nil {
			t.Fatal(err)
		}
		out = append(out, child)
	}
	return out
}
