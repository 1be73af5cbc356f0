package server

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/cache"
	"github.com/mosparoctl/mosparoctl/protection/config"
	"github.com/mosparoctl/mosparoctl/protection/crypt"
	"github.com/mosparoctl/mosparoctl/protection/rulepackage"
	"github.com/mosparoctl/mosparoctl/protection/store"
)

// ConfigFile is the configuration file in the data folder of a server that stands alone.
const ConfigFile = "env.mosparo.php"

// Standalone makes the data folder of a server that stands alone, on first use with a new encryption key, and returns its
// configuration file. The file has mosparo's form, and so has the SQLite database beside it.
func Standalone(dir string) (file string, err error) {
	if dir, err = filepath.Abs(dir); err != nil {
		return "", fmt.Errorf("find data folder: %w", err)
	}
	file = filepath.Join(dir, ConfigFile)
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		return file, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make data folder: %w", err)
	}
	database := filepath.Join(dir, "mosparo.sqlite")
	if _, err := os.Stat(database); err == nil {
		return "", protection.Errorf(protection.CodeInvalid, "%s exists but %s with its encryption key does not", database, file).
			WithHint("restore %s from a backup: nothing else opens the database", file)
	}
	_, key := crypt.GenerateKey()
	_, secret := crypt.GenerateKey()
	quote := strings.NewReplacer(`\`, `\\`, `'`, `\'`)
	content := fmt.Sprintf(`<?php

return array (
  'mosparo_installed' => true,
  'mosparo_installed_version' => '%s',
  'mosparo_name' => 'mosparo',
  'encryption_key' => '%s',
  'secret' => '%s',
  'database_system' => 'sqlite',
  'database_driver' => 'pdo_sqlite',
  'database_path' => '%s',
);
`, store.SchemaVersion, key, secret, quote.Replace(database))
	// Two servers that start at once must not both make a key.
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return file, nil
	}
	if err != nil {
		return "", fmt.Errorf("write configuration: %w", err)
	}
	_, err = f.WriteString(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return "", fmt.Errorf("write configuration: %w", err)
	}
	return file, nil
}

// CheckConfig refuses a configuration that cannot be served: one of another version of mosparo, or without a key.
func CheckConfig(c *config.Config) error {
	switch {
	case c.Key.IsZero():
		return protection.Errorf(protection.CodeInvalid, "%s has no encryption_key", orNone(c.Path)).
			WithHint("name mosparo's configuration with --config-file, or a data folder with --data-dir")
	case c.InstalledVersion != "" && c.InstalledVersion != store.SchemaVersion:
		return protection.Errorf(protection.CodeSchema, "%s says that mosparo %s is installed; this program serves the database of mosparo %s",
			c.Path, c.InstalledVersion, store.SchemaVersion).WithHint("use a mosparoctl that serves mosparo %s; or, if that is older than %s, update mosparo first",
			c.InstalledVersion, store.SchemaVersion)
	}
	return nil
}

func orNone(path string) string {
	if path == "" {
		return "the configuration"
	}
	return path
}

// FromConfig makes the options of a server from mosparo's settings. dataDir is that of a server that stands alone, else
// empty; appDir the folder of a mosparo release, or empty.
func FromConfig(c *config.Config, dataDir, appDir string) Options {
	o := Options{Store: c.Store(), Cache: c.Cache, Settings: Settings{
		TrustedProxies: strings.Join(c.TrustedProxies, ","),
		ForwardedFor:   headerName(c.ForwardedForHeader),
		APIAllowList:   strings.Join(c.APIAllowList, "\n"),
		HealthAllow:    strings.Join(c.HealthAllowList, "\n"),
		BypassHealth:   c.HealthBypass,
		ShareStyles:    c.PreparedCSS,
		AppDir:         appDir,
		Cleanup:        c.Cleanup,
		WebCron: WebCron{Active: c.WebCron.Active, Key: c.WebCron.Key, Interval: c.WebCron.Interval, AllowList: strings.Join(c.WebCronAllowList, "\n"),
			Packages: rulepackage.Fetcher{AllowPrivate: c.PackagesFromPrivate, Redirects: c.PackageRedirects}},
	}}
	if dataDir != "" && o.Cache.Path == "" && (o.Cache.Adapter == "" || o.Cache.Adapter == "filesystem") {
		// Not the folder that all mosparo installations of a machine share.
		o.Cache = cache.Options{Adapter: "filesystem", Path: filepath.Join(dataDir, "cache")}
	}
	if c.GeoIP {
		switch {
		case appDir != "":
			o.Settings.GeoIPDir = filepath.Join(appDir, "var", "data", "geoip2")
		case dataDir != "":
			o.Settings.GeoIPDir = filepath.Join(dataDir, "geoip2")
		case c.Path != "":
			o.Settings.GeoIPDir = filepath.Join(filepath.Dir(filepath.Dir(c.Path)), "var", "data", "geoip2")
		}
	}
	return o
}

// headerName turns the name of a server variable (HTTP_CF_CONNECTING_IP) into that of the header (CF-CONNECTING-IP).
func headerName(variable string) string {
	name, ok := strings.CutPrefix(variable, "HTTP_")
	if !ok {
		return ""
	}
	return strings.ReplaceAll(name, "_", "-")
}
