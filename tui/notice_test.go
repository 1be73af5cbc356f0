package tui

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/mosparoctl/mosparoctl/ops"
)

// TestLeftoversAreTold wants what killed runs left to be told at the start, without covering a dialog that is open, and kept.
func TestLeftoversAreTold(t *testing.T) {
	left := leftMsg{events: []ops.Event{
		{Kind: ops.Warning, Op: "recover", Message: "a run that began at noon was broken off", Hint: "mosparoctl recover"},
		{Kind: ops.Warning, Op: "recover", Message: "a run that began at one was broken off", Hint: "mosparoctl recover"}}}
	r := newRig(t, newWorld(false), Options{})
	r.size(80, 24)
	r.m.Update(left)
	if s := r.m.plainText(); !strings.Contains(s, "began at noon") || !strings.Contains(s, "began at one") || strings.Count(s, "→ mosparoctl recover") != 1 {
		t.Errorf("the notice:\n%s", s)
	}
	r.press("q", "x")
	if r.m.dlg == nil || r.quits != 0 {
		t.Error("a key for something else closed the notice")
	}
	r.press("enter", ":")
	r.m.Update(left)
	if _, is := r.m.dlg.(*palette); !is || !strings.Contains(r.m.plainText(), "began at noon") {
		t.Errorf("with a dialog open:\n%s", r.m.plainText())
	}
	r.press("esc", "9")
	if s := r.m.plainText(); strings.Count(s, "began at noon") < 2 {
		t.Errorf("the events don't tell it twice:\n%s", s)
	}
	r.m.Update(leftMsg{err: errors.New("no such folder")})
	if s := r.m.plainText(); !strings.Contains(s, "journals: no such folder") {
		t.Errorf("the error is not shown:\n%s", s)
	}
}

// TestLeftoversAreAskedForOnce wants no question where nobody knows.
func TestLeftoversAreAskedForOnce(t *testing.T) {
	r := newRig(t, newWorld(false), Options{})
	if r.m.lookForLeftovers() != nil {
		t.Error("asked nobody")
	}
	r.m.svc.Leftovers = func(context.Context) ([]ops.Event, error) { return nil, nil }
	r.m.Update(r.m.lookForLeftovers()())
	if r.m.dlg != nil {
		t.Error("a notice of nothing")
	}
}

// TestNotesAreTold wants what was known before the screen opened at its bottom and among the events, with its mend.
func TestNotesAreTold(t *testing.T) {
	w := newWorld(false)
	m := New(t.Context(), Services{Deployment: w.d, Reader: w, Planner: w, Now: func() time.Time { return noon }},
		Options{Notes: []ops.Event{{Kind: ops.Warning, Message: "key /home/eva/id stays locked", Hint: "ssh-add /home/eva/id"}}})
	m.Update(tea.WindowSizeMsg{Width: 80, Height: 24})
	if s := m.plainText(); !strings.Contains(s, "─ key /home/eva/id stays locked ─") {
		t.Errorf("the bottom does not tell it:\n%s", s)
	}
	m.now = noon.Add(time.Minute)
	_ = m.goTo(screenEvents)
	if s := m.plainText(); !strings.Contains(s, "! key /home/eva/id stays locked") || !strings.Contains(s, "→ ssh-add /home/eva/id") {
		t.Errorf("the events don't tell it:\n%s", s)
	}
}

// TestQuestionsAreNotSaidToGoOn wants the note of a question gone when it is answered, and other notes kept.
func TestQuestionsAreNotSaidToGoOn(t *testing.T) {
	r := newRig(t, newWorld(false), Options{})
	r.size(80, 24)
	runChecks(r.m)
	if s := r.m.plainText(); !strings.Contains(s, "asking all checks") {
		t.Errorf("the question is not told:\n%s", s)
	}
	r.m.Update(checksMsg{})
	if s := r.m.plainText(); strings.Contains(s, "asking") {
		t.Errorf("the question seems to go on:\n%s", s)
	}
	r.m.say(plain, "copied")
	r.m.Update(checksMsg{filtered: true})
	if s := r.m.plainText(); !strings.Contains(s, "copied") {
		t.Errorf("another note is gone:\n%s", s)
	}
}
