package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/mosparoctl/mosparoctl/cmd/internal/output"
	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/cron"
)

func newCron(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cron",
		Short: "Schedule mosparo's jobs so that they never collide",
		Long: `mosparo's jobs run on the admin node (cron.mode: admin-only), or each on several nodes at different times (staggered).
Two nodes never start the same job closer together than cron.distance, and no two heavy jobs either, clock changes included.
Lines of others in a crontab are never touched.`,
		Example: `  mosparoctl cron plan
  mosparoctl cron apply`,
		Annotations: exits(),
		Args:        cobra.NoArgs,
		RunE:        func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newCronPlan(a), newCronDiff(a), newCronApply(a), newCronRemove(a), newCronList(a))
	return cmd
}

// cronWork is what all cron commands need.
type cronWork struct {
	*session
	states map[string]*cron.NodeState // of all nodes, or none when offline
	now    time.Time
}

// openCron reads the crontabs of all nodes: where a node's jobs start depends on the others too.
func (a *app) openCron(ctx context.Context, offline bool) (*cronWork, error) {
	s, err := a.open()
	if err != nil {
		return nil, err
	}
	w := &cronWork{session: s, now: time.Now()}
	if offline {
		return w, nil
	}
	w.states, err = eachNode(ctx, s, s.deployment.Nodes, func(ctx context.Context, h ops.Host, n *inventory.Node) (*cron.NodeState, error) {
		return cron.Read(ctx, h, s.deployment, n, w.now)
	})
	if err != nil {
		s.close()
		return nil, err
	}
	return w, nil
}

// lay works out the schedule and warns of what disturbs it.
func (w *cronWork) lay() (*cron.Overview, error) {
	o, err := cron.Lay(w.deployment, w.states, w.now)
	if err != nil {
		return nil, err
	}
	for _, f := range o.Foreign {
		w.app.printer.Emit(ops.Event{Kind: ops.Warning, Message: f.String()})
	}
	return o, nil
}

type cronPlanOptions struct {
	offline bool
	width   int
	hours   int
}

func newCronPlan(a *app) *cobra.Command {
	o := cronPlanOptions{width: 100, hours: 24}
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Draw when the jobs start, and prove their distance",
		Long: `plan works out the schedule, draws the coming hours for each node and simulates more than a year of it, minute by
minute, with each node's time zone and what cron does when the clock changes. Exit status 7 says that a promise is broken.`,
		Example: `  mosparoctl cron plan
  mosparoctl cron plan --offline --output json`,
		Annotations: exits(ops.CodeInvalid, ops.CodeUnreachable, ops.CodeFindings),
		Args:        cobra.NoArgs,
		RunE:        func(cmd *cobra.Command, _ []string) error { return runCronPlan(cmd.Context(), a, o) },
	}
	cmd.Flags().BoolVar(&o.offline, "offline", false, "connect to no node: a fresh schedule, as if none was written yet")
	cmd.Flags().IntVar(&o.width, "width", o.width, "`columns` of the drawing")
	cmd.Flags().IntVar(&o.hours, "hours", o.hours, "`hours` to draw")
	return cmd
}

// scheduleView is one schedule, in JSON.
type scheduleView struct {
	Node  string    `json:"node"`
	Job   string    `json:"job"`
	Every string    `json:"every"`
	Zone  string    `json:"zone"`
	Cron  string    `json:"cron"`            // the five fields
	Guard string    `json:"guard,omitempty"` // test in sh that must pass too
	Next  time.Time `json:"next"`
}

// cronView is a whole plan, in JSON.
type cronView struct {
	Schedules []scheduleView    `json:"schedules"`
	Starts    []startView       `json:"starts"`
	Moved     []cron.Slot       `json:"moved,omitempty"`
	Foreign   []cron.ForeignJob `json:"foreign,omitempty"`
	Proof     proofView         `json:"proof"`
}

type startView struct {
	At   time.Time `json:"at"`
	Node string    `json:"node"`
	Job  string    `json:"job"`
}

type proofView struct {
	OK       bool    `json:"ok"`
	Starts   int     `json:"starts"`
	Days     int     `json:"days"`
	Promised float64 `json:"promised_seconds"`
	Least    float64 `json:"least_seconds"` // negative: no two starts could collide
	Text     string  `json:"text"`
}

