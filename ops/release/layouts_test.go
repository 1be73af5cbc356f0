package release

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
)

func TestAdoptAndBack(t *testing.T) {
	l := newLab(t, t.TempDir(), 1)
	n := l.d.Nodes[0]
	root := n.Paths.Root
	if err := os.Rename(l.tree("1.5.3", 5), root); err != nil {
		t.Fatal(err)
	}
	n.Paths.Layout = inventory.LayoutInPlace
	l.install("1.5.3")
	l.write(filepath.Join(root, "var/cache/prod/App.php"), root)
	l.write(filepath.Join(root, "public/resources/x.css"), "css")
	l.write(filepath.Join(root, "var/data/geoip2/x.mmdb"), "geo")
	n.Paths.Layout = inventory.LayoutReleases
	before := listing(t, root)

	if _, err := l.plan(l.tree("1.5.4", 5), Options{}); err == nil || !strings.Contains(ops.HintOf(err), "adopt") {
		t.Fatalf("a deploy over an installation in place: %v", err)
	}
	adopt := func() {
		t.Helper()
		if err := l.apply(l.planAdopt()); err != nil {
			t.Fatal(err)
		}
	}
	adopt()
	l.mustBeOn("1.5.3")
	for p, want := range map[string]string{"public/resources/x.css": "css", "var/data/geoip2/x.mmdb": "geo", "public/index.php": "<?php // 1.5.3\n"} {
		if got := l.read(filepath.Join(n.InstallPath(), p)); got != want {
			t.Errorf("%s is %q", p, got)
		}
	}
	if got := l.read(filepath.Join(root, "public/index.php")); got != "<?php // 1.5.3\n" {
		t.Errorf("the old path of the web server serves %q", got)
	}

	if err := l.apply(l.planUnadopt()); err != nil {
		t.Fatal(err)
	}
	if after := listing(t, root); after != before {
		t.Errorf("adopt and back changed:\n%s\nto:\n%s", before, after)
	}

	adopt()
	l.now = l.now.Add(time.Hour)
	l.mustDeploy(l.tree("1.5.4", 5))
	l.mustBeOn("1.5.4")
}

// labInPlace makes a lab whose one node has an installation in place.
func labInPlace(t *testing.T) (*lab, *inventory.Node) {
	t.Helper()
	l := newLab(t, t.TempDir(), 1)
	n := l.d.Nodes[0]
	if err := os.Rename(l.tree("1.5.3", 2), n.Paths.Root); err != nil {
		t.Fatal(err)
	}
	return l, n
}

// planAdopt plans to adopt what lies on the first node.
func (l *lab) planAdopt() *Planned {
	l.t.Helper()
	m := l.manager()
	facts, err := m.Read(l.t.Context(), l.d.Nodes)
	if err != nil {
		l.t.Fatal(err)
	}
	src, err := m.OpenInstallation(l.t.Context(), l.d.Nodes[0])
	if err != nil {
		l.t.Fatal(err)
	}
	p, err := m.PlanAdopt(facts.Nodes[0], src, "")
	if err != nil {
		l.t.Fatal(err)
	}
	return p
}

// planUnadopt plans the way back.
func (l *lab) planUnadopt() *Planned {
	l.t.Helper()
	m := l.manager()
	facts, err := m.Read(l.t.Context(), l.d.Nodes)
	if err != nil {
		l.t.Fatal(err)
	}
	p, err := m.PlanUnadopt(facts.Nodes[0])
	if err != nil {
		l.t.Fatal(err)
	}
	return p
}

// breaksOff carries a plan out on nodes that are cut off at a call, and recovers. It is false if the end came before that call,
// which must be more than least calls away: else the fault was hardly ever in the way.
func (l *lab) breaksOff(p *Planned, at, least int) bool {
	l.t.Helper()
	l.broken(l.t, "cut", at)
	undoers := l.manager().Undoers()
	journal, err := ops.OpenJournal(l.dir+"/journals", p.Plan.Op)
	if err != nil {
		l.t.Fatal(err)
	}
	if _, err = ops.Apply(l.t.Context(), p.Plan, ops.ApplyOptions{Undoers: undoers, Journal: journal}); err == nil {
		if at < least {
			l.t.Errorf("only %d calls: the fault was hardly ever in the way", at)
		}
		return false
	}
	l.wrap = nil
	if _, err := ops.Recover(l.t.Context(), l.dir+"/journals", undoers, nil); err != nil {
		l.t.Fatalf("call %d: %v", at, err)
	}
	return true
}

// An adoption that breaks off anywhere is taken back by the same run or by the next.
func TestAdoptionBrokenAnywhere(t *testing.T) {
	for at := 1; ; at += 5 {
		l, n := labInPlace(t)
		before := listing(t, n.Paths.Root)
		if !l.breaksOff(l.planAdopt(), at, 40) {
			return
		}
		if after := listing(t, n.Paths.Root); after != before {
			t.Fatalf("broken at call %d, taken back, and changed:\n%s\nto:\n%s", at, before, after)
		}
	}
}

