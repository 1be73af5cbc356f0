package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"

	"github.com/mosparoctl/mosparoctl/ops"
)

// HostKey is the key that a machine has shown, before anything else was said to it.
type HostKey struct {
	Node        string       `json:"node"`    // that was asked for
	Host        string       `json:"host"`    // the machine: the node, or a jump host on the way to it
	Address     string       `json:"address"` // what known_hosts knows it by
	Type        string       `json:"type"`    // such as "ssh-ed25519"
	Fingerprint string       `json:"fingerprint"`
	State       HostKeyState `json:"state"`
	Known       []string     `json:"known,omitempty"` // what known_hosts holds for it instead: "type fingerprint (file:line)"
	File        string       `json:"file"`            // where Learn adds it

	key    ssh.PublicKey
	target *target
}

// Fingerprint asks the machine for its host key without logging in. Where jump hosts lie before the node, it is the key of
// the first machine on the way that isn't trusted yet; the node's own if all are. Errors are *ops.Error with CodeUnreachable.
func (p *Pool) Fingerprint(ctx context.Context, node string) (HostKey, error) {
	n, err := p.node(node)
	if err != nil {
		return HostKey{}, err
	}
	if n.Local() {
		return HostKey{}, ops.Errorf(ops.CodeUsage, "the node is this machine and has no host key").On(node)
	}
	t, err := p.target(ctx, n)
	if err != nil {
		return HostKey{}, onNode(node, "read host key", err)
	}
	k, err := p.firstUntrusted(ctx, t)
	return k, onNode(node, "read host key", err)
}

// firstUntrusted goes along the jump hosts to t.
func (p *Pool) firstUntrusted(ctx context.Context, t *target) (HostKey, error) {
	var via *conn
	if t.jump != nil {
		if k, err := p.firstUntrusted(ctx, t.jump); err != nil || k.State != HostKeyKnown {
			return k, err
		}
		var err error
		if via, err = p.connect(ctx, t.jump); err != nil {
			return HostKey{}, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	return askHostKey(ctx, t, via)
}

// errSeen ends a handshake whose only purpose was the host key.
var errSeen = errors.New("host key seen")

func askHostKey(ctx context.Context, t *target, via *conn) (HostKey, error) {
	hosts, err := loadHostKeys(t)
	if err != nil {
		return HostKey{}, unreachable(t, err)
	}
	var seen ssh.PublicKey
	config := &ssh.ClientConfig{
		User: t.user, HostKeyAlgorithms: hosts.algorithms(),
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error { seen = key; return errSeen },
	}
	_, err = handshake(ctx, t, via, config)
	var negotiation *ssh.AlgorithmNegotiationError
	if errors.As(err, &negotiation) && len(hosts.known) > 0 {
		// None of the known types is offered any more: see what is.
		config.HostKeyAlgorithms = plainAlgorithms()
		_, err = handshake(ctx, t, via, config)
	}
	if !errors.Is(err, errSeen) {
		return HostKey{}, unreachable(t, fmt.Errorf("connect to %s: %w", t.address(), err))
	}
	k := HostKey{
		Node: t.node, Host: t.name, Address: knownhosts.Normalize(t.hostKeyAddress()), Type: seen.Type(),
		Fingerprint: ssh.FingerprintSHA256(seen), State: HostKeyKnown, File: t.knownHosts[0], key: seen, target: t,
	}
	var keyErr *hostKeyError
	switch err := hosts.check("", nil, seen); {
	case errors.As(err, &keyErr):
		k.State = keyErr.state
		k.Known = describeKeys(keyErr.known)
	case err != nil:
		return HostKey{}, unreachable(t, err)
	}
	return k, nil
}

// Learn adds k to known_hosts, so that its machine is trusted from now on. It refuses a key that replaces another one, or that
// was revoked. Learning a known key does nothing. Other processes that learn at the same time are waited for.
func (p *Pool) Learn(k HostKey) error {
	if k.target == nil {
		return errors.New("learn host key: it was not read by Fingerprint")
	}
	if err := os.MkdirAll(filepath.Dir(k.File), 0o700); err != nil {
		return fmt.Errorf("learn host key: %w", err)
	}
	f, err := os.OpenFile(k.File, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("learn host key: %w", err)
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", k.File, err)
	}
	// Again, under the lock: what was unknown when it was shown may be known or contradicted now.
	hosts, err := loadHostKeys(k.target)
	if err != nil {
		return fmt.Errorf("learn host key: %w", err)
	}
	err = hosts.check("", nil, k.key)
	var keyErr *hostKeyError
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &keyErr) || keyErr.state != HostKeyUnknown:
		return unreachable(k.target, err)
	}
	line, err := k.line(f)
	if err == nil {
		// One write to the end of the file: a reader sees the whole line or none.
		_, err = f.WriteString(line)
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		return fmt.Errorf("learn host key: write %s: %w", k.File, err)
	}
	return nil
}

// line is the line to append to f, which may lack the newline at its end.
func (k HostKey) line(f *os.File) (string, error) {
	host := k.Address
	if k.target.hashHosts {
		host = xknownhosts.HashHostname(host)
	}
	line := host + " " + strings.TrimSpace(string(ssh.MarshalAuthorizedKey(k.key))) + "\n"
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil || end == 0 {
		return line, err
	}
	last := make([]byte, 1)
	if _, err := f.ReadAt(last, end-1); err != nil {
		return "", err
	}
	if last[0] != '\n' {
		line = "\n" + line
	}
	return line, nil
}

// describeKeys tells where known keys stand.
func describeKeys(keys []xknownhosts.KnownKey) []string {
	var out []string
	for _, k := range keys {
		out = append(out, fmt.Sprintf("%s %s (%s:%d)", k.Key.Type(), ssh.FingerprintSHA256(k.Key), k.Filename, k.Line))
	}
	return out
}
