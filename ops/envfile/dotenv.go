package envfile

import (
	"fmt"
	"slices"
	"strings"
)

// Header begins every .env.local that mosparoctl wrote. A file without it belongs to somebody else.
const Header = "# Written by mosparoctl from the inventory: change it there, then run \"mosparoctl env push\".\n"

// RenderDotenv writes values as a .env file that Symfony's parser reads back unchanged, sorted by name, with Header.
// A name that Symfony does not know as one, and a NUL byte in a value, are errors.
func RenderDotenv(values map[string]string) ([]byte, error) {
	names := make([]string, 0, len(values))
	for n := range values {
		names = append(names, n)
	}
	slices.Sort(names)
	var b strings.Builder
	b.WriteString(Header)
	for _, n := range names {
		if len(n) == 0 || varName(n) != len(n) {
			return nil, fmt.Errorf("%q cannot be the name of a variable: letters, digits and underscores, and no digit first", n)
		}
		if strings.ContainsRune(values[n], 0) {
			return nil, fmt.Errorf("the value of %s holds a NUL byte", n)
		}
		b.WriteString(n + "=" + quoteDotenv(values[n]) + "\n")
	}
	return []byte(b.String()), nil
}

// plainChars need no quotes in a .env file.
const plainChars = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-./:,@+%=?&"

// quoteDotenv quotes v where it must be. Single quotes keep everything but themselves and carriage returns, which the
// parser rewrites before it looks at quotes; these two go into double-quoted pieces, and pieces are joined by the parser.
func quoteDotenv(v string) string {
	if strings.Trim(v, plainChars) == "" && strings.IndexFunc(v, func(r rune) bool { return !strings.ContainsRune(plainChars, r) }) < 0 {
		return v
	}
	var b strings.Builder
	open := false
	for i := 0; i < len(v); i++ {
		special := v[i] == '\'' || v[i] == '\r'
		if special == open { // a plain byte outside quotes opens them, a special one inside closes them
			b.WriteByte('\'')
			open = !open
		}
		switch v[i] {
		case '\'':
			b.WriteString(`"'"`)
		case '\r':
			b.WriteString(`"\r"`)
		default:
			b.WriteByte(v[i])
		}
	}
	if open {
		b.WriteByte('\'')
	}
	return b.String()
}

// varName is the length of the variable name at the start of s: an optional underscore, a letter, then letters, digits and underscores.
func varName(s string) int {
	i := 0
	if i < len(s) && s[i] == '_' {
		i++
	}
	if i == len(s) || !isLetter(s[i]) {
		return 0
	}
	for i < len(s) && (isLetter(s[i]) || s[i] == '_' || '0' <= s[i] && s[i] <= '9') {
		i++
	}
	return i
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

// Var is one assignment of a .env file.
type Var struct {
	Name, Value string
	Line        int // where the assignment starts, from 1
}

// ParseDotenv reads a .env file as Symfony's Dotenv component does. Variables in values are taken from earlier lines, then from lookup
// (nil: none). $(commands) are refused: they would have to be run. Errors are *SyntaxError. Of equal names the last counts
// for Symfony; all are returned in order.
func ParseDotenv(src []byte, lookup func(name string) (string, bool)) ([]Var, error) {
	text := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(src))
	p := &dotenvParser{src: text, known: map[string]string{}, lookup: lookup}
	if strings.HasPrefix(text, "\xef\xbb\xbf") {
		return nil, p.errorf(0, "the file begins with a byte order mark, which Symfony refuses")
	}
	for {
		p.blank()
		if p.pos == len(p.src) {
			return p.vars, nil
		}
		if err := p.assignment(); err != nil {
			return nil, err
		}
	}
}

// Values are the values that count: of equal names the last.
func Values(vars []Var) map[string]string {
	m := make(map[string]string, len(vars))
	for _, v := range vars {
		m[v.Name] = v.Value
	}
	return m
}

type dotenvParser struct {
	src    string
	pos    int
	vars   []Var
	known  map[string]string
	lookup func(string) (string, bool)
}

func (p *dotenvParser) errorf(at int, format string, args ...any) error {
	return (&phpParser{src: p.src}).errorf(at, format, args...)
}

