package tui

import (
	stdbytes "bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/health"
)

func eventsKeys() []binding {
	return []binding{
		{keys: []string{"/"}, help: "filter", do: filterDialog},
		{keys: []string{"e"}, name: "export", far: true, help: "export as JSON lines", when: func(m *Model) bool { return m.svc.Export != nil }, do: exportEvents},
	}
}

// shownEvents are the events that the filter lets through, the newest first.
func (m *Model) shownEvents() []ops.Event {
	var out []ops.Event
	m.log.newest(func(e ops.Event) bool {
		if matchesEvent(m.filter[screenEvents], e) {
			out = append(out, e)
		}
		return true
	})
	return out
}

// matchesEvent reports whether a filter lets an event through.
func matchesEvent(filter string, e ops.Event) bool {
	return matches(filter, string(e.Kind), e.Op, e.Node, e.Message, e.Error)
}

func viewEvents(m *Model, w, h int) []line {
	all := m.shownEvents()
	var out []line
	if f := m.filter[screenEvents]; f != "" {
		out = append(out, line{{accent, " / " + f}, {dim, fmt.Sprintf("  %d of %d, esc clears", len(all), len(m.log.ring))}})
	}
	if len(all) == 0 && len(m.log.ring) > 0 {
		return append(out, text(dim, " no event matches the filter; esc clears it"))
	}
	if len(all) == 0 {
		return append(out, text(dim, " nothing has happened yet"))
	}
	at := max(min(m.at[screenEvents], len(all)-1), 0)
	detail := m.eventDetail(all[at], w)
	if most := max(h/2, 1); len(detail) > most { // the mend is the last line
		detail = detail[len(detail)-most:]
	}
	room := max(h-len(detail), len(out)+1)
	from, to := window(len(all), at, room-len(out))
	for i, e := range all[from:to] {
		l := m.eventLine(e)
		if from+i == at {
			l = append(text(plain, "▸"), l...).marked(w)
		} else {
			l = append(text(plain, " "), l...)
		}
		m.clickable(len(out), w, from+i)
		out = append(out, l)
	}
	for len(detail) > 0 && len(out) < room {
		out = append(out, nil)
	}
	return append(out, detail...)
}

// eventDetail is what the line of an event does not show: its whole text where that is too long, and the mend.
func (m *Model) eventDetail(e ops.Event, w int) []line {
	var out []line
	if l := m.eventLine(e); width(clean(l.String())) >= w {
		words := m.svc.Redact(e.Message)
		if e.Error != "" {
			words += ": " + m.svc.Redact(e.Error)
		}
		out = indent(" ", wrap(plain, words, max(w-2, 1)))
	}
	if e.Hint != "" {
		out = append(out, indent(" ", wrap(accent, "→ "+m.svc.Redact(e.Hint), max(w-2, 1)))...)
	}
	return out
}

// eventLine is an event in one line.
func (m *Model) eventLine(e ops.Event) line {
	sign, s := "·", dim
	switch e.Kind {
	case ops.Finished:
		sign, s = "✓", good
	case ops.Failed:
		sign, s = "✗", bad
	case ops.Warning:
		sign, s = "!", caution
	case ops.Started:
		sign, s = "▶", accent
	case ops.Summary:
		sign, s = "■", strong
	}
	l := line{{dim, " " + e.Time.In(m.zone).Format(time.TimeOnly) + " "}, {s, sign + " "}}
	if e.Node != "" {
		l = append(l, span{strong, e.Node + " "})
	}
	l = append(l, span{plain, m.svc.Redact(e.Message)})
	if e.Error != "" {
		l = append(l, span{s, ": " + m.svc.Redact(e.Error)})
	}
	return l
}

// exportEvents writes the events that are shown, the oldest first.
func exportEvents(m *Model) tea.Cmd {
	all := m.shownEvents()
	if len(all) == 0 {
		m.say(caution, "there are no events to export")
		return nil
	}
	name := "mosparoctl-events-" + m.now.UTC().Format("20060102-150405") + ".jsonl"
	export := m.svc.Export
	return func() tea.Msg {
		var b stdbytes.Buffer
		enc := json.NewEncoder(&b)
		for i := len(all) - 1; i >= 0; i-- {
			if err := enc.Encode(all[i]); err != nil {
				return saidMsg{bad, "export: " + err.Error()}
			}
		}
		path, err := export(name, b.Bytes())
		if err != nil {
			return saidMsg{bad, "export: " + err.Error()}
		}
		return saidMsg{plain, fmt.Sprintf("%s written to %s", plural(len(all), "event"), path)}
	}
}

// onNews takes a batch of the feed.
func (m *Model) onNews(h happened) {
	for _, e := range h.events {
		if e.Kind != ops.Progress {
			m.record(e)
		}
		if m.op != nil && m.op.phase == running {
			m.op.follow(e)
		}
	}
	if len(h.results) == 0 {
		return
	}
	m.keepChosen(func() {
		for _, r := range h.results {
			was, known := m.st.put(r)
			m.recordChanges(was, known, r)
		}
	})
}

// recordChanges notes each verdict of a check on a node that is not what it was. What keeps many checks from knowing anything, such
// as a node that does not answer, is noted once, and so is not the end of it, which the node's own reading tells.
func (m *Model) recordChanges(was health.Result, known bool, r health.Result) {
	for _, e := range r.Evidence {
		before := health.OK
		if old, ok := was.On(e.Node); known && ok {
			before = old.Verdict
		}
		if before == e.Verdict {
			continue
		}
		if old, _ := was.On(e.Node); e.Verdict == health.Unknown && m.silent[e.Node] == e.Text || e.Verdict == health.OK && before == health.Unknown && old.Text == m.silent[e.Node] {
			continue
		}
		if e.Verdict == health.Unknown {
			m.silent[e.Node] = e.Text
		}
		ev := ops.Event{Time: e.At, Kind: ops.Warning, Op: "check", Node: e.Node, Step: r.Name, Message: r.Name + ": " + word(e.Verdict) + ": " + e.Text}
		if e.Verdict == health.OK {
			ev.Kind = ops.Output
		} else {
			ev.Hint = cmp.Or(e.Mend, r.Mend)
		}
		m.record(ev)
	}
}

// record keeps an event for the screen of events.
func (m *Model) record(e ops.Event) {
	if e.Time.IsZero() {
		e.Time = m.now
	}
	e.Message, e.Error, e.Hint = m.svc.Redact(e.Message), m.svc.Redact(e.Error), m.svc.Redact(e.Hint)
	m.log.add(e)
	if m.at[screenEvents] > 0 && matchesEvent(m.filter[screenEvents], e) {
		m.at[screenEvents]++ // the cursor stays on its event; at the top it stays on the newest
	}
}
