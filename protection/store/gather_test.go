package store

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestGatherer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate, errOdd := make(chan struct{}), errors.New("odd")
		var groups [][]int
		g := gatherer[int]{limit: 3}
		g.run = func(group []*int) error {
			<-gate
			var numbers []int
			for _, n := range group {
				numbers = append(numbers, *n)
			}
			groups = append(groups, numbers)
			if numbers[0]%2 == 1 {
				return errOdd
			}
			if numbers[0] == 6 {
				panic("six")
			}
			return nil
		}
		errs := make([]error, 10)
		var wg sync.WaitGroup
		impatient, leave := context.WithCancel(t.Context())
		for i := range errs { // 0 runs alone; then 1 2 3, 4 5 and 6 without who left, 7 8 9
			ctx := t.Context()
			if i == 5 {
				ctx = impatient
			}
			wg.Go(func() { errs[i] = g.do(ctx, &i) })
			synctest.Wait()
		}
		leave()
		synctest.Wait()
		if !errors.Is(errs[5], context.Canceled) {
			t.Errorf("who left: %v", errs[5])
		}
		close(gate)
		wg.Wait()
		want := [][]int{{0}, {1, 2, 3}, {4, 6}, {7, 8, 9}}
		if len(groups) != len(want) {
			t.Fatalf("groups: %v", groups)
		}
		for i, group := range want {
			if len(groups[i]) != len(group) || groups[i][0] != group[0] {
				t.Errorf("group %d: %v, want %v", i, groups[i], group)
			}
		}
		for i, err := range errs {
			if odd := i >= 1 && i <= 3 || i >= 7; i != 5 && errors.Is(err, errOdd) != odd {
				t.Errorf("%d: %v", i, err)
			}
		}
		six := 6
		if err := g.do(t.Context(), &six); err == nil {
			t.Error("a panic is no error")
		}
		eight := 8
		if err := g.do(t.Context(), &eight); err != nil {
			t.Errorf("after a panic: %v", err)
		}
	})
}

// TestGathererWaits sends many again and again, as clients do that come back with their next request a moment later: after the
// first rounds all of them are in one group. Who is left alone waits once more at most.
func TestGathererWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sizes []int
		g := gatherer[int]{limit: 100, patient: true}
		g.run = func(group []*int) error {
			time.Sleep(4 * time.Millisecond)
			sizes = append(sizes, len(group))
			return nil
		}
		const clients, rounds = 16, 12
		start := time.Now() // virtual, as all times here
		var wg sync.WaitGroup
		for i := range clients {
			wg.Go(func() {
				for range rounds {
					time.Sleep(time.Duration(i) * 100 * time.Microsecond)
					if err := g.do(t.Context(), &i); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if n := len(sizes); n > rounds+3 || sizes[n-2] < clients/2 {
			t.Errorf("groups: %v", sizes)
		}
		// The last one comes after 1.5 ms; nobody waits for more when all are there.
		if took := time.Since(start); took > (rounds+3)*5500*time.Microsecond {
			t.Errorf("%d rounds took %v", rounds, took)
		}
		one := 1
		for range 3 {
			begun := time.Now()
			if err := g.do(t.Context(), &one); err != nil {
				t.Error(err)
			}
			t.Log(time.Since(begun))
		}
		begun := time.Now()
		if err := g.do(t.Context(), &one); err != nil || time.Since(begun) != 4*time.Millisecond {
			t.Errorf("who is alone waited: %v, %v", time.Since(begun), err)
		}
	})
}
