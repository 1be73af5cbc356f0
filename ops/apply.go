package ops

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// ErrNothingToDo is returned by a step that found its work done already.
var ErrNothingToDo = errors.New("nothing to do")

// undoTimeout bounds one Undo at the end of an operation that failed or was interrupted.
const undoTimeout = 60 * time.Second

// ApplyOptions tells Apply how to carry a plan out.
type ApplyOptions struct {
	Sink    Sink            // nil: Discard
	Undoers Undoers         // what Step.Undo kinds mean; a kind without an entry fails before anything runs
	Journal *Journal        // nil: nothing is journalled
	Stop    <-chan struct{} // closed at the first interrupt: no new step starts
	Now     func() time.Time
}

// NodeResult is what became of one node.
type NodeResult struct {
	Node     string
	Finished int // steps that changed something
	Skipped  int // steps that had nothing to do
	Err      error
}

// ApplyResult is what became of a plan.
type ApplyResult struct {
	Nodes []NodeResult // sorted by name, every node of the plan
}

// Apply carries p out wave by wave. The first failure lets running nodes finish their current step and starts nothing more;
// then what was begun and not settled is undone, last first. It returns an *Error: CodePartial when some nodes were
// finished and others failed, CodeInterrupted after Stop or a cancelled context, else the class of the failure.
// Cancelling ctx ends running steps through their context; undoing still happens, each within a minute.
func Apply(ctx context.Context, p *Plan, o ApplyOptions) (ApplyResult, error) {
	a := &applier{plan: p, opts: o, nodes: map[string]*nodeRun{}}
	if a.opts.Sink == nil {
		a.opts.Sink = Discard
	}
	if a.opts.Now == nil {
		a.opts.Now = time.Now
	}
	for _, w := range p.Waves {
		for _, s := range w.Steps {
			if s.Undo != nil && o.Undoers[s.Undo.Kind] == nil {
				return ApplyResult{}, Errorf(CodeFailed, "plan %s: step %s: no way known to undo %q", p.Op, s.ID, s.Undo.Kind)
			}
			if s.Do == nil {
				return ApplyResult{}, Errorf(CodeFailed, "plan %s: step %s does nothing", p.Op, s.ID)
			}
			if a.nodes[s.Node] == nil {
				a.nodes[s.Node] = &nodeRun{result: NodeResult{Node: s.Node}}
			}
		}
	}
	return a.run(ctx)
}

type applier struct {
	plan  *Plan
	opts  ApplyOptions
	nodes map[string]*nodeRun

	mu      sync.Mutex
	failed  bool
	stopped bool
}

// nodeRun is touched by one goroutine at a time: the one that runs the node's steps in the current wave.
type nodeRun struct {
	result  NodeResult
	pending []Step // steps with an Undo that is not settled yet, in order of execution
}

func (a *applier) run(ctx context.Context) (ApplyResult, error) {
	steps, stopSteps := context.WithCancel(ctx)
	defer stopSteps()
	done := make(chan struct{})
	defer close(done)
	go func() {
		select {
		case <-a.opts.Stop:
			a.halt(true)
			stopSteps()
		case <-ctx.Done():
			a.halt(true)
		case <-done:
		}
	}()
	for _, w := range a.plan.Waves {
		a.wave(ctx, steps, w)
		if a.halted() {
			break
		}
	}
	if a.halted() {
		a.undo(ctx)
	}
	return a.finish()
}

// halt stops the plan: no new step starts.
func (a *applier) halt(interrupted bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if interrupted {
		a.stopped = true
	} else {
		a.failed = true
	}
}

func (a *applier) halted() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	// A context that ended or a closed Stop must be seen even before the watching goroutine has run.
	select {
	case <-a.opts.Stop:
		a.stopped = true
	default:
	}
	return a.failed || a.stopped
}

// wave runs the steps of w: by node in order, nodes side by side. cancelable is the context of steps with Cancel.
func (a *applier) wave(ctx, cancelable context.Context, w Wave) {
	byNode := map[string][]Step{}
	var order []string
	for _, s := range w.Steps {
		if byNode[s.Node] == nil {
			order = append(order, s.Node)
		}
		byNode[s.Node] = append(byNode[s.Node], s)
	}
	limit := w.Parallel
	if limit <= 0 {
		limit = len(order)
	}
	slots := make(chan struct{}, max(limit, 1))
	var wg sync.WaitGroup
	for _, node := range order {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			for _, s := range byNode[node] {
				if ctx.Err() != nil || a.halted() {
					return
				}
				stepCtx := ctx
				if s.Cancel {
					stepCtx = cancelable
				}
				if !a.step(stepCtx, s) {
					return
				}
			}
		})
	}
	wg.Wait()
}

