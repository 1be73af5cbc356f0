package lock

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/local"
)

const dir = "/srv/.mosparoctl/lock"

func options(owner string) Options {
	return Options{Dir: dir, Owner: owner, Host: owner + "-pc", PID: 7, Op: "deploy", Lease: time.Minute}
}

func mustAcquire(t *testing.T, f Files, o Options) *Lock {
	t.Helper()
	l, err := Acquire(t.Context(), f, o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func wantLocked(t *testing.T, err error, parts ...string) {
	t.Helper()
	if ops.CodeOf(err) != ops.CodeLocked {
		t.Fatalf("got %v, want an error with code locked", err)
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("error %q does not name %q", err, p)
		}
	}
}

func TestSecondOperatorIsToldWhoHoldsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode()
		l := mustAcquire(t, n.connect(), options("alice"))
		time.Sleep(10 * time.Minute) // renewed all the while
		begun := time.Now()
		_, err := Acquire(t.Context(), n.connect(), options("bob"))
		wantLocked(t, err, "alice", "alice-pc", "deploy", "2000-01-01 00:00:00 UTC")
		if took := time.Since(begun); took > time.Second {
			t.Errorf("took %s to say so", took)
		}
		if err := l.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		l = mustAcquire(t, n.connect(), options("bob"))
		if err := l.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		if l.Err() != nil {
			t.Error(l.Err())
		}
	})
}

func TestOneOfManyGetsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode()
		for round := range 20 {
			var winners atomic.Int32
			var wg sync.WaitGroup
			for i := range 8 {
				wg.Go(func() {
					time.Sleep(time.Duration(i*(round%5)) * 100 * time.Microsecond)
					l, err := Acquire(t.Context(), n.connect(), options(fmt.Sprint("op", i)))
					if err != nil {
						if ops.CodeOf(err) != ops.CodeLocked {
							t.Error(err)
						}
						return
					}
					if winners.Add(1) > 1 {
						t.Error("two hold the lock")
					}
					time.Sleep(time.Minute)
					winners.Add(-1)
					if err := l.Release(t.Context()); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
		}
		for d := range n.dirs {
			if strings.Contains(d, ops.TempPrefix) {
				t.Errorf("left behind: %s", d)
			}
		}
	})
}

// A holder that was killed is followed within its lease, whatever the clocks say, and never before.
func TestKilledHolderFreesWithinItsLease(t *testing.T) {
	for _, skew := range []time.Duration{0, 10 * time.Minute, -10 * time.Minute} {
		t.Run(skew.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNode()
				n.clock(skew)
				alice := n.connect()
				l := mustAcquire(t, alice, options("alice"))
				time.Sleep(25 * time.Second)
				alice.setCut(errors.New("killed"))
				died := time.Now()
				for {
					b, err := Acquire(t.Context(), n.connect(), options("bob"))
					if err == nil {
						if took := time.Since(died); took > 61*time.Second {
							t.Errorf("freed %s after its holder died, want its lease of a minute at most", took)
						} else if took < 30*time.Second {
							t.Errorf("stolen after %s", took)
						}
						_ = b.Release(t.Context())
						break
					}
					wantLocked(t, err)
					time.Sleep(time.Second)
				}
				<-l.Lost()
				wantLocked(t, l.Err())
			})
		})
	}
}

func TestStepsOfTheNodesClockNeitherStealNorWedge(t *testing.T) {
	for _, step := range []time.Duration{10 * time.Minute, -10 * time.Minute, 25 * time.Hour} {
		t.Run(step.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNode()
				alice := n.connect()
				l := mustAcquire(t, alice, options("alice"))
				time.Sleep(time.Second)
				n.clock(step)
				_, err := Acquire(t.Context(), n.connect(), options("bob"))
				wantLocked(t, err)
				if l.Err() != nil {
					t.Fatal("stolen")
				}
				alice.setCut(errors.New("killed"))
				n.clock(-step)
				died := time.Now()
				bob := options("bob")
				bob.Wait = true
				b := mustAcquire(t, n.connect(), bob)
				if took := time.Since(died); took > 2*time.Minute {
					t.Errorf("wedged for %s", took)
				}
				_ = b.Release(t.Context())
				<-l.Lost()
			})
		})
	}
}

