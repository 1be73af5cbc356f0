// Package filesync compares trees of files and brings one into step with another: scan, diff (pure), transfer, and on top of
// them the one-way sync of mosparo's shared paths from the admin node.
package filesync

import (
	"cmp"
	"fmt"
	"io/fs"
	"iter"
	"path"
	"slices"
	"strings"
)

// Bounds of a manifest. They keep a hostile or broken peer from filling memory.
const (
	MaxEntries = 1 << 20 // entries of one manifest
	MaxPath    = 4096    // bytes of a path or of a link's target
	maxName    = 255     // bytes of one path component
	maxSize    = 1 << 50 // bytes of one file
	maxTime    = 1 << 40 // seconds since 1970
	maxID      = 1 << 32 // above every user and group number
)

// AnyID is the UID or GID of an Entry whose owner or group is unknown or does not matter.
const AnyID = -1

// Entry describes one file, directory or symlink of a tree. Entries are comparable with ==.
type Entry struct {
	Path   string      // relative to the root, with slashes, clean
	Mode   fs.FileMode // type and permission bits; of directories the setgid bit too
	Size   int64       // of a regular file, else 0
	MTime  int64       // seconds since 1970; SFTP knows no fractions
	UID    int         // AnyID: unknown
	GID    int         // AnyID: unknown
	Target string      // of a symlink, else ""
	Hash   string      // SHA-256 of a regular file's content in lower-case hex; "" where it wasn't asked for
}

// IsFile reports whether e is a regular file.
func (e Entry) IsFile() bool { return e.Mode.IsRegular() }

// IsDir reports whether e is a directory.
func (e Entry) IsDir() bool { return e.Mode.IsDir() }

// IsLink reports whether e is a symlink.
func (e Entry) IsLink() bool { return e.Mode&fs.ModeSymlink != 0 }

// IsSpecial reports whether e is a device, socket or fifo, which are never read, written or sent.
func (e Entry) IsSpecial() bool { return !e.IsFile() && !e.IsDir() && !e.IsLink() }

// kind is what e is, for people.
func (e Entry) kind() string {
	switch {
	case e.IsFile():
		return "file"
	case e.IsDir():
		return "directory"
	case e.IsLink():
		return "symlink"
	case e.Mode&fs.ModeNamedPipe != 0:
		return "fifo"
	case e.Mode&fs.ModeSocket != 0:
		return "socket"
	}
	return "device"
}

// perm is the part of e's mode that is compared and set. Setuid bits, and setgid bits of files, are never carried over.
func (e Entry) perm() fs.FileMode {
	if e.IsDir() {
		return e.Mode & (fs.ModePerm | fs.ModeSetgid)
	}
	return e.Mode.Perm()
}

// Manifest is the description of a tree: entries sorted by path, no path twice, nothing below something that is no
// directory. It is not changed after it was made; safe for concurrent use.
type Manifest struct {
	entries []Entry
}

// NewManifest makes a manifest of entries in any order. It takes over the slice. It refuses what Parse refuses, except for
// special files, which a scan may find.
func NewManifest(entries []Entry) (*Manifest, error) {
	if len(entries) > MaxEntries {
		return nil, fmt.Errorf("too many files: %d, at most %d", len(entries), MaxEntries)
	}
	slices.SortFunc(entries, func(a, b Entry) int { return cmp.Compare(a.Path, b.Path) })
	m := &Manifest{entries: entries}
	for i, e := range entries {
		if err := e.validate(); err != nil {
			return nil, err
		}
		if i > 0 && entries[i-1].Path == e.Path {
			return nil, fmt.Errorf("%q is listed twice", e.Path)
		}
		for dir := path.Dir(e.Path); dir != "."; dir = path.Dir(dir) {
			up, ok := m.Get(dir)
			if ok && !up.IsDir() {
				return nil, fmt.Errorf("%q lies below %q, which is a %s", e.Path, dir, up.kind())
			}
			if ok {
				break // its own parents were looked at when it was
			}
		}
	}
	return m, nil
}