// step runs s and reports whether the node may go on.
func (a *applier) step(ctx context.Context, s Step) bool {
	n := a.nodes[s.Node]
	a.emit(Event{Kind: Started, Node: s.Node, Step: s.ID, Message: s.Title})
	if s.Undo != nil {
		n.pending = append(n.pending, s)
		if err := a.opts.Journal.Begin(s); err != nil {
			return a.stepFailed(n, s, fmt.Errorf("write journal: %w", err))
		}
	}
	err := s.Do(ctx, reporter{a: a, step: s})
	switch {
	case errors.Is(err, ErrNothingToDo):
		n.result.Skipped++
		a.emit(Event{Kind: Skipped, Node: s.Node, Step: s.ID, Message: s.Title})
	case err != nil:
		return a.stepFailed(n, s, err)
	default:
		n.result.Finished++
		a.emit(Event{Kind: Finished, Node: s.Node, Step: s.ID, Message: s.Title})
	}
	for _, id := range s.Settles {
		if err := a.settle(n, id); err != nil {
			return a.stepFailed(n, s, fmt.Errorf("write journal: %w", err))
		}
	}
	return true
}

func (a *applier) stepFailed(n *nodeRun, s Step, err error) bool {
	n.result.Err = NodeError(s.Node, s.Title, err)
	a.emit(Event{Kind: Failed, Node: s.Node, Step: s.ID, Message: s.Title, Error: err.Error(), Hint: HintOf(err), Code: CodeOf(err)})
	a.halt(false)
	return false
}

// settle drops the Undo of step id on n.
func (a *applier) settle(n *nodeRun, id string) error {
	for i, s := range n.pending {
		if s.ID == id {
			n.pending = slices.Delete(n.pending, i, i+1)
			return a.opts.Journal.Settle(id)
		}
	}
	return nil
}

// undo takes back what is pending, last step first, nodes side by side.
func (a *applier) undo(ctx context.Context) {
	ctx = context.WithoutCancel(ctx)
	var wg sync.WaitGroup
	for _, n := range a.nodes {
		wg.Go(func() {
			for _, s := range slices.Backward(slices.Clone(n.pending)) {
				ctx, cancel := context.WithTimeout(ctx, undoTimeout)
				err := a.opts.Undoers[s.Undo.Kind](ctx, *s.Undo)
				cancel()
				if err != nil {
					// It stays in the journal: "mosparoctl recover" tries again.
					a.emit(Event{Kind: Warning, Node: s.Node, Step: s.ID, Message: "could not take back: " + s.Title,
						Error: err.Error(), Hint: "mosparoctl recover"})
					continue
				}
				a.emit(Event{Kind: Output, Node: s.Node, Step: s.ID, Message: "taken back: " + s.Title})
				if err := a.settle(n, s.ID); err != nil {
					a.emit(Event{Kind: Warning, Node: s.Node, Step: s.ID, Message: "write journal", Error: err.Error()})
				}
			}
		})
	}
	wg.Wait()
}

func (a *applier) finish() (ApplyResult, error) {
	var res ApplyResult
	var failed, good int
	var first error
	clean := true
	for _, n := range a.nodes {
		clean = clean && len(n.pending) == 0
		res.Nodes = append(res.Nodes, n.result)
	}
	slices.SortFunc(res.Nodes, func(x, y NodeResult) int {
		if x.Node < y.Node {
			return -1
		}
		return 1
	})
	for _, n := range res.Nodes {
		switch {
		case n.Err != nil:
			failed++
			if first == nil {
				first = n.Err
			}
		case n.Finished+n.Skipped > 0:
			good++
		}
	}
	if clean {
		if err := a.opts.Journal.Close(); err != nil {
			a.emit(Event{Kind: Warning, Message: "close journal", Error: err.Error()})
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.stopped:
		return res, &Error{Code: CodeInterrupted, Op: a.plan.Op, Hint: HintOf(first), Err: errors.New("interrupted before all was done")}
	case failed > 0 && good > 0:
		return res, &Error{Code: CodePartial, Op: a.plan.Op, Hint: HintOf(first),
			Err: fmt.Errorf("%d of %d nodes failed: %w", failed, len(res.Nodes), first)}
	case failed > 0:
		return res, first
	}
	return res, nil
}

func (a *applier) emit(e Event) {
	e.Time, e.Op = a.opts.Now(), a.plan.Op
	a.opts.Sink.Emit(e)
}

// reporter turns what a step tells into events.
type reporter struct {
	a    *applier
	step Step
}

func (r reporter) Progress(done, total int64, unit string) {
	r.a.emit(Event{Kind: Progress, Node: r.step.Node, Step: r.step.ID, Done: done, Total: total, Unit: unit})
}

func (r reporter) Outputf(format string, args ...any) {
	r.a.emit(Event{Kind: Output, Node: r.step.Node, Step: r.step.ID, Message: fmt.Sprintf(format, args...)})
}

func (r reporter) Warnf(format string, args ...any) {
	r.a.emit(Event{Kind: Warning, Node: r.step.Node, Step: r.step.ID, Message: fmt.Sprintf(format, args...)})
}
