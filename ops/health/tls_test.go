package health

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mosparoctl/mosparoctl/internal/lab/server"
)

// certificate makes a self-signed certificate for the names and returns the paths of it and its key.
func certificate(t *testing.T, names ...string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names, IsCA: true,
		BasicConstraintsValid: true, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

func TestRealRedisTLS(t *testing.T) {
	cert, key := certificate(t, "cache.internal")
	other, _ := certificate(t, "cache.internal")
	secure := server.FreeAddress(t)
	_, port, _ := net.SplitHostPort(secure)
	server.Redis(t, "--requirepass", cachePassword, "--tls-port", port, "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", cert,
		"--tls-auth-clients", "no")
	for name, tc := range map[string]struct {
		options string
		want    string // "" is fine
	}{
		"trusted":     {"&ssl[cafile]=" + cert, ""},
		"not checked": {"&ssl[verify_peer]=0", ""},
		"another CA":  {"&ssl[cafile]=" + other, "unknown authority"},
		"no CA":       {"", "unknown authority"},
		"missing CA":  {"&ssl[cafile]=/nonexistent", "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, "admin1")
			m := r.machines[0]
			m.lead("cache.internal:6379", secure)
			m.edit(".env.local", "redis://", "rediss://")
			m.edit(".env.local", "lazy=1", "lazy=1"+tc.options)
			e, _ := result(t, r.check(Filter{Only: []string{"cache-reach"}}), "cache-reach").On("admin1")
			if (tc.want == "") != (e.Verdict == OK) || !strings.Contains(e.Text, tc.want) {
				t.Errorf("%s %q, want %q", e.Verdict, e.Text, tc.want)
			}
		})
	}
}

func testDatabaseTLS(t *testing.T, r *rig, cert string) {
	other, _ := certificate(t, "db.internal")
	m := r.machines[1]
	for _, tc := range []struct {
		env, want string // "" is fine
	}{
		{"DATABASE_MYSQL_SSL=1\nDATABASE_MYSQL_SSL_CA=" + cert + "\nDATABASE_MYSQL_SSL_VERIFY_SERVER_CERT=1\n", ""},
		{"DATABASE_MYSQL_SSL=1\nDATABASE_MYSQL_SSL_CA=" + other + "\n", ""},
		{"DATABASE_MYSQL_SSL=1\nDATABASE_MYSQL_SSL_CA=" + other + "\nDATABASE_MYSQL_SSL_VERIFY_SERVER_CERT=1\n", "unknown authority"},
		{"DATABASE_MYSQL_SSL=1\n", "refuses the user"}, // PHP starts no TLS without a file; the user must use it
		{"DATABASE_MYSQL_SSL=0\nDATABASE_MYSQL_SSL_CA=" + cert + "\n", "refuses the user"},
	} {
		m.write(".env.local", tc.env)
		e, _ := result(t, r.check(Filter{Only: []string{"db-reach"}}), "db-reach").On("app1")
		if (tc.want == "") != (e.Verdict == OK) || !strings.Contains(e.Text, tc.want) {
			t.Errorf("%q: %s %q, want %q", tc.env, e.Verdict, e.Text, tc.want)
		}
	}
}
