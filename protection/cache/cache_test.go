package cache

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/bradfitz/gomemcache/memcache"
	"github.com/redis/go-redis/v9"

	lab "github.com/mosparoctl/mosparoctl/internal/lab/server"
	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/php"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB, o Options) Cache {
	t.Helper()
	c, err := Open(o)
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestMemory(t *testing.T) { contract(t, open(t, Options{Adapter: "memory"})) }

func TestFilesystem(t *testing.T) {
	contract(t, open(t, Options{Path: filepath.Join(t.TempDir(), "new")}))
}

func TestMiniredis(t *testing.T) {
	contract(t, open(t, Options{Adapter: "redis", URL: "redis://" + miniredis.RunT(t).Addr()}))
}

func TestRedis(t *testing.T) {
	addr := lab.Redis(t, "--requirepass", "p@ss:w/rd")
	contract(t, open(t, Options{Adapter: "redis", URL: "redis://p%40ss%3Aw%2Frd@" + addr + "/1"}))
	c := open(t, Options{Adapter: "redis", URL: "redis://:wrong@" + addr})
	if _, _, err := c.Get(t.Context(), "x"); !protection.Is(err, protection.CodeUnavailable) {
		t.Errorf("wrong password: %v", err)
	}
}

func TestRedisSocket(t *testing.T) {
	dir, err := os.MkdirTemp("", "redis")
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	sock := filepath.Join(dir, "redis.sock")
	lab.Redis(t, "--unixsocket", sock)
	contract(t, open(t, Options{Adapter: "redis", URL: "redis://" + sock + "/3"}))
}

func TestRedisTLS(t *testing.T) {
	cert, key := certificate(t)
	addr := lab.FreeAddress(t)
	_, port, _ := net.SplitHostPort(addr)
	lab.Redis(t, "--tls-port", port, "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", cert, "--tls-auth-clients", "no")
	contract(t, open(t, Options{Adapter: "redis", URL: "rediss://" + addr + "?ssl[cafile]=" + cert}))
	contract(t, open(t, Options{Adapter: "redis", URL: "rediss://" + addr + "?ssl[verify_peer]=0"}))
	c := open(t, Options{Adapter: "redis", URL: "rediss://" + addr})
	if _, _, err := c.Get(t.Context(), "x"); err == nil {
		t.Error("an unknown certificate was accepted")
	}
}

func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "lab"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &k.PublicKey, k)
	must(t, err)
	pkcs, err := x509.MarshalPKCS8PrivateKey(k)
	must(t, err)
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	must(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	must(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs}), 0o600))
	return cert, key
}

func TestRedisSentinel(t *testing.T) {
	addr := lab.Redis(t)
	host, port, _ := net.SplitHostPort(addr)
	conf := filepath.Join(t.TempDir(), "sentinel.conf")
	sentinel := lab.FreeAddress(t)
	_, sentinelPort, _ := net.SplitHostPort(sentinel)
	must(t, os.WriteFile(conf, []byte(fmt.Sprintf("port %s\nbind 127.0.0.1\nsentinel monitor mymaster %s %s 1\n", sentinelPort, host, port)), 0o600))
	lab.Start(t, lab.Binary(t, "redis-server"), conf, "--sentinel").WaitFor("sentinel", lab.Answers("tcp", sentinel))
	contract(t, open(t, Options{Adapter: "redis", URL: "redis:?host[" + sentinel + "]&redis_sentinel=mymaster&dbindex=2"}))
}

func TestRedisCluster(t *testing.T) {
	addr := lab.Redis(t, "--cluster-enabled", "yes", "--cluster-config-file", filepath.Join(t.TempDir(), "nodes.conf"))
	c := redis.NewClient(&redis.Options{Addr: addr})
	defer c.Close()
	must(t, c.ClusterAddSlotsRange(t.Context(), 0, 16383).Err())
	for t.Context().Err() == nil {
		if info, err := c.ClusterInfo(t.Context()).Result(); err == nil && strings.Contains(info, "cluster_state:ok") {
			break
		}
	}
	contract(t, open(t, Options{Adapter: "redis", URL: "redis:?host[" + addr + "]&redis_cluster=1"}))
}

