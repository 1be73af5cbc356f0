package remote_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/mosparoctl/mosparoctl/internal/lab/server"
	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/opstest"
	"github.com/mosparoctl/mosparoctl/ops/remote"
	"github.com/mosparoctl/mosparoctl/ops/remote/remotetest"
)

// These run against OpenSSH's own server.

func sshdNode(t *testing.T, config ...string) (*server.SSHD, *inventory.Node) {
	t.Helper()
	s := server.StartSSHD(t, config...)
	host, port, err := net.SplitHostPort(s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	n := &inventory.Node{Name: "web1", Address: host, SSH: inventory.SSH{User: s.User, Identity: s.Key, KnownHosts: s.KnownHosts, Config: "none"}}
	if n.SSH.Port, err = strconv.Atoi(port); err != nil {
		t.Fatal(err)
	}
	return s, n
}

func TestOpenSSHContract(t *testing.T) {
	_, n := sshdNode(t)
	p := pool(t, n)
	opstest.Contract(t, func(t *testing.T) (ops.Host, string) {
		h, err := p.Host(t.Context(), "web1")
		if err != nil {
			t.Fatal(err)
		}
		return h, t.TempDir()
	})
}

func TestOpenSSHFewSessions(t *testing.T) {
	_, n := sshdNode(t, "MaxSessions 2")
	h := connect(t, n)
	if _, err := h.Lstat(t.Context(), "/"); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	errs := make([]error, 15)
	for i := range errs {
		wg.Go(func() { _, errs[i] = h.Run(t.Context(), ops.Command{Argv: []string{"sleep", "0.01"}}) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
}

// Where SFTP takes the only session that the server allows, a command fails and says why. It does not wait for ever.
func TestOpenSSHOneSession(t *testing.T) {
	_, n := sshdNode(t, "MaxSessions 1")
	h := connect(t, n)
	r, w := io.Pipe()
	out, running := io.Pipe()
	first := make(chan error, 1)
	go func() {
		_, err := h.Run(t.Context(), ops.Command{Argv: []string{"sh", "-c", "echo here; exec cat"}, Stdin: r, Stdout: running})
		first <- err
	}()
	if _, err := io.ReadFull(out, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	refused, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := h.Run(refused, ops.Command{Argv: []string{"true"}}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a second session: %v", err)
	}
	w.Close()
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	if _, err := h.Lstat(t.Context(), "/"); err != nil {
		t.Fatal(err)
	}
	patience, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	_, err := h.Run(patience, ops.Command{Argv: []string{"true"}})
	if err == nil || errors.Is(err, context.DeadlineExceeded) || !strings.Contains(ops.HintOf(err), "MaxSessions") {
		t.Errorf("a command beside SFTP: %v, hint %q", err, ops.HintOf(err))
	}
}

func TestOpenSSHCancelEndsTheCommandThere(t *testing.T) {
	_, n := sshdNode(t)
	h := connect(t, n)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		_, err := h.Run(ctx, ops.Command{Argv: []string{"sh", "-c", "echo $$; exec sleep 600"}, Stdout: w})
		done <- err
	}()
	var pid int
	if _, err := fmt.Fscan(r, &pid); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Run = %v", err)
	}
	waitGone(t, pid)
}

func TestOpenSSHServicesTurnedOff(t *testing.T) {
	t.Run("forwarding", func(t *testing.T) {
		_, n := sshdNode(t, "AllowTcpForwarding no", "AllowStreamLocalForwarding no")
		h := connect(t, n)
		for network, want := range map[string]string{"tcp": "AllowTcpForwarding", "unix": "AllowStreamLocalForwarding"} {
			_, err := h.Dial(t.Context(), network, map[string]string{"tcp": "127.0.0.1:1", "unix": "/none"}[network])
			if ops.CodeOf(err) != ops.CodeFailed || !strings.Contains(ops.HintOf(err), want) {
				t.Errorf("%s: %v, hint %q", network, err, ops.HintOf(err))
			}
		}
	})
	t.Run("exec", func(t *testing.T) {
		_, n := sshdNode(t, "ForceCommand internal-sftp")
		h := connect(t, n)
		if err := h.WriteFile(t.Context(), filepath.Join(t.TempDir(), "f"), strings.NewReader("x"), ops.Attr{}); err != nil {
			t.Error(err)
		}
	})
}

func TestOpenSSHKilled(t *testing.T) {
	s, n := sshdNode(t)
	p := pool(t, n)
	h, err := p.Host(t.Context(), "web1")
	if err != nil {
		t.Fatal(err)
	}
	// The parent of the command's shell is the process that serves the connection.
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		_, err := h.Run(t.Context(), ops.Command{Argv: []string{"sh", "-c", "echo $PPID; exec sleep 600"}, Stdout: w})
		done <- err
	}()
	var pid int
	if _, err := fmt.Fscan(r, &pid); err != nil {
		t.Fatal(err)
	}
	server, err := os.FindProcess(pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	wantUnreachable(t, <-done, "web1", "connection lost")
	if _, err := p.Host(t.Context(), "web1"); err != nil {
		t.Errorf("connecting again to %s: %v", s.Addr, err)
	}
}

func TestOpenSSHCertificates(t *testing.T) {
	dir := t.TempDir()
	userCA, user := remotetest.NewECDSAKey(), remotetest.NewRSAKey()
	ca := filepath.Join(dir, "ca.pub")
	writeText(t, ca, string(ssh.MarshalAuthorizedKey(userCA.Signer.PublicKey())))
	s, n := sshdNode(t, "TrustedUserCAKeys "+ca)
	n.SSH.Identity = filepath.Join(dir, "id")
	if err := errors.Join(user.WriteFile(n.SSH.Identity), userCA.Certify(user, n.SSH.Identity+"-cert.pub", s.User)); err != nil {
		t.Fatal(err)
	}
	connect(t, n)
}

func TestOpenSSHHostCertificate(t *testing.T) {
	dir := t.TempDir()
	hostCA, host := remotetest.NewKey(), remotetest.NewECDSAKey()
	hostKey := filepath.Join(dir, "host")
	if err := errors.Join(host.WriteFile(hostKey), hostCA.CertifyHost(host, hostKey+"-cert.pub", "127.0.0.1")); err != nil {
		t.Fatal(err)
	}
	_, n := sshdNode(t, "HostKey "+hostKey, "HostCertificate "+hostKey+"-cert.pub")
	writeText(t, n.SSH.KnownHosts, "@cert-authority * "+string(ssh.MarshalAuthorizedKey(hostCA.Signer.PublicKey())))
	connect(t, n)
}

func TestOpenSSHJump(t *testing.T) {
	front, frontNode := sshdNode(t)
	_, n := sshdNode(t)
	key, err := os.ReadFile(front.Key + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	// One key for both, known in one file.
	writeText(t, filepath.Join(filepath.Dir(n.SSH.Identity), "authorized_keys"), string(key))
	writeText(t, n.SSH.KnownHosts, readText(t, n.SSH.KnownHosts)+readText(t, frontNode.SSH.KnownHosts))
	n.SSH.Identity, n.SSH.Jump = front.Key, front.User+"@"+front.Addr
	h := connect(t, n)
	if _, err := h.Run(t.Context(), ops.Command{Argv: []string{"true"}}); err != nil {
		t.Error(err)
	}
}

// TestOpenSSHBecome needs root, who may become anybody without a line in sudoers.
func TestOpenSSHBecome(t *testing.T) {
	server.NeedRoot(t, "nobody else becomes anybody without a line in sudoers")
	server.Binary(t, "sudo")
	_, n := sshdNode(t)
	n.SSH.Become, n.SSH.BecomeUser = true, "nobody"
	h := connect(t, n)
	dir, err := os.MkdirTemp("", "become")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	res, err := h.Run(t.Context(), ops.Command{Argv: []string{"id", "-un"}, Dir: dir})
	if err != nil || string(res.Stdout) != "nobody\n" {
		t.Errorf("id = %q, %v", res.Stdout, err)
	}
	name := filepath.Join(dir, "file")
	if err := h.WriteFile(t.Context(), name, strings.NewReader("x"), ops.Attr{Mode: 0o600}); err != nil {
		t.Fatal(err)
	}
	info, err := h.Lstat(t.Context(), name)
	if err != nil || info.UID == 0 {
		t.Errorf("the file belongs to %d, %v", info.UID, err)
	}
}

// The ssh client reaches a node with the arguments that are made for it, also through jump hosts that only the inventory knows.
func TestOpenSSHClient(t *testing.T) {
	front, frontNode := sshdNode(t)
	middle, middleNode := sshdNode(t)
	_, n := sshdNode(t)
	key := readText(t, front.Key+".pub")
	known := readText(t, n.SSH.KnownHosts)
	for _, other := range []*inventory.Node{middleNode, n} {
		writeText(t, filepath.Join(filepath.Dir(other.SSH.Identity), "authorized_keys"), key)
	}
	// A blank and a percent sign in a path are what quoting has to survive.
	dir := filepath.Join(t.TempDir(), "a b%c")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	id, all := filepath.Join(dir, "id"), filepath.Join(dir, "all")
	writeText(t, id, readText(t, front.Key))
	n.SSH.Identity, n.SSH.KnownHosts = strings.ReplaceAll(id, "%", "%%"), strings.ReplaceAll(all, "%", "%%")
	writeText(t, all, known+readText(t, frontNode.SSH.KnownHosts)+readText(t, middleNode.SSH.KnownHosts))
	for _, jump := range []string{"", front.User + "@" + front.Addr, front.User + "@" + front.Addr + "," + middle.User + "@" + middle.Addr} {
		n.SSH.Jump = jump
		out, err := exec.Command("ssh", append(remote.ClientArgs(n), "echo hello")...).CombinedOutput()
		if err != nil || string(out) != "hello\n" {
			t.Errorf("jump %q: %q, %v\n%q", jump, out, err, remote.ClientArgs(n))
		}
	}
	connect(t, n) // the same settings mean the same to a pool
	writeText(t, all, known)
	if out, err := exec.Command("ssh", append(remote.ClientArgs(n), "true")...).CombinedOutput(); err == nil || !strings.Contains(string(out), "Host key verification failed") {
		t.Errorf("an unknown jump host: %q, %v", out, err)
	}
}
