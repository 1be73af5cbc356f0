package opstest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"path"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mosparoctl/mosparoctl/ops"
)

var when = time.Unix(1_700_000_000, 0)

func testWriteFile(t *testing.T, h ops.Host, dir string) {
	name := path.Join(dir, "file")
	must(t, h.WriteFile(t.Context(), name, strings.NewReader("one"), ops.Attr{Mode: 0o640, MTime: when}))
	info, err := h.Lstat(t.Context(), name)
	must(t, err)
	if info.Name != "file" || info.Mode != 0o640 || !info.MTime.Equal(when) || info.Size != 3 {
		t.Errorf("Lstat = %+v", info)
	}
	// The same owner again is something every user may ask for.
	own := &ops.Owner{UID: info.UID, GID: info.GID}
	must(t, h.WriteFile(t.Context(), name, strings.NewReader("two!"), ops.Attr{Owner: own}))
	if got := read(t, h, name); got != "two!" {
		t.Errorf("content = %q", got)
	}
	info, err = h.Lstat(t.Context(), name)
	must(t, err)
	if info.Mode != 0o644 || info.MTime.Equal(when) || info.UID != own.UID || info.GID != own.GID {
		t.Errorf("after a write with defaults: %+v", info)
	}
	// A link in its place is replaced, not written through.
	must(t, h.Symlink(t.Context(), "file", path.Join(dir, "link")))
	write(t, h, path.Join(dir, "link"), "three")
	if got := read(t, h, name); got != "two!" {
		t.Errorf("the write went through a link: %q", got)
	}
	wantNames(t, h, dir, "file link")
}

func testWriteFileSizes(t *testing.T, h ops.Host, dir string) {
	random := rand.NewChaCha8([32]byte{1})
	for _, size := range []int{0, 1, 32<<10 - 1, 32 << 10, 32<<10 + 1, 3 << 20} {
		content := make([]byte, size)
		_, _ = random.Read(content) // never fails
		name := path.Join(dir, fmt.Sprint(size))
		// A reader of no known length, in small pieces.
		must(t, h.WriteFile(t.Context(), name, struct{ io.Reader }{bytes.NewReader(content)}, ops.Attr{}))
		if got := read(t, h, name); got != string(content) {
			t.Errorf("%d bytes came back as %d others", size, len(got))
		}
		var copied bytes.Buffer
		f, err := h.Open(t.Context(), name)
		must(t, err)
		_, err = io.Copy(&copied, f)
		must(t, errors.Join(err, f.Close()))
		if !bytes.Equal(copied.Bytes(), content) {
			t.Errorf("%d bytes were copied as %d others", size, copied.Len())
		}
	}
}

type brokenReader struct {
	before int
	err    error
}

func (r *brokenReader) Read(p []byte) (int, error) {
	if r.before == 0 {
		return 0, r.err
	}
	n := min(len(p), r.before)
	r.before -= n
	return n, nil
}

func testWriteFileKeepsOld(t *testing.T, h ops.Host, dir string) {
	name := path.Join(dir, "file")
	write(t, h, name, "old")
	cut := errors.New("the source is gone")
	for _, size := range []int{0, 100, 32 << 10, 1 << 20} {
		wantErr(t, "a broken source", h.WriteFile(t.Context(), name, &brokenReader{size, cut}, ops.Attr{}), cut)
		wantErr(t, "a source that ends early", h.WriteFile(t.Context(), name, &brokenReader{size, io.ErrUnexpectedEOF}, ops.Attr{}), io.ErrUnexpectedEOF)
	}
	if got := read(t, h, name); got != "old" {
		t.Errorf("content = %q", got)
	}
	wantNames(t, h, dir, "file")
	must(t, h.MkdirAll(t.Context(), path.Join(dir, "sub", "x"), ops.Attr{}))
	if err := h.WriteFile(t.Context(), path.Join(dir, "sub"), strings.NewReader("x"), ops.Attr{}); err == nil {
		t.Error("a file replaced a directory")
	}
	wantNames(t, h, dir, "file sub")
}

// endless gives zeros and calls each before every read.
type endless struct{ each func() }

func (r endless) Read(p []byte) (int, error) { r.each(); return len(p), nil }

func testWriteFileCancelled(t *testing.T, h ops.Host, dir string) {
	ctx, cancel := context.WithCancel(t.Context())
	reads := 0
	source := endless{func() {
		if reads++; reads == 20 {
			cancel()
		}
	}}
	wantErr(t, "a cancelled write", h.WriteFile(ctx, path.Join(dir, "file"), source, ops.Attr{}), context.Canceled)
	wantNames(t, h, dir, "")
}

