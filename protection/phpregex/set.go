package phpregex

import (
	"slices"
	"sort"
)

const (
	maxByte = 0xFF
	maxRune = 0x10FFFF
)

// span is an inclusive range of characters: bytes without the modifier u, code points with it.
type span struct{ lo, hi rune }

// spans is a set of characters; sorted and without overlaps once normalised.
type spans []span

func one(r rune) spans { return spans{{r, r}} }

func (s spans) normalise() spans {
	s = slices.Clone(s)
	slices.SortFunc(s, func(a, b span) int {
		if a.lo != b.lo {
			return int(a.lo - b.lo)
		}
		return int(a.hi - b.hi)
	})
	out := s[:0]
	for _, r := range s {
		if n := len(out); n > 0 && r.lo <= out[n-1].hi+1 {
			out[n-1].hi = max(out[n-1].hi, r.hi)
			continue
		}
		out = append(out, r)
	}
	return out
}

// negate returns the characters up to limit that are not in the normalised set.
func (s spans) negate(limit rune) spans {
	var out spans
	next := rune(0)
	for _, r := range s {
		if r.lo > limit {
			break
		}
		if r.lo > next {
			out = append(out, span{next, r.lo - 1})
		}
		next = r.hi + 1
	}
	if next <= limit {
		out = append(out, span{next, limit})
	}
	return out
}

// clip drops what is above limit.
func (s spans) clip(limit rune) spans {
	var out spans
	for _, r := range s {
		if r.lo <= limit {
			out = append(out, span{r.lo, min(r.hi, limit)})
		}
	}
	return out
}

// fold adds the other cases of every character: ASCII letters only in byte mode, the caseless sets of Unicode otherwise.
func (s spans) fold(utf bool) spans {
	out := slices.Clone(s)
	if !utf {
		for _, r := range s {
			for _, shift := range []struct{ lo, hi, by rune }{{'a', 'z', 'A' - 'a'}, {'A', 'Z', 'a' - 'A'}} {
				if lo, hi := max(r.lo, shift.lo), min(r.hi, shift.hi); lo <= hi {
					out = append(out, span{lo + shift.by, hi + shift.by})
				}
			}
		}
		return out.normalise()
	}
	data := unicodeData()
	for _, r := range s {
		from := sort.Search(len(data.folding), func(i int) bool { return data.folding[i] >= r.lo })
		for _, c := range data.folding[from:] {
			if c > r.hi {
				break
			}
			for _, other := range data.folds[c] {
				out = append(out, span{other, other})
			}
		}
	}
	return out.normalise()
}

// charset is a set made ready for matching: a bitmap for the first 256 characters, ranges for the rest.
type charset struct {
	low  [4]uint64
	high spans
}

func (s spans) compile() *charset {
	c := &charset{}
	for _, r := range s {
		for ch := r.lo; ch <= r.hi && ch <= maxByte; ch++ {
			c.low[ch>>6] |= 1 << (ch & 63)
		}
		if r.hi > maxByte {
			c.high = append(c.high, span{max(r.lo, maxByte+1), r.hi})
		}
	}
	return c
}

func (c *charset) has(r rune) bool {
	if r <= maxByte {
		return c.low[r>>6]&(1<<(r&63)) != 0
	}
	lo, hi := 0, len(c.high)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if c.high[mid].hi < r {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo < len(c.high) && c.high[lo].lo <= r
}
