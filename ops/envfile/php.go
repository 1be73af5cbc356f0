package envfile

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// maxDepth bounds the nesting of arrays.
const maxDepth = 32

// SyntaxError says where a file is not what it should be. It never quotes the file's values.
type SyntaxError struct {
	Line, Col int // from 1; Col counts bytes
	Msg       string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("%d:%d: %s", e.Line, e.Col, e.Msg) }

// ParsePHP reads an env.mosparo.php: a script that does nothing but return one array of plain values. It takes what
// mosparo writes and what people write instead (short arrays, comments, double quotes, joined strings). Whatever would
// have to be executed (variables, calls, constants) is refused with its place. An empty file is an empty Config, as it is for mosparo.
// Errors are *SyntaxError.
func ParsePHP(src []byte) (*Config, error) {
	p := &phpParser{src: string(src)}
	c, err := p.file()
	if err != nil {
		return nil, err
	}
	return c, nil
}

type phpParser struct {
	src   string
	pos   int
	depth int
}

func (p *phpParser) errorf(at int, format string, args ...any) error {
	before := p.src[:min(at, len(p.src))]
	line := 1 + strings.Count(before, "\n")
	return &SyntaxError{Line: line, Col: len(before) - strings.LastIndexByte(before, '\n'), Msg: fmt.Sprintf(format, args...)}
}

func (p *phpParser) file() (*Config, error) {
	if strings.TrimSpace(p.src) == "" {
		return &Config{}, nil
	}
	const tag = "<?php"
	if !strings.HasPrefix(p.src, tag) {
		return nil, p.errorf(0, "the file must begin with %s: anything before it would be sent to visitors", tag)
	}
	p.pos = len(tag)
	if p.pos < len(p.src) && !isSpace(p.src[p.pos]) {
		return nil, p.errorf(p.pos, "expected a blank or a new line after %s", tag)
	}
	if err := p.space(); err != nil {
		return nil, err
	}
	if at := p.pos; !strings.EqualFold(p.word(), "return") {
		return nil, p.errorf(at, "expected return and an array")
	}
	if err := p.space(); err != nil {
		return nil, err
	}
	at := p.pos
	v, err := p.value()
	if err != nil {
		return nil, err
	}
	if v.kind != Array {
		return nil, p.errorf(at, "expected an array, found %s", v.kind)
	}
	if err := p.end(); err != nil {
		return nil, err
	}
	return &Config{entries: v.list}, nil
}

// end takes what may follow the array: a semicolon, a closing tag with at most one new line.
func (p *phpParser) end() error {
	closed := p.take(";")
	if err := p.space(); err != nil {
		return err
	}
	if p.take("?>") { // closes the statement too
		if rest := p.src[p.pos:]; rest != "" && rest != "\n" && rest != "\r\n" {
			return p.errorf(p.pos, "text after ?> would be sent to visitors")
		}
		return nil
	}
	if !closed {
		return p.errorf(p.pos, "expected ; after the array")
	}
	if p.pos < len(p.src) {
		return p.errorf(p.pos, "nothing may follow the array")
	}
	return nil
}

func isSpace(c byte) bool {
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\v' || c == '\f'
}

func isWord(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z' || c >= 0x80
}

// space skips blanks and comments.
func (p *phpParser) space() error {
	for p.pos < len(p.src) {
		rest := p.src[p.pos:]
		switch {
		case isSpace(rest[0]):
			p.pos++
		case strings.HasPrefix(rest, "/*"):
			end := strings.Index(rest[2:], "*/")
			if end < 0 {
				return p.errorf(p.pos, "the comment does not end")
			}
			p.pos += 2 + end + 2
		case strings.HasPrefix(rest, "//"), rest[0] == '#' && !strings.HasPrefix(rest, "#["):
			end := strings.IndexByte(rest, '\n')
			if closing := strings.Index(rest, "?>"); closing >= 0 && (end < 0 || closing < end) {
				end = closing // a closing tag ends a one-line comment
			}
			if end < 0 {
				end = len(rest)
			}
			p.pos += end
		default:
			return nil
		}
	}
	return nil
}

// take skips s if it comes next.
func (p *phpParser) take(s string) bool {
	if strings.HasPrefix(p.src[p.pos:], s) {
		p.pos += len(s)
		return true
	}
	return false
}

// word takes the letters, digits and underscores that come next.
func (p *phpParser) word() string {
	start := p.pos
	for p.pos < len(p.src) && isWord(p.src[p.pos]) {
		p.pos++
	}
	return p.src[start:p.pos]
}