func testWriteFileIsPrivate(t *testing.T, h ops.Host, dir string) {
	looked := false
	source := &lookingReader{look: func() {
		looked = true
		infos, err := h.ReadDir(t.Context(), dir)
		must(t, err)
		for _, i := range infos {
			if i.Mode.Perm()&0o077 != 0 {
				t.Errorf("%s has mode %v while a private file is written", i.Name, i.Mode)
			}
			if !strings.HasPrefix(i.Name, ops.TempPrefix) {
				t.Errorf("temporary file %s has no %s", i.Name, ops.TempPrefix)
			}
		}
	}}
	must(t, h.WriteFile(t.Context(), path.Join(dir, "secret"), source, ops.Attr{Mode: 0o600}))
	if !looked {
		t.Error("nobody looked")
	}
}

type lookingReader struct{ look func() }

func (r *lookingReader) Read([]byte) (int, error) { r.look(); return 0, io.EOF }

func testWriteFilesAtOnce(t *testing.T, h ops.Host, dir string) {
	var wg sync.WaitGroup
	errs := make([]error, 50)
	for i := range errs {
		wg.Go(func() {
			name := path.Join(dir, fmt.Sprintf("f%02d", i))
			errs[i] = h.WriteFile(t.Context(), name, strings.NewReader(strings.Repeat(name, 100*i)), ops.Attr{})
		})
	}
	wg.Wait()
	must(t, errors.Join(errs...))
	for i := range errs {
		name := path.Join(dir, fmt.Sprintf("f%02d", i))
		if read(t, h, name) != strings.Repeat(name, 100*i) {
			t.Errorf("%s has other content", name)
		}
	}
}

func testOpen(t *testing.T, h ops.Host, dir string) {
	write(t, h, path.Join(dir, "file"), "0123456789")
	f, err := h.Open(t.Context(), path.Join(dir, "file"))
	must(t, err)
	part := make([]byte, 4)
	_, err = io.ReadFull(f, part)
	must(t, err)
	rest, err := io.ReadAll(f)
	must(t, err)
	if string(part)+string(rest) != "0123456789" {
		t.Errorf("read %q and %q", part, rest)
	}
	must(t, f.Close())
}

func testLstat(t *testing.T, h ops.Host, dir string) {
	must(t, h.Symlink(t.Context(), "nowhere/at all", path.Join(dir, "link")))
	info, err := h.Lstat(t.Context(), path.Join(dir, "link"))
	if err != nil || !info.IsLink() || info.Target != "nowhere/at all" || info.Name != "link" {
		t.Errorf("Lstat of a link = %+v, %v", info, err)
	}
	info, err = h.Lstat(t.Context(), dir)
	if err != nil || !info.IsDir() || info.IsLink() {
		t.Errorf("Lstat of a directory = %+v, %v", info, err)
	}
}

func testReadDir(t *testing.T, h ops.Host, dir string) {
	wantNames(t, h, dir, "")
	var want []string
	for i := range 300 { // more than a server sends in one answer
		want = append(want, fmt.Sprintf("%03d", i))
	}
	for i := range want {
		must(t, h.Symlink(t.Context(), "x", path.Join(dir, want[len(want)-1-i])))
	}
	wantNames(t, h, dir, strings.Join(want, " "))
	infos, err := h.ReadDir(t.Context(), dir)
	if err != nil || !infos[0].IsLink() {
		t.Errorf("ReadDir follows links: %+v, %v", infos[0], err)
	}
}

func testSymlink(t *testing.T, h ops.Host, dir string) {
	link := path.Join(dir, "current")
	must(t, h.MkdirAll(t.Context(), path.Join(dir, "a"), ops.Attr{}))
	for _, target := range []string{"a", "b", "b", "a"} {
		must(t, h.Symlink(t.Context(), target, link))
		if got, err := h.ReadLink(t.Context(), link); err != nil || got != target {
			t.Errorf("link = %q, %v, want %q", got, err, target)
		}
	}
	write(t, h, path.Join(dir, "file"), "x")
	must(t, h.Symlink(t.Context(), "a", path.Join(dir, "file")))
	wantNames(t, h, dir, "a current file")
	wantNames(t, h, path.Join(dir, "a"), "")
	if err := h.Symlink(t.Context(), "x", path.Join(dir, "a")); err == nil {
		t.Error("a link replaced a directory")
	}
	wantNames(t, h, dir, "a current file")
}

