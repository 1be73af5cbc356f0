package httpapi_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/rule"
	"github.com/mosparoctl/mosparoctl/protection/server"
)

// What becomes of forms is counted by decision and by the rules that matched, and nothing a visitor wrote is told.
func TestOutcomesAreCounted(t *testing.T) {
	var settings server.Settings
	a := start(t, func(o *server.Options, _ *protection.Project) { o.MetricsListen, settings = "127.0.0.1:0", o.Settings })
	r := &protection.Rule{ProjectID: a.project.ID, UUID: protection.NewUUID(), Name: `words "bad"`, Type: protection.RuleWord, Active: true}
	if err := a.server.Store().SaveRule(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	var items []protection.RuleItem
	for _, word := range []string{"casino", "poker"} {
		item, err := rule.NewItem(protection.ItemText, word, 4)
		if err != nil {
			t.Fatal(err)
		}
		items = append(items, item)
	}
	if err := a.server.Store().AddItems(t.Context(), a.project.ID, r.ID, items); err != nil {
		t.Fatal(err)
	}
	for tick := time.NewTicker(5 * time.Millisecond); !a.server.Ready(); <-tick.C {
	}
	if err := a.server.Reload(t.Context(), settings); err != nil { // the rules may have been compiled before they had items
		t.Fatal(err)
	}
	field := func(text string) string {
		return fmt.Sprintf(`{"fields":[{"name":"a","value":%q,"fieldPath":"input[text].a"}],"ignoredFields":[]}`, text)
	}
	a.submit(field("good morning"))
	a.submit(field("one casino"))       // matches, 4 of 5: passes
	a.submit(field("casino and poker")) // spam by two items of one rule
	metrics := &api{t: t, base: "http://" + a.server.MetricsAddr()}
	_, text := metrics.do("GET", "/metrics", "")
	for _, want := range []string{`mosparo_submissions_total{decision="passed"} 2`, `mosparo_submissions_total{decision="spam"} 1`,
		fmt.Sprintf(`mosparo_rule_matches_total{name="words \"bad\"",rule="%s"} 2`, r.UUID), `mosparo_rule_matches_total{name="",rule="other"} 0`} {
		if !strings.Contains(text, want) {
			t.Errorf("metrics have no %s", want)
		}
	}
	for _, not := range []string{"casino", "morning", "example.org", "127.0.0.1"} {
		if strings.Contains(text, not) {
			t.Errorf("metrics tell of %q", not)
		}
	}
}
