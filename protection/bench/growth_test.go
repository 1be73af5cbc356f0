//go:build bench

package bench

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// printGrowth prints how the time of a check grows with the number of items: one client, the subjects of a database taking
// turns flow by flow, so that what else the machine does hits all of them.
func printGrowth(t *testing.T, subjects []*subject) {
	t.Helper()
	times := map[*subject][]time.Duration{}
	clients := map[*subject]*client{}
	for _, s := range subjects {
		clients[s] = newClient(s)
		defer clients[s].http.CloseIdleConnections()
	}
	const warmUp = 20
	for n := range *checks + warmUp {
		for i := range subjects {
			s := subjects[(i+n)%len(subjects)] // nobody always comes after the same one
			err := clients[s].flow(context.WithoutCancel(t.Context()), 500_000_000+n, func(step string, took time.Duration) {
				if step == "check" && n >= warmUp {
					times[s] = append(times[s], took)
				}
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	fmt.Printf("\n| database, items | median of %d checks, taking turns | of that with the fewest items |\n| --- | --- | --- |\n", *checks)
	for _, s := range subjects {
		least := fewest(s, subjects)
		median := quantile(times[s], 0.5)
		fmt.Printf("| %s | %s | %s |\n", s.name, milliseconds(median.Seconds()), ratio(median.Seconds(), quantile(times[least], 0.5).Seconds()))
	}
}

// printMemory prints what serve holds before and after load, and what that is for an item of the rules.
func printMemory(t *testing.T, subjects []*subject) {
	t.Helper()
	settled := time.NewTimer(*settle)
	defer settled.Stop()
	select {
	case <-settled.C:
	case <-t.Context().Done():
	}
	fmt.Printf("\n| database, items | memory of serve before load | %v after load | for an item, before / after |\n| --- | --- | --- | --- |\n", *settle)
	for _, s := range subjects {
		now, item := memory(t, s.serve), "-"
		if least := fewest(s, subjects); s.items-least.items >= 100_000 { // fewer are lost in what else moves
			more := int64(s.items - least.items)
			item = fmt.Sprintf("%d / %d bytes", (s.rss-least.rss)/more, (now-memory(t, least.serve))/more)
		}
		fmt.Printf("| %s | %.0f MB | %.0f MB | %s |\n", s.name, float64(s.rss)/1e6, float64(now)/1e6, item)
	}
}

// fewest is the subject with the fewest items of those that differ from s by nothing else.
func fewest(s *subject, subjects []*subject) *subject {
	for _, o := range subjects {
		if o.kind == s.kind && o.program == s.program && o.items < s.items {
			s = o
		}
	}
	return s
}
