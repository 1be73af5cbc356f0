package remote

import (
	"io"
	"net"
)

// tunnel is a connection from a node. Channels of x/crypto/ssh know no deadlines, which database and cache clients rely on,
// so an in-memory pipe, which does, stands between.
type tunnel struct {
	net.Conn
	remote net.Addr
}

func newTunnel(channel net.Conn, network, address string) net.Conn {
	near, far := net.Pipe()
	go func() {
		_, _ = io.Copy(channel, far)
		channel.Close()
	}()
	go func() {
		_, _ = io.Copy(far, channel)
		far.Close()
	}()
	return &tunnel{Conn: near, remote: tunnelAddr{network, address}}
}

// RemoteAddr is the address that was dialled.
func (t *tunnel) RemoteAddr() net.Addr { return t.remote }

type tunnelAddr struct{ network, address string }

func (a tunnelAddr) Network() string { return a.network }
func (a tunnelAddr) String() string  { return a.address }
