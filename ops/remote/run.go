package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
)

const (
	maxOutput  = 4 << 20 // captured of each stream
	stderrTail = 4 << 10 // kept for errors
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

// Run runs c on the node, through sudo where the inventory says become. When ctx ends, the command and its
// children get SIGTERM, two seconds later SIGKILL. Run doesn't wait for c.Stdin's end when the command ends earlier.
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
	err = session.run(ctx, process{line: line, as: h.as(c), in: c.Stdin, out: c.Stdout, err: io.MultiWriter(c.Stderr, last)})
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
	return h.failure("run "+c.Argv[0], h.conn.failed(ctx, err))
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
