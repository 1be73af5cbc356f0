package phpregex

import (
	"slices"
	"strings"
)

// sets of the escapes; the second of a pair is for the modifier u.
var (
	asciiDigits = spans{{'0', '9'}}
	asciiWord   = spans{{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}}
	asciiSpaces = spans{{'\t', '\r'}, {' ', ' '}}
)

// escape reads what begins with a backslash, outside a class.
func (p *parser) escape() ([]node, bool, error) {
	start := p.pos
	if start+1 == len(p.text) {
		return nil, false, p.fail(start, `\ at end of pattern`)
	}
	if set, ok, err := p.classEscape(); ok || err != nil {
		p.noteProperty(p.text[start:p.pos])
		return []node{setNode{set}}, true, err
	}
	c := p.text[start+1]
	zeroWidth := func(kind assertion) ([]node, bool, error) {
		p.pos += 2
		return []node{assertNode{kind}}, false, nil
	}
	switch c {
	case 'A', 'G':
		return zeroWidth(atStart)
	case 'Z':
		return zeroWidth(atEndOrFinalLF)
	case 'z':
		return zeroWidth(atEnd)
	case 'b':
		return zeroWidth(wordBoundary)
	case 'B':
		return zeroWidth(noWordBoundary)
	case 'K':
		// It moves the reported start of the match, which nobody asks for here; in an assertion PCRE2 versions disagree.
		return nil, false, p.fail(start, `\K is not supported`)
	case 'R':
		p.pos += 2
		breaks := p.verticalSpace()
		pair := catNode{[]node{setNode{one('\r')}, setNode{one('\n')}}}
		return []node{atomicNode{body: altNode{[]node{pair, setNode{breaks}}}, newline: true}}, true, nil
	case 'N':
		p.pos += 2
		if strings.HasPrefix(p.text[p.pos:], "{") {
			if _, _, ok, err := p.peekBraces(); !ok || err != nil {
				return nil, false, p.fail(start, `\N{...} is not supported`)
			}
		}
		return []node{setNode{one('\n').negate(p.limit())}}, true, nil
	case 'k':
		return p.kReference(start)
	case 'g':
		return p.gReference(start)
	}
	if c >= '1' && c <= '9' {
		if n, ok, err := p.numberedReference(start); ok || err != nil {
			return []node{n}, true, err
		}
	}
	r, err := p.characterEscape()
	if err != nil {
		return nil, false, err
	}
	return []node{p.character(r)}, true, nil
}

func (p *parser) peekBraces() (int, int, bool, error) {
	saved := p.pos
	defer func() { p.pos = saved }()
	return p.braces()
}

// classEscape reads an escape that stands for a set and means the same inside and outside of a class.
func (p *parser) classEscape() (spans, bool, error) {
	c := p.text[p.pos+1]
	var set spans
	switch c {
	case 'd', 'D':
		set = asciiDigits
		if p.opt.utf {
			set, _ = property("Nd")
		}
	case 'w', 'W':
		set = p.word()
	case 's', 'S':
		set = asciiSpaces
		if p.opt.utf {
			set = unicodeData().sets["space"]
		}
	case 'h', 'H':
		set = unicodeData().sets["h"].clip(p.limit())
	case 'v', 'V':
		set = p.verticalSpace()
	case 'p', 'P':
		return p.propertyEscape()
	default:
		return nil, false, nil
	}
	p.pos += 2
	if c < 'a' {
		set = set.negate(p.limit())
	}
	return set, true, nil
}

func (p *parser) verticalSpace() spans { return unicodeData().sets["v"].clip(p.limit()) }

func (p *parser) word() spans {
	if p.opt.utf {
		return unicodeData().sets["word"]
	}
	return asciiWord
}

// propertyEscape reads \pL, \p{Lu}, \p{^Lu} and \P.
func (p *parser) propertyEscape() (spans, bool, error) {
	start := p.pos
	negative := p.text[p.pos+1] == 'P'
	p.pos += 2
	if p.pos == len(p.text) {
		return nil, false, p.fail(start, `malformed \P or \p sequence`)
	}
	name := p.text[p.pos : p.pos+1]
	if name == "{" {
		end := strings.IndexByte(p.text[p.pos:], '}')
		if end < 0 {
			return nil, false, p.fail(start, `malformed \P or \p sequence`)
		}
		name = p.text[p.pos+1 : p.pos+end]
		p.pos += end
	}
	p.pos++
	if rest, ok := strings.CutPrefix(name, "^"); ok {
		name, negative = rest, !negative
	}
	set, ok := property(name)
	if !ok {
		return nil, false, p.fail(start, "property %q is not known here", name)
	}
	set = set.clip(p.limit())
	if negative {
		set = set.negate(p.limit())
	}
	return set, true, nil
}

// characterEscape reads an escape that stands for one character, at p.pos.
func (p *parser) characterEscape() (rune, error) {
	start := p.pos
	p.pos++
	if p.pos == len(p.text) {
		return 0, p.fail(start, `\ at end of pattern`)
	}
	c := p.text[p.pos]
	if c >= 0x80 {
		return p.next(), nil
	}
	p.pos++
	switch c {
	case 'a':
		return '\a', nil
	case 'e':
		return 0x1B, nil
	case 'f':
		return '\f', nil
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 't':
		return '\t', nil
	case 'c':
		return p.control(start)
	case 'x':
		if strings.HasPrefix(p.text[p.pos:], "{") {
			return p.bracedNumber(start, 16)
		}
		return p.number(start, 16, 2)
	case 'o':
		if !strings.HasPrefix(p.text[p.pos:], "{") {
			return 0, p.fail(start, `missing opening brace after \o`)
		}
		return p.bracedNumber(start, 8)
	case '0', '1', '2', '3', '4', '5', '6', '7':
		p.pos--
		return p.number(start, 8, 3)
	}
	if isAlnum(c) {
		return 0, p.fail(start, `\%c is not supported`, c)
	}
	return rune(c), nil
}

func (p *parser) control(start int) (rune, error) {
	if p.pos == len(p.text) || p.text[p.pos] < ' ' || p.text[p.pos] > '~' {
		return 0, p.fail(start, `\c must be followed by a printable ASCII character`)
	}
	c := p.text[p.pos]
	p.pos++
	if c >= 'a' && c <= 'z' {
		c -= 'a' - 'A'
	}
	return rune(c ^ 0x40), nil
}

// bracedNumber reads {digits}.
func (p *parser) bracedNumber(start, base int) (rune, error) {
	p.pos++
	open := p.pos
	r, err := p.number(start, base, 9)
	if err != nil {
		return 0, err
	}
	if p.pos == open || !strings.HasPrefix(p.text[p.pos:], "}") {
		return 0, p.fail(start, "malformed number in braces")
	}
	p.pos++
	return r, nil
}

// number reads up to most digits. Without any it is 0, as PCRE2 has it for \x.
func (p *parser) number(start, base, most int) (rune, error) {
	n := 0
	for count := 0; count < most && p.pos < len(p.text); count++ {
		digit := strings.IndexByte("0123456789abcdef", p.text[p.pos]|0x20)
		if isDigit(p.text[p.pos]) {
			digit = int(p.text[p.pos] - '0')
		}
		if digit < 0 || digit >= base || p.text[p.pos] < '0' {
			break
		}
		n = n*base + digit
		p.pos++
	}
	if n > int(p.limit()) {
		return 0, p.fail(start, "character code is too large")
	}
	if p.opt.utf && n >= 0xD800 && n <= 0xDFFF {
		return 0, p.fail(start, "character code is a surrogate")
	}
	return rune(n), nil
}

// numberedReference reads \n. PCRE2's rule: it is a reference when n < 10, or begins with 8 or 9, or that many groups were
// opened before; otherwise an octal number.
func (p *parser) numberedReference(start int) (node, bool, error) {
	p.pos++
	digits := p.digits()
	n, err := p.count(digits)
	if err != nil {
		return nil, false, p.fail(start, "number is too big")
	}
	if n >= 10 && digits[0] < '8' && n > p.groups {
		p.pos = start
		return nil, false, nil
	}
	return p.reference(start, n), true, nil
}

// reference makes a back-reference; the group may come later in the pattern.
func (p *parser) reference(start, n int) node {
	inside := slices.Contains(p.open, n)
	p.pending = append(p.pending, func() error {
		switch {
		case n < 1 || n > p.groups:
			return p.fail(start, "reference to non-existent group %d", n)
		case inside: // PCRE2 computes a wrong shortest length for some of these
			return p.fail(start, "a reference to a group from its inside is not supported")
		}
		return nil
	})
	return backrefNode{group: n, caseless: p.opt.caseless}
}

// kReference reads \k<name>, \k'name' and \k{name}.
func (p *parser) kReference(start int) ([]node, bool, error) {
	p.pos += 2
	for open, end := range map[string]string{"<": ">", "'": "'", "{": "}"} {
		if strings.HasPrefix(p.text[p.pos:], open) {
			p.pos++
			n, err := p.namedReference(end)
			return []node{n}, true, err
		}
	}
	return nil, false, p.fail(start, `\k is not followed by a name`)
}

// namedReference reads a name; its group must have been opened before, since later names are not known yet.
func (p *parser) namedReference(end string) (node, error) {
	start := p.pos
	name, err := p.name(end)
	if err != nil {
		return nil, err
	}
	index, known := p.names[name]
	if !known {
		return nil, p.fail(start, "reference to group %q, which is not known here", name)
	}
	return p.reference(start, index), nil
}

// gReference reads \gN, \g{N}, \g{-N} and \g{name}; \g<...> is a recursion and refused.
func (p *parser) gReference(start int) ([]node, bool, error) {
	p.pos += 2
	braced := strings.HasPrefix(p.text[p.pos:], "{")
	if braced {
		p.pos++
	}
	relative := strings.HasPrefix(p.text[p.pos:], "-")
	if relative {
		p.pos++
	}
	digits := p.digits()
	if digits == "" {
		if braced && !relative {
			n, err := p.namedReference("}")
			return []node{n}, true, err
		}
		return nil, false, p.fail(start, `\g in this form is not supported`)
	}
	n, err := p.count(digits)
	if err != nil {
		return nil, false, p.fail(start, "number is too big")
	}
	if relative {
		n = p.groups - n + 1
		if digits == "0" {
			return nil, false, p.fail(start, "reference to non-existent group")
		}
	}
	if braced {
		if !strings.HasPrefix(p.text[p.pos:], "}") {
			return nil, false, p.fail(start, `\g is not closed`)
		}
		p.pos++
	}
	return []node{p.reference(start, n)}, true, nil
}
