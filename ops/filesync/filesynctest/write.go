package filesynctest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mosparoctl/mosparoctl/ops/filesync"
)

// put is a change that writes content.
func put(p, content string) filesync.Change {
	e := filesync.Entry{Path: p, Mode: 0o644, Size: int64(len(content)), MTime: then.Unix(), UID: filesync.AnyID, GID: filesync.AnyID}
	return filesync.Change{Op: filesync.Op{Kind: filesync.OpPut, Entry: e}, Content: strings.NewReader(content)}
}

func stream(changes ...filesync.Change) iter.Seq2[filesync.Change, error] {
	return func(yield func(filesync.Change, error) bool) {
		for _, c := range changes {
			if !yield(c, nil) {
				return
			}
		}
	}
}

func other(kind filesync.OpKind, e filesync.Entry) filesync.Change {
	e.UID, e.GID = filesync.AnyID, filesync.AnyID
	return filesync.Change{Op: filesync.Op{Kind: kind, Entry: e}}
}

func testWrite(t *testing.T, p filesync.Peer) {
	dir := filepath.Join(t.TempDir(), "made")
	old := filepath.Join(t.TempDir(), "old")
	must(t, os.WriteFile(old, []byte("linked"), 0o644))
	link := other(filesync.OpLink, filesync.Entry{Path: "d/linked", Size: 6})
	link.From = old
	must(t, p.Write(t.Context(), dir, stream(
		other(filesync.OpMkdir, filesync.Entry{Path: "d", Mode: fs.ModeDir | 0o755}),
		other(filesync.OpMkdir, filesync.Entry{Path: "d/e", Mode: fs.ModeDir | 0o755}),
		link,
		put("d/e/f", "one"), put("g", ""), put("gone", "x"),
		other(filesync.OpSymlink, filesync.Entry{Path: "l", Mode: fs.ModeSymlink, Target: "d/e"}),
		other(filesync.OpDelete, filesync.Entry{Path: "gone"}),
		other(filesync.OpDelete, filesync.Entry{Path: "never there"}),
	), filesync.WriteOptions{}))
	want := Tree{"d/e/f": "one", "g": "", "l": "-> d/e", "d/linked": "linked"}
	if d := cmp.Diff(want, Snapshot(t, dir)); d != "" {
		t.Fatalf("(-want +got):\n%s", d)
	}
	a, err := os.Stat(old)
	must(t, err)
	b, err := os.Stat(filepath.Join(dir, "d/linked"))
	must(t, err)
	if !os.SameFile(a, b) {
		t.Error("d/linked is not a hard link")
	}
}

func testWriteAttributes(t *testing.T, p filesync.Peer) {
	dir := t.TempDir()
	c := put("d/f", "x")
	c.Entry.Mode = 0o604
	set := other(filesync.OpSetAttr, filesync.Entry{Path: "g", Mode: 0o600, MTime: 1_600_000_000, Size: 1})
	Tree{"g": "g"}.Make(t, dir)
	must(t, p.Write(t.Context(), dir, stream(
		other(filesync.OpMkdir, filesync.Entry{Path: "d", Mode: fs.ModeDir | 0o550, MTime: then.Unix()}), c, set), filesync.WriteOptions{}))
	for name, want := range map[string]struct {
		mode  fs.FileMode
		mtime int64
	}{"d": {fs.ModeDir | 0o550, then.Unix()}, "d/f": {0o604, then.Unix()}, "g": {0o600, 1_600_000_000}} {
		st, err := os.Lstat(filepath.Join(dir, name))
		must(t, err)
		if st.Mode() != want.mode || st.ModTime().Unix() != want.mtime {
			t.Errorf("%s: %v %d, want %v %d", name, st.Mode(), st.ModTime().Unix(), want.mode, want.mtime)
		}
	}
	must(t, os.Chmod(filepath.Join(dir, "d"), 0o755))
}

