package release

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/filesync"
)

// undoAdopt is the kind of Undo that makes a node an installation in place again.
const undoAdopt = "release.adopt"

// stableLinks are what web servers and crontabs refer to below the root of an installation in place. After the adoption
// they are links through current, so that nothing breaks before those are changed.
func stableLinks() []string { return []string{"public", "bin"} }

// OpenInstallation makes a source of the installation that lies in the root folder of n itself.
func (m *Manager) OpenInstallation(ctx context.Context, n *inventory.Node) (*Source, error) {
	host, peer, err := m.deps.Peers.At(ctx, n)
	if err != nil {
		return nil, err
	}
	s := &Source{Desc: "node " + n.Name, root: path.Clean(n.Paths.Root), peer: peer}
	return open(ctx, s, host, SourceOptions{Shared: m.d.Release.Shared, Exclude: []string{"/releases", "/shared", "/current"}})
}

// PlanAdopt plans to turn the installation that lies in the root folder of a node into a release, shared paths and the link
// current. Nothing is copied, everything is moved within the file system, so it takes a moment and can be undone.
// src is what OpenInstallation gave. It is pure but for the time in the release's id.
func (m *Manager) PlanAdopt(f *NodeFacts, src *Source, id string) (*Planned, error) {
	n := f.Node
	switch {
	case n.Paths.Layout == inventory.LayoutInPlace:
		return nil, ops.Errorf(ops.CodeUsage, "the inventory keeps it in place").On(n.Name).WithHint("remove paths.layout: in-place from the node")
	case f.Current != "":
		return &Planned{Plan: &ops.Plan{Op: OpAdopt, Facts: f.list()}, Notes: []string{n.Name + " has releases already."}}, nil
	case !f.InPlace:
		return nil, ops.Errorf(ops.CodeFailed, "there is no installation in %s", n.Paths.Root).On(n.Name).WithHint("mosparoctl deploy")
	}
	b := m.single(OpAdopt, f, src)
	if id != "" {
		b.target.ID = id
	}
	b.planned.Plan.Facts = append(b.planned.Plan.Facts, ops.Fact{Node: n.Name, Path: n.Paths.Root, Value: src.Digest})
	changes := []ops.Change{{Path: b.at(f, ""), Action: "create", Detail: "all that lies in " + n.Paths.Root}}
	for _, s := range m.sharedOf(n, src.Kind) {
		changes = append(changes, ops.Change{Path: n.SharedPath(s.path), Action: "create", Detail: "moved out of the release, linked to from there"})
	}
	changes = append(changes, ops.Change{Path: n.InstallPath(), Action: "create", Detail: linkTarget(b.target.ID)})
	for _, l := range stableLinks() {
		changes = append(changes, ops.Change{Path: path.Join(n.Paths.Root, l), Action: "update", Detail: "current/" + l})
	}
	b.singleWave(f, ops.Step{ID: stepID(f, "adopt"), Node: n.Name, Title: "turn the installation into a release", Changes: changes,
		Undo: &ops.Undo{Kind: undoAdopt, Node: n.Name, Data: map[string]string{"release": b.target.ID}},
		Do:   b.doAdopt(f)})
	b.notef("Point the web server at %s and cron jobs at %s when you like; until then links keep the old paths working.",
		path.Join(n.InstallPath(), "public"), path.Join(n.InstallPath(), "bin/console"))
	return b.planned, nil
}

