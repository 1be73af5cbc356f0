package tui

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/mosparoctl/mosparoctl/ops/balancer"
	"github.com/mosparoctl/mosparoctl/ops/cron"
	"github.com/mosparoctl/mosparoctl/ops/health"
	"github.com/mosparoctl/mosparoctl/ops/lock"
	"github.com/mosparoctl/mosparoctl/ops/logs"
	"github.com/mosparoctl/mosparoctl/ops/metrics"
)

// Answers of the poller.
type (
	tickMsg   struct{ at time.Time }
	checksMsg struct {
		filtered bool
		err      error
	}
	nodeMsg struct {
		name    string
		reading Reading
		err     error
	}
	balancersMsg struct {
		servers []balancer.Server
		err     error
	}
	lockMsg struct {
		info lock.Info
		held bool
		err  error
	}
	cronMsg struct {
		overview *cron.Overview
		present  cron.Proof
		unread   []string
		err      error
	}
	metricsMsg struct {
		name    string
		reading *metrics.Reading
		err     error
	}
	logsMsg struct {
		name  string
		lines []logs.Line
		err   error
	}
)

// tickEvery is how often the model looks whether something is due, and how often ages are drawn anew.
const tickEvery = time.Second

// tick waits for the next look at the clock, or for the end of the program.
func (m *Model) tick() tea.Cmd {
	done := m.ctx.Done()
	return func() tea.Msg {
		timer := time.NewTimer(tickEvery)
		defer timer.Stop()
		select {
		case at := <-timer.C:
			return tickMsg{at}
		case <-done:
			return nil
		}
	}
}

// readTimeout bounds one reading. It is longer than a check may take on a node, so that a node that hangs gets its verdict.
func (m *Model) readTimeout() time.Duration { return 2*m.svc.Deployment.Check.Timeout + time.Minute }

// read runs f with a deadline, outside of Update.
func (m *Model) read(f func(ctx context.Context) tea.Msg) tea.Cmd {
	ctx, timeout := m.ctx, m.readTimeout()
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		return f(ctx)
	}
}

// poll starts every reading that is due. Each node is asked for itself: one that hangs holds no other up.
func (m *Model) poll() tea.Cmd {
	var cmds []tea.Cmd
	if m.st.checks.due(m.now) {
		cmds = append(cmds, m.readChecks(health.Filter{}))
	}
	for _, n := range m.st.nodes {
		if n.due(m.now) {
			cmds = append(cmds, m.readNode(n))
		}
	}
	for _, n := range m.st.cores() {
		if n.core.due(m.now) {
			cmds = append(cmds, m.readMetrics(n))
		}
	}
	if c := m.readDrift(); c != nil {
		cmds = append(cmds, c)
	}
	reader := m.svc.Reader
	if m.st.balance.due(m.now) && len(m.svc.Deployment.Balancers) > 0 {
		m.st.balance.begin(m.now)
		cmds = append(cmds, m.read(func(ctx context.Context) tea.Msg {
			servers, err := reader.Balancers(ctx)
			return balancersMsg{servers, err}
		}))
	}
	if m.st.locks.due(m.now) {
		m.st.locks.begin(m.now)
		cmds = append(cmds, m.read(func(ctx context.Context) tea.Msg {
			info, held, err := reader.Lock(ctx)
			return lockMsg{info, held, err}
		}))
	}
	if m.st.schedule.due(m.now) {
		if c := m.layCron(); c != nil {
			cmds = append(cmds, c)
		}
	}
	if n := m.st.node(m.shown); m.screen == screenNode && n != nil && n.logs.due(m.now) {
		n.logs.begin(m.now)
		cmds = append(cmds, m.read(func(ctx context.Context) tea.Msg {
			lines, err := reader.Logs(ctx, n.node)
			return logsMsg{n.node.Name, lines, err}
		}))
	}
	return tea.Batch(cmds...)
}

func (m *Model) readChecks(f health.Filter) tea.Cmd {
	filtered := len(f.Only) > 0
	if !filtered {
		m.st.checks.begin(m.now)
	}
	reader, feed := m.svc.Reader, m.feed
	return m.read(func(ctx context.Context) tea.Msg {
		_, err := reader.Check(ctx, f, feed.result)
		return checksMsg{filtered, err}
	})
}

// asking begins the notes that say which checks were asked for.
const asking = "asking "

// onChecks is the end of a run of checks. What was said of its beginning is not true any more.
func (m *Model) onChecks(msg checksMsg) {
	m.onNews(m.feed.take())
	if !msg.filtered {
		m.st.checks.end(m.now, msg.err)
	}
	switch {
	case msg.err != nil:
		m.say(bad, "checks: %v", msg.err)
	case strings.HasPrefix(m.note, asking):
		m.note = ""
	}
}

func (m *Model) readNode(n *nodeState) tea.Cmd {
	n.begin(m.now)
	reader, node := m.svc.Reader, n.node
	return m.read(func(ctx context.Context) tea.Msg {
		r, err := reader.Node(ctx, node)
		return nodeMsg{node.Name, r, err}
	})
}

func (m *Model) readMetrics(n *nodeState) tea.Cmd {
	n.core.begin(m.now)
	reader, node := m.svc.Reader, n.node
	return m.read(func(ctx context.Context) tea.Msg {
		r, err := reader.Metrics(ctx, node)
		return metricsMsg{node.Name, r, err}
	})
}

// onMetrics takes a reading of the core of a node.
func (m *Model) onMetrics(msg metricsMsg) {
	n := m.st.node(msg.name)
	if n == nil {
		return
	}
	if n.core.end(m.now, msg.err); msg.err == nil {
		n.core.read(msg.reading)
		m.st.readings++
	}
}

// layCron works out the schedule of what the nodes have, once each node has answered or failed.
func (m *Model) layCron() tea.Cmd {
	states := map[string]*cron.NodeState{}
	for _, n := range m.st.nodes {
		if n.got.IsZero() && n.err == nil && m.now.Sub(m.started) < n.every {
			return nil
		}
		if n.reading.Cron != nil {
			states[n.node.Name] = n.reading.Cron
		}
	}
	m.st.schedule.begin(m.now)
	d, now := m.svc.Deployment, m.now
	return func() tea.Msg {
		o, err := cron.Lay(d, maps.Clone(states), now)
		if err != nil {
			return cronMsg{err: err}
		}
		present := o.Proof
		if changes(o) {
			present = cron.Prove(o.InForce, d.Cron.Distance, now, cron.ProofDays)
		}
		return cronMsg{o, present, unread(o, states), nil}
	}
}

// unread are the nodes of which it is not known what their crontabs start.
func unread(o *cron.Overview, states map[string]*cron.NodeState) []string {
	var out []string
	for _, s := range o.Schedules { // by node
		if states[s.Node] == nil && !slices.Contains(out, s.Node) {
			out = append(out, s.Node)
		}
	}
	return out
}

// refresh makes everything due now.
func (m *Model) refresh() tea.Cmd {
	for _, s := range []*source{&m.st.checks, &m.st.balance, &m.st.locks, &m.st.schedule, &m.st.drift} {
		s.asked = time.Time{}
	}
	for _, n := range m.st.nodes {
		n.asked, n.logs.asked, n.core.asked = time.Time{}, time.Time{}, time.Time{}
	}
	return m.poll()
}
