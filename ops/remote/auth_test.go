package remote_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/remote"
	"github.com/mosparoctl/mosparoctl/ops/remote/remotetest"
)

// runAgent starts an SSH agent that holds keys and gives its socket.
func runAgent(t *testing.T, keys ...*remotetest.Key) string {
	t.Helper()
	ring := agent.NewKeyring()
	for _, k := range keys {
		if err := ring.Add(agent.AddedKey{PrivateKey: k.Private()}); err != nil {
			t.Fatal(err)
		}
	}
	socket := filepath.Join(t.TempDir(), "agent")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); _ = agent.ServeAgent(ring, c) }()
		}
	}()
	return socket
}

func hostWith(t *testing.T, o remote.Options, n *inventory.Node) (ops.Host, error) {
	t.Helper()
	if o.Home == "" {
		o.Home = t.TempDir()
	}
	if o.Agent == "" {
		o.Agent = "none"
	}
	p := remote.NewPool(&inventory.Deployment{Nodes: []*inventory.Node{n}}, o)
	t.Cleanup(func() { p.Close() })
	return p.Host(t.Context(), n.Name)
}

func TestLoginWithEachTypeOfKey(t *testing.T) {
	keys := map[string]*remotetest.Key{"ed25519": remotetest.NewKey(), "ecdsa": remotetest.NewECDSAKey(), "rsa": remotetest.NewRSAKey()}
	for name, key := range keys {
		t.Run(name, func(t *testing.T) {
			_, n := start(t, remotetest.Config{UserKeys: []*remotetest.Key{key}})
			connect(t, n)
			encrypted := n.SSH.Identity
			if err := key.WriteEncryptedFile(encrypted, "open"); err != nil {
				t.Fatal(err)
			}
			asked := 0
			o := remote.Options{Passphrase: func(file string) ([]byte, error) {
				asked++
				if file != encrypted {
					t.Errorf("asked for %s", file)
				}
				return []byte("open"), nil
			}}
			if _, err := hostWith(t, o, n); err != nil || asked != 1 {
				t.Errorf("asked %d times, %v", asked, err)
			}
		})
	}
}

