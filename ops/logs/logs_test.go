package logs_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops/local"
	"github.com/mosparoctl/mosparoctl/ops/logs"
)

var now = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// node makes a node of a temporary folder, with files by path below it.
func node(t *testing.T, files map[string]string) *inventory.Node {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return &inventory.Node{Name: "app1", TZ: "Europe/Berlin", Paths: inventory.Paths{Root: root, Layout: inventory.LayoutInPlace},
		PHP: inventory.PHP{FPMLog: []string{root + "/php*/fpm.log", root + "/none.log"}}}
}

// read gives the lines of n as text, and Read's error.
func read(t *testing.T, n *inventory.Node, o logs.Options) ([]string, error) {
	t.Helper()
	var mu sync.Mutex
	var lines []logs.Line
	o.Now = now
	if o.Lines == 0 {
		o.Lines = 100
	}
	err := logs.Read(t.Context(), local.New(n.Name), n, o, func(l logs.Line) {
		mu.Lock()
		defer mu.Unlock()
		lines = append(lines, l)
	})
	logs.Sort(lines)
	var out []string
	for _, l := range lines {
		out = append(out, fmt.Sprintf("%s %s %s", l.Source, l.Time.UTC().Format("01-02 15:04:05"), l.Text))
	}
	return out, err
}

var sample = map[string]string{
	"var/log/prod.log": "[2026-01-02T10:00:00.123456+00:00] app.ERROR: one [] []\n#0 trace\n\n#1 trace\n[2026-01-02T10:00:03+00:00] app.INFO: four\n",
	"var/log/a b.log":  "==> not a header <==\n[2026-01-02T10:00:02+00:00] two\n",
	"var/log/old.gz":   "not read",
	"php8.2/fpm.log":   "[02-Jan-2026 11:00:01] NOTICE: ready\n[02-Jan-2026 10:00:04 UTC] PHP Warning: five",
}

func TestReadMergesFiles(t *testing.T) {
	got, err := read(t, node(t, sample), logs.Options{Sources: []logs.Source{logs.App, logs.FPM}})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"app 01-01 00:00:00 ==> not a header <==", // no time at all: the zero time
		"app 01-02 10:00:00 [2026-01-02T10:00:00.123456+00:00] app.ERROR: one [] []",
		"app 01-02 10:00:00 #0 trace", "app 01-02 10:00:00 ", "app 01-02 10:00:00 #1 trace",
		"fpm 01-02 10:00:01 [02-Jan-2026 11:00:01] NOTICE: ready",
		"app 01-02 10:00:02 [2026-01-02T10:00:02+00:00] two",
		"app 01-02 10:00:03 [2026-01-02T10:00:03+00:00] app.INFO: four",
		"fpm 01-02 10:00:04 [02-Jan-2026 10:00:04 UTC] PHP Warning: five",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestReadSinceAndLines(t *testing.T) {
	n := node(t, sample)
	got, err := read(t, n, logs.Options{Sources: []logs.Source{logs.App}, Since: time.Date(2026, 1, 2, 10, 0, 3, 0, time.UTC), Lines: 2})
	// "#1 trace" has lost its time with the lines before it: what has none is kept.
	want := []string{"app 01-01 00:00:00 ==> not a header <==", "app 01-01 00:00:00 #1 trace", "app 01-02 10:00:03 [2026-01-02T10:00:03+00:00] app.INFO: four"}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Error(d, err)
	}
	n.Paths.Root = "/no/such/folder"
	if got, err := read(t, n, logs.Options{Sources: []logs.Source{logs.App}}); err != nil || got != nil {
		t.Errorf("no logs: %q, %v", got, err)
	}
}

// fakeJournal puts a journalctl into PATH.
func fakeJournal(t *testing.T, script string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "journalctl"), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

func TestReadCronFromJournal(t *testing.T) {
	fakeJournal(t, `[ "$1" = -q ] && { echo something; exit 0; }
echo "-- Journal begins --"
echo "2026-01-02T11:00:00+0100 mosparo-cleanup[7]: $*"
echo "Hint: You are currently not seeing messages from other users" >&2
`)
	got, err := read(t, node(t, nil), logs.Options{Sources: []logs.Source{logs.Cron}, Tags: []string{"mosparo-cleanup", "mosparo-geo ip"}, Lines: 5})
	want := []string{"cron 01-02 10:00:00 2026-01-02T11:00:00+0100 mosparo-cleanup[7]: --no-pager --no-hostname -o short-iso -n 5 -t mosparo-cleanup -t mosparo-geo ip"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if err == nil || !strings.Contains(err.Error(), "not seeing messages") {
		t.Errorf("what journalctl complains of is lost: %v", err)
	}
}

func TestFollow(t *testing.T) {
	n := node(t, map[string]string{"var/log/prod.log": "[2026-01-02T10:00:00+00:00] first\n"})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	lines, done := make(chan logs.Line), make(chan error, 1)
	go func() {
		done <- logs.Read(ctx, local.New("app1"), n, logs.Options{Sources: []logs.Source{logs.App}, Lines: 10, Follow: true, Now: now},
			func(l logs.Line) { lines <- l })
	}()
	if l := <-lines; !strings.HasSuffix(l.Text, "first") {
		t.Errorf("line %q", l.Text)
	}
	f, err := os.OpenFile(filepath.Join(n.Paths.Root, "var/log/prod.log"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fmt.Fprintln(f, "[2026-01-02T10:00:01+00:00] second")
	if l := <-lines; !strings.HasSuffix(l.Text, "second") {
		t.Errorf("line %q", l.Text)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Read = %v", err)
	}
}

func TestMergeOrdersWhatIsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := make(chan logs.Line)
		var got []string
		done := make(chan bool)
		go func() {
			logs.Merge(in, time.Second, func(l logs.Line) { got = append(got, l.Text) })
			close(done)
		}()
		send := func(text string, sec int) {
			in <- logs.Line{Text: text, Time: now.Add(time.Duration(sec) * time.Second)}
		}
		send("b", 2)
		time.Sleep(900 * time.Millisecond)
		send("a", 1) // late, but within the window
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if d := cmp.Diff([]string{"a", "b"}, got); d != "" {
			t.Error(d)
		}
		send("d", 9)
		send("c", 3)
		close(in)
		<-done
		if d := cmp.Diff([]string{"a", "b", "c", "d"}, got); d != "" {
			t.Error(d)
		}
	})
}
