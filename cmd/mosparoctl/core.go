package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/config"
	"github.com/mosparoctl/mosparoctl/protection/server"
	"github.com/mosparoctl/mosparoctl/protection/store"
)

// coreOptions say which installation of the protection core a command works on.
type coreOptions struct {
	configFile, envFile, dataDir, appDir string
}

func (o *coreOptions) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	if cmd.HasSubCommands() {
		f = cmd.PersistentFlags()
	}
	f.StringVar(&o.configFile, "config-file", "", "mosparo's configuration `file`, config/env.mosparo.php; without it the data are in --data-dir")
	f.StringVar(&o.envFile, "env-file", "", "an .env.local `file` with the MOSPARO_* settings; the environment wins")
	f.StringVar(&o.dataDir, "data-dir", "", "`folder` of a core that stands alone: its SQLite database and configuration (default: $MOSPAROCTL_DATA_DIR, /var/lib/mosparoctl for root, else the user's data folder)")
	f.StringVar(&o.appDir, "app-dir", "", "`folder` of a mosparo release, for its assets, texts and .env files")
}

// load reads the configuration. dir is the data folder if the core stands alone.
func (o *coreOptions) load() (c *config.Config, dir string, err error) {
	files := config.Files{Config: o.configFile, Env: o.envFile, AppDir: o.appDir}
	if o.configFile == "" {
		if dir, err = o.dataFolder(); err != nil {
			return nil, "", err
		}
		if files.Config, err = server.Standalone(dir); err != nil {
			return nil, "", asCoreError("prepare data folder", err)
		}
	} else if _, err := os.Stat(o.configFile); err != nil {
		return nil, "", &ops.Error{Code: ops.CodeInvalid, Op: "read configuration", Err: err, Hint: "name mosparo's config/env.mosparo.php with --config-file"}
	}
	if c, err = config.Load(files, os.LookupEnv); err == nil {
		err = server.CheckConfig(c)
	}
	return c, dir, asCoreError("read configuration", err)
}

func (o *coreOptions) dataFolder() (string, error) {
	for _, dir := range []string{o.dataDir, os.Getenv("MOSPAROCTL_DATA_DIR")} {
		if dir != "" {
			return filepath.Abs(dir)
		}
	}
	if os.Geteuid() == 0 {
		return "/var/lib/mosparoctl", nil
	}
	if dir := os.Getenv("XDG_DATA_HOME"); dir != "" {
		return filepath.Join(dir, "mosparoctl"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", ops.Errorf(ops.CodeUsage, "there is no home folder to keep data in").WithHint("--data-dir FOLDER")
	}
	return filepath.Join(home, ".local", "share", "mosparoctl"), nil
}

// options are those of a server of this installation.
func (o *coreOptions) options() (server.Options, *config.Config, error) {
	c, dir, err := o.load()
	if err != nil {
		return server.Options{}, nil, err
	}
	return server.FromConfig(c, dir, o.appDir), c, nil
}

// openStore opens the database of the installation.
func (o *coreOptions) openStore(ctx context.Context) (*store.Store, error) {
	so, _, err := o.options()
	if err != nil {
		return nil, err
	}
	s, err := store.Open(ctx, so.Store)
	if err == nil {
		err = s.CheckKey(ctx)
	}
	if err != nil {
		if s != nil {
			_ = s.Close()
		}
		return nil, asCoreError("open database", err)
	}
	return s, nil
}

// asCoreError gives an error of the protection core the class and the hint that a person needs.
func asCoreError(op string, err error) error {
	if err == nil {
		return nil
	}
	e := &ops.Error{Code: ops.CodeFailed, Op: op, Err: err}
	switch protection.CodeOf(err) {
	case protection.CodeInvalid, protection.CodeSchema, protection.CodeKey:
		e.Code = ops.CodeInvalid
	case protection.CodeUnavailable:
		e.Code = ops.CodeUnreachable
	}
	var known *protection.Error
	if errors.As(err, &known) {
		e.Hint = known.Hint
	}
	return e
}
