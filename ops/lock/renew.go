package lock

import (
	"context"
	"errors"
	"fmt"
	"path"
	"time"

	"github.com/mosparoctl/mosparoctl/ops"
)

// releaseTimeout bounds what is done after the caller's context may have ended.
const releaseTimeout = 10 * time.Second

// start begins to renew the generation gen that c has become.
func start(ctx context.Context, c *candidate, gen int) *Lock {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	l := &Lock{files: c.files, dir: c.dir, gen: gen, info: c.info, stop: stop,
		done: make(chan struct{}), lost: make(chan struct{})}
	go l.keep(ctx, time.Now())
	return l
}

// Info is what the lease says.
func (l *Lock) Info() Info {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.info
}

// Lost is closed when the lock is no longer held: somebody broke it or it could not be renewed for half its length.
// The operation must stop then; Err says why.
func (l *Lock) Lost() <-chan struct{} { return l.lost }

// Err is an *ops.Error with CodeLocked after the lock was lost, and nil before.
func (l *Lock) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Release frees the lock and ends the renewal. It works after ctx has ended, for at most ten seconds. A lock that was lost
// is left alone. It may be called twice.
func (l *Lock) Release(ctx context.Context) error {
	l.stop()
	<-l.done
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil || l.info.Released {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer cancel()
	l.info.Released = true
	if err := writeLease(ctx, l.files, path.Join(l.dir, genName(l.gen)), l.info); err != nil {
		return ops.NodeError(l.files.Name(), "release lock", err)
	}
	return nil
}

// keep renews the lease until ctx ends or the lock is lost. renewed is when it was last known to be good.
func (l *Lock) keep(ctx context.Context, renewed time.Time) {
	defer close(l.done)
	length := l.Info().length()
	tick := time.NewTicker(length / 6)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		begun := time.Now()
		err := l.renew(ctx, renewed.Add(length/2))
		var gone *ops.Error
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			renewed = begun
			continue
		case errors.As(err, &gone) && gone.Code == ops.CodeLocked:
		case time.Since(renewed) < length/2:
			continue
		default:
			gone = ops.Errorf(ops.CodeLocked, "the lock could not be renewed for %s: %w", length/2, err).
				On(l.files.Name()).WithHint("run the command again")
		}
		l.mu.Lock()
		l.err = gone
		l.mu.Unlock()
		close(l.lost)
		return
	}
}

// renew writes the lease once more, giving up at the deadline.
func (l *Lock) renew(ctx context.Context, deadline time.Time) error {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	s, err := look(ctx, l.files, l.dir)
	if err != nil {
		return err
	}
	l.mu.Lock()
	info := l.info
	l.mu.Unlock()
	if s.gen != l.gen || s.info.Token != info.Token {
		return l.takenBy(s)
	}
	info.Beat++
	if err := writeLease(ctx, l.files, path.Join(l.dir, genName(l.gen)), info); err != nil {
		return err
	}
	l.mu.Lock()
	l.info.Beat = info.Beat
	l.mu.Unlock()
	return nil
}

// takenBy is the error of a holder who lost the lock to s.
func (l *Lock) takenBy(s state) error {
	why := fmt.Sprintf("it is held by %s now", s.info.Holder())
	switch {
	case s.gen < l.gen:
		why = "its folder was removed"
	case s.info.BrokenBy != "":
		why = s.info.BrokenBy + " broke it"
	}
	return ops.Errorf(ops.CodeLocked, "the lock was lost: %s", why).On(l.files.Name()).WithHint("run the command again")
}
