package e2e

import (
	"crypto/rand"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/mosparoctl/mosparoctl/tui/tuitest"
)

// screen is the full screen of the program on a deployment, driven by keys.
type screen struct {
	*tuitest.Terminal
	d *deployment
}

// openScreen starts the full screen in a terminal of its own.
func (d *deployment) openScreen(t testing.TB) screen {
	t.Helper()
	s := screen{tuitest.Open(t, 120, 40, "TERM=xterm-256color", "NO_COLOR="), d}
	s.start()
	return s
}

// start runs the program in the terminal.
func (s screen) start() {
	s.Run("env", "XDG_STATE_HOME="+filepath.Join(s.d.dir, "state"), "E2E_DB_PASSWORD="+s.d.mariadb.Pass,
		s.d.binary, "--inventory", s.d.inventory, "--log-file", filepath.Join(s.d.dir, "log.jsonl"), "tui")
	s.Wait(`▸1 Overview`)
}

// confirm starts the plan that is shown, by typing the deployment's name.
func (s screen) confirm() {
	s.Keys("Enter")
	s.Wait(`Type e2e and`)
	s.Type("e2e")
	s.Keys("Enter")
}

// planDeploy names a source and waits for the plan.
func (s screen) planDeploy(source string) {
	s.Keys("4", "Enter")
	s.Paste(source)
	s.Keys("Enter")
	s.Wait(`wave 1 prepare`)
}

// wantCurrent fails unless every node's disk has a release of that version active, complete.
func wantCurrent(t testing.TB, d *deployment, version string) {
	t.Helper()
	for _, n := range d.nodes {
		if id := currentRelease(t, n); !strings.HasPrefix(id, version) {
			t.Errorf("%s: %s is active, want %s", n.name, id, version)
		}
		kernel, err := os.ReadFile(filepath.Join(n.root, "current/src/Kernel.php"))
		if err != nil || !strings.Contains(string(kernel), "'"+version+"'") {
			t.Errorf("%s: the active release holds %q: %v", n.name, kernel, err)
		}
	}
	wantVersions(t, d, version)
}

// operateByKeys does on the full screen what an operator does: it finds the fault on app3 that is planted already, mends it,
// deploys a third release, rolls back, syncs and takes that back. What the screen says is looked up on the nodes' disks.
func operateByKeys(t *testing.T, d *deployment) {
	before := currentRelease(t, d.nodes[0])
	x := d.openScreen(t)
	x.Wait(`✗ files-keys +app3`)
	x.Wait(`app3 +1\.5\.3`)
	x.Capture("real-overview-fault")
	mendByKeys(t, d, x)

	x.planDeploy(smallRelease(t, d, "1.5.5"))
	x.Capture("real-deploy-plan")
	x.confirm()
	x.Wait(`(?s)▶ deploy \d+/\d+.*▶ app\d`)
	x.Capture("real-deploy-running")
	x.Wait(`✓ done deploy 1\.5\.5`)
	x.Capture("real-deploy-done")
	wantCurrent(t, d, "1.5.5")

	x.Keys("5")
	x.Wait(`● 3 of 3`)
	x.Capture("real-releases")
	x.Keys("b")
	x.Wait(`roll back to 1\.5\.3`)
	x.confirm()
	x.Wait(`✓ done roll back to 1\.5\.3`)
	wantCurrent(t, d, "1.5.3")
	if id := currentRelease(t, d.nodes[2]); id != before {
		t.Errorf("rolled back to %s, was on %s", id, before)
	}
	syncByKeys(t, d, x)
	x.Keys("1")
	x.Wait(`✓ every check is fine`)
	x.Capture("real-overview")
	x.Keys("q")
	if status := x.Ended(); status != "0" {
		t.Errorf("exit status %s", status)
	}
	killScreen(t, d, x)
}

