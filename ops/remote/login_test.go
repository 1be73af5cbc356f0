package remote_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
)

// sftpServer is where Debian has OpenSSH's.
const sftpServer = "/usr/lib/openssh/sftp-server"

// loginNode is a node whose login shell is shell, and greets whoever comes.
func loginNode(t *testing.T, shell string, config ...string) *inventory.Node {
	t.Helper()
	script := filepath.Join(t.TempDir(), "login")
	writeText(t, script, fmt.Sprintf(`#!/bin/sh
case $SSH_ORIGINAL_COMMAND in
internal-sftp) exec %s;;
esac
echo "Welcome to web1"; printf 'You have mail> '
echo "stale NFS handle" >&2
exec %s -c "$SSH_ORIGINAL_COMMAND"
`, sftpServer, shell))
	if err := os.Chmod(script, 0o755); err != nil {
		t.Fatal(err)
	}
	_, n := sshdNode(t, append(config, "ForceCommand "+script)...)
	return n
}

// words are arguments that some shell reads in a way of its own.
func words() []string {
	return []string{"a b", "it's", `back\slash`, `two\\`, `\'`, `'\''`, "line\nend", "\n", "trailing\\\n", "!bang !1 !!", "$HOME `id` $(id)", "%1",
		"\t", "*", "\xff\xfe", "", `\`, "~", "-n", "{a,b}", "^x^y", "#", "x;y|z&"}
}

// What login shells make of quotes differs: POSIX, csh and fish are the three kinds. Every word arrives as it is, and what a
// login script prints is no part of a command's output.
func TestLoginShells(t *testing.T) {
	for _, shell := range []string{"sh", "bash", "zsh", "tcsh", "fish"} {
		if _, err := exec.LookPath(shell); err != nil {
			if os.Getenv("CI") == "true" {
				t.Errorf("%s is not installed", shell)
			}
			continue
		}
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			h := connect(t, loginNode(t, shell))
			res, err := h.Run(t.Context(), ops.Command{Argv: append([]string{"printf", `%s\0`}, words()...)})
			want := strings.Join(words(), "\x00") + "\x00"
			if err != nil || string(res.Stdout) != want {
				t.Errorf("printf = %q, %v\nwant %q", res.Stdout, err, want)
			}
			c := ops.Command{Argv: []string{"sh", "-c", `cat; i=0; while [ $i -lt "$1" ]; do eval "printf '%s\\0' \"\$X$i\""; i=$((i+1)); done`, "sh"},
				Env: map[string]string{}, Stdin: strings.NewReader("in\x00")}
			for i, w := range words() {
				c.Env["X"+strconv.Itoa(i)] = w
			}
			c.Argv = append(c.Argv, strconv.Itoa(len(words())))
			if res, err := h.Run(t.Context(), c); err != nil || string(res.Stdout) != "in\x00"+want {
				t.Errorf("variables = %q, %v\nwant %q", res.Stdout, err, want)
			}
			dir := filepath.Join(t.TempDir(), "it's\n!")
			if err := h.MkdirAll(t.Context(), dir, ops.Attr{}); err != nil {
				t.Fatal(err)
			}
			if res, err := h.Run(t.Context(), ops.Command{Argv: []string{"pwd"}, Dir: dir}); err != nil || string(res.Stdout) != dir+"\n" {
				t.Errorf("pwd = %q, %v", res.Stdout, err)
			}
		})
	}
}

// A large output that comes in many pieces stays whole behind a greeting.
func TestLoginGreetingAndStream(t *testing.T) {
	h := connect(t, loginNode(t, "sh"))
	var out bytes.Buffer
	c := ops.Command{Argv: []string{"sh", "-c", "seq 200000"}, Stdout: &out}
	if _, err := h.Run(t.Context(), c); err != nil || !bytes.HasPrefix(out.Bytes(), []byte("1\n2\n")) || !bytes.HasSuffix(out.Bytes(), []byte("\n200000\n")) || out.Len() != 1288895 {
		t.Errorf("%d bytes, %.20q…, %v", out.Len(), out.Bytes(), err)
	}
	h = connect(t, loginNode(t, "sh"))
	if res, err := h.Run(t.Context(), ops.Command{Argv: []string{"true"}}); err != nil || len(res.Stdout) != 0 {
		t.Errorf("true printed %q, %v", res.Stdout, err)
	}
}

// With become, sftp-server is a command too, and a greeting before its first packet is skipped.
func TestLoginGreetingAndSFTPServer(t *testing.T) {
	for _, shell := range []string{"sh", "tcsh"} {
		if _, err := exec.LookPath(shell); err != nil {
			continue // TestLoginShells tells
		}
		n := loginNode(t, shell, "SetEnv PATH="+fakeSudoPath(t))
		n.SSH.Become = true
		h := connect(t, n)
		if _, err := h.Lstat(t.Context(), "/"); err != nil {
			t.Errorf("%s: %v", shell, err)
		}
	}
}

// fakeSudoPath is a PATH with a sudo that runs what it is given.
func fakeSudoPath(t *testing.T) string {
	t.Helper()
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "sudo"), []byte("#!/bin/sh\nshift 4\nexec \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return bin + ":" + os.Getenv("PATH")
}

// Text before the first packet of the SFTP subsystem can't be told from a packet: the error says what is wrong.
func TestLoginGreetingBreaksSFTP(t *testing.T) {
	script := filepath.Join(t.TempDir(), "login")
	writeText(t, script, "#!/bin/sh\necho Welcome to web1\nexec "+sftpServer+"\n")
	if err := os.Chmod(script, 0o755); err != nil {
		t.Fatal(err)
	}
	_, n := sshdNode(t, "ForceCommand "+script)
	_, err := connect(t, n).Lstat(t.Context(), "/")
	if ops.CodeOf(err) != ops.CodeUnreachable || !strings.Contains(err.Error(), `"Welcome to web1"`) || !strings.Contains(ops.HintOf(err), "login shell") {
		t.Errorf("error %v, hint %q", err, ops.HintOf(err))
	}
}
