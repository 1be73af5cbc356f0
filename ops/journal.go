package ops

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Journal records on the admin side what an operation has begun and how to take it back, so that the next run can repair
// what a killed one left. It is one file of JSON lines, synced after each line. A nil *Journal records nothing.
// Safe for concurrent use.
type Journal struct {
	mu   sync.Mutex
	file *os.File
}

// journalLine is one line: either Undo is set (begun) or Settled (no longer needed).
type journalLine struct {
	Time    time.Time `json:"time"`
	Step    string    `json:"step"`
	Title   string    `json:"title,omitempty"`
	Undo    *Undo     `json:"undo,omitempty"`
	Settled bool      `json:"settled,omitempty"`
}

// journalSuffix ends the name of a journal.
const journalSuffix = ".journal"

// OpenJournal starts a journal in dir, which is made if needed, named after run.
func OpenJournal(dir, run string) (*Journal, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make journal folder: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, run+journalSuffix), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start journal: %w", err)
	}
	return &Journal{file: f}, nil
}

// Begin records that s is about to run.
func (j *Journal) Begin(s Step) error {
	return j.write(journalLine{Time: time.Now().UTC(), Step: s.ID, Title: s.Title, Undo: s.Undo})
}

// Settle records that step needs no undo any more.
func (j *Journal) Settle(step string) error {
	return j.write(journalLine{Time: time.Now().UTC(), Step: step, Settled: true})
}

func (j *Journal) write(l journalLine) error {
	if j == nil {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	line, err := json.Marshal(l)
	if err != nil {
		return err
	}
	if _, err := j.file.Write(append(line, '\n')); err != nil {
		return err
	}
	return j.file.Sync()
}

// Close removes the journal: nothing is left to undo.
func (j *Journal) Close() error {
	if j == nil {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return errors.Join(j.file.Close(), os.Remove(j.file.Name()))
}

// Leftover is a journal of a run that did not end.
type Leftover struct {
	Path    string
	Started time.Time
	Pending []PendingUndo // in order of execution; undo last first
}

// PendingUndo is one thing to take back.
type PendingUndo struct {
	Step, Title string
	Undo        Undo
}

// Leftovers reads the journals in dir. A last line that was cut off is ignored, since the step had not started then.
// A folder that is not there holds none. The journal of a run that is still going on is listed too: hold the lock first.
func Leftovers(dir string) ([]Leftover, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*"+journalSuffix))
	if err != nil {
		return nil, err
	}
	var found []Leftover
	for _, path := range paths {
		l, err := readJournal(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read journal %s: %w", path, err)
		}
		found = append(found, l)
	}
	return found, nil
}

func readJournal(path string) (Leftover, error) {
	f, err := os.Open(path)
	if err != nil {
		return Leftover{}, err
	}
	defer f.Close()
	left := Leftover{Path: path}
	scanner := bufio.NewScanner(f)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		var l journalLine
		if json.Unmarshal(scanner.Bytes(), &l) != nil {
			continue
		}
		if left.Started.IsZero() {
			left.Started = l.Time
		}
		if l.Undo != nil {
			left.Pending = append(left.Pending, PendingUndo{Step: l.Step, Title: l.Title, Undo: *l.Undo})
			continue
		}
		for i, p := range left.Pending {
			if l.Settled && p.Step == l.Step {
				left.Pending = append(left.Pending[:i], left.Pending[i+1:]...)
				break
			}
		}
	}
	return left, scanner.Err()
}

// Remove deletes the leftover's journal, after all of it was undone.
func (l Leftover) Remove() error { return os.Remove(l.Path) }
