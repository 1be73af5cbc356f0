package remote_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/remote"
	"github.com/mosparoctl/mosparoctl/ops/remote/remotetest"
)

// wantUnreachable checks that err is about node, is of the right class and says all of words in error or hint.
func wantUnreachable(t *testing.T, err error, node string, words ...string) {
	t.Helper()
	var e *ops.Error
	if !errors.As(err, &e) || e.Code != ops.CodeUnreachable || e.Node != node {
		t.Errorf("error %v (%#v), want unreachable on %s", err, err, node)
		return
	}
	text := err.Error() + "\nhint: " + ops.HintOf(err)
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("%q is not in:\n%s", w, text)
		}
	}
}

func connectErr(t *testing.T, n *inventory.Node) error {
	t.Helper()
	_, err := pool(t, n).Host(t.Context(), n.Name)
	return err
}

func fingerprint(k *remotetest.Key) string { return ssh.FingerprintSHA256(k.Signer.PublicKey()) }

func readText(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func writeText(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestUnknownHostKeyIsLearntOnlyWhenAsked(t *testing.T) {
	key := remotetest.NewKey()
	s, n := start(t, remotetest.Config{HostKeys: []*remotetest.Key{key, remotetest.NewRSAKey()}})
	before := "other.example.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ3sUrTbzyYjQ1dZbLlsQeVbYVmnmF1FrL1Dl0fHJ0o6" // no newline at its end
	writeText(t, n.SSH.KnownHosts, before)
	p := pool(t, n)
	_, err := p.Host(t.Context(), n.Name)
	wantUnreachable(t, err, "web1", "not known", "ssh-ed25519 "+fingerprint(key), "mosparoctl hosts trust web1")
	if got := readText(t, n.SSH.KnownHosts); got != before {
		t.Fatalf("connecting changed known_hosts: %q", got)
	}
	k, err := p.Fingerprint(t.Context(), "web1")
	if err != nil {
		t.Fatal(err)
	}
	if k.State != remote.HostKeyUnknown || k.Fingerprint != fingerprint(key) || k.Type != "ssh-ed25519" || k.Host != "web1" ||
		k.Address != fmt.Sprintf("[127.0.0.1]:%d", s.Addr().Port) || k.File != n.SSH.KnownHosts {
		t.Errorf("Fingerprint = %+v", k)
	}
	if got := readText(t, n.SSH.KnownHosts); got != before {
		t.Fatalf("showing the fingerprint changed known_hosts: %q", got)
	}
	for range 2 { // the second time there is nothing to learn
		if err := p.Learn(k); err != nil {
			t.Fatal(err)
		}
	}
	line := k.Address + " " + strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key.Signer.PublicKey())))
	if got := readText(t, n.SSH.KnownHosts); got != before+"\n"+line+"\n" {
		t.Errorf("known_hosts is now %q", got)
	}
	if k, err = p.Fingerprint(t.Context(), "web1"); err != nil || k.State != remote.HostKeyKnown {
		t.Errorf("Fingerprint = %+v, %v", k, err)
	}
	if _, err := p.Host(t.Context(), "web1"); err != nil {
		t.Error(err)
	}
}

func TestLearnMakesPrivateFileAndHashes(t *testing.T) {
	s, n := start(t, remotetest.Config{})
	dir := t.TempDir()
	n.SSH.Config, n.SSH.KnownHosts = dir+"/config", dir+"/new/known_hosts"
	writeText(t, n.SSH.Config, "Host *\n  HashKnownHosts yes\n")
	p := pool(t, n)
	k, err := p.Fingerprint(t.Context(), "web1")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Learn(k); err != nil {
		t.Fatal(err)
	}
	text := readText(t, n.SSH.KnownHosts)
	if !strings.HasPrefix(text, "|1|") || strings.Contains(text, "127.0.0.1") {
		t.Errorf("not hashed: %q", text)
	}
	st, err := os.Stat(n.SSH.KnownHosts)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("known_hosts: %v, %v", st.Mode(), err)
	}
	if _, err := p.Host(t.Context(), "web1"); err != nil {
		t.Errorf("%v at %s", err, s.Addr())
	}
}

