package cron

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mosparoctl/mosparoctl/ops"
)

// zones differ in all that matters: none, whole hours north and south, changes on other days, half hours, a change of half an hour.
var zones = []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Santiago", "Europe/Dublin"}

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

// date is before both clock changes of all zones.
var date = time.Date(2026, 1, 15, 12, 34, 56, 0, time.UTC)

func nodeNames(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("web%d", i+1)
	}
	return list
}

// schedules makes what Stagger decided into schedules, nodes spread over the zones.
func schedules(t testing.TB, jobs []Job, phases Phases) []Schedule {
	t.Helper()
	var list []Schedule
	for _, j := range jobs {
		for i, n := range j.Nodes {
			s, err := NewSchedule(j, n, phases[Slot{j.Name, n}], zone(t, zones[i%len(zones)]), date)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, s)
		}
	}
	return list
}

func jobsOn(n int, every, distance time.Duration) []Job {
	return []Job{
		{Name: "cleanup", Every: every, Heavy: true, Nodes: nodeNames(n)},
		{Name: "rule-packages", Every: 24 * time.Hour, Heavy: true, Nodes: nodeNames(1)},
		{Name: "geoip", Every: 7 * 24 * time.Hour, Nodes: nodeNames(n)},
	}
}

// From 2 to 64 nodes in seven zones, over 400 days with both clock changes of each, no two starts are closer than promised.
func TestStaggerKeepsItsPromise(t *testing.T) {
	for n := 2; n <= 64; n++ {
		every, distance := 2*time.Hour, 10*time.Minute
		switch {
		case n > 40:
			every, distance = 24*time.Hour, 15*time.Minute
		case n > 22:
			every, distance = 12*time.Hour, 17*time.Minute
		case n > 11:
			every, distance = 2*time.Hour, 5*time.Minute
		}
		if n%9 == 0 { // minutes that don't fit the hour
			distance = 2*time.Minute + 30*time.Second
		}
		jobs := jobsOn(n, every, distance)
		phases, err := Stagger(jobs, distance, nil)
		if err != nil {
			t.Fatalf("%d nodes: %v (%s)", n, err, ops.HintOf(err))
		}
		list := schedules(t, jobs, phases)
		proof := Prove(list, distance, date, 400)
		if !proof.OK() || proof.Least < 0 {
			t.Errorf("%d nodes: %s", n, proof)
		}
		if n%16 == 0 {
			t.Logf("%d nodes: %s", n, proof)
		}
		countStarts(t, list)
	}
}

// countStarts checks that every job runs as often as it should: no start is lost at a clock change, none doubled.
func countStarts(t *testing.T, list []Schedule) {
	t.Helper()
	to := date.AddDate(0, 0, 400)
	got := map[Slot][]time.Time{}
	for _, s := range Simulate(list, date, to) {
		got[s.Slot] = append(got[s.Slot], s.At)
	}
	for _, s := range list {
		for i, at := range got[s.Slot] {
			if i > 0 && at.Sub(got[s.Slot][i-1]) != s.Every {
				t.Errorf("%s on %s (%s, %s): %v after %v", s.Job, s.Node, s.Zone, s.Fields.Text, at, got[s.Slot][i-1])
			}
		}
		if want := int(to.Sub(date) / s.Every); len(got[s.Slot]) < want {
			t.Errorf("%s on %s: %d starts, want %d", s.Job, s.Node, len(got[s.Slot]), want)
		}
	}
}

// A collision that is planted is found, whether it is there all the time or only on one day of the year.
func TestProveFindsPlantedCollisions(t *testing.T) {
	jobs := jobsOn(8, 2*time.Hour, 10*time.Minute)
	phases, err := Stagger(jobs, 10*time.Minute, nil)
	if err != nil {
		t.Fatal(err)
	}
	plant := func(fields, zoneName string) []Schedule {
		list := schedules(t, jobs, phases)
		f, err := ParseFields(fields)
		if err != nil {
			t.Fatal(err)
		}
		list[2].Fields, list[2].Guard, list[2].Zone = f, nil, zone(t, zoneName)
		return list
	}
	t.Run("constant", func(t *testing.T) {
		minute := phases[Slot{"cleanup", "web1"}] + 3
		proof := Prove(plant(fmt.Sprintf("%d * * * *", minute%60), "UTC"), 10*time.Minute, date, 2)
		if proof.OK() || proof.Least > 3*time.Minute || !strings.Contains(proof.String(), "BROKEN") {
			t.Error(proof)
		}
	})
	pair := func(zoneA, a, zoneB, b string) []Schedule {
		fa, erra := ParseFields(a)
		fb, errb := ParseFields(b)
		if erra != nil || errb != nil {
			t.Fatal(erra, errb)
		}
		return []Schedule{
			{Slot: Slot{"cleanup", "a"}, Every: 24 * time.Hour, Zone: zone(t, zoneA), Fields: fa},
			{Slot: Slot{"cleanup", "b"}, Every: 24 * time.Hour, Zone: zone(t, zoneB), Fields: fb},
		}
	}
	for name, c := range map[string]struct {
		list  []Schedule
		on    string
		least time.Duration
	}{
		// An hour of the night does not exist: cron makes up for both jobs at its end.
		"both in the skipped hour": {pair("Europe/Berlin", "10 2 * * *", "Europe/Berlin", "40 2 * * *"), "2026-03-29 01:00", 0},
		// In summer the zones' distance from UTC is another one.
		"one zone changes": {pair("Europe/Berlin", "5 4 * * *", "UTC", "5 2 * * *"), "2026-03-29 02:05", 0},
		// New York changes three weeks before Berlin.
		"weeks between the changes": {pair("Europe/Berlin", "0 12 * * *", "America/New_York", "0 7 * * *"), "2026-03-08 11:00", 0},
		// Lord Howe changes by half an hour.
		"half an hour": {pair("Australia/Lord_Howe", "0 12 * * *", "UTC", "32 1 * * *"), "2026-04-05 01:30", 2 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			proof := Prove(c.list, 10*time.Minute, date, 400)
			if proof.OK() || proof.Least != c.least {
				t.Fatal(proof)
			}
			if name == "weeks between the changes" {
				// The pair is at peace outside of these weeks.
				if calm := Prove(c.list, 10*time.Minute, date, 50); !calm.OK() {
					t.Error(calm)
				}
			}
			if name != "half an hour" && proof.A.At.Format("2006-01-02 15:04") != c.on {
				t.Errorf("first seen %v, want %s", proof.A.At, c.on)
			}
		})
	}
}

