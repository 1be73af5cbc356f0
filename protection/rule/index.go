package rule

import (
	"cmp"
	"encoding/binary"
	"math/bits"
	"slices"
	"sort"
	"strings"
)

// index finds which of many literals occur in a text. Each literal leads to the items posted under it.
//
// The literals lie sorted in one text; parent links lead from each to the longest other one that it begins with. So all
// literals that a text continues with at some place are found from one: its predecessor in the order. Whether there is
// any is decided by levels: a literal belongs to the largest window size that it fills, and a level holds the windows with
// which its literals begin, in a bitmap and in a hash table that leads to a range of the order. A place of the text costs
// a few probes, most of which end at the bitmap, whatever the number of literals; memory is about 30 bytes a literal.
type index struct {
	text     string   // of all literals, sorted, without duplicates
	ends     []uint32 // where each ends in text
	parents  []int32  // the longest literal that is a proper prefix, -1 for none
	postEnds []uint32 // where the items of each end in posts
	posts    []uint32
	levels   []level // largest first
	pairs    []uint64
	single   [4]uint64 // bytes that are literals
}

// windows are the sizes of levels.
var windows = [...]int{32, 16, 8, 7, 6, 5, 4, 3, 2, 1}

// level is an open-addressing table of the windows of one size.
type level struct {
	size   int
	shift  uint     // hash -> slot of the table
	filter []uint64 // 8 bits a window
	table  []group
}

// group is the range of literals that begin with the same window; count 0 is a free slot.
type group struct{ first, count uint32 }

// posting is one entry of an index under construction.
type posting struct {
	literal string
	item    uint32
}

// maxIndexText bounds the text of one index, because offsets have 32 bits.
const maxIndexText = 1<<32 - 1

// buildIndex sorts the postings; the items of a literal come in their order.
func buildIndex(postings []posting) *index {
	if len(postings) == 0 {
		return nil
	}
	slices.SortFunc(postings, func(a, b posting) int {
		if by := strings.Compare(a.literal, b.literal); by != 0 {
			return by
		}
		return cmp.Compare(a.item, b.item)
	})
	x := &index{}
	var text strings.Builder
	for i, p := range postings {
		if i == 0 || p.literal != postings[i-1].literal {
			text.WriteString(p.literal)
			x.ends = append(x.ends, uint32(text.Len()))
			x.postEnds = append(x.postEnds, 0)
		}
		x.posts = append(x.posts, p.item)
		x.postEnds[len(x.postEnds)-1] = uint32(len(x.posts))
	}
	x.text = text.String()
	x.ends, x.postEnds, x.posts = slices.Clip(x.ends), slices.Clip(x.postEnds), slices.Clip(x.posts)
	x.linkParents()
	for _, size := range windows {
		if l := x.buildLevel(size); l != nil {
			x.levels = append(x.levels, *l)
		}
	}
	x.pairs = make([]uint64, 1<<16/64)
	for i := range x.ends {
		if s := x.literal(i); len(s) > 1 {
			pair := binary.LittleEndian.Uint16([]byte(s[:2]))
			x.pairs[pair>>6] |= 1 << (pair & 63)
		} else if s != "" { // the empty one is only ever looked up by find
			x.single[s[0]>>6] |= 1 << (s[0] & 63)
		}
	}
	return x
}

func (x *index) literal(i int) string {
	start := uint32(0)
	if i > 0 {
		start = x.ends[i-1]
	}
	return x.text[start:x.ends[i]]
}

// items returns what is posted under literal i.
func (x *index) items(i int) []uint32 {
	start := uint32(0)
	if i > 0 {
		start = x.postEnds[i-1]
	}
	return x.posts[start:x.postEnds[i]]
}

// linkParents uses that the literals that a literal begins with are on the path to its predecessor.
func (x *index) linkParents() {
	x.parents = make([]int32, len(x.ends))
	for i := range x.ends {
		s := x.literal(i)
		p := int32(i - 1)
		for p >= 0 && !strings.HasPrefix(s, x.literal(int(p))) {
			p = x.parents[p]
		}
		x.parents[i] = p
	}
}

// levelOf is the largest window that a literal of this length fills.
func levelOf(length int) int {
	for _, size := range windows {
		if size <= length {
			return size
		}
	}
	return 0
}

