package phpregex

// maxProgram bounds the instructions of one pattern; counted repeats are written out, so it is what `(a{999}){999}` hits.
const maxProgram = 50_000

type opcode uint8

const (
	opSet       opcode = iota // consume one character of set
	opSplit                   // go on at x; at y when that fails
	opJump                    // go on at x
	opMark                    // slot x = position
	opCapture                 // group x ends here and began where slot y says
	opAdvanced                // go on at y if the position is still the one in slot x
	opAssert                  // zero-width condition x
	opBackref                 // group x again; y != 0: without case
	opLook                    // assertion whose branches are listed in looks[x]; go on at y
	opAtomic                  // run from the next instruction to its opMatch, keep the first result; go on at y
	opCondition               // go on if group x is set, else at y
	opMatch                   // end of the program or of a part of it
)

type instruction struct {
	op   opcode
	x, y int32
	set  *charset
}

// look is one assertion: the code of each branch ends with opMatch.
type look struct {
	behind, negative bool
	starts           []int32
	lengths          []int
}

// program is what the backtracking machine runs. Slots 2i and 2i+1 hold start and end of group i (0 is unused), further
// slots the marks of open groups and of loops. A group is set as a whole when it ends.
type program struct {
	code  []instruction
	looks []look
	slots int
	utf   bool
	first *charset // of the characters a match can begin with; nil if it may be empty
	word  *charset
}

type compiler struct {
	program
	tooLarge bool
}

// compileProgram returns nil when the pattern is too large.
func compileProgram(n node, groups int, opt options) *program {
	c := &compiler{program: program{slots: 2 * (groups + 1), utf: opt.utf}}
	c.word = asciiWord.compile()
	if opt.utf {
		c.word = unicodeData().sets["word"].compile()
	}
	c.emitNode(n)
	c.emit(instruction{op: opMatch})
	if c.tooLarge {
		return nil
	}
	if set, empty := firstSet(n); !empty {
		c.first = set.normalise().compile()
	}
	return &c.program
}

func (c *compiler) emit(in instruction) int {
	if len(c.code) >= maxProgram {
		c.tooLarge = true
		return 0
	}
	c.code = append(c.code, in)
	return len(c.code) - 1
}

func (c *compiler) newSlot() int32 {
	c.slots++
	return int32(c.slots - 1)
}

func (c *compiler) here() int32 { return int32(len(c.code)) }

func (c *compiler) emitNode(n node) {
	if c.tooLarge {
		return
	}
	switch n := n.(type) {
	case setNode:
		c.emit(instruction{op: opSet, set: n.set.compile()})
	case catNode:
		for _, p := range n.parts {
			c.emitNode(p)
		}
	case altNode:
		c.emitAlternatives(n.branches)
	case groupNode:
		mark := c.newSlot()
		c.emit(instruction{op: opMark, x: mark})
		c.emitNode(n.body)
		c.emit(instruction{op: opCapture, x: int32(n.index), y: mark})
	case repeatNode:
		if n.possessive {
			n.possessive = false
			c.emitAtomic(n)
			return
		}
		c.emitRepeat(n)
	case atomicNode:
		c.emitAtomic(n.body)
	case lookNode:
		c.emitLook(n)
	case backrefNode:
		in := instruction{op: opBackref, x: int32(n.group)}
		if n.caseless {
			in.y = 1
		}
		c.emit(in)
	case condNode:
		at := c.emit(instruction{op: opCondition, x: int32(n.group)})
		c.emitNode(n.yes)
		jump := c.emit(instruction{op: opJump})
		c.code[at].y = c.here()
		c.emitNode(n.no)
		c.code[jump].x = c.here()
	case assertNode:
		c.emit(instruction{op: opAssert, x: int32(n.kind)})
	}
}

