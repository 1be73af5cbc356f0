package filesync_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/filesync"
	"github.com/mosparoctl/mosparoctl/ops/filesync/filesynctest"
)

func TestSyncReportsChangesBehindOurBack(t *testing.T) {
	c := newCluster(t, "app1")
	c.write("app1", "var/data/geoip2/a.mmdb", "older") // before the first sync nothing is known
	if w := c.mustSync(); len(w) != 0 {
		t.Errorf("warnings of the first sync = %v", w)
	}
	c.write("admin", "var/data/geoip2/a.mmdb", "newer")
	if w := c.mustSync(); len(w) != 0 {
		t.Errorf("warnings though nobody else changed anything = %v", w)
	}
	c.write("app1", "var/data/geoip2/a.mmdb", "edited by hand")
	w := c.mustSync()
	if len(w) != 1 || w[0].Node != "app1" || !strings.Contains(w[0].Message, "a.mmdb was changed there since the last sync") {
		t.Errorf("warnings = %v", w)
	}
	c.want("app1", with(synced(), "var/data/geoip2/a.mmdb", "newer"))
	kept, err := os.ReadFile(c.opts.Deployment.Node("app1").ManagePath(fmt.Sprintf("trash/run%d/files/var/data/geoip2/a.mmdb", c.runs)))
	if err != nil || string(kept) != "edited by hand" {
		t.Errorf("in the trash: %q, %v", kept, err)
	}
}

// What we put there stays ours, also through runs that leave it out or don't delete it.
func TestSyncKnowsItsOwnFilesThroughPartialRuns(t *testing.T) {
	c := newCluster(t, "app1")
	c.mustSync()
	c.opts.Exclude = []string{"geoip2/"}
	c.mustSync()
	c.opts.Exclude = nil
	c.write("admin", "var/data/geoip2/a.mmdb", "newer")
	c.remove("admin", "public/resources/u/1.css")
	c.write("admin", "public/resources/u/2.css", "2")
	if w := c.mustSync(); len(w) != 0 {
		t.Errorf("warnings = %v", w)
	}
	c.opts.Delete = true
	if w := c.mustSync(); len(w) != 0 {
		t.Errorf("warnings of the deletion = %v", w)
	}
	c.want("app1", without(with(synced(), "var/data/geoip2/a.mmdb", "newer", "public/resources/u/2.css", "2"), "public/resources/u/1.css"))
	c.wantIdle()
}

// A run that was killed had written some files: the next one doesn't take them for somebody else's.
func TestSyncKnowsItsOwnFilesOfAKilledRun(t *testing.T) {
	c := newCluster(t, "app1")
	c.mustSync()
	c.write("admin", "var/data/geoip2/a.mmdb", "second")
	p, _, err := c.plan()
	must(t, err)
	steps := p.Waves[0].Steps
	if len(steps) != 3 {
		t.Fatalf("the plan has changed:\n%s", planText(p))
	}
	p.Waves[0].Steps = steps[:2] // killed before it could write down what it did
	_, err = filesync.Apply(t.Context(), p, ops.ApplyOptions{})
	must(t, err)
	if s := filesync.ReadStatus(t.Context(), c.opts); !s[1].Unfinished {
		t.Errorf("status = %+v", s[1])
	}
	c.write("admin", "var/data/geoip2/a.mmdb", "the third version")
	if w := c.mustSync(); len(w) != 0 {
		t.Errorf("warnings = %v", w)
	}
	if s := filesync.ReadStatus(t.Context(), c.opts); s[1].Unfinished {
		t.Errorf("status = %+v", s[1])
	}
}

