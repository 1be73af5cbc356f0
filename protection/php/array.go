package php

import (
	"iter"
	"slices"
	"strconv"
)

// Key is a key of an Array: an integer or a string that is not a decimal integer.
type Key struct {
	str   string
	num   int64
	isStr bool
}

// IntKey makes an integer key.
func IntKey(i int64) Key { return Key{num: i} }

// StringKey makes the key that PHP makes of a string: a canonical decimal integer of 64 bits ("12", "-3", not "01",
// "+1" or "-0") becomes an integer key.
func StringKey(s string) Key {
	if n, ok := canonicalInt(s); ok {
		return Key{num: n}
	}
	return Key{str: s, isStr: true}
}

func canonicalInt(s string) (int64, bool) {
	if s == "" || len(s) > 20 || s[0] != '-' && (s[0] < '0' || s[0] > '9') {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || strconv.FormatInt(n, 10) != s {
		return 0, false
	}
	return n, true
}

// OffsetKey is the key of v where PHP indexes an array by it: null is the empty string, a boolean 0 or 1, a float is cut to
// an integer. It is false for arrays and objects, which PHP refuses.
func OffsetKey(v Value) (Key, bool) {
	switch v.kind {
	case KindNull:
		return StringKey(""), true
	case KindBool, KindInt, KindFloat:
		return IntKey(v.Intval()), true
	case KindString:
		return StringKey(v.str), true
	}
	return StringKey(""), false
}

// Int is the number and true if k is an integer.
func (k Key) Int() (int64, bool) { return k.num, !k.isStr }

// String is k as text.
func (k Key) String() string {
	if k.isStr {
		return k.str
	}
	return strconv.FormatInt(k.num, 10)
}

// Value is k as a value.
func (k Key) Value() Value {
	if k.isStr {
		return String(k.str)
	}
	return Int(k.num)
}

// indexFrom is the number of members from which an Array keeps a map beside its slices.
const indexFrom = 9

// Array is PHP's ordered map. The zero Array is empty and ready. It is not safe for concurrent changes.
type Array struct {
	keys  []Key
	vals  []Value
	index map[Key]int // nil below indexFrom members
	next  int64       // the key of the next Append
	ints  bool        // next follows an integer key
}

// NewArray makes an empty array.
func NewArray() *Array { return &Array{} }

// sized makes an empty array with room for n members.
func sized(n int) *Array {
	if n == 0 {
		return &Array{}
	}
	return &Array{keys: make([]Key, 0, n), vals: make([]Value, 0, n)}
}

// fewMembers is the room that an array of unknown size begins with: most in requests and rows have three to five members.
const fewMembers = 4

// Len is the number of members.
func (a *Array) Len() int {
	if a == nil {
		return 0
	}
	return len(a.keys)
}

func (a *Array) find(k Key) int {
	if a.index != nil {
		if i, ok := a.index[k]; ok {
			return i
		}
		return -1
	}
	return slices.Index(a.keys, k)
}

// Get is the member with the given string key and whether there is one.
func (a *Array) Get(key string) (Value, bool) { return a.GetKey(StringKey(key)) }

// GetKey is the member with the given key and whether there is one.
func (a *Array) GetKey(k Key) (Value, bool) {
	if a == nil {
		return Null, false
	}
	if i := a.find(k); i >= 0 {
		return a.vals[i], true
	}
	return Null, false
}

// Has reports whether there is a member with the given string key, null or not.
func (a *Array) Has(key string) bool {
	_, ok := a.Get(key)
	return ok
}

// At is the key and value at position i, which must be within the array.
func (a *Array) At(i int) (Key, Value) { return a.keys[i], a.vals[i] }

// Set sets the member with key k: in place if there is one, else at the end.
func (a *Array) Set(k Key, v Value) {
	if i := a.find(k); i >= 0 {
		a.vals[i] = v
		return
	}
	a.add(k, v)
}

func (a *Array) add(k Key, v Value) {
	if a.keys == nil {
		a.keys, a.vals = make([]Key, 0, fewMembers), make([]Value, 0, fewMembers)
	}
	a.keys = append(a.keys, k)
	a.vals = append(a.vals, v)
	if !k.isStr && (k.num >= a.next || !a.ints) {
		a.ints = true
		a.next = min(k.num, 1<<63-2) + 1
	}
	switch {
	case a.index != nil:
		a.index[k] = len(a.keys) - 1
	case len(a.keys) >= indexFrom:
		a.reindex()
	}
}

func (a *Array) reindex() {
	a.index = nil
	if len(a.keys) < indexFrom {
		return
	}
	a.index = make(map[Key]int, len(a.keys))
	for i, k := range a.keys {
		a.index[k] = i
	}
}

// SetString sets the member with the given string key.
func (a *Array) SetString(key string, v Value) { a.Set(StringKey(key), v) }

// setValue sets the member whose key is an integer or a string. It is false for any other kind of key.
func (a *Array) setValue(k, v Value) bool {
	switch k.kind {
	case KindInt:
		a.Set(IntKey(int64(k.num)), v)
	case KindString:
		a.SetString(k.str, v)
	default:
		return false
	}
	return true
}

// Append adds v at the next integer key: one more than the highest so far, 0 if there is none. After the highest key of
// all it does nothing, as PHP refuses it.
func (a *Array) Append(v Value) {
	if k := (Key{num: a.next}); k.num < 1<<63-1 || a.find(k) < 0 {
		a.add(k, v)
	}
}

// Delete removes the member with the given string key.
func (a *Array) Delete(key string) { a.DeleteKey(StringKey(key)) }

// DeleteKey removes the member with the given key.
func (a *Array) DeleteKey(k Key) {
	i := a.find(k)
	if i < 0 {
		return
	}
	a.keys = slices.Delete(a.keys, i, i+1)
	a.vals = slices.Delete(a.vals, i, i+1)
	a.reindex()
}

// All yields the members in order. The array must not be changed meanwhile.
func (a *Array) All() iter.Seq2[Key, Value] {
	return func(yield func(Key, Value) bool) {
		if a == nil {
			return
		}
		for i := range a.keys {
			if !yield(a.keys[i], a.vals[i]) {
				return
			}
		}
	}
}

// Values yields the values in order.
func (a *Array) Values() iter.Seq[Value] {
	return func(yield func(Value) bool) {
		for _, v := range a.All() {
			if !yield(v) {
				return
			}
		}
	}
}

// IsList reports whether the keys are exactly 0..n-1 in order; the empty array is a list.
func (a *Array) IsList() bool {
	if a == nil {
		return true
	}
	for i, k := range a.keys {
		if k.isStr || k.num != int64(i) {
			return false
		}
	}
	return true
}

// Clone is a deep copy.
func (a *Array) Clone() *Array {
	if a == nil {
		return nil
	}
	c := &Array{keys: slices.Clone(a.keys), vals: slices.Clone(a.vals), next: a.next, ints: a.ints}
	for i := range c.vals {
		c.vals[i] = c.vals[i].Clone()
	}
	c.reindex()
	return c
}

func (a *Array) identical(b *Array) bool {
	if a.Len() != b.Len() {
		return false
	}
	for i, k := range a.keys {
		if k != b.keys[i] || !a.vals[i].Identical(b.vals[i]) {
			return false
		}
	}
	return true
}

// SortKeys sorts the members by key as ksort does with its default flags. The sort is stable.
func (a *Array) SortKeys() {
	order := make([]int, len(a.keys))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return CompareKeys(a.keys[i], a.keys[j]) })
	keys, vals := make([]Key, len(order)), make([]Value, len(order))
	for to, from := range order {
		keys[to], vals[to] = a.keys[from], a.vals[from]
	}
	a.keys, a.vals = keys, vals
	a.reindex()
}

// CompareKeys is how ksort of PHP 8 orders two keys: integers as numbers; an integer and a string as numbers if the
// string is numeric, else as strings; two numeric strings as numbers; other strings by their bytes.
func CompareKeys(a, b Key) int { return compareLoose(a, b) }

// ReplaceRecursive is array_replace_recursive: members of b replace those of a with the same key; where both are
// arrays they are merged. a and b are not changed.
func ReplaceRecursive(a, b *Array) *Array {
	out := a.Clone()
	if out == nil {
		out = NewArray()
	}
	for k, v := range b.All() {
		if old, ok := out.GetKey(k); ok && old.kind == KindArray && v.kind == KindArray {
			v = ArrayOf(ReplaceRecursive(old.arr, v.arr))
		} else {
			v = v.Clone()
		}
		out.Set(k, v)
	}
	return out
}
