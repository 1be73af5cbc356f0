package php

import (
	"math"
	"strconv"
	"strings"
)

// FormatInt is an integer in decimal.
func FormatInt(i int64) string { return strconv.FormatInt(i, 10) }

// FormatFloat is PHP's (string) conversion of a float: at most 14 significant digits (its default ini precision),
// exponents such as 1.0E+25 from 1.0E+15 on and below 0.0001. It is also what PHP hands to a database for a bound float.
func FormatFloat(f float64) string { return formatFloat(f, 14, 'E') }

// formatShortest is the shortest text that reads back as f, as json_encode (e is 'e') and serialize (e is 'E') write it.
func formatShortest(f float64, e byte) string { return formatFloat(f, -1, e) }

// Round14 is what is left of f when PHP stores it through FormatFloat in a column of type double.
func Round14(f float64) float64 {
	r, err := strconv.ParseFloat(strconv.FormatFloat(f, 'e', 13, 64), 64)
	if err != nil {
		return f
	}
	return r
}

// formatFloat follows PHP's gcvt: digits significant digits, -1 for the shortest.
func formatFloat(f float64, digits int, e byte) string {
	switch {
	case math.IsNaN(f):
		return "NAN"
	case math.IsInf(f, 1):
		return "INF"
	case math.IsInf(f, -1):
		return "-INF"
	case f == 0:
		if math.Signbit(f) {
			return "-0"
		}
		return "0"
	}
	limit, prec := digits, digits-1
	if digits < 0 {
		limit, prec = 17, -1
	}
	mant, exp, _ := strings.Cut(strconv.FormatFloat(math.Abs(f), 'e', prec, 64), "e")
	ds := strings.TrimRight(strings.Replace(mant, ".", "", 1), "0")
	x, _ := strconv.Atoi(exp)
	point := x + 1 // the value is 0.ds * 10^point
	var b strings.Builder
	if f < 0 {
		b.WriteByte('-')
	}
	switch {
	case point < -3 || point > limit:
		b.WriteByte(ds[0])
		b.WriteByte('.')
		if len(ds) == 1 {
			b.WriteByte('0')
		} else {
			b.WriteString(ds[1:])
		}
		b.WriteByte(e)
		if x < 0 {
			b.WriteByte('-')
		} else {
			b.WriteByte('+')
		}
		b.WriteString(strconv.Itoa(max(x, -x)))
	case point <= 0:
		b.WriteString("0." + strings.Repeat("0", -point) + ds)
	case len(ds) <= point:
		b.WriteString(ds + strings.Repeat("0", point-len(ds)))
	default:
		b.WriteString(ds[:point] + "." + ds[point:])
	}
	return b.String()
}

// FloatToInt is PHP's (int) conversion of a float on a 64-bit machine: truncated, wrapped modulo 2^64 outside the range,
// 0 for NaN and the infinities.
func FloatToInt(f float64) int64 {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return 0
	}
	f = math.Trunc(f)
	if f >= -(1<<63) && f < 1<<63 {
		return int64(f)
	}
	m := math.Mod(f, 1<<64)
	if m < 0 {
		m += 1 << 64
	}
	return int64(uint64(m))
}

// Intval is PHP's (int) conversion of a string: leading white space, then the longest number, which may have a fraction
// and an exponent, truncated and held within 64 bits. Anything else is 0.
func Intval(s string) int64 {
	n := scanNumber(s)
	switch {
	case n.len == 0:
		return 0
	case n.isInt:
		return n.i
	case math.IsInf(n.f, 0):
		return 0
	case n.f >= 1<<63:
		return math.MaxInt64
	case n.f < -(1 << 63):
		return math.MinInt64
	}
	return int64(n.f)
}

// Floatval is PHP's (float) conversion of a string: leading white space, then the longest number; 0 if there is none.
func Floatval(s string) float64 {
	if n := scanNumber(s); n.len > 0 {
		return n.float()
	}
	return 0
}

// IsNumeric is PHP's is_numeric for a string: a decimal number with optional white space around it.
func IsNumeric(s string) bool {
	n := scanNumber(s)
	return n.len > 0 && !n.rest
}

// number is the numeric prefix of a string.
type number struct {
	i        int64
	f        float64
	isInt    bool // i holds it exactly; else f
	overflow bool // an integer by its form that does not fit 64 bits
	len      int  // bytes of the prefix, 0 if there is no number
	rest     bool // something but white space follows
}

const whitespace = " \t\n\r\v\f"

func scanNumber(s string) number {
	start := len(s) - len(strings.TrimLeft(s, whitespace))
	i := start
	if i < len(s) && (s[i] == '+' || s[i] == '-') {
		i++
	}
	digits := func() int {
		from := i
		for i < len(s) && '0' <= s[i] && s[i] <= '9' {
			i++
		}
		return i - from
	}
	whole, isInt := digits(), true
	if i < len(s) && s[i] == '.' {
		i++
		if frac := digits(); frac == 0 && whole == 0 {
			return number{rest: s != ""}
		}
		isInt = false
	}
	if whole == 0 && isInt {
		return number{rest: s != ""}
	}
	if i < len(s) && (s[i] == 'e' || s[i] == 'E') {
		mark := i
		i++
		if i < len(s) && (s[i] == '+' || s[i] == '-') {
			i++
		}
		if digits() == 0 {
			i = mark
		} else {
			isInt = false
		}
	}
	n := number{len: i, rest: strings.Trim(s[i:], whitespace) != ""}
	if isInt {
		v, err := strconv.ParseInt(s[start:i], 10, 64)
		if n.i, n.isInt, n.overflow = v, err == nil, err != nil; err == nil {
			return n
		}
	}
	n.f, _ = strconv.ParseFloat(s[start:i], 64) // out of range gives an infinity, as in PHP
	return n
}

// compareLoose orders two keys by PHP 8's comparison of ints and strings.
func compareLoose(a, b Key) int {
	if !a.isStr && !b.isStr {
		return cmp(a.num, b.num)
	}
	as, bs := a.String(), b.String()
	x, y := scanNumber(as), scanNumber(bs)
	if x.len == 0 || x.rest || y.len == 0 || y.rest {
		return strings.Compare(as, bs)
	}
	if x.isInt && y.isInt {
		return cmp(x.i, y.i)
	}
	if x.overflow && y.overflow && x.f == y.f {
		return strings.Compare(as, bs)
	}
	return cmp(x.float(), y.float())
}

func (n number) float() float64 {
	if n.isInt {
		return float64(n.i)
	}
	return n.f
}

func cmp[T int64 | float64](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