// PlanUnadopt plans the way back: the active release and the shared paths become an installation in the root folder. Other
// releases are left where they are. It is pure.
func (m *Manager) PlanUnadopt(f *NodeFacts) (*Planned, error) {
	n := f.Node
	active, ok := f.Active()
	if !ok {
		return nil, ops.Errorf(ops.CodeFailed, "there is no active release").On(n.Name).WithHint("mosparoctl releases --nodes %s", n.Name)
	}
	b := m.single(OpUnadopt, f, nil)
	b.target = active
	b.singleWave(f, ops.Step{ID: stepID(f, "unadopt"), Node: n.Name, Title: "turn release " + active.ID + " into an installation in place",
		Changes: []ops.Change{
			{Path: n.Paths.Root, Action: "update", Detail: "all that lies in " + b.at(f, "")},
			{Path: n.SharedPath(""), Action: "delete", Detail: "its content goes back to its place"},
			{Path: n.InstallPath(), Action: "delete"}},
		// Broken off halfway, a node is neither: going on is the way out, and the same as taking an adoption back.
		Undo: &ops.Undo{Kind: undoAdopt, Node: n.Name, Data: map[string]string{"release": active.ID}},
		Do: func(ctx context.Context, report ops.Reporter) error {
			if err := m.undoAdoption(ctx, ops.Undo{Node: n.Name, Data: map[string]string{"release": active.ID}}); err != nil {
				return err
			}
			host, err := m.deps.Hosts.Host(ctx, n.Name)
			if err != nil {
				return err
			}
			return m.reload(ctx, host, n, report)
		}})
	b.notef("Set paths.layout: in-place for %s in the inventory now, and point its web server at %s.", n.Name, path.Join(n.Paths.Root, "public"))
	return b.planned, nil
}

// single is a builder for one node.
func (m *Manager) single(op string, f *NodeFacts, src *Source) *builder {
	b := &builder{m: m, facts: &Facts{Nodes: []*NodeFacts{f}}, lead: f, withAll: []*NodeFacts{f}, src: src,
		planned: &Planned{Plan: &ops.Plan{Op: op, Facts: f.list()}}}
	if src != nil {
		b.target = b.chooseRelease(src)
	}
	return b
}

// singleWave drains the node, carries s out and puts the node back.
func (b *builder) singleWave(f *NodeFacts, s ops.Step) {
	b.planned.Release = b.target
	settles := []string{stepID(f, "drain")}
	if s.Undo != nil {
		settles = append(settles, s.ID)
	}
	ready := b.readyStep(f, settles)
	b.planned.Plan.Waves = []ops.Wave{{Name: b.planned.Plan.Op, Steps: []ops.Step{b.drainStep(f), s, ready}}}
	b.planned.Plan.SortFacts()
}

// ours are the names in the root folder that belong to no installation.
func ours() []string { return []string{releasesDir, "shared", "current", inventory.ManageDir} }

func (b *builder) doAdopt(f *NodeFacts) stepFunc {
	return func(ctx context.Context, report ops.Reporter) error {
		host, peer, err := b.m.reach(ctx, f)
		if err != nil {
			return err
		}
		n, dir := f.Node, b.at(f, "")
		top, err := host.ReadDir(ctx, n.Paths.Root)
		if err != nil {
			return err
		}
		for _, d := range []string{releasesPath(n), dir} {
			if err := host.MkdirAll(ctx, d, ops.Attr{Owner: f.Owner}); err != nil {
				return err
			}
		}
		for _, e := range top {
			if slices.Contains(ours(), e.Name) || strings.HasPrefix(e.Name, ops.TempPrefix) {
				continue
			}
			if err := host.Rename(ctx, path.Join(n.Paths.Root, e.Name), path.Join(dir, e.Name)); err != nil {
				return err
			}
		}
		for _, s := range b.m.sharedOf(n, b.src.Kind) {
			if err := share(ctx, host, f, dir, s); err != nil {
				return fmt.Errorf("share %s: %w", s.path, err)
			}
		}
		if err := host.RemoveAll(ctx, path.Join(dir, cacheDir, "prod")); err != nil { // it holds the old paths
			return err
		}
		x, err := verifyExclude()
		if err != nil {
			return err
		}
		m, err := peer.Scan(ctx, dir, filesync.ScanOptions{Hash: true, Exclude: x})
		if err != nil {
			return err
		}
		if err := writeDescription(ctx, host, dir, b.target, m, f.Owner); err != nil {
			return err
		}
		for _, l := range stableLinks() {
			if err := host.Symlink(ctx, "current/"+l, path.Join(n.Paths.Root, l)); err != nil {
				return err
			}
		}
		if err := host.Symlink(ctx, linkTarget(b.target.ID), n.InstallPath()); err != nil {
			return err
		}
		return b.m.reload(ctx, host, n, report)
	}
}