func TestSyncUndo(t *testing.T) {
	c := newCluster(t, "app1", "app2")
	c.mustSync()
	before := filesynctest.Snapshot(t, c.path("app1", ""))
	c.opts.Delete, c.opts.MaxDelete = true, "100%"
	c.write("admin", "config/env.mosparo.php", strings.Replace(env, "1", "22", 1))
	c.write("admin", "var/data/new/deep/x", "x")
	c.write("admin", "var/data/new/changed", "x")
	c.remove("admin", "public/resources/u")
	c.remove("admin", "var/data/geoip2/a.mmdb")
	c.write("admin", "var/data/geoip2/a.mmdb/now/a/folder", "x")
	c.remove("admin", "var/data/import")
	c.write("admin", "var/data/import", "now a file")
	c.remove("admin", "var/data/link")
	must(t, os.Symlink("elsewhere", c.path("admin", "var/data/link")))
	must(t, os.Chmod(c.path("admin", "public/resources/mappings.php"), 0o600))
	c.mustSync()
	after := filesynctest.Snapshot(t, c.path("app1", ""))
	if d := cmp.Diff(before, after); d == "" {
		t.Fatal("nothing was changed")
	}
	c.write("app1", "var/data/new/changed", "changed since")
	run := fmt.Sprintf("run%d", c.runs)

	f, err := filesync.GatherUndo(t.Context(), c.opts, "")
	must(t, err)
	if f.Run != run || len(f.Targets) != 2 {
		t.Fatalf("run %s on %d nodes, want %s", f.Run, len(f.Targets), run)
	}
	p, warnings, err := filesync.PlanUndo(f, c.opts)
	must(t, err)
	_, err = filesync.Apply(t.Context(), p, ops.ApplyOptions{})
	must(t, err)
	c.want("app2", before)
	c.want("app1", with(before, "var/data/new/changed", "changed since"))
	if len(warnings) != 1 || !strings.Contains(warnings[0].Message, "var/data/new/changed was changed since, and stays") {
		t.Errorf("warnings = %v", warnings)
	}
	if st, err := os.Stat(c.path("app2", "public/resources/mappings.php")); err != nil || st.Mode().Perm() != 0o644 {
		t.Errorf("mode was not restored: %v, %v", st, err)
	}
	// The undo can be undone, by name.
	status := filesync.ReadStatus(t.Context(), c.opts)
	last := status[len(status)-1]
	if last.Node != "app2" || last.Err != nil || len(last.Generations) != 2 || !strings.HasSuffix(last.Generations[0], "-undo") || last.Unfinished {
		t.Fatalf("status = %+v", status)
	}
	f, err = filesync.GatherUndo(t.Context(), c.opts, last.Generations[0])
	must(t, err)
	p, _, err = filesync.PlanUndo(f, c.opts)
	must(t, err)
	_, err = filesync.Apply(t.Context(), p, ops.ApplyOptions{})
	must(t, err)
	c.want("app2", after)
	// And the next sync finds nobody else's changes where there are none.
	if w := c.mustSync(); len(w) != 0 {
		t.Errorf("warnings of the next sync = %v", w)
	}
}

func TestSyncUndoOfNothing(t *testing.T) {
	c := newCluster(t, "app1")
	if _, err := filesync.GatherUndo(t.Context(), c.opts, ""); err == nil || ops.HintOf(err) == "" {
		t.Errorf("error = %v", err)
	}
	for _, run := range []string{"../../etc", "a/b", ".."} {
		if _, err := filesync.GatherUndo(t.Context(), c.opts, run); ops.CodeOf(err) != ops.CodeUsage {
			t.Errorf("run %q: %v", run, err)
		}
	}
}

func TestSyncKeepsSoManyGenerations(t *testing.T) {
	c := newCluster(t, "app1")
	c.opts.Deployment.Sync.Trash = 3
	for i := range 6 {
		c.write("admin", "var/data/n", strings.Repeat("x", i+1))
		c.mustSync()
	}
	status := filesync.ReadStatus(t.Context(), c.opts)
	if got := status[1].Generations; !slices.Equal(got, []string{"run4", "run5", "run6"}) {
		t.Errorf("generations = %v", got)
	}
}

// What a node keeps for us may be damaged or planted: it leads to no crash and to nowhere outside.
func TestSyncHostileRecords(t *testing.T) {
	c := newCluster(t, "app1")
	c.mustSync()
	n := c.opts.Deployment.Node("app1")
	must(t, os.WriteFile(n.ManagePath("sync/state"), []byte("rubbish"), 0o600))
	if w := c.mustSync(); len(w) != 1 || !strings.Contains(w[0].Message, "damaged") {
		t.Errorf("warnings = %v", w)
	}
	c.wantIdle() // it was written anew
	evil := "mosparoctl manifest 1\nf 0644 4 1700000000 0 0 - \"../../../etc/passwd\"\nend 1\n"
	for _, part := range []string{"old", "new"} {
		must(t, os.WriteFile(n.ManagePath("trash/run1/"+part), []byte(evil), 0o600))
	}
	f, err := filesync.GatherUndo(t.Context(), c.opts, "run1")
	must(t, err)
	if len(f.Targets) != 0 || f.Failures() == nil || !strings.Contains(f.Failures().Error(), "missing or damaged") {
		t.Errorf("%d targets, %v", len(f.Targets), f.Failures())
	}
}

