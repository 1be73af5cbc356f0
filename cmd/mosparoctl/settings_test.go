package main

import (
	"os/exec"
	"testing"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/store"
	"github.com/mosparoctl/mosparoctl/protection/widget"
)

// Every command that makes or changes a design leaves its hash, by which PHP nodes find the style sheet.
func TestDesignHashIsKept(t *testing.T) {
	dir := t.TempDir()
	hash := func() string {
		t.Helper()
		var stored protection.Settings
		err := (&coreOptions{dataDir: dir}).withStore(t.Context(), "look", func(s *store.Store) error {
			p, err := s.ProjectByID(t.Context(), 1)
			if err == nil {
				stored = p.Settings
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		got := stored.Text("designConfigHash", "")
		if got == "" || got != widget.NewDesign(stored).Hash() {
			t.Errorf("hash %q is stored with %v", got, stored)
		}
		return got
	}
	run := func(args ...string) {
		t.Helper()
		if out, err := exec.CommandContext(t.Context(), "mosparoctl", append(args, "--data-dir", dir)...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	run("project", "create", "Form")
	first := hash()
	run("design", "Form", "boxSize=large")
	if hash() == first {
		t.Error("another design has the same hash")
	}
	run("design", "Form", "boxSize=")
	if hash() != first {
		t.Error("the first design has another hash again")
	}
}
