package message

import (
	"math"
	"slices"
	"strings"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/php"
)

// languages lists the locales to try, the best first, in mosparo's order of preference. It is never empty.
func (r *Request) languages() []string {
	var list []string
	add := func(locale string) {
		if len(locale) > 2 && !slices.Contains(list, locale[:2]) {
			list = slices.Insert(list, 0, locale[:2])
		}
		if !slices.Contains(list, locale) {
			list = slices.Insert(list, 0, locale)
		}
	}
	browser := fix(normalise(firstAccepted(r.AcceptLanguage)))
	html := strings.ReplaceAll(truthy(r.HTMLLanguage), "-", "_")
	switch static := fix(truthy(r.Language)); {
	case static != "":
		add(static)
	case r.Source == protection.LanguageBrowserHTML:
		add(html)
		add(browser)
	case r.Source == protection.LanguageHTMLBrowser:
		add(browser)
		add(html)
	default:
		add(browser)
	}
	if !slices.Contains(list, Fallback) {
		list = append(list, Fallback)
	}
	return slices.DeleteFunc(list, func(locale string) bool { return !wellFormed(locale) })
}

// truthy is PHP's view of a text: "0" is as good as nothing.
func truthy(s string) string {
	if s == "0" {
		return ""
	}
	return s
}

// wellFormed tells locales from what makes mosparo fail where it looks for a file of that name. The language that such a text
// begins with counts in mosparo, if it finds texts before it comes to the rest.
func wellFormed(locale string) bool {
	return locale != "" && !strings.ContainsFunc(locale, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("@_.-", r))
	})
}

// firstAccepted is the language of the highest quality in an Accept-Language header, the first of equals. It is read as Symfony
// does: of a language that comes twice the later one counts, and a quality that is no number is 0.
func firstAccepted(header string) string {
	best, quality := "", math.Inf(-1)
	items := accepted(header)
	last := make(map[string]int, len(items))
	for i, item := range items {
		last[item.language] = i
	}
	for i, item := range items {
		if last[item.language] == i && item.quality > quality {
			best, quality = item.language, item.quality
		}
	}
	return best
}

// acceptedItem is one entry of an Accept-Language header.
type acceptedItem struct {
	language string
	quality  float64
}

// accepted splits an Accept-Language header at its commas, semicolons and equals signs, except for those in quotes.
func accepted(header string) (items []acceptedItem) {
	var name, value string // of the part at hand
	var equals, begun bool // it has a value, it has anything
	var parts int          // of the item at hand
	var item acceptedItem
	q := 1.0
	endPart := func() {
		switch {
		case !begun:
		case parts == 0:
			item.language = name
			parts++
		case php.ToLower(name) != "q":
		case equals:
			q = php.Floatval(value)
		default:
			q = 1
		}
		name, value, equals, begun = "", "", false, false
	}
	endItem := func() {
		endPart()
		if parts > 0 {
			item.quality = q
			items = append(items, item)
		}
		q, parts = 1, 0
	}
	rest := php.Trim(header)
	for rest != "" {
		token := acceptedToken(rest)
		rest = rest[len(token):]
		text := strings.Trim(token, blanks)
		switch {
		case text == ",":
			endItem()
		case text == ";":
			endPart()
		case text == "=" && !equals:
			equals, begun = true, true
		case text == "":
		default:
			if text == "=" {
				text = token // belongs to the value, with the blanks around it
			}
			begun = true
			if text = unquoted(text); equals {
				value += text
			} else {
				name += text
			}
		}
	}
	endItem()
	return items
}

const blanks = " \t\n\v\f\r"

// acceptedToken is the first token of a header's rest: a separator with the blanks around it, blanks, or everything else up to a
// separator or blanks before one.
func acceptedToken(rest string) string {
	const separators = ",;="
	begin := len(rest) - len(strings.TrimLeft(rest, blanks))
	if begin < len(rest) && strings.IndexByte(separators, rest[begin]) >= 0 {
		return rest[:len(rest)-len(strings.TrimLeft(rest[begin+1:], blanks))]
	}
	if begin > 0 {
		return rest[:begin]
	}
	end := 0
	for end < len(rest) && strings.IndexByte(separators, rest[end]) < 0 {
		if end++; rest[end-1] != '"' {
			continue
		}
		for end < len(rest) && rest[end] != '"' {
			if rest[end] == '\\' && end+1 < len(rest) {
				end++
			}
			end++
		}
		end = min(end+1, len(rest))
	}
	return strings.TrimRight(rest[:end], blanks)
}

// unquoted takes the quotes and backslashes out of a text.
func unquoted(s string) string {
	if !strings.ContainsAny(s, `"\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		} else if s[i] == '"' {
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// normalise writes a language tag as a locale: de-CH becomes de_CH, i-xx becomes xx.
func normalise(tag string) string {
	parts := strings.Split(tag, "-")
	if len(parts) == 1 {
		return tag
	}
	if parts[0] == "i" {
		return parts[1]
	}
	parts[0] = strings.ToLower(parts[0])
	for i := 1; i < len(parts); i++ {
		parts[i] = strings.ToUpper(parts[i])
	}
	return strings.Join(parts, "_")
}

// fix keeps language and region or script of a locale and writes the script as files are named.
func fix(locale string) string {
	parts := strings.Split(locale, "_")
	if len(parts) == 1 {
		return locale
	}
	a, b := parts[0], parts[1]
	if len(b) > 2 {
		b = strings.ToUpper(b[:1]) + strings.ToLower(b[1:])
	}
	switch locale = a + "_" + b; locale {
	case "zh_CN":
		return "zh_Hans"
	case "zh_TW":
		return "zh_Hant"
	}
	return locale
}
