package lock

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"sync"
	"time"

	"github.com/mosparoctl/mosparoctl/ops"
)

// Options says who takes which lock.
type Options struct {
	Dir      string        // folder on the node that holds nothing but the lock; made if missing
	Owner    string        // user name of the operator
	Host     string        // the operator's machine
	PID      int           // process on that machine
	Op       string        // what the lock is taken for
	Lease    time.Duration // 0: DefaultLease; bounded to between a second and 15 minutes
	Wait     bool          // wait for a living holder instead of giving up
	Reporter ops.Reporter  // told when a lease is watched; nil: nobody
}

// errTaken says that somebody else took the generation first.
var errTaken = errors.New("taken by somebody else")

// Lock is a held lock. It renews itself until Release.
type Lock struct {
	files Files
	dir   string
	gen   int

	stop context.CancelFunc // ends the renewal
	done chan struct{}      // closed when the renewal has ended
	lost chan struct{}

	mu   sync.Mutex
	info Info
	err  error
}

// Acquire takes the lock. Where a living operator holds it, and o.Wait is not set, it returns an *ops.Error with CodeLocked
// that names owner, machine and since when. Where the lease looks dead it is watched for at least a third and at most the
// whole of its length before it is taken over.
func Acquire(ctx context.Context, f Files, o Options) (*Lock, error) {
	if o.Lease == 0 {
		o.Lease = DefaultLease
	}
	if o.Reporter == nil {
		o.Reporter = ops.NopReporter{}
	}
	info := Info{Owner: o.Owner, Host: o.Host, PID: o.PID, Op: o.Op, Token: rand.Text()}
	info.Lease = Info{Lease: o.Lease}.length()
	c := &candidate{files: f, dir: o.Dir, info: info}
	l, err := c.acquire(ctx, o)
	if err != nil {
		c.drop(ctx)
		return nil, ops.NodeError(f.Name(), "take lock", err)
	}
	return l, nil
}

// candidate is a prepared generation that is not taken yet.
type candidate struct {
	files Files
	dir   string
	info  Info
}

// folder is where the candidate lies until it is renamed.
func (c *candidate) folder() string { return path.Join(c.dir, ops.TempPrefix+c.info.Token) }

// prepare writes the candidate and returns the node's time. It returns errTaken when a new holder swept it away meanwhile.
func (c *candidate) prepare(ctx context.Context) (now time.Time, err error) {
	defer func() {
		if errors.Is(err, fs.ErrNotExist) {
			err = errTaken
		}
	}()
	if err := c.files.MkdirAll(ctx, c.folder(), ops.Attr{}); err != nil {
		return time.Time{}, fmt.Errorf("make lock folder: %w", err)
	}
	if err := writeLease(ctx, c.files, c.folder(), c.info); err != nil {
		return time.Time{}, err
	}
	st, err := c.files.Lstat(ctx, path.Join(c.folder(), leaseName))
	if err != nil {
		return time.Time{}, fmt.Errorf("read clock of the node: %w", err)
	}
	return st.MTime, nil
}

// take makes the candidate generation gen. It returns errTaken where that is not free.
func (c *candidate) take(ctx context.Context, gen int) error {
	now, err := c.prepare(ctx)
	if err != nil {
		return err
	}
	c.info.Since = now
	if err := writeLease(ctx, c.files, c.folder(), c.info); errors.Is(err, fs.ErrNotExist) {
		return errTaken
	} else if err != nil {
		return err
	}
	name := path.Join(c.dir, genName(gen))
	if err := c.files.Rename(ctx, c.folder(), name); err != nil {
		_, statErr := c.files.Lstat(ctx, name)
		c.drop(ctx)
		if statErr == nil || errors.Is(err, fs.ErrNotExist) {
			return errTaken // or our folder was swept away by the new holder
		}
		return fmt.Errorf("take lock: %w", err)
	}
	// Somebody who looked long ago may have taken a number that is history: only the highest counts.
	gens, temps, err := generations(ctx, c.files, c.dir)
	if err != nil {
		c.abandon(ctx, name)
		return err
	}
	if len(gens) == 0 || gens[len(gens)-1] != gen {
		_ = c.files.RemoveAll(ctx, name)
		return errTaken
	}
	for _, t := range temps {
		_ = c.files.RemoveAll(ctx, path.Join(c.dir, t))
	}
	for _, g := range gens {
		if g <= gen-keepGens {
			_ = c.files.RemoveAll(ctx, path.Join(c.dir, genName(g)))
		}
	}
	return nil
}

