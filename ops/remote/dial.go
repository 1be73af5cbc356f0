package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"golang.org/x/crypto/ssh"

	"github.com/mosparoctl/mosparoctl/ops"
)

// unreachable says that t can't be reached (any more), why, and what to do.
func unreachable(t *target, cause error) *ops.Error {
	e := &ops.Error{Code: ops.CodeUnreachable, Node: t.name, Err: cause}
	var keyErr *hostKeyError
	var dns *net.DNSError
	var login *loginError
	switch {
	case errors.As(cause, &keyErr):
		e.Hint = keyErr.hint(t.node)
	case errors.As(cause, &login):
		e.Hint = "see what the node says: ssh " + t.login()
		switch {
		case len(login.tried.signers) == 0:
			e.Hint = "give a key: ssh.identity in the inventory, IdentityFile in ~/.ssh/config, or ssh-add"
		case tooManyKeys(login.err):
			e.Hint = "the node hears only a few keys: name the right one, ssh.identity in the inventory; its .pub file does for a key of the agent"
		}
	case errors.As(cause, &dns):
		e.Hint = "check the node's address in the inventory or its HostName in ~/.ssh/config"
	case errors.Is(cause, syscall.ECONNREFUSED):
		e.Hint = "is sshd running there, on this port? ssh " + t.login()
	case errors.Is(cause, context.DeadlineExceeded), errors.Is(cause, os.ErrDeadlineExceeded):
		e.Hint = "is the node up, and does a firewall let you in? ssh " + t.login()
	}
	return e
}

// own is the error of a connection that t shares with other nodes on its machine, or with other nodes behind it, told of t.
func (t *target) own(err error) error {
	e, ok := err.(*ops.Error) //nolint:errorlint // only the outermost error names who could not be reached
	if !ok {
		return err
	}
	mine := *e
	mine.Node = t.name
	var keyErr *hostKeyError
	if errors.As(e.Err, &keyErr) {
		mine.Hint = keyErr.hint(t.node)
	}
	return &mine
}

// failure names the host and op in err, each once, also where err is of a connection that was made for another node.
func (h *Host) failure(op string, err error) error {
	if e, ok := err.(*ops.Error); ok && e.Node == h.conn.target.name { //nolint:errorlint // as in own
		mine := *e
		mine.Node = h.name
		err = &mine
	}
	return onNode(h.name, op, err)
}

// onNode names node and op in err, each once. Nil stays nil.
func onNode(node, op string, err error) error {
	e, ok := err.(*ops.Error) //nolint:errorlint // only the outermost error counts as named
	if !ok || e.Node != node {
		return ops.NodeError(node, op, err)
	}
	if e.Op == "" {
		named := *e
		named.Op = op
		return &named
	}
	return err
}

// loginError says that the node refused every key.
type loginError struct {
	user  string
	tried *credentials
	err   error
}

func (e *loginError) Error() string {
	tried := "methods none, publickey: " + e.tried.describe()
	// What went wrong while signing, such as a missing passphrase, matters more than the list of methods.
	if msg := e.err.Error(); !strings.Contains(msg, "unable to authenticate") {
		return fmt.Sprintf("login as %s was refused: %s (%s)", e.user, strings.TrimPrefix(msg, "ssh: handshake failed: "), tried)
	}
	return fmt.Sprintf("login as %s was refused (%s)", e.user, tried)
}

func (e *loginError) Unwrap() error { return e.err }

