package tui

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// TestUnreadCrontabs wants nothing said of crontabs that could not be read: neither that they lack jobs, nor that they are as planned.
func TestUnreadCrontabs(t *testing.T) {
	w := newWorld(false)
	silent := map[string]bool{"app3": true}
	w.node = func(_ context.Context, name string) error {
		if silent[name] {
			return errors.New("connection refused")
		}
		return nil
	}
	r := newRig(t, w, Options{})
	r.size(120, 40)
	wants := func(keys string, want ...string) {
		t.Helper()
		r.press(keys)
		screen := r.m.plainText()
		for _, want := range want {
			if !strings.Contains(screen, want) {
				t.Errorf("no %q in\n%s", want, screen)
			}
		}
		if strings.Contains(screen, "no crontab is written") || strings.Contains(screen, "not written into the crontab") || strings.Contains(screen, "as planned") {
			t.Errorf("what is not known is told:\n%s", screen)
		}
	}
	wants("1", "? the crontab of app3 can't be read")
	wants("7", "? the crontab of app3 can't be read", "nothing to write on the others")
	r.m.shown = "app3"
	wants("2", "? the crontab can't be read")

	silent["app3"] = false // it answers, and is reckoned with at once
	r.m.now = r.m.now.Add(time.Minute)
	r.do(r.m.poll())
	r.do(r.m.poll())
	if _, words := r.m.cronState(r.m.st.cron); words != "✓ as planned" {
		t.Errorf("after all nodes were read: %q", words)
	}

	silent = map[string]bool{"app1": true, "app2": true, "app3": true}
	r = newRig(t, w, Options{})
	r.size(120, 40)
	wants("1", "? the crontabs of 3 nodes can't be read")
	wants("7", "? the crontabs of 3 nodes can't be read", "what the crontabs have is not known")
}

// TestUnreadLock wants a lock that can't be read told apart from one that is being read.
func TestUnreadLock(t *testing.T) {
	r := newRig(t, newWorld(false), Options{})
	r.m.st.locks = source{every: r.m.st.locks.every}
	r.size(120, 40)
	r.m.Update(lockMsg{err: errors.New("connection refused")})
	if screen := r.m.plainText(); !strings.Contains(screen, "? the lock can't be read") {
		t.Errorf("got\n%s", screen)
	}
	r.m.Update(lockMsg{held: true})
	r.m.now = r.m.now.Add(time.Hour)
	if screen := r.m.plainText(); !strings.Contains(screen, "locked: ") || !strings.Contains(screen, "~1h") {
		t.Errorf("the age of a lock that was read long ago is not shown:\n%s", screen)
	}
}
