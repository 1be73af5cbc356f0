package filesync_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/filesync"
	"github.com/mosparoctl/mosparoctl/ops/filesync/filesynctest"
	"github.com/mosparoctl/mosparoctl/ops/remote"
	"github.com/mosparoctl/mosparoctl/ops/remote/remotetest"
)

// versions of the source. Each changes, adds and removes files, and every content says which version it is.
const versions = 2

func versionTree(v int) Tree {
	tree := Tree{
		"config/env.mosparo.php":                         strings.Replace(env, "'n' => 1", fmt.Sprintf("'n' => %d", v), 1),
		"public/resources/mappings.php":                  strings.Replace(mappings, "1.css", fmt.Sprintf("%d.css", v), 1),
		"public/resources/u/" + strconv.Itoa(v) + ".css": strings.Repeat("css", 100),
		"var/data/geoip2/big.mmdb":                       strings.Repeat(fmt.Sprintf("version %d\n", v), 150_000),
	}
	for i := range 30 {
		tree[fmt.Sprintf("var/data/rules/%02d.json", i)] = strings.Repeat(fmt.Sprintf("rule %d of %d\n", i, v), 1+i*20)
	}
	return tree
}

// lab is a source on this machine and one target behind SSH, whose server is made anew for every attempt, so that nothing
// of an attempt that failed goes on behind the next one's back.
type lab struct {
	t    *testing.T
	base string
	d    *inventory.Deployment
}

func newLab(t *testing.T) *lab {
	l := &lab{t: t, base: t.TempDir()}
	admin := &inventory.Node{Name: "admin", Address: "local", Roles: []inventory.Role{inventory.RoleAdmin},
		Paths: inventory.Paths{Root: filepath.Join(l.base, "admin"), Layout: inventory.LayoutInPlace}}
	l.d = &inventory.Deployment{Nodes: []*inventory.Node{admin, nil}}
	must(t, os.Mkdir(filepath.Join(l.base, "app"), 0o755))
	return l
}

// source makes the source version v, without changing what is there in between.
func (l *lab) source(v int) {
	next, root := filepath.Join(l.base, "next"), filepath.Join(l.base, "admin")
	must(l.t, os.RemoveAll(root))
	versionTree(v).Make(l.t, next)
	then := time.Unix(1_700_000_000+int64(v), 0)
	must(l.t, filepath.WalkDir(next, func(p string, _ fs.DirEntry, _ error) error { return os.Chtimes(p, then, then) }))
	must(l.t, os.Rename(next, root))
}

// attempt serves the target over SSH while f runs.
func (l *lab) attempt(f func(s *remotetest.Server, o filesync.SyncOptions) error) error {
	l.t.Helper()
	s, err := remotetest.Start(remotetest.Config{Dir: filepath.Join(l.base, "app")})
	must(l.t, err)
	defer s.Close()
	l.d.Nodes[1], err = s.Node("app", l.base)
	must(l.t, err)
	pool := remote.NewPool(l.d, remote.Options{Home: l.base, Agent: "none"})
	defer pool.Close()
	return f(s, filesync.SyncOptions{Deployment: l.d, Targets: l.d.Nodes, Peers: filesync.NewPeers(pool, nil), Delete: true, MaxDelete: "100%"})
}

// runSync does one whole sync.
func runSync(ctx context.Context, o filesync.SyncOptions) (*ops.Plan, error) {
	f, err := filesync.Gather(ctx, o)
	if err != nil {
		return nil, err
	}
	for _, err := range f.Unreadable {
		return nil, err
	}
	p, _, err := filesync.Plan(f, o)
	if err != nil {
		return nil, err
	}
	_, err = filesync.Apply(ctx, p, ops.ApplyOptions{})
	return p, err
}

// watcher reads the target's files over and over, at 1 kHz and more, and notes whatever is neither one version nor another.
type watcher struct {
	root  string
	known map[string]map[string]bool // path -> contents; "" also where the file is not in all versions
	stop  chan struct{}
	wg    sync.WaitGroup
	reads atomic.Int64
	torn  atomic.Value
}

