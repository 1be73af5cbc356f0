package inventory

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// fault says what is wrong with a text and what to write instead; "" if nothing is.
type fault = func(string) (message, instead string)

// leaf is a kind whose value is one text: parse reads it and format shows it.
func leaf[V any](s schema, parse func(d *decoder, v value) (V, bool), format func(V) string) kind[V] {
	return kind[V]{
		read: func(d *decoder, v value, to *V) {
			if x, ok := parse(d, v); ok {
				d.record(v)
				*to = x
			}
		},
		emit:   func(v *V, path string, out func(path, text string)) { out(path, format(*v)) },
		schema: func(schema) schema { return cloneSchema(s) },
	}
}

func cloneSchema(s schema) schema {
	c := schema{}
	for k, v := range s {
		c[k] = v
	}
	return c
}

// parsed reads text and reports what parse finds wrong with it.
func parsed[V any](read func(*decoder, value) (string, bool), parse func(string) (V, string, string)) func(*decoder, value) (V, bool) {
	return func(d *decoder, v value) (V, bool) {
		var zero V
		s, ok := read(d, v)
		if !ok {
			return zero, false
		}
		x, message, instead := parse(s)
		if message != "" {
			d.bad(v, message, instead)
			return zero, false
		}
		return x, true
	}
}

// text is a string that check finds no fault with.
func text(check fault) kind[string] {
	return leaf(schema{"type": "string"}, parsed((*decoder).text, func(s string) (string, string, string) {
		m, i := check(s)
		return s, m, i
	}), func(s string) string { return s })
}

// name is text that can be part of a path, a shell word and a selector.
func name() kind[string] {
	k := text(checkName)
	k.schema = func(schema) schema { return schema{"type": "string", "pattern": nameRegexp} }
	return k
}

// textOrNumber is text that may look like a number: an id, a share, a limit.
func textOrNumber(check fault) kind[string] {
	return leaf(schema{"type": []string{"string", "number"}}, parsed((*decoder).scalar, func(s string) (string, string, string) {
		m, i := check(s)
		return s, m, i
	}), func(s string) string { return s })
}

// choice is one of a closed list of words.
func choice[S ~string](words ...S) kind[S] {
	var all []string
	for _, w := range words {
		all = append(all, string(w))
	}
	return leaf(schema{"type": "string", "enum": all}, parsed((*decoder).text, func(s string) (S, string, string) {
		if slices.Contains(words, S(s)) {
			return S(s), "", ""
		}
		instead := "write one of: " + strings.Join(all, ", ")
		if near := nearest(s, all); near != "" {
			instead = fmt.Sprintf("write %q", near)
		}
		return "", fmt.Sprintf("unknown value %q", s), instead
	}), func(s S) string { return string(s) })
}

func number(low, high int) kind[int] {
	return leaf(schema{"type": "integer", "minimum": low, "maximum": high}, func(d *decoder, v value) (int, bool) {
		n, isInt := v.node.(*ast.IntegerNode)
		if !isInt {
			d.bad(v, "must be a whole number, not "+nodeKind(v.node), fmt.Sprintf("write a number from %d to %d, without quotes", low, high))
			return 0, false
		}
		i, err := strconv.Atoi(n.GetToken().Value)
		if err != nil || i < low || i > high {
			instead := fmt.Sprintf("write a number from %d to %d", low, high)
			if low == high {
				instead = fmt.Sprintf("write %d", low)
			}
			d.bad(v, fmt.Sprintf("%s is out of range", n.GetToken().Value), instead)
			return 0, false
		}
		return i, true
	}, strconv.Itoa)
}

func boolean() kind[bool] {
	return leaf(schema{"type": "boolean"}, func(d *decoder, v value) (bool, bool) {
		n, ok := v.node.(*ast.BoolNode)
		if !ok {
			d.bad(v, "must be true or false, not "+nodeKind(v.node), "write true or false, without quotes")
			return false, false
		}
		return n.Value, true
	}, strconv.FormatBool)
}

var daysPattern = regexp.MustCompile(`^[0-9]{1,5}d$`)

// duration is a time such as "30s" or "2h30m"; also whole days, "7d".
func duration(low, high time.Duration) kind[time.Duration] {
	return leaf(schema{"type": "string", "pattern": `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$|^[0-9]+d$|^0$`},
		parsed((*decoder).scalar, func(s string) (time.Duration, string, string) {
			var t time.Duration
			var err error
			if daysPattern.MatchString(s) {
				days, _ := strconv.Atoi(strings.TrimSuffix(s, "d"))
				t = time.Duration(days) * 24 * time.Hour
			} else if t, err = time.ParseDuration(s); err != nil {
				if strings.Trim(s, "0123456789") == "" && s != "" {
					return 0, s + " is a duration without a unit", fmt.Sprintf("write %ss, or %sm for minutes", s, s)
				}
				return 0, fmt.Sprintf("%q is no duration", s), "write a number with its unit, such as 30s, 10m or 2h"
			}
			if t < low || t > high {
				return 0, fmt.Sprintf("%s is out of range", s), fmt.Sprintf("write from %s to %s", short(low), short(high))
			}
			return t, "", ""
		}), short)
}

