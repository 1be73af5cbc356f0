// Package config reads what mosparo reads: config/env.mosparo.php, the .env files and the environment, with mosparo's
// precedence, into one typed value.
package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/cache"
	"github.com/mosparoctl/mosparoctl/protection/cleanup"
	"github.com/mosparoctl/mosparoctl/protection/crypt"
	"github.com/mosparoctl/mosparoctl/protection/store"
)

// Files say where settings are read from. All may be empty: then only the environment counts.
type Files struct {
	Config string // env.mosparo.php
	Env    string // an .env file whose values win over those of AppDir; must exist if named
	AppDir string // a folder with a mosparo release: its .env files, and its configuration file unless Config is named
}

// Database is where the data are.
type Database struct {
	System   string   // mysql or sqlite
	Servers  []string // of mysql, host:port, in the order of preference
	Name     string
	User     string
	Password string
	Path     string      // of sqlite
	TLS      *tls.Config // nil: none
}

// Config is what a node of the protection core needs to know.
type Config struct {
	Path string // of the configuration file that was used, empty if none

	Installed        bool
	InstalledVersion string // of mosparo
	AssetsVersion    string
	Name             string // of the installation
	Secret           string // of the framework
	Key              crypt.Key
	DefaultLocale    string
	Location         *time.Location // PHP's time zone, in which times are stored

	Database Database
	Cache    cache.Options
	Cleanup  cleanup.Settings

	TrustedProxies      []string // addresses, ranges, and REMOTE_ADDR for whoever connects
	ForwardedForHeader  string   // in $_SERVER form, such as HTTP_CF_CONNECTING_IP; empty: X-Forwarded-For
	APIAllowList        []string // empty: everybody
	WebCronAllowList    []string
	HealthAllowList     []string
	HealthBypass        bool
	PreparedCSS         bool // prepared CSS lies in the shared cache
	WebCron             WebCron
	GeoIP               bool
	GeoIPRefresh        time.Duration
	PackagesFromPrivate bool // rule packages may be fetched from private networks
	PackageRedirects    bool

	Warnings []string // settings that do something else than they seem to
}

// WebCron is the cron job that is triggered over HTTP.
type WebCron struct {
	Active   bool
	Key      string
	Interval time.Duration
}

// Load reads the settings. environ looks up variables of the real environment (os.LookupEnv). All problems are reported
// at once, as an error of CodeInvalid. Without a configuration file, or with an empty one, Installed is false and the rest
// has its defaults.
func Load(f Files, environ func(string) (string, bool)) (*Config, error) {
	s := &source{env: environ}
	if err := s.readDotenv(f.Env, f.AppDir); err != nil {
		return nil, err
	}
	c := &Config{Path: configPath(f, s)}
	if err := s.readFile(c.Path); err != nil {
		return nil, err
	}
	c.read(s)
	c.readAccess(s)
	c.readDatabase(s)
	c.readServices(s)
	if len(s.errs) > 0 {
		return nil, &protection.Error{Code: protection.CodeInvalid, Op: "read configuration", Err: errors.Join(s.errs...)}
	}
	return c, nil
}

// configPath is where mosparo has its file, unless one is named.
func configPath(f Files, s *source) string {
	if f.Config != "" {
		return f.Config
	}
	variable := func(name string) string { // the file itself is not known yet
		v, ok := s.env(name)
		if !ok {
			v = s.dotenv[name]
		}
		return v
	}
	if p := variable("MOSPARO_CONFIG_FILE_PATH"); p != "" {
		return p
	}
	if f.AppDir == "" {
		return ""
	}
	name := "env.mosparo.php"
	if suffix := variable("MOSPARO_ENV_SUFFIX"); suffix != "" {
		name = "env.mosparo." + suffix + ".php"
	}
	return filepath.Join(f.AppDir, "config", name)
}

func (c *Config) read(s *source) {
	c.Installed, c.InstalledVersion = truthy(s.key("mosparo_installed")), s.key("mosparo_installed_version")
	c.AssetsVersion, c.Name = s.key("mosparo_assets_version"), or(s.key("mosparo_name"), "mosparo")
	c.Secret, c.DefaultLocale = or(s.key("secret"), "SecretMosparoToken"), or(s.key("default_locale"), "en")
	if k := s.key("encryption_key"); k != "" {
		key, err := crypt.ParseKey(k)
		if err != nil {
			s.errs = append(s.errs, err)
		}
		c.Key = key
	} else if c.Installed {
		s.errs = append(s.errs, protection.Errorf(protection.CodeInvalid, "encryption_key is missing"))
	}
	c.Location = time.UTC
	if zone := s.variable("MOSPAROCTL_TIMEZONE"); zone != "" {
		loc, err := time.LoadLocation(zone)
		if err != nil {
			s.errs = append(s.errs, protection.Errorf(protection.CodeInvalid, "MOSPAROCTL_TIMEZONE: %w", err))
		} else {
			c.Location = loc
		}
	}
}

