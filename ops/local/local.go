// Package local is this machine as a node: commands run as processes, files are this machine's own.
package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"

	"github.com/mosparoctl/mosparoctl/ops"
)

// maxOutput bounds what Run captures of each stream.
const maxOutput = 4 << 20

// stderrTail is how much of stderr an ops.ExitError keeps.
const stderrTail = 4 << 10

// Host is this machine under the name of a node. It implements ops.Host.
type Host struct {
	name string
}

// New makes this machine the node called name.
func New(name string) *Host { return &Host{name: name} }

// Name is the node's name.
func (h *Host) Name() string { return h.name }

// Run runs c as a child process in a process group of its own, which is killed whole when ctx ends.
func (h *Host) Run(ctx context.Context, c ops.Command) (ops.Result, error) {
	if len(c.Argv) == 0 {
		return ops.Result{}, ops.Errorf(ops.CodeFailed, "run command: no command given").On(h.name)
	}
	cmd := exec.CommandContext(ctx, c.Argv[0], c.Argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 2 * time.Second
	cmd.Dir, cmd.Stdin = c.Dir, c.Stdin
	cmd.Env = os.Environ()
	for _, k := range sortedKeys(c.Env) {
		cmd.Env = append(cmd.Env, k+"="+c.Env[k])
	}
	stdout, stderr := &bounded{limit: maxOutput}, &bounded{limit: maxOutput}
	tail := &tailWriter{limit: stderrTail}
	cmd.Stdout = orElse(c.Stdout, stdout)
	cmd.Stderr = io.MultiWriter(orElse(c.Stderr, stderr), tail)
	err := cmd.Run()
	res := ops.Result{Stdout: stdout.buf.Bytes(), Stderr: stderr.buf.Bytes()}
	var exit *exec.ExitError
	switch {
	case err == nil:
		return res, nil
	case ctx.Err() != nil:
		return res, fmt.Errorf("run %s: %w", c.Argv[0], ctx.Err())
	case errors.As(err, &exit):
		return res, &ops.ExitError{Argv: c.Argv, Status: status(exit), Stderr: tail.buf}
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, os.ErrNotExist):
		// What a shell on a remote node would answer, so that callers see one thing.
		return res, &ops.ExitError{Argv: c.Argv, Status: 127, Stderr: []byte(err.Error())}
	}
	return res, fmt.Errorf("run %s: %w", c.Argv[0], err)
}

// status is the exit status as a shell would give it.
func status(e *exec.ExitError) int {
	if ws, ok := e.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return e.ExitCode()
}

// Dial connects from this machine.
func (h *Host) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, network, address)
}

func orElse(w, fallback io.Writer) io.Writer {
	if w != nil {
		return w
	}
	return fallback
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// bounded keeps the first limit bytes and swallows the rest.
type bounded struct {
	buf   bytes.Buffer
	limit int
}

func (b *bounded) Write(p []byte) (int, error) {
	b.buf.Write(p[:min(len(p), b.limit-b.buf.Len())])
	return len(p), nil
}

// tailWriter keeps the last limit bytes.
type tailWriter struct {
	buf   []byte
	limit int
}

func (t *tailWriter) Write(p []byte) (int, error) {
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - t.limit; over > 0 {
		t.buf = append([]byte(nil), t.buf[over:]...)
	}
	return len(p), nil
}
