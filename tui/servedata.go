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
}

// read takes a reading.
func (c *core) read(r *metrics.Reading) {
	if d, ok := metrics.Between(c.last, r); ok {
		if len(c.past) == keptDeltas {
			c.past = append(c.past[:0], c.past[1:]...)
		}
		c.past = append(c.past, d)
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

// recent is what happened in the last minutes for which there are readings. ok is false if there are none.
func (c *core) recent() (d metrics.Delta, ok bool) {
	if len(c.past) == 0 {
		return d, false
	}
	return metrics.Sum(c.since(c.past[len(c.past)-1].To.Add(-meansOver))...), true
}

// during is what happened in the time in which at is. ok is false if that was not read.
func (c *core) during(at time.Time) (d metrics.Delta, ok bool) {
	for i := len(c.past) - 1; i >= 0; i-- {
		if d := c.past[i]; d.From.Before(at) && !d.To.Before(at) {
			return d, true
		}
	}
	return d, false
}

// moments are the middles of the last n intervals before end, the newest last.
func moments(end time.Time, every time.Duration, n int) []time.Time {
	out := make([]time.Time, n)
	for i := range out {
		out[n-1-i] = end.Add(-every/2 - time.Duration(i)*every)
	}
	return out
}

// column is how many forms a second were checked in the last n intervals before end; -1 where that is not known.
func (c *core) column(end time.Time, n int) []float64 {
	out := make([]float64, n)
	for i, at := range moments(end, c.every, n) {
		out[i] = -1
		if d, ok := c.during(at); ok {
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
	slots  [][]metrics.Delta // of each of the last intervals, the newest last: what each node did in it
	recent metrics.Delta     // the last minutes of the nodes that answer
	nodes  int               // that answer
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
	t := traffic{slots: make([][]metrics.Delta, keptDeltas)}
	end := s.lastDelta()
	if end.IsZero() {
		return traffic{}
	}
	var recent []metrics.Delta
	for _, n := range s.cores() {
		for i, at := range moments(end, n.core.every, keptDeltas) {
			if d, ok := n.core.during(at); ok {
				t.slots[i] = append(t.slots[i], d)
			}
		}
		if n.core.err == nil && !n.core.stale(now) && len(n.core.past) > 0 {
			t.nodes++
			recent = append(recent, n.core.since(end.Add(-meansOver))...)
		}
	}
	t.recent = metrics.Sum(recent...)
	return t
}

// each makes a value of each interval; -1 where nothing was read or ok is false.
func (t *traffic) each(value func([]metrics.Delta) (v float64, ok bool)) []float64 {
	out := make([]float64, len(t.slots))
	for i, s := range t.slots {
		out[i] = -1
		if v, ok := value(s); ok && len(s) > 0 {
			out[i] = v
		}
	}
	return out
}

// forms is how many forms a second were checked.
func (t *traffic) forms() []float64 {
	return t.each(func(s []metrics.Delta) (sum float64, ok bool) {
		for _, d := range s {
			sum += d.PerSecond(d.Forms())
		}
		return sum, true
	})
}

// spam is the share of spam.
func (t *traffic) spam() []float64 {
	return t.each(func(s []metrics.Delta) (share float64, ok bool) {
		forms, spam := 0.0, 0.0
		for _, d := range s {
			forms, spam = forms+d.Forms(), spam+d.Spam()
		}
		if forms == 0 {
			return 0, false
		}
		return spam / forms, true
	})
}

// quantiles are the latencies below which the share q of requests is.
func (t *traffic) quantiles(q float64) []float64 {
	return t.each(func(s []metrics.Delta) (float64, bool) {
		v, _, ok := metrics.Latency(s...).Quantile(q)
		return v, ok
	})
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
