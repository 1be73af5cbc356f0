package php

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
)

// igbinaryHeader starts every value of format version 2.
const igbinaryHeader = "\x00\x00\x00\x02"

// IsIgbinary reports whether s starts like an igbinary value.
func IsIgbinary(s string) bool { return strings.HasPrefix(s, igbinaryHeader) }

// DecodeIgbinary reads a value of the igbinary extension, format version 2: null, scalars, arrays and objects with plain
// properties. PHP references and classes that serialize themselves are refused, and so is an array inside itself.
func DecodeIgbinary(s string) (Value, error) {
	if !IsIgbinary(s) {
		return Null, fmt.Errorf("%w: no igbinary header", errSerialized)
	}
	d := igbinary{s: s, i: len(igbinaryHeader)}
	v, err := d.value(0)
	if err == nil && d.i != len(s) {
		err = d.fail("something follows the value")
	}
	if err != nil {
		return Null, err
	}
	return v, nil
}

type igbinary struct {
	s       string
	i       int
	strings []string // distinct strings in order of appearance: keys, values and class names
	arrays  []Value  // arrays and objects in order of appearance; null while one is being read
}

func (d *igbinary) fail(why string) error {
	return fmt.Errorf("%w: igbinary: %s at byte %d", errSerialized, why, d.i)
}

func (d *igbinary) bytes(n int) (string, error) {
	if n < 0 || len(d.s)-d.i < n {
		return "", d.fail("cut off")
	}
	t := d.s[d.i : d.i+n]
	d.i += n
	return t, nil
}

// uint reads a big-endian number of 1, 2, 4 or 8 bytes.
func (d *igbinary) uint(size int) (uint64, error) {
	t, err := d.bytes(size)
	var b [8]byte
	copy(b[8-len(t):], t)
	return binary.BigEndian.Uint64(b[:]), err
}

// sizes of the three variants (1, 2 and 4 bytes) that most types have.
func variant(t, first byte) int { return 1 << (t - first) }

func (d *igbinary) value(depth int) (Value, error) {
	t, err := d.uint(1)
	if err != nil {
		return Null, err
	}
	if depth > MaxDepth {
		return Null, d.fail("nested too deeply")
	}
	switch c := byte(t); {
	case c == 0x00:
		return Null, nil
	case c <= 0x03:
		return d.reference(variant(c, 0x01))
	case c <= 0x05:
		return Bool(c == 0x05), nil
	case c <= 0x0b:
		return d.integer(1<<((c-0x06)/2), c)
	case c == 0x0c:
		bits, err := d.uint(8)
		return Float(math.Float64frombits(bits)), err
	case c <= 0x13:
		s, err := d.text(c)
		return String(s), err
	case c <= 0x16:
		return d.array(variant(c, 0x14), "", false, depth)
	case c <= 0x1c:
		return d.object(c, depth)
	case c == 0x20 || c == 0x21:
		return d.integer(8, c)
	case 0x22 <= c && c <= 0x24:
		return d.reference(variant(c, 0x22))
	default:
		return Null, d.fail(fmt.Sprintf("type %#02x", c))
	}
}

func (d *igbinary) integer(size int, c byte) (Value, error) {
	n, err := d.uint(size)
	if c&1 != 0 {
		n = -n
	}
	return Int(int64(n)), err
}

func (d *igbinary) reference(size int) (Value, error) {
	n, err := d.uint(size)
	if err != nil {
		return Null, err
	}
	if n >= uint64(len(d.arrays)) || d.arrays[n].IsNull() {
		return Null, d.fail("a reference to nothing")
	}
	return d.arrays[n], nil
}

// text reads a string of type c: empty, by number or with its length.
func (d *igbinary) text(c byte) (string, error) {
	switch {
	case c == 0x0d:
		return "", nil
	case 0x0e <= c && c <= 0x10:
		n, err := d.uint(variant(c, 0x0e))
		if err != nil {
			return "", err
		}
		if n >= uint64(len(d.strings)) {
			return "", d.fail("a string number beyond the last")
		}
		return d.strings[n], nil
	case 0x11 <= c && c <= 0x13:
		return d.newString(variant(c, 0x11))
	}
	return "", d.fail("no string")
}

func (d *igbinary) newString(size int) (string, error) {
	n, err := d.uint(size)
	if err != nil {
		return "", err
	}
	s, err := d.bytes(int(n))
	d.strings = append(d.strings, s)
	return s, err
}

func (d *igbinary) object(c byte, depth int) (Value, error) {
	var class string
	var err error
	if c <= 0x19 {
		class, err = d.newString(variant(c, 0x17))
	} else {
		class, err = d.text(c - 0x1a + 0x0e)
	}
	if err != nil {
		return Null, err
	}
	t, err := d.uint(1)
	if err != nil {
		return Null, err
	}
	if t < 0x14 || t > 0x16 {
		return Null, d.fail("an object without properties")
	}
	return d.array(variant(byte(t), 0x14), class, true, depth)
}

func (d *igbinary) array(size int, class string, isObject bool, depth int) (Value, error) {
	n, err := d.uint(size)
	if err != nil {
		return Null, err
	}
	if n > uint64(len(d.s)-d.i) {
		return Null, d.fail("a count that cannot be")
	}
	slot := len(d.arrays)
	d.arrays = append(d.arrays, Null)
	a := NewArray()
	for range n {
		k, err := d.value(MaxDepth)
		if err != nil {
			return Null, err
		}
		v, err := d.value(depth + 1)
		if err != nil {
			return Null, err
		}
		if !a.setValue(k, v) {
			return Null, d.fail("a key that is no int and no string")
		}
	}
	v := ArrayOf(a)
	if isObject {
		v = Object(class, a)
	}
	d.arrays[slot] = v
	return v, nil
}