func (c *Config) readAccess(s *source) {
	proxies := s.variable("TRUSTED_PROXIES")
	if proxies == "%default_trusted_proxies%" || proxies == "" && !s.set("TRUSTED_PROXIES") { // set and empty trusts nobody
		proxies = or(s.key("trusted_proxies"), "127.0.0.1")
		c.readForwardedFor(s)
	}
	for _, p := range list(proxies) {
		if p = strings.TrimSpace(p); p != "" {
			c.TrustedProxies = append(c.TrustedProxies, p)
		}
	}
	c.APIAllowList = list(s.key("api_access_ip_allow_list"))
	c.WebCronAllowList = list(s.key("web_cron_job_access_ip_allow_list"))
	health, ok := s.env("MOSPARO_HEALTH_ALLOW_LIST")
	if !ok {
		if health, ok = s.dotenv["MOSPARO_HEALTH_ALLOW_LIST"]; !ok {
			health = "127.0.0.1,::1" // mosparo's .env; an empty value means everybody
		}
	}
	c.HealthAllowList, c.HealthBypass = list(health), s.boolean("MOSPARO_BYPASS_HEALTH_CHECK")
	c.WebCron = WebCron{Active: truthy(s.key("webCronJobActive")), Key: s.key("webCronJobSecretKey"),
		Interval: time.Duration(atoi(s.key("webCronJobInterval"), 10)) * time.Minute}
	c.GeoIP = truthy(s.key("geoipActive"))
	c.GeoIPRefresh = time.Duration(atoi(s.key("geoIp2RefreshInterval"), 7)) * 24 * time.Hour
}

// readForwardedFor reads the name of the header that stands for X-Forwarded-For. mosparo's index.php looks for it in the
// configuration file at its usual place only, and at no variable of the environment.
func (c *Config) readForwardedFor(s *source) {
	v, _ := s.file.Get("replace_forwarded_for_header")
	header, _ := v.Text()
	if header != "" && (s.variable("MOSPARO_CONFIG_FILE_PATH") != "" || s.variable("MOSPARO_ENV_SUFFIX") != "") {
		c.Warnings = append(c.Warnings, "replace_forwarded_for_header has no effect: mosparo reads it from config/env.mosparo.php only, and MOSPARO_CONFIG_FILE_PATH or MOSPARO_ENV_SUFFIX names another file")
		return
	}
	c.ForwardedForHeader = header
}

// atoi is an interval, at least 1 and short enough for a time.Duration in days.
func atoi(v string, def int) int {
	n, err := strconv.Atoi(v)
	if err != nil {
		return def
	}
	return max(1, min(n, 100_000))
}

func (c *Config) readDatabase(s *source) {
	d := &c.Database
	d.System = or(s.key("database_system"), "mysql")
	switch d.System {
	case "sqlite":
		d.Path = or(s.key("database_path"), "var/data/data.sqlite")
		if !filepath.IsAbs(d.Path) && c.Path != "" { // relative to the release, two levels above the file
			d.Path = filepath.Join(filepath.Dir(filepath.Dir(c.Path)), d.Path)
		}
		return
	case "mysql":
	default:
		s.errs = append(s.errs, protection.Errorf(protection.CodeInvalid, "database_system %q is not supported", d.System).
			WithHint("the protection core speaks mysql (also MariaDB) and sqlite"))
		return
	}
	number := port(s.key("database_port"), 3306)
	for _, host := range list(or(s.variable("MOSPAROCTL_DATABASE_SERVERS"), or(s.key("database_host"), "127.0.0.1"))) {
		host = strings.TrimSpace(host)
		if _, _, err := net.SplitHostPort(host); err != nil && !strings.HasPrefix(host, "/") {
			host = net.JoinHostPort(strings.Trim(host, "[]"), strconv.Itoa(number))
		}
		d.Servers = append(d.Servers, host)
	}
	d.Name, d.User, d.Password = or(s.key("database_name"), "mosparo"), or(s.key("database_user"), "root"), s.key("database_password")
	if truthy(s.variable("DATABASE_MYSQL_SSL")) {
		c.readTLS(s)
	}
}

