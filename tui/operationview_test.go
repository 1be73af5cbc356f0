package tui

import "testing"

func TestPathsAreShownFromTheirRoot(t *testing.T) {
	m := newRig(t, newWorld(false), Options{}).m
	for path, want := range map[string]string{"/srv/mosparo/current": "current", "/srv/mosparo2/current": "/srv/mosparo2/current", "/etc/cron.d/mosparo": "/etc/cron.d/mosparo", "current": "current"} {
		if got := m.underRoot("app1", path); got != want {
			t.Errorf("%s is shown as %s, want %s", path, got, want)
		}
	}
	if got := m.underRoot("", "/srv/mosparo/x"); got != "/srv/mosparo/x" {
		t.Errorf("a path on no node is shown as %s", got)
	}
}
