package logs

import (
	"testing"
	"time"
)

func TestParseTime(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"[2026-01-02T10:00:00.5+00:00] x":              "2026-01-02T10:00:00.5Z",
		"[2026-01-02 10:00:00] x":                      "2026-01-02T09:00:00Z",
		"[02-Jan-2026 10:00:00] x":                     "2026-01-02T09:00:00Z",
		"[02-Jan-2026 10:00:00.123456] x":              "2026-01-02T09:00:00.123456Z",
		"[02-Jan-2026 10:00:00 America/New_York] x":    "2026-01-02T15:00:00Z",
		"2026-01-02T10:00:00+0100 mosparo-cleanup: x":  "2026-01-02T09:00:00Z",
		"2026-01-02T10:00:00.123456+01:00 web1 x":      "2026-01-02T09:00:00.123456Z",
		"Jan  2 10:00:00 web1 mosparo-cleanup: x":      "2026-01-02T09:00:00Z",
		"Dec 31 23:59:59 web1 x":                       "2025-12-31T22:59:59Z",
		"":                                             "",
		"[":                                            "",
		"[]":                                           "",
		"#0 /srv/mosparo/vendor/x.php(1): f()":         "",
		"[02-Jan-2026 10:00:00 Nowhere] x":             "",
		"2026-13-02T10:00:00Z x":                       "",
		"Feb 30 10:00:00 web1 a day that is not there": "",
	} {
		got, ok := parseTime(text, berlin, now)
		if shown := got.UTC().Format(time.RFC3339Nano); ok != (want != "") || ok && shown != want {
			t.Errorf("%q: %s, %v, want %q", text, shown, ok, want)
		}
	}
}

func FuzzParseTime(f *testing.F) {
	f.Add("[02-Jan-2026 10:00:00 UTC] x")
	f.Add("Jan  2 10:00:00 ")
	f.Fuzz(func(t *testing.T, s string) { parseTime(s, time.UTC, time.Unix(0, 0)) })
}
