package release

import (
	"cmp"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/filesync"
)

// cacheDir is the compiled code of one release on one node: never shared, never uploaded, and never part of what is verified.
const cacheDir = "var/cache"

// verifyExclude leaves out what is in a release without being part of its content.
func verifyExclude() (*filesync.Exclude, error) {
	return filesync.NewExclude("/"+infoName, "/"+manifestName, "/"+cacheDir+"/**")
}

// tree is all that a release made of src will hold on n: the source, links to the shared paths, and an empty cache folder.
func (m *Manager) tree(src *Source, info Info, n *inventory.Node, owner *ops.Owner) (*filesync.Manifest, error) {
	t := &treeBuilder{source: src.Manifest, made: map[string]bool{}, time: info.Created.Unix()}
	for e := range src.Manifest.All() {
		t.entries = append(t.entries, e)
	}
	for _, s := range m.sharedOf(n, src.Kind) {
		if _, taken := src.Manifest.Get(s.path); taken {
			return nil, ops.Errorf(ops.CodeFailed, "the source holds %s, which is a shared path", s.path)
		}
		if err := t.dir(path.Dir(s.path)); err != nil {
			return nil, err
		}
		up := strings.Repeat("../", strings.Count(s.path, "/")+2) // out of the folders, of the release and of releases/
		t.entries = append(t.entries, filesync.Entry{Path: s.path, Mode: fs.ModeSymlink | 0o777, MTime: t.time,
			Target: up + "shared/" + s.path})
	}
	if src.Kind == KindMosparo {
		if err := t.dir(cacheDir); err != nil {
			return nil, err
		}
	}
	uid, gid := filesync.AnyID, filesync.AnyID
	if owner != nil {
		uid, gid = owner.UID, owner.GID
	}
	all, err := filesync.NewManifest(t.entries)
	if err != nil {
		return nil, fmt.Errorf("put release together: %w", err)
	}
	return all.WithOwner(uid, gid), nil
}

type treeBuilder struct {
	source  *filesync.Manifest
	entries []filesync.Entry
	made    map[string]bool
	time    int64
}

// dir adds a folder and those above it, unless they are there.
func (t *treeBuilder) dir(p string) error {
	if p == "." || t.made[p] {
		return nil
	}
	if e, ok := t.source.Get(p); ok {
		if !e.IsDir() {
			return ops.Errorf(ops.CodeFailed, "the source holds %s, which has to be a folder", p)
		}
		return nil
	}
	if err := t.dir(path.Dir(p)); err != nil {
		return err
	}
	t.made[p] = true
	t.entries = append(t.entries, filesync.Entry{Path: p, Mode: fs.ModeDir | 0o755, MTime: t.time})
	return nil
}

// differences lists what is not in have as it is in want. Times don't count: a file that is one with that of the release
// before keeps the time it has there.
func differences(want, have *filesync.Manifest, del bool) []filesync.Op {
	times := make([]filesync.Entry, 0, want.Len())
	for e := range want.All() {
		if h, ok := have.Get(e.Path); ok && h.IsFile() && e.IsFile() && h.Hash == e.Hash {
			e.MTime = h.MTime
		}
		times = append(times, e)
	}
	adjusted, err := filesync.NewManifest(times)
	if err != nil { // want was valid and only times have changed, to ones that were valid too
		adjusted = want
	}
	return filesync.Diff(adjusted, have, filesync.DiffOptions{Checksum: true, Delete: del})
}

// describe names the first few differences for a person.
func describe(list []filesync.Op) string {
	const show = 3
	var names []string
	for _, op := range list[:min(show, len(list))] {
		verb := map[string]string{"create": "missing", "update": "different", "attributes": "other mode or owner", "delete": "unknown"}
		names = append(names, op.Path()+" ("+cmp.Or(verb[op.Action()], op.Action())+")")
	}
	s := strings.Join(names, ", ")
	if more := len(list) - show; more > 0 {
		s += fmt.Sprintf(" and %d more", more)
	}
	return s
}
