package remotetest

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"fmt"
	"os"
	"time"

	"golang.org/x/crypto/ssh"
)

// Key is a key pair of a host, a user or a certificate authority.
type Key struct {
	Signer  ssh.Signer
	private any
}

// NewKey makes an Ed25519 key.
func NewKey() *Key {
	_, private, _ := ed25519.GenerateKey(nil) // crypto/rand never fails
	return mustKey(private)
}

// NewECDSAKey makes a key of another type, for hosts that changed theirs.
func NewECDSAKey() *Key {
	private, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader) // crypto/rand never fails
	return mustKey(private)
}

// NewRSAKey makes a 2048 bit RSA key, whose signatures have several algorithms.
func NewRSAKey() *Key {
	private, _ := rsa.GenerateKey(rand.Reader, 2048) // crypto/rand never fails
	return mustKey(private)
}

func mustKey(private any) *Key {
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		panic("remotetest: a fresh key is no key: " + err.Error())
	}
	return &Key{Signer: signer, private: private}
}

// WriteFile writes the private key to path, for its owner only, and the public one beside it.
func (k *Key) WriteFile(path string) error {
	block, err := ssh.MarshalPrivateKey(k.private, "")
	if err != nil {
		return err
	}
	return k.write(path, block)
}

// WriteEncryptedFile is WriteFile with a passphrase.
func (k *Key) WriteEncryptedFile(path, passphrase string) error {
	block, err := ssh.MarshalPrivateKeyWithPassphrase(k.private, "", []byte(passphrase))
	if err != nil {
		return err
	}
	return k.write(path, block)
}

func (k *Key) write(path string, block *pem.Block) error {
	if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
		return err
	}
	return os.WriteFile(path+".pub", ssh.MarshalAuthorizedKey(k.Signer.PublicKey()), 0o644)
}

// Private is the private key in the form that an agent takes.
func (k *Key) Private() any { return k.private }

// Certify writes a certificate for user, signed by k as the certificate authority of user, to path.
func (k *Key) Certify(user *Key, path string, principals ...string) error {
	return k.writeCertificate(user, path, ssh.UserCert, principals)
}

// CertifyHost is Certify for the key of a host that goes by the names principals.
func (k *Key) CertifyHost(host *Key, path string, principals ...string) error {
	return k.writeCertificate(host, path, ssh.HostCert, principals)
}

func (k *Key) writeCertificate(key *Key, path string, kind uint32, principals []string) error {
	signer, err := k.sign(key, kind, principals...)
	if err != nil {
		return err
	}
	return os.WriteFile(path, ssh.MarshalAuthorizedKey(signer.PublicKey()), 0o644)
}

// sign makes a certificate for key that is valid for a day.
func (k *Key) sign(key *Key, kind uint32, principals ...string) (ssh.Signer, error) {
	cert := &ssh.Certificate{
		Key: key.Signer.PublicKey(), CertType: kind, KeyId: "remotetest", ValidPrincipals: principals,
		ValidAfter:  uint64(time.Now().Add(-time.Hour).Unix()),
		ValidBefore: uint64(time.Now().Add(24 * time.Hour).Unix()),
	}
	if err := cert.SignCert(rand.Reader, k.Signer); err != nil {
		return nil, fmt.Errorf("sign certificate: %w", err)
	}
	return ssh.NewCertSigner(cert, key.Signer)
}

// Fingerprint is the SHA256 fingerprint of the public key, as ssh-keygen shows it.
func (k *Key) Fingerprint() string { return ssh.FingerprintSHA256(k.Signer.PublicKey()) }
