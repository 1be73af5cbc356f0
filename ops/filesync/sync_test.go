package filesync_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/filesync"
	"github.com/mosparoctl/mosparoctl/ops/filesync/filesynctest"
	"github.com/mosparoctl/mosparoctl/ops/local"
)

type Tree = filesynctest.Tree

const (
	env      = "<?php\n\nreturn array (\n  'mosparo_installed' => true,\n  'n' => 1,\n);\n"
	mappings = "<?php return ['/resources/u.css' => '/resources/u/1.css'];\n"
)

// hosts connects names to hosts of this machine. fail makes one unreachable.
type hosts struct {
	fail  map[string]bool
	calls *atomic.Int64 // counts
}

func (h hosts) Host(_ context.Context, node string) (ops.Host, error) {
	if h.calls != nil {
		h.calls.Add(1)
	}
	if h.fail[node] {
		return nil, ops.Errorf(ops.CodeUnreachable, "connection refused").On(node)
	}
	return local.New(node), nil
}

// cluster is a deployment of nodes that are folders of this machine: "admin" in place, the others with releases.
type cluster struct {
	t    testing.TB
	opts filesync.SyncOptions
	runs int
}

func newCluster(t testing.TB, targets ...string) *cluster {
	base := t.TempDir()
	d := &inventory.Deployment{Name: "test"}
	admin := &inventory.Node{Name: "admin", Address: "local", Roles: []inventory.Role{inventory.RoleAdmin},
		Paths: inventory.Paths{Root: filepath.Join(base, "admin"), Layout: inventory.LayoutInPlace}}
	d.Nodes = []*inventory.Node{admin}
	for _, name := range targets {
		d.Nodes = append(d.Nodes, &inventory.Node{Name: name, Address: "10.0.0.1", Roles: []inventory.Role{inventory.RoleApp},
			Paths: inventory.Paths{Root: filepath.Join(base, name), Layout: inventory.LayoutReleases}})
	}
	c := &cluster{t: t, opts: filesync.SyncOptions{Deployment: d, Targets: d.Nodes, Peers: filesync.NewPeers(hosts{}, nil)}}
	Tree{
		"config/env.mosparo.php": env, "public/resources/mappings.php": mappings, "public/resources/u/1.css": "css",
		"var/data/geoip2/a.mmdb": "geo", "var/data/link": "-> geoip2/a.mmdb", "var/data/import/": "",
		// never synced
		"var/data/data.sqlite": "db", "var/data/data.sqlite-wal": "wal", "var/cache/x": "c", "var/log/l": "l", "src/Kernel.php": "k",
	}.Make(t, admin.Paths.Root)
	return c
}

func synced() Tree {
	return Tree{"config/env.mosparo.php": env, "public/resources/mappings.php": mappings, "public/resources/u/1.css": "css",
		"var/data/geoip2/a.mmdb": "geo", "var/data/link": "-> geoip2/a.mmdb", "var/data/import/": ""}
}

func (c *cluster) path(node, rel string) string {
	return c.opts.Deployment.Node(node).SharedPath(rel)
}

func (c *cluster) write(node, rel, content string) {
	c.t.Helper()
	name := c.path(node, rel)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		c.t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) remove(node, rel string) {
	c.t.Helper()
	if err := os.RemoveAll(c.path(node, rel)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) plan() (*ops.Plan, []ops.Event, error) {
	c.t.Helper()
	f, err := filesync.Gather(c.t.Context(), c.opts)
	if err != nil {
		return nil, nil, err
	}
	c.runs++
	o := c.opts
	o.Run = fmt.Sprintf("run%d", c.runs)
	return filesync.Plan(f, o)
}

// sync runs one sync and returns its warnings.
func (c *cluster) sync() ([]ops.Event, error) {
	c.t.Helper()
	p, warnings, err := c.plan()
	if err != nil {
		return warnings, err
	}
	_, err = filesync.Apply(c.t.Context(), p, ops.ApplyOptions{})
	return warnings, err
}

func (c *cluster) mustSync() []ops.Event {
	c.t.Helper()
	warnings, err := c.sync()
	if err != nil {
		c.t.Fatal(err)
	}
	return warnings
}

func (c *cluster) want(node string, want Tree) {
	c.t.Helper()
	if d := cmp.Diff(want, filesynctest.Snapshot(c.t, c.path(node, ""))); d != "" {
		c.t.Errorf("%s (-want +got):\n%s", node, d)
	}
}

func (c *cluster) wantIdle() {
	c.t.Helper()
	p, _, err := c.plan()
	if err != nil {
		c.t.Fatal(err)
	}
	if !p.Empty() {
		c.t.Errorf("a second run would still do something:\n%s", planText(p))
	}
}

func planText(p *ops.Plan) string {
	var b strings.Builder
	for _, w := range p.Waves {
		for _, s := range w.Steps {
			fmt.Fprintf(&b, "%s: %s\n", s.Node, s.Title)
			for _, c := range s.Changes {
				fmt.Fprintf(&b, "    %s %s", c.Action, c.Path)
				if c.Detail != "" {
					fmt.Fprintf(&b, " (%s)", c.Detail)
				}
				b.WriteByte('\n')
			}
		}
	}
	return b.String()
}

func with(tree Tree, pairs ...string) Tree {
	for i := 0; i < len(pairs); i += 2 {
		tree[pairs[i]] = pairs[i+1]
	}
	return tree
}

func without(tree Tree, paths ...string) Tree {
	for _, p := range paths {
		delete(tree, p)
	}
	return tree
}

func TestSyncAndSyncAgain(t *testing.T) {
	c := newCluster(t, "app1", "app2")
	c.mustSync()
	for _, n := range []string{"app1", "app2"} {
		c.want(n, synced())
	}
	c.wantIdle()
	a, err := os.Stat(c.path("admin", "var/data/geoip2/a.mmdb"))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.Stat(c.path("app1", "var/data/geoip2/a.mmdb")); err != nil || !a.ModTime().Equal(b.ModTime()) || a.Mode() != b.Mode() {
		t.Errorf("time or mode differ: %v %v", b, err)
	}
	if st, err := os.Stat(c.opts.Deployment.Node("app1").ManagePath("trash")); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("the trash is readable by others: %v %v", st, err)
	}
}

