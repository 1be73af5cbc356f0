package release

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/mosparoctl/mosparoctl/ops"
)

// fault breaks something at the n-th call to any host, counted over all nodes.
type fault struct {
	kind string // "cut", "full", "kill", "stop", or "" to count only
	at   int
	stop chan struct{} // closed by "stop"

	mu     sync.Mutex
	calls  int
	broken map[string]bool // nodes that are cut off or full
	lab    *lab
	t      testing.TB
}

// tick counts a call and returns its error.
func (f *fault) tick(node string, writes bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	if f.calls == f.at {
		switch f.kind {
		case "kill":
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		case "stop":
			close(f.stop)
		default:
			f.broken[node] = true
		}
	}
	switch {
	case !f.broken[node]:
		return nil
	case f.kind == "cut":
		return ops.Errorf(ops.CodeUnreachable, "connection lost").On(node)
	case f.kind == "full" && writes:
		return &os.PathError{Op: "write", Path: "somewhere", Err: syscall.ENOSPC}
	}
	return nil
}

// torn delivers half of a content, then the fault.
type torn struct {
	r    io.Reader
	f    *fault
	node string
	n    int
}

func (r *torn) Read(p []byte) (int, error) {
	if r.n++; r.n > 1 {
		if err := r.f.tick(r.node, true); err != nil {
			return 0, err
		}
	}
	return r.r.Read(p[:min(len(p), 64)])
}

// faultyHost is a host behind a fault. It also checks that nothing visitors would see changes on a node in rotation.
type faultyHost struct {
	ops.Host
	f *fault
}

func (h faultyHost) Run(ctx context.Context, c ops.Command) (ops.Result, error) {
	if err := h.f.tick(h.Name(), false); err != nil {
		return ops.Result{}, err
	}
	return h.Host.Run(ctx, c)
}

func (h faultyHost) Open(ctx context.Context, p string) (io.ReadCloser, error) {
	if err := h.f.tick(h.Name(), false); err != nil {
		return nil, err
	}
	return h.Host.Open(ctx, p)
}

func (h faultyHost) Lstat(ctx context.Context, p string) (ops.FileInfo, error) {
	if err := h.f.tick(h.Name(), false); err != nil {
		return ops.FileInfo{}, err
	}
	return h.Host.Lstat(ctx, p)
}

func (h faultyHost) ReadDir(ctx context.Context, p string) ([]ops.FileInfo, error) {
	if err := h.f.tick(h.Name(), false); err != nil {
		return nil, err
	}
	return h.Host.ReadDir(ctx, p)
}

func (h faultyHost) WriteFile(ctx context.Context, p string, content io.Reader, attr ops.Attr) error {
	h.watch(p)
	if err := h.f.tick(h.Name(), true); err != nil {
		return err
	}
	return h.Host.WriteFile(ctx, p, &torn{r: content, f: h.f, node: h.Name()}, attr)
}

func (h faultyHost) Symlink(ctx context.Context, target, p string) error {
	h.watch(p)
	if err := h.f.tick(h.Name(), true); err != nil {
		return err
	}
	return h.Host.Symlink(ctx, target, p)
}

func (h faultyHost) MkdirAll(ctx context.Context, p string, attr ops.Attr) error {
	if err := h.f.tick(h.Name(), true); err != nil {
		return err
	}
	return h.Host.MkdirAll(ctx, p, attr)
}

func (h faultyHost) Rename(ctx context.Context, from, to string) error {
	if err := h.f.tick(h.Name(), false); err != nil {
		return err
	}
	return h.Host.Rename(ctx, from, to)
}

func (h faultyHost) Remove(ctx context.Context, p string) error {
	if err := h.f.tick(h.Name(), false); err != nil {
		return err
	}
	return h.Host.Remove(ctx, p)
}

func (h faultyHost) RemoveAll(ctx context.Context, p string) error {
	if err := h.f.tick(h.Name(), false); err != nil {
		return err
	}
	return h.Host.RemoveAll(ctx, p)
}

func (h faultyHost) SetAttr(ctx context.Context, p string, attr ops.Attr) error {
	if err := h.f.tick(h.Name(), false); err != nil {
		return err
	}
	return h.Host.SetAttr(ctx, p, attr)
}

func (h faultyHost) Link(ctx context.Context, old, p string) error {
	if err := h.f.tick(h.Name(), true); err != nil {
		return err
	}
	return h.Host.Link(ctx, old, p)
}

// watch reports a change of the active release or of its configuration on a node that is in rotation.
func (h faultyHost) watch(p string) {
	n := h.f.lab.d.Node(h.Name())
	if (p == n.InstallPath() || p == configPath(n)) && h.f.lab.rotation.state(n.Name) == "ready" {
		h.f.t.Errorf("%s changes while %s is in rotation", p, n.Name)
	}
}

// broken puts a fault between the lab and its nodes.
func (l *lab) broken(t testing.TB, kind string, at int) *fault {
	f := &fault{kind: kind, at: at, stop: make(chan struct{}), broken: map[string]bool{}, lab: l, t: t}
	l.wrap = func(h ops.Host) ops.Host { return faultyHost{h, f} }
	return f
}

// run deploys as a command does: what earlier runs left is taken back first, then it is planned and carried out with a journal.
func (l *lab) run(dir, name string, stop <-chan struct{}) error {
	journals := l.dir + "/journals"
	ctx := context.Background()
	if _, err := ops.Recover(ctx, journals, l.manager().Undoers(), nil); err != nil {
		return err
	}
	p, err := l.plan(dir, Options{})
	if err != nil {
		return err
	}
	journal, err := ops.OpenJournal(journals, name)
	if err != nil {
		return err
	}
	_, err = ops.Apply(ctx, p.Plan, ops.ApplyOptions{Undoers: l.manager().Undoers(), Journal: journal, Stop: stop})
	return err
}

// A watcher that can't see a fault proves nothing.
func TestFaultsAreFaults(t *testing.T) {
	for _, kind := range []string{"cut", "full", "stop"} {
		l := newLab(t, t.TempDir(), 1)
		f := l.broken(t, kind, 40)
		err := l.run(l.tree("1.5.4", 20), "run", f.stop)
		want := map[string]ops.Code{"cut": ops.CodeUnreachable, "full": ops.CodeFailed, "stop": ops.CodeInterrupted}[kind]
		if ops.CodeOf(err) != want || kind == "full" && !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%s: got %v", kind, err)
		}
	}
	l := newLab(t, t.TempDir(), 1)
	l.broken(&recordingTB{TB: t}, "", 0).t.(*recordingTB).run(func(tb testing.TB) {
		l.wrap(mustHost(t, l)).(faultyHost).watch(l.d.Nodes[0].InstallPath())
	}, func(errs []string) {
		if len(errs) != 1 || !strings.Contains(errs[0], "in rotation") {
			t.Errorf("the watch saw %q", errs)
		}
	})
}

func mustHost(t testing.TB, l *lab) ops.Host {
	wrap := l.wrap
	l.wrap = nil
	h, err := l.Host(context.Background(), "app1")
	if err != nil {
		t.Fatal(err)
	}
	l.wrap = wrap
	return h
}

// recordingTB keeps errors instead of failing.
type recordingTB struct {
	testing.TB
	errs []string
}

func (r *recordingTB) Errorf(format string, _ ...any) { r.errs = append(r.errs, format) }

func (r *recordingTB) run(do func(testing.TB), check func([]string)) {
	do(r)
	check(r.errs)
}
