package output

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Printable is s with control characters, and bytes that are no UTF-8, as what they are ("\x1b"), but for line ends and tabs: what
// comes from a node, a log or a visitor must not steer the operator's terminal.
func Printable(s string) string {
	if utf8.ValidString(s) && strings.IndexFunc(s, steers) < 0 {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case steers(r):
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			b.WriteString(s[:n])
		}
		s = s[n:]
	}
	return b.String()
}

// escaped is a line of JSON with those control characters escaped that encoding/json leaves as they are: a terminal may show it, too.
func escaped(line string) string {
	if strings.IndexFunc(line, steers) < 0 {
		return line
	}
	var b strings.Builder
	for _, r := range line {
		if steers(r) {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// steers reports whether r is one of the C0 or C1 control characters, but for those that only lay out text.
func steers(r rune) bool { return r < ' ' && r != '\t' && r != '\n' || r >= 0x7f && r < 0xa0 }
