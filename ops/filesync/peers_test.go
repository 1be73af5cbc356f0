package filesync

import (
	"context"
	"testing"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/local"
)

// reconnecting hands out the host it holds.
type reconnecting struct{ host ops.Host }

func (r *reconnecting) Host(context.Context, string) (ops.Host, error) { return r.host, nil }

// closable counts how often it was closed.
type closable struct {
	Peer
	closed int
}

func (c *closable) Close() error {
	c.closed++
	return nil
}

func TestPeersAreKeptWhileTheConnectionLasts(t *testing.T) {
	r := &reconnecting{host: local.New("a")}
	var made []*closable
	peers := NewPeers(r, func(*inventory.Node, ops.Host) Peer {
		made = append(made, &closable{})
		return made[len(made)-1]
	})
	n := &inventory.Node{Name: "a", Address: "10.0.0.1"}
	at := func() Peer {
		t.Helper()
		_, p, err := peers.At(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	first := at()
	if at() != first || len(made) != 1 {
		t.Errorf("%d peers for one connection", len(made))
	}
	r.host = local.New("a")
	if at() == first || len(made) != 2 {
		t.Errorf("%d peers for two connections", len(made))
	}
	if err := peers.Close(); err != nil || made[0].closed != 1 || made[1].closed != 1 {
		t.Errorf("closed %d and %d times, %v", made[0].closed, made[1].closed, err)
	}
}
