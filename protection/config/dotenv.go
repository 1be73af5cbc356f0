package config

import (
	"errors"
	"fmt"
	"strings"
)

// parseDotenv reads a .env file as Symfony does: KEY=value, comments, export, single quotes literally, double quotes and
// bare values with $NAME, ${NAME}, ${NAME:-default} and ${NAME:=default} replaced. A name means the variable of the real
// environment, else the value above it in the file, else that of an earlier file. Running commands, $(…), is refused.
func parseDotenv(src string, env func(string) (string, bool), earlier map[string]string) (map[string]string, error) {
	src = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(strings.TrimPrefix(src, "\ufeff"))
	d := dotenv{s: src, values: map[string]string{}, env: env, earlier: earlier}
	for {
		d.blank()
		if d.i >= len(d.s) {
			return d.values, nil
		}
		if err := d.line(); err != nil {
			return nil, fmt.Errorf("line %d: %w", 1+strings.Count(d.s[:min(d.i, len(d.s))], "\n"), err)
		}
	}
}

type dotenv struct {
	s       string
	i       int
	values  map[string]string
	env     func(string) (string, bool)
	earlier map[string]string
}

// blank skips empty lines and comments.
func (d *dotenv) blank() {
	for d.i < len(d.s) {
		switch d.s[d.i] {
		case ' ', '\t', '\n', '\v', '\f':
			d.i++
		case '#':
			d.i += len(d.restOfLine())
		default:
			return
		}
	}
}

func (d *dotenv) restOfLine() string {
	line, _, _ := strings.Cut(d.s[d.i:], "\n")
	return line
}

