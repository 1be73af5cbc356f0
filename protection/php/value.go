// Package php holds the value formats of PHP that a node needs to share a database, a cache and an HTTP interface with
// mosparo on PHP: ordered arrays, JSON as json_encode and json_decode have it, serialize, igbinary, form bodies, and the
// conversions and comparisons between scalars. It imports nothing of ours, keeps no state, and no input makes it panic.
package php

import (
	"math"
	"strings"
)

// Kind is the type of a Value.
type Kind uint8

// The kinds of values. An Object is only ever read (a cached DateTime); PHP's other types do not occur in data.
const (
	KindNull Kind = iota
	KindBool
	KindInt
	KindFloat
	KindString
	KindArray
	KindObject
)

// String is PHP's name of the type, as gettype gives it.
func (k Kind) String() string {
	return [...]string{"NULL", "boolean", "integer", "double", "string", "array", "object"}[min(k, KindObject)]
}

// Value is a PHP value. The zero Value is null. Copies are cheap; copies of an array share it, as pointers do, so
// Clone before changing one that somebody else may hold. Reading from several goroutines is safe.
type Value struct {
	kind Kind
	num  uint64 // bool, int or the bits of a float
	str  string // string, or the class name of an object
	arr  *Array // array, or the properties of an object
}

// Null is PHP's null.
var Null = Value{}

// Bool makes a boolean.
func Bool(b bool) Value {
	v := Value{kind: KindBool}
	if b {
		v.num = 1
	}
	return v
}

// Int makes an integer.
func Int(i int64) Value { return Value{kind: KindInt, num: uint64(i)} }

// Float makes a float.
func Float(f float64) Value { return Value{kind: KindFloat, num: math.Float64bits(f)} }

// String makes a string of bytes; it need not be UTF-8.
func String(s string) Value { return Value{kind: KindString, str: s} }

// ArrayOf makes an array value of a; nil is the empty array.
func ArrayOf(a *Array) Value {
	if a == nil {
		a = NewArray()
	}
	return Value{kind: KindArray, arr: a}
}

// List makes a list of the values.
func List(vs ...Value) Value {
	a := sized(len(vs))
	for _, v := range vs {
		a.Append(v)
	}
	return ArrayOf(a)
}

// Strings makes a list of strings.
func Strings(ss ...string) Value {
	a := sized(len(ss))
	for _, s := range ss {
		a.Append(String(s))
	}
	return ArrayOf(a)
}

// Pair is one member of a Map.
type Pair struct {
	Key   string
	Value Value
}

// Map makes an array of the pairs in their order. A key that is a decimal integer becomes one, as in PHP.
func Map(ps ...Pair) Value {
	a := sized(len(ps))
	for _, p := range ps {
		a.SetString(p.Key, p.Value)
	}
	return ArrayOf(a)
}

// Kind is the type of v.
func (v Value) Kind() Kind { return v.kind }

// IsNull reports whether v is null.
func (v Value) IsNull() bool { return v.kind == KindNull }

// IsScalar reports whether v is a bool, an int, a float or a string.
func (v Value) IsScalar() bool { return v.kind >= KindBool && v.kind <= KindString }

// Array is the array of v, or nil if v is none. The properties of an object count as an array.
func (v Value) Array() *Array { return v.arr }

// Class is the class name of an object, else "".
func (v Value) Class() string {
	if v.kind == KindObject {
		return v.str
	}
	return ""
}

// Bool is v and true if v is a boolean.
func (v Value) Bool() (b, ok bool) { return v.num != 0, v.kind == KindBool }

// Int is v and true if v is an integer.
func (v Value) Int() (int64, bool) {
	if v.kind != KindInt {
		return 0, false
	}
	return int64(v.num), true
}

// Float is v and true if v is a float or an integer.
func (v Value) Float() (float64, bool) {
	switch v.kind {
	case KindFloat:
		return math.Float64frombits(v.num), true
	case KindInt:
		return float64(int64(v.num)), true
	}
	return 0, false
}

// Str is v and true if v is a string.
func (v Value) Str() (string, bool) {
	if v.kind != KindString {
		return "", false
	}
	return v.str, true
}

// Truthy is PHP's (bool) conversion: null, false, 0, 0.0, "", "0" and the empty array are false.
func (v Value) Truthy() bool {
	switch v.kind {
	case KindNull:
		return false
	case KindBool, KindInt:
		return v.num != 0
	case KindFloat:
		return math.Float64frombits(v.num) != 0
	case KindString:
		return v.str != "" && v.str != "0"
	case KindArray:
		return v.arr.Len() > 0
	default:
		return true
	}
}

// Text is PHP's (string) conversion of a scalar or null: true is "1", false and null are "", a float has its shortest
// form. It is false for an array or object, which PHP refuses to convert or calls "Array".
func (v Value) Text() (string, bool) {
	switch v.kind {
	case KindNull:
		return "", true
	case KindBool:
		if v.num != 0 {
			return "1", true
		}
		return "", true
	case KindInt:
		return FormatInt(int64(v.num)), true
	case KindFloat:
		return FormatFloat(math.Float64frombits(v.num)), true
	case KindString:
		return v.str, true
	}
	return "", false
}

// Intval is PHP's (int) conversion; an array is 1, or 0 if empty.
func (v Value) Intval() int64 {
	switch v.kind {
	case KindBool, KindInt:
		return int64(v.num)
	case KindFloat:
		return FloatToInt(math.Float64frombits(v.num))
	case KindString:
		return Intval(v.str)
	case KindArray, KindObject:
		if v.Truthy() {
			return 1
		}
	}
	return 0
}

// Get is the member of an array by a string key, null if there is none or v is no array.
func (v Value) Get(key string) Value {
	if v.arr == nil {
		return Null
	}
	m, _ := v.arr.Get(key)
	return m
}

// Len is the number of members of an array, 0 for everything else.
func (v Value) Len() int {
	if v.arr == nil {
		return 0
	}
	return v.arr.Len()
}

// Clone is a deep copy of v.
func (v Value) Clone() Value {
	if v.arr != nil {
		v.arr = v.arr.Clone()
	}
	return v
}

// Identical is PHP's ===: same type, same value, and for arrays the same keys and values in the same order.
// NaN is identical to nothing.
func (v Value) Identical(w Value) bool {
	if v.kind != w.kind {
		return false
	}
	switch v.kind {
	case KindFloat:
		return math.Float64frombits(v.num) == math.Float64frombits(w.num)
	case KindString:
		return v.str == w.str
	case KindArray, KindObject:
		return v.str == w.str && v.arr.identical(w.arr)
	}
	return v.num == w.num
}

// ToLower lower-cases ASCII letters and leaves all other bytes alone, as strtolower does since PHP 8.2.
func ToLower(s string) string {
	for i := 0; i < len(s); i++ {
		if 'A' <= s[i] && s[i] <= 'Z' {
			b := []byte(s)
			for ; i < len(b); i++ {
				if 'A' <= b[i] && b[i] <= 'Z' {
					b[i] += 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}

// Trim removes what PHP's trim removes at both ends: blank, tab, LF, CR, vertical tab and NUL.
func Trim(s string) string { return strings.Trim(s, " \t\n\r\v\x00") }
