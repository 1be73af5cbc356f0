package release

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/exp/golden"

	"github.com/mosparoctl/mosparoctl/ops"
)

func TestDeployThreeNodes(t *testing.T) {
	l := newLab(t, t.TempDir(), 3)
	l.install("1.5.3")
	old := l.tree("1.5.3", 20)
	l.mustDeploy(old)
	l.mustBeOn("1.5.3")
	l.now = l.now.Add(time.Hour)
	l.rotation.log = nil

	next := l.tree("1.5.4", 20)
	p, err := l.plan(next, Options{})
	if err != nil {
		t.Fatal(err)
	}
	golden.RequireEqual(t, []byte(l.text(p)))
	if err := l.apply(p); err != nil {
		t.Fatal(err)
	}
	l.mustBeOn("1.5.4")
	if got, want := strings.Join(l.rotation.log, ", "), "drain app1, ready app1, drain app2, ready app2, drain app3, ready app3"; got != want {
		t.Errorf("balancer saw %s, want %s", got, want)
	}
	var migrations []string
	for _, line := range l.phpLog() {
		if strings.Contains(line, "migrations:migrate") && strings.HasPrefix(line, p.Release.ID) {
			migrations = append(migrations, line)
		}
	}
	if len(migrations) != 1 {
		t.Errorf("migrations ran %d times: %q", len(migrations), migrations)
	}
	for _, n := range l.d.Nodes {
		a, _ := os.Stat(filepath.Join(releasePath(n, l.current("app1")), "vendor/p1/f1.php"))
		before, _ := os.Stat(filepath.Join(n.Paths.Root, "releases", l.read0(n.ManagePath(previousName)), "vendor/p1/f1.php"))
		if !os.SameFile(a, before) {
			t.Errorf("%s: an unchanged file was sent again", n.Name)
		}
	}
}

func (l *lab) read0(name string) string { return strings.TrimSpace(l.read(name)) }

func TestSecondDeployChangesNothing(t *testing.T) {
	l := newLab(t, t.TempDir(), 2)
	l.install("1.5.3")
	l.mustDeploy(l.tree("1.5.4", 5))
	l.now = l.now.Add(24 * time.Hour)
	// The same content, checked out anew: other times.
	if err := os.Chtimes(filepath.Join(l.tree("1.5.4", 5), ".env"), l.now, l.now); err != nil {
		t.Fatal(err)
	}
	p := l.mustDeploy(l.tree("1.5.4", 5))
	if !p.Plan.Empty() || len(p.Notes) > 0 {
		t.Errorf("the second deploy has a plan:\n%s", l.text(p))
	}
}

// firstDeploys puts a release on two empty nodes, has the wizard run on the admin node, and deploys again. It returns the first plan.
func (l *lab) firstDeploys() *Planned {
	l.t.Helper()
	first := l.mustDeploy(l.tree("1.5.4", 5))
	if a, b := l.rotation.state("app1"), l.rotation.state("app2"); a != "ready" || b != "drain" {
		l.t.Fatal(a, b)
	}
	if p := l.mustDeploy(l.tree("1.5.4", 5)); !p.Plan.Empty() {
		l.t.Errorf("second deploy:\n%s", l.text(p))
	}
	l.install("1.5.4")
	if err := os.Remove(configPath(l.d.Nodes[1])); err != nil {
		l.t.Fatal(err)
	}
	l.mustDeploy(l.tree("1.5.4", 5))
	l.mustBeOn("1.5.4")
	return first
}

func TestFirstDeployKeepsVisitorsAwayFromTheInstaller(t *testing.T) {
	l := newLab(t, t.TempDir(), 2)
	golden.RequireEqual(t, []byte(l.text(l.firstDeploys())))
	if l.read(configPath(l.d.Nodes[1])) != l.read(configPath(l.d.Nodes[0])) {
		t.Error("the configuration was not copied")
	}
}

// A balancer that asks for mosparo's health takes no node before the wizard has run, and the only one after it must not be drained.
func TestFirstDeployBehindABalancerThatChecks(t *testing.T) {
	l := newLab(t, t.TempDir(), 2)
	l.rotation.strict = true
	l.firstDeploys()
	if got := l.rotation.log[2:]; slices.Contains(got, "drain app1") {
		t.Errorf("the only node that serves was drained: %v", got)
	}
	l.mustDeploy(l.tree("1.5.5", 5)) // and the next one goes node by node
	l.mustBeOn("1.5.5")
}