// nameAt is the name of a variable with which s begins: letters, digits and _, of which one _ may come before the first
// letter.
func nameAt(s string) string {
	letter := func(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
	i := len(s) - len(strings.TrimPrefix(s, "_"))
	if i == len(s) || !letter(s[i]) {
		return ""
	}
	for i < len(s) && (letter(s[i]) || s[i] == '_' || '0' <= s[i] && s[i] <= '9') {
		i++
	}
	return s[:i]
}

func (d *dotenv) line() error {
	if rest, ok := strings.CutPrefix(d.s[d.i:], "export"); ok {
		if name := strings.TrimLeft(rest, " \t"); name != rest && nameAt(name) != "" {
			d.i = len(d.s) - len(name)
		}
	}
	name := nameAt(d.s[d.i:])
	if name == "" {
		return errors.New("no name of a variable")
	}
	d.i += len(name)
	if !strings.HasPrefix(d.s[d.i:], "=") {
		return fmt.Errorf("no = after %s", name)
	}
	d.i++
	v, err := d.value()
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	d.values[name] = v
	return nil
}

// value reads the parts of a value, which stand side by side: quoted ones and bare ones.
func (d *dotenv) value() (string, error) {
	if rest := strings.TrimLeft(d.restOfLine(), " \t"); rest == "" || rest[0] == '#' {
		d.i += len(d.restOfLine())
		return "", nil
	}
	if c := d.s[d.i]; c == ' ' || c == '\t' {
		return "", errors.New("a blank before the value")
	}
	var out strings.Builder
	for comment := false; !comment && d.i < len(d.s) && d.s[d.i] != '\n'; {
		var part string
		var err error
		switch d.s[d.i] {
		case '\'':
			part, err = d.single()
		case '"':
			part, err = d.double()
		default:
			part, err = d.bare()
			comment = strings.HasPrefix(d.s[d.i:], "#")
		}
		if err != nil {
			return "", err
		}
		out.WriteString(part)
	}
	return out.String(), nil
}

var (
	errQuote   = errors.New("a quote is not closed")
	errCommand = errors.New("running a command is not supported")
)

func (d *dotenv) single() (string, error) {
	text, _, closed := strings.Cut(d.s[d.i+1:], "'")
	if !closed {
		return "", errQuote
	}
	d.i += len(text) + 2
	return text, nil
}

// double reads up to the next quote that has no backslash before it, or two of them.
func (d *dotenv) double() (string, error) {
	start := d.i + 1
	for end := start; end < len(d.s); end++ {
		if d.s[end] != '"' || d.s[end-1] == '\\' && d.s[end-2] != '\\' {
			continue
		}
		d.i = end + 1
		text := strings.ReplaceAll(d.s[start:end], `\"`, `"`)
		text = strings.ReplaceAll(strings.ReplaceAll(text, `\r`, "\r"), `\n`, "\n")
		text, err := d.expand(text)
		return strings.ReplaceAll(text, `\\`, `\`), err
	}
	return "", errQuote
}

// bare reads up to a quote, the end of the line, or a comment, which a # begins only after a blank.
func (d *dotenv) bare() (string, error) {
	var raw strings.Builder
	before := d.s[d.i-1]
	for d.i < len(d.s) && strings.IndexByte("\n\"'", d.s[d.i]) < 0 && (d.s[d.i] != '#' || before != ' ' && before != '\t') {
		if d.s[d.i] == '\\' && d.i+1 < len(d.s) && (d.s[d.i+1] == '"' || d.s[d.i+1] == '\'') {
			d.i++
		}
		if before = d.s[d.i]; before == '$' && strings.HasPrefix(d.s[d.i+1:], "(") {
			return "", errCommand
		}
		raw.WriteByte(before)
		d.i++
	}
	text := strings.TrimRight(raw.String(), phpBlanks)
	expanded, err := d.expand(text)
	expanded = strings.ReplaceAll(expanded, `\\`, `\`)
	if err == nil && expanded == text && strings.ContainsAny(text, " \t\v\f\r") {
		return "", errors.New("a value with blanks needs quotes")
	}
	return expanded, err
}

// phpBlanks is what PHP's rtrim removes.
const phpBlanks = " \t\n\r\v\x00"

// expand replaces variables. A dollar sign after an odd number of backslashes is one of the text.
func (d *dotenv) expand(text string) (string, error) {
	var out strings.Builder
	for {
		i := strings.IndexByte(text, '$')
		if i < 0 {
			out.WriteString(text)
			return out.String(), nil
		}
		before := text[:i]
		escaped := (len(before)-len(strings.TrimRight(before, `\`)))%2 == 1
		text = text[i+1:]
		switch {
		case escaped:
			out.WriteString(before[:i-1] + "$")
			continue
		case strings.HasPrefix(text, "("):
			return "", errCommand
		}
		out.WriteString(before)
		v, rest, err := d.variable(text)
		if err != nil {
			return "", err
		}
		out.WriteString(v)
		text = rest
	}
}

// variable is what follows a dollar sign, and the text after it. As in Symfony, braces are not needed for a default.
func (d *dotenv) variable(text string) (v, rest string, err error) {
	inner, brace := strings.CutPrefix(text, "{")
	name := nameAt(inner)
	switch {
	case name != "":
	case brace && strings.HasPrefix(inner, "}"):
		return "", inner[1:], nil
	case strings.HasPrefix(text, "}"):
		return "", text, nil
	default:
		return "$", text, nil
	}
	rest = inner[len(name):]
	var fallback string
	if strings.HasPrefix(rest, ":-") || strings.HasPrefix(rest, ":=") {
		if before, _, _ := strings.Cut(rest, "}"); len(before) > len(":-") {
			fallback, rest = before, rest[len(before):]
		}
	}
	if brace {
		closed := false
		if rest, closed = strings.CutPrefix(rest, "}"); !closed {
			return "", "", errors.New("a brace is not closed")
		}
	}
	if v = d.get(name); v != "" || fallback == "" {
		return v, rest, nil
	}
	if strings.ContainsAny(fallback, `'"{$`) {
		return "", "", fmt.Errorf("the default of %s has a quote, a brace or a dollar sign", name)
	}
	if v = fallback[2:]; fallback[1] == '=' {
		d.values[name] = v
	}
	return v, rest, nil
}

func (d *dotenv) get(name string) string {
	if v, ok := d.env(name); ok {
		return v
	}
	if v, ok := d.values[name]; ok {
		return v
	}
	return d.earlier[name]
}
