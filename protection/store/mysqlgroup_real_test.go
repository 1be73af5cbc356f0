//go:build mysql

package store

import (
	"errors"
	"syscall"
	"testing"
	"time"

	lab "github.com/mosparoctl/mosparoctl/internal/lab/server"
)

// TestNoMajority leaves the primary of a replication group alone: it is not read-only, but nobody may write to it.
func TestNoMajority(t *testing.T) {
	members, _ := lab.StartGroup(t, 3)
	o := mariaOptions(t, members[0])
	s := open(t, o)
	primary := s.b.(*mysqlDB).servers[0]
	must(t, primary.probe(t.Context()))
	for _, m := range members[1:] {
		must(t, syscall.Kill(m.Process.PID(), syscall.SIGSTOP))
		t.Cleanup(func() { _ = syscall.Kill(m.Process.PID(), syscall.SIGCONT) })
	}
	for tick := time.NewTicker(100 * time.Millisecond); ; <-tick.C {
		if err := primary.probe(t.Context()); err != nil {
			if !errors.Is(err, errNoMajority) || classify(err) != elsewhere {
				t.Errorf("probe: %v", err)
			}
			return
		}
	}
}
