package filesync

import (
	"fmt"
	"path"
	"strings"
)

// Exclude decides which paths a scan leaves out, by patterns in the manner of .gitignore:
//
//	name        a file or directory of that name anywhere
//	/name       only at the root
//	a/b         a slash inside ties the pattern to the root as well
//	name/       only a directory (and with it all below)
//	*  ?  [a-z] as in a shell, never matching a slash
//	**          any number of directories: "**/x", "a/**", "a/**/b"
//	!pattern    takes a path back in that an earlier pattern left out; not below a directory that stays out
//	# comment   and empty lines are ignored; "\#", "\!" begin a name with that character
//
// The last pattern that matches decides. The zero value and nil leave nothing out.
type Exclude struct {
	rules []excludeRule
}

type excludeRule struct {
	parts   []string // pattern components, "**" among them
	dirOnly bool
	negate  bool
}

// NewExclude parses patterns; an error names the pattern.
func NewExclude(patterns ...string) (*Exclude, error) {
	x := &Exclude{}
	for _, p := range patterns {
		text := strings.TrimRight(p, " \t\r\n")
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		var r excludeRule
		if rest, ok := strings.CutPrefix(text, "!"); ok {
			r.negate, text = true, rest
		} else if strings.HasPrefix(text, `\#`) || strings.HasPrefix(text, `\!`) {
			text = text[1:]
		}
		if rest, ok := strings.CutSuffix(text, "/"); ok {
			r.dirOnly, text = true, rest
		}
		if rest, ok := strings.CutPrefix(text, "/"); ok {
			text = rest
		} else if !strings.Contains(text, "/") {
			text = "**/" + text
		}
		r.parts = strings.Split(text, "/")
		for _, part := range r.parts {
			if _, err := path.Match(part, ""); err != nil || part == "" || part == "." || part == ".." {
				return nil, fmt.Errorf("bad exclude pattern %q", p)
			}
		}
		x.rules = append(x.rules, r)
	}
	return x, nil
}

// Match reports whether p itself is left out. Whoever walks a tree does not go into a directory that is; for a path out of
// the blue see Covers.
func (x *Exclude) Match(p string, isDir bool) bool {
	if x == nil {
		return false
	}
	names := strings.Split(p, "/")
	for i := len(x.rules) - 1; i >= 0; i-- {
		r := x.rules[i]
		if (isDir || !r.dirOnly) && matchParts(r.parts, names) {
			return !r.negate
		}
	}
	return false
}

// Covers reports whether p or a directory above it is left out.
func (x *Exclude) Covers(p string, isDir bool) bool {
	if x == nil || len(x.rules) == 0 {
		return false
	}
	for i, c := range p {
		if c == '/' && x.Match(p[:i], true) {
			return true
		}
	}
	return x.Match(p, isDir)
}

// matchParts matches names against pattern components. Its cost is bounded by the product of both lengths: on a mismatch
// only the last "**" is tried again, since an earlier one could gain nothing.
func matchParts(pattern, names []string) bool {
	star, mark := -1, 0
	p, n := 0, 0
	for n < len(names) {
		switch {
		case p < len(pattern) && pattern[p] == "**" && p == len(pattern)-1 && p > 0:
			return true // "a/**": everything below a, but not a itself
		case p < len(pattern) && pattern[p] == "**":
			star, mark = p, n
			p++
		case p < len(pattern) && matchName(pattern[p], names[n]):
			p++
			n++
		case star >= 0:
			mark++
			p, n = star+1, mark
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == "**" && p == 0 {
		p++ // "**" alone matches everything
	}
	return p == len(pattern)
}

func matchName(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}
