package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/mosparoctl/mosparoctl/internal/lab/server"
	"github.com/mosparoctl/mosparoctl/tui/tuitest"
)

// heldDemo is the deployment of the demo, up as long as the test runs.
type heldDemo struct {
	binary, dir, inventory string
	env                    []string
}

func holdDemo(t *testing.T) heldDemo {
	t.Helper()
	dir := t.TempDir()
	d := heldDemo{binary: filepath.Join(dir, "mosparoctl"), dir: filepath.Join(dir, "demo")}
	d.inventory = filepath.Join(d.dir, "mosparo.yaml")
	d.env = []string{"XDG_STATE_HOME=" + filepath.Join(d.dir, "state"), "HOME=" + dir, "TERM=xterm-256color", "NO_COLOR=", "PATH=" + os.Getenv("PATH")}
	if out, err := exec.Command("go", "build", "-o", d.binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	p := server.Start(t, d.binary, "demo", "--dir", d.dir, "--hold", "--no-color")
	p.WaitFor("the demo", func(context.Context) error {
		if !strings.Contains(p.Output(), "In a second terminal") {
			return errors.New("it is being built")
		}
		return nil
	})
	return d
}

// TestTUIOnTheDemo does by keys what an operator does: looks, finds a planted fault and its mend, deploys, rolls back, syncs and
// takes that back.
func TestTUIOnTheDemo(t *testing.T) {
	t.Parallel()
	x := tuitest.Open(t, 120, 40, "TERM=xterm-256color")
	d := holdDemo(t)
	x.Run(append([]string{"env"}, append(d.env, d.binary, "-i", d.inventory, "tui")...)...)
	x.Wait(`✓ every check is fine`)
	x.Wait(`app3 +1\.5\.3`)
	x.Wait(`(?s)no crontab is written yet.*✓ in step`)
	x.Capture("overview")

	fault := filepath.Join(d.dir, "app3", "mosparo", "shared", "config", "env.mosparo.php")
	good, err := os.ReadFile(fault)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(fault, []byte(strings.Replace(string(good), "'encryption_key' => '", "'encryption_key' => 'f", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	x.Keys("r")
	x.Wait(`✗ files-keys +app3`)
	x.Capture("overview-fault")
	x.Keys("3", "/")
	x.Type("files-keys")
	x.Keys("Enter")
	x.Wait(`(?s)✗ FAIL files-keys.*Mend: mosparoctl sync`)
	x.Capture("checks-fault")
	if err := os.WriteFile(fault, good, 0o600); err != nil {
		t.Fatal(err)
	}
	x.Keys("t")
	x.Wait(`✓ ok files-keys`)
	x.Keys("Escape") // alone: a key that follows at once would be Alt with that key
	x.Wait(`✓ ok  \d\d`)

	x.Keys("4", "Enter")
	x.Paste(filepath.Join(d.dir, "mosparo-1.5.4"))
	x.Keys("Enter")
	x.Wait(`wave 1 prepare`)
	x.Capture("deploy-plan")
	x.Keys("Enter")
	x.Wait(`Type demo and`)
	x.Paste("demo\n") // counts for nothing
	x.Type("dem0")
	x.Keys("Enter")
	x.Wait(`nothing was started`)
	x.Type("demo")
	x.Keys("Enter")
	x.Wait(`✓ done deploy 1\.5\.4`)
	x.Capture("deploy-done")
	x.Keys("1")
	x.Wait(`app3 +1\.5\.4`)

	x.Keys("5")
	x.Wait(`● 3 of 3`)
	x.Capture("releases")
	x.Keys("b")
	x.Wait(`roll back to 1\.5\.3`)
	x.Keys("Enter")
	x.Wait(`Type demo and`)
	x.Type("demo")
	x.Keys("Enter")
	x.Wait(`✓ done roll back to 1\.5\.3`)

	edited := func(node string) string {
		return filepath.Join(d.dir, node, "mosparo", "shared", "public", "resources", "tui.css")
	}
	if err := os.WriteFile(edited("app1"), []byte("a{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	x.Keys("6", "Enter")
	x.Wait(`tui\.css`)
	x.Capture("sync-drift")
	x.Keys("Enter")
	x.Wait(`Type demo and`)
	x.Type("demo")
	x.Keys("Enter")
	x.Wait(`✓ done sync`)
	if _, err := os.Stat(edited("app3")); err != nil {
		t.Error(err)
	}
	x.Keys("Escape")
	x.Wait(`(?s)▸ 20\S+ .*\n +20\S+ `) // the run of the demo, and the new one
	x.Keys("u")
	x.Wait(`undo sync 20`)
	x.Keys("Enter")
	x.Wait(`Type demo and`)
	x.Type("demo")
	x.Keys("Enter")
	x.Wait(`✓ done undo sync`)
	if _, err := os.Stat(edited("app3")); err == nil {
		t.Error("the undone file is still there")
	}
	x.Keys("7")
	x.Wait(`kept`)
	x.Capture("cron")
	for key, name := range map[string]string{"2": "node", "9": "events"} {
		x.Keys(key)
		x.Wait(`▸` + key)
		x.Capture(name)
	}
	x.Resize(40, 12)
	x.Wait(`▸\d \w+`)
	x.Resize(120, 40)
	x.Keys("q")
	if status := x.Ended(); status != "0" {
		t.Errorf("exit status %s", status)
	}
}

// TestTUIWatchesTheDemo looks at what the protection cores do with the visitors of the demo, and at the cache that they share.
func TestTUIWatchesTheDemo(t *testing.T) {
	t.Parallel()
	x := tuitest.Open(t, 120, 40, "TERM=xterm-256color")
	d := holdDemo(t)
	inventory, err := os.ReadFile(d.inventory)
	if err != nil {
		t.Fatal(err)
	}
	often := strings.Replace(string(inventory), "\ncheck:\n", "\ncheck:\n  interval: 1s\n", 1)
	if err := os.WriteFile(d.inventory, []byte(often), 0o644); err != nil {
		t.Fatal(err)
	}
	d.open(x)
	x.Keys("8")
	x.Wait(`(?s)cache-reach .*app1 +round trip +\d.*app3 +round trip +\d`)
	x.Capture("data-cache")
	x.Keys("0")
	x.Wait(`Forms checked`)
	x.Wait(`(?s)app1 +\d\S+/(min|s) .*app3 +\d\S+/(min|s) .*words +\d\S+/(min|s) .*verify +\d\S+/(min|s) `)
	x.Wait(`app3 .*[▁▂▃▄▅▆▇█]{36}`) // enough for the charts of a picture
	x.Capture("serve")
	x.Resize(80, 24)
	x.Wait(`(?s)Forms checked.*app3 +\d`)
	x.Resize(40, 12)
	x.Wait(`forms \d.*spam \d.*p95 \d`)
	x.Keys("q")
	if status := x.Ended(); status != "0" {
		t.Errorf("exit status %s", status)
	}
}

// TestTUIGivesTheTerminalBack ends and stops the program from outside.
func TestTUIGivesTheTerminalBack(t *testing.T) {
	t.Parallel()
	x := tuitest.Open(t, 100, 30, "TERM=xterm-256color")
	d := holdDemo(t)
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP, syscall.SIGINT} {
		x.Run(append([]string{"env"}, append(d.env, d.binary, "-i", d.inventory)...)...) // without a command: the same
		x.Wait(`▸1 Overview`)
		if err := syscall.Kill(x.Program(), sig); err != nil {
			t.Fatal(err)
		}
		x.Ended()
	}
	for name, stop := range map[string]func(pid int){
		"kill -TSTP": func(pid int) { _ = syscall.Kill(pid, syscall.SIGTSTP) },
		"Ctrl-Z":     func(int) { x.Keys("C-z") },
	} {
		x.Run(append([]string{"env"}, append(d.env, d.binary, "-i", d.inventory, "tui")...)...)
		x.Wait(`▸1 Overview`)
		pid := x.Program()
		stop(pid)
		x.Until(name+" to stop the program", func() bool { return tuitest.Stopped(pid) })
		x.Ended() // of the foreground: the shell has the terminal again
		x.Resume()
		x.Wait(`▸1 Overview`)
		x.Keys("3")
		x.Wait(`▸3 Checks`)
		x.Keys("q")
		x.Until("the program to end", func() bool { return syscall.Kill(pid, 0) != nil })
	}
}

// TestTUITakesBackWhatItAborts aborts a deploy by leaving, and wants it taken back.
func TestTUITakesBackWhatItAborts(t *testing.T) {
	t.Parallel()
	x := tuitest.Open(t, 100, 30, "TERM=xterm-256color")
	d := holdDemo(t)
	d.gate(t)
	x.Run(append([]string{"env"}, append(d.env, d.binary, "-i", d.inventory, "tui")...)...)
	x.Wait(`app3 +1\.5\.3`)
	x.Keys("4", "Enter")
	x.Type(filepath.Join(d.dir, "mosparo-1.5.4"))
	x.Keys("Enter")
	x.Wait(`wave 1 prepare`)
	x.Keys("Enter")
	x.Type("demo")
	x.Keys("Enter")
	x.Wait(`▶ deploy`)
	x.Until("a step to take back", d.pending)
	x.Keys("q")
	x.Wait(`deploy is running`)
	x.Capture("quit-asks")
	x.Keys("y")
	d.openGate(t)
	x.Ended()
	d.wantRelease(t, "1.5.3")
}

// TestDumbTerminalIsLeftAlone wants no escape sequences on a terminal that would show them.
func TestDumbTerminalIsLeftAlone(t *testing.T) {
	t.Parallel()
	x := tuitest.Open(t, 100, 30, "TERM=xterm-256color")
	dir := t.TempDir()
	binary, inventory := filepath.Join(dir, "mosparoctl"), filepath.Join(dir, "mosparo.yaml")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	text := "version: 1\nname: one\nnodes: [{name: a, address: local, roles: [admin, app], paths: {root: " + dir + "/a}}]\n"
	if err := os.WriteFile(inventory, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, run := range []struct{ command, says, status string }{
		{"tui", `the full screen needs a terminal that it can draw on`, "2"},
		{"--quiet", `--help" for more information`, "0"}, // without a command, where a terminal would get the screen
	} {
		x.Run("env", "TERM=dumb", "HOME="+dir, binary, "-i", inventory, run.command)
		x.Wait(run.says)
		if status := x.Ended(); status != run.status {
			t.Errorf("exit status %s after %s, want %s", status, run.command, run.status)
		}
	}
}
