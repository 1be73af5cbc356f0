// Package widget holds what a visitor's browser loads: our own script, style sheet and logo with the public contract of
// mosparo's widget, or those of a mosparo release, and the style sheet of a project made from its design settings.
package widget

import (
	"cmp"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

var (
	//go:embed assets/mosparo-frontend.js
	ownScript string
	//go:embed assets/mosparo-frontend.css
	ownStyle string
	//go:embed assets/logo.svg
	ownLogo string
)

// The paths below the root of the service at which websites expect the assets.
const (
	ScriptPath = "/build/mosparo-frontend.js"
	StylePath  = "/build/mosparo-frontend.css"
	LogoPath   = "/resources/logo.svg"
)

// Assets are the files that are the same for all projects.
type Assets struct {
	Script string // text/javascript
	Style  string // text/css: values as variables with defaults
	logo   string // of a release, empty: ours
}

// releaseLogo is where a release has the image that it serves at LogoPath.
const releaseLogo = "build/images/mosparo_text_logo.svg"

// Own returns the assets written for this program.
func Own() Assets { return Assets{Script: compact(ownScript), Style: ownStyle} }

// FromRelease reads the assets of the mosparo release in a folder; without a logo in it there is ours. The error is
// fs.ErrNotExist if another one is missing.
func FromRelease(dir string) (Assets, error) {
	var a Assets
	for path, into := range map[string]*string{ScriptPath: &a.Script, StylePath: &a.Style} {
		data, err := os.ReadFile(filepath.Join(dir, "public", filepath.FromSlash(path)))
		if err != nil {
			return Assets{}, fmt.Errorf("read widget of the release: %w", err)
		}
		*into = string(data)
	}
	logo, err := os.ReadFile(filepath.Join(dir, "public", filepath.FromSlash(releaseLogo)))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Assets{}, fmt.Errorf("read logo of the release: %w", err)
	}
	a.logo = string(logo)
	return a, nil
}

// compact takes comment lines, indentation and the line ends that stand after punctuation out of our script, which has no
// text over several lines.
func compact(script string) string {
	var b strings.Builder
	for line := range strings.Lines(script) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "//") {
			continue
		}
		b.WriteString(line)
		if strings.IndexByte(";{,", line[len(line)-1]) < 0 {
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// Logo returns the image shown in the box. With forcedColors it is opaque and, by the colour scheme of the browser, black ("l")
// or white ("d").
func (a Assets) Logo(forcedColors bool, scheme string) string {
	if !forcedColors {
		return cmp.Or(a.logo, ownLogo)
	}
	if a.logo == "" {
		colour := "#000000"
		if scheme == "d" {
			colour = "#FFFFFF"
		}
		return strings.NewReplacer("#777777", colour, `opacity="0.6"`, `opacity="1.0"`).Replace(ownLogo)
	}
	const text = "var(--mosparo-text-color, rgb(0, 0, 0))" // as the release's image has it
	logo := strings.ReplaceAll(a.logo, "opacity:0.8;", "opacity:1.0;")
	switch scheme {
	case "l":
		logo = strings.ReplaceAll(logo, text, "#000000")
	case "d":
		logo = strings.ReplaceAll(logo, text, "#FFFFFF")
	}
	return logo
}

// Style is the style sheet of one project, made of the base style sheet: each variable whose fallback is its default gets
// the value of the design, and the rules hold only for the box of the project. logoURL is what the browser loads the logo
// from, such as LogoPath.
func (d *Design) Style(base, uuid, logoURL string) string {
	css := regexp.MustCompile(`(?s)/\*.*?\*/`).ReplaceAllString(base, "")
	css = replaceVariables(css, d.variables())
	css = strings.ReplaceAll(css, ".mosparo__container", ".mosparo__"+uuid)
	css = regexp.MustCompile(`[ \t]*[\r\n]+[ \t]*`).ReplaceAllString(css, "")
	return regexp.MustCompile(`url\(["']?[^"')]*logo[^"')]*["']?\)`).ReplaceAllStringFunc(css, func(url string) string {
		if !d.logoVisible() {
			return "none"
		}
		if _, fragment, ok := strings.Cut(strings.Trim(url[len("url("):len(url)-1], `"'`), "#"); ok {
			return "url(" + logoURL + "?" + fragment + ")"
		}
		return "url(" + logoURL + ")"
	})
}

// variable is what replaces a CSS variable whose fallback is its default.
type variable struct{ fallback, value string }

// replaceVariables replaces var(--name, fallback); a fallback may contain parentheses and further variables.
func replaceVariables(css string, variables map[string]variable) string {
	var b strings.Builder
	for {
		start := strings.Index(css, "var(")
		end := closingParenthesis(css, start)
		if start < 0 || end < 0 {
			b.WriteString(css)
			return b.String()
		}
		name, fallback, _ := strings.Cut(css[start+len("var("):end], ",")
		v, known := variables[strings.TrimSpace(name)]
		b.WriteString(css[:start])
		if known && minified(fallback) == minified(v.fallback) {
			b.WriteString(v.value)
		} else {
			b.WriteString("var(" + name)
			if fallback != "" {
				b.WriteString("," + replaceVariables(fallback, variables))
			}
			b.WriteString(")")
		}
		css = css[end+1:]
	}
}

// closingParenthesis finds the end of the first pair of parentheses after start.
func closingParenthesis(css string, start int) int {
	depth := 0
	for i := max(start, 0); i < len(css); i++ {
		switch css[i] {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

// minified spells a value as build tools do: no blank after commas, no zero before a decimal point.
func minified(value string) string {
	value = regexp.MustCompile(`\s*,\s*`).ReplaceAllString(strings.TrimSpace(value), ",")
	return regexp.MustCompile(`\b0(\.\d)`).ReplaceAllString(value, "$1")
}
