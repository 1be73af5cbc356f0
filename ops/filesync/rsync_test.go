package filesync_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mosparoctl/mosparoctl/internal/lab/server"
	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/filesync"
	"github.com/mosparoctl/mosparoctl/ops/local"
	"github.com/mosparoctl/mosparoctl/ops/remote/remotetest"
)

// TestLikeRsync makes random trees and random changes of both sides, and compares what a transfer leaves with what
// "rsync -a --delete" leaves of the same target. MOSPAROCTL_TEST_SEED repeats a run, MOSPAROCTL_TEST_ROUNDS sets its length.
func TestLikeRsync(t *testing.T) {
	server.Binary(t, "rsync")
	seed, rounds := chance(t, 3)
	for i, side := range []struct {
		name string
		host func(t *testing.T) ops.Host
	}{
		{"here", func(*testing.T) ops.Host { return local.New("here") }},
		{"ssh", func(t *testing.T) ops.Host { return faultyNode(t, func(*remotetest.Faults) {}) }},
		{"sftp", func(t *testing.T) ops.Host { return faultyNode(t, func(f *remotetest.Faults) { f.RefuseExec(true) }) }},
		{"openssh", func(t *testing.T) ops.Host { return connect(t, sshdNode(t)) }},
		{"nobody", func(t *testing.T) ops.Host { return connect(t, nobodysNode(t)) }},
	} {
		t.Run(side.name, func(t *testing.T) {
			f := &forest{t: t, r: rand.New(rand.NewPCG(seed, uint64(i))), base: t.TempDir(), now: 1_600_000_000}
			source, target := filesync.NewHostPeer(local.New("admin"), filesync.HostOptions{FilesOnly: true}), filesync.NewHostPeer(side.host(t), filesync.HostOptions{})
			if side.name == "nobody" {
				f.nobody(t)
			}
			must(t, os.Mkdir(f.path("source"), 0o755))
			must(t, os.Mkdir(f.path("target"), 0o755))
			for round := range rounds {
				f.change("source", 30)
				f.change("target", 6)
				f.round(source, target)
				if t.Failed() {
					t.Fatalf("round %d, MOSPAROCTL_TEST_SEED=%d", round, seed)
				}
			}
		})
	}
}

// chance is where random numbers begin, and how many rounds there are.
func chance(t *testing.T, rounds int) (uint64, int) {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	var err error
	if s := os.Getenv("MOSPAROCTL_TEST_SEED"); s != "" {
		seed, err = strconv.ParseUint(s, 10, 64)
		must(t, err)
	}
	if s := os.Getenv("MOSPAROCTL_TEST_ROUNDS"); s != "" {
		rounds, err = strconv.Atoi(s)
		must(t, err)
	}
	return seed, rounds
}

// TestSyncUndoAtRandom makes random trees and random changes of both sides, syncs, takes the sync back, and compares what is
// there with what was there before. The variables are those of TestLikeRsync.
func TestSyncUndoAtRandom(t *testing.T) {
	seed, rounds := chance(t, 4)
	c := newCluster(t, "app1")
	c.opts.Delete, c.opts.MaxDelete, c.opts.AllowOutside = true, "100%", true
	c.mustSync()
	f := &forest{t: t, r: rand.New(rand.NewPCG(seed, 9)), now: 1_600_000_000,
		dirs: map[string]string{"source": c.path("admin", "var/data/any"), "target": c.path("app1", "var/data/any")}}
	must(t, os.Mkdir(f.path("source"), 0o755))
	must(t, os.Mkdir(f.path("target"), 0o755))
	for round := range rounds {
		f.change("source", 20)
		c.mustSync()
		f.change("source", 20)
		f.change("target", 4)
		before := listing(t, c.path("app1", ""))
		p, _, err := c.plan()
		must(t, err)
		if p.Empty() {
			continue
		}
		_, err = filesync.Apply(t.Context(), p, ops.ApplyOptions{})
		must(t, err)
		u, err := filesync.GatherUndo(t.Context(), c.opts, fmt.Sprintf("run%d", c.runs))
		must(t, err)
		p, _, err = filesync.PlanUndo(u, c.opts)
		must(t, err)
		_, err = filesync.Apply(t.Context(), p, ops.ApplyOptions{})
		must(t, err)
		if d := cmp.Diff(before, listing(t, c.path("app1", ""))); d != "" {
			t.Fatalf("before the sync (-) and after its undo (+):\n%s\nround %d, MOSPAROCTL_TEST_SEED=%d", d, round, seed)
		}
	}
}

// nobody is a user without rights.
const nobody = "65534:65534"

