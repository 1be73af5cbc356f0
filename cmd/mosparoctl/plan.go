package main

import (
	"context"
	"os"

	"github.com/spf13/cobra"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/release"
)

type planOptions struct {
	source   sourceOptions
	release  releaseOptions
	out      string
	rollback string
}

// previousRelease is the value of --rollback without one.
const previousRelease = "previous"

func (o *planOptions) addFlags(c *cobra.Command) {
	o.source.addFlags(c)
	o.release.addDeployFlags(c)
	f := c.Flags()
	f.StringVar(&o.out, "out", "", "write the plan to this `file`, for mosparoctl apply")
	f.StringVar(&o.rollback, "rollback", "", "plan a rollback to this `release` instead of a deploy; without a value, to the one before")
	f.Lookup("rollback").NoOptDefVal = previousRelease
}

func newPlan(a *app) *cobra.Command {
	var o planOptions
	c := &cobra.Command{
		Use:   "plan [FOLDER | ARCHIVE]",
		Short: "Show what a deploy or a rollback would do, and keep the plan for apply",
		Long: `Show what a deploy or a rollback would do. With --out the plan is kept, to be looked at by somebody else and carried out
by "mosparoctl apply", which refuses it when anything it relies on has changed. A plan file holds no secrets.`,
		Example: `  mosparoctl plan --out deploy.plan mosparo-stable-1.5.4.zip
  mosparoctl apply deploy.plan
  mosparoctl plan --rollback --out back.plan`,
		Annotations: exits(ops.CodeInvalid, ops.CodeUnreachable),
		Args:        cobra.MaximumNArgs(1),
		RunE:        func(cmd *cobra.Command, args []string) error { return runPlan(cmd.Context(), a, o, args) },
	}
	o.addFlags(c)
	_ = c.RegisterFlagCompletionFunc("from-node", completeNodes(a))
	_ = c.RegisterFlagCompletionFunc("rollback", completeReleases(a))
	return c
}

func runPlan(ctx context.Context, a *app, o planOptions, args []string) error {
	r, err := a.openReleasing(o.release.force)
	if err != nil {
		return err
	}
	defer r.close()
	facts, err := r.facts(ctx)
	if err != nil {
		return err
	}
	opts := o.release.options(r.names())
	var p *release.Planned
	var spec release.SourceSpec
	if o.rollback != "" {
		if o.rollback != previousRelease {
			opts.ID = o.rollback
		}
		p, err = r.manager.PlanRollback(facts, opts)
	} else {
		var src *release.Source
		if spec, err = o.source.spec(args); err != nil {
			return err
		}
		if src, err = r.manager.OpenSource(ctx, spec); err != nil {
			return err
		}
		defer func() { _ = src.Close() }()
		p, err = r.manager.PlanDeploy(facts, src, opts)
	}
	if err != nil {
		return err
	}
	r.notes(p)
	r.printPlan(p.Plan)
	if o.out == "" || p.Plan.Empty() {
		return nil
	}
	if err := r.manager.NewPlanFile(p, spec, opts).Write(o.out); err != nil {
		return err
	}
	a.printer.Emit(ops.Event{Kind: ops.Summary, Op: "plan", Message: "written to " + o.out + ", carry it out with: mosparoctl apply " + o.out})
	return nil
}

func newApply(a *app) *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use:   "apply FILE",
		Short: "Carry out a plan made by plan --out",
		Long: `Carry out a plan made by "mosparoctl plan --out". What the plan relies on is read again first; where something has changed,
nothing is done and the node and path are named.`,
		Example:     "  mosparoctl apply deploy.plan",
		Annotations: exits(ops.CodePartial, ops.CodeInvalid, ops.CodeUnreachable, ops.CodeLocked),
		Args:        cobra.ExactArgs(1),
		RunE:        func(cmd *cobra.Command, args []string) error { return runApply(cmd.Context(), a, args[0], force) },
	}
	c.Flags().BoolVar(&force, "force", false, "drain a node even if it is the last one that serves visitors")
	return c
}

func runApply(ctx context.Context, a *app, name string, force bool) error {
	in, err := os.Open(name)
	if err != nil {
		return ops.Errorf(ops.CodeUsage, "read plan: %w", err)
	}
	f, err := release.ReadPlanFile(in)
	_ = in.Close()
	if err != nil {
		return err
	}
	s, err := a.open()
	if err != nil {
		return err
	}
	defer s.close()
	if s.nodes, err = planNodes(s.deployment, f.Options.Nodes); err != nil {
		return err
	}
	r, err := s.releasing(force)
	if err != nil {
		return err
	}
	defer r.closePeers()
	var src *release.Source
	defer func() { _ = src.Close() }()
	return r.carryOut(ctx, f.Plan.Op, func(ctx context.Context) (*release.Planned, error) {
		facts, err := r.facts(ctx)
		if err != nil {
			return nil, err
		}
		if f.Plan.Op == release.OpDeploy {
			if src, err = r.manager.OpenSource(ctx, f.Source); err != nil {
				return nil, err
			}
		}
		return r.manager.Replan(f, facts, src)
	})
}

// planNodes are the nodes a plan was made for: nil names all.
func planNodes(d *inventory.Deployment, names []string) ([]*inventory.Node, error) {
	if names == nil {
		return d.Nodes, nil
	}
	var nodes []*inventory.Node
	for _, name := range names {
		n := d.Node(name)
		if n == nil {
			return nil, ops.Errorf(ops.CodeLocked, "the plan is stale: the inventory has no node %q any more", name).WithHint("make the plan again")
		}
		nodes = append(nodes, n)
	}
	return nodes, nil
}
