package filesync

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestRepeatDebouncesAndFallsBackToTheInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		wake := make(chan struct{}, 1)
		start := time.Now()
		var passes []time.Duration
		done := make(chan struct{})
		go func() {
			defer close(done)
			repeat(ctx, nil, wake, time.Minute, time.Second, func() { passes = append(passes, time.Since(start)) })
		}()
		at := func(d time.Duration) { time.Sleep(d - time.Since(start)) }
		at(10 * time.Second)
		wake <- struct{}{} // a burst: one pass, a second after its last change
		at(10*time.Second + 900*time.Millisecond)
		wake <- struct{}{}
		at(80 * time.Second) // the interval began at 11.9 s
		for range 60 {       // steady changes: a pass after ten times the debounce
			wake <- struct{}{}
			time.Sleep(500 * time.Millisecond)
		}
		cancel()
		<-done
		want := []time.Duration{0, 11900 * time.Millisecond, 71900 * time.Millisecond, 90 * time.Second, 100 * time.Second}
		if len(passes) < len(want) {
			t.Fatalf("passes at %v, want %v", passes, want)
		}
		for i, w := range want {
			if d := passes[i] - w; d < -time.Second || d > time.Second {
				t.Errorf("passes at %v, want %v", passes, want)
				break
			}
		}
	})
}

func TestRepeatEndsAtStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stop := make(chan struct{})
		n := 0
		repeat(t.Context(), stop, nil, time.Minute, time.Second, func() {
			if n++; n == 3 {
				close(stop)
			}
		})
		if n != 3 {
			t.Errorf("%d passes", n)
		}
	})
}
