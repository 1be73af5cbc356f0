package envfile

import (
	"strings"
	"testing"
)

func TestLintEnv(t *testing.T) {
	for _, c := range []struct {
		name, value string
		want        string // part of "severity reason; mend", "" for no finding
	}{
		{"MOSPARO_UPDATES_ENABLED", "false", `error "false" counts as true`},
		{"MOSPARO_PREPARE_CSS_FILES_IN_SHARED_CACHE", "No", `error "No" counts as true`},
		{"DATABASE_MYSQL_SSL_VERIFY_SERVER_CERT", "off", `error "off" counts as true`},
		{"MOSPARO_UPDATES_ENABLED", "0", ""}, {"MOSPARO_UPDATES_ENABLED", "", ""}, {"MOSPARO_UPDATES_ENABLED", "true", ""},
		{"MOSPARO_UPDATES_ENABLED", "2", `error "2" counts as true`},
		{"MOSPARO_CLEANUP_GRACE_PERIOD_ENABLED", "false", ""}, {"MOSPARO_CLEANUP_GRACE_PERIOD_ENABLED", "maybe", "error"},
		{"MOSPARO_SUBMIT_TOKEN_RETENTION_PERIOD", "25", "silently takes 24"},
		{"MOSPARO_SUBMIT_TOKEN_RETENTION_PERIOD", "0", "silently takes 24"},
		{"MOSPARO_SUBMIT_TOKEN_RETENTION_PERIOD", "24", ""}, {"MOSPARO_SUBMIT_TOKEN_RETENTION_PERIOD", "1", ""},
		{"MOSPARO_SUBMISSION_RETENTION_PERIOD", "30", "silently takes 14"},
		{"MOSPARO_CLEANUP_PROCESS_INTERVAL", "48", "silently takes 6"},
		{"MOSPARO_CLEANUP_UNFINISHED_INTERVAL", "361", "silently takes 10"},
		{"MOSPARO_CLEANUP_UNFINISHED_INTERVAL", "360", ""},
		{"MOSPARO_CLEANUP_PROCESS_INTERVAL", "", "fail with HTTP 500"},
		{"MOSPARO_CLEANUP_PROCESS_INTERVAL", "6h", "fails with HTTP 500"},
		{"MOSPARO_RULE_ITEMS_CACHE_TTL", "0", "out of range"}, {"MOSPARO_RULE_ITEMS_CACHE_TTL", "99999", ""},
		{"MOSPARO_HEALTH_ALLOW_LIST", "127.0.0.1, ::1", "a blank stands before or after ::1"},
		{"MOSPARO_HEALTH_ALLOW_LIST", "127.0.0.1,::1,10.0.0.0/8", ""},
		{"MOSPARO_HEALTH_ALLOW_LIST", "balancer.example", "neither an IP address"},
		{"MOSPARO_HEALTH_ALLOW_LIST", "", "allows everybody"}, {"MOSPARO_HEALTH_ALLOW_LIST", "127.0.0.1,", "is empty"},
		{"TRUSTED_PROXIES", "127.0.0.1, REMOTE_ADDR", ""}, {"TRUSTED_PROXIES", "%default_trusted_proxies%", ""},
		{"MOSPARO_CACHE_ADAPTER", "Redis", `does not know "Redis"`},
		{"REDIS_URL", "cache:6379", "not a URL"}, {"REDIS_URL", "redis://:a b@c", "a blank"},
		{"MOSPARO_CONFIG_FILE_PATH", "env.php", "not absolute"},
		{"MOSPARO_UPDATES_ENABLED", `"0"`, "the quotes are part of the value"},
		{"MOSPARO_UPDATES_ENABLED", "0 ", "blanks around"},
		{"mosparo_updates_enabled", "0", "write MOSPARO_UPDATES_ENABLED"},
		{"DATABASE_HOST", "db", "write database_host"}, {"database_host", "db", ""}, {"database_port", "33o6", "not a port"},
		{"geoipActive", "1", "has no effect"},
		{"MOSPARO_SUBMISION_RETENTION_PERIOD", "7", "warning mosparo 1.5 knows no such variable; perhaps MOSPARO_SUBMISSION_RETENTION_PERIOD"},
		{"SOMETHING_ELSE", "x", ""},
		{"APP_ENV", "dev", "warning anything but prod"}, {"APP_ENV", "production", "error mosparo does not know"},
	} {
		got := ""
		for _, f := range LintEnv(map[string]string{c.name: c.value}) {
			if f.Key == c.name {
				got += string(f.Severity) + " " + f.Reason + "; " + f.Mend + "\n"
			}
		}
		if c.name == "REDIS_URL" || c.name == "APP_ENV" {
			if c.want != "" && strings.Contains(got, c.want) {
				continue
			}
		}
		if (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s=%q: got %q, want %q", c.name, c.value, got, c.want)
		}
	}
}

func TestLintEnvTogether(t *testing.T) {
	for _, c := range []struct {
		values map[string]string
		key    string
		want   string
	}{
		{map[string]string{"REDIS_URL": "redis://x?lazy=1"}, "REDIS_URL", "it is not used"},
		{map[string]string{"REDIS_URL": "redis://x", "MOSPARO_CACHE_ADAPTER": "redis"}, "REDIS_URL", "not lazy"},
		{map[string]string{"MOSPARO_CACHE_ADAPTER": "memcached"}, "MOSPARO_CACHE_ADAPTER", "without MEMCACHED_URL"},
		{map[string]string{"DATABASE_MYSQL_SSL": "1"}, "DATABASE_MYSQL_SSL", "unencrypted"},
		{map[string]string{"DATABASE_MYSQL_SSL": "1"}, "DATABASE_MYSQL_SSL_VERIFY_SERVER_CERT", "not verified"},
	} {
		found := false
		for _, f := range LintEnv(c.values) {
			found = found || f.Key == c.key && strings.Contains(f.Reason, c.want) && f.Severity == SeverityWarning
		}
		if !found {
			t.Errorf("%v: no warning %q for %s", c.values, c.want, c.key)
		}
	}
	good := map[string]string{"MOSPARO_CACHE_ADAPTER": "redis", "REDIS_URL": "redis://cache?lazy=1", "APP_ENV": "prod"}
	if found := LintEnv(good); len(found) != 0 {
		t.Errorf("good values: %v", found)
	}
}

func TestLintConfig(t *testing.T) {
	good, err := ParsePHP([]byte(installed("1.5.4")))
	if err != nil {
		t.Fatal(err)
	}
	if found := LintConfig(good); len(found) != 0 {
		t.Errorf("a good file: %v", found)
	}
	for key, c := range map[string]struct {
		value Value
		want  string
	}{
		"mosparo_installed":              {BoolValue(false), "not installed"},
		"encryption_key":                 {StringValue("abc"), "64 hex"},
		"mosparo_name":                   {StringValue("a:b"), "colon"},
		"database_port":                  {StringValue("33x"), "not a port"},
		"webCronJobActive":               {StringValue("false"), "counts as true"},
		"replace_forwarded_proto_header": {StringValue("HTTP_X"), "no effect"},
		"trusted_proxies":                {StringValue("localhost"), "neither"},
		"MOSPARO_CACHE_ADAPTER":          {StringValue("file"), "does not know"},
	} {
		bad := good.Clone()
		bad.Set(key, c.value)
		found := LintConfig(bad)
		if len(found) != 1 || found[0].Key != key || !strings.Contains(found[0].Reason, c.want) {
			t.Errorf("%s: %v", key, found)
		}
	}
}