// A node that an operator has drained stays so, and the plan says that.
func TestDrainedNodeStaysOut(t *testing.T) {
	l := newLab(t, t.TempDir(), 2)
	l.install("1.5.3")
	l.rotation.set("app2", "drain")
	p := l.mustDeploy(l.tree("1.5.4", 5))
	if s := l.rotation.state("app2"); s != "drain" {
		t.Errorf("app2 is %s after the deploy", s)
	}
	for _, w := range p.Plan.Waves {
		for _, s := range w.Steps {
			if s.Node == "app2" && strings.Contains(s.Title, "take out of rotation") || s.ID == "app2/ready" && !strings.Contains(s.Title, "leave it out") {
				t.Errorf("the plan says of %s: %s", s.ID, s.Title)
			}
		}
	}
}

// What is wrong with the balancer itself is not put up with before the wizard either.
func TestFirstDeployFailsWithTheBalancer(t *testing.T) {
	l := newLab(t, t.TempDir(), 2)
	l.rotation.broken = true
	if _, err := l.deploy(l.tree("1.5.4", 5)); err == nil || !strings.Contains(err.Error(), "took the order and says drain") {
		t.Errorf("deploy behind a balancer that takes no node back: %v", err)
	}
}

// The configuration has one time everywhere: sync compares times.
func TestConfigurationKeepsTheTimeOfTheLead(t *testing.T) {
	l := newLab(t, t.TempDir(), 3)
	l.install("1.5.3")
	l.mustDeploy(l.tree("1.5.4", 5))
	var times []time.Time
	for _, n := range l.d.Nodes {
		st, err := os.Stat(configPath(n))
		if err != nil {
			t.Fatal(err)
		}
		times = append(times, st.ModTime())
	}
	if !times[1].Equal(times[0]) || !times[2].Equal(times[0]) {
		t.Errorf("written at %v", times)
	}
}

func TestSickNodeStopsTheDeploy(t *testing.T) {
	l := newLab(t, t.TempDir(), 3)
	l.install("1.5.3")
	l.mustDeploy(l.tree("1.5.3", 5))
	l.now = l.now.Add(time.Hour)
	l.gate.sick["app2"] = true
	_, err := l.deploy(l.tree("1.5.4", 5))
	if ops.CodeOf(err) != ops.CodePartial || !strings.Contains(err.Error(), "app2") || ops.HintOf(err) == "" {
		t.Fatalf("got %v", err)
	}
	for node, want := range map[string]string{"app1": "1.5.4", "app2": "1.5.3", "app3": "1.5.3"} {
		if code, config := l.versions(node); code != want || config != want {
			t.Errorf("%s: code %s, configuration %s, want %s", node, code, config, want)
		}
		if s := l.rotation.state(node); s != "ready" {
			t.Errorf("%s is %s", node, s)
		}
	}
	l.gate.sick["app2"] = false
	l.mustDeploy(l.tree("1.5.4", 5))
	l.mustBeOn("1.5.4")
}

func TestFailedMigrationLeavesTheOldRelease(t *testing.T) {
	l := newLab(t, t.TempDir(), 2)
	l.install("1.5.3")
	l.mustDeploy(l.tree("1.5.3", 5))
	l.d.Release.Warm = false
	l.write(filepath.Join(l.dir, "php.fails"), "")
	_, err := l.deploy(l.tree("1.5.4", 5))
	if err == nil || !strings.Contains(err.Error(), "app1") || !strings.Contains(err.Error(), "migrate") {
		t.Fatalf("got %v", err)
	}
	l.mustBeOn("1.5.3")
	if err := os.Remove(filepath.Join(l.dir, "php.fails")); err != nil {
		t.Fatal(err)
	}
	l.mustDeploy(l.tree("1.5.4", 5))
	l.mustBeOn("1.5.4")
}

