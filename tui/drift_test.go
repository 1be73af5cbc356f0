package tui

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// Drift is none, or in a broken world some on the last node, beside one that could not be read.
func (w *world) Drift(context.Context) (Drift, error) {
	w.count("drift")
	if !w.broken {
		return Drift{Nodes: []string{w.d.Nodes[1].Name, w.last()}}, nil
	}
	return Drift{Nodes: []string{w.last()}, Left: errors.New(w.d.Nodes[1].Name + ": connection refused"),
		Counts: []DriftCount{{Node: w.last(), Path: "public/resources", Create: 3, Update: 1}, {Node: w.last(), Path: "config/env.mosparo.php", Update: 1}}}, nil
}

func TestDriftIsReadSeldomAndInNobodysWay(t *testing.T) {
	w := newWorld(false)
	r := newRig(t, w, Options{})
	r.do(r.m.poll()) // the checks have answered now
	read := w.reads["drift"]
	if read != 1 {
		t.Fatalf("read %d times at the start", read)
	}
	for range 290 {
		r.m.now = r.m.now.Add(time.Second)
		r.do(r.m.poll())
	}
	if w.reads["drift"] != read {
		t.Errorf("read %d times in less than its interval", w.reads["drift"]-read)
	}
	r.press("6", "r")
	if w.reads["drift"] != read+1 {
		t.Error("r does not read it")
	}
	r.m.st.locked = true
	r.m.now = r.m.now.Add(time.Hour)
	r.m.st.locks.asked = r.m.now
	r.press("r")
	if w.reads["drift"] != read+1 || !strings.Contains(r.m.note, "not while") {
		t.Errorf("read while somebody holds the lock: %q", r.m.note)
	}
	r.m.st.locked = false
	deployRunning(r)
	before := w.reads["drift"]
	r.do(r.m.readDrift())
	if w.reads["drift"] != before {
		t.Error("read while a deploy runs")
	}
}

func TestDriftInWords(t *testing.T) {
	r := newRig(t, newWorld(true), Options{})
	if got := r.m.driftInWords().text; got != "! 5 files out of step on 1 node (now)" {
		t.Errorf("got %q", got)
	}
	for _, want := range []string{"3 to create, 1 to update in public/resources", "connection refused"} {
		if got := r.shown("6", 100, 30); !strings.Contains(got, want) {
			t.Errorf("the screen lacks %q:\n%s", want, got)
		}
	}
	r.m.now = noon.Add(2 * time.Hour)
	if got := r.m.driftInWords().text; !strings.Contains(got, "last read 1h ago") {
		t.Errorf("got %q", got)
	}
	r.m.st.drifted = Drift{Nodes: []string{"app2"}}
	r.m.now = noon
	if got := r.m.driftInWords().text; got != "✓ in step (now)" {
		t.Errorf("got %q", got)
	}
	r.m.st.drift.end(noon, errors.New("no source"))
	if got := r.m.driftInWords().text; !strings.Contains(got, "last read") {
		t.Errorf("after a failure: %q", got)
	}
}

// With a hundred nodes there is still room for the drift and the runs that can be undone.
func TestSyncScreenOfManyNodes(t *testing.T) {
	var names []string
	for i := range 100 {
		names = append(names, fmt.Sprintf("n%d", i))
	}
	w := newWorld(true, names...)
	r := newRig(t, w, Options{})
	for _, n := range names {
		r.m.st.drifted.Counts = append(r.m.st.drifted.Counts, DriftCount{Node: n, Path: "var/data", Update: 1})
	}
	r.m.st.drifted.Nodes = names
	for _, want := range []string{"… and 94 more, on the overview", "1 to update in var/data", "more: mosparoctl sync --check", "▸ 20260302-115300"} {
		if got := r.shown("6", 100, 34); !strings.Contains(got, want) {
			t.Errorf("the screen lacks %q:\n%s", want, got)
		}
	}
	r.m.st.drifted.Counts = nil
	if got := r.shown("6", 100, 34); !strings.Contains(got, "in step: n0, n1, n2, n3 and 96 more") {
		t.Errorf("the screen names too many or too few:\n%s", got)
	}
}