// What somebody puts on a node between the look and the write is told, kept and brought back by undo.
func TestSyncKeepsWhatAppeared(t *testing.T) {
	c := newCluster(t, "app1")
	c.mustSync()
	c.write("admin", "var/data/new", "from the admin node")
	c.write("admin", "var/data/other", "from the admin node")
	p, _, err := c.plan()
	must(t, err)
	c.write("app1", "var/data/new", "made there meanwhile")
	must(t, os.Symlink("elsewhere", c.path("app1", "var/data/other")))
	var mu sync.Mutex
	var warnings []string
	_, err = filesync.Apply(t.Context(), p, ops.ApplyOptions{Sink: ops.SinkFunc(func(e ops.Event) {
		mu.Lock()
		defer mu.Unlock()
		if e.Kind == ops.Warning {
			warnings = append(warnings, e.Message)
		}
	})})
	must(t, err)
	slices.Sort(warnings)
	if len(warnings) != 2 || !strings.Contains(warnings[0], "var/data/new appeared") || !strings.Contains(warnings[1], "var/data/other appeared") {
		t.Errorf("warnings = %q", warnings)
	}
	c.want("app1", with(synced(), "var/data/new", "from the admin node", "var/data/other", "from the admin node"))
	f, err := filesync.GatherUndo(t.Context(), c.opts, "")
	must(t, err)
	p, _, err = filesync.PlanUndo(f, c.opts)
	must(t, err)
	_, err = filesync.Apply(t.Context(), p, ops.ApplyOptions{})
	must(t, err)
	c.want("app1", with(synced(), "var/data/new", "made there meanwhile", "var/data/other", "-> elsewhere"))
}

// The run that came last is the last one, though its operator's clock is years behind.
func TestSyncUndoWithClocksThatDiffer(t *testing.T) {
	c := newCluster(t, "app1")
	c.opts.Deployment.Sync.Trash = 1
	for i, at := range []time.Time{time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)} {
		c.write("admin", "var/data/n", strings.Repeat("x", i+1))
		f, err := filesync.Gather(t.Context(), c.opts)
		must(t, err)
		o := c.opts
		o.Run = filesync.NewRun(at)
		p, _, err := filesync.Plan(f, o)
		must(t, err)
		_, err = filesync.Apply(t.Context(), p, ops.ApplyOptions{})
		must(t, err)
	}
	f, err := filesync.GatherUndo(t.Context(), c.opts, "")
	must(t, err)
	o := c.opts
	o.Run = filesync.NewRun(time.Date(2019, 1, 1, 0, 0, 0, 0, time.UTC))
	p, _, err := filesync.PlanUndo(f, o)
	must(t, err)
	_, err = filesync.Apply(t.Context(), p, ops.ApplyOptions{})
	must(t, err)
	c.want("app1", with(synced(), "var/data/n", "x"))
	if g := filesync.ReadStatus(t.Context(), c.opts)[1].Generations; len(g) != 1 || !strings.HasSuffix(g[0], "-undo") || g[0] < "20261123-1200" {
		t.Errorf("generations = %v", g)
	}
}

// Taking the first sync of a node back leaves it its configuration: a node without one offers the installer to everybody.
func TestSyncUndoKeepsTheConfiguration(t *testing.T) {
	c := newCluster(t, "app1")
	c.mustSync()
	f, err := filesync.GatherUndo(t.Context(), c.opts, "")
	must(t, err)
	p, warnings, err := filesync.PlanUndo(f, c.opts)
	must(t, err)
	_, err = filesync.Apply(t.Context(), p, ops.ApplyOptions{})
	must(t, err)
	c.want("app1", Tree{"config/env.mosparo.php": env, "public/": "", "var/": ""})
	if len(warnings) != 1 || !strings.Contains(warnings[0].Message, "env.mosparo.php stays") {
		t.Errorf("warnings = %v", warnings)
	}
}
