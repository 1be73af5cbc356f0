package phpregex

import (
	"errors"
	"slices"
	"unicode/utf8"
)

// ErrLimit says that a match was cut off because it took too many steps or too much stack.
var ErrLimit = errors.New("pattern took too long on this text")

const (
	stepLimit    = 2_000_000 // instructions of one call, plus stepsPerByte for each byte of the subject
	stepsPerByte = 16
	usualSteps   = 100     // of a call on a short text, which take no longer than the call itself
	stackLimit   = 1 << 18 // entries of 16 bytes
)

// frame is either a place to go back to (slot < 0) or an old value of a slot to put back.
type frame struct {
	slot int32
	pc   int32
	pos  int
}

// machine runs a program on one subject. It is used by one goroutine.
type machine struct {
	*program
	subject string
	slots   []int
	stack   []frame
	steps   int
}

// search looks for a match that begins anywhere, or only at the start.
func (p *program) search(subject string, anchored bool) (bool, error) {
	matched, _, err := p.count(subject, anchored)
	return matched, err
}

// count is search that tells how many steps it took.
func (p *program) count(subject string, anchored bool) (matched bool, steps int, err error) {
	m := &machine{program: p, subject: subject, slots: make([]int, p.slots)}
	for i := range m.slots {
		m.slots[i] = -1
	}
	limit := stepLimit + stepsPerByte*len(subject)
	m.steps = limit
	for pos := 0; ; {
		if p.first == nil || pos < len(subject) && p.first.has(m.peek(pos)) {
			if _, matched, err = m.run(0, pos); matched || err != nil {
				return matched, limit - m.steps, err
			}
		}
		if anchored || pos >= len(subject) {
			return false, limit - m.steps, nil
		}
		pos += m.width(pos)
	}
}

// peek returns the character at pos, which must be inside the subject.
func (m *machine) peek(pos int) rune {
	c := m.subject[pos]
	if c < utf8.RuneSelf || !m.utf {
		return rune(c)
	}
	r, _ := utf8.DecodeRuneInString(m.subject[pos:])
	return r
}

func (m *machine) width(pos int) int {
	if m.subject[pos] < utf8.RuneSelf || !m.utf {
		return 1
	}
	_, size := utf8.DecodeRuneInString(m.subject[pos:])
	return size
}

// before returns the start of the character that ends at pos > 0.
func (m *machine) before(pos int) int {
	if !m.utf {
		return pos - 1
	}
	_, size := utf8.DecodeLastRuneInString(m.subject[:pos])
	return pos - size
}

func (m *machine) push(f frame) error {
	if len(m.stack) >= stackLimit {
		return ErrLimit
	}
	m.stack = append(m.stack, f)
	return nil
}

// set changes a slot and remembers its old value.
func (m *machine) set(slot int32, value int) error {
	err := m.push(frame{slot: slot, pos: m.slots[slot]})
	m.slots[slot] = value
	return err
}

// run executes from pc until opMatch and returns the position reached. The frames it leaves above the stack's height at
// the call are choices not taken yet and old slot values. Without a match everything is as it was.
func (m *machine) run(pc int32, pos int) (end int, matched bool, err error) {
	base := len(m.stack)
	for {
		if m.steps--; m.steps < 0 {
			return 0, false, ErrLimit
		}
		in := &m.code[pc]
		ok := true
		switch in.op {
		case opMatch:
			return pos, true, nil
		case opSet:
			if ok = pos < len(m.subject) && in.set.has(m.peek(pos)); ok {
				pos += m.width(pos)
				pc++
			}
		case opSplit:
			err = m.push(frame{slot: -1, pc: in.y, pos: pos})
			pc = in.x
		case opJump:
			pc = in.x
		case opMark:
			err = m.set(in.x, pos)
			pc++
		case opCapture:
			if err = m.set(2*in.x, m.slots[in.y]); err == nil {
				err = m.set(2*in.x+1, pos)
			}
			pc++
		case opAdvanced:
			if pc++; m.slots[in.x] == pos {
				pc = in.y
			}
		case opAssert:
			ok = m.holds(assertion(in.x), pos)
			pc++
		case opBackref:
			pos, ok = m.backref(int(in.x), in.y != 0, pos)
			pc++
		case opCondition:
			if pc++; m.slots[2*in.x+1] < 0 {
				pc = in.y
			}
		case opAtomic:
			pos, ok, err = m.atomic(pc+1, pos)
			pc = in.y
		case opLook:
			ok, err = m.look(&m.looks[in.x], pos)
			pc = in.y
		}
		if err != nil {
			return 0, false, err
		}
		if !ok {
			if pc, pos, ok = m.backtrack(base); !ok {
				return 0, false, nil
			}
		}
	}
}

