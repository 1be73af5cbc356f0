package release

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/envfile"
)

// Facts is what is known of the nodes when a plan is made.
type Facts struct {
	Nodes []*NodeFacts // in the inventory's order
}

// Of is the facts of a node, or nil.
func (f *Facts) Of(node string) *NodeFacts {
	for _, n := range f.Nodes {
		if n.Node.Name == node {
			return n
		}
	}
	return nil
}

// NodeFacts is what is known of one node.
type NodeFacts struct {
	Node     *inventory.Node
	Current  string // id of the active release; "" if there is none
	Previous string // id of the release that was active before; "" if unknown
	Releases []Info // complete ones, newest first; in place: what was deployed last, if anything
	Strange  []string
	Config   ConfigFacts
	Hold     *Hold             // an earlier run has begun to change this node and not ended it
	Rotation map[string]string // balancer -> state, empty for a node no balancer knows
	Owner    *ops.Owner        // who files are given to; nil: whoever we are
	User     string            // who we are there
	Root     bool              // we are root there
	Empty    bool              // the root folder has nothing in it or is not there
	InPlace  bool              // the root folder is itself an installation
	temps    []string          // leftovers of broken runs, absolute
}

// ConfigFacts is what matters of mosparo's configuration file.
type ConfigFacts struct {
	Hash      string // SHA-256 of the file; "" if there is none
	Installed bool   // the wizard has been through
	Version   string // mosparo_installed_version
	Assets    string // mosparo_assets_version
	WebCron   bool   // scheduled jobs run by web requests
}

// Hold is the note that lies on a node while it is out of rotation and being changed, so that any later run can end that.
type Hold struct {
	Release  string            `json:"release"`  // what it is changed to
	Balancer map[string]string `json:"balancer"` // states before
	// Replacing says that code is being replaced in place: what is there is a mixture.
	Replacing bool `json:"replacing,omitempty"`
}

// Release is the info of release id on the node.
func (f *NodeFacts) Release(id string) (Info, bool) {
	for _, r := range f.Releases {
		if r.ID == id {
			return r, true
		}
	}
	return Info{}, false
}

// Active is the info of the active release; ok is false if there is none, or none of ours.
func (f *NodeFacts) Active() (Info, bool) { return f.Release(f.Current) }

