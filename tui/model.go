package tui

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/colorprofile"
	"github.com/charmbracelet/x/ansi"

	"github.com/mosparoctl/mosparoctl/ops"
)

// screenID names a screen.
type screenID int

// The screens, in the order of their number keys.
const (
	screenOverview screenID = iota
	screenNode
	screenChecks
	screenDeploy
	screenReleases
	screenSync
	screenCron
	screenData
	screenEvents
	screenServe
	screens
)

// Options change how the program looks.
type Options struct {
	Theme string      // one of Themes; "": Light where the terminal says that its background is, else Dark
	Start string      // name of the screen to begin with, as in the palette; "": the overview
	Mouse bool        // take clicks and the wheel, which takes the terminal's own selection of text away
	Notes []ops.Event // what the operator has to know from the beginning; the last one is at the bottom, all are events
}

// Model is the state of the program. It does no I/O: everything slow is a command.
type Model struct {
	ctx    context.Context
	svc    Services
	th     *theme
	colour colorprofile.Profile // what the terminal can show
	auto   bool                 // the theme is the terminal's to choose
	w, h   int
	now    time.Time
	zone   *time.Location
	feed   *feed
	runner *runner

	started time.Time
	st      store
	log     eventLog
	silent  map[string]string // by node: why a check could know nothing of it, as last noted

	screen screenID
	back   []screenID
	shown  string // the node of the node screen
	at     [screens]int
	filter [screens]string
	open   bool // the checks screen shows all the evidence of one check

	openScroll int

	dlg      dialog
	op       *operation
	opID     int
	opScroll int

	note      string
	noteStyle style
	noteAt    time.Time
	quitAfter bool // the operation was aborted in order to leave

	guard *guard // of the terminal
	lost  bool   // the terminal is gone

	mouse bool
	spots []spot // of the last frame
	below int    // lines that the last frame had no room for
}

// New makes the model. ctx ends its readings.
func New(ctx context.Context, svc Services, o Options) *Model {
	if svc.Now == nil {
		svc.Now = time.Now
	}
	if svc.Redact == nil {
		svc.Redact = func(s string) string { return s }
	}
	now := svc.Now()
	m := &Model{ctx: ctx, svc: svc, th: themeOf(o.Theme, colorprofile.Unknown), auto: o.Theme == "", mouse: o.Mouse, w: 80, h: 24, now: now, started: now, zone: now.Location(), feed: newFeed(), runner: &runner{},
		silent: map[string]string{}, st: newStore(svc.Deployment)}
	if len(svc.Deployment.Nodes) > 0 {
		m.shown = svc.Deployment.Nodes[0].Name
	}
	for id, s := range screenList() {
		if s.name == o.Start {
			m.screen = screenID(id)
		}
	}
	for _, e := range o.Notes {
		m.record(e)
		m.say(caution, "%s", e.Message)
	}
	return m
}

// Init starts the clock, the feed and the first readings.
func (m *Model) Init() tea.Cmd {
	return tea.Batch(m.tick(), m.feed.next(m.ctx.Done()), m.poll(), m.askBackground(), m.lookForLeftovers())
}

// Update takes a message.
func (m *Model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.w, m.h = msg.Width, msg.Height
	case tea.KeyPressMsg:
		return m, m.onKey(tea.Key(msg))
	case tea.PasteMsg:
		if m.dlg != nil {
			m.dlg.paste(msg.Content)
		}
	case tea.MouseMsg:
		return m, m.onMouse(msg)
	case tea.ColorProfileMsg:
		m.colour = msg.Profile
		m.th = themeOf(m.th.name, m.colour)
	case tea.BackgroundColorMsg:
		m.onBackground(msg.IsDark())
	case tea.ResumeMsg: // perhaps on another terminal
		return m, m.askBackground()
	case tickMsg:
		m.now = msg.at
		return m, tea.Batch(m.tick(), m.poll())
	case happened:
		m.onNews(msg)
		return m, m.feed.next(m.ctx.Done())
	case plannedMsg:
		m.onPlanned(msg)
	case appliedMsg:
		return m, m.onApplied(msg)
	case suspendMsg:
		return m, suspend(m)
	case stopMsg:
		return m, m.onStop()
	case lostMsg:
		return m, m.onLost()
	case leftMsg:
		m.onLeft(msg)
	default:
		return m, m.onReading(msg)
	}
	return m, nil
}

// onReading takes an answer of the poller.
func (m *Model) onReading(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case checksMsg:
		m.onChecks(msg)
	case nodeMsg:
		m.onNode(msg)
	case balancersMsg:
		m.st.balance.end(m.now, msg.err)
		if len(msg.servers) > 0 {
			m.st.servers = msg.servers
		}
	case lockMsg:
		if m.st.locks.end(m.now, msg.err); msg.err == nil {
			m.st.lock, m.st.locked = msg.info, msg.held
		}
	case cronMsg:
		if m.st.schedule.end(m.now, msg.err); msg.err == nil {
			m.st.cron, m.st.present, m.st.unread = msg.overview, msg.present, msg.unread
		}
	case logsMsg:
		if n := m.st.node(msg.name); n != nil {
			n.logs.end(m.now, msg.err)
			if len(msg.lines) > 0 {
				n.lines = msg.lines
			}
		}
	case metricsMsg:
		m.onMetrics(msg)
	case driftMsg:
		m.onDrift(msg)
	case saidMsg:
		m.say(msg.style, "%s", msg.text)
	}
	return nil
}

