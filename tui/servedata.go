package tui

import (
	"strings"
	"time"

	"github.com/mosparoctl/mosparoctl/ops/metrics"
)

const (
	// keptDeltas is how many times between two readings are kept of a node: half an hour at the usual interval.
	keptDeltas = 60
	// window is over what time means are taken: longer than the usual interval, shorter than an attack.
	meansOver   = 5 * time.Minute
	windowWords = "5 min"
)

// core is what is known of the protection core of a node.
type core struct {
	source
	last *metrics.Reading
	past []metrics.Delta // between readings, the newest last

	// of the last minutes for which there are readings
	recent  metrics.Delta
	latency metrics.Histogram
}

// read takes a reading.
func (c *core) read(r *metrics.Reading) {
	if d, ok := metrics.Between(c.last, r); ok {
		if len(c.past) == keptDeltas {
			c.past = append(c.past[:0], c.past[1:]...)
		}
		c.past = append(c.past, d)
		c.recent = metrics.Sum(c.since(d.To.Add(-meansOver))...)
		c.latency = c.recent.Latency()
	}
	c.last = r
}

// since are the deltas that ended after at.
func (c *core) since(at time.Time) []metrics.Delta {
	for i, d := range c.past {
		if d.To.After(at) {
			return c.past[i:]
		}
	}
	return nil
}

// slots are what happened in each of the n intervals before end, the newest last; nil where that was not read. A reading
// belongs to the interval in whose middle it was under way.
func (c *core) slots(end time.Time, n int) []*metrics.Delta {
	out := make([]*metrics.Delta, n)
	p := len(c.past) - 1
	for i := n - 1; i >= 0; i-- {
		middle := end.Add(-c.every/2 - time.Duration(n-1-i)*c.every)
		for p >= 0 && !c.past[p].From.Before(middle) {
			p--
		}
		if p >= 0 && !c.past[p].To.Before(middle) {
			out[i] = &c.past[p]
		}
	}
	return out
}

// column is how many forms a second were checked in the last n intervals before end; -1 where that is not known.
func (c *core) column(end time.Time, n int) []float64 {
	out := make([]float64, n)
	for i, d := range c.slots(end, n) {
		out[i] = -1
		if d != nil {
			out[i] = d.PerSecond(d.Forms())
		}
	}
	return out
}

// cores are the nodes that run a protection core, by the inventory.
func (s *store) cores() []*nodeState {
	var out []*nodeState
	for _, n := range s.nodes {
		if n.node.Serve.Metrics != "" {
			out = append(out, n)
		}
	}
	return out
}

// lastDelta is the end of the newest time between two readings of any node.
func (s *store) lastDelta() time.Time {
	var end time.Time
	for _, n := range s.nodes {
		if p := n.core.past; len(p) > 0 && p[len(p)-1].To.After(end) {
			end = p[len(p)-1].To
		}
	}
	return end
}

// traffic is what all cores together did.
type traffic struct {
	made   madeOf
	recent metrics.Delta // the last minutes of the nodes that answer
	nodes  int           // that answer
	// of each of the last intervals, the newest last; -1 where nothing was read or counted
	forms, spam, p95 []float64 // forms a second, share of spam, seconds
}

// madeOf says when a traffic has to be made anew: it takes some milliseconds for a hundred nodes.
type madeOf struct {
	now      time.Time
	readings int
}

// traffic is what the nodes do, as of now.
func (s *store) traffic(now time.Time) *traffic {
	if made := (madeOf{now, s.readings}); s.drawn == nil || s.drawn.made != made {
		t := s.sumUp(now)
		t.made, s.drawn = made, &t
	}
	return s.drawn
}

// sumUp puts the nodes together. One that does not answer is left out of what is recent, and so of no present figure.
func (s *store) sumUp(now time.Time) traffic {
	var t traffic
	slots := make([][]metrics.Delta, keptDeltas) // what each node did in each interval
	end := s.lastDelta()
	if end.IsZero() {
		return traffic{}
	}
	var recent []metrics.Delta
	for _, n := range s.cores() {
		for i, d := range n.core.slots(end, keptDeltas) {
			if d != nil {
				slots[i] = append(slots[i], *d)
			}
		}
		if n.core.err == nil && !n.core.stale(now) && len(n.core.past) > 0 {
			t.nodes++
			recent = append(recent, n.core.since(end.Add(-meansOver))...)
		}
	}
	t.recent = metrics.Sum(recent...)
	t.forms, t.spam, t.p95 = each(slots, formsIn), each(slots, spamIn), each(slots, p95In)
	return t
}

// each makes a value of each interval; -1 where nothing was read or ok is false.
func each(slots [][]metrics.Delta, value func([]metrics.Delta) (v float64, ok bool)) []float64 {
	out := make([]float64, len(slots))
	for i, s := range slots {
		out[i] = -1
		if v, ok := value(s); ok && len(s) > 0 {
			out[i] = v
		}
	}
	return out
}

func formsIn(s []metrics.Delta) (sum float64, ok bool) {
	for _, d := range s {
		sum += d.PerSecond(d.Forms())
	}
	return sum, true
}

func spamIn(s []metrics.Delta) (share float64, ok bool) {
	forms, spam := 0.0, 0.0
	for _, d := range s {
		forms, spam = forms+d.Forms(), spam+d.Spam()
	}
	if forms == 0 {
		return 0, false
	}
	return spam / forms, true
}

func p95In(s []metrics.Delta) (seconds float64, ok bool) {
	seconds, _, ok = metrics.Latency(s...).Quantile(0.95)
	return seconds, ok
}

// chart draws values in the last w columns as bars of h lines. Negative ones are not known and leave a gap; the highest, or
// top where that is set, fills all lines.
func chart(s style, values []float64, w, h int, top float64) []line {
	w = max(w, 0)
	if len(values) > w {
		values = values[len(values)-w:]
	}
	for _, v := range values {
		top = max(top, v)
	}
	const eighths = "▁▂▃▄▅▆▇█"
	out := make([]line, h)
	for i := range out {
		var b strings.Builder
		b.WriteString(blanks(w - len(values)))
		floor := (h - 1 - i) * 8 // eighths that are in the lines below
		for _, v := range values {
			height := 0
			if top > 0 {
				height = int(v/top*float64(h*8) + 0.5)
			}
			switch {
			case v < 0:
				b.WriteByte(' ')
			case height-floor <= 0 && floor == 0:
				b.WriteRune('▁') // nothing happened, which is something else than not known
			case height-floor <= 0:
				b.WriteByte(' ')
			default:
				b.WriteRune([]rune(eighths)[min(height-floor, 8)-1])
			}
		}
		out[i] = text(s, b.String())
	}
	return out
}
