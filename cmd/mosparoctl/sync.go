package main

import (
	"context"
	"errors"
	"fmt"

	"math"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/mosparoctl/mosparoctl/cmd/internal/output"
	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/filesync"
)

type syncOptions struct {
	dryRun, check, watch bool
	delete, checksum     bool
	outside              bool
	maxDelete            string
	exclude              []string
	bandwidth            rateFlag
	interval             time.Duration
}

func newSync(a *app) *cobra.Command {
	var o syncOptions
	cmd := &cobra.Command{
		Use:   "sync",
		Short: "Bring the nodes into step with the admin node",
		Long: `Sync copies config/env.mosparo.php, public/resources, var/data and the paths that the inventory adds from the admin
node to the others: data first, mappings.php and env.mosparo.php last. Caches, logs and a SQLite database are never
touched. Without --delete nothing is deleted; what is replaced or deleted goes to a trash on the node first.

A source that vanished, was emptied, can't be read or lacks its marker is refused with status 1, and nothing is changed.`,
		Example: `  mosparoctl sync --dry-run            # what would change
  mosparoctl sync --delete             # also delete what the admin node doesn't have
  mosparoctl sync --check              # status 7 if a node has drifted
  mosparoctl sync --watch              # keep in step until Ctrl-C
  mosparoctl sync undo                 # bring back what the last run replaced`,
		Annotations: exits(ops.CodePartial, ops.CodeInvalid, ops.CodeUnreachable, ops.CodeLocked, ops.CodeFindings, ops.CodeConfirm),
		Args:        cobra.NoArgs,
		RunE:        func(cmd *cobra.Command, _ []string) error { return runSync(cmd.Context(), a, o) },
	}
	o.addFlags(cmd)
	cmd.AddCommand(newSyncUndo(a), newSyncStatus(a))
	return cmd
}

func (o *syncOptions) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&o.dryRun, "dry-run", false, "show what would be done, with status 7 if that is anything")
	f.BoolVar(&o.check, "check", false, "list what differs on which node, with status 7 if anything does")
	f.BoolVar(&o.watch, "watch", false, "go on: sync after every change and at every interval, until interrupted")
	f.BoolVar(&o.delete, "delete", false, "delete on the nodes what the admin node doesn't have")
	f.StringVar(&o.maxDelete, "max-delete", "", "most that may be deleted on a node: a `count` or a share as in 20% (default: the inventory's, else 10%)")
	f.BoolVar(&o.checksum, "checksum", false, "compare all files by content instead of by size and time")
	f.StringArrayVar(&o.exclude, "exclude", nil, "leave out what matches this `pattern`, as in .gitignore; may be repeated")
	f.Var(&o.bandwidth, "bwlimit", "bytes per second and node, as in 5MB (default: the inventory's)")
	f.BoolVar(&o.outside, "allow-outside-links", false, "copy symlinks that point out of their tree instead of refusing them")
	f.DurationVar(&o.interval, "interval", 0, "time between full passes of --watch (default: the inventory's, else 5m)")
	cmd.MarkFlagsMutuallyExclusive("dry-run", "check", "watch")
}

// rateFlag is a rate such as "5MB" or "512KiB", in bytes per second.
type rateFlag int64

// String is the rate in bytes per second.
func (r *rateFlag) String() string { return strconv.FormatInt(int64(*r), 10) }

// Type names the flag's value in help texts.
func (r *rateFlag) Type() string { return "rate" }

// Set reads a number with an optional unit: k, M or G, an i for powers of 1024, B.
func (r *rateFlag) Set(s string) error {
	number := strings.TrimRight(s, "kKMGiB")
	unit := strings.TrimSuffix(s[len(number):], "B")
	base := 1000.0
	if u, ok := strings.CutSuffix(unit, "i"); ok {
		unit, base = u, 1024
	}
	power, known := map[string]float64{"": 0, "k": 1, "K": 1, "M": 2, "G": 3}[unit]
	f, err := strconv.ParseFloat(number, 64)
	if f *= math.Pow(base, power); err != nil || !known || !(f >= 1 && f <= 1e12) {
		return errors.New("write a number with its unit, such as 5MB or 512KiB")
	}
	*r = rateFlag(f)
	return nil
}

