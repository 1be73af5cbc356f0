package tui

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/mosparoctl/mosparoctl/ops/metrics"
)

func serveKeys() []binding {
	return []binding{{keys: []string{"r"}, help: "read now", when: func(m *Model) bool { return len(m.st.cores()) > 0 }, do: func(m *Model) tea.Cmd {
		for _, n := range m.st.cores() {
			n.core.asked = m.now.Add(-n.core.every)
		}
		m.say(plain, "reading the metrics of %s", plural(len(m.st.cores()), "node"))
		return m.poll()
	}}}
}

func viewServe(m *Model, w, h int) []line {
	return m.part(serveBody(m, w, h), &m.at[screenServe], h)
}

// serveBody draws what the protection cores of the nodes do: all together as charts, each by itself, and the rules that
// matched. With room for h lines it draws higher charts.
func serveBody(m *Model, w, h int) []line {
	cores := m.st.cores()
	if len(cores) == 0 {
		return append([]line{nil}, indent(" ", wrap(plain, "No node runs the protection core: the inventory names the metrics of none. A node that runs \"mosparoctl serve --metrics-listen "+
			"127.0.0.1:9180\" shows up here with serve: {metrics: 127.0.0.1:9180} in its entry of the inventory, or in defaults.", max(min(w-2, 90), 1)))...)
	}
	t := m.st.traffic(m.now)
	out := []line{m.serveHeading(t, len(cores), w)}
	out = append(out, m.serveNodes(cores, w)...)
	if without := m.withoutCore(); without != "" {
		out = append(out, indent("   ", wrap(dim, without, max(w-4, 1)))...)
	}
	rules := m.serveRules(t, w)
	routes := m.serveRoutes(t)
	if w >= 100 {
		out = append(append(out, nil), beside(rules, w-routesWidth, routes, routesWidth)...)
	} else {
		out = append(append(append(append(out, nil), rules...), nil), routes...)
	}
	return append(m.serveTiles(t, w, h-len(out)), out...)
}

// routesWidth is the width of the table of routes where it stands beside the rules.
const routesWidth = 46

// serveHeading says which nodes are summed up, and over what time.
func (m *Model) serveHeading(t *traffic, cores, w int) line {
	l := section("Nodes", "means of "+windowWords)
	if w < 60 {
		l = section("Nodes", windowWords)
	}
	if t.nodes < cores {
		l = append(l, span{caution, fmt.Sprintf("  ! sums are of %d of %d nodes", t.nodes, cores)})
	}
	return l
}

// serveTiles are the figures of all nodes together in h lines or, where that is too little, a few.
func (m *Model) serveTiles(t *traffic, w, h int) []line {
	now := func(values []float64, words func(float64) string) string {
		if len(values) == 0 || values[len(values)-1] < 0 {
			return "–"
		}
		return words(values[len(values)-1])
	}
	peak := func(values []float64, words func(float64) string) string {
		if len(values) == 0 || slices.Max(values) <= 0 {
			return ""
		}
		return "  peak " + words(slices.Max(values))
	}
	tiles := []struct {
		title  string
		values []float64
		words  func(float64) string
		style  style
		top    float64
	}{
		{"Forms checked", t.forms, rate, accent, 0},
		{"Spam", t.spam, percent, caution, 1},
		{"Latency p95", t.p95, latency, accent, 0},
	}
	if w < 76 {
		l := line{{plain, " "}}
		for _, x := range tiles {
			name, _, _ := strings.Cut(x.title, " ")
			if x.words(0) == latency(0) {
				name = "p95"
			}
			l = append(l, span{dim, strings.ToLower(name) + " "}, span{strong, now(x.values, x.words)}, span{plain, "  "})
		}
		return append([]line{l}, indent(" ", chart(accent, t.forms, min(w-2, keptDeltas), 1, 0))...)
	}
	rows := max(min(h-3, 8), 1)
	var out []line
	used := 0
	for i, x := range tiles {
		tw := w / len(tiles)
		if i == len(tiles)-1 {
			tw = w - used
		}
		figures := line{{strong, now(x.values, x.words)}}
		if p := peak(x.values, x.words); p != "" {
			if tw >= 36 {
				p += " in " + short(time.Duration(min(tw-4, len(x.values)))*m.st.checks.every)
			}
			figures = append(figures, span{dim, p})
		}
		body := []line{figures}
		body = append(body, chart(x.style, x.values, tw-4, rows, x.top)...)
		out = beside(out, used, box(span{strong, x.title}, body, tw), tw)
		used += tw
	}
	return out
}

