package cron

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Start is one start of a job.
type Start struct {
	Slot
	At    time.Time // UTC, a whole minute
	Heavy bool
}

// Proof is what a simulation found.
type Proof struct {
	From, To time.Time
	Promised time.Duration
	Starts   int
	Least    time.Duration // between two starts that owe each other distance; -1 if no two do
	A, B     Start         // the pair with the least distance, A first
}

// OK reports whether the promise was kept.
func (p Proof) OK() bool { return p.Least < 0 || p.Least >= p.Promised }

// String is the result as one sentence.
func (p Proof) String() string {
	days := int(p.To.Sub(p.From).Hours()+23) / 24
	if p.Least < 0 {
		return fmt.Sprintf("%d starts in %d days, no two of which could collide", p.Starts, days)
	}
	verdict := "kept"
	if !p.OK() {
		verdict = "BROKEN"
	}
	return fmt.Sprintf("%d starts in %d days, least distance %s, promised %s: %s (%s on %s and %s on %s, %s)", p.Starts, days,
		short(p.Least), short(p.Promised), verdict, p.A.Job, p.A.Node, p.B.Job, p.B.Node, p.A.At.Format("2006-01-02 15:04 MST"))
}

// Prove simulates the cron of every node, with its time zone and what Debian's cron does when the clock changes, from
// the written fields and guards alone, and finds the least distance between two starts that owe each other distance.
// A week of it covers all that there is in zones without clock changes; 400 days cover every clock change of a year.
func Prove(schedules []Schedule, distance time.Duration, from time.Time, days int) Proof {
	from = from.UTC().Truncate(time.Minute)
	p := Proof{From: from, To: from.AddDate(0, 0, days), Promised: cmp.Or(distance, DefaultDistance), Least: -1}
	starts := Simulate(schedules, p.From, p.To)
	p.Starts = len(starts)
	for i, b := range starts {
		for j := i - 1; j >= 0; j-- {
			a := starts[j]
			gap := b.At.Sub(a.At)
			if p.Least >= 0 && gap >= p.Least {
				break
			}
			if bound(a.Job, a.Node, a.Heavy, b.Job, b.Node, b.Heavy) {
				p.Least, p.A, p.B = gap, a, b
			}
		}
	}
	return p
}

// Simulate lists all starts from one instant to before another, in order of time, node and job.
func Simulate(schedules []Schedule, from, to time.Time) []Start {
	ranked := slices.Clone(schedules)
	slices.SortStableFunc(ranked, func(a, b Schedule) int {
		return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Job, b.Job))
	})
	// Hundreds of thousands of starts are sorted quickly as numbers: minute first, then rank.
	var keys []int
	for rank, s := range ranked {
		sim := simulation{schedule: s, from: minuteOf(from), to: minuteOf(to)}
		sim.run()
		for _, m := range sim.minutes {
			keys = append(keys, m*len(ranked)+rank)
		}
	}
	slices.Sort(keys)
	starts := make([]Start, len(keys))
	for i, k := range keys {
		s := ranked[k%len(ranked)]
		starts[i] = Start{s.Slot, time.Unix(int64(k/len(ranked))*60, 0).UTC(), s.Heavy}
	}
	return starts
}

// Next is the first start after now, the zero Time if there is none within two weeks and a day.
func (s Schedule) Next(now time.Time) time.Time {
	if starts := Simulate([]Schedule{s}, now.Add(time.Minute), now.Add(2*Week+24*time.Hour)); len(starts) > 0 {
		return starts[0].At
	}
	return time.Time{}
}

func minuteOf(t time.Time) int { return int(t.Unix() / 60) }

// catchUp is the largest clock change that cron takes for one of daylight saving time: fixed entries in a skipped hour
// are made up for, in a repeated hour not run again. Entries with * in the minute or hour follow the clock.
// (cron(8), "Special considerations exist when the clock is changed by less than 3 hours".)
const catchUp = 3 * 60

// simulation is one node's cron with one entry. Times are minutes since 1970, of UTC or of the node's clock.
type simulation struct {
	schedule Schedule
	from, to int
	minutes  []int // starts found
}

func (s *simulation) run() {
	// Start some hours early, so that a clock change just before the window is seen in full.
	t := time.Unix(int64(s.from-2*catchUp)*60, 0).In(s.schedule.Zone)
	begin := minuteOf(t)
	covered := 0 // the local minute up to which fixed entries have run
	for first := true; begin < s.to; first = false {
		_, offset := t.Zone()
		offset /= 60
		_, boundary := t.ZoneBounds()
		end := s.to
		if !boundary.IsZero() && minuteOf(boundary) < end {
			end = minuteOf(boundary)
		}
		localBegin, localEnd := begin+offset, end+offset
		if first || localBegin-covered > catchUp || covered-localBegin > catchUp {
			covered = localBegin
		}
		if s.schedule.Fields.wild() {
			s.matches(localBegin, localEnd, func(local int) { s.start(local - offset) })
		} else {
			s.matches(covered, localBegin, func(int) { s.start(begin) }) // skipped: made up for at once
			s.matches(max(covered, localBegin), localEnd, func(local int) { s.start(local - offset) })
			covered = max(covered, localEnd)
		}
		begin, t = end, boundary
	}
}

// start records a start if it lies in the window and the guard lets it through.
func (s *simulation) start(minute int) {
	if minute >= s.from && minute < s.to && s.schedule.Guard.Pass(minute) {
		s.minutes = append(s.minutes, minute)
	}
}

// matches calls yield for each local minute in [from, to) at which the fields match.
func (s *simulation) matches(from, to int, yield func(local int)) {
	const day = 24 * 60
	for d := from / day; d*day < to; d++ {
		date := time.Unix(int64(d)*day*60, 0).UTC()
		if !s.schedule.Fields.day(date.Day(), int(date.Month()), int(date.Weekday())) {
			continue
		}
		s.schedule.Fields.each(func(minute int) {
			if local := d*day + minute; local >= from && local < to {
				yield(local)
			}
		})
	}
}
