package tuitest

import (
	"fmt"
	"html"
	"regexp"
	"strconv"
	"strings"
)

// page holds a screen as a web page, for a picture of it. Its lines are as high as the font's frames and blocks, which join then.
const page = `<!doctype html><meta charset="utf-8"><title>%s</title>
<style>html{background:#16181d}body{margin:14px;color:#d4d7dd}pre{margin:0;font:14px/16px "DejaVu Sans Mono",monospace}</style>
<pre>%s</pre>
`

// HTML draws a capture with its colours as a web page. It knows the attributes that the program's themes use.
func HTML(title, ansi string) string {
	var b strings.Builder
	var look attributes
	sgr := regexp.MustCompile(`\x1b\[([0-9;]*)m`)
	for {
		at := sgr.FindStringSubmatchIndex(ansi)
		text := ansi
		if at != nil {
			text = ansi[:at[0]]
		}
		if text != "" {
			fmt.Fprintf(&b, `<span style="%s">%s</span>`, look.css(), html.EscapeString(text))
		}
		if at == nil {
			return fmt.Sprintf(page, html.EscapeString(title), b.String())
		}
		look.set(ansi[at[2]:at[3]])
		ansi = ansi[at[1]:]
	}
}

// attributes are how text looks. Colours are numbers of the 256-colour palette, -1 for the terminal's own.
type attributes struct {
	bold, underline, reverse bool
	fg, bg                   int
	set0                     bool // fg and bg hold colours
}

func (a *attributes) set(codes string) {
	if !a.set0 {
		*a = attributes{fg: -1, bg: -1, set0: true}
	}
	var n []int
	for code := range strings.SplitSeq(codes, ";") {
		v, _ := strconv.Atoi(code) // an empty one is 0
		n = append(n, v)
	}
	for i := 0; i < len(n); i++ {
		switch c := n[i]; {
		case c == 0:
			*a = attributes{fg: -1, bg: -1, set0: true}
		case c == 1:
			a.bold = true
		case c == 4:
			a.underline = true
		case c == 7:
			a.reverse = true
		case c == 22:
			a.bold = false
		case c == 24:
			a.underline = false
		case c == 27:
			a.reverse = false
		case (c == 38 || c == 48) && i+2 < len(n) && n[i+1] == 5:
			if c == 38 {
				a.fg = n[i+2]
			} else {
				a.bg = n[i+2]
			}
			i += 2
		case c >= 30 && c <= 37:
			a.fg = c - 30
		case c == 39:
			a.fg = -1
		case c >= 40 && c <= 47:
			a.bg = c - 40
		case c == 49:
			a.bg = -1
		case c >= 90 && c <= 97:
			a.fg = c - 90 + 8
		case c >= 100 && c <= 107:
			a.bg = c - 100 + 8
		}
	}
}

func (a attributes) css() string {
	fg, bg := "", ""
	if a.set0 && a.fg >= 0 {
		fg = colour(a.fg)
	}
	if a.set0 && a.bg >= 0 {
		bg = colour(a.bg)
	}
	if a.reverse {
		if fg == "" {
			fg = "#d4d7dd"
		}
		if bg == "" {
			bg = "#16181d"
		}
		fg, bg = bg, fg
	}
	var css strings.Builder
	if fg != "" {
		css.WriteString("color:" + fg + ";")
	}
	if bg != "" {
		css.WriteString("background:" + bg + ";")
	}
	if a.bold {
		css.WriteString("font-weight:bold;")
	}
	if a.underline {
		css.WriteString("text-decoration:underline;")
	}
	return css.String()
}

// colour is a colour of the 256-colour palette: 16 basic ones, a cube of 6×6×6, and 24 greys.
func colour(n int) string {
	switch {
	case n < 16:
		basic := [16]string{"#000000", "#cd3131", "#0dbc79", "#e5e510", "#2472c8", "#bc3fbc", "#11a8cd", "#e5e5e5",
			"#666666", "#f14c4c", "#23d18b", "#f5f543", "#3b8eea", "#d670d6", "#29b8db", "#ffffff"}
		return basic[max(n, 0)]
	case n < 232:
		n -= 16
		level := func(v int) int {
			if v == 0 {
				return 0
			}
			return 55 + 40*v
		}
		return fmt.Sprintf("#%02x%02x%02x", level(n/36), level(n/6%6), level(n%6))
	default:
		g := 8 + 10*(min(n, 255)-232)
		return fmt.Sprintf("#%02x%02x%02x", g, g, g)
	}
}
