package tui

import (
	"fmt"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/cron"
	"github.com/mosparoctl/mosparoctl/ops/health"
)

func overviewKeys() []binding {
	return []binding{
		{keys: []string{"enter"}, help: "show the node", when: func(m *Model) bool { return len(m.st.nodes) > 0 }, do: func(m *Model) tea.Cmd {
			m.shown = m.st.nodes[min(m.at[screenOverview], len(m.st.nodes)-1)].node.Name
			m.at[screenNode] = 0
			return m.goTo(screenNode)
		}},
		{keys: []string{"r"}, name: "check", far: true, help: "run the checks", when: idleChecks, do: runChecks},
		{keys: []string{"c"}, help: "checks", do: func(m *Model) tea.Cmd { return m.goTo(screenChecks) }},
	}
}

// idleChecks reports whether the checks are not running.
func idleChecks(m *Model) bool { return !m.st.checks.busy }

func runChecks(m *Model) tea.Cmd {
	m.say(plain, asking+"all checks")
	return m.readChecks(health.Filter{})
}

// viewOverview draws the topology, the matrix of nodes and check families, and what comes next.
func viewOverview(m *Model, w, h int) []line {
	next := m.comingUp(w)
	matrixMin := min(len(m.st.nodes), 6) + 2
	var out []line
	if w >= 76 && h >= matrixMin+len(next)+7 {
		out = m.topology(w, min(h-matrixMin-len(next)-1, max(h/3, 9))) // of many nodes the matrix shows more
	} else {
		out = m.topologyInWords()
	}
	room := h - len(out) - len(next) - 1
	if room < 4 { // a small terminal: the matrix matters more
		next = next[:max(min(len(next), h-len(out)-5), 0)]
		room = h - len(out) - len(next)
	} else {
		out = append(out, nil)
	}
	matrix := m.matrix(w, max(room, 2), len(out))
	out = append(out, matrix...)
	if free := h - len(out) - len(next) - 2; free >= 2 {
		out = append(append(out, nil), m.attention(w, free)...)
	}
	if h-len(out)-len(next) > 0 {
		out = append(out, nil)
	}
	out = append(out, next...)
	return append(out, m.lately(h-len(out))...)
}

// lately is what happened last, in at most h lines, with a blank one above. The screen of events has the rest.
func (m *Model) lately(h int) []line {
	if h < 3 || len(m.log.ring) == 0 {
		return nil
	}
	out := []line{nil, section("Lately", screenKey(screenEvents)+" shows all events")}
	m.log.newest(func(e ops.Event) bool {
		out = append(out, m.eventLine(e))
		return len(out) < h
	})
	return out
}

// matrix is the table of nodes and check families in h lines, the first of which is line top of the body.
func (m *Model) matrix(w, h, top int) []line {
	families := m.st.families()
	name := 4
	for _, n := range m.st.nodes {
		name = max(name, width(clean(n.node.Name)))
	}
	name = min(name, max(w/4, 6))
	fixed := name + 3
	versions := w >= 60
	if versions {
		fixed += 2 * 9
	}
	sync := w >= 100
	if sync {
		fixed += 8
	}
	cw := 0
	if len(families) > 0 {
		cw = max(min((w-fixed)/len(families)-1, 9), 2)
	}
	head := []column{cell(dim, "  node", name+2)}
	if versions {
		head = append(head, cell(dim, "release", 8), cell(dim, "config", 8))
	}
	if sync {
		head = append(head, cell(dim, "synced", 7))
	}
	for _, f := range families {
		head = append(head, cell(dim, shorten(string(f), cw), cw))
	}
	out := []line{row(head...)}
	at := min(m.at[screenOverview], max(len(m.st.nodes)-1, 0))
	from, to := window(len(m.st.nodes), at, h-1)
	for i, n := range m.st.nodes[from:to] {
		l := m.matrixRow(n, families, name, cw, versions, sync)
		if from+i == at {
			l[0] = span{chosen, "▸ " + cut(n.node.Name, name) + blanks(name-width(cut(n.node.Name, name)))}
		}
		m.clickable(top+len(out), w, from+i)
		out = append(out, l)
	}
	return out
}

// shorten makes a word fit without an ellipsis, which would take a third of it.
func shorten(s string, w int) string {
	r := []rune(s)
	return string(r[:min(len(r), w)])
}

func (m *Model) matrixRow(n *nodeState, families []health.Family, name, cw int, versions, sync bool) line {
	first := cell(strong, "  "+n.node.Name, name+2)
	l := line{line{first.span}.fit(first.w)[0]}
	if rest := first.w - width(l[0].text); rest > 0 {
		l[0].text += blanks(rest)
	}
	var cells []column
	if versions {
		cells = append(cells, m.readCell(n, plain, versionOf(n), 8), m.readCell(n, m.configStyle(n), configOf(n), 8))
	}
	if sync {
		cells = append(cells, m.readCell(n, dim, m.syncedAge(n), 7))
	}
	for _, f := range families {
		t, at := m.st.on(n.node.Name, f)
		cells = append(cells, m.tallyCell(t, at, cw))
	}
	return append(append(l, span{plain, " "}), row(cells...)...)
}

// readCell is a figure that was read from a node, with "~" where it is stale.
func (m *Model) readCell(n *nodeState, s style, words string, w int) column {
	if n.got.IsZero() || !n.stale(m.now) {
		return cell(s, words, w)
	}
	if s == plain {
		s = dim
	}
	return cell(s, cut(words, w-1)+"~", w)
}

