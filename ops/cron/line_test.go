package cron

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mosparoctl/mosparoctl/inventory"
)

// stub writes an executable sh script.
func stub(t *testing.T, dir, name, script string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

// runLine runs a crontab command as cron does: \% becomes %, the shell is sh, commands are those of bin.
func runLine(t *testing.T, command, bin string) {
	t.Helper()
	command = strings.ReplaceAll(command, `\%`, "%")
	command = strings.Replace(command, "PATH="+searchPath, "PATH="+bin+":"+searchPath, 1)
	if out, err := exec.Command("/bin/sh", "-c", command).CombinedOutput(); len(out) > 0 {
		t.Errorf("cron would mail %q (%v)", out, err)
	}
}

func TestLineRunsTheJob(t *testing.T) {
	bin, root := t.TempDir(), filepath.Join(t.TempDir(), "it's 100% mosparo")
	n := &inventory.Node{Name: "n", Paths: inventory.Paths{Root: root, Layout: inventory.LayoutReleases}, PHP: inventory.PHP{Command: []string{"php", "-d", "a=b c"}}}
	for _, dir := range []string{n.InstallPath(), LockDir(n)} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	log := filepath.Join(bin, "log")
	stub(t, bin, "logger", `{ echo "tag $2"; cat; } >>`+log)
	stub(t, bin, "php", `pwd; for a; do echo "arg $a"; done; [ ! -e `+bin+`/fail ] || exit 7`)
	s := Schedule{Slot: Slot{"cleanup", "n"}, Every: time.Hour, Fields: Fields{Text: "1 2 * * *"}}
	line, err := entryLine(n, s, []string{"mosparo:cleanup-database"}, "www-data")
	if err != nil {
		t.Fatal(err)
	}
	entry := parse(t, line+"\n", true).Lines[0]
	if entry.Kind != Entry || entry.User != "www-data" || entry.Fields.Text != "1 2 * * *" || strings.Contains(strings.ReplaceAll(entry.Command, `\%`, ""), "%") {
		t.Fatalf("%+v", entry)
	}
	expect := func(want string) {
		t.Helper()
		b, _ := os.ReadFile(log)
		if string(b) != want {
			t.Errorf("log:\n%s\nwant:\n%s", b, want)
		}
		_ = os.Remove(log)
	}
	output := "tag mosparo-cleanup\n" + n.InstallPath() + "\narg -d\narg a=b c\narg bin/console\narg mosparo:cleanup-database\narg --no-interaction\n"
	runLine(t, entry.Command, bin)
	expect(output)
	stub(t, bin, "fail", "")
	runLine(t, entry.Command, bin)
	expect(output + "ended with status 7\n")
	if err := os.Remove(filepath.Join(bin, "fail")); err != nil {
		t.Fatal(err)
	}

	// While another run holds the lock, nothing runs, and the log says so.
	lock := filepath.Join(LockDir(n), "cleanup.lock")
	holder := exec.Command("flock", lock, "sh", "-c", "echo locked; read line")
	in, err := holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 16)); err != nil {
		t.Fatal(err)
	}
	runLine(t, entry.Command, bin)
	expect("tag mosparo-cleanup\nended with status 1\n")
	_ = in.Close()
	_ = holder.Wait()
}

// The guard in the shell decides as the one in the simulation does.
func TestGuardInTheShell(t *testing.T) {
	bin := t.TempDir()
	n := &inventory.Node{Name: "n", Paths: inventory.Paths{Root: t.TempDir(), Layout: inventory.LayoutInPlace}}
	if err := os.MkdirAll(LockDir(n), 0o755); err != nil {
		t.Fatal(err)
	}
	ran := filepath.Join(bin, "ran")
	stub(t, bin, "logger", "cat >/dev/null")
	stub(t, bin, "php", "touch "+ran)
	for _, every := range []time.Duration{2 * time.Hour, 24 * time.Hour, Week} {
		j := Job{Name: "x", Every: every}
		phase := wholeMinutes(every) - 7
		s, err := NewSchedule(j, "n", phase, zone(t, "Europe/Berlin"), date)
		if err != nil || s.Guard == nil {
			t.Fatalf("%v %+v", err, s)
		}
		line, err := entryLine(n, s, []string{"c"}, "")
		if err != nil {
			t.Fatal(err)
		}
		entry := parse(t, line+"\n", false).Lines[0]
		start := 7*24*60*2900 + phase
		for _, minute := range []int{start - 1, start, start + 4, start + 5, start + 60, start + wholeMinutes(every), start - 60} {
			stub(t, bin, "date", fmt.Sprintf("[ \"$*\" = +%%s ] && echo %d", minute*60+31))
			_ = os.Remove(ran)
			runLine(t, entry.Command, bin)
			_, err := os.Stat(ran)
			if got, want := err == nil, s.Guard.Pass(minute); got != want {
				t.Errorf("every %s, %d minutes after the start: ran %v, want %v", every, minute-start, got, want)
			}
		}
	}
}

