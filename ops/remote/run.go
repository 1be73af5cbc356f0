package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
)

const (
	maxOutput  = 4 << 20 // captured of each stream
	stderrTail = 4 << 10 // kept for errors
	// killGrace is how long a cancelled command may take to end after SIGTERM before its session is closed.
	killGrace = 2 * time.Second
)

// Host is a node over SSH. It implements ops.Host. It lives as long as its connection: after that every call fails with
// ops.CodeUnreachable, and Pool.Host gives a new one.
type Host struct {
	name   string
	conn   *conn
	become become
	sftp   *sftpClient
}

var _ ops.Host = (*Host)(nil)

func newHost(n *inventory.Node, c *conn) *Host {
	h := &Host{name: n.Name, conn: c}
	if n.SSH.Become {
		h.become.user = or(n.SSH.BecomeUser, "root")
	}
	h.sftp = &sftpClient{host: h, server: n.SSH.SFTPServer, turn: make(chan struct{}, 1)}
	return h
}

// Name is the node's name.
func (h *Host) Name() string { return h.name }

// as says as whom c runs.
func (h *Host) as(c ops.Command) become {
	if c.AsLogin {
		return become{}
	}
	return h.become
}

// Run runs c in the login shell of the node, through sudo where the inventory says become. When ctx ends, the command gets
// SIGTERM and its session is closed; sshd delivers signals since OpenSSH 7.9, and not to commands of another user, which
// are told by the end of their input and output only. Run doesn't wait for c.Stdin's end when the command ends earlier.
func (h *Host) Run(ctx context.Context, c ops.Command) (ops.Result, error) {
	line, err := commandLine(c, h.as(c))
	if err != nil {
		return ops.Result{}, ops.Errorf(ops.CodeFailed, "run command: %w", err).On(h.name)
	}
	session, err := h.session(ctx)
	if err != nil {
		return ops.Result{}, h.runError(ctx, c, err)
	}
	defer session.close()
	stdout, stderr, last := &head{limit: maxOutput}, &head{limit: maxOutput}, &tail{limit: stderrTail}
	if c.Stdout == nil {
		c.Stdout = stdout
	}
	if c.Stderr == nil {
		c.Stderr = stderr
	}
	err = session.run(ctx, line, c.Stdin, c.Stdout, io.MultiWriter(c.Stderr, last))
	res := ops.Result{Stdout: stdout.buf.Bytes(), Stderr: stderr.buf.Bytes()}
	var exit *ssh.ExitError
	switch {
	case err == nil:
		return res, nil
	case ctx.Err() != nil:
		return res, fmt.Errorf("run %s: %w", c.Argv[0], ctx.Err())
	case errors.As(err, &exit):
		failed := &ops.ExitError{Argv: c.Argv, Status: exitStatus(exit), Stderr: last.buf}
		if sudo := h.sudoError(c, failed); sudo != nil {
			return res, sudo
		}
		return res, failed
	}
	return res, h.runError(ctx, c, err)
}

// exitStatus is the status as a shell would give it.
func exitStatus(e *ssh.ExitError) int {
	if e.Signal() == "" {
		return e.ExitStatus()
	}
	numbers := map[string]int{"HUP": 1, "INT": 2, "QUIT": 3, "ILL": 4, "ABRT": 6, "FPE": 8, "KILL": 9, "SEGV": 11, "PIPE": 13, "ALRM": 14, "TERM": 15}
	return 128 + numbers[e.Signal()]
}

func (h *Host) runError(ctx context.Context, c ops.Command, err error) error {
	return ops.NodeError(h.name, "run "+c.Argv[0], h.conn.failed(ctx, err))
}

// sudoError tells that sudo, not the command, is what failed: its messages begin with its name in every language.
func (h *Host) sudoError(c ops.Command, e *ops.ExitError) error {
	b := h.as(c)
	last := lastLine(e.Stderr)
	notFound := e.Status == 127 && strings.Contains(last, "sudo")
	if b.user == "" || !(e.Status == 1 && strings.HasPrefix(last, "sudo")) && !notFound {
		return nil
	}
	login := h.conn.target.user
	return (&ops.Error{
		Code: ops.CodeUnreachable, Op: "become " + b.user, Node: h.name,
		Err: fmt.Errorf("sudo refused to run %s for %s: %s", c.Argv[0], login, last),
	}).WithHint("on the node, add with visudo -f /etc/sudoers.d/mosparoctl: %s ALL=(%s) NOPASSWD: ALL", login, b.user)
}

