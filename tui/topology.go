package tui

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops/balancer"
	"github.com/mosparoctl/mosparoctl/ops/health"
)

// part is a box of the topology.
type part struct {
	title   string
	verdict health.Verdict
	known   bool
	body    []line
}

// topology draws balancers, nodes, and cache and database, from left to right as requests go, in at most h lines.
func (m *Model) topology(w, h int) []line {
	d := m.svc.Deployment
	var lb, stores []part
	for _, b := range d.Balancers {
		lb = append(lb, m.balancerPart(b.Name, string(b.Kind)))
	}
	if len(lb) == 0 {
		lb = append(lb, part{title: "no balancer", body: []line{text(dim, "none in the inventory")}})
	}
	stores = append(stores, m.familyPart("cache · "+cmp.Or(string(d.Cache.Adapter), "filesystem"), health.FamilyCache),
		m.familyPart("database · "+string(cmp.Or(d.Database.Topology, inventory.Single)), health.FamilyDatabase))
	gap := 5
	side := max((w-2*gap)*3/10, 20)
	mid := w - 2*side - 2*gap
	left, in := stack(lb, side, h)
	right, out := stack(stores, side, h)
	var nodes []line
	room := max(h-2, 1)
	for i, n := range m.worstFirst(room) {
		if i == room-1 && len(m.st.nodes) > room {
			nodes = append(nodes, text(dim, fmt.Sprintf("… and %d more below", len(m.st.nodes)-i)))
			break
		}
		nodes = append(nodes, m.nodeInBox(n, mid-4))
	}
	height := min(max(len(left), len(nodes)+2, len(right)), h)
	for len(nodes) < height-2 {
		nodes = append(nodes, nil)
	}
	middle := box(span{strong, plural(len(m.st.nodes), "node")}, nodes, mid)
	// A wire for each balancer and each store, at the first line of its box.
	wires := func(at []int, lines []line) []line {
		out := make([]line, height)
		for _, i := range at {
			out[min(i+max(height-len(lines), 0)/2, height-1)] = text(edge, "────▸")
		}
		return out
	}
	from, to := wires(in, left), wires(out, right)
	left, right = centred(left, height), centred(right, height)
	return beside(beside(beside(beside(left, side, from, gap), side+gap, middle, mid), side+gap+mid, to, gap), side+2*gap+mid, right, side)
}

// worstFirst is the nodes in the order of the inventory, or, where not all fit into room lines, those in trouble first.
func (m *Model) worstFirst(room int) []*nodeState {
	if len(m.st.nodes) <= room {
		return m.st.nodes
	}
	ranks := make(map[*nodeState]int, len(m.st.nodes))
	for _, n := range m.st.nodes {
		if v, known, _ := m.nodeVerdict(n); known {
			ranks[n] = rank(v)
		}
	}
	out := slices.Clone(m.st.nodes)
	slices.SortStableFunc(out, func(a, b *nodeState) int { return cmp.Compare(ranks[b], ranks[a]) })
	return out
}

// centred puts lines into the middle of h lines.
func centred(lines []line, h int) []line {
	if len(lines) >= h {
		return lines[:h]
	}
	return append(make([]line, (h-len(lines))/2), lines...)
}

// stack draws parts below each other, and says in which line the text of each begins.
func stack(parts []part, w, h int) (out []line, at []int) {
	for _, p := range parts {
		title := span{strong, p.title}
		if p.known {
			title = span{styleOf(p.verdict), glyph(p.verdict) + " " + p.title}
		}
		b := box(title, p.body, w)
		if len(out)+len(b) > h && len(out) > 0 {
			return append(out, text(dim, "… and more"))[:min(len(out)+1, h)], at
		}
		at = append(at, len(out)+1)
		out = append(out, b...)
	}
	return out, at
}

// balancerPart says how many nodes a balancer sends visitors to.
func (m *Model) balancerPart(name, kind string) part {
	p := part{title: name + " · " + kind}
	ready, all, unknown := 0, 0, 0
	var out []string
	for _, s := range m.st.servers {
		if s.Balancer != name {
			continue
		}
		all++
		switch {
		case s.State == balancer.StateUnknown:
			unknown++
		case s.State == balancer.StateReady && s.Up:
			ready++
		default:
			out = append(out, cmp.Or(s.Node, s.Name))
		}
	}
	s := dim
	words := "not asked yet"
	if all > 0 {
		p.known, p.verdict, s = true, health.OK, plain
		words = fmt.Sprintf("%d of %d serve", ready, all)
		switch {
		case unknown == all:
			p.verdict, words = health.Unknown, "does not answer"
		case ready == 0:
			p.verdict = health.Fail
		case ready < all:
			p.verdict = health.Warn
		}
	} else if m.st.balance.err != nil {
		p.known, p.verdict, words = true, health.Unknown, "does not answer"
	}
	p.body = append(p.body, line{{s, words}, {dim, m.aged(&m.st.balance)}})
	if len(out) > 0 {
		p.body = append(p.body, text(caution, "out: "+strings.Join(out, ", ")))
	}
	return p
}