// share moves a shared path out of the release in dir and puts a link in its place.
func share(ctx context.Context, host ops.Host, f *NodeFacts, dir string, s sharedPath) error {
	in, out := path.Join(dir, s.path), f.Node.SharedPath(s.path)
	for _, d := range []string{path.Dir(in), path.Dir(out)} {
		if err := host.MkdirAll(ctx, d, ops.Attr{Owner: f.Owner}); err != nil {
			return err
		}
	}
	err := host.Rename(ctx, in, out)
	if errors.Is(err, fs.ErrNotExist) && s.dir {
		err = host.MkdirAll(ctx, out, ops.Attr{Owner: f.Owner})
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return host.Symlink(ctx, strings.Repeat("../", strings.Count(s.path, "/")+2)+"shared/"+s.path, in)
}

// undoAdoption makes the release named an installation in place again, from wherever an adoption was broken off.
func (m *Manager) undoAdoption(ctx context.Context, u ops.Undo) error {
	n, host, err := m.undoTarget(ctx, u)
	if err != nil {
		return err
	}
	id := u.Data["release"]
	if !ValidID(id) {
		return fmt.Errorf("undo adoption: bad release id %.40q", id)
	}
	dir := releasePath(n, id)
	top, err := host.ReadDir(ctx, dir)
	if errors.Is(err, fs.ErrNotExist) {
		removeEmpty(ctx, host, n, m.sharedOf(n, KindMosparo))
		return nil
	}
	if err != nil {
		return err
	}
	for _, s := range m.sharedOf(n, KindMosparo) {
		if err := unshare(ctx, host, n, dir, s); err != nil {
			return fmt.Errorf("take back %s: %w", s.path, err)
		}
	}
	for _, name := range append(stableLinks(), "current") {
		p := path.Join(n.Paths.Root, name)
		if info, err := host.Lstat(ctx, p); err == nil && info.IsLink() {
			if err := host.Remove(ctx, p); err != nil {
				return err
			}
		}
	}
	if err := host.RemoveAll(ctx, path.Join(dir, cacheDir, "prod")); err != nil {
		return err
	}
	for _, e := range top {
		if e.Name == infoName || e.Name == manifestName {
			continue
		}
		if err := host.Rename(ctx, path.Join(dir, e.Name), path.Join(n.Paths.Root, e.Name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := host.RemoveAll(ctx, dir); err != nil {
		return err
	}
	removeEmpty(ctx, host, n, m.sharedOf(n, KindMosparo))
	return nil
}

// unshare moves a shared path back into the release in dir.
func unshare(ctx context.Context, host ops.Host, n *inventory.Node, dir string, s sharedPath) error {
	in, out := path.Join(dir, s.path), n.SharedPath(s.path)
	info, err := host.Lstat(ctx, in)
	switch {
	case errors.Is(err, fs.ErrNotExist): // moved out, not linked yet
	case err != nil:
		return err
	case !info.IsLink():
		return nil // not moved out yet, or back already
	default:
		if err := host.Remove(ctx, in); err != nil {
			return err
		}
	}
	err = host.Rename(ctx, out, in)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// removeEmpty removes the folders of the release layout that hold nothing. What fails is not empty, and stays.
func removeEmpty(ctx context.Context, host ops.Host, n *inventory.Node, shared []sharedPath) {
	for _, s := range shared {
		for p := path.Dir(s.path); p != "."; p = path.Dir(p) {
			_ = host.Remove(ctx, n.SharedPath(p))
		}
	}
	_ = host.Remove(ctx, n.SharedPath(""))
	_ = host.Remove(ctx, releasesPath(n))
}
