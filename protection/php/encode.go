package php

import (
	"fmt"
	"math"
	"unicode/utf8"
)

// Flags change how JSON is written.
type Flags uint8

// The flags of json_encode that mosparo uses.
const (
	HexTag               Flags = 1 << iota // < and > as \u003C and \u003E
	HexAmp                                 // & as \u0026
	HexApos                                // ' as \u0027
	HexQuot                                // " as \u0022
	PreserveZeroFraction                   // 5.0 stays 5.0

	// Default is json_encode without flags: encrypted columns, signatures.
	Default Flags = 0
	// HexAll is what Symfony's JsonResponse sets: all HTTP replies.
	HexAll = HexTag | HexAmp | HexApos | HexQuot
)

// MaxDepth is the nesting that json_encode and json_decode allow by default.
const MaxDepth = 512

// EncodeJSON is json_encode: compact, slashes escaped, everything beyond ASCII as \uxxxx, an array with the keys 0..n-1 in
// order as a list and every other as an object, floats in their shortest form. It fails for text that is not UTF-8 and for
// infinite numbers, where PHP fails too.
func EncodeJSON(v Value, f Flags) (string, error) {
	b, err := AppendJSON(make([]byte, 0, 512), v, f)
	return string(b), err
}

// AppendJSON appends the JSON text of v to dst, as EncodeJSON has it.
func AppendJSON(dst []byte, v Value, f Flags) ([]byte, error) {
	e := encoder{b: dst, flags: f}
	if err := e.value(v, 0); err != nil {
		return dst, fmt.Errorf("encode JSON: %w", err)
	}
	return e.b, nil
}

type encoder struct {
	b     []byte
	flags Flags
}

func (e *encoder) value(v Value, depth int) error {
	switch v.kind {
	case KindNull:
		e.b = append(e.b, "null"...)
	case KindBool:
		if v.num != 0 {
			e.b = append(e.b, "true"...)
		} else {
			e.b = append(e.b, "false"...)
		}
	case KindInt:
		e.b = append(e.b, FormatInt(int64(v.num))...)
	case KindFloat:
		return e.float(math.Float64frombits(v.num))
	case KindString:
		return e.text(v.str)
	case KindArray:
		if depth >= MaxDepth {
			return JSONDepth
		}
		if v.arr.IsList() {
			return e.list(v.arr, depth)
		}
		return e.object(v.arr, depth)
	default:
		return fmt.Errorf("an object of class %s has no JSON form", v.str)
	}
	return nil
}

func (e *encoder) float(f float64) error {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return fmt.Errorf("the number %v has no JSON form", f)
	}
	s := formatShortest(f, 'e')
	e.b = append(e.b, s...)
	if e.flags&PreserveZeroFraction != 0 {
		for i := range len(s) {
			if s[i] == '.' {
				return nil
			}
		}
		e.b = append(e.b, ".0"...)
	}
	return nil
}

func (e *encoder) list(a *Array, depth int) error {
	e.b = append(e.b, '[')
	first := true
	for v := range a.Values() {
		if !first {
			e.b = append(e.b, ',')
		}
		first = false
		if err := e.value(v, depth+1); err != nil {
			return err
		}
	}
	e.b = append(e.b, ']')
	return nil
}

func (e *encoder) object(a *Array, depth int) error {
	sep := byte('{')
	for k, v := range a.All() {
		e.b = append(e.b, sep)
		sep = ','
		if err := e.text(k.String()); err != nil {
			return err
		}
		e.b = append(e.b, ':')
		if err := e.value(v, depth+1); err != nil {
			return err
		}
	}
	e.b = append(e.b, '}')
	return nil
}

const lowerHex = "0123456789abcdef"

func (e *encoder) text(s string) error {
	e.b = append(e.b, '"')
	for i := 0; i < len(s); {
		start := i
		for i < len(s) && plain(s[i]) {
			i++
		}
		if e.b = append(e.b, s[start:i]...); i == len(s) {
			break
		}
		c := s[i]
		if c < utf8.RuneSelf {
			e.ascii(c)
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			return JSONUTF8
		}
		i += n
		if r >= 0x10000 {
			r -= 0x10000
			e.unicode(0xd800 + r>>10)
			r = 0xdc00 + r&0x3ff
		}
		e.unicode(r)
	}
	e.b = append(e.b, '"')
	return nil
}

// plain reports whether a byte stands for itself under all flags.
func plain(c byte) bool {
	switch c {
	case '"', '\\', '/', '<', '>', '&', '\'':
		return false
	}
	return 0x20 <= c && c < utf8.RuneSelf
}

func (e *encoder) unicode(r rune) {
	e.b = append(e.b, '\\', 'u', lowerHex[r>>12&15], lowerHex[r>>8&15], lowerHex[r>>4&15], lowerHex[r&15])
}

func (e *encoder) ascii(c byte) {
	hex := func(f Flags, s string) {
		if e.flags&f != 0 {
			e.b = append(e.b, s...)
		} else {
			e.b = append(e.b, c)
		}
	}
	switch c {
	case '"':
		if e.flags&HexQuot != 0 {
			e.b = append(e.b, `\u0022`...)
		} else {
			e.b = append(e.b, `\"`...)
		}
	case '\\':
		e.b = append(e.b, `\\`...)
	case '/':
		e.b = append(e.b, `\/`...)
	case '\b':
		e.b = append(e.b, `\b`...)
	case '\f':
		e.b = append(e.b, `\f`...)
	case '\n':
		e.b = append(e.b, `\n`...)
	case '\r':
		e.b = append(e.b, `\r`...)
	case '\t':
		e.b = append(e.b, `\t`...)
	case '<':
		hex(HexTag, `\u003C`)
	case '>':
		hex(HexTag, `\u003E`)
	case '&':
		hex(HexAmp, `\u0026`)
	case '\'':
		hex(HexApos, `\u0027`)
	default:
		if c < 0x20 {
			e.unicode(rune(c))
		} else {
			e.b = append(e.b, c)
		}
	}
}
