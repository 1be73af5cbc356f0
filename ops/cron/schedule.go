package cron

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // the proof must not depend on the operator's machine having zone files
)

// Schedule is one job on one node as its cron gets it.
type Schedule struct {
	Slot
	Every  time.Duration
	Phase  int // minutes of UTC since 1970, modulo Every
	Heavy  bool
	Zone   *time.Location // of the node's cron
	Fields Fields         // in that zone
	Guard  *Guard         // nil: every match starts the job
}

// Interval is the time between two starts, for people: "2h", "7d".
func (s Schedule) Interval() string { return short(s.Every) }

// Guard lets a start through only at the right minutes of UTC. It is needed where the node's clock changes: there no set
// of cron fields alone stays in step with UTC. The fields then match at every hour, also at a repeated one, and the guard
// picks among them. As it reckons in UTC, it does not depend on what cron does at clock changes.
type Guard struct {
	Every, Phase int // minutes
	Within       int // minutes after the start that still count, for a cron that is late
}

// Pass reports whether the job may start at that minute of UTC since 1970.
func (g *Guard) Pass(minute int) bool {
	return g == nil || mod(minute-g.Phase, g.Every) < g.Within
}

// Shell is the guard as a test in sh.
func (g *Guard) Shell() string {
	return fmt.Sprintf("[ $(( ($(date +%%s) / 60 - %d) %% %d )) -lt %d ]", g.Phase, g.Every, g.Within)
}

// lateStart is how many minutes late a guarded job may start.
const lateStart = 5

// horizon is how far ahead a zone's rules are looked at.
const horizon = 3 * 365 * 24 * time.Hour

// NewSchedule works out the fields that start a job at its phase in the node's zone, now and after each clock change in
// the years ahead. A zone whose offset from UTC is not in whole minutes is an error.
func NewSchedule(j Job, node string, phase int, zone *time.Location, now time.Time) (Schedule, error) {
	s := Schedule{Slot: Slot{j.Name, node}, Every: j.Every, Phase: phase, Heavy: j.Heavy, Zone: zone}
	offsets, err := offsetsOf(zone, now, now.Add(horizon))
	if err != nil {
		return s, err
	}
	every := wholeMinutes(j.Every)
	text := ""
	switch {
	case len(offsets) == 1:
		text = plainFields(mod(phase+offsets[0], every), every)
	case every <= 60 && allEqualModulo(offsets, every):
		text = minuteList(minutesOf(phase, every, offsets)) + " * * * *"
	default:
		minutes := minutesOf(phase, min(every, 60), offsets)
		text = minuteList(minutes) + " * * * *"
		s.Guard = &Guard{Every: every, Phase: phase, Within: min(lateStart, leastGap(minutes))}
	}
	s.Fields, err = ParseFields(text)
	return s, err
}

// offsetsOf lists the zone's offsets from UTC between two instants, in minutes, sorted.
func offsetsOf(zone *time.Location, from, to time.Time) ([]int, error) {
	var list []int
	for t := from.In(zone); ; {
		_, seconds := t.Zone()
		if seconds%60 != 0 {
			return nil, fmt.Errorf("time zone %s is %ds from UTC: cron fields can't express that", zone, seconds)
		}
		if m := seconds / 60; !slices.Contains(list, m) {
			list = append(list, m)
		}
		_, end := t.ZoneBounds()
		if end.IsZero() || end.After(to) {
			slices.Sort(list)
			return list, nil
		}
		t = end
	}
}

func allEqualModulo(list []int, n int) bool {
	for _, v := range list {
		if mod(v-list[0], n) != 0 {
			return false
		}
	}
	return true
}

// minutesOf are the local minutes of the hour at which a job may start under any of the offsets.
func minutesOf(phase, every int, offsets []int) []int {
	var list []int
	for _, o := range offsets {
		for m := mod(phase+o, every); m < 60; m += every {
			if !slices.Contains(list, m) {
				list = append(list, m)
			}
		}
	}
	slices.Sort(list)
	return list
}

// leastGap is the shortest time between two of the minutes, round the hour.
func leastGap(minutes []int) int {
	gap := 60
	for i, m := range minutes[1:] {
		gap = min(gap, m-minutes[i])
	}
	if len(minutes) > 1 {
		gap = min(gap, minutes[0]+60-minutes[len(minutes)-1])
	}
	return gap
}

// plainFields are the fields for a clock that never changes. local is the phase in local minutes since 1970.
func plainFields(local, every int) string {
	const day, epochWeekday = 24 * 60, 4 // 1970-01-01 was a Thursday
	minute, hour := local%60, local/60%24
	switch {
	case every <= 60:
		return series(local, every, 59) + " * * * *"
	case every < day:
		return fmt.Sprintf("%d %s * * *", minute, series(hour, every/60, 23))
	case every == day:
		return fmt.Sprintf("%d %d * * *", minute, hour)
	}
	return fmt.Sprintf("%d %d * * %d", minute, hour, (local/day+epochWeekday)%7)
}

// series writes first, first+step, … up to last: as a list if short, else as a range with a step.
func series(first, step, last int) string {
	if (last-first)/step >= 4 {
		return fmt.Sprintf("%d-%d/%d", first, last, step)
	}
	var list []int
	for v := first; v <= last; v += step {
		list = append(list, v)
	}
	return minuteList(list)
}

func minuteList(list []int) string {
	parts := make([]string, len(list))
	for i, v := range list {
		parts[i] = strconv.Itoa(v)
	}
	return strings.Join(parts, ",")
}
