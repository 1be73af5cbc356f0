package envfile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"strings"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
)

// Names of the two files, relative to the installation.
const (
	ConfigPath = "config/env.mosparo.php"
	LocalPath  = ".env.local"
)

// maxFile bounds what is read of one file.
const maxFile = 1 << 20

// File is one file on a node, as it was read.
type File struct {
	Path    string // where its content really lies: symlinks of the last name are followed
	Exists  bool
	Content []byte
	Info    ops.FileInfo // of the file, if it exists
	Parent  ops.FileInfo // of the folder
}

// NodeState is what was read from one node. It holds secrets.
type NodeState struct {
	Node    string
	Config  File
	Local   File
	Shadow  map[string]File // by name: files that come before .env.local on this node
	Code    string          // mosparo's version in the code, "" if unknown
	OPcache OPcache         // read only where the inventory gives no reload command
	Login   ops.Login       // who we are there; read only where the inventory says who runs PHP
	NewFile *ops.Owner      // owner of a new file, nil: as the folder
	Pending string          // what a push that failed left to be done: "", pendingReload or pendingCache
}

// ReadFile reads path on h, following symlinks of its last name. A file that is not there is no error.
func ReadFile(ctx context.Context, h ops.FileReader, name string) (File, error) {
	f := File{Path: name}
	var err error
	for range 8 {
		f.Info, err = h.Lstat(ctx, f.Path)
		if err != nil || !f.Info.IsLink() {
			break
		}
		target := f.Info.Target
		if target == "" {
			if target, err = h.ReadLink(ctx, f.Path); err != nil {
				return f, fmt.Errorf("read link %s: %w", f.Path, err)
			}
		}
		if !path.IsAbs(target) {
			target = path.Join(path.Dir(f.Path), target)
		}
		f.Path = path.Clean(target)
	}
	if parent, perr := h.Lstat(ctx, path.Dir(f.Path)); perr == nil {
		f.Parent = parent
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f.Info = ops.FileInfo{}
		return f, nil
	case err != nil:
		return f, fmt.Errorf("look at %s: %w", f.Path, err)
	case !f.Info.Mode.IsRegular():
		return f, fmt.Errorf("%s is not a regular file", f.Path)
	}
	r, err := h.Open(ctx, f.Path)
	if err != nil {
		return f, fmt.Errorf("open %s: %w", f.Path, err)
	}
	defer r.Close()
	f.Content, err = io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return f, fmt.Errorf("read %s: %w", f.Path, err)
	}
	if len(f.Content) > maxFile {
		return f, fmt.Errorf("%s is larger than %d bytes", f.Path, maxFile)
	}
	f.Exists = true
	return f, nil
}

// Read collects the state of n through h.
func Read(ctx context.Context, h ops.Host, n *inventory.Node) (*NodeState, error) {
	s := &NodeState{Node: n.Name, Shadow: map[string]File{}}
	fail := func(err error) (*NodeState, error) { return nil, ops.NodeError(n.Name, "read env files", err) }
	var err error
	if s.Config, err = ReadFile(ctx, h, n.SharedPath(ConfigPath)); err != nil {
		return fail(err)
	}
	if s.Local, err = ReadFile(ctx, h, n.SharedPath(LocalPath)); err != nil {
		return fail(err)
	}
	for _, name := range []string{dumpedEnv, ".env." + defaultAppEnv + ".local", ".env." + defaultAppEnv} {
		f, err := ReadFile(ctx, h, path.Join(n.InstallPath(), name))
		if err != nil {
			return fail(err)
		}
		if f.Exists {
			s.Shadow[name] = f
		}
	}
	pending, err := ReadFile(ctx, h, n.ManagePath(pendingFile))
	if err != nil {
		return fail(err)
	}
	s.Pending = strings.TrimSpace(string(pending.Content))
	kernel, err := ReadFile(ctx, h, path.Join(n.InstallPath(), "src/Kernel.php"))
	if err != nil {
		return fail(err)
	}
	s.Code = codeVersion(kernel.Content)
	if len(n.PHP.Reload) == 0 {
		if s.OPcache, err = readOPcache(ctx, h, n); err != nil {
			return fail(err)
		}
	}
	if consoleUser(n) != "" {
		if s.Login, err = ops.LookupLogin(ctx, h); err != nil {
			return fail(err)
		}
	}
	if n.Owner.User != "" {
		owner, err := ops.LookupOwner(ctx, h, n.Owner.User, n.Owner.Group)
		if err != nil {
			return fail(err)
		}
		s.NewFile = &owner
	}
	return s, nil
}

var versionConst = regexp.MustCompile(`(?m)const\s+(?:string\s+)?VERSION\s*=\s*['"]([^'"]{1,40})['"]`)

// codeVersion finds mosparo's version in its src/Kernel.php.
func codeVersion(kernel []byte) string {
	if m := versionConst.FindSubmatch(kernel); m != nil {
		return string(m[1])
	}
	return ""
}

// OPcache says whether PHP-FPM sees a changed PHP file by itself.
type OPcache int

// What readOPcache can find.
const (
	OPcacheUnknown   OPcache = iota // no PHP-FPM was found to ask
	OPcacheOff                      // files are read each time
	OPcacheValidates                // a change is seen after revalidate_freq seconds
	OPcacheFixed                    // a change is never seen without a reload
)

// String is the state as a fact.
func (o OPcache) String() string {
	return [...]string{"unknown", "off", "validates timestamps", "never looks again"}[o]
}

// readOPcache asks the PHP-FPM binary of the same version as the node's PHP command for its settings. Settings of a single pool are not seen.
func readOPcache(ctx context.Context, h ops.Runner, n *inventory.Node) (OPcache, error) {
	const script = `v=$("$@" -r 'echo PHP_MAJOR_VERSION . "." . PHP_MINOR_VERSION;' 2>/dev/null)
for f in "php-fpm$v" "/usr/sbin/php-fpm$v" "php-fpm$(echo "$v" | tr -d .)" php-fpm /usr/sbin/php-fpm /usr/local/sbin/php-fpm; do
  if command -v "$f" >/dev/null 2>&1; then "$f" -i 2>/dev/null | grep -E '^(opcache\.|Loaded Configuration)'; exit 0; fi
done
exit 0`
	command := n.PHP.Command
	if len(command) == 0 {
		command = []string{"php"}
	}
	res, err := h.Run(ctx, ops.Command{Argv: append([]string{"sh", "-c", script, "sh"}, command...)})
	if err != nil {
		return OPcacheUnknown, fmt.Errorf("ask PHP-FPM for its settings: %w", err)
	}
	return parseOPcache(string(res.Stdout)), nil
}

func parseOPcache(info string) OPcache {
	if strings.TrimSpace(info) == "" {
		return OPcacheUnknown
	}
	setting := map[string]string{}
	for line := range strings.Lines(info) {
		if parts := strings.Split(strings.TrimSpace(line), " => "); len(parts) >= 2 {
			setting[parts[0]] = strings.ToLower(parts[1])
		}
	}
	on := func(name string) bool { return setting[name] == "on" || setting[name] == "1" }
	switch {
	case !on("opcache.enable"):
		return OPcacheOff
	case on("opcache.validate_timestamps"):
		return OPcacheValidates
	}
	return OPcacheFixed
}
