package tui

import (
	"fmt"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/release"
)

// operationKeys work while a screen shows an operation.
func operationKeys() []binding {
	in := func(p ...phase) func(*Model) bool {
		return func(m *Model) bool { return m.op != nil && slices.Contains(p, m.op.phase) }
	}
	return []binding{
		{keys: []string{"enter"}, name: "start", help: "start, after typing the name", do: confirmStart,
			when: func(m *Model) bool { return in(planned)(m) && !m.op.proposal.Plan.Empty() }},
		{keys: []string{"x"}, name: "abort", help: "abort", when: func(m *Model) bool { return in(running)(m) && !m.op.aborting }, do: askAbort},
		{keys: []string{"esc", "backspace"}, help: "leave it", when: in(planning, planned, ended), do: func(m *Model) tea.Cmd { m.dropOperation(); return nil }},
	}
}

func askAbort(m *Model) tea.Cmd {
	id := m.op.id
	m.dlg = &askDialog{heading: "Abort " + m.op.name, question: "No new step starts; what runs is ended or taken back. Nodes that are done stay as they are.",
		yes: "abort", yesKey: "y", do: func(m *Model) tea.Cmd {
			if m.op != nil && m.op.id == id {
				m.abort()
			}
			return nil
		}}
	return nil
}

// viewOperation draws the operation in whatever phase it is.
func (m *Model) viewOperation(w, h int) []line {
	o := m.op
	var lines []line
	switch o.phase {
	case planning:
		lines = []line{nil, {{accent, " … planning " + o.name}, {dim, ": reading the facts, nothing is changed"}}}
	case planned:
		lines = m.viewPlan(w)
	default:
		lines = m.viewRun(w)
	}
	return m.part(lines, &m.opScroll, h)
}

// viewPlan draws what would be done: notes, content, waves with steps and changes.
func (m *Model) viewPlan(w int) []line {
	p := m.op.proposal
	out := []line{{{strong, " " + p.Title}}}
	if p.Plan.Empty() {
		out = append(out, text(good, " ✓ nothing to do"))
	} else {
		out = append(out, line{{dim, fmt.Sprintf(" %s in %s on %s. ", plural(p.Plan.Steps(), "step"), plural(len(p.Plan.Waves), "wave"), plural(len(p.Plan.Nodes()), "node"))},
			{accent, "⏎"}, {dim, " starts it, after the deployment's name was typed"}})
	}
	for _, n := range p.Notes {
		out = append(out, indent(" ", wrap(caution, "! "+m.svc.Redact(n), max(w-2, 1)))...)
	}
	for i, wave := range p.Plan.Waves {
		if len(wave.Steps) == 0 {
			continue
		}
		out = append(out, nil, line{{accent, fmt.Sprintf(" wave %d ", i+1)}, {strong, wave.Name}})
		node := ""
		for _, s := range wave.Steps {
			name := "" // the node is named once
			if s.Node != node {
				name, node = s.Node, s.Node
			}
			out = append(out, line{{strong, "  " + cut(name, 12) + blanks(12-width(cut(name, 12)))}, {plain, " " + m.svc.Redact(s.Title)}})
			for _, c := range s.Changes {
				c.Path = m.underRoot(s.Node, c.Path)
				out = append(out, m.change(c, w)...)
			}
		}
	}
	for _, c := range p.Content {
		out = append(out, m.preview(c)...)
	}
	return out
}

// underRoot is a path without the root of the node it is on, which is the same in every line and would push its end off the screen.
func (m *Model) underRoot(node, path string) string {
	n := m.svc.Deployment.Node(node)
	if n == nil || n.Paths.Root == "" {
		return path
	}
	return strings.TrimPrefix(path, strings.TrimSuffix(n.Paths.Root, "/")+"/")
}

// change draws one change, with its diff below it.
func (m *Model) change(c ops.Change, w int) []line {
	detail := strings.TrimRight(m.svc.Redact(c.Detail), "\n")
	l := line{{plain, blanks(17)}, {actionStyle(c.Action), c.Action}, {plain, " " + c.Path}}
	if !strings.Contains(detail, "\n") {
		return []line{append(l, span{dim, "  " + detail})}
	}
	return append([]line{l}, diffLines(detail, min(19, w/4))...)
}

func actionStyle(action string) style {
	switch action {
	case "create":
		return added
	case "delete":
		return removed
	}
	return dim
}

// diffLines draws a diff; the signs tell as much as the colours.
func diffLines(diff string, by int) []line {
	var out []line
	for t := range strings.SplitSeq(strings.TrimRight(diff, "\n"), "\n") {
		s := dim
		switch {
		case strings.HasPrefix(t, "+"):
			s = added
		case strings.HasPrefix(t, "-"):
			s = removed
		case strings.HasPrefix(t, "@@"):
			s = accent
		}
		out = append(out, line{{plain, blanks(by)}, {s, t}})
	}
	return out
}

// shownPaths bounds the paths listed of one kind of change.
const shownPaths = 12