func TestSyncOnlyTouchedFileIsNotSent(t *testing.T) {
	c := newCluster(t, "app1")
	c.mustSync()
	now := time.Now()
	if err := os.Chtimes(c.path("admin", "var/data/geoip2/a.mmdb"), now, now); err != nil {
		t.Fatal(err)
	}
	p, _, err := c.plan()
	if err != nil || !strings.Contains(planText(p), "attributes "+c.path("app1", "var/data/geoip2/a.mmdb")+" (time)") {
		t.Errorf("plan, %v:\n%s", err, planText(p))
	}
}

func TestSyncChecksumSeesWhatTimesHide(t *testing.T) {
	c := newCluster(t, "app1")
	c.mustSync()
	name := c.path("app1", "var/data/geoip2/a.mmdb")
	st, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	c.write("app1", "var/data/geoip2/a.mmdb", "bad")
	if err := os.Chtimes(name, st.ModTime(), st.ModTime()); err != nil {
		t.Fatal(err)
	}
	c.wantIdle()
	c.opts.Checksum = true
	c.mustSync()
	c.want("app1", synced())
}

func TestSyncPlanOrder(t *testing.T) {
	c := newCluster(t, "app1")
	c.mustSync()
	c.opts.Deployment.Sync.Paths = []inventory.SyncPath{{Path: "late", Last: true}, {Path: "early", Exclude: []string{"*.tmp"}}}
	c.opts.Delete, c.opts.MaxDelete = true, "100%"
	c.opts.Deployment.Node("app1").PHP.Reload = []string{"systemctl", "reload", "php-fpm"}
	c.write("admin", "config/env.mosparo.php", strings.Replace(env, "1", "22", 1))
	c.write("admin", "public/resources/mappings.php", strings.Replace(mappings, "1.css", "20.css", 1))
	c.write("admin", "public/resources/u/20.css", "new css")
	c.remove("admin", "public/resources/u/1.css")
	c.write("admin", "late/x", "1")
	c.write("admin", "early/y", "1")
	c.write("admin", "early/z.tmp", "1")
	p, warnings, err := c.plan()
	if err != nil || len(warnings) != 0 {
		t.Fatal(warnings, err)
	}
	root := c.opts.Deployment.Node("app1").Paths.Root
	got := strings.ReplaceAll(planText(p), root, "ROOT")
	want := `app1: open the trash
app1: change 3 paths, 8 B to send
    create ROOT/shared/early
    create ROOT/shared/early/y (1 B)
    create ROOT/shared/public/resources/u/20.css (7 B)
app1: change 2 paths, 1 B to send
    create ROOT/shared/late
    create ROOT/shared/late/x (1 B)
app1: update public/resources/mappings.php
    update ROOT/shared/public/resources/mappings.php (59 B → 60 B)
app1: update config/env.mosparo.php
    update ROOT/shared/config/env.mosparo.php (68 B → 69 B)
app1: delete 1 path
    delete ROOT/shared/public/resources/u/1.css
app1: remember what was synced
app1: reload PHP
    run systemctl reload php-fpm
`
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestSyncLeavesOutResourcesInSharedCache(t *testing.T) {
	c := newCluster(t, "app1")
	c.opts.Deployment.Cache.SharedCSS = true
	c.mustSync()
	c.want("app1", without(synced(), "public/resources/mappings.php", "public/resources/u/1.css"))
}

func TestSyncExcludes(t *testing.T) {
	c := newCluster(t, "app1")
	c.mustSync()
	c.opts.Exclude = []string{"/var/data/geoip2/"}
	c.write("admin", "var/data/other", "x")
	c.opts.Delete, c.opts.MaxDelete = true, "100%"
	c.write("admin", "var/data/geoip2/b.mmdb", "new")
	c.remove("admin", "var/data/geoip2/a.mmdb")
	c.remove("admin", "var/data/link")
	c.write("app1", "var/data/geoip2/own", "mine")
	c.mustSync()
	c.want("app1", without(with(synced(), "var/data/geoip2/own", "mine", "var/data/other", "x"), "var/data/link"))
	c.wantIdle()
}

func TestSyncNeverDeletesWhatBelongsToTheNode(t *testing.T) {
	c := newCluster(t, "app1")
	c.opts.Delete, c.opts.MaxDelete = true, "100%"
	c.opts.Exclude = []string{"!data.sqlite"}
	c.write("app1", "var/data/data.sqlite", "mine")
	c.mustSync()
	c.want("app1", with(synced(), "var/data/data.sqlite", "mine"))
}

func TestSyncDeletes(t *testing.T) {
	c := newCluster(t, "app1")
	c.mustSync()
	c.write("app1", "var/data/extra/x", "x")
	c.mustSync()
	c.want("app1", with(synced(), "var/data/extra/x", "x"))
	c.opts.Delete = true
	c.mustSync()
	c.want("app1", synced())
	c.wantIdle()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestSyncEmptySourceWithoutDeleteOnlyWarns(t *testing.T) {
	c := newCluster(t, "app1")
	c.mustSync()
	c.remove("admin", "var/data")
	if w := c.mustSync(); len(w) != 1 || !strings.Contains(w[0].Message, "var/data is empty or gone") {
		t.Errorf("warnings = %v", w)
	}
	c.want("app1", synced())
}

func TestSyncSkipsSpecialFiles(t *testing.T) {
	c := newCluster(t, "app1")
	must(t, syscall.Mkfifo(c.path("admin", "var/data/pipe"), 0o644))
	if w := c.mustSync(); len(w) != 1 || !strings.Contains(w[0].Message, "var/data/pipe is a fifo") {
		t.Errorf("warnings = %v", w)
	}
	c.want("app1", synced())
}

func TestSyncCleansUpAfterAnUnfinishedRun(t *testing.T) {
	c := newCluster(t, "app1")
	c.mustSync()
	n := c.opts.Deployment.Node("app1")
	for _, f := range []string{c.path("app1", "config/"), c.path("app1", "var/data/geoip2/"), n.ManagePath("sync/") + "/", n.ManagePath("trash/run1/files/") + "/"} {
		must(t, os.WriteFile(filepath.Join(f, ops.TempPrefix+"x"), nil, 0o644))
	}
	p, _, err := c.plan()
	must(t, err)
	if got := strings.Count(planText(p), "left by an unfinished run"); got != 4 {
		t.Errorf("%d leftovers:\n%s", got, planText(p))
	}
	c.mustSync()
	c.want("app1", synced())
	c.wantIdle()
}

func TestSyncOneNodeFailsOthersGoOn(t *testing.T) {
	c := newCluster(t, "app1", "app2", "app3")
	c.opts.Peers = filesync.NewPeers(hosts{fail: map[string]bool{"app1": true}}, nil)
	must(t, os.MkdirAll(c.path("app2", ""), 0o755))
	must(t, os.WriteFile(c.path("app2", "var"), nil, 0o644)) // in the way
	warnings, err := c.sync()
	if ops.CodeOf(err) != ops.CodePartial {
		t.Errorf("error = %v", err)
	}
	if len(warnings) != 1 || warnings[0].Node != "app1" || warnings[0].Code != ops.CodeUnreachable {
		t.Errorf("warnings = %v", warnings)
	}
	c.want("app3", synced())
}

func TestSyncStalePlan(t *testing.T) {
	c := newCluster(t, "app1")
	old, _, err := c.plan()
	must(t, err)
	fresh, _, err := c.plan()
	must(t, err)
	if err := ops.Stale(old, fresh); err != nil {
		t.Errorf("nothing changed: %v", err)
	}
	c.write("app1", "var/data/own", "x")
	fresh, _, err = c.plan()
	must(t, err)
	err = ops.Stale(old, fresh)
	if ops.CodeOf(err) != ops.CodeLocked || !strings.Contains(err.Error(), "app1") || !strings.Contains(err.Error(), c.path("app1", "var/data")) {
		t.Errorf("error = %v", err)
	}
}

func TestSyncWithoutAdminNode(t *testing.T) {
	c := newCluster(t, "app1")
	c.opts.Deployment.Nodes = c.opts.Deployment.Nodes[1:]
	if _, err := c.sync(); ops.CodeOf(err) != ops.CodeInvalid {
		t.Errorf("error = %v", err)
	}
}
