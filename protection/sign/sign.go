// Package sign computes what mosparo's clients and servers prove to each other: HMACs over requests, forms and tokens, the
// hashes of form data, and whether the data that a website received is what its visitor submitted here.
//
// All hashes are lower-case hex SHA-256; keys are the ASCII bytes of the key text.
package sign

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/php"
)

// Hash is the SHA-256 of the bytes of s.
func Hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// HMAC signs a message with a private key.
func HMAC(key, message string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(message))
	return hex.EncodeToString(mac.Sum(nil))
}

// Equal compares two signatures exactly, in a time that does not tell where they differ.
func Equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// NewToken makes a submit token, validation token or key: 32 random bytes as 43 characters of URL-safe base64.
func NewToken() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// JSON is the text that is signed: PHP's json_encode with every `[]` replaced by `{}`, also inside of strings. It fails for
// text that is not UTF-8 and for infinite numbers; such data cannot be signed.
func JSON(v php.Value) (string, error) {
	text, err := php.EncodeJSON(v, php.Default)
	if err != nil {
		return "", err
	}
	return strings.ReplaceAll(text, "[]", "{}"), nil
}

// Request is the signature that the Authorization header of a backend request must carry. path is the route's path without
// host, prefix and query; data the merged parameters of query and body.
func Request(key, path string, data php.Value) (string, error) {
	text, err := JSON(data)
	if err != nil {
		return "", err
	}
	return HMAC(key, path+text), nil
}

// Form signs form data as received, for the verification signature.
func Form(key string, data php.Value) (string, error) {
	text, err := JSON(data)
	if err != nil {
		return "", err
	}
	return HMAC(key, text), nil
}

// Verification is the signature of a successful verification.
func Verification(key, validationToken, formSignature string) string {
	return HMAC(key, HMAC(key, validationToken)+formSignature)
}

// Submission is the signature of a check request by which equal submissions are recognised. It covers names and values,
// independent of their order, but not the honeypot.
func Submission(key string, fields []protection.FormField) (string, error) {
	m := php.NewArray()
	for _, f := range fields {
		if !IsHoneypot(f.Raw) {
			m.Set(f.Key, orEmpty(f.Value))
		}
	}
	return Form(key, Prepare(php.ArrayOf(m)))
}

// ProofOfWork is the hash that belongs to a submit token and the number a visitor has to find.
func ProofOfWork(submitToken string, number int64) string {
	return Hash(submitToken + strconv.FormatInt(number, 10))
}

// Authorization takes the value of an Authorization header apart as mosparo does: an optional "Basic ", base64 of which
// foreign characters are skipped, and exactly two parts at a colon.
func Authorization(header string) (publicKey, signature string, ok bool) {
	header = strings.TrimPrefix(header, "Basic ")
	parts := strings.Split(decodeBase64(header), ":")
	if len(parts) != 2 {
		return "", "", false
	}
	return parts[0], parts[1], true
}

// decodeBase64 is PHP's base64_decode without strict: what is not of the alphabet is skipped, padding ends nothing, and a
// single left-over character is dropped.
func decodeBase64(s string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	var out []byte
	bits, held := uint32(0), 0
	for i := range len(s) {
		v := strings.IndexByte(alphabet, s[i])
		if v < 0 {
			continue
		}
		bits = bits<<6 | uint32(v)
		if held += 6; held >= 8 {
			held -= 8
			out = append(out, byte(bits>>held))
		}
	}
	return string(out)
}