// short writes a duration without the zero parts that time.Duration adds: 10m, not 10m0s.
func short(t time.Duration) string {
	s := t.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

var ratePattern = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?) ?([kKMG]?)(i?)B(?:/s)?$|^([0-9]+)$`)

// rate is bytes per second: a plain number, or "5MB", "512KiB/s".
func rate() kind[int64] {
	return leaf(schema{"type": []string{"string", "integer"}, "pattern": ratePattern.String()}, parsed((*decoder).scalar, func(s string) (int64, string, string) {
		const instead = "write a number with its unit, such as 5MB or 512KiB; 0 is no limit"
		m := ratePattern.FindStringSubmatch(s)
		if m == nil {
			return 0, fmt.Sprintf("%q is no rate", s), instead
		}
		base, power := 1000.0, map[string]float64{"": 0, "k": 1, "K": 1, "M": 2, "G": 3}[m[2]]
		if m[3] != "" {
			base = 1024
		}
		f, err := strconv.ParseFloat(m[1]+m[4], 64)
		if f *= math.Pow(base, power); err != nil || f > 1e12 {
			return 0, fmt.Sprintf("%q is out of range", s), instead
		}
		return int64(f), "", ""
	}), func(n int64) string { return strconv.FormatInt(n, 10) })
}

// secret is a reference to a secret or the secret itself. check looks at a value that is no reference.
func secret(check fault) kind[Secret] {
	k := leaf(schema{"type": "string"}, func(d *decoder, v value) (Secret, bool) {
		s, ok := d.text(v)
		if !ok {
			return Secret{}, false
		}
		x := NewSecret(s)
		message, instead := checkReference(x)
		if !x.isRef() {
			message, instead = check(s)
		}
		if message != "" {
			d.bad(v, message, instead)
			return Secret{}, false
		}
		return x, true
	}, Secret.Reference)
	return hidden(k)
}

// hidden keeps what is written out of excerpts.
func hidden[V any](k kind[V]) kind[V] {
	read := k.read
	k.read = func(d *decoder, v value, to *V) {
		v.secret = true
		read(d, v, to)
	}
	return k
}

// checkReference finds what is wrong with the form of a reference.
func checkReference(s Secret) (message, instead string) {
	form, rest, _ := strings.Cut(s.ref(), ":")
	switch {
	case !s.isRef():
		return "", ""
	case form == "env" && !variableName.MatchString(rest):
		return "the reference names no environment variable", "write env:NAME, with letters, digits and _"
	case form == "file" && !strings.HasPrefix(rest, "/"):
		return "the reference has no absolute path", "write file:/path"
	case form == "cmd" && strings.TrimSpace(rest) == "":
		return "the reference has no command", "write cmd:COMMAND, such as cmd:pass show mosparo/redis"
	}
	return "", ""
}

// command is an argument list, or one string that is split at spaces. There is no shell: quotes group, and what only a
// shell understands is refused.
func command() kind[[]string] {
	return kind[[]string]{
		read: func(d *decoder, v value, to *[]string) {
			if _, isList := v.node.(*ast.SequenceNode); isList {
				var args []string
				list(text(checkArgument)).read(d, v, &args)
				if len(args) == 0 {
					d.bad(v, "an empty command", "write the command, or remove the key")
					return
				}
				*to = args
				return
			}
			if args, ok := parsed((*decoder).text, splitCommand)(d, v); ok {
				d.record(v)
				*to = args
			}
		},
		emit: func(l *[]string, path string, out func(path, text string)) {
			if len(*l) > 0 {
				out(path, quoteCommand(*l))
			}
		},
		schema: func(schema) schema {
			return schema{"type": []string{"string", "array"}, "items": schema{"type": "string"}, "minItems": 1, "minLength": 1}
		},
	}
}

// splitCommand splits at spaces outside quotes; a backslash keeps the next character outside single quotes.
func splitCommand(s string) (args []string, message, instead string) {
	var word strings.Builder
	inWord, quote, escaped := false, rune(0), false
	for _, r := range s {
		switch {
		case escaped:
			word.WriteRune(r)
			escaped = false
		case r == '\\' && quote != '\'':
			inWord, escaped = true, true
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			inWord, quote = true, r
		case r == ' ' || r == '\t' || r == '\n':
			if inWord {
				args = append(args, word.String())
				word.Reset()
				inWord = false
			}
		case strings.ContainsRune("|&;<>$`()*?", r):
			return nil, fmt.Sprintf("%q is for a shell, and none runs this", r), "write [sh, -c, \"…\"], or put it in quotes"
		default:
			inWord = true
			word.WriteRune(r)
		}
	}
	if quote != 0 || escaped {
		return nil, "a quote is not closed", "close it, or write the command as a list"
	}
	if inWord {
		args = append(args, word.String())
	}
	if len(args) == 0 {
		return nil, "an empty command", "write the command, or remove the key"
	}
	return args, "", ""
}

// quoteCommand writes args so that splitCommand gives them back.
func quoteCommand(args []string) string {
	var out []string
	for _, a := range args {
		if got, m, _ := splitCommand(a); m != "" || len(got) != 1 || got[0] != a {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		out = append(out, a)
	}
	return strings.Join(out, " ")
}
