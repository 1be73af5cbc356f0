package rule

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/php"
)

// syllables make words that look like those of a real list, so that texts and items share beginnings.
var syllables = []string{"ca", "si", "no", "vi", "a", "gra", "buy", "che", "ap", "lo", "an", "mo", "ney", "in", "vest", "cry", "pto", "se", "o", "ra", "nk", "ing", "ter", "re", "ple"}

// literalRules makes a set of so many literal items, a tenth of them exact words or wildcards, with some domains and addresses.
func literalRules(n int) *protection.RuleSet {
	g := rand.New(rand.NewPCG(1, 2))
	word := func() string {
		var b strings.Builder
		for range 3 + g.IntN(4) {
			b.WriteString(syllables[g.IntN(len(syllables))])
		}
		fmt.Fprintf(&b, "%d", g.IntN(100))
		return b.String()
	}
	words := protection.Rule{ID: 1, UUID: "w", Type: protection.RuleWord, Active: true}
	domains := protection.Rule{ID: 2, UUID: "d", Type: protection.RuleDomain, Active: true}
	for i := range n {
		item := protection.RuleItem{ID: int64(i), Type: protection.ItemText, Value: word()}
		switch i % 20 {
		case 3:
			item.Type = protection.ItemWordExact
		case 5:
			item.Value += "*" + word()
		case 7, 8, 9:
			item.Type, item.Value = protection.ItemDomain, item.Value+".example"
			domains.Items = append(domains.Items, item)
			continue
		}
		words.Items = append(words.Items, item)
	}
	return &protection.RuleSet{Rules: []protection.Rule{words, domains}}
}

func formData(b testing.TB) php.Value {
	v, err := php.DecodeJSON(`{"formData":[
		{"name":"name","value":"Joanna Smithers","fieldPath":"input[text].name"},
		{"name":"email","value":"joanna.smithers@mail.example","fieldPath":"input[email].email"},
		{"name":"message","value":"Hello, I would like to know whether your reseller in Lucerne can repair a casino table that we bought ten years ago. The printing on the cloth is worn, the banking rail is loose, and one of the legs needs a new base. Could you send somebody to look at it some time next week, or tell us what the cheapest way to ship it would be? See https://pictures.example/table/12 for how it looks.","fieldPath":"textarea.message"}],
		"client":[{"name":"ipAddress","value":"203.0.113.7","fieldPath":"ipAddress"},{"name":"userAgent","value":"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0","fieldPath":"userAgent"}]}`)
	if err != nil {
		b.Fatal(err)
	}
	return v
}

func BenchmarkCheck(b *testing.B) {
	data := formData(b)
	for _, n := range []int{10, 10_000, 1_000_000} {
		m := Compile(literalRules(n), SQLite)
		b.Run(fmt.Sprintf("items=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				m.Check(data)
			}
		})
	}
}

// BenchmarkPatterns has a thousand regular expressions, of which most contain a text that does not occur.
func BenchmarkPatterns(b *testing.B) {
	set := literalRules(1000)
	for i := range set.Rules[0].Items {
		item := &set.Rules[0].Items[i]
		item.Type, item.Value = protection.ItemRegex, "/\\b"+strings.ReplaceAll(item.Value, "*", "\\s+")+"\\b/i"
	}
	m, data := Compile(set, SQLite), formData(b)
	for b.Loop() {
		m.Check(data)
	}
}

func BenchmarkCompile(b *testing.B) {
	set := literalRules(1_000_000)
	b.ResetTimer()
	for b.Loop() {
		Compile(set, MySQL)
	}
}

// TestMemory holds the matcher to its bound: 200 bytes an item on top of the text, kept twice.
func TestMemory(t *testing.T) {
	const n = 200_000
	set := literalRules(n)
	text := 0
	for _, r := range set.Rules {
		for _, i := range r.Items {
			text += len(i.Value)
		}
	}
	heap := func() uint64 {
		var s runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&s)
		return s.HeapAlloc
	}
	before := heap()
	m := Compile(set, SQLite)
	used := int64(heap()) - int64(before)
	perItem := (used - int64(2*text)) / n
	t.Logf("%d bytes an item on top of the text of %d bytes", perItem, text/n)
	if perItem > 200 {
		t.Errorf("%d bytes an item", perItem)
	}
	runtime.KeepAlive(m)
	runtime.KeepAlive(set)
}
