package inventory

import "strings"

// nearest is the one of names that word most likely was meant to be, or "".
func nearest(word string, names []string) string {
	best, least := "", 1+len(word)/3
	if len(word) > 64 {
		return ""
	}
	normal := func(s string) string { return strings.ToLower(strings.ReplaceAll(s, "-", "_")) }
	for _, n := range names {
		if len(n)-len(word) > least || len(word)-len(n) > least {
			continue
		}
		if d := distance(normal(word), normal(n)); d < least || (d == least && best == "" && d < len(n)) {
			best, least = n, d
		}
	}
	return best
}

// distance is how many insertions, deletions, replacements and swaps of neighbours make b of a.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	before, row := make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(x); i++ {
		next := make([]int, len(y)+1)
		next[0] = i
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			next[j] = min(row[j]+1, next[j-1]+1, row[j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, row = row, next
	}
	return row[len(y)]
}