// options are what the flags and the session ask of a sync.
func (o syncOptions) options(s *session) (filesync.SyncOptions, error) {
	var targets []*inventory.Node
	for _, n := range s.nodes {
		if !n.Has(inventory.RoleAdmin) {
			targets = append(targets, n)
		}
	}
	if len(targets) == 0 {
		return filesync.SyncOptions{}, ops.Errorf(ops.CodeUsage, "there is no node to sync to besides the admin node").WithHint("mosparoctl inventory list")
	}
	return filesync.SyncOptions{Deployment: s.deployment, Targets: targets, Peers: filesync.NewPeers(s.hosts, nil), Delete: o.delete, MaxDelete: o.maxDelete,
		Checksum: o.checksum, Exclude: o.exclude, Bandwidth: int64(o.bandwidth), AllowOutside: o.outside}, nil
}

func runSync(ctx context.Context, a *app, o syncOptions) error {
	s, err := a.open()
	if err != nil {
		return err
	}
	defer s.close()
	so, err := o.options(s)
	if err != nil {
		return err
	}
	defer func() { _ = so.Peers.Close() }()
	switch {
	case o.watch:
		defer a.endAtHangup()()
		return a.gracefully(func() error {
			return filesync.Watch(ctx, so, filesync.WatchOptions{Interval: o.interval, Sink: a.printer, Stop: a.stop,
				Locked: func(ctx context.Context, pass func(context.Context) error) error { return s.locked(ctx, "sync", pass) }})
		})
	case o.dryRun, o.check:
		return s.lookSync(ctx, so, o.check)
	}
	if err := filesync.CheckSource(ctx, so); err != nil {
		return err
	}
	return s.locked(ctx, "sync", func(ctx context.Context) error {
		f, err := filesync.Gather(ctx, so)
		if err != nil {
			return err
		}
		p, err := s.planSync(f, so)
		if err != nil {
			return err
		}
		return s.applyEach(ctx, p, f.Failures(), len(f.Targets), fmt.Sprintf("%s on %s", count(f.Tree.Files(), "file"), count(len(f.Targets), "node")))
	})
}

// planSync plans, and asks for the number where more would be deleted than may be.
func (s *session) planSync(f *filesync.Facts, o filesync.SyncOptions) (*ops.Plan, error) {
	p, warnings, err := filesync.Plan(f, o)
	var over *filesync.DeleteBudgetError
	if errors.As(err, &over) && s.app.interactive() {
		question := fmt.Sprintf("%v.", over)
		if err := s.app.confirmTyped(question, strconv.Itoa(over.Count), ops.HintOf(err)); err != nil {
			return nil, err
		}
		o.Confirmed = over.Count
		p, warnings, err = filesync.Plan(f, o)
	}
	s.warn(warnings)
	return p, err
}

func (s *session) warn(warnings []ops.Event) {
	for _, w := range warnings {
		s.app.printer.Emit(w)
	}
}

// lookSync shows what a sync would do, by node and path with brief set. It needs no lock, since it changes nothing.
func (s *session) lookSync(ctx context.Context, o filesync.SyncOptions, brief bool) error {
	c, err := filesync.Compare(ctx, o)
	if c != nil {
		s.warn(c.Warnings)
	}
	if err != nil {
		return err
	}
	f, drift := c.Facts, c.Drift
	if !brief {
		return errors.Join(f.Failures(), s.dryRun(c.Plan))
	}
	rows := make([][]string, len(drift))
	for i, d := range drift {
		rows[i] = []string{d.Node, d.Action, d.Path, d.Detail}
	}
	if len(drift) > 0 || s.app.flags.output == string(output.JSON) {
		s.app.printer.Table("drift", output.Table{Header: []string{"NODE", "NEEDS", "PATH", "DETAIL"}, Rows: rows}, drift)
	}
	switch {
	case f.Failures() != nil:
		return f.Failures()
	case len(drift) > 0:
		return ops.Errorf(ops.CodeFindings, "%s out of step", count(len(drift), "path")).WithHint("mosparoctl sync")
	}
	s.app.printer.Emit(ops.Event{Kind: ops.Summary, Op: "sync", Message: fmt.Sprintf("in step: %s on %s", count(f.Tree.Files(), "file"), count(len(f.Targets), "node"))})
	return nil
}

// applyEach carries out a plan whose nodes don't depend on each other, for a caller that holds the lock. left are the
// failures of nodes that took no part; done is how many did, and what they have in the end.
func (s *session) applyEach(ctx context.Context, p *ops.Plan, left error, took int, have string) error {
	if p.Empty() && left == nil {
		s.app.printer.Emit(ops.Event{Kind: ops.Summary, Op: p.Op, Message: "nothing to do, in step: " + have})
		return nil
	}
	var res ops.ApplyResult
	err := s.app.gracefully(func() (err error) {
		res, err = filesync.Apply(ctx, p, ops.ApplyOptions{Sink: s.app.printer, Stop: s.stop})
		return err
	})
	switch {
	case err != nil:
		return errors.Join(err, left)
	case left != nil && took > 0:
		return &ops.Error{Code: ops.CodePartial, Op: p.Op, Hint: ops.HintOf(left), Err: left}
	case left != nil:
		return left
	}
	s.app.printer.Emit(ops.Event{Kind: ops.Summary, Op: p.Op, Message: p.Op + ": " + applied(res) + ": " + have})
	return nil
}

