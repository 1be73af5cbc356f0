package tui

import (
	"fmt"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/mosparoctl/mosparoctl/ops/cron"
)

func cronKeys() []binding {
	return []binding{{keys: []string{"enter", "p"}, name: "cron", help: "plan the crontabs", do: func(m *Model) tea.Cmd {
		return m.propose("cron", m.svc.Planner.Cron)
	}}}
}

func viewCron(m *Model, w, h int) []line {
	return m.part(cronBody(m, w), &m.at[screenCron], h)
}

// dayAhead is the length of the timeline.
const dayAhead = 24 * time.Hour

// changes reports whether writing the crontabs would change when something starts.
func changes(o *cron.Overview) bool { return len(o.Moved) > 0 || len(o.InForce) < len(o.Schedules) }

// cronState is how the crontabs are, in a few words. Of those that could not be read nothing is said.
func (m *Model) cronState(o *cron.Overview) (style, string) {
	switch {
	case !o.Proof.OK() || !m.st.present.OK():
		return bad, "✗ starts collide"
	case len(o.Schedules) == 0:
		return good, "✓ no jobs"
	case len(m.st.unread) == 1:
		return unsure, "? the crontab of " + m.st.unread[0] + " can't be read"
	case len(m.st.unread) > 1:
		return unsure, fmt.Sprintf("? the crontabs of %d nodes can't be read", len(m.st.unread))
	case len(o.InForce) == 0:
		return caution, "! no crontab is written yet"
	case changes(o):
		return caution, "! the crontabs are not as planned"
	}
	return good, "✓ as planned"
}

// dayOf is the coming day of schedules.
func (m *Model) dayOf(list []cron.Schedule, o *cron.Overview) cron.Timeline {
	return cron.NewTimeline(list, o.Proof.Promised, m.now.Truncate(time.Hour), dayAhead)
}

// cronBody draws the coming day of all nodes on one axis: as the crontabs have it and, where writing them would change that, as it would
// be; what collides, and what comes next.
func cronBody(m *Model, w int) []line {
	o := m.st.cron
	if o == nil {
		if err := m.st.schedule.err; err != nil {
			return indent(" ", wrap(bad, "✗ "+m.svc.Redact(err.Error()), max(w-2, 1)))
		}
		return []line{text(dim, " the crontabs are being read")}
	}
	planned := m.dayOf(o.Schedules, o)
	next := planned
	st, words := m.cronState(o)
	out := []line{{{strong, " Next 24 hours  "}, {st, words}}}
	switch {
	case !changes(o):
		out = append(append(out, nil), m.cronDay(planned, o.Proof, w)...)
	default:
		if len(o.InForce) > 0 {
			next = m.dayOf(o.InForce, o)
			out = append(append(out, nil, section("Now", "as the crontabs have it")), m.cronDay(next, m.st.present, w)...)
		}
		out = append(append(out, nil, section("Planned", m.previewOfCron(o))), m.cronDay(planned, o.Proof, w)...)
	}
	for _, s := range o.Moved {
		out = append(out, line{{accent, " ~ "}, {plain, s.Job + " on " + s.Node + " moves from " + m.startOf(o.InForce, s) + " to " + m.startOf(o.Schedules, s)}})
	}
	for _, err := range o.Zones {
		out = append(out, indent(" ", wrap(caution, "! "+m.svc.Redact(err.Error()), max(w-2, 1)))...)
	}
	for _, f := range o.Foreign {
		out = append(out, indent(" ", wrap(caution, "! "+m.svc.Redact(f.String()), max(w-2, 1)))...)
	}
	return append(append(out, nil), m.cronStarts(next, len(o.InForce) == 0)...)
}

// previewOfCron says what writing the crontabs would do, as far as they could be read.
func (m *Model) previewOfCron(o *cron.Overview) string {
	var parts []string
	known := 0
	for _, s := range o.Schedules {
		if !slices.Contains(m.st.unread, s.Node) {
			known++
		}
	}
	if known == 0 {
		return "what the crontabs have is not known"
	}
	if n := known - len(o.InForce); n > 0 {
		parts = append(parts, plural(n, "job")+" to write")
	}
	if n := len(o.Moved); n > 0 {
		parts = append(parts, fmt.Sprintf("%d to move", n))
	}
	if len(parts) == 0 {
		parts = append(parts, "nothing to write on the others")
	}
	return strings.Join(parts, ", ") + "; ⏎ shows the crontabs"
}

// startOf is the next start of a slot in a list, by the clock.
func (m *Model) startOf(list []cron.Schedule, slot cron.Slot) string {
	for _, s := range list {
		if s.Slot == slot {
			return s.Next(m.now).In(m.zone).Format("Mon 15:04")
		}
	}
	return "?"
}

// shownPairs bounds the collisions that are named.
const shownPairs = 6

