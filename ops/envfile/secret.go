package envfile

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"strings"

	"github.com/mosparoctl/mosparoctl/ops"
)

// secretKeys are the names of secrets that the patterns of IsSecret don't cover.
var secretKeys = map[string]bool{"secret": true, "app_secret": true, "mailer_dsn": true, "lock_dsn": true, "webcronjobsecretkey": true}

// notSecret are names that a pattern covers and that hold no secret.
var notSecret = map[string]bool{"database_mysql_ssl_key": true} // a path

// IsSecret reports whether the value of a key is a secret by its name, in either file.
func IsSecret(key string) bool {
	k := strings.ToLower(key)
	if notSecret[k] {
		return false
	}
	if secretKeys[k] || strings.HasSuffix(k, "_key") || strings.HasSuffix(k, "_token") || strings.HasSuffix(k, "_dsn") {
		return true
	}
	for _, part := range []string{"password", "passwd", "secret", "license", "encryption", "credential"} {
		if strings.Contains(k, part) {
			return true
		}
	}
	return false
}

// Masker shows values without their secrets. A masked value carries a short fingerprint, so that a change can be seen and
// nothing else: it is keyed, and too short to confirm a guess. The zero Masker shows no fingerprints. Safe for concurrent use.
type Masker struct {
	key []byte
}

// NewMasker makes a Masker. Equal secrets have equal fingerprints where the key is equal: give it something of the
// deployment that does not change and that outsiders don't know, such as its encryption key.
func NewMasker(key string) Masker {
	sum := sha256.Sum256([]byte("mosparoctl env fingerprint\x00" + key))
	return Masker{key: sum[:]}
}

// Value shows the value of key: masked if the key or forced says that it is secret, with only the password masked in a URL.
func (m Masker) Value(key, value string, forced bool) string {
	switch {
	case value == "":
		return ""
	case forced || IsSecret(key):
		return m.mask(value)
	}
	return m.url(value)
}

func (m Masker) mask(value string) string {
	if m.key == nil {
		return ops.Mask
	}
	return ops.Mask + " #" + m.Fingerprint(value)
}

// Fingerprint is four hex digits of a keyed hash of value.
func (m Masker) Fingerprint(value string) string {
	h := hmac.New(sha256.New, m.key)
	h.Write([]byte(value))
	return hex.EncodeToString(h.Sum(nil)[:2])
}

// FileFingerprint is a keyed hash of a whole file, for facts: equal for equal content, and no help in guessing a weak
// password in it.
func (m Masker) FileFingerprint(content []byte) string {
	h := hmac.New(sha256.New, m.key)
	h.Write([]byte("file\x00"))
	h.Write(content)
	return "hmac-sha256:" + hex.EncodeToString(h.Sum(nil)[:16])
}

// url masks what may be secret in a URL: user info (redis takes a lone password as the user) and query values named like secrets. A value
// that looks like a URL with user info and can't be taken apart is masked as a whole.
func (m Masker) url(value string) string {
	scheme, rest, ok := strings.Cut(value, "://")
	if !ok {
		return value
	}
	rest, query, hasQuery := strings.Cut(rest, "?")
	var authority, path string
	var hasPath bool
	// A password may hold an unescaped slash: the user info ends at the last @.
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		info := rest[:at]
		authority, path, hasPath = strings.Cut(rest[at+1:], "/")
		user, password, both := strings.Cut(info, ":")
		if both {
			authority = user + ":" + m.mask(password) + "@" + authority
		} else {
			authority = m.mask(info) + "@" + authority
		}
	} else {
		authority, path, hasPath = strings.Cut(rest, "/")
	}
	out := scheme + "://" + authority
	if hasPath {
		out += "/" + path
	}
	if hasQuery {
		out += "?" + m.query(query)
	}
	return out
}

func (m Masker) query(q string) string {
	parts := strings.Split(q, "&")
	for i, part := range parts {
		name, value, ok := strings.Cut(part, "=")
		if decoded, err := url.QueryUnescape(name); err == nil {
			name = decoded
		}
		if ok && (strings.EqualFold(name, "auth") || strings.EqualFold(name, "auth[]") || strings.EqualFold(name, "pass") || IsSecret(name)) {
			parts[i] = name + "=" + m.mask(value)
		}
	}
	return strings.Join(parts, "&")
}

// Secrets lists what is secret in values, for an ops.Redactor: whole values, and passwords in URLs both as written and decoded.
func Secrets(values map[string]string, forced map[string]bool) []string {
	var found []string
	for key, v := range values {
		if v != "" && (forced[key] || IsSecret(key)) {
			found = append(found, v)
		}
		_, rest, ok := strings.Cut(v, "://")
		if !ok {
			continue
		}
		rest, _, _ = strings.Cut(rest, "?")
		at := strings.LastIndexByte(rest, '@')
		if at <= 0 {
			continue
		}
		user, password, both := strings.Cut(rest[:at], ":")
		if !both {
			password = user
		}
		found = append(found, password)
		if decoded, err := url.QueryUnescape(password); err == nil && decoded != password {
			found = append(found, decoded)
		}
	}
	return found
}

// ConfigSecrets lists what is secret in an env.mosparo.php, as Secrets does.
func ConfigSecrets(c *Config) []string {
	values := map[string]string{}
	for _, e := range c.entries {
		values[e.Key] = e.Value.Text()
	}
	return Secrets(values, nil)
}