func TestManyLearnAtOnce(t *testing.T) {
	file := t.TempDir() + "/known_hosts"
	var nodes []*inventory.Node
	for i := range 8 {
		_, n := start(t, remotetest.Config{})
		n.Name = fmt.Sprint("n", i)
		n.SSH.KnownHosts = file
		nodes = append(nodes, n)
	}
	var wg sync.WaitGroup
	errs := make([]error, len(nodes))
	for i, n := range nodes {
		wg.Go(func() {
			p := pool(t, n)
			k, err := p.Fingerprint(t.Context(), n.Name)
			errs[i] = errors.Join(err, p.Learn(k))
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(readText(t, file), "\n"); lines != len(nodes) {
		t.Errorf("known_hosts has %d lines, want %d", lines, len(nodes))
	}
	for _, n := range nodes {
		if err := connectErr(t, n); err != nil {
			t.Error(err)
		}
	}
}

func TestChangedHostKeyIsLoudAndNeverLearnt(t *testing.T) {
	s, n := start(t, remotetest.Config{})
	p := pool(t, n)
	old, err := p.Fingerprint(t.Context(), "web1")
	if err != nil {
		t.Fatal(err)
	}
	known := "# a comment\n" + readText(t, n.SSH.KnownHosts)
	writeText(t, n.SSH.KnownHosts, known)
	for name, key := range map[string]*remotetest.Key{"same type": remotetest.NewKey(), "other type": remotetest.NewECDSAKey()} {
		t.Run(name, func(t *testing.T) {
			if err := s.SetHostKeys(key); err != nil {
				t.Fatal(err)
			}
			where := fmt.Sprintf("%s:2", n.SSH.KnownHosts)
			wantUnreachable(t, connectErr(t, n), "web1", "HAS CHANGED", where, old.Fingerprint, "ssh-keygen -R", "hosts trust web1")
			k, err := p.Fingerprint(t.Context(), "web1")
			if err != nil || k.State != remote.HostKeyChanged || k.Fingerprint != fingerprint(key) || !strings.Contains(strings.Join(k.Known, " "), where) {
				t.Errorf("Fingerprint = %+v, %v", k, err)
			}
			wantUnreachable(t, p.Learn(k), "web1", "HAS CHANGED")
			if got := readText(t, n.SSH.KnownHosts); got != known {
				t.Errorf("known_hosts was changed: %q", got)
			}
		})
	}
	if err := p.Learn(remote.HostKey{}); err == nil {
		t.Error("a made-up key was learnt")
	}
}

func TestRevokedHostKey(t *testing.T) {
	key := remotetest.NewKey()
	_, n := start(t, remotetest.Config{HostKeys: []*remotetest.Key{key}})
	writeText(t, n.SSH.KnownHosts, readText(t, n.SSH.KnownHosts)+"@revoked * "+string(ssh.MarshalAuthorizedKey(key.Signer.PublicKey())))
	wantUnreachable(t, connectErr(t, n), "web1", "REVOKED")
}

func TestKnownTypeIsAskedFor(t *testing.T) {
	rsa := remotetest.NewRSAKey()
	s, n := start(t, remotetest.Config{HostKeys: []*remotetest.Key{rsa}})
	// The server now has better keys too, but only the RSA key is known.
	if err := s.SetHostKeys(remotetest.NewKey(), rsa, remotetest.NewECDSAKey()); err != nil {
		t.Fatal(err)
	}
	connect(t, n)
}

func TestHostCertificates(t *testing.T) {
	ca := remotetest.NewKey()
	// The authority's type is not the host's.
	_, n := start(t, remotetest.Config{HostCA: ca, HostKeys: []*remotetest.Key{remotetest.NewECDSAKey()}})
	connect(t, n)
	_, other := start(t, remotetest.Config{HostCA: remotetest.NewKey()})
	writeText(t, other.SSH.KnownHosts, strings.ReplaceAll(readText(t, n.SSH.KnownHosts), fmt.Sprint(n.SSH.Port), fmt.Sprint(other.SSH.Port)))
	wantUnreachable(t, connectErr(t, other), "web1", "host certificate")
	_, plain := start(t, remotetest.Config{})
	writeText(t, plain.SSH.KnownHosts, strings.ReplaceAll(readText(t, n.SSH.KnownHosts), fmt.Sprint(n.SSH.Port), fmt.Sprint(plain.SSH.Port)))
	wantUnreachable(t, connectErr(t, plain), "web1", "HAS CHANGED")
}

func TestHostKeyAlias(t *testing.T) {
	s, n := start(t, remotetest.Config{})
	dir := t.TempDir()
	n.SSH.Config = dir + "/config"
	writeText(t, n.SSH.Config, "Host *\n  HostKeyAlias front\n")
	wantUnreachable(t, connectErr(t, n), "web1", "not known")
	writeText(t, n.SSH.KnownHosts, strings.Replace(s.KnownHosts(), fmt.Sprintf("[127.0.0.1]:%d", s.Addr().Port), "front", 1))
	connect(t, n)
}

func TestBrokenKnownHosts(t *testing.T) {
	_, n := start(t, remotetest.Config{})
	writeText(t, n.SSH.KnownHosts, readText(t, n.SSH.KnownHosts)+"web9 ssh-ed25519 rubbish\n")
	wantUnreachable(t, connectErr(t, n), "web1", n.SSH.KnownHosts+":2")
}