// serveNodes is a table of the nodes that run a core.
func (m *Model) serveNodes(cores []*nodeState, w int) []line {
	nw := 4
	for _, n := range cores {
		nw = max(nw, width(clean(n.node.Name)))
	}
	nw = min(nw, max(w/5, 6))
	cw := max(min(w-nw-60, keptDeltas), 0) // of the chart
	wide := w >= 76
	const overTime = "forms over time"
	head := []column{cell(dim, "   node", nw+3), cell(dim, "forms", 9), cell(dim, "spam", 5)}
	if wide {
		head = append(head, cell(dim, "p50", 7))
	}
	head = append(head, cell(dim, "p95", 7))
	if wide {
		head = append(head, cell(dim, "p99", 7), cell(dim, "5xx", 9), cell(dim, blanks(cw-width(overTime))+overTime, cw)) // above its newest columns
	}
	out := []line{row(head...)}
	for _, n := range cores {
		out = append(out, m.serveNode(n, nw, cw, wide)...)
	}
	return out
}

// serveNode is the row of a node: its figures, else why there are none.
func (m *Model) serveNode(n *nodeState, nw, cw int, wide bool) []line {
	sign, st, words := m.coreState(n)
	name := line{{st, " " + sign + " "}, {strong, n.node.Name}}.fit(nw + 3)
	d, took := n.core.recent, n.core.latency
	if len(n.core.past) == 0 {
		return []line{append(name, span{st, " " + words})}
	}
	fs := plain
	if n.core.err != nil || n.core.stale(m.now) {
		fs = dim // of the past
	}
	figures := []column{cell(fs, rate(d.PerSecond(d.Forms())), 9), cell(fs, spamOf(d), 5)}
	if wide {
		figures = append(figures, cell(fs, quantile(took, 0.5), 7))
	}
	figures = append(figures, cell(fs, quantile(took, 0.95), 7))
	if wide {
		errs, es := "0", dim
		if d.Errors() > 0 {
			errs, es = rate(d.PerSecond(d.Errors())), bad
		}
		figures = append(figures, cell(fs, quantile(took, 0.99), 7), cell(es, errs, 9))
	}
	l := append(append(name, span{plain, " "}), row(figures...)...)
	switch {
	case words != "":
		l = append(l, span{st, " " + words})
	case wide:
		l = append(append(l, span{plain, " "}), chart(accent, n.core.column(m.st.lastDelta(), cw), cw, 1, 0)[0]...)
	}
	return []line{l}
}

// coreState is how a node's core is: a sign, and words where it is not simply well.
func (m *Model) coreState(n *nodeState) (sign string, s style, words string) {
	c := &n.core
	switch {
	case c.err != nil && c.got.IsZero():
		return "✗", bad, m.svc.Redact(c.err.Error())
	case c.err != nil:
		return "✗", bad, "~" + age(m.now, c.got) + " old: " + m.svc.Redact(c.err.Error())
	case c.got.IsZero():
		return "…", dim, "reading"
	case c.stale(m.now):
		return "!", caution, "~" + age(m.now, c.got) + " old: the node does not answer"
	}
	var down []string
	for part, up := range c.last.Parts {
		if !up {
			down = append(down, part)
		}
	}
	slices.Sort(down)
	switch {
	case len(down) > 0:
		return "✗", bad, strings.Join(down, ", ") + " down"
	case len(c.past) == 0:
		return "✓", good, "running; its rates come with the next reading"
	}
	return "✓", good, ""
}