// What Debian's cron 3.0pl1 did in these nights under a fast clock (libfaketime), read from its log.
func TestSimulateAtClockChanges(t *testing.T) {
	run := func(fields string, from, to time.Time, g *Guard) []string {
		f, err := ParseFields(fields)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range Simulate([]Schedule{{Fields: f, Zone: zone(t, "Europe/Berlin"), Guard: g}}, from, to) {
			got = append(got, s.At.Format("15:04"))
		}
		return got
	}
	spring := time.Date(2026, 3, 29, 0, 0, 0, 0, time.UTC)  // 02:00 CET becomes 03:00 CEST at 01:00 UTC
	autumn := time.Date(2026, 10, 25, 0, 0, 0, 0, time.UTC) // 03:00 CEST becomes 02:00 CET at 01:00 UTC
	for _, c := range []struct {
		fields string
		from   time.Time
		want   []string
	}{
		{"30 2 * * *", spring, []string{"01:00"}},                   // made up for
		{"30 * * * *", spring, []string{"00:30", "01:30", "02:30"}}, // follows the clock
		{"30 1,3 * * *", spring, []string{"00:30", "01:30"}},
		{"0 3 * * *", spring, []string{"01:00"}},
		{"*/20 2 * * *", spring, nil},
		{"0 3 * * *", autumn, []string{"02:00"}},
		{"0-59/20 1,2,3 * * *", autumn, []string{"00:00", "00:20", "00:40", "02:00", "02:20", "02:40"}},
		{"30 2 * * *", autumn, []string{"00:30"}}, // not again
		{"30 * * * *", autumn, []string{"00:30", "01:30", "02:30"}},
		{"*/30 2 * * *", autumn, []string{"00:00", "00:30", "01:00", "01:30"}},
	} {
		if got := run(c.fields, c.from, c.from.Add(3*time.Hour), nil); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.fields, got, c.want)
		}
	}
	if got := run("30 * * * *", autumn, autumn.Add(24*time.Hour), &Guard{Every: 1440, Phase: 90, Within: 5}); !slices.Equal(got, []string{"01:30"}) {
		t.Errorf("with a guard: %v", got)
	}
}

func moved(before, after Phases) int {
	n := 0
	for s, p := range before {
		if q, ok := after[s]; ok && q != p {
			n++
		}
	}
	return n
}

