package phpregex

import (
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// re2 translates n for Go's regexp when both agree on which subjects match, and returns nil when they may not.
//
// Subjects of byte patterns are handed over as Latin-1 turned into UTF-8, so that one byte is one character. Case has been
// resolved into sets. Of the assertions, `\b` is the ASCII one (so not with u), `$` can be followed by a final LF only
// where nothing else follows it, and multi-line `^` has no equal because PCRE2's does not match after a final LF.
func re2(n node, opt options) *regexp.Regexp {
	var b strings.Builder
	if opt.anchored {
		b.WriteString(`\A(?:`)
	}
	if !writeRE2(&b, n, opt.utf, true) {
		return nil
	}
	if opt.anchored {
		b.WriteString(`)`)
	}
	re, err := regexp.Compile(b.String())
	if err != nil {
		return nil // a repeat count or a size that RE2 does not take
	}
	return re
}

// writeRE2 appends the translation. last says that nothing follows n in the pattern.
func writeRE2(b *strings.Builder, n node, utf, last bool) bool {
	switch n := n.(type) {
	case setNode:
		writeSet(b, n.set)
		return true
	case catNode:
		for i, p := range n.parts {
			if !writeRE2(b, p, utf, last && i == len(n.parts)-1) {
				return false
			}
		}
		return true
	case altNode:
		b.WriteString("(?:")
		for i, branch := range n.branches {
			if i > 0 {
				b.WriteByte('|')
			}
			if !writeRE2(b, branch, utf, last) {
				return false
			}
		}
		b.WriteByte(')')
		return true
	case groupNode:
		b.WriteString("(?:")
		if !writeRE2(b, n.body, utf, last) {
			return false
		}
		b.WriteByte(')')
		return true
	case repeatNode:
		return !n.possessive && writeRepeat(b, n, utf)
	case assertNode:
		return writeAssertion(b, n.kind, utf, last)
	default:
		return false
	}
}

func writeRepeat(b *strings.Builder, n repeatNode, utf bool) bool {
	b.WriteString("(?:")
	if !writeRE2(b, n.body, utf, false) {
		return false
	}
	b.WriteString("){")
	b.WriteString(strconv.Itoa(n.min))
	if n.max != n.min {
		b.WriteByte(',')
		if n.max >= 0 {
			b.WriteString(strconv.Itoa(n.max))
		}
	}
	b.WriteByte('}')
	return true
}

func writeAssertion(b *strings.Builder, kind assertion, utf, last bool) bool {
	switch {
	case kind == atStart:
		b.WriteString(`\A`)
	case kind == atEnd:
		b.WriteString(`\z`)
	case kind == atEndOrFinalLF && last:
		b.WriteString(`(?:\n?\z)`)
	case kind == atLineEnd:
		b.WriteString(`(?m:$)`)
	case kind == wordBoundary && !utf:
		b.WriteString(`\b`)
	case kind == noWordBoundary && !utf:
		b.WriteString(`\B`)
	default:
		return false
	}
	return true
}

func writeSet(b *strings.Builder, set spans) {
	if len(set) == 0 {
		b.WriteString(`[^\x00-\x{10FFFF}]`)
		return
	}
	b.WriteByte('[')
	for _, r := range set {
		b.WriteString(`\x{` + strconv.FormatInt(int64(r.lo), 16) + `}-\x{` + strconv.FormatInt(int64(r.hi), 16) + `}`)
	}
	b.WriteByte(']')
}

// widen turns bytes into the characters U+0000 to U+00FF. ASCII is handed back as it is.
func widen(s string) string {
	i := 0
	for i < len(s) && s[i] < utf8.RuneSelf {
		i++
	}
	if i == len(s) {
		return s
	}
	out := make([]byte, i, len(s)+len(s)/2)
	copy(out, s)
	for ; i < len(s); i++ {
		out = utf8.AppendRune(out, rune(s[i]))
	}
	return string(out)
}
