package tui

import (
	"context"
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/mosparoctl/mosparoctl/ops"
)

// phase is how far an operation is.
type phase int

const (
	planning phase = iota // facts are read
	planned               // it waits to be confirmed
	running
	ended
)

// operation is the one thing that is being done, from its plan to its result. The screen that began it shows it.
type operation struct {
	id       int
	name     string // "deploy", "sync"
	origin   screenID
	phase    phase
	proposal *Proposal
	cancel   context.CancelFunc // ends planning
	stop     chan struct{}      // closed to abort
	aborting bool
	began    time.Time // of the run
	over     time.Time
	err      error
	nodes    map[string]*nodeProgress
	order    []string // nodes in the order of the plan
	total    int      // steps
	news     []ops.Event
}

// nodeProgress is how far an operation is on one node.
type nodeProgress struct {
	steps, done int    // of the plan on this node
	title       string // of the step that runs, or ran last
	current     ops.Event
	rates       []float64 // bytes a second, the newest last
	sampled     ops.Event
	failed      string
	busy        bool
}

// keptRates is the length of the sparkline.
const keptRates = 20

// keptNews is how many lines of output an operation shows.
const keptNews = 200

type (
	plannedMsg struct {
		id       int
		proposal *Proposal
		err      error
	}
	appliedMsg struct {
		id  int
		err error
	}
)

// runner keeps count of running operations, so that the program does not end before they have. Safe for concurrent use.
type runner struct {
	mu     sync.Mutex
	stop   chan struct{} // of the running operation
	closed bool          // the program ends: nothing begins any more
	wg     sync.WaitGroup
}

// begin reports whether an operation may run, after which wg.Done must follow. It is called by what runs it, since a program that ends
// does not start what it was asked to start last.
func (r *runner) begin() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	r.wg.Add(1)
	return true
}

// close lets nothing begin any more, and reports whether something may be running.
func (r *runner) close() (busy bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	return r.stop != nil
}

// propose begins to plan an operation. There is one at a time.
func (m *Model) propose(name string, plan func(context.Context) (*Proposal, error)) tea.Cmd {
	if o := m.op; o != nil {
		switch o.phase {
		case running:
			m.say(caution, "%s is running: wait for its end, or abort it on its screen", o.name)
			return nil
		case planning, planned, ended:
			m.dropOperation()
		}
	}
	m.opID++
	ctx, cancel := context.WithTimeout(m.ctx, planTimeout)
	o := &operation{id: m.opID, name: name, origin: m.screen, cancel: cancel}
	m.op, m.opScroll = o, 0
	return func() tea.Msg {
		defer cancel()
		p, err := plan(ctx)
		return plannedMsg{o.id, p, err}
	}
}

// planTimeout bounds planning: reading an archive of the size of mosparo and scanning trees takes a while over slow lines.
const planTimeout = 10 * time.Minute

// dropOperation forgets an operation that does not run.
func (m *Model) dropOperation() {
	if m.op == nil || m.op.phase == running {
		return
	}
	m.op.cancel()
	m.op = nil
}

// onPlanned takes a finished plan. One that was dropped meanwhile is ignored.
func (m *Model) onPlanned(msg plannedMsg) {
	o := m.op
	if o == nil || o.id != msg.id || o.phase != planning {
		return
	}
	if msg.err != nil {
		o.phase, o.err, o.over = ended, msg.err, m.now
		m.record(ops.Event{Kind: ops.Failed, Op: o.name, Message: "plan", Error: msg.err.Error(), Hint: ops.HintOf(msg.err), Code: ops.CodeOf(msg.err)})
		return
	}
	o.phase, o.proposal = planned, msg.proposal
	o.nodes, o.total = map[string]*nodeProgress{}, msg.proposal.Plan.Steps()
	for _, w := range msg.proposal.Plan.Waves {
		for _, s := range w.Steps {
			p := o.nodes[s.Node]
			if p == nil {
				p = &nodeProgress{}
				o.nodes[s.Node] = p
				o.order = append(o.order, s.Node)
			}
			p.steps++
		}
	}
}

