package filesync_test

import (
	"net"
	"strconv"
	"testing"

	"github.com/mosparoctl/mosparoctl/internal/lab/server"
	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/filesync"
	"github.com/mosparoctl/mosparoctl/ops/filesync/filesynctest"
	"github.com/mosparoctl/mosparoctl/ops/remote"
	"github.com/mosparoctl/mosparoctl/ops/remote/remotetest"
)

// connect gives the host of a node, over a connection of its own.
func connect(t *testing.T, n *inventory.Node) ops.Host {
	t.Helper()
	p := remote.NewPool(&inventory.Deployment{Nodes: []*inventory.Node{n}}, remote.Options{Home: t.TempDir(), Agent: "none"})
	t.Cleanup(func() { p.Close() })
	h, err := p.Host(t.Context(), n.Name)
	must(t, err)
	return h
}

func testRemotePeer(t *testing.T, faults func(*remotetest.Faults)) {
	s, err := remotetest.Start(remotetest.Config{Dir: t.TempDir()})
	must(t, err)
	t.Cleanup(func() { s.Close() })
	faults(s.Faults)
	n, err := s.Node("web1", t.TempDir())
	must(t, err)
	h := connect(t, n)
	filesynctest.TestPeer(t, func(*testing.T) filesync.Peer { return filesync.NewHostPeer(h, filesync.HostOptions{}) })
}

func TestHostPeerOverSSH(t *testing.T) { testRemotePeer(t, func(*remotetest.Faults) {}) }

func TestHostPeerOverSFTPOnly(t *testing.T) {
	testRemotePeer(t, func(f *remotetest.Faults) { f.RefuseExec(true) })
}

func TestHostPeerWithoutPosixRename(t *testing.T) {
	testRemotePeer(t, func(f *remotetest.Faults) { f.NoPosixRename(true) })
}

// sshdNode makes a node of a real OpenSSH server.
func sshdNode(t *testing.T, config ...string) *inventory.Node {
	t.Helper()
	s := server.StartSSHD(t, config...)
	host, text, err := net.SplitHostPort(s.Addr)
	must(t, err)
	port, err := strconv.Atoi(text)
	must(t, err)
	return &inventory.Node{Name: "real", Address: host, Roles: []inventory.Role{inventory.RoleApp},
		SSH: inventory.SSH{User: s.User, Port: port, Identity: s.Key, KnownHosts: s.KnownHosts, Config: "none"}}
}

func TestHostPeerOverOpenSSH(t *testing.T) {
	h := connect(t, sshdNode(t))
	filesynctest.TestPeer(t, func(*testing.T) filesync.Peer { return filesync.NewHostPeer(h, filesync.HostOptions{}) })
}

func TestHostPeerOverOpenSSHWithSFTPOnly(t *testing.T) {
	h := connect(t, sshdNode(t, "ForceCommand internal-sftp"))
	filesynctest.TestPeer(t, func(*testing.T) filesync.Peer { return filesync.NewHostPeer(h, filesync.HostOptions{}) })
}

// The admin node may be far away too: files stream through, from real OpenSSH to a node that has nothing but SFTP.
func TestSyncBetweenRemoteNodes(t *testing.T) {
	c := newCluster(t)
	root := c.opts.Deployment.Admin().Paths
	admin := sshdNode(t)
	admin.Name, admin.Paths, admin.Roles = "admin", root, []inventory.Role{inventory.RoleAdmin}
	s, err := remotetest.Start(remotetest.Config{Dir: t.TempDir()})
	must(t, err)
	t.Cleanup(func() { s.Close() })
	s.Faults.RefuseExec(true)
	app, err := s.Node("app1", t.TempDir())
	must(t, err)
	c.opts.Deployment.Nodes = []*inventory.Node{admin, app}
	c.opts.Targets = c.opts.Deployment.Nodes
	pool := remote.NewPool(c.opts.Deployment, remote.Options{Home: t.TempDir(), Agent: "none"})
	t.Cleanup(func() { pool.Close() })
	c.opts.Peers = filesync.NewPeers(pool, nil)
	c.opts.Delete, c.opts.MaxDelete = true, "100%"
	c.mustSync()
	c.want("app1", synced())
	c.wantIdle()
	c.remove("admin", "var/data/link")
	c.write("admin", "var/data/more", "x")
	c.mustSync()
	c.want("app1", without(with(synced(), "var/data/more", "x"), "var/data/link"))
	f, err := filesync.GatherUndo(t.Context(), c.opts, "")
	must(t, err)
	p, _, err := filesync.PlanUndo(f, c.opts)
	must(t, err)
	_, err = filesync.Apply(t.Context(), p, ops.ApplyOptions{})
	must(t, err)
	c.want("app1", synced())
	if n := s.Connections(); n != 1 {
		t.Errorf("%d connections to one node", n)
	}
}
