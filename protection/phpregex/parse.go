package phpregex

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

const (
	maxNesting  = 250   // PCRE2's default parens_nest_limit
	maxRepeat   = 65535 // PCRE2's largest count in {}
	maxNameSize = 32    // PCRE2's longest group name
)

// parser reads PCRE2 syntax. Positions are bytes in the pattern.
type parser struct {
	text    string
	pos     int
	opt     options
	depth   int
	groups  int            // capturing groups opened so far
	open    []int          // those that are not closed yet
	names   map[string]int // group names
	pending []func() error // checks that need all groups to be known

	properties map[string]bool // used outside of classes, and whether negated
}

// refusal carries a reason to the top of the parser.
type refusal struct {
	pos    int
	reason string
}

func (r *refusal) Error() string { return r.reason }

func (p *parser) fail(pos int, format string, args ...any) error {
	return &refusal{pos, fmt.Sprintf(format, args...)}
}

// parse turns the pattern of a literal into a tree.
func parse(text string, lit literal) (node, int, error) {
	p := &parser{text: lit.pattern, opt: lit.options, names: map[string]int{}}
	n, err := p.alternatives()
	if err == nil && p.pos < len(p.text) {
		err = p.fail(p.pos, "unmatched closing parenthesis")
	}
	for _, check := range p.pending {
		if err == nil {
			err = check()
		}
	}
	if err == nil {
		if reason := quirk(n); reason != "" {
			err = p.fail(0, "%s", reason)
		} else if p.negatedTwice() {
			err = p.fail(0, `several negated properties (\P, \D with u) are not supported`)
		}
	}
	if err != nil {
		var r *refusal
		errors.As(err, &r)
		return nil, 0, &Error{Literal: text, Pos: lit.offset + r.pos, Reason: r.reason}
	}
	return n, p.groups, nil
}

// alternatives reads up to the end of the group. Inline options stay in force across `|`, to the end of the group.
func (p *parser) alternatives() (node, error) {
	var branches []node
	for {
		b, err := p.sequence()
		if err != nil {
			return nil, err
		}
		branches = append(branches, b)
		if p.pos == len(p.text) || p.text[p.pos] != '|' {
			break
		}
		p.pos++
	}
	if len(branches) == 1 {
		return branches[0], nil
	}
	return altNode{branches}, nil
}

// sequence reads items up to `|`, `)` or the end.
func (p *parser) sequence() (node, error) {
	var parts []node
	repeatable := false // whether a quantifier may follow
	for {
		if err := p.skipIgnored(); err != nil {
			return nil, err
		}
		if p.pos == len(p.text) || p.text[p.pos] == '|' || p.text[p.pos] == ')' {
			return catNode{parts}, nil
		}
		start := p.pos
		min, max, isQuantifier, err := p.quantifier()
		if err != nil {
			return nil, err
		}
		if isQuantifier {
			if !repeatable {
				return nil, p.fail(start, "quantifier does not follow a repeatable item")
			}
			last := len(parts) - 1
			if parts[last], err = p.repeat(parts[last], min, max); err != nil {
				return nil, err
			}
			repeatable = false
			continue
		}
		items, canRepeat, err := p.item()
		if err != nil {
			return nil, err
		}
		if len(items) == 0 && canRepeat {
			continue // an empty \Q\E is as if it were not there
		}
		parts = append(parts, items...)
		repeatable = canRepeat
	}
}

// skipIgnored skips blanks and comments in extended mode, (?#comments) and lone \E always.
func (p *parser) skipIgnored() error {
	for p.pos < len(p.text) {
		rest := p.text[p.pos:]
		switch {
		case strings.HasPrefix(rest, "(?#"):
			end := strings.IndexByte(rest, ')')
			if end < 0 {
				return p.fail(p.pos, "missing ) after (?# comment")
			}
			p.pos += end + 1
		case strings.HasPrefix(rest, `\E`):
			p.pos += 2
		case p.opt.extended && strings.IndexByte(phpSpaces, rest[0]) >= 0:
			p.pos++
		case p.opt.extended && rest[0] == '#':
			end := strings.IndexByte(rest, '\n')
			if end < 0 {
				end = len(rest) - 1
			}
			p.pos += end + 1
		case p.opt.extended && p.opt.utf && rest[0] >= 0x80:
			r, size := utf8.DecodeRuneInString(rest)
			if !strings.ContainsRune("\u0085\u200e\u200f\u2028\u2029", r) {
				return nil
			}
			p.pos += size
		default:
			return nil
		}
	}
	return nil
}

// quantifier reads * + ? {n} {n,} {n,m}, if one is here.
func (p *parser) quantifier() (min, max int, ok bool, err error) {
	switch p.text[p.pos] {
	case '*':
		p.pos++
		return 0, -1, true, nil
	case '+':
		p.pos++
		return 1, -1, true, nil
	case '?':
		p.pos++
		return 0, 1, true, nil
	case '{':
		return p.braces()
	}
	return 0, 0, false, nil
}

