package tui

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/health"
)

// onMany is the result of a check on 60 nodes, with a mend for each that is not fine.
func onMany(name string, v health.Verdict) health.Result {
	r := health.Result{Info: health.Info{Name: name, Title: "Are they?", Why: "they should be", Family: health.FamilyNode}, Verdict: v, At: noon, Summary: "on many"}
	for i := range 60 {
		r.Evidence = append(r.Evidence, health.Evidence{Node: fmt.Sprintf("n%02d", i), Verdict: v, Text: fmt.Sprintf("found %02d", i), Mend: "do this", At: noon})
	}
	return r
}

// TestAllEvidenceCanBeRead scrolls through the evidence of a check on more nodes than there are lines.
func TestAllEvidenceCanBeRead(t *testing.T) {
	for _, v := range []health.Verdict{health.OK, health.Fail} {
		for _, size := range [][2]int{{40, 12}, {80, 24}, {120, 40}} {
			t.Run(fmt.Sprintf("%s at %dx%d", v, size[0], size[1]), func(t *testing.T) {
				r := newRig(t, newWorld(false), Options{})
				r.m.st.results = []health.Result{onMany("many", v)}
				r.size(size[0], size[1])
				r.press("3")
				if short := r.m.plainText(); size[0] >= 100 && !strings.Contains(short, "⏎ shows all") {
					t.Errorf("what stands beside the list does not say that there is more:\n%s", short)
				}
				r.press("enter")
				seen := ""
				for range 70 {
					checkFrame(t, r.m)
					seen += r.m.plainText()
					r.press("down")
				}
				for i := range 60 {
					if want := fmt.Sprintf("found %02d", i); !strings.Contains(seen, want) {
						t.Errorf("%q is not to be seen", want)
					}
				}
				if last := r.m.plainText(); v == health.Fail && !strings.Contains(last, "do this") {
					t.Errorf("the mend is not at the end:\n%s", last)
				}
				if r.press("esc"); r.m.open {
					t.Error("esc does not leave it")
				}
			})
		}
	}
}

// TestCursorStaysOnItsCheck wants the check that is being read to stay, however new results sort the list.
func TestCursorStaysOnItsCheck(t *testing.T) {
	r := newRig(t, newWorld(false), Options{})
	r.size(80, 24)
	news := func(name string, v health.Verdict) {
		r.m.onNews(happened{results: []health.Result{onMany(name, v)}})
	}
	r.press("3", "down", "down", "enter")
	chosen := r.m.chosenResult().Name
	news("zz-new", health.Fail)
	if got := r.m.chosenResult().Name; got != chosen || !r.m.open {
		t.Errorf("on %q, was on %q", got, chosen)
	}
	r.press("esc", "home")
	news("zz-other", health.Fail)
	news("zz-new", health.OK)
	if got := r.m.chosenResult().Name; got != "zz-other" {
		t.Errorf("the top is the worst check no more, but %q", got)
	}
	r.m.filter[screenChecks] = "fail"
	r.press("enter")
	news("zz-third", health.Fail)
	news("zz-other", health.OK)
	if r.m.open {
		t.Errorf("the evidence of %q is shown in place of the one that the filter hides now", r.m.chosenResult().Name)
	}
}

// TestCursorStaysOnItsEvent wants the event that is being read to stay while others happen, and the top to be the newest.
func TestCursorStaysOnItsEvent(t *testing.T) {
	r := newRig(t, newWorld(false), Options{})
	r.size(60, 24)
	say := func(text string) { r.m.record(ops.Event{Kind: ops.Warning, Message: text, Hint: "paste " + text}) }
	say("one")
	say("two")
	r.press("9")
	say("three")
	if screen := r.m.plainText(); !strings.Contains(screen, "→ paste three") {
		t.Errorf("the top is not the newest:\n%s", screen)
	}
	r.press("down")
	say("four")
	if screen := r.m.plainText(); !strings.Contains(screen, "→ paste two") {
		t.Errorf("the cursor left its event:\n%s", screen)
	}
	say(strings.Repeat("long ", 20) + "to its end")
	r.press("home")
	if screen := strings.Join(strings.Fields(r.m.plainText()), " "); strings.Count(screen, "to its end") < 2 {
		t.Errorf("the end of the mend is cut off:\n%s", r.m.plainText())
	}
}

// TestUnknownCommandStays wants what was typed to stay where it can be mended.
func TestUnknownCommandStays(t *testing.T) {
	r := newRig(t, newWorld(false), Options{})
	r.press(":")
	r.typed("themx")
	r.press("enter")
	if _, open := r.m.dlg.(*palette); !open {
		t.Fatal("the palette closed without a word")
	}
	r.press("backspace", "enter")
	if r.m.dlg != nil {
		t.Error("a known command does not run")
	}
}
