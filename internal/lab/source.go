package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/mosparoctl/mosparoctl/ops/envfile"
)

// sourcePackages and packageFiles make the size of a lab release: enough that a transfer is seen, little enough to be quick.
const (
	sourcePackages = 40
	packageFiles   = 12
)

// encryptionKey is the key of every lab; what it protects is gone with the lab.
var encryptionKey = strings.Repeat("1ab", 21) + "f"

// WriteSource writes a tree that is laid out as a release of mosparo, with code of no use, to dir. Two versions differ in a
// few files only, as real ones do.
func WriteSource(dir, version string) error {
	files := map[string]string{
		".env":                          "APP_ENV=prod\n",
		"bin/console":                   "#!/usr/bin/env php\n<?php\n",
		"src/Kernel.php":                fmt.Sprintf("<?php\n\nclass Kernel\n{\n    const VERSION = '%s';\n}\n", version),
		"public/index.php":              "<?php\n",
		"public/build/entrypoints.json": fmt.Sprintf("{\"version\":%q}\n", version),
		"public/version.txt":            version + "\n",
		"config/packages/cache.yaml":    "framework: {}\n",
		"migrations/mysql/.keep":        "",
		"vendor/autoload.php":           "<?php\n",
	}
	for p := range sourcePackages {
		for f := range packageFiles {
			name := fmt.Sprintf("vendor/lab/package%02d/File%02d.php", p, f)
			files[name] = fmt.Sprintf("<?php\n\n// %s\n%s", name, strings.Repeat("// nothing to see here\n", 20+f*10))
		}
	}
	for name, content := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		mode := os.FileMode(0o644)
		if strings.HasPrefix(name, "bin/") {
			mode = 0o755
		}
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			return err
		}
	}
	return nil
}

// seedConfig writes the configuration and the data that an installed mosparo would have on a node.
func seedConfig(root string) error {
	config := &envfile.Config{}
	for _, e := range []struct {
		key   string
		value envfile.Value
	}{
		{"mosparo_installed", envfile.BoolValue(true)},
		{"mosparo_installed_version", envfile.StringValue("1.5.3")},
		{"mosparo_assets_version", envfile.StringValue("labAssets01")},
		{"mosparo_name", envfile.StringValue("lab")},
		{"encryption_key", envfile.StringValue(encryptionKey)},
		{"secret", envfile.StringValue(strings.Repeat("5ec", 21) + "f")},
		{"database_system", envfile.StringValue("mysql")},
		{"database_driver", envfile.StringValue("pdo_mysql")},
	} {
		config.Set(e.key, e.value)
	}
	shared := filepath.Join(root, "shared")
	for _, dir := range []string{"config", "public/resources", "var/data"} {
		if err := os.MkdirAll(filepath.Join(shared, dir), 0o755); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(shared, ".env.local"), []byte("MOSPARO_CACHE_ADAPTER=redis\n"), 0o640); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(shared, "config", "env.mosparo.php"), config.Format(), 0o640)
}
