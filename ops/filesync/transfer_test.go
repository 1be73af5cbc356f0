package filesync_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mosparoctl/mosparoctl/internal/lab/server"
	"github.com/mosparoctl/mosparoctl/ops/filesync"
	"github.com/mosparoctl/mosparoctl/ops/filesync/filesynctest"
	"github.com/mosparoctl/mosparoctl/ops/local"
	"github.com/mosparoctl/mosparoctl/ops/remote/remotetest"
)

// peerHere works on this machine without commands.
func peerHere() filesync.Peer {
	return filesync.NewHostPeer(local.New("here"), filesync.HostOptions{FilesOnly: true})
}

// scan lists a tree with hashes.
func scan(t *testing.T, dir string) *filesync.Manifest {
	t.Helper()
	m, err := peerHere().Scan(t.Context(), dir, filesync.ScanOptions{Hash: true})
	must(t, err)
	return m
}

func sameFile(t *testing.T, a, b string) bool {
	t.Helper()
	x, err := os.Stat(a)
	must(t, err)
	y, err := os.Stat(b)
	must(t, err)
	return os.SameFile(x, y)
}

// release is a previous and a next release, and an empty folder for the new one on the target.
func release(t *testing.T) (source, previous, staging string) {
	base := t.TempDir()
	source, previous, staging = filepath.Join(base, "source"), filepath.Join(base, "releases/1"), filepath.Join(base, "releases/2")
	Tree{"same.php": "same", "moved/here.php": "moved", "changed.php": "new", "mode.php": "mode", "link": "-> same.php", "empty/": ""}.Make(t, source)
	Tree{"same.php": "same", "there.php": "moved", "changed.php": "old", "mode.php": "mode", "gone.php": "gone"}.Make(t, previous)
	must(t, os.Chmod(filepath.Join(source, "mode.php"), 0o755))
	return source, previous, staging
}