func TestMemcached(t *testing.T) {
	one, two := lab.Memcached(t), lab.Memcached(t)
	contract(t, open(t, Options{Adapter: "memcached", URL: "memcached://" + one}))
	contract(t, open(t, Options{Adapter: "memcached", URL: "memcached:?host[" + one + "]&host[" + two + "]=3&prefix_key=pre_"}))
}

// contract is what every adapter must do.
func contract(t *testing.T, c Cache) {
	t.Helper()
	ctx := t.Context()
	if _, ok, err := c.Get(ctx, "missing"); ok || err != nil {
		t.Fatalf("missing: %v, %v", ok, err)
	}
	must(t, c.Delete(ctx, "missing"))
	at := time.Date(2026, 11, 23, 9, 13, 37, 293874000, time.UTC)
	for key, v := range map[string]php.Value{
		"null": php.Null, "text": php.String("abc"), "empty": php.String(""), "zero": php.Int(0), "css": php.String(strings.Repeat("a{b:c}\n é", 5000)),
		KeyNextCleanup: php.DateTime(at), "false": php.Bool(false),
		"p1rc_b5e9c1ad071b3e7fc779cfaa5e523818": php.Map(php.Pair{Key: "ri", Value: php.List(php.Int(1))}, php.Pair{Key: "rpric", Value: php.List()}),
	} {
		for range 2 {
			must(t, c.Set(ctx, key, v, 0))
		}
		got, ok, err := c.Get(ctx, key)
		if err != nil || !ok || php.Serialize(got) != php.Serialize(v) {
			t.Errorf("%s: %v %v %v", key, php.Serialize(got)[:min(50, len(php.Serialize(got)))], ok, err)
		}
		must(t, c.Set(ctx, key, v, time.Hour))
		if _, ok, _ := c.Get(ctx, key); !ok {
			t.Errorf("%s: not there with a ttl", key)
		}
		must(t, c.Delete(ctx, key))
		if _, ok, _ := c.Get(ctx, key); ok {
			t.Errorf("%s: deleted but there", key)
		}
	}
	must(t, SetTime(ctx, c, KeyCleanupStarted, at))
	if got, err := Time(ctx, c, KeyCleanupStarted); err != nil || !got.Equal(at) {
		t.Errorf("time: %v, %v", got, err)
	}
	must(t, SetTime(ctx, c, KeyCleanupStarted, time.Time{}))
	if v, ok, _ := c.Get(ctx, KeyCleanupStarted); !ok || !v.IsNull() {
		t.Errorf("null: %v, %v", v, ok)
	}
	if got, err := Time(ctx, c, "missing"); err != nil || !got.IsZero() {
		t.Errorf("missing time: %v, %v", got, err)
	}
	must(t, c.Set(ctx, KeyNextCleanup, php.String("2026-11-23"), 0))
	if got, err := Time(ctx, c, KeyNextCleanup); err != nil || !got.IsZero() {
		t.Errorf("text for a time: %v, %v", got, err)
	}
	must(t, Ping(ctx, c))
}

func TestTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, err := os.MkdirTemp("", "cache")
		must(t, err)
		defer os.RemoveAll(dir)
		for _, c := range []Cache{NewMemory(), NewFilesystem(dir)} {
			must(t, c.Set(t.Context(), "x", php.Int(1), 90*time.Second))
			time.Sleep(89 * time.Second)
			if _, ok, err := c.Get(t.Context(), "x"); !ok || err != nil {
				t.Errorf("%T: gone too early: %v", c, err)
			}
			time.Sleep(time.Second)
			if _, ok, _ := c.Get(t.Context(), "x"); ok {
				t.Errorf("%T: there too long", c)
			}
		}
	})
	m := miniredis.RunT(t)
	c := open(t, Options{Adapter: "redis", URL: "redis://" + m.Addr()})
	must(t, c.Set(t.Context(), "x", php.Int(1), 1500*time.Millisecond))
	if ttl := m.TTL("x"); ttl != 2*time.Second {
		t.Errorf("redis TTL is %v", ttl)
	}
}

