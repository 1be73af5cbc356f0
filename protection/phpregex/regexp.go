package phpregex

import (
	"errors"
	"regexp"
	"unicode/utf8"
)

// ErrUTF8 says that a pattern with the modifier u met a text that is not valid UTF-8. PHP reports no match then.
var ErrUTF8 = errors.New("text is not valid UTF-8")

// linearLimit bounds the product of a pattern's size and a text's length for patterns that run in linear time, so that a
// megabyte of text and a pattern of a hundred kilobytes don't take minutes.
const linearLimit = 1 << 28

// Regexp is a compiled pattern. It is immutable and safe for concurrent use.
type Regexp struct {
	options options
	linear  *regexp.Regexp // nil: program decides
	size    int            // instructions of linear, about
	program *program
}

// Compile reads a PHP pattern literal. The error is an [*Error].
func Compile(text string) (*Regexp, error) {
	lit, err := splitLiteral(text)
	if err != nil {
		return nil, err
	}
	tree, groups, err := parse(text, lit)
	if err != nil {
		return nil, err
	}
	r := &Regexp{options: lit.options}
	if r.linear = re2(tree, lit.options); r.linear != nil {
		r.size = size(tree)
		return r, nil
	}
	if r.program = compileProgram(tree, groups, lit.options); r.program == nil {
		return nil, &Error{Literal: text, Pos: lit.offset, Reason: "the pattern is too large"}
	}
	return r, nil
}

// Match reports whether preg_match would find the pattern in subject. The error is [ErrLimit] or [ErrUTF8]; with one the
// answer is no match, as in PHP.
func (r *Regexp) Match(subject string) (bool, error) {
	if r.options.utf && !utf8.ValidString(subject) {
		return false, ErrUTF8
	}
	if r.linear == nil {
		return r.program.search(subject, r.options.anchored)
	}
	if r.size*len(subject) > linearLimit {
		return false, ErrLimit
	}
	if !r.options.utf {
		subject = widen(subject)
	}
	return r.linear.MatchString(subject), nil
}

// Linear tells whether the pattern runs in linear time, so that only a very long text can make it hit [ErrLimit].
func (r *Regexp) Linear() bool { return r.linear != nil }
