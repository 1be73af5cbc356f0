package filesync

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
)

// undoSuffix ends the names of runs that took another one back. They are not chosen by themselves, so that undo twice
// goes back two runs, not to and fro.
const undoSuffix = "-undo"

// UndoFacts is what taking a run back is planned from.
type UndoFacts struct {
	Run        string
	Targets    []UndoTarget     // those that took part in the run, in order of name
	Unreadable map[string]error // nodes whose facts could not be read, and why
}

// UndoTarget is what was read from one node.
type UndoTarget struct {
	Target
	Old, New *Manifest // index of the run
	Kept     *Manifest // what the trash really holds: a run that was killed did not get to everything
}

// GatherUndo reads what is needed to take a run back on o.Targets. An empty run is the newest that is not an undo itself.
func GatherUndo(ctx context.Context, o SyncOptions, run string) (*UndoFacts, error) {
	if run != "" {
		if err := checkRun(run); err != nil {
			return nil, err
		}
	}
	f := &UndoFacts{Run: run, Unreadable: map[string]error{}}
	status := ReadStatus(ctx, o)
	for _, s := range status {
		if s.Err != nil {
			f.Unreadable[s.Node] = s.Err
		}
		for _, g := range s.Generations {
			if run == "" && g > f.Run && !strings.HasSuffix(g, undoSuffix) {
				f.Run = g
			}
		}
	}
	var mu sync.Mutex
	g, gctx := errgroup.WithContext(ctx)
	for _, s := range status {
		if !slices.Contains(s.Generations, f.Run) {
			continue
		}
		g.Go(func() error {
			t, err := o.readUndo(gctx, o.Deployment.Node(s.Node), f.Run)
			t.Generations = s.Generations
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				f.Unreadable[s.Node] = ops.NodeError(s.Node, "undo", err)
				return nil
			}
			f.Targets = append(f.Targets, t)
			return nil
		})
	}
	_ = g.Wait()
	slices.SortFunc(f.Targets, func(a, b UndoTarget) int { return strings.Compare(a.Node.Name, b.Node.Name) })
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if len(f.Targets) == 0 && len(f.Unreadable) == 0 {
		return nil, ops.Errorf(ops.CodeFailed, "there is no run %sto take back", strings.TrimPrefix(run+" ", " ")).WithHint("mosparoctl sync status")
	}
	return f, nil
}

func (o SyncOptions) readUndo(ctx context.Context, n *inventory.Node, run string) (UndoTarget, error) {
	t := UndoTarget{Target: Target{Node: n, Owner: ops.Owner{UID: AnyID, GID: AnyID}}}
	err := o.at(ctx, n, func(h ops.Host, p Peer) (err error) {
		if t.Old, _, err = readRecord(ctx, h, trashPath(n, run, trashOld)); err != nil {
			return err
		}
		if t.New, _, err = readRecord(ctx, h, trashPath(n, run, trashNew)); err != nil {
			return err
		}
		if t.Old == nil || t.New == nil {
			return ops.Errorf(ops.CodeFailed, "the index of run %s is missing or damaged", run).
				WithHint("what was kept lies in %s", trashPath(n, run, trashFiles))
		}
		if t.Kept, err = p.Scan(ctx, trashPath(n, run, trashFiles), ScanOptions{}); err != nil {
			return err
		}
		if t.State, _, err = readRecord(ctx, h, n.ManagePath(stateFile)); err != nil {
			return err
		}
		paths, files := undoPaths(t.Old, t.New)
		t.Tree, err = p.Scan(ctx, n.SharedPath(""), ScanOptions{Paths: paths})
		if err := orEmpty(&t.Tree, err); err != nil {
			return err
		}
		t.Tree, err = withHashes(ctx, p, n.SharedPath(""), t.Tree, files, paths)
		return err
	})
	return t, err
}

