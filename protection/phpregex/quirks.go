package phpregex

import "strings"

// quirk names a construct of the pattern for which PCRE2's optimiser changes what is matched, so that no engine that takes
// the pattern at its word agrees with PHP. Found by comparing with PHP 8.2 (PCRE2 10.42):
//   - a lazy repeat of a character at the end of an atomic group or an assertion becomes greedy and gives nothing back;
//   - a repeated \R, or a repeat of characters before \R, gives nothing back although the next item could use it;
//   - so does a repeated \P{..} before another one, see [parser.negatedTwice];
//   - a repeat before an atomic group that may be empty gives nothing back, and the just-in-time compiler goes back into
//     atomic groups with alternatives. A possessive repeat of a group is an atomic group, too.
//
// It is "" for all other patterns.
func quirk(n node) string {
	q := &quirks{}
	walk(n, q.visit)
	switch {
	case q.lazyTail:
		return "a lazy quantifier at the end of an atomic group or assertion is not supported"
	case q.riskyAtomic:
		return "an atomic group, or a possessive quantifier after a group, that may match nothing or has alternatives is not supported"
	case q.newlineRepeated && q.otherMatchesBreak, q.newline && q.repeatMatchesBreak:
		return `\R together with other items that match line breaks is not supported`
	}
	return ""
}

type quirks struct {
	lazyTail           bool
	riskyAtomic        bool // an atomic group that may be empty or has alternatives
	newline            bool // \R occurs
	newlineRepeated    bool // with a quantifier
	otherMatchesBreak  bool // a character that could also be part of \R
	repeatMatchesBreak bool // and is repeated
}

func (q *quirks) visit(n node) {
	switch n := n.(type) {
	case setNode:
		q.otherMatchesBreak = q.otherMatchesBreak || matchesBreak(n.set)
	case atomicNode:
		q.newline = q.newline || n.newline
		q.lazyTail = q.lazyTail || endsLazily(n.body)
		q.riskyAtomic = q.riskyAtomic || !n.newline && risky(n.body)
	case lookNode:
		for _, b := range n.branches {
			q.lazyTail = q.lazyTail || endsLazily(b)
		}
	case repeatNode:
		switch body := n.body.(type) {
		case setNode:
			q.repeatMatchesBreak = q.repeatMatchesBreak || matchesBreak(body.set)
		case atomicNode:
			q.newlineRepeated = q.newlineRepeated || body.newline
		}
		if _, single := n.body.(setNode); n.possessive && !single {
			q.lazyTail = q.lazyTail || endsLazily(n.body)
			q.riskyAtomic = q.riskyAtomic || n.min == 0 || risky(n.body)
		}
	}
}

// risky tells whether n may be empty or has alternatives.
func risky(n node) bool {
	_, found := firstSet(n)
	walk(n, func(n node) {
		switch n.(type) {
		case altNode, condNode:
			found = true
		}
	})
	return found
}

func matchesBreak(set spans) bool {
	for _, b := range unicodeData().sets["v"] {
		for _, r := range set {
			if r.lo <= b.hi && b.lo <= r.hi {
				return true
			}
		}
	}
	return false
}

// endsLazily tells whether the last thing that n consumes can be a lazy repeat of a character.
func endsLazily(n node) bool {
	switch n := n.(type) {
	case catNode:
		for i := len(n.parts) - 1; i >= 0; i-- {
			if endsLazily(n.parts[i]) {
				return true
			}
			if _, mayBeEmpty := firstSet(n.parts[i]); !mayBeEmpty {
				return false
			}
		}
	case altNode:
		for _, b := range n.branches {
			if endsLazily(b) {
				return true
			}
		}
	case groupNode:
		return endsLazily(n.body)
	case atomicNode:
		return endsLazily(n.body)
	case condNode:
		return endsLazily(n.yes) || endsLazily(n.no)
	case repeatNode:
		_, single := n.body.(setNode)
		return single && n.lazy || endsLazily(n.body)
	}
	return false
}

// walk visits n and everything below it, but not the inside of \R.
func walk(n node, visit func(node)) {
	visit(n)
	switch n := n.(type) {
	case catNode:
		walkAll(n.parts, visit)
	case altNode:
		walkAll(n.branches, visit)
	case groupNode:
		walk(n.body, visit)
	case atomicNode:
		if !n.newline {
			walk(n.body, visit)
		}
	case repeatNode:
		walk(n.body, visit)
	case lookNode:
		walkAll(n.branches, visit)
	case condNode:
		walkAll([]node{n.yes, n.no}, visit)
	}
}

func walkAll(list []node, visit func(node)) {
	for _, n := range list {
		walk(n, visit)
	}
}

// noteProperty remembers a property escape outside of a class, \D included, which is \P{Nd} with the modifier u.
func (p *parser) noteProperty(escape string) {
	if escape == `\D` && p.opt.utf {
		escape = `\P{Nd}`
	}
	if len(escape) < 3 || escape[1]|0x20 != 'p' {
		return
	}
	name, negative := canonical(strings.Trim(escape[2:], "{}")), escape[1] == 'P'
	if rest, ok := strings.CutPrefix(name, "^"); ok {
		name, negative = rest, !negative
	}
	if name == "lc" {
		name = "l&"
	}
	if p.properties == nil {
		p.properties = map[string]bool{}
	}
	p.properties[name] = p.properties[name] || negative
}

// negatedTwice tells whether properties are used that PCRE2's optimiser takes for disjoint although they overlap: two
// different negated ones, or L& and Xan of which one is negated.
func (p *parser) negatedTwice() bool {
	negated := 0
	for _, n := range p.properties {
		if n {
			negated++
		}
	}
	_, cased := p.properties["l&"]
	_, alphanumeric := p.properties["xan"]
	return negated > 1 || negated > 0 && cased && alphanumeric
}
