package cron

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Timeline is what starts when, for drawing.
type Timeline struct {
	From, To time.Time
	Nodes    []string // rows, in the order of the schedules
	Jobs     []string // in the order of Letters
	Starts   []Start
	Distance time.Duration
	Close    []Start    // starts that come closer to another than Distance
	Pairs    [][2]Start // which come too close to which, the earlier first
}

// NewTimeline collects the starts of the next hours.
func NewTimeline(schedules []Schedule, distance time.Duration, from time.Time, length time.Duration) Timeline {
	from = from.UTC().Truncate(time.Minute)
	t := Timeline{From: from, To: from.Add(length), Distance: cmp.Or(distance, DefaultDistance)}
	for _, s := range schedules {
		if !slices.Contains(t.Nodes, s.Node) {
			t.Nodes = append(t.Nodes, s.Node)
		}
		if !slices.Contains(t.Jobs, s.Job) {
			t.Jobs = append(t.Jobs, s.Job)
		}
	}
	t.Starts = Simulate(schedules, t.From, t.To)
	isClose := make([]bool, len(t.Starts))
	for i, a := range t.Starts {
		for j := i + 1; j < len(t.Starts) && t.Starts[j].At.Sub(a.At) < t.Distance; j++ {
			if b := t.Starts[j]; bound(a.Job, a.Node, a.Heavy, b.Job, b.Node, b.Heavy) {
				t.Pairs = append(t.Pairs, [2]Start{a, b})
				isClose[i], isClose[j] = true, true
			}
		}
	}
	for i, s := range t.Starts {
		if isClose[i] {
			t.Close = append(t.Close, s)
		}
	}
	return t
}

// Letters gives each job the letter that stands for it in Text: its first that no other job has.
func (t Timeline) Letters() map[string]string {
	letters, used := map[string]string{}, map[string]bool{}
	for _, job := range t.Jobs {
		for _, r := range job + "abcdefghijklmnopqrstuvwyz0123456789" {
			if l := string(r); r != '-' && !used[l] {
				letters[job], used[l] = l, true
				break
			}
		}
	}
	return letters
}

// Text draws the timeline in at most width columns: a row per node, a letter per start, "+" where several share a
// column, "!" where starts are too close. Times are UTC.
func (t Timeline) Text(width int) string {
	label := 4
	for _, n := range t.Nodes {
		label = max(label, utf8.RuneCountInString(n))
	}
	columns := max(width-label-2, 24)
	total := t.To.Sub(t.From)
	at := func(when time.Time) int {
		return min(int(int64(when.Sub(t.From))*int64(columns)/int64(total)), columns-1)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%-*s  %s\n", label, "UTC", t.axis(columns, at))
	letters := t.Letters()
	for _, node := range t.Nodes {
		row := []string{}
		for range columns {
			row = append(row, "·")
		}
		for _, s := range t.Starts {
			if s.Node != node {
				continue
			}
			c := at(s.At)
			switch {
			case slices.Contains(t.Close, s):
				row[c] = "!"
			case row[c] == "·" || row[c] == letters[s.Job]:
				row[c] = letters[s.Job]
			case row[c] != "!":
				row[c] = "+"
			}
		}
		fmt.Fprintf(&b, "%s%s  %s\n", node, strings.Repeat(" ", label-utf8.RuneCountInString(node)), strings.Join(row, ""))
	}
	var legend []string
	for _, job := range t.Jobs {
		legend = append(legend, letters[job]+" "+job)
	}
	if len(t.Close) > 0 {
		legend = append(legend, "! closer than "+short(t.Distance))
	}
	fmt.Fprintf(&b, "%-*s  %s\n", label, "", strings.Join(append(legend, "+ several"), "   "))
	return b.String()
}

// axis writes the hours above the columns they begin in, as many as there is room for.
func (t Timeline) axis(columns int, at func(time.Time) int) string {
	row := []byte(strings.Repeat(" ", columns))
	free := 0
	for h := t.From.Truncate(time.Hour); h.Before(t.To); h = h.Add(time.Hour) {
		if h.Before(t.From) || h.Hour()%2 == 1 {
			continue
		}
		if c := at(h); c >= free && c+2 <= columns {
			copy(row[c:], h.Format("15"))
			free = c + 3
		}
	}
	return strings.TrimRight(string(row), " ")
}