// backtrack undoes changes down to the last choice above base and takes it.
func (m *machine) backtrack(base int) (pc int32, pos int, ok bool) {
	for len(m.stack) > base {
		f := m.stack[len(m.stack)-1]
		m.stack = m.stack[:len(m.stack)-1]
		if f.slot < 0 {
			return f.pc, f.pos, true
		}
		m.slots[f.slot] = f.pos
	}
	return 0, 0, false
}

// atomic runs a part and forgets its choices; old slot values stay, for whoever backtracks over the whole part.
func (m *machine) atomic(pc int32, pos int) (int, bool, error) {
	base := len(m.stack)
	end, ok, err := m.run(pc, pos)
	if ok {
		kept := slices.DeleteFunc(m.stack[base:], func(f frame) bool { return f.slot < 0 })
		m.stack = m.stack[:base+len(kept)]
	}
	return end, ok, err
}

// look tests an assertion. Only a positive one that holds leaves its captures behind.
func (m *machine) look(l *look, pos int) (bool, error) {
	base := len(m.stack)
	for i, start := range l.starts {
		from := pos
		if l.behind {
			inside := true
			for range l.lengths[i] {
				if inside = from > 0; !inside {
					break
				}
				from = m.before(from)
			}
			if !inside {
				continue
			}
		}
		_, matched, err := m.atomic(start, from)
		if err != nil {
			return false, err
		}
		if !matched {
			continue
		}
		if l.negative {
			m.backtrack(base)
			return false, nil
		}
		return true, nil
	}
	return l.negative, nil
}

func (m *machine) holds(kind assertion, pos int) bool {
	s := m.subject
	switch kind {
	case atStart:
		return pos == 0
	case atLineStart:
		return pos == 0 || pos < len(s) && s[pos-1] == '\n'
	case atEnd:
		return pos == len(s)
	case atEndOrFinalLF:
		return pos == len(s) || pos == len(s)-1 && s[pos] == '\n'
	case atLineEnd:
		return pos == len(s) || s[pos] == '\n'
	default:
		left := pos > 0 && m.word.has(m.peek(m.before(pos)))
		right := pos < len(s) && m.word.has(m.peek(pos))
		return (left != right) == (kind == wordBoundary)
	}
}

// backref matches what a group captured once more and returns the position after it.
func (m *machine) backref(group int, caseless bool, pos int) (int, bool) {
	from, to := m.slots[2*group], m.slots[2*group+1]
	if to < 0 {
		return pos, false
	}
	m.steps -= (to - from) / 8
	for from < to {
		if pos >= len(m.subject) {
			return pos, false
		}
		a, b := m.peek(from), m.peek(pos)
		if a != b && !(caseless && sameFolded(a, b, m.utf)) {
			return pos, false
		}
		from += m.width(from)
		pos += m.width(pos)
	}
	return pos, true
}

func sameFolded(a, b rune, utf bool) bool {
	if utf {
		return slices.Contains(unicodeData().folds[a], b)
	}
	return a|0x20 == b|0x20 && a|0x20 >= 'a' && a|0x20 <= 'z'
}
