package logs

import (
	"slices"
	"strings"
	"time"
)

// clock gives the lines of one file their times.
type clock struct {
	zone *time.Location // for times that name none
	now  time.Time      // for times without a year
	last time.Time
}

// at is the time of a line. A line without one, as in a stack trace, belongs to the line before it.
func (c *clock) at(text string) time.Time {
	if t, ok := parseTime(text, c.zone, c.now); ok {
		c.last = t
	}
	return c.last
}

// parseTime reads the time at the beginning of a line: of Monolog ([2026-11-23T05:00:00.123456+00:00]), PHP and PHP-FPM
// ([23-Nov-2026 05:00:00 UTC], with or without a zone), journalctl and rsyslog (2026-11-23T05:00:00+0000), classic syslog
// (Nov 23 05:00:00).
func parseTime(text string, zone *time.Location, now time.Time) (time.Time, bool) {
	if inner, ok := strings.CutPrefix(text, "["); ok {
		inner, _, ok = strings.Cut(inner, "]")
		if !ok {
			return time.Time{}, false
		}
		if t, ok := parseISO(inner, zone); ok {
			return t, true
		}
		return parsePHP(inner, zone)
	}
	first, _, _ := strings.Cut(text, " ")
	if t, ok := parseISO(first, zone); ok {
		return t, true
	}
	if len(text) < len(time.Stamp) {
		return time.Time{}, false
	}
	t, err := time.ParseInLocation(time.Stamp, text[:len(time.Stamp)], zone)
	if err != nil {
		return time.Time{}, false
	}
	t = t.AddDate(now.In(zone).Year(), 0, 0)
	if t.After(now.Add(24 * time.Hour)) {
		t = t.AddDate(-1, 0, 0) // of last year, read in a new one
	}
	return t, true
}

func parseISO(s string, zone *time.Location) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05-0700", "2006-01-02 15:04:05"} {
		if t, err := time.ParseInLocation(layout, s, zone); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

func parsePHP(s string, zone *time.Location) (time.Time, bool) {
	const layout = "02-Jan-2006 15:04:05"
	if i := strings.LastIndexByte(s, ' '); i > len("02-Jan-2006") {
		if named, err := time.LoadLocation(s[i+1:]); err == nil {
			s, zone = s[:i], named
		}
	}
	t, err := time.ParseInLocation(layout, s, zone)
	return t, err == nil
}

// Sort puts lines into the order of their times. Lines of one file keep their order.
func Sort(lines []Line) {
	slices.SortStableFunc(lines, func(a, b Line) int { return a.Time.Compare(b.Time) })
}

// Merge hands on the lines of a channel until it is closed, in the order of their times as far as they arrive within window of
// each other. Emit is called by one goroutine.
func Merge(in <-chan Line, window time.Duration, emit func(Line)) {
	type arrival struct {
		Line
		at time.Time
	}
	var held []arrival
	release := func(before time.Time) {
		slices.SortStableFunc(held, func(a, b arrival) int { return a.Time.Compare(b.Time) })
		ready := 0
		for i, l := range held {
			if !l.at.After(before) {
				ready = i + 1 // and with it all that is older, however late it came
			}
		}
		for _, l := range held[:ready] {
			emit(l.Line)
		}
		held = slices.Delete(held, 0, ready)
	}
	tick := time.NewTicker(window)
	defer tick.Stop()
	for {
		select {
		case l, ok := <-in:
			if !ok {
				release(time.Now())
				return
			}
			held = append(held, arrival{l, time.Now()})
		case now := <-tick.C:
			release(now.Add(-window))
		}
	}
}
