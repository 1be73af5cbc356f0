package filesync

import (
	"strings"
	"testing"
)

func TestExclude(t *testing.T) {
	for _, tt := range []struct {
		patterns string // separated by spaces
		yes, no  string // paths, "/" at the end makes a directory
	}{
		{"*.log", "a.log d/e/x.log .log", "a.log.gz log"},
		{"/x", "x", "d/x"},
		{"a/b", "a/b", "c/a/b"},
		{"cache/", "cache/ d/cache/", "cache d/cache"},
		{"**/x", "x a/x a/b/x", "xx a/xx"},
		{"a/**", "a/b a/b/c", "a/ b/a/c"},
		{"a/**/b", "a/b a/x/b a/x/y/b", "b a/x c/a/b"},
		{"**", "a a/b", ""},
		{"*", "a a/b", ""},
		{"?", "a d/b", "ab"},
		{"[ab]x", "ax bx", "cx"},
		{"*.log !keep.log", "a.log d/b.log", "keep.log d/keep.log"},
		{"!keep.log *.log", "keep.log", ""},
		{"d/*.txt", "d/a.txt", "d/e/a.txt a.txt"},
		{"**/a/**/b", "a/b x/a/y/b a/a/b", "b a x/b"},
		{`\!odd \#x`, "!odd #x", "odd x"},
		{"#comment", "", "#comment comment"},
	} {
		x, err := NewExclude(strings.Fields(tt.patterns)...)
		if err != nil {
			t.Errorf("%s: %v", tt.patterns, err)
			continue
		}
		for want, list := range map[bool]string{true: tt.yes, false: tt.no} {
			for p := range strings.FieldsSeq(list) {
				if got := x.Match(strings.TrimSuffix(p, "/"), strings.HasSuffix(p, "/")); got != want {
					t.Errorf("%q matches %q: %v", tt.patterns, p, got)
				}
			}
		}
	}
}

func TestExcludeCovers(t *testing.T) {
	x, err := NewExclude("cache/", "!cache/keep")
	if err != nil {
		t.Fatal(err)
	}
	for p, want := range map[string]bool{"var/cache/a/b": true, "cache/keep": true, "var/a": false, "cache": false} {
		if got := x.Covers(p, false); got != want {
			t.Errorf("Covers(%q) = %v", p, got)
		}
	}
	if (*Exclude)(nil).Covers("a", true) || (*Exclude)(nil).Match("a", true) {
		t.Error("nothing leaves out something")
	}
}

func TestExcludeRefusesBadPatterns(t *testing.T) {
	for _, p := range []string{"[", "/", "a//b", "../x", "a/./b", "!", `x\`} {
		if _, err := NewExclude(p); err == nil || !strings.Contains(err.Error(), "exclude pattern") {
			t.Errorf("%q: %v", p, err)
		}
	}
}

func FuzzExclude(f *testing.F) {
	f.Add("a/**/b", "a/x/b")
	f.Add("**/**/**/**/x*", "a/b/c/d/e/f/g")
	f.Fuzz(func(t *testing.T, pattern, p string) {
		x, err := NewExclude(pattern)
		if err != nil || CheckPath(p) != nil {
			return
		}
		if x.Match(p, false) && !x.Covers(p, false) {
			t.Fatal("what is left out itself is not covered")
		}
	})
}
