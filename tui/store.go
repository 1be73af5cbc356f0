package tui

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops/balancer"
	"github.com/mosparoctl/mosparoctl/ops/cron"
	"github.com/mosparoctl/mosparoctl/ops/health"
	"github.com/mosparoctl/mosparoctl/ops/lock"
	"github.com/mosparoctl/mosparoctl/ops/logs"
)

// source is one thing that is read again and again: when, and what came of it.
type source struct {
	every time.Duration
	asked time.Time // when the last reading began
	busy  bool      // it has not ended
	got   time.Time // when the last one that worked ended; zero: none did
	err   error     // of the last one
}

// due reports whether it is time to read again. What has not answered yet is not asked twice.
func (s *source) due(now time.Time) bool { return !s.busy && now.Sub(s.asked) >= s.every }

func (s *source) begin(now time.Time) { s.asked, s.busy = now, true }

func (s *source) end(now time.Time, err error) {
	s.busy, s.err = false, err
	if err == nil {
		s.got = now
	}
}

// stale reports whether what is shown is older than two intervals, or was never read.
func (s *source) stale(now time.Time) bool { return s.got.IsZero() || now.Sub(s.got) > 2*s.every }

// nodeState is what is known of one node.
type nodeState struct {
	source
	node    *inventory.Node
	reading Reading
	logs    source
	lines   []logs.Line
	core    core
}

// store holds all that was read, with its age. Only Update changes it.
type store struct {
	nodes    []*nodeState // in the order of the inventory
	checks   source
	results  []health.Result           // in the order of health.Checks
	worst    map[string]health.Verdict // of all results on a node; nil: to be reckoned anew
	balance  source
	servers  []balancer.Server
	locks    source
	lock     lock.Info
	locked   bool
	schedule source
	cron     *cron.Overview
	present  cron.Proof // of what the crontabs start now
	unread   []string   // nodes whose crontabs could not be read for it
	drift    source
	drifted  Drift
	readings int      // of cores, so far
	drawn    *traffic // of the cores, as it was last needed
}

// defaultInterval is used where the inventory says none.
const defaultInterval = 30 * time.Second

// leastSchedule is the least time between two reckonings of the schedule, which simulate more than a year.
const leastSchedule = 2 * time.Minute

func newStore(d *inventory.Deployment) store {
	every := cmp.Or(d.Check.Interval, defaultInterval)
	s := store{checks: source{every: every}, balance: source{every: every}, locks: source{every: every},
		schedule: source{every: max(every, leastSchedule)}, drift: source{every: max(every, leastDrift)}}
	for _, n := range d.Nodes {
		s.nodes = append(s.nodes, &nodeState{source: source{every: every}, node: n, logs: source{every: every}, core: core{source: source{every: every}}})
	}
	return s
}

func (s *store) node(name string) *nodeState {
	i := slices.IndexFunc(s.nodes, func(n *nodeState) bool { return n.node.Name == name })
	if i < 0 {
		return nil
	}
	return s.nodes[i]
}

// put keeps the result of a check in place of its last one, and returns that.
func (s *store) put(r health.Result) (was health.Result, known bool) {
	s.worst = nil
	if i := slices.IndexFunc(s.results, func(o health.Result) bool { return o.Name == r.Name }); i >= 0 {
		was, s.results[i] = s.results[i], r
		return was, true
	}
	s.results = append(s.results, r)
	order := map[string]int{}
	for i, c := range health.Checks() {
		order[c.About().Name] = i + 1
	}
	slices.SortStableFunc(s.results, func(a, b health.Result) int {
		// A check that this program's list does not have comes last, by name.
		return cmp.Or(cmp.Compare(cmp.Or(order[a.Name], len(order)+1), cmp.Or(order[b.Name], len(order)+1)), cmp.Compare(a.Name, b.Name))
	})
	return health.Result{}, false
}

// families lists the families of which there are results, in their order, unknown ones last.
func (s *store) families() []health.Family {
	var out []health.Family
	has := func(f health.Family) bool {
		return slices.ContainsFunc(s.results, func(r health.Result) bool { return r.Family == f })
	}
	for _, f := range health.Families() {
		if has(f) {
			out = append(out, f)
		}
	}
	for _, r := range s.results {
		if !slices.Contains(out, r.Family) {
			out = append(out, r.Family)
		}
	}
	return out
}

// tally counts verdicts.
type tally map[health.Verdict]int

func (t tally) worst() (health.Verdict, bool) {
	v, any := health.OK, false
	for w, n := range t {
		if n > 0 {
			v, any = health.Worse(v, w), true
		}
	}
	return v, any
}

// counts are the verdicts of all results.
func (s *store) counts() tally {
	t := tally{}
	for _, r := range s.results {
		t[r.Verdict]++
	}
	return t
}

// on are the verdicts of a family on a node, and the time of its oldest evidence.
func (s *store) on(node string, f health.Family) (tally, time.Time) {
	t := tally{}
	var oldest time.Time
	for _, r := range s.results {
		if r.Family != f {
			continue
		}
		if e, ok := r.On(node); ok {
			t[e.Verdict]++
			if at := cmp.Or(e.At, r.At); oldest.IsZero() || at.Before(oldest) {
				oldest = at
			}
		}
	}
	return t, oldest
}

// ofFamily are the verdicts of a family on all nodes.
func (s *store) ofFamily(f health.Family) tally {
	t := tally{}
	for _, r := range s.results {
		if r.Family == f {
			t[r.Verdict]++
		}
	}
	return t
}

// age is the time since at, in the shortest words. It grows in steps, so that a screen on which nothing happens changes
// little.
func age(now, at time.Time) string {
	if at.IsZero() {
		return "never"
	}
	d := now.Sub(at)
	switch {
	case d < 5*time.Second:
		return "now"
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds())/5*5)
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours())/24)
}

// until is the time that is left until at.
func until(now, at time.Time) string {
	d := at.Sub(now)
	switch {
	case d < time.Minute:
		return "now"
	case d < time.Hour:
		return fmt.Sprintf("in %dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("in %dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("in %dd", int(d.Hours())/24)
}

// glyph is the sign of a verdict; each differs in form, not in colour alone.
func glyph(v health.Verdict) string {
	switch v {
	case health.OK:
		return "✓"
	case health.Warn:
		return "!"
	case health.Fail:
		return "✗"
	}
	return "?"
}

// word is a verdict in letters.
func word(v health.Verdict) string {
	if v == health.Fail {
		return "FAIL"
	}
	return string(v)
}

func styleOf(v health.Verdict) style {
	switch v {
	case health.OK:
		return good
	case health.Warn:
		return caution
	case health.Fail:
		return bad
	}
	return unsure
}

// plural is a count with its noun.
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
