package message

import (
	"slices"
	"strconv"
	"strings"

	"github.com/mosparoctl/mosparoctl/protection"
)

// languages lists the locales to try, the best first, in mosparo's order of preference. It is never empty.
func (r *Request) languages() []string {
	var list []string
	add := func(locale string) {
		if !wellFormed(locale) {
			return
		}
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
	return list
}

// truthy is PHP's view of a text: "0" is as good as nothing.
func truthy(s string) string {
	if s == "0" {
		return ""
	}
	return s
}

// wellFormed keeps out what makes mosparo fail.
func wellFormed(locale string) bool {
	return locale != "" && !strings.ContainsFunc(locale, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("@_.-", r))
	})
}

// firstAccepted is the language of the highest quality in an Accept-Language header, the first of equals.
func firstAccepted(header string) string {
	best, quality := "", -1.0
	for item := range strings.SplitSeq(header, ",") {
		language, params, _ := strings.Cut(item, ";")
		language = strings.TrimSpace(language)
		q := 1.0
		for param := range strings.SplitSeq(params, ";") {
			if name, value, ok := strings.Cut(param, "="); ok && strings.TrimSpace(name) == "q" {
				q, _ = strconv.ParseFloat(strings.TrimSpace(value), 64)
			}
		}
		if language != "" && q > quality {
			best, quality = language, q
		}
	}
	return best
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
