package main

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/tui/tuitest"
)

// nodes are the nodes of the demo.
func (d heldDemo) nodes() []string { return []string{"app1", "app2", "app3"} }

// gate makes a deploy wait on each node, which has been drained and switched then, until the gate is open, and its lock be
// free soon after its holder's death.
func (d heldDemo) gate(t *testing.T) {
	t.Helper()
	inventory, err := os.ReadFile(d.inventory)
	if err != nil {
		t.Fatal(err)
	}
	wait := "until [ -e " + d.gateFile() + " ]; do sleep 0.1; done"
	gated := strings.Replace(string(inventory), "\nnodes:\n", "\nrelease: {lock_ttl: 10s}\nnodes:\n", 1)
	gated = strings.Replace(gated, `reload: ["true"]`, `reload: [sh, -c, "`+wait+`"]`, 1)
	if !strings.Contains(gated, wait) || !strings.Contains(gated, "lock_ttl") {
		t.Fatalf("the inventory has another form:\n%s", gated)
	}
	if err := os.WriteFile(d.inventory, []byte(gated), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (d heldDemo) gateFile() string { return filepath.Join(d.dir, "gate") }

// openGate lets all deploys go on, closeGate stops them at their next node.
func (d heldDemo) openGate(t *testing.T) {
	t.Helper()
	if err := os.WriteFile(d.gateFile(), nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (d heldDemo) closeGate(t *testing.T) {
	t.Helper()
	if err := os.Remove(d.gateFile()); err != nil {
		t.Fatal(err)
	}
}

// tui is the command line that shows the full screen.
func (d heldDemo) tui() []string {
	return append([]string{"env"}, append(d.env, d.binary, "-i", d.inventory, "tui")...)
}

// open shows the full screen in x.
func (d heldDemo) open(x *tuitest.Terminal) {
	x.Run(d.tui()...)
	x.Wait(`app3 +1\.5\.\d`)
}

// run runs a command of the program.
func (d heldDemo) run(args ...string) (out string, err error) {
	cmd := exec.Command(d.binary, append([]string{"-i", d.inventory}, args...)...)
	cmd.Env = append(os.Environ(), d.env...)
	b, err := cmd.CombinedOutput()
	return string(b), err
}

// wantRelease wants every node on a complete release of that version, no journal left and nobody holding the lock.
func (d heldDemo) wantRelease(t *testing.T, version string) {
	t.Helper()
	for _, n := range d.nodes() {
		root := filepath.Join(d.dir, n, "mosparo")
		target, err := os.Readlink(filepath.Join(root, "current"))
		if err != nil || !strings.HasPrefix(filepath.Base(target), version) {
			t.Errorf("%s is on %s, want %s: %v", n, target, version, err)
		}
		if _, err := os.Stat(filepath.Join(root, "current", "src", "Kernel.php")); err != nil {
			t.Errorf("%s: the release is not complete: %v", n, err)
		}
	}
	if left := d.journals(); len(left) > 0 {
		t.Errorf("journals are left: %v", left)
	}
}

func (d heldDemo) stateDir() string { return filepath.Join(d.dir, "state", "mosparoctl", "demo") }

// journals are those of runs that go on or were broken off.
func (d heldDemo) journals() []string {
	found, _ := filepath.Glob(filepath.Join(d.stateDir(), "*.journal"))
	return found
}

// pending reports whether a run has begun what has to be taken back if it is broken off.
func (d heldDemo) pending() bool {
	left, err := ops.Leftovers(d.stateDir())
	return err == nil && slices.ContainsFunc(left, func(l ops.Leftover) bool { return len(l.Pending) > 0 })
}

// deploying plans a deploy, starts it, and returns at a random point of what it does on its first node, whose gate is closed.
func (d heldDemo) deploying(x *tuitest.Terminal) {
	x.Keys("4", "Enter")
	x.Paste(filepath.Join(d.dir, "mosparo-1.5.4"))
	x.Keys("Enter")
	x.Wait(`wave 1 prepare`)
	x.Keys("Enter")
	x.Wait(`Type demo and`)
	x.Type("demo")
	x.Keys("Enter")
	x.Until("a step to take back", d.pending)
	for range rand.IntN(100) {
		x.Screen() // takes a moment
	}
}

// TestTUIDeployAfterItsScreen kills the screen in the middle of a deploy, takes its terminal away, and stops it for longer than its
// lock lives. Every node must be on a complete release afterwards.
func TestTUIDeployAfterItsScreen(t *testing.T) {
	t.Parallel()
	x := tuitest.Open(t, 120, 40, "TERM=xterm-256color")
	d := holdDemo(t)
	d.gate(t)
	for _, way := range []func(*testing.T, *tuitest.Terminal, heldDemo){killedDeploy, stoppedDeploy, hungUpDeploy} {
		if way(t, x, d); t.Failed() {
			return
		}
	}
}

// killedDeploy wants the terminal back at once, the next screen to tell what was left, and recover to take it back.
func killedDeploy(t *testing.T, x *tuitest.Terminal, d heldDemo) {
	d.open(x)
	d.deploying(x)
	if err := syscall.Kill(x.Program(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if status := x.Died(); status != "137" {
		t.Errorf("exit status %s", status)
	}
	d.openGate(t)
	d.open(x)
	x.Wait(`(?s)Something was broken off.*was broken off: 2 steps to take\b.*→ mosparoctl recover`)
	x.Capture("broken-off")
	x.Keys("Escape")
	x.Until("the notice to close", func() bool { return !strings.Contains(x.Screen(), "Something was broken off") })
	x.Keys("q")
	x.Ended()
	d.recovers(t, x)
	d.wantRelease(t, "1.5.3")
}

// recovers takes back what was left, as soon as the lock of the dead is free.
func (d heldDemo) recovers(t *testing.T, x *tuitest.Terminal) {
	t.Helper()
	var out string
	x.Until("the lock to be free", func() bool {
		var err error
		out, err = d.run("recover")
		return err == nil || !strings.Contains(out, "locked by")
	})
	if !strings.Contains(out, "taken back") {
		t.Errorf("recover: %s", out)
	}
}

// stoppedDeploy stops the program by a signal that nothing can catch, until another operator has taken over its lock and its deploy.
// When it goes on it must not touch what he has made.
func stoppedDeploy(t *testing.T, x *tuitest.Terminal, d heldDemo) {
	d.closeGate(t)
	d.open(x)
	d.deploying(x)
	pid := x.Program()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	x.Until("the program to stop", func() bool { return tuitest.Stopped(pid) })
	d.openGate(t)
	var out string
	x.Until("the lock to be free", func() bool {
		var err error
		out, err = d.run("deploy", filepath.Join(d.dir, "mosparo-1.5.4"), "--yes")
		return err == nil || !strings.Contains(out, "locked by")
	})
	d.wantRelease(t, "1.5.4")
	if t.Failed() {
		t.Log(out)
	}
	x.Type("fg")
	x.Keys("C-j") // the terminal is still the program's, where Enter is no line end
	x.Wait(`the lock was lost|could not be renewed`)
	x.Capture("lock-lost")
	x.Keys("q")
	x.Until("the program to end", func() bool { return syscall.Kill(pid, 0) != nil })
	d.wantRelease(t, "1.5.4")
	if out, err := d.run("rollback", "--yes"); err != nil {
		t.Fatalf("rollback: %v\n%s", err, out)
	}
	d.wantRelease(t, "1.5.3")
}

// hungUpDeploy wants a deploy whose terminal went away to end by itself, its lock to be free then, and a log of it.
func hungUpDeploy(t *testing.T, x *tuitest.Terminal, d heldDemo) {
	d.closeGate(t)
	d.open(x)
	d.deploying(x)
	pid := x.Program()
	x.Hangup()
	d.openGate(t)
	x.Until("the deploy to end without its terminal", func() bool { return syscall.Kill(pid, 0) != nil })
	d.wantRelease(t, "1.5.4")
	log, err := os.ReadFile(filepath.Join(d.stateDir(), "screen.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(log)), "\n")
	if last := lines[len(lines)-1]; !strings.Contains(last, `"exit":0`) {
		t.Errorf("the log ends with %s", last)
	}
	if out, err := d.run("rollback", "--yes"); err != nil { // needs the lock
		t.Errorf("rollback: %v\n%s", err, out)
	}
}
