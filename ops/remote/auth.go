package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// keyring holds the key files that were read, so that a passphrase is asked for once. Safe for concurrent use.
type keyring struct {
	passphrase func(file string) ([]byte, error) // nil: nobody to ask

	mu    sync.Mutex
	files map[string]*keyFile
	ask   sync.Mutex // one question at a time

	questions atomic.Int64 // grows when one is asked and when it is answered
}

// keyFile is one private key. For an encrypted one the public half is known before it is opened.
type keyFile struct {
	path   string
	text   []byte
	public ssh.PublicKey
	ring   *keyring

	mu     sync.Mutex
	signer ssh.Signer // nil until opened
}

// load reads a private key file.
func (k *keyring) load(path string) (*keyFile, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if f := k.files[path]; f != nil {
		return f, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	f := &keyFile{path: path, text: text, ring: k}
	signer, err := ssh.ParsePrivateKey(text)
	var locked *ssh.PassphraseMissingError
	switch {
	case err == nil:
		f.signer, f.public = signer, signer.PublicKey()
	case errors.As(err, &locked) && locked.PublicKey != nil:
		f.public = locked.PublicKey
	case errors.As(err, &locked):
		// Old PEM formats hide the public key; ssh-keygen writes it beside.
		if f.public, err = readPublicKey(path + ".pub"); err != nil {
			return nil, fmt.Errorf("key %s is encrypted and has no %s.pub beside it: %w", path, path, err)
		}
	default:
		return nil, fmt.Errorf("read key %s: %w", path, err)
	}
	if k.files == nil {
		k.files = map[string]*keyFile{}
	}
	k.files[path] = f
	return f, nil
}

func readPublicKey(path string) (ssh.PublicKey, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey(text)
	return key, err
}

// PublicKey is the public half.
func (f *keyFile) PublicKey() ssh.PublicKey { return f.public }

// Sign opens the key if need be and signs. The server has accepted the public half by then, so no question is asked in vain.
func (f *keyFile) Sign(rand io.Reader, data []byte) (*ssh.Signature, error) {
	return f.SignWithAlgorithm(rand, data, "")
}

// SignWithAlgorithm signs with one of the algorithms of the key's type.
func (f *keyFile) SignWithAlgorithm(rand io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	signer, err := f.open()
	if err != nil {
		return nil, err
	}
	if s, ok := signer.(ssh.AlgorithmSigner); ok {
		return s.SignWithAlgorithm(rand, data, algorithm)
	}
	return signer.Sign(rand, data)
}

func (f *keyFile) open() (ssh.Signer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.signer != nil {
		return f.signer, nil
	}
	if f.ring.passphrase == nil {
		return nil, fmt.Errorf("key %s needs a passphrase and there is nobody to ask: load it into the agent with ssh-add", f.path)
	}
	f.ring.ask.Lock()
	defer f.ring.ask.Unlock()
	f.ring.questions.Add(1)
	pass, err := f.ring.passphrase(f.path)
	f.ring.questions.Add(1)
	if err != nil {
		return nil, fmt.Errorf("passphrase of key %s: %w", f.path, err)
	}
	signer, err := ssh.ParsePrivateKeyWithPassphrase(f.text, pass)
	if err != nil {
		return nil, fmt.Errorf("open key %s: %w", f.path, err)
	}
	f.signer = signer
	return signer, nil
}

// sameKey reports whether two public keys are one.
func sameKey(a, b ssh.PublicKey) bool { return bytes.Equal(a.Marshal(), b.Marshal()) }

// credentials are the keys that will be tried for one login, in order.
type credentials struct {
	signers []ssh.Signer
	tried   []string // for messages: what each is
	notes   []string // for messages: why something was left out
	agent   net.Conn // open until close
}

func (c *credentials) close() {
	if c.agent != nil {
		c.agent.Close()
	}
}

func (c *credentials) add(s ssh.Signer, what string) {
	for _, have := range c.signers {
		if sameKey(have.PublicKey(), s.PublicKey()) {
			return
		}
	}
	c.signers, c.tried = append(c.signers, s), append(c.tried, what)
}

// credentials collects certificates, key files and the agent's keys for t, as ssh would: configured keys first, because a
// server gives up after a few. A key that both the agent and an encrypted file hold is left to the agent.
func (k *keyring) credentials(ctx context.Context, t *target) (*credentials, error) {
	c := &credentials{}
	agentKeys := c.openAgent(ctx, t)
	held := func(public ssh.PublicKey) ssh.Signer {
		for _, s := range agentKeys {
			if sameKey(s.PublicKey(), public) {
				return s
			}
		}
		return nil
	}
	var signers []ssh.Signer
	var names []string
	for _, path := range t.identities {
		s, err := k.identity(path, held)
		switch {
		case errors.Is(err, fs.ErrNotExist) && !t.explicit:
			continue
		case err != nil && t.explicit:
			c.close()
			return nil, err
		case err != nil:
			c.notes = append(c.notes, err.Error())
			continue
		}
		signers, names = append(signers, s), append(names, "key "+path)
	}
	k.certificates(t, c, append(signers, agentKeys...))
	for i, s := range signers {
		c.add(s, names[i])
	}
	if !t.identitiesOnly {
		for _, s := range agentKeys {
			c.add(s, "agent key "+ssh.FingerprintSHA256(s.PublicKey()))
		}
	}
	return c, nil
}

// identity is the signer for a key file: the agent's where it holds the key, since that asks for no passphrase. The file may
// also be only a public key, which names a key of the agent.
func (k *keyring) identity(path string, held func(ssh.PublicKey) ssh.Signer) (ssh.Signer, error) {
	f, err := k.load(path)
	if err == nil {
		if s := held(f.public); s != nil {
			return s, nil
		}
		return f, nil
	}
	public, pubErr := readPublicKey(path)
	if pubErr != nil {
		public, pubErr = readPublicKey(path + ".pub")
	}
	if pubErr == nil {
		if s := held(public); s != nil {
			return s, nil
		}
	}
	return nil, err
}

// certificates adds the certificates of t whose key is among signers: those of CertificateFile, and NAME-cert.pub beside
// each key file.
func (k *keyring) certificates(t *target, c *credentials, signers []ssh.Signer) {
	files := t.certificates
	for _, path := range t.identities {
		files = append(files[:len(files):len(files)], path+"-cert.pub")
	}
	for i, path := range files {
		public, err := readPublicKey(path)
		if errors.Is(err, fs.ErrNotExist) && i >= len(t.certificates) {
			continue
		}
		cert, ok := public.(*ssh.Certificate)
		switch {
		case err != nil:
			c.notes = append(c.notes, fmt.Sprintf("certificate %s: %v", path, err))
			continue
		case !ok:
			c.notes = append(c.notes, path+" is no certificate")
			continue
		}
		found := false
		for _, s := range signers {
			if !sameKey(s.PublicKey(), cert.Key) {
				continue
			}
			if certSigner, err := ssh.NewCertSigner(cert, s); err == nil {
				c.add(certSigner, "certificate "+path)
				found = true
			}
		}
		if !found {
			c.notes = append(c.notes, "no private key for certificate "+path)
		}
	}
}

// openAgent lists the agent's keys. A missing agent is only a note: key files may do.
func (c *credentials) openAgent(ctx context.Context, t *target) []ssh.Signer {
	if t.agent == "" {
		return nil
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", t.agent)
	if err != nil {
		c.notes = append(c.notes, fmt.Sprintf("ssh agent: %v", err))
		return nil
	}
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	signers, err := agent.NewClient(conn).Signers()
	if err != nil {
		conn.Close()
		c.notes = append(c.notes, fmt.Sprintf("ssh agent: %v", err))
		return nil
	}
	c.agent = conn
	return signers
}

// describe tells what was tried, for the error of a refused login.
func (c *credentials) describe() string {
	tried := "no key was found to try"
	if len(c.tried) > 0 {
		tried = "tried " + strings.Join(c.tried, ", ")
	}
	if len(c.notes) > 0 {
		tried += "; " + strings.Join(c.notes, "; ")
	}
	return tried
}
