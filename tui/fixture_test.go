package tui

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/balancer"
	"github.com/mosparoctl/mosparoctl/ops/cron"
	"github.com/mosparoctl/mosparoctl/ops/filesync"
	"github.com/mosparoctl/mosparoctl/ops/health"
	"github.com/mosparoctl/mosparoctl/ops/lock"
	"github.com/mosparoctl/mosparoctl/ops/logs"
	"github.com/mosparoctl/mosparoctl/ops/release"
)

// noon is when all tests begin.
var noon = time.Date(2026, 3, 2, 12, 0, 30, 0, time.UTC)

// world is a deployment as a Reader and a Planner, without any I/O.
type world struct {
	d      *inventory.Deployment
	broken bool
	now    func() time.Time
	check  func(ctx context.Context) error              // nil: answers at once
	node   func(ctx context.Context, name string) error // nil: answers at once

	mu      sync.Mutex
	applied []string
	reads   map[string]int
	run     func(ctx context.Context, sink ops.Sink, stop <-chan struct{}) error // nil: is done at once
}

func newWorld(broken bool, names ...string) *world {
	if len(names) == 0 {
		names = []string{"app1", "app2", "app3"}
	}
	d := &inventory.Deployment{Name: "shop-production", Check: inventory.Check{Interval: 30 * time.Second, Timeout: 20 * time.Second},
		Balancers: []inventory.Balancer{{Name: "lb", Kind: inventory.BalancerHAProxy}},
		Cache:     inventory.Cache{Adapter: inventory.CacheRedis},
		Database: inventory.Database{System: "mysql", Topology: inventory.ActivePassive,
			Servers: []inventory.DatabaseServer{{Name: "db1", Host: "10.0.0.21", Port: 3306}, {Name: "db2", Host: "10.0.0.22", Port: 3306}}},
		Cron: inventory.Cron{Mode: inventory.CronStaggered, Distance: 10 * time.Minute}}
	for i, name := range names {
		n := &inventory.Node{Name: name, Address: fmt.Sprintf("10.0.0.%d", 11+i), Roles: []inventory.Role{inventory.RoleApp, inventory.RoleCron},
			Paths: inventory.Paths{Root: "/srv/mosparo", Layout: inventory.LayoutReleases}}
		if i < 2 {
			n.Serve.Metrics = "127.0.0.1:9180"
		}
		if i == 0 {
			n.Roles = append([]inventory.Role{inventory.RoleAdmin}, n.Roles...)
		}
		d.Nodes = append(d.Nodes, n)
	}
	return &world{d: d, broken: broken, now: func() time.Time { return noon }, reads: map[string]int{}}
}

func (w *world) count(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reads[what]++
}

// last is the node that is broken.
func (w *world) last() string { return w.d.Nodes[len(w.d.Nodes)-1].Name }

func (w *world) Check(ctx context.Context, f health.Filter, each func(health.Result)) (health.Report, error) {
	w.count("checks")
	if w.check != nil {
		if err := w.check(ctx); err != nil {
			return health.Report{}, err
		}
	}
	for _, c := range health.Checks() {
		i := c.About()
		if len(f.Only) > 0 && !slices.Contains(f.Only, i.Name) {
			continue
		}
		each(w.result(i))
	}
	return health.Report{}, nil
}

// result is fine, but for four checks in a broken world.
func (w *world) result(i health.Info) health.Result {
	if i.Name == "db-servers" {
		return w.servers(i)
	}
	r := health.Result{Info: i, Verdict: health.OK, Summary: "the same on all nodes", At: w.now()}
	for n, node := range w.d.Nodes {
		e := health.Evidence{Node: node.Name, Verdict: health.OK, Text: "as it should be", At: w.now(), Took: 12 * time.Millisecond}
		switch i.Name {
		case "clock-skew":
			e.Figures = []health.Figure{{Name: "skew", Value: 0.004 * float64(n), Unit: "s", Warn: 1, Fail: 5}}
		case "node-disk":
			e.Figures = []health.Figure{{Name: "used", Value: 41, Unit: "%", Warn: 85, Fail: 95}}
		case "cache-reach", "db-reach":
			e.Figures = []health.Figure{{Name: "round_trip", Value: 0.0009, Unit: "s"}}
		}
		if w.broken && node.Name == w.last() {
			switch i.Name {
			case "files-keys":
				e.Verdict, e.Text = health.Fail, "encryption key differs: fingerprint 91c0f02b77aa, the other nodes have 0f3a9c117d02"
			case "clock-skew":
				e.Verdict, e.Text = health.Warn, "1.7s ahead of the other nodes"
				e.Figures[0].Value = 1.7
			case "cache-reach":
				e.Verdict, e.Text, e.Figures = health.Fail, "connection refused by 10.0.0.31:6379", nil
			case "db-version":
				e.Verdict, e.Text = health.Unknown, "no answer within 20s"
			}
		}
		if e.Verdict != health.OK {
			r.Summary = e.Text + " on " + node.Name
		}
		r.Verdict = health.Worse(r.Verdict, e.Verdict)
		r.Evidence = append(r.Evidence, e)
	}
	return r
}