func newSyncUndo(a *app) *cobra.Command {
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "undo [RUN]",
		Short: "Bring back what a sync replaced or deleted",
		Long: `Undo takes the last sync back, or the run that is named, on the selected nodes: what it replaced or deleted returns from the
trash, what it made goes, unless it was changed since. What is replaced by that goes to the trash again.

The admin node is not touched: the next sync brings its files again.`,
		Example: `  mosparoctl sync undo --dry-run
  mosparoctl sync undo --nodes app2
  mosparoctl sync undo 20261123-053412.120-k3vq`,
		Annotations: exits(ops.CodePartial, ops.CodeInvalid, ops.CodeUnreachable, ops.CodeLocked, ops.CodeFindings),
		Args:        cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			run := ""
			if len(args) == 1 {
				run = args[0]
			}
			return runSyncUndo(cmd.Context(), a, run, dryRun)
		},
	}
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "show what would be done, with status 7 if that is anything")
	return cmd
}

func runSyncUndo(ctx context.Context, a *app, run string, dryRun bool) error {
	s, err := a.open()
	if err != nil {
		return err
	}
	defer s.close()
	so, err := syncOptions{}.options(s)
	if err != nil {
		return err
	}
	defer func() { _ = so.Peers.Close() }()
	plan := func(ctx context.Context) (*filesync.UndoFacts, *ops.Plan, error) {
		f, err := filesync.GatherUndo(ctx, so, run)
		if err != nil {
			return nil, nil, err
		}
		p, warnings, err := filesync.PlanUndo(f, so)
		s.warn(warnings)
		return f, p, err
	}
	if dryRun {
		f, p, err := plan(ctx)
		if err != nil {
			return err
		}
		return errors.Join(f.Failures(), s.dryRun(p))
	}
	return s.locked(ctx, "sync undo", func(ctx context.Context) error {
		f, p, err := plan(ctx)
		if err != nil {
			return err
		}
		return s.applyEach(ctx, p, f.Failures(), len(f.Targets), fmt.Sprintf("run %s taken back on %s", f.Run, count(len(f.Targets), "node")))
	})
}

func newSyncStatus(a *app) *cobra.Command {
	return &cobra.Command{
		Use:         "status",
		Short:       "Show when each node was synced, and which runs can be undone",
		Example:     "  mosparoctl sync status --output json",
		Annotations: exits(ops.CodePartial, ops.CodeInvalid, ops.CodeUnreachable),
		Args:        cobra.NoArgs,
		RunE:        func(cmd *cobra.Command, _ []string) error { return runSyncStatus(cmd.Context(), a) },
	}
}

func runSyncStatus(ctx context.Context, a *app) error {
	s, err := a.open()
	if err != nil {
		return err
	}
	defer s.close()
	so, err := syncOptions{}.options(s)
	if err != nil {
		return err
	}
	defer func() { _ = so.Peers.Close() }()
	var rows [][]string
	var known []filesync.NodeStatus
	var failures []error
	for _, n := range filesync.ReadStatus(ctx, so) {
		if n.Err != nil {
			failures = append(failures, n.Err)
			a.printer.Emit(ops.Event{Kind: ops.Warning, Op: "sync status", Node: n.Node, Error: n.Err.Error(), Hint: ops.HintOf(n.Err)})
			continue
		}
		known = append(known, n)
		synced, note := "never", ""
		if !n.Synced.IsZero() {
			synced = n.Synced.Local().Format(time.DateTime)
		}
		if n.Unfinished {
			note = "a sync did not end; run it again"
		}
		runs := strings.Join(n.Generations, " ")
		if runs == "" {
			runs = "-"
		}
		rows = append(rows, []string{n.Node, synced, strconv.Itoa(n.Files), runs, note})
	}
	if len(known) > 0 {
		a.printer.Table("sync", output.Table{Header: []string{"NODE", "LAST SYNC", "FILES", "RUNS TO UNDO", "NOTE"}, Rows: rows}, known)
	}
	switch {
	case len(failures) > 0 && len(known) > 0:
		return &ops.Error{Code: ops.CodePartial, Op: "sync status", Hint: ops.HintOf(failures[0]), Err: errors.Join(failures...)}
	case len(failures) > 0:
		return failures[0]
	}
	return nil
}
