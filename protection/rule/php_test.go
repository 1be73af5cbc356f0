package rule

import (
	"bytes"
	"encoding/json"
	"flag"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/mosparoctl/mosparoctl/internal/lab/server"
	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/php"
)

var (
	differentialRounds = flag.Int("rounds", 3000, "how many values to compare with PHP, with 30 items each")
	differentialSeed   = flag.Uint64("seed", 1, "seed of the comparison; 0 takes a new one, for long runs")
)

// question is a line for testdata/reference.php; bytes are base64 in JSON.
type question struct {
	Path    string   `json:"path"`
	Value   []byte   `json:"value"`
	Escapes bool     `json:"escapes"`
	Items   [][3]any `json:"items"`
	matcher *Matcher
}

// TestAgainstPHP compares random items and values with what PHP's own functions make of them.
func TestAgainstPHP(t *testing.T) {
	server.Binary(t, "php")
	seed := *differentialSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	g := &ruleGenerator{rand.New(rand.NewPCG(seed, 0))}
	questions := make([]question, *differentialRounds)
	var in bytes.Buffer
	for i := range questions {
		questions[i] = g.question()
		if err := json.NewEncoder(&in).Encode(questions[i]); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("php", "-n", "testdata/reference.php")
	cmd.Stdin, cmd.Stderr = &in, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	answers := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(answers) != len(questions) {
		t.Fatalf("%d answers to %d questions", len(answers), len(questions))
	}
	hits, failures := 0, 0
	for i, q := range questions {
		var want []int64
		decode(t, []byte(answers[i]), &want)
		want = slices.DeleteFunc(want, func(id int64) bool { return q.refused(id) })
		got := q.matches()
		hits += len(want)
		if !slices.Equal(got, want) && failures < 10 {
			failures++
			t.Errorf("seed %d: %s %q, backslash escapes %v: items %v, PHP says %v", seed, q.Path, q.Value, q.Escapes, q.show(got), q.show(want))
		}
	}
	if hits < len(questions)/2 {
		t.Errorf("only %d matches, the test says little", hits)
	}
}

// refused says that an item is a pattern that is not supported here, which is reported as a problem.
func (q *question) refused(id int64) bool {
	return slices.ContainsFunc(q.matcher.Problems(), func(p Problem) bool {
		return p.ItemID == id && (p.ItemType == protection.ItemRegex || p.ItemType == protection.ItemUARegex)
	})
}

// matches are the ids of the rules that match; each has one item.
func (q *question) matches() []int64 {
	var ids []int64
	steps := patternSteps
	for _, item := range q.matcher.match(q.Path, string(q.Value), &Result{}, &steps) {
		ids = append(ids, q.matcher.sources[q.matcher.itemSources[item]].id)
	}
	slices.Sort(ids)
	return ids
}

func (q *question) show(ids []int64) (out [][3]any) {
	for _, id := range ids {
		item := q.Items[id]
		out = append(out, [3]any{item[0], item[1], string(item[2].([]byte))})
	}
	return out
}

type ruleGenerator struct{ *rand.Rand }

func (g *ruleGenerator) pick(list ...string) string { return list[g.IntN(len(list))] }

func (g *ruleGenerator) text(parts int) string {
	out := ""
	for range g.IntN(parts) + 1 {
		out += g.pick("a", "b", "B", "ab", "AB", "é", "É", "ß", "\u212a", " ", "  ", "\n", "\r\n", "\t", "\f", "\v", "\x00", "\u00a0", ".", "..", "@", "/", "//", "://", "http://", "https://",
			"x.io", "X.io", "a@b.ch", "a+c@b-d.ch", "http://x.io/p", "b.ch", "_", "%", "*", "**", "?", `\`, `\\`, "0", "1", "-", "+", "#", "&", "=", ",", "<", "(", "[", "]", "$", "^", "|", "'", `"`, "😀", "日本", ":8080", "?q=1")
	}
	return out
}

func (g *ruleGenerator) pattern() string {
	out := ""
	for range g.IntN(4) + 1 {
		out += g.pick("a", "b", `\s*`, `\w+`, ".", "é", "[a-z]", "(b|c)", "^", "$", `\b`, `\d`, `x\.io`, "@", "(?i)", "(?<=a)", `\1`, "(a)", `\/`, "#", " ", "[^a]", "+", "?", "*", "{2}", `\p{L}`, "[[:alpha:]]")
	}
	return g.pick("/", "#", "~", "{", "(", "!", "") + out + g.pick("/", "#", "~", "}", ")", "!", "") + g.pick("", "i", "u", "s", "m", "x", "iu", "D", "A", "U", "e", "im ", "\n")
}

// value is a text for a field, never one that is not checked at all.
func (g *ruleGenerator) value(path string) string {
	switch path {
	case "client.country":
		return g.pick("DE", "CH")
	case "client.asNumber":
		return g.pick("64500", "1", "10")
	case "client.ipAddress":
		return g.pick("1.2.3.4", "2001:db8::1", "2001:DB8::1", "::ffff:1.2.3.4")
	}
	for {
		if v := g.text(9); php.Trim(v) != "" && php.Trim(v) != "0" {
			return v
		}
	}
}

func (g *ruleGenerator) item(kind protection.ItemType, value string) string {
	switch kind {
	case protection.ItemRegex, protection.ItemUARegex:
		return g.pattern()
	case protection.ItemCountry:
		return g.pick("DE", "de", "CH")
	case protection.ItemASNumber:
		return g.pick("64500", "064500", "1", "1.0", "10")
	case protection.ItemIPAddress:
		return g.pick("1.2.3.4", "2001:db8::1", "2001:DB8::1", "::FFFF:1.2.3.4")
	}
	switch g.IntN(5) {
	case 0:
		return value
	case 1, 2: // a part of it
		from := g.IntN(len(value))
		return strings.ToValidUTF8(value[from:from+1+g.IntN(len(value)-from)], "")
	case 3:
		return g.pick("", " ", "*", "a*b", "?")
	}
	return g.text(3)
}

func (g *ruleGenerator) question() question {
	paths := []string{"formData.textarea.a", "formData.textarea", "formData.input[url].a", "formData.input[email].a", "formData.input[text].a", "formData.INPUT[email].a", "formData.x",
		"client.userAgent", "client.country", "client.ipAddress", "client.asNumber"}
	rules := []protection.RuleType{protection.RuleWord, protection.RuleWord, protection.RuleEmail, protection.RuleDomain, protection.RuleWebsite, protection.RuleUserAgent,
		protection.RuleIPAddress, protection.RuleProvider}
	path, db := paths[g.IntN(len(paths))], Database(g.IntN(2))
	value := g.value(path)
	q := question{Path: path, Value: []byte(value), Escapes: db == MySQL}
	set := &protection.RuleSet{}
	for id := range int64(30) {
		r := rules[g.IntN(len(rules))]
		kind := itemTypes[r][g.IntN(len(itemTypes[r]))]
		for kind == protection.ItemSubnet {
			kind = protection.ItemIPAddress
		}
		if g.IntN(10) == 0 { // in a rule of another type
			r = rules[g.IntN(len(rules))]
		}
		item := g.item(kind, value)
		q.Items = append(q.Items, [3]any{r, kind, []byte(item)})
		set.Rules = append(set.Rules, protection.Rule{ID: id, Type: r, Active: true, Items: []protection.RuleItem{{ID: id, Type: kind, Value: item}}})
	}
	q.matcher = Compile(set, db)
	return q
}
