package filesync

import (
	"context"
	"errors"
	"sync"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
)

// Peers keeps one peer a node for as long as a command lasts, so that what a peer has started or found out there serves all
// of it. A node whose connection was made anew gets a new peer. Safe for concurrent use. Close it.
type Peers struct {
	connect ops.Connector
	open    func(*inventory.Node, ops.Host) Peer

	mu    sync.Mutex
	nodes map[string]openPeer
	old   []Peer // of connections that were lost; others may still be on their way out of them
}

type openPeer struct {
	host ops.Host
	peer Peer
}

// NewPeers makes peers of the nodes that connect knows, by open; nil makes a HostPeer.
func NewPeers(connect ops.Connector, open func(*inventory.Node, ops.Host) Peer) *Peers {
	if open == nil {
		open = func(n *inventory.Node, h ops.Host) Peer { return NewHostPeer(h, HostOptions{FilesOnly: n.Local()}) }
	}
	return &Peers{connect: connect, open: open, nodes: map[string]openPeer{}}
}

// At is the host and the peer of a node. Errors are those of the connector.
func (p *Peers) At(ctx context.Context, n *inventory.Node) (ops.Host, Peer, error) {
	h, err := p.connect.Host(ctx, n.Name)
	if err != nil {
		return nil, nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	known, ok := p.nodes[n.Name]
	if ok && (known.host == h || n.Local()) {
		return known.host, known.peer, nil
	}
	if ok {
		p.old = append(p.old, known.peer)
	}
	known = openPeer{host: h, peer: p.open(n, h)}
	p.nodes[n.Name] = known
	return known.host, known.peer, nil
}

// Close closes all peers. The connections stay.
func (p *Peers) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for _, peer := range p.old {
		errs = append(errs, peer.Close())
	}
	for _, n := range p.nodes {
		errs = append(errs, n.peer.Close())
	}
	p.old, p.nodes = nil, map[string]openPeer{}
	return errors.Join(errs...)
}
