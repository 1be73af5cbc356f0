package phpregex

// node is a part of a parsed pattern. Caseless letters, negated classes and the like are resolved into sets by the parser.
type node interface{}

type (
	// setNode matches one character.
	setNode struct{ set spans }
	// catNode matches its parts one after the other; none is the empty string.
	catNode struct{ parts []node }
	// altNode matches the first branch with which the rest matches, too.
	altNode struct{ branches []node }
	// repeatNode repeats its body; max -1 is without limit.
	repeatNode struct {
		body       node
		min, max   int
		lazy       bool
		possessive bool
	}
	// groupNode captures; index counts from 1.
	groupNode struct {
		index int
		body  node
	}
	// atomicNode keeps its first match.
	atomicNode struct {
		body    node
		newline bool // it stands for \R
	}
	// lookNode is an assertion. A look-behind has one branch per top-level alternative, each of a fixed length.
	lookNode struct {
		behind, negative bool
		branches         []node
		lengths          []int // in characters, of look-behind branches
	}
	// backrefNode matches again what a group captured; it fails while the group is unset.
	backrefNode struct {
		group    int
		caseless bool
	}
	// condNode takes yes when the group is set, else no.
	condNode struct {
		group   int
		yes, no node
	}
	// assertNode is a zero-width condition.
	assertNode struct{ kind assertion }
)

type assertion uint8

const (
	atStart        assertion = iota // ^ \A \G
	atLineStart                     // ^ with m: at the start, after an LF that does not end the subject
	atEnd                           // \z, $ with D
	atEndOrFinalLF                  // $ \Z
	atLineEnd                       // $ with m
	wordBoundary                    // \b
	noWordBoundary                  // \B
)

// fixedLength returns the number of characters that n always matches, or -1 if there is none or it is too large for PCRE2.
func fixedLength(n node) int {
	switch n := n.(type) {
	case setNode:
		return 1
	case catNode:
		sum := 0
		for _, p := range n.parts {
			l := fixedLength(p)
			if l < 0 {
				return -1
			}
			if sum += l; sum > maxRepeat {
				return -1
			}
		}
		return sum
	case altNode:
		first := fixedLength(n.branches[0])
		for _, b := range n.branches[1:] {
			if fixedLength(b) != first {
				return -1
			}
		}
		return first
	case repeatNode:
		l := fixedLength(n.body)
		if _, isLook := n.body.(lookNode); l < 0 || n.min != n.max || isLook {
			return -1 // PCRE2 takes no repeated assertion inside a look-behind
		}
		if l*n.min > maxRepeat {
			return -1
		}
		return l * n.min
	case groupNode:
		return fixedLength(n.body)
	case atomicNode:
		return fixedLength(n.body)
	case lookNode, assertNode:
		return 0
	default: // back-references and conditions
		return -1
	}
}

// size counts the parts of n with repeats written out. A program has at most maxInstructions times as many instructions.
func size(n node) int {
	switch n := n.(type) {
	case catNode:
		return sizeOfAll(n.parts)
	case altNode:
		return len(n.branches) + sizeOfAll(n.branches)
	case groupNode:
		return 1 + size(n.body)
	case atomicNode:
		return 1 + size(n.body)
	case lookNode:
		return 1 + len(n.branches) + sizeOfAll(n.branches)
	case condNode:
		return 1 + size(n.yes) + size(n.no)
	case repeatNode:
		return min(maxSize, 1+max(1, size(n.body))*max(1, n.min+1, n.max))
	default:
		return 1
	}
}

func sizeOfAll(list []node) int {
	sum := 0
	for _, n := range list {
		sum = min(maxSize, sum+size(n))
	}
	return sum
}

// maxSize keeps size from overflowing.
const maxSize = 1 << 30

// maxInstructions is the most that one part is compiled to: a loop over something that may be empty.
const maxInstructions = 6
