package tui

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/mosparoctl/mosparoctl/ops/release"
	"github.com/mosparoctl/mosparoctl/tui/tuitest"
)

// helperEnv makes the test binary the program itself, on a deployment that does not exist; its value says where it panics.
const helperEnv = "TUI_TEST_PANIC"

func TestMain(m *testing.M) {
	if where := os.Getenv(helperEnv); where != "" {
		helper(where)
		return
	}
	os.Exit(m.Run())
}

// panicking fails where it is told to.
type panicking struct {
	*world
	where string
}

func (p panicking) Deploy(ctx context.Context, s release.SourceSpec) (*Proposal, error) {
	if p.where == "command" && s.Path != "/srv/new.zip" {
		panic("a planner that fails")
	}
	return p.world.Deploy(ctx, s)
}

func helper(where string) {
	w := newWorld(false)
	w.now = time.Now
	m := New(context.Background(), Services{Deployment: w.d, Reader: w, Planner: panicking{w, where}, Redact: func(s string) string {
		if where == "update" && s == "theme: light" {
			panic("a redactor that fails")
		}
		return s
	}}, Options{})
	if err := Run(context.Background(), m, Terminal{In: os.Stdin, Out: os.Stdout, Env: os.Environ(), Err: os.Stderr}); err != nil {
		os.Exit(3)
	}
}

// TestPanicsGiveTheTerminalBack lets the program panic in Update, and in a command.
func TestPanicsGiveTheTerminalBack(t *testing.T) {
	for where, reach := range map[string]func(x *tuitest.Terminal){
		"update":  func(x *tuitest.Terminal) { x.Keys("T") },
		"command": func(x *tuitest.Terminal) { x.Keys("4", "Enter"); x.Type("boom"); x.Keys("Enter") },
	} {
		x := tuitest.Open(t, 90, 25)
		x.Run("env", helperEnv+"="+where, os.Args[0])
		x.Wait(`▸1 Overview`)
		reach(x)
		if status := x.Ended(); status != "3" {
			t.Errorf("%s: exit status %s", where, status)
		}
	}
}

// TestPastesAreHarmless pastes what is no text into every screen.
func TestPastesAreHarmless(t *testing.T) {
	x := tuitest.Open(t, 90, 25)
	x.Run("env", helperEnv+"=never", os.Args[0])
	x.Wait(`▸1 Overview`)
	junk := "q\ny\nshop-production\n:quit\n\t\x7f\xff\xfe\u202e日本\n"
	for _, key := range []string{"1", "3", "4", "9"} {
		x.Keys(key)
		x.Paste(junk)
	}
	x.Wait(`▸9 Events`)
	x.Keys("4", "Enter")
	x.Paste(junk)
	x.Wait(`qyshop|q y shop`)
	x.Keys("Escape") // alone: a key that follows at once would be Alt with that key
	x.Until("the dialog to close", func() bool { return !strings.Contains(x.Screen(), "┌ Deploy") })
	x.Keys("1")
	x.Wait(`▸1 Overview`)
	x.Keys("q")
	if status := x.Ended(); status != "0" {
		t.Errorf("exit status %s", status)
	}
}