func (c *compiler) emitAlternatives(branches []node) {
	var jumps []int
	for i, b := range branches {
		if i == len(branches)-1 {
			c.emitNode(b)
			break
		}
		split := c.emit(instruction{op: opSplit})
		c.code[split].x = c.here()
		c.emitNode(b)
		jumps = append(jumps, c.emit(instruction{op: opJump}))
		c.code[split].y = c.here()
	}
	for _, j := range jumps {
		c.code[j].x = c.here()
	}
}

func (c *compiler) emitAtomic(body node) {
	at := c.emit(instruction{op: opAtomic})
	c.emitNode(body)
	c.emit(instruction{op: opMatch})
	c.code[at].y = c.here()
}

func (c *compiler) emitLook(n lookNode) {
	l := look{behind: n.behind, negative: n.negative, lengths: n.lengths}
	index := len(c.looks)
	c.looks = append(c.looks, look{})
	at := c.emit(instruction{op: opLook, x: int32(index)})
	for _, b := range n.branches {
		l.starts = append(l.starts, c.here())
		c.emitNode(b)
		c.emit(instruction{op: opMatch})
	}
	c.looks[index] = l
	c.code[at].y = c.here()
}

// emitRepeat writes the required copies, then either the optional ones, nested as (x(x)?)?, or a loop. An iteration of the
// loop that consumed nothing ends it, as in PCRE2.
func (c *compiler) emitRepeat(n repeatNode) {
	for range n.min {
		if c.emitNode(n.body); c.tooLarge {
			return
		}
	}
	if n.max < 0 {
		c.emitLoop(n)
		return
	}
	var splits []int
	for range n.max - n.min {
		splits = append(splits, c.emitSplit())
		if c.emitNode(n.body); c.tooLarge {
			return
		}
	}
	for _, s := range splits {
		c.setExit(s, n.lazy)
	}
}

func (c *compiler) emitLoop(n repeatNode) {
	_, mayBeEmpty := firstSet(n.body)
	split := c.emitSplit()
	mark := int32(0)
	if mayBeEmpty {
		mark = c.newSlot()
		c.emit(instruction{op: opMark, x: mark})
	}
	c.emitNode(n.body)
	advanced := -1
	if mayBeEmpty {
		advanced = c.emit(instruction{op: opAdvanced, x: mark})
	}
	c.emit(instruction{op: opJump, x: int32(split)})
	if advanced >= 0 {
		c.code[advanced].y = c.here()
	}
	c.setExit(split, n.lazy)
}

// emitSplit begins an optional part; setExit completes it when the end is known.
func (c *compiler) emitSplit() int {
	s := c.emit(instruction{op: opSplit})
	c.code[s].x = c.here()
	return s
}

func (c *compiler) setExit(split int, lazy bool) {
	c.code[split].y = c.here()
	if lazy {
		c.code[split].x, c.code[split].y = c.code[split].y, c.code[split].x
	}
}

// firstSet returns a superset of the characters that a match of n can begin with, and whether it may be empty.
func firstSet(n node) (set spans, mayBeEmpty bool) {
	switch n := n.(type) {
	case setNode:
		return n.set, false
	case catNode:
		for _, p := range n.parts {
			s, empty := firstSet(p)
			set = append(set[:len(set):len(set)], s...)
			if !empty {
				return set, false
			}
		}
		return set, true
	case altNode:
		for _, b := range n.branches {
			s, empty := firstSet(b)
			set = append(set[:len(set):len(set)], s...)
			mayBeEmpty = mayBeEmpty || empty
		}
		return set, mayBeEmpty
	case groupNode:
		return firstSet(n.body)
	case atomicNode:
		return firstSet(n.body)
	case repeatNode:
		set, mayBeEmpty = firstSet(n.body)
		return set, mayBeEmpty || n.min == 0
	case backrefNode:
		return spans{{0, maxRune}}, true
	case condNode:
		return firstSet(altNode{[]node{n.yes, n.no}})
	default: // assertions: what follows them decides
		return nil, true
	}
}