func TestFilesystemLayout(t *testing.T) {
	f := NewFilesystem("/d").(*filesystem)
	for key, want := range map[string]string{
		"mosparoNextCleanup":                                     "@/P/X/-ZxzUKRmXBNiouVz1mRg",
		"mosparoAdditionalCleanup":                               "@/W/0/ZhvG7sAvIVcPRkLrasDQ",
		"mosparoCleanupStartedAt":                                "@/L/0/0r-9F01nFiuTebpsw66A",
		KeyDesignContent("3f2504e0-4f89-41d3-9a0c-0305e82c3301"): "@/W/Y/DwB6H4srjGTCGXliEEqQ",
		"mosparoNextCronJob":                                     "@/Y/B/lDm+yp0BXd2a6smO5Wcg",
		"mosparoCronJobStartedAt":                                "@/2/5/2TM0pyAvO39VeJDA59nA",
		"mosparoGeoIp2LastCronJobRefresh":                        "@/J/R/Eqkf0WBwj0NAMv8Ldycw",
	} {
		if got := f.file(key); got != "/d/"+want {
			t.Errorf("%s: %s, want %s", key, got, want)
		}
	}
	dir := t.TempDir()
	c := NewFilesystem(dir).(*filesystem)
	must(t, SetTime(t.Context(), c, KeyNextCleanup, time.Time{}))
	raw, err := os.ReadFile(c.file(KeyNextCleanup))
	if err != nil || string(raw) != "0\nmosparoNextCleanup\nN;" {
		t.Errorf("file: %q, %v", raw, err)
	}
	st, err := os.Stat(c.file(KeyNextCleanup))
	must(t, err)
	if left := time.Until(st.ModTime()); left < oneYear-time.Hour || left > oneYear {
		t.Errorf("the file's time is %v from now", left)
	}
	for _, broken := range []string{"", "0", "0\n", "0\nother\nN;", "0\nmosparoNextCleanup\nO:8:\"Date", "1\nmosparoNextCleanup\nN;", "0\nmosparoNextCleanup\n"} {
		must(t, os.WriteFile(c.file(KeyNextCleanup), []byte(broken), 0o600))
		if v, ok, err := c.Get(t.Context(), KeyNextCleanup); ok || err != nil {
			t.Errorf("%q: %v %v %v", broken, v, ok, err)
		}
	}
	must(t, os.Remove(c.file(KeyNextCleanup)))
	must(t, os.Mkdir(c.file(KeyNextCleanup), 0o700))
	if _, _, err := c.Get(t.Context(), KeyNextCleanup); !protection.Is(err, protection.CodeUnavailable) {
		t.Errorf("unreadable file: %v", err)
	}
}

// TestDumps reads what mosparo left in redis with igbinary.
func TestDumps(t *testing.T) {
	m := miniredis.RunT(t)
	c := open(t, Options{Adapter: "redis", URL: "redis://" + m.Addr()})
	raw := func(h string) string {
		b, err := hex.DecodeString(strings.ReplaceAll(h, " ", ""))
		must(t, err)
		return string(b)
	}
	must(t, m.Set(KeyCleanupStarted, raw("0000000200")))
	must(t, m.Set(KeyNextCleanup, raw("00000002 17 08 4461746554696d65 14 03 11 04 64617465 11 1a 323032362d31312d32332030393a31333a33372e323933383734 11 0d 74696d657a6f6e655f74797065 06 03 11 08 74696d657a6f6e65 11 03 555443")))
	must(t, m.Set("p1rc_x", "\x00\x00\x00\x02\x14\x02\x11\x02ri\x14\x01\x06\x00\x06\x01\x11\x05rpric\x14\x00"))
	must(t, m.Set("zero", "0"))
	must(t, m.Set("empty", ""))
	must(t, m.Set("broken", "\x00\x00\x00\x02\x14"))
	if v, ok, err := c.Get(t.Context(), KeyCleanupStarted); !ok || !v.IsNull() || err != nil {
		t.Errorf("null: %v %v %v", v, ok, err)
	}
	if at, err := Time(t.Context(), c, KeyNextCleanup); err != nil || !at.Equal(time.Date(2026, 11, 23, 9, 13, 37, 293874000, time.UTC)) {
		t.Errorf("time: %v, %v", at, err)
	}
	if v, ok, _ := c.Get(t.Context(), "p1rc_x"); !ok || php.Serialize(v) != `a:2:{s:2:"ri";a:1:{i:0;i:1;}s:5:"rpric";a:0:{}}` {
		t.Errorf("ids: %s", php.Serialize(v))
	}
	for _, miss := range []string{"zero", "empty", "broken"} {
		if _, ok, err := c.Get(t.Context(), miss); ok || err != nil {
			t.Errorf("%s: %v %v", miss, ok, err)
		}
	}
}

