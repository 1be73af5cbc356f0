package release

import (
	"fmt"
	"strings"
)

// contextLines is how many equal lines are shown around a difference.
const contextLines = 3

// maxCells bounds the table of the comparison: about 2,000 by 2,000 lines that are not equal at either end.
const maxCells = 4 << 20

// edit is one line of a comparison: ' ' in both, '-' only in the old text, '+' only in the new.
type edit struct {
	op   byte
	line string
}

// unified is the difference of two texts in the form of diff -u; "" if there is none.
func unified(name, a, b string) string {
	if a == b {
		return ""
	}
	edits := compareLines(splitLines(a), splitLines(b))
	var out strings.Builder
	fmt.Fprintf(&out, "--- a/%s\n+++ b/%s\n", name, name)
	for start := 0; start < len(edits); {
		first := next(edits, start)
		if first < 0 {
			break
		}
		last := first // of the changes that are near enough to each other to share a hunk
		for n := next(edits, last+1); n >= 0 && n-last <= 2*contextLines; n = next(edits, last+1) {
			last = n
		}
		from, to := max(start, first-contextLines), min(len(edits), last+1+contextLines)
		writeHunk(&out, edits, from, to)
		start = to
	}
	return out.String()
}

// next is the index of the first change at or after i, or -1.
func next(edits []edit, i int) int {
	for ; i < len(edits); i++ {
		if edits[i].op != ' ' {
			return i
		}
	}
	return -1
}

func writeHunk(out *strings.Builder, edits []edit, from, to int) {
	count := func(edits []edit, not byte) int {
		n := 0
		for _, e := range edits {
			if e.op != not {
				n++
			}
		}
		return n
	}
	line := func(not byte) string {
		before, n := count(edits[:from], not), count(edits[from:to], not)
		if n > 0 {
			before++ // lines are counted from 1; an empty range names the line before it
		}
		return fmt.Sprintf("%d,%d", before, n)
	}
	fmt.Fprintf(out, "@@ -%s +%s @@\n", line('+'), line('-'))
	for _, e := range edits[from:to] {
		text, ended := strings.CutSuffix(e.line, "\n")
		fmt.Fprintf(out, "%c%s\n", e.op, text)
		if !ended {
			out.WriteString("\\ No newline at end of file\n")
		}
	}
}

func splitLines(s string) []string {
	lines := strings.SplitAfter(s, "\n")
	if lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}

// compareLines finds a shortest list of edits, by the longest common subsequence of what is between the equal ends. Where
// that is too long to compare, all of it counts as replaced.
func compareLines(a, b []string) []edit {
	head := 0
	for head < len(a) && head < len(b) && a[head] == b[head] {
		head++
	}
	tail := 0
	for tail < len(a)-head && tail < len(b)-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	edits := make([]edit, 0, len(a)+len(b))
	for _, l := range a[:head] {
		edits = append(edits, edit{' ', l})
	}
	edits = appendMiddle(edits, a[head:len(a)-tail], b[head:len(b)-tail])
	for _, l := range a[len(a)-tail:] {
		edits = append(edits, edit{' ', l})
	}
	return edits
}

func appendMiddle(edits []edit, a, b []string) []edit {
	i, j := 0, 0
	if cells := (len(a) + 1) * (len(b) + 1); cells <= maxCells {
		width := len(b) + 1
		common := make([]int32, cells) // [i*width+j]: length of what a[i:] and b[j:] have in common
		for i := len(a) - 1; i >= 0; i-- {
			for j := len(b) - 1; j >= 0; j-- {
				if a[i] == b[j] {
					common[i*width+j] = common[(i+1)*width+j+1] + 1
				} else {
					common[i*width+j] = max(common[(i+1)*width+j], common[i*width+j+1])
				}
			}
		}
		for i < len(a) && j < len(b) {
			switch {
			case a[i] == b[j]:
				edits = append(edits, edit{' ', a[i]})
				i, j = i+1, j+1
			case common[(i+1)*width+j] >= common[i*width+j+1]:
				edits = append(edits, edit{'-', a[i]})
				i++
			default:
				edits = append(edits, edit{'+', b[j]})
				j++
			}
		}
	}
	for ; i < len(a); i++ {
		edits = append(edits, edit{'-', a[i]})
	}
	for ; j < len(b); j++ {
		edits = append(edits, edit{'+', b[j]})
	}
	return edits
}