func watch(root string) *watcher {
	w := &watcher{root: root, known: map[string]map[string]bool{}, stop: make(chan struct{})}
	for v := range versions {
		for p, content := range versionTree(v) {
			if w.known[p] == nil {
				w.known[p] = map[string]bool{}
			}
			w.known[p][content] = true
		}
	}
	paths := slices.Sorted(maps.Keys(w.known))
	w.wg.Go(func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			w.look(paths[i%len(paths)])
			w.look("config/env.mosparo.php")
			select {
			case <-w.stop:
				return
			case <-tick.C:
			}
		}
	})
	return w
}

func (w *watcher) look(p string) {
	data, err := os.ReadFile(filepath.Join(w.root, p))
	w.reads.Add(1)
	switch {
	case errors.Is(err, fs.ErrNotExist) && len(w.known[p]) < versions: // in one version only
	case err != nil:
		w.torn.Store(err.Error())
	case !w.known[p][string(data)]:
		w.torn.Store(fmt.Sprintf("%s has %d bytes that belong to no version", p, len(data)))
	}
}

func (w *watcher) end(t *testing.T) {
	t.Helper()
	close(w.stop)
	w.wg.Wait()
	if what := w.torn.Load(); what != nil {
		t.Errorf("seen by a reader: %v", what)
	}
	if w.reads.Load() == 0 {
		t.Error("the reader saw nothing")
	}
}

// fault spoils an attempt at a random point.
type fault struct {
	name string
	run  func(l *lab, r *rand.Rand, size int64) error
}

var faults = []fault{
	{"cut", func(l *lab, r *rand.Rand, size int64) error {
		return l.attempt(func(s *remotetest.Server, o filesync.SyncOptions) error {
			s.Faults.CutAfter(r.Int64N(size))
			_, err := runSync(l.t.Context(), o)
			return err
		})
	}},
	{"disk full", func(l *lab, r *rand.Rand, size int64) error {
		return l.attempt(func(s *remotetest.Server, o filesync.SyncOptions) error {
			s.Faults.DiskFullAfter(r.Int64N(size))
			_, err := runSync(l.t.Context(), o)
			return err
		})
	}},
	{"kill", func(l *lab, r *rand.Rand, size int64) error {
		return l.attempt(func(s *remotetest.Server, _ filesync.SyncOptions) error {
			at := r.Int64N(size)
			return l.child(func(kill func()) {
				s.Faults.OnWritten(func(total int64) {
					if total >= at {
						kill()
					}
				})
			})
		})
	}},
	{"interrupt", func(l *lab, r *rand.Rand, size int64) error {
		return l.attempt(func(s *remotetest.Server, o filesync.SyncOptions) error {
			ctx, cancel := context.WithCancel(l.t.Context())
			defer cancel()
			at := r.Int64N(size)
			s.Faults.OnWritten(func(total int64) {
				if total >= at {
					cancel()
				}
			})
			_, err := runSync(ctx, o)
			return err
		})
	}},
}

// childEnv tells this test's own binary to do one sync and nothing else.
const childEnv = "MOSPAROCTL_TEST_SYNC"

// childSpec is what the child has to know.
type childSpec struct {
	Home, Admin string
	Address     string
	SSH         inventory.SSH
	Paths       inventory.Paths
}

// child syncs in a process of its own that armed may get killed.
func (l *lab) child(arm func(kill func())) error {
	spec, err := json.Marshal(childSpec{l.base, l.d.Nodes[0].Paths.Root, l.d.Nodes[1].Address, l.d.Nodes[1].SSH, l.d.Nodes[1].Paths})
	must(l.t, err)
	cmd := exec.Command(os.Args[0], "-test.run=^TestSyncInChildProcess$")
	cmd.Env = append(os.Environ(), childEnv+"="+string(spec))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	must(l.t, cmd.Start())
	var killed atomic.Bool
	arm(func() {
		killed.Store(true)
		_ = cmd.Process.Kill()
	})
	err = cmd.Wait()
	if err != nil && !killed.Load() {
		l.t.Errorf("the child failed by itself: %v\n%s", err, out.String())
	}
	return err
}

