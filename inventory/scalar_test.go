package inventory

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// readOne reads text as the value of k.
func readOne[V any](k kind[V], text string) (V, string) {
	src := &source{name: "x", lines: strings.Split(text, "\n")}
	d := newDecoder(src, nil)
	var v V
	node, _, problem := parseYAML(src, []byte(text))
	if problem != nil {
		return v, problem.Message
	}
	k.read(d, value{node: node, at: place{1, 1}}, &v)
	if len(d.problems) > 0 {
		return v, d.problems[0].Message
	}
	return v, ""
}

func TestDuration(t *testing.T) {
	k := duration(time.Second, 30*24*time.Hour)
	for text, want := range map[string]time.Duration{"1s": time.Second, "1h30m": 90 * time.Minute, "7d": 7 * 24 * time.Hour, `"1.5m"`: 90 * time.Second} {
		if got, problem := readOne(k, text); problem != "" || got != want {
			t.Errorf("%s: %v, %s", text, got, problem)
		}
	}
	for _, text := range []string{"15", "999ms", "31d", "-1s", "1.5", "soon", "99999999999999999999h", "true", "[1s]", `""`} {
		if got, problem := readOne(k, text); problem == "" {
			t.Errorf("%s is read as %v", text, got)
		}
	}
	for d, want := range map[time.Duration]string{10 * time.Minute: "10m", 2 * time.Hour: "2h", 90 * time.Second: "1m30s", 0: "0s", 500 * time.Millisecond: "500ms", 150 * time.Minute: "2h30m"} {
		if got := short(d); got != want {
			t.Errorf("short(%d) = %s, want %s", d, got, want)
		}
	}
}

func TestRate(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "1000": 1000, "5MB": 5_000_000, "512KiB": 512 << 10, "1.5 MB/s": 1_500_000, "1GiB": 1 << 30, "10kB": 10_000, "7B": 7} {
		if got, problem := readOne(rate(), text); problem != "" || got != want {
			t.Errorf("%s: %d, %s", text, got, problem)
		}
	}
	for _, text := range []string{"5M", "5Mb", "-1", "fast", "5 m", "99999999999999GB", "1e6"} {
		if got, problem := readOne(rate(), text); problem == "" {
			t.Errorf("%s is read as %d", text, got)
		}
	}
}

