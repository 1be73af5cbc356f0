package rule

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// occurrences is what scan must find.
func occurrences(literals []string, text string) (want []string) {
	for pos := range len(text) {
		for _, l := range literals {
			if strings.HasPrefix(text[pos:], l) {
				want = append(want, text[:pos]+"|"+l)
			}
		}
	}
	slices.Sort(want)
	return want
}

func TestIndex(t *testing.T) {
	seed := rand.Uint64()
	g := rand.New(rand.NewPCG(seed, 0))
	random := func(letters, most int) string {
		b := make([]byte, 1+g.IntN(most))
		for i := range b {
			b[i] = byte('a' + g.IntN(letters))
		}
		return string(b)
	}
	for range 400 {
		letters, longest := 1+g.IntN(4), []int{2, 9, 40}[g.IntN(3)]
		var literals []string
		var postings []posting
		for i := range 1 + g.IntN(60) {
			l := random(letters, longest)
			literals = append(literals, l)
			postings = append(postings, posting{l, uint32(i)})
		}
		slices.Sort(literals)
		literals = slices.Compact(literals)
		x := buildIndex(postings)
		text := random(letters, 100)
		var got []string
		x.scan(text, func(i, pos int) bool {
			got = append(got, text[:pos]+"|"+x.literal(i))
			return true
		})
		slices.Sort(got)
		if want := occurrences(literals, text); !slices.Equal(got, want) {
			t.Fatalf("seed %d: %q in %q: %q, want %q", seed, literals, text, got, want)
		}
		for _, l := range literals {
			if len(x.find(l)) == 0 {
				t.Fatalf("%q not found", l)
			}
		}
		if x.find(literals[0]+"!") != nil {
			t.Fatal("found what is not there")
		}
	}
}
