package tui

import (
	stdbytes "bytes"
	"fmt"
	"image/color"
	"regexp"
	"strings"
	"sync"
	"testing"

	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/colorprofile"
)

func TestVerdictsKeepTheirColoursOnEveryTerminal(t *testing.T) {
	for _, p := range []colorprofile.Profile{colorprofile.ANSI, colorprofile.ANSI256, colorprofile.TrueColor} {
		for name, l := range map[string]looks{Dark: standard(true, p), Light: standard(false, p), Contrast: contrast()} {
			shown := func(c color.Color) string { return fmt.Sprint(p.Convert(c)) }
			seen := map[string]style{}
			for _, s := range []style{good, caution, bad, unsure} {
				look := shown(l[s].GetForeground()) + " on " + shown(l[s].GetBackground())
				if other, ok := seen[look]; ok {
					t.Errorf("%s in %v: styles %d and %d look alike: %s", name, p, other, s, look)
				}
				seen[look] = s
			}
			for s, look := range l {
				if back := look.GetBackground(); back != (lipgloss.NoColor{}) && shown(back) == shown(look.GetForeground()) {
					t.Errorf("%s in %v: style %d can't be read: %s on itself", name, p, s, shown(back))
				}
			}
		}
	}
}

func TestMonoHasNoColours(t *testing.T) {
	colour := regexp.MustCompile(`\x1b\[[0-9;]*\b(3[0-8]|4[0-8]|9[0-7]|10[0-7])\b[0-9;]*m`)
	for name, wants := range map[string]bool{Mono: false, Dark: true} {
		r := newRig(t, newWorld(true), Options{Theme: name})
		for i := range screens {
			r.m.screen = i
			if got := colour.MatchString(r.m.render()); got != wants {
				t.Errorf("%s, screen %d: colours: %v", name, i, got)
			}
		}
	}
}

// recorder keeps what is written. Safe for concurrent use.
type recorder struct {
	mu sync.Mutex
	b  stdbytes.Buffer
}

func (r *recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.b.Write(p)
}

func (r *recorder) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.b.String()
}

// TestTerminalsGetColoursThatTheyHave draws a frame for terminals of few and many colours, as bubbletea does.
func TestTerminalsGetColoursThatTheyHave(t *testing.T) {
	of256, of16 := regexp.MustCompile(`[34]8[;:]5[;:]\d+`), regexp.MustCompile(`\x1b\[([0-9;]*;)?(3[0-7]|9[0-7])(;[0-9;]*)?m`)
	for term, want := range map[string][2]bool{ // 256 colours, 16 colours
		"xterm": {false, true}, "linux": {false, true}, "screen": {true, false}, "tmux-256color": {true, false}, "xterm-256color": {true, false}, "xterm-kitty": {true, false},
		"dumb": {false, false},
	} {
		for _, theme := range []string{Dark, Light} {
			m := newRig(t, newWorld(true), Options{Theme: theme}).m
			env := []string{"TERM=" + term}
			var out recorder
			p := tea.NewProgram(m, tea.WithContext(t.Context()), tea.WithInput(nil), tea.WithOutput(&out), tea.WithEnvironment(env), tea.WithWindowSize(80, 24),
				tea.WithColorProfile(colorprofile.Env(env)), tea.WithoutSignalHandler())
			go func() { p.Send(tea.QuitMsg{}) }() // what is shown last is drawn before the end
			if _, err := p.Run(); err != nil {
				t.Fatal(err)
			}
			s := out.String()
			if !strings.Contains(s, "shop-production") {
				t.Fatalf("%s: nothing was drawn: %q", term, s)
			}
			if got := [2]bool{of256.MatchString(s), of16.MatchString(of256.ReplaceAllString(s, ""))}; got != want {
				t.Errorf("%s, %s: colours of 256 and of 16: %v, want %v", term, theme, got, want)
			}
		}
	}
}

func TestTheTerminalsBackgroundChoosesTheTheme(t *testing.T) {
	white, black := tea.BackgroundColorMsg{Color: color.White}, tea.BackgroundColorMsg{Color: color.Black}
	r := newRig(t, newWorld(false), Options{})
	for _, step := range []struct {
		msg  tea.Msg
		want string
	}{{white, Light}, {black, Dark}, {white, Light}, {tea.ColorProfileMsg{Profile: colorprofile.ANSI}, Light}} {
		r.m.Update(step.msg)
		if r.m.th.name != step.want {
			t.Errorf("after %v the theme is %s", step.msg, r.m.th.name)
		}
	}
	r.press("T")
	r.m.Update(white)
	if r.m.th.name != Contrast {
		t.Errorf("the terminal overrules a key: %s", r.m.th.name)
	}
	r = newRig(t, newWorld(false), Options{Theme: Dark})
	r.m.Update(white)
	if r.m.th.name != Dark || r.m.askBackground() != nil {
		t.Errorf("the terminal overrules --theme: %s", r.m.th.name)
	}
}
