package phpregex

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Error says why a pattern was refused. Pos is a byte offset in the literal, counted from 0.
type Error struct {
	Literal string
	Pos     int
	Reason  string
}

// Error names position and reason; the literal itself is left out because it may be long.
func (e *Error) Error() string {
	return fmt.Sprintf("pattern refused at byte %d: %s", e.Pos, e.Reason)
}

// options are the modifiers of a literal or the inline options in force at a place of the pattern.
type options struct {
	caseless      bool // i
	multiline     bool // m
	dotAll        bool // s
	extended      bool // x
	noCapture     bool // n
	ungreedy      bool // U
	anchored      bool // A
	dollarEndOnly bool // D
	utf           bool // u
}

// literal is a PHP pattern literal taken apart.
type literal struct {
	pattern string
	offset  int // of the pattern in the literal
	options options
}

const phpSpaces = " \t\n\v\f\r"

// splitLiteral finds delimiters, pattern and modifiers as PHP 8.2 does.
func splitLiteral(text string) (literal, error) {
	refuse := func(pos int, reason string) (literal, error) {
		return literal{}, &Error{Literal: text, Pos: pos, Reason: reason}
	}
	start := 0
	for start < len(text) && strings.IndexByte(phpSpaces, text[start]) >= 0 {
		start++
	}
	if start == len(text) {
		return refuse(start, "empty pattern")
	}
	open := text[start]
	if isAlnum(open) || open == '\\' || open == 0 {
		return refuse(start, "the delimiter must not be a letter, a digit, a backslash or NUL")
	}
	end := closing(text, start)
	if end < 0 {
		return refuse(len(text), fmt.Sprintf("no ending delimiter for %q", string(rune(open))))
	}
	lit := literal{pattern: text[start+1 : end], offset: start + 1}
	for i := end + 1; i < len(text); i++ {
		switch text[i] {
		case 'i':
			lit.options.caseless = true
		case 'm':
			lit.options.multiline = true
		case 's':
			lit.options.dotAll = true
		case 'x':
			lit.options.extended = true
		case 'n':
			lit.options.noCapture = true
		case 'U':
			lit.options.ungreedy = true
		case 'A':
			lit.options.anchored = true
		case 'D':
			lit.options.dollarEndOnly = true
		case 'u':
			lit.options.utf = true
		case 'S', 'X', 'J', ' ', '\n', '\r':
			// S and X change nothing here; J would only permit what the parser refuses anyway.
		default:
			return refuse(i, fmt.Sprintf("unknown modifier %q", text[i]))
		}
	}
	if lit.options.utf && !utf8.ValidString(lit.pattern) {
		return refuse(lit.offset, "the pattern is not valid UTF-8 but has the modifier u")
	}
	return lit, nil
}

// closing returns the position of the delimiter that ends the pattern opened at start, or -1. Bracket pairs nest.
func closing(text string, start int) int {
	open := text[start]
	end := open
	if i := strings.IndexByte("([{<", open); i >= 0 {
		end = ")]}>"[i]
	}
	depth := 1
	for i := start + 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case end: // first, because it is the opening one, too, unless they are a pair
			if depth--; depth == 0 {
				return i
			}
		case open:
			depth++
		}
	}
	return -1
}

func isAlnum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
