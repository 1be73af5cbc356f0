// Package filesynctest holds the contract suite for implementations of filesync.Peer, and trees to test with.
package filesynctest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/filesync"
)

// then is the time that files of test trees have, unless they say otherwise.
var then = time.Unix(1_700_000_000, 0)

// Tree describes files for a test: path -> content. A path that ends with "/" is a directory; content that begins with
// "-> " makes a symlink. Parents are made.
type Tree map[string]string

// Make writes the tree below dir, with fixed times and modes.
func (tree Tree) Make(t testing.TB, dir string) {
	t.Helper()
	var dirs []string
	for _, p := range slices.Sorted(maps.Keys(tree)) {
		full := filepath.Join(dir, p)
		parent := full
		if !strings.HasSuffix(p, "/") {
			parent = filepath.Dir(full)
		}
		must(t, os.MkdirAll(parent, 0o755))
		dirs = append(dirs, parent)
		if strings.HasSuffix(p, "/") {
			continue
		}
		if target, ok := strings.CutPrefix(tree[p], "-> "); ok {
			must(t, os.Symlink(target, full))
			continue
		}
		must(t, os.WriteFile(full, []byte(tree[p]), 0o644))
		must(t, os.Chtimes(full, then, then))
	}
	slices.SortFunc(dirs, func(a, b string) int { return len(b) - len(a) })
	for _, d := range dirs {
		must(t, os.Chtimes(d, then, then))
	}
}

// Snapshot reads dir back as a Tree, without following links. Directories are listed only when they are empty.
func Snapshot(t testing.TB, dir string) Tree {
	t.Helper()
	tree := Tree{}
	must(t, filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, p)
		switch {
		case d.IsDir():
			if names, err := os.ReadDir(p); err == nil && len(names) == 0 && rel != "." {
				tree[rel+"/"] = ""
			}
		case d.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(p)
			must(t, err)
			tree[rel] = "-> " + target
		case d.Type().IsRegular():
			data, err := os.ReadFile(p)
			must(t, err)
			tree[rel] = string(data)
		default:
			tree[rel] = "special"
		}
		return nil
	}))
	return tree
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func sum(content string) string {
	h := sha256.Sum256([]byte(content))
	return hex.EncodeToString(h[:])
}

// TestPeer runs the contract of filesync.Peer. open makes a peer that works on this machine's files, however it gets to
// them; the suite looks at them directly.
func TestPeer(t *testing.T, open func(t *testing.T) filesync.Peer) {
	for name, test := range map[string]func(t *testing.T, p filesync.Peer){
		"Scan": testScan, "ScanPaths": testScanPaths, "ScanExclude": testScanExclude, "ScanErrors": testScanErrors,
		"ScanTemps": testScanTemps, "ScanSpecial": testScanSpecial, "ScanStrangeNames": testScanStrangeNames,
		"Read": testRead, "ReadStops": testReadStops, "ReadError": testReadError,
		"Write": testWrite, "WriteAttributes": testWriteAttributes, "WriteVerifies": testWriteVerifies,
		"WriteTrash": testWriteTrash, "WriteStreamError": testWriteStreamError, "WriteCancelled": testWriteCancelled,
		"WriteRefusesPaths": testWriteRefusesPaths, "WriteMany": testWriteMany,
	} {
		t.Run(name, func(t *testing.T) {
			p := open(t)
			t.Cleanup(func() { must(t, p.Close()) })
			test(t, p)
		})
	}
}

// brief is a manifest in short form, for comparing.
func brief(m *filesync.Manifest) []string {
	var lines []string
	for e := range m.All() {
		kind := "f"
		switch {
		case e.IsDir():
			kind = "d"
		case e.IsLink():
			kind = "l"
		case e.IsSpecial():
			kind = "s"
		}
		line := kind + " " + e.Path
		if e.IsLink() {
			line += " -> " + e.Target
		}
		if e.Hash != "" {
			line += " " + e.Hash[:8]
		}
		lines = append(lines, line)
	}
	return lines
}

func wantManifest(t *testing.T, m *filesync.Manifest, want ...string) {
	t.Helper()
	if d := cmp.Diff(want, brief(m)); d != "" {
		t.Fatalf("manifest (-want +got):\n%s", d)
	}
}