func TestRollback(t *testing.T) {
	l := newLab(t, t.TempDir(), 2)
	l.install("1.5.3")
	l.mustDeploy(l.tree("1.5.3", 5))
	l.now = l.now.Add(time.Hour)
	l.mustDeploy(l.tree("1.5.4", 5))
	ran := len(l.phpLog())
	m := l.manager()
	facts, err := m.Read(t.Context(), l.d.Nodes)
	if err != nil {
		t.Fatal(err)
	}
	p, err := m.PlanRollback(facts, Options{})
	if err != nil {
		t.Fatal(err)
	}
	golden.RequireEqual(t, []byte(l.text(p)))
	if err := l.apply(p); err != nil {
		t.Fatal(err)
	}
	l.mustBeOn("1.5.3")
	for _, line := range l.phpLog()[ran:] {
		if strings.Contains(line, "migrate") {
			t.Errorf("rollback ran %q", line)
		}
	}
	if facts, err = m.Read(t.Context(), l.d.Nodes); err != nil {
		t.Fatal(err)
	}
	if p, err = m.PlanRollback(facts, Options{ID: p.Release.ID}); err != nil || !p.Plan.Empty() {
		t.Errorf("second rollback: %v\n%s", err, l.text(p))
	}
	// A release that somebody has touched is refused.
	touched := filepath.Join(releasePath(l.d.Nodes[1], facts.Nodes[0].Previous), "vendor/autoload.php")
	if err := os.Remove(touched); err != nil { // in place, it would change the active release too: they are one file
		t.Fatal(err)
	}
	l.write(touched, "<?php evil();")
	if p, err = m.PlanRollback(facts, Options{}); err != nil {
		t.Fatal(err)
	}
	if err := l.apply(p); err == nil || !strings.Contains(err.Error(), "vendor/autoload.php") {
		t.Errorf("got %v, want the changed file named", err)
	}
	l.mustBeOn("1.5.3")
	// A deploy has the content at hand and repairs it.
	if p := l.mustDeploy(l.tree("1.5.4", 5)); p.Release.ID != facts.Nodes[0].Previous {
		t.Errorf("deployed as %s, want the stored release", p.Release.ID)
	}
	l.mustBeOn("1.5.4")
}

func TestPruneKeepsActiveAndPrevious(t *testing.T) {
	l := newLab(t, t.TempDir(), 1)
	l.d.Release.Keep = 2
	for _, v := range []string{"1.5.1", "1.5.2", "1.5.3", "1.5.4"} {
		l.mustDeploy(l.tree(v, 3))
		l.now = l.now.Add(time.Hour)
	}
	facts, err := l.manager().Read(t.Context(), l.d.Nodes)
	if err != nil {
		t.Fatal(err)
	}
	var versions []string
	for _, r := range facts.Nodes[0].Releases {
		versions = append(versions, r.Version)
	}
	if !slices.Equal(versions, []string{"1.5.4", "1.5.3"}) {
		t.Errorf("kept %v", versions)
	}
	for _, o := range []PruneOptions{{Keep: 1}, {Release: facts.Nodes[0].Current}} {
		p, err := l.manager().PlanPrune(facts, o)
		if err == nil && !p.Plan.Empty() {
			t.Errorf("prune %+v would remove:\n%s", o, l.text(p))
		}
	}
}

