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
	lines := cronBody(m, w)
	from := max(min(m.at[screenCron], len(lines)-h), 0)
	m.at[screenCron] = from
	return lines[from:min(from+h, len(lines))]
}

// dayAhead is the length of the timeline.
const dayAhead = 24 * time.Hour

// cronBody draws the coming day of all nodes on one axis, then what collides, what moves and what comes next.
func cronBody(m *Model, w int) []line {
	o := m.st.cron
	if o == nil {
		if err := m.st.schedule.err; err != nil {
			return indent(" ", wrap(bad, "✗ "+m.svc.Redact(err.Error()), max(w-2, 1)))
		}
		return []line{text(dim, " the crontabs are being read")}
	}
	distance := o.Proof.Promised
	from := m.now.Truncate(time.Hour)
	t := cron.NewTimeline(o.Schedules, distance, from, dayAhead)
	out := []line{{{strong, " Next 24 hours"}, {dim, fmt.Sprintf("  least distance %s, promised %s", leastDistance(o.Proof), short(distance))}}, nil}
	out = append(out, m.timeline(o, t, w)...)
	out = append(out, nil)
	switch {
	case o.Proof.OK() && len(t.Close) == 0:
		out = append(out, indent(" ", wrap(good, "✓ "+o.Proof.String(), max(w-2, 1)))...)
	default:
		out = append(out, indent(" ", wrap(bad, "✗ "+o.Proof.String(), max(w-2, 1)))...)
		for _, s := range t.Close {
			out = append(out, line{{bad, " ✗ too close "}, {strong, s.Job}, {plain, " on " + s.Node + " at " + s.At.In(m.zone).Format("15:04")}})
		}
	}
	for _, err := range o.Zones {
		out = append(out, indent(" ", wrap(caution, "! "+m.svc.Redact(err.Error()), max(w-2, 1)))...)
	}
	for _, f := range o.Foreign {
		out = append(out, indent(" ", wrap(caution, "! "+m.svc.Redact(f.String()), max(w-2, 1)))...)
	}
	for _, s := range o.Moved {
		out = append(out, line{{accent, " ~ "}, {plain, s.Job + " on " + s.Node + " would start at another time than now"}})
	}
	out = append(out, nil, section("Next starts", "with the time to the start before"))
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
		st := plain
		if slices.Contains(t.Close, s) {
			st = bad
		}
		out = append(out, line{{st, "  " + s.At.In(m.zone).Format("Mon 15:04") + "  "}, {dim, fmt.Sprintf("%-7s", gap)}, {strong, " " + fmt.Sprintf("%-16s ", s.Job)}, {st, s.Node}})
		if len(out) > 400 || i > 300 {
			break
		}
	}
	return out
}

// leastDistance is the least distance of a proof in words.
func leastDistance(p cron.Proof) string {
	if p.Least < 0 {
		return "none owed"
	}
	return short(p.Least)
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

// timeline draws a row for each node: a letter where a job starts, "+" where several do within a cell, "✗" where they
// are too close.
func (m *Model) timeline(o *cron.Overview, t cron.Timeline, w int) []line {
	names := jobNodes(m.svc.Deployment, o)
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
