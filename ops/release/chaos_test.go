package release

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mosparoctl/mosparoctl/ops/filesync"
	"github.com/mosparoctl/mosparoctl/ops/local"
)

// reader polls current on every node a thousand times a second, and reports whatever a visitor must never see.
type reader struct {
	lab       *lab
	rng       *rand.Rand
	manifests map[string]*filesync.Manifest
	polls     int
	errs      []string
}

func (r *reader) watch(stop <-chan struct{}) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
			for _, n := range r.lab.d.Nodes {
				if err := r.poll(n.InstallPath(), n.Paths.Root); err != nil {
					r.errs = append(r.errs, fmt.Sprintf("%s: %v", n.Name, err))
				}
			}
			r.polls++
		}
	}
}

// poll follows current and compares one file of the release with its hash.
func (r *reader) poll(current, root string) error {
	target, err := os.Readlink(current)
	if errors.Is(err, fs.ErrNotExist) && r.polls == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	dir := filepath.Join(root, target)
	m := r.manifests[dir]
	if m == nil {
		if m, err = readManifest(r.lab.t.(*testing.T).Context(), local.New("reader"), dir); err != nil {
			return err
		}
		if _, err := os.Stat(filepath.Join(dir, infoName)); err != nil {
			return err
		}
		for e := range m.All() { // all of it, the first time
			if err := same(dir, e); err != nil {
				return err
			}
		}
		r.manifests[dir] = m
	}
	skip := r.rng.IntN(m.Len())
	for e := range m.All() {
		if skip--; skip < 0 {
			return same(dir, e)
		}
	}
	return nil
}

func same(dir string, e filesync.Entry) error {
	if !e.IsFile() {
		_, err := os.Lstat(filepath.Join(dir, e.Path))
		return err
	}
	b, err := os.ReadFile(filepath.Join(dir, e.Path))
	if err != nil {
		return err
	}
	sum := sha256.Sum256(b)
	if got := hex.EncodeToString(sum[:]); got != e.Hash {
		return fmt.Errorf("%s is torn: %d of %d bytes", e.Path, len(b), e.Size)
	}
	return nil
}

// TestChaos breaks deploys at random points: the link to a node is cut, the process is killed, the disk of a node fills, the
// operator interrupts. CHAOS_SEED repeats a run, CHAOS_ROUNDS sets how many there are.
func TestChaos(t *testing.T) {
	rounds, seed := 100, uint64(time.Now().UnixNano())
	if s := os.Getenv("CHAOS_ROUNDS"); s != "" {
		rounds, _ = strconv.Atoi(s)
	} else if testing.Short() {
		rounds = 12
	}
	if s := os.Getenv("CHAOS_SEED"); s != "" {
		seed, _ = strconv.ParseUint(s, 10, 64)
	}
	t.Logf("CHAOS_SEED=%d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	l := newLab(t, t.TempDir(), 2)
	l.install("1.5.0")
	l.mustDeploy(l.tree("1.5.0", 25))
	count := l.broken(t, "", 0)
	l.mustDeploy(l.tree("1.5.1", 25))
	calls := count.calls
	l.wrap = nil

	r := &reader{lab: l, rng: rand.New(rand.NewPCG(seed, 2)), manifests: map[string]*filesync.Manifest{}, polls: 1}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { r.watch(stop) })
	hit := map[string]int{}
	for i := range rounds {
		version := fmt.Sprintf("1.5.%d", i+2)
		kind := []string{"cut", "full", "kill", "stop"}[rng.IntN(4)]
		at := 1 + rng.IntN(calls)
		l.now = l.now.Add(time.Hour)
		if l.broke(t, kind, at, version) {
			hit[kind]++
		}
		for _, n := range l.d.Nodes {
			l.mustBeComplete(n)
			if l.rotation.state(n.Name) == "ready" {
				l.mustBeCoherent(n.Name)
			}
		}
		if err := l.run(l.tree(version, 25), "again-"+version, nil); err != nil {
			t.Errorf("round %d, %s at call %d: the second run fails: %v", i, kind, at, err)
		}
		l.mustBeOn(version)
		if err := os.RemoveAll(filepath.Join(l.dir, "src-"+version)); err != nil {
			t.Fatal(err)
		}
		if t.Failed() {
			t.Fatalf("round %d, %s at call %d, CHAOS_SEED=%d", i, kind, at, seed)
		}
	}
	close(stop)
	wg.Wait()
	for _, e := range r.errs[:min(10, len(r.errs))] {
		t.Errorf("a reader saw: %s (CHAOS_SEED=%d)", e, seed)
	}
	t.Logf("%d polls, broken runs: %v of %d", r.polls, hit, rounds)
	if len(hit) < 4 && rounds >= 100 {
		t.Errorf("only %v of the faults were hit", hit)
	}
}

// broke runs a deploy with a fault and reports whether it broke.
func (l *lab) broke(t *testing.T, kind string, at int, version string) bool {
	src := l.tree(version, 25)
	if kind == "kill" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestHelperDeploys$")
		cmd.Env = append(os.Environ(), "CHAOS_DIR="+l.dir, "CHAOS_AT="+strconv.Itoa(at), "CHAOS_VERSION="+version,
			"CHAOS_NOW="+strconv.FormatInt(l.now.Unix(), 10))
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if err == nil {
			return false
		}
		if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Errorf("helper: %v\n%s", err, out)
		}
		return true
	}
	f := l.broken(t, kind, at)
	err := l.run(src, "broken-"+version, f.stop)
	l.wrap = nil
	return err != nil
}

// TestHelperDeploys is the process that TestChaos kills; on its own it does nothing.
func TestHelperDeploys(t *testing.T) {
	dir := os.Getenv("CHAOS_DIR")
	if dir == "" {
		return
	}
	at, _ := strconv.Atoi(os.Getenv("CHAOS_AT"))
	now, _ := strconv.ParseInt(os.Getenv("CHAOS_NOW"), 10, 64)
	l := newLab(t, dir, 2)
	l.now = time.Unix(now, 0)
	l.broken(t, "kill", at)
	version := os.Getenv("CHAOS_VERSION")
	if err := l.run(l.tree(version, 25), "killed-"+version, nil); err != nil {
		t.Fatal(err)
	}
}
