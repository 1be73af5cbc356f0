package local_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/local"
)

var _ ops.Host = (*local.Host)(nil)

func TestRunTellsStatusAndStderr(t *testing.T) {
	h := local.New("here")
	res, err := h.Run(t.Context(), ops.Command{Argv: []string{"sh", "-c", "echo out; echo err >&2; exit 3"}})
	var exit *ops.ExitError
	if !errors.As(err, &exit) || exit.Status != 3 || !strings.Contains(err.Error(), "err") {
		t.Fatalf("Run = %v", err)
	}
	if string(res.Stdout) != "out\n" {
		t.Errorf("stdout = %q", res.Stdout)
	}
	if _, err := h.Run(t.Context(), ops.Command{Argv: []string{"no-such-command-at-all"}}); !errors.As(err, &exit) || exit.Status != 127 {
		t.Errorf("a missing command gives %v, want status 127", err)
	}
}

func TestWriteFileLeavesTheOldFileWhenReadingFails(t *testing.T) {
	h, dir := local.New("here"), t.TempDir()
	path := filepath.Join(dir, "f")
	when := time.Unix(1_700_000_000, 0)
	if err := h.WriteFile(t.Context(), path, strings.NewReader("old"), ops.Attr{Mode: 0o640, MTime: when}); err != nil {
		t.Fatal(err)
	}
	broken := errReader{errors.New("cut")}
	if err := h.WriteFile(t.Context(), path, broken, ops.Attr{}); !errors.Is(err, broken.err) {
		t.Fatalf("WriteFile = %v", err)
	}
	info, err := h.Lstat(t.Context(), path)
	if err != nil || info.Mode.Perm() != 0o640 || !info.MTime.Equal(when) || info.Size != 3 {
		t.Errorf("old file is now %+v, %v", info, err)
	}
	left, _ := os.ReadDir(dir)
	if len(left) != 1 {
		t.Errorf("temporary files are left: %v", left)
	}
}

func TestSymlinkReplaces(t *testing.T) {
	h, dir := local.New("here"), t.TempDir()
	link := filepath.Join(dir, "current")
	for _, target := range []string{"a", "b", "b"} {
		if err := h.Symlink(t.Context(), target, link); err != nil {
			t.Fatal(err)
		}
		if got, _ := h.ReadLink(t.Context(), link); got != target {
			t.Errorf("link = %q, want %q", got, target)
		}
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("temporary links are left: %v", left)
	}
	if _, err := h.Lstat(t.Context(), filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Lstat of nothing = %v", err)
	}
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }
