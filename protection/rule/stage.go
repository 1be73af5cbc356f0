package rule

import (
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/zeebo/xxh3"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/iprange"
	"github.com/mosparoctl/mosparoctl/protection/php"
	"github.com/mosparoctl/mosparoctl/protection/wildcard"
)

// The paths of fields that rules look at: word rules at all of the form, e-mail rules at pathEmail and pathTextarea, domain
// rules at pathURL besides, website rules at pathURL and pathTextarea. Paths that begin like this count.
const (
	pathForm      = "formData."
	pathEmail     = "formData.input[email]"
	pathURL       = "formData.input[url]"
	pathTextarea  = "formData.textarea"
	pathIPAddress = "client.ipAddress"
	pathUserAgent = "client.userAgent"
	pathASNumber  = "client.asNumber"
	pathCountry   = "client.country"
)

// itemTypes lists the item types that a rule type's tester can match.
var itemTypes = map[protection.RuleType][]protection.ItemType{
	protection.RuleWord:      {protection.ItemText, protection.ItemWordExact, protection.ItemWordFull, protection.ItemRegex},
	protection.RuleEmail:     {protection.ItemEmail},
	protection.RuleDomain:    {protection.ItemDomain},
	protection.RuleWebsite:   {protection.ItemURL},
	protection.RuleIPAddress: {protection.ItemIPAddress, protection.ItemSubnet},
	protection.RuleUserAgent: {protection.ItemUAText, protection.ItemUARegex},
	protection.RuleProvider:  {protection.ItemASNumber, protection.ItemCountry},
}

// Prepared is the prepared_value that mosparo stores with an item, a LIKE pattern of the preselection. The error is for a
// subnet that mosparo cannot save.
func Prepared(kind protection.ItemType, value string) (string, error) {
	lower := php.ToLower(value)
	switch kind {
	case protection.ItemText, protection.ItemUAText:
		return "%" + strings.Trim(strings.ReplaceAll(lower, "*", "%"), "%") + "%", nil
	case protection.ItemWordExact, protection.ItemWordFull, protection.ItemEmail, protection.ItemURL, protection.ItemDomain:
		return "%" + strings.Trim(lower, "%") + "%", nil
	case protection.ItemRegex, protection.ItemUARegex:
		return "%", nil
	case protection.ItemSubnet:
		return preparedSubnet(lower)
	}
	return lower, nil
}

// Hashed is the hashed_value that mosparo stores with an item: xxh128 of the lower-case value, in hex.
func Hashed(value string) string {
	sum := xxh3.HashString128(php.ToLower(value)).Bytes()
	return hex.EncodeToString(sum[:])
}

// preparedSubnet makes the textual prefix of the addresses of a range, as mosparo does. For many lengths no address has
// the prefix; such a subnet never matches.
func preparedSubnet(lower string) (string, error) {
	prefix, ok := iprange.Parse(lower)
	if !ok {
		return lower, nil
	}
	bits := prefix.Bits()
	if prefix.Addr().Is4() {
		octets := strings.Split(prefix.Masked().Addr().String(), ".")
		if bits < 8 {
			return "*.%", nil
		}
		return strings.Join(octets[:bits/8], ".") + ".%", nil
	}
	switch {
	case bits < 5:
		return "*:%", nil
	case bits < 64 && bits%16 > 4:
		return "", protection.Errorf(protection.CodeInvalid, "subnet %q: mosparo cannot save an IPv6 range of this length", lower).
			WithHint("use a length that is a multiple of 16, or up to 4 more")
	case bits > 64 && bits%16 != 0:
		bits = 64
	}
	return firstGroups(prefix.Masked().Addr().As16(), bits/16) + ":%", nil
}

// firstGroups prints the first groups of an IPv6 address as the library does that mosparo uses: the longest run of zeros
// among them is shortened to `::`, which at their end stands for the rest, too, and the last two of eight groups of an
// IPv4-mapped address look like IPv4.
func firstGroups(addr [16]byte, count int) string {
	for i := 2 * count; i < len(addr); i++ {
		addr[i] = 1 // so that what is left out is no zero
	}
	text := netip.AddrFrom16(addr).String()
	return text[:len(text)-len(":101")*(8-count)]
}

