package filesync

import (
	"context"
	"sync"
	"time"
)

// limiter spreads bytes over time. A nil limiter lets everything pass. Safe for concurrent use.
type limiter struct {
	rate int64 // bytes per second

	mu   sync.Mutex
	free time.Time // when all that was let through so far has had its time
}

// burst is how far the limiter may run ahead: what was not used for longer than this is lost.
const burst = 100 * time.Millisecond

func newLimiter(rate int64) *limiter {
	if rate <= 0 {
		return nil
	}
	return &limiter{rate: rate}
}

// wait returns when n more bytes may go, or with ctx's error.
func (l *limiter) wait(ctx context.Context, n int) error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	now := time.Now()
	if oldest := now.Add(-burst); l.free.Before(oldest) {
		l.free = oldest
	}
	l.free = l.free.Add(time.Duration(float64(n) / float64(l.rate) * float64(time.Second)))
	pause := l.free.Sub(now)
	l.mu.Unlock()
	if pause <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
