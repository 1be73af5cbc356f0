package tui

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/tui/tuitest"
)

// helperEnv makes the test binary the program itself, on a deployment that does not exist. Its value is a folder: a deploy runs until
// the file "finish" is there or it is aborted, and says in "ended" which. helperPanics says where the program panics, once it got
// SIGUSR1.
const (
	helperEnv    = "TUI_TEST_DIR"
	helperPanics = "TUI_TEST_PANIC"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(helperEnv); dir != "" {
		os.Exit(helper(dir))
	}
	os.Exit(m.Run())
}

// helper is the program. Its exit status is 3 when the screen failed.
func helper(dir string) int {
	var armed atomic.Bool
	stop, signals := make(chan struct{}), make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGUSR1, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		for s := range signals {
			switch {
			case s == syscall.SIGUSR1 && os.Getenv(helperPanics) == "goroutine":
				panic("a goroutine that fails")
			case s == syscall.SIGUSR1:
				armed.Store(true)
				_ = os.WriteFile(filepath.Join(dir, "armed"), nil, 0o600)
			default:
				signal.Stop(signals)
				close(stop)
				return
			}
		}
	}()
	fails := func(where string) bool {
		return armed.Load() && os.Getenv(helperPanics) == where && (where == "command" || strings.Contains(string(debug.Stack()), ").frame") == (where == "view"))
	}
	w := newWorld(true)
	w.d.Check.Interval = time.Second
	w.now = time.Now
	w.run = func(_ context.Context, sink ops.Sink, stop <-chan struct{}) error { return slowDeploy(dir, sink, stop) }
	w.check = func(context.Context) error {
		if fails("command") {
			panic("a check that fails")
		}
		return nil
	}
	redact := func(s string) string {
		if fails("view") || fails("update") {
			panic("a redactor that fails")
		}
		return s
	}
	m := New(context.Background(), Services{Deployment: w.d, Reader: w, Planner: w, Redact: redact}, Options{})
	if err := Run(context.Background(), m, Terminal{In: os.Stdin, Out: os.Stdout, Env: os.Environ(), Err: os.Stderr, Stop: stop}); err != nil {
		return 3
	}
	return 0
}

// slowDeploy tells what it does a hundred times a second.
func slowDeploy(dir string, sink ops.Sink, stop <-chan struct{}) error {
	ended := func(how string) error { return os.WriteFile(filepath.Join(dir, "ended"), []byte(how), 0o600) }
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for i := int64(0); ; i++ {
		select {
		case <-stop:
			return ended("aborted")
		case <-tick.C:
		}
		if _, err := os.Stat(filepath.Join(dir, "finish")); err == nil {
			return ended("finished")
		}
		sink.Emit(ops.Event{Kind: ops.Progress, Op: "deploy", Node: "app1", Step: "upload/app1", Done: i, Unit: "bytes"})
		sink.Emit(ops.Event{Kind: ops.Output, Op: "deploy", Node: "app1", Message: fmt.Sprint("file ", i)})
	}
}

// program is the helper in a terminal, reached by keys.
type program struct {
	*tuitest.Terminal
	t   *testing.T
	dir string
	rnd *rand.Rand
}

// reach brings the program into a state. Where it is in that state is random: keys that do no harm come before and after.
func (p program) reach(state string) {
	idle := func() {
		for range p.rnd.IntN(8) {
			p.Keys([]string{"1", "2", "3", "4", "6", "7", "8", "9", "Tab", "Down", "Up", "T", "R"}[p.rnd.IntN(13)])
		}
	}
	if state == "starting" {
		for range p.rnd.IntN(12) {
			p.Screen() // takes a moment
		}
		return
	}
	p.Wait(`▸1 Overview`)
	idle()
	if state == "idle" {
		return
	}
	p.Keys("4", "Enter")
	p.Wait(`Path of a folder`)
	p.Type("/srv/new.zip")
	p.Keys("Enter")
	p.Wait(`starts it`)
	p.Keys("Enter")
	p.Wait(`Type shop-production`)
	name := "shop-production"
	if state == "dialog" {
		p.Type(name[:p.rnd.IntN(len(name)+1)])
		return
	}
	p.Type(name)
	p.Keys("Enter")
	p.Wait(`▶ deploy`)
	idle()
}

// wantDeploy wants the deploy to have ended in that way.
func (p program) wantDeploy(how string) {
	p.t.Helper()
	if got, err := os.ReadFile(filepath.Join(p.dir, "ended")); string(got) != how {
		p.t.Errorf("the deploy was %q (%v), want %q", got, err, how)
	}
}

// seedEnv repeats a run of random points.
const seedEnv = "TUI_TEST_SEED"

// seeded makes random numbers, whose seed a failure tells.
func seeded(t *testing.T) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	if v := os.Getenv(seedEnv); v != "" {
		n, err := strconv.ParseUint(v, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seed = n
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("again: %s=%d", seedEnv, seed)
		}
	})
	return rand.New(rand.NewPCG(seed, 0))
}