// dial connects and logs in to t, through via if that is not nil. The context's deadline covers name lookup, TCP, the
// handshake and the login. Errors are *ops.Error with CodeUnreachable, or ctx's.
func dial(ctx context.Context, t *target, via *conn, keys *keyring) (*conn, error) {
	hosts, err := loadHostKeys(t)
	if err != nil {
		return nil, unreachable(t, err)
	}
	creds, err := keys.credentials(ctx, t)
	if err != nil {
		return nil, unreachable(t, err)
	}
	defer creds.close()
	config := &ssh.ClientConfig{
		User:              t.user,
		Auth:              []ssh.AuthMethod{ssh.PublicKeys(creds.signers...)},
		HostKeyCallback:   hosts.check,
		HostKeyAlgorithms: hosts.algorithms(),
	}
	c, err := handshake(ctx, t, via, config)
	var negotiation *ssh.AlgorithmNegotiationError
	switch {
	case err == nil:
		return c, nil
	case errors.Is(err, context.Canceled):
		return nil, err
	case errors.As(err, &negotiation) && strings.Contains(negotiation.What, "host key") && len(hosts.known) > 0:
		err = &hostKeyError{state: HostKeyChanged, target: t, known: hosts.known, others: negotiation.RequestedAlgorithms}
	case isLogin(err):
		err = &loginError{user: t.user, tried: creds, err: err}
	}
	return nil, unreachable(t, fmt.Errorf("connect to %s: %w", t.address(), err))
}

// isLogin reports whether err came from the login: the host key was accepted and the line was fine.
func isLogin(err error) bool {
	return strings.Contains(err.Error(), "unable to authenticate") || strings.Contains(err.Error(), "passphrase") ||
		strings.Contains(err.Error(), "open key") || tooManyKeys(err)
}

// tooManyKeys reports whether the node gave up before every key was tried (MaxAuthTries).
func tooManyKeys(err error) bool {
	return strings.Contains(strings.ToLower(err.Error()), "too many authentication failures")
}

// handshake makes the connection and speaks the protocol until the login is done, or until ctx ends.
func handshake(ctx context.Context, t *target, via *conn, config *ssh.ClientConfig) (*conn, error) {
	raw, err := dialRaw(ctx, t, via)
	if err != nil {
		return nil, err
	}
	// x/crypto's own timeout covers only TCP, and channels through a jump host know no deadlines: closing works for both.
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	counting := newCountingConn(raw)
	var refused error
	check := config.HostKeyCallback
	config.HostKeyCallback = func(host string, addr net.Addr, key ssh.PublicKey) error {
		refused = check(host, addr, key)
		return refused
	}
	sshConn, channels, requests, err := ssh.NewClientConn(counting, t.address(), config)
	if !stop() && ctx.Err() != nil {
		raw.Close()
		return nil, timeoutOr(ctx, t)
	}
	switch {
	case refused != nil:
		return nil, refused
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return nil, fmt.Errorf("the server ended the connection before the login (too many connections at once, or a ban of this address?): %w", err)
	case err != nil:
		return nil, err
	}
	return newConn(t, ssh.NewClient(sshConn, channels, requests), counting.received), nil
}

// dialRaw opens the byte stream: TCP, or a channel through the jump host.
func dialRaw(ctx context.Context, t *target, via *conn) (net.Conn, error) {
	if via == nil {
		var d net.Dialer
		c, err := d.DialContext(ctx, "tcp", t.address())
		var opErr *net.OpError
		switch {
		case err != nil && ctx.Err() != nil:
			return nil, timeoutOr(ctx, t)
		case errors.As(err, &opErr):
			return nil, opErr.Err // the address is told by the caller
		}
		return c, err
	}
	c, err := await(ctx, via, func() (net.Conn, error) { return via.client.Dial("tcp", t.address()) }, func(c net.Conn) { c.Close() })
	var refused *ssh.OpenChannelError
	if errors.As(err, &refused) {
		return nil, fmt.Errorf("the jump host %s can't reach it: %s", via.target.name, refusal(refused))
	}
	return c, err
}

// timeoutOr is why ctx ended: a timeout is told with its length.
func timeoutOr(ctx context.Context, t *target) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("no answer within %v: %w", t.timeout, context.DeadlineExceeded)
	}
	return ctx.Err()
}

// refusal is the server's reason for not opening a channel.
func refusal(e *ssh.OpenChannelError) string {
	if e.Message == "" || strings.EqualFold(e.Message, "open failed") {
		return e.Reason.String()
	}
	return e.Message
}