// validate checks one entry on its own.
func (e Entry) validate() error {
	if err := CheckPath(e.Path); err != nil {
		return err
	}
	switch {
	case e.Size < 0 || e.Size > maxSize, !e.IsFile() && e.Size != 0:
		return fmt.Errorf("%q: impossible size %d", e.Path, e.Size)
	case e.MTime < 0 || e.MTime > maxTime:
		return fmt.Errorf("%q: impossible time %d", e.Path, e.MTime)
	case e.UID < AnyID || e.UID >= maxID || e.GID < AnyID || e.GID >= maxID:
		return fmt.Errorf("%q: impossible owner %d:%d", e.Path, e.UID, e.GID)
	case e.IsLink() && (e.Target == "" || len(e.Target) > MaxPath || strings.ContainsRune(e.Target, 0)):
		return fmt.Errorf("%q: impossible link target %.60q", e.Path, e.Target)
	case !e.IsLink() && e.Target != "":
		return fmt.Errorf("%q: a %s with a link target", e.Path, e.kind())
	case e.Hash != "" && (!e.IsFile() || !isHash(e.Hash)):
		return fmt.Errorf("%q: impossible hash %.80q", e.Path, e.Hash)
	}
	return nil
}

func isHash(s string) bool {
	if len(s) != 64 {
		return false
	}
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// CheckPath returns an error unless p names something strictly below the root it is relative to: clean, with slashes, no
// "." or ".." component, no NUL byte, of bounded length.
func CheckPath(p string) error {
	switch {
	case p == "" || p == ".":
		return fmt.Errorf("empty path")
	case len(p) > MaxPath:
		return fmt.Errorf("path of %d bytes, at most %d: %.60q…", len(p), MaxPath, p)
	case strings.ContainsRune(p, 0):
		return fmt.Errorf("path with a NUL byte: %.60q", p)
	}
	for name := range strings.SplitSeq(p, "/") {
		switch {
		case name == "" || name == "." || name == "..":
			return fmt.Errorf("path is not below the root: %.200q", p)
		case len(name) > maxName:
			return fmt.Errorf("name of %d bytes, at most %d: %.60q…", len(name), maxName, name)
		}
	}
	return nil
}

// LeavesRoot reports whether the symlink at p (relative to the root) with the given target points outside of the root, or
// can't be shown to stay inside: absolute targets, those with more ".." than they are deep, and those with ".." after a name, which
// may be a link to a folder higher up.
func LeavesRoot(p, target string) bool {
	if path.IsAbs(target) {
		return true
	}
	depth, named := strings.Count(p, "/"), false
	for name := range strings.SplitSeq(target, "/") {
		switch name {
		case "", ".":
		case "..":
			if depth--; depth < 0 || named {
				return true
			}
		default:
			named = true
		}
	}
	return false
}

// Len is the number of entries. A nil manifest is an empty one.
func (m *Manifest) Len() int {
	if m == nil {
		return 0
	}
	return len(m.entries)
}

// All yields the entries in order of their paths; a directory comes before what is in it.
func (m *Manifest) All() iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		if m == nil {
			return
		}
		for _, e := range m.entries {
			if !yield(e) {
				return
			}
		}
	}
}

// Get finds the entry of path p.
func (m *Manifest) Get(p string) (Entry, bool) {
	if m == nil {
		return Entry{}, false
	}
	i, ok := slices.BinarySearchFunc(m.entries, p, func(e Entry, p string) int { return cmp.Compare(e.Path, p) })
	if !ok {
		return Entry{}, false
	}
	return m.entries[i], true
}

// Files is the number of regular files and symlinks, which is what deletions are counted in.
func (m *Manifest) Files() int {
	n := 0
	for e := range m.All() {
		if !e.IsDir() {
			n++
		}
	}
	return n
}

// Bytes is the sum of the sizes of all regular files.
func (m *Manifest) Bytes() int64 {
	var n int64
	for e := range m.All() {
		n += e.Size
	}
	return n
}

// Filter is a manifest of the entries that keep returns true for.
func (m *Manifest) Filter(keep func(Entry) bool) *Manifest {
	f := &Manifest{}
	for e := range m.All() {
		if keep(e) {
			f.entries = append(f.entries, e)
		}
	}
	return f
}

// WithOwner is a copy of m in which every entry belongs to uid and gid; AnyID says that it doesn't matter.
func (m *Manifest) WithOwner(uid, gid int) *Manifest {
	o := &Manifest{entries: make([]Entry, 0, m.Len())}
	for e := range m.All() {
		e.UID, e.GID = uid, gid
		o.entries = append(o.entries, e)
	}
	return o
}
