package tui

import (
	"image/color"
	"strings"

	"charm.land/lipgloss/v2"
)

// style is what a piece of text means; a theme says how that looks.
type style uint8

const (
	plain   style = iota
	dim           // of less weight
	strong        // headings and names
	accent        // keys, what can be acted on
	good          // verdict ok
	caution       // verdict warn, and what is stale
	bad           // verdict fail
	unsure        // verdict unknown
	chosen        // the row of the cursor
	edge          // frames
	added         // in a diff
	removed       // in a diff
	styles        // how many there are
)

// looks says how styles look; what is missing looks like the terminal's own text. Colour is never the only sign: verdicts have
// glyphs, the cursor has a mark.
type looks map[style]lipgloss.Style

// theme is looks made ready to paint with.
type theme struct {
	name string
	// pens hold what goes before and behind a text. They are made once, since Style.Render lays out its text anew each time,
	// and a frame has a thousand pieces.
	pens [styles]struct{ down, up string }
}

func newTheme(name string, l looks) *theme {
	t := &theme{name: name}
	for s, look := range l {
		const ink = "x"
		t.pens[s].down, t.pens[s].up, _ = strings.Cut(look.Render(ink), ink)
	}
	return t
}

// Names of the themes.
const (
	Dark     = "dark"
	Light    = "light"
	Contrast = "contrast"
	Mono     = "mono" // no colours: NO_COLOR
)

// Themes lists the names of all themes.
func Themes() []string { return []string{Dark, Light, Contrast, Mono} }

// themeOf is the theme of that name; an unknown one is Dark.
func themeOf(name string) *theme {
	switch name {
	case Light:
		return newTheme(Light, standard(false))
	case Contrast:
		return newTheme(Contrast, contrast())
	case Mono:
		return newTheme(Mono, mono())
	default:
		return newTheme(Dark, standard(true))
	}
}

// standard is for a dark or a light background. Its colours are of the palette of 256, so that they are the same everywhere;
// bubbletea turns them into those that a terminal of 16 colours has.
func standard(dark bool) looks {
	onLightOrDark := lipgloss.LightDark(dark)
	ink := func(light, dark string) lipgloss.Style {
		return lipgloss.NewStyle().Foreground(onLightOrDark(lipgloss.Color(light), lipgloss.Color(dark)))
	}
	back := onLightOrDark(lipgloss.Color("153"), lipgloss.Color("24"))
	l := looks{
		dim: ink("242", "245"), strong: lipgloss.NewStyle().Bold(true), accent: ink("25", "80"), good: ink("28", "114"), caution: ink("130", "221"),
		bad: ink("160", "203").Bold(true), unsure: ink("91", "176"), chosen: ink("16", "231").Background(back).Bold(true), edge: ink("249", "240"),
		added: ink("28", "114"), removed: ink("160", "203"),
	}
	if !dark {
		l[caution] = l[caution].Bold(true)
	}
	return l
}

// contrast uses the brightest of the 16 colours that every terminal has, and backgrounds for what matters.
func contrast() looks {
	ink := func(c color.Color) lipgloss.Style { return lipgloss.NewStyle().Foreground(c).Bold(true) }
	return looks{
		strong: lipgloss.NewStyle().Bold(true), accent: ink(lipgloss.BrightCyan), good: ink(lipgloss.BrightGreen),
		caution: ink(lipgloss.Black).Background(lipgloss.BrightYellow), bad: ink(lipgloss.BrightWhite).Background(lipgloss.BrightRed),
		unsure: ink(lipgloss.Black).Background(lipgloss.BrightMagenta), chosen: ink(lipgloss.Black).Background(lipgloss.BrightWhite),
		edge: lipgloss.NewStyle().Foreground(lipgloss.BrightWhite), added: ink(lipgloss.BrightGreen), removed: ink(lipgloss.BrightRed),
	}
}

// mono has attributes and no colours.
func mono() looks {
	bold := lipgloss.NewStyle().Bold(true)
	return looks{strong: bold, accent: bold, caution: bold, bad: bold.Underline(true), unsure: lipgloss.NewStyle().Underline(true), chosen: lipgloss.NewStyle().Reverse(true)}
}

// paint writes lines below each other with the theme's attributes.
func (t *theme) paint(b *strings.Builder, lines []line) {
	for i, l := range lines {
		if i > 0 {
			b.WriteByte('\n')
		}
		for _, s := range l {
			pen := &t.pens[s.style]
			b.WriteString(pen.down)
			b.WriteString(s.text)
			b.WriteString(pen.up)
		}
	}
}