func lastLine(b []byte) string {
	s := strings.TrimSpace(string(b))
	return strings.TrimSpace(s[strings.LastIndexByte(s, '\n')+1:])
}

// session is one session channel of a connection.
type session struct {
	*ssh.Session
	conn *conn
	once sync.Once
}

// session opens a session, waiting for a place where the server's limit is reached.
func (h *Host) session(ctx context.Context) (*session, error) {
	c := h.conn
	for {
		if err := c.sessions.acquire(ctx, c.dead); err != nil {
			return nil, err
		}
		s, err := await(ctx, c, c.client.NewSession, func(s *ssh.Session) { s.Close() })
		if err == nil {
			return &session{Session: s, conn: c}, nil
		}
		var refused *ssh.OpenChannelError
		if !errors.As(err, &refused) {
			c.sessions.release()
			return nil, err
		}
		if !c.sessions.refused() {
			return nil, fmt.Errorf("the node opens no session: %s", refusal(refused))
		}
	}
}

func (s *session) close() {
	s.once.Do(func() {
		s.Close()
		s.conn.sessions.release()
	})
}

// run starts line and waits for its end and for all of its output.
func (s *session) run(ctx context.Context, line string, stdin io.Reader, stdout, stderr io.Writer) error {
	in, err := s.StdinPipe()
	if err != nil {
		return err
	}
	out, errOut := &gate{w: stdout}, &gate{w: stderr}
	s.Stdout, s.Stderr = out, errOut
	// What comes after a command was given up must not reach writers that the caller uses again.
	defer func() { out.shut(); errOut.shut() }()
	if _, err := await(ctx, s.conn, func() (struct{}, error) { return struct{}{}, s.Start(line) }, nil); err != nil {
		if err.Error() == "ssh: command "+line+" failed" {
			return errors.New("the node runs no commands for this login (ForceCommand, or a login shell that refuses?)")
		}
		return err
	}
	go func() {
		if stdin != nil {
			// An error means that the command doesn't read any more, which its exit status tells better.
			_, _ = io.Copy(in, stdin)
		}
		in.Close()
	}()
	ended := make(chan error, 1)
	go func() { ended <- s.Wait() }()
	select {
	case err := <-ended:
		return err
	case <-s.conn.dead:
		return unreachable(s.conn.target, s.conn.cause)
	case <-ctx.Done():
	}
	go func() { _ = s.Signal(ssh.SIGTERM) }()
	grace := time.NewTimer(killGrace)
	defer grace.Stop()
	select {
	case <-ended:
	case <-s.conn.dead:
	case <-grace.C:
		go s.close()
	}
	return ctx.Err()
}

// Dial connects to address from the node: TCP, or a unix socket that the login user may open.
func (h *Host) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := await(ctx, h.conn, func() (net.Conn, error) { return h.conn.client.Dial(network, address) }, func(c net.Conn) { c.Close() })
	if err == nil {
		return newTunnel(c, network, address), nil
	}
	op := "dial " + address
	var refused *ssh.OpenChannelError
	if !errors.As(err, &refused) {
		return nil, ops.NodeError(h.name, op, h.conn.failed(ctx, err))
	}
	e := ops.Errorf(ops.CodeFailed, "%s", refusal(refused)).On(h.name)
	e.Op = op
	if refused.Reason == ssh.Prohibited {
		e = e.WithHint("sshd on the node must allow it: AllowTcpForwarding yes, AllowStreamLocalForwarding yes, PermitOpen")
	}
	return nil, e
}

// gate passes writes on until it is shut.
type gate struct {
	mu sync.Mutex
	w  io.Writer // nil once shut
}

func (g *gate) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.w == nil {
		return len(p), nil
	}
	return g.w.Write(p)
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.w = nil
}

// head keeps the first limit bytes of a stream and swallows the rest.
type head struct {
	buf   bytes.Buffer
	limit int
}

func (w *head) Write(p []byte) (int, error) {
	w.buf.Write(p[:min(len(p), w.limit-w.buf.Len())])
	return len(p), nil
}

// tail keeps the last limit bytes.
type tail struct {
	buf   []byte
	limit int
}

func (w *tail) Write(p []byte) (int, error) {
	w.buf = append(w.buf, p...)
	if over := len(w.buf) - w.limit; over > 0 {
		w.buf = append(w.buf[:0], w.buf[over:]...)
	}
	return len(p), nil
}