// Read reads the facts of the given nodes, all at once. The first node that can't be read is the error.
func (m *Manager) Read(ctx context.Context, nodes []*inventory.Node) (*Facts, error) {
	facts := &Facts{Nodes: make([]*NodeFacts, len(nodes))}
	var rotation []ops.Fact
	g, gctx := errgroup.WithContext(ctx)
	for i, n := range nodes {
		g.Go(func() error {
			f, err := m.readNode(gctx, n)
			facts.Nodes[i] = f
			return ops.NodeError(n.Name, "read facts", err)
		})
	}
	if m.deps.Rotation != nil {
		g.Go(func() (err error) {
			rotation, err = m.deps.Rotation.Facts(gctx)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	for _, r := range rotation {
		if f := facts.Of(r.Node); f != nil {
			f.Rotation[strings.TrimPrefix(r.Path, "balancer ")] = r.Value
		}
	}
	return facts, nil
}

func (m *Manager) readNode(ctx context.Context, n *inventory.Node) (*NodeFacts, error) {
	host, err := m.deps.Hosts.Host(ctx, n.Name)
	if err != nil {
		return nil, err
	}
	f := &NodeFacts{Node: n, Rotation: map[string]string{}}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return f.readLayout(gctx, host) })
	g.Go(func() (err error) {
		f.Config, err = readConfigFacts(gctx, host, configPath(n))
		return err
	})
	g.Go(func() (err error) {
		if f.Hold, err = readHold(gctx, host, n); err != nil {
			return err
		}
		raw, err := readAll(gctx, host, n.ManagePath(previousName), maxInfo)
		if id := strings.TrimSpace(string(raw)); err == nil && ValidID(id) {
			f.Previous = id
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	g.Go(func() error { return f.readOwner(gctx, host) })
	var temps []string
	g.Go(func() (err error) {
		temps, err = readTemps(gctx, host, n)
		return err
	})
	if err := g.Wait(); err != nil {
		return nil, err
	}
	f.temps = temps
	return f, nil
}

// readLayout reads what lies in the root folder.
func (f *NodeFacts) readLayout(ctx context.Context, host ops.Host) error {
	root := f.Node.Paths.Root
	top, err := host.ReadDir(ctx, root)
	if errors.Is(err, fs.ErrNotExist) {
		f.Empty = true
		return nil
	}
	if err != nil {
		return fmt.Errorf("list %s: %w", root, err)
	}
	names := map[string]ops.FileInfo{}
	for _, e := range top {
		names[e.Name] = e
	}
	_, code := names["src"]
	_, vendor := names["vendor"]
	f.InPlace = code && vendor
	f.Empty = len(top) == 0
	if f.Node.Paths.Layout == inventory.LayoutInPlace {
		if info, err := readInfo(ctx, host, root); err == nil {
			f.Releases, f.Current = []Info{info}, info.ID
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	if cur, ok := names["current"]; ok {
		if !cur.IsLink() {
			return ops.Errorf(ops.CodeInvalid, "%s is no symlink, so it can't be switched", f.Node.InstallPath()).
				WithHint("move it away, or set paths.layout: in-place for the node")
		}
		target, err := host.ReadLink(ctx, f.Node.InstallPath())
		if err != nil {
			return fmt.Errorf("read current release: %w", err)
		}
		f.Current = path.Base(target)
		if path.Clean(path.Join(root, target)) != releasePath(f.Node, f.Current) && path.Clean(target) != releasePath(f.Node, f.Current) {
			return ops.Errorf(ops.CodeInvalid, "%s points to %s, which is no release", f.Node.InstallPath(), target)
		}
	}
	return f.readReleases(ctx, host)
}

// readReleases reads the info of every release.
func (f *NodeFacts) readReleases(ctx context.Context, host ops.Host) error {
	dirs, err := host.ReadDir(ctx, releasesPath(f.Node))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list releases: %w", err)
	}
	var mu sync.Mutex
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for _, d := range dirs {
		if !d.IsDir() || strings.HasPrefix(d.Name, ops.TempPrefix) {
			continue
		}
		g.Go(func() error {
			info, err := readInfo(gctx, host, releasePath(f.Node, d.Name))
			if ops.CodeOf(err) == ops.CodeUnreachable || gctx.Err() != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			if err != nil || info.ID != d.Name {
				f.Strange = append(f.Strange, d.Name) // somebody else's: left alone
				return nil
			}
			f.Releases = append(f.Releases, info)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	slices.Sort(f.Strange)
	slices.SortFunc(f.Releases, func(a, b Info) int {
		return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(b.ID, a.ID))
	})
	return nil
}

// readInfo reads the info of the release in dir.
func readInfo(ctx context.Context, host ops.FileReader, dir string) (Info, error) {
	raw, err := readAll(ctx, host, path.Join(dir, infoName), maxInfo)
	if err != nil {
		return Info{}, fmt.Errorf("read release info: %w", err)
	}
	return ParseInfo(raw)
}

// maxConfig bounds the size of mosparo's configuration file.
const maxConfig = 4 << 20

// readConfig reads and parses mosparo's configuration file. An empty Config and no bytes mean that there is none.
func readConfig(ctx context.Context, host ops.FileReader, name string) (*envfile.Config, []byte, error) {
	raw, err := readAll(ctx, host, name, maxConfig)
	if errors.Is(err, fs.ErrNotExist) {
		return &envfile.Config{}, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read configuration: %w", err)
	}
	c, err := envfile.ParsePHP(raw)
	if err != nil {
		return nil, nil, fmt.Errorf("read configuration %s: %w", name, err)
	}
	return c, raw, nil
}

func readConfigFacts(ctx context.Context, host ops.FileReader, name string) (ConfigFacts, error) {
	c, raw, err := readConfig(ctx, host, name)
	if err != nil || raw == nil {
		return ConfigFacts{}, err
	}
	installed, _ := c.Get("mosparo_installed")
	web, _ := c.Get("webCronJobActive")
	return ConfigFacts{Hash: hashOf(raw), Installed: installed.Truth(), Version: c.Text("mosparo_installed_version"),
		Assets: c.Text("mosparo_assets_version"), WebCron: web.Truth()}, nil
}

func hashOf(raw []byte) string {
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}

func readHold(ctx context.Context, host ops.FileReader, n *inventory.Node) (*Hold, error) {
	raw, err := readAll(ctx, host, n.ManagePath(holdName), maxInfo)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read note of the node being changed: %w", err)
	}
	var h Hold
	if json.Unmarshal(raw, &h) != nil {
		h = Hold{} // garbled: it still says that the node is being changed
	}
	return &h, nil
}

// readOwner finds out who we are on the node and the numbers of the owner the inventory names.
func (f *NodeFacts) readOwner(ctx context.Context, host ops.Host) error {
	user, group := f.Node.Owner.User, f.Node.Owner.Group
	if user == "" && group == "" && f.Node.PHP.User == "" {
		return nil
	}
	res, err := host.Run(ctx, ops.Command{Argv: []string{"sh", "-c", "id -u && id -g && id -un"}})
	if err != nil {
		return fmt.Errorf("look up login user: %w", err)
	}
	var uid, gid int
	if _, err := fmt.Sscan(string(res.Stdout), &uid, &gid, &f.User); err != nil {
		return fmt.Errorf("look up login user: unexpected answer %.80q", res.Stdout)
	}
	f.Root = uid == 0
	if user == "" && group == "" {
		return nil
	}
	want, err := ops.LookupOwner(ctx, host, cmp.Or(user, f.User), group)
	if err != nil {
		return err
	}
	if !f.Root && want.UID != uid {
		return ops.Errorf(ops.CodeInvalid, "%s can't give files to %s", f.User, user).
			WithHint("log in as %s, or set ssh.become: true for the node", user)
	}
	if f.Root || want.GID != gid {
		f.Owner = &want
	}
	return nil
}

// readTemps lists what broken runs left where this package writes.
func readTemps(ctx context.Context, host ops.FileReader, n *inventory.Node) ([]string, error) {
	dirs := []string{n.Paths.Root, n.ManagePath(""), path.Dir(configPath(n))}
	if n.Paths.Layout != inventory.LayoutInPlace {
		dirs = append(dirs, releasesPath(n), n.SharedPath(""))
	}
	slices.Sort(dirs)
	var temps []string
	for _, dir := range slices.Compact(dirs) {
		list, err := host.ReadDir(ctx, dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("look for leftovers: %w", err)
		}
		for _, e := range list {
			if strings.HasPrefix(e.Name, ops.TempPrefix) {
				temps = append(temps, path.Join(dir, e.Name))
			}
		}
	}
	return temps, nil
}

// list is f as facts of a plan.
func (f *NodeFacts) list() []ops.Fact {
	ids := make([]string, 0, len(f.Releases))
	for _, r := range f.Releases {
		ids = append(ids, r.ID)
	}
	slices.Sort(ids)
	n := f.Node
	facts := []ops.Fact{
		{Node: n.Name, Path: n.InstallPath(), Value: cmp.Or(f.Current, "absent")},
		{Node: n.Name, Path: releasesPath(n), Value: cmp.Or(strings.Join(ids, " "), "absent")},
		{Node: n.Name, Path: configPath(n), Value: cmp.Or(f.Config.Hash, "absent")},
	}
	if f.Previous != "" {
		facts = append(facts, ops.Fact{Node: n.Name, Path: n.ManagePath(previousName), Value: f.Previous})
	}
	if f.Hold != nil {
		facts = append(facts, ops.Fact{Node: n.Name, Path: n.ManagePath(holdName), Value: "being changed to " + f.Hold.Release})
	}
	for _, b := range slices.Sorted(maps.Keys(f.Rotation)) {
		facts = append(facts, ops.Fact{Node: n.Name, Path: "balancer " + b, Value: f.Rotation[b]})
	}
	return facts
}
