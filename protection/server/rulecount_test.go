package server

import (
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mosparoctl/mosparoctl/protection/httpapi"
)

// gathered are the series of the rules by UUID, as a scrape sees them.
func gathered(t *testing.T, c *ruleCounts) map[string]float64 {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(c)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "rule" {
					out[l.GetValue()] = m.GetCounter().GetValue()
				}
			}
		}
	}
	return out
}

// However many rules match, the number of series is bounded, no match is lost, and those that match most are named.
func TestRuleCountsAreBounded(t *testing.T) {
	c := newRuleCounts()
	total := 0.0
	add := func(uuid string) {
		c.add([]httpapi.MatchedRule{{UUID: uuid, Name: "rule " + uuid}})
		total++
	}
	other := 0.0
	for i := range 20_000 {
		add(fmt.Sprintf("rare-%d", i%3000))
		if i%20 == 0 {
			add("often")
		}
		if i%1000 == 0 {
			now := gathered(t, c)
			if now[ruleOther] < other {
				t.Fatalf("other went from %g to %g", other, now[ruleOther])
			}
			other = now[ruleOther]
		}
	}
	got := gathered(t, c)
	sum := 0.0
	for _, v := range got {
		sum += v
	}
	if len(got) != ruleSeries+1 || sum != total {
		t.Errorf("%d series, %g matches of %g", len(got), sum, total)
	}
	if got["often"] < 900 {
		t.Errorf("the rule that matches most has %g of 1000 matches", got["often"])
	}
}

func TestRuleCountsTakeAnyName(t *testing.T) {
	c := newRuleCounts()
	c.add([]httpapi.MatchedRule{{UUID: "a\xff", Name: "\xff" + strings.Repeat("日", 200)}, {UUID: "b"}})
	if got := gathered(t, c); len(got) != 3 || got["b"] != 1 || got[ruleOther] != 0 {
		t.Errorf("got %v", got)
	}
}
