package rule

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/php"
)

// caseItem and caseRule are the forms of rules in the test data.
type caseItem struct {
	ID               int64
	Type             protection.ItemType
	Value            string
	Rating           *float64
	Prepared, Hashed string
}

type caseRule struct {
	ID     int64
	UUID   string
	Type   protection.RuleType
	Active bool
	Factor *float64
	Items  []caseItem
}

func factor(f *float64) protection.Factor {
	if f == nil {
		return protection.Factor{}
	}
	return protection.NewFactor(*f)
}

func (r caseRule) rule() protection.Rule {
	out := protection.Rule{ID: r.ID, UUID: r.UUID, Type: r.Type, Active: r.Active, Factor: factor(r.Factor)}
	for _, i := range r.Items {
		out.Items = append(out.Items, protection.RuleItem{ID: i.ID, RuleID: r.ID, Type: i.Type, Value: i.Value, Rating: factor(i.Rating)})
	}
	return out
}

func readLines(t *testing.T, name string, each func(line []byte)) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for s := longLines(data); s.Scan(); {
		each(slices.Clone(s.Bytes()))
	}
}

func decode(t *testing.T, line []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(line, into); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
}

// phpValue decodes JSON as the server does.
func phpValue(t *testing.T, text string) php.Value {
	t.Helper()
	v, err := php.DecodeJSON(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

func clientField(name string, value php.Value) php.Value {
	return php.Map(php.Pair{Key: "name", Value: php.String(name)}, php.Pair{Key: "value", Value: value}, php.Pair{Key: "fieldPath", Value: php.String(name)})
}

// typeOf is the rule type that an item type belongs to.
func typeOf(kind protection.ItemType) protection.RuleType {
	for rule, kinds := range itemTypes {
		if slices.Contains(kinds, kind) {
			return rule
		}
	}
	if kind == protection.ItemBlock {
		return protection.RuleUnicodeBlock
	}
	return protection.RuleWord
}

// TestCases replays single rules whose ratings were taken from mosparo 1.5.4 on SQLite.
func TestCases(t *testing.T) {
	count := 0
	readLines(t, "testdata/cases.jsonl", func(line []byte) {
		var c struct {
			N        int
			Items    []caseItem
			Factor   *float64
			Disabled bool
			Path     string
			Value    json.RawMessage
			UA, IP   string
			Want     *float64
			Note     string
		}
		decode(t, line, &c)
		count++
		r := caseRule{ID: 1, UUID: "u", Type: typeOf(c.Items[0].Type), Active: !c.Disabled, Factor: c.Factor, Items: c.Items}
		form := php.NewArray()
		if c.Path != "" {
			form.Append(phpValue(t, fmt.Sprintf(`{"name":"f","value":%s,"fieldPath":%q}`, c.Value, c.Path)))
		}
		client := php.NewArray()
		if c.IP == "" {
			c.IP = "127.0.0.1"
		}
		client.Append(clientField("ipAddress", php.String(c.IP)))
		client.Append(clientField("userAgent", php.String(c.UA)))
		if c.IP == "203.0.113.9" {
			client.Append(clientField("asNumber", php.Int(64500)))
			client.Append(clientField("country", php.String("DE")))
		} else {
			client.Append(clientField("asNumber", php.Null))
			client.Append(clientField("country", php.Null))
		}
		data := php.Map(php.Pair{Key: "formData", Value: php.ArrayOf(form)}, php.Pair{Key: "client", Value: php.ArrayOf(client)})
		m := Compile(&protection.RuleSet{Rules: []protection.Rule{r.rule()}}, SQLite)
		got := m.Check(data).Score
		switch {
		case c.Want == nil && strings.HasPrefix(c.Note, "item cannot be saved"):
			if len(m.Problems()) != 1 || got != 0 {
				t.Errorf("case %d: problems %v, score %v", c.N, m.Problems(), got)
			}
		case c.Want == nil:
			if got != 1 { // mosparo fails with 500; nested values are flattened here
				t.Errorf("case %d: score %v", c.N, got)
			}
		case got != *c.Want:
			t.Errorf("case %d: score %v, want %v (%s)", c.N, got, *c.Want, line)
		}
	})
	if count != 183 {
		t.Errorf("%d cases", count)
	}
}

// TestRecorded replays checks recorded from mosparo 1.5.4 on MariaDB, with all rules of a project and the order of matches.
func TestRecorded(t *testing.T) {
	matchers := map[string]*Matcher{}
	count := 0
	readLines(t, "testdata/recorded.jsonl", func(line []byte) {
		if len(matchers) == 0 {
			var head struct{ Rules map[string][]caseRule }
			decode(t, line, &head)
			for project, rules := range head.Rules {
				set := &protection.RuleSet{}
				for _, r := range rules {
					set.Rules = append(set.Rules, r.rule())
				}
				matchers[project] = Compile(set, MySQL)
			}
			return
		}
		var c struct {
			Name, Project   string
			Fields, Matches json.RawMessage
			IP, UA          string
			Score           float64
		}
		decode(t, line, &c)
		count++
		data := php.Map(
			php.Pair{Key: "formData", Value: phpValue(t, string(c.Fields))},
			php.Pair{Key: "client", Value: php.List(clientField("ipAddress", php.String(c.IP)), clientField("userAgent", php.String(c.UA)))})
		r := matchers[c.Project].Check(data)
		if php.Round14(r.Score) != c.Score {
			t.Errorf("%s: score %v, want %v", c.Name, r.Score, c.Score)
		}
		got, err := php.EncodeJSON(r.Detection().FieldRuleItems, php.PreserveZeroFraction)
		if err != nil {
			t.Fatal(err)
		}
		var have, want any
		decode(t, []byte(got), &have)
		decode(t, c.Matches, &want)
		if diff := cmp.Diff(want, have); diff != "" {
			t.Errorf("%s: %s", c.Name, diff)
		}
	})
	if count < 60 {
		t.Errorf("only %d recorded checks", count)
	}
}

// TestPrepared compares with the columns of the recorded database.
func TestPrepared(t *testing.T) {
	readLines(t, "testdata/recorded.jsonl", func(line []byte) {
		var head struct{ Rules map[string][]caseRule }
		decode(t, line, &head)
		for _, rules := range head.Rules {
			for _, r := range rules {
				for _, i := range r.Items {
					if got, err := Prepared(i.Type, i.Value); got != i.Prepared || err != nil {
						t.Errorf("%s %q: %q, want %q (%v)", i.Type, i.Value, got, i.Prepared, err)
					}
					if got := Hashed(i.Value); got != i.Hashed {
						t.Errorf("%q: hash %s, want %s", i.Value, got, i.Hashed)
					}
				}
			}
		}
	})
	for value, want := range map[string]string{
		"viagra": "82441393434ad33066c32a9398e8e038", "example.com": "c481d7301ccf29bb4bfbb7c48c9c3712", "10.0.0.1": "295155c6e23711061d766186f49cb5c1",
		"64500": "11343521ed8c7b0bc5238809ae04b992", "": "99aa06d3014798d86001c324468d497f",
	} {
		if got := Hashed(value); got != want {
			t.Errorf("%q: %s, want %s", value, got, want)
		}
	}
	for value, want := range map[string]string{
		"10.20.30.40": "10.20.30.40.%", "10.20.30.40/6": "*.%", "10.20.30.40/9": "10.%", "10.20.30.40/23": "10.20.%", "10.20.30.40/25": "10.20.30.%",
		"2001:db8::/32": "2001:db8:%", "2001:db8::/48": "2001:db8:0:%", "2001:db8::/3": "*:%", "2001:db8:1:2:3::/70": "2001:db8:1:2:%", "2001:db8::/64": "2001:db8::%", "2001:db8::/127": "2001:db8::%", "2001:0:0:1::/68": "2001::1:%", "::/80": "::%", "1:0:0:2:0:0::/96": "1::2:0:0:%",
		"::ffff:0:0/96": "::ffff:%", "::ffff:10.1.0.0/112": "::ffff:10.1:%", "010.20.030.0/024": "10.20.30.%", "2001:db8::/032": "2001:db8:%",
		"2001:db8::1/128": "2001:db8::1:%", "Not/A": "not/a",
	} {
		if got, err := Prepared(protection.ItemSubnet, value); got != want || err != nil {
			t.Errorf("%s: %q %v, want %q", value, got, err, want)
		}
	}
	if _, err := Prepared(protection.ItemSubnet, "2001:db8::/56"); err == nil {
		t.Error("a length that mosparo cannot save is accepted")
	}
}

func TestProblems(t *testing.T) {
	set := &protection.RuleSet{Rules: []protection.Rule{
		{ID: 7, UUID: "u7", Type: protection.RuleWord, Active: true, Items: []protection.RuleItem{
			{ID: 1, Type: protection.ItemRegex, Value: "/a(/"},
			{ID: 2, Type: protection.ItemRegex, Value: "/a/"},
			{ID: 3, Type: protection.ItemWordExact, Value: "a/b"},
			{ID: 4, Type: "foo", Value: "x"},
			{ID: 5, Type: protection.ItemWordFull, Value: " "},
		}},
		{ID: 8, Type: protection.RuleUnicodeBlock, Active: true, Items: []protection.RuleItem{{ID: 6, Type: protection.ItemBlock, Value: "Cyrillic"}}},
		{ID: 9, Type: protection.RuleIPAddress, Active: true, Items: []protection.RuleItem{{ID: 7, Type: protection.ItemSubnet, Value: "10.0.0.0/4"}}},
	}}
	m := Compile(set, SQLite)
	var ids []int64
	for _, p := range m.Problems() {
		ids = append(ids, p.ItemID)
	}
	if !slices.Equal(ids, []int64{1, 3, 4, 5, 6, 7}) || m.Len() != 1 {
		t.Fatalf("%v, %d items", ids, m.Len())
	}
	if p := m.Problems()[0]; p.Pos != 2 || p.RuleUUID != "u7" || !strings.Contains(p.Reason, "parenthesis") {
		t.Errorf("%+v", p)
	}
}

func TestPackages(t *testing.T) {
	item := func(id int64) []protection.RuleItem {
		return []protection.RuleItem{{ID: id, Type: protection.ItemText, Value: "a", Rating: protection.NewFactor(2)}}
	}
	set := &protection.RuleSet{
		Rules: []protection.Rule{{UUID: "own", Type: protection.RuleWord, Active: true, Items: item(9)}},
		Packages: []protection.RulePackage{
			{Active: true, Factor: protection.NewFactor(2), Rules: []protection.Rule{{UUID: "p1", Type: protection.RuleWord, Factor: protection.NewFactor(1.5), Items: item(1)}}},
			{Active: true, Factor: protection.NewFactor(0), Rules: []protection.Rule{{UUID: "p2", Type: protection.RuleWord, Items: item(2)}}},
			{Active: false, Rules: []protection.Rule{{UUID: "p3", Type: protection.RuleWord, Items: item(3)}}},
		},
	}
	data := phpValue(t, `{"metadata":{"m":"a"},"formData":[{"name":"x","value":"a","fieldPath":"textarea.x"}]}`)
	r := Compile(set, SQLite).Check(data)
	want := []FieldMatches{{"formData.textarea.x", []Match{
		{protection.ItemText, "a", 2, "own"}, {protection.ItemText, "a", 6, "p1"}, {protection.ItemText, "a", 2, "p2"}}}}
	if diff := cmp.Diff(want, r.Fields); diff != "" || r.Score != 10 {
		t.Errorf("score %v %s", r.Score, diff)
	}
}

// TestHugeRatings has factors whose products and sums no column and no JSON text can hold.
func TestHugeRatings(t *testing.T) {
	item := func(id int64, rating float64) protection.RuleItem {
		return protection.RuleItem{ID: id, Type: protection.ItemText, Value: "a", Rating: protection.NewFactor(rating)}
	}
	for _, c := range []struct {
		ratings []float64
		factor  float64
		want    float64
	}{
		{[]float64{1e308}, 1e308, math.MaxFloat64}, {[]float64{-1e308}, 1e308, -math.MaxFloat64}, {[]float64{1e308, 1e308}, 1, math.MaxFloat64},
		{[]float64{math.Inf(1), math.Inf(-1), 1}, 1, 1}, {[]float64{math.NaN(), 2}, 1, 2}, {[]float64{math.Inf(1)}, 0, 0},
	} {
		r := protection.Rule{Type: protection.RuleWord, Active: true, Factor: protection.NewFactor(c.factor)}
		for i, rating := range c.ratings {
			r.Items = append(r.Items, item(int64(i), rating))
		}
		got := Compile(&protection.RuleSet{Rules: []protection.Rule{r}}, SQLite).Check(phpValue(t, `{"formData":[{"name":"x","value":"a","fieldPath":"textarea.x"}]}`))
		if got.Score != c.want {
			t.Errorf("%v times %v: %v", c.ratings, c.factor, got.Score)
		}
		if _, err := php.EncodeJSON(got.Detection().FieldRuleItems, php.PreserveZeroFraction); err != nil {
			t.Error(err)
		}
	}
}

// TestBlankDomain has the items that mosparo's patterns make of a marker with nothing but blanks behind it.
func TestBlankDomain(t *testing.T) {
	for _, c := range []struct{ item, path, value string }{
		{"", "textarea.x", `see ://  .`}, {"\v", "input[email].x", `.\t@\u000b`}, {" ", "input[url].x", `:// `},
	} {
		set := &protection.RuleSet{Rules: []protection.Rule{{Type: protection.RuleDomain, Active: true, Items: []protection.RuleItem{{Type: protection.ItemDomain, Value: c.item}}}}}
		if r := Compile(set, SQLite).Check(phpValue(t, `{"formData":[{"name":"x","value":"`+c.value+`","fieldPath":"`+c.path+`"}]}`)); r.Score != 1 {
			t.Errorf("%q on %s %q: %v", c.item, c.path, c.value, r.Score)
		}
	}
}

// TestSubnetText has ranges whose addresses match by how they are written, checked against mosparo's library.
func TestSubnetText(t *testing.T) {
	for _, c := range []struct {
		subnet, address string
		want            float64
	}{
		{"2001:db8::/64", "2001:db8::1", 1}, {"2001:db8::/64", "2001:db8:0:0:1::1", 0}, {"2001:db8::/64", "2001:db8:1::1", 0}, {"2001:db8::/120", "2001:db8::7", 1},
		{"2001:db8:0:1::/64", "2001:db8:0:1::5", 1}, {"::ffff:0:0/96", "::ffff:203.0.113.9", 1}, {"203.0.113.0/24", "::ffff:203.0.113.9", 0},
		{"::ffff:203.0.0.0/112", "::ffff:203.0.113.9", 0}, {"203.000.113.0/024", "203.0.113.9", 1}, {"2001:DB8::/32", "2001:DB8:5::1", 1}, {"2001:db8::7/128", "2001:db8::7", 0},
	} {
		set := &protection.RuleSet{Rules: []protection.Rule{{Type: protection.RuleIPAddress, Active: true, Items: []protection.RuleItem{{Type: protection.ItemSubnet, Value: c.subnet}}}}}
		if r := Compile(set, SQLite).Check(php.Map(php.Pair{Key: "client", Value: php.List(clientField("ipAddress", php.String(c.address)))})); r.Score != c.want {
			t.Errorf("%s in %s: %v", c.address, c.subnet, r.Score)
		}
	}
}

// TestForeignItems has items in rules of another type, whose testers mosparo asks all the same.
func TestForeignItems(t *testing.T) {
	for _, c := range []struct {
		rule protection.RuleType
		item protection.ItemType
		v    string
		want float64
	}{
		{protection.RuleWebsite, protection.ItemText, "//b.io", 1}, {protection.RuleEmail, protection.ItemText, "see", 1}, {protection.RuleWord, protection.ItemEmail, "see", 0},
		{protection.RuleProvider, protection.ItemIPAddress, "10.0.0.1", 1}, {protection.RuleIPAddress, protection.ItemText, "see", 0}, {"nope", protection.ItemText, "see", 0},
	} {
		set := &protection.RuleSet{Rules: []protection.Rule{{Type: c.rule, Active: true, Items: []protection.RuleItem{{Type: c.item, Value: c.v}}}}}
		data := phpValue(t, `{"formData":[{"name":"x","value":"see http://b.io","fieldPath":"input[text].x"}],"client":[{"name":"ipAddress","value":"10.0.0.1","fieldPath":"ipAddress"}]}`)
		if r := Compile(set, SQLite).Check(data); r.Score != c.want {
			t.Errorf("%s %s %q: %v", c.rule, c.item, c.v, r.Score)
		}
	}
}

func TestRandomValues(t *testing.T) {
	check := func(settings protection.Settings, fields string) *Result {
		set := &protection.RuleSet{SubmissionRules: []protection.SubmissionRule{{Key: RandomValuesKey, Enabled: true, Rating: protection.NewFactor(20), Settings: settings}}}
		return Compile(set, SQLite).Check(phpValue(t, `{"formData":[`+fields+`]}`))
	}
	field := func(path, value string) string {
		return fmt.Sprintf(`{"name":"x","value":%q,"fieldPath":%q}`, value, path)
	}
	long := protection.Settings{"numberOfMatchingFields": php.Int(1), "numberOfRandomCharacters": php.Int(15)}
	textarea := protection.Settings{"numberOfMatchingFields": php.Int(1), "numberOfRandomCharacters": php.Int(15), "matchTextarea": php.Bool(true)}
	anything := protection.Settings{"numberOfMatchingFields": php.Int(1), "numberOfRandomCharacters": php.Int(0), "requireBothCases": php.Bool(false)}
	for _, c := range []struct {
		settings protection.Settings
		fields   string
		want     float64
	}{
		{long, field("input[text].a", "qwErtyuiopasdfgh"), 20},
		{long, field("input[text].a", "  qwErtyuiopasdfgh "), 20},
		{long, field("input[text].a", "qwertyuiopasdfgh"), 0},
		{long, field("input[text].a", "1234567890123456"), 0},
		{long, field("input[text].a", "qwErtyuiopasdf"), 0},
		{long, field("input[email].a", "qwErtyuiopasdfgh"), 0},
		{long, field("textarea.a", "qwErtyuiopasdfgh"), 0},
		{textarea, field("textarea.a", "x qwErtyuiopasdfgh y"), 20},
		{textarea, field("textarea.a", "x_qwErtyuiopasdfgh y"), 0},
		{nil, field("input[text].a", "aBc") + "," + field("input[text].b", "aBc"), 0},
		{nil, field("input[text].a", "aBc") + "," + field("input[text].b", "aBc") + "," + field("input[text].c", "aBc"), 20},
		{anything, field("input[text].a", ""), 0},
		{anything, field("input[text].a", "0"), 0},
		{anything, field("input[text].a", "a"), 20},
		{long, `{"name":"x","value":["qwErtyuiopasdfgh"],"fieldPath":"input[text].a"}`, 0},
	} {
		if r := check(c.settings, c.fields); r.Score != c.want {
			t.Errorf("%s: %v", c.fields, r.Score)
		}
	}
	set := &protection.RuleSet{SubmissionRules: []protection.SubmissionRule{{Key: RandomValuesKey, Enabled: true, Settings: long}}}
	if r := Compile(set, SQLite).Check(phpValue(t, `{"formData":[`+field("input[text].a", "qwErtyuiopasdfgh")+`]}`)); r.Random == nil || r.Score != 0 || !r.Detection().SubmissionRules.Get(RandomValuesKey).Get("rating").IsNull() {
		t.Errorf("a rule without a rating: %+v", r)
	}
	r := check(textarea, field("textarea.a", "x qwErtyuiopasdfgh y"))
	got, err := php.EncodeJSON(r.Detection().SubmissionRules, php.PreserveZeroFraction)
	want := `{"random-values":{"identifier":"random-values","rating":20.0,"matchingFields":["formData.textarea.a"],"matches":[" qwErtyuiopasdfgh "]}}`
	if got != want || err != nil {
		t.Errorf("%s %v", got, err)
	}
}

// TestAgainstStages compares the compiled look-up with a plain walk over all items, on random rules and values.
func TestAgainstStages(t *testing.T) {
	seed := rand.Uint64()
	g := rand.New(rand.NewPCG(seed, 0))
	pick := func(list ...string) string { return list[g.IntN(len(list))] }
	text := func(parts int) string {
		out := ""
		for range g.IntN(parts) + 1 {
			out += pick("a", "b", "B", "c", "ab", "é", " ", "\n", ".", "@", "/", "://", "http://", "a@b.ch", "x.io", "_", "%", "*", "?", `\`, "0", "aaaaaaaa", "abababababababab")
		}
		return out
	}
	kinds := []protection.ItemType{protection.ItemText, protection.ItemText, protection.ItemWordExact, protection.ItemWordFull, protection.ItemEmail, protection.ItemDomain,
		protection.ItemURL, protection.ItemRegex, protection.ItemUARegex, protection.ItemUAText, protection.ItemIPAddress, protection.ItemCountry}
	rules := []protection.RuleType{protection.RuleWord, protection.RuleEmail, protection.RuleDomain, protection.RuleWebsite, protection.RuleUserAgent}
	hits := 0
	for round := range 300 {
		set := &protection.RuleSet{}
		id := int64(0)
		for r := range 40 {
			kind := kinds[g.IntN(len(kinds))]
			rule := protection.Rule{ID: int64(r), Type: typeOf(kind), Active: true}
			if g.IntN(8) == 0 {
				rule.Type = rules[g.IntN(len(rules))]
			}
			for range 3 {
				id++
				value := text(3)
				if kind == protection.ItemRegex || kind == protection.ItemUARegex {
					value = "~" + pick("", "^", "a?", "(b|c)") + regexp.QuoteMeta(value) + pick("", "$", "+") + "~" + pick("", "i", "s", "u")
				}
				rule.Items = append(rule.Items, protection.RuleItem{ID: id, Type: kind, Value: value})
			}
			set.Rules = append(set.Rules, rule)
		}
		m := Compile(set, Database(round%2))
		for range 20 {
			path, value := pick("formData.textarea.a", "formData.input[url].a", "formData.input[email].a", "formData.x", "client.userAgent", "client.country", "client.ipAddress"), text(8)
			steps := patternSteps
			got := m.match(path, value, &Result{}, &steps)
			f := &field{Matcher: m, path: path, value: value, lower: php.ToLower(value), result: &Result{}}
			for item := range m.ratings {
				word, agent := strings.HasPrefix(path, pathForm), strings.HasPrefix(path, pathUserAgent)
				switch kind := m.types[m.itemTypes[item]]; {
				case m.confirm[item] != confirmPattern:
					f.stages(uint32(item))
				case kind == protection.ItemRegex && word, kind == protection.ItemUARegex && agent:
					f.pattern(uint32(item))
				}
			}
			hits += len(got)
			if !slices.Equal(got, f.hits) {
				t.Fatalf("seed %d: %s %q: %v, stages say %v", seed, path, value, got, f.hits)
			}
		}
	}
	if hits < 1000 {
		t.Errorf("only %d matches, the test says little", hits)
	}
}

// TestHostilePatterns has more bombs than a submission is given time for.
func TestHostilePatterns(t *testing.T) {
	r := protection.Rule{Type: protection.RuleWord, Active: true}
	for i := range 200 {
		r.Items = append(r.Items, protection.RuleItem{ID: int64(i), Type: protection.ItemRegex, Value: fmt.Sprintf("/^(?=(a+)+$)(?:%d)?/", i)})
	}
	r.Items = append(r.Items, protection.RuleItem{ID: 200, Type: protection.ItemRegex, Value: "/(a+)+b$/"})
	m := Compile(&protection.RuleSet{Rules: []protection.Rule{r}}, SQLite)
	result := m.Check(phpValue(t, `{"formData":[{"name":"x","value":"`+strings.Repeat("a", 60)+`b","fieldPath":"textarea.x"}]}`))
	if result.CutOff != 200 || result.Score != 1 {
		t.Errorf("%d cut off, score %v", result.CutOff, result.Score)
	}
}

// TestManySlowTexts has a pattern that stays just below its bound on each of very many texts, and one that is quick on all of them.
func TestManySlowTexts(t *testing.T) {
	r := protection.Rule{Type: protection.RuleWord, Active: true, Items: []protection.RuleItem{
		{ID: 1, Type: protection.ItemRegex, Value: "/(a+)+(?=b)c/"}, {ID: 2, Type: protection.ItemRegex, Value: "/a(?=!$)/"}}}
	m := Compile(&protection.RuleSet{Rules: []protection.Rule{r}}, SQLite)
	form := func(texts int, text string) php.Value {
		values := make([]string, texts)
		for i := range values {
			values[i] = text
		}
		return php.Map(php.Pair{Key: protection.GroupForm, Value: php.List(php.Map(php.Pair{Key: "name", Value: php.String("x")},
			php.Pair{Key: "value", Value: php.Strings(values...)}, php.Pair{Key: "fieldPath", Value: php.String("textarea.x")}))})
	}
	const texts = 2000
	result := m.Check(form(texts, strings.Repeat("a", 16)+"?"))
	if tried := 2*texts - result.CutOff; tried > texts/10 {
		t.Errorf("%d of %d slow matches were carried out, in one submission", tried, 2*texts)
	}
	if result = m.Check(form(texts, strings.Repeat("a", 3)+"!")); result.CutOff != 0 || result.Score != texts {
		t.Errorf("of quick ones %d were cut off, and the score is %v", result.CutOff, result.Score)
	}
}

// FuzzCheck feeds any JSON to a matcher of all kinds of items.
func FuzzCheck(f *testing.F) {
	set := &protection.RuleSet{SubmissionRules: []protection.SubmissionRule{{Key: RandomValuesKey, Enabled: true, Settings: protection.Settings{"matchTextarea": php.Bool(true)}}}}
	for kind, values := range map[protection.ItemType][]string{
		protection.ItemText: {"spam", "a*b?c", "*", ""}, protection.ItemWordExact: {"word", ""}, protection.ItemWordFull: {" full "}, protection.ItemRegex: {"/(a|b)+c/", `/(x)\1/u`},
		protection.ItemEmail: {"a@b.ch"}, protection.ItemDomain: {"b.ch"}, protection.ItemURL: {"http://b.ch/"}, protection.ItemIPAddress: {"10.0.0.1"}, protection.ItemSubnet: {"10.0.0.0/8", "2001:db8::/32"},
		protection.ItemASNumber: {"64500"}, protection.ItemCountry: {"CH"}, protection.ItemUAText: {"bot"}, protection.ItemUARegex: {"/^curl/"},
	} {
		r := protection.Rule{Type: typeOf(kind), Active: true}
		for i, v := range values {
			r.Items = append(r.Items, protection.RuleItem{ID: int64(i), Type: kind, Value: v})
		}
		set.Rules = append(set.Rules, r)
	}
	matchers := []*Matcher{Compile(set, SQLite), Compile(set, MySQL)}
	f.Add(`{"formData":[{"name":"a","value":["spam",{"x":[1]}],"fieldPath":"textarea.a"},{"value":"a@b.ch http://b.ch/","fieldPath":"input[email]"}],"client":[{"name":"ipAddress","value":"10.0.0.1","fieldPath":"ipAddress"}]}`)
	f.Add(`{"formData":{"0":5,"x":{"fieldPath":null}},"":[{"fieldPath":"\u0000"}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		v, err := php.DecodeJSON(text)
		if err != nil {
			return
		}
		for _, m := range matchers {
			d := m.Check(v).Detection()
			for _, part := range []php.Value{d.FieldRuleItems, d.SubmissionRules} {
				if _, err := php.EncodeJSON(part, php.PreserveZeroFraction); err != nil {
					t.Errorf("%q: %v", text, err)
				}
			}
		}
	})
}

func longLines(data []byte) *bufio.Scanner {
	s := bufio.NewScanner(bytes.NewReader(data))
	s.Buffer(nil, 1<<20)
	return s
}
