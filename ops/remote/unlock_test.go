package remote_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops/remote"
	"github.com/mosparoctl/mosparoctl/ops/remote/remotetest"
)

// TestLockedKeys wants each encrypted key once, with those that want it, also of jump hosts and balancers; none that is open, held
// by an agent, missing or unreadable.
func TestLockedKeys(t *testing.T) {
	home := t.TempDir()
	file := func(name string) string { return filepath.Join(home, ".ssh", name) }
	if err := os.Mkdir(filepath.Join(home, ".ssh"), 0o700); err != nil {
		t.Fatal(err)
	}
	held := remotetest.NewKey()
	if err := errors.Join(remotetest.NewKey().WriteFile(file("plain")), remotetest.NewKey().WriteEncryptedFile(file("one"), "1"), held.WriteEncryptedFile(file("held"), "2"),
		remotetest.NewRSAKey().WriteEncryptedFile(file("jump"), "3"), remotetest.NewECDSAKey().WriteEncryptedFile(file("id_ecdsa"), "4")); err != nil {
		t.Fatal(err)
	}
	writeText(t, file("rubbish"), "no key")
	writeText(t, file("config"), "Host front\n  IdentityFile "+file("jump")+"\nHost behind\n  ProxyJump front\n  IdentityFile "+file("one")+"\n")
	node := func(name, identity string) *inventory.Node {
		return &inventory.Node{Name: name, Address: name, SSH: inventory.SSH{Identity: identity}}
	}
	d := &inventory.Deployment{Nodes: []*inventory.Node{node("a", file("one")), node("b", file("plain")), node("c", file("held")), node("d", file("rubbish")), node("e", file("none")),
		node("behind", ""), {Name: "here", Address: "local"}},
		Balancers: []inventory.Balancer{{Name: "lb", Node: "lb1"}, {Name: "own", Node: "a"}}}
	p := remote.NewPool(d, remote.Options{Home: home, Agent: runAgent(t, held)})
	defer p.Close()
	want := []remote.LockedKey{{File: file("one"), Nodes: []string{"a", "behind"}}, {File: file("jump"), Nodes: []string{"behind"}}, {File: file("id_ecdsa"), Nodes: []string{"lb1"}}}
	if diff := cmp.Diff(want, p.LockedKeys(t.Context())); diff != "" {
		t.Error(diff)
	}
	if err := p.Unlock(file("one"), []byte("x")); !errors.Is(err, remote.ErrPassphrase) || !strings.Contains(err.Error(), file("one")) {
		t.Errorf("a wrong passphrase: %v", err)
	}
	if err := p.Unlock(file("one"), []byte("1")); err != nil {
		t.Error(err)
	}
	if err := p.Unlock(file("none"), nil); err == nil {
		t.Error("a missing key was opened")
	}
	if diff := cmp.Diff(want[1:], p.LockedKeys(t.Context())); diff != "" {
		t.Error(diff)
	}
}

// TestUnlockedKeyServesLaterLogins logs in again after the connection was lost, when nobody can be asked any more.
func TestUnlockedKeyServesLaterLogins(t *testing.T) {
	s, n := start(t, remotetest.Config{})
	if err := s.UserKey().WriteEncryptedFile(n.SSH.Identity, "open"); err != nil {
		t.Fatal(err)
	}
	p := pool(t, n)
	_, err := p.Host(t.Context(), n.Name)
	wantUnreachable(t, err, n.Name, "needs a passphrase", "ssh-add")
	if err := p.Unlock(n.SSH.Identity, []byte("open")); err != nil {
		t.Fatal(err)
	}
	h, err := p.Host(t.Context(), n.Name)
	if err != nil {
		t.Fatal(err)
	}
	s.Disconnect()
	for err == nil { // until the loss is noticed
		_, err = h.Lstat(t.Context(), "/")
	}
	if _, err := p.Host(t.Context(), n.Name); err != nil {
		t.Errorf("the second login: %v", err)
	}
}
