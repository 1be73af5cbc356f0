package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/mosparoctl/mosparoctl/cmd/internal/output"
	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/cron"
	"github.com/mosparoctl/mosparoctl/ops/logs"
)

// logsOptions are the flags of logs.
type logsOptions struct {
	follow  bool
	since   string
	lines   int
	sources []string
}

// Lines read from the end of each file where --lines says nothing: fewer to look at, more to search.
const (
	defaultLines = 100
	sinceLines   = 10_000
)

// mergeWindow is how long --follow waits for lines of other nodes that are older.
const mergeWindow = time.Second

func newLogs(a *app) *cobra.Command {
	var o logsOptions
	cmd := &cobra.Command{
		Use:   "logs",
		Short: "Show the logs of all nodes, merged by time",
		Long: `logs reads mosparo's own logs (var/log), PHP-FPM's (php.fpm_log in the inventory) and what the scheduled jobs told syslog, from
the nodes that --nodes, --role and --group choose, and prints the lines in the order of their times. Times without a zone are read
in the node's. --follow goes on until it is interrupted, and waits a second for lines that are late.`,
		Example: `  mosparoctl logs --since 1h
  mosparoctl logs --follow --role app --source app,fpm
  mosparoctl logs --source cron --lines 20`,
		Annotations: exits(ops.CodePartial, ops.CodeInvalid, ops.CodeUnreachable),
		Args:        cobra.NoArgs,
		RunE:        func(cmd *cobra.Command, _ []string) error { return runLogs(cmd.Context(), a, o, time.Now()) },
	}
	f := cmd.Flags()
	f.BoolVarP(&o.follow, "follow", "f", false, "go on with what is logged from now on")
	f.StringVar(&o.since, "since", "", "only lines since this `time`: 30m, 2h, or 2026-01-31T12:00:00Z")
	f.IntVarP(&o.lines, "lines", "n", 0, "at most so many lines from the end of each file (default 100, with --since 10000)")
	f.StringSliceVar(&o.sources, "source", nil, "only these `logs`: app, fpm, cron")
	return cmd
}

// options checks the flags.
func (o logsOptions) options(d *inventory.Deployment, now time.Time) (logs.Options, error) {
	out := logs.Options{Sources: logs.Sources(), Lines: o.lines, Follow: o.follow, Now: now}
	if o.lines < 0 {
		return out, ops.Errorf(ops.CodeUsage, "--lines %d: it can't be negative", o.lines)
	}
	if len(o.sources) > 0 {
		out.Sources = nil
	}
	for _, s := range o.sources {
		if !slices.Contains(logs.Sources(), logs.Source(s)) {
			return out, ops.Errorf(ops.CodeUsage, "there is no log %q", s).WithHint("--source app, fpm or cron")
		}
		out.Sources = append(out.Sources, logs.Source(s))
	}
	if out.Lines == 0 {
		out.Lines = defaultLines
	}
	if o.since != "" {
		ago, err := time.ParseDuration(o.since)
		out.Since = now.Add(-ago)
		if err != nil {
			if out.Since, err = time.Parse(time.RFC3339, o.since); err != nil {
				return out, ops.Errorf(ops.CodeUsage, "--since %s: neither a duration nor a time", o.since).WithHint("--since 2h or --since %s", now.UTC().Format(time.RFC3339))
			}
		}
		if o.lines == 0 {
			out.Lines = sinceLines
		}
	}
	jobs, err := cron.Jobs(d)
	for _, j := range jobs {
		out.Tags = append(out.Tags, "mosparo-"+j.Name)
	}
	return out, err
}

func runLogs(ctx context.Context, a *app, o logsOptions, now time.Time) error {
	s, err := a.open()
	if err != nil {
		return err
	}
	defer s.close()
	options, err := o.options(s.deployment, now)
	if err != nil {
		return err
	}
	show := func(l logs.Line) {
		a.printer.Emit(ops.Event{Kind: ops.Output, Op: "logs", Time: l.Time, Node: l.Node, Step: string(l.Source), Message: output.Printable(l.Text)})
	}
	var errs []error
	if o.follow {
		errs = s.follow(ctx, options, show)
	} else {
		errs = s.collect(ctx, options, show)
	}
	for _, err := range errs {
		if err != nil && ctx.Err() == nil {
			a.printer.Emit(ops.Event{Kind: ops.Warning, Op: "logs", Message: strings.TrimSpace(err.Error()), Hint: ops.HintOf(err)})
		}
	}
	if ctx.Err() != nil {
		return &ops.Error{Code: ops.CodeInterrupted, Op: "logs", Err: errors.New("interrupted")}
	}
	return partialError(errs)
}

// collect reads all there is, then shows it in order.
func (s *session) collect(ctx context.Context, o logs.Options, show func(logs.Line)) []error {
	var mu sync.Mutex
	var all []logs.Line
	errs := s.forNodes(ctx, s.nodes, func(ctx context.Context, h ops.Host, n *inventory.Node) error {
		return logs.Read(ctx, h, n, o, func(l logs.Line) {
			mu.Lock()
			defer mu.Unlock()
			all = append(all, l)
		})
	})
	logs.Sort(all)
	for _, l := range all {
		show(l)
	}
	return errs
}

// follow shows lines as they come. Every node is followed at once, however few the inventory lets work at a time.
func (s *session) follow(ctx context.Context, o logs.Options, show func(logs.Line)) []error {
	lines := make(chan logs.Line)
	errs := make([]error, len(s.nodes))
	go func() {
		defer close(lines)
		sideBySide(0, len(s.nodes), func(i int) {
			h, err := s.hosts.Host(ctx, s.nodes[i].Name)
			if err == nil {
				err = logs.Read(ctx, h, s.nodes[i], o, func(l logs.Line) { lines <- l })
			}
			errs[i] = onNode(s.nodes[i].Name, err)
		})
	}()
	logs.Merge(lines, mergeWindow, show)
	return errs
}