func runCronPlan(ctx context.Context, a *app, o cronPlanOptions) error {
	if o.hours < 1 || o.hours > 24*31 {
		return ops.Errorf(ops.CodeUsage, "--hours is %d", o.hours).WithHint("--hours 24")
	}
	w, err := a.openCron(ctx, o.offline)
	if err != nil {
		return err
	}
	defer w.close()
	lay, err := w.lay()
	if err != nil {
		return err
	}
	for _, err := range lay.Zones {
		a.printer.Emit(ops.Event{Kind: ops.Warning, Message: err.Error(), Hint: ops.HintOf(err)})
	}
	timeline := cron.NewTimeline(lay.Schedules, w.deployment.Cron.Distance, w.now, time.Duration(o.hours)*time.Hour)
	view, table := cronViews(lay, timeline, w.now)
	a.printer.Result("cron plan", view, func(out io.Writer) {
		table.Write(out)
		fmt.Fprintf(out, "\n%s\n%s\n", timeline.Text(o.width), lay.Proof)
		for _, m := range lay.Moved {
			fmt.Fprintf(out, "%s on %s starts at another time than now\n", m.Job, m.Node)
		}
	})
	if !lay.Proof.OK() {
		return ops.Errorf(ops.CodeFindings, "the schedule breaks its promise: %s", lay.Proof)
	}
	return nil
}

func cronViews(lay *cron.Overview, timeline cron.Timeline, now time.Time) (cronView, output.Table) {
	v := cronView{Schedules: []scheduleView{}, Starts: []startView{}, Moved: lay.Moved, Foreign: lay.Foreign,
		Proof: proofView{lay.Proof.OK(), lay.Proof.Starts, cron.ProofDays, lay.Proof.Promised.Seconds(), lay.Proof.Least.Seconds(), lay.Proof.String()}}
	if lay.Proof.Least < 0 {
		v.Proof.Least = -1
	}
	t := output.Table{Header: []string{"NODE", "JOB", "EVERY", "NEXT (UTC)", "CRON", "ZONE"}}
	for _, s := range lay.Schedules {
		guard := ""
		if s.Guard != nil {
			guard = s.Guard.Shell()
		}
		next := s.Next(now)
		v.Schedules = append(v.Schedules, scheduleView{s.Node, s.Job, s.Every.String(), s.Zone.String(), s.Fields.Text, guard, next})
		fields := s.Fields.Text
		if guard != "" {
			fields += " + test"
		}
		t.Rows = append(t.Rows, []string{s.Node, s.Job, s.Interval(), next.Format("Mon 15:04"), fields, s.Zone.String()})
	}
	for _, s := range timeline.Starts {
		v.Starts = append(v.Starts, startView{s.At, s.Node, s.Job})
	}
	return v, t
}

func newCronDiff(a *app) *cobra.Command {
	return &cobra.Command{
		Use:         "diff",
		Short:       "Show how the crontabs differ from the schedule",
		Example:     `  mosparoctl cron diff`,
		Annotations: exits(ops.CodeInvalid, ops.CodeUnreachable, ops.CodeFindings),
		Args:        cobra.NoArgs,
		RunE:        func(cmd *cobra.Command, _ []string) error { return runCronDiff(cmd.Context(), a) },
	}
}

func runCronDiff(ctx context.Context, a *app) error {
	w, err := a.openCron(ctx, false)
	if err != nil {
		return err
	}
	defer w.close()
	_, diffs, err := w.planApply()
	if err != nil {
		return err
	}
	a.printer.Result("cron diff", append([]cron.NodeDiff{}, diffs...), func(out io.Writer) {
		for _, d := range diffs {
			fmt.Fprintf(out, "%s: %s\n", d.Node, d.Path)
			for _, line := range d.Diff {
				fmt.Fprintf(out, "  %s\n", line)
			}
		}
		if len(diffs) == 0 {
			fmt.Fprintln(out, "no differences")
		}
	})
	if len(diffs) > 0 {
		return ops.Errorf(ops.CodeFindings, "%s differ from the schedule", count(len(diffs), "crontab")).WithHint("mosparoctl cron apply")
	}
	return nil
}

func (w *cronWork) planApply() (*ops.Plan, []cron.NodeDiff, error) {
	lay, err := w.lay()
	if err != nil {
		return nil, nil, err
	}
	return cron.PlanApply(w.deployment, lay, w.states, w.nodes, w.hosts)
}

