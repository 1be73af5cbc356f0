package metrics

import (
	"cmp"
	"slices"
	"time"
)

// flowRoutes are the requests of a visitor's way through a form: the widget's and the website's.
func flowRoutes() []string {
	return []string{"request-submit-token", "store-form-data", "check-form-data", "verify"}
}

// Delta is what happened on one or more nodes in some time.
type Delta struct {
	From, To time.Time
	counts
}

// Between is what happened between two readings of one node. Counters that began anew in between count from zero: all of
// them if the core was started again, one alone if it shrank. ok is false if b is not after a.
func Between(a, b *Reading) (d Delta, ok bool) {
	if a == nil || b == nil || !b.At.After(a.At) {
		return Delta{}, false
	}
	d = Delta{From: a.At, To: b.At}
	if !a.Started.Equal(b.Started) {
		d.counts = b.total.clone()
		return d, true
	}
	x, y := a.total, b.total
	d.passed, d.spam = since(y.passed, x.passed), since(y.spam, x.spam)
	d.requests, d.errors = since(y.requests, x.requests), since(y.errors, x.errors)
	d.routes, d.rules = map[string]Histogram{}, map[string]Rule{}
	for route, h := range y.routes {
		if h = h.since(x.routes[route]); h.Count() > 0 { // most are not asked for, and many deltas are kept
			d.routes[route] = h
		}
	}
	for uuid, r := range y.rules {
		if r.Forms = since(r.Forms, x.rules[uuid].Forms); r.Forms > 0 {
			d.rules[uuid] = r
		}
	}
	return d, true
}

// since is the growth of a counter, which began anew if it shrank.
func since(now, before float64) float64 {
	if now < before {
		return now
	}
	return now - before
}

func (c counts) clone() counts {
	var out counts
	out.add(c)
	return out
}

func (c *counts) add(o counts) {
	c.passed, c.spam, c.requests, c.errors = c.passed+o.passed, c.spam+o.spam, c.requests+o.requests, c.errors+o.errors
	if c.routes == nil {
		c.routes, c.rules = map[string]Histogram{}, map[string]Rule{}
	}
	for route, h := range o.routes {
		if before, ok := c.routes[route]; ok {
			h = merged([]Histogram{before, h})
		}
		c.routes[route] = h
	}
	for uuid, r := range o.rules {
		r.Forms += c.rules[uuid].Forms
		c.rules[uuid] = r
	}
}

// Sum puts together what happened in several times, or on several nodes, from the first beginning to the last end.
func Sum(list ...Delta) Delta {
	var s Delta
	for _, d := range list {
		if s.From.IsZero() || d.From.Before(s.From) {
			s.From = d.From
		}
		if d.To.After(s.To) {
			s.To = d.To
		}
		s.add(d.counts)
	}
	return s
}

// Forms is how many forms were checked.
func (d Delta) Forms() float64 { return d.passed + d.spam }

// Spam is how many of the forms were spam.
func (d Delta) Spam() float64 { return d.spam }

// SpamShare is the share of forms that were spam, 0 to 1. ok is false if none was checked.
func (d Delta) SpamShare() (share float64, ok bool) {
	if d.Forms() == 0 {
		return 0, false
	}
	return d.spam / d.Forms(), true
}

// Requests is how many requests were answered.
func (d Delta) Requests() float64 { return d.requests }

// Errors is how many requests were answered with a status of 500 or more.
func (d Delta) Errors() float64 { return d.errors }

// PerSecond turns a count of d into a rate.
func (d Delta) PerSecond(count float64) float64 {
	if s := d.To.Sub(d.From).Seconds(); s > 0 {
		return count / s
	}
	return 0
}

// Latency is how long the requests of a visitor's way through a form took, in all of list.
func Latency(list ...Delta) Histogram {
	var all []Histogram
	for _, d := range list {
		for _, r := range flowRoutes() {
			if h, ok := d.routes[r]; ok {
				all = append(all, h)
			}
		}
	}
	return merged(all)
}

// Latency is how long the requests of a visitor's way through a form took.
func (d Delta) Latency() Histogram { return Latency(d) }

// Route is the requests of one route.
type Route struct {
	Name    string
	Latency Histogram
}

// Routes lists the routes that were asked for, the most frequent first.
func (d Delta) Routes() []Route {
	var list []Route
	for name, h := range d.routes {
		list = append(list, Route{name, h})
	}
	slices.SortFunc(list, func(a, b Route) int {
		return cmp.Or(cmp.Compare(b.Latency.Count(), a.Latency.Count()), cmp.Compare(a.Name, b.Name))
	})
	return list
}

// Rules lists the rules that found something, the most frequent first; OtherRules is the last, as a Rule without a name.
func (d Delta) Rules() []Rule {
	var list []Rule
	for uuid, r := range d.rules {
		if uuid != OtherRules && r.Forms > 0 {
			if r.Name == "" {
				r.Name = uuid
			}
			list = append(list, r)
		}
	}
	slices.SortFunc(list, func(a, b Rule) int { return cmp.Or(cmp.Compare(b.Forms, a.Forms), cmp.Compare(a.Name, b.Name)) })
	if o := d.rules[OtherRules]; o.Forms > 0 {
		list = append(list, Rule{Forms: o.Forms})
	}
	return list
}
