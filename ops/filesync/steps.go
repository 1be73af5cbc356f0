package filesync

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"sync"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
)

type stepFunc = func(context.Context, ops.Reporter) error

// syncRun carries out the steps of one target.
type syncRun struct {
	o        SyncOptions
	source   *inventory.Node
	t        Target
	state    *Manifest // what is remembered in the end; nil: nothing
	old, new *Manifest // index of the trash
}

// trashIndex is what todo replaces or deletes, and what it makes.
func trashIndex(todo []Op) (old, new *Manifest) {
	before, after := map[string]Entry{}, map[string]Entry{}
	for _, op := range todo {
		if op.Old != nil && !op.Old.IsSpecial() {
			before[op.Path()] = *op.Old
		}
		if op.Kind != OpDelete {
			after[op.Path()] = op.Entry
		}
	}
	return manifestOf(before), manifestOf(after)
}

// manifestOf makes a manifest of entries that were part of one already.
func manifestOf(entries map[string]Entry) *Manifest {
	m := &Manifest{}
	for _, e := range entries {
		m.entries = append(m.entries, e)
	}
	slices.SortFunc(m.entries, func(a, b Entry) int {
		if a.Path < b.Path {
			return -1
		}
		return 1
	})
	return m
}

// clean removes what an unfinished run left.
func (r *syncRun) clean(ctx context.Context, _ ops.Reporter) error {
	return r.o.at(ctx, r.t.Node, func(h ops.Host, _ Peer) error {
		for _, f := range r.t.Temps {
			if err := h.RemoveAll(ctx, f); err != nil {
				return fmt.Errorf("remove %s: %w", f, err)
			}
		}
		return nil
	})
}

// prepare writes down what is about to happen, before it does: the index makes a killed run undoable, and the pending
// manifest keeps the next run from taking our own changes for somebody else's.
func (r *syncRun) prepare(ctx context.Context, _ ops.Reporter) error {
	n := r.t.Node
	return r.o.at(ctx, n, func(h ops.Host, _ Peer) error {
		attr := ops.Attr{}
		if r.t.Owner.UID != AnyID {
			attr.Owner = &r.t.Owner
		}
		// What others must be able to enter comes first, since MkdirAll gives one mode to all folders that it makes.
		for _, s := range r.o.syncPaths() {
			if err := h.MkdirAll(ctx, path.Dir(n.SharedPath(s.Path)), attr); err != nil {
				return err
			}
		}
		if err := h.MkdirAll(ctx, trashPath(n, r.o.Run, trashFiles), ops.Attr{Mode: 0o700}); err != nil {
			return err
		}
		for _, w := range []struct {
			name string
			m    *Manifest
		}{{trashPath(n, r.o.Run, trashOld), r.old}, {trashPath(n, r.o.Run, trashNew), r.new}, {n.ManagePath(pendingFile), r.state}} {
			if w.m == nil {
				continue
			}
			if err := writeState(ctx, h, w.name, w.m); err != nil {
				return err
			}
		}
		return nil
	})
}

// transfer carries out one stage.
func (r *syncRun) transfer(todo []Op) stepFunc {
	return func(ctx context.Context, report ops.Reporter) error {
		return r.o.at(ctx, r.source, func(_ ops.Host, from Peer) error {
			return r.o.at(ctx, r.t.Node, func(_ ops.Host, to Peer) error {
				return r.send(ctx, report, from, to, todo)
			})
		})
	}
}

func (r *syncRun) send(ctx context.Context, report ops.Reporter, from, to Peer, todo []Op) error {
	o := Options{
		Bandwidth: r.o.Bandwidth,
		Trash:     trashPath(r.t.Node, r.o.Run, trashFiles),
		Appeared: func(p string) {
			report.Warnf("%s appeared there while the sync was going on; what it was goes to the trash (mosparoctl sync undo %s brings it back)", p, r.o.Run)
		},
		AllowOutside: r.o.AllowOutside,
		Each:         r.each(report),
		Progress:     func(done, total int64) { report.Progress(done, total, "bytes") },
	}
	if o.Bandwidth == 0 {
		o.Bandwidth = r.o.Deployment.Sync.Bandwidth
	}
	_, err := Transfer(ctx, from, r.source.SharedPath(""), to, r.t.Node.SharedPath(""), todo, o)
	return err
}

