package filesync

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestLimiterKeepsTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(1000)
		start := time.Now()
		for range 50 {
			if err := l.wait(t.Context(), 100); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took < 4800*time.Millisecond || took > 5*time.Second {
			t.Errorf("5000 bytes at 1000/s took %v", took)
		}
		time.Sleep(time.Hour) // unused time is not saved up
		start = time.Now()
		_ = l.wait(t.Context(), 1100)
		if took := time.Since(start); took != time.Second {
			t.Errorf("1100 bytes after a pause took %v", took)
		}
	})
}

func TestLimiterEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := newLimiter(1).wait(ctx, 1000); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error = %v", err)
		}
	})
	if newLimiter(0).wait(t.Context(), 1<<40) != nil {
		t.Error("no limit is a limit")
	}
}
