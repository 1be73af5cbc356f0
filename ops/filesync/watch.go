package filesync

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/mosparoctl/mosparoctl/ops"
)

// WatchOptions tunes Watch.
type WatchOptions struct {
	Interval time.Duration // between full passes, whatever was noticed; 0: the inventory's, else 5 minutes
	Debounce time.Duration // how long it must be quiet after a change; 0: half a second
	Sink     ops.Sink      // gets one Output event a change, warnings and failures; nil: Discard
	// Locked runs a pass that has something to do while it holds the deployment's lock; nil: without one.
	Locked func(ctx context.Context, pass func(context.Context) error) error
	// Stop ends the watch when it is closed: a pass that is going on ends first, by itself.
	Stop <-chan struct{}
}

// Watch keeps the targets in step until ctx ends or Stop is closed; both are no error. It makes a pass at once, after every
// change where the admin node is this machine, and at every interval. All guards hold for every pass: one that they
// refuse is told once, changes nothing, and the next one looks again.
func Watch(ctx context.Context, o SyncOptions, w WatchOptions) error {
	if o.Deployment.Admin() == nil {
		return noSource()
	}
	if w.Sink == nil {
		w.Sink = ops.Discard
	}
	if w.Interval <= 0 {
		w.Interval = o.Deployment.Sync.Interval
	}
	if w.Interval <= 0 {
		w.Interval = 5 * time.Minute
	}
	if w.Debounce <= 0 {
		w.Debounce = 500 * time.Millisecond
	}
	o.Each = true
	o.Run = "" // each pass has its own
	v := &vigil{o: o, w: w, told: map[string]bool{}}
	refresh := func() {}
	var wake <-chan struct{}
	if source := o.Deployment.Admin(); source.Local() {
		n, err := newNotifier(o)
		if err != nil {
			v.emit(ops.Event{Kind: ops.Warning, Node: source.Name, Message: "changes can't be noticed at once, only at every interval", Error: err.Error()})
		} else {
			defer n.close()
			wake, refresh = n.wake, n.refresh
		}
	}
	repeat(ctx, w.Stop, wake, w.Interval, w.Debounce, func() {
		refresh()
		v.pass(ctx)
		refresh() // folders that came meanwhile, or came back
	})
	return nil
}

// repeat calls pass at once, debounced after each wake, and at every interval, until ctx ends or stop is closed.
func repeat(ctx context.Context, stop, wake <-chan struct{}, interval, debounce time.Duration, pass func()) {
	for {
		select { // what happened during the last pass doesn't count against an end
		case <-stop:
			return
		case <-ctx.Done():
			return
		default:
		}
		pass()
		timer := time.NewTimer(interval)
		select {
		case <-stop:
		case <-ctx.Done():
		case <-timer.C:
		case <-wake:
			quiet(ctx, stop, wake, debounce)
		}
		timer.Stop()
	}
}

// quiet returns when nothing woke for d, but after ten times d at the latest, so that steady changes don't wait for ever.
func quiet(ctx context.Context, stop, wake <-chan struct{}, d time.Duration) {
	latest := time.NewTimer(10 * d)
	defer latest.Stop()
	calm := time.NewTimer(d)
	defer calm.Stop()
	for {
		select {
		case <-wake:
			calm.Reset(d)
		case <-calm.C:
			return
		case <-latest.C:
			return
		case <-stop:
			return
		case <-ctx.Done():
			return
		}
	}
}

// vigil makes the passes of a watch and remembers what it has told already.
type vigil struct {
	o SyncOptions
	w WatchOptions

	mu         sync.Mutex
	said, told map[string]bool // by the last pass, and by this one: what lasts is told once
	failing    bool            // the last pass failed
}

func (v *vigil) emit(e ops.Event) {
	e.Time, e.Op = time.Now(), "sync"
	v.w.Sink.Emit(e)
}

// say emits e unless this pass or the last one has already.
func (v *vigil) say(e ops.Event) {
	v.mu.Lock()
	key := text(e)
	known := v.said[key] || v.told[key]
	v.told[key] = true
	v.mu.Unlock()
	if !known {
		v.emit(e)
	}
}

// pass is one sync, told by what changed since the last one.
func (v *vigil) pass(ctx context.Context) {
	v.mu.Lock()
	before := v.said
	v.said, v.told = v.told, map[string]bool{}
	v.mu.Unlock()
	err := v.sync(ctx)
	switch {
	case ctx.Err() != nil || ops.CodeOf(err) == ops.CodeInterrupted:
		v.said, v.told = before, v.said
	case err != nil:
		v.failing = true
	case v.failing:
		v.failing = false
		v.emit(ops.Event{Kind: ops.Output, Message: "all is well again"})
	}
}

// sync looks without the lock; with something to do, it looks again under the lock.
func (v *vigil) sync(ctx context.Context) error {
	p, err := v.look(ctx)
	if err != nil || p.Empty() {
		return err
	}
	locked := v.w.Locked
	if locked == nil {
		locked = func(ctx context.Context, f func(context.Context) error) error { return f(ctx) }
	}
	applied := false
	err = locked(ctx, func(ctx context.Context) error {
		p, err := v.look(ctx)
		if err != nil {
			return err
		}
		applied = true
		_, err = Apply(ctx, p, ops.ApplyOptions{Sink: ops.SinkFunc(v.filter), Stop: v.w.Stop})
		return err
	})
	if err != nil && !applied {
		v.fail(err) // such as a lock that somebody else holds; what Apply met, filter has told
	}
	return err
}

// look gathers and plans, and tells what is noteworthy.
func (v *vigil) look(ctx context.Context) (*ops.Plan, error) {
	f, err := Gather(ctx, v.o)
	if err != nil {
		v.fail(err)
		return nil, err
	}
	p, warnings, err := Plan(f, v.o)
	if err != nil {
		v.fail(err)
	}
	for _, w := range warnings {
		v.say(w)
	}
	return p, err
}

func (v *vigil) fail(err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	v.say(ops.Event{Kind: ops.Failed, Error: err.Error(), Hint: ops.HintOf(err), Code: ops.CodeOf(err)})
}

// filter lets through what is worth a line.
func (v *vigil) filter(e ops.Event) {
	switch e.Kind {
	case ops.Output:
		v.w.Sink.Emit(e)
	case ops.Warning, ops.Failed:
		v.say(e)
	}
}

func text(e ops.Event) string { return fmt.Sprint(e.Kind, e.Node, e.Message, e.Error) }

// Failures joins the errors of the nodes that took no part; nil if there are none.
func (f *Facts) Failures() error { return failures(f.Unreadable) }

// Failures joins the errors of the nodes that took no part; nil if there are none.
func (f *UndoFacts) Failures() error { return failures(f.Unreadable) }

func failures(errs map[string]error) error {
	var all []error
	var code ops.Code
	for _, node := range sortedNodes(errs) {
		all = append(all, errs[node])
		code = ops.CodeOf(errs[node])
	}
	if len(all) == 0 {
		return nil
	}
	return &ops.Error{Code: code, Hint: ops.HintOf(all[0]), Err: errors.Join(all...)}
}
