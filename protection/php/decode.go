package php

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// JSONError is why json_decode or json_encode refused something. Its text is PHP's json_last_error_msg.
type JSONError string

// The errors of json_decode; JSONUTF8 and JSONDepth also come from json_encode.
const (
	JSONDepth         JSONError = "Maximum stack depth exceeded"
	JSONStateMismatch JSONError = "State mismatch (invalid or malformed JSON)"
	JSONControlChar   JSONError = "Control character error, possibly incorrectly encoded"
	JSONSyntax        JSONError = "Syntax error"
	JSONUTF8          JSONError = "Malformed UTF-8 characters, possibly incorrectly encoded"
	JSONUTF16         JSONError = "Single unpaired UTF-16 surrogate in unicode escape"
)

func (e JSONError) Error() string { return string(e) }

// DecodeJSON is json_decode to arrays with the default depth: of equal keys the last value wins at the place of the
// first, keys that are decimal integers become integers, integers beyond 64 bits become floats. Every error is a JSONError.
func DecodeJSON(s string) (Value, error) {
	d := decoder{s: s}
	v, err := d.value(0)
	if err == nil {
		d.blank()
		if d.i < len(d.s) {
			err = d.stray()
		}
	}
	if err != nil {
		return Null, err
	}
	return v, nil
}

type decoder struct {
	s string
	i int
}

func (d *decoder) blank() {
	for d.i < len(d.s) {
		switch d.s[d.i] {
		case ' ', '\t', '\n', '\r':
			d.i++
		default:
			return
		}
	}
}

// stray classifies the byte at d.i, which starts no token that is allowed there.
func (d *decoder) stray() error {
	if d.i >= len(d.s) {
		return JSONSyntax
	}
	c := d.s[d.i]
	if c < 0x20 {
		return JSONControlChar
	}
	if c < utf8.RuneSelf {
		if c == '"' { // a string where none may be: its own errors come first
			if _, err := d.text(); err != nil {
				return err
			}
		}
		return JSONSyntax
	}
	if r, n := utf8.DecodeRuneInString(d.s[d.i:]); r == utf8.RuneError && n == 1 {
		return JSONUTF8
	}
	return JSONSyntax
}

func (d *decoder) value(depth int) (Value, error) {
	d.blank()
	if d.i >= len(d.s) {
		return Null, JSONSyntax
	}
	switch c := d.s[d.i]; {
	case c == '"':
		s, err := d.text()
		return String(s), err
	case c == '{' || c == '[':
		if depth >= MaxDepth-1 { // json_decode counts the scalars inside as a level, json_encode does not
			return Null, JSONDepth
		}
		d.i++
		if c == '{' {
			return d.object(depth)
		}
		return d.list(depth)
	case c == '-' || '0' <= c && c <= '9':
		return d.number()
	}
	for _, w := range [...]struct {
		word string
		v    Value
	}{{"true", Bool(true)}, {"false", Bool(false)}, {"null", Null}} {
		if strings.HasPrefix(d.s[d.i:], w.word) {
			d.i += len(w.word)
			return w.v, nil
		}
	}
	return Null, d.stray()
}

// end eats a closing bracket; the wrong one is a state mismatch.
func (d *decoder) end(want byte) (bool, error) {
	if d.i >= len(d.s) {
		return false, JSONSyntax
	}
	c := d.s[d.i]
	if c == want {
		d.i++
		return true, nil
	}
	if c == ']' || c == '}' {
		return false, JSONStateMismatch
	}
	return false, nil
}

func (d *decoder) list(depth int) (Value, error) {
	a := NewArray()
	d.blank()
	if done, err := d.end(']'); done || err != nil {
		return ArrayOf(a), err
	}
	for {
		v, err := d.value(depth + 1)
		if err != nil {
			return Null, err
		}
		a.Append(v)
		if more, err := d.more(']'); !more {
			return ArrayOf(a), err
		}
	}
}

func (d *decoder) object(depth int) (Value, error) {
	a := NewArray()
	d.blank()
	if done, err := d.end('}'); done || err != nil {
		return ArrayOf(a), err
	}
	for {
		d.blank()
		if d.i >= len(d.s) || d.s[d.i] != '"' {
			return Null, d.stray()
		}
		key, err := d.text()
		if err != nil {
			return Null, err
		}
		d.blank()
		if d.i >= len(d.s) || d.s[d.i] != ':' {
			return Null, d.stray()
		}
		d.i++
		v, err := d.value(depth + 1)
		if err != nil {
			return Null, err
		}
		a.SetString(key, v)
		if more, err := d.more('}'); !more {
			return ArrayOf(a), err
		}
	}
}

