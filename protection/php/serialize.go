package php

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Object makes an object of a class with properties. Only the cache's DateTime is one.
func Object(class string, properties *Array) Value {
	if properties == nil {
		properties = NewArray()
	}
	return Value{kind: KindObject, str: class, arr: properties}
}

// DateTime is t as PHP's DateTime in UTC with microseconds.
func DateTime(t time.Time) Value {
	a := NewArray()
	a.SetString("date", String(t.UTC().Format("2006-01-02 15:04:05.000000")))
	a.SetString("timezone_type", Int(3))
	a.SetString("timezone", String("UTC"))
	return Object("DateTime", a)
}

// Time is the instant of a DateTime or DateTimeImmutable, and whether v is one that can be read: of zone type 1 (offset),
// 3 (identifier), or 2 (abbreviation) if it is UTC, GMT or Z; other abbreviations are ambiguous.
func (v Value) Time() (time.Time, bool) {
	if v.kind != KindObject || v.str != "DateTime" && v.str != "DateTimeImmutable" {
		return time.Time{}, false
	}
	date, ok1 := v.Get("date").Str()
	zone, ok2 := v.Get("timezone").Str()
	typ, _ := v.Get("timezone_type").Int()
	if !ok1 || !ok2 {
		return time.Time{}, false
	}
	loc := time.UTC
	switch {
	case typ == 1:
		at, err := time.Parse("-07:00", zone)
		if err != nil {
			return time.Time{}, false
		}
		loc = at.Location()
	case typ == 2 && (zone == "UTC" || zone == "GMT" || zone == "Z"):
	case typ == 3:
		l, err := time.LoadLocation(zone)
		if err != nil {
			return time.Time{}, false
		}
		loc = l
	default:
		return time.Time{}, false
	}
	t, err := time.ParseInLocation("2006-01-02 15:04:05", date, loc) // accepts a fraction
	return t, err == nil
}

// Serialize is PHP's serialize. Lengths are in bytes.
func Serialize(v Value) string { return string(AppendSerialized(nil, v)) }

// AppendSerialized appends the serialized form of v to b.
func AppendSerialized(b []byte, v Value) []byte {
	switch v.kind {
	case KindNull:
		return append(b, "N;"...)
	case KindBool:
		return append(b, 'b', ':', '0'+byte(v.num), ';')
	case KindInt:
		b = strconv.AppendInt(append(b, "i:"...), int64(v.num), 10)
		return append(b, ';')
	case KindFloat:
		return append(append(append(b, "d:"...), formatShortest(math.Float64frombits(v.num), 'E')...), ';')
	case KindString:
		return append(appendQuoted(append(b, "s:"...), v.str), ';')
	case KindObject:
		b = append(appendQuoted(append(b, "O:"...), v.str), ':')
	default:
		b = append(b, "a:"...)
	}
	b = append(strconv.AppendInt(b, int64(v.arr.Len()), 10), ":{"...)
	for k, m := range v.arr.All() {
		b = AppendSerialized(AppendSerialized(b, k.Value()), m)
	}
	return append(b, '}')
}

func appendQuoted(b []byte, s string) []byte {
	b = append(strconv.AppendInt(b, int64(len(s)), 10), ':', '"')
	return append(append(b, s...), '"')
}

// errSerialized is wrapped by what Unserialize and DecodeIgbinary return.
var errSerialized = errors.New("not a serialized PHP value that can be read")

// Unserialize reads PHP's serialize form of null, scalars, arrays and objects with plain properties. References, enums
// and classes that serialize themselves are refused. Nothing is instantiated; an object is only its class name and data.
func Unserialize(s string) (Value, error) {
	u := unserializer{s: s}
	v, err := u.value(0)
	if err == nil && u.i != len(s) {
		err = u.fail("something follows the value")
	}
	if err != nil {
		return Null, err
	}
	return v, nil
}

type unserializer struct {
	s string
	i int
}

func (u *unserializer) fail(why string) error {
	return fmt.Errorf("%w: %s at byte %d", errSerialized, why, u.i)
}

// upTo eats the text before c and c itself.
func (u *unserializer) upTo(c byte) (string, error) {
	n := strings.IndexByte(u.s[u.i:], c)
	if n < 0 || n > 64 {
		return "", u.fail("no " + strconv.QuoteRune(rune(c)))
	}
	t := u.s[u.i : u.i+n]
	u.i += n + 1
	return t, nil
}

func (u *unserializer) eat(t string) error {
	if !strings.HasPrefix(u.s[u.i:], t) {
		return u.fail("no " + strconv.Quote(t))
	}
	u.i += len(t)
	return nil
}

func (u *unserializer) count() (int, error) {
	t, err := u.upTo(':')
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(t, 10, 31)
	if err != nil || int(n) > len(u.s)-u.i {
		return 0, u.fail("a length that cannot be")
	}
	return int(n), nil
}

func (u *unserializer) quoted() (string, error) {
	n, err := u.count()
	if err != nil {
		return "", err
	}
	if len(u.s)-u.i < n+2 || u.s[u.i] != '"' || u.s[u.i+1+n] != '"' {
		return "", u.fail("a string of another length")
	}
	t := u.s[u.i+1 : u.i+1+n]
	u.i += n + 2
	return t, nil
}

func (u *unserializer) value(depth int) (Value, error) {
	if depth > MaxDepth {
		return Null, u.fail("nested too deeply")
	}
	if len(u.s)-u.i < 2 {
		return Null, u.fail("cut off")
	}
	kind := u.s[u.i : u.i+2]
	u.i += 2
	switch kind {
	case "N;":
		return Null, nil
	case "b:", "i:", "d:":
		t, err := u.upTo(';')
		if err != nil {
			return Null, err
		}
		return u.scalar(kind, t)
	case "s:":
		t, err := u.quoted()
		if err == nil {
			err = u.eat(";")
		}
		return String(t), err
	case "a:":
		a, err := u.members(depth)
		return ArrayOf(a), err
	case "O:":
		class, err := u.quoted()
		if err == nil {
			err = u.eat(":")
		}
		if err != nil {
			return Null, err
		}
		a, err := u.members(depth)
		return Object(class, a), err
	}
	u.i -= 2
	return Null, u.fail("an unknown type")
}

func (u *unserializer) scalar(kind, t string) (Value, error) {
	switch kind {
	case "b:":
		if t == "0" || t == "1" {
			return Bool(t == "1"), nil
		}
	case "i:":
		if n, err := strconv.ParseInt(t, 10, 64); err == nil {
			return Int(n), nil
		}
	case "d:":
		switch t {
		case "INF":
			return Float(math.Inf(1)), nil
		case "-INF":
			return Float(math.Inf(-1)), nil
		case "NAN":
			return Float(math.NaN()), nil
		}
		if n := scanNumber(t); n.len == len(t) && n.len > 0 {
			return Float(n.float()), nil
		}
	}
	return Null, u.fail("a scalar that cannot be read")
}

func (u *unserializer) members(depth int) (*Array, error) {
	n, err := u.count()
	if err == nil {
		err = u.eat("{")
	}
	if err != nil {
		return nil, err
	}
	a := NewArray()
	for range n {
		k, err := u.value(MaxDepth) // a key holds nothing
		if err != nil {
			return nil, err
		}
		v, err := u.value(depth + 1)
		if err != nil {
			return nil, err
		}
		if !a.setValue(k, v) {
			return nil, u.fail("a key that is no int and no string")
		}
	}
	return a, u.eat("}")
}
