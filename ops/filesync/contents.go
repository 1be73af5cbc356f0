package filesync

import (
	"context"
	"sync"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
)

// manyPaths is the number of files above which a whole tree is hashed instead of naming each file.
const manyPaths = 200

// compareContents hashes what a comparison by size and time takes for different, on both sides: a file that was only
// touched isn't sent then, one that is sent is verified against what was planned, and the trash knows what it holds.
func (o SyncOptions) compareContents(ctx context.Context, f *Facts, paths []inventory.SyncPath, x *Exclude, fail func(string, error)) error {
	sent := map[string]bool{}
	replaced := make([]map[string]bool, len(f.Targets))
	for i, t := range f.Targets {
		replaced[i] = map[string]bool{}
		for _, op := range Diff(f.wanted(t), t.Tree, o.diffOptions(paths, x)) {
			if op.Kind == OpPut {
				sent[op.Path()] = true
			}
			if op.Old != nil && op.Old.IsFile() && op.Kind != OpSetAttr {
				replaced[i][op.Path()] = true
			}
		}
	}
	var wg sync.WaitGroup
	var sourceErr error
	wg.Go(func() {
		sourceErr = o.at(ctx, f.Source, func(_ ops.Host, p Peer) (err error) {
			f.Tree, err = withHashes(ctx, p, f.Source.SharedPath(""), f.Tree, sent, pathNames(paths))
			return err
		})
	})
	for i := range f.Targets {
		t := &f.Targets[i]
		wg.Go(func() {
			err := o.at(ctx, t.Node, func(h ops.Host, p Peer) (err error) {
				if t.Tree, err = withHashes(ctx, p, t.Node.SharedPath(""), t.Tree, replaced[i], pathNames(paths)); err != nil {
					return err
				}
				if f.Uninstalled {
					t.Installed, err = installed(ctx, h, t.Node)
				}
				return err
			})
			if err != nil {
				fail(t.Node.Name, err)
			}
		})
	}
	wg.Wait()
	if sourceErr != nil {
		return sourceError(f.Source, sourceErr)
	}
	return ctx.Err()
}

// installed reports whether the configuration on a node says that mosparo is installed. One that can't be read as such
// says nothing.
func installed(ctx context.Context, h ops.Host, n *inventory.Node) (bool, error) {
	data, err := readSmallFile(ctx, h, n.SharedPath(configPath), maxMarker)
	if err != nil || data == nil {
		return false, err
	}
	not, err := notInstalled(data)
	return err == nil && !not, nil
}

// withHashes is m with the hashes of the files named, as they are now. What vanished meanwhile is left out.
func withHashes(ctx context.Context, p Peer, root string, m *Manifest, files map[string]bool, all []string) (*Manifest, error) {
	var names []string
	for e := range m.All() {
		if files[e.Path] && e.Hash == "" {
			names = append(names, e.Path)
		}
	}
	if len(names) == 0 {
		return m, nil
	}
	paths := names
	if len(names) > manyPaths {
		paths = all
	}
	fresh, err := p.Scan(ctx, root, ScanOptions{Paths: paths, Hash: true})
	if err != nil {
		return nil, err
	}
	var entries []Entry
	for e := range m.All() {
		if !files[e.Path] || e.Hash != "" {
			entries = append(entries, e)
		} else if now, ok := fresh.Get(e.Path); ok {
			entries = append(entries, now)
		}
	}
	return NewManifest(entries)
}

// wanted is the source's tree as it shall be on t.
func (f *Facts) wanted(t Target) *Manifest {
	if t.KeepOwner {
		return f.Tree
	}
	return f.Tree.WithOwner(t.Owner.UID, t.Owner.GID)
}

// diffOptions protects from deletion what is excluded, special, or below a path that deletes nothing.
func (o SyncOptions) diffOptions(paths []inventory.SyncPath, x *Exclude) DiffOptions {
	return DiffOptions{Checksum: o.Checksum, Delete: true, Keep: func(e Entry) bool {
		return e.IsSpecial() || x.Covers(e.Path, e.IsDir()) || !o.Delete && !pathOf(paths, e.Path).Delete
	}}
}
