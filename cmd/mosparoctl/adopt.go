package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/release"
)

type adoptOptions struct {
	undo, dryRun bool
}

func (o *adoptOptions) addFlags(c *cobra.Command) {
	f := c.Flags()
	f.BoolVar(&o.undo, "undo", false, "turn the active release back into an installation in place")
	f.BoolVarP(&o.dryRun, "dry-run", "n", false, "show the plan and change nothing")
}

func newAdopt(a *app) *cobra.Command {
	var o adoptOptions
	c := &cobra.Command{
		Use:   "adopt NODE",
		Short: "Turn an existing installation into releases, shared paths and a link",
		Long: `Turn the installation that lies in a node's root folder into a release, shared paths and the link "current".

Everything is moved within the file system, nothing is copied, so it takes a moment. The node is out of rotation meanwhile;
where there is no balancer, mosparo is down for that moment. Links keep the paths of the web server and of cron jobs
working. The plan is shown first, and --undo goes back.`,
		Example:           "  mosparoctl adopt app1 --dry-run\n  mosparoctl adopt app1\n  mosparoctl adopt app1 --undo",
		Annotations:       exits(ops.CodeInvalid, ops.CodeUnreachable, ops.CodeLocked, ops.CodeFindings, ops.CodeConfirm),
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeNodes(a),
		RunE:              func(cmd *cobra.Command, args []string) error { return runAdopt(cmd.Context(), a, o, args[0]) },
	}
	o.addFlags(c)
	return c
}

func runAdopt(ctx context.Context, a *app, o adoptOptions, node string) error {
	s, err := a.open()
	if err != nil {
		return err
	}
	defer s.close()
	n := s.deployment.Node(node)
	if n == nil {
		return ops.Errorf(ops.CodeUsage, "the inventory has no node %q", node).WithHint("mosparoctl inventory list")
	}
	r, err := s.releasing(false)
	if err != nil {
		return err
	}
	defer r.closePeers()
	plan := func(ctx context.Context, id string) (*release.Planned, error) {
		facts, err := r.manager.Read(ctx, r.manager.FactNodes(nil))
		if f := facts.Of(node); err == nil && f == nil {
			facts, err = r.manager.Read(ctx, append(firstNode(s), n))
		}
		if err != nil {
			return nil, err
		}
		f := facts.Of(node)
		if o.undo {
			return r.manager.PlanUnadopt(f)
		}
		if f.Current != "" {
			return r.manager.PlanAdopt(f, nil, id)
		}
		src, err := r.manager.OpenInstallation(ctx, n)
		if err != nil {
			return nil, err
		}
		return r.manager.PlanAdopt(f, src, id)
	}
	shown, err := plan(ctx, "")
	if err != nil {
		return err
	}
	if o.dryRun {
		return r.dryRunRelease(shown, nil)
	}
	if !shown.Plan.Empty() {
		r.printPlan(shown.Plan)
		if err := a.confirm("Do this on " + node + "?"); err != nil {
			return err
		}
	}
	return r.carryOut(ctx, shown.Plan.Op, func(ctx context.Context) (*release.Planned, error) {
		p, err := plan(ctx, shown.Release.ID)
		if err != nil {
			return nil, err
		}
		return p, ops.Stale(shown.Plan, p.Plan)
	})
}
