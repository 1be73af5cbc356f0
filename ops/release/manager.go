package release

import (
	"context"
	"path"
	"strings"
	"time"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/filesync"
)

// States of a node at a balancer in which it is out of rotation, as Rotation's facts name them.
const (
	stateDrain = "drain"
	stateMaint = "maint"
)

// Rotation takes nodes out of the rotation of the load balancers and puts them back; ops/balancer.Set is one.
type Rotation interface {
	// Facts are the states of nodes at the balancers, one fact a node and balancer.
	Facts(ctx context.Context) ([]ops.Fact, error)
	// Drain takes a node out and waits until its connections have ended, within bounds of its own.
	Drain(ctx context.Context, node string) error
	// Ready puts back what Drain took out, and waits until the balancers send visitors again.
	Ready(ctx context.Context, node string) error
	// Undoers has an entry for UndoReady, which puts a node back that an earlier process has drained.
	Undoers() ops.Undoers
}

// UndoReady is the kind of Undo that a Rotation understands: Data maps a balancer to its state before.
const UndoReady = "balancer.ready"

// Gate says whether a node may serve visitors.
type Gate interface {
	// Healthy waits, within bounds of its own, until the node's own web server serves a working mosparo. The error says
	// what is wrong.
	Healthy(ctx context.Context, node *inventory.Node, report ops.Reporter) error
}

// Peers gives the host of a node and the peer that moves files to and from it; *filesync.Peers is one. Errors are those of
// connecting. Safe for concurrent use.
type Peers interface {
	At(ctx context.Context, n *inventory.Node) (ops.Host, filesync.Peer, error)
}

// Deps is what a Manager works with.
type Deps struct {
	Hosts    ops.Connector
	Peers    Peers            // nil: a filesync.HostPeer for each of Hosts
	Rotation Rotation         // nil: there is no balancer
	Gate     Gate             // nil: nothing is checked before a node goes back
	Now      func() time.Time // nil: time.Now
}

// Manager plans and carries out what is done with the releases of one deployment. Safe for concurrent use.
type Manager struct {
	d    *inventory.Deployment
	deps Deps
}

// New makes the Manager of d.
func New(d *inventory.Deployment, deps Deps) *Manager {
	if deps.Now == nil {
		deps.Now = time.Now
	}
	if deps.Peers == nil {
		deps.Peers = filesync.NewPeers(deps.Hosts, nil)
	}
	return &Manager{d: d, deps: deps}
}

// lead is the node that migrates the database and whose configuration counts: the admin node, else the first.
func (m *Manager) lead() *inventory.Node {
	if a := m.d.Admin(); a != nil {
		return a
	}
	if len(m.d.Nodes) > 0 {
		return m.d.Nodes[0]
	}
	return nil
}

// Names below Paths.Root with inventory.LayoutReleases.
const (
	releasesDir = "releases"
	// Below inventory.ManageDir:
	holdName     = "changing.json" // the node is being changed
	previousName = "previous"      // id of the release that was active before
	lockDir      = "lock"
)

// LockDir is the folder of the deployment's lock on its admin node n.
func LockDir(n *inventory.Node) string { return n.ManagePath(lockDir) }

// releasesPath is the folder of all releases on n.
func releasesPath(n *inventory.Node) string { return path.Join(n.Paths.Root, releasesDir) }

// releasePath is the folder of release id on n.
func releasePath(n *inventory.Node, id string) string {
	if n.Paths.Layout == inventory.LayoutInPlace {
		return path.Clean(n.Paths.Root)
	}
	return path.Join(releasesPath(n), id)
}

// stagingPath is where a release of that content is uploaded. The name depends on nothing else, so that a run that was
// broken off is gone on with.
func stagingPath(n *inventory.Node, digest string) string {
	return path.Join(releasesPath(n), ops.TempPrefix+digest[:16])
}

// linkTarget is what current holds for release id: relative, so that the root may be moved or mounted elsewhere.
func linkTarget(id string) string { return releasesDir + "/" + id }

// configRel is the path of mosparo's configuration file on n, relative to the installation; absolute where the environment
// of n puts it elsewhere.
func configRel(n *inventory.Node) string {
	if p := n.Env["MOSPARO_CONFIG_FILE_PATH"]; path.IsAbs(p) {
		return p
	}
	if s := n.Env["MOSPARO_ENV_SUFFIX"]; s != "" && !strings.ContainsAny(s, "/\x00") {
		return "config/env.mosparo." + s + ".php"
	}
	return "config/env.mosparo.php"
}

// configPath is where mosparo's configuration file lies on n.
func configPath(n *inventory.Node) string {
	rel := configRel(n)
	if path.IsAbs(rel) {
		return rel
	}
	return n.SharedPath(rel)
}

// sharedOf are the shared paths of a release of that kind on n.
func (m *Manager) sharedOf(n *inventory.Node, kind Kind) []sharedPath {
	list := sharedPaths(kind, m.d.Release.Shared)
	if rel := configRel(n); kind == KindMosparo && !path.IsAbs(rel) {
		list[0].path = rel
	}
	return list
}