func TestCommand(t *testing.T) {
	for text, want := range map[string][]string{
		"php":                            {"php"},
		"php -d  memory_limit=1G":        {"php", "-d", "memory_limit=1G"},
		`lb "two words" 'it''s' x\ y`:    {"lb", "two words", "its", "x y"},
		`sh -c 'ls | wc -l'`:             {"sh", "-c", "ls | wc -l"},
		`["sh", "-c", "echo $HOME; ls"]`: {"sh", "-c", "echo $HOME; ls"},
		`lb ""`:                          {"lb", ""},
	} {
		got, problem := readOne(command(), text)
		if diff := cmp.Diff(want, got); problem != "" || diff != "" {
			t.Errorf("%s: %s\n%s", text, problem, diff)
		}
		again, message, _ := splitCommand(quoteCommand(got))
		if diff := cmp.Diff(got, again); message != "" || diff != "" {
			t.Errorf("%s: quoted as %s: %s %s", text, quoteCommand(got), message, diff)
		}
	}
	for _, text := range []string{"ls | wc", "echo $HOME", "a && b", "rm *", `'"open'' x`, `x\`, `" "`, "[]", "5", "{a: b}", "[a, 5]", "`id`"} {
		if got, problem := readOne(command(), text); problem == "" {
			t.Errorf("%s is read as %q", text, got)
		}
	}
}

func FuzzCommand(f *testing.F) {
	f.Add("php 'a b' \"c\" d\\ e")
	f.Fuzz(func(t *testing.T, s string) {
		args, message, _ := splitCommand(s)
		if message != "" {
			return
		}
		again, message, _ := splitCommand(quoteCommand(args))
		if diff := cmp.Diff(args, again); message != "" || diff != "" {
			t.Fatalf("%q quoted as %s: %s\n%s", args, quoteCommand(args), message, diff)
		}
	})
}

func TestDSN(t *testing.T) {
	tests := []struct {
		dsn      string
		local    bool
		password bool
		lazy     bool
	}{
		{"redis://cache:6379", false, false, false},
		{"rediss://user:p%40ss@cache.internal:6380/3?lazy=1&ssl[verify_peer]=0", false, true, true},
		{"redis://pass@10.0.0.1", false, true, false},
		{"redis://:a@b@10.0.0.1", false, true, false},
		{"redis://localhost", true, false, false},
		{"redis://LOCALHOST:6379", true, false, false},
		{"redis://127.8.9.1:6379?lazy=0", true, false, false},
		{"redis://[::1]:6379", true, false, false},
		{"redis://[2001:db8::1]:6379", false, false, false},
		{"redis:///run/redis.sock", true, false, false},
		{"redis://pass@/run/redis.sock/13", true, true, false},
		{"redis:?host[s1:26379]&host[s2:26379]&redis_sentinel=mymaster&auth=x", false, true, false},
		{"redis:?host[s1:26379]&host[127.0.0.1:26379]&redis_cluster=1", true, false, false},
		{"memcached://cache:11211?prefix_key=x", false, false, false},
		{"memcached://u:p@cache/50", false, true, false},
		{"memcached:///run/memcached.sock", true, false, false},
		{"memcached:?host[a:11211]&host[b:11211]=33", false, false, false},
	}
	for _, tt := range tests {
		d, message, _ := parseDSN(tt.dsn)
		if message != "" || d.local() != tt.local || d.password != tt.password || d.lazy != tt.lazy {
			t.Errorf("%s: %+v, local %t, %s", tt.dsn, d, d.local(), message)
		}
	}
	for _, dsn := range []string{"", "cache:6379", "http://cache", "redis:", "redis://", "redis://cache:0", "redis://cache:x", "redis://cache/x",
		"redis://a b", "redis://p%zz@cache", "redis://ca/che:x", "redis://-x", "redis:?lazy=1", "redis://cache?lazy=yes", "redis:cache"} {
		_, message, instead := parseDSN(dsn)
		if message == "" || instead == "" {
			t.Errorf("%q is accepted", dsn)
		}
	}
}

func FuzzDSN(f *testing.F) {
	f.Add("redis://user:secret@host:1/2?lazy=1")
	f.Fuzz(func(t *testing.T, s string) {
		if _, message, instead := parseDSN(s); (message == "") != (instead == "") {
			t.Fatalf("%q: %q, %q", s, message, instead)
		}
	})
}

// Each check accepts what is right, and what it suggests instead of what is wrong is no longer than a line.
func TestChecks(t *testing.T) {
	tests := map[string]struct {
		check        fault
		right, wrong []string
	}{
		"name":      {checkName, []string{"a", "app-1.eu_2"}, []string{"", "-a", ".a", "a b", "a/b", "a;b", "ä", "..", strings.Repeat("x", 64)}},
		"host":      {checkHost, []string{"a", "app.example.com", "10.0.0.1", "::1", "my_alias"}, []string{"", "-oProxyCommand=x", "a b", "u@h", "h:22", "h/x", "a;b"}},
		"user":      {checkUser, []string{"www-data", "33", "svc$"}, []string{"", "-x", "a b", "root;id"}},
		"path":      {checkPath, []string{"/srv/x", "/a b"}, []string{"", "x", "/a/../b", "/a//b", "/a/", "~/x", "/a\nb"}},
		"root":      {checkRoot, []string{"/srv/mosparo", "/mosparo"}, []string{"/", "/etc", "/var/www", "srv"}},
		"local":     {checkLocalPath, []string{"/x", "~/.ssh/x"}, []string{"", "x", "~x", "~/../x"}},
		"below":     {checkBelow, []string{"var/data", "x"}, []string{"", ".", "..", "../x", "/x", "a/../../b", "~/x", "a//b"}},
		"synced":    {checkSynced, []string{"var/rules"}, []string{"var", "var/cache", "var/log/x", "public/update-log"}},
		"url":       {checkURL, []string{"http://127.0.0.1", "https://[::1]:8443/mosparo"}, []string{"", "127.0.0.1", "ftp://x", "http://", "http://u:p@h", "http://h?x", "http://h:0", "http://h:99999"}},
		"jump":      {checkJump, []string{"none", "h", "u@h:22", "a,u@[::1]:22"}, []string{"", "u@", "@h", "h:0", "a,,b", "-x"}},
		"socket":    {checkSocket, []string{"/run/x.sock", "h:9999", "[::1]:9999"}, []string{"", "h", "h:0", "run/x", ":1"}},
		"zone":      {checkZone, []string{"UTC", "Europe/Zurich"}, []string{"", "Local", "Europe/Zuerich", "../etc/passwd", "CEST"}},
		"share":     {checkShare, []string{"10%", "0", "100%", "5000"}, []string{"", "101%", "-1", "1.5%", "x"}},
		"variable":  {checkVariable, []string{"A", "_a1"}, []string{"", "1A", "A-B", "A B", "A=B"}},
		"any":       {anyText, []string{"x"}, []string{"", " ", "a\x00b"}},
		"address":   {checkAddress, []string{"u@h", "h"}, []string{"u@", "@h", "a@b@c"}},
		"host port": {checkHostPort, []string{"h", "h:80", "[::1]:80"}, []string{"", "h:x"}},
	}
	for name, tt := range tests {
		for _, s := range tt.right {
			if message, _ := tt.check(s); message != "" {
				t.Errorf("%s: %q is refused: %s", name, s, message)
			}
		}
		for _, s := range tt.wrong {
			message, instead := tt.check(s)
			if message == "" || instead == "" || strings.ContainsAny(message+instead, "\n\x00") {
				t.Errorf("%s: %q gives %q, %q", name, s, message, instead)
			}
		}
	}
}

func TestNearest(t *testing.T) {
	names := []string{"roles", "ssh", "paths", "owner", "known_hosts", "fpm_log"}
	for word, want := range map[string]string{"role": "roles", "rolse": "roles", "path": "paths", "known-hosts": "known_hosts", "knownHosts": "known_hosts",
		"fpm_logs": "fpm_log", "xyz": "", "": "", "completely": ""} {
		if got := nearest(word, names); got != want {
			t.Errorf("nearest(%q) = %q, want %q", word, got, want)
		}
	}
	for _, pair := range [][3]any{{"", "abc", 3}, {"abc", "abc", 0}, {"abcd", "abdc", 1}, {"kitten", "sitting", 3}} {
		if got := fmt.Sprint(distance(pair[0].(string), pair[1].(string))); got != fmt.Sprint(pair[2]) {
			t.Errorf("distance(%v, %v) = %s, want %v", pair[0], pair[1], got, pair[2])
		}
	}
}
