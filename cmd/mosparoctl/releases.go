package main

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/release"
)

func newReleases(a *app) *cobra.Command {
	return &cobra.Command{
		Use:         "releases",
		Short:       "List the releases on the nodes",
		Example:     "  mosparoctl releases\n  mosparoctl releases --nodes app1 --output json",
		Annotations: exits(ops.CodePartial, ops.CodeInvalid, ops.CodeUnreachable),
		Args:        cobra.NoArgs,
		RunE:        func(cmd *cobra.Command, _ []string) error { return runReleases(cmd.Context(), a) },
	}
}

func runReleases(ctx context.Context, a *app) error {
	s, err := a.open()
	if err != nil {
		return err
	}
	defer s.close()
	m := release.New(s.deployment, release.Deps{Hosts: s.hosts})
	read := make([]*release.NodeFacts, len(s.nodes))
	errs := s.forNodes(ctx, s.nodes, func(ctx context.Context, _ ops.Host, n *inventory.Node) error {
		f, err := m.Read(ctx, []*inventory.Node{n})
		if err == nil {
			read[slices.Index(s.nodes, n)] = f.Nodes[0]
		}
		return err
	})
	t, rows := releaseTable(&release.Facts{Nodes: slices.DeleteFunc(read, func(f *release.NodeFacts) bool { return f == nil })})
	a.printer.Table("releases", t, rows)
	for i, err := range errs {
		if err != nil {
			a.printer.Emit(ops.Event{Kind: ops.Warning, Node: s.nodes[i].Name, Message: "its releases are unknown", Error: err.Error(), Hint: ops.HintOf(err)})
		}
	}
	return partialError(errs)
}

type pruneOptions struct {
	keep    int
	release string
	dryRun  bool
}

func (o *pruneOptions) addFlags(c *cobra.Command) {
	f := c.Flags()
	f.IntVar(&o.keep, "keep", 0, "keep this `number` of releases on a node (default: the inventory's release.keep)")
	f.StringVar(&o.release, "release", "", "remove this `release` instead of the oldest")
	f.BoolVarP(&o.dryRun, "dry-run", "n", false, "show what would be removed and change nothing")
}

func newPrune(a *app) *cobra.Command {
	var o pruneOptions
	c := &cobra.Command{
		Use:   "prune",
		Short: "Remove old releases and leftovers of broken runs",
		Long: `Remove old releases and leftovers of broken runs.

The active release and the one before it always stay. A deploy prunes at its end by itself; don't prune right before one:
file systems make new files slowly for a while after many were deleted.`,
		Example:     "  mosparoctl prune --keep 2 --dry-run\n  mosparoctl prune --release 1.5.2-20260101T120000Z-0f3a9c11",
		Annotations: exits(ops.CodePartial, ops.CodeInvalid, ops.CodeUnreachable, ops.CodeLocked, ops.CodeFindings),
		Args:        cobra.NoArgs,
		RunE:        func(cmd *cobra.Command, _ []string) error { return runPrune(cmd.Context(), a, o) },
	}
	o.addFlags(c)
	_ = c.RegisterFlagCompletionFunc("release", completeReleases(a))
	return c
}

func runPrune(ctx context.Context, a *app, o pruneOptions) error {
	r, err := a.openReleasing(false)
	if err != nil {
		return err
	}
	defer r.close()
	plan := func(ctx context.Context) (*release.Planned, error) {
		facts, err := r.manager.Read(ctx, r.nodes)
		if err != nil {
			return nil, err
		}
		return r.manager.PlanPrune(facts, release.PruneOptions{Keep: o.keep, Release: o.release})
	}
	return r.carryOutOrShow(ctx, release.OpPrune, o.dryRun, plan)
}