// readTLS makes the TLS settings. PHP begins TLS only if one of the three files is given.
func (c *Config) readTLS(s *source) {
	key, cert, ca := s.variable("DATABASE_MYSQL_SSL_KEY"), s.variable("DATABASE_MYSQL_SSL_CERT"), s.variable("DATABASE_MYSQL_SSL_CA")
	verify := truthy(s.variable("DATABASE_MYSQL_SSL_VERIFY_SERVER_CERT"))
	if key == "" && cert == "" && ca == "" {
		c.Warnings = append(c.Warnings, "DATABASE_MYSQL_SSL is set, but without a key, certificate or CA file PHP does not use TLS, and neither does this node")
		return
	}
	if !verify {
		c.Warnings = append(c.Warnings, "the database server's certificate is not verified: set DATABASE_MYSQL_SSL_VERIFY_SERVER_CERT=1")
	}
	t := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: !verify} //nolint:gosec // mosparo's default
	if ca != "" {
		pem, err := os.ReadFile(ca)
		t.RootCAs = x509.NewCertPool()
		if err != nil {
			s.errs = append(s.errs, protection.Errorf(protection.CodeInvalid, "DATABASE_MYSQL_SSL_CA: %w", err))
		} else if !t.RootCAs.AppendCertsFromPEM(pem) {
			s.errs = append(s.errs, protection.Errorf(protection.CodeInvalid, "DATABASE_MYSQL_SSL_CA: %s holds no certificate", ca))
		}
	}
	if cert != "" || key != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			s.errs = append(s.errs, protection.Errorf(protection.CodeInvalid, "DATABASE_MYSQL_SSL_CERT and _KEY: %w", err))
		} else {
			t.Certificates = []tls.Certificate{pair}
		}
	}
	c.Database.TLS = t
}

func (c *Config) readServices(s *source) {
	c.Cache = cache.Options{Adapter: s.variable("MOSPARO_CACHE_ADAPTER"), Path: s.variable("FILESYSTEM_CACHE_PATH")}
	switch c.Cache.Adapter {
	case "", "filesystem":
	case "redis":
		c.Cache.URL = or(s.variable("REDIS_URL"), "redis://localhost")
	case "memcached":
		c.Cache.URL = or(s.variable("MEMCACHED_URL"), "memcached://localhost")
	default:
		s.errs = append(s.errs, protection.Errorf(protection.CodeInvalid, "MOSPARO_CACHE_ADAPTER %q is not known: write filesystem, redis or memcached", c.Cache.Adapter))
	}
	c.PreparedCSS = truthy(s.variable("MOSPARO_PREPARE_CSS_FILES_IN_SHARED_CACHE"))
	if v := strings.ToLower(s.variable("MOSPARO_PREPARE_CSS_FILES_IN_SHARED_CACHE")); v == "false" || v == "off" || v == "no" {
		c.Warnings = append(c.Warnings, "MOSPARO_PREPARE_CSS_FILES_IN_SHARED_CACHE="+v+" means yes: write 0")
	}
	c.PackagesFromPrivate = s.boolean("MOSPARO_RULE_PACKAGE_ALLOW_PRIVATE_NETWORKS")
	c.PackageRedirects = s.boolean("MOSPARO_RULE_PACKAGE_ALLOW_REDIRECTS")
	hours := func(name string, def int64) time.Duration {
		return time.Duration(s.bounded(name, def, 1, 24)) * time.Hour
	}
	c.Cleanup = cleanup.Settings{
		Interval:            hours("MOSPARO_CLEANUP_PROCESS_INTERVAL", 6),
		Unfinished:          time.Duration(s.bounded("MOSPARO_CLEANUP_UNFINISHED_INTERVAL", 10, 1, 360)) * time.Minute,
		TokenRetention:      hours("MOSPARO_SUBMIT_TOKEN_RETENTION_PERIOD", 24),
		SubmissionRetention: time.Duration(s.bounded("MOSPARO_SUBMISSION_RETENTION_PERIOD", 14, 1, 14)) * 24 * time.Hour,
		Grace:               s.boolean("MOSPARO_CLEANUP_GRACE_PERIOD_ENABLED"),
	}
}

// Store are the options of the database. The caller may add limits, a log and an observer.
func (c *Config) Store() store.Options {
	d := c.Database
	return store.Options{Path: d.Path, Servers: d.Servers, User: d.User, Password: d.Password, Database: d.Name, TLS: d.TLS, Key: c.Key, Location: c.Location}
}
