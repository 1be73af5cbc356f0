package envfile

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mosparoctl/mosparoctl/internal/lab/server"
	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops/local"
)

func TestIsSecret(t *testing.T) {
	for _, k := range []string{"encryption_key", "secret", "database_password", "mailer_password", "mailer_dsn", "geoipLicenseKey",
		"webCronJobSecretKey", "APP_SECRET", "MY_API_KEY", "LOCK_DSN"} {
		if !IsSecret(k) {
			t.Errorf("%s is not taken for a secret", k)
		}
	}
	for _, k := range []string{"mosparo_name", "database_host", "DATABASE_MYSQL_SSL_KEY", "REDIS_URL", "geoipAccountId"} {
		if IsSecret(k) {
			t.Errorf("%s is taken for a secret", k)
		}
	}
}

func TestMaskerURL(t *testing.T) {
	m := NewMasker("k")
	fp := m.Fingerprint("pw")
	for value, want := range map[string]string{
		"redis://cache:6379/1":            "redis://cache:6379/1",
		"redis://:pw@cache:6379/1":        "redis://:•••••• #" + fp + "@cache:6379/1",
		"redis://pw@cache":                "redis://•••••• #" + fp + "@cache",
		"redis://u:pw@cache?auth=pw&a=1":  "redis://u:•••••• #" + fp + "@cache?auth=•••••• #" + fp + "&a=1",
		"redis:///run/s.sock?password=pw": "redis:///run/s.sock?password=•••••• #" + fp,
		"no url":                          "no url",
	} {
		if got := m.Value("REDIS_URL", value, false); got != want {
			t.Errorf("%s: got %s, want %s", value, got, want)
		}
	}
	for _, value := range []string{"redis://u:p/a:w@d@cache/1", "smtp://u:canary@h", "x://canary@"} {
		got := m.Value("X", value, false)
		if strings.Contains(got, "canary") || strings.Contains(got, "p/a") {
			t.Errorf("%s shows as %s", value, got)
		}
	}
	if got := m.Value("secret", "", false); got != "" {
		t.Errorf("an empty secret shows as %q", got)
	}
	if got := (Masker{}).Value("secret", "x", false); got != "••••••" {
		t.Errorf("without a key a secret shows as %q", got)
	}
	if NewMasker("other").Fingerprint("pw") == fp {
		t.Error("the fingerprint does not depend on the key")
	}
}

func TestDiff(t *testing.T) {
	m := NewMasker("k")
	old, _ := ParsePHP([]byte(`<?php return ['a' => 1, 'secret' => 'one', 'gone' => 'x', 'same' => true, 't' => '1', 'l' => [1]];`))
	new, _ := ParsePHP([]byte(`<?php return ['same' => true, 'a' => 2, 'secret' => 'two', 'new' => null, 't' => 1, 'l' => [2]];`))
	got := Lines(DiffConfig(m, old, new))
	arr := func(src string) string {
		c, _ := ParsePHP([]byte("<?php return [" + src + "];"))
		v, _ := c.Get("0")
		return m.array(v)
	}
	want := strings.Join([]string{
		"~ a = 1 -> 2", "~ secret = •••••• #" + m.Fingerprint("one") + " -> •••••• #" + m.Fingerprint("two"),
		"+ new = NULL", "~ t = 1 (string) -> 1 (int)", "~ l = " + arr("[1]") + " -> " + arr("[2]"), "- gone = x",
	}, "\n")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	env := Lines(DiffEnv(m, map[string]string{"A": "1", "B": "x", "C": "s"}, map[string]string{"A": "2", "B": "x", "D": "t"}, map[string]bool{"D": true}))
	if diff := cmp.Diff("~ A = 1 -> 2\n- C = s\n+ D = •••••• #"+m.Fingerprint("t"), env); diff != "" {
		t.Error(diff)
	}
}

func TestSecretsForTheRedactor(t *testing.T) {
	got := Secrets(map[string]string{"REDIS_URL": "redis://u:p%40ss@h", "secret": "topsecret", "X": "forced", "NAME": "plain"}, map[string]bool{"X": true})
	slices.Sort(got)
	if diff := cmp.Diff([]string{"forced", "p%40ss", "p@ss", "topsecret"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestParseOPcache(t *testing.T) {
	for info, want := range map[string]OPcache{
		"": OPcacheUnknown, "Loaded Configuration File => /etc/php.ini\n": OPcacheOff, "opcache.enable => Off => Off\n": OPcacheOff,
		"opcache.enable => On => On\nopcache.validate_timestamps => On => On\n":   OPcacheValidates,
		"opcache.enable => On => On\nopcache.validate_timestamps => Off => Off\n": OPcacheFixed,
	} {
		if got := parseOPcache(info); got != want {
			t.Errorf("%q: %v, want %v", info, got, want)
		}
	}
}

// The PHP-FPM installed here answers.
func TestReadOPcacheOfARealFPM(t *testing.T) {
	server.Binary(t, "php-fpm8.2")
	got, err := readOPcache(t.Context(), local.New("here"), &inventory.Node{Name: "here"})
	if err != nil || got == OPcacheUnknown {
		t.Errorf("got %v, %v", got, err)
	}
}