// value reads one value with the joining dots, and the blanks after it.
func (p *phpParser) value() (Value, error) {
	at := p.pos
	v, err := p.single()
	if err != nil {
		return Value{}, err
	}
	for {
		if err := p.space(); err != nil {
			return Value{}, err
		}
		if !p.take(".") {
			return v, nil
		}
		if err := p.space(); err != nil {
			return Value{}, err
		}
		next, err := p.single()
		if err != nil {
			return Value{}, err
		}
		if v.kind == Array || next.kind == Array {
			return Value{}, p.errorf(at, "an array cannot be joined with a dot")
		}
		v = StringValue(v.Text() + next.Text())
	}
}

// single reads one literal.
func (p *phpParser) single() (Value, error) {
	if p.pos == len(p.src) {
		return Value{}, p.errorf(p.pos, "expected a value, found the end of the file")
	}
	switch c := p.src[p.pos]; {
	case c == '\'':
		return p.singleQuoted()
	case c == '"':
		return p.doubleQuoted()
	case c == '[':
		p.pos++
		return p.array("]")
	case c == '-' || c == '+' || c == '.' || '0' <= c && c <= '9':
		return p.number()
	case c == '$':
		return Value{}, p.errorf(p.pos, "a variable: only plain values can be read without PHP")
	case c == '<' && strings.HasPrefix(p.src[p.pos:], "<<<"):
		return Value{}, p.errorf(p.pos, "heredoc strings are not supported: use quotes")
	case isWord(c):
		return p.constant()
	}
	return Value{}, p.errorf(p.pos, "expected a value")
}

func (p *phpParser) constant() (Value, error) {
	at := p.pos
	switch w := strings.ToLower(p.word()); w {
	case "true", "false":
		return BoolValue(w == "true"), nil
	case "null":
		return Value{}, nil
	case "inf":
		return FloatValue(math.Inf(1)), nil
	case "nan":
		return FloatValue(math.NaN()), nil
	case "array":
		if err := p.space(); err != nil {
			return Value{}, err
		}
		if p.take("(") {
			return p.array(")")
		}
		return Value{}, p.errorf(p.pos, "expected ( after array")
	}
	return Value{}, p.errorf(at, "a constant or a call: only plain values can be read without PHP")
}

// array reads entries up to the closing bracket.
func (p *phpParser) array(closing string) (Value, error) {
	start := p.pos - 1
	if p.depth++; p.depth > maxDepth {
		return Value{}, p.errorf(start, "arrays are nested more than %d deep", maxDepth)
	}
	defer func() { p.depth-- }()
	list := arrayBuilder{index: map[string]int{}}
	for {
		if err := p.space(); err != nil {
			return Value{}, err
		}
		if p.take(closing) {
			return Value{kind: Array, list: list.entries}, nil
		}
		if err := p.entry(&list); err != nil {
			return Value{}, err
		}
		if p.take(",") {
			continue
		}
		if !p.take(closing) {
			if p.pos == len(p.src) {
				return Value{}, p.errorf(start, "the array does not end")
			}
			return Value{}, p.errorf(p.pos, "expected , or %s", closing)
		}
		return Value{kind: Array, list: list.entries}, nil
	}
}

// entry reads "key => value" or a value that gets the next number.
func (p *phpParser) entry(list *arrayBuilder) error {
	at := p.pos
	v, err := p.value()
	if err != nil {
		return err
	}
	if !p.take("=>") {
		if !list.push(v) {
			return p.errorf(at, "no number is left for this element")
		}
		return nil
	}
	key := v
	if err := p.space(); err != nil {
		return err
	}
	if v, err = p.value(); err != nil {
		return err
	}
	switch key.kind {
	case String, Null:
		list.set(key.Text(), v)
	case Int, Bool:
		list.set(strconv.FormatInt(key.num, 10), v)
	default:
		return p.errorf(at, "a key must be a string or a whole number")
	}
	return nil
}

// arrayBuilder collects entries as PHP does: the last of equal keys counts, at the place of the first, and an element
// without a key gets the number after the largest one.
type arrayBuilder struct {
	entries []Entry
	index   map[string]int
	next    int64
	full    bool
}

func (b *arrayBuilder) set(key string, v Value) {
	if i, ok := b.index[key]; ok {
		b.entries[i].Value = v
		return
	}
	b.index[key] = len(b.entries)
	b.entries = append(b.entries, Entry{key, v})
	if isIntKey(key) {
		if n, _ := strconv.ParseInt(key, 10, 64); n >= b.next {
			b.next, b.full = n+1, n == math.MaxInt64
		}
	}
}

func (b *arrayBuilder) push(v Value) bool {
	if b.full {
		return false
	}
	b.set(strconv.FormatInt(b.next, 10), v)
	return true
}
