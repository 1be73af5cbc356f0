package remote

import (
	"context"
	"errors"
	"io"
	"net"

	"golang.org/x/crypto/ssh"

	"github.com/mosparoctl/mosparoctl/ops"
)

// Dial connects to address from the node: TCP, or a unix socket that the login user may open.
func (h *Host) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := await(ctx, h.conn, func() (net.Conn, error) { return h.conn.client.Dial(network, address) }, func(c net.Conn) { c.Close() })
	if err == nil {
		return newTunnel(c, network, address), nil
	}
	op := "dial " + address
	var refused *ssh.OpenChannelError
	if !errors.As(err, &refused) {
		return nil, h.failure(op, h.conn.failed(ctx, err))
	}
	e := ops.Errorf(ops.CodeFailed, "%s", refusal(refused)).On(h.name)
	e.Op = op
	switch {
	case refused.Reason == ssh.Prohibited:
		e = e.WithHint("sshd on the node must allow it: AllowTcpForwarding yes, AllowStreamLocalForwarding yes, PermitOpen")
	case network == "unix": // sshd gives one answer for whatever is wrong
		e = e.WithHint("is the socket there, may %s open it, and does sshd say AllowStreamLocalForwarding yes?", h.conn.target.user)
	}
	return nil, e
}

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
