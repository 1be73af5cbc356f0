package filesync

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
)

// Plan makes the plan that brings the targets into step with the source, and what an operator should know about it as
// events of kind Warning. It is pure. A plan without steps says that all is in step.
//
// Errors: CodeConfirm (a *DeleteBudgetError) where more would be deleted than may be; CodeFailed where the source looks
// emptied or holds symlinks that lead out.
func Plan(f *Facts, o SyncOptions) (*ops.Plan, []ops.Event, error) {
	if o.Run == "" {
		o.Run = NewRun(time.Now())
	}
	for _, t := range f.Targets {
		o.Run = laterRun(o.Run, t.Generations)
	}
	paths := o.syncPaths()
	x, err := o.excludes(paths)
	if err != nil {
		return nil, nil, err
	}
	p := &planner{f: f, o: o, paths: paths, exclude: x, plan: &ops.Plan{Op: "sync"}}
	if err := p.source(); err != nil {
		return nil, nil, err
	}
	wave := ops.Wave{Name: "sync", Parallel: o.Deployment.Parallel}
	var over *DeleteBudgetError
	deletions := 0
	for _, t := range f.Targets {
		todo := Diff(f.wanted(t), t.Tree, o.diffOptions(paths, x))
		if err := p.emptied(t, todo); err != nil {
			return nil, nil, err
		}
		n, e, err := p.deletions(t, todo)
		if err != nil {
			return nil, nil, err
		}
		if deletions += n; over == nil {
			over = e
		}
		wave.Steps = append(wave.Steps, p.steps(t, todo)...)
	}
	if over != nil && o.Confirmed != deletions {
		over.Count = deletions
		return nil, p.warnings, (&ops.Error{Code: ops.CodeConfirm, Op: "sync", Err: over}).
			WithHint("mosparoctl sync --delete --max-delete=%d", over.Files)
	}
	if len(wave.Steps) > 0 {
		p.plan.Waves = []ops.Wave{wave}
	}
	p.plan.SortFacts()
	return p.plan, p.warnings, nil
}

type planner struct {
	f        *Facts
	o        SyncOptions
	paths    []inventory.SyncPath
	exclude  *Exclude
	plan     *ops.Plan
	warnings []ops.Event
}

func (p *planner) warnf(node, format string, args ...any) {
	p.warnings = append(p.warnings, ops.Event{Kind: ops.Warning, Op: "sync", Node: node, Message: fmt.Sprintf(format, args...)})
}

// source checks the source's tree and notes it as facts.
func (p *planner) source() error {
	for e := range p.f.Tree.All() {
		if e.IsSpecial() {
			p.warnf(p.f.Source.Name, "%s is a %s and is left out", e.Path, e.kind())
		}
		if e.IsLink() && !p.o.AllowOutside && LeavesRoot(e.Path, e.Target) {
			return sourceError(p.f.Source, outsideLink(e))
		}
	}
	p.facts(p.f.Source, p.f.Tree)
	for node, err := range p.f.Unreadable {
		p.warnings = append(p.warnings, ops.Event{Kind: ops.Warning, Op: "sync", Node: node, Message: "left out",
			Error: err.Error(), Hint: ops.HintOf(err), Code: ops.CodeOf(err)})
	}
	slices.SortStableFunc(p.warnings, func(a, b ops.Event) int { return strings.Compare(a.Node, b.Node) })
	return nil
}

// facts notes what each path was on n, so that a plan whose facts no longer hold can be told.
func (p *planner) facts(n *inventory.Node, tree *Manifest) {
	for _, s := range p.paths {
		m := stateOf(tree.Filter(func(e Entry) bool { return pathOf(p.paths, e.Path).Path == s.Path }))
		value := "absent"
		if m.Len() > 0 {
			value = m.Digest()[:16]
		}
		p.plan.Facts = append(p.plan.Facts, ops.Fact{Node: n.Name, Path: n.SharedPath(s.Path), Value: value})
	}
}