// The way back from an adoption that breaks off anywhere is gone to its end by the same run or by the next, or was not begun.
func TestUnadoptionBrokenAnywhere(t *testing.T) {
	for at := 1; ; at += 5 {
		l, n := labInPlace(t)
		l.write(filepath.Join(n.Paths.Root, "var/data/data.sqlite"), "all there is")
		before := listing(t, n.Paths.Root)
		if err := l.apply(l.planAdopt()); err != nil {
			t.Fatal(err)
		}
		adopted := listing(t, n.Paths.Root)
		if !l.breaksOff(l.planUnadopt(), at, 20) {
			return
		}
		if after := listing(t, n.Paths.Root); after != before && after != adopted {
			t.Fatalf("broken at call %d, recovered, and neither in place nor adopted:\n%s", at, after)
		}
	}
}

// listing is a tree as text, without what belongs to mosparoctl and the compiled cache.
func listing(t *testing.T, root string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(root, func(p string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel := strings.TrimPrefix(p, root)
		if rel == "/"+inventory.ManageDir || rel == "/var/cache" || rel == "/var/log" {
			return filepath.SkipDir
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		b.WriteString(info.Mode().String() + " " + rel + "\n")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestInPlace(t *testing.T) {
	l := newLab(t, t.TempDir(), 2)
	for _, n := range l.d.Nodes {
		n.Paths.Layout = inventory.LayoutInPlace
	}
	l.install("1.5.3")
	l.mustDeploy(l.tree("1.5.3", 5))
	n := l.d.Nodes[1]
	for p, content := range map[string]string{"public/robots.txt": "mine", "public/resources/x.css": "css", ".htaccess": "mine", "src/Stale.php": "<?php"} {
		l.write(filepath.Join(n.Paths.Root, p), content)
	}
	if p := l.mustDeploy(l.tree("1.5.3", 5)); !p.Plan.Empty() {
		t.Errorf("second deploy:\n%s", l.text(p))
	}
	l.now = l.now.Add(time.Hour)
	l.mustDeploy(l.tree("1.5.4", 5))
	for _, n := range l.d.Nodes {
		if code, config := l.versions(n.Name); code != "1.5.4" || config != "1.5.4" {
			t.Errorf("%s: %s %s", n.Name, code, config)
		}
		if s := l.rotation.state(n.Name); s != "ready" {
			t.Errorf("%s is %s", n.Name, s)
		}
		l.mustBeClean(n)
	}
	for p, want := range map[string]string{"public/robots.txt": "mine", "public/resources/x.css": "css", ".htaccess": "mine", "src/Stale.php": ""} {
		if got := l.read(filepath.Join(n.Paths.Root, p)); got != want {
			t.Errorf("%s is %q, want %q", p, got, want)
		}
	}
}

// A node whose code is a mixture stays out of rotation until a run has ended.
func TestInPlaceBrokenOff(t *testing.T) {
	l := newLab(t, t.TempDir(), 2)
	for _, n := range l.d.Nodes {
		n.Paths.Layout = inventory.LayoutInPlace
	}
	l.install("1.5.3")
	l.mustDeploy(l.tree("1.5.3", 5))
	l.now = l.now.Add(time.Hour)
	f := l.broken(t, "", 0)
	if _, err := l.plan(l.tree("1.5.4", 5), Options{}); err != nil {
		t.Fatal(err)
	}
	l.broken(t, "full", f.calls+25)
	err := l.run(l.tree("1.5.4", 5), "broken", nil)
	l.wrap = nil
	if err == nil || l.rotation.state("app1") != "drain" || l.rotation.state("app2") != "ready" {
		t.Fatalf("%v; app1 %s, app2 %s", err, l.rotation.state("app1"), l.rotation.state("app2"))
	}
	l.mustDeploy(l.tree("1.5.4", 5))
	for _, n := range l.d.Nodes {
		if code, config := l.versions(n.Name); code != "1.5.4" || config != "1.5.4" || l.rotation.state(n.Name) != "ready" {
			t.Errorf("%s: %s %s %s", n.Name, code, config, l.rotation.state(n.Name))
		}
	}
}

// After mosparo's own updater ran on the admin node, its installation is the source.
func TestFromNode(t *testing.T) {
	l := newLab(t, t.TempDir(), 2)
	l.install("1.5.3")
	l.mustDeploy(l.tree("1.5.3", 5))
	admin := l.d.Nodes[0]
	// The updater replaces files in the active release and finishes the configuration.
	kernel := filepath.Join(admin.InstallPath(), kernelFile)
	text := strings.ReplaceAll(l.read(kernel), "1.5.3", "1.5.4")
	if err := os.Remove(kernel); err != nil {
		t.Fatal(err)
	}
	l.write(kernel, text)
	config := strings.ReplaceAll(l.read(configPath(admin)), "'1.5.3'", "'1.5.4'")
	l.write(configPath(admin), config)
	l.now = l.now.Add(time.Hour)

	m := l.manager()
	src, err := m.OpenSource(t.Context(), SourceSpec{FromNode: "app1"})
	if err != nil {
		t.Fatal(err)
	}
	facts, err := m.Read(t.Context(), l.d.Nodes)
	if err != nil {
		t.Fatal(err)
	}
	p, err := m.PlanDeploy(facts, src, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.apply(p); err != nil {
		t.Fatal(err)
	}
	l.mustBeOn("1.5.4")
	if a, b := l.current("app1"), l.current("app2"); a != b {
		t.Errorf("app1 is on %s, app2 on %s", a, b)
	}
}