func testScan(t *testing.T, p filesync.Peer) {
	dir := t.TempDir()
	Tree{"a.txt": "hello", "empty/": "", "d/deep/x": "x", "link": "-> d/deep", "dangling": "-> nowhere"}.Make(t, dir)
	must(t, os.Chmod(filepath.Join(dir, "a.txt"), 0o640))
	m, err := p.Scan(t.Context(), dir, filesync.ScanOptions{})
	must(t, err)
	wantManifest(t, m, "f a.txt", "d d", "d d/deep", "f d/deep/x", "l dangling -> nowhere", "d empty", "l link -> d/deep")
	got, _ := m.Get("a.txt")
	want := filesync.Entry{Path: "a.txt", Mode: 0o640, Size: 5, MTime: then.Unix(), UID: os.Getuid(), GID: os.Getgid()}
	if got != want {
		t.Errorf("entry = %+v, want %+v", got, want)
	}
	m, err = p.Scan(t.Context(), dir, filesync.ScanOptions{Hash: true})
	must(t, err)
	if got, _ := m.Get("a.txt"); got.Hash != sum("hello") {
		t.Errorf("hash = %q", got.Hash)
	}
	if m, err = p.Scan(t.Context(), filepath.Join(dir, "empty"), filesync.ScanOptions{Hash: true}); err != nil || m.Len() != 0 {
		t.Errorf("empty directory: %d entries, %v", m.Len(), err)
	}
}

func testScanPaths(t *testing.T, p filesync.Peer) {
	dir := t.TempDir()
	Tree{"config/env.php": "e", "config/other": "", "var/data/a/b": "1", "var/cache/x": "", "top": ""}.Make(t, dir)
	m, err := p.Scan(t.Context(), dir, filesync.ScanOptions{Paths: []string{"var/data", "config/env.php", "gone", "gone/too", "var/data/a"}})
	must(t, err)
	wantManifest(t, m, "f config/env.php", "d var/data", "d var/data/a", "f var/data/a/b")
	if m, err = p.Scan(t.Context(), dir, filesync.ScanOptions{Paths: []string{"gone"}}); err != nil || m.Len() != 0 {
		t.Errorf("only missing paths: %d entries, %v", m.Len(), err)
	}
	must(t, os.Symlink("var", filepath.Join(dir, "alias")))
	if _, err = p.Scan(t.Context(), dir, filesync.ScanOptions{Paths: []string{"alias/data"}}); err == nil || !strings.Contains(err.Error(), "alias is a symlink") {
		t.Errorf("symlink among the parents: %v", err)
	}
	if _, err = p.Scan(t.Context(), dir, filesync.ScanOptions{Paths: []string{"../etc"}}); err == nil {
		t.Error("a path that leaves the root was scanned")
	}
}

func testScanExclude(t *testing.T, p filesync.Peer) {
	dir := t.TempDir()
	Tree{"var/cache/x/y": "1", "var/data/k": "1", "var/data/x.log": "1", "a/keep.log": "1"}.Make(t, dir)
	x, err := filesync.NewExclude("/var/cache/", "*.log", "!keep.log")
	must(t, err)
	m, err := p.Scan(t.Context(), dir, filesync.ScanOptions{Exclude: x, Hash: true})
	must(t, err)
	one := sum("1")[:8]
	wantManifest(t, m, "d a", "f a/keep.log "+one, "d var", "d var/data", "f var/data/k "+one)
}