// cronDay draws a day with the distance that is kept and, by name, what comes too close. A pair that meets again and again is named once.
func (m *Model) cronDay(t cron.Timeline, p cron.Proof, w int) []line {
	var names []string
	for _, n := range m.svc.Deployment.Nodes {
		if slices.Contains(t.Nodes, n.Name) {
			names = append(names, n.Name)
		}
	}
	out := m.timeline(names, t, w)
	if p.OK() && len(t.Pairs) == 0 {
		return append(out, indent(" ", wrap(good, "✓ "+p.String(), max(w-2, 1)))...)
	}
	out = append(out, indent(" ", wrap(bad, "✗ "+p.String(), max(w-2, 1)))...)
	type pair [2]cron.Slot
	again := map[pair]int{}
	var first [][2]cron.Start
	for _, x := range t.Pairs {
		k := pair{x[0].Slot, x[1].Slot}
		if again[k]++; again[k] == 1 {
			first = append(first, x)
		}
	}
	for i, x := range first {
		if i == shownPairs && len(first) > shownPairs+1 {
			out = append(out, text(bad, fmt.Sprintf("   … and %d more pairs", len(first)-i)))
			break
		}
		words := fmt.Sprintf("%s apart", short(x[1].At.Sub(x[0].At)))
		if x[0].At.Equal(x[1].At) {
			words = "at once"
		}
		l := line{{bad, "   ✗ "}, {strong, x[0].Job}, {plain, " on " + x[0].Node + m.clock(x[0])}, {bad, " and "}, {strong, x[1].Job}, {plain, " on " + x[1].Node + m.clock(x[1])}, {bad, "  " + words}}
		if n := again[pair{x[0].Slot, x[1].Slot}]; n > 1 {
			l = append(l, span{dim, fmt.Sprintf(", %d times", n)})
		}
		out = append(out, l)
	}
	return out
}

func (m *Model) clock(s cron.Start) string { return s.At.In(m.zone).Format(" 15:04") }

// cronStarts lists the starts of a day with their distances.
func (m *Model) cronStarts(t cron.Timeline, would bool) []line {
	head := section("Next starts", "with the time to the start before")
	if would {
		head = section("Planned starts", "with the time to the start before")
	}
	out := []line{head}
	var last time.Time
	for i, s := range t.Starts {
		if s.At.Before(m.now) {
			continue
		}
		gap := ""
		if !last.IsZero() {
			gap = "+" + short(s.At.Sub(last))
		}
		last = s.At
		sign, st, gs := " ", plain, dim
		if slices.Contains(t.Close, s) {
			sign, st, gs = "✗", bad, bad
		}
		out = append(out, line{{st, sign + " " + s.At.In(m.zone).Format("Mon 15:04") + "  "}, {gs, fmt.Sprintf("%-7s", gap)}, {strong, " " + fmt.Sprintf("%-16s ", s.Job)}, {st, s.Node}})
		if i > 300 {
			break
		}
	}
	return out
}

// short is a duration without its zeros: "1h", "10m", "1h30m".
func short(d time.Duration) string {
	s := d.Round(time.Minute).String()
	s = strings.TrimSuffix(s, "0s")
	if d >= time.Hour {
		s = strings.TrimSuffix(s, "0m")
		if !strings.HasSuffix(s, "h") && !strings.HasSuffix(s, "m") {
			s += "0m"
		}
	}
	if s == "" {
		return "0m"
	}
	return s
}

// timeline draws a row for each of the nodes: a letter where a job starts, "+" where several do within a cell, "✗" where they
// are too close.
func (m *Model) timeline(names []string, t cron.Timeline, w int) []line {
	nw := 4
	for _, n := range names {
		nw = max(nw, width(clean(n)))
	}
	nw = min(nw, max(w/5, 4))
	cells := max(w-nw-3, 8)
	letters := t.Letters()
	place := func(at time.Time) int { return min(int(at.Sub(t.From)*time.Duration(cells)/t.To.Sub(t.From)), cells-1) }
	axis, ticks := []rune(blanks(cells)), []rune(strings.Repeat("·", cells))
	step := 2
	if cells < 60 {
		step = 6
	}
	for h := 0; h < 24; h += step {
		at := t.From.Add(time.Duration(h) * time.Hour)
		x := place(at)
		ticks[x] = '┼'
		for i, r := range at.In(m.zone).Format("15") {
			if x+i < cells {
				axis[x+i] = r
			}
		}
	}
	out := []line{{{plain, blanks(nw + 2)}, {dim, string(axis)}}, {{plain, blanks(nw + 2)}, {edge, string(ticks)}}}
	for _, n := range names {
		marks := make([]span, cells)
		for _, s := range t.Starts {
			if s.Node != n {
				continue
			}
			x := place(s.At)
			letter, st := letters[s.Job], accent
			if marks[x].text != "" && marks[x].text != letter {
				letter = "+"
			}
			if slices.Contains(t.Close, s) || marks[x].style == bad {
				letter, st = "✗", bad
			}
			marks[x] = span{st, letter}
		}
		l := append(text(plain, " "), text(strong, n).fit(nw)...)
		l = append(l, span{plain, " "})
		for _, s := range marks {
			if s.text == "" {
				s = span{edge, "·"}
			}
			if last := len(l) - 1; l[last].style == s.style {
				l[last].text += s.text
			} else {
				l = append(l, s)
			}
		}
		out = append(out, l)
	}
	legend := line{{plain, blanks(nw + 2)}}
	for _, j := range t.Jobs {
		legend = append(legend, span{accent, letters[j]}, span{dim, " " + j + "  "})
	}
	return append(out, append(legend, span{dim, "+ several  ✗ too close"}))
}
