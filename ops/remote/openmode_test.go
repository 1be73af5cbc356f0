package remote

import (
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/pkg/sftp"

	"github.com/mosparoctl/mosparoctl/internal/lab/server"
)

// A new file must be its owner's from the first moment: whoever opens it before its mode is set reads what is written to it later.
func TestNewFilesAreClosedFromTheStart(t *testing.T) {
	servers := map[string]func(*testing.T) (io.Reader, io.WriteCloser){"ours": ownServer, "OpenSSH's": opensshServer}
	for name, start := range servers {
		t.Run(name, func(t *testing.T) {
			out, in := start(t)
			c, err := newClient(out, in)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			path := filepath.Join(t.TempDir(), "new")
			f, err := c.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			st, err := os.Stat(path)
			if err != nil || st.Mode() != 0o600 {
				t.Errorf("made with mode %v, %v", st.Mode(), err)
			}
			if _, err := c.Open(path); err != nil {
				t.Errorf("open what is there: %v", err)
			}
		})
	}
}

func ownServer(t *testing.T) (io.Reader, io.WriteCloser) {
	ours, theirs := net.Pipe()
	s, err := sftp.NewServer(theirs)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Serve() }()
	t.Cleanup(func() { s.Close() })
	return ours, ours
}

func opensshServer(t *testing.T) (io.Reader, io.WriteCloser) {
	i := slices.IndexFunc(sftpServers[:], func(p string) bool { _, err := os.Stat(p); return err == nil })
	server.Need(t, i >= 0, "OpenSSH's sftp-server is not installed")
	cmd := exec.Command("sh", "-c", `umask 022 && exec "$0"`, sftpServers[i])
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); _ = cmd.Wait() })
	return out, in
}

func TestWithMode(t *testing.T) {
	open := func(flags, attributes byte) []byte {
		return []byte{0, 0, 0, 21, fxpOpen, 0, 0, 0, 7, 0, 0, 0, 4, '/', 't', 'm', 'p', 0, 0, 0, flags, 0, 0, 0, attributes}
	}
	want := append(open(0x2a, attrPermissions), 0, 0, 1, 0o200)
	want[3] = 25
	if got, ok := withMode(open(0x2a, 0), 0o600); !ok || !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	for name, p := range map[string][]byte{
		"nothing":             nil,
		"an existing file":    open(0x02, 0),
		"attributes are set":  open(0x2a, attrPermissions),
		"content like it":     append(open(0x2a, 0), 0),
		"another packet":      func() []byte { p := open(0x2a, 0); p[4] = 6; return p }(),
		"another name length": func() []byte { p := open(0x2a, 0); p[12] = 5; return p }(),
	} {
		if _, ok := withMode(p, 0o600); ok {
			t.Errorf("%s: changed", name)
		}
	}
}