// like is SQL's LIKE on lower-cased texts: % is any run, _ any one character. With escapes a backslash takes the meaning
// from the character after it.
func like(text, pattern string, escapes bool) bool {
	type token struct {
		char byte
		kind byte // 'c' character, '_', '%'
	}
	tokens := make([]token, 0, len(pattern))
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; {
		case c == '\\' && escapes && i+1 < len(pattern):
			i++
			tokens = append(tokens, token{pattern[i], 'c'})
		case c == '%' || c == '_':
			tokens = append(tokens, token{c, c})
		default:
			tokens = append(tokens, token{c, 'c'})
		}
	}
	p, t := 0, 0
	star, from := -1, 0
	for t < len(text) {
		switch {
		case p < len(tokens) && tokens[p].kind == '%':
			star, from = p, t
			p++
		case p < len(tokens) && tokens[p].kind == '_':
			_, size := utf8.DecodeRuneInString(text[t:])
			p++
			t += size
		case p < len(tokens) && tokens[p].char == text[t]:
			p++
			t++
		case star >= 0:
			_, size := utf8.DecodeRuneInString(text[from:])
			from += size
			p, t = star+1, from
		default:
			return false
		}
	}
	return !slices.ContainsFunc(tokens[p:], func(k token) bool { return k.kind != '%' })
}

// containsText is the tester of text items: a substring, or with * or ? a wildcard pattern in which * crosses lines.
func (f *field) containsText(item string) bool {
	if !strings.ContainsAny(item, "*?") {
		return strings.Contains(f.lower, item)
	}
	if f.line == "" {
		f.line = strings.ReplaceAll(f.lower, "\n", " ")
	}
	return wildcard.Match("*"+strings.Trim(item, "*")+"*", f.line)
}

// containsWord is the tester of exact words: the item with anything but ASCII letters, digits and _ around it. mosparo
// leaves a slash in the item unquoted, which spoils its pattern.
func containsWord(lower, item string) bool {
	if strings.Contains(item, "/") {
		return false
	}
	for from := 0; from+len(item) <= len(lower); from++ {
		i := strings.Index(lower[from:], item)
		if i < 0 {
			return false
		}
		from += i
		if wordAt(lower, from, from+len(item)) {
			return true
		}
	}
	return false
}

func wordAt(s string, start, end int) bool {
	return (start == 0 || !isWord(s[start-1])) && (end == len(s) || !isWord(s[end]))
}

func isWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// isSpace is PCRE's \s without u.
func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

// containsEmail is the tester of addresses: the whole text, or the address with white space around it.
func containsEmail(lower, item string) bool {
	text, address := php.Trim(lower), php.Trim(item)
	return text == address || containsBetween(text, address,
		func(left string) bool { return left == "" || isSpace(left[len(left)-1]) },
		func(right string) bool { return right == "" || isSpace(right[0]) })
}

// containsDomain is the tester of domains.
func containsDomain(lower, item string) bool {
	return containsBetween(lower, strings.Trim(item, "./"),
		func(left string) bool {
			return left == "" || strings.HasSuffix(left, ".") || strings.HasSuffix(left, "//") || strings.HasSuffix(left, "@")
		},
		func(right string) bool {
			return right == "" || right == "\n" || strings.IndexByte("/#?&", right[0]) >= 0
		})
}

func containsBetween(text, item string, left, right func(string) bool) bool {
	for from := 0; from+len(item) <= len(text); from++ {
		i := strings.Index(text[from:], item)
		if i < 0 {
			return false
		}
		from += i
		if left(text[:from]) && right(text[from+len(item):]) {
			return true
		}
	}
	return false
}

// containsURL is the tester of addresses of pages.
func containsURL(lower, item string) bool {
	if !strings.Contains(item, "//") {
		item = "//" + item
	}
	return strings.Contains(lower, item)
}