// emptied refuses to delete all of a path since the source has nothing of it: more likely it is not mounted. Without
// deletions it is only told.
func (p *planner) emptied(t Target, todo []Op) error {
	if p.f.Uninstalled && t.Installed {
		return sourceError(p.f.Source, ops.Errorf(ops.CodeFailed,
			"%s says that mosparo is not installed, but it is on %s", configPath, t.Node.Name))
	}
	for _, s := range p.paths {
		mine := func(e Entry) bool {
			return !e.IsDir() && !e.IsSpecial() && pathOf(p.paths, e.Path).Path == s.Path && !p.exclude.Covers(e.Path, false)
		}
		if p.f.Tree.Filter(mine).Len() > 0 || t.Tree.Filter(mine).Len() == 0 {
			continue
		}
		deletes := slices.ContainsFunc(todo, func(op Op) bool { return op.Kind == OpDelete && mine(op.Entry) })
		if deletes {
			return sourceError(p.f.Source, ops.Errorf(ops.CodeFailed, "%s is empty or gone, but %s has %d files in it: nothing is deleted",
				s.Path, t.Node.Name, t.Tree.Filter(mine).Len()))
		}
		p.warnf(p.f.Source.Name, "%s is empty or gone, but %s has %d files in it", s.Path, t.Node.Name, t.Tree.Filter(mine).Len())
	}
	return nil
}

// deletions counts what is deleted on t, and says if that is more than may be.
func (p *planner) deletions(t Target, todo []Op) (int, *DeleteBudgetError, error) {
	n := 0
	for _, op := range todo {
		if op.Kind == OpDelete && !op.Entry.IsDir() {
			n++
		}
	}
	total := 0
	for e := range t.Tree.All() {
		if !e.IsDir() && !p.exclude.Covers(e.Path, false) {
			total++
		}
	}
	max := p.o.MaxDelete
	if max == "" {
		max = p.o.Deployment.Sync.MaxDelete
	}
	limit, err := budget(max, total)
	if err != nil || n <= limit {
		return n, nil, err
	}
	return n, &DeleteBudgetError{Node: t.Node.Name, Files: n, Of: total, Limit: limit}, nil
}

// stages of a sync of one node, in order, after those of rank. What refers to something comes after it, and nothing is
// deleted before what referred to it is gone.
const (
	stageDelete = 4
	stages      = 5
)

// steps is what is done on t.
func (p *planner) steps(t Target, todo []Op) []ops.Step {
	p.facts(t.Node, t.Tree)
	if t.Damaged {
		p.warnf(t.Node.Name, "the record of the last sync is damaged: what somebody else changed there can't be told this time")
	}
	r := &syncRun{o: p.o, source: p.f.Source, t: t, state: nextState(p.f.Tree, t, todo)}
	var steps []ops.Step
	add := func(id, title string, do stepFunc, changes ...ops.Change) {
		steps = append(steps, ops.Step{ID: "sync/" + t.Node.Name + "/" + id, Node: t.Node.Name, Title: title, Changes: changes,
			Cancel: true, Do: do})
	}
	if len(t.Temps) > 0 {
		var changes []ops.Change
		for _, f := range t.Temps {
			changes = append(changes, ops.Change{Path: f, Action: "delete", Detail: "left by an unfinished run"})
		}
		add("clean", "remove temporary files of an unfinished run", r.clean, changes...)
	}
	if len(todo) > 0 {
		r.old, r.new = trashIndex(todo)
		add("prepare", "open the trash", r.prepare)
	}
	reload := false
	for stage, staged := range p.stage(todo) {
		if len(staged) == 0 {
			continue
		}
		reload = reload || slices.ContainsFunc(staged, func(op Op) bool { return strings.HasSuffix(op.Path(), ".php") })
		add(fmt.Sprintf("%d", stage), stageTitle(stage, staged), r.transfer(staged), p.changes(t, staged)...)
	}
	if len(todo) > 0 || t.Damaged || t.Pending != nil || t.State == nil || t.State.Digest() != r.state.Digest() {
		add("record", "remember what was synced", r.record)
	}
	if reload && len(t.Node.PHP.Reload) > 0 {
		add("reload", "reload PHP", r.reload, ops.Change{Path: strings.Join(t.Node.PHP.Reload, " "), Action: "run"})
	}
	return steps
}

