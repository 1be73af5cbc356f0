package filesync_test

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/mosparoctl/mosparoctl/ops/filesync"
	"github.com/mosparoctl/mosparoctl/ops/filesync/filesynctest"
	"github.com/mosparoctl/mosparoctl/ops/local"
)

func TestHostPeerWithCommands(t *testing.T) {
	filesynctest.TestPeer(t, func(*testing.T) filesync.Peer {
		return filesync.NewHostPeer(local.New("here"), filesync.HostOptions{})
	})
}

func TestHostPeerWithFilesOnly(t *testing.T) {
	filesynctest.TestPeer(t, func(*testing.T) filesync.Peer {
		return filesync.NewHostPeer(local.New("here"), filesync.HostOptions{FilesOnly: true, Concurrency: 8})
	})
}

// Who owns the tree may swap a file, or a folder, for a link to what only we may read, after it was listed.
func TestHostPeerReadsNothingBehindALink(t *testing.T) {
	for name, swap := range map[string]func(dir, outside string) error{
		"a file": func(dir, outside string) error {
			return os.Symlink(filepath.Join(outside, "f"), filepath.Join(dir, "f"))
		},
		"a folder": func(dir, outside string) error {
			if err := os.Remove(dir); err != nil {
				return err
			}
			return os.Symlink(outside, dir)
		},
	} {
		t.Run(name, func(t *testing.T) {
			root, outside := t.TempDir(), t.TempDir()
			dir := filepath.Join(root, "sub")
			write := func(path, text string) {
				t.Helper()
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			write(filepath.Join(dir, "f"), "public")
			write(filepath.Join(outside, "f"), "secret")
			p := filesync.NewHostPeer(local.New("here"), filesync.HostOptions{FilesOnly: true})
			m, err := p.Scan(t.Context(), root, filesync.ScanOptions{})
			if err != nil {
				t.Fatal(err)
			}
			e, ok := m.Get("sub/f")
			if !ok {
				t.Fatal("the file was not listed")
			}
			if err := os.Remove(filepath.Join(dir, "f")); err != nil {
				t.Fatal(err)
			}
			if err := swap(dir, outside); err != nil {
				t.Fatal(err)
			}
			for c, err := range p.Read(t.Context(), root, []filesync.Entry{e}) {
				if err != nil {
					continue
				}
				if got, _ := io.ReadAll(c.Reader); len(got) > 0 {
					t.Errorf("read %q", got)
				}
			}
		})
	}
}