// blank skips empty lines and comments.
func (p *dotenvParser) blank() {
	for p.pos < len(p.src) {
		switch c := p.src[p.pos]; {
		case isSpace(c):
			p.pos++
		case c == '#':
			if end := strings.IndexByte(p.src[p.pos:], '\n'); end >= 0 {
				p.pos += end
			} else {
				p.pos = len(p.src)
			}
		default:
			return
		}
	}
}

func (p *dotenvParser) assignment() error {
	start := p.pos
	exported := false
	if rest := p.src[p.pos:]; strings.HasPrefix(rest, "export") && len(rest) > 6 && (rest[6] == ' ' || rest[6] == '\t') {
		exported = true
		p.pos += 6
		p.inlineSpace()
	}
	n := varName(p.src[p.pos:])
	if n == 0 {
		return p.errorf(p.pos, "expected the name of a variable")
	}
	name := p.src[p.pos : p.pos+n]
	p.pos += n
	switch {
	case p.pos < len(p.src) && p.src[p.pos] == '=':
		p.pos++
	case exported:
		return p.errorf(p.pos, "export without a value: Symfony refuses it unless the variable is set before")
	case p.pos < len(p.src) && (p.src[p.pos] == ' ' || p.src[p.pos] == '\t'):
		return p.errorf(p.pos, "no blank may stand between a name and =")
	default:
		return p.errorf(p.pos, "expected = after the name")
	}
	value, err := p.value()
	if err != nil {
		return err
	}
	p.known[name] = value
	p.vars = append(p.vars, Var{Name: name, Value: value, Line: 1 + strings.Count(p.src[:start], "\n")})
	return nil
}

func (p *dotenvParser) inlineSpace() {
	for p.pos < len(p.src) && (p.src[p.pos] == ' ' || p.src[p.pos] == '\t') {
		p.pos++
	}
}

// value reads pieces up to the end of the line.
func (p *dotenvParser) value() (string, error) {
	start := p.pos
	p.inlineSpace()
	if p.pos == len(p.src) || p.src[p.pos] == '\n' || p.src[p.pos] == '#' {
		p.endLine()
		return "", nil
	}
	if p.pos > start {
		return "", p.errorf(start, "no blank may stand between = and the value")
	}
	var b strings.Builder
	for p.pos < len(p.src) && p.src[p.pos] != '\n' {
		var piece string
		var err error
		switch p.src[p.pos] {
		case '\'':
			piece, err = p.singleQuoted()
		case '"':
			piece, err = p.doubleQuoted()
		default:
			if piece, err = p.unquoted(); err == nil && p.pos < len(p.src) && p.src[p.pos] == '#' {
				p.endLine()
			}
		}
		if err != nil {
			return "", err
		}
		b.WriteString(piece)
	}
	return b.String(), nil
}

func (p *dotenvParser) endLine() {
	if end := strings.IndexByte(p.src[p.pos:], '\n'); end >= 0 {
		p.pos += end
	} else {
		p.pos = len(p.src)
	}
}

func (p *dotenvParser) singleQuoted() (string, error) {
	end := strings.IndexByte(p.src[p.pos+1:], '\'')
	if end < 0 {
		return "", p.errorf(p.pos, "the quote does not end")
	}
	s := p.src[p.pos+1 : p.pos+1+end]
	p.pos += end + 2
	return s, nil
}

