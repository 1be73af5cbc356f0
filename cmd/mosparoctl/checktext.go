package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/mosparoctl/mosparoctl/cmd/internal/output"
	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/health"
)

// writeReport draws a report: a table of all checks, then the evidence for each that is not fine. A node that can't be reached is
// told once and not under every check. quiet leaves the fine ones out, verbose shows the evidence of all.
func writeReport(w io.Writer, r health.Report, quiet, verbose bool) {
	table := output.Table{Header: []string{"CHECK", "VERDICT", "SUMMARY"}}
	var detail []health.Result
	for _, res := range r.Results {
		if res.Verdict == health.OK && quiet {
			continue
		}
		table.Rows = append(table.Rows, []string{res.Name, verdictWord(res.Verdict), res.Summary})
		if res.Verdict != health.OK || verbose {
			detail = append(detail, res)
		}
	}
	if len(table.Rows) > 0 {
		table.Write(w)
	}
	gone, unasked := r.Unreachable(), 0
	for _, res := range detail {
		if !verbose && res.Name != health.NameReach {
			res.Evidence = slices.DeleteFunc(slices.Clone(res.Evidence), func(e health.Evidence) bool {
				return e.Verdict == health.Unknown && slices.Contains(gone, e.Node)
			})
			if !slices.ContainsFunc(res.Evidence, func(e health.Evidence) bool { return e.Verdict != health.OK }) {
				unasked++
				continue
			}
		}
		writeResult(w, res)
	}
	if unasked > 0 {
		fmt.Fprintf(w, "\n%s could not be asked of %s, see node-reach\n", count(unasked, "check"), strings.Join(gone, ", "))
	}
	if quiet {
		return
	}
	var counts []string
	for _, v := range slices.Backward(health.Verdicts()) {
		if n := r.Counts[v]; n > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", n, v))
		}
	}
	fmt.Fprintf(w, "\n%s on %s in %s: %s\n", count(len(r.Results), "check"), count(len(r.Nodes), "node"),
		r.Finished.Sub(r.Started).Round(10*time.Millisecond), strings.Join(counts, ", "))
}

// writeResult draws the evidence of one check.
func writeResult(w io.Writer, res health.Result) {
	fmt.Fprintf(w, "\n%s: %s\n", res.Name, res.Title)
	rows := output.Table{Header: []string{"  NODE", "VERDICT", "EVIDENCE"}}
	for _, e := range res.Evidence {
		rows.Rows = append(rows.Rows, []string{"  " + e.Node, verdictWord(e.Verdict), e.Text})
	}
	rows.Write(w)
	if res.Verdict == health.OK {
		return
	}
	fmt.Fprintf(w, "  why:  %s\n", res.Why)
	seen := map[string]bool{"": true}
	for _, e := range res.Evidence {
		if mend := cmp.Or(e.Mend, res.Mend); e.Verdict != health.OK && !seen[mend] {
			seen[mend] = true
			fmt.Fprintf(w, "  mend: %s\n", mend)
		}
	}
}

// verdictWord makes what is bad stand out without colour.
func verdictWord(v health.Verdict) string {
	if v == health.Fail {
		return "FAIL"
	}
	return string(v)
}

// defaultCheckInterval is the time between the rounds of --watch.
const defaultCheckInterval = 30 * time.Second

// watchChecks asks again and again and prints what changed, until it is interrupted.
func (s *session) watchChecks(ctx context.Context, o checkOptions) error {
	interval := cmp.Or(o.interval, s.deployment.Check.Interval, defaultCheckInterval)
	if interval < time.Second {
		return ops.Errorf(ops.CodeUsage, "--interval is %s", interval).WithHint("--interval 30s")
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	last := map[string]health.Verdict{}
	for {
		report, err := s.check(ctx, o.filter())
		if err != nil {
			return err
		}
		s.printChanges(report, last)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// printChanges prints each check of a node whose verdict is not that of the last round, and remembers it. The first round
// tells what is not fine.
func (s *session) printChanges(r health.Report, last map[string]health.Verdict) {
	first := len(last) == 0
	for _, res := range r.Results {
		for _, e := range res.Evidence {
			key := res.Name + " " + e.Node
			was := cmp.Or(last[key], health.OK)
			last[key] = e.Verdict
			if was == e.Verdict {
				continue
			}
			kind, text := ops.Warning, fmt.Sprintf("%s: %s, was %s: %s", res.Name, e.Verdict, was, e.Text)
			if first {
				text = fmt.Sprintf("%s: %s: %s", res.Name, e.Verdict, e.Text)
			}
			event := ops.Event{Time: e.At, Node: e.Node, Message: text}
			if e.Verdict == health.OK {
				kind = ops.Output
			} else {
				event.Hint = cmp.Or(e.Mend, res.Mend)
			}
			event.Kind = kind
			s.app.printer.Emit(event)
		}
	}
	if first {
		s.app.printer.Emit(ops.Event{Kind: ops.Output, Message: fmt.Sprintf("%s: %s on %s, %d ok; what changes from now on follows",
			r.Started.Format("15:04:05"), count(len(r.Results), "check"), count(len(r.Nodes), "node"), r.Counts[health.OK])})
	}
}
