package release

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mosparoctl/mosparoctl/internal/lab/server"
	"github.com/mosparoctl/mosparoctl/ops"
)

func TestPlanFile(t *testing.T) {
	l := newLab(t, t.TempDir(), 2)
	l.install("1.5.3")
	l.mustDeploy(l.tree("1.5.3", 3))
	p, err := l.plan(l.tree("1.5.4", 3), Options{})
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "plan.json")
	spec := SourceSpec{Path: l.tree("1.5.4", 3)}
	if err := l.manager().NewPlanFile(p, spec, Options{}).Write(name); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(raw, []byte("s3cret-canary")) {
		t.Error("the plan file holds a secret")
	}
	replan := func() (*Planned, error) {
		t.Helper()
		f, err := ReadPlanFile(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		m := l.manager()
		facts, err := m.Read(t.Context(), l.d.Nodes)
		if err != nil {
			t.Fatal(err)
		}
		src, err := m.OpenSource(t.Context(), f.Source)
		if err != nil {
			t.Fatal(err)
		}
		return m.Replan(f, facts, src)
	}
	l.now = l.now.Add(3 * time.Hour)
	if p, err = replan(); err != nil {
		t.Fatalf("an hour later: %v", err)
	}

	config := configPath(l.d.Nodes[1])
	before := l.read(config)
	l.write(config, before+"\n")
	_, err = replan()
	wantStale(t, err, "app2", config)
	l.write(config, before)

	l.write(filepath.Join(spec.Path, "src/New.php"), "<?php")
	_, err = replan()
	wantStale(t, err, "source")
	if err := os.Remove(filepath.Join(spec.Path, "src/New.php")); err != nil {
		t.Fatal(err)
	}

	if err := l.apply(p); err != nil {
		t.Fatal(err)
	}
	l.mustBeOn("1.5.4")
	_, err = replan()
	wantStale(t, err, "app1", l.d.Nodes[0].InstallPath())

	damaged := bytes.Replace(raw, []byte("activate"), []byte("destroy!"), 1)
	if _, err := ReadPlanFile(bytes.NewReader(damaged)); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("a damaged file: %v", err)
	}
}

func wantStale(t *testing.T, err error, parts ...string) {
	t.Helper()
	if ops.CodeOf(err) != ops.CodeLocked {
		t.Fatalf("got %v, want a stale plan", err)
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("%q does not name %s", err, p)
		}
	}
}

func FuzzReadPlanFile(f *testing.F) {
	f.Add([]byte(`{"version":1,"plan":{"op":"deploy"},"digest":"x"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if p, err := ReadPlanFile(bytes.NewReader(raw)); err == nil && p.Digest != p.Plan.Digest() {
			t.Fatal("took a file that does not match its digest")
		}
	})
}

func TestPreview(t *testing.T) {
	l := newLab(t, t.TempDir(), 2)
	l.install("1.5.3")
	old := l.tree("1.5.3", 3)
	l.write(filepath.Join(old, ".env"), "APP_ENV=prod\nAPP_SECRET=canary-1\nREDIS_URL=redis://u:canary-2@h\n")
	l.write(filepath.Join(old, "src/Gone.php"), "<?php")
	l.mustDeploy(old)
	next := l.tree("1.5.4", 3)
	l.write(filepath.Join(next, ".env"), "APP_ENV=prod\nAPP_SECRET=canary-3\nREDIS_URL=redis://u:canary-4@h\nNEW=1\n")
	l.write(filepath.Join(next, "src/New.php"), "<?php")
	l.write(filepath.Join(next, "public/build/x.bin"), "\x00\x01")
	facts, err := l.manager().Read(t.Context(), l.d.Nodes)
	if err != nil {
		t.Fatal(err)
	}
	list, err := l.manager().Preview(t.Context(), facts, l.open(next))
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 1 || strings.Join(list[0].Nodes, " ") != "app1 app2" {
		t.Fatalf("%+v", list)
	}
	p := list[0]
	if got := strings.Join(p.Removed, " "); got != "migrations/mysql/Version153.php src/Gone.php" {
		t.Errorf("removed %s", got)
	}
	if got := strings.Join(p.Added, " "); got != "migrations/mysql/Version154.php public/build/x.bin src/New.php" {
		t.Errorf("added %s", got)
	}
	for _, want := range []string{"-    const VERSION = '1.5.3';", "+    const VERSION = '1.5.4';", "+NEW=1", "--- a/.env"} {
		if !strings.Contains(p.Diff, want) {
			t.Errorf("the diff lacks %q:\n%s", want, p.Diff)
		}
	}
	if strings.Contains(p.Diff, "canary") {
		t.Errorf("the diff shows a secret:\n%s", p.Diff)
	}
}

// TestUnifiedIsWhatPatchTakes has patch(1) turn one text into the other.
func TestUnifiedIsWhatPatchTakes(t *testing.T) {
	server.Binary(t, "patch")
	long := strings.Repeat("same\n", 20)
	for name, c := range map[string][2]string{
		"change": {"a\nb\nc\n", "a\nB\nc\n"}, "add at end": {"a\n", "a\nb\n"}, "remove first": {"a\nb\n", "b\n"},
		"two hunks": {"x\n" + long + "y\n", "X\n" + long + "Y\n"}, "near": {"x\na\na\ny\n", "X\na\na\nY\n"},
		"no newline": {"a\nb", "a\nb\n"}, "all": {"a\nb\n", "c\nd\ne\n"}, "swap": {"a\nb\nc\nd\n", "c\nd\na\nb\n"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "f")
			if err := os.WriteFile(file, []byte(c[0]), 0o644); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("patch", "-p1", "--posix")
			d := unified("f", c[0], c[1])
			cmd.Dir, cmd.Stdin = dir, strings.NewReader(d)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s\n%s", err, out, d)
			}
			if got, _ := os.ReadFile(file); string(got) != c[1] {
				t.Errorf("patched to %q, want %q with\n%s", got, c[1], d)
			}
		})
	}
}
