package cache

import (
	"crypto/md5" //nolint:gosec
	"encoding/hex"
	"reflect"
	"testing"
)

func md5Hex(s string) string {
	sum := md5.Sum([]byte(s)) //nolint:gosec
	return hex.EncodeToString(sum[:])
}

func TestParseRedis(t *testing.T) {
	for dsn, want := range map[string]redisDSN{
		"":                                   {addrs: []string{"localhost:6379"}},
		"redis://localhost":                  {addrs: []string{"localhost:6379"}},
		"redis://pass@h:1":                   {addrs: []string{"h:1"}, password: "pass"},
		"redis://:pass@h":                    {addrs: []string{"h:6379"}, password: "pass"},
		"redis://default:pa%3Ass@h/2":        {addrs: []string{"h:6379"}, password: "pa:ss", db: 2},
		"redis://user:pass@h:7/13?timeout=1": {addrs: []string{"h:7"}, user: "user", password: "pass", db: 13},
		"redis://[::1]:7/":                   {addrs: []string{"[::1]:7"}},
		"redis:///run/redis.sock":            {network: "unix", addrs: []string{"/run/redis.sock"}},
		"redis://pass@/run/redis.sock/13":    {network: "unix", addrs: []string{"/run/redis.sock"}, password: "pass", db: 13},
		"redis:?host[s1:26379]&host[s2]&redis_sentinel=mymaster&dbindex=3&auth=sp": {addrs: []string{"s1:26379", "s2:6379"}, sentinel: "mymaster", sentinelPassword: "sp", db: 3},
		"redis:?host[n1:1]&host[n2:2]&redis_cluster=1&auth=p&failover=error":       {addrs: []string{"n1:1", "n2:2"}, cluster: true, password: "p"},
		"redis:?host[]=h:1": {addrs: []string{"h:1"}},
	} {
		if want.network == "" {
			want.network = "tcp"
		}
		got, err := parseRedis(dsn)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", dsn, got, err)
		}
	}
	for _, bad := range []string{
		"localhost", "http://h", "redis://h:port", "redis://h/x", "redis:?host[a:1]&host[b:1]", "redis:?host[a]&redis_sentinel=m&redis_cluster=1", "redis://h/1?redis_cluster=1",
		"redis://%zz@h", "rediss://h?ssl[cafile]=/nonexistent", "redis://h/1?dbindex=x", "redis:?host[/a.sock]&host[/b.sock]",
	} {
		if d, err := parseRedis(bad); err == nil {
			t.Errorf("%s: %+v", bad, d)
		}
	}
}

func TestParseMemcached(t *testing.T) {
	for dsn, want := range map[string]memcachedDSN{
		"":                        {servers: []memcachedServer{{"localhost", 11211, 0}}},
		"memcached://h:1/50":      {servers: []memcachedServer{{"h", 1, 50}}},
		"memcached:///run/m.sock": {servers: []memcachedServer{{"/run/m.sock", 0, 0}}},
		"memcached:?host[a:11212]&host[b]=33&prefix_key=x&compression=0": {servers: []memcachedServer{{"a", 11212, 0}, {"b", 11211, 33}}, prefix: "x"},
	} {
		got, err := parseMemcached(dsn)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", dsn, got, err)
		}
	}
	for _, bad := range []string{"localhost", "memcached://u:p@h", "memcached://h:x", "memcached:?host[a]=x"} {
		if d, err := parseMemcached(bad); err == nil {
			t.Errorf("%s: %+v", bad, d)
		}
	}
}