func testWriteVerifies(t *testing.T, p filesync.Peer) {
	for name, spoil := range map[string]func(*filesync.Change){
		"short":        func(c *filesync.Change) { c.Content = strings.NewReader("ne") },
		"long":         func(c *filesync.Change) { c.Content = strings.NewReader("newer") },
		"other":        func(c *filesync.Change) { c.Entry.Hash = sum("old"); c.Content = strings.NewReader("bad") },
		"failing":      func(c *filesync.Change) { c.Content = io.MultiReader(strings.NewReader("n"), brokenReader{}) },
		"none":         func(c *filesync.Change) { c.Content = nil },
		"large, short": func(c *filesync.Change) { c.Entry.Size = 5 << 20; c.Content = bytes.NewReader(make([]byte, 4<<20)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			Tree{"f": "old"}.Make(t, dir)
			c := put("f", "new")
			spoil(&c)
			if err := p.Write(t.Context(), dir, stream(c), filesync.WriteOptions{}); err == nil {
				t.Error("no error")
			}
			if d := cmp.Diff(Tree{"f": "old"}, Snapshot(t, dir)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errors.New("broken") }

func testWriteTrash(t *testing.T, p filesync.Peer) {
	dir, base := t.TempDir(), t.TempDir()
	trash := filepath.Join(base, "trash/run1")
	before := Tree{"d/f": "old", "d/l": "-> f", "gone": "bye", "gonelink": "-> x", "attr": "same", "late": "not expected"}
	before.Make(t, dir)
	m, err := p.Scan(t.Context(), dir, filesync.ScanOptions{})
	must(t, err)
	replacing := func(c filesync.Change) filesync.Change {
		e, _ := m.Get(c.Path())
		c.Old = &e
		return c
	}
	deleting := func(name string) filesync.Change {
		e, _ := m.Get(name)
		return filesync.Change{Op: filesync.Op{Kind: filesync.OpDelete, Entry: e, Old: &e}}
	}
	var mu sync.Mutex
	var appeared []string
	must(t, p.Write(t.Context(), dir, stream(
		replacing(put("d/f", "new")), put("fresh", "1"), put("late", "ours"),
		replacing(other(filesync.OpSymlink, filesync.Entry{Path: "d/l", Mode: fs.ModeSymlink, Target: "g"})),
		replacing(other(filesync.OpSetAttr, filesync.Entry{Path: "attr", Mode: 0o600, MTime: then.Unix()})),
		deleting("gone"), deleting("gonelink"),
	), filesync.WriteOptions{Trash: trash, Appeared: func(path string) {
		mu.Lock()
		defer mu.Unlock()
		appeared = append(appeared, path)
	}}))
	if !slices.Equal(appeared, []string{"late"}) {
		t.Errorf("told of %q", appeared)
	}
	if d := cmp.Diff(Tree{"d/f": "new", "fresh": "1", "late": "ours", "d/l": "-> g", "attr": "same"}, Snapshot(t, dir)); d != "" {
		t.Errorf("tree (-want +got):\n%s", d)
	}
	if d := cmp.Diff(Tree{"d/f": "old", "d/l": "-> f", "gone": "bye", "gonelink": "-> x", "late": "not expected"}, Snapshot(t, trash)); d != "" {
		t.Errorf("trash (-want +got):\n%s", d)
	}
	if st, err := os.Stat(filepath.Join(trash, "d/f")); err != nil || st.ModTime().Unix() != then.Unix() {
		t.Errorf("time of what was kept: %v, %v", st.ModTime(), err)
	}
}

func testWriteStreamError(t *testing.T, p filesync.Peer) {
	dir := t.TempDir()
	boom := errors.New("boom")
	err := p.Write(t.Context(), dir, func(yield func(filesync.Change, error) bool) {
		_ = yield(put("a", "1"), nil) && yield(filesync.Change{}, boom)
	}, filesync.WriteOptions{})
	if !errors.Is(err, boom) {
		t.Errorf("error = %v", err)
	}
	for name := range Snapshot(t, dir) {
		if name != "a" {
			t.Errorf("%s was left", name)
		}
	}
}

func testWriteCancelled(t *testing.T, p filesync.Peer) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	content := io.MultiReader(bytes.NewReader(make([]byte, 3<<20)), readerFunc(func(b []byte) (int, error) {
		cancel()
		return len(b), nil
	}))
	c := put("big", "")
	c.Entry.Size, c.Content = 1<<30, content
	if err := p.Write(ctx, dir, stream(c), filesync.WriteOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v", err)
	}
	if d := cmp.Diff(Tree{}, Snapshot(t, dir)); d != "" {
		t.Errorf("left behind (-want +got):\n%s", d)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

func testWriteRefusesPaths(t *testing.T, p filesync.Peer) {
	base := t.TempDir()
	dir := filepath.Join(base, "root")
	for _, bad := range []string{"../x", "/etc/x", "a/../../x", "", ".", "a//b"} {
		for _, kind := range []filesync.OpKind{filesync.OpPut, filesync.OpMkdir, filesync.OpSymlink, filesync.OpDelete} {
			c := put(bad, "x")
			c.Kind = kind
			if err := p.Write(t.Context(), dir, stream(c), filesync.WriteOptions{}); err == nil {
				t.Errorf("%s %q was not refused", kind, bad)
			}
		}
	}
	if d := cmp.Diff(Tree{"root/": ""}, Snapshot(t, base)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func testWriteMany(t *testing.T, p filesync.Peer) {
	dir := t.TempDir()
	want := Tree{"big": strings.Repeat("x", 3<<20)}
	changes := []filesync.Change{put("big", want["big"])}
	for i := range 500 {
		name := fmt.Sprintf("f%03d", i)
		want[name] = name
		changes = append(changes, put(name, name))
	}
	done := make(chan string, 1000)
	must(t, p.Write(t.Context(), dir, stream(changes...), filesync.WriteOptions{Done: func(o filesync.Op) { done <- o.Path() }}))
	if d := cmp.Diff(want, Snapshot(t, dir)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if len(done) != len(changes) {
		t.Errorf("told of %d of %d changes", len(done), len(changes))
	}
}