func testLink(t *testing.T, h ops.Host, dir string) {
	old, name := path.Join(dir, "old"), path.Join(dir, "new")
	write(t, h, old, "content")
	for range 2 { // the second time both are one file already
		if err := h.Link(t.Context(), old, name); err != nil {
			if errors.Is(err, errors.ErrUnsupported) {
				return
			}
			t.Fatal(err)
		}
	}
	if read(t, h, name) != "content" {
		t.Error("the link has other content")
	}
	write(t, h, path.Join(dir, "other"), "other")
	must(t, h.Link(t.Context(), path.Join(dir, "other"), name))
	if read(t, h, name) != "other" || read(t, h, old) != "content" {
		t.Error("a link wrote into the file it replaced")
	}
	wantErr(t, "a link to nothing", h.Link(t.Context(), path.Join(dir, "none"), path.Join(dir, "x")), fs.ErrNotExist)
	wantNames(t, h, dir, "new old other")
}

func testMkdirAll(t *testing.T, h ops.Host, dir string) {
	must(t, h.MkdirAll(t.Context(), path.Join(dir, "a"), ops.Attr{Mode: 0o700}))
	must(t, h.MkdirAll(t.Context(), path.Join(dir, "a", "b", "c"), ops.Attr{}))
	must(t, h.MkdirAll(t.Context(), path.Join(dir, "a", "b", "c"), ops.Attr{Mode: 0o711}))
	for name, mode := range map[string]fs.FileMode{"a": 0o700, "a/b": 0o755, "a/b/c": 0o755} {
		if info, err := h.Lstat(t.Context(), path.Join(dir, name)); err != nil || info.Mode != mode|fs.ModeDir {
			t.Errorf("%s: %v, %v, want mode %v", name, info.Mode, err, mode)
		}
	}
	must(t, h.Symlink(t.Context(), "a", path.Join(dir, "link")))
	must(t, h.MkdirAll(t.Context(), path.Join(dir, "link", "d"), ops.Attr{}))
	write(t, h, path.Join(dir, "file"), "")
	if err := h.MkdirAll(t.Context(), path.Join(dir, "file", "x"), ops.Attr{}); err == nil {
		t.Error("made a directory below a file")
	}
	wantNames(t, h, path.Join(dir, "a"), "b d")
}

func testRename(t *testing.T, h ops.Host, dir string) {
	a, b := path.Join(dir, "a"), path.Join(dir, "b")
	write(t, h, a, "a")
	write(t, h, b, "b")
	must(t, h.Rename(t.Context(), a, b))
	if got := read(t, h, b); got != "a" {
		t.Errorf("b has %q", got)
	}
	must(t, h.MkdirAll(t.Context(), path.Join(dir, "d", "sub"), ops.Attr{}))
	must(t, h.Rename(t.Context(), path.Join(dir, "d"), path.Join(dir, "e")))
	wantNames(t, h, dir, "b e")
	// A link to a directory is replaced, not moved into.
	must(t, h.Symlink(t.Context(), "e", path.Join(dir, "current")))
	must(t, h.Symlink(t.Context(), "f", path.Join(dir, "next")))
	must(t, h.Rename(t.Context(), path.Join(dir, "next"), path.Join(dir, "current")))
	wantNames(t, h, dir, "b current e")
	wantErr(t, "rename of nothing", h.Rename(t.Context(), path.Join(dir, "none"), a), fs.ErrNotExist)
}

func testRemove(t *testing.T, h ops.Host, dir string) {
	must(t, h.MkdirAll(t.Context(), path.Join(dir, "d", "sub"), ops.Attr{}))
	write(t, h, path.Join(dir, "f"), "x")
	must(t, h.Symlink(t.Context(), "d", path.Join(dir, "l")))
	if err := h.Remove(t.Context(), path.Join(dir, "d")); err == nil {
		t.Error("removed a directory that is not empty")
	}
	must(t, h.Remove(t.Context(), path.Join(dir, "l")))
	must(t, h.Remove(t.Context(), path.Join(dir, "f")))
	must(t, h.Remove(t.Context(), path.Join(dir, "d", "sub")))
	wantNames(t, h, dir, "d")
	wantErr(t, "remove of nothing", h.Remove(t.Context(), path.Join(dir, "none")), fs.ErrNotExist)
}

