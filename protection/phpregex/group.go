package phpregex

import "strings"

// group reads what begins with `(`.
func (p *parser) group() ([]node, bool, error) {
	start := p.pos
	if p.depth++; p.depth > maxNesting {
		return nil, false, p.fail(start, "parentheses nested too deeply")
	}
	defer func() { p.depth-- }()
	rest := p.text[p.pos:]
	if strings.HasPrefix(rest, "(*") {
		return nil, false, p.fail(start, "verbs and (*...) groups are not supported")
	}
	if !strings.HasPrefix(rest, "(?") {
		p.pos++
		if p.opt.noCapture {
			return p.body(start, func(n node) (node, error) { return n, nil })
		}
		return p.capture(start, "")
	}
	for _, form := range []struct {
		prefix string
		wrap   func(node) (node, error)
	}{
		{"(?:", func(n node) (node, error) { return n, nil }},
		{"(?>", func(n node) (node, error) { return atomicNode{body: n}, nil }},
		{"(?=", func(n node) (node, error) { return lookNode{branches: []node{n}}, nil }},
		{"(?!", func(n node) (node, error) { return lookNode{negative: true, branches: []node{n}}, nil }},
		{"(?<=", func(n node) (node, error) { return p.lookBehind(start, n, false) }},
		{"(?<!", func(n node) (node, error) { return p.lookBehind(start, n, true) }},
	} {
		if strings.HasPrefix(rest, form.prefix) {
			p.pos += len(form.prefix)
			return p.body(start, form.wrap)
		}
	}
	for prefix, end := range map[string]string{"(?<": ">", "(?'": "'", "(?P<": ">"} {
		if strings.HasPrefix(rest, prefix) {
			p.pos += len(prefix)
			name, err := p.name(end)
			if err != nil {
				return nil, false, err
			}
			return p.capture(start, name)
		}
	}
	switch {
	case strings.HasPrefix(rest, "(?P="):
		p.pos += len("(?P=")
		n, err := p.namedReference(")")
		return []node{n}, true, err
	case strings.HasPrefix(rest, "(?("):
		return p.condition(start)
	}
	return p.inlineOptions(start)
}

// body reads the inside of a group whose opening has been read, and its closing parenthesis. Options set inside end with it.
func (p *parser) body(start int, wrap func(node) (node, error)) ([]node, bool, error) {
	saved := p.opt
	n, err := p.alternatives()
	p.opt = saved
	if err != nil {
		return nil, false, err
	}
	if p.pos == len(p.text) {
		return nil, false, p.fail(start, "missing closing parenthesis")
	}
	p.pos++
	n, err = wrap(n)
	return []node{n}, true, err
}

func (p *parser) capture(start int, name string) ([]node, bool, error) {
	p.groups++
	index := p.groups
	if name != "" {
		if _, taken := p.names[name]; taken {
			return nil, false, p.fail(start, "two groups are named %q", name)
		}
		p.names[name] = index
	}
	p.open = append(p.open, index)
	return p.body(start, func(n node) (node, error) {
		p.open = p.open[:len(p.open)-1]
		return groupNode{index, n}, nil
	})
}

// name reads a group name and the text that ends it.
func (p *parser) name(end string) (string, error) {
	start := p.pos
	for p.pos < len(p.text) && (isAlnum(p.text[p.pos]) || p.text[p.pos] == '_') {
		p.pos++
	}
	name := p.text[start:p.pos]
	switch {
	case name == "" || isDigit(name[0]):
		return "", p.fail(start, "group name of ASCII letters, digits and _ expected")
	case len(name) > maxNameSize:
		return "", p.fail(start, "group name is longer than %d", maxNameSize)
	case !strings.HasPrefix(p.text[p.pos:], end):
		return "", p.fail(p.pos, "group name does not end with %s", end)
	}
	p.pos += len(end)
	return name, nil
}

// lookBehind checks that each branch has a fixed length.
func (p *parser) lookBehind(start int, n node, negative bool) (node, error) {
	look := lookNode{behind: true, negative: negative, branches: []node{n}}
	if alt, ok := n.(altNode); ok {
		look.branches = alt.branches
	}
	for _, b := range look.branches {
		length := fixedLength(b)
		if length < 0 {
			return nil, p.fail(start, "lookbehind assertion is not fixed length")
		}
		look.lengths = append(look.lengths, length)
	}
	return look, nil
}

// condition reads (?(1)yes|no) and the forms with a name.
func (p *parser) condition(start int) ([]node, bool, error) {
	p.pos += len("(?(")
	cond := condNode{}
	switch digits := p.digits(); {
	case digits != "":
		n, err := p.count(digits)
		if err != nil || n == 0 || !strings.HasPrefix(p.text[p.pos:], ")") {
			return nil, false, p.fail(start, "unknown condition")
		}
		p.pos++
		cond.group = n
		p.reference(start, n)
	case strings.HasPrefix(p.text[p.pos:], "<"), strings.HasPrefix(p.text[p.pos:], "'"):
		end := ">)"
		if p.text[p.pos] == '\'' {
			end = "')"
		}
		p.pos++
		name, err := p.name(end)
		if err != nil {
			return nil, false, err
		}
		index, known := p.names[name]
		if !known {
			return nil, false, p.fail(start, "condition on a group name that is not known here")
		}
		cond.group = index
		p.reference(start, index)
	default:
		return nil, false, p.fail(start, "this kind of condition is not supported")
	}
	return p.body(start, func(n node) (node, error) {
		cond.yes, cond.no = n, catNode{}
		if alt, ok := n.(altNode); ok {
			if len(alt.branches) > 2 {
				return nil, p.fail(start, "conditional group contains more than two branches")
			}
			cond.yes, cond.no = alt.branches[0], alt.branches[1]
		}
		return cond, nil
	})
}

func (p *parser) digits() string {
	start := p.pos
	for p.pos < len(p.text) && isDigit(p.text[p.pos]) {
		p.pos++
	}
	return p.text[start:p.pos]
}

// inlineOptions reads (?i-s) and (?i-s:...). What else begins with (? is refused.
func (p *parser) inlineOptions(start int) ([]node, bool, error) {
	p.pos += len("(?")
	opt, on := p.opt, true
	seen := ""
	for ; p.pos < len(p.text); p.pos++ {
		c := p.text[p.pos]
		switch {
		case c == 'i':
			opt.caseless = on
		case c == 'm':
			opt.multiline = on
		case c == 's':
			opt.dotAll = on
		case c == 'x' && !strings.HasSuffix(seen, "x"):
			opt.extended = on
		case c == 'n':
			opt.noCapture = on
		case c == 'U':
			opt.ungreedy = on
		case c == '-' && on && !strings.HasPrefix(seen, "^"):
			on = false
		case c == '^' && seen == "":
			opt.caseless, opt.multiline, opt.dotAll, opt.extended, opt.noCapture = false, false, false, false, false
		case c == ')':
			p.pos++
			p.opt = opt
			return nil, false, nil
		case c == ':':
			p.pos++
			saved := p.opt
			p.opt = opt
			nodes, canRepeat, err := p.body(start, func(n node) (node, error) { return n, nil })
			p.opt = saved
			return nodes, canRepeat, err
		default:
			return nil, false, p.fail(start, "this kind of group is not supported")
		}
		seen += string(c)
	}
	return nil, false, p.fail(start, "missing closing parenthesis")
}