// buildLevel returns nil when no literal belongs to the size.
func (x *index) buildLevel(size int) *level {
	var groups []group
	for i := 0; i < len(x.ends); {
		s := x.literal(i)
		if len(s) < size {
			i++
			continue
		}
		first, member := i, false
		for ; i < len(x.ends) && strings.HasPrefix(x.literal(i), s[:size]); i++ {
			member = member || levelOf(len(x.literal(i))) == size
		}
		if member {
			groups = append(groups, group{uint32(first), uint32(i - first)})
		}
	}
	if len(groups) == 0 {
		return nil
	}
	slots := uint(bits.Len(uint(2 * len(groups)))) // at most half full
	l := &level{size: size, shift: 64 - slots, table: make([]group, 1<<slots)}
	l.filter = make([]uint64, max(1, 8*len(l.table)/2/64))
	for _, g := range groups {
		h := hashWindow(x.literal(int(g.first))[:size])
		bit := l.bit(h)
		l.filter[bit>>6] |= 1 << (bit & 63)
		slot := h >> l.shift
		for l.table[slot].count != 0 {
			slot = (slot + 1) & uint64(len(l.table)-1)
		}
		l.table[slot] = g
	}
	return l
}

// bit is the place of a hash in the filter, from bits that the slot does not use alone.
func (l *level) bit(h uint64) uint64 { return (h >> 8) & uint64(64*len(l.filter)-1) }

// hashWindow mixes the bytes of a window, whose size is one of windows.
func hashWindow(w string) uint64 {
	var h uint64
	if len(w) < 8 {
		for i := range len(w) {
			h |= uint64(w[i]) << (8 * i)
		}
		return mix(h)
	}
	for i := 0; i+8 <= len(w); i += 8 {
		h = mix(h ^ load64(w[i:]))
	}
	return h
}

func load64(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// mix spreads all bits of v over the upper ones. The texts are a visitor's, but a visitor who collides on purpose only
// makes the binary search below run.
func mix(v uint64) uint64 {
	hi, lo := bits.Mul64(v^0x9e3779b97f4a7c15, 0xd6e8feb86659fd93)
	return hi ^ lo
}

// scan calls found for every occurrence of every literal. It stops when found returns false.
func (x *index) scan(text string, found func(literal, start int) bool) {
	for pos := range len(text) {
		if x.single[text[pos]>>6]&(1<<(text[pos]&63)) == 0 {
			if pos+2 > len(text) {
				return
			}
			pair := uint16(text[pos]) | uint16(text[pos+1])<<8
			if x.pairs[pair>>6]&(1<<(pair&63)) == 0 {
				continue
			}
		}
		for i := x.predecessor(text[pos:]); i >= 0; i = int(x.parents[i]) {
			if !strings.HasPrefix(text[pos:], x.literal(i)) {
				continue
			}
			if !found(i, pos) {
				return
			}
		}
	}
}

// predecessor returns the last literal that is not greater than rest, if any literal that rest begins with exists; else -1,
// or a literal that rest does not begin with.
func (x *index) predecessor(rest string) int {
	var word uint64 // the first eight bytes, zeros after the end
	if len(rest) >= 8 {
		word = load64(rest)
	} else {
		for i := range len(rest) {
			word |= uint64(rest[i]) << (8 * i)
		}
	}
	for i := range x.levels {
		l := &x.levels[i]
		if l.size > len(rest) {
			continue
		}
		var h uint64
		if l.size <= 8 {
			h = mix(word & (^uint64(0) >> (64 - 8*l.size)))
		} else {
			h = hashWindow(rest[:l.size])
		}
		if bit := l.bit(h); l.filter[bit>>6]&(1<<(bit&63)) == 0 {
			continue
		}
		if g, ok := x.lookup(l, h, rest[:l.size]); ok {
			n := sort.Search(int(g.count), func(k int) bool { return x.literal(int(g.first)+k) > rest })
			if n > 0 {
				return int(g.first) + n - 1
			}
		}
	}
	return -1
}

func (x *index) lookup(l *level, h uint64, window string) (group, bool) {
	for slot := h >> l.shift; ; slot = (slot + 1) & uint64(len(l.table)-1) {
		g := l.table[slot]
		if g.count == 0 {
			return group{}, false
		}
		if x.literal(int(g.first))[:l.size] == window {
			return g, true
		}
	}
}

// find returns the items posted under exactly this literal.
func (x *index) find(literal string) []uint32 {
	if x == nil {
		return nil
	}
	i, ok := sort.Find(len(x.ends), func(i int) int { return cmp.Compare(literal, x.literal(i)) })
	if !ok {
		return nil
	}
	return x.items(i)
}
