package tuitest_test

import (
	"slices"
	"testing"

	"github.com/mosparoctl/mosparoctl/tui/tuitest"
)

func TestModes(t *testing.T) {
	const on = "text\x1b[?1049h\x1b[?25l\x1b[?2004h\x1b[>4;2m\x1b[>1u\x1b[?1002;1006h"
	for written, want := range map[string][]string{
		"":                          nil,
		"\x1b[?25h\x1b[?7l\x1b[?7h": nil,
		on:                          {">4", "?1002", "?1006", "?1049", "?2004", "?25", "kitty"},
		on + "\x1b[?1049l\x1b[?25h\x1b[?2004l\x1b[>4m\x1b[<1u\x1b[?1002l\x1b[?1006l": nil,
		on + "\x1b[?1049l\x1b[?25h\x1b[>4m\x1b[?1002l\x1b[?1006l":                    {"?2004", "kitty"},
		"\x1b[<u\x1b[>1u": {"kitty"},
	} {
		if got := tuitest.Modes(written); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", written, got, want)
		}
	}
}
