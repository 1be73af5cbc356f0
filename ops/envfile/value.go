package envfile

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Kind is the PHP type of a Value.
type Kind int

// The kinds mosparo writes.
const (
	Null Kind = iota
	Bool
	Int
	Float
	String
	Array
)

// String is PHP's name of the type.
func (k Kind) String() string {
	return [...]string{"null", "bool", "int", "float", "string", "array"}[k]
}

// Value is one value of env.mosparo.php. The zero Value is null. Values are immutable.
type Value struct {
	kind Kind
	text string // of String
	num  int64  // of Int; of Bool 0 or 1
	real float64
	list []Entry // of Array
}

// Entry is one key and its value. Integer keys are kept as their decimal text, as PHP itself treats '5' and 5 alike.
type Entry struct {
	Key   string
	Value Value
}

// StringValue makes a string.
func StringValue(s string) Value { return Value{kind: String, text: s} }

// IntValue makes an integer.
func IntValue(i int64) Value { return Value{kind: Int, num: i} }

// FloatValue makes a float.
func FloatValue(f float64) Value { return Value{kind: Float, real: f} }

// BoolValue makes true or false.
func BoolValue(b bool) Value {
	v := Value{kind: Bool}
	if b {
		v.num = 1
	}
	return v
}

// ArrayValue makes an array; of equal keys the last counts, at the place of the first.
func ArrayValue(entries ...Entry) Value {
	var list []Entry
	for _, e := range entries {
		list = put(list, e)
	}
	return Value{kind: Array, list: list}
}

func put(list []Entry, e Entry) []Entry {
	for i := range list {
		if list[i].Key == e.Key {
			list[i].Value = e.Value
			return list
		}
	}
	return append(list, e)
}

// Kind is the type.
func (v Value) Kind() Kind { return v.kind }

// Text is v converted to a string as PHP does it: true is "1", false and null are "", an array is "Array".
func (v Value) Text() string {
	switch v.kind {
	case String:
		return v.text
	case Int:
		return strconv.FormatInt(v.num, 10)
	case Float:
		return strings.TrimSuffix(formatFloat(v.real), ".0")
	case Bool:
		if v.num != 0 {
			return "1"
		}
	case Array:
		return "Array"
	}
	return ""
}

// Truth is v converted to a boolean as PHP does it.
func (v Value) Truth() bool {
	switch v.kind {
	case String:
		return v.text != "" && v.text != "0"
	case Float:
		return v.real != 0
	case Array:
		return len(v.list) > 0
	}
	return v.num != 0
}

// Int is the integer in v, if it is one.
func (v Value) Int() (int64, bool) { return v.num, v.kind == Int }

// Entries are the elements of an array, in order. The slice is a copy.
func (v Value) Entries() []Entry { return append([]Entry(nil), v.list...) }

// PHP is v as PHP source, in the form var_export gives it at the top level.
func (v Value) PHP() string {
	var b strings.Builder
	v.export(&b, 0)
	return b.String()
}

// Equal reports whether v and w have the same type and value, arrays in the same order.
func (v Value) Equal(w Value) bool { return v.PHP() == w.PHP() }

// export writes v as var_export does at the given nesting depth.
func (v Value) export(b *strings.Builder, depth int) {
	switch v.kind {
	case Null:
		b.WriteString("NULL")
	case Bool:
		b.WriteString(strconv.FormatBool(v.num != 0))
	case Int:
		if v.num == math.MinInt64 { // PHP has no literal for it
			b.WriteString("-9223372036854775807-1")
			return
		}
		b.WriteString(strconv.FormatInt(v.num, 10))
	case Float:
		b.WriteString(formatFloat(v.real))
	case String:
		b.WriteString(quote(v.text))
	case Array:
		exportArray(b, v.list, depth)
	}
}

func exportArray(b *strings.Builder, list []Entry, depth int) {
	indent := strings.Repeat("  ", depth)
	if depth > 0 { // var_export puts a nested array on a line of its own, and leaves the blank after "=>"
		b.WriteString("\n" + indent)
	}
	b.WriteString("array (\n")
	for _, e := range list {
		b.WriteString(indent + "  ")
		if isIntKey(e.Key) {
			b.WriteString(e.Key)
		} else {
			b.WriteString(quote(e.Key))
		}
		b.WriteString(" => ")
		e.Value.export(b, depth+1)
		b.WriteString(",\n")
	}
	b.WriteString(indent + ")")
}

// quote writes s as var_export does: backslash and quote escaped, NUL bytes spliced in.
func quote(s string) string {
	s = strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\x00", `' . "\0" . '`).Replace(s)
	return "'" + s + "'"
}

// isIntKey reports whether PHP turns the string key into an integer one: canonical decimal within 64 bits.
func isIntKey(key string) bool {
	i, err := strconv.ParseInt(key, 10, 64)
	return err == nil && i != math.MinInt64 && strconv.FormatInt(i, 10) == key
}

// formatFloat writes f as var_export does with serialize_precision -1: the shortest text that reads back as f.
func formatFloat(f float64) string {
	switch {
	case math.IsInf(f, 1):
		return "INF"
	case math.IsInf(f, -1):
		return "-INF"
	case math.IsNaN(f):
		return "NAN"
	}
	mantissa, exp, _ := strings.Cut(strconv.FormatFloat(f, 'e', -1, 64), "e")
	if n, _ := strconv.Atoi(exp); n < -4 || n >= 17 { // where PHP changes to the exponent form
		if !strings.Contains(mantissa, ".") {
			mantissa += ".0"
		}
		return fmt.Sprintf("%sE%+d", mantissa, n)
	}
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}