func TestAnotherSharedPathIsAnotherRelease(t *testing.T) {
	l := newLab(t, t.TempDir(), 1)
	first := l.mustDeploy(l.tree("1.5.4", 3)).Release.ID
	l.now = l.now.Add(time.Hour)
	l.d.Release.Shared = []string{"public/uploads"}
	src, err := l.manager().OpenSource(t.Context(), SourceSpec{Path: l.tree("1.5.4", 3)})
	if err != nil {
		t.Fatal(err)
	}
	facts, err := l.manager().Read(t.Context(), l.d.Nodes)
	if err != nil {
		t.Fatal(err)
	}
	p, err := l.manager().PlanDeploy(facts, src, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.apply(p); err != nil {
		t.Fatal(err)
	}
	if p.Release.ID == first {
		t.Error("the release without the link is kept")
	}
	link := filepath.Join(l.d.Nodes[0].InstallPath(), "public/uploads")
	if target, err := os.Readlink(link); err != nil || target != "../../../shared/public/uploads" {
		t.Errorf("%s leads to %q, %v", link, target, err)
	}
	if st, err := os.Stat(link); err != nil || !st.IsDir() {
		t.Error(err)
	}
}

func TestDowngradeIsRefused(t *testing.T) {
	l := newLab(t, t.TempDir(), 1)
	l.install("1.5.4")
	_, err := l.plan(l.tree("1.5.3", 3), Options{})
	if ops.CodeOf(err) != ops.CodeUsage || !strings.Contains(ops.HintOf(err), "rollback") {
		t.Fatalf("got %v", err)
	}
	p, err := l.plan(l.tree("1.5.3", 3), Options{Downgrade: true})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(l.text(p), "migrate the database") {
		t.Error("a downgrade migrates")
	}
}

func TestOtherNodesWaitForTheAdminNode(t *testing.T) {
	l := newLab(t, t.TempDir(), 2)
	l.install("1.5.3")
	_, err := l.plan(l.tree("1.5.4", 3), Options{Nodes: []string{"app2"}})
	if ops.CodeOf(err) != ops.CodeUsage || !strings.Contains(err.Error(), "app1") {
		t.Fatalf("got %v", err)
	}
	p, err := l.plan(l.tree("1.5.4", 3), Options{Nodes: []string{"app1"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.apply(p); err != nil {
		t.Fatal(err)
	}
	if p, err = l.plan(l.tree("1.5.4", 3), Options{Nodes: []string{"app2"}}); err != nil {
		t.Fatal(err)
	}
	if err := l.apply(p); err != nil {
		t.Fatal(err)
	}
	l.mustBeOn("1.5.4")
}

func TestHooks(t *testing.T) {
	l := newLab(t, t.TempDir(), 2)
	log := filepath.Join(l.dir, "hooks.log")
	hook := func(name string) [][]string {
		return [][]string{{"sh", "-c", `echo "` + name + ` $MOSPAROCTL_NODE $MOSPAROCTL_VERSION $(basename $PWD | cut -c1-5)" >>` + log}}
	}
	l.d.Release.Before.Node, l.d.Release.After.Node = hook("before-node"), hook("after-node")
	l.d.Release.Before.Deploy, l.d.Release.After.Deploy = hook("before-deploy"), hook("after-deploy")
	l.mustDeploy(l.tree("1.5.4", 3))
	want := "before-deploy app1 1.5.4 1.5.4\nbefore-node app1 1.5.4 1.5.4\nafter-node app1 1.5.4 1.5.4\n" +
		"before-node app2 1.5.4 1.5.4\nafter-node app2 1.5.4 1.5.4\nafter-deploy app1 1.5.4 1.5.4\n"
	if got := l.read(log); got != want {
		t.Errorf("hooks ran:\n%s\nwant:\n%s", got, want)
	}
}

func TestCorruptedLinkSourceIsSentAgain(t *testing.T) {
	l := newLab(t, t.TempDir(), 1)
	p := l.mustDeploy(l.tree("1.5.3", 10))
	l.now = l.now.Add(time.Hour)
	l.write(filepath.Join(releasePath(l.d.Nodes[0], p.Release.ID), "vendor/p1/f1.php"), "rotten")
	l.mustDeploy(l.tree("1.5.4", 10))
	l.mustBeOn("1.5.4")
}

// A stored release that holds data where its links should be is not repaired by deleting the data.
func TestRepairSparesData(t *testing.T) {
	for _, data := range []string{"var/data/data.sqlite", "config/env.mosparo.php"} {
		l := newLab(t, t.TempDir(), 1)
		old := l.tree("1.5.3", 5)
		l.mustDeploy(old)
		first := l.current(l.d.Nodes[0].Name)
		l.now = l.now.Add(time.Hour)
		l.mustDeploy(l.tree("1.5.4", 5))
		name := filepath.Join(releasePath(l.d.Nodes[0], first), data)
		link := name
		if strings.HasPrefix(data, "var/data/") {
			link = filepath.Dir(name)
		}
		if err := os.Remove(link); err != nil {
			t.Fatal(err)
		}
		l.write(name, "all there is")
		p, err := l.plan(old, Options{Downgrade: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := l.apply(p); err == nil || !strings.Contains(err.Error(), data) || !strings.Contains(ops.HintOf(err), "move it to") {
			t.Errorf("%s: %v", data, err)
		}
		if got := l.read(name); got != "all there is" {
			t.Errorf("%s is %q", data, got)
		}
	}
}
