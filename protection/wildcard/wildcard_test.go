package wildcard_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/mosparoctl/mosparoctl/protection/wildcard"
)

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"*/contact", "http://a/contact", true},
		{"*/contact", "http://a/contact/x", false},
		{"http://a/?x", "http://a/bx", true},
		{"http://a/?x", "http://a/xy", false},
		{"a*c", "abc", true},
		{"a*c", "ac", true},
		{"ab*bc", "abc", false},
		{"*", "", true},
		{"*", "a\nb", false},
		{"*", "ab\n", true},
		{"abc", "abc", true},
		{"abc", "abc\n", true},
		{"abc", "abcd", false},
		{"*a*", "b\na", false},
		{"a*", "a\nb", true},
		{"a?c", "aéc", false},
		{"a??c", "aéc", true},
		{"*a*b*", "xxaxxbxx", true},
		{"*a*b*", "b a", false},
		{"a***c", "abbc", true},
		{"?", "\n", false},
		{"A", "a", false},
	} {
		if got := wildcard.Match(c.pattern, c.text); got != c.want {
			t.Errorf("%q on %q: %v", c.pattern, c.text, got)
		}
	}
}

// The matcher must agree with the regular expression that the PHP library makes of a pattern.
func FuzzMatch(f *testing.F) {
	f.Add("a*b?c*", "aXXbYc\n")
	f.Add("*?", "\n\n")
	f.Add("?*?", "a\nb")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		for i := range len(text) + len(pattern) {
			if (pattern + text)[i] >= 0x80 {
				return // Go's regexp counts characters, PHP's without u bytes
			}
		}
		if strings.Count(regexp.MustCompile(`\*+`).ReplaceAllString(pattern, "*"), "*") == 1 && !strings.Contains(pattern, "?") {
			return // prefix and suffix comparisons
		}
		quoted := strings.NewReplacer(`\*`, `.*`, `\?`, `.`).Replace(regexp.QuoteMeta(pattern))
		want := regexp.MustCompile(`\A` + quoted + `\n?\z`).MatchString(text)
		if got := wildcard.Match(pattern, text); got != want {
			t.Errorf("%q on %q: %v", pattern, text, got)
		}
	})
}