// more eats a comma and is true, or eats the closing bracket and is false.
func (d *decoder) more(closing byte) (bool, error) {
	d.blank()
	if d.i < len(d.s) && d.s[d.i] == ',' {
		d.i++
		return true, nil
	}
	done, err := d.end(closing)
	if done || err != nil {
		return false, err
	}
	return false, d.stray()
}

func (d *decoder) number() (Value, error) {
	start := d.i
	if d.s[d.i] == '-' {
		d.i++
	}
	digits := func() bool {
		from := d.i
		for d.i < len(d.s) && '0' <= d.s[d.i] && d.s[d.i] <= '9' {
			d.i++
		}
		return d.i > from
	}
	if d.i < len(d.s) && d.s[d.i] == '0' {
		d.i++
	} else if !digits() {
		return Null, d.stray()
	}
	isInt, end := true, d.i
	if d.i < len(d.s) && d.s[d.i] == '.' {
		if d.i++; digits() {
			isInt, end = false, d.i
		}
	}
	if d.i = end; d.i < len(d.s) && d.s[d.i]|0x20 == 'e' {
		if d.i++; d.i < len(d.s) && (d.s[d.i] == '+' || d.s[d.i] == '-') {
			d.i++
		}
		if digits() {
			isInt, end = false, d.i
		}
	}
	d.i = end
	text := d.s[start:end]
	if isInt {
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return Int(n), nil
		}
	}
	f, _ := strconv.ParseFloat(text, 64) // out of range is an infinity, as in PHP
	return Float(f), nil
}

// text reads the string literal at d.i.
func (d *decoder) text() (string, error) {
	d.i++
	start := d.i
	for d.i < len(d.s) && d.s[d.i] != '"' && d.s[d.i] != '\\' && 0x20 <= d.s[d.i] && d.s[d.i] < utf8.RuneSelf {
		d.i++
	}
	if d.i < len(d.s) && d.s[d.i] == '"' { // the common case: nothing to decode
		d.i++
		return d.s[start : d.i-1], nil
	}
	b := []byte(d.s[start:d.i])
	for {
		if d.i >= len(d.s) {
			return "", JSONControlChar // PHP meets its terminating NUL
		}
		switch c := d.s[d.i]; {
		case c == '"':
			d.i++
			return string(b), nil
		case c < 0x20:
			return "", JSONControlChar
		case c == '\\':
			var err error
			if b, err = d.escape(b); err != nil {
				return "", err
			}
		default:
			r, n := utf8.DecodeRuneInString(d.s[d.i:])
			if r == utf8.RuneError && n == 1 {
				return "", JSONUTF8
			}
			b = append(b, d.s[d.i:d.i+n]...)
			d.i += n
		}
	}
}

func (d *decoder) escape(b []byte) ([]byte, error) {
	d.i++
	if d.i >= len(d.s) {
		return nil, JSONSyntax
	}
	c := d.s[d.i]
	d.i++
	if i := strings.IndexByte(`"\/bfnrt`, c); i >= 0 {
		return append(b, "\"\\/\b\f\n\r\t"[i]), nil
	}
	if c != 'u' {
		return nil, JSONSyntax
	}
	r, ok := d.hex4()
	if !ok {
		return nil, JSONSyntax
	}
	if 0xdc00 <= r && r <= 0xdfff {
		return nil, JSONUTF16
	}
	if 0xd800 <= r && r <= 0xdbff {
		if !strings.HasPrefix(d.s[d.i:], `\u`) {
			return nil, JSONUTF16
		}
		d.i += 2
		low, ok := d.hex4()
		if !ok || low < 0xdc00 || low > 0xdfff {
			return nil, JSONUTF16
		}
		r = 0x10000 + (r-0xd800)<<10 + (low - 0xdc00)
	}
	return utf8.AppendRune(b, r), nil
}

func (d *decoder) hex4() (rune, bool) {
	if len(d.s)-d.i < 4 {
		return 0, false
	}
	n, err := strconv.ParseUint(d.s[d.i:d.i+4], 16, 16)
	if err != nil || d.s[d.i] == '+' {
		return 0, false
	}
	d.i += 4
	return rune(n), true
}
