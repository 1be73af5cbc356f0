package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/mosparoctl/mosparoctl/cmd/internal/output"
	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/health"
)

// checkFormat is how the text of a report is laid out.
type checkFormat string

const (
	formatTable      checkFormat = "table"
	formatNagios     checkFormat = "nagios"
	formatPrometheus checkFormat = "prometheus"
)

type checkOptions struct {
	only, family  []string
	format        string
	strict, watch bool
	list          bool
	interval      time.Duration
}

func newCheck(a *app) *cobra.Command {
	o := checkOptions{format: string(formatTable)}
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Find what is silently wrong on and between the nodes",
		Long: `check asks every node what goes wrong with several of them and does not show: whether all are there, run the same code with
the same configuration and keys, agree on the time, and reach the same cache and database. docs/checks.md lists all checks.
Nothing is changed.

With --format nagios the output is one line and the exit status that of a monitoring plugin: 0 ok, 1 warning, 2 critical,
3 unknown. With --format prometheus it is metrics for the node exporter's textfile collector.`,
		Example: `  mosparoctl check
  mosparoctl check --family cache,database --nodes app*
  mosparoctl check --only files-keys --output json
  mosparoctl check --watch              # print what changes, until Ctrl-C`,
		Annotations: exits(ops.CodePartial, ops.CodeInvalid, ops.CodeUnreachable, ops.CodeFindings),
		Args:        cobra.NoArgs,
		RunE:        func(cmd *cobra.Command, _ []string) error { return runCheck(cmd.Context(), a, o) },
	}
	o.addFlags(cmd)
	return cmd
}

func (o *checkOptions) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringSliceVar(&o.only, "only", nil, "ask these checks only: `names` or patterns, as in cache-*")
	f.StringSliceVar(&o.family, "family", nil, "ask these `families` only: "+strings.Join(familyNames(), ", "))
	f.StringVar(&o.format, "format", o.format, "layout of the text: table, nagios or prometheus")
	f.BoolVar(&o.strict, "strict", false, "end with status 7 for warnings and for what is unknown too")
	f.BoolVarP(&o.watch, "watch", "w", false, "go on, printing what changes, until interrupted")
	f.DurationVar(&o.interval, "interval", 0, "time between the rounds of --watch (default: the inventory's, else 30s)")
	f.BoolVar(&o.list, "list", false, "list the checks and ask nothing")
	cmd.MarkFlagsMutuallyExclusive("watch", "list", "format")
	for flag, words := range map[string][]string{
		"only": checkNames(), "family": familyNames(), "format": {string(formatTable), string(formatNagios), string(formatPrometheus)},
	} {
		complete := func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return words, cobra.ShellCompDirectiveNoFileComp
		}
		if err := cmd.RegisterFlagCompletionFunc(flag, complete); err != nil {
			panic(err) // a flag of that name is not there: a mistake in this program
		}
	}
}

func checkNames() []string {
	var names []string
	for _, c := range health.Checks() {
		names = append(names, c.About().Name)
	}
	return names
}

func familyNames() []string {
	var names []string
	for _, f := range health.Families() {
		names = append(names, string(f))
	}
	return names
}

func (o checkOptions) filter() health.Filter {
	f := health.Filter{Only: o.only}
	for _, name := range o.family {
		f.Families = append(f.Families, health.Family(name))
	}
	return f
}

func runCheck(ctx context.Context, a *app, o checkOptions) error {
	switch format := checkFormat(o.format); {
	case o.list:
		return listChecks(a, o)
	case format == formatNagios:
		return nagios(ctx, a, o)
	case format != formatTable && format != formatPrometheus:
		return ops.Errorf(ops.CodeUsage, "unknown format %q", o.format).WithHint("--format table, nagios or prometheus")
	}
	s, err := a.open()
	if err != nil {
		return err
	}
	defer s.close()
	if o.watch {
		return s.watchChecks(ctx, o)
	}
	report, err := s.check(ctx, o.filter())
	if err != nil {
		return err
	}
	if checkFormat(o.format) == formatPrometheus {
		a.printer.Result("check", report, func(w io.Writer) { fmt.Fprint(w, report.Prometheus()) })
		return nil
	}
	a.printer.Result("check", report, func(w io.Writer) { writeReport(w, report, a.flags.quiet, a.flags.verbose) })
	return verdictError(report, o.strict)
}

// check asks the selected nodes.
func (s *session) check(ctx context.Context, f health.Filter) (health.Report, error) {
	env := health.Env{Deployment: s.deployment, Hosts: s.hosts, Nodes: s.nodes, Redact: s.app.redactor.Add, Questions: s.hosts.Questions}
	report, err := health.Run(ctx, env, f)
	if err == nil && ctx.Err() != nil {
		err = ctx.Err() // half an answer is none
	}
	return report, err
}

// nagios prints one line, whatever happens, and sets the exit status that a monitoring system expects.
func nagios(ctx context.Context, a *app, o checkOptions) error {
	report, err := func() (health.Report, error) {
		s, err := a.open()
		if err != nil {
			return health.Report{}, err
		}
		defer s.close()
		return s.check(ctx, o.filter())
	}()
	line, status := report.Nagios(), report.NagiosStatus()
	if err != nil {
		text, _, _ := strings.Cut(err.Error(), "\n")
		line, status = "MOSPARO UNKNOWN - "+strings.ReplaceAll(text, "|", "/"), 3
	}
	a.status = &status
	a.printer.Result("check", report, func(w io.Writer) { fmt.Fprintln(w, line) })
	return nil
}

// verdictError is the error with which a command ends that found report, or nil.
func verdictError(r health.Report, strict bool) error {
	bad := 0
	for _, res := range r.Results {
		if res.Name != health.NameReach && (res.Verdict == health.Fail || strict && res.Verdict != health.OK) {
			bad++
		}
	}
	gone := r.Unreachable()
	var err *ops.Error
	switch {
	case bad > 0 && len(gone) < len(r.Nodes):
		err = ops.Errorf(ops.CodeFindings, "%d of %s found a problem", bad, count(len(r.Results), "check"))
	case len(gone) == 0:
		return nil
	case len(gone) == len(r.Nodes):
		err = ops.Errorf(ops.CodeUnreachable, "no node could be reached")
	default:
		err = ops.Errorf(ops.CodePartial, "%s could not be reached; the other nodes are fine", strings.Join(gone, ", "))
	}
	return err
}

// listChecks prints what could be asked.
func listChecks(a *app, o checkOptions) error {
	table := output.Table{Header: []string{"CHECK", "FAMILY", "QUESTION"}}
	infos, err := health.List(o.filter())
	if err != nil {
		return err
	}
	for _, i := range infos {
		table.Rows = append(table.Rows, []string{i.Name, string(i.Family), i.Title})
	}
	a.printer.Table("checks", table, infos)
	return nil
}
