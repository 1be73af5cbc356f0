package phpregex

import (
	"strings"
	"unicode/utf8"
)

// maxRequired bounds the text of Required; a longer one would not rule out more.
const maxRequired = 64

// literalPart is what is known about the texts that a node matches.
type literalPart struct {
	exact bool   // it matches text and nothing else, not counting ASCII case
	text  string // lower-case
	best  string // longest text that every match contains
}

// required finds a text that every match of n contains, with ASCII letters in lower case. Zero-width conditions count as
// the empty text: they never make a match shorter.
func required(n node, utf bool) literalPart {
	switch n := n.(type) {
	case setNode:
		if text, ok := onlyText(n.set, utf); ok {
			return literalPart{exact: true, text: text, best: text}
		}
	case catNode:
		return requiredOfAll(n.parts, utf)
	case groupNode:
		return required(n.body, utf)
	case atomicNode:
		return required(n.body, utf)
	case assertNode, lookNode:
		return literalPart{exact: true}
	case repeatNode:
		if n.min == 0 {
			break
		}
		body := required(n.body, utf)
		if body.exact && n.min == n.max && len(body.text)*n.min <= maxRequired {
			body.text = strings.Repeat(body.text, n.min)
			body.best = body.text
			return body
		}
		return literalPart{best: body.best}
	}
	return literalPart{}
}

func requiredOfAll(parts []node, utf bool) literalPart {
	all := literalPart{exact: true}
	run := ""
	keep := func(text string) {
		if len(text) > len(all.best) {
			all.best = text
		}
	}
	for _, p := range parts {
		part := required(p, utf)
		if !part.exact || len(run)+len(part.text) > maxRequired {
			all.exact = false
			keep(part.best)
			run = ""
			continue
		}
		run += part.text
		keep(run)
	}
	if all.exact {
		all.text = run
	}
	return all
}

// onlyText returns the one character of a set, or the one ASCII letter that it has in both cases.
func onlyText(set spans, utf bool) (string, bool) {
	switch {
	case len(set) == 2 && set[0].lo == set[0].hi && set[1].lo == set[1].hi && set[0].lo >= 'A' && set[0].lo <= 'Z' && set[1].lo == set[0].lo|0x20:
		return string(set[1].lo), true
	case len(set) != 1 || set[0].lo != set[0].hi:
		return "", false
	}
	switch c := set[0].lo; {
	case c >= 'A' && c <= 'Z':
		return string(c | 0x20), true
	case c < utf8.RuneSelf || utf:
		return string(c), true
	default:
		return string([]byte{byte(c)}), true
	}
}
