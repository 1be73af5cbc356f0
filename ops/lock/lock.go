// Package lock is a lease lock on a node against two operators working on one deployment at once.
//
// The lock is a folder of numbered generations, "lock.7" and so on, each holding one small file: the lease. The highest
// generation counts. To take the lock is to rename a prepared folder to the next number, which the node's rename(2) refuses
// where that number is taken already: there is no moment between looking and taking. Nobody ever writes into a generation
// that is not his own, so a renewal that was delayed for minutes can't overwrite the lease of a later holder.
//
// A holder writes its lease anew every sixth of its length, and stops working when it could not for half of it. A lease is
// dead when it did not change for its whole length. How long it did not change is told by the node's clock alone (the times
// of the lease file and of a file just written beside it), and the last third is always watched by the monotonic clock of
// the one who waits. So the clocks of the operators don't matter, and a step of the node's clock only makes the wait longer.
package lock

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mosparoctl/mosparoctl/ops"
)

// DefaultLease is the length of a lease where none is asked for.
const DefaultLease = 90 * time.Second

// Bounds of a lease. A lease file that claims anything else is read as if it claimed the nearest bound, so that a garbled
// one can't wedge the lock for ever.
const (
	minLease = time.Second
	maxLease = 15 * time.Minute
)

const (
	genPrefix  = "lock."
	leaseName  = "lease"
	maxContent = 64 << 10
	// keepGens old generations stay, so that a listing that was overtaken while it was read still shows a higher one.
	keepGens = 4
)

// Files is what the lock needs of a node. *ops.Error with CodeUnreachable says that the node is gone; Rename must refuse to
// replace a folder that is not empty, as rename(2) does.
type Files interface {
	Name() string
	ops.FileReader
	ops.FileWriter
}

// Info is what a lease says.
type Info struct {
	Owner    string        `json:"owner"` // user name of the operator
	Host     string        `json:"host"`  // the operator's machine
	PID      int           `json:"pid"`
	Op       string        `json:"op"`    // "deploy", "sync", …
	Since    time.Time     `json:"since"` // by the node's clock
	Lease    time.Duration `json:"lease"` // nanoseconds
	Token    string        `json:"token"` // of this holder, unguessable
	Beat     int64         `json:"beat"`  // how often it was renewed
	Released bool          `json:"released,omitempty"`
	BrokenBy string        `json:"broken_by,omitempty"` // who broke the lock of the generation before
}

// Holder is the lease in words: who, where, for what, since when.
func (i Info) Holder() string {
	if i.Token == "" {
		return "somebody whose lease can't be read"
	}
	s := i.Owner
	if i.Host != "" {
		s += " on " + i.Host
	}
	s += fmt.Sprintf(" (pid %d)", i.PID)
	if i.Op != "" {
		s += " for " + i.Op
	}
	if !i.Since.IsZero() {
		s += " since " + i.Since.UTC().Format("2006-01-02 15:04:05") + " UTC"
	}
	return s
}

// length is the lease's length within its bounds.
func (i Info) length() time.Duration {
	if i.Lease == 0 {
		return DefaultLease
	}
	return min(max(i.Lease, minLease), maxLease)
}

// state is the highest generation as it was seen at one moment.
type state struct {
	gen   int // 0: nobody ever held the lock
	info  Info
	raw   []byte
	mtime time.Time
}

// free reports whether the next generation may be taken at once.
func (s state) free() bool { return s.gen == 0 || s.info.Released }

// same reports whether nothing was renewed between two looks.
func (s state) same(o state) bool {
	return s.gen == o.gen && bytes.Equal(s.raw, o.raw) && s.mtime.Equal(o.mtime)
}

func genName(n int) string { return genPrefix + strconv.Itoa(n) }

// generations lists the numbers in dir, ascending, and the temporary names somebody left there.
func generations(ctx context.Context, f Files, dir string) (gens []int, temps []string, err error) {
	entries, err := f.ReadDir(ctx, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("list lock folder: %w", err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name, ops.TempPrefix) {
			temps = append(temps, e.Name)
		}
		if num, ok := strings.CutPrefix(e.Name, genPrefix); ok {
			if n, err := strconv.Atoi(num); err == nil && n > 0 && genName(n) == e.Name {
				gens = append(gens, n)
			}
		}
	}
	slices.Sort(gens)
	return gens, temps, nil
}

// look reads the highest generation.
func look(ctx context.Context, f Files, dir string) (state, error) {
	gens, _, err := generations(ctx, f, dir)
	if err != nil || len(gens) == 0 {
		return state{}, err
	}
	s := state{gen: gens[len(gens)-1]}
	p := path.Join(dir, genName(s.gen), leaseName)
	st, err := f.Lstat(ctx, p)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil // a folder without a lease: its length has to run out like any other's
	}
	if err != nil {
		return state{}, fmt.Errorf("read lease: %w", err)
	}
	s.mtime = st.MTime
	if s.raw, err = readAll(ctx, f, p); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return state{}, fmt.Errorf("read lease: %w", err)
	}
	if json.Unmarshal(s.raw, &s.info) != nil {
		s.info = Info{}
	}
	return s, nil
}

func readAll(ctx context.Context, f Files, p string) ([]byte, error) {
	r, err := f.Open(ctx, p)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(io.LimitReader(r, maxContent))
}

// Inspect says who holds the lock in dir; held is false where nobody does. A lease that died is still shown as held:
// only waiting tells.
func Inspect(ctx context.Context, f Files, dir string) (info Info, held bool, err error) {
	s, err := look(ctx, f, dir)
	if err != nil {
		return Info{}, false, ops.NodeError(f.Name(), "read lock", err)
	}
	return s.info, !s.free(), nil
}

// Break frees the lock in dir deliberately, if the holder is still the one whose token is given; by names who does it.
// The holder notices within a sixth of its lease and stops. A lock that meanwhile went to somebody else is an error
// with CodeLocked.
func Break(ctx context.Context, f Files, dir, token, by string) error {
	s, err := look(ctx, f, dir)
	if err != nil {
		return ops.NodeError(f.Name(), "break lock", err)
	}
	if s.free() {
		return nil
	}
	if s.info.Token != token {
		return held(f.Name(), s.info)
	}
	c := &candidate{files: f, dir: dir, info: Info{Token: rand.Text(), Released: true, BrokenBy: by}}
	err = c.take(ctx, s.gen+1)
	if errors.Is(err, errTaken) {
		return ops.Errorf(ops.CodeLocked, "the lock changed hands just now").On(f.Name()).WithHint("mosparoctl unlock")
	}
	return ops.NodeError(f.Name(), "break lock", err)
}

// held is the error of whoever comes second.
func held(node string, i Info) error {
	return ops.Errorf(ops.CodeLocked, "locked by %s", i.Holder()).On(node).
		WithHint("wait for it to end; if it is certainly gone: mosparoctl unlock")
}