// preview draws how files would change on some nodes.
func (m *Model) preview(p release.Preview) []line {
	from := p.From
	if from == "" {
		from = "nothing"
	}
	out := []line{nil, {{accent, " content "}, {strong, strings.Join(p.Nodes, ", ")}, {dim, fmt.Sprintf("  against %s: %d added, %d changed, %d removed", from,
		len(p.Added), len(p.Changed), len(p.Removed))}}}
	if p.From == "" {
		return out
	}
	for _, k := range []struct {
		sign  string
		s     style
		paths []string
	}{{"+", added, p.Added}, {"~", dim, p.Changed}, {"-", removed, p.Removed}} {
		for i, path := range k.paths {
			if i == shownPaths {
				out = append(out, text(dim, fmt.Sprintf("    … and %d more", len(k.paths)-shownPaths)))
				break
			}
			out = append(out, line{{k.s, "  " + k.sign + " "}, {plain, path}})
		}
	}
	return append(out, diffLines(m.svc.Redact(p.Diff), 2)...)
}

// viewRun draws the progress of each node, and what was told last.
func (m *Model) viewRun(w int) []line {
	o := m.op
	title := o.name
	if o.proposal != nil {
		title = o.proposal.Title
	}
	var out []line
	switch {
	case o.phase == running && o.aborting:
		out = append(out, line{{caution, " ! aborting "}, {strong, title}, {dim, "  what runs is ended or taken back"}})
	case o.phase == running:
		out = append(out, line{{accent, " ▶ "}, {strong, title}, {dim, "  " + took(m.now.Sub(o.began))}})
	case o.err != nil:
		out = append(out, line{{bad, " ✗ failed "}, {strong, title}})
		out = append(out, indent("   ", wrap(plain, m.svc.Redact(o.err.Error()), max(w-4, 1)))...)
		if hint := ops.HintOf(o.err); hint != "" {
			out = append(out, indent("   ", wrap(accent, "→ "+m.svc.Redact(hint), max(w-4, 1)))...)
		}
	default:
		out = append(out, line{{good, " ✓ done "}, {strong, title}, {dim, "  in " + took(o.over.Sub(o.began))}})
	}
	if len(o.order) > 0 {
		out = append(out, append(text(plain, " "), bar(o.done(), o.total, max(min(w-14, 60), 1))...), nil)
		nw := 4
		for _, n := range o.order {
			nw = max(nw, width(clean(n)))
		}
		for _, n := range o.order {
			out = append(out, m.nodeRun(o, n, min(nw, max(w/4, 4)), w))
		}
		out = append(out, nil)
	}
	news := o.news
	for _, e := range slices.Backward(news) {
		out = append(out, m.eventLine(e))
	}
	return out
}

func took(d time.Duration) string { return d.Round(time.Second).String() }

// nodeRun is the progress of one node.
func (m *Model) nodeRun(o *operation, name string, nw, w int) line {
	p := o.nodes[name]
	sign, s := "·", dim
	switch {
	case p.failed != "":
		sign, s = "✗", bad
	case p.busy:
		sign, s = "▶", accent
	case p.done == p.steps:
		sign, s = "✓", good
	}
	l := append(line{{s, " " + sign + " "}}, text(strong, name).fit(nw)...)
	l = append(l, span{plain, " "})
	bw := 10
	if w < 60 {
		bw = 4
	}
	l = append(l, bar(p.done, p.steps, bw)...)
	words := p.title
	if p.failed != "" {
		words = m.svc.Redact(p.failed)
	}
	l = append(l, span{plain, " " + m.svc.Redact(words)})
	if e := p.current; e.Unit != "" && p.busy {
		l = append(l, span{dim, " " + amount(e)})
	}
	if len(p.rates) > 0 && p.busy && w >= 60 {
		l = append(l, span{dim, " " + bytes(int64(p.rates[len(p.rates)-1])) + "/s "}, span{accent, sparkline(p.rates)})
	}
	return l
}

// bar is a bar of w cells with its count.
func bar(done, total, w int) line {
	full := 0
	if total > 0 {
		full = min(done*w/total, w)
	}
	return line{{accent, strings.Repeat("█", full)}, {edge, strings.Repeat("░", w-full)}, {dim, fmt.Sprintf(" %d/%d", done, total)}}
}

// sparkline draws values as blocks of eight heights.
func sparkline(values []float64) string {
	most := slices.Max(values)
	var b strings.Builder
	for _, v := range values {
		i := 0
		if most > 0 {
			i = min(int(v/most*7.99), 7)
		}
		b.WriteRune([]rune("▁▂▃▄▅▆▇█")[max(i, 0)])
	}
	return b.String()
}

// amount is how far a step is.
func amount(e ops.Event) string {
	switch {
	case e.Unit == "bytes" && e.Total > 0:
		return fmt.Sprintf("%s of %s", bytes(e.Done), bytes(e.Total))
	case e.Unit == "bytes":
		return bytes(e.Done)
	case e.Total > 0:
		return fmt.Sprintf("%d/%d %s", e.Done, e.Total, e.Unit)
	}
	return fmt.Sprintf("%d %s", e.Done, e.Unit)
}

// bytes is a size for people, in powers of 1024.
func bytes(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	value, i := float64(n)/1024, 0
	for value >= 1024 && i < 5 {
		value, i = value/1024, i+1
	}
	return fmt.Sprintf("%.1f %ciB", value, "KMGTPE"[i])
}
