package health

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// nagiosWords and their numbers are those of the monitoring plugins' guidelines.
var nagiosWords = map[Verdict]string{OK: "OK", Warn: "WARNING", Fail: "CRITICAL", Unknown: "UNKNOWN"}

// NagiosStatus is the exit status that Nagios, Icinga and their kin expect of a plugin.
func (r Report) NagiosStatus() int { return nagiosStatus(r.Verdict()) }

func nagiosStatus(v Verdict) int {
	return map[Verdict]int{OK: 0, Warn: 1, Fail: 2, Unknown: 3}[v]
}

// Nagios is the report as one line of a monitoring plugin: the state, the worst findings, and the figures.
func (r Report) Nagios() string {
	var b strings.Builder
	fmt.Fprintf(&b, "MOSPARO %s - ", nagiosWords[r.Verdict()])
	results := slices.Clone(r.Results)
	sortBad(results)
	const shown = 3
	bad := 0
	for _, res := range results {
		if res.Verdict == OK {
			continue
		}
		if bad++; bad <= shown {
			fmt.Fprintf(&b, "%s: %s; ", res.Name, plain(res.Summary))
		}
	}
	if bad > shown {
		fmt.Fprintf(&b, "%d more; ", bad-shown)
	}
	fmt.Fprintf(&b, "%d checks on %d nodes", len(r.Results), len(r.Nodes))
	separator := " | "
	for _, res := range r.Results {
		for _, e := range res.Evidence {
			for _, f := range e.Figures {
				fmt.Fprintf(&b, "%s'%s'=%s%s;%s;%s", separator, perfLabel(e.Node+" "+res.Name+" "+f.Name), number(f.Value), f.Unit, limit(f.Warn), limit(f.Fail))
				separator = " "
			}
		}
	}
	return b.String()
}

// plain drops what has a meaning in a plugin's line.
func plain(s string) string { return strings.ReplaceAll(oneLine(s), "|", "/") }

func perfLabel(s string) string { return strings.NewReplacer("'", "", "=", "_", "|", "_").Replace(s) }

func number(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

func limit(v float64) string {
	if v == 0 {
		return ""
	}
	return number(v)
}

// Prometheus is the report in the text format of Prometheus, for the node exporter's textfile collector.
func (r Report) Prometheus() string {
	var b strings.Builder
	b.WriteString("# HELP mosparoctl_check_verdict Verdict of a check on a node: 0 ok, 1 warn, 2 fail, 3 unknown.\n# TYPE mosparoctl_check_verdict gauge\n")
	for _, res := range r.Results {
		for _, e := range res.Evidence {
			fmt.Fprintf(&b, "mosparoctl_check_verdict{check=%s,family=%s,node=%s} %d\n", label(res.Name), label(string(res.Family)), label(e.Node), nagiosStatus(e.Verdict))
		}
	}
	b.WriteString("# HELP mosparoctl_check_figure What a check measured on a node, in the unit named.\n# TYPE mosparoctl_check_figure gauge\n")
	for _, res := range r.Results {
		for _, e := range res.Evidence {
			for _, f := range e.Figures {
				fmt.Fprintf(&b, "mosparoctl_check_figure{check=%s,node=%s,figure=%s,unit=%s} %s\n", label(res.Name), label(e.Node), label(f.Name),
					label(cmp.Or(f.Unit, "1")), number(f.Value))
			}
		}
	}
	fmt.Fprintf(&b, "# HELP mosparoctl_check_finished_seconds When the checks ended, as Unix time.\n# TYPE mosparoctl_check_finished_seconds gauge\n"+
		"mosparoctl_check_finished_seconds %d\n", r.Finished.Unix())
	return b.String()
}

func label(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s) + `"`
}
