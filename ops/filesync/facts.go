package filesync

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/envfile"
)

// Facts is all that a sync is planned from.
type Facts struct {
	Source  *inventory.Node
	Tree    *Manifest // the source's sync paths without what is excluded, hashed where it matters
	Targets []Target  // in order of name
	// Unreadable holds the nodes whose facts could not be read, and why. They take no part.
	Unreadable map[string]error
	// Uninstalled says that the source's configuration does not say that mosparo is installed.
	Uninstalled bool
}

// Target is what was read from one target.
type Target struct {
	Node        *inventory.Node
	Tree        *Manifest // its sync paths with all that is in them
	State       *Manifest // what the last sync left there; nil: nothing known
	Damaged     bool      // what the last sync wrote down can't be read
	Pending     *Manifest // what an unfinished sync was about to make; nil: there is none
	Temps       []string  // absolute paths of temporary files that an unfinished run left
	Generations []string  // of the trash, oldest first
	Owner       ops.Owner // what files get there; AnyID where they belong to whoever writes them
	KeepOwner   bool      // we are root there and the inventory names no owner: files keep the source's numbers
	Installed   bool      // its configuration says that mosparo is installed; read only where Facts.Uninstalled
}

// Gather reads the facts of a sync from all nodes at once. Whatever is wrong with the source is an error and nothing is
// synced; a target that fails is left out and told in Unreadable.
func Gather(ctx context.Context, o SyncOptions) (*Facts, error) {
	source := o.Deployment.Admin()
	if source == nil {
		return nil, noSource()
	}
	paths := o.syncPaths()
	x, err := o.excludes(paths)
	if err != nil {
		return nil, err
	}
	f := &Facts{Source: source, Unreadable: map[string]error{}}
	var mu sync.Mutex
	fail := func(node string, err error) {
		mu.Lock()
		defer mu.Unlock()
		f.Unreadable[node] = ops.NodeError(node, "sync", err)
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return o.readSource(gctx, f, paths, x) })
	for _, n := range o.Targets {
		if n.Name == source.Name {
			continue
		}
		g.Go(func() error {
			t, err := o.readTarget(gctx, n, paths)
			if err != nil {
				fail(n.Name, err)
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			f.Targets = append(f.Targets, t)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	slices.SortFunc(f.Targets, func(a, b Target) int { return strings.Compare(a.Node.Name, b.Node.Name) })
	f.Targets = slices.DeleteFunc(f.Targets, func(t Target) bool {
		err := f.linkedPath(t, paths)
		if err != nil {
			fail(t.Node.Name, err)
		}
		return err != nil
	})
	if err := o.compareContents(ctx, f, paths, x, fail); err != nil {
		return nil, err
	}
	f.Targets = slices.DeleteFunc(f.Targets, func(t Target) bool { return f.Unreadable[t.Node.Name] != nil })
	return f, nil
}

// linkedPath refuses a sync path that is itself a symlink on only one side, such as a folder that was moved to another disk: the link
// would be replaced, and what lies behind it be cut off.
func (f *Facts) linkedPath(t Target, paths []inventory.SyncPath) error {
	for _, p := range paths {
		want, wanted := f.Tree.Get(p.Path)
		have, there := t.Tree.Get(p.Path)
		if !wanted || !there || want.IsLink() == have.IsLink() {
			continue
		}
		link, on, off := have, t.Node.Name, f.Source.Name
		if want.IsLink() {
			link, on, off = want, off, on
		}
		return ops.Errorf(ops.CodeFailed, "%s is a symlink on %s, to %s, and none on %s: nothing there is touched", p.Path, on, link.Target, off).
			WithHint("replace the link by what it points to (a bind mount serves where it lies on another disk)")
	}
	return nil
}

// CheckSource reports an error if the source's folder is not there. It is for a caller that is about to take a lock, which
// would make the folder.
func CheckSource(ctx context.Context, o SyncOptions) error {
	source := o.Deployment.Admin()
	if source == nil {
		return noSource()
	}
	return o.at(ctx, source, func(h ops.Host, _ Peer) error {
		if _, err := h.Lstat(ctx, source.SharedPath("")); err != nil {
			return sourceError(source, err)
		}
		return nil
	})
}

func noSource() error {
	return ops.Errorf(ops.CodeInvalid, "the inventory has no admin node to sync from").WithHint("give one node the role admin")
}

// sourceError is a failure of the source, which always means that nothing was changed anywhere.
func sourceError(n *inventory.Node, err error) error {
	hint := ops.HintOf(err)
	if hint == "" {
		hint = "nothing was changed; check " + n.SharedPath("") + " on " + n.Name
	}
	return &ops.Error{Code: ops.CodeOf(err), Op: "read the source", Node: n.Name, Hint: hint, Err: err}
}

// readSource lists the source and looks at the files that say whether it is one.
func (o SyncOptions) readSource(ctx context.Context, f *Facts, paths []inventory.SyncPath, x *Exclude) error {
	root := f.Source.SharedPath("")
	err := o.at(ctx, f.Source, func(_ ops.Host, p Peer) error {
		var err error
		if f.Tree, err = p.Scan(ctx, root, ScanOptions{Paths: pathNames(paths), Exclude: x, Hash: o.Checksum}); err != nil {
			return err
		}
		// The configuration is looked at even where it is excluded: it is the marker of an installation.
		marker, err := p.Scan(ctx, root, ScanOptions{Paths: []string{configPath}})
		if err != nil {
			return err
		}
		if marker.Len() == 0 {
			return ops.Errorf(ops.CodeFailed, "%s is missing: mosparo is not installed there, or its files are gone", path.Join(root, configPath))
		}
		if f.Uninstalled, err = readMarkers(ctx, p, root, f.Tree, marker); err != nil {
			return err
		}
		return checkMarkers(f.Tree, paths, root)
	})
	if err != nil {
		return sourceError(f.Source, err)
	}
	return nil
}

// maxMarker bounds what is read of a file that is looked into.
const maxMarker = 4 << 20

// readMarkers refuses a configuration or a mappings.php that is not complete, such as one that is just being written, and
// reports whether the configuration says that mosparo is not installed.
func readMarkers(ctx context.Context, p Peer, root string, tree, marker *Manifest) (uninstalled bool, err error) {
	var files []Entry
	config, _ := marker.Get(configPath)
	mappings, ok := tree.Get(mappingsPath)
	files = append(files, config)
	if ok {
		files = append(files, mappings)
	}
	for _, e := range files {
		if !e.IsFile() || e.Size > maxMarker {
			return false, fmt.Errorf("%s is no file that mosparo wrote", path.Join(root, e.Path))
		}
	}
	for c, err := range p.Read(ctx, root, files) {
		if err != nil {
			return false, err
		}
		data, err := io.ReadAll(io.LimitReader(c, maxMarker+1))
		if err != nil {
			return false, err
		}
		text := bytes.TrimSpace(data)
		if !bytes.HasPrefix(text, []byte("<?php")) || !bytes.HasSuffix(text, []byte(";")) && !bytes.HasSuffix(text, []byte("?>")) {
			return false, ops.Errorf(ops.CodeFailed, "%s is not complete (%d bytes)", path.Join(root, c.Path), len(data))
		}
		if c.Path == configPath {
			if uninstalled, err = notInstalled(data); err != nil {
				return false, fmt.Errorf("%s: %w", path.Join(root, c.Path), err)
			}
		}
	}
	return uninstalled, nil
}

func notInstalled(config []byte) (bool, error) {
	c, err := envfile.ParsePHP(config)
	if err != nil {
		return false, err
	}
	v, ok := c.Get("mosparo_installed")
	return !ok || !v.Equal(envfile.BoolValue(true)), nil
}

// checkMarkers wants the marker of every path that has one.
func checkMarkers(tree *Manifest, paths []inventory.SyncPath, root string) error {
	for _, p := range paths {
		if p.Marker == "" {
			continue
		}
		name := p.Marker
		if !strings.HasPrefix(name, p.Path+"/") {
			name = path.Join(p.Path, name)
		}
		if _, ok := tree.Get(name); !ok {
			return ops.Errorf(ops.CodeFailed, "the marker %s is missing", path.Join(root, name)).
				WithHint("nothing was changed; is the folder mounted? Create the marker if all is well")
		}
	}
	return nil
}

// readTarget reads what is needed of one target.
func (o SyncOptions) readTarget(ctx context.Context, n *inventory.Node, paths []inventory.SyncPath) (Target, error) {
	t := Target{Node: n}
	err := o.at(ctx, n, func(h ops.Host, p Peer) error {
		g, ctx := errgroup.WithContext(ctx)
		root := n.SharedPath("")
		g.Go(func() (err error) {
			t.Tree, err = p.Scan(ctx, root, ScanOptions{Paths: pathNames(paths), Hash: o.Checksum})
			return orEmpty(&t.Tree, err)
		})
		g.Go(func() (err error) {
			t.Temps, err = leftovers(ctx, p, n, paths)
			return err
		})
		g.Go(func() (err error) {
			var state, pending bool
			if t.State, state, err = readRecord(ctx, h, n.ManagePath(stateFile)); err != nil {
				return err
			}
			t.Pending, pending, err = readRecord(ctx, h, n.ManagePath(pendingFile))
			t.Damaged = state || pending
			return err
		})
		g.Go(func() (err error) {
			t.Generations, err = generations(ctx, h, n)
			return err
		})
		g.Go(func() (err error) {
			t.Owner, t.KeepOwner, err = resolveOwner(ctx, h, n)
			return err
		})
		return g.Wait()
	})
	return t, err
}

// orEmpty turns a root that is not there yet into an empty tree.
func orEmpty(m **Manifest, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		*m = &Manifest{}
		return nil
	}
	return err
}

// leftovers finds temporary files of unfinished runs, among the synced files and in our own folder.
func leftovers(ctx context.Context, p Peer, n *inventory.Node, paths []inventory.SyncPath) ([]string, error) {
	var found []string
	for root, o := range map[string]ScanOptions{
		n.SharedPath(""):     {Temps: true, Paths: pathNames(paths)},
		n.ManagePath("sync"): {Temps: true},
		n.ManagePath(trash):  {Temps: true},
	} {
		m, err := p.Scan(ctx, root, o)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for e := range m.All() {
			found = append(found, path.Join(root, e.Path))
		}
	}
	slices.Sort(found)
	return found, nil
}

// resolveOwner works out the numbers that files get on n: the inventory's owner, else the source's (keep) if we are root
// there, else none.
func resolveOwner(ctx context.Context, h ops.Host, n *inventory.Node) (owner ops.Owner, keep bool, err error) {
	owner = ops.Owner{UID: AnyID, GID: AnyID}
	user, group := n.Owner.User, n.Owner.Group
	if user == "" {
		if group != "" {
			return owner, false, ops.Errorf(ops.CodeInvalid, "the owner has a group but no user").WithHint("add owner.user to the inventory")
		}
		res, err := h.Run(ctx, ops.Command{Argv: []string{"id", "-u"}})
		if ctx.Err() != nil || ops.CodeOf(err) == ops.CodeUnreachable {
			return owner, false, err
		}
		return owner, err == nil && strings.TrimSpace(string(res.Stdout)) == "0", nil // a node without commands: not root
	}
	if owner.UID, err = strconv.Atoi(user); err != nil {
		if owner.UID, err = lookup(ctx, h, "user "+user, "id", "-u", "--", user); err != nil {
			return owner, false, err
		}
	}
	if group == "" {
		owner.GID, err = lookup(ctx, h, "user "+user, "id", "-g", "--", user)
		return owner, false, err
	}
	if owner.GID, err = strconv.Atoi(group); err != nil {
		owner.GID, err = lookup(ctx, h, "group "+group, "sh", "-c", `getent group "$1" | cut -d: -f3`, "sh", group)
	}
	return owner, false, err
}

func lookup(ctx context.Context, h ops.Host, what string, argv ...string) (int, error) {
	res, err := h.Run(ctx, ops.Command{Argv: argv})
	var exit *ops.ExitError
	if err != nil && !errors.As(err, &exit) {
		return 0, err
	}
	id, perr := strconv.Atoi(strings.TrimSpace(string(res.Stdout)))
	if err != nil || perr != nil {
		return 0, ops.Errorf(ops.CodeInvalid, "%s is not known on the node", what).WithHint("write a number as owner in the inventory, or create it")
	}
	return id, nil
}