// undoPaths is where an index lies, in few paths, and which files it replaced.
func undoPaths(old, new *Manifest) (paths []string, files map[string]bool) {
	top := map[string]bool{}
	files = map[string]bool{}
	for _, m := range []*Manifest{old, new} {
		for e := range m.All() {
			// Two components, as in var/data, hold all that changed there and in its neighbourhood.
			parts := strings.SplitN(e.Path, "/", 3)
			top[strings.Join(parts[:min(2, len(parts))], "/")] = true
			if e.IsFile() && m == old {
				files[e.Path] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(top)), files
}

// PlanUndo makes the plan that takes a run back. What it replaces goes to the trash of a run of its own, o.Run. It is pure.
func PlanUndo(f *UndoFacts, o SyncOptions) (*ops.Plan, []ops.Event, error) {
	if o.Run == "" {
		o.Run = NewRun(time.Now())
	}
	for _, t := range f.Targets {
		o.Run = laterRun(o.Run, t.Generations)
	}
	if !strings.HasSuffix(o.Run, undoSuffix) {
		o.Run += undoSuffix
	}
	p := &planner{o: o, paths: o.syncPaths(), plan: &ops.Plan{Op: "sync undo"}}
	for node, err := range f.Unreadable {
		p.warnf(node, "left out: %v", err)
	}
	wave := ops.Wave{Name: "undo", Parallel: o.Deployment.Parallel}
	for _, t := range f.Targets {
		want, err := p.restored(t)
		if err != nil {
			return nil, nil, ops.NodeError(t.Node.Name, "undo", err)
		}
		wave.Steps = append(wave.Steps, p.undoSteps(t, want, f.Run)...)
	}
	if len(wave.Steps) > 0 {
		p.plan.Waves = []ops.Wave{wave}
	}
	p.plan.SortFacts()
	return p.plan, p.warnings, nil
}

// restored is t's tree as it was before the run, except for what changed since.
func (p *planner) restored(t UndoTarget) (*Manifest, error) {
	made, had := stateOf(t.New), stateOf(t.Old)
	want := map[string]Entry{}
	for e := range t.Tree.All() {
		want[e.Path] = e
	}
	for e := range t.New.All() {
		now, there := want[e.Path]
		if _, replaced := t.Old.Get(e.Path); replaced || !there {
			continue
		}
		if foreign(now, made) {
			p.warnf(t.Node.Name, "%s was changed since, and stays", e.Path)
			continue
		}
		if e.Path == configPath {
			p.warnf(t.Node.Name, "%s stays: without it every visitor would find mosparo's installer", e.Path)
			continue
		}
		delete(want, e.Path)
	}
	for e := range t.Old.All() {
		now, there := want[e.Path]
		_, kept := t.Kept.Get(e.Path)
		switch {
		case e.IsDir():
			if !there || !now.IsDir() {
				want[e.Path] = e
			} else {
				now.Mode, now.UID, now.GID = e.Mode, e.UID, e.GID
				want[e.Path] = now
			}
		case kept:
			if there && foreign(now, made, had) {
				p.warnf(t.Node.Name, "%s was changed since; what is there goes to the trash (run %s)", e.Path, p.o.Run)
			}
			want[e.Path] = e
		case there && now.IsFile() && e.IsFile() && !foreign(now, made): // got new attributes only
			now.Mode, now.MTime, now.UID, now.GID = e.Mode, e.MTime, e.UID, e.GID
			want[e.Path] = now
		}
	}
	for e := range t.Kept.All() {
		_, known := t.Old.Get(e.Path)
		if _, replaced := t.New.Get(e.Path); replaced && !known && !e.IsDir() {
			want[e.Path] = e // it appeared while the run was going on
		}
	}
	for _, name := range slices.Collect(maps.Keys(want)) {
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			if _, ok := want[dir]; !ok {
				if e, ok := t.Tree.Get(dir); ok { // something that stays lies in a directory that the run made
					want[dir] = e
				}
			}
		}
	}
	return NewManifest(slices.Collect(maps.Values(want)))
}

// undoSteps is what is done on t to make its tree like want.
func (p *planner) undoSteps(t UndoTarget, want *Manifest, run string) []ops.Step {
	n := t.Node
	p.facts(n, t.Tree)
	todo := Diff(want, t.Tree, DiffOptions{Delete: true})
	for i, op := range todo {
		if op.Kind == OpPut {
			todo[i].Kind, todo[i].From = OpLink, path.Join(trashPath(n, run, trashFiles), op.Path())
		}
	}
	Sort(todo)
	r := &syncRun{o: p.o, source: n, t: t.Target, state: undoneState(t, want)}
	r.o.AllowOutside = true // it was there before
	var steps []ops.Step
	add := func(id, title string, do stepFunc, changes ...ops.Change) {
		steps = append(steps, ops.Step{ID: "undo/" + n.Name + "/" + id, Node: n.Name, Title: title, Changes: changes, Cancel: true, Do: do})
	}
	if len(todo) > 0 {
		r.old, r.new = trashIndex(todo)
		add("prepare", "open the trash", r.prepare)
	}
	for stage, staged := range p.stage(todo) {
		if len(staged) > 0 {
			add(string(rune('0'+stage)), stageTitle(stage, staged), r.transfer(staged), changesOf(n, staged)...)
		}
	}
	add("record", "remember what was restored, and drop run "+run+" from the trash", func(ctx context.Context, report ops.Reporter) error {
		if err := r.record(ctx, report); err != nil {
			return err
		}
		return p.o.at(ctx, n, func(h ops.Host, _ Peer) error { return h.RemoveAll(ctx, trashPath(n, run, "")) })
	})
	if len(n.PHP.Reload) > 0 && slices.ContainsFunc(todo, func(op Op) bool { return strings.HasSuffix(op.Path(), ".php") }) {
		add("reload", "reload PHP", r.reload, ops.Change{Path: strings.Join(n.PHP.Reload, " "), Action: "run"})
	}
	return steps
}

func changesOf(n *inventory.Node, todo []Op) []ops.Change {
	var list []ops.Change
	for _, op := range todo {
		list = append(list, ops.Change{Path: n.SharedPath(op.Path()), Action: op.Action(), Detail: detail(op)})
	}
	return list
}

// undoneState is the state to remember: what was restored counts as ours. Nil where nothing was known before.
func undoneState(t UndoTarget, want *Manifest) *Manifest {
	if t.State == nil {
		return nil
	}
	state := map[string]Entry{}
	for e := range t.State.All() {
		state[e.Path] = e
	}
	for _, m := range []*Manifest{t.Old, t.New} {
		for e := range m.All() {
			delete(state, e.Path)
			if now, ok := want.Get(e.Path); ok {
				state[e.Path] = now
			}
		}
	}
	return stateOf(manifestOf(state))
}

// NodeStatus is what "sync status" tells of a node.
type NodeStatus struct {
	Node        string    `json:"node"`
	Synced      time.Time `json:"synced,omitzero"` // when the last sync finished; zero: never
	Files       int       `json:"files"`           // that the last sync left there
	Unfinished  bool      `json:"unfinished"`      // a sync was begun and did not end
	Generations []string  `json:"generations"`     // of the trash, oldest first
	Err         error     `json:"-"`
}

// ReadStatus reads the status of o.Targets, in order of name. A node that fails has Err set.
func ReadStatus(ctx context.Context, o SyncOptions) []NodeStatus {
	list := make([]NodeStatus, len(o.Targets))
	var wg sync.WaitGroup
	for i, n := range o.Targets {
		wg.Go(func() {
			s := &list[i]
			s.Node = n.Name
			err := o.at(ctx, n, func(h ops.Host, _ Peer) error { return s.read(ctx, h, n) })
			s.Err = ops.NodeError(n.Name, "sync status", err)
		})
	}
	wg.Wait()
	slices.SortFunc(list, func(a, b NodeStatus) int { return strings.Compare(a.Node, b.Node) })
	return list
}

func (s *NodeStatus) read(ctx context.Context, h ops.Host, n *inventory.Node) (err error) {
	if s.Generations, err = generations(ctx, h, n); err != nil {
		return err
	}
	info, err := h.Lstat(ctx, n.ManagePath(stateFile))
	if err == nil {
		s.Synced = info.MTime
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	state, _, err := readRecord(ctx, h, n.ManagePath(stateFile))
	if err != nil {
		return err
	}
	s.Files = state.Files()
	_, err = h.Lstat(ctx, n.ManagePath(pendingFile))
	s.Unfinished = err == nil
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
