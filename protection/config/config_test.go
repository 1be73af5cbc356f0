package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/cleanup"
)

const configFile = `<?php

return array (
  'database_system' => 'mysql',
  'database_driver' => 'pdo_mysql',
  'database_host' => 'db.example',
  'database_port' => '3307',
  'database_name' => 'forms',
  'database_user' => 'app',
  'database_password' => 'it\'s',
  'encryption_key' => '000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f',
  'mosparo_installed' => true,
  'mosparo_installed_version' => '1.5.4',
  'mosparo_assets_version' => 'ULZMy8zcbVQ',
  'trusted_proxies' => '127.0.0.1,10.0.0.0/8, REMOTE_ADDR',
  'replace_forwarded_for_header' => 'HTTP_CF_CONNECTING_IP',
  'api_access_ip_allow_list' => '192.0.2.1,192.0.2.0/24',
  'webCronJobActive' => true,
  'webCronJobInterval' => 5,
  'geoipActive' => false,
  'MOSPARO_CACHE_ADAPTER' => 'redis',
);
`

// files writes a release with the given files and returns its folder.
func files(t *testing.T, contents map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range contents {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func environ(vars map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		v, ok := vars[name]
		return v, ok
	}
}

func load(t *testing.T, f Files, vars map[string]string) *Config {
	t.Helper()
	c, err := Load(f, environ(vars))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestFile(t *testing.T) {
	dir := files(t, map[string]string{"config/env.mosparo.php": configFile, ".env": "MOSPARO_CACHE_ADAPTER=\nREDIS_URL=redis://localhost\n", ".env.local": "REDIS_URL=redis://cache:1\n"})
	c := load(t, Files{AppDir: dir}, nil)
	if !c.Installed || c.InstalledVersion != "1.5.4" || c.AssetsVersion != "ULZMy8zcbVQ" || c.Key.IsZero() || c.Location != time.UTC || c.Name != "mosparo" {
		t.Errorf("basics: %+v", c)
	}
	if want := (Database{System: "mysql", Servers: []string{"db.example:3307"}, Name: "forms", User: "app", Password: "it's"}); !reflect.DeepEqual(c.Database, want) {
		t.Errorf("database: %+v", c.Database)
	}
	if c.Cache.Adapter != "redis" || c.Cache.URL != "redis://cache:1" {
		t.Errorf("an empty variable does not fall through to the file: %+v", c.Cache)
	}
	if want := []string{"127.0.0.1", "10.0.0.0/8", "REMOTE_ADDR"}; !reflect.DeepEqual(c.TrustedProxies, want) || c.ForwardedForHeader != "HTTP_CF_CONNECTING_IP" {
		t.Errorf("proxies: %q %q", c.TrustedProxies, c.ForwardedForHeader)
	}
	if len(c.APIAllowList) != 2 || len(c.WebCronAllowList) != 0 || !reflect.DeepEqual(c.HealthAllowList, []string{"127.0.0.1", "::1"}) {
		t.Errorf("allow lists: %q %q %q", c.APIAllowList, c.WebCronAllowList, c.HealthAllowList)
	}
	if !c.WebCron.Active || c.WebCron.Interval != 5*time.Minute || c.GeoIP {
		t.Errorf("web cron: %+v", c.WebCron)
	}
	if c.Cleanup != cleanup.Defaults() {
		t.Errorf("cleanup: %+v", c.Cleanup)
	}
}

func TestPrecedence(t *testing.T) {
	dir := files(t, map[string]string{
		"config/env.mosparo.php": configFile,
		".env":                   "APP_ENV=prod\nA=1\nMOSPARO_CACHE_ADAPTER=filesystem\nFILESYSTEM_CACHE_PATH=/env\nMOSPARO_SUBMISSION_RETENTION_PERIOD=2\nMOSPARO_CLEANUP_UNFINISHED_INTERVAL=1\nMOSPARO_CLEANUP_PROCESS_INTERVAL=1\n",
		".env.local":             "FILESYSTEM_CACHE_PATH=/local\nMOSPARO_SUBMISSION_RETENTION_PERIOD=3\nMOSPARO_CLEANUP_UNFINISHED_INTERVAL=2\nMOSPARO_CLEANUP_PROCESS_INTERVAL=2\n",
		".env.prod":              "MOSPARO_SUBMISSION_RETENTION_PERIOD=4\nMOSPARO_CLEANUP_UNFINISHED_INTERVAL=3\nMOSPARO_CLEANUP_PROCESS_INTERVAL=3\n",
		".env.prod.local":        "MOSPARO_CLEANUP_UNFINISHED_INTERVAL=4\nMOSPARO_CLEANUP_PROCESS_INTERVAL=4\n",
		"named":                  "FILESYSTEM_CACHE_PATH=/named\n",
	})
	vars := map[string]string{"MOSPARO_CLEANUP_PROCESS_INTERVAL": "5", "database_host": "other", "DATABASE_HOST": "no", "TRUSTED_PROXIES": "10.1.1.1"}
	c := load(t, Files{AppDir: dir}, vars)
	if c.Cache.Path != "/local" || c.Cleanup.SubmissionRetention != 4*24*time.Hour || c.Cleanup.Unfinished != 4*time.Minute || c.Cleanup.Interval != 5*time.Hour {
		t.Errorf("precedence: %+v %+v", c.Cache, c.Cleanup)
	}
	if c.Database.Servers[0] != "other:3307" {
		t.Errorf("the environment does not override a key: %q", c.Database.Servers)
	}
	if !reflect.DeepEqual(c.TrustedProxies, []string{"10.1.1.1"}) || c.ForwardedForHeader != "" {
		t.Errorf("proxies: %q %q", c.TrustedProxies, c.ForwardedForHeader)
	}
	if c = load(t, Files{AppDir: dir, Env: filepath.Join(dir, "named")}, nil); c.Cache.Path != "/named" || c.Cleanup.Interval != 4*time.Hour {
		t.Errorf("named file: %+v %+v", c.Cache, c.Cleanup)
	}
	if err := os.WriteFile(filepath.Join(dir, ".env.local.php"), []byte("<?php\nreturn ['FILESYSTEM_CACHE_PATH' => '/compiled'];"), 0o600); err != nil {
		t.Fatal(err)
	}
	if c = load(t, Files{AppDir: dir}, nil); c.Cache.Path != "/compiled" || c.Cleanup.Interval != 6*time.Hour || c.Cache.Adapter != "redis" {
		t.Errorf("compiled: %+v %+v", c.Cache, c.Cleanup)
	}
}

func TestPaths(t *testing.T) {
	sqlite := "<?php return ['database_system' => 'sqlite'];"
	dir := files(t, map[string]string{"config/env.mosparo.blue.php": sqlite, "elsewhere/my.php": "<?php return ['database_system' => 'sqlite', 'database_path' => '/abs.sqlite'];"})
	if c := load(t, Files{AppDir: dir}, map[string]string{"MOSPARO_ENV_SUFFIX": "blue"}); c.Database.Path != filepath.Join(dir, "var/data/data.sqlite") {
		t.Errorf("suffix: %+v", c)
	}
	if c := load(t, Files{AppDir: dir}, map[string]string{"MOSPARO_ENV_SUFFIX": "blue", "MOSPARO_CONFIG_FILE_PATH": filepath.Join(dir, "elsewhere/my.php")}); c.Database.Path != "/abs.sqlite" {
		t.Errorf("path: %+v", c)
	}
	if c := load(t, Files{}, nil); c.Installed || c.Path != "" || c.Database.Servers[0] != "127.0.0.1:3306" {
		t.Errorf("nothing: %+v", c)
	}
}

func TestTypes(t *testing.T) {
	c := load(t, Files{}, map[string]string{
		"MOSPARO_SUBMIT_TOKEN_RETENTION_PERIOD": "25", "MOSPARO_SUBMISSION_RETENTION_PERIOD": "0", "MOSPARO_CLEANUP_UNFINISHED_INTERVAL": "360",
		"MOSPARO_CLEANUP_GRACE_PERIOD_ENABLED": "Yes", "MOSPARO_BYPASS_HEALTH_CHECK": "false", "MOSPARO_PREPARE_CSS_FILES_IN_SHARED_CACHE": "false",
		"MOSPARO_RULE_PACKAGE_ALLOW_REDIRECTS": "2", "MOSPARO_HEALTH_ALLOW_LIST": "", "MOSPAROCTL_DATABASE_SERVERS": "a, b:3308,/run/db.sock", "MOSPAROCTL_TIMEZONE": "Europe/Zurich",
	})
	if want := (cleanup.Settings{Interval: 6 * time.Hour, Unfinished: 6 * time.Hour, TokenRetention: 24 * time.Hour, SubmissionRetention: 14 * 24 * time.Hour, Grace: true}); c.Cleanup != want {
		t.Errorf("out of bounds: %+v", c.Cleanup)
	}
	if c.HealthBypass || !c.PreparedCSS || !c.PackageRedirects || len(c.HealthAllowList) != 0 || len(c.Warnings) != 1 {
		t.Errorf("%+v", c)
	}
	if want := []string{"a:3306", "b:3308", "/run/db.sock"}; !reflect.DeepEqual(c.Database.Servers, want) || c.Location.String() != "Europe/Zurich" {
		t.Errorf("%q %v", c.Database.Servers, c.Location)
	}
}

func TestInvalid(t *testing.T) {
	dir := files(t, map[string]string{"bad.php": "<?php return [getenv('X')];", "string.php": "<?php return 'x';", "key.php": "<?php return ['encryption_key' => '00', 'mosparo_installed' => true];",
		"nokey.php": "<?php return ['mosparo_installed' => true];", "pg.php": "<?php return ['database_system' => 'postgres'];", "bad.env": "A=b c\n"})
	for _, f := range []Files{
		{Config: filepath.Join(dir, "bad.php")}, {Config: filepath.Join(dir, "string.php")}, {Config: filepath.Join(dir, "key.php")}, {Config: filepath.Join(dir, "nokey.php")},
		{Config: filepath.Join(dir, "pg.php")}, {Env: filepath.Join(dir, "bad.env")}, {Env: filepath.Join(dir, "missing.env")}, {Config: dir},
	} {
		if c, err := Load(f, environ(nil)); !protection.Is(err, protection.CodeInvalid) {
			t.Errorf("%+v: %+v, %v", f, c, err)
		}
	}
	_, err := Load(Files{}, environ(map[string]string{"MOSPARO_CACHE_ADAPTER": "apcu", "MOSPARO_SUBMISSION_RETENTION_PERIOD": "x", "MOSPAROCTL_TIMEZONE": "Nowhere"}))
	for _, want := range []string{"apcu", "MOSPARO_SUBMISSION_RETENTION_PERIOD", "Nowhere"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
}

func TestDatabaseTLS(t *testing.T) {
	if c := load(t, Files{}, map[string]string{"DATABASE_MYSQL_SSL": "1"}); c.Database.TLS != nil || len(c.Warnings) != 1 {
		t.Errorf("without files: %+v", c)
	}
	dir := files(t, map[string]string{"ca.pem": "no certificate"})
	if _, err := Load(Files{}, environ(map[string]string{"DATABASE_MYSQL_SSL": "1", "DATABASE_MYSQL_SSL_CA": filepath.Join(dir, "ca.pem")})); err == nil {
		t.Error("a broken CA file was accepted")
	}
}

func TestDotenv(t *testing.T) {
	src := `# comment
A=plain
export B='single $A # x'
C="double $A ${A} \$A \"q\" \n"
D=pre$A'lit'"x" # note
E=
F=a#b
G=${MISSING:-fallback}/${A:-no}
H=$OUTER

I="two
lines"
J=a\b\\c\nd
K=5$ 
L=$A b
M=x 'y'
N=\$A
O=${NEW:=set}-$NEW
P="a\\n"
Q=/a\"b\'c
_R=$A}
` + "S=a\rT=b\r\nU=$B\nV=$OWN"
	got, err := parseDotenv("OWN=file\n"+src, environ(map[string]string{"OUTER": "env", "OWN": "env"}), map[string]string{"OUTER": "earlier", "B": "earlier"})
	if err != nil {
		t.Fatal(err)
	}
	// What Symfony's component makes of each.
	want := map[string]string{"OWN": "file", "A": "plain", "B": "single $A # x", "C": "double plain plain $A \"q\" \n", "D": "preplainlitx", "E": "", "F": "a#b", "G": "fallback/plain",
		"H": "env", "I": "two\nlines", "J": `a\b\c\nd`, "K": "5$", "L": "plain b", "M": "xy", "N": "$A", "NEW": "set", "O": "set-set", "P": "a\\\n", "Q": `/a"b'c`, "_R": "plain}",
		"S": "a", "T": "b", "U": "single $A # x", "V": "env"}
	for name, v := range want {
		if got[name] != v {
			t.Errorf("%s is %q, want %q", name, got[name], v)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d variables: %q", len(got), got)
	}
	for _, bad := range []string{"A", "=x", "A=b c", "A='x", "A=\"x", "A=$(id)", "A=${x", "1A=x", "A =x", "A= x", "__A=x", "export A", `A=a\ b`, "A=${B:-'x'}"} {
		if got, err := parseDotenv(bad, environ(nil), nil); err == nil {
			t.Errorf("%q: %q", bad, got)
		}
	}
}

// TestProxies has the cases in which nobody is trusted, or a header is not looked at.
func TestProxies(t *testing.T) {
	dir := files(t, map[string]string{"config/env.mosparo.php": configFile, ".env": "TRUSTED_PROXIES=\"%default_trusted_proxies%\"\n"})
	if c := load(t, Files{AppDir: dir}, map[string]string{"replace_forwarded_for_header": "HTTP_X"}); len(c.TrustedProxies) != 3 || c.ForwardedForHeader != "HTTP_CF_CONNECTING_IP" {
		t.Errorf("the release's default: %q %q", c.TrustedProxies, c.ForwardedForHeader)
	}
	if c := load(t, Files{AppDir: dir}, map[string]string{"TRUSTED_PROXIES": ""}); len(c.TrustedProxies) != 0 || c.ForwardedForHeader != "" {
		t.Errorf("nobody: %q %q", c.TrustedProxies, c.ForwardedForHeader)
	}
	elsewhere := map[string]string{"MOSPARO_CONFIG_FILE_PATH": filepath.Join(dir, "config/env.mosparo.php")}
	if c := load(t, Files{AppDir: dir}, elsewhere); len(c.TrustedProxies) != 3 || c.ForwardedForHeader != "" || len(c.Warnings) != 1 {
		t.Errorf("another file: %q %q %q", c.TrustedProxies, c.ForwardedForHeader, c.Warnings)
	}
	huge := files(t, map[string]string{"config/env.mosparo.php": "<?php return ['webCronJobInterval' => 9223372036854775807, 'geoIp2RefreshInterval' => -1];"})
	if c := load(t, Files{AppDir: huge}, nil); c.WebCron.Interval != 100_000*time.Minute || c.GeoIPRefresh != 24*time.Hour {
		t.Errorf("intervals: %v %v", c.WebCron.Interval, c.GeoIPRefresh)
	}
}

// TestAppEnv has the special cases of which .env files count.
func TestAppEnv(t *testing.T) {
	dir := files(t, map[string]string{".env": "FILESYSTEM_CACHE_PATH=/env\n", ".env.local": "FILESYSTEM_CACHE_PATH=/local\n",
		".env.local.local": "FILESYSTEM_CACHE_PATH=/no\n", ".env.local.php": "<?php return ['APP_ENV' => 'prod', 'FILESYSTEM_CACHE_PATH' => '/compiled'];"})
	for env, want := range map[string]string{"prod": "/compiled", "test": "/env", "dev": "/local", "local": "/local"} {
		if c := load(t, Files{AppDir: dir}, map[string]string{"APP_ENV": env}); c.Cache.Path != want {
			t.Errorf("%s: %s, want %s", env, c.Cache.Path, want)
		}
	}
	if c := load(t, Files{AppDir: dir}, nil); c.Cache.Path != "/compiled" {
		t.Errorf("without APP_ENV: %s", c.Cache.Path)
	}
}

// TestBoolean has what PHP's filters take for true.
func TestBoolean(t *testing.T) {
	for v, want := range map[string]bool{"1": true, " On ": true, "TRUE": true, "yes": true, "2": true, "-1": true, "0.5": true, "1e3": true, "0": false, "0.0": false,
		"": false, "off": false, "no": false, "y": false, "inf": false, "0x1": false, "enabled": false} {
		if c := load(t, Files{}, map[string]string{"MOSPARO_BYPASS_HEALTH_CHECK": v}); c.HealthBypass != want {
			t.Errorf("%q: %v", v, c.HealthBypass)
		}
	}
}

func FuzzDotenv(f *testing.F) {
	f.Add("A=\"$B\\n\" # x\nexport C='d'\n")
	f.Fuzz(func(t *testing.T, s string) {
		_, _ = parseDotenv(s, environ(nil), nil)
	})
}
