// Package wildcard compares texts with patterns of * (any run of bytes) and ? (one byte), as mosparo's rules and security
// guidelines do.
package wildcard

import "strings"

// Match reports whether the whole of text matches pattern. Everything is compared byte by byte and with case. Where a
// pattern is more than a prefix, a suffix or both, neither * nor ? matches an LF, and one LF may follow the end; that is
// how the PHP library's translation into a regular expression behaves.
func Match(pattern, text string) bool {
	for strings.Contains(pattern, "**") {
		pattern = strings.ReplaceAll(pattern, "**", "*")
	}
	if prefix, suffix, found := strings.Cut(pattern, "*"); found && pattern != "*" && !strings.ContainsAny(suffix, "*?") && !strings.Contains(prefix, "?") {
		return len(text) >= len(prefix)+len(suffix) && strings.HasPrefix(text, prefix) && strings.HasSuffix(text, suffix)
	}
	if line, ok := strings.CutSuffix(text, "\n"); ok && matchLine(pattern, line) {
		return true
	}
	return matchLine(pattern, text)
}

// matchLine goes back to the last * when a byte does not fit; that is enough because an earlier * can't do better.
func matchLine(pattern, text string) bool {
	p, t := 0, 0
	star, from := -1, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, from = p, t
			p++
		case p < len(pattern) && (pattern[p] == text[t] || pattern[p] == '?' && text[t] != '\n'):
			p++
			t++
		case star >= 0 && text[from] != '\n':
			from++
			p, t = star+1, from
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
