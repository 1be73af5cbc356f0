package tui

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
)

func (r *rig) click(x, y int) {
	r.m.View()
	_, cmd := r.m.Update(tea.MouseClickMsg{X: x, Y: y, Button: tea.MouseLeft})
	r.do(cmd)
}

func TestMouseIsOffUntilAskedFor(t *testing.T) {
	r := newRig(t, newWorld(false), Options{})
	if r.m.View().MouseMode != tea.MouseModeNone {
		t.Error("the mouse is taken without being asked for")
	}
	r.press("M")
	if r.m.View().MouseMode != tea.MouseModeCellMotion {
		t.Error("M does not turn the mouse on")
	}
	r.press("M")
	if r.m.View().MouseMode != tea.MouseModeNone {
		t.Error("M does not turn the mouse off")
	}
	if newRig(t, newWorld(false), Options{Mouse: true}).m.View().MouseMode != tea.MouseModeCellMotion {
		t.Error("the option does not turn the mouse on")
	}
}

func TestClicksChooseScreensAndRows(t *testing.T) {
	for _, size := range [][2]int{{120, 40}, {80, 24}, {40, 12}} {
		r := newRig(t, newWorld(true), Options{Mouse: true})
		r.size(size[0], size[1])
		for _, id := range []screenID{screenChecks, screenOverview, screens - 1, screenReleases} {
			_, ends := r.m.tabs()
			r.click(ends[id]-1, tabsLine)
			if r.m.screen != id {
				t.Errorf("%v: a click on tab %d shows screen %d", size, id, r.m.screen)
			}
		}
		for _, id := range []screenID{screenOverview, screenChecks, screenReleases, screenEvents} {
			r.m.screen = id
			r.m.View()
			spots := slices.Clone(r.m.spots)
			if len(spots) < 2 {
				t.Errorf("%v: screen %d has %d rows to click on", size, id, len(spots))
				continue
			}
			for _, s := range spots[:2] {
				was := strings.Split(ansi.Strip(r.m.render()), "\n")[s.y+headLines]
				r.click(1, s.y+headLines)
				now := strings.Split(ansi.Strip(r.m.render()), "\n")
				at := slices.IndexFunc(now[headLines:], func(l string) bool { return strings.Contains(firstCells(l, 4), "▸") })
				if at < 0 || unmarked(now[headLines+at]) != unmarked(was) {
					t.Errorf("%v: screen %d: a click on %q chose line %d of\n%s", size, id, was, at, strings.Join(now, "\n"))
				}
			}
		}
		if r.m.op != nil || r.m.dlg != nil {
			t.Errorf("%v: a click started something", size)
		}
	}
}

func firstCells(l string, n int) string { return ansi.Truncate(l, n, "") }

// unmarked is what a row says of itself: without the cursor.
func unmarked(l string) string {
	return strings.Join(strings.Fields(strings.ReplaceAll(l, "▸", " ")), " ")
}

func TestTheWheelScrolls(t *testing.T) {
	names := make([]string, 30)
	for i := range names {
		names[i] = fmt.Sprintf("node%02d", i)
	}
	r := newRig(t, newWorld(false, names...), Options{Mouse: true})
	r.size(80, 24)
	for _, step := range []struct {
		button tea.MouseButton
		want   int
	}{{tea.MouseWheelDown, wheelStep}, {tea.MouseWheelDown, 2 * wheelStep}, {tea.MouseWheelUp, wheelStep}} {
		r.m.Update(tea.MouseWheelMsg{Button: step.button})
		if got := r.m.at[screenOverview]; got != step.want {
			t.Errorf("row %d, want %d", got, step.want)
		}
	}
	r.press("?")
	r.m.Update(tea.MouseWheelMsg{Button: tea.MouseWheelDown})
	r.click(5, tabsLine)
	if r.m.dlg == nil || r.m.at[screenOverview] != wheelStep {
		t.Error("the mouse reaches below a dialog")
	}
}
