// Package crypt holds the encryption of columns and the hashing of client addresses, as mosparo stores them: NaCl's
// secretbox (XSalsa20-Poly1305) under one key for the whole installation, and Whirlpool.
package crypt

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"golang.org/x/crypto/nacl/secretbox"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/php"
)

const (
	keySize   = 32
	nonceSize = 24
)

// Key is the encryption key of an installation. It does not show itself. Safe for concurrent use; the zero Key is not
// usable.
type Key struct {
	k *[keySize]byte
}

// ParseKey reads the value encryption_key of the configuration file: exactly 64 hex digits, nothing around them.
func ParseKey(s string) (Key, error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != keySize {
		return Key{}, protection.Errorf(protection.CodeInvalid, "encryption key: want %d hex digits, have %d characters", 2*keySize, len(s)).
			WithHint("copy encryption_key from config/env.mosparo.php without blanks or line ends")
	}
	return Key{k: (*[keySize]byte)(b)}, nil
}

// GenerateKey makes a new random key and its text for a configuration file.
func GenerateKey() (Key, string) {
	k := new([keySize]byte)
	_, _ = rand.Read(k[:]) // never fails: crypto/rand ends the process instead
	return Key{k: k}, hex.EncodeToString(k[:])
}

// IsZero reports whether k is no key.
func (k Key) IsZero() bool { return k.k == nil }

const mask = "••••••"

// String hides the key.
func (k Key) String() string { return mask }

// GoString hides the key from %#v.
func (k Key) GoString() string { return "crypt.Key(" + mask + ")" }

// Format hides the key from every verb.
func (k Key) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(mask)) }

// LogValue hides the key from slog.
func (k Key) LogValue() slog.Value { return slog.StringValue(mask) }

var errOpen = errors.New("the key does not open the value")

// Encrypt is the stored form of plain: nonce and box in hex with a bar between. The empty string stays empty, and "0"
// becomes empty, which is what PHP makes of both.
func (k Key) Encrypt(plain string) string {
	if plain == "" || plain == "0" {
		return ""
	}
	var nonce [nonceSize]byte
	_, _ = rand.Read(nonce[:])
	return k.seal(plain, &nonce)
}

func (k Key) seal(plain string, nonce *[nonceSize]byte) string {
	out := make([]byte, 2*nonceSize+1+2*(secretbox.Overhead+len(plain)))
	hex.Encode(out, nonce[:])
	out[2*nonceSize] = '|'
	box := out[2*nonceSize+1:]
	half := box[len(box)/2:] // the box is sealed into the back half and spread over the whole
	secretbox.Seal(half[:0], []byte(plain), nonce, k.k)
	for i, c := range half {
		box[2*i], box[2*i+1] = hexDigits[c>>4], hexDigits[c&15]
	}
	return string(out)
}

const hexDigits = "0123456789abcdef"

// Decrypt opens a stored value; "" and "0" are empty. A value that is no box, and one that the key does not open, is an
// error of CodeKey: PHP takes the latter for empty text and then signs with an empty key, which nobody should copy.
func (k Key) Decrypt(stored string) (string, error) {
	if stored == "" || stored == "0" {
		return "", nil
	}
	if k.k == nil {
		return "", protection.Errorf(protection.CodeKey, "decrypt: there is no key")
	}
	n, box, ok := strings.Cut(stored, "|")
	if !ok || len(n) != 2*nonceSize {
		return "", protection.Errorf(protection.CodeKey, "decrypt: the value is not in the form nonce|box")
	}
	var nonce [nonceSize]byte
	if _, err := hex.Decode(nonce[:], []byte(n)); err != nil {
		return "", protection.Errorf(protection.CodeKey, "decrypt: read nonce: %w", err)
	}
	raw, err := hex.DecodeString(box)
	if err != nil {
		return "", protection.Errorf(protection.CodeKey, "decrypt: read box: %w", err)
	}
	plain, ok := secretbox.Open(nil, raw, &nonce, k.k)
	if !ok {
		return "", protection.Errorf(protection.CodeKey, "decrypt: %w", errOpen).
			WithHint("compare encryption_key with the other nodes: all must have the same")
	}
	return string(plain), nil
}

// EncryptJSON is the stored form of v as compact JSON. Null and the empty array become the empty string, as in PHP.
func (k Key) EncryptJSON(v php.Value) (string, error) {
	if !v.Truthy() {
		return "", nil
	}
	text, err := php.EncodeJSON(v, php.Default)
	if err != nil {
		return "", protection.Errorf(protection.CodeInvalid, "encrypt: %w", err)
	}
	var nonce [nonceSize]byte
	_, _ = rand.Read(nonce[:])
	return k.seal(text, &nonce), nil
}

// DecryptJSON opens a stored value that holds JSON; an empty one is null.
func (k Key) DecryptJSON(stored string) (php.Value, error) {
	text, err := k.Decrypt(stored)
	if err != nil || text == "" {
		return php.Null, err
	}
	v, err := php.DecodeJSON(text)
	if err != nil {
		return php.Null, protection.Errorf(protection.CodeInternal, "decrypt: read JSON: %w", err)
	}
	return v, nil
}