func testRemoveAll(t *testing.T, h ops.Host, dir string) {
	keep := path.Join(dir, "keep")
	must(t, h.MkdirAll(t.Context(), keep, ops.Attr{}))
	write(t, h, path.Join(keep, "file"), "x")
	for i := range 3 {
		sub := path.Join(dir, "tree", fmt.Sprint(i), "deep")
		must(t, h.MkdirAll(t.Context(), sub, ops.Attr{}))
		for j := range 40 {
			must(t, h.Symlink(t.Context(), keep, path.Join(sub, fmt.Sprint(j))))
		}
		write(t, h, path.Join(sub, "file"), "x")
	}
	must(t, h.RemoveAll(t.Context(), path.Join(dir, "tree")))
	must(t, h.RemoveAll(t.Context(), path.Join(dir, "tree")))
	must(t, h.Symlink(t.Context(), "keep", path.Join(dir, "link")))
	must(t, h.RemoveAll(t.Context(), path.Join(dir, "link")))
	wantNames(t, h, dir, "keep")
	wantNames(t, h, keep, "file")
}

func testSetAttr(t *testing.T, h ops.Host, dir string) {
	name := path.Join(dir, "file")
	must(t, h.WriteFile(t.Context(), name, strings.NewReader("x"), ops.Attr{Mode: 0o600}))
	must(t, h.SetAttr(t.Context(), name, ops.Attr{Mode: 0o640, MTime: when}))
	if info, err := h.Lstat(t.Context(), name); err != nil || info.Mode != 0o640 || !info.MTime.Equal(when) {
		t.Errorf("Lstat = %+v, %v", info, err)
	}
	must(t, h.Symlink(t.Context(), "file", path.Join(dir, "link")))
	must(t, h.SetAttr(t.Context(), path.Join(dir, "link"), ops.Attr{Mode: 0o777}))
	if info, err := h.Lstat(t.Context(), name); err != nil || info.Mode != 0o640 {
		t.Errorf("a link was followed: %+v, %v", info, err)
	}
	info, err := h.Lstat(t.Context(), name)
	must(t, err)
	must(t, h.SetAttr(t.Context(), path.Join(dir, "link"), ops.Attr{Owner: &ops.Owner{UID: info.UID, GID: info.GID}}))
	wantErr(t, "attributes of nothing", h.SetAttr(t.Context(), path.Join(dir, "none"), ops.Attr{Mode: 0o600}), fs.ErrNotExist)
}

func testErrors(t *testing.T, h ops.Host, dir string) {
	none := path.Join(dir, "none")
	ctx := t.Context()
	_, err := h.Open(ctx, none)
	wantErr(t, "open", err, fs.ErrNotExist)
	_, err = h.Lstat(ctx, none)
	wantErr(t, "lstat", err, fs.ErrNotExist)
	_, err = h.ReadDir(ctx, none)
	wantErr(t, "list", err, fs.ErrNotExist)
	_, err = h.ReadLink(ctx, none)
	wantErr(t, "readlink", err, fs.ErrNotExist)
	wantErr(t, "write", h.WriteFile(ctx, path.Join(none, "x"), strings.NewReader("x"), ops.Attr{}), fs.ErrNotExist)
	wantErr(t, "symlink", h.Symlink(ctx, "x", path.Join(none, "x")), fs.ErrNotExist)
	if err := h.WriteFile(ctx, path.Join(none, "x"), strings.NewReader("x"), ops.Attr{}); err == nil || !strings.Contains(err.Error(), "none/x") {
		t.Errorf("%v doesn't name the file", err)
	}
	if h.Name() == "" {
		t.Error("the host has no name")
	}
}

func testCancelledContext(t *testing.T, h ops.Host, dir string) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	name := path.Join(dir, "file")
	calls := map[string]func() error{
		"Run":       func() error { _, err := h.Run(ctx, ops.Command{Argv: []string{"true"}}); return err },
		"Open":      func() error { _, err := h.Open(ctx, name); return err },
		"Lstat":     func() error { _, err := h.Lstat(ctx, dir); return err },
		"ReadDir":   func() error { _, err := h.ReadDir(ctx, dir); return err },
		"WriteFile": func() error { return h.WriteFile(ctx, name, strings.NewReader("x"), ops.Attr{}) },
		"Symlink":   func() error { return h.Symlink(ctx, "x", name) },
		"MkdirAll":  func() error { return h.MkdirAll(ctx, name, ops.Attr{}) },
	}
	for what, call := range calls {
		wantErr(t, what, call(), context.Canceled)
	}
}
