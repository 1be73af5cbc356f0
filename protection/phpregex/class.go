package phpregex

import "strings"

// class reads [...].
func (p *parser) class() (node, error) {
	start := p.pos
	if terminator := posixSyntax(p.text[p.pos:]); terminator != 0 {
		return nil, p.fail(start, "POSIX named classes are supported only within a class")
	}
	p.pos++
	negative := strings.HasPrefix(p.text[p.pos:], "^")
	if negative {
		p.pos++
	}
	var listed, sets spans // listed characters are folded, sets are not
	for first := true; ; first = false {
		if p.pos == len(p.text) {
			return nil, p.fail(start, "missing terminating ] for character class")
		}
		if p.text[p.pos] == ']' && !first {
			p.pos++
			break
		}
		set, lo, isSet, err := p.classAtom()
		if err != nil {
			return nil, err
		}
		if isSet {
			if sets = append(sets, set...); p.rangeFollows() {
				return nil, p.fail(p.pos, "invalid range in character class")
			}
			continue
		}
		hi := lo
		if p.rangeFollows() {
			p.pos++
			at := p.pos
			if _, hi, isSet, err = p.classAtom(); err != nil {
				return nil, err
			}
			if isSet || hi < lo {
				return nil, p.fail(at, "invalid range in character class")
			}
		}
		listed = append(listed, span{lo, hi})
	}
	listed = listed.normalise()
	if p.opt.caseless {
		listed = listed.fold(p.opt.utf)
	}
	all := append(listed, sets...).normalise()
	if negative {
		all = all.negate(p.limit())
	}
	return setNode{all}, nil
}

// rangeFollows tells whether a hyphen is here that is not the last of its class.
func (p *parser) rangeFollows() bool {
	rest := p.text[p.pos:]
	return strings.HasPrefix(rest, "-") && !strings.HasPrefix(rest, "-]") && len(rest) > 1
}

// classAtom reads one character or one set of a class.
func (p *parser) classAtom() (set spans, r rune, isSet bool, err error) {
	start := p.pos
	switch p.text[p.pos] {
	case '[':
		switch posixSyntax(p.text[p.pos:]) {
		case ':':
			set, err = p.posixClass()
			return set, 0, true, err
		case '.', '=':
			return nil, 0, false, p.fail(start, "POSIX collating elements are not supported")
		}
	case '\\':
		if p.pos+1 == len(p.text) {
			return nil, 0, false, p.fail(start, `\ at end of pattern`)
		}
		if p.text[p.pos+1] == 'b' {
			p.pos += 2
			return nil, '\b', false, nil
		}
		if strings.IndexByte("89", p.text[p.pos+1]) >= 0 {
			return nil, 0, false, p.fail(start, `\8 and \9 in a class are not supported`)
		}
		set, isSet, err = p.classEscape()
		if isSet || err != nil {
			return set, 0, isSet, err
		}
		r, err = p.characterEscape()
		return nil, r, false, err
	}
	return nil, p.next(), false, nil
}

// posixSyntax tells whether text begins with [:...:], [.….] or [=…=] as PCRE2 recognises it, by the terminator.
func posixSyntax(text string) byte {
	if len(text) < 2 || strings.IndexByte(":.=", text[1]) < 0 {
		return 0
	}
	terminator := text[1]
	for i := 2; i+1 < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && (text[i+1] == ']' || text[i+1] == '\\'):
			i++
		case c == '[' && text[i+1] == terminator, c == ']':
			return 0
		case c == terminator && text[i+1] == ']':
			return terminator
		}
	}
	return 0
}

// posixClass reads [:name:] and [:^name:].
func (p *parser) posixClass() (spans, error) {
	start := p.pos
	end := strings.Index(p.text[p.pos+2:], ":]")
	name, negative := strings.CutPrefix(p.text[p.pos+2:p.pos+2+end], "^")
	p.pos += 2 + end + 2
	set, ok := p.posixSet(name)
	if !ok {
		return nil, p.fail(start, "POSIX class %q is not supported", name)
	}
	if negative {
		set = set.negate(p.limit())
	}
	return set, nil
}

// posixSet returns the members: of ASCII in byte mode, by Unicode properties otherwise.
func (p *parser) posixSet(name string) (spans, bool) {
	if p.opt.caseless && !p.opt.utf && (name == "lower" || name == "upper") {
		name = "alpha"
	}
	if p.opt.utf {
		tables := map[string]string{"alpha": "l", "lower": "ll", "upper": "lu", "alnum": "xan", "blank": "h", "cntrl": "cc", "digit": "nd",
			"space": "space", "word": "word", "punct": "punct"}
		if name == "graph" || name == "print" {
			return nil, false // PCRE2 mixes them up with other members of the class
		}
		if table, ok := tables[name]; ok {
			return unicodeData().sets[table], true
		}
	}
	sets := map[string]spans{
		"alpha": {{'A', 'Z'}, {'a', 'z'}}, "lower": {{'a', 'z'}}, "upper": {{'A', 'Z'}}, "alnum": {{'0', '9'}, {'A', 'Z'}, {'a', 'z'}},
		"ascii": {{0, 0x7F}}, "blank": {{'\t', '\t'}, {' ', ' '}}, "cntrl": {{0, 0x1F}, {0x7F, 0x7F}}, "digit": asciiDigits,
		"graph": {{0x21, 0x7E}}, "print": {{0x20, 0x7E}}, "punct": {{0x21, 0x2F}, {0x3A, 0x40}, {0x5B, 0x60}, {0x7B, 0x7E}},
		"space": asciiSpaces, "word": asciiWord, "xdigit": {{'0', '9'}, {'A', 'F'}, {'a', 'f'}},
	}
	set, ok := sets[name]
	return set, ok
}
