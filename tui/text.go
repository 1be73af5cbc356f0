package tui

import (
	"strings"
	"unicode"

	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"
)

// span is a piece of text in one style.
type span struct {
	style style
	text  string
}

// line is what stands in one row. Text is cleaned and cut by fit, not before.
type line []span

// text makes a line of one span.
func text(s style, t string) line { return line{{s, t}} }

// clean makes text from outside harmless: no control characters, no escape sequences, nothing that changes the direction
// of writing or has no width of its own.
func clean(s string) string {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] >= 0x7f {
			return cleanAll(s)
		}
	}
	return s
}

func cleanAll(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if strings.ContainsRune(s, '\x1b') {
		s = ansi.Strip(s)
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t' || r == '\n' || r == '\u2028' || r == '\u2029':
			return ' '
		case r == '\r' || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Variation_Selector, r):
			return -1
		case unicode.IsControl(r) || unicode.Is(unicode.Co, r):
			return '\uFFFD'
		}
		return r
	}, s)
}

// width is the number of cells that cleaned text takes.
func width(s string) int {
	for i := range len(s) {
		if s[i] >= 0x7f {
			return ansi.StringWidth(s)
		}
	}
	return len(s)
}

// cut is s in at most w cells, with an ellipsis where something is missing.
func cut(s string, w int) string {
	s = clean(s)
	if width(s) <= w {
		return s
	}
	if w <= 0 {
		return ""
	}
	return ansi.Truncate(s, w, "…")
}

// fit is the line in exactly w cells: cleaned, cut or filled up.
func (l line) fit(w int) line {
	out := make(line, 0, len(l)+1)
	left := max(w, 0)
	for _, s := range l {
		t := clean(s.text)
		n := width(t)
		if n > left {
			t = cut(t, left)
			n = width(t)
			if n > 0 {
				out, left = append(out, span{s.style, t}), left-n
			}
			break
		}
		if n > 0 {
			out, left = append(out, span{s.style, t}), left-n
		}
	}
	if left > 0 {
		out = append(out, span{plain, blanks(left)})
	}
	return out
}

const manyBlanks = "                                                                                                                                "

func blanks(n int) string {
	if n <= len(manyBlanks) {
		return manyBlanks[:max(n, 0)]
	}
	return strings.Repeat(" ", n)
}

// marked is the line of a cursor: in w cells, all in the style of what is chosen.
func (l line) marked(w int) line {
	var b strings.Builder
	for _, s := range l.fit(w) {
		b.WriteString(s.text)
	}
	return line{{chosen, b.String()}}
}

// String is the text alone.
func (l line) String() string {
	var b strings.Builder
	for _, s := range l {
		b.WriteString(s.text)
	}
	return b.String()
}

// column is a cell of a row: text in a style and how wide the cell is.
type column struct {
	span
	w int
}

// ruled is the line with a rule from its end to the edge.
func (l line) ruled(w int) line {
	used := width(clean(l.String()))
	return append(l, span{edge, strings.Repeat("─", max(w-used, 0))})
}

// row puts cells beside each other with a blank between them.
func row(cells ...column) line {
	var l line
	for i, c := range cells {
		if i > 0 {
			l = append(l, span{plain, " "})
		}
		l = append(l, line{c.span}.fit(c.w)...)
	}
	return l
}

func cell(s style, t string, w int) column { return column{span{s, t}, w} }

// beside puts two blocks next to each other; each keeps its width.
func beside(left []line, lw int, right []line, rw int) []line {
	out := make([]line, 0, max(len(left), len(right)))
	for i := range max(len(left), len(right)) {
		var l, r line
		if i < len(left) {
			l = left[i]
		}
		if i < len(right) {
			r = right[i]
		}
		out = append(out, append(l.fit(lw), r.fit(rw)...))
	}
	return out
}

// box draws a frame of w cells around body, with a title in its upper edge, which Lip Gloss's own frames don't have.
func box(title span, body []line, w int) []line {
	if w < 4 {
		return body
	}
	b := lipgloss.NormalBorder()
	head := cut(title.text, w-4)
	out := []line{{{edge, b.TopLeft + " "}, {title.style, head}, {edge, " " + strings.Repeat(b.Top, max(w-4-width(head), 0)) + b.TopRight}}}
	for _, l := range body {
		out = append(out, append(append(line{{edge, b.Left + " "}}, l.fit(w-4)...), span{edge, " " + b.Right}))
	}
	return append(out, line{{edge, b.BottomLeft + strings.Repeat(b.Bottom, w-2) + b.BottomRight}})
}

// level fills the shorter of two bodies up, for boxes of the same height beside each other.
func level(a, b []line) (as, bs []line) {
	n := max(len(a), len(b))
	return append(a, make([]line, n-len(a))...), append(b, make([]line, n-len(b))...)
}

// wrap breaks text into lines of at most w cells, at blanks where it can.
func wrap(s style, t string, w int) []line {
	if w < 1 {
		return nil
	}
	var out []line
	for part := range strings.SplitSeq(strings.TrimRight(t, "\n"), "\n") {
		for l := range strings.SplitSeq(ansi.Wrap(clean(part), w, ""), "\n") {
			out = append(out, text(s, l))
		}
	}
	return out
}

// indent puts a prefix before each line.
func indent(prefix string, lines []line) []line {
	for i, l := range lines {
		lines[i] = append(text(plain, prefix), l...)
	}
	return lines
}

// window is the part of lines that shows line at in h rows, and how many are above and below.
func window(n, at, h int) (from, to int) {
	if h <= 0 {
		return 0, 0
	}
	if n <= h {
		return 0, n
	}
	from = min(max(at-h/2, 0), n-h)
	return from, from + h
}
