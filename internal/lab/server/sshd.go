package server

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
)

// SSHD is a running OpenSSH server that lets the current user in with Key.
type SSHD struct {
	Addr       string // host:port
	User       string // the current user
	Key        string // path of the client's private key
	KnownHosts string // path of a known_hosts file that trusts the server
	Dir        string // its folder
	Process    *Process
}

// StartSSHD starts OpenSSH's sshd with own host keys. config are further sshd_config lines.
func StartSSHD(t testing.TB, config ...string) *SSHD {
	t.Helper()
	sshd, keygen := Binary(t, "sshd"), Binary(t, "ssh-keygen")
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	s := &SSHD{Addr: FreeAddress(t), User: u.Username, Dir: shortDir(t)}
	hostKey := filepath.Join(s.Dir, "host_ed25519")
	s.Key = filepath.Join(s.Dir, "id_ed25519")
	for _, key := range []string{hostKey, s.Key} {
		if out, err := exec.Command(keygen, "-q", "-t", "ed25519", "-N", "", "-f", key).CombinedOutput(); err != nil {
			t.Fatalf("ssh-keygen: %v\n%s", err, out)
		}
	}
	if u.Uid == "0" {
		// Debian's sshd wants its privilege separation folder, which only the service's start makes.
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	host, port, _ := net.SplitHostPort(s.Addr)
	pub, err := os.ReadFile(s.Key + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	authorized := writeFile(t, s.Dir, "authorized_keys", string(pub), 0o600)
	hostPub, err := os.ReadFile(hostKey + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	s.KnownHosts = writeFile(t, s.Dir, "known_hosts", fmt.Sprintf("[%s]:%s %s", host, port, hostPub), 0o600)
	// With SHLVL bash reads no ~/.bashrc: what a machine has its users run at login is no matter of ours, and may be slow or greet.
	lines := append(config, "SetEnv SHLVL=1", "ListenAddress "+s.Addr, "HostKey "+hostKey, "AuthorizedKeysFile "+authorized, "PidFile none",
		"UsePAM no", "StrictModes no", "PasswordAuthentication no", "KbdInteractiveAuthentication no", "PermitRootLogin yes",
		"MaxStartups 100", "MaxSessions 100", "Subsystem sftp internal-sftp", "PrintMotd no")
	conf := writeFile(t, s.Dir, "sshd_config", strings.Join(lines, "\n")+"\n", 0o600)
	s.Process = Start(t, sshd, "-D", "-e", "-f", conf)
	s.Process.WaitFor("sshd", Answers("tcp", s.Addr))
	return s
}