// each tells every finished change in watch mode.
func (r *syncRun) each(report ops.Reporter) func(Op) {
	if !r.o.Each {
		return nil
	}
	return func(op Op) { report.Outputf("%s %s", op.Action(), op.Path()) }
}

// keepTrash is the number of generations that are kept.
func keepTrash(d *inventory.Deployment) int {
	if d.Sync.Trash > 0 {
		return d.Sync.Trash
	}
	return 5
}

// record remembers what the target holds now, and drops old generations of the trash.
func (r *syncRun) record(ctx context.Context, _ ops.Reporter) error {
	n := r.t.Node
	return r.o.at(ctx, n, func(h ops.Host, _ Peer) error {
		if r.state != nil {
			if err := writeState(ctx, h, n.ManagePath(stateFile), r.state); err != nil {
				return err
			}
		}
		if err := h.Remove(ctx, n.ManagePath(pendingFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		runs, err := generations(ctx, h, n)
		if err != nil {
			return err
		}
		for len(runs) > keepTrash(r.o.Deployment) {
			if err := h.RemoveAll(ctx, trashPath(n, runs[0], "")); err != nil {
				return err
			}
			runs = runs[1:]
		}
		return nil
	})
}

// reload makes PHP see files that OPcache may hold.
func (r *syncRun) reload(ctx context.Context, _ ops.Reporter) error {
	return r.o.at(ctx, r.t.Node, func(h ops.Host, _ Peer) error {
		_, err := h.Run(ctx, ops.Command{Argv: r.t.Node.PHP.Reload})
		return err
	})
}

// Apply carries a plan of this package out, each node for itself: one that fails holds no other up. The error is an
// *ops.Error: CodePartial where some nodes failed and others did not, CodeInterrupted after o.Stop.
func Apply(ctx context.Context, p *ops.Plan, o ops.ApplyOptions) (ops.ApplyResult, error) {
	nodes := p.Nodes()
	limit := len(nodes)
	for _, w := range p.Waves {
		if w.Parallel > 0 {
			limit = min(limit, w.Parallel)
		}
	}
	slots := make(chan struct{}, max(limit, 1))
	results := make([]ops.ApplyResult, len(nodes))
	errs := make([]error, len(nodes))
	var wg sync.WaitGroup
	for i, n := range nodes {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			results[i], errs[i] = ops.Apply(ctx, only(p, n), o)
		})
	}
	wg.Wait()
	var all ops.ApplyResult
	for _, r := range results {
		all.Nodes = append(all.Nodes, r.Nodes...)
	}
	return all, joinNodes(p.Op, errs)
}

// only is the part of p that concerns one node.
func only(p *ops.Plan, node string) *ops.Plan {
	part := &ops.Plan{Op: p.Op, Facts: p.Facts}
	for _, w := range p.Waves {
		w.Steps = slices.DeleteFunc(slices.Clone(w.Steps), func(s ops.Step) bool { return s.Node != node })
		part.Waves = append(part.Waves, w)
	}
	return part
}

// joinNodes makes one error of those of the nodes.
func joinNodes(op string, errs []error) error {
	var first error
	failed := 0
	for _, err := range errs {
		if ops.CodeOf(err) == ops.CodeInterrupted {
			return err
		}
		if err != nil {
			failed++
			if first == nil {
				first = err
			}
		}
	}
	if failed == 0 || failed == len(errs) {
		return first
	}
	return &ops.Error{Code: ops.CodePartial, Op: op, Hint: ops.HintOf(first), Err: fmt.Errorf("%d of %d nodes failed: %w", failed, len(errs), first)}
}
