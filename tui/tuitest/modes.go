package tuitest

import (
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Modes lists what a program has switched on in a terminal and not off again, by the escape sequences that it wrote: private modes
// by their numbers ("?2004", pastes in brackets), a hidden cursor ("?25") and lines that don't wrap ("?7"), ways of telling keys (">4", xterm's, and "kitty").
func Modes(written string) []string {
	on := map[string]bool{}
	kitty := 0 // entries on its stack
	for _, m := range regexp.MustCompile(`\x1b\[([?<>=])([0-9;]*)([hlmu])`).FindAllStringSubmatch(written, -1) {
		prefix, numbers, final := m[1], m[2], m[3]
		switch {
		case prefix == "?" && (final == "h" || final == "l"):
			for n := range strings.SplitSeq(numbers, ";") {
				on["?"+n] = (final == "h") != (n == "25" || n == "7") // on in every terminal: the cursor, and wrapping
			}
		case prefix == ">" && final == "m" && (numbers == "4" || strings.HasPrefix(numbers, "4;")):
			on[">4"] = numbers != "4" && numbers != "4;0"
		case prefix == ">" && final == "u":
			kitty++
		case prefix == "<" && final == "u":
			kitty = max(kitty-1, 0)
		}
	}
	on["kitty"] = kitty > 0
	maps.DeleteFunc(on, func(_ string, is bool) bool { return !is })
	return slices.Sorted(maps.Keys(on))
}
