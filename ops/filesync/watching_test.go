package filesync_test

import (
	"context"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/filesync"
	"github.com/mosparoctl/mosparoctl/ops/filesync/filesynctest"
)

// watching runs Watch on a cluster and hands out its events.
type watching struct {
	t      *testing.T
	events chan ops.Event
	seen   []string // what wait passed over
}

func startWatch(t *testing.T, c *cluster, interval time.Duration) *watching {
	w := &watching{t: t, events: make(chan ops.Event, 1000)}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- filesync.Watch(ctx, c.opts, filesync.WatchOptions{Interval: interval, Debounce: 20 * time.Millisecond,
			Sink: ops.SinkFunc(func(e ops.Event) { w.events <- e })})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Watch = %v", err)
		}
	})
	return w
}

// wait returns the first event that holds text.
func (w *watching) wait(text string) ops.Event {
	w.t.Helper()
	timeout := time.After(30 * time.Second)
	for {
		select {
		case e := <-w.events:
			line := string(e.Kind) + " " + e.Message + " " + e.Error
			if strings.Contains(line, text) {
				return e
			}
			w.seen = append(w.seen, line)
		case <-timeout:
			w.t.Fatalf("no event with %q came", text)
		}
	}
}

// settle returns when the targets of c are in step, which is when no pass changes anything any more.
func (w *watching) settle(c *cluster) {
	w.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		p, _, err := c.plan()
		if err == nil && p.Empty() {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("not in step: %v", err)
		}
	}
}

func TestWatchNoticesChanges(t *testing.T) {
	c := newCluster(t, "app1", "app2")
	w := startWatch(t, c, time.Hour)
	w.wait("output create config/env.mosparo.php")
	w.wait("output create config/env.mosparo.php")
	c.write("admin", "var/data/new/sub/file", "1")
	w.wait("output create var/data/new/sub/file")
	w.wait("output create var/data/new/sub/file")
	c.write("admin", "var/data/new/sub/file", "22") // in a folder that came after the start
	w.settle(c)
	c.want("app2", with(synced(), "var/data/new/sub/file", "22"))
}

func TestWatchPollsARemoteAdminNode(t *testing.T) {
	c := newCluster(t, "app1")
	c.opts.Deployment.Admin().Address = "10.0.0.9"
	w := startWatch(t, c, 30*time.Millisecond)
	w.wait("output create config/env.mosparo.php")
	c.write("admin", "var/data/new", "1")
	w.wait("output create var/data/new")
}

// A source that goes bad while it is being watched harms no target, and the watch goes on when it is back.
func TestWatchGuards(t *testing.T) {
	for name, text := range map[string]string{
		"":                              "no such file",
		"config/env.mosparo.php":        "env.mosparo.php is missing",
		"var/data":                      "var/data is empty or gone",
		"public":                        "public/resources is empty or gone",
		"public/resources/mappings.php": "would be deleted on app1", // over the budget
	} {
		t.Run("without "+name, func(t *testing.T) {
			c := newCluster(t, "app1")
			c.opts.Delete, c.opts.MaxDelete = true, "0"
			var calls atomic.Int64
			c.opts.Peers = filesync.NewPeers(hosts{calls: &calls}, nil)
			w := startWatch(t, c, 50*time.Millisecond)
			w.wait("output create config/env.mosparo.php")
			w.settle(c)
			before := filesynctest.Snapshot(t, c.path("app1", ""))
			away := c.path("admin", "") + ".away"
			must(t, os.Rename(c.path("admin", name), away))
			e := w.wait(text)
			if e.Kind != ops.Failed || e.Hint == "" {
				t.Errorf("event = %+v", e)
			}
			if d := cmp.Diff(before, filesynctest.Snapshot(t, c.path("app1", ""))); d != "" {
				t.Errorf("the target changed (-before +after):\n%s", d)
			}
			for before := calls.Load(); calls.Load() < before+20; { // several passes
				time.Sleep(time.Millisecond)
			}
			w.seen = nil
			must(t, os.Rename(away, c.path("admin", name)))
			w.wait("all is well again")
			if len(w.seen) > 0 {
				t.Errorf("told more than once: %q", w.seen)
			}
			c.want("app1", before)
		})
	}
}
