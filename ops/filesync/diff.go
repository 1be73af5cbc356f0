package filesync

import (
	"cmp"
	"slices"
	"strings"
)

// DiffOptions says what counts as different.
type DiffOptions struct {
	// Checksum compares files by hash instead of by size and time; both manifests must hold hashes then.
	Checksum bool
	// Delete makes ops for what the source doesn't have.
	Delete bool
	// Keep protects a path of the target from deletion, and with it the directories above; nil: none.
	Keep func(Entry) bool
}

// Diff lists what makes dst like src, in an order that can be carried out: what is in the way of another kind of file is
// deleted first, then directories from the top, hard links, files, symlinks, attributes, and deletions from the bottom.
//
// Files are the same when size and time (in seconds) are equal, or by hash where both sides have one and with Checksum. Permissions count, owners where
// the source's is not AnyID; times of directories don't, since every change in them moves those. Special files of the
// source are left out, as if neither side had them. It is pure; either manifest may be nil.
func Diff(src, dst *Manifest, o DiffOptions) []Op {
	var ops []Op
	gone := map[string]bool{} // deleted because another kind of file takes the place, with all below
	for want := range src.All() {
		have, ok := dst.Get(want.Path)
		if want.IsSpecial() {
			continue
		}
		if ok && inTheWay(want, have) {
			ops = append(ops, deleteTree(dst, have, gone)...)
			ok = false
		}
		if op, needed := change(want, have, ok && !gone[want.Path], o); needed {
			ops = append(ops, op)
		}
	}
	if o.Delete {
		ops = append(ops, deletions(src, dst, gone, o.Keep)...)
	}
	Sort(ops)
	return ops
}

// inTheWay reports whether have must be deleted before want can be made: files and links replace each other atomically,
// everything else doesn't.
func inTheWay(want, have Entry) bool {
	if want.IsDir() || have.IsDir() {
		return want.IsDir() != have.IsDir()
	}
	return have.IsSpecial()
}

// deleteTree lists the deletion of top and of all below it, and marks them in gone.
func deleteTree(m *Manifest, top Entry, gone map[string]bool) []Op {
	var ops []Op
	for e := range m.All() {
		if e.Path == top.Path || strings.HasPrefix(e.Path, top.Path+"/") {
			gone[e.Path] = true
			ops = append(ops, Op{Kind: OpDelete, Entry: e, Old: &e})
		}
	}
	return ops
}

// change is the op that makes have (if there is one) like want.
func change(want, have Entry, exists bool, o DiffOptions) (Op, bool) {
	op := Op{Entry: want}
	if exists {
		op.Old = &have
	}
	switch {
	case want.IsDir() && !exists:
		op.Kind = OpMkdir
	case want.IsLink():
		op.Kind = OpSymlink
		return op, !exists || !have.IsLink() || have.Target != want.Target
	case want.IsFile() && (!exists || !have.IsFile() || !sameContent(want, have, o.Checksum)):
		op.Kind = OpPut
	default:
		op.Kind = OpSetAttr
		return op, !sameAttr(want, have)
	}
	return op, true
}

// sameContent goes by hashes where both are known: they say more than times do.
func sameContent(a, b Entry, checksum bool) bool {
	if checksum || a.Hash != "" && b.Hash != "" {
		return a.Size == b.Size && a.Hash != "" && a.Hash == b.Hash
	}
	return a.Size == b.Size && a.MTime == b.MTime
}

func sameAttr(want, have Entry) bool {
	return want.perm() == have.perm() &&
		(want.UID == AnyID || want.UID == have.UID) &&
		(want.GID == AnyID || want.GID == have.GID) &&
		(want.IsDir() || want.MTime == have.MTime)
}

// deletions lists what dst has and src doesn't. A directory stays while something in it does.
func deletions(src, dst *Manifest, gone map[string]bool, keep func(Entry) bool) []Op {
	var ops []Op
	kept := map[string]bool{}
	for i := dst.Len() - 1; i >= 0; i-- { // what is in a directory comes after it, so backwards sees it first
		e := dst.entries[i]
		if gone[e.Path] {
			continue
		}
		_, wanted := src.Get(e.Path)
		if wanted || kept[e.Path] || keep != nil && keep(e) {
			if dir, _, ok := cutLast(e.Path); ok {
				kept[dir] = true
			}
			continue
		}
		ops = append(ops, Op{Kind: OpDelete, Entry: e, Old: &e})
	}
	return ops
}

func cutLast(p string) (dir, base string, ok bool) {
	i := strings.LastIndexByte(p, '/')
	if i < 0 {
		return "", p, false
	}
	return p[:i], p[i+1:], true
}

// Sort puts ops into the order that Diff promises, and by path where order doesn't matter.
func Sort(ops []Op) {
	made := map[string]bool{} // path -> whether a directory is made there
	for _, op := range ops {
		if op.Kind != OpDelete {
			made[op.Path()] = op.Entry.IsDir()
		}
	}
	phase := func(op Op) (rank, depth int) {
		depth = strings.Count(op.Path(), "/")
		switch {
		case op.Kind == OpDelete && inTheWayOf(op.Path(), made):
			if !op.Entry.IsDir() {
				return 0, 0
			}
			return 1, -depth
		case op.Kind == OpMkdir:
			return 2, depth
		case op.Kind == OpLink:
			return 3, 0
		case op.Kind == OpPut:
			return 4, 0
		case op.Kind == OpSymlink:
			return 5, 0
		case op.Kind == OpSetAttr && !op.Entry.IsDir():
			return 6, 0
		case op.Kind == OpDelete && !op.Entry.IsDir():
			return 7, 0
		case op.Kind == OpDelete:
			return 8, -depth
		}
		return 9, -depth // directories' attributes, after all that happens in them
	}
	slices.SortStableFunc(ops, func(a, b Op) int {
		ra, da := phase(a)
		rb, db := phase(b)
		return cmp.Or(cmp.Compare(ra, rb), cmp.Compare(da, db), cmp.Compare(a.Path(), b.Path()))
	})
}

// inTheWayOf reports whether something that is made takes the place of p or of a directory above it.
func inTheWayOf(p string, made map[string]bool) bool {
	if _, ok := made[p]; ok {
		return true
	}
	for dir, _, ok := cutLast(p); ok; dir, _, ok = cutLast(dir) {
		if isDir, ok := made[dir]; ok && !isDir {
			return true
		}
	}
	return false
}
