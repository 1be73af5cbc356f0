package release

import (
	"context"
	"fmt"
	"path"
	"slices"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
)

// PruneOptions says what goes.
type PruneOptions struct {
	Keep    int    // releases kept on a node, the active one and the one before it among them; 0: the inventory's
	Release string // remove this release wherever it is neither active nor the one before; "" goes by Keep
	Nodes   []string
}

// PlanPrune plans to remove releases that are too many, and leftovers of runs that were broken off. The active release and
// the one before it always stay. It is pure.
func (m *Manager) PlanPrune(f *Facts, o PruneOptions) (*Planned, error) {
	p := &Planned{Plan: &ops.Plan{Op: OpPrune}}
	w := ops.Wave{Name: "prune", Parallel: m.d.Parallel}
	keep := o.Keep
	if keep <= 0 {
		keep = m.keep()
	}
	for _, n := range f.Nodes {
		if o.Nodes != nil && !slices.Contains(o.Nodes, n.Node.Name) {
			continue
		}
		p.Plan.Facts = append(p.Plan.Facts, n.list()...)
		list := surplus(n.Releases, n.Current, n.Previous, keep-1)
		if o.Release != "" {
			info, ok := n.Release(o.Release)
			switch {
			case !ok:
				list = nil
			case o.Release == n.Current || o.Release == n.Previous:
				return nil, ops.Errorf(ops.CodeUsage, "release %s is active or the one before the active", o.Release).On(n.Node.Name).
					WithHint("mosparoctl releases")
			default:
				list = []Info{info}
			}
		}
		if n.Node.Paths.Layout == inventory.LayoutInPlace {
			list = nil
		}
		if len(n.temps) > 0 {
			w.Steps = append(w.Steps, m.sweepStep(n, n.temps))
		}
		if len(list) > 0 {
			w.Steps = append(w.Steps, m.pruneStep(n, list))
		}
	}
	if len(w.Steps) > 0 {
		p.Plan.Waves = []ops.Wave{w}
	}
	p.Plan.SortFacts()
	return p, nil
}

// pruneStep removes releases.
func (m *Manager) pruneStep(n *NodeFacts, list []Info) ops.Step {
	s := ops.Step{ID: stepID(n, "prune"), Node: n.Node.Name, Title: fmt.Sprintf("remove %d old releases", len(list)), Cancel: true}
	if len(list) == 1 {
		s.Title = "remove release " + list[0].ID
	}
	for _, r := range list {
		s.Changes = append(s.Changes, ops.Change{Path: releasePath(n.Node, r.ID), Action: "delete"})
	}
	s.Do = func(ctx context.Context, _ ops.Reporter) error {
		host, err := m.deps.Hosts.Host(ctx, n.Node.Name)
		if err != nil {
			return err
		}
		for _, r := range list {
			if err := removeRelease(ctx, host, n, r.ID); err != nil {
				return fmt.Errorf("remove release %s: %w", r.ID, err)
			}
		}
		return nil
	}
	return s
}

// removeRelease removes a release that is not active. It is renamed first, so that a half-removed one is never taken for
// complete.
func removeRelease(ctx context.Context, host ops.Host, n *NodeFacts, id string) error {
	if target, err := host.ReadLink(ctx, n.Node.InstallPath()); err == nil && path.Base(target) == id {
		return ops.Errorf(ops.CodeLocked, "it was made active meanwhile").On(n.Node.Name)
	}
	doomed := path.Join(releasesPath(n.Node), ops.TempPrefix+"removed-"+id)
	if err := host.RemoveAll(ctx, doomed); err != nil {
		return err
	}
	if err := host.Rename(ctx, releasePath(n.Node, id), doomed); err != nil {
		return err
	}
	return host.RemoveAll(ctx, doomed)
}

// sweepStep removes leftovers of runs that were broken off.
func (m *Manager) sweepStep(n *NodeFacts, leftovers []string) ops.Step {
	s := ops.Step{ID: stepID(n, "sweep"), Node: n.Node.Name, Title: "remove leftovers of a broken run", Cancel: true}
	for _, t := range leftovers {
		s.Changes = append(s.Changes, ops.Change{Path: t, Action: "delete"})
	}
	s.Do = func(ctx context.Context, _ ops.Reporter) error {
		host, err := m.deps.Hosts.Host(ctx, n.Node.Name)
		if err != nil {
			return err
		}
		for _, t := range leftovers {
			if err := host.RemoveAll(ctx, t); err != nil {
				return err
			}
		}
		return nil
	}
	return s
}
