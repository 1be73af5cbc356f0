package httpapi

import (
	"context"
	"testing"
	"testing/synctest"
)

func TestCost(t *testing.T) {
	object := int64(2 * bytesPerValue)
	for body, values := range map[string]int64{
		`[{}]`: object, "a=1&b=2": bytesPerValue, "x=%7b%5B%2c": 3 * bytesPerValue, `"\u007b\u005b"`: object, "%": 0, "%5": 0, "100%25": 0,
	} {
		if got, want := cost(body), bytesPerByte*int64(len(body))+values; got != want {
			t.Errorf("%s costs %d, want %d", body, got, want)
		}
	}
}

func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(10, 100, 150, 1000)
		take := func(n int64) func() {
			t.Helper()
			giveBack, err := b.take(t.Context(), n)
			if err != nil {
				t.Fatalf("%d: %v", n, err)
			}
			return giveBack
		}
		first, second := take(100), take(50)
		if _, err := b.take(t.Context(), 20); err == nil { // after its patience
			t.Error("more was given than there is")
		}
		take(10)()
		large := take(5000) // all there is for large ones
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := b.take(ctx, 101); err == nil {
			t.Error("two large ones at once")
		}
		first()
		take(100)()
		second()
		large()
		take(1000)()
	})
}
