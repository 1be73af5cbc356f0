package remote

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mosparoctl/mosparoctl/internal/lab/server"
	"github.com/mosparoctl/mosparoctl/inventory"
)

// home makes a home folder with an ssh_config.
func home(t *testing.T, config string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, ".ssh"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, ".ssh", "config"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// chain is a short form of a target and its jump hosts, nearest first.
func chain(t *target) string {
	if t.jump != nil {
		return chain(t.jump) + " > " + t.user + "@" + t.address()
	}
	return t.user + "@" + t.address()
}

func TestResolve(t *testing.T) {
	const config = `
# our machines
Host web1
    HostName 10.0.0.1
    User deploy
    Port 2222
    IdentityFile ~/.ssh/web_%h
    IdentityFile "%d/keys/%r"
    CertificateFile ~/.ssh/web-cert.pub
    IdentitiesOnly yes
    UserKnownHostsFile ~/.ssh/known_a %d/known_b
    HostKeyAlias web-one
Host web2
    ProxyJump bastion
Host web3
    ProxyJump ops@first:2200,second
Host bastion
    HostName bastion.example.com
    User jump
Host plain
    HostName %h.example.com
Host loop1
    ProxyJump loop2
Host loop2
    ProxyJump loop1
Host piped
    ProxyCommand nc %h %p
Host none
    ProxyJump none
    IdentityAgent none
Host agent
    IdentityAgent ~/agent.sock
Host *
    User everybody
`
	dir := home(t, config)
	r := resolver{home: dir, agent: "/run/agent"}
	resolve := func(address string, s inventory.SSH) (*target, error) { return r.resolve(t.Context(), "n", address, s) }

	t.Run("a host with everything", func(t *testing.T) {
		got, err := resolve("web1", inventory.SSH{})
		if err != nil {
			t.Fatal(err)
		}
		global := []string{"/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"}
		want := &target{
			name: "n", node: "n", alias: "web1", host: "10.0.0.1", port: "2222", user: "deploy",
			identities:   []string{dir + "/.ssh/web_10.0.0.1", dir + "/keys/deploy"},
			certificates: []string{dir + "/.ssh/web-cert.pub"}, identitiesOnly: true, agent: "/run/agent",
			knownHosts:   append([]string{dir + "/.ssh/known_a", dir + "/known_b"}, global...),
			hostKeyAlias: "web-one", timeout: 15 * time.Second, keepalive: 5 * time.Second,
			hashHosts: got.hashHosts, // Debian's /etc/ssh/ssh_config says yes
		}
		if d := cmp.Diff(want, got, cmp.AllowUnexported(target{})); d != "" {
			t.Error(d)
		}
		if got.hostKeyAddress() != "web-one:22" {
			t.Errorf("known_hosts is asked for %q", got.hostKeyAddress())
		}
	})
	t.Run("the inventory wins", func(t *testing.T) {
		got, err := resolve("web1", inventory.SSH{User: "root", Port: 22, Identity: "~/id_%r", KnownHosts: "/k", Timeout: time.Second, Keepalive: time.Minute})
		if err != nil || chain(got) != "root@10.0.0.1:22" || got.identities[0] != dir+"/id_root" || !got.explicit ||
			len(got.knownHosts) != 1 || got.knownHosts[0] != "/k" || got.timeout != time.Second || got.keepalive != time.Minute {
			t.Errorf("%+v, %v", got, err)
		}
	})
	for address, want := range map[string]string{
		"web2": "jump@bastion.example.com:22 > everybody@web2:22", "web3": "ops@first:2200 > everybody@second:22 > everybody@web3:22",
		"plain": "everybody@plain.example.com:22", "::1": "everybody@[::1]:22", "none": "everybody@none:22",
	} {
		if got, err := resolve(address, inventory.SSH{}); err != nil || chain(got) != want {
			t.Errorf("%s: %v, %v, want %s", address, got, err, want)
		}
	}
	if got, err := resolve("web2", inventory.SSH{Jump: "x@[::1]:23", Identity: "/key"}); err != nil || chain(got) != "x@[::1]:23 > everybody@web2:22" || got.jump.identities[0] != "/key" {
		t.Errorf("jump of the inventory: %v, %v", got, err)
	}
	if got, err := resolve("none", inventory.SSH{}); err != nil || got.agent != "" {
		t.Errorf("agent: %v, %v", got, err)
	}
	if got, err := resolve("agent", inventory.SSH{}); err != nil || got.agent != dir+"/agent.sock" {
		t.Errorf("agent: %v, %v", got, err)
	}
	for address, want := range map[string]string{"loop1": "circle", "piped": "ProxyCommand"} {
		if _, err := resolve(address, inventory.SSH{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", address, err, want)
		}
	}
	if _, err := resolve("x", inventory.SSH{Jump: "a,,b"}); err == nil {
		t.Error("an empty jump host was accepted")
	}
	if _, err := resolve("x", inventory.SSH{Jump: "a:no"}); err == nil {
		t.Error("a port that is none was accepted")
	}
	if _, err := resolve("x", inventory.SSH{Config: "/no/such/file"}); err == nil {
		t.Error("a missing config file that was asked for is no error")
	}
}

func TestResolveJumpForEverybody(t *testing.T) {
	r := resolver{home: home(t, "Host *\n  ProxyJump bastion\n  User u\n")}
	got, err := r.resolve(t.Context(), "n", "web1", inventory.SSH{})
	if err != nil || chain(got) != "u@bastion:22 > u@web1:22" {
		t.Errorf("%v, %v", got, err)
	}
}

// TestResolveAsksSSH covers what the parser can't read: ssh itself is asked, and must give the same for what both can.
func TestResolveAsksSSH(t *testing.T) {
	server.Binary(t, "ssh")
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	base := "Host web*\n  HostName 10.0.0.9\n  User deploy\n  Port 2022\n  IdentityFile ~/k_%h\n  IdentityFile /k2\n  HostKeyAlias one\n  ProxyJump u@b:23\n"
	match := write("match", base+"Match host 10.0.0.9 user deploy\n  CertificateFile /c\n")
	include := write("include", fmt.Sprintf("Include %s\n", match))
	parsed := write("parsed", base+"  CertificateFile /c\n")
	r := resolver{home: dir}
	want, err := r.resolve(t.Context(), "n", "web1", inventory.SSH{Config: parsed, KnownHosts: "/kh"})
	if err != nil {
		t.Fatal(err)
	}
	if chain(want) != "u@b:23 > deploy@10.0.0.9:2022" || len(want.certificates) != 1 {
		t.Fatalf("%+v", want)
	}
	for _, file := range []string{match, include} {
		got, err := r.resolve(t.Context(), "n", "web1", inventory.SSH{Config: file, KnownHosts: "/kh"})
		if err != nil {
			t.Fatal(err)
		}
		want.jump, got.jump = nil, nil // ssh names the default keys of the jump host, and more of them
		if d := cmp.Diff(want, got, cmp.AllowUnexported(target{})); d != "" {
			t.Errorf("%s: %s", filepath.Base(file), d)
		}
	}
	if _, err := r.resolve(t.Context(), "n", "-oProxyCommand=x", inventory.SSH{Config: match}); err == nil {
		t.Error("an address that is an option was passed to ssh")
	}
	if _, err := r.resolve(t.Context(), "n", "web1", inventory.SSH{Config: write("bad", "Match nonsense\n  User x\n")}); err == nil {
		t.Error("a config that ssh can't read is no error")
	}
}

func FuzzTokens(f *testing.F) {
	f.Add("%h/%%/%r %x %")
	f.Fuzz(func(t *testing.T, s string) {
		got := tokens{'%': "%", 'h': "host"}.expand(s)
		if !strings.Contains(s, "%") && got != s {
			t.Errorf("%q became %q", s, got)
		}
	})
}
