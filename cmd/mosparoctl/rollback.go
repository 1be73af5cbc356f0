package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/release"
)

// completionTimeout bounds what a shell waits for words that come from a node.
const completionTimeout = 3 * time.Second

type rollbackOptions struct {
	release releaseOptions
	dryRun  bool
}

func (o *rollbackOptions) addFlags(c *cobra.Command) {
	o.release.addFlags(c)
	c.Flags().BoolVarP(&o.dryRun, "dry-run", "n", false, "show what would be done and change nothing")
}

func newRollback(a *app) *cobra.Command {
	var o rollbackOptions
	c := &cobra.Command{
		Use:   "rollback [RELEASE]",
		Short: "Go back to a release the nodes still have",
		Long: `Go back to a release the nodes still have; without RELEASE, to the one before the active one.

The release is verified on every node first. Then each node is taken out of rotation, switched, given the configuration that
goes with the release, checked and put back, as in a deploy. Migrations of the database are not taken back: when there
have been some, a warning names them.`,
		Example: `  mosparoctl rollback
  mosparoctl rollback 1.5.3-20260301T120000Z-91c0f02b --dry-run`,
		Annotations:       exits(ops.CodePartial, ops.CodeInvalid, ops.CodeUnreachable, ops.CodeLocked, ops.CodeFindings),
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeReleases(a),
		RunE: func(cmd *cobra.Command, args []string) error {
			id := ""
			if len(args) > 0 {
				id = args[0]
			}
			return runRollback(cmd.Context(), a, o, id)
		},
	}
	o.addFlags(c)
	return c
}

func runRollback(ctx context.Context, a *app, o rollbackOptions, id string) error {
	r, err := a.openReleasing(o.release.force)
	if err != nil {
		return err
	}
	defer r.close()
	plan := func(ctx context.Context) (*release.Planned, error) {
		facts, err := r.facts(ctx)
		if err != nil {
			return nil, err
		}
		opts := o.release.options(r.names())
		opts.ID = id
		return r.manager.PlanRollback(facts, opts)
	}
	return r.carryOutOrShow(ctx, release.OpRollback, o.dryRun, plan)
}