func testScanErrors(t *testing.T, p filesync.Peer) {
	dir := t.TempDir()
	for _, o := range []filesync.ScanOptions{{}, {Paths: []string{"x"}}, {Temps: true}} {
		if _, err := p.Scan(t.Context(), filepath.Join(dir, "gone"), o); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("missing root, %+v: %v", o, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Scan(ctx, dir, filesync.ScanOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if os.Getuid() == 0 {
		return // root reads everything
	}
	Tree{"closed/x": ""}.Make(t, dir)
	must(t, os.Chmod(filepath.Join(dir, "closed"), 0))
	t.Cleanup(func() { _ = os.Chmod(filepath.Join(dir, "closed"), 0o755) })
	if _, err := p.Scan(t.Context(), dir, filesync.ScanOptions{}); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("unreadable directory: %v", err)
	}
}

func testScanTemps(t *testing.T, p filesync.Peer) {
	dir := t.TempDir()
	tmp := ops.TempPrefix + "1"
	Tree{tmp: "", "config/" + tmp: "", "config/env": "", "d/e/" + tmp + "/x": "", "d/e/f": ""}.Make(t, dir)
	m, err := p.Scan(t.Context(), dir, filesync.ScanOptions{})
	must(t, err)
	wantManifest(t, m, "d config", "f config/env", "d d", "d d/e", "f d/e/f")
	m, err = p.Scan(t.Context(), dir, filesync.ScanOptions{Temps: true})
	must(t, err)
	wantManifest(t, m, "f "+tmp, "f config/"+tmp, "d d/e/"+tmp)
	m, err = p.Scan(t.Context(), dir, filesync.ScanOptions{Temps: true, Paths: []string{"config/env", "d", "none"}})
	must(t, err)
	wantManifest(t, m, "f "+tmp, "f config/"+tmp, "d d/e/"+tmp)
}

func testScanSpecial(t *testing.T, p filesync.Peer) {
	dir := t.TempDir()
	must(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o644))
	m, err := p.Scan(t.Context(), dir, filesync.ScanOptions{Hash: true})
	must(t, err)
	wantManifest(t, m, "s pipe")
}

// strangeNames are legal file names that break careless quoting and parsing.
var strangeNames = []string{"-n", "--help", "a b", " lead", "trail ", "new\nline", "tab\t", `back\slash`, `"quote"`, "'single'",
	"$(id)", "`id`", "*", "?", "[a]", "{a,b}", "~", "#x", "%s", "ü", "\xff\xfe", "...", ".hidden", "a;b", "a|b", "a&b", "\x01", "\r"}

func testScanStrangeNames(t *testing.T, p filesync.Peer) {
	dir, copied := t.TempDir(), t.TempDir()
	tree := Tree{}
	for _, n := range strangeNames {
		tree["d/"+n] = n
	}
	tree.Make(t, dir)
	m, err := p.Scan(t.Context(), dir, filesync.ScanOptions{Hash: true})
	must(t, err)
	if m.Len() != len(strangeNames)+1 {
		t.Fatalf("%d entries of %d:\n%s", m.Len(), len(strangeNames)+1, strings.Join(brief(m), "\n"))
	}
	for _, n := range strangeNames {
		if e, ok := m.Get("d/" + n); !ok || e.Hash != sum(n) {
			t.Errorf("%q: %v, hash %q", n, ok, e.Hash)
		}
	}
	_, err = filesync.Transfer(t.Context(), p, dir, p, copied, filesync.Diff(m, nil, filesync.DiffOptions{}), filesync.Options{})
	must(t, err)
	if d := cmp.Diff(tree, Snapshot(t, copied)); d != "" {
		t.Fatalf("copy (-want +got):\n%s", d)
	}
}

func testRead(t *testing.T, p filesync.Peer) {
	dir := t.TempDir()
	tree := Tree{"empty": "", "large": strings.Repeat("0123456789abcdef", 200_000)}
	files := []filesync.Entry{{Path: "large", Size: int64(len(tree["large"]))}, {Path: "empty"}}
	for i := range 300 {
		name := fmt.Sprintf("f%03d", i)
		tree[name] = strings.Repeat(name, i)
		files = append(files, filesync.Entry{Path: name, Size: int64(len(tree[name]))})
	}
	tree.Make(t, dir)
	i := 0
	for c, err := range p.Read(t.Context(), dir, files) {
		must(t, err)
		data, err := io.ReadAll(c)
		must(t, err)
		if c.Path != files[i].Path || string(data) != tree[c.Path] {
			t.Fatalf("file %d: got %s with %d bytes, want %s with %d", i, c.Path, len(data), files[i].Path, len(tree[files[i].Path]))
		}
		i++
	}
	if i != len(files) {
		t.Fatalf("%d of %d files", i, len(files))
	}
}

func testReadStops(t *testing.T, p filesync.Peer) {
	dir := t.TempDir()
	Tree{"a": "1", "b": "2", "c": "3"}.Make(t, dir)
	n := 0
	for _, err := range p.Read(t.Context(), dir, []filesync.Entry{{Path: "a", Size: 1}, {Path: "b", Size: 1}, {Path: "c", Size: 1}}) {
		must(t, err)
		if n++; n == 2 {
			break
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var last error
	for _, err := range p.Read(ctx, dir, []filesync.Entry{{Path: "a", Size: 1}}) {
		last = err
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("cancelled: %v", last)
	}
}

func testReadError(t *testing.T, p filesync.Peer) {
	dir := t.TempDir()
	Tree{"a": "1", "c": "3"}.Make(t, dir)
	var got []string
	var last error
	for c, err := range p.Read(t.Context(), dir, []filesync.Entry{{Path: "a", Size: 1}, {Path: "b", Size: 1}, {Path: "c", Size: 1}}) {
		if last = err; err == nil {
			got = append(got, c.Path)
		}
	}
	if !errors.Is(last, fs.ErrNotExist) || !strings.Contains(last.Error(), "b") || len(got) != 1 {
		t.Errorf("got %v, then %v", got, last)
	}
}
