package store

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// gatherer runs what many ask for in groups: while one group runs, those who come wait and are the next. Who is alone waits
// for nobody; many share statements, round trips and commits.
type gatherer[J any] struct {
	run     func(group []*J) error // the error is that of all
	limit   int                    // of a group
	patient bool                   // under load a group waits for more, as crowd says

	mu     sync.Mutex
	queue  []*gathered[J]
	busy   bool // a group runs or waits
	wanted int  // so many end the wait; 0: nobody waits for more
	waits  int  // how many waits there were
	crowd  crowd
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
	g.crowd.came(len(g.queue) + 1)
	if wait, _ := g.wait(1); !g.busy && wait == 0 {
		g.busy = true
		g.crowd.begins(1, 0)
		g.mu.Unlock()
		defer g.next()
		return g.timed([]*J{job})
	}
	w := &gathered[J]{job: job, done: make(chan struct{})}
	g.queue = append(g.queue, w)
	switch {
	case !g.busy:
		g.busy = true
		g.begin()
	case g.wanted > 0 && len(g.queue) >= g.wanted:
		g.start()
	}
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

// wait is how long a group of n waits for more, and for how many. g.mu is held.
func (g *gatherer[J]) wait(n int) (time.Duration, int) {
	if !g.patient {
		return 0, 0
	}
	return g.crowd.patience(n, g.limit)
}

// next lets the next group run, if somebody waits.
func (g *gatherer[J]) next() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.queue) == 0 {
		g.busy, g.queue = false, nil
		return
	}
	g.begin()
}

// begin starts the next group, now or when it is large enough. g.mu is held.
func (g *gatherer[J]) begin() {
	wait, wanted := g.wait(len(g.queue))
	if wait == 0 {
		g.start()
		return
	}
	g.waits++
	g.wanted = wanted
	this := g.waits
	time.AfterFunc(wait, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.wanted > 0 && g.waits == this {
			g.start()
		}
	})
}

// start runs those who wait. g.mu is held.
func (g *gatherer[J]) start() {
	g.wanted = 0
	n := min(len(g.queue), g.limit)
	group := g.queue[:n:n]
	g.queue = g.queue[n:]
	g.crowd.begins(n, len(g.queue))
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
	err := g.timed(jobs)
	for _, w := range started {
		w.err = err
		close(w.done)
	}
}

// timed runs a group and notes how large it was and how long it took.
func (g *gatherer[J]) timed(jobs []*J) error {
	begun := time.Now()
	var err error
	if len(jobs) > 0 {
		err = g.safely(jobs)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.crowd.ended(len(jobs), time.Since(begun))
	return err
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
