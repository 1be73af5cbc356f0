package tui

import (
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/health"
)

// feedEvery bounds how often the model is told what happened: often enough to look alive, seldom enough to leave time for keys.
const feedEvery = 80 * time.Millisecond

// feed carries what happens while something runs to the model, in batches. It is an ops.Sink; Emit never blocks. Progress of
// the same step is merged, nothing else is dropped. Safe for concurrent use.
type feed struct {
	mu       sync.Mutex
	batch    happened
	progress map[[2]string]int // place in batch.events of a step's last progress
	wake     chan struct{}
}

// happened is a batch of news.
type happened struct {
	events  []ops.Event
	results []health.Result
}

func newFeed() *feed { return &feed{progress: map[[2]string]int{}, wake: make(chan struct{}, 1)} }

// Emit takes an event.
func (f *feed) Emit(e ops.Event) {
	f.mu.Lock()
	key := [2]string{e.Node, e.Step}
	if i, ok := f.progress[key]; ok && e.Kind == ops.Progress {
		f.batch.events[i] = e
	} else {
		if e.Kind == ops.Progress {
			f.progress[key] = len(f.batch.events)
		} else {
			delete(f.progress, key) // what comes after this must not be shown before it
		}
		f.batch.events = append(f.batch.events, e)
	}
	f.mu.Unlock()
	f.ring()
}

// result takes the result of a check.
func (f *feed) result(r health.Result) {
	f.mu.Lock()
	f.batch.results = append(f.batch.results, r)
	f.mu.Unlock()
	f.ring()
}

func (f *feed) ring() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// take empties the feed.
func (f *feed) take() happened {
	f.mu.Lock()
	defer f.mu.Unlock()
	b := f.batch
	f.batch = happened{}
	clear(f.progress)
	return b
}

// next waits for news, and a little longer so that more come along.
func (f *feed) next(done <-chan struct{}) tea.Cmd {
	return func() tea.Msg {
		select {
		case <-f.wake:
		case <-done:
			return nil
		}
		pause := time.NewTimer(feedEvery)
		defer pause.Stop()
		select {
		case <-pause.C:
		case <-done:
		}
		return f.take()
	}
}

// keptEvents is how many events the screen of events holds.
const keptEvents = 2000

// eventLog holds the last events. The zero value is ready.
type eventLog struct {
	ring  []ops.Event
	start int // of the oldest, once the ring is full
}

func (l *eventLog) add(e ops.Event) {
	if len(l.ring) < keptEvents {
		l.ring = append(l.ring, e)
		return
	}
	l.ring[l.start] = e
	l.start = (l.start + 1) % keptEvents
}

// newest calls each for every event, the newest first, until it returns false.
func (l *eventLog) newest(each func(ops.Event) bool) {
	for i := range len(l.ring) {
		if !each(l.ring[(l.start+len(l.ring)-1-i)%len(l.ring)]) {
			return
		}
	}
}