// familyPart says what the checks of a family found.
func (m *Model) familyPart(title string, f health.Family) part {
	p := part{title: title}
	p.verdict, p.known = m.st.ofFamily(f).worst()
	if !p.known {
		p.body = []line{text(dim, "not checked")}
		return p
	}
	worst := health.OK
	words := ""
	for _, r := range m.st.results {
		if r.Family == f && (words == "" || health.Worse(worst, r.Verdict) != worst) {
			worst, words = health.Worse(worst, r.Verdict), r.Summary
		}
	}
	s := plain
	if p.verdict != health.OK {
		s = styleOf(p.verdict)
	}
	p.body = []line{text(s, words)}
	return p
}

// aged is the age of a source where it is worth telling: when it is stale.
func (m *Model) aged(s *source) string {
	if s.got.IsZero() || !s.stale(m.now) {
		return ""
	}
	return " ~" + age(m.now, s.got)
}

// ago is a past time in words.
func ago(now, at time.Time) string {
	if words := age(now, at); words != "now" && words != "never" {
		return words + " ago"
	}
	return age(now, at)
}

// nodeInBox is one line about a node.
func (m *Model) nodeInBox(n *nodeState, w int) line {
	v, known, words := m.nodeVerdict(n)
	sign, s := "…", dim
	if known {
		sign, s = glyph(v), styleOf(v)
	}
	l := line{{s, sign + " "}, {strong, n.node.Name}}
	if n.node.Has(inventory.RoleAdmin) {
		l = append(l, span{accent, " admin"})
	}
	l = append(l, span{dim, "  " + words})
	for _, sv := range m.st.servers {
		if sv.Node != n.node.Name || sv.State == balancer.StateReady && sv.Up {
			continue
		}
		state := string(sv.State)
		if sv.State == balancer.StateReady {
			state = "down"
		}
		l = append(l, span{caution, "  " + state})
	}
	return l.fit(w)
}

// nodeVerdict is the worst of all evidence on a node, and what it runs.
func (m *Model) nodeVerdict(n *nodeState) (v health.Verdict, known bool, words string) {
	v, known = m.st.verdictOn(n.node.Name)
	if n.err != nil {
		v, known = health.Fail, true
		if !n.got.IsZero() {
			return v, known, "no answer for " + age(m.now, n.got)
		}
		return v, known, "no answer"
	}
	return v, known, versionOf(n) + m.aged(&n.source)
}

// verdictOn is the worst of all evidence on a node.
func (s *store) verdictOn(node string) (v health.Verdict, known bool) {
	if s.worst == nil {
		s.worst = make(map[string]health.Verdict, len(s.nodes))
		for _, r := range s.results {
			for _, e := range r.Evidence {
				s.worst[e.Node] = health.Worse(cmp.Or(s.worst[e.Node], health.OK), e.Verdict)
			}
		}
	}
	v, known = s.worst[node]
	return v, known
}

// versionOf is the version a node runs, for people.
func versionOf(n *nodeState) string {
	f := n.reading.Facts
	switch {
	case f == nil:
		return "…"
	case f.Current == "" && f.InPlace:
		return "in place"
	case f.Current == "":
		return "no release"
	}
	if info, ok := f.Active(); ok && info.Version != "" {
		return info.Version
	}
	return f.Current
}

// configOf is the version of a node's configuration.
func configOf(n *nodeState) string {
	switch f := n.reading.Facts; {
	case f == nil:
		return "…"
	case !f.Config.Installed:
		return "none"
	case configDiffers(n):
		return "✗ " + f.Config.Version
	default:
		return f.Config.Version
	}
}

// topologyInWords is the topology where there is no room to draw it.
func (m *Model) topologyInWords() []line {
	var l line
	add := func(v health.Verdict, known bool, name string) {
		if len(l) > 0 {
			l = append(l, span{edge, " ─ "})
		}
		sign, s := "…", dim
		if known {
			sign, s = glyph(v), styleOf(v)
		}
		l = append(l, span{s, sign}, span{plain, " " + name})
	}
	for _, b := range m.svc.Deployment.Balancers {
		p := m.balancerPart(b.Name, string(b.Kind))
		add(p.verdict, p.known, b.Name)
	}
	worst, any := health.OK, false
	for _, n := range m.st.nodes {
		if v, known, _ := m.nodeVerdict(n); known {
			worst, any = health.Worse(worst, v), true
		}
	}
	add(worst, any, plural(len(m.st.nodes), "node"))
	v, known := m.st.ofFamily(health.FamilyCache).worst()
	add(v, known, "cache")
	v, known = m.st.ofFamily(health.FamilyDatabase).worst()
	add(v, known, "database")
	return []line{append(line{{plain, " "}}, l...)}
}