func TestTransferLinksWhatIsThereAlready(t *testing.T) {
	source, previous, staging := release(t)
	p := peerHere()
	todo := filesync.Diff(scan(t, source), nil, filesync.DiffOptions{})
	for name, o := range map[string]filesync.Options{
		"scanned": {LinkFrom: previous},
		"known":   {LinkFrom: previous, LinkManifest: scan(t, previous)},
	} {
		t.Run(name, func(t *testing.T) {
			to := staging + name
			stats, err := filesync.Transfer(t.Context(), p, source, p, to, todo, o)
			must(t, err)
			want := filesync.Stats{Files: 2, Bytes: 7, Linked: 2, Symlinks: 1, Dirs: 2}
			if stats != want {
				t.Errorf("stats = %+v, want %+v", stats, want)
			}
			if d := cmp.Diff(filesynctest.Snapshot(t, source), filesynctest.Snapshot(t, to)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			for _, pair := range [][2]string{{"same.php", "same.php"}, {"there.php", "moved/here.php"}} {
				if !sameFile(t, filepath.Join(previous, pair[0]), filepath.Join(to, pair[1])) {
					t.Errorf("%s is no link to %s", pair[1], pair[0])
				}
			}
			if sameFile(t, filepath.Join(previous, "mode.php"), filepath.Join(to, "mode.php")) {
				t.Error("a file of another mode was linked, which changes it in the previous release")
			}
		})
	}
	if st, err := os.Stat(filepath.Join(previous, "mode.php")); err != nil || st.Mode().Perm() != 0o644 {
		t.Errorf("the previous release was changed: %v, %v", st, err)
	}
}

// Where the node makes no hard links, the content is copied and nothing else is different.
func TestTransferWithoutHardLinks(t *testing.T) {
	source, previous, staging := release(t)
	s, err := remotetest.Start(remotetest.Config{Dir: t.TempDir()})
	must(t, err)
	t.Cleanup(func() { s.Close() })
	s.Faults.NoHardLink(true)
	n, err := s.Node("web1", t.TempDir())
	must(t, err)
	to := filesync.NewHostPeer(connect(t, n), filesync.HostOptions{})
	_, err = filesync.Transfer(t.Context(), peerHere(), source, to, staging, filesync.Diff(scan(t, source), nil, filesync.DiffOptions{}), filesync.Options{LinkFrom: previous})
	must(t, err)
	if d := cmp.Diff(filesynctest.Snapshot(t, source), filesynctest.Snapshot(t, staging)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if sameFile(t, filepath.Join(previous, "same.php"), filepath.Join(staging, "same.php")) {
		t.Error("it was linked after all: the test tests nothing")
	}
}

func TestTransferRefusesLinksThatLeadOut(t *testing.T) {
	source, staging := t.TempDir(), t.TempDir()
	Tree{"d/evil": "-> ../../etc", "file": "x"}.Make(t, source)
	todo := filesync.Diff(scan(t, source), nil, filesync.DiffOptions{})
	_, err := filesync.Transfer(t.Context(), peerHere(), source, peerHere(), staging, todo, filesync.Options{})
	if err == nil || !strings.Contains(err.Error(), "d/evil points out of the tree, to ../../etc") {
		t.Errorf("error = %v", err)
	}
	if d := cmp.Diff(Tree{}, filesynctest.Snapshot(t, staging)); d != "" {
		t.Errorf("something was written:\n%s", d)
	}
	_, err = filesync.Transfer(t.Context(), peerHere(), source, peerHere(), staging, todo, filesync.Options{AllowOutside: true})
	must(t, err)
}

// A source that changes between the scan and the transfer must not get through as if it had not.
func TestTransferNoticesAChangingSource(t *testing.T) {
	for name, change := range map[string]func(file string) error{
		"shorter":           func(f string) error { return os.WriteFile(f, []byte("1"), 0o644) },
		"longer":            func(f string) error { return os.WriteFile(f, []byte("1234567"), 0o644) },
		"other, same size":  func(f string) error { return os.WriteFile(f, []byte("abc"), 0o644) },
		"gone":              os.Remove,
		"became a folder":   func(f string) error { return errors.Join(os.Remove(f), os.Mkdir(f, 0o755)) },
		"dangling symlink":  func(f string) error { return errors.Join(os.Remove(f), os.Symlink("nowhere", f)) },
		"link to /dev/zero": func(f string) error { return errors.Join(os.Remove(f), os.Symlink("/dev/zero", f)) },
	} {
		t.Run(name, func(t *testing.T) {
			source, target := t.TempDir(), t.TempDir()
			Tree{"f": "123"}.Make(t, source)
			Tree{"f": "old"}.Make(t, target)
			todo := filesync.Diff(scan(t, source), scan(t, target), filesync.DiffOptions{})
			must(t, change(filepath.Join(source, "f")))
			if _, err := filesync.Transfer(t.Context(), peerHere(), source, peerHere(), target, todo, filesync.Options{}); err == nil {
				t.Error("not noticed")
			}
			if d := cmp.Diff(Tree{"f": "old"}, filesynctest.Snapshot(t, target)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestTransferTellsProgress(t *testing.T) {
	source, target := t.TempDir(), t.TempDir()
	Tree{"a": strings.Repeat("a", 100_000), "b": "bb"}.Make(t, source)
	var last, total int64
	changed := map[string]bool{}
	_, err := filesync.Transfer(t.Context(), peerHere(), source, peerHere(), target, filesync.Diff(scan(t, source), nil, filesync.DiffOptions{}),
		filesync.Options{Concurrency: 1, Bandwidth: 1 << 30,
			Progress: func(d, n int64) { last, total = max(d, last), n },
			Each:     func(o filesync.Op) { changed[o.Path()] = true }})
	must(t, err)
	if last != 100_002 || total != last || len(changed) != 2 {
		t.Errorf("%d of %d bytes, changed %v", last, total, changed)
	}
}

// One that is not sent anything by its source must not wait for ever, and neither must the source.
func TestTransferEndsWhenTheTargetFails(t *testing.T) {
	source, target := t.TempDir(), t.TempDir()
	tree := Tree{}
	for i := range 500 {
		tree[fmt.Sprintf("d/%03d", i)] = strings.Repeat("x", 10_000)
	}
	tree.Make(t, source)
	Tree{"d": "a file is in the way"}.Make(t, target)
	todo := filesync.Diff(scan(t, source), nil, filesync.DiffOptions{}) // as if nothing were there
	if _, err := filesync.Transfer(t.Context(), peerHere(), source, peerHere(), target, todo, filesync.Options{}); err == nil {
		t.Error("no error")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := filesync.Transfer(ctx, peerHere(), source, peerHere(), filepath.Join(target, "e"), todo, filesync.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v", err)
	}
}

// Numbers of owners are kept, or become those of the ops, where we may set them.
func TestTransferSetsOwners(t *testing.T) {
	server.NeedRoot(t, "nobody else gives files away")
	source, target := t.TempDir(), t.TempDir()
	Tree{"d/f": "x"}.Make(t, source)
	must(t, filepath.WalkDir(source, func(p string, _ fs.DirEntry, _ error) error { return os.Lchown(p, 1234, 2345) }))
	m := scan(t, source)
	_, err := filesync.Transfer(t.Context(), peerHere(), source, peerHere(), target, filesync.Diff(m, nil, filesync.DiffOptions{}), filesync.Options{})
	must(t, err)
	if got, _ := scan(t, target).Get("d/f"); got.UID != 1234 || got.GID != 2345 {
		t.Errorf("owner %d:%d", got.UID, got.GID)
	}
	todo := filesync.Diff(m.WithOwner(33, 34), scan(t, target), filesync.DiffOptions{})
	_, err = filesync.Transfer(t.Context(), peerHere(), source, peerHere(), target, todo, filesync.Options{})
	must(t, err)
	for _, p := range []string{"d", "d/f"} {
		if got, _ := scan(t, target).Get(p); got.UID != 33 || got.GID != 34 {
			t.Errorf("%s: owner %d:%d", p, got.UID, got.GID)
		}
	}
}