// braces reads a counted quantifier; a brace that opens none is a literal.
func (p *parser) braces() (min, max int, ok bool, err error) {
	start := p.pos
	end := strings.IndexByte(p.text[start:], '}')
	if end < 0 {
		return 0, 0, false, nil
	}
	lower, upper, ranged := strings.Cut(p.text[start+1:start+end], ",")
	if !allDigits(lower) || lower == "" || ranged && !allDigits(upper) {
		return 0, 0, false, nil
	}
	if min, err = p.count(lower); err != nil {
		return 0, 0, false, err
	}
	switch {
	case !ranged:
		max = min
	case upper == "":
		max = -1
	default:
		if max, err = p.count(upper); err != nil {
			return 0, 0, false, err
		}
		if max < min {
			return 0, 0, false, p.fail(start, "numbers out of order in {} quantifier")
		}
	}
	p.pos = start + end + 1
	return min, max, true, nil
}

func (p *parser) count(digits string) (int, error) {
	n := 0
	for i := range len(digits) {
		if n = n*10 + int(digits[i]-'0'); n > maxRepeat {
			return 0, p.fail(p.pos, "number too big in {} quantifier")
		}
	}
	return n, nil
}

func allDigits(s string) bool {
	for i := range len(s) {
		if !isDigit(s[i]) {
			return false
		}
	}
	return true
}

// repeat applies a quantifier just read, with the ? or + that may follow it.
func (p *parser) repeat(body node, least, most int) (node, error) {
	lazy, possessive := p.opt.ungreedy, false
	after := p.pos
	if err := p.skipIgnored(); err != nil {
		return nil, err
	}
	if p.pos < len(p.text) && (p.text[p.pos] == '?' || p.text[p.pos] == '+') {
		if p.pos != after {
			return nil, p.fail(p.pos, "blank or comment inside a quantifier")
		}
		if p.text[p.pos] == '?' {
			lazy = !lazy
		} else {
			lazy, possessive = false, true
		}
		p.pos++
	}
	if most == 0 {
		return nil, p.fail(after, "{0} is not supported") // PCRE2 lets a ^ in what is never matched anchor the pattern
	}
	if _, isLook := body.(lookNode); isLook {
		// A repeated assertion is tried at most once, as in PCRE2.
		least, most = min(least, 1), 1
	}
	return repeatNode{body: body, min: least, max: most, lazy: lazy, possessive: possessive}, nil
}

// item reads one item; several when it is a \Q..\E run. canRepeat says whether a quantifier may follow.
func (p *parser) item() (items []node, canRepeat bool, err error) {
	c := p.text[p.pos]
	switch c {
	case '\\':
		if strings.HasPrefix(p.text[p.pos:], `\Q`) {
			return p.quoted(), true, nil
		}
		return p.escape()
	case '[':
		n, err := p.class()
		return []node{n}, true, err
	case '(':
		return p.group()
	case '.':
		p.pos++
		if p.opt.dotAll {
			return []node{setNode{spans{{0, p.limit()}}}}, true, nil
		}
		return []node{setNode{one('\n').negate(p.limit())}}, true, nil
	case '^':
		p.pos++
		if p.opt.multiline {
			return []node{assertNode{atLineStart}}, false, nil
		}
		return []node{assertNode{atStart}}, false, nil
	case '$':
		p.pos++
		switch {
		case p.opt.multiline:
			return []node{assertNode{atLineEnd}}, false, nil
		case p.opt.dollarEndOnly:
			return []node{assertNode{atEnd}}, false, nil
		}
		return []node{assertNode{atEndOrFinalLF}}, false, nil
	}
	return []node{p.character(p.next())}, true, nil
}

// next reads one character: a byte, or a code point with u.
func (p *parser) next() rune {
	if !p.opt.utf {
		p.pos++
		return rune(p.text[p.pos-1])
	}
	r, size := utf8.DecodeRuneInString(p.text[p.pos:])
	p.pos += size
	return r
}

func (p *parser) limit() rune {
	if p.opt.utf {
		return maxRune
	}
	return maxByte
}

func (p *parser) character(r rune) node {
	set := one(r)
	if p.opt.caseless {
		set = set.fold(p.opt.utf)
	}
	return setNode{set}
}

// quoted reads \Q..\E; without \E it reaches to the end.
func (p *parser) quoted() []node {
	p.pos += 2
	var out []node
	for p.pos < len(p.text) && !strings.HasPrefix(p.text[p.pos:], `\E`) {
		out = append(out, p.character(p.next()))
	}
	p.pos = min(p.pos+2, len(p.text))
	return out
}