// abandon frees a generation that was taken but can't be used.
func (c *candidate) abandon(ctx context.Context, folder string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer cancel()
	c.info.Released = true
	_ = writeLease(ctx, c.files, folder, c.info)
}

// drop removes the candidate's folder.
func (c *candidate) drop(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer cancel()
	_ = c.files.RemoveAll(ctx, c.folder())
}

// maxTries bounds how often somebody else may be faster, or sweep our candidate away, before we give up.
const maxTries = 100

func (c *candidate) acquire(ctx context.Context, o Options) (*Lock, error) {
	for tries := 0; ; {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if tries++; tries > maxTries {
			return nil, ops.Errorf(ops.CodeLocked, "others were faster %d times", maxTries)
		}
		s, err := look(ctx, c.files, c.dir)
		if err != nil {
			return nil, err
		}
		if !s.free() {
			dead, err := c.judge(ctx, s, o)
			switch {
			case errors.Is(err, errTaken):
				continue
			case err != nil:
				return nil, err
			case !dead && !o.Wait:
				return nil, held(c.files.Name(), s.info)
			case !dead:
				tries = 0
				continue
			}
		}
		switch err := c.take(ctx, s.gen+1); {
		case errors.Is(err, errTaken):
			continue // look who was faster
		case err != nil:
			return nil, err
		}
		return start(ctx, c, s.gen+1), nil
	}
}

// judge reports whether the lease of s is dead: unchanged for its whole length.
func (c *candidate) judge(ctx context.Context, s state, o Options) (dead bool, err error) {
	now, err := c.prepare(ctx)
	if err != nil {
		return false, err
	}
	watch := watchFor(s.info.length(), now.Sub(s.mtime))
	if watch == 0 {
		if !o.Wait {
			return false, nil
		}
		watch = s.info.length()
	}
	o.Reporter.Outputf("waiting up to %s: is %s still alive?", watch.Round(time.Second), s.info.Holder())
	// The monotonic clock of this machine, which no step of any wall clock touches.
	deadline := time.NewTimer(watch)
	defer deadline.Stop()
	poll := time.NewTicker(max(s.info.length()/30, 100*time.Millisecond))
	defer poll.Stop()
	for {
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-deadline.C:
			is, err := look(ctx, c.files, c.dir)
			return err == nil && is.same(s), err
		case <-poll.C:
			is, err := look(ctx, c.files, c.dir)
			if err != nil {
				return false, err
			}
			if !is.same(s) {
				// Renewed: alive. Released or taken over: the caller looks again.
				return is.free(), nil
			}
		}
	}
}

// watchFor is how long an unchanged lease of the given length must be watched before it is dead, when the node's clock says
// that it was written age ago. 0 says that it is alive.
func watchFor(length, age time.Duration) time.Duration {
	const resolution = 2 * time.Second // of times over SFTP, both ends
	switch {
	case age < -resolution:
		return length // the node's clock was set back: it tells nothing
	case age < length*2/3:
		return 0
	}
	return max(length-age, length/3)
}

func writeLease(ctx context.Context, f Files, folder string, i Info) error {
	raw, err := json.Marshal(i)
	if err != nil {
		return err
	}
	if err := f.WriteFile(ctx, path.Join(folder, leaseName), bytes.NewReader(append(raw, '\n')), ops.Attr{}); err != nil {
		return fmt.Errorf("write lease: %w", err)
	}
	return nil
}
