package tui

import (
	"strings"

	tea "charm.land/bubbletea/v2"
)

// maxInput bounds what can be typed or pasted into one line, in runes.
const maxInput = 512

// input is one line that is typed.
type input struct {
	value []rune
	at    int
}

func newInput(value string) input {
	r := []rune(clean(value))
	return input{r, len(r)}
}

func (i *input) String() string { return string(i.value) }

// insert puts text at the cursor. Line ends and control characters in it count for nothing, so a paste never submits.
func (i *input) insert(s string) {
	r := []rune(clean(s))
	if room := maxInput - len(i.value); len(r) > room {
		r = r[:max(room, 0)]
	}
	i.value = append(i.value[:i.at:i.at], append(r, i.value[i.at:]...)...)
	i.at += len(r)
}

// key edits, and reports whether the key meant something.
func (i *input) key(k tea.Key) bool {
	switch k.String() {
	case "left":
		i.at = max(i.at-1, 0)
	case "right":
		i.at = min(i.at+1, len(i.value))
	case "home", "ctrl+a":
		i.at = 0
	case "end", "ctrl+e":
		i.at = len(i.value)
	case "backspace":
		if i.at > 0 {
			i.value = append(i.value[:i.at-1:i.at-1], i.value[i.at:]...)
			i.at--
		}
	case "delete":
		if i.at < len(i.value) {
			i.value = append(i.value[:i.at:i.at], i.value[i.at+1:]...)
		}
	case "ctrl+u":
		i.value, i.at = i.value[i.at:], 0
	default:
		if k.Text == "" || k.Mod&(tea.ModCtrl|tea.ModAlt|tea.ModMeta|tea.ModSuper) != 0 {
			return false
		}
		i.insert(k.Text)
	}
	return true
}

// line draws the input in w cells, with a block where the cursor is.
func (i *input) line(prompt string, w int) line {
	before, under, after := string(i.value[:i.at]), " ", ""
	if i.at < len(i.value) {
		under, after = string(i.value[i.at]), string(i.value[i.at+1:])
	}
	room := max(w-width(prompt)-2, 1)
	for width(before) > room {
		before = strings.TrimPrefix(before, string([]rune(before)[:1]))
	}
	return line{{accent, prompt}, {strong, before}, {chosen, under}, {strong, after}}.fit(w)
}