// nobodysNode is a node on which everything is done as nobody. Only root can make one.
func nobodysNode(t *testing.T) *inventory.Node {
	t.Helper()
	server.NeedRoot(t, "nobody else becomes another user")
	script := filepath.Join(t.TempDir(), "login")
	must(t, os.WriteFile(script, []byte(`#!/bin/sh
case $SSH_ORIGINAL_COMMAND in
internal-sftp) SSH_ORIGINAL_COMMAND="exec /usr/lib/openssh/sftp-server";;
esac
exec setpriv --reuid 65534 --regid 65534 --clear-groups sh -c "$SSH_ORIGINAL_COMMAND"
`), 0o755))
	return sshdNode(t, "ForceCommand "+script)
}

// nobody makes nobody the one who writes.
func (f *forest) nobody(t *testing.T) {
	t.Helper()
	f.as = []string{"setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"}
	var err error
	f.base, err = os.MkdirTemp("", "nobody") // where nobody may enter
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(f.base) })
}

func faultyNode(t *testing.T, faults func(*remotetest.Faults)) ops.Host {
	t.Helper()
	s, err := remotetest.Start(remotetest.Config{Dir: t.TempDir()})
	must(t, err)
	t.Cleanup(func() { s.Close() })
	faults(s.Faults)
	n, err := s.Node("web1", t.TempDir())
	must(t, err)
	return connect(t, n)
}

// forest is a source and a target that change at random.
type forest struct {
	t    *testing.T
	r    *rand.Rand
	base string
	dirs map[string]string // of source and target, where they are not in base
	as   []string          // runs rsync as the user who writes to the target; nil: us
	now  int64             // seconds; every change comes later than those before, so that none has size and time of another
}

func (f *forest) path(name string) string {
	if dir := f.dirs[name]; dir != "" {
		return dir
	}
	return filepath.Join(f.base, name)
}

// round brings the target into step, and a copy of it by rsync, and compares the two.
func (f *forest) round(source, target filesync.Peer) {
	f.t.Helper()
	must(f.t, os.RemoveAll(f.path("copy")))
	run(f.t, "cp", "-a", f.path("target"), f.path("copy"))
	if f.as != nil {
		run(f.t, "chown", "-hR", nobody, f.base)
	}
	run(f.t, append(f.as, "rsync", "-a", "--numeric-ids", "--delete", f.path("source")+"/", f.path("copy")+"/")...)
	want, err := source.Scan(f.t.Context(), f.path("source"), filesync.ScanOptions{})
	must(f.t, err)
	if f.as != nil {
		want = want.WithOwner(filesync.AnyID, filesync.AnyID)
	}
	have, err := target.Scan(f.t.Context(), f.path("target"), filesync.ScanOptions{})
	must(f.t, err)
	todo := filesync.Diff(want, have, filesync.DiffOptions{Delete: true})
	if _, err := filesync.Transfer(f.t.Context(), source, f.path("source"), target, f.path("target"), todo, filesync.Options{AllowOutside: true}); err != nil {
		f.t.Error(err)
	}
	if d := cmp.Diff(listing(f.t, f.path("copy")), listing(f.t, f.path("target"))); d != "" {
		f.t.Errorf("what rsync left (-) and what we left (+):\n%s", d)
	}
	have, err = target.Scan(f.t.Context(), f.path("target"), filesync.ScanOptions{})
	must(f.t, err)
	if again := filesync.Diff(want, have, filesync.DiffOptions{Delete: true}); len(again) > 0 {
		f.t.Errorf("a second run would still change %d paths, %+v first", len(again), again[0])
	}
}

func run(t *testing.T, argv ...string) {
	t.Helper()
	if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", argv[0], err, out)
	}
}

// listing says of every path below dir what has to be the same. Times and owners of links, and times of directories, need not.
func listing(t *testing.T, dir string) map[string]string {
	t.Helper()
	list := map[string]string{}
	must(t, filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == dir {
			return err
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
		sys := st.Sys().(*syscall.Stat_t)
		owner := fmt.Sprintf("%d:%d", sys.Uid, sys.Gid)
		rel, _ := filepath.Rel(dir, p)
		switch {
		case d.IsDir():
			list[rel] = fmt.Sprintf("%v %s", st.Mode(), owner)
		case d.Type()&fs.ModeSymlink != 0:
			to, err := os.Readlink(p)
			list[rel] = "-> " + to
			return err
		default:
			data, err := os.ReadFile(p)
			list[rel] = fmt.Sprintf("%v %s %d %d %q", st.Mode(), owner, st.ModTime().Unix(), len(data), data[:min(len(data), 40)])
			return err
		}
		return nil
	}))
	return list
}

// name is one that may be hard to pass on.
func (f *forest) name() string {
	names := []string{"a", "b", "c", "d", "e", "a-b", "a.b", "a b", " lead", "trail ", "-n", "--delete", "*", "?", "[a]", "it's", `"q"`, `back\slash`,
		"new\nline", "\n", "tab\t", "\x01\x7f", "\xff\xfe", "é", "日本", "$HOME", "`id`", "!x", "~", "#c", "%s", "a:b", "...", strings.Repeat("n", 255)}
	return names[f.r.IntN(len(names))]
}

