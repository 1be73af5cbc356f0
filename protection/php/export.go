package php

import (
	"errors"
	"fmt"
	"strings"
)

// ParseExport reads a PHP script that does nothing but return a constant, as var_export writes one: arrays in both
// notations, strings in both quotes, with the concatenation of parts, numbers, true, false and null, and comments. It is
// no PHP: variables, constants, calls and other operators are errors, which say the line. An empty script is an empty array.
func ParseExport(src string) (Value, error) {
	src = strings.TrimPrefix(src, "\ufeff")
	p := exported{s: src}
	p.blank()
	if p.i == len(p.s) {
		return ArrayOf(nil), nil
	}
	if !p.eat("<?php") {
		return Null, p.fail("it does not begin with <?php")
	}
	p.blank()
	if p.eat("declare(strict_types=1);") {
		p.blank()
	}
	if p.i == len(p.s) {
		return ArrayOf(nil), nil
	}
	if !p.word("return") {
		return Null, p.fail("no return")
	}
	v, err := p.value(0)
	if err != nil {
		return Null, err
	}
	p.blank()
	if !p.eat(";") {
		return Null, p.fail("no semicolon after the value")
	}
	p.blank()
	if p.eat("?>") {
		p.blank()
	}
	if p.i < len(p.s) {
		return Null, p.fail("something follows the value")
	}
	return v, nil
}

var errExport = errors.New("not a PHP file that only returns a constant")

type exported struct {
	s string
	i int
}

func (p *exported) fail(why string) error {
	return fmt.Errorf("%w: line %d: %s", errExport, 1+strings.Count(p.s[:p.i], "\n"), why)
}

// blank skips white space and comments.
func (p *exported) blank() {
	for p.i < len(p.s) {
		rest := p.s[p.i:]
		end := 0
		switch {
		case strings.IndexByte(" \t\r\n", rest[0]) >= 0:
			end = 1
		case strings.HasPrefix(rest, "//"), rest[0] == '#' && !strings.HasPrefix(rest, "#["):
			if end = strings.IndexByte(rest, '\n'); end < 0 {
				end = len(rest)
			}
		case strings.HasPrefix(rest, "/*"):
			n := strings.Index(rest, "*/")
			if n < 0 {
				return
			}
			end = n + 2
		default:
			return
		}
		p.i += end
	}
}

func (p *exported) eat(t string) bool {
	if !strings.HasPrefix(p.s[p.i:], t) {
		return false
	}
	p.i += len(t)
	return true
}

// word eats a keyword in any case.
func (p *exported) word(w string) bool {
	end := p.i + len(w)
	if end > len(p.s) || !strings.EqualFold(p.s[p.i:end], w) || end < len(p.s) && isWord(p.s[end]) {
		return false
	}
	p.i = end
	return true
}

func isWord(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z' || c >= 0x80
}

func (p *exported) value(depth int) (Value, error) {
	p.blank()
	if depth > MaxDepth {
		return Null, p.fail("nested too deeply")
	}
	if p.i >= len(p.s) {
		return Null, p.fail("cut off")
	}
	switch c := p.s[p.i]; {
	case c == '\'' || c == '"':
		s, err := p.concatenation()
		return String(s), err
	case c == '[':
		p.i++
		return p.array("]", depth)
	case c == '-' || c == '+' || c == '.' || '0' <= c && c <= '9':
		return p.number()
	case p.word("array"):
		p.blank()
		if !p.eat("(") {
			return Null, p.fail("no bracket after array")
		}
		return p.array(")", depth)
	case p.word("true"):
		return Bool(true), nil
	case p.word("false"):
		return Bool(false), nil
	case p.word("null"):
		return Null, nil
	}
	return Null, p.fail("something that is no constant value")
}

func (p *exported) array(end string, depth int) (Value, error) {
	a := NewArray()
	for {
		p.blank()
		if p.eat(end) {
			return ArrayOf(a), nil
		}
		v, err := p.value(depth + 1)
		if err != nil {
			return Null, err
		}
		p.blank()
		if !p.eat("=>") {
			a.Append(v)
		} else {
			m, err := p.value(depth + 1)
			if err != nil {
				return Null, err
			}
			if !a.setValue(v, m) {
				return Null, p.fail("a key that is no int and no string")
			}
		}
		p.blank()
		if p.eat(end) {
			return ArrayOf(a), nil
		}
		if !p.eat(",") {
			return Null, p.fail("no comma between members")
		}
	}
}

func (p *exported) number() (Value, error) {
	start := p.i
	if c := p.s[p.i]; c == '-' || c == '+' {
		p.i++
		p.blank()
	}
	sign := strings.TrimSpace(p.s[start:p.i])
	start = p.i
	for p.i < len(p.s) && (isWord(p.s[p.i]) || p.s[p.i] == '.' || (p.s[p.i] == '-' || p.s[p.i] == '+') && p.s[p.i-1]|0x20 == 'e') {
		p.i++
	}
	text := strings.ReplaceAll(p.s[start:p.i], "_", "")
	n := scanNumber(sign + text)
	if n.len != len(sign+text) || n.len == 0 || len(text) > 1 && text[0] == '0' && n.isInt { // an octal number
		p.i = start
		return Null, p.fail("a number that cannot be read")
	}
	if n.isInt {
		return Int(n.i), nil
	}
	return Float(n.f), nil
}

// concatenation reads string literals joined by dots.
func (p *exported) concatenation() (string, error) {
	var out strings.Builder
	for {
		s, err := p.literal()
		if err != nil {
			return "", err
		}
		out.WriteString(s)
		at := p.i
		p.blank()
		if !p.eat(".") {
			p.i = at
			return out.String(), nil
		}
		p.blank()
	}
}

func (p *exported) literal() (string, error) {
	if p.i >= len(p.s) || p.s[p.i] != '\'' && p.s[p.i] != '"' {
		return "", p.fail("no string")
	}
	quote := p.s[p.i]
	start := p.i
	var out strings.Builder
	for p.i++; p.i < len(p.s); p.i++ {
		c := p.s[p.i]
		switch {
		case c == quote:
			p.i++
			return out.String(), nil
		case c == '$' && quote == '"' && p.i+1 < len(p.s) && (isWord(p.s[p.i+1]) || p.s[p.i+1] == '{'):
			return "", p.fail("a variable in a string")
		case c == '\\' && p.i+1 < len(p.s):
			p.i++
			if quote == '\'' {
				if p.s[p.i] != '\'' && p.s[p.i] != '\\' {
					out.WriteByte('\\')
				}
				out.WriteByte(p.s[p.i])
			} else if err := p.escape(&out); err != nil {
				return "", err
			}
		default:
			out.WriteByte(c)
		}
	}
	p.i = start
	return "", p.fail("a string that does not end")
}

// escape reads what follows a backslash in double quotes.
func (p *exported) escape(out *strings.Builder) error {
	c := p.s[p.i]
	if i := strings.IndexByte(`nrtvef\$"0`, c); i >= 0 {
		if c == '0' && p.i+1 < len(p.s) && '0' <= p.s[p.i+1] && p.s[p.i+1] <= '7' {
			return p.fail("an octal escape")
		}
		out.WriteByte("\n\r\t\v\x1b\f\\$\"\x00"[i])
		return nil
	}
	if c == 'x' || c == 'u' || '1' <= c && c <= '7' {
		return p.fail("an escape of this kind")
	}
	out.WriteByte('\\')
	out.WriteByte(c)
	return nil
}
