package local_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
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

// Who may write into a directory may put a link into the place of the temporary file, at any moment.
func TestWriteFileSetsNothingThroughALink(t *testing.T) {
	h, dir, victim := local.New("here"), t.TempDir(), filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	content := strings.Repeat("x", len(victim)) // the size of the link
	swap := &swapper{Reader: strings.NewReader(content), dir: dir, target: victim}
	when := time.Unix(1_700_000_000, 0)
	err := h.WriteFile(t.Context(), filepath.Join(dir, "f"), swap, ops.Attr{Mode: 0o644, MTime: when})
	st, statErr := os.Stat(victim)
	if statErr != nil || st.Mode() != 0o600 || st.ModTime().Equal(when) {
		t.Errorf("the file behind the link has mode %v and time %v now (%v, WriteFile: %v)", st.Mode(), st.ModTime(), statErr, err)
	}
	if !swap.done {
		t.Error("there was no temporary file to swap")
	}
}

func TestSetAttrsOfDirectoriesStayInTheirs(t *testing.T) {
	h, dir, outside := local.New("here"), t.TempDir(), t.TempDir()
	if err := errors.Join(os.Chmod(outside, 0o700), os.Symlink(outside, filepath.Join(dir, "link"))); err != nil {
		t.Fatal(err)
	}
	if err := h.SetAttr(t.Context(), filepath.Join(dir, "link"), ops.Attr{Mode: 0o777}); err != nil {
		t.Error(err)
	}
	if err := h.MkdirAll(t.Context(), filepath.Join(dir, "a", "b"), ops.Attr{Mode: 0o750}); err != nil {
		t.Error(err)
	}
	for path, want := range map[string]fs.FileMode{outside: 0o700, filepath.Join(dir, "a"): 0o750, filepath.Join(dir, "a", "b"): 0o750} {
		if st, err := os.Stat(path); err != nil || st.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %v (%v)", path, st.Mode(), want, err)
		}
	}
}

func TestOpenBelow(t *testing.T) {
	h, root, outside := local.New("here"), t.TempDir(), t.TempDir()
	if err := errors.Join(os.WriteFile(filepath.Join(root, "f"), []byte("mine"), 0o600), os.WriteFile(filepath.Join(outside, "f"), []byte("secret"), 0o600),
		os.Symlink(filepath.Join(outside, "f"), filepath.Join(root, "link")), os.Symlink(outside, filepath.Join(root, "dir")),
		syscall.Mkfifo(filepath.Join(root, "pipe"), 0o600)); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"f": "mine", "link": "", "dir/f": "", "pipe": "", ".": "", "../" + filepath.Base(outside) + "/f": ""} {
		r, err := h.OpenBelow(t.Context(), root, path)
		if want == "" {
			if err == nil {
				t.Errorf("%s was opened", path)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || string(got) != want || r.Close() != nil {
			t.Errorf("%s: %q, %v", path, got, err)
		}
	}
}

// swapper puts a link into the place of the temporary file in dir when all content was read.
type swapper struct {
	io.Reader
	dir, target string
	done        bool
}

func (s *swapper) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if err == io.EOF {
		entries, _ := os.ReadDir(s.dir)
		for _, e := range entries {
			name := filepath.Join(s.dir, e.Name())
			s.done = os.Remove(name) == nil && os.Symlink(s.target, name) == nil
		}
	}
	return n, err
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }
