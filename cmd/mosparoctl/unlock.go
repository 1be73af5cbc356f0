package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"

	"github.com/spf13/cobra"

	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/lock"
	"github.com/mosparoctl/mosparoctl/ops/release"
)

func newUnlock(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "unlock",
		Short: "Break the lock of another operator",
		Long: `Break the lock on the admin node. Whoever holds it is shown first; if his command still runs, it notices and stops.
A lock whose holder died frees by itself after its lease, so this is rarely needed.`,
		Example:     "  mosparoctl unlock",
		Annotations: exits(ops.CodeInvalid, ops.CodeUnreachable, ops.CodeLocked, ops.CodeConfirm),
		Args:        cobra.NoArgs,
		RunE:        func(cmd *cobra.Command, _ []string) error { return runUnlock(cmd.Context(), a) },
	}
}

func runUnlock(ctx context.Context, a *app) error {
	s, err := a.open()
	if err != nil {
		return err
	}
	defer s.close()
	admin := s.deployment.Admin()
	if admin == nil {
		return ops.Errorf(ops.CodeInvalid, "the inventory has no admin node, so there is no lock").WithHint("give a node the role admin")
	}
	host, err := s.hosts.Host(ctx, admin.Name)
	if err != nil {
		return err
	}
	info, held, err := lock.Inspect(ctx, host, release.LockDir(admin))
	if err != nil {
		return err
	}
	if !held {
		a.printer.Emit(ops.Event{Kind: ops.Summary, Op: "unlock", Message: "nothing to do: nobody holds the lock"})
		return nil
	}
	if err := a.confirm(fmt.Sprintf("The lock is held by %s. Break it?", info.Holder())); err != nil {
		return err
	}
	if err := lock.Break(ctx, host, release.LockDir(admin), info.Token, operator()); err != nil {
		return err
	}
	a.printer.Emit(ops.Event{Kind: ops.Summary, Op: "unlock", Node: admin.Name, Message: "broken: the lock of " + info.Holder()})
	return nil
}

// operator is who runs this program: user and machine.
func operator() string {
	machine, _ := os.Hostname()
	name := os.Getenv("USER")
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	return name + " on " + machine
}

func newRecover(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "recover",
		Short: "Take back what a killed run left half done",
		Long: `Take back what a killed run of mosparoctl on this machine left half done: half-uploaded releases, nodes that were switched
but not checked, nodes out of rotation. A deploy or rollback does the same before it begins.`,
		Example:     "  mosparoctl recover",
		Annotations: exits(ops.CodeInvalid, ops.CodeUnreachable, ops.CodeLocked),
		Args:        cobra.NoArgs,
		RunE:        func(cmd *cobra.Command, _ []string) error { return runRecover(cmd.Context(), a) },
	}
}

func runRecover(ctx context.Context, a *app) error {
	r, err := a.openReleasing(false)
	if err != nil {
		return err
	}
	defer r.close()
	dir, err := r.stateDir()
	if err != nil {
		return err
	}
	left, err := ops.Leftovers(dir)
	if err != nil {
		return err
	}
	if len(left) == 0 {
		a.printer.Emit(ops.Event{Kind: ops.Summary, Op: "recover", Message: "nothing to do: no run was broken off"})
		return nil
	}
	return r.locked(ctx, "recover", func(ctx context.Context) error {
		n, err := ops.Recover(ctx, dir, r.undoers, a.printer)
		var known *ops.Error
		if err != nil && !errors.As(err, &known) {
			return ops.Errorf(ops.CodeFailed, "recover: %w", err)
		}
		if err == nil {
			a.printer.Emit(ops.Event{Kind: ops.Summary, Op: "recover", Message: fmt.Sprintf("done, %s taken back", count(n, "step"))})
		}
		return err
	})
}
