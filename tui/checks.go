package tui

import (
	"cmp"
	"fmt"
	"slices"

	tea "charm.land/bubbletea/v2"

	"github.com/mosparoctl/mosparoctl/ops/health"
)

func checksKeys() []binding {
	some := func(m *Model) bool { return len(m.shownResults()) > 0 }
	return []binding{
		{keys: []string{"enter"}, help: "evidence", when: some, do: func(m *Model) tea.Cmd { m.open, m.openScroll = !m.open, 0; return nil }},
		{keys: []string{"r"}, name: "check", help: "run all", when: idleChecks, do: runChecks},
		{keys: []string{"t"}, help: "run this one", when: some, do: func(m *Model) tea.Cmd {
			r := m.chosenResult()
			m.say(plain, asking+"%s", r.Name)
			return m.readChecks(health.Filter{Only: []string{r.Name}})
		}},
		{keys: []string{"/"}, help: "filter", do: filterDialog},
	}
}

// wide reports whether list and evidence stand side by side.
func (m *Model) wide() bool { return m.w >= 100 }

// shownResults are the results that the filter lets through, the worst first.
func (m *Model) shownResults() []health.Result {
	var out []health.Result
	for _, r := range m.st.results {
		if matches(m.filter[screenChecks], r.Name, r.Title, r.Summary, word(r.Verdict)) {
			out = append(out, r)
		}
	}
	slices.SortStableFunc(out, func(a, b health.Result) int { return cmp.Compare(rank(b.Verdict), rank(a.Verdict)) })
	return out
}

func (m *Model) chosenResult() health.Result {
	all := m.shownResults()
	return all[max(min(m.at[screenChecks], len(all)-1), 0)]
}

// keepChosen calls change, which takes new results, and keeps the cursor on the check that was chosen, wherever that is sorted to.
// A cursor at the top stays there, where the worst is.
func (m *Model) keepChosen(change func()) {
	if m.at[screenChecks] == 0 && !m.open || len(m.shownResults()) == 0 {
		change()
		return
	}
	name := m.chosenResult().Name
	change()
	if i := slices.IndexFunc(m.shownResults(), func(r health.Result) bool { return r.Name == name }); i >= 0 {
		m.at[screenChecks] = i
	} else {
		m.open = false // the filter does not let it through any more
	}
}

// viewChecks draws the list, grouped by verdict, with some of the evidence of the chosen check beside it; or all of the evidence.
func viewChecks(m *Model, w, h int) []line {
	all := m.shownResults()
	if len(all) == 0 {
		words := " no check has answered yet"
		if len(m.st.results) > 0 {
			words = " no check matches the filter; esc clears it"
		} else if err := m.st.checks.err; err != nil {
			return indent(" ", wrap(bad, "✗ "+m.svc.Redact(err.Error()), max(w-2, 1)))
		}
		return []line{text(dim, words)}
	}
	if m.open {
		return m.part(m.evidence(m.chosenResult(), w), &m.openScroll, h)
	}
	if !m.wide() {
		return m.checkList(all, w, h)
	}
	lw := min(w*2/5, 64)
	list, rule := m.checkList(all, lw, h), make([]line, h)
	for i := range rule {
		rule[i] = text(edge, "│")
	}
	return beside(beside(list, lw, rule, 2), lw+2, shortEvidence(m.evidence(m.chosenResult(), w-lw-2), h), w-lw-2)
}

func (m *Model) checkList(all []health.Result, w, h int) []line {
	at := max(min(m.at[screenChecks], len(all)-1), 0)
	var lines []line
	rows := map[int]int{} // of the lines that are no headings
	cursor := 0
	var group health.Verdict
	for i, r := range all {
		if r.Verdict != group {
			group = r.Verdict
			n := 0
			for _, o := range all {
				if o.Verdict == group {
					n++
				}
			}
			lines = append(lines, line{{styleOf(group), fmt.Sprintf(" %s %s", glyph(group), word(group))}, {dim, fmt.Sprintf("  %d", n)}})
		}
		l := line{{plain, "   "}, {strong, fmt.Sprintf("%-16s ", r.Name)}, {dim, m.svc.Redact(r.Summary)}}
		if i == at {
			cursor = len(lines)
			l[0].text = " ▸ "
			l = l.marked(w)
		}
		rows[len(lines)] = i
		lines = append(lines, l)
	}
	var out []line
	if f := m.filter[screenChecks]; f != "" {
		out = append(out, line{{accent, " / " + f}, {dim, fmt.Sprintf("  %d of %d, esc clears", len(all), len(m.st.results))}})
	}
	from, to := window(len(lines), cursor, h-len(out))
	for i, l := range lines[from:to] {
		if r, ok := rows[from+i]; ok {
			m.clickable(len(out), w, r)
		}
		out = append(out, l)
	}
	return out
}

// evidence is what a check found, per node, and what to do.
func (m *Model) evidence(r health.Result, w int) []line {
	out := []line{{{styleOf(r.Verdict), glyph(r.Verdict) + " " + word(r.Verdict) + " "}, {strong, r.Name}, {dim, "  " + m.evidenceAge(r.At)}}}
	out = append(out, wrap(plain, r.Title, w)...)
	out = append(out, nil)
	nw := 4
	for _, e := range r.Evidence {
		nw = max(nw, width(clean(e.Node)))
	}
	nw = min(nw, max(w/3, 4))
	list := slices.Clone(r.Evidence)
	slices.SortStableFunc(list, func(a, b health.Evidence) int { return cmp.Compare(rank(b.Verdict), rank(a.Verdict)) })
	for _, e := range list {
		for i, l := range wrap(plain, m.svc.Redact(e.Text), max(w-nw-5, 10)) {
			if i == 0 {
				out = append(out, append(append(line{{styleOf(e.Verdict), glyph(e.Verdict) + " "}}, text(strong, e.Node).fit(nw)...), append(text(plain, "  "), l...)...))
			} else {
				out = append(out, append(text(plain, blanks(nw+4)), l...))
			}
		}
		for _, f := range e.Figures {
			out = append(out, append(text(plain, blanks(nw+4)), gauge(f, max(w-nw-4, 8))...))
		}
	}
	if r.Verdict == health.OK {
		return out
	}
	out = append(out, nil)
	out = append(out, wrap(dim, "Why: "+r.Why, w)...)
	seen := map[string]bool{"": true}
	for _, e := range list {
		if mend := cmp.Or(e.Mend, r.Mend); e.Verdict != health.OK && !seen[mend] {
			seen[mend] = true
			out = append(out, wrap(accent, "Mend: "+m.svc.Redact(mend), w)...)
		}
	}
	return out
}

// shortEvidence makes evidence fit into h lines. It keeps the end, since the mend is what matters.
func shortEvidence(lines []line, h int) []line {
	if len(lines) <= h || h < 1 {
		return lines
	}
	tail := min(h/2, 6)
	return slices.Concat(lines[:h-tail-1], []line{text(dim, fmt.Sprintf("… %d more, ⏎ shows all", len(lines)-h+1))}, lines[len(lines)-tail:])
}
