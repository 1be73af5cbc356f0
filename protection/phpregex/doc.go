// Package phpregex runs the patterns that people wrote for PHP's preg_match, with the same outcome.
//
// A pattern is a PHP literal: delimiters, PCRE2 syntax, modifiers, as in `/^foo\d+$/iu`. [Compile] reads it with a parser
// of its own that knows which constructs it understands completely. What it does not, it refuses with the position and the
// reason, and so does everything that PCRE2 itself refuses; in both cases PHP mosparo's rule would not match or ours does
// not, but never is a pattern accepted and silently given another meaning.
//
// Only the question "does it match somewhere" is answered. That makes greedy and lazy the same thing for a pattern without
// back-references, look-around and atomic groups, so such a pattern is handed to Go's regexp (RE2, linear time). All others
// run on a backtracking machine whose number of steps and whose stack are bounded: a match that runs too long is cut off
// and reported as [ErrLimit], as PHP does with pcre.backtrack_limit. The bound counts steps, not time, so the same text
// always has the same outcome.
//
// The reference is PCRE2 10.42 as in Debian's PHP 8.2: bytes and ASCII without the modifier u, Unicode 14 with it. The
// Unicode data in unicode.txt was asked of that library (testdata/unicode.php) instead of taken from Go's tables, which
// change with the Go version and know scripts but not script extensions.
package phpregex

//go:generate sh -c "php testdata/unicode.php > unicode.txt"
