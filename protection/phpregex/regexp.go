package phpregex

import (
	"errors"
	"regexp"
	"sync"
	"unicode/utf8"
)

// ErrUTF8 says that a pattern with the modifier u met a text that is not valid UTF-8. PHP reports no match then.
var ErrUTF8 = errors.New("text is not valid UTF-8")

const (
	// linearLimit bounds the product of a pattern's size and a text's length for patterns that run in linear time, so that
	// a megabyte of text and a pattern of a hundred kilobytes don't take minutes.
	linearLimit = 1 << 28
	// lazySize is a size at which a pattern is certain to fit into a program, so that it can be built when it is first used.
	// A list of a million patterns then takes no more memory than its text and a little.
	lazySize = maxProgram / maxInstructions / 8
)

// Regexp is a compiled pattern. It is safe for concurrent use.
type Regexp struct {
	text     string
	options  options
	required string
	build    sync.Once
	engine   engine
}

// engine is what matches: linear if it is not nil, else program.
type engine struct {
	linear  *regexp.Regexp
	size    int // of linear, in characters and conditions
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
	r := &Regexp{text: text, options: lit.options, required: required(tree, lit.options.utf).best}
	if size(tree) <= lazySize {
		return r, nil
	}
	if r.engine = newEngine(tree, groups, lit.options); r.engine.linear == nil && r.engine.program == nil {
		return nil, &Error{Literal: text, Pos: lit.offset, Reason: "the pattern is too large"}
	}
	r.build.Do(func() {})
	return r, nil
}

func newEngine(tree node, groups int, opt options) engine {
	if linear := re2(tree, opt); linear != nil {
		return engine{linear: linear, size: size(tree)}
	}
	return engine{program: compileProgram(tree, groups, opt)}
}

// ready returns the engine, built at the first call. Parsing can't fail here: Compile has done it before.
func (r *Regexp) ready() *engine {
	r.build.Do(func() {
		if lit, err := splitLiteral(r.text); err == nil {
			if tree, groups, err := parse(r.text, lit); err == nil {
				r.engine = newEngine(tree, groups, lit.options)
			}
		}
	})
	return &r.engine
}

// Match reports whether preg_match would find the pattern in subject. The error is [ErrLimit] or [ErrUTF8]; with one the
// answer is no match, as in PHP.
func (r *Regexp) Match(subject string) (bool, error) {
	if r.options.utf && !utf8.ValidString(subject) {
		return false, ErrUTF8
	}
	e := r.ready()
	if e.linear == nil {
		return e.program.search(subject, r.options.anchored)
	}
	if e.size*len(subject) > linearLimit {
		return false, ErrLimit
	}
	if !r.options.utf {
		subject = widen(subject)
	}
	return e.linear.MatchString(subject), nil
}

// MatchWithin is Match for one of many matches that share a number of steps, those of the backtracking machine. What a match takes beyond
// what is usual for so long a text is taken off it. Once none are left, patterns that may backtrack are not tried and the error is
// [ErrLimit]: each may stay below its own bound and all together take as long as there are patterns and texts.
func (r *Regexp) MatchWithin(subject string, left *int) (bool, error) {
	e := r.ready()
	if e.linear != nil || r.options.utf && !utf8.ValidString(subject) {
		return r.Match(subject)
	}
	if *left <= 0 {
		return false, ErrLimit
	}
	matched, steps, err := e.program.count(subject, r.options.anchored)
	*left -= max(0, steps-usualSteps-stepsPerByte*len(subject))
	return matched, err
}

// Linear tells whether the pattern runs in linear time, so that only a very long text can make it hit [ErrLimit].
func (r *Regexp) Linear() bool { return r.ready().linear != nil }

// Required returns a text that occurs in every subject that matches, after the subject's ASCII letters were made lower
// case. It is empty when there is none. Whoever has many patterns tries only those whose text occurs.
func (r *Regexp) Required() string { return r.required }