func TestScheduleFields(t *testing.T) {
	for _, c := range []struct {
		every time.Duration
		phase int
		zone  string
		want  string
		guard bool
	}{
		{2 * time.Hour, 17, "UTC", "17 0-23/2 * * *", false},
		{2 * time.Hour, 77, "UTC", "17 1-23/2 * * *", false},
		{8 * time.Hour, 77, "UTC", "17 1,9,17 * * *", false},
		{24 * time.Hour, 3*60 + 5, "Asia/Kathmandu", "50 8 * * *", false},
		{24 * time.Hour, 23 * 60, "Asia/Tokyo", "0 8 * * *", false},
		{Week, 0, "UTC", "0 0 * * 4", false},
		{Week, 24*60 - 1, "Asia/Tokyo", "59 8 * * 5", false},
		{10 * time.Minute, 3, "UTC", "3-59/10 * * * *", false},
		{30 * time.Minute, 3, "Australia/Lord_Howe", "3,33 * * * *", false},
		{time.Hour, 3, "Europe/Berlin", "3 * * * *", false},
		{time.Hour, 3, "Australia/Lord_Howe", "3,33 * * * *", true},
		{20 * time.Minute, 3, "Australia/Lord_Howe", "3,13,23,33,43,53 * * * *", true},
		{24 * time.Hour, 65, "Europe/Berlin", "5 * * * *", true},
	} {
		s, err := NewSchedule(Job{Name: "x", Every: c.every}, "n", c.phase, zone(t, c.zone), date)
		if err != nil || s.Fields.Text != c.want || (s.Guard != nil) != c.guard {
			t.Errorf("every %s at %d in %s: %s, guard %+v, %v", c.every, c.phase, c.zone, s.Fields.Text, s.Guard, err)
		}
		job, every, phase, ok := phaseOf(note(Schedule{Slot: Slot{"a-b", "n"}, Every: c.every, Phase: c.phase, Guard: s.Guard, Zone: s.Zone}) + "\n")
		if job != "a-b" || every != c.every || phase != c.phase || !ok {
			t.Errorf("note reads back as %s %s %d %v", job, every, phase, ok)
		}
	}
	if _, err := NewSchedule(Job{Name: "x", Every: time.Hour}, "n", 1, time.FixedZone("odd", 30), date); err == nil {
		t.Error("a zone with seconds was taken")
	}
}

func TestTimeline(t *testing.T) {
	var list []Schedule
	for _, c := range []struct{ job, node, fields string }{
		{"cleanup", "web1", "0 0-23/4 * * *"}, {"cleanup", "höst2", "30 1-23/4 * * *"},
		{"rule-packages", "web1", "10 4 * * *"}, {"cleanup", "web3", "5 8 * * *"}, {"geoip", "web1", "5 13 * * *"},
	} {
		f, err := ParseFields(c.fields)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, Schedule{Slot: Slot{c.job, c.node}, Heavy: c.job != "geoip", Zone: time.UTC, Fields: f})
	}
	tl := NewTimeline(list, 10*time.Minute, time.Date(2026, 5, 1, 0, 0, 20, 0, time.UTC), 24*time.Hour)
	want := `UTC    00  02  04  06  08  10  12  14  16  18  20  22
web1   c·······+·······!·······c·g·····c·······c·······
höst2  ···c·······c·······c·······c·······c·······c····
web3   ················!·······························
       c cleanup   r rule-packages   g geoip   ! closer than 10m   + several
`
	if got := tl.Text(55); got != want {
		t.Errorf("got:\n%s", got)
	}
	for _, width := range []int{0, 20, 80, 300} {
		for line := range strings.Lines(tl.Text(width)) {
			if n := len([]rune(strings.TrimSuffix(line, "\n"))); width >= 80 && n > width {
				t.Errorf("width %d: a line of %d", width, n)
			}
		}
	}
}
