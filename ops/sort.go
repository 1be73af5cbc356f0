package ops

import (
	"cmp"
	"slices"
)

// sortedByLength lists the keys of m, longest first, so that a value is replaced before its own substrings.
func sortedByLength(m map[string]bool) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b string) int {
		return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b))
	})
	return keys
}
