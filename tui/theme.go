package tui

import (
	"image/color"
	"strings"

	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/colorprofile"
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
	// pens are made once, since Style.Render lays out its text anew each time, and a frame has a thousand pieces.
	pens [styles]pen
}

// pen is what goes before and behind a text. A tight one leaves out the blanks around it, which would show.
type pen struct {
	down, up string
	tight    bool
}

func newTheme(name string, l looks) *theme {
	t := &theme{name: name}
	for s, look := range l {
		const ink = "x"
		down, up, _ := strings.Cut(look.Render(ink), ink)
		t.pens[s] = pen{down, up, s != chosen && (look.GetUnderline() || look.GetBackground() != lipgloss.NoColor{})}
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

// themeOf is the theme of that name for a terminal that has the colours of a profile; an unknown one is Dark.
func themeOf(name string, p colorprofile.Profile) *theme {
	switch name {
	case Light:
		return newTheme(Light, standard(false, p))
	case Contrast:
		return newTheme(Contrast, contrast())
	case Mono:
		return newTheme(Mono, mono())
	default:
		return newTheme(Dark, standard(true, p))
	}
}

// standard is for a dark or a light background. Its colours are of the palette of 256, which is the same everywhere. A terminal of
// 16 gets its own for each, since the nearest ones of 16 would make warnings look like failures.
func standard(dark bool, p colorprofile.Profile) looks {
	if p == colorprofile.Unknown {
		p = colorprofile.ANSI256
	}
	onLightOrDark, complete := lipgloss.LightDark(dark), lipgloss.Complete(p)
	pick := func(of16 color.Color, of256 string) color.Color {
		return complete(of16, lipgloss.Color(of256), lipgloss.Color(of256))
	}
	ink := func(light, dark color.Color) lipgloss.Style {
		return lipgloss.NewStyle().Foreground(onLightOrDark(light, dark))
	}
	l := looks{
		dim:     ink(pick(lipgloss.BrightBlack, "242"), pick(lipgloss.White, "245")),
		strong:  lipgloss.NewStyle().Bold(true),
		accent:  ink(pick(lipgloss.Blue, "25"), pick(lipgloss.BrightCyan, "80")),
		good:    ink(pick(lipgloss.Green, "28"), pick(lipgloss.BrightGreen, "114")),
		caution: ink(pick(lipgloss.Yellow, "130"), pick(lipgloss.BrightYellow, "221")).Bold(!dark),
		bad:     ink(pick(lipgloss.Red, "160"), pick(lipgloss.BrightRed, "203")).Bold(true),
		unsure:  ink(pick(lipgloss.Magenta, "91"), pick(lipgloss.BrightMagenta, "176")),
		chosen:  ink(pick(lipgloss.Black, "16"), pick(lipgloss.BrightWhite, "231")).Background(onLightOrDark(pick(lipgloss.Cyan, "153"), pick(lipgloss.Blue, "24"))).Bold(true),
		edge:    ink(pick(lipgloss.White, "249"), pick(lipgloss.BrightBlack, "240")),
	}
	l[added], l[removed] = l[good], l[bad].Bold(false)
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

// setTheme uses a theme that somebody chose.
func (m *Model) setTheme(name string) { m.th, m.auto = themeOf(name, m.colour), false }

// askBackground asks the terminal for its background, where that decides on the theme. Not every terminal answers.
func (m *Model) askBackground() tea.Cmd {
	if !m.auto {
		return nil
	}
	return tea.RequestBackgroundColor
}

// onBackground takes the terminal's answer.
func (m *Model) onBackground(dark bool) {
	switch {
	case !m.auto:
	case dark:
		m.th = themeOf(Dark, m.colour)
	default:
		m.th = themeOf(Light, m.colour)
	}
}

// paint writes lines below each other with the theme's attributes.
func (t *theme) paint(b *strings.Builder, lines []line) {
	for i, l := range lines {
		if i > 0 {
			b.WriteByte('\n')
		}
		for _, s := range l {
			pen := &t.pens[s.style]
			ink, from, to := s.text, 0, len(s.text)
			if pen.tight {
				from, to = to-len(strings.TrimLeft(ink, " ")), len(strings.TrimRight(ink, " "))
			}
			if from >= to {
				b.WriteString(ink)
				continue
			}
			b.WriteString(ink[:from])
			b.WriteString(pen.down)
			b.WriteString(ink[from:to])
			b.WriteString(pen.up)
			b.WriteString(ink[to:])
		}
	}
}
