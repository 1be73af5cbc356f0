package filesync

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/local"
)

// runner replaces what a host's commands do.
type runner struct {
	*local.Host
	run func(ctx context.Context, c ops.Command) (ops.Result, error)
}

func (r runner) Run(ctx context.Context, c ops.Command) (ops.Result, error) { return r.run(ctx, c) }

func sampleTree(t *testing.T) string {
	dir := t.TempDir()
	for _, name := range []string{"a", "b"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestScanUsesOneCommandToListAndOneToHash(t *testing.T) {
	host, n := local.New("here"), 0
	p := NewHostPeer(runner{host, func(ctx context.Context, c ops.Command) (ops.Result, error) {
		n++
		return host.Run(ctx, c)
	}}, HostOptions{})
	m, err := p.Scan(t.Context(), sampleTree(t), ScanOptions{Hash: true})
	if err != nil || m.Len() != 2 || n != 2 || p.filesOnly.Load() {
		t.Fatalf("%d entries, %d commands, files only %v, %v", m.Len(), n, p.filesOnly.Load(), err)
	}
}

func TestScanFallsBackToFiles(t *testing.T) {
	fail := func(status int, stdout string) func(context.Context, ops.Command) (ops.Result, error) {
		return func(_ context.Context, c ops.Command) (ops.Result, error) {
			if _, err := c.Stdout.Write([]byte(stdout)); err != nil {
				return ops.Result{}, err
			}
			if status == 0 {
				return ops.Result{}, nil
			}
			return ops.Result{}, &ops.ExitError{Argv: c.Argv, Status: status}
		}
	}
	for name, run := range map[string]func(context.Context, ops.Command) (ops.Result, error){
		"no shell":       fail(127, ""),
		"sftp only":      fail(1, "This service allows sftp connections only.\n"),
		"forced command": fail(0, "hello\x00"),
		"says nothing":   fail(0, ""),
		"no GNU find":    fail(exitNoTools, ""),
	} {
		t.Run(name, func(t *testing.T) {
			p := NewHostPeer(runner{local.New("here"), run}, HostOptions{})
			m, err := p.Scan(t.Context(), sampleTree(t), ScanOptions{Hash: true})
			if err != nil || m.Len() != 2 || !p.filesOnly.Load() {
				t.Fatalf("%d entries, files only %v, %v", m.Len(), p.filesOnly.Load(), err)
			}
		})
	}
}

// A tree that could be listed in part only must never look like a smaller tree.
func TestScanRefusesPartialListings(t *testing.T) {
	const entry = "f\x00644\x001\x001700000000.5\x000\x000\x00a\x00\x00"
	for name, tt := range map[string]struct {
		stdout, stderr string
		status         int
		is             error
	}{
		"permission":    {entry, "find: './x': Permission denied\n", 1, fs.ErrPermission},
		"both":          {entry, "find: './y': No such file or directory\nfind: './x': Permission denied\n", 1, nil},
		"killed":        {entry, "", 137, nil},
		"cut off":       {entry + "f\x00644", "", 0, nil},
		"cut in record": {entry + "f\x00644\x00", "", 0, nil},
		"garbage":       {"x\x00y\x00z\x00" + entry, "", 0, nil},
		"twice":         {entry + entry, "", 0, nil},
		"outside":       {strings.Replace(entry, "\x00a\x00", "\x00../a\x00", 1), "", 0, nil},
		"endless name":  {strings.Repeat("n", 64<<10), "", 0, nil},
		"io error":      {entry, "find: reading './x': Input/output error\n", 1, nil},
	} {
		t.Run(name, func(t *testing.T) {
			p := NewHostPeer(runner{local.New("here"), func(_ context.Context, c ops.Command) (ops.Result, error) {
				_, _ = c.Stdout.Write([]byte(proof + "\x00" + tt.stdout))
				if tt.status == 0 {
					return ops.Result{Stderr: []byte(tt.stderr)}, nil
				}
				return ops.Result{Stderr: []byte(tt.stderr)}, &ops.ExitError{Argv: c.Argv, Status: tt.status}
			}}, HostOptions{})
			m, err := p.Scan(t.Context(), "/r", ScanOptions{})
			if err == nil || tt.is != nil && !errors.Is(err, tt.is) {
				t.Fatalf("%d entries, %v", m.Len(), err)
			}
		})
	}
}

func TestScanToleratesVanishedFiles(t *testing.T) {
	p := NewHostPeer(runner{local.New("here"), func(_ context.Context, c ops.Command) (ops.Result, error) {
		_, _ = c.Stdout.Write([]byte(proof + "\x00"))
		return ops.Result{Stderr: []byte("find: './x': No such file or directory\n")}, &ops.ExitError{Status: 1}
	}}, HostOptions{})
	if m, err := p.Scan(t.Context(), "/r", ScanOptions{}); err != nil || m.Len() != 0 {
		t.Fatalf("%d entries, %v", m.Len(), err)
	}
}

func TestScanPassesOnThatTheNodeIsGone(t *testing.T) {
	p := NewHostPeer(runner{local.New("here"), func(context.Context, ops.Command) (ops.Result, error) {
		return ops.Result{}, ops.Errorf(ops.CodeUnreachable, "connection lost").On("here")
	}}, HostOptions{})
	if _, err := p.Scan(t.Context(), "/r", ScanOptions{}); ops.CodeOf(err) != ops.CodeUnreachable {
		t.Fatalf("error = %v", err)
	}
}
