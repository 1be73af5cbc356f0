package remote_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mosparoctl/mosparoctl/internal/lab/server"
	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/remote/remotetest"
)

// fakeSudo is a sudo that takes exactly the options that are used, notes what it runs, and runs it as the same user.
const fakeSudo = `#!/bin/sh
[ "$1 $2 $4" = "-n -u --" ] || { echo "sudo: unexpected: $*" >&2; exit 1; }
echo "$3: $5" >>"$SUDO_LOG"
shift 4
SUDO_USED=yes exec "$@"
`

// becomeNode starts a server with script as its sudo. The log of what ran under it is in the second result.
func becomeNode(t *testing.T, script string) (*inventory.Node, string) {
	t.Helper()
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "sudo"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(bin, "log")
	_, n := start(t, remotetest.Config{Env: []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "SUDO_LOG=" + log}})
	n.SSH.Become = true
	return n, log
}

func TestBecomeRun(t *testing.T) {
	n, log := becomeNode(t, fakeSudo)
	h := connect(t, n)
	dir := t.TempDir()
	c := ops.Command{Argv: []string{"sh", "-c", `printf '%s %s %s %s' "$SUDO_USED" "$A" "$PWD" "$1"`, "sh", "it's"}, Env: map[string]string{"A": "a b"}, Dir: dir}
	res, err := h.Run(t.Context(), c)
	if err != nil || string(res.Stdout) != "yes a b "+dir+" it's" {
		t.Errorf("Run = %q, %v", res.Stdout, err)
	}
	c.AsLogin = true
	if res, err = h.Run(t.Context(), c); err != nil || string(res.Stdout) != " a b "+dir+" it's" {
		t.Errorf("as the login user: %q, %v", res.Stdout, err)
	}
	if got := readText(t, log); got != "root: sh\n" {
		t.Errorf("sudo ran %q", got)
	}
	var exit *ops.ExitError
	if _, err := h.Run(t.Context(), ops.Command{Argv: []string{"sh", "-c", "exit 1"}}); !errors.As(err, &exit) || exit.Status != 1 {
		t.Errorf("a failing command gives %v", err)
	}
}

func TestBecomeFiles(t *testing.T) {
	n, log := becomeNode(t, fakeSudo)
	_, err := os.Stat("/usr/lib/openssh/sftp-server")
	server.Need(t, err == nil, fmt.Sprint(err))
	n.SSH.BecomeUser = "www-data"
	h := connect(t, n)
	name := filepath.Join(t.TempDir(), "file")
	if err := h.WriteFile(t.Context(), name, strings.NewReader("x"), ops.Attr{}); err != nil {
		t.Fatal(err)
	}
	if got := readText(t, log); got != "www-data: /usr/lib/openssh/sftp-server\n" {
		t.Errorf("sudo ran %q", got)
	}
}

func TestBecomeRefused(t *testing.T) {
	scripts := map[string]string{
		"password":    "sudo: a password is required",
		"other words": "sudo: il est nécessaire de saisir un mot de passe",
		"not allowed": "sudo: sorry, user deploy is not allowed to execute",
	}
	for name, message := range scripts {
		t.Run(name, func(t *testing.T) {
			n, _ := becomeNode(t, "#!/bin/sh\necho '"+message+"' >&2\nexit 1\n")
			h := connect(t, n)
			_, err := h.Run(t.Context(), ops.Command{Argv: []string{"systemctl", "reload", "x"}})
			wantUnreachable(t, err, "web1", message, "become root", "deploy ALL=(root) NOPASSWD: ALL")
			_, err = h.Lstat(t.Context(), "/")
			wantUnreachable(t, err, "web1", message, "deploy ALL=(root) NOPASSWD: ALL")
		})
	}
	t.Run("no sudo", func(t *testing.T) {
		bin := t.TempDir()
		if err := os.Symlink("/bin/sh", filepath.Join(bin, "sh")); err != nil {
			t.Fatal(err)
		}
		_, n := start(t, remotetest.Config{Env: []string{"PATH=" + bin}})
		n.SSH.Become = true
		_, err := connect(t, n).Run(t.Context(), ops.Command{Argv: []string{"true"}})
		wantUnreachable(t, err, "web1", "sudo", "not found")
	})
	t.Run("no sftp-server", func(t *testing.T) {
		n, _ := becomeNode(t, fakeSudo)
		n.SSH.SFTPServer = "/no/sftp-server"
		_, err := connect(t, n).Lstat(t.Context(), "/")
		wantUnreachable(t, err, "web1", "no sftp-server in: /no/sftp-server", "openssh-sftp-server")
	})
}
