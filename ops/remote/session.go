package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/mosparoctl/mosparoctl/ops"
)

// killGrace is how long a cancelled command may take to end after SIGTERM, and again after SIGKILL.
const killGrace = 2 * time.Second

// session is one session channel of a host's connection.
type session struct {
	*ssh.Session
	host *Host
	once sync.Once
}

// session opens a session, waiting for a place where the server's limit is reached. A session that has just ended here may
// count there for a moment longer, so a refusal while none is open that will end is doubted for a while.
func (h *Host) session(ctx context.Context) (*session, error) {
	c := h.conn
	for doubt := 20 * time.Millisecond; ; {
		if err := c.sessions.acquire(ctx, c.dead); err != nil {
			return nil, err
		}
		s, err := await(ctx, c, c.client.NewSession, func(s *ssh.Session) { s.Close() })
		if err == nil {
			c.sessions.granted()
			return &session{Session: s, host: h}, nil
		}
		var refused *ssh.OpenChannelError
		if !errors.As(err, &refused) {
			c.sessions.abandoned()
			return nil, err
		}
		if c.sessions.refused() {
			continue
		}
		if doubt > time.Second {
			if c.sessions.holds() {
				return nil, ops.Errorf(ops.CodeFailed, "the node allows too few sessions on a connection for files and commands at once").
					WithHint("in the node's sshd_config: MaxSessions 10")
			}
			return nil, fmt.Errorf("the node opens no session: %s", refusal(refused))
		}
		select {
		case <-time.After(doubt):
			doubt *= 2
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-c.dead:
			return nil, unreachable(c.target, c.cause)
		}
	}
}

func (s *session) close() {
	s.once.Do(func() {
		s.Close()
		s.host.conn.sessions.closed()
	})
}

// process is a command to run in a session.
type process struct {
	line     string // for a POSIX shell
	as       become // who may kill it
	in       io.Reader
	out, err io.Writer
}

// pidMark begins the line by which sh tells its process id, on both streams, before it becomes the command. sshd makes it the leader of
// a process group.
const pidMark = "mosparoctl-pid "

// run starts p and waits for its end and for all of its output. When ctx ends it kills p.
func (s *session) run(ctx context.Context, p process) error {
	dead := s.host.conn.dead
	in, err := s.StdinPipe()
	if err != nil {
		return err
	}
	greeting, mark := &greetingFilter{w: p.out}, &pidFilter{w: p.err}
	out, errOut := &gate{w: greeting}, &gate{w: mark}
	s.Stdout, s.Stderr = out, errOut
	// What comes after a command was given up must not reach writers that the caller uses again.
	defer func() { out.shut(); errOut.shut() }()
	line := loginLine("echo " + pidMark + "$$; echo " + pidMark + "$$ >&2; " + p.line)
	if _, err := await(ctx, s.host.conn, func() (struct{}, error) { return struct{}{}, s.Start(line) }, nil); err != nil {
		if err.Error() == "ssh: command "+line+" failed" {
			return errors.New("the node runs no commands for this login (ForceCommand, or a login shell that refuses?)")
		}
		return err
	}
	go func() {
		if p.in != nil {
			// An error means that the command doesn't read any more, which its exit status tells better.
			_, _ = io.Copy(in, p.in)
		}
		in.Close()
	}()
	ended := make(chan error, 1)
	go func() { ended <- s.Wait() }()
	select {
	case err := <-ended:
		out.do(greeting.flush)
		errOut.do(mark.flush)
		return err
	case <-dead:
		return unreachable(s.host.conn.target, s.host.conn.cause)
	case <-ctx.Done():
	}
	for _, signal := range []ssh.Signal{ssh.SIGTERM, ssh.SIGKILL} {
		var pid string
		errOut.do(func() { pid = mark.pid })
		if s.kill(ctx, signal, pid, p.as, ended) {
			break
		}
	}
	return ctx.Err()
}

// kill sends a signal to the command's process group and reports whether the command has ended. sshd delivers signals since
// OpenSSH 7.9, but not where root has logged in, nor to commands under sudo: a second session sends them there.
func (s *session) kill(ctx context.Context, signal ssh.Signal, pid string, as become, ended <-chan error) bool {
	go func() { _ = s.Signal(signal) }()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), killGrace)
	defer cancel()
	if pid != "" {
		go func() {
			line, err := commandLine(ops.Command{Argv: []string{"sh", "-c", `kill -s "$1" -- "-$2"`, "sh", string(signal), pid}}, as)
			if err != nil {
				return
			}
			killer, err := s.host.session(ctx)
			if err != nil {
				return
			}
			defer killer.close()
			_ = killer.Run(line) // the command may have ended by itself
		}()
	}
	select {
	case <-ended: //nolint:errcheck // that it ended is all that counts
		return true
	case <-s.host.conn.dead:
		return true
	case <-ctx.Done():
		return false
	}
}

// pidFilter takes the line with the process id out of a stream. What login scripts print before it is passed on, and so is
// everything where it never comes.
type pidFilter struct {
	w    io.Writer
	pid  string
	seen bool
	held []byte // the beginning of a line that may be it
}

func (f *pidFilter) Write(p []byte) (int, error) {
	if f.seen {
		return f.w.Write(p)
	}
	f.held = append(f.held, p...)
	for !f.seen {
		i := bytes.IndexByte(f.held, '\n')
		if i < 0 {
			return len(p), f.giveUp()
		}
		line := f.held[:i+1]
		f.held = f.held[i+1:]
		pid, ok := strings.CutPrefix(strings.TrimSpace(string(line)), pidMark)
		if _, err := strconv.Atoi(pid); ok && err == nil {
			f.pid, f.seen = pid, true
			break
		}
		if _, err := f.w.Write(line); err != nil {
			return 0, err
		}
	}
	return passOn(f.w, &f.held, p)
}

// giveUp passes on what is held if it can't become the line any more.
func (f *pidFilter) giveUp() error {
	n := min(len(f.held), len(pidMark))
	if string(f.held[:n]) == pidMark[:n] && len(f.held) < 64 {
		return nil
	}
	_, err := f.w.Write(f.held)
	f.held = nil
	return err
}

// flush passes on what is held at the end of the stream.
func (f *pidFilter) flush() {
	if len(f.held) > 0 {
		_, _ = f.w.Write(f.held) // the command has ended: nobody is left to tell
		f.held = nil
	}
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

// do runs fn while no write is under way.
func (g *gate) do(fn func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	fn()
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