// killScreen kills the program at a random point of a deploy. The next screen must tell so, and recover bring every node back.
func killScreen(t *testing.T, d *deployment, x screen) {
	t.Helper()
	x.start()
	x.planDeploy(filepath.Join(d.dir, "src-1.5.5"))
	x.confirm()
	x.Until("a journal", func() bool {
		found, _ := filepath.Glob(filepath.Join(d.dir, "state/mosparoctl/e2e/*.journal"))
		return len(found) > 0
	})
	for range mathrand.IntN(100) {
		x.Screen() // takes a moment
	}
	if err := syscall.Kill(x.Program(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if status := x.Died(); status != "137" {
		t.Errorf("exit status %s", status)
	}
	x.start()
	x.Wait(`(?s)Something was broken off.*→ mosparoctl recover`)
	x.Capture("real-broken-off")
	x.Keys("Escape")
	x.Until("the notice to close", func() bool { return !strings.Contains(x.Screen(), "Something was broken off") })
	x.Keys("q")
	x.Ended()
	d.must("unlock", "--yes") // its holder is certainly gone
	if out := d.must("recover"); !strings.Contains(out, "taken back") {
		t.Errorf("recover: %s", out)
	}
	wantCurrent(t, d, "1.5.3")
}

// mendByKeys opens the failing check, does what its mend says, and asks the check again.
func mendByKeys(t *testing.T, d *deployment, x screen) {
	t.Helper()
	config := func(n *node) string {
		data, err := os.ReadFile(filepath.Join(n.root, "shared/config/env.mosparo.php"))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	if config(d.nodes[0]) == config(d.nodes[2]) {
		t.Fatal("the fault is not planted")
	}
	x.Keys("3", "/")
	x.Type("files-keys")
	x.Keys("Enter")
	x.Wait(`(?s)✗ FAIL files-keys.*app3.*Mend: mosparoctl sync`)
	x.Capture("real-check-fault")
	x.Keys("6", "Enter")
	plan := x.Wait(`env\.mosparo\.php`)
	for _, secret := range []string{strings.Repeat("ab", 32), strings.Repeat("ba", 32), d.mariadb.Pass, canary} {
		if strings.Contains(plan, secret) {
			t.Errorf("the plan shows a secret:\n%s", plan)
		}
	}
	x.Capture("real-sync-plan")
	x.confirm()
	x.Wait(`✓ done sync`)
	for _, n := range d.nodes[1:] {
		if config(n) != config(d.nodes[0]) {
			t.Errorf("%s: the configuration is not the admin node's", n.name)
		}
	}
	x.Keys("Escape") // alone: a key that follows at once would be Alt with that key
	x.Wait(`Runs that can be undone`)
	x.Keys("3", "t")
	x.Wait(`✓ ok files-keys`)
	x.Capture("real-check-mended")
}

// syncByKeys syncs a new file and takes that back.
func syncByKeys(t *testing.T, d *deployment, x screen) {
	t.Helper()
	resource := func(n *node) string { return filepath.Join(n.root, "shared/public/resources/b.css") }
	if err := os.WriteFile(resource(d.nodes[0]), []byte("b{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	sh(t, "chown", "www-data:www-data", resource(d.nodes[0]))
	newest := regexp.MustCompile(`▸ (20\S+)`)
	x.Keys("6")
	before := newest.FindString(x.Wait(newest.String()))
	x.Keys("Enter")
	x.Wait(`b\.css`)
	x.confirm()
	x.Wait(`✓ done sync`)
	for _, n := range d.nodes[1:] {
		if got, err := os.ReadFile(resource(n)); err != nil || string(got) != "b{}" {
			t.Errorf("%s: after sync: %q, %v", n.name, got, err)
		}
	}
	x.Keys("Escape")
	x.Until("the new run", func() bool {
		run := newest.FindString(x.Screen())
		return run != "" && run != before
	})
	x.Keys("u")
	x.Wait(`b\.css`)
	x.Capture("real-sync-undo")
	x.confirm()
	x.Wait(`✓ done undo sync`)
	for _, n := range d.nodes[1:] {
		if _, err := os.Stat(resource(n)); err == nil {
			t.Errorf("%s: the undone file is still there", n.name)
		}
	}
	if _, err := os.Stat(resource(d.nodes[0])); err != nil {
		t.Errorf("the undo took from the source: %v", err)
	}
}

// smallRelease writes a release of few files, one of which is large enough that its progress can be seen, since nothing compresses it.
func smallRelease(t testing.TB, d *deployment, version string) (dir string) {
	t.Helper()
	dir = filepath.Join(d.dir, "src-"+version)
	writeTree(t, dir, version, 50)
	large := make([]byte, 8<<20)
	_, _ = rand.Read(large)
	if err := os.WriteFile(filepath.Join(dir, "vendor/large.phar"), large, 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}