func TestSyncInChildProcess(t *testing.T) {
	text := os.Getenv(childEnv)
	if text == "" {
		return // only its parent gives it something to do
	}
	var c childSpec
	must(t, json.Unmarshal([]byte(text), &c))
	d := &inventory.Deployment{Nodes: []*inventory.Node{
		{Name: "admin", Address: "local", Roles: []inventory.Role{inventory.RoleAdmin},
			Paths: inventory.Paths{Root: c.Admin, Layout: inventory.LayoutInPlace}},
		{Name: "app", Address: c.Address, SSH: c.SSH, Paths: c.Paths},
	}}
	pool := remote.NewPool(d, remote.Options{Home: c.Home, Agent: "none"})
	defer pool.Close()
	_, err := runSync(t.Context(), filesync.SyncOptions{Deployment: d, Targets: d.Nodes, Peers: filesync.NewPeers(pool, nil), Delete: true, MaxDelete: "100%"})
	must(t, err)
}

// A sync that dies at any point leaves nothing that a reader could trip over, and the next one finishes the work.
func TestSyncSurvivesFaults(t *testing.T) {
	points := 100
	if testing.Short() {
		points = 12
	}
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("MOSPAROCTL_TEST_SEED"); s != "" {
		var err error
		seed, err = strconv.ParseUint(s, 10, 64)
		must(t, err)
	}
	r := rand.New(rand.NewPCG(seed, 0))
	l := newLab(t)
	l.source(0)
	again := func(s *remotetest.Server, o filesync.SyncOptions) error {
		_, err := runSync(t.Context(), o)
		return err
	}
	must(t, l.attempt(again))
	shared := filepath.Join(l.base, "app", "shared")
	size := int64(0)
	for _, content := range versionTree(0) {
		size += int64(len(content))
	}
	failed := map[string]int{}
	for i := range points {
		kind := faults[i%len(faults)]
		w := watch(shared)
		v := (i + 1) % versions
		l.source(v)
		if err := kind.run(l, r, size+60_000); err != nil {
			failed[kind.name]++
		}
		if err := l.attempt(again); err != nil {
			t.Errorf("the next run failed: %v", err)
		}
		w.end(t)
		got := filesynctest.Snapshot(t, filepath.Join(l.base, "app"))
		for p, content := range versionTree(v) {
			if got["shared/"+p] != content {
				t.Errorf("%s is not that of version %d", p, v)
			}
			delete(got, "shared/"+p)
		}
		for p := range got {
			if strings.Contains(p, ops.TempPrefix) || !strings.HasPrefix(p, inventory.ManageDir+"/") {
				t.Errorf("%s was left", p)
			}
		}
		must(t, l.attempt(func(_ *remotetest.Server, o filesync.SyncOptions) error {
			p, err := runSync(t.Context(), o)
			if err == nil && !p.Empty() {
				t.Errorf("not in step after the next run:\n%s", planText(p))
			}
			return err
		}))
		if t.Failed() {
			t.Fatalf("point %d (%s), MOSPAROCTL_TEST_SEED=%d", i, kind.name, seed)
		}
	}
	t.Logf("seed %d, attempts that failed as they should: %v", seed, failed)
	for _, f := range faults {
		if failed[f.name] == 0 {
			t.Errorf("no attempt failed by %q: the test tests nothing", f.name)
		}
	}
}

// The reader of the test above must be able to see what it is there for.
func TestWatcherSeesTornFiles(t *testing.T) {
	for name, spoil := range map[string]func(file string) error{
		"half":    func(f string) error { return os.Truncate(f, 30) },
		"missing": os.Remove,
	} {
		root := t.TempDir()
		versionTree(0).Make(t, root)
		w := watch(root)
		must(t, spoil(filepath.Join(root, "config/env.mosparo.php")))
		deadline := time.Now().Add(10 * time.Second)
		for w.torn.Load() == nil && time.Now().Before(deadline) {
			before := w.reads.Load()
			for w.reads.Load() == before {
				time.Sleep(time.Millisecond)
			}
		}
		close(w.stop)
		w.wg.Wait()
		if w.torn.Load() == nil {
			t.Errorf("%s: not seen", name)
		}
	}
}
