package server

import (
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mosparoctl/mosparoctl/protection/httpapi"
)

const (
	// ruleSeries bounds how many rules have a series of their own in /metrics. Rule packages bring hundreds of rules.
	ruleSeries = 50
	// ruleOther is the label of what all other rules have found.
	ruleOther = "other"
	// ruleNameLength bounds the label with a rule's name, in characters.
	ruleNameLength = 60
)

// ruleCounts counts the forms in which each rule found something, for the rules that match most. It is the Space-Saving
// algorithm of Metwally, Agrawal and El Abbadi: a rule without a counter takes that of the least weight and goes on from its
// weight, so that a rule that matches often stays. What a rule that lost its counter had found goes to "other": no series
// ever shrinks but one that begins anew, which readers know as a reset. Safe for concurrent use.
type ruleCounts struct {
	desc *prometheus.Desc

	mu    sync.Mutex
	rules map[string]*ruleCount // by UUID
	other float64
	turn  uint64
}

// ruleCount is the counter of one rule.
type ruleCount struct {
	name   string
	count  float64 // since it has the counter
	weight float64 // count and the weight of whom it took the counter from
	turn   uint64  // when it last matched
}

func newRuleCounts() *ruleCounts {
	return &ruleCounts{rules: map[string]*ruleCount{}, desc: prometheus.NewDesc("mosparo_rule_matches_total",
		"Forms in which a rule found something, for the rules that match most; rule=\"other\" is all others.", []string{"rule", "name"}, nil)}
}

// add counts the rules that matched in one form.
func (c *ruleCounts) add(rules []httpapi.MatchedRule) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range rules {
		c.turn++
		known := c.rules[r.UUID]
		if known == nil {
			known = &ruleCount{}
			if len(c.rules) >= ruleSeries {
				known.weight = c.evict()
			}
			c.rules[r.UUID] = known
		}
		known.name = labelText(r.Name)
		known.count, known.weight, known.turn = known.count+1, known.weight+1, c.turn
	}
}

// evict takes the counter of the rule with the least weight, of several the one that matched longest ago.
func (c *ruleCounts) evict() (weight float64) {
	var least string
	for uuid, r := range c.rules {
		l := c.rules[least]
		if l == nil || r.weight < l.weight || r.weight == l.weight && r.turn < l.turn {
			least = uuid
		}
	}
	gone := c.rules[least]
	delete(c.rules, least)
	c.other += gone.count
	return gone.weight
}

// labelText is text that a label can hold.
func labelText(s string) string {
	if r := []rune(s); len(r) > ruleNameLength {
		s = string(r[:ruleNameLength-1]) + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// Describe implements prometheus.Collector.
func (c *ruleCounts) Describe(to chan<- *prometheus.Desc) { to <- c.desc }

// Collect implements prometheus.Collector.
func (c *ruleCounts) Collect(to chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for uuid, r := range c.rules {
		to <- prometheus.MustNewConstMetric(c.desc, prometheus.CounterValue, r.count, strings.ToValidUTF8(uuid, "\uFFFD"), r.name)
	}
	to <- prometheus.MustNewConstMetric(c.desc, prometheus.CounterValue, c.other, ruleOther, "")
}
