package envfile

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// singleQuoted reads '…': only \\ and \' are escapes.
func (p *phpParser) singleQuoted() (Value, error) {
	start := p.pos
	p.pos++
	var b strings.Builder
	for p.pos < len(p.src) {
		c := p.src[p.pos]
		p.pos++
		switch {
		case c == '\'':
			return StringValue(b.String()), nil
		case c == '\\' && p.pos < len(p.src) && (p.src[p.pos] == '\\' || p.src[p.pos] == '\''):
			b.WriteByte(p.src[p.pos])
			p.pos++
		default:
			b.WriteByte(c)
		}
	}
	return Value{}, p.errorf(start, "the string does not end")
}

// simpleEscapes are the one-letter escapes of a double-quoted string.
var simpleEscapes = map[byte]byte{
	'n': '\n', 't': '\t', 'r': '\r', 'v': '\v', 'e': 0x1b, 'f': '\f', '\\': '\\', '$': '$', '"': '"',
}

// doubleQuoted reads "…" without variables in it.
func (p *phpParser) doubleQuoted() (Value, error) {
	start := p.pos
	p.pos++
	var b strings.Builder
	for p.pos < len(p.src) {
		c := p.src[p.pos]
		next := byte(0)
		if p.pos+1 < len(p.src) {
			next = p.src[p.pos+1]
		}
		switch {
		case c == '"':
			p.pos++
			return StringValue(b.String()), nil
		case c == '\\':
			p.pos++
			if err := p.escape(&b); err != nil {
				return Value{}, err
			}
			continue
		case c == '$' && (next == '{' || isWord(next) && (next < '0' || next > '9')), c == '{' && next == '$':
			return Value{}, p.errorf(p.pos, "a variable in a string: use single quotes if a dollar sign is meant")
		}
		b.WriteByte(c)
		p.pos++
	}
	return Value{}, p.errorf(start, "the string does not end")
}

// escape reads what follows a backslash in a double-quoted string. What is no escape keeps its backslash.
func (p *phpParser) escape(b *strings.Builder) error {
	if p.pos == len(p.src) {
		return p.errorf(p.pos, "the string does not end")
	}
	at, c := p.pos, p.src[p.pos]
	if r, ok := simpleEscapes[c]; ok {
		b.WriteByte(r)
		p.pos++
		return nil
	}
	switch {
	case c == 'u' && strings.HasPrefix(p.src[p.pos+1:], "{"):
		hex, _, ok := strings.Cut(p.src[p.pos+2:], "}")
		n, err := strconv.ParseUint(hex, 16, 32)
		if !ok || err != nil || !utf8.ValidRune(rune(n)) {
			return p.errorf(at, "not a valid \\u{…} escape")
		}
		b.WriteString(string(rune(n)))
		p.pos += len(hex) + 3
	case c == 'x' && p.digits(p.pos+1, 2, 16) > 0:
		n := p.digits(p.pos+1, 2, 16)
		v, _ := strconv.ParseUint(p.src[p.pos+1:p.pos+1+n], 16, 8)
		b.WriteByte(byte(v))
		p.pos += 1 + n
	case p.digits(p.pos, 3, 8) > 0:
		n := p.digits(p.pos, 3, 8)
		v, _ := strconv.ParseUint(p.src[p.pos:p.pos+n], 8, 16)
		b.WriteByte(byte(v)) // PHP drops the overflow of \400 and above too
		p.pos += n
	default:
		b.WriteByte('\\')
	}
	return nil
}

// digits counts the digits of the given base from at on, most at limit.
func (p *phpParser) digits(at, limit, base int) int {
	n := 0
	for n < limit && at+n < len(p.src) {
		if _, err := strconv.ParseUint(p.src[at+n:at+n+1], base, 8); err != nil {
			break
		}
		n++
	}
	return n
}