const (
	releaseOld = "1.5.3-20260301T120000Z-91c0f02b"
	releaseNew = "1.5.4-20260302T080000Z-0f3a9c11"
)

func (w *world) Node(ctx context.Context, n *inventory.Node) (Reading, error) {
	w.count("node " + n.Name)
	if w.node != nil {
		if err := w.node(ctx, n.Name); err != nil {
			return Reading{}, err
		}
	}
	f := &release.NodeFacts{Node: n, Current: releaseNew, Previous: releaseOld, Config: release.ConfigFacts{Installed: true, Version: "1.5.4"},
		Releases: []release.Info{{ID: releaseNew, Version: "1.5.4", Created: noon.Add(-4 * time.Hour), Files: 14021, Source: "archive mosparo-stable-1.5.4.zip"},
			{ID: releaseOld, Version: "1.5.3", Created: noon.Add(-24 * time.Hour), Files: 13990, Source: "archive mosparo-stable-1.5.3.zip"}}}
	r := Reading{Facts: f}
	if !n.Has(inventory.RoleAdmin) {
		r.Sync = &filesync.NodeStatus{Node: n.Name, Synced: noon.Add(-7 * time.Minute), Files: 312, Generations: []string{"20260302-101500.000-k3vq", "20260302-115300.120-ab2c"}}
	}
	r.Cron = w.crontab(n)
	if w.broken && n.Name == w.last() {
		f.Current, f.Config.Version, r.Sync.Unfinished = releaseOld, "1.5.4", true
	}
	return r, nil
}

// crontab is what a node's cron starts: as planned, but for the last node in a broken world, which comes too close to the first.
func (w *world) crontab(n *inventory.Node) *cron.NodeState {
	jobs, err := cron.Jobs(w.d)
	if err != nil {
		panic(err)
	}
	phases, err := cron.Stagger(jobs, w.d.Cron.Distance, nil)
	if err != nil {
		return nil // more nodes than there is room for
	}
	text := "# BEGIN mosparoctl " + w.d.Name + "\n"
	for _, j := range jobs {
		if !slices.Contains(j.Nodes, n.Name) {
			continue
		}
		phase := phases[cron.Slot{Job: j.Name, Node: n.Name}]
		if w.broken && n.Name == w.last() {
			phase = phases[cron.Slot{Job: j.Name, Node: w.d.Nodes[0].Name}] + 4
		}
		text += fmt.Sprintf("# job %s every %s phase %dm: from then on\n0 0 * * * true\n", j.Name, j.Every, phase)
	}
	s := &cron.NodeState{Node: n.Name}
	if s.Crontab.Parsed, err = cron.ParseCrontab([]byte(text+"# END mosparoctl "+w.d.Name+"\n"), false, w.d.Name); err != nil {
		panic(err)
	}
	return s
}

func (w *world) Balancers(context.Context) ([]balancer.Server, error) {
	var out []balancer.Server
	for _, n := range w.d.Nodes {
		s := balancer.Server{Balancer: "lb", Node: n.Name, Name: n.Name, State: balancer.StateReady, Up: true, Sessions: 4}
		if w.broken && n.Name == w.last() {
			s.State = balancer.StateDrain
		}
		out = append(out, s)
	}
	return out, nil
}

func (w *world) Lock(context.Context) (lock.Info, bool, error) {
	if !w.broken {
		return lock.Info{}, false, nil
	}
	return lock.Info{Owner: "eva", Host: "desk", PID: 4711, Op: "deploy", Since: noon.Add(-3 * time.Minute), Token: "t"}, true, nil
}

func (w *world) Logs(_ context.Context, n *inventory.Node) ([]logs.Line, error) {
	lines := []logs.Line{{Node: n.Name, Source: logs.App, Time: noon.Add(-time.Minute), Text: "request.INFO: Matched route"}}
	if w.broken {
		lines = append(lines, logs.Line{Node: n.Name, Source: logs.FPM, Time: noon.Add(-time.Second), Text: "WARNING: [pool www] seems busy"})
	}
	return lines, nil
}