func TestBreakStopsTheHolder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode()
		l := mustAcquire(t, n.connect(), options("alice"))
		info, held, err := Inspect(t.Context(), n.connect(), dir)
		if err != nil || !held || info.Owner != "alice" {
			t.Fatal(info, held, err)
		}
		wantLocked(t, Break(t.Context(), n.connect(), dir, "somebody else's token", "bob"), "alice")
		if err := Break(t.Context(), n.connect(), dir, info.Token, "bob"); err != nil {
			t.Fatal(err)
		}
		b := mustAcquire(t, n.connect(), options("bob"))
		defer func() { _ = b.Release(t.Context()) }()
		begun := time.Now()
		<-l.Lost()
		if took := time.Since(begun); took > 10*time.Second {
			t.Errorf("noticed after %s", took)
		}
		wantLocked(t, l.Err(), "bob")
		if err := l.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, held, _ := Inspect(t.Context(), n.connect(), dir); !held {
			t.Error("the release of the old holder freed the lock of the new one")
		}
	})
}

// A holder whose link is dead stops before anybody may take over.
func TestHolderStopsBeforeTakeover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode()
		alice := n.connect()
		l := mustAcquire(t, alice, options("alice"))
		alice.setCut(errors.New("link is down"))
		bob := options("bob")
		bob.Wait = true
		b := mustAcquire(t, n.connect(), bob)
		select {
		case <-l.Lost():
		default:
			t.Error("bob works while alice still does")
		}
		alice.setCut(nil)
		_ = l.Release(t.Context())
		time.Sleep(time.Minute)
		if b.Err() != nil {
			t.Error(b.Err())
		}
		_ = b.Release(t.Context())
	})
}

func TestGarbledLeaseDoesNotWedge(t *testing.T) {
	for name, content := range map[string]string{"garbage": "\x00{", "empty": "", "year": `{"token":"x","lease":31536000000000000}`} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNode()
				c := n.connect()
				_ = c.MkdirAll(t.Context(), dir+"/lock.3", ops.Attr{})
				_ = c.WriteFile(t.Context(), dir+"/lock.3/lease", strings.NewReader(content), ops.Attr{})
				_, err := Acquire(t.Context(), c, options("bob"))
				wantLocked(t, err)
				bob := options("bob")
				bob.Wait = true
				begun := time.Now()
				l := mustAcquire(t, c, bob)
				if took := time.Since(begun); took > maxLease+time.Minute {
					t.Errorf("took %s", took)
				}
				_ = l.Release(t.Context())
			})
		})
	}
}

// TestTwoProcesses is the real thing on a real file system: one process holds the lock and is killed.
func TestTwoProcesses(t *testing.T) {
	where := filepath.Join(t.TempDir(), "lock")
	cmd := exec.Command(os.Args[0], "-test.run=^TestHelperHolds$")
	cmd.Env = append(os.Environ(), "LOCK_DIR="+where)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var ready string
	if _, err := fmt.Fscanln(out, &ready); err != nil || ready != "held" {
		t.Fatal(ready, err)
	}
	o := Options{Dir: where, Owner: "bob", Lease: 3 * time.Second}
	_, err = Acquire(t.Context(), local.New("admin"), o)
	wantLocked(t, err, "alice")
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	o.Wait = true
	l, err := Acquire(t.Context(), local.New("admin"), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	entries, _ := os.ReadDir(where)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ops.TempPrefix) {
			t.Errorf("left behind: %s", e.Name())
		}
	}
}

// TestHelperHolds is the process that TestTwoProcesses kills; on its own it does nothing.
func TestHelperHolds(t *testing.T) {
	where := os.Getenv("LOCK_DIR")
	if where == "" {
		return
	}
	l, err := Acquire(t.Context(), local.New("admin"), Options{Dir: where, Owner: "alice", Lease: 3 * time.Second})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("held")
	<-l.Lost()
}

func FuzzLease(f *testing.F) {
	good, _ := json.Marshal(Info{Owner: "a", Lease: time.Minute, Token: "t", Since: time.Unix(1, 0)})
	f.Add(good)
	f.Add([]byte(`{"lease":-1}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		n := newNode()
		n.dirs[dir], n.dirs[dir+"/lock.1"] = true, true
		n.files[dir+"/lock.1/lease"] = file{data: raw}
		s, err := look(t.Context(), n.connect(), dir)
		if err != nil {
			t.Fatal(err)
		}
		if d := s.info.length(); d < minLease || d > maxLease {
			t.Fatalf("lease of %s", d)
		}
		_ = s.info.Holder()
	})
}