// stage groups ops by when they are done.
func (p *planner) stage(todo []Op) [stages][]Op {
	var groups [stages][]Op
	made := map[string]bool{}
	for _, op := range todo {
		if op.Kind != OpDelete {
			made[op.Path()] = op.Entry.IsDir()
		}
	}
	for _, op := range todo {
		stage := rank(p.paths, op.Path())
		if op.Kind == OpDelete && !inTheWayOf(op.Path(), made) {
			stage = stageDelete
		}
		groups[stage] = append(groups[stage], op)
	}
	return groups
}

// stageTitle is what a stage does, in words.
func stageTitle(stage int, todo []Op) string {
	if stage == stageDelete {
		return "delete " + count(len(todo), "path")
	}
	if len(todo) == 1 {
		return todo[0].Action() + " " + todo[0].Path()
	}
	var size int64
	for _, op := range todo {
		if op.Kind == OpPut {
			size += op.Entry.Size
		}
	}
	return fmt.Sprintf("change %s, %s to send", count(len(todo), "path"), bytesText(size))
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// bytesText is a size for people.
func bytesText(n int64) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d B", n)
	case n < 1000*1000:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	case n < 1000*1000*1000:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.1f GB", float64(n)/1e9)
}

// changes describes ops, and warns of those that hit something that somebody else changed.
func (p *planner) changes(t Target, todo []Op) []ops.Change {
	var list []ops.Change
	for _, op := range todo {
		c := ops.Change{Path: t.Node.SharedPath(op.Path()), Action: op.Action(), Detail: detail(op)}
		if op.Old != nil && op.Kind != OpSetAttr && !op.Old.IsDir() && foreign(*op.Old, t.State, t.Pending) {
			c.Detail = strings.TrimPrefix(c.Detail+"; changed on the node since the last sync, kept in the trash", "; ")
			p.warnf(t.Node.Name, "%s was changed there since the last sync; what is there goes to the trash (mosparoctl sync undo %s brings it back)",
				op.Path(), p.o.Run)
		}
		list = append(list, c)
	}
	return list
}

// detail is what changes, in few words.
func detail(op Op) string {
	var parts []string
	old := op.Old
	switch {
	case op.Kind == OpDelete:
	case op.Kind == OpSymlink:
		parts = append(parts, "-> "+op.Entry.Target)
	case old == nil:
		if op.Entry.IsFile() {
			parts = append(parts, bytesText(op.Entry.Size))
		}
	case op.Kind == OpPut && old.IsFile() && old.Size != op.Entry.Size:
		parts = append(parts, bytesText(old.Size)+" → "+bytesText(op.Entry.Size))
	case op.Kind == OpPut:
		parts = append(parts, "content")
	}
	if old != nil && op.Kind == OpSetAttr {
		if old.perm() != op.Entry.perm() {
			parts = append(parts, fmt.Sprintf("mode %04o → %04o", old.perm().Perm(), op.Entry.perm().Perm()))
		}
		if op.Entry.UID != AnyID && old.UID != op.Entry.UID || op.Entry.GID != AnyID && old.GID != op.Entry.GID {
			parts = append(parts, fmt.Sprintf("owner %d:%d → %d:%d", old.UID, old.GID, op.Entry.UID, op.Entry.GID))
		}
		if !op.Entry.IsDir() && old.MTime != op.Entry.MTime {
			parts = append(parts, "time")
		}
	}
	return strings.Join(parts, ", ")
}
