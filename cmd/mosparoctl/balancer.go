package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/mosparoctl/mosparoctl/cmd/internal/output"
	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/balancer"
)

func newBalancer(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "balancer",
		Short: "Look at the load balancers",
		Long: `See which servers the load balancers of the inventory send visitors to. The commands drain and ready take nodes out of
rotation and put them back.`,
		Example:     "  mosparoctl balancer status",
		Annotations: exits(),
		Args:        cobra.NoArgs,
		RunE:        func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(&cobra.Command{
		Use:   "status",
		Short: "Show every server at every balancer",
		Long: `status asks every balancer for its servers: in rotation (ready), drained by mosparoctl (drain), or taken out by somebody else
(maint). Up says whether the server passes the balancer's own check.`,
		Example:     "  mosparoctl balancer status",
		Annotations: exits(ops.CodeInvalid, ops.CodeUnreachable),
		Args:        cobra.NoArgs,
		RunE:        func(cmd *cobra.Command, _ []string) error { return runBalancerStatus(cmd.Context(), a) },
	})
	return cmd
}

func runBalancerStatus(ctx context.Context, a *app) error {
	s, err := a.open()
	if err != nil {
		return err
	}
	defer s.close()
	set, err := s.balancers(false)
	if err != nil {
		return err
	}
	servers, err := set.State(ctx)
	table := output.Table{Header: []string{"BALANCER", "NODE", "SERVER", "STATE", "UP", "SESSIONS", "DETAIL"}}
	for _, srv := range servers {
		up, sessions, node := "no", "", srv.Node
		if srv.Up {
			up = "yes"
		}
		if srv.State == balancer.StateUnknown {
			up = ""
		}
		if srv.Sessions >= 0 {
			sessions = strconv.Itoa(srv.Sessions)
		}
		if node == "" {
			node = "-"
		}
		table.Rows = append(table.Rows, []string{srv.Balancer, node, srv.Name, string(srv.State), up, sessions, srv.Detail})
	}
	if servers == nil {
		servers = []balancer.Server{}
	}
	a.printer.Table("balancers", table, servers)
	return err
}

// balancers are the deployment's, of which there must be one.
func (s *session) balancers(force bool) (*balancer.Set, error) {
	set, err := balancer.New(s.deployment, s.hosts, balancer.Options{Force: force})
	if err != nil {
		return nil, err
	}
	if set.Empty() {
		return nil, ops.Errorf(ops.CodeInvalid, "the inventory has no load balancer").
			WithHint("describe it under balancers: in %s", s.deployment.File)
	}
	return set, nil
}

type rotationOptions struct {
	force, dryRun bool
	states        []balancer.State // a node in one of these at every balancer needs nothing
}

// done reports whether the node is at every balancer as it is wanted.
func (o rotationOptions) done(facts []ops.Fact, node string) bool {
	for _, f := range facts {
		if f.Node == node && !slices.Contains(o.states, balancer.State(f.Value)) {
			return false
		}
	}
	return true
}

func newDrain(a *app) *cobra.Command {
	o := rotationOptions{states: []balancer.State{balancer.StateDrain, balancer.StateMaint}}
	cmd := &cobra.Command{
		Use:   "drain NODE...",
		Short: "Take nodes out of rotation at every balancer",
		Long: `drain takes the nodes out of rotation, one after the other, and waits until their connections have ended, at most the
balancer's wait. The last server that serves visitors stays, unless --force is given. A node that is out already stays as it is.`,
		Example: `  mosparoctl drain app2
  mosparoctl ready app2`,
		Annotations:       exits(ops.CodePartial, ops.CodeInvalid, ops.CodeUnreachable, ops.CodeLocked, ops.CodeFindings),
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: completeNodes(a),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runRotation(cmd.Context(), a, "drain", args, o, func(set *balancer.Set, n string) ops.Step { return set.DrainStep("drain "+n, n, nil) })
		},
	}
	cmd.Flags().BoolVar(&o.force, "force", false, "drain the last serving server too")
	cmd.Flags().BoolVarP(&o.dryRun, "dry-run", "n", false, "show what would be done and change nothing")
	return cmd
}

func newReady(a *app) *cobra.Command {
	o := rotationOptions{states: []balancer.State{balancer.StateReady}}
	cmd := &cobra.Command{
		Use:   "ready NODE...",
		Short: "Put nodes back into rotation at every balancer",
		Long: `ready puts the nodes back into rotation, one after the other, and waits until each balancer sees them up. It also puts back
what somebody else has taken out.`,
		Example:           "  mosparoctl ready app2",
		Annotations:       exits(ops.CodePartial, ops.CodeInvalid, ops.CodeUnreachable, ops.CodeLocked, ops.CodeFindings),
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: completeNodes(a),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runRotation(cmd.Context(), a, "ready", args, o, func(set *balancer.Set, n string) ops.Step { return set.ReadyStep("ready "+n, n) })
		},
	}
	cmd.Flags().BoolVarP(&o.dryRun, "dry-run", "n", false, "show what would be done and change nothing")
	return cmd
}

// runRotation changes the nodes one after the other, so that a failure leaves the others as they are.
func runRotation(ctx context.Context, a *app, op string, names []string, o rotationOptions, step func(*balancer.Set, string) ops.Step) error {
	s, err := a.open()
	if err != nil {
		return err
	}
	defer s.close()
	set, err := s.balancers(o.force)
	if err != nil {
		return err
	}
	plan := &ops.Plan{Op: op}
	if plan.Facts, err = set.Facts(ctx); err != nil {
		return fmt.Errorf("look at the balancers: %w", err)
	}
	seen := map[string]bool{}
	for _, name := range names {
		n := s.deployment.Node(name)
		switch {
		case n == nil:
			return ops.Errorf(ops.CodeUsage, "the inventory has no node %q", name).WithHint("mosparoctl inventory list")
		case !n.Has(inventory.RoleApp):
			return ops.Errorf(ops.CodeUsage, "%s has no role app, so no balancer sends visitors to it", name).WithHint("mosparoctl balancer status")
		case seen[name] || o.done(plan.Facts, name):
			continue
		}
		seen[name] = true
		plan.Waves = append(plan.Waves, ops.Wave{Name: name, Steps: []ops.Step{step(set, name)}})
	}
	if o.dryRun {
		return s.dryRun(plan)
	}
	return s.apply(ctx, plan, set.Undoers())
}