// TestTerminalIsGivenBack ends, stops and kills the program and lets it panic, at random points of four states of it. Each time the
// terminal must be as it was before.
func TestTerminalIsGivenBack(t *testing.T) {
	ways := map[string]func(p program, state string){
		"TERM": func(p program, state string) { p.ends(state, syscall.SIGTERM) },
		"INT":  func(p program, state string) { p.ends(state, syscall.SIGINT) },
		"HUP":  program.hangup,
		"KILL": func(p program, _ string) { p.dies(syscall.SIGKILL) },
		"QUIT": func(p program, _ string) { p.dies(syscall.SIGQUIT) },
		"TSTP": program.suspended,
	}
	for _, where := range []string{"view", "update", "command", "goroutine"} {
		ways["panic "+where] = func(p program, state string) { p.panics(state, where) }
	}
	rnd := seeded(t)
	x := tuitest.Open(t, 100, 30)
	for way, do := range ways {
		for _, state := range []string{"starting", "idle", "dialog", "running"} {
			switch {
			case way == "panic update" && state == "dialog", strings.HasPrefix(way, "panic") && state == "starting":
				continue // nothing of what panics is asked for there
			case way == "INT" && state == "starting":
				continue // before the program takes interrupts one ends the shell's script too
			}
			ok := t.Run(way+" "+state, func(t *testing.T) {
				p := program{x.For(t), t, t.TempDir(), rnd}
				p.Run("env", helperEnv+"="+p.dir, helperPanics+"="+strings.TrimPrefix(way, "panic "), os.Args[0])
				p.Program()
				p.reach(state)
				do(p, state)
				p.Restored()
			})
			if !ok {
				return // the terminal is in no state to go on with
			}
		}
	}
}

func (p program) kill(s syscall.Signal) {
	p.t.Helper()
	if err := syscall.Kill(p.Program(), s); err != nil {
		p.t.Fatal(err)
	}
}

// ends wants the program to end by itself after a signal, and a deploy to be aborted.
func (p program) ends(state string, s syscall.Signal) {
	p.kill(s)
	p.Ended()
	if state == "running" {
		p.wantDeploy("aborted")
	}
}

// dies wants the terminal given back by somebody else than the program.
func (p program) dies(s syscall.Signal) {
	p.kill(s)
	if status := p.Died(); status == "0" {
		p.t.Error("the program ended well")
	}
}

// hangup wants the screen to end at once, and a deploy to go on to its end without it.
func (p program) hangup(state string) {
	pid := p.Program()
	p.kill(syscall.SIGHUP)
	if state == "running" {
		p.Wait(`the terminal was lost: what runs goes on`)
		p.Restored()
		_ = syscall.Kill(pid, syscall.SIGHUP)  // as the kernel does when the shell ends as well
		_ = syscall.Kill(pid, syscall.SIGTSTP) // would make the deploy stand still
		if err := os.WriteFile(filepath.Join(p.dir, "finish"), nil, 0o600); err != nil {
			p.t.Fatal(err)
		}
	}
	p.Ended()
	if state == "running" {
		p.wantDeploy("finished")
	}
}

// suspended wants the terminal back while the program is stopped, and the screen again after it. A deploy does not let it stop.
func (p program) suspended(state string) {
	pid := p.Program()
	p.kill(syscall.SIGTSTP)
	if state == "running" {
		p.Until("the stop to be refused", func() bool {
			p.kill(syscall.SIGTSTP) // again, since a key that was under way may have put another note in the place
			return strings.Contains(p.Screen(), "deploy is running and would stand still")
		})
		p.Keys("q")
		p.Wait(`Leaving aborts it`)
		p.Keys("y")
		p.Ended()
		p.wantDeploy("aborted")
		return
	}
	p.Until("the program to stop", func() bool { return tuitest.Stopped(pid) })
	p.Ended()
	p.Resume()
	p.Wait(`▸\d \w+`)
	p.kill(syscall.SIGTERM)
	p.Until("the program to end", func() bool { return syscall.Kill(pid, 0) != nil })
}

// panics wants the terminal back from the program, or from its guard where nothing catches the panic. A deploy is aborted.
func (p program) panics(state, where string) {
	if where == "view" && state != "dialog" {
		p.Keys("1") // whose drawing asks what panics
	}
	p.kill(syscall.SIGUSR1)
	if where == "goroutine" {
		if status := p.Died(); status != "2" {
			p.t.Errorf("exit status %s", status)
		}
		return
	}
	if where == "update" && state == "idle" {
		p.Until("the panic to be armed", func() bool {
			_, err := os.Stat(filepath.Join(p.dir, "armed"))
			return err == nil
		})
		p.Keys("R")
	}
	if status := p.Ended(); status != "3" {
		p.t.Errorf("exit status %s", status)
	}
	if state == "running" {
		p.wantDeploy("aborted")
	}
}
