package output

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/mosparoctl/mosparoctl/ops"
)

// ANSI attributes. Colour is never the only sign: each painted word says the same.
const (
	red    = "31"
	green  = "32"
	yellow = "33"
	bold   = "1"
	dim    = "2"
)

func (p *Printer) paint(attr, s string) string {
	if !p.o.Color {
		return s
	}
	return "\x1b[" + attr + "m" + s + "\x1b[0m"
}

// text prints an event for people: what happened goes to stdout, warnings and failures to stderr.
func (p *Printer) text(e ops.Event) {
	e.Message, e.Error, e.Hint = Printable(e.Message), Printable(e.Error), Printable(e.Hint)
	where := ""
	if e.Node != "" {
		where = p.paint(bold, e.Node) + ": "
	}
	switch e.Kind {
	case ops.Progress:
		p.track(e)
	case ops.Started:
		p.track(e)
		if p.o.Verbose {
			p.line(p.o.Stdout, "%s %s%s", p.paint(dim, "…"), where, e.Message)
		}
	case ops.Planned:
		if !p.o.Quiet {
			p.line(p.o.Stdout, "  %s%s", where, e.Message)
		}
	case ops.Finished:
		p.untrack(e)
		if !p.o.Quiet {
			p.line(p.o.Stdout, "%s %s%s", p.paint(green, "✓"), where, e.Message)
		}
	case ops.Skipped:
		p.untrack(e)
		if p.o.Verbose && !p.o.Quiet {
			p.line(p.o.Stdout, "%s %s%s", p.paint(dim, "·"), where, e.Message+" (nothing to do)")
		}
	case ops.Output:
		// Outside of a plan's steps, output is what the command was asked for.
		if !p.o.Quiet || e.Step == "" {
			p.line(p.o.Stdout, "%s%s", where, e.Message)
		}
	case ops.Warning:
		p.line(p.o.Stderr, "%s %s%s", p.paint(yellow, "warning:"), where, joinNonEmpty(": ", e.Message, cause(e)))
		p.hint(e)
	case ops.Failed:
		p.untrack(e)
		p.line(p.o.Stderr, "%s %s%s", p.paint(red, "✗"), where, joinNonEmpty(": ", e.Message, cause(e)))
		p.hint(e)
	case ops.Summary:
		if !p.o.Quiet {
			p.line(p.o.Stdout, "%s", e.Message)
		}
	}
}

// cause is the error of e without the node, which stands before the message already.
func cause(e ops.Event) string {
	if e.Node == "" {
		return e.Error
	}
	return strings.TrimPrefix(e.Error, e.Node+": ")
}

func (p *Printer) hint(e ops.Event) {
	if e.Hint != "" {
		p.line(p.o.Stderr, "   %s %s", p.paint(bold, "hint:"), e.Hint)
	}
}

func (p *Printer) line(w io.Writer, format string, args ...any) {
	p.clear()
	fmt.Fprintf(w, format+"\n", args...)
}

func joinNonEmpty(sep string, parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), sep)
}

// progress is the one line at the bottom of a terminal.
type progress struct {
	nodes map[string]ops.Event // what each node is at
	drawn bool
	last  time.Time
}

// redrawEvery bounds how often the line is drawn: often enough to look alive, little over a slow line.
const redrawEvery = 100 * time.Millisecond

func (p *Printer) track(e ops.Event) {
	if !p.o.Terminal || p.o.Quiet {
		return
	}
	p.nodes[e.Node] = e
	if time.Since(p.last) < redrawEvery {
		return
	}
	p.last = time.Now()
	p.clear()
	names := make([]string, 0, len(p.nodes))
	for n := range p.nodes {
		names = append(names, n)
	}
	slices.Sort(names)
	parts := make([]string, len(names))
	for i, n := range names {
		parts[i] = n + " " + amount(p.nodes[n])
	}
	line := strings.Join(parts, " | ")
	if r := []rune(line); len(r) > 78 {
		line = string(r[:77]) + "…"
	}
	fmt.Fprint(p.o.Stderr, line)
	p.drawn = true
}

func (p *Printer) untrack(e ops.Event) { delete(p.nodes, e.Node) }

// clear wipes the progress line before anything else is printed.
func (p *Printer) clear() {
	if p.drawn {
		fmt.Fprint(p.o.Stderr, "\r\x1b[K")
		p.drawn = false
	}
}

// amount is how far a step is, for the progress line.
func amount(e ops.Event) string {
	switch {
	case e.Kind != ops.Progress:
		return e.Message
	case e.Unit == "bytes" && e.Total > 0:
		return fmt.Sprintf("%d%% of %s", 100*e.Done/e.Total, Bytes(e.Total))
	case e.Unit == "bytes":
		return Bytes(e.Done)
	case e.Total > 0:
		return fmt.Sprintf("%d/%d %s", e.Done, e.Total, e.Unit)
	}
	return fmt.Sprintf("%d %s", e.Done, e.Unit)
}

// Bytes is a size for people, in powers of 1024.
func Bytes(n int64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	value, i := float64(n)/1024, 0
	for value >= 1024 && i < len(units)-1 {
		value, i = value/1024, i+1
	}
	return fmt.Sprintf("%.1f %ciB", value, units[i])
}