func TestMemcachedVersion(t *testing.T) {
	addr := lab.Memcached(t)
	raw := memcache.New(addr)
	defer raw.Close()
	c := open(t, Options{Adapter: "memcached", URL: "memcached://" + addr})
	must(t, raw.Set(&memcache.Item{Key: ":", Value: []byte(`s:6:"5a8Da:";`)}))
	must(t, SetTime(t.Context(), c, KeyNextCleanup, time.Time{}))
	if item, err := raw.Get("5a8Da:mosparoNextCleanup"); err != nil || string(item.Value) != "N;" || item.Flags != 0 {
		t.Errorf("stored: %+v, %v", item, err)
	}
	must(t, raw.Set(&memcache.Item{Key: ":", Value: []byte("\x00\x00\x00\x02\x11\x065q8Da:")})) // another PHP process cleared it
	if _, ok, err := c.Get(t.Context(), KeyNextCleanup); ok || err != nil {
		t.Errorf("after a clear: %v %v", ok, err)
	}
	must(t, raw.Set(&memcache.Item{Key: "5q8Da:mosparoNextCleanup", Value: []byte(`b:0;`)}))
	if v, ok, _ := c.Get(t.Context(), KeyNextCleanup); !ok || !v.Identical(php.Bool(false)) {
		t.Errorf("with an igbinary version: %v %v", v, ok)
	}
	must(t, raw.Delete(":"))
	must(t, c.Set(t.Context(), "x", php.Null, 0))
	item, err := raw.Get(":")
	must(t, err)
	if v, err := php.Unserialize(string(item.Value)); err != nil || len(item.Value) != 13 || v.Kind() != php.KindString {
		t.Errorf("a new version: %q", item.Value)
	}
}

func phpRun(t *testing.T, script string) string {
	t.Helper()
	out, err := exec.Command(lab.Binary(t, "php"), "-r", script).CombinedOutput()
	if err != nil {
		t.Fatalf("php: %v: %s", err, out)
	}
	return string(out)
}

// TestRingAgainstPHP lets libmemcached place keys on three weighted servers.
func TestRingAgainstPHP(t *testing.T) {
	for _, servers := range []string{
		`[['127.0.0.1', 11211, 1], ['127.0.0.2', 11212, 1], ['cache3', 11211, 1]]`,
		`[['127.0.0.1', 22122, 1], ['127.0.0.2', 11211, 3], ['cache3', 33333, 2]]`,
		`[['10.0.0.1', 11211, 0], ['10.0.0.2', 11211, 0]]`,
	} {
		out := phpRun(t, `$m = new Memcached; $m->setOption(Memcached::OPT_LIBKETAMA_COMPATIBLE, true); $m->addServers(`+servers+`);
			for ($i = 0; $i < 300; $i++) { $s = $m->getServerByKey("5a8Da:key$i"); echo $s['host'], ':', $s['port'], "\n"; }`)
		var list []memcachedServer
		for _, s := range strings.Split(strings.Trim(servers, "[]"), "], [") {
			var m memcachedServer
			parts := strings.Split(s, ", ")
			m.host = strings.Trim(parts[0], "'")
			_, _ = fmt.Sscan(parts[1], &m.port)
			_, _ = fmt.Sscan(parts[2], &m.weight)
			list = append(list, m)
		}
		r, wrong := newRing(list), 0
		for i, want := range strings.Fields(out) {
			got, err := r.PickServer(fmt.Sprintf("5a8Da:key%d", i))
			must(t, err)
			if got.String() != want {
				wrong++
			}
		}
		if wrong > 0 {
			t.Errorf("%s: %d of 300 keys on another server than PHP's", servers, wrong)
		}
	}
}

