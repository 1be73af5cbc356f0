package store

import (
	"context"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mosparoctl/mosparoctl/protection"
)

// groupLimit is how many waiting operations share one transaction, and so one flush to disk.
const groupLimit = 128

// group lets operations share the transactions of one connection. While one transaction is flushed to disk the next
// operations come together; under load a group also waits for more, as crowd says: fewer flushes cost less of the disk, too.
type group struct {
	q querier // its statements are short and are not cancelled half-way

	mu      sync.Mutex
	idle    sync.Cond // signalled when running ends
	reads   []*job
	writes  []*job
	running bool
	closed  bool
	crowd   crowd // of those who write
	wanted  int   // so many writes, or a read, end the wait for more
	wake    chan struct{}
}

// The states of a job.
const (
	jobWaiting int32 = iota
	jobStarted
	jobGivenUp
)

type job struct {
	f     func(context.Context, querier) error
	state atomic.Int32
	err   error
	done  chan struct{}
}

// start claims a job for being run; it is false if nobody waits for it any more.
func (j *job) start() bool { return j.state.CompareAndSwap(jobWaiting, jobStarted) }

// run makes an error of a panic, which would end the process here: the goroutine is not that of a request.
func (j *job) run(ctx context.Context, q querier) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = protection.Errorf(protection.CodeInternal, "panic: %v\n%s", p, debug.Stack())
		}
	}()
	return j.f(ctx, q)
}

func newGroup(q querier) *group {
	g := &group{q: q, wake: make(chan struct{}, 1)}
	g.idle.L = &g.mu
	return g
}

// write queues f and waits until it was committed or failed. Giving up is possible until it starts.
func (g *group) write(ctx context.Context, f func(context.Context, querier) error) error {
	return g.submit(ctx, &g.writes, f)
}

// read queues f, which must not write. It sees what is committed.
func (g *group) read(ctx context.Context, f func(context.Context, querier) error) error {
	return g.submit(ctx, &g.reads, f)
}

func (g *group) submit(ctx context.Context, queue *[]*job, f func(context.Context, querier) error) error {
	j := &job{f: f, done: make(chan struct{})}
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return protection.Errorf(protection.CodeUnavailable, "the database was closed")
	}
	*queue = append(*queue, j)
	g.crowd.came(len(g.writes))
	switch {
	case !g.running: // who is alone does it himself
		g.running = true
		g.mu.Unlock()
		g.once()
		g.mu.Lock()
		if g.ends() {
			g.mu.Unlock()
			return j.err
		}
		go g.run()
	case g.wanted > 0 && (len(g.reads) > 0 || len(g.writes) >= g.wanted):
		g.wanted = 0
		g.wake <- struct{}{}
	}
	g.mu.Unlock()
	select {
	case <-j.done:
		return j.err
	case <-ctx.Done():
		if j.state.CompareAndSwap(jobWaiting, jobGivenUp) {
			return ctx.Err()
		}
		<-j.done
		return j.err
	}
}

// run serves reads and groups of writes until none waits.
func (g *group) run() {
	for {
		g.mu.Lock()
		ended := g.ends()
		g.mu.Unlock()
		if ended {
			return
		}
		g.once()
	}
}

// ends notes that nobody runs the group any more, if nobody waits; g.mu is held.
func (g *group) ends() bool {
	if len(g.reads)+len(g.writes) > 0 {
		return false
	}
	g.running = false
	g.idle.Broadcast()
	return true
}

// once serves the reads that wait and one group of writes.
func (g *group) once() {
	begun := time.Now()
	for {
		g.mu.Lock()
		reads := g.reads
		g.reads = nil
		g.mu.Unlock()
		g.lookUp(reads)
		if !g.gather(begun) {
			break
		}
	}
	g.commit()
}