func TestPassphraseIsAskedOnceForAllNodes(t *testing.T) {
	key := remotetest.NewKey()
	var nodes []*inventory.Node
	file := filepath.Join(t.TempDir(), "key")
	if err := key.WriteEncryptedFile(file, "open"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b", "c"} {
		_, n := start(t, remotetest.Config{UserKeys: []*remotetest.Key{key}})
		n.Name, n.SSH.Identity = name, file
		nodes = append(nodes, n)
	}
	asked := 0
	p := remote.NewPool(&inventory.Deployment{Nodes: nodes}, remote.Options{
		Home: t.TempDir(), Agent: "none",
		Passphrase: func(string) ([]byte, error) { asked++; return []byte("open"), nil },
	})
	defer p.Close()
	var wg sync.WaitGroup
	errs := make([]error, len(nodes))
	for i, n := range nodes {
		wg.Go(func() { _, errs[i] = p.Host(t.Context(), n.Name) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil || asked != 1 {
		t.Errorf("asked %d times, %v", asked, err)
	}
}

// Typing takes longer than connecting may.
func TestPassphraseTakesItsTime(t *testing.T) {
	s, n := start(t, remotetest.Config{})
	n.SSH.Timeout = 200 * time.Millisecond
	if err := s.UserKey().WriteEncryptedFile(n.SSH.Identity, "open"); err != nil {
		t.Fatal(err)
	}
	asked := 0
	o := remote.Options{Passphrase: func(string) ([]byte, error) {
		asked++
		<-time.After(3 * n.SSH.Timeout)
		return []byte("open"), nil
	}}
	if _, err := hostWith(t, o, n); err != nil || asked != 1 {
		t.Errorf("asked %d times, %v", asked, err)
	}
}

func TestRefusedLogins(t *testing.T) {
	s, n := start(t, remotetest.Config{})
	edit := func(change func(n *inventory.Node)) *inventory.Node {
		c := *n
		change(&c)
		return &c
	}
	dir := t.TempDir()
	other, locked := filepath.Join(dir, "other"), filepath.Join(dir, "locked")
	if err := errors.Join(remotetest.NewKey().WriteFile(other), s.UserKey().WriteEncryptedFile(locked, "x")); err != nil {
		t.Fatal(err)
	}
	writeText(t, filepath.Join(dir, "rubbish"), "no key")
	tests := map[string]struct {
		node  *inventory.Node
		words []string
	}{
		"wrong key":   {edit(func(n *inventory.Node) { n.SSH.Identity = other }), []string{"login as deploy was refused", "publickey", other, "ssh -p"}},
		"wrong user":  {edit(func(n *inventory.Node) { n.SSH.User = "eve" }), []string{"login as eve was refused"}},
		"no key":      {edit(func(n *inventory.Node) { n.SSH.Identity = "" }), []string{"no key was found", "ssh.identity"}},
		"missing key": {edit(func(n *inventory.Node) { n.SSH.Identity = "/no/such/key" }), []string{"/no/such/key"}},
		"rubbish":     {edit(func(n *inventory.Node) { n.SSH.Identity = filepath.Join(dir, "rubbish") }), []string{"rubbish"}},
		"nobody asks": {edit(func(n *inventory.Node) { n.SSH.Identity = locked }), []string{"needs a passphrase", "ssh-add", locked}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) { wantUnreachable(t, connectErr(t, tt.node), "web1", tt.words...) })
	}
	t.Run("wrong passphrase", func(t *testing.T) {
		o := remote.Options{Passphrase: func(string) ([]byte, error) { return []byte("y"), nil }}
		_, err := hostWith(t, o, tests["nobody asks"].node)
		wantUnreachable(t, err, "web1", "open key "+locked)
	})
	t.Run("no agent", func(t *testing.T) {
		_, err := hostWith(t, remote.Options{Agent: "/no/agent"}, tests["no key"].node)
		wantUnreachable(t, err, "web1", "ssh agent", "/no/agent")
	})
}

// A server gives up after a few keys. The error says so, what was tried, and how to name the right one.
func TestAgentWithManyKeys(t *testing.T) {
	_, n := sshdNode(t, "MaxAuthTries 2")
	text, err := os.ReadFile(n.SSH.Identity)
	if err != nil {
		t.Fatal(err)
	}
	right, err := ssh.ParseRawPrivateKey(text)
	if err != nil {
		t.Fatal(err)
	}
	socket := runAgent(t, remotetest.NewKey(), remotetest.NewKey(), remotetest.NewKey())
	c, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := agent.NewClient(c).Add(agent.AddedKey{PrivateKey: right}); err != nil {
		t.Fatal(err)
	}
	public := n.SSH.Identity + ".pub"
	n.SSH.Identity = ""
	_, err = hostWith(t, remote.Options{Agent: socket}, n)
	wantUnreachable(t, err, "web1", "login as", "oo many authentication failures", "tried agent key")
	if !strings.Contains(ops.HintOf(err), "ssh.identity") {
		t.Errorf("hint %q", ops.HintOf(err))
	}
	n.SSH.Identity = public
	if _, err := hostWith(t, remote.Options{Agent: socket}, n); err != nil {
		t.Errorf("with the right one named: %v", err)
	}
}

func TestAgent(t *testing.T) {
	s, n := start(t, remotetest.Config{})
	key := n.SSH.Identity
	n.SSH.Identity = ""
	socket := runAgent(t, remotetest.NewKey(), s.UserKey())
	if _, err := hostWith(t, remote.Options{Agent: socket}, n); err != nil {
		t.Error(err)
	}
	t.Run("opens an encrypted file", func(t *testing.T) {
		if err := s.UserKey().WriteEncryptedFile(key, "x"); err != nil {
			t.Fatal(err)
		}
		c := *n
		c.SSH.Identity = key
		if _, err := hostWith(t, remote.Options{Agent: socket}, &c); err != nil {
			t.Error(err)
		}
	})
	t.Run("only what is named", func(t *testing.T) {
		dir := t.TempDir()
		c := *n
		c.SSH.Config = filepath.Join(dir, "config")
		writeText(t, c.SSH.Config, "Host *\n  IdentitiesOnly yes\n  IdentityFile "+dir+"/none\n")
		_, err := hostWith(t, remote.Options{Agent: socket}, &c)
		wantUnreachable(t, err, "web1", "no key was found")
		// A public key file names a key of the agent.
		writeText(t, c.SSH.Config, "Host *\n  IdentitiesOnly yes\n  IdentityFile "+key+".pub\n")
		if _, err := hostWith(t, remote.Options{Agent: socket}, &c); err != nil {
			t.Error(err)
		}
	})
}

func TestUserCertificates(t *testing.T) {
	ca, user := remotetest.NewKey(), remotetest.NewRSAKey()
	_, n := start(t, remotetest.Config{UserCA: ca})
	dir := t.TempDir()
	n.SSH.Identity = filepath.Join(dir, "id")
	if err := user.WriteFile(n.SSH.Identity); err != nil {
		t.Fatal(err)
	}
	wantUnreachable(t, connectErr(t, n), "web1", "login as deploy was refused")
	if err := ca.Certify(user, n.SSH.Identity+"-cert.pub", "deploy"); err != nil {
		t.Fatal(err)
	}
	connect(t, n)
	t.Run("of CertificateFile with a key of the agent", func(t *testing.T) {
		c := *n
		c.SSH.Identity, c.SSH.Config = "", filepath.Join(dir, "config")
		writeText(t, c.SSH.Config, "Host *\n  CertificateFile "+n.SSH.Identity+"-cert.pub\n")
		if _, err := hostWith(t, remote.Options{Agent: runAgent(t, user)}, &c); err != nil {
			t.Error(err)
		}
		_, err := hostWith(t, remote.Options{}, &c)
		wantUnreachable(t, err, "web1", "no private key for certificate")
	})
	t.Run("of somebody else", func(t *testing.T) {
		if err := ca.Certify(user, n.SSH.Identity+"-cert.pub", "root"); err != nil {
			t.Fatal(err)
		}
		wantUnreachable(t, connectErr(t, n), "web1", "login as deploy was refused", "certificate")
	})
}

func TestConnectErrors(t *testing.T) {
	_, n := start(t, remotetest.Config{})
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections into its queue and never says a word
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	rude, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer rude.Close()
	go func() {
		for {
			c, err := rude.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	at := func(l net.Listener) *inventory.Node {
		c := *n
		c.SSH.Port, c.SSH.Timeout = l.Addr().(*net.TCPAddr).Port, 200*time.Millisecond
		return &c
	}
	wantUnreachable(t, connectErr(t, at(silent)), "web1", "no answer within 200ms", silent.Addr().String())
	wantUnreachable(t, connectErr(t, at(closed)), "web1", "refused", "is sshd running there", closed.Addr().String())
	wantUnreachable(t, connectErr(t, at(rude)), "web1", "ended the connection before the login")

	t.Run("a caller's deadline", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		c := at(silent)
		c.SSH.Timeout = time.Hour
		_, err := pool(t, c).Host(ctx, "web1")
		wantUnreachable(t, err, "web1", "deadline")
	})
	t.Run("a caller gives up", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		c := at(silent)
		c.SSH.Timeout = time.Hour
		time.AfterFunc(20*time.Millisecond, cancel)
		if _, err := pool(t, c).Host(ctx, "web1"); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	t.Run("an unknown node", func(t *testing.T) {
		_, err := pool(t, n).Host(t.Context(), "web7")
		if ops.CodeOf(err) != ops.CodeUsage {
			t.Error(err)
		}
	})
	t.Run("a closed pool", func(t *testing.T) {
		p := pool(t, n)
		p.Close()
		_, err := p.Host(t.Context(), "web1")
		wantUnreachable(t, err, "web1", "closed")
	})
}

func TestJumpHosts(t *testing.T) {
	key := remotetest.NewKey()
	config := func(user string) remotetest.Config {
		return remotetest.Config{User: user, UserKeys: []*remotetest.Key{key}}
	}
	front, _ := start(t, config("jumper"))
	middle, _ := start(t, config("jumper"))
	back, n := start(t, config("deploy"))
	_, second := start(t, config("deploy"))
	second.Name = "web2"
	// The inventory's key and known_hosts serve the jump hosts too.
	list := "jumper@" + front.Addr().String() + ",jumper@" + middle.Addr().String()
	n.SSH.Jump, second.SSH.Jump = list, list
	second.SSH.KnownHosts = n.SSH.KnownHosts

	writeText(t, n.SSH.KnownHosts, back.KnownHosts())
	p := pool(t, n, second)
	_, err := p.Host(t.Context(), "web1")
	wantUnreachable(t, err, "web1", "jump host", "not known", front.Addr().String(), "hosts trust web1")
	// Each machine on the way is shown and learnt in turn.
	var hosts []string
	for range 4 {
		k, err := p.Fingerprint(t.Context(), "web1")
		if err != nil {
			t.Fatal(err)
		}
		hosts = append(hosts, k.Host+" "+string(k.State))
		if err := p.Learn(k); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"jumper@" + front.Addr().String() + " unknown", "jumper@" + middle.Addr().String() + " unknown", "web1 known", "web1 known"}
	if d := cmp.Diff(want, hosts); d != "" {
		t.Error(d)
	}
	k, err := p.Fingerprint(t.Context(), "web2")
	if err != nil || p.Learn(k) != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"web1", "web2"} {
		h, err := p.Host(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if res, err := h.Run(t.Context(), ops.Command{Argv: []string{"pwd"}}); err != nil || len(res.Stdout) == 0 {
			t.Errorf("%s: %q, %v", name, res.Stdout, err)
		}
	}
	// The jump hosts' connections are shared by the nodes: what came before were questions for host keys.
	before := middle.Connections()
	if _, err := p.Host(t.Context(), "web1"); err != nil || middle.Connections() != before {
		t.Errorf("%d new connections, %v", middle.Connections()-before, err)
	}
	t.Run("a jump host that dies takes its nodes along", func(t *testing.T) {
		h, err := p.Host(t.Context(), "web1")
		if err != nil {
			t.Fatal(err)
		}
		front.Disconnect()
		_, err = h.Run(t.Context(), ops.Command{Argv: []string{"sleep", "600"}})
		wantUnreachable(t, err, "web1", "connection lost")
		if _, err := p.Host(t.Context(), "web1"); err != nil {
			t.Errorf("after the jump host is back: %v", err)
		}
	})
	t.Run("a jump host that refuses", func(t *testing.T) {
		front.Faults.RefuseForwarding(true)
		defer front.Faults.RefuseForwarding(false)
		wantUnreachable(t, connectErr(t, n), "web1", "jump host", "prohibited")
	})
	t.Run("a node that is down", func(t *testing.T) {
		back.Close()
		wantUnreachable(t, connectErr(t, n), "web1", "can't reach it", "refused")
	})
}