// some is a path below root of which kind is true, or root's own if there is none.
func (f *forest) some(root string, kind func(fs.DirEntry) bool) string {
	var found []string
	must(f.t, filepath.WalkDir(f.path(root), func(p string, d fs.DirEntry, err error) error {
		if err == nil && kind(d) {
			found = append(found, p)
		}
		return err
	}))
	if len(found) == 0 {
		return f.path(root)
	}
	return found[f.r.IntN(len(found))]
}

// change makes n changes below root. One that can't be made where it falls is none.
func (f *forest) change(root string, n int) {
	f.t.Helper()
	dir := func(d fs.DirEntry) bool { return d.IsDir() }
	file := func(d fs.DirEntry) bool { return d.Type().IsRegular() }
	any := func(fs.DirEntry) bool { return true }
	changes := map[string]func() error{
		"mkdir":   func() error { return os.Mkdir(filepath.Join(f.some(root, dir), f.name()), 0o755) },
		"file":    func() error { return f.file(filepath.Join(f.some(root, dir), f.name())) },
		"another": func() error { return f.file(filepath.Join(f.some(root, dir), f.name())) },
		"rewrite": func() error { return f.file(f.some(root, file)) },
		"symlink": func() error {
			to := []string{f.name(), "../" + f.name(), "/etc/passwd", ".", "..", "gone/away", "a/../../../b", f.name() + "/" + f.name(), "\xff"}
			return os.Symlink(to[f.r.IntN(len(to))], filepath.Join(f.some(root, dir), f.name()))
		},
		"link":   func() error { return os.Link(f.some("source", file), filepath.Join(f.some("source", dir), f.name())) },
		"remove": func() error { return f.remove(root, f.some(root, any)) },
		"retype": func() error {
			p := f.some(root, any)
			return errors.Join(f.remove(root, p), []func() error{
				func() error { return f.file(p) }, func() error { return os.Mkdir(p, 0o755) }, func() error { return os.Symlink("elsewhere", p) },
			}[f.r.IntN(3)]())
		},
		"rename": func() error { return os.Rename(f.some(root, any), filepath.Join(f.some(root, dir), f.name())) },
		"chmod": func() error {
			modes := []fs.FileMode{0o644, 0o600, 0o400, 0o755, 0o777, 0o444, 0o555 | fs.ModeSetgid, 0o500}
			p := f.some(root, func(d fs.DirEntry) bool { return d.Type()&fs.ModeSymlink == 0 })
			mode := modes[f.r.IntN(len(modes))]
			switch st, err := os.Stat(p); {
			case err != nil || p == f.path(root):
				return err
			case st.IsDir():
				mode |= 0o700 // nobody has to write there
			default:
				mode = mode.Perm()
			}
			return os.Chmod(p, mode)
		},
		"touch": func() error { f.now++; return os.Chtimes(f.some(root, file), time.Time{}, f.time()) },
		"chown": func() error {
			if os.Geteuid() != 0 {
				return nil
			}
			return os.Lchown(f.some(root, func(d fs.DirEntry) bool { return d.Type()&fs.ModeSymlink == 0 }), f.r.IntN(3)*1000, f.r.IntN(3)*1000)
		},
	}
	names := slices.Sorted(maps.Keys(changes))
	for range n {
		what := names[f.r.IntN(len(names))]
		if root == "target" && what == "link" {
			continue // two names of one file on the target get the attributes of whichever comes last, from rsync too
		}
		_ = changes[what]() // such as a name that is taken
	}
}

func (f *forest) remove(root, p string) error {
	if p == f.path(root) {
		return fs.ErrInvalid
	}
	return os.RemoveAll(p)
}

// time is a new time with fractions of a second.
func (f *forest) time() time.Time {
	f.now++
	return time.Unix(f.now, f.r.Int64N(1e9))
}

// file writes a file of any size, some with holes.
func (f *forest) file(p string) error {
	if st, err := os.Lstat(p); err == nil && !st.Mode().IsRegular() {
		return fs.ErrExist
	}
	sizes := []int{0, 1, 32 << 10, 32<<10 + 1, 1 << 20, 1<<20 + 1, 3 << 20} // about a packet, and a file that is held in memory
	size := f.r.IntN(2000)
	if f.r.IntN(3) == 0 {
		size = sizes[f.r.IntN(len(sizes))]
	}
	text := fmt.Appendf(nil, "%s %d\n", filepath.Base(p), f.r.Uint64())
	if err := os.WriteFile(p, bytes.Repeat(text, 1+size/len(text))[:size], 0o644); err != nil {
		return err
	}
	if f.r.IntN(8) == 0 {
		if err := os.Truncate(p, int64(size)+4<<20); err != nil {
			return err
		}
	}
	at := f.time()
	return os.Chtimes(p, at, at)
}
