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
