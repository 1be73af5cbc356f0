package tui

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"

	"github.com/mosparoctl/mosparoctl/ops"
)

// golden compares with testdata/golden; UPDATE=1 rewrites it. Escape is shown as ␛.
func golden(t *testing.T, name, got string) {
	t.Helper()
	got = strings.ReplaceAll(got, "\x1b", "␛")
	path := filepath.Join("testdata", "golden", name+".txt")
	if os.Getenv("UPDATE") == "1" {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != got {
		t.Errorf("%s differs; UPDATE=1 rewrites it. Got:\n%s", path, got)
	}
}

// checkFrame wants exactly h lines of w cells.
func checkFrame(t testing.TB, m *Model) {
	t.Helper()
	lines := strings.Split(m.render(), "\n")
	if len(lines) != m.h {
		t.Errorf("%d lines on a terminal of %d", len(lines), m.h)
	}
	for i, l := range lines {
		if w := ansi.StringWidth(l); w != m.w {
			t.Errorf("line %d has %d cells on a terminal of %d: %q", i, w, m.w, ansi.Strip(l))
		}
	}
}

// settings are the states in which every screen is drawn, beside what it shows by itself.
var settings = []struct {
	name  string
	reach func(r *rig)
}{
	{"deploy-plan", func(r *rig) { r.press("4", "enter"); r.typed("/srv/new.zip"); r.press("enter") }},
	{"deploy-confirm", func(r *rig) {
		r.press("4", "enter")
		r.typed("/srv/new.zip")
		r.press("enter", "enter")
		r.typed("shop")
	}},
	{"deploy-running", deployRunning},
	{"deploy-failed", func(r *rig) { r.press("4", "enter"); r.typed("/nothing"); r.press("enter") }},
	{"help", func(r *rig) { r.press("3", "?") }},
	{"palette", func(r *rig) { r.press(":"); r.typed("the") }},
	{"filter", func(r *rig) { r.press("3", "/"); r.typed("cache"); r.press("enter") }},
	{"quit", func(r *rig) { deployRunning(r); r.press("q") }},
}

// deployRunning is in the middle of a deploy: begun by hand, since the commands of a rig end before they return.
func deployRunning(r *rig) {
	r.press("4", "enter")
	r.typed("/srv/new.zip")
	r.press("enter")
	r.m.start() // the command is dropped: nothing is applied
	at := noon
	emit := func(e ops.Event) { e.Time = at; r.m.feed.Emit(e); r.m.onNews(r.m.feed.take()) }
	for _, n := range r.w.d.Nodes {
		emit(ops.Event{Kind: ops.Started, Op: "deploy", Node: n.Name, Step: "upload/" + n.Name, Message: "upload " + releaseNew})
	}
	for i := range 12 {
		at = at.Add(time.Second)
		for k, n := range r.w.d.Nodes {
			emit(ops.Event{Kind: ops.Progress, Op: "deploy", Node: n.Name, Step: "upload/" + n.Name, Done: int64(i*i*(k+1)) * 250_000, Total: 100_000_000, Unit: "bytes"})
		}
	}
	emit(ops.Event{Kind: ops.Finished, Op: "deploy", Node: r.w.d.Nodes[0].Name, Step: "upload/" + r.w.d.Nodes[0].Name, Message: "upload " + releaseNew})
	emit(ops.Event{Kind: ops.Started, Op: "deploy", Node: r.w.d.Nodes[0].Name, Step: "switch", Message: "switch current"})
}

// draw shows every screen and every setting in a theme and a size.
func draw(t *testing.T, broken bool, size [2]int, th string, each func(name string, m *Model)) {
	t.Helper()
	r := newRig(t, newWorld(broken), Options{Theme: th})
	r.size(size[0], size[1])
	for i, s := range screenNames() {
		r.press(screenKey(screenID(i)))
		if broken && s == "node" {
			r.press("h") // the node before the first is the last
		}
		each(s, r.m)
	}
	for _, s := range settings {
		r := newRig(t, newWorld(broken), Options{Theme: th})
		r.size(size[0], size[1])
		s.reach(r)
		each(s.name, r.m)
	}
}

var goldenSizes = [][2]int{{120, 40}, {80, 24}, {40, 12}}

func TestScreens(t *testing.T) {
	for _, broken := range []bool{false, true} {
		state := map[bool]string{false: "healthy", true: "broken"}[broken]
		for _, size := range goldenSizes {
			for _, th := range Themes() {
				if th == Light && size[0] != 80 { // TestThemesDifferInLooksAlone is for the others
					continue
				}
				draw(t, broken, size, th, func(name string, m *Model) {
					checkFrame(t, m)
					golden(t, fmt.Sprintf("%s/%s-%dx%d-%s", state, name, size[0], size[1], th), m.render())
				})
			}
		}
	}
}

// TestThemesDifferInLooksAlone wants the same text of every theme on every screen, and other colours on a light background than on a
// dark one.
func TestThemesDifferInLooksAlone(t *testing.T) {
	for _, broken := range []bool{false, true} {
		for _, size := range goldenSizes {
			dark := map[string]string{}
			draw(t, broken, size, Dark, func(name string, m *Model) { dark[name] = m.render() })
			for _, th := range []string{Light, Contrast, Mono} {
				draw(t, broken, size, th, func(name string, m *Model) {
					got := m.render()
					if got == dark[name] {
						t.Errorf("%s at %v looks the same in %s and %s", name, size, th, Dark)
					}
					if ansi.Strip(got) != ansi.Strip(dark[name]) {
						t.Errorf("%s at %v says something else in %s:\n%s", name, size, th, ansi.Strip(got))
					}
				})
			}
		}
	}
}

func TestGoldensAreComparedWithCare(t *testing.T) {
	if os.Getenv("UPDATE") == "1" {
		t.Skip("goldens are being rewritten")
	}
	want, err := os.ReadFile("testdata/golden/healthy/overview-80x24-mono.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"app1", "1.5.4", "node", "cache"} {
		if !strings.Contains(string(want), word) {
			t.Errorf("the golden of the overview lacks %q", word)
		}
	}
	r := newRig(t, newWorld(true), Options{Theme: Mono})
	r.size(80, 24)
	if r.m.render() == string(want) {
		t.Error("a broken deployment looks like a healthy one")
	}
}

// TestNoLineIsTooWide draws every screen at many sizes with names of wide, combining and hostile characters.
func TestNoLineIsTooWide(t *testing.T) {
	names := []string{"日本語のとても長いノードの名前です", "e\u0301combining\u0301", "👩‍👩‍👧‍👦family", "\x1b[31mred\x1b[2J", "a\tb\nc\rd", "\u202eright to left", "\xff\xfebroken", "한국어", "x"}
	for _, broken := range []bool{false, true} {
		r := newRig(t, newWorld(broken, names...), Options{Theme: Dark})
		for _, n := range names {
			r.m.record(ops.Event{Kind: ops.Warning, Node: n, Message: n + n, Error: n})
		}
		for w := 1; w <= 130; w += 3 {
			for _, h := range []int{1, 2, 3, 5, 12, 24, 41} {
				r.size(w, h)
				for i := range screens {
					r.m.screen = i
					checkFrame(t, r.m)
					if strings.Contains(r.m.render(), "\x1b[31m") || strings.Contains(r.m.render(), "\x1b[2J") {
						t.Fatal("an escape sequence of a name reaches the terminal")
					}
				}
				for _, s := range settings[:3] {
					if w%10 == 1 && h == 24 {
						q := newRig(t, newWorld(broken, names...), Options{})
						q.size(w, h)
						s.reach(q)
						checkFrame(t, q.m)
					}
				}
				if t.Failed() {
					t.Fatalf("at %dx%d", w, h)
				}
			}
		}
	}
}

// TestFramesOfTheWrongSizeAreFound shows that measuring finds what is a cell too wide.
func TestFramesOfTheWrongSizeAreFound(t *testing.T) {
	for _, l := range []string{"日本", "\x1b[1mabcd\x1b[m", "a\u0301bcd"} {
		if w := ansi.StringWidth(l); w != 4 {
			t.Errorf("%q measures %d cells", l, w)
		}
	}
	if got := (line{{plain, "日本語"}}).fit(5); got.String() != "日本…" {
		t.Errorf("cut to %q", got.String())
	}
}
