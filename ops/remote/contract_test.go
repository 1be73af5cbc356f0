package remote_test

import (
	"testing"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/local"
	"github.com/mosparoctl/mosparoctl/ops/opstest"
	"github.com/mosparoctl/mosparoctl/ops/remote"
	"github.com/mosparoctl/mosparoctl/ops/remote/remotetest"
)

// start starts a server and makes a node of it.
func start(t *testing.T, c remotetest.Config) (*remotetest.Server, *inventory.Node) {
	t.Helper()
	if c.Dir == "" {
		c.Dir = t.TempDir()
	}
	s, err := remotetest.Start(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	n, err := s.Node("web1", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return s, n
}

// pool makes a pool for nodes that touches nothing of the user's.
func pool(t *testing.T, nodes ...*inventory.Node) *remote.Pool {
	t.Helper()
	p := remote.NewPool(&inventory.Deployment{Nodes: nodes}, remote.Options{Home: t.TempDir(), Agent: "none"})
	t.Cleanup(func() { p.Close() })
	return p
}

// connect gives the host of a node.
func connect(t *testing.T, n *inventory.Node) ops.Host {
	t.Helper()
	h, err := pool(t, n).Host(t.Context(), n.Name)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestContract(t *testing.T) {
	_, node := start(t, remotetest.Config{})
	p := pool(t, node)
	opstest.Contract(t, func(t *testing.T) (ops.Host, string) {
		h, err := p.Host(t.Context(), node.Name)
		if err != nil {
			t.Fatal(err)
		}
		return h, t.TempDir()
	})
}

func TestContractWithoutPosixRename(t *testing.T) {
	s, node := start(t, remotetest.Config{})
	s.Faults.NoPosixRename(true)
	s.Faults.NoHardLink(true)
	p := pool(t, node)
	opstest.Contract(t, func(t *testing.T) (ops.Host, string) {
		h, err := p.Host(t.Context(), node.Name)
		if err != nil {
			t.Fatal(err)
		}
		return h, t.TempDir()
	})
}

func TestContractLocal(t *testing.T) {
	opstest.Contract(t, func(t *testing.T) (ops.Host, string) { return local.New("here"), t.TempDir() })
}