// withoutCore names the nodes that run no core, in words.
func (m *Model) withoutCore() string {
	var names []string
	for _, n := range m.st.nodes {
		if n.node.Serve.Metrics == "" {
			names = append(names, n.node.Name)
		}
	}
	switch len(names) {
	case 0:
		return ""
	case 1, 2, 3, 4:
		return "no core on " + strings.Join(names, ", ") + ": the inventory names no metrics there"
	}
	return fmt.Sprintf("no core on %d nodes, such as %s: the inventory names no metrics there", len(names), names[0])
}

// topRules is how many rules are shown.
const topRules = 15

// serveRules lists the rules that matched most, with bars.
func (m *Model) serveRules(t *traffic, w int) []line {
	out := []line{section("Top rules", "forms in which they found something, "+windowWords)}
	if w < 60 {
		out = []line{section("Top rules", windowWords)}
	}
	rules := t.recent.Rules()
	if len(rules) == 0 {
		return append(out, text(dim, "   no rule has matched"))
	}
	if len(rules) > topRules {
		rules = rules[:topRules]
	}
	nw := 8
	for _, r := range rules {
		nw = max(nw, width(clean(r.Name)))
	}
	if w >= 100 {
		w -= routesWidth
	}
	nw = min(nw, max(w/2-6, 6))
	bw := max(min(w-nw-24, 40), 4)
	for _, r := range rules {
		full := max(int(r.Forms/rules[0].Forms*float64(bw)), 0)
		if r.Forms > 0 {
			full = min(max(full, 1), bw)
		}
		share := 0.0
		if f := t.recent.Forms(); f > 0 {
			share = min(r.Forms/f, 1)
		}
		out = append(out, line{{plain, "   "}}.and(row(cell(plain, cmp.Or(r.Name, "all others"), nw), cell(strong, rate(t.recent.PerSecond(r.Forms)), 9),
			cell(dim, percent(share), 5), cell(accent, strings.Repeat("█", full), bw))))
	}
	return out
}

// and is the line with another behind it.
func (l line) and(more line) line { return append(slices.Clip(l), more...) }

// serveRoutes lists how often and how fast each route was answered.
func (m *Model) serveRoutes(t *traffic) []line {
	out := []line{section("Requests", windowWords)}
	routes := t.recent.Routes()
	if len(routes) == 0 {
		return append(out, text(dim, "   none"))
	}
	for _, r := range routes {
		out = append(out, line{{plain, "   "}}.and(row(cell(plain, r.Name, 20), cell(strong, rate(t.recent.PerSecond(r.Latency.Count())), 9), cell(dim, "p95 "+quantile(r.Latency, 0.95), 12))))
	}
	return out
}

// spamOf is the share of spam, in words.
func spamOf(d metrics.Delta) string {
	if share, ok := d.SpamShare(); ok {
		return percent(share)
	}
	return "–"
}

// quantile is the time below which the share q of all requests is, in words.
func quantile(h metrics.Histogram, q float64) string {
	v, over, ok := h.Quantile(q)
	switch {
	case !ok:
		return "–"
	case over:
		return ">" + latency(v)
	}
	return latency(v)
}

// rate is something a second, in the unit in which it is at least one.
func rate(perSecond float64) string {
	for _, u := range []struct {
		name    string
		seconds float64
	}{{"/s", 1}, {"/min", 60}, {"/h", 3600}} {
		if v := perSecond * u.seconds; v >= 1 || u.name == "/h" {
			switch {
			case v == 0:
				return "0/s"
			case v >= 100:
				return fmt.Sprintf("%.0f%s", v, u.name)
			}
			return fmt.Sprintf("%.1f%s", v, u.name)
		}
	}
	return ""
}

func percent(share float64) string { return fmt.Sprintf("%.0f %%", share*100) }

// latency is a short time in seconds, with two digits that mean something.
func latency(s float64) string {
	switch {
	case s >= 0.9995:
		return fmt.Sprintf("%.1f s", s)
	case s >= 0.00995:
		return fmt.Sprintf("%.0f ms", s*1e3)
	}
	return fmt.Sprintf("%.1f ms", s*1e3)
}
