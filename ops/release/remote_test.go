package release

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/filesync"
	"github.com/mosparoctl/mosparoctl/ops/remote"
	"github.com/mosparoctl/mosparoctl/ops/remote/remotetest"
)

// remoteLab is a lab whose nodes are reached over SSH and SFTP.
type remoteLab struct {
	*lab
	servers []*remotetest.Server
}

func newRemoteLab(t *testing.T, n int) *remoteLab {
	l := &remoteLab{lab: newLab(t, t.TempDir(), n)}
	for _, node := range l.d.Nodes {
		s, err := remotetest.Start(remotetest.Config{Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		reach, err := s.Node(node.Name, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		node.Address, node.SSH = reach.Address, reach.SSH
		l.servers = append(l.servers, s)
	}
	return l
}

// process runs f with connections of its own, as one call of the program does.
func (l *remoteLab) process(f func() error) error {
	pool := remote.NewPool(l.d, remote.Options{Home: l.dir, Agent: "none"})
	defer pool.Close()
	l.reach = func(ctx context.Context, node string) (ops.Host, error) { return pool.Host(ctx, node) }
	defer func() { l.reach = nil }()
	return f()
}

// TestChaosOverSSH cuts connections after any number of bytes and fills disks while they are written, through SFTP.
func TestChaosOverSSH(t *testing.T) {
	rounds, seed := 30, uint64(time.Now().UnixNano())
	if testing.Short() {
		rounds = 5
	}
	if s := os.Getenv("CHAOS_SEED"); s != "" {
		seed, _ = strconv.ParseUint(s, 10, 64)
	}
	t.Logf("CHAOS_SEED=%d", seed)
	rng := rand.New(rand.NewPCG(seed, 3))
	l := newRemoteLab(t, 2)
	l.install("1.5.0")
	if err := l.process(func() error { return l.run(l.tree("1.5.0", 25), "first", nil) }); err != nil {
		t.Fatal(err)
	}
	l.mustBeOn("1.5.0")
	r := &reader{lab: l.lab, rng: rand.New(rand.NewPCG(seed, 4)), manifests: map[string]*filesync.Manifest{}, polls: 1}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { r.watch(stop) })
	hit := 0
	for i := range rounds {
		version := fmt.Sprintf("1.5.%d", i+1)
		s, kind := l.servers[rng.IntN(2)], "cut"
		at := rng.Int64N(80_000)
		if rng.IntN(2) == 0 {
			kind, at = "full", rng.Int64N(15_000)
		}
		if kind == "cut" {
			s.Faults.CutAfter(at)
		} else {
			s.Faults.DiskFullAfter(at)
		}
		l.now = l.now.Add(time.Hour)
		if err := l.process(func() error { return l.run(l.tree(version, 25), "broken-"+version, nil) }); err != nil {
			hit++
		}
		s.Faults.CutAfter(math.MaxInt64)
		s.Faults.DiskFullAfter(-1)
		for _, n := range l.d.Nodes {
			l.mustBeComplete(n)
			if l.rotation.state(n.Name) == "ready" {
				l.mustBeCoherent(n.Name)
			}
		}
		if err := l.process(func() error { return l.run(l.tree(version, 25), "again-"+version, nil) }); err != nil {
			t.Errorf("the second run fails: %v", err)
		}
		l.mustBeOn(version)
		if err := os.RemoveAll(filepath.Join(l.dir, "src-"+version)); err != nil {
			t.Fatal(err)
		}
		if t.Failed() {
			t.Fatalf("round %d, %s after %d bytes, CHAOS_SEED=%d", i, kind, at, seed)
		}
	}
	close(stop)
	wg.Wait()
	for _, e := range r.errs[:min(10, len(r.errs))] {
		t.Errorf("a reader saw: %s (CHAOS_SEED=%d)", e, seed)
	}
	t.Logf("%d polls, %d of %d runs broken", r.polls, hit, rounds)
	if hit == 0 {
		t.Error("no fault was hit")
	}
}

// A node that refuses commands still gets releases of files.
func TestDeployOverSFTPOnly(t *testing.T) {
	l := newRemoteLab(t, 2)
	for _, s := range l.servers {
		s.Faults.RefuseExec(true)
	}
	for _, n := range l.d.Nodes {
		n.PHP.Reload = nil
	}
	dir := filepath.Join(l.dir, "any")
	l.write(filepath.Join(dir, "index.html"), "hello")
	for range 2 {
		err := l.process(func() error {
			src, err := Open(t.Context(), dir, SourceOptions{AllowAny: true})
			if err != nil {
				return err
			}
			facts, err := l.manager().Read(t.Context(), l.d.Nodes)
			if err != nil {
				return err
			}
			p, err := l.manager().PlanDeploy(facts, src, Options{})
			if err != nil {
				return err
			}
			return l.apply(p)
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range l.d.Nodes {
			if got := l.read(filepath.Join(n.InstallPath(), "index.html")); got != "hello" {
				t.Errorf("%s serves %q", n.Name, got)
			}
			l.mustBeComplete(n)
			l.mustBeClean(n)
		}
	}
}
