package remote

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/mosparoctl/mosparoctl/inventory"
)

// LockedKey is a private key file that is of no use without its passphrase.
type LockedKey struct {
	File  string
	Nodes []string // that would be logged in to with it, or through a jump host with it
}

// ErrPassphrase says that a passphrase does not open a key.
var ErrPassphrase = errors.New("wrong passphrase")

// agentPatience bounds the wait for an agent to list its keys. One that is slower counts as having none.
const agentPatience = 5 * time.Second

// LockedKeys lists the encrypted key files that logins to the deployment's nodes, balancers and jump hosts would try, that no agent
// holds and that are not open yet, in the order of the inventory. It connects to nothing but agents. Settings and files that can't
// be read are left out: the login that needs them tells why.
func (p *Pool) LockedKeys(ctx context.Context) []LockedKey {
	var out []LockedKey
	agents := map[string][]ssh.Signer{} // by socket
	for _, n := range p.machines() {
		t, err := p.target(ctx, n)
		if err != nil {
			continue
		}
		for ; t != nil; t = t.jump {
			if _, asked := agents[t.agent]; !asked {
				agents[t.agent] = agentKeys(ctx, t)
			}
			for _, file := range p.keys.locked(t, agents[t.agent]) {
				i := slices.IndexFunc(out, func(k LockedKey) bool { return k.File == file })
				if i < 0 {
					out, i = append(out, LockedKey{File: file}), len(out)
				}
				if !slices.Contains(out[i].Nodes, n.Name) {
					out[i].Nodes = append(out[i].Nodes, n.Name)
				}
			}
		}
	}
	return out
}

// machines are all that the deployment reaches by SSH.
func (p *Pool) machines() []*inventory.Node {
	var out []*inventory.Node
	for _, n := range p.deployment.Nodes {
		if !n.Local() {
			out = append(out, n)
		}
	}
	for _, b := range p.deployment.Balancers {
		if b.Node == "" || p.deployment.Node(b.Node) != nil {
			continue
		}
		if n, err := p.node(b.Node); err == nil {
			out = append(out, n)
		}
	}
	return out
}

// agentKeys lists the keys of t's agent.
func agentKeys(ctx context.Context, t *target) []ssh.Signer {
	ctx, cancel := context.WithTimeout(ctx, agentPatience)
	defer cancel()
	var c credentials
	defer c.close()
	return c.openAgent(ctx, t)
}

// locked are the key files of t that need a passphrase, where the agent does not hold the key.
func (k *keyring) locked(t *target, agent []ssh.Signer) []string {
	var out []string
	for _, path := range t.identities {
		f, err := k.load(path)
		if err != nil || f.isOpen() || slices.ContainsFunc(agent, func(s ssh.Signer) bool { return sameKey(s.PublicKey(), f.public) }) {
			continue
		}
		out = append(out, path)
	}
	return out
}

// Unlock opens a key file for all logins of the pool from now on, also those after a lost connection. The error is ErrPassphrase
// where another passphrase may do.
func (p *Pool) Unlock(file string, passphrase []byte) error {
	f, err := p.keys.load(file)
	if err != nil {
		return err
	}
	return f.unlock(passphrase)
}

// isOpen reports whether the key can sign.
func (f *keyFile) isOpen() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.signer != nil
}

func (f *keyFile) unlock(passphrase []byte) error {
	signer, err := ssh.ParsePrivateKeyWithPassphrase(f.text, passphrase)
	switch {
	case errors.Is(err, x509.IncorrectPasswordError):
		return fmt.Errorf("open key %s: %w", f.path, ErrPassphrase)
	case err != nil:
		return fmt.Errorf("open key %s: %w", f.path, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.signer = signer
	return nil
}
