package tui

import (
	"strings"
	"testing"
)

// TestFootTellsWhatIsBelow wants nobody to take the beginning of a plan for all of it.
func TestFootTellsWhatIsBelow(t *testing.T) {
	r := newRig(t, newWorld(false), Options{})
	r.size(40, 12)
	r.press("4", "enter")
	r.typed("/srv/new.zip")
	r.press("enter")
	foot := func() string { return strings.Split(r.m.plainText(), "\n")[r.m.h-footLines] }
	if got := foot(); !strings.HasSuffix(got, "─ ↓ 37 more ─") {
		t.Errorf("at the beginning: %q", got)
	}
	r.press("down")
	if got := foot(); !strings.HasSuffix(got, "─ ↓ 36 more ─") {
		t.Errorf("a line further: %q", got)
	}
	r.m.say(caution, "a note that is much longer than this narrow terminal has room for")
	if got := foot(); !strings.HasPrefix(got, "─ a note") || !strings.HasSuffix(got, "… ↓ 36 more ─") {
		t.Errorf("beside a note: %q", got)
	}
	checkFrame(t, r.m)
	r.m.note = ""
	r.press("end")
	if got := foot(); strings.Trim(got, "─") != "" {
		t.Errorf("at the end: %q", got)
	}
	r.press("3", "home")
	if got := foot(); strings.Trim(got, "─") != "" {
		t.Errorf("on a screen that does not scroll: %q", got)
	}
}
