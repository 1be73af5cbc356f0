package remote_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/remote/remotetest"
)

func TestOneConnection(t *testing.T) {
	s, n := start(t, remotetest.Config{})
	p := pool(t, n)
	var wg sync.WaitGroup
	hosts := make([]ops.Host, 20)
	errs := make([]error, len(hosts))
	for i := range hosts {
		wg.Go(func() {
			if hosts[i], errs[i] = p.Host(t.Context(), "web1"); errs[i] != nil {
				return
			}
			_, err := hosts[i].Run(t.Context(), ops.Command{Argv: []string{"true"}})
			_, err2 := hosts[i].ReadDir(t.Context(), s.Dir())
			errs[i] = errors.Join(err, err2)
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	for _, h := range hosts {
		if h != hosts[0] {
			t.Error("Host gave different hosts")
		}
	}
	if s.Connections() != 1 {
		t.Errorf("%d connections were made, want 1", s.Connections())
	}
}

func TestMoreCommandsThanSessions(t *testing.T) {
	for _, limit := range []int{1, 2, 5} {
		_, n := start(t, remotetest.Config{MaxSessions: limit})
		h := connect(t, n)
		var wg sync.WaitGroup
		errs := make([]error, 20)
		for i := range errs {
			wg.Go(func() { _, errs[i] = h.Run(t.Context(), ops.Command{Argv: []string{"sh", "-c", "sleep 0.01"}}) })
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Errorf("MaxSessions %d: %v", limit, err)
		}
	}
	t.Run("one session, taken by SFTP", func(t *testing.T) {
		_, n := start(t, remotetest.Config{MaxSessions: 1})
		h := connect(t, n)
		if _, err := h.Lstat(t.Context(), "/"); err != nil {
			t.Fatal(err)
		}
		_, err := h.Run(t.Context(), ops.Command{Argv: []string{"true"}})
		if ops.CodeOf(err) != ops.CodeFailed || !strings.Contains(ops.HintOf(err), "MaxSessions") {
			t.Errorf("Run = %v", err)
		}
	})
}

func TestReconnectsOnlyWhenAsked(t *testing.T) {
	s, n := start(t, remotetest.Config{})
	p := pool(t, n)
	old, err := p.Host(t.Context(), "web1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := old.Lstat(t.Context(), s.Dir()); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	started := make(chan bool, 1)
	go func() {
		_, err := old.Run(t.Context(), ops.Command{Argv: []string{"sh", "-c", "echo; sleep 600"}, Stdout: firstWrite{started}})
		done <- err
	}()
	<-started
	s.Disconnect()
	wantUnreachable(t, <-done, "web1", "connection lost")
	_, err = old.Run(t.Context(), ops.Command{Argv: []string{"true"}})
	wantUnreachable(t, err, "web1", "connection lost")
	_, err = old.Lstat(t.Context(), "/")
	wantUnreachable(t, err, "web1", "connection lost")
	_, err = old.Dial(t.Context(), "tcp", s.Addr().String())
	wantUnreachable(t, err, "web1", "connection lost")
	fresh, err := p.Host(t.Context(), "web1")
	if err != nil || fresh == old {
		t.Fatalf("Host = %v, %v, want a new one", fresh, err)
	}
	if _, err := fresh.Lstat(t.Context(), "/"); err != nil {
		t.Error(err)
	}
}

// firstWrite tells of the first output of a command.
type firstWrite struct{ seen chan bool }

func (w firstWrite) Write(p []byte) (int, error) {
	select {
	case w.seen <- true:
	default:
	}
	return len(p), nil
}

// A line that goes silent is reported to everything that waits on it, and holds no other node up.
func TestStall(t *testing.T) {
	s, n := start(t, remotetest.Config{})
	n.SSH.Keepalive = 50 * time.Millisecond
	_, other := start(t, remotetest.Config{})
	other.Name = "web2"
	p := pool(t, n, other)
	h, err := p.Host(t.Context(), "web1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Lstat(t.Context(), "/"); err != nil {
		t.Fatal(err)
	}
	healthy, err := p.Host(t.Context(), "web2")
	if err != nil {
		t.Fatal(err)
	}
	resume := s.Faults.Stall()
	defer resume()
	dir := t.TempDir()
	calls := map[string]func() error{
		"Run":     func() error { _, err := h.Run(t.Context(), ops.Command{Argv: []string{"true"}}); return err },
		"Lstat":   func() error { _, err := h.Lstat(t.Context(), "/"); return err },
		"ReadDir": func() error { _, err := h.ReadDir(t.Context(), "/"); return err },
		"Dial":    func() error { _, err := h.Dial(t.Context(), "tcp", "127.0.0.1:1"); return err },
		"WriteFile": func() error {
			return h.WriteFile(t.Context(), filepath.Join(dir, "big"), bytes.NewReader(make([]byte, 8<<20)), ops.Attr{})
		},
		"Open": func() error { _, err := h.Open(t.Context(), "/etc/passwd"); return err },
	}
	var wg sync.WaitGroup
	for name, call := range calls {
		wg.Go(func() {
			if err := call(); err == nil {
				t.Errorf("%s succeeded on a dead line", name)
			} else {
				wantUnreachable(t, err, "web1", "no answer for 150ms")
			}
		})
	}
	for range 20 {
		if _, err := healthy.Run(t.Context(), ops.Command{Argv: []string{"true"}}); err != nil {
			t.Errorf("the other node: %v", err)
		}
	}
	wg.Wait()
}

func TestCancelOnStalledLine(t *testing.T) {
	s, n := start(t, remotetest.Config{})
	n.SSH.Keepalive = time.Hour
	h := connect(t, n)
	if _, err := h.Lstat(t.Context(), "/"); err != nil {
		t.Fatal(err)
	}
	resume := s.Faults.Stall()
	defer resume()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := h.Lstat(ctx, "/"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Lstat = %v", err)
	}
	if _, err := h.Run(ctx, ops.Command{Argv: []string{"true"}}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Run = %v", err)
	}
}

// A line with a round trip of 300 ms is slow, not dead.
func TestSlowLine(t *testing.T) {
	s, n := start(t, remotetest.Config{})
	s.Faults.RoundTrip(300 * time.Millisecond)
	n.SSH.Keepalive = 150 * time.Millisecond // answers overlap
	h := connect(t, n)
	name := filepath.Join(t.TempDir(), "file")
	content := bytes.Repeat([]byte("content "), 100_000)
	if err := h.WriteFile(t.Context(), name, bytes.NewReader(content), ops.Attr{}); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes arrived, %v", len(got), err)
	}
	if _, err := h.Run(t.Context(), ops.Command{Argv: []string{"sleep", "0.7"}}); err != nil {
		t.Error(err)
	}
}

// The line is cut at many points of a write: the old file stays, or the new one is whole.
func TestCutWhileWriting(t *testing.T) {
	s, n := start(t, remotetest.Config{})
	p := pool(t, n)
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	name := filepath.Join(dir, "file")
	old, fresh := bytes.Repeat([]byte("old"), 30_000), bytes.Repeat([]byte("new!"), 60_000)
	failed := 0
	for i := range 60 {
		if err := os.WriteFile(name, old, 0o644); err != nil {
			t.Fatal(err)
		}
		h, err := p.Host(t.Context(), "web1")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.Lstat(t.Context(), "/"); err != nil {
			t.Fatal(err)
		}
		s.Faults.CutAfter(random.Int64N(int64(len(fresh)) + 4000))
		err = h.WriteFile(t.Context(), name, bytes.NewReader(fresh), ops.Attr{})
		s.Faults.CutAfter(1 << 60)
		got, readErr := os.ReadFile(name)
		if readErr != nil {
			t.Fatal(readErr)
		}
		if !bytes.Equal(got, old) && !bytes.Equal(got, fresh) {
			t.Fatalf("seed %d, cut %d: a torn file of %d bytes", seed, i, len(got))
		}
		if err == nil {
			if !bytes.Equal(got, fresh) {
				t.Fatalf("seed %d, cut %d: no error and the old file", seed, i)
			}
			continue
		}
		failed++
		wantUnreachable(t, err, "web1", "connection lost")
	}
	if failed == 0 {
		t.Errorf("seed %d: no write was ever cut", seed)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range left {
		if f != name && !strings.HasPrefix(filepath.Base(f), ops.TempPrefix) {
			t.Errorf("%s is left, which no later run recognises", f)
		}
	}
}

func TestFullDisk(t *testing.T) {
	s, n := start(t, remotetest.Config{})
	h := connect(t, n)
	dir := t.TempDir()
	name := filepath.Join(dir, "file")
	if err := h.WriteFile(t.Context(), name, strings.NewReader("old"), ops.Attr{}); err != nil {
		t.Fatal(err)
	}
	for _, space := range []int64{0, 1000, 200_000} {
		s.Faults.DiskFullAfter(space)
		err := h.WriteFile(t.Context(), name, bytes.NewReader(make([]byte, 1<<20)), ops.Attr{})
		var pathErr *fs.PathError
		if !errors.Is(err, syscall.ENOSPC) || !errors.As(err, &pathErr) || pathErr.Path != name {
			t.Errorf("with %d bytes of space: %v, want ENOSPC", space, err)
		}
	}
	s.Faults.DiskFullAfter(-1)
	if got := readText(t, name); got != "old" {
		t.Errorf("the old file has %d bytes", len(got))
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
	if err := h.WriteFile(t.Context(), name, strings.NewReader("new"), ops.Attr{}); err != nil {
		t.Errorf("with space again: %v", err)
	}
}

func TestReadOnlyFileSystem(t *testing.T) {
	s, n := start(t, remotetest.Config{})
	h := connect(t, n)
	dir := t.TempDir()
	s.Faults.ReadOnly(true)
	for name, err := range map[string]error{
		"write": h.WriteFile(t.Context(), filepath.Join(dir, "file"), strings.NewReader("x"), ops.Attr{}),
		"mkdir": h.MkdirAll(t.Context(), filepath.Join(dir, "a/b/c"), ops.Attr{}),
	} {
		if !errors.Is(err, syscall.EROFS) {
			t.Errorf("%s: %v, want EROFS", name, err)
		}
	}
	s.Faults.ReadOnly(false)
	if err := h.MkdirAll(t.Context(), filepath.Join(dir, "a/b/c"), ops.Attr{}); err != nil {
		t.Error(err)
	}
	writeText(t, filepath.Join(dir, "file"), "x")
	if err := h.MkdirAll(t.Context(), filepath.Join(dir, "file"), ops.Attr{}); !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("a file in the way: %v", err)
	}
}

func TestServicesTurnedOff(t *testing.T) {
	t.Run("exec", func(t *testing.T) {
		s, n := start(t, remotetest.Config{})
		s.Faults.RefuseExec(true)
		h := connect(t, n)
		_, err := h.Run(t.Context(), ops.Command{Argv: []string{"true"}})
		if ops.CodeOf(err) != ops.CodeFailed || !strings.Contains(err.Error(), "web1: run true: the node runs no commands") {
			t.Error(err)
		}
		// Files need no commands.
		if err := h.Symlink(t.Context(), "x", filepath.Join(t.TempDir(), "l")); err != nil {
			t.Error(err)
		}
	})
	t.Run("exec and posix-rename", func(t *testing.T) {
		s, n := start(t, remotetest.Config{})
		s.Faults.RefuseExec(true)
		s.Faults.NoPosixRename(true)
		dir := t.TempDir()
		err := connect(t, n).WriteFile(t.Context(), filepath.Join(dir, "f"), strings.NewReader("x"), ops.Attr{})
		if err == nil || !strings.Contains(err.Error(), "posix-rename") || !strings.Contains(ops.HintOf(err), "internal-sftp") {
			t.Errorf("%v, hint %q", err, ops.HintOf(err))
		}
		if left, _ := os.ReadDir(dir); len(left) != 0 {
			t.Errorf("left behind: %v", left)
		}
	})
	t.Run("sftp", func(t *testing.T) {
		s, n := start(t, remotetest.Config{})
		s.Faults.RefuseSFTP(true)
		_, err := connect(t, n).Lstat(t.Context(), "/")
		wantUnreachable(t, err, "web1", "start SFTP", "Subsystem sftp")
	})
	t.Run("forwarding", func(t *testing.T) {
		s, n := start(t, remotetest.Config{})
		s.Faults.RefuseForwarding(true)
		_, err := connect(t, n).Dial(t.Context(), "tcp", "127.0.0.1:3306")
		if ops.CodeOf(err) != ops.CodeFailed || !strings.Contains(err.Error(), "web1: dial 127.0.0.1:3306") || !strings.Contains(ops.HintOf(err), "AllowTcpForwarding") {
			t.Errorf("%v, hint %q", err, ops.HintOf(err))
		}
	})
}

func TestDialUnixSocket(t *testing.T) {
	_, n := start(t, remotetest.Config{})
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err == nil {
			_, _ = io.WriteString(c, "hello")
			c.Close()
		}
	}()
	c, err := connect(t, n).Dial(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got, err := io.ReadAll(c); err != nil || string(got) != "hello" || c.RemoteAddr().String() != socket {
		t.Errorf("read %q, %v from %v", got, err, c.RemoteAddr())
	}
}

// A command that is given up ends on the node too.
func TestCancelEndsTheCommandThere(t *testing.T) {
	_, n := start(t, remotetest.Config{})
	h := connect(t, n)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		_, err := h.Run(ctx, ops.Command{Argv: []string{"sh", "-c", "echo $$; exec sleep 600"}, Stdout: w})
		done <- err
	}()
	var pid int
	if _, err := fmt.Fscan(r, &pid); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Run = %v", err)
	}
	waitGone(t, pid)
}

// waitGone waits until there is no process pid.
func waitGone(t *testing.T, pid int) {
	t.Helper()
	poll, tooLong := time.NewTicker(5*time.Millisecond), time.After(20*time.Second)
	defer poll.Stop()
	for syscall.Kill(pid, 0) == nil {
		select {
		case <-poll.C:
		case <-tooLong:
			t.Fatal("the command still runs on the node")
		}
	}
}

func TestRelativePathsAreRefused(t *testing.T) {
	_, n := start(t, remotetest.Config{})
	h := connect(t, n)
	for _, name := range []string{"", "file", "/a\x00b"} {
		if _, err := h.Lstat(t.Context(), name); err == nil {
			t.Errorf("%q was accepted", name)
		}
	}
}