// gather waits until enough writes have come, but not beyond the time that began with since. It is true if there is
// something to read meanwhile.
func (g *group) gather(since time.Time) bool {
	g.mu.Lock()
	if len(g.reads) > 0 {
		g.mu.Unlock()
		return true
	}
	wait, wanted := g.crowd.patience(len(g.writes), groupLimit)
	wait -= time.Since(since)
	if len(g.writes) == 0 || wait <= 0 || g.closed {
		g.mu.Unlock()
		return false
	}
	g.wanted = wanted
	g.mu.Unlock()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-g.wake:
	case <-timer.C:
		g.mu.Lock()
		if g.wanted == 0 { // somebody woke us in the same moment
			<-g.wake
		}
		g.wanted = 0
		g.mu.Unlock()
	}
	return true
}

// lookUp runs reads in one transaction, so that they see one state and find their way to it once.
func (g *group) lookUp(jobs []*job) {
	if len(jobs) == 0 {
		return
	}
	ctx := context.Background()
	var err error
	if len(jobs) > 1 {
		_, err = g.q.exec(ctx, "BEGIN")
	}
	for _, j := range jobs {
		if j.start() {
			if j.err = err; err == nil {
				j.err = j.run(ctx, g.q)
			}
			close(j.done)
		}
	}
	if len(jobs) > 1 && err == nil {
		_, _ = g.q.exec(ctx, "COMMIT") // of nothing
	}
}

// commit runs the writes that wait, in one transaction.
func (g *group) commit() {
	g.mu.Lock()
	n := min(len(g.writes), groupLimit)
	if n == 0 { // there were only reads
		g.mu.Unlock()
		return
	}
	jobs := g.writes[:n:n]
	if g.writes = g.writes[n:]; len(g.writes) == 0 {
		g.writes = nil
	}
	g.crowd.begins(n, len(g.writes))
	g.mu.Unlock()
	started := jobs[:0]
	for _, j := range jobs {
		if j.start() {
			started = append(started, j)
		}
	}
	begun := time.Now()
	var err error
	if len(started) > 0 {
		err = g.transact(started)
	}
	g.mu.Lock()
	g.crowd.ended(len(started), time.Since(begun))
	g.mu.Unlock()
	for _, j := range started {
		if err != nil && j.err == nil {
			j.err = err
		}
		close(j.done)
	}
}

// transact runs jobs in one transaction. Only if one of them fails is the transaction undone and run again with each job
// in a savepoint of its own.
func (g *group) transact(jobs []*job) error {
	ctx := context.Background()
	if _, err := g.q.exec(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	if g.together(ctx, jobs) {
		return g.end(ctx)
	}
	_, _ = g.q.exec(ctx, "ROLLBACK") // fails where SQLite has done it already
	if len(jobs) == 1 {
		return nil
	}
	if _, err := g.q.exec(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	for _, j := range jobs {
		if err := g.apart(ctx, j); err != nil {
			_, _ = g.q.exec(ctx, "ROLLBACK")
			return err
		}
	}
	return g.end(ctx)
}

// together runs jobs until one fails.
func (g *group) together(ctx context.Context, jobs []*job) bool {
	for _, j := range jobs {
		if j.err = j.run(ctx, g.q); j.err != nil {
			return false
		}
	}
	return true
}

// apart runs a job that can be undone by itself. It fails only if the whole transaction is lost.
func (g *group) apart(ctx context.Context, j *job) error {
	if _, err := g.q.exec(ctx, "SAVEPOINT job"); err != nil {
		return err
	}
	if j.err = j.run(ctx, g.q); j.err != nil {
		if _, err := g.q.exec(ctx, "ROLLBACK TO job"); err != nil {
			return err
		}
	}
	_, err := g.q.exec(ctx, "RELEASE job")
	return err
}

func (g *group) end(ctx context.Context) error {
	_, err := g.q.exec(ctx, "COMMIT")
	if err != nil {
		_, _ = g.q.exec(ctx, "ROLLBACK")
	}
	return err
}

// close lets what was submitted end, and takes nothing more.
func (g *group) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	for g.running {
		g.idle.Wait()
	}
}
