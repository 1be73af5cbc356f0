package store

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
)

// gatherer runs what many ask for in groups: while one group runs, those who come wait and are the next. Who is alone waits
// for nobody; many share statements, round trips and commits.
type gatherer[J any] struct {
	run   func(group []*J) error // the error is that of all
	limit int                    // of a group

	mu    sync.Mutex
	queue []*gathered[J]
	busy  bool
}

type gathered[J any] struct {
	job   *J
	state atomic.Int32
	err   error
	done  chan struct{}
}

// do runs job in a group and waits for it. Giving up is possible until the group starts.
func (g *gatherer[J]) do(ctx context.Context, job *J) error {
	g.mu.Lock()
	if !g.busy {
		g.busy = true
		g.mu.Unlock()
		defer g.next()
		return g.safely([]*J{job})
	}
	w := &gathered[J]{job: job, done: make(chan struct{})}
	g.queue = append(g.queue, w)
	g.mu.Unlock()
	select {
	case <-w.done:
		return w.err
	case <-ctx.Done():
		if w.state.CompareAndSwap(jobWaiting, jobGivenUp) {
			return ctx.Err()
		}
		<-w.done
		return w.err
	}
}

// next lets the next group run, if somebody waits.
func (g *gatherer[J]) next() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.queue) == 0 {
		g.busy, g.queue = false, nil
		return
	}
	n := min(len(g.queue), g.limit)
	group := g.queue[:n:n]
	g.queue = g.queue[n:]
	go g.together(group)
}

func (g *gatherer[J]) together(group []*gathered[J]) {
	defer g.next()
	started, jobs := group[:0], make([]*J, 0, len(group))
	for _, w := range group {
		if w.state.CompareAndSwap(jobWaiting, jobStarted) {
			started, jobs = append(started, w), append(jobs, w.job)
		}
	}
	if len(jobs) == 0 {
		return
	}
	err := g.safely(jobs)
	for _, w := range started {
		w.err = err
		close(w.done)
	}
}

// safely turns a panic into an error: the group of many must not end the program, nor that of one the queue.
func (g *gatherer[J]) safely(jobs []*J) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return g.run(jobs)
}