// start runs a planned operation. Only the confirmation dialog calls it.
func (m *Model) start() tea.Cmd {
	o := m.op
	if o == nil || o.phase != planned || o.proposal.Plan.Empty() {
		return nil
	}
	o.phase, o.began, o.stop = running, m.now, make(chan struct{})
	m.record(ops.Event{Kind: ops.Started, Op: o.name, Message: o.proposal.Title})
	apply, feed, r := o.proposal.Apply, m.feed, m.runner
	// Not the context of the screen: an operation outlives it, and is ended by stop.
	ctx := context.WithoutCancel(m.ctx)
	r.mu.Lock()
	r.stop = o.stop
	r.mu.Unlock()
	return func() tea.Msg {
		if !r.begin() {
			return nil
		}
		defer r.wg.Done()
		err := apply(ctx, feed, o.stop)
		return appliedMsg{o.id, err}
	}
}

// abort asks the running operation to end.
func (m *Model) abort() {
	o := m.op
	if o == nil || o.phase != running || o.aborting {
		return
	}
	o.aborting = true
	m.record(ops.Event{Kind: ops.Warning, Op: o.name, Message: "abort: what runs is ended or taken back"})
	m.runner.abort()
}

func (r *runner) abort() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stop != nil {
		close(r.stop)
		r.stop = nil
	}
}

// onApplied takes the end of an operation, and reads everything anew.
func (m *Model) onApplied(msg appliedMsg) tea.Cmd {
	o := m.op
	if o == nil || o.id != msg.id {
		return nil
	}
	m.runner.mu.Lock()
	m.runner.stop = nil
	m.runner.mu.Unlock()
	m.onNews(m.feed.take()) // what it told last comes before its end
	o.phase, o.err, o.over = ended, msg.err, m.now
	e := ops.Event{Kind: ops.Summary, Op: o.name, Message: o.proposal.Title + ": done"}
	if msg.err != nil {
		e = ops.Event{Kind: ops.Failed, Op: o.name, Message: o.proposal.Title, Error: msg.err.Error(), Hint: ops.HintOf(msg.err), Code: ops.CodeOf(msg.err)}
	}
	m.record(e)
	if m.quitAfter {
		return tea.Quit
	}
	return m.refresh()
}

// follow takes an event of the running operation.
func (o *operation) follow(e ops.Event) {
	if e.Kind != ops.Progress && e.Kind != ops.Started {
		if o.news = append(o.news, e); len(o.news) > keptNews {
			o.news = o.news[len(o.news)-keptNews:]
		}
	}
	p := o.nodes[e.Node]
	if p == nil {
		return
	}
	switch e.Kind {
	case ops.Started:
		p.title, p.busy, p.current, p.sampled = e.Message, true, ops.Event{}, ops.Event{}
	case ops.Finished, ops.Skipped:
		if e.Step != "" {
			p.done, p.busy, p.current = min(p.done+1, p.steps), false, ops.Event{}
		}
	case ops.Failed:
		p.failed, p.busy = e.Error, false
	case ops.Progress:
		p.current = e
		p.sample(e)
	}
}

// sampleEvery is the least time between two points of the sparkline.
const sampleEvery = 200 * time.Millisecond

// sample adds the rate since the last sample.
func (p *nodeProgress) sample(e ops.Event) {
	if e.Unit != "bytes" {
		return
	}
	if p.sampled.Time.IsZero() || e.Step != p.sampled.Step || e.Done < p.sampled.Done {
		p.sampled = e
		return
	}
	d := e.Time.Sub(p.sampled.Time)
	if d < sampleEvery {
		return
	}
	p.rates = append(p.rates, float64(e.Done-p.sampled.Done)/d.Seconds())
	if len(p.rates) > keptRates {
		p.rates = p.rates[len(p.rates)-keptRates:]
	}
	p.sampled = e
}

// done counts finished steps of all nodes.
func (o *operation) done() int {
	n := 0
	for _, p := range o.nodes {
		n += p.done
	}
	return n
}