// saidMsg is the result of a small errand, such as writing a file.
type saidMsg struct {
	style style
	text  string
}

func (m *Model) onNode(msg nodeMsg) {
	n := m.st.node(msg.name)
	if n == nil {
		return
	}
	failedBefore := n.err != nil
	n.end(m.now, msg.err)
	switch {
	case msg.err == nil:
		n.reading = msg.reading
		if msg.reading.Cron != nil && slices.Contains(m.st.unread, msg.name) {
			m.st.schedule.asked = time.Time{} // it lacked this node
		}
		if failedBefore {
			m.record(ops.Event{Kind: ops.Output, Op: "poll", Node: msg.name, Message: "answers again"})
		}
	case !failedBefore:
		m.record(ops.Event{Kind: ops.Warning, Op: "poll", Node: msg.name, Message: "can't be read", Error: msg.err.Error(), Hint: ops.HintOf(msg.err)})
	}
}

// noteFor is how long a note stays at the bottom.
const noteFor = 8 * time.Second

// say shows a note at the bottom.
func (m *Model) say(s style, format string, args ...any) {
	m.note, m.noteStyle, m.noteAt = m.svc.Redact(fmt.Sprintf(format, args...)), s, m.now
}

// goTo shows a screen.
func (m *Model) goTo(id screenID) tea.Cmd {
	if id != m.screen {
		if m.back = append(m.back, m.screen); len(m.back) > int(screens) {
			m.back = m.back[1:]
		}
		m.screen, m.open = id, false
	}
	return m.poll()
}

// onStop ends the program from outside, after the operation that runs was aborted.
func (m *Model) onStop() tea.Cmd {
	if m.op == nil || m.op.phase != running {
		return tea.Quit
	}
	m.quitAfter = true
	m.abort()
	m.say(caution, "aborting %s, then leaving", m.op.name)
	return nil
}

// move moves the cursor or scrolls, whatever the screen has.
func (m *Model) move(by int) {
	if m.opShown() {
		m.opScroll = max(m.opScroll+by, 0)
		return
	}
	if m.screen == screenChecks && m.open {
		m.openScroll = max(m.openScroll+by, 0)
		return
	}
	n := m.current().rows(m)
	m.at[m.screen] = max(min(m.at[m.screen]+by, n-1), 0)
}

// opShown reports whether the screen shows an operation in place of its own content.
func (m *Model) opShown() bool { return m.op != nil && m.op.origin == m.screen }

// View draws the screen.
func (m *Model) View() tea.View {
	v := tea.NewView(m.render())
	v.AltScreen = true
	if m.mouse {
		v.MouseMode = tea.MouseModeCellMotion
	}
	v.WindowTitle = "mosparoctl " + clean(m.svc.Deployment.Name)
	return v
}

// render is the whole screen: exactly h lines of w cells.
func (m *Model) render() string {
	var b strings.Builder
	b.Grow(m.w * m.h * 2)
	m.th.paint(&b, m.frame())
	if m.dlg == nil || m.w < 1 || m.h < 1 {
		return b.String()
	}
	return m.overlay(b.String())
}

// plainText is the screen without styles.
func (m *Model) plainText() string {
	var b strings.Builder
	for l := range strings.SplitSeq(ansi.Strip(m.render()), "\n") {
		b.WriteString(strings.TrimRight(l, " "))
		b.WriteByte('\n')
	}
	return b.String()
}

// frame lays the screen out: two lines of head, the body, two lines of foot.
func (m *Model) frame() []line {
	if m.w < 1 || m.h < 1 {
		return nil
	}
	out := m.head()
	room := max(m.h-len(out)-footLines, 0)
	m.spots, m.below = m.spots[:0], 0
	var body []line
	if m.opShown() {
		body = m.viewOperation(m.w, room)
	} else {
		body = m.current().view(m, m.w, room)
	}
	if len(body) > room {
		body = body[:room]
	}
	for len(body) < room {
		body = append(body, nil)
	}
	out = append(append(out, body...), m.foot()...)
	if len(out) > m.h {
		out = out[:m.h]
	}
	for i, l := range out {
		out[i] = l.fit(m.w)
	}
	return out
}

// overlay draws the dialog over the screen, in its middle.
func (m *Model) overlay(under string) string {
	w := min(m.w, 76)
	lines := box(span{strong, m.dlg.title()}, m.dlg.view(m, w-4, max(m.h-4, 1)), w)
	for i, l := range lines {
		lines[i] = l.fit(w)
	}
	var b strings.Builder
	m.th.paint(&b, lines)
	over := lipgloss.NewLayer(b.String()).X((m.w - w) / 2).Y(max((m.h-len(lines))/3, 0))
	canvas := lipgloss.NewCanvas(m.w, m.h).Compose(lipgloss.NewCompositor(lipgloss.NewLayer(under), over))
	// The canvas leaves out blanks at the ends of lines.
	return lipgloss.NewStyle().Width(m.w).Render(canvas.Render())
}