func newCronApply(a *app) *cobra.Command {
	dryRun := false
	cmd := &cobra.Command{
		Use:   "apply",
		Short: "Write the schedule into the nodes' crontabs",
		Long: `apply writes each node's jobs between two marker lines of its crontab, or into a file of their own in /etc/cron.d
(cron.target). Nodes that have a schedule keep their times where possible. A node whose clock is not in the time zone of the
inventory is refused.`,
		Example: `  mosparoctl cron apply --dry-run
  mosparoctl cron apply`,
		Annotations: exits(ops.CodePartial, ops.CodeInvalid, ops.CodeUnreachable, ops.CodeLocked, ops.CodeFindings),
		Args:        cobra.NoArgs,
		RunE:        func(cmd *cobra.Command, _ []string) error { return runCronApply(cmd.Context(), a, dryRun) },
	}
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "show what would change and change nothing; exit status 7 if there is something")
	return cmd
}

func runCronApply(ctx context.Context, a *app, dryRun bool) error {
	w, err := a.openCron(ctx, false)
	if err != nil {
		return err
	}
	defer w.close()
	plan, _, err := w.planApply()
	if err != nil {
		return err
	}
	if dryRun {
		return w.dryRun(plan)
	}
	return w.apply(ctx, plan, nil)
}

func newCronRemove(a *app) *cobra.Command {
	dryRun := false
	cmd := &cobra.Command{
		Use:         "remove",
		Short:       "Take the schedule out of the nodes' crontabs",
		Long:        `remove takes out what apply wrote, and nothing else. No job of mosparo's runs on these nodes afterwards.`,
		Example:     `  mosparoctl cron remove --nodes app3`,
		Annotations: exits(ops.CodePartial, ops.CodeInvalid, ops.CodeUnreachable, ops.CodeLocked, ops.CodeFindings, ops.CodeConfirm),
		Args:        cobra.NoArgs,
		RunE:        func(cmd *cobra.Command, _ []string) error { return runCronRemove(cmd.Context(), a, dryRun) },
	}
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "show what would change and change nothing; exit status 7 if there is something")
	return cmd
}

func runCronRemove(ctx context.Context, a *app, dryRun bool) error {
	w, err := a.openCron(ctx, false)
	if err != nil {
		return err
	}
	defer w.close()
	plan, _ := cron.PlanRemove(w.deployment, w.states, w.nodes, w.hosts)
	if dryRun {
		return w.dryRun(plan)
	}
	if !plan.Empty() {
		if err := a.confirm(fmt.Sprintf("Stop mosparo's jobs on %s?", count(len(plan.Nodes()), "node"))); err != nil {
			return err
		}
	}
	return w.apply(ctx, plan, nil)
}

func newCronList(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the jobs of mosparo in the nodes' crontabs",
		Long: `list prints what is in the crontabs now: the jobs mosparoctl wrote, and lines of others that run jobs of mosparo,
also under names that mosparo does not have.`,
		Example:     `  mosparoctl cron list --nodes app1`,
		Annotations: exits(ops.CodeInvalid, ops.CodeUnreachable),
		Args:        cobra.NoArgs,
		RunE:        func(cmd *cobra.Command, _ []string) error { return runCronList(cmd.Context(), a) },
	}
}

// cronEntry is one job found on a node, in JSON.
type cronEntry struct {
	Node    string `json:"node"`
	File    string `json:"file"`
	Line    int    `json:"line"`
	Cron    string `json:"cron,omitempty"`
	Job     string `json:"job"`
	Managed bool   `json:"managed"`
	Correct string `json:"correct,omitempty"`
}

func runCronList(ctx context.Context, a *app) error {
	w, err := a.openCron(ctx, false)
	if err != nil {
		return err
	}
	defer w.close()
	entries := []cronEntry{}
	t := output.Table{Header: []string{"NODE", "JOB", "CRON", "WHERE", "WHOSE"}}
	for _, n := range w.nodes {
		s := w.states[n.Name]
		for _, e := range s.Managed() {
			entries = append(entries, cronEntry{Node: n.Name, File: e.File, Line: e.Line, Cron: e.Fields, Job: e.Job, Managed: true})
			t.Rows = append(t.Rows, []string{n.Name, e.Job, e.Fields, fmt.Sprintf("%s:%d", e.File, e.Line), "mosparoctl"})
		}
		for _, f := range s.Foreign {
			entries = append(entries, cronEntry{Node: n.Name, File: f.File, Line: f.Line, Job: f.Command, Correct: f.Correct})
			whose := "other"
			if f.Correct != "" {
				whose = "other, no such command: " + f.Correct
			}
			t.Rows = append(t.Rows, []string{n.Name, f.Command, "", fmt.Sprintf("%s:%d", f.File, f.Line), whose})
		}
	}
	a.printer.Table("cron jobs", t, entries)
	return nil
}
