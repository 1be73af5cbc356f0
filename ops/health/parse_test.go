package health

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestParseDSN(t *testing.T) {
	for _, tc := range []struct {
		adapter, in string
		want        dsn
	}{
		{"redis", "redis://localhost", dsn{servers: []string{"localhost:6379"}}},
		{"redis", "redis://p%40ss@c.internal:7000/3?lazy=1", dsn{servers: []string{"c.internal:7000"}, password: "p@ss", db: 3, lazy: true}},
		{"redis", "redis://:pw@h", dsn{servers: []string{"h:6379"}, password: "pw"}},
		{"redis", "redis://default:pw@h", dsn{servers: []string{"h:6379"}, password: "pw"}},
		{"redis", "rediss://user:pw@[2001:db8::1]:6380", dsn{servers: []string{"[2001:db8::1]:6380"}, user: "user", password: "pw", tls: true}},
		{"redis", "redis://[2001:db8::1]", dsn{servers: []string{"[2001:db8::1]:6379"}}},
		{"redis", "redis:///run/redis.sock", dsn{servers: []string{"/run/redis.sock"}}},
		{"redis", "redis://pw@/run/redis.sock/13", dsn{servers: []string{"/run/redis.sock"}, password: "pw", db: 13}},
		{"redis", "redis:?host[s1:26379]&host[s2]&redis_sentinel=main&dbindex=4", dsn{servers: []string{"s1:26379", "s2:6379"}, sentinel: "main", db: 4}},
		{"redis", "redis://pw@?host[s1]&redis_sentinel=main", dsn{servers: []string{"s1:6379"}, sentinel: "main", password: "pw"}},
		{"redis", "redis:?host[n1:6379]&host[n2:6379]&redis_cluster=1", dsn{servers: []string{"n1:6379", "n2:6379"}, cluster: true}},
		{"memcached", "memcached://m", dsn{servers: []string{"m:11211"}}},
		{"memcached", "memcached://u:p@m:1/5", dsn{servers: []string{"m:1"}, user: "u", password: "p"}},
		{"memcached", "memcached:///run/m.sock", dsn{servers: []string{"/run/m.sock"}}},
		{"memcached", "memcached:?host[a:11211]&host[b]=3", dsn{servers: []string{"a:11211", "b:11211"}}},
	} {
		got, err := parseDSN(tc.adapter, tc.in)
		if err != nil {
			t.Errorf("%s: %v", tc.in, err)
			continue
		}
		tc.want.adapter = tc.adapter
		if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(dsn{}), cmpopts.IgnoreFields(dsn{}, "options")); diff != "" {
			t.Errorf("%s: %s", tc.in, diff)
		}
		if tc.want.password != "" && strings.Contains(got.storage(), tc.want.password) {
			t.Errorf("%s shows its password: %s", tc.in, got.storage())
		}
	}
	for _, in := range []string{"", "redis", "http://h", "redis:h", "redis://", "redis://h/x", "redis://%zz@h", "redis://h?a=%zz", "redis:?lazy=1",
		"redis://h?dbindex=x"} {
		if d, err := parseDSN("redis", in); err == nil {
			t.Errorf("%q was read as %+v", in, d)
		}
	}
}

func TestLocalServers(t *testing.T) {
	for in, want := range map[string]int{
		"redis://localhost": 1, "redis://127.8.8.8:1": 1, "redis://[::1]": 1, "redis://0.0.0.0": 1, "redis:///run/r.sock": 1, "redis://LOCALHOST.": 1,
		"redis://[::ffff:127.0.0.1]": 1, "redis://10.0.0.1": 0, "redis://cache.localhost.example": 0, "redis:?host[10.0.0.1]&host[localhost]": 1,
	} {
		d, err := parseDSN("redis", in)
		if err != nil || len(d.local()) != want {
			t.Errorf("%s: %v, %v", in, d.local(), err)
		}
	}
}

func FuzzParseDSN(f *testing.F) {
	f.Add("redis://u:secretpw@h:1/2?lazy=1&ssl[cafile]=/x")
	f.Add("memcached:?host[a:1]=2&host[/s]")
	f.Fuzz(func(t *testing.T, s string) {
		for _, adapter := range []string{"redis", "memcached"} {
			d, err := parseDSN(adapter, s)
			if err == nil && len(d.servers) == 0 {
				t.Errorf("%q: no server and no error", s)
			}
			_, _ = d.storage(), d.local()
		}
	})
}

func TestParseDF(t *testing.T) {
	const header = "Filesystem 1024-blocks Used Available Capacity Mounted on\n"
	got, err := parseDF(header + "/dev/sda1 100 50 50 50% /\n/dev/sda1 100 50 50 50% /\ntmpfs 10 9 1 90% /a dir\n\n" +
		header + "/dev/sda1 100 7 93 7% /\ntmpfs 0 0 0 - /a dir\n")
	if err != nil {
		t.Fatal(err)
	}
	want := []diskUse{{"/", 50, 7}, {"/a dir", 90, -1}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(diskUse{})); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{"", header, header + "x\n", header + "a b c d e f\n"} {
		if got, err := parseDF(bad); err == nil {
			t.Errorf("%q was read as %v", bad, got)
		}
	}
	if got := mountName("/var/lib/My Data"); got != "var_lib_my_data" {
		t.Error(got)
	}
}

func TestParseUnix(t *testing.T) {
	at, grain, err := parseUnix("1700000000.000000001")
	if err != nil || grain != 0 || !at.Equal(time.Unix(1700000000, 1)) {
		t.Errorf("got %v %v %v", at, grain, err)
	}
	for _, whole := range []string{"1700000000.N", "1700000000.", "1700000000.%N", "1700000000"} {
		at, grain, err := parseUnix(whole)
		if err != nil || grain != 500*time.Millisecond || !at.Equal(time.Unix(1700000000, 5e8)) {
			t.Errorf("%s: %v %v %v", whole, at, grain, err)
		}
	}
	for _, bad := range []string{"", "date: invalid", "-"} {
		if _, _, err := parseUnix(bad); err == nil {
			t.Errorf("%q was taken for a time", bad)
		}
	}
}

func TestParseFPM(t *testing.T) {
	s := parseFPM("[PHP Modules]\nCore\nPDO\n\n[Zend Modules]\nZend OPcache\n\n[settings]\nPHP Version => 8.2.7\n" +
		"date.timezone => no value => no value\nopcache.validate_timestamps => Off => On\nPHP Version => 9\n")
	want := sapi{name: "fpm", version: "8.2.7", extensions: []string{"core", "pdo", "zend opcache"}}
	if diff := cmp.Diff(want, s, cmp.AllowUnexported(sapi{})); diff != "" {
		t.Error(diff)
	}
}

func TestRound(t *testing.T) {
	for in, want := range map[time.Duration]string{0: "0s", 999: "999ns", 12345 * time.Microsecond: "12.3ms", 1234567 * time.Microsecond: "1.23s",
		61 * time.Second: "1m1s", 1000 * time.Hour: "1000h0m0s"} {
		if got := round(in).String(); got != want {
			t.Errorf("%d: got %s, want %s", in, got, want)
		}
	}
}

func TestOneLine(t *testing.T) {
	if got := oneLine("a\x1b[31m\r\n\tb\x00"); got != "a [31m b" {
		t.Errorf("%q", got)
	}
	if got := oneLine(strings.Repeat("ü", 500)); len([]rune(got)) != 201 {
		t.Errorf("%d runes", len([]rune(got)))
	}
}
