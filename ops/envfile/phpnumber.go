package envfile

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// number reads a whole number or a float, with its sign.
func (p *phpParser) number() (Value, error) {
	at := p.pos
	negative := false
	if c := p.src[p.pos]; c == '-' || c == '+' {
		negative = c == '-'
		p.pos++
		if err := p.space(); err != nil {
			return Value{}, err
		}
	}
	start := p.pos
	for p.pos < len(p.src) {
		c := p.src[p.pos]
		exponentSign := (c == '+' || c == '-') && p.pos > start && p.src[p.pos-1]|0x20 == 'e' &&
			!strings.HasPrefix(strings.ToLower(p.src[start:]), "0x")
		if !isWord(c) && c != '.' && !exponentSign {
			break
		}
		p.pos++
	}
	text := p.src[start:p.pos]
	if strings.EqualFold(text, "inf") && negative {
		return FloatValue(math.Inf(-1)), nil
	}
	v, err := parseNumber(text, negative)
	if err != nil {
		return Value{}, p.errorf(at, "not a number that PHP knows")
	}
	// -9223372036854775807-1 is how var_export writes the least integer.
	if v.kind == Int && v.num == -math.MaxInt64 && p.take("-1") {
		v.num--
	}
	return v, nil
}

var errNumber = errors.New("not a number")

func parseNumber(text string, negative bool) (Value, error) {
	if text == "" || strings.HasPrefix(text, "_") || strings.HasSuffix(text, "_") || strings.Contains(text, "__") ||
		!strings.ContainsAny(text[:1], "0123456789.") {
		return Value{}, errNumber
	}
	text = strings.ReplaceAll(text, "_", "")
	lower := strings.ToLower(text)
	based := strings.HasPrefix(lower, "0x") || strings.HasPrefix(lower, "0b") || strings.HasPrefix(lower, "0o")
	if !based && strings.ContainsAny(lower, ".e") {
		if strings.Trim(lower, "0123456789.e+-") != "" || lower == "." {
			return Value{}, errNumber
		}
		return parseFloat(lower, negative)
	}
	base := 10
	switch {
	case based:
		base = 0
	case len(text) > 1 && text[0] == '0':
		base = 8
	}
	n, err := strconv.ParseUint(lower, base, 64)
	if err == nil && n <= math.MaxInt64 {
		if negative {
			return IntValue(-int64(n)), nil
		}
		return IntValue(int64(n)), nil
	}
	if base == 10 && strings.Trim(lower, "0123456789") == "" { // too large for an integer: PHP takes a float
		return parseFloat(lower, negative)
	}
	return Value{}, errNumber
}

func parseFloat(text string, negative bool) (Value, error) {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return Value{}, errNumber
	}
	if negative {
		f = -f
	}
	return FloatValue(f), nil
}
