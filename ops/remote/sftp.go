package remote

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"
	"syscall"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"github.com/mosparoctl/mosparoctl/ops"
)

// packetSize and inFlight fill the 2 MiB window of an SSH channel with packets of the size that every server takes.
// One file may fill it; many files share it.
const (
	packetSize = 32 << 10
	inFlight   = 64
)

// sftpServers are the places where distributions put OpenSSH's sftp-server: Debian, Red Hat, Arch and Alpine, BSD.
var sftpServers = [...]string{
	"/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server", "/usr/lib/ssh/sftp-server",
	"/usr/libexec/sftp-server", "/usr/lib/sftp-server",
}

// sftpClient is the SFTP session of a host, opened at the first use and again if the server side has ended.
type sftpClient struct {
	host   *Host
	server string        // path of sftp-server for become; "" looks for it
	turn   chan struct{} // holds one token while somebody opens or looks

	client *sftp.Client // guarded by turn
	ended  chan struct{}
}

// get gives the client, opening the session if need be.
func (s *sftpClient) get(ctx context.Context) (*sftp.Client, error) {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-s.host.conn.dead:
		return nil, s.host.failure("start SFTP", unreachable(s.host.conn.target, s.host.conn.cause))
	}
	if s.client != nil {
		select {
		case <-s.ended:
		default:
			return s.client, nil
		}
	}
	client, ended, err := s.open(ctx)
	if err != nil {
		return nil, s.host.failure("start SFTP", err)
	}
	s.client, s.ended = client, ended
	return client, nil
}

func (s *sftpClient) open(ctx context.Context) (*sftp.Client, chan struct{}, error) {
	h := s.host
	session, err := h.session(ctx)
	if err != nil {
		return nil, nil, h.conn.failed(ctx, err)
	}
	stderr := &lockedTail{tail: tail{limit: stderrTail}}
	session.Stderr = stderr
	client, err := await(ctx, h.conn, func() (*sftp.Client, error) { return s.start(session) }, nil)
	if err != nil {
		session.close()
		if ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
		return nil, nil, s.startError(h.conn.failed(ctx, err), stderr.text())
	}
	h.conn.sessions.hold(1)
	ended := make(chan struct{})
	go func() {
		_ = client.Wait()
		close(ended)
		h.conn.sessions.hold(-1)
		session.close()
	}()
	return client, ended, nil
}

// start asks for the subsystem, or with become runs sftp-server under sudo.
func (s *sftpClient) start(session *session) (*sftp.Client, error) {
	in, err := session.StdinPipe()
	if err != nil {
		return nil, err
	}
	var out io.Reader
	if out, err = session.StdoutPipe(); err != nil {
		return nil, err
	}
	if s.host.become.user == "" {
		err = session.RequestSubsystem("sftp")
	} else if err = session.Start(s.becomeLine()); err == nil {
		out, err = skipGreeting(out)
	}
	if err != nil {
		return nil, err
	}
	return newClient(out, in)
}

// newClient speaks SFTP with a server.
func newClient(out io.Reader, in io.WriteCloser) (*sftp.Client, error) {
	buffered, begin := bufio.NewReader(out), &head{limit: 4}
	client, err := sftp.NewClientPipe(io.TeeReader(buffered, begin), closedFiles{in}, sftp.MaxPacketChecked(packetSize),
		sftp.MaxConcurrentRequestsPerFile(inFlight), sftp.UseConcurrentWrites(true), sftp.UseConcurrentReads(true), sftp.UseFstat(true))
	if err != nil && strings.Contains(err.Error(), "packet too long") { // four letters were read as a length
		rest, _ := buffered.Peek(min(buffered.Buffered(), 200))            // it is there: no error
		text, _, _ := strings.Cut(begin.buf.String()+string(rest), "\x00") // a packet may follow
		return nil, &greetingError{text: strings.TrimSpace(strings.ToValidUTF8(text, "?"))}
	}
	return client, err
}

// greetingError says that text came where SFTP should begin.
type greetingError struct{ text string }

func (e *greetingError) Error() string {
	return fmt.Sprintf("the node prints text where SFTP should begin: %q", e.text)
}

