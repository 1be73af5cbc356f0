package remote

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"
)

// HostKeyState is what known_hosts says of a key that a host has shown.
type HostKeyState string

// The states. Only a known key is ever connected with.
const (
	HostKeyUnknown HostKeyState = "unknown" // no key is known for the host
	HostKeyKnown   HostKeyState = "known"
	HostKeyChanged HostKeyState = "changed" // another key is known
	HostKeyRevoked HostKeyState = "revoked"
)

// hostKeyError says that a host is not trusted.
type hostKeyError struct {
	state  HostKeyState
	target *target
	key    ssh.PublicKey          // what the host has shown; nil if it has none of a known type
	known  []xknownhosts.KnownKey // what was expected instead
	others []string               // types the host has, where key is nil
}

func (e *hostKeyError) Error() string {
	where := e.target.hostKeyAddress()
	known := strings.Join(describeKeys(e.known), ", ")
	switch {
	case e.state == HostKeyUnknown:
		return fmt.Sprintf("the host key of %s is not known: %s %s", where, e.key.Type(), ssh.FingerprintSHA256(e.key))
	case e.state == HostKeyRevoked:
		return fmt.Sprintf("the host key of %s is REVOKED: %s", where, known)
	case e.key == nil:
		return fmt.Sprintf("the host key of %s HAS CHANGED: it shows none of the known types any more (it has %s), known: %s. "+
			"Somebody may be between you and the node", where, strings.Join(e.others, ", "), known)
	}
	return fmt.Sprintf("the host key of %s HAS CHANGED: it shows %s %s, known: %s. Somebody may be between you and the node",
		where, e.key.Type(), ssh.FingerprintSHA256(e.key), known)
}

// hint is what to do about it on the way to node. A changed key must be taken out by hand first, after asking whoever runs the node.
func (e *hostKeyError) hint(node string) string {
	switch e.state {
	case HostKeyUnknown:
		return "mosparoctl hosts trust " + node
	case HostKeyRevoked:
		return "the key was marked as stolen or retired: ask whoever runs the node for a new host key"
	}
	return fmt.Sprintf("only if you know why it changed: ssh-keygen -R %s -f %s && mosparoctl hosts trust %s",
		quote(knownhosts.Normalize(e.target.hostKeyAddress())), quote(e.known[0].Filename), node)
}

// hostKeys checks the host keys of one target against its known_hosts files.
type hostKeys struct {
	target *target
	db     *knownhosts.HostKeyDB
	known  []xknownhosts.KnownKey
	ca     bool // a certificate authority is known for the host
}

// anyAddr stands for the remote address, which known_hosts isn't asked about: names count.
var anyAddr = &net.TCPAddr{IP: net.IPv4zero}

// loadHostKeys reads the known_hosts files that are there.
func loadHostKeys(t *target) (*hostKeys, error) {
	var files []string
	for _, f := range t.knownHosts {
		_, err := os.Stat(f)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read known_hosts: %w", err)
		}
		files = append(files, f)
	}
	db, err := knownhosts.NewDB(files...)
	if err != nil {
		return nil, fmt.Errorf("read known_hosts: %w", err)
	}
	h := &hostKeys{target: t, db: db}
	for _, k := range db.HostKeys(t.hostKeyAddress()) {
		h.ca = h.ca || k.Cert
	}
	var keyErr *xknownhosts.KeyError
	if errors.As(db.HostKeyCallback()(t.hostKeyAddress(), anyAddr, noKey{}), &keyErr) {
		h.known = keyErr.Want
	}
	return h, nil
}

// algorithms is what to ask the host for: the types that are known of it, so that it shows a key that can be compared.
// With a certificate authority any certificate will do, since its type says nothing about the hosts' types. An unknown host is
// asked for a plain key, since that is what can be learnt.
func (h *hostKeys) algorithms() []string {
	algos := h.db.HostKeyAlgorithms(h.target.hostKeyAddress())
	if len(algos) == 0 {
		return plainAlgorithms()
	}
	if h.ca {
		for _, a := range ssh.SupportedAlgorithms().HostKeys {
			if strings.Contains(a, "-cert-") && !slices.Contains(algos, a) {
				algos = append(algos, a)
			}
		}
	}
	return algos
}

// plainAlgorithms are the types of host keys that are not certificates, best first.
func plainAlgorithms() []string {
	return []string{ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
}

// check is the host key callback: nil only for a key that known_hosts vouches for.
func (h *hostKeys) check(_ string, _ net.Addr, key ssh.PublicKey) error {
	err := h.db.HostKeyCallback()(h.target.hostKeyAddress(), anyAddr, key)
	var keyErr *xknownhosts.KeyError
	var revoked *xknownhosts.RevokedError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &revoked):
		return &hostKeyError{state: HostKeyRevoked, target: h.target, key: key, known: []xknownhosts.KnownKey{revoked.Revoked}}
	case errors.As(err, &keyErr) && len(keyErr.Want) == 0:
		return &hostKeyError{state: HostKeyUnknown, target: h.target, key: key}
	case errors.As(err, &keyErr):
		return &hostKeyError{state: HostKeyChanged, target: h.target, key: key, known: keyErr.Want}
	}
	return fmt.Errorf("the host certificate of %s is not accepted: %w", h.target.hostKeyAddress(), err)
}

// noKey asks known_hosts for all it knows: it equals no key.
type noKey struct{}

func (noKey) Type() string                        { return "none" }
func (noKey) Marshal() []byte                     { return nil }
func (noKey) Verify([]byte, *ssh.Signature) error { return errors.New("not a key") }
