package release

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/envfile"
)

// Keys of mosparo's configuration that go with the code.
const (
	keyVersion = "mosparo_installed_version"
	keyAssets  = "mosparo_assets_version"
)

// finishConfig does what mosparo's own updater does at its end: it writes the version of the code and the one of its assets
// into the configuration. A file that says so already is left alone.
func finishConfig(ctx context.Context, host ops.Host, n *NodeFacts, version, assets string) error {
	name := configPath(n.Node)
	config, raw, err := readConfig(ctx, host, name)
	if err != nil {
		return err
	}
	if raw == nil {
		return ops.Errorf(ops.CodeFailed, "%s is gone", name).On(n.Node.Name).WithHint("restore it from a backup or from another node")
	}
	if config.Text(keyVersion) == version && config.Text(keyAssets) == assets {
		return nil
	}
	config.Set(keyVersion, envfile.StringValue(version))
	config.Set(keyAssets, envfile.StringValue(assets))
	return writeConfig(ctx, host, name, config.Format(), ops.Attr{Owner: n.Owner})
}

// copyConfig gives n the configuration of the lead, and its time, else sync would find the nodes out of step after each deploy. It is read
// now: its content belongs to no plan.
func (b *builder) copyConfig(ctx context.Context, host ops.Host, n *NodeFacts) error {
	lead, err := b.m.deps.Hosts.Host(ctx, b.lead.Node.Name)
	if err != nil {
		return err
	}
	config, raw, err := readConfig(ctx, lead, configPath(b.lead.Node))
	if err != nil {
		return ops.NodeError(b.lead.Node.Name, "copy configuration", err)
	}
	if v := config.Text(keyVersion); v != b.target.Version {
		return ops.Errorf(ops.CodeFailed, "the configuration there is of version %q, the release of %s", v, b.target.Version).
			On(b.lead.Node.Name).WithHint("run the command again")
	}
	_, have, err := readConfig(ctx, host, configPath(n.Node))
	if err == nil && bytes.Equal(have, raw) {
		return nil
	}
	_, info, err := statConfig(ctx, lead, configPath(b.lead.Node))
	if err != nil {
		return ops.NodeError(b.lead.Node.Name, "copy configuration", err)
	}
	return writeConfig(ctx, host, configPath(n.Node), raw, ops.Attr{MTime: info.MTime, Owner: n.Owner})
}

// statConfig describes the file, and says where it is: behind a symlink its target.
func statConfig(ctx context.Context, host ops.FileReader, name string) (string, ops.FileInfo, error) {
	info, err := host.Lstat(ctx, name)
	if err == nil && info.IsLink() {
		if !path.IsAbs(info.Target) {
			info.Target = path.Join(path.Dir(name), info.Target)
		}
		name = info.Target
		info, err = host.Lstat(ctx, name)
	}
	return name, info, err
}

// writeConfig replaces the file, keeping its mode and owner; those of attr are for a new one. Through a symlink its target is written, as
// mosparo does it.
func writeConfig(ctx context.Context, host ops.Host, name string, content []byte, attr ops.Attr) error {
	attr.Mode = 0o640
	owner := attr.Owner
	name, info, err := statConfig(ctx, host, name)
	switch {
	case err == nil:
		attr.Mode, attr.Owner = info.Mode.Perm(), &ops.Owner{UID: info.UID, GID: info.GID}
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("write configuration: %w", err)
	}
	if err := host.MkdirAll(ctx, path.Dir(name), ops.Attr{Owner: owner}); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	err = host.WriteFile(ctx, name, bytes.NewReader(content), attr)
	if errors.Is(err, fs.ErrPermission) && owner == nil && attr.Owner != nil {
		attr.Owner = nil // we may write there but not give files away: the file becomes ours, as with mosparo's own writing
		err = host.WriteFile(ctx, name, bytes.NewReader(content), attr)
	}
	if err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	return nil
}
