package tui

import (
	"context"

	tea "charm.land/bubbletea/v2"

	"github.com/mosparoctl/mosparoctl/ops"
)

// leftMsg is what killed runs have left to take back.
type leftMsg struct {
	events []ops.Event
	err    error
}

// lookForLeftovers asks once, at the start, what killed runs have left.
func (m *Model) lookForLeftovers() tea.Cmd {
	look := m.svc.Leftovers
	if look == nil {
		return nil
	}
	return m.read(func(ctx context.Context) tea.Msg {
		events, err := look(ctx)
		return leftMsg{events, err}
	})
}

// onLeft shows what was left. A dialog that is open already is not covered; the events tell it too.
func (m *Model) onLeft(msg leftMsg) {
	if msg.err != nil {
		m.say(bad, "journals: %v", msg.err)
	}
	for _, e := range msg.events {
		m.record(e)
	}
	if len(msg.events) == 0 {
		return
	}
	if m.dlg != nil {
		m.say(caution, "%s: %s", msg.events[0].Message, msg.events[0].Hint)
		return
	}
	m.dlg = &noticeDialog{heading: "Something was broken off", events: msg.events,
		foot: "Nodes may be half way. This takes it back, and so does the next deploy or rollback before it begins."}
}

// noticeDialog tells something that must be read. Enter or escape closes it.
type noticeDialog struct {
	heading string
	events  []ops.Event
	foot    string
}

func (d *noticeDialog) title() string { return d.heading }
func (d *noticeDialog) paste(string)  {}

func (d *noticeDialog) view(m *Model, w, _ int) []line {
	var out []line
	for i, e := range d.events {
		out = append(out, wrap(caution, "! "+m.svc.Redact(e.Message), w)...)
		if e.Hint != "" && (i == len(d.events)-1 || d.events[i+1].Hint != e.Hint) { // a hint that many share is shown once
			out = append(out, line{{accent, "→ " + e.Hint}})
		}
	}
	out = append(append(out, nil), wrap(plain, d.foot, w)...)
	return append(out, nil, line{{accent, "⏎"}, {dim, " closes"}})
}

func (d *noticeDialog) key(m *Model, k tea.Key) tea.Cmd {
	switch k.String() {
	case "enter", "esc", "ctrl+c":
		m.dlg = nil
	}
	return nil
}