// configStyle makes a configuration stand out that is not of the release's version.
func (m *Model) configStyle(n *nodeState) style {
	if n.reading.Facts == nil {
		return dim
	}
	if configDiffers(n) {
		return bad
	}
	return plain
}

// configDiffers reports whether a node's configuration is of another version than its code.
func configDiffers(n *nodeState) bool {
	f := n.reading.Facts
	info, ok := f.Active()
	return ok && f.Config.Installed && info.Version != "" && info.Version != f.Config.Version
}

func (m *Model) syncedAge(n *nodeState) string {
	switch s := n.reading.Sync; {
	case n.node.Has(inventory.RoleAdmin):
		return "source"
	case s == nil:
		return "…"
	case s.Unfinished:
		return "broken"
	default:
		return age(m.now, s.Synced)
	}
}

// tallyCell is the worst verdict of a family on a node and how often, with "~" where it is stale.
func (m *Model) tallyCell(t tally, at time.Time, w int) column {
	v, known := t.worst()
	if !known {
		return cell(dim, "·", w)
	}
	s, words := styleOf(v), glyph(v)
	if v != health.OK && w >= 3 && t[v] > 1 {
		words += fmt.Sprintf("%d", t[v])
	}
	if m.now.Sub(at) > 2*m.st.checks.every {
		words += "~"
		if s == good {
			s = dim
		}
	}
	return cell(s, words, w)
}

// comingUp is the lines at the bottom: next starts of jobs, sync, lock.
func (m *Model) comingUp(w int) []line {
	var out []line
	l := line{{strong, " Cron   "}}
	if o := m.st.cron; o == nil {
		l = append(l, span{dim, "…"})
	} else {
		s, words := m.cronState(o)
		if s != good {
			l = append(l, span{s, words}, span{dim, ": " + screenKey(screenCron) + " shows it   "})
		}
		for i, s := range nextStarts(o, m.now) {
			more := append(slices.Clip(l), span{plain, s.Job}, span{dim, " " + s.Node + " " + until(m.now, s.at)}, span{plain, "   "})
			if i > 0 && width(clean(more.String())) > w+3 { // none is shown in part
				break
			}
			l = more
		}
	}
	out = append(out, l)
	l = line{{strong, " Sync   "}}
	for _, n := range m.st.nodes {
		if s := n.reading.Sync; s != nil {
			st := plain
			if s.Unfinished {
				st = bad
			}
			l = append(l, span{st, n.node.Name + " "}, span{dim, m.syncedAge(n) + "   "})
		}
	}
	if len(l) == 1 {
		l = append(l, span{dim, "…"})
	}
	if d := m.driftInWords(); d.text != "" {
		l = append(line{l[0], d, {plain, "   "}}, l[1:]...)
	}
	out = append(out, l)
	l = line{{strong, " Now    "}}
	switch {
	case m.op != nil && m.op.phase == running:
		l = append(l, span{accent, fmt.Sprintf("▶ %s, %d of %d steps, by you", m.op.proposal.Title, m.op.done(), m.op.total)})
	case m.st.locked:
		l = append(l, span{caution, "locked: " + m.st.lock.Holder()}, span{dim, m.aged(&m.st.locks)})
	case m.st.locks.got.IsZero() && m.st.locks.err != nil:
		l = append(l, span{unsure, "? the lock can't be read"})
	case m.st.locks.got.IsZero():
		l = append(l, span{dim, "…"})
	default:
		l = append(l, span{dim, "nothing is running, nobody holds the lock" + m.aged(&m.st.locks)})
	}
	return append(out, l)
}

// attention lists what is not fine, the worst first, in at most h lines.
func (m *Model) attention(w, h int) []line {
	var out []line
	dead := map[string]string{} // why nodes do not answer, of which no check can know anything: that is said once
	for _, n := range m.st.nodes {
		if n.err != nil {
			dead[n.node.Name] = n.err.Error()
			out = append(out, line{{bad, " ✗ "}, {strong, n.node.Name}, {plain, "  " + strings.TrimPrefix(m.svc.Redact(n.err.Error()), n.node.Name+": ")}})
		}
	}
	for _, v := range []health.Verdict{health.Fail, health.Warn, health.Unknown} {
		for _, r := range m.st.results {
			for _, e := range r.Evidence {
				why, silent := dead[e.Node]
				if e.Verdict == v && (!silent || v != health.Unknown && !strings.Contains(why, e.Text)) {
					out = append(out, line{{styleOf(v), " " + glyph(v) + " "}, {strong, fmt.Sprintf("%-16s ", r.Name)}, {plain, e.Node + "  "}, {plain, m.svc.Redact(e.Text)}})
				}
			}
		}
	}
	if len(out) == 0 {
		if len(m.st.results) == 0 {
			return nil
		}
		return []line{{{good, " ✓ "}, {plain, "every check is fine"}}}
	}
	head := section("Needs attention", "3 shows the evidence and the mend")
	if len(out) > h-1 {
		left := len(out) - (h - 2)
		out = append(out[:h-2], text(dim, fmt.Sprintf("   … and %d more", left)))
	}
	return append([]line{head}, out...)
}

// start is the next start of a job on a node.
type start struct {
	cron.Slot
	at time.Time
}

// nextStarts lists the next start of every job that the crontabs have, the soonest first.
func nextStarts(o *cron.Overview, now time.Time) []start {
	var out []start
	for _, s := range o.InForce {
		if at := s.Next(now); !at.IsZero() {
			out = append(out, start{s.Slot, at})
		}
	}
	slices.SortStableFunc(out, func(a, b start) int { return a.at.Compare(b.at) })
	return out
}