// becomeLine runs the first sftp-server that is there.
func (s *sftpClient) becomeLine() string {
	places := sftpServers[:]
	if s.server != "" {
		places = []string{s.server}
	}
	script := `for p in "$@"; do [ -x "$p" ] && exec ` + strings.Join(s.host.become.sudo(), " ") + ` "$p"; done
echo "no sftp-server in: $*" >&2; exit 127`
	words := append([]string{"sh", "-c", script, "sh"}, places...)
	for i, w := range words {
		words[i] = quote(w)
	}
	return loginLine("echo " + pidMark + "$$; exec " + strings.Join(words, " "))
}

// startError says why SFTP didn't start.
func (s *sftpClient) startError(err error, stderr string) error {
	var known *ops.Error
	if errors.As(err, &known) {
		return err
	}
	h := s.host
	if last := lastLine([]byte(stderr)); last != "" {
		if sudo := h.sudoError(ops.Command{Argv: []string{"sftp-server"}}, &ops.ExitError{Status: 1, Stderr: []byte(last)}); sudo != nil {
			return sudo
		}
		err = errors.New(last)
	}
	hint := "sshd on the node needs a line such as: Subsystem sftp internal-sftp"
	var greeting *greetingError
	switch {
	case errors.As(err, &greeting):
		hint = "the login shell of " + h.conn.target.user + " or one of its scripts prints it: let it print only for terminals, or use internal-sftp"
	case h.become.user != "":
		hint = "install openssh-sftp-server on the node, or set ssh.sftp_server in the inventory"
	}
	return ops.Errorf(ops.CodeUnreachable, "%w", err).WithHint("%s", hint)
}

// lockedTail keeps the end of a stream that is read while it is written.
type lockedTail struct {
	mu sync.Mutex
	tail
}

func (w *lockedTail) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.tail.Write(p)
}

func (w *lockedTail) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.buf)
}

// call runs one request on path and translates its error.
func call[T any](ctx context.Context, h *Host, op, path string, fn func(c *sftp.Client) (T, error), discard func(T)) (T, error) {
	var zero T
	if err := checkPath(op, path); err != nil {
		return zero, err
	}
	client, err := h.sftp.get(ctx)
	if err != nil {
		return zero, err
	}
	v, err := await(ctx, h.conn, func() (T, error) { return fn(client) }, discard)
	if err != nil {
		return zero, h.fileError(ctx, op, path, err)
	}
	return v, nil
}

// do is call for what has no result.
func do(ctx context.Context, h *Host, op, path string, fn func(c *sftp.Client) error) error {
	_, err := call(ctx, h, op, path, func(c *sftp.Client) (struct{}, error) { return struct{}{}, fn(c) }, nil)
	return err
}

// checkPath refuses what would mean another file on the node than here.
func checkPath(op, path string) error {
	if !strings.HasPrefix(path, "/") || strings.IndexByte(path, 0) >= 0 {
		return &fs.PathError{Op: op, Path: path, Err: errors.New("the path is not absolute, or has a NUL byte")}
	}
	return nil
}

// fileError translates an error of pkg/sftp. SFTP version 3 has few status codes; what they don't tell stands in the text of
// servers that send one (OpenSSH only says "Failure").
func (h *Host) fileError(ctx context.Context, op, path string, err error) error {
	var known *ops.Error
	if errors.As(err, &known) {
		return h.failure(op+" "+path, err)
	}
	var status *sftp.StatusError
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.As(err, &status):
		for _, e := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EEXIST, syscall.ENOTEMPTY, syscall.ENOTDIR, syscall.EISDIR, syscall.EROFS, syscall.EXDEV} {
			if strings.Contains(strings.ToLower(status.Error()), e.Error()) {
				return &fs.PathError{Op: op, Path: path, Err: e}
			}
		}
		return &fs.PathError{Op: op, Path: path, Err: fmt.Errorf("refused by the node: %w", err)}
	case errors.Is(err, sftp.ErrSSHFxConnectionLost), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.ErrClosedPipe):
		err = h.conn.failed(ctx, err)
		if errors.As(err, &known) {
			return h.failure(op+" "+path, err)
		}
		e := ops.Errorf(ops.CodeUnreachable, "the SFTP server on the node has ended: %w", err).On(h.name)
		e.Op = op + " " + path
		return e
	}
	var missing *ssh.ExitMissingError
	if errors.As(err, &missing) {
		return h.failure(op+" "+path, h.conn.failed(ctx, err))
	}
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		err = pathErr.Err
	}
	return &fs.PathError{Op: op, Path: path, Err: err}
}