// proposal is a plan of two waves.
func (w *world) proposal(title string) (*Proposal, error) {
	do := func(context.Context, ops.Reporter) error { return nil }
	prepare, nodes := ops.Wave{Name: "prepare"}, ops.Wave{Name: "nodes"}
	for _, n := range w.d.Nodes {
		prepare.Steps = append(prepare.Steps, ops.Step{ID: "upload/" + n.Name, Node: n.Name, Title: "upload " + releaseNew, Do: do,
			Changes: []ops.Change{{Path: "releases/" + releaseNew, Action: "create", Detail: "14021 files, 96.1 MiB"}}})
		nodes.Steps = append(nodes.Steps, ops.Step{ID: "switch/" + n.Name, Node: n.Name, Title: "switch current", Do: do,
			Changes: []ops.Change{{Path: "current", Action: "update", Detail: releaseOld + " -> " + releaseNew},
				{Path: ".env.local", Action: "update", Detail: "@@ -1,2 +1,2 @@\n-APP_SECRET=••••••\n+APP_SECRET=••••••\n DATABASE_URL=••••••"}}})
	}
	return &Proposal{Title: title, Plan: &ops.Plan{Op: "deploy", Waves: []ops.Wave{prepare, nodes}}, Notes: []string{"one migration of the database is brought: Version20260301"},
		Content: []release.Preview{{Nodes: []string{"app1", "app2"}, From: releaseOld, Added: []string{"src/New.php"}, Changed: []string{"src/Kernel.php"}, Removed: []string{"src/Old.php"},
			Diff: "--- a/src/Kernel.php\n+++ b/src/Kernel.php\n@@ -10,1 +10,1 @@\n-const VERSION = '1.5.3';\n+const VERSION = '1.5.4';\n"}},
		Apply: func(ctx context.Context, sink ops.Sink, stop <-chan struct{}) error {
			w.mu.Lock()
			w.applied = append(w.applied, title)
			run := w.run
			w.mu.Unlock()
			if run == nil {
				return nil
			}
			return run(ctx, sink, stop)
		}}, nil
}

func (w *world) Deploy(_ context.Context, s release.SourceSpec) (*Proposal, error) {
	if s.Path == "/nothing" {
		return nil, ops.Errorf(ops.CodeUsage, "open /nothing: no such file").WithHint("name a folder or an archive")
	}
	return w.proposal("deploy " + releaseNew)
}
func (w *world) Rollback(_ context.Context, id string) (*Proposal, error) {
	return w.proposal("roll back to " + id)
}
func (w *world) Sync(context.Context) (*Proposal, error) { return w.proposal("sync 2 nodes") }
func (w *world) UndoSync(_ context.Context, run string) (*Proposal, error) {
	return w.proposal("undo sync " + run)
}
func (w *world) Cron(context.Context) (*Proposal, error) { return w.proposal("write the crontabs") }

func (w *world) ran() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.applied)
}

// rig drives a model without a terminal: commands run where they are, clock and feed by hand.
type rig struct {
	t     testing.TB
	w     *world
	m     *Model
	quits int
}

func newRig(t testing.TB, w *world, o Options) *rig {
	t.Helper()
	r := &rig{t: t, w: w, m: New(t.Context(), Services{Deployment: w.d, Reader: w, Planner: w, Now: w.now,
		Export: func(name string, data []byte) (string, error) { return name, nil }}, o)}
	r.do(r.m.poll())
	r.readings(readingsBefore - 1)
	r.m.now = noon.Add(time.Second)
	r.do(r.m.layCron())
	locked := r.m.st.locked
	r.m.st.locked = false // it was taken after the nodes were compared
	r.do(r.m.readDrift())
	r.m.st.locked = locked
	return r
}

// do runs a command and feeds what it says to the model.
func (r *rig) do(cmd tea.Cmd) {
	if cmd == nil {
		return
	}
	switch msg := cmd().(type) {
	case nil:
	case tea.QuitMsg:
		r.quits++
	case tea.BatchMsg:
		for _, c := range msg {
			r.do(c)
		}
	default:
		_, next := r.m.Update(msg)
		r.do(next)
	}
	r.m.onNews(r.m.feed.take())
}

// keyOf makes the key of a name such as "enter" or "x".
func keyOf(name string) tea.Key {
	special := map[string]rune{"enter": tea.KeyEnter, "esc": tea.KeyEscape, "up": tea.KeyUp, "down": tea.KeyDown, "tab": tea.KeyTab, "backspace": tea.KeyBackspace,
		"left": tea.KeyLeft, "right": tea.KeyRight, "end": tea.KeyEnd, "home": tea.KeyHome, "pgdown": tea.KeyPgDown, "pgup": tea.KeyPgUp}
	if c, ok := special[name]; ok {
		return tea.Key{Code: c}
	}
	if len(name) == 6 && name[:5] == "ctrl+" {
		return tea.Key{Code: rune(name[5]), Mod: tea.ModCtrl}
	}
	r := []rune(name)[0]
	return tea.Key{Code: r, Text: name}
}

func (r *rig) press(keys ...string) {
	for _, k := range keys {
		_, cmd := r.m.Update(tea.KeyPressMsg(keyOf(k)))
		r.do(cmd)
	}
}

// typed presses a key for each letter.
func (r *rig) typed(s string) {
	for _, c := range s {
		r.press(string(c))
	}
}

func (r *rig) size(w, h int) { r.m.Update(tea.WindowSizeMsg{Width: w, Height: h}) }