func TestJoiningAndLeavingMovesNobody(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	nodes := nodeNames(6)
	jobs := func() []Job {
		return []Job{
			{Name: "cleanup", Every: 2 * time.Hour, Heavy: true, Nodes: nodes},
			{Name: "rule-packages", Every: 24 * time.Hour, Heavy: true, Nodes: []string{"web1"}},
		}
	}
	phases, err := Stagger(jobs(), 10*time.Minute, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 300 {
		if r.IntN(2) == 0 && len(nodes) < 11 || len(nodes) < 3 {
			nodes = append(slices.Clone(nodes), fmt.Sprintf("new%d", i))
		} else {
			gone := 1 + r.IntN(len(nodes)-1)
			nodes = slices.Delete(slices.Clone(nodes), gone, gone+1)
		}
		next, err := Stagger(jobs(), 10*time.Minute, phases)
		if err != nil {
			t.Fatal(err)
		}
		if n := moved(phases, next); n != 0 {
			t.Fatalf("step %d with %d nodes moved %d slots", i, len(nodes), n)
		}
		phases = next
	}
}

func TestStaggerIsDeterministic(t *testing.T) {
	jobs := jobsOn(9, 2*time.Hour, 10*time.Minute)
	one, err := Stagger(jobs, 10*time.Minute, nil)
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(jobs)
	slices.Reverse(jobs[len(jobs)-1].Nodes)
	two, err := Stagger(jobs, 10*time.Minute, nil)
	if err != nil || !maps.Equal(one, two) {
		t.Errorf("the order of the arguments counts: %v, %v, %v", one, two, err)
	}
	again, err := Stagger(jobs, 10*time.Minute, one)
	if err != nil || !maps.Equal(one, again) {
		t.Errorf("keeping everything changed something: %v", err)
	}
}

// Phases in force that break the promise, or leave no room, give way.
func TestStaggerMovesWhatItMust(t *testing.T) {
	jobs := []Job{{Name: "cleanup", Every: time.Hour, Nodes: nodeNames(6)}}
	keep := Phases{{"cleanup", "web1"}: 5, {"cleanup", "web2"}: 8, {"cleanup", "web3"}: 30}
	three := []Job{{Name: "cleanup", Every: time.Hour, Nodes: nodeNames(3)}}
	phases, err := Stagger(three, 10*time.Minute, keep)
	if err != nil || moved(keep, phases) != 1 || phases[Slot{"cleanup", "web1"}] != 5 {
		t.Errorf("%v, %v", phases, err)
	}
	// Six at ten minutes fill the hour: only a grid fits, so the two that are off it move and the third stays.
	phases, err = Stagger(jobs, 10*time.Minute, keep)
	if err != nil || phases[Slot{"cleanup", "web3"}] != 30 {
		t.Errorf("%v, %v", phases, err)
	}
	if p := Prove(schedules(t, jobs, phases), 10*time.Minute, date, 7); !p.OK() || p.Least != 10*time.Minute {
		t.Error(p)
	}
	bad := Phases{{"cleanup", "web1"}: -3, {"cleanup", "web2"}: 999}
	if phases, err = Stagger(three, 10*time.Minute, bad); err != nil || phases[Slot{"cleanup", "web2"}] >= 60 {
		t.Errorf("%v, %v", phases, err)
	}
}

func TestStaggerSaysWhatWouldFit(t *testing.T) {
	for _, c := range []struct {
		jobs      []Job
		distance  time.Duration
		err, hint string
	}{
		{[]Job{{Name: "cleanup", Every: 2 * time.Hour, Heavy: true, Nodes: nodeNames(14)}}, 10 * time.Minute,
			"cron job cleanup, every 2h on 14 nodes, can't keep 10m from the others",
			"run it on 12 nodes (give those the role cron), or set cron.distance to 8m, or set its every to 3h"},
		{jobsOn(12, 2*time.Hour, 0), 10 * time.Minute,
			"cron job rule-packages, every 1d on 1 node, can't keep 10m", "set cron.distance to 9m"},
		{[]Job{{Name: "x", Every: 5 * time.Minute, Nodes: nodeNames(2)}}, 10 * time.Minute, "cron job x, every 5m on 2 nodes", "run it on 1 node (give those the role cron), or set cron.distance to 2m, or set its every to 20m"},
	} {
		_, err := Stagger(c.jobs, c.distance, nil)
		if err == nil || !strings.HasPrefix(err.Error(), c.err) || !strings.Contains(ops.HintOf(err), c.hint) || ops.CodeOf(err) != ops.CodeInvalid {
			t.Errorf("got %v\nhint %s", err, ops.HintOf(err))
		}
	}
}

// Random demands: whatever Stagger accepts, the simulation proves.
func TestStaggerRandomDemands(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 11))
	accepted := 0
	for range 150 {
		var jobs []Job
		for k := range 1 + r.IntN(4) {
			jobs = append(jobs, Job{Name: fmt.Sprintf("job%d", k), Every: intervals[r.IntN(len(intervals))], Heavy: r.IntN(2) == 0, Nodes: nodeNames(1 + r.IntN(8))})
		}
		distance := time.Duration(1+r.IntN(20)) * time.Minute
		keep := Phases{}
		for _, j := range jobs {
			for _, n := range j.Nodes {
				if r.IntN(3) == 0 {
					keep[Slot{j.Name, n}] = r.IntN(wholeMinutes(j.Every))
				}
			}
		}
		phases, err := Stagger(jobs, distance, keep)
		if err != nil {
			continue
		}
		accepted++
		list := schedules(t, jobs, phases)
		if proof := Prove(list, distance, date, 8); !proof.OK() {
			t.Fatalf("%+v: %s", jobs, proof)
		}
		// The week with Berlin's and Lord Howe's changes.
		if proof := Prove(list, distance, time.Date(2026, 3, 27, 0, 0, 0, 0, time.UTC), 10); !proof.OK() {
			t.Fatalf("%+v: %s", jobs, proof)
		}
	}
	if accepted < 40 {
		t.Errorf("only %d demands were accepted: the test tests little", accepted)
	}
}
