package php

import "strings"

// Limits of PHP's form parsing with its default settings.
const (
	MaxInputVars    = 1000 // variables in one body or query string; the rest is dropped
	maxInputNesting = 64   // brackets in one name; deeper ones are dropped
)

// ParseForm reads a query string or an application/x-www-form-urlencoded body as PHP does: a[]=1 and a[k]=v nest, dots
// and blanks in the outer name become underscores, a later value replaces an earlier one, and what follows the first
// MaxInputVars variables is dropped. It never fails.
func ParseForm(s string) *Array {
	out := NewArray()
	for n := 0; s != "" && n < MaxInputVars; {
		var part string
		part, s, _ = strings.Cut(s, "&")
		if part == "" {
			continue
		}
		n++
		name, value, _ := strings.Cut(part, "=")
		register(out, unescape(name), String(unescape(value)))
	}
	return out
}

// unescape is PHP's urldecode: + is a blank, an escape that is none stays as it is.
func unescape(s string) string {
	if !strings.ContainsAny(s, "+%") {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '+':
			b = append(b, ' ')
		case s[i] == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]):
			b = append(b, unhex(s[i+1])<<4|unhex(s[i+2]))
			i += 2
		default:
			b = append(b, s[i])
		}
	}
	return string(b)
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f'
}

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}

// register puts a variable where PHP's php_register_variable_ex puts it.
func register(out *Array, name string, v Value) {
	name, _, _ = strings.Cut(name, "\x00") // PHP's names are C strings
	name = strings.TrimLeft(name, " ")
	open := strings.IndexByte(name, '[')
	if open == 0 || name == "" {
		return
	}
	if open < 0 {
		out.SetString(underscored(name), v)
		return
	}
	path, ok := indices(name[open:])
	if !ok {
		return
	}
	if path == nil { // the first bracket is never closed
		out.SetString(underscored(name), v)
		return
	}
	at := out
	key := index{key: underscored(name[:open])}
	for _, next := range path {
		if at = descend(at, key); at == nil {
			return
		}
		key = next
	}
	if key.next {
		at.Append(v)
	} else {
		at.SetString(key.key, v)
	}
}

func underscored(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c == ' ' || c == '.' || c == '[' {
			b[i] = '_'
		}
	}
	return string(b)
}

// index is what stands in one pair of brackets; next is true for [].
type index struct {
	key  string
	next bool
}

// indices reads "[a][][b]". What follows a closing bracket other than another opening one is dropped, and so is an
// opening bracket that is never closed, unless it is the first: then the result is nil. It is false if there are too many.
func indices(s string) ([]index, bool) {
	var path []index
	for strings.HasPrefix(s, "[") {
		if len(path) == maxInputNesting {
			return nil, false
		}
		s = s[1:]
		inner := strings.IndexByte(s, ']')
		if blank := s != "" && strings.IndexByte(whitespace, s[0]) >= 0; inner == 0 || inner == 1 && blank {
			path = append(path, index{next: true})
		} else if inner < 0 {
			break
		} else {
			path = append(path, index{key: s[:inner]})
		}
		s = s[inner+1:]
	}
	return path, true
}

// descend is the array at key in a, made if it is missing or no array.
func descend(a *Array, key index) *Array {
	if key.next {
		n := a.Len()
		inner := NewArray()
		if a.Append(ArrayOf(inner)); a.Len() == n {
			return nil
		}
		return inner
	}
	if v, ok := a.Get(key.key); ok && v.kind == KindArray {
		return v.arr
	}
	inner := NewArray()
	a.SetString(key.key, ArrayOf(inner))
	return inner
}
