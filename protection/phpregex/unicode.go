package phpregex

import (
	_ "embed"
	"slices"
	"strconv"
	"strings"
	"sync"
)

//go:embed unicode.txt
var unicodeText string

// unicodeTables is what PCRE2 10.42 knows of Unicode 14.
type unicodeTables struct {
	sets    map[string]spans // by lower-case name without underscores
	folds   map[rune][]rune  // the other members of a character's caseless set
	folding []rune           // the keys of folds, sorted
}

// unicodeData parses the embedded tables at the first use.
var unicodeData = sync.OnceValue(func() *unicodeTables {
	t := &unicodeTables{sets: map[string]spans{}, folds: map[rune][]rune{}}
	for line := range strings.Lines(unicodeText) {
		words := strings.Fields(line)
		if words[0] == "fold" {
			t.addFold(words[1:])
			continue
		}
		set := make(spans, 0, len(words)-1)
		next := rune(0)
		for _, w := range words[1:] {
			gap, length, _ := strings.Cut(w, "+")
			lo := next + base36(gap)
			hi := lo + base36(length)
			set = append(set, span{lo, hi})
			next = hi + 1
		}
		t.sets[words[0]] = set
	}
	t.compose("l", "lu", "ll", "lt", "lm", "lo")
	t.compose("l&", "lu", "ll", "lt")
	t.compose("lc", "lu", "ll", "lt")
	t.compose("c", "cc", "cf", "cn", "co") // surrogates can't be in a subject
	t.compose("m", "mn", "mc", "me")
	t.compose("n", "nd", "nl", "no")
	t.compose("p", "pc", "pd", "ps", "pe", "pi", "pf", "po")
	t.compose("s", "sm", "sc", "sk", "so")
	t.compose("z", "zs", "zl", "zp")
	t.compose("xan", "l", "n")
	t.compose("xwd", "word")
	t.compose("xsp", "space")
	t.compose("xps", "space")
	t.sets["any"] = spans{{0, maxRune}}
	for c := range t.folds {
		t.folding = append(t.folding, c)
	}
	slices.Sort(t.folding)
	return t
})

func (t *unicodeTables) compose(name string, parts ...string) {
	var all spans
	for _, p := range parts {
		all = append(all, t.sets[p]...)
	}
	t.sets[name] = all.normalise()
}

func (t *unicodeTables) addFold(words []string) {
	for i, w := range words {
		c := base36(w)
		for j, other := range words {
			if i != j {
				t.folds[c] = append(t.folds[c], base36(other))
			}
		}
	}
}

// base36 reads a number of unicode.txt; the file is ours, so a malformed one is a mistake in the build.
func base36(s string) rune {
	n, err := strconv.ParseInt(s, 36, 32)
	if err != nil {
		panic("phpregex: unicode.txt: " + err.Error())
	}
	return rune(n)
}

// property looks up the name in \p{name}. PCRE2 ignores case, blanks, hyphens and underscores in it. General categories
// and scripts (by full name, with script extensions) are known.
func property(name string) (spans, bool) {
	name = canonical(name)
	switch name {
	case "word", "space", "h", "v", "punct":
		return nil, false // names of our own tables, not of properties
	}
	s, ok := unicodeData().sets[name]
	return s, ok
}

func canonical(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r == '-' || r == ' ' {
			return -1
		}
		return r
	}, strings.ToLower(name))
}
