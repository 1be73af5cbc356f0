package config

import (
	"fmt"
	"strings"
)

// parseDotenv reads a .env file as Symfony does: KEY=value, comments, export, single quotes literally, double quotes and
// bare values with $NAME, ${NAME} and ${NAME:-default} replaced. What is set already, in the file or by lookup, may be
// used; earlier values win over lookup. Running commands, $(…), is refused.
func parseDotenv(src string, lookup func(string) (string, bool)) (map[string]string, error) {
	d := dotenv{s: strings.ReplaceAll(src, "\r\n", "\n"), values: map[string]string{}, lookup: lookup}
	d.s = strings.TrimPrefix(d.s, "\ufeff")
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
	s      string
	i      int
	values map[string]string
	lookup func(string) (string, bool)
}

// blank skips empty lines and comments.
func (d *dotenv) blank() {
	for d.i < len(d.s) {
		switch d.s[d.i] {
		case ' ', '\t', '\n':
			d.i++
		case '#':
			d.skipLine()
		default:
			return
		}
	}
}

func (d *dotenv) skipLine() {
	if n := strings.IndexByte(d.s[d.i:], '\n'); n >= 0 {
		d.i += n
	} else {
		d.i = len(d.s)
	}
}

func isNameByte(c byte, first bool) bool {
	return c == '_' || 'a' <= c|0x20 && c|0x20 <= 'z' || !first && '0' <= c && c <= '9'
}

func (d *dotenv) name() string {
	start := d.i
	for d.i < len(d.s) && isNameByte(d.s[d.i], d.i == start) {
		d.i++
	}
	return d.s[start:d.i]
}

func (d *dotenv) line() error {
	exported := false
	name := d.name()
	if name == "export" && d.i < len(d.s) && (d.s[d.i] == ' ' || d.s[d.i] == '\t') {
		exported = true
		d.i += len(d.s[d.i:]) - len(strings.TrimLeft(d.s[d.i:], " \t"))
		name = d.name()
	}
	if name == "" {
		return fmt.Errorf("no name of a variable")
	}
	if d.i >= len(d.s) || d.s[d.i] != '=' {
		if exported { // "export NAME" alone is allowed and does nothing
			d.skipLine()
			return nil
		}
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

func (d *dotenv) value() (string, error) {
	var out strings.Builder
	for d.i < len(d.s) {
		switch c := d.s[d.i]; {
		case c == '\n':
			return out.String(), nil
		case c == ' ' || c == '\t':
			d.i += len(d.s[d.i:]) - len(strings.TrimLeft(d.s[d.i:], " \t"))
			if d.i < len(d.s) && d.s[d.i] == '#' {
				d.skipLine()
			}
			if d.i < len(d.s) && d.s[d.i] != '\n' {
				return "", fmt.Errorf("a value with blanks needs quotes")
			}
			return out.String(), nil
		case c == '#' && out.Len() == 0:
			d.skipLine()
		case c == '\'':
			n := strings.IndexByte(d.s[d.i+1:], '\'')
			if n < 0 {
				return "", fmt.Errorf("a quote is not closed")
			}
			out.WriteString(d.s[d.i+1 : d.i+1+n])
			d.i += n + 2
		case c == '"':
			d.i++
			if err := d.expand(&out, true); err != nil {
				return "", err
			}
		default:
			if err := d.expand(&out, false); err != nil {
				return "", err
			}
		}
	}
	return out.String(), nil
}

// expand reads up to the closing quote, or up to what ends a bare value.
func (d *dotenv) expand(out *strings.Builder, quoted bool) error {
	for d.i < len(d.s) {
		c := d.s[d.i]
		switch {
		case quoted && c == '"':
			d.i++
			return nil
		case !quoted && strings.IndexByte("\n \t'\"", c) >= 0:
			return nil
		case c == '\\' && d.i+1 < len(d.s):
			next := d.s[d.i+1]
			d.i += 2
			switch {
			case quoted && next == 'n':
				out.WriteByte('\n')
			case quoted && next == 'r':
				out.WriteByte('\r')
			case next == '"' || next == '\\' || next == '$' || !quoted:
				out.WriteByte(next)
			default:
				out.WriteByte('\\')
				out.WriteByte(next)
			}
		case c == '$':
			d.i++
			if err := d.variable(out); err != nil {
				return err
			}
		default:
			out.WriteByte(c)
			d.i++
		}
	}
	if quoted {
		return fmt.Errorf("a quote is not closed")
	}
	return nil
}

// variable replaces what follows a dollar sign.
func (d *dotenv) variable(out *strings.Builder) error {
	rest := d.s[d.i:]
	if strings.HasPrefix(rest, "(") {
		return fmt.Errorf("running a command is not supported")
	}
	if !strings.HasPrefix(rest, "{") {
		name := d.name()
		if name == "" {
			out.WriteByte('$')
			return nil
		}
		out.WriteString(d.get(name))
		return nil
	}
	end := strings.IndexByte(rest, '}')
	if end < 0 {
		return fmt.Errorf("a brace is not closed")
	}
	d.i += end + 1
	name, fallback, _ := strings.Cut(rest[1:end], ":-")
	if v := d.get(name); v != "" {
		fallback = v
	}
	out.WriteString(fallback)
	return nil
}

func (d *dotenv) get(name string) string {
	if v, ok := d.values[name]; ok {
		return v
	}
	v, _ := d.lookup(name)
	return v
}
