package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/lock"
	"github.com/mosparoctl/mosparoctl/ops/release"
)

// leftovers tells what killed runs on this machine have left to take back, a warning for each. A run that still goes on, because it
// holds the lock and its process lives, is none of them.
func (s *session) leftovers(ctx context.Context) ([]ops.Event, error) {
	dir, err := s.stateDir()
	if err != nil {
		return nil, err
	}
	left, err := ops.Leftovers(dir)
	if err != nil || len(left) == 0 || s.runsHere(ctx) {
		return nil, err
	}
	var events []ops.Event
	for _, l := range left {
		began := "a run"
		if !l.Started.IsZero() {
			began += " that began " + l.Started.Local().Format("2006-01-02 15:04:05")
		}
		what := count(len(l.Pending), "step") + " to take back"
		if len(l.Pending) == 0 { // between two nodes: those that were finished stay so
			what = "nothing to take back, but it may not have reached every node"
		}
		events = append(events, ops.Event{Kind: ops.Warning, Op: "recover", Message: fmt.Sprintf("%s was broken off: %s", began, what),
			Hint: "mosparoctl recover"})
	}
	return events, nil
}

// runsHere reports whether the lock is held by a living process of this machine. Where it can't be asked it is not.
func (s *session) runsHere(ctx context.Context) bool {
	admin := s.deployment.Admin()
	if admin == nil {
		return false
	}
	host, err := s.hosts.Host(ctx, admin.Name)
	if err != nil {
		return false
	}
	info, held, err := lock.Inspect(ctx, host, release.LockDir(admin))
	machine, _ := os.Hostname()
	if err != nil || !held || info.Host != machine || info.PID <= 0 {
		return false
	}
	err = syscall.Kill(info.PID, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}

// keptLog is the size at which the log of the full screen is begun anew; the one before is kept.
const keptLog = 4 << 20

// screenLog opens the log of what the full screen carries out, which is read when its terminal was lost meanwhile.
func (s *session) screenLog() (*os.File, error) {
	dir, err := s.stateDir()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make log folder: %w", err)
	}
	name := filepath.Join(dir, "screen.jsonl")
	if st, err := os.Stat(name); err == nil && st.Size() > keptLog {
		if err := os.Rename(name, name+".1"); err != nil {
			return nil, fmt.Errorf("keep old log: %w", err)
		}
	}
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	return f, nil
}