// TestCompressedByPHP reads large values as ext-memcached stores them.
func TestCompressedByPHP(t *testing.T) {
	addr := lab.Memcached(t)
	host, port, _ := net.SplitHostPort(addr)
	c := open(t, Options{Adapter: "memcached", URL: "memcached://" + addr})
	script := func(kind string) string {
		return `$m = new Memcached; $m->addServer('` + host + `', ` + port + `); $m->setOption(Memcached::OPT_COMPRESSION_TYPE, Memcached::COMPRESSION_` + kind + `);
			$m->set(':', 's:6:"5a8Da:";'); $css = ''; for ($i = 0; $i < 3000; $i++) $css .= '.mosparo__' . ($i * 7919 % 1000) . '{border:3px solid rgb(32, 107, ' . ($i % 256) . ')}';
			foreach (['short' => str_repeat('x', 3000), 'css' => $css, 'far' => $css . random_bytes(20000) . $css . str_repeat("\0", 70000)] as $k => $v) { $m->set("5a8Da:$k", serialize($v)); echo "$k ", md5($v), "\n"; }`
	}
	for _, kind := range []string{"FASTLZ", "ZLIB"} {
		out := phpRun(t, script(kind))
		for _, line := range strings.Split(strings.TrimSpace(out), "\n") {
			key, sum, _ := strings.Cut(line, " ")
			v, ok, err := c.Get(t.Context(), key)
			text, _ := v.Str()
			if err != nil || !ok || md5Hex(text) != sum {
				t.Errorf("%s %s: %d bytes, %v, %v", kind, key, len(text), ok, err)
			}
		}
	}
}

func TestGuard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := &faulty{Cache: NewMemory(), err: unavailable("x", os.ErrDeadlineExceeded)}
		g := &guard{Cache: broken}
		for range 3 {
			if err := g.Set(t.Context(), "x", php.Null, 0); !protection.Is(err, protection.CodeUnavailable) {
				t.Error(err)
			}
		}
		if broken.calls != 1 {
			t.Errorf("the cache was asked %d times", broken.calls)
		}
		time.Sleep(restAfterFailure)
		broken.err = nil
		must(t, g.Set(t.Context(), "x", php.Null, 0))
		must(t, g.Delete(t.Context(), "x"))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		broken.err = context.Canceled
		_ = g.Delete(ctx, "x")
		broken.err = nil
		must(t, g.Delete(t.Context(), "x")) // that a caller gave up is not the cache's fault
	})
}

type faulty struct {
	Cache
	err   error
	calls int
}

func (f *faulty) Set(ctx context.Context, key string, v php.Value, ttl time.Duration) error {
	f.calls++
	if f.err != nil {
		return f.err
	}
	return f.Cache.Set(ctx, key, v, ttl)
}

func (f *faulty) Delete(context.Context, string) error { return f.err }

func TestDown(t *testing.T) {
	for adapter, url := range map[string]string{"redis": "redis://" + lab.FreeAddress(t), "memcached": "memcached://" + lab.FreeAddress(t)} {
		c := open(t, Options{Adapter: adapter, URL: url})
		if _, _, err := c.Get(t.Context(), "x"); !protection.Is(err, protection.CodeUnavailable) {
			t.Errorf("%s: %v", adapter, err)
		}
		if err := Ping(t.Context(), c); !protection.Is(err, protection.CodeUnavailable) {
			t.Errorf("%s: %v", adapter, err)
		}
	}
	if _, err := Open(Options{Adapter: "apcu"}); !protection.Is(err, protection.CodeInvalid) {
		t.Errorf("unknown adapter: %v", err)
	}
}

func FuzzFastLZ(f *testing.F) {
	f.Add([]byte("\x00a\x20\x00"), 10)
	f.Add([]byte("\x21abc\xe0\xff\x01\x02"), 4000)
	f.Fuzz(func(t *testing.T, in []byte, size int) {
		if size < 0 || size > 1<<20 {
			return
		}
		if out, err := fastLZ(in, size); err == nil && len(out) > size {
			t.Fatalf("%d bytes of %d", len(out), size)
		}
	})
}
