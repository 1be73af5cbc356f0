package rule

import (
	"regexp"
	"slices"
	"testing"
)

// FuzzHosts compares the search for hosts with mosparo's patterns.
func FuzzHosts(f *testing.F) {
	mail := regexp.MustCompile(`@(.[^/\t-\r ]*)(?:\z|[\t-\r ])`)
	url := regexp.MustCompile(`://(.[^/\t-\r ]*)(?:\z|[/\t-\r ])`)
	both := regexp.MustCompile(`(?:@|://)(.[^/\t-\r ]*)(?:\z|[/\t-\r ])`)
	for _, s := range []string{"a@b.c", "@@/ :// x", "http://a@b:8/c d@e\n", "@\n@é/@", ":///@", "@"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, c := range []struct {
			re        *regexp.Regexp
			mail, url bool
		}{{mail, true, false}, {url, false, true}, {both, true, true}} {
			var want []string
			for _, m := range c.re.FindAllStringSubmatch(text, -1) {
				want = append(want, m[1])
			}
			if got := hosts(text, c.mail, c.url, -1); !slices.Equal(got, want) {
				t.Errorf("%q: %q, want %q", text, got, want)
			}
			if got := hosts(text, c.mail, c.url, 1); !slices.Equal(got, want[:min(1, len(want))]) {
				t.Errorf("%q: first %q, want %q", text, got, want)
			}
		}
	})
}
