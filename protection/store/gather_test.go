package store

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
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
