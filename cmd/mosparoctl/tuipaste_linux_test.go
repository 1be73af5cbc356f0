package main

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mosparoctl/mosparoctl/tui/tuitest"
)

// TestTUIStartsNothingByChance pastes random bytes into the program, in brackets and as keys, into screens and dialogs, also into the
// one that takes the name. Whatever becomes of the program, no operation may have taken the lock.
func TestTUIStartsNothingByChance(t *testing.T) {
	t.Parallel()
	d := holdDemo(t)
	seed := uint64(time.Now().UnixNano())
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("seed:", seed)
		}
	})
	rnd := rand.New(rand.NewPCG(seed, 0))
	before := d.operations(t)
	for range 8 {
		x := tuitest.Open(t, 100, 30, "TERM=xterm-256color")
		x.RunLast(d.tui()...)
		x.Wait(`app3 +1\.5\.3`)
		pid := x.Program()
		if rnd.IntN(2) == 0 { // the dialog that would start a deploy
			x.Keys("4", "Enter")
			x.Paste(filepath.Join(d.dir, "mosparo-1.5.4"))
			x.Keys("Enter")
			x.Wait(`wave 1 prepare`)
			x.Keys("Enter")
			x.Wait(`Type demo and`)
		}
		for range 1 + rnd.IntN(3) {
			junk := junkOf(rnd)
			if rnd.IntN(2) == 0 {
				x.Paste(junk)
			} else {
				x.PasteAsKeys(junk)
			}
		}
		x.Until("the junk to be read", func() bool { return allRead(x) || tuitest.Stopped(pid) || syscall.Kill(pid, 0) != nil })
		_ = syscall.Kill(pid, syscall.SIGCONT)
		_ = syscall.Kill(pid, syscall.SIGKILL)
		x.Died()
		if after := d.operations(t); !slices.Equal(before, after) {
			t.Fatalf("something was started: %q before, %q after", before, after)
		}
	}
	d.wantRelease(t, "1.5.3")
}

// junkOf is up to two thousand bytes: any, keys that mean something, and escape sequences, but no name of the deployment.
func junkOf(rnd *rand.Rand) string {
	var b strings.Builder
	for range rnd.IntN(2000) {
		switch rnd.IntN(4) {
		case 0:
			b.WriteByte(byte(rnd.Uint32()))
		case 1:
			b.WriteString([]string{"\n", "\x1b", "\x1b[A", "\x1b[200~", "\x1b[201~", "\x03", "\x1a", "\x7f", "\t"}[rnd.IntN(9)])
		default:
			b.WriteString("123456789:?/xuybrdqRT"[rnd.IntN(20):][:1])
		}
	}
	return strings.ReplaceAll(b.String(), "demo", "")
}

// operations are the generations of the lock: every operation takes a new one.
func (d heldDemo) operations(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(d.dir, "app1", "mosparo", ".mosparoctl", "lock", "lock.*"))
	if err != nil || len(found) == 0 {
		t.Fatalf("the lock is nowhere: %v", err)
	}
	return found
}

// allRead reports whether nothing that was typed waits to be read.
func allRead(x *tuitest.Terminal) bool {
	tty, err := os.OpenFile(x.TTY(), os.O_RDONLY|unix.O_NOCTTY, 0)
	if err != nil {
		return false
	}
	defer tty.Close()
	n, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCINQ)
	return err == nil && n == 0
}