// doubleQuoted reads "…": \" \r \n, then variables, then \\.
func (p *dotenvParser) doubleQuoted() (string, error) {
	start := p.pos
	p.pos++
	for {
		if p.pos >= len(p.src) {
			return "", p.errorf(start, "the quote does not end")
		}
		if p.src[p.pos] == '"' && (p.src[p.pos-1] != '\\' || p.src[p.pos-2] == '\\') {
			break
		}
		p.pos++
	}
	raw := p.src[start+1 : p.pos]
	p.pos++
	raw = replaceInTurn(raw, `\"`, `"`, `\r`, "\r", `\n`, "\n")
	s, err := p.expand(raw, start)
	return strings.ReplaceAll(s, `\\`, `\`), err
}

// replaceInTurn replaces pair after pair, each over the whole text, as PHP's str_replace with lists does.
func replaceInTurn(s string, pairs ...string) string {
	for i := 0; i < len(pairs); i += 2 {
		s = strings.ReplaceAll(s, pairs[i], pairs[i+1])
	}
	return s
}

// unquoted reads up to a quote, a comment or the end of the line.
func (p *dotenvParser) unquoted() (string, error) {
	start := p.pos
	var b strings.Builder
	prev := p.src[p.pos-1]
	for p.pos < len(p.src) {
		c := p.src[p.pos]
		if c == '\n' || c == '"' || c == '\'' || c == '#' && (prev == ' ' || prev == '\t') {
			break
		}
		if c == '\\' && p.pos+1 < len(p.src) && (p.src[p.pos+1] == '"' || p.src[p.pos+1] == '\'') {
			p.pos++
			c = p.src[p.pos]
		}
		b.WriteByte(c)
		prev = c
		p.pos++
	}
	raw := strings.TrimRight(b.String(), " \t\n\r\x00\v")
	expanded, err := p.expand(raw, start)
	if err != nil {
		return "", err
	}
	value := strings.ReplaceAll(expanded, `\\`, `\`)
	if value == raw && strings.ContainsAny(raw, " \t\n\r\v\f") {
		return "", p.errorf(start, "a value with blanks must stand in quotes")
	}
	return value, nil
}

// expand replaces $NAME, ${NAME}, ${NAME:-default} and ${NAME:=default}; a backslash before $ keeps it.
func (p *dotenvParser) expand(s string, at int) (string, error) {
	if !strings.Contains(s, "$") {
		return s, nil
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		slashes := 0
		for i+slashes < len(s) && s[i+slashes] == '\\' {
			slashes++
		}
		j := i + slashes
		if j == len(s) || s[j] != '$' {
			b.WriteString(s[i:min(j+1, len(s))])
			i = j + 1
			continue
		}
		if strings.HasPrefix(s[j:], "$(") {
			if slashes%2 == 1 {
				b.WriteString(s[i+1 : j+1])
				i = j + 1
				continue
			}
			return "", p.errorf(at, "$(…) runs a command: only plain values can be read without a shell")
		}
		value, end, err := p.variable(s, j, at)
		switch {
		case err != nil:
			return "", err
		case slashes%2 == 1: // escaped: one backslash goes, the rest stays
			b.WriteString(s[i+1 : max(end, j+1)])
			i = max(end, j+1)
		case end == j: // a dollar sign that refers to nothing
			b.WriteString(s[i : j+1])
			i = j + 1
		default:
			b.WriteString(s[i:j] + value)
			i = end
		}
	}
	return b.String(), nil
}

// variable reads the reference at s[at] == '$'. end is at if there is none.
func (p *dotenvParser) variable(s string, at, place int) (value string, end int, err error) {
	rest := s[at+1:]
	brace := strings.HasPrefix(rest, "{")
	if brace {
		rest = rest[1:]
	}
	n := varName(rest)
	// To Symfony a brace or a default alone is a reference too, to a variable with an empty name.
	if n == 0 && !strings.HasPrefix(rest, "}") && !strings.HasPrefix(rest, ":-") && !strings.HasPrefix(rest, ":=") {
		return "", at, nil
	}
	name := rest[:n]
	rest = rest[n:]
	value, ok := p.known[name]
	if !ok && p.lookup != nil {
		value, _ = p.lookup(name)
	}
	if strings.HasPrefix(rest, ":-") || strings.HasPrefix(rest, ":=") { // Symfony takes it without braces too
		def, _, _ := strings.Cut(rest[2:], "}")
		if value == "" {
			if strings.ContainsAny(def, `'"{$`) {
				return "", at, p.errorf(place, "the default of a variable may not hold quotes, $ or {")
			}
			value = def
			if rest[1] == '=' && n > 0 { // this form assigns as well
				p.known[name] = value
				p.vars = append(p.vars, Var{Name: name, Value: value, Line: 1 + strings.Count(p.src[:place], "\n")})
			}
		}
		rest = rest[2+len(def):]
	}
	closed := strings.HasPrefix(rest, "}")
	if brace && !closed {
		return "", at, p.errorf(place, "the brace of a variable is not closed")
	}
	if brace {
		rest = rest[1:]
	}
	return value, len(s) - len(rest), nil
}
