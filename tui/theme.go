package tui

import "strings"

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

// theme gives each style its SGR attributes. Colour is never the only sign: verdicts have glyphs, the cursor has a mark.
type theme struct {
	name string
	sgr  [styles]string
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
		return &theme{Light, [styles]string{dim: "38;5;242", strong: "1", accent: "38;5;25", good: "38;5;28", caution: "1;38;5;130", bad: "1;38;5;160",
			unsure: "38;5;91", chosen: "1;38;5;16;48;5;153", edge: "38;5;249", added: "38;5;28", removed: "38;5;160"}}
	case Contrast:
		return &theme{Contrast, [styles]string{strong: "1", accent: "1;96", good: "1;92", caution: "1;30;103", bad: "1;97;101",
			unsure: "1;30;105", chosen: "1;30;107", edge: "97", added: "1;92", removed: "1;91"}}
	case Mono:
		return &theme{Mono, [styles]string{strong: "1", accent: "1", caution: "1", bad: "1;4", unsure: "4", chosen: "7"}}
	default:
		return &theme{Dark, [styles]string{dim: "38;5;245", strong: "1", accent: "38;5;80", good: "38;5;114", caution: "38;5;221", bad: "1;38;5;203",
			unsure: "38;5;176", chosen: "1;38;5;231;48;5;24", edge: "38;5;240", added: "38;5;114", removed: "38;5;203"}}
	}
}

// paint writes the line with the theme's attributes.
func (t *theme) paint(b *strings.Builder, l line) {
	for _, s := range l {
		sgr := t.sgr[s.style]
		if sgr == "" {
			b.WriteString(s.text)
			continue
		}
		b.WriteString("\x1b[")
		b.WriteString(sgr)
		b.WriteByte('m')
		b.WriteString(s.text)
		b.WriteString("\x1b[m")
	}
}
