package release

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/filesync"
	"github.com/mosparoctl/mosparoctl/ops/local"
)

// Source is a tree of files to make a release of. Close it when the operation has ended.
type Source struct {
	Desc     string // for people: "folder /srv/build", "archive mosparo-1.5.4.zip", "node admin"
	Kind     Kind
	Version  string             // of mosparo; "" for KindAny
	Digest   string             // of the content: SHA-256 in hex
	Manifest *filesync.Manifest // what goes into the release, with hashes, owners unknown

	folders []string // in the shared paths of the source: mosparo expects some of them to exist
	root    string   // absolute, on the machine peer reads
	peer    filesync.Peer
	cleanup func() error
}

// SourceOptions says what a source may be.
type SourceOptions struct {
	AllowAny bool     // take trees that do not look like mosparo
	Checksum string   // of an archive: SHA-256 or SHA-512 in hex, with or without "sha256:" before it
	Verify   bool     // refuse an archive without a checksum given or found beside it
	Shared   []string // shared paths in addition to mosparo's own: they never belong to a release
	Exclude  []string // patterns of further files to leave out
}

// Close removes what opening the source has made.
func (s *Source) Close() error {
	if s == nil || s.cleanup == nil {
		return nil
	}
	return s.cleanup()
}

// Open makes a source of a folder or of an archive on this machine.
func Open(ctx context.Context, name string, o SourceOptions) (*Source, error) {
	st, err := os.Stat(name)
	if err != nil {
		return nil, ops.Errorf(ops.CodeFailed, "open source: %w", err)
	}
	abs, err := filepath.Abs(name)
	if err != nil {
		return nil, ops.Errorf(ops.CodeFailed, "open source: %w", err)
	}
	if st.IsDir() {
		return openFolder(ctx, abs, "folder "+abs, o)
	}
	dir, err := unpack(ctx, abs, o)
	if err != nil {
		return nil, err
	}
	s, err := openFolder(ctx, topFolder(dir), "archive "+filepath.Base(abs), o)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	s.cleanup = func() error { return os.RemoveAll(dir) }
	return s, nil
}

func openFolder(ctx context.Context, dir, desc string, o SourceOptions) (*Source, error) {
	host := local.New("this machine")
	return open(ctx, &Source{Desc: desc, root: filepath.ToSlash(dir),
		peer: filesync.NewHostPeer(host, filesync.HostOptions{FilesOnly: true})}, host, o)
}

// OpenNode makes a source of the installation that runs on a node. Files stream from there to the other nodes, nothing is
// left on this machine.
func OpenNode(ctx context.Context, n *inventory.Node, host ops.Host, peer filesync.Peer, o SourceOptions) (*Source, error) {
	root := n.InstallPath()
	if n.Paths.Layout != inventory.LayoutInPlace {
		target, err := host.ReadLink(ctx, root)
		if err != nil {
			return nil, ops.NodeError(n.Name, "open source", fmt.Errorf("read current release: %w", err))
		}
		root = path.Join(n.Paths.Root, target) // the release itself: current may move while we read
	}
	return open(ctx, &Source{Desc: "node " + n.Name, root: root, peer: peer}, host, o)
}

// open reads and checks the tree of s.
func open(ctx context.Context, s *Source, host ops.Host, o SourceOptions) (*Source, error) {
	missing, err := notMosparo(ctx, host, s.root)
	if err != nil {
		return nil, ops.NodeError(nodeOf(s), "read source", err)
	}
	s.Kind = KindMosparo
	if missing != "" {
		if s.Kind = KindAny; !o.AllowAny {
			return nil, ops.Errorf(ops.CodeFailed, "%s does not look like a release of mosparo: it has no %s", s.Desc, missing).
				WithHint("take the release archive, not the source code; or give --allow-any for a tree of another kind")
		}
	} else if s.Version, err = KernelVersion(ctx, host, path.Join(s.root, kernelFile)); err != nil {
		return nil, ops.NodeError(nodeOf(s), "read source", err)
	}
	shared := sharedPaths(s.Kind, o.Shared)
	x, err := filesync.NewExclude(slices.Concat(ownFiles(), anchored(shared), o.Exclude)...)
	if err != nil {
		return nil, ops.Errorf(ops.CodeUsage, "open source: %w", err)
	}
	m, err := s.peer.Scan(ctx, s.root, filesync.ScanOptions{Hash: true, Exclude: x})
	if err != nil {
		return nil, ops.NodeError(nodeOf(s), "read source", err)
	}
	if err := s.check(m); err != nil {
		return nil, err
	}
	s.Manifest = m.WithOwner(filesync.AnyID, filesync.AnyID)
	s.Digest = contentDigest(s.Manifest, shared)
	return s, s.findFolders(ctx, shared)
}

// check refuses trees that must not become a release.
func (s *Source) check(m *filesync.Manifest) error {
	if m.Files() == 0 {
		return ops.Errorf(ops.CodeFailed, "read %s: there is nothing in it", s.Desc)
	}
	for e := range m.All() {
		if e.IsSpecial() {
			return ops.Errorf(ops.CodeFailed, "read %s: %s is neither file, folder nor symlink", s.Desc, e.Path)
		}
		if e.IsLink() && filesync.LeavesRoot(e.Path, e.Target) {
			return ops.Errorf(ops.CodeFailed, "read %s: symlink %s points out of the tree, to %s", s.Desc, e.Path, e.Target).
				WithHint("replace it by a relative link inside of the tree, or leave it out: --exclude %s", e.Path)
		}
	}
	return nil
}

// findFolders lists the folders in the shared paths of the source, so that a new node gets them.
func (s *Source) findFolders(ctx context.Context, shared []sharedPath) error {
	var dirs []string
	for _, p := range shared {
		if p.dir {
			dirs = append(dirs, p.path)
		}
	}
	if len(dirs) == 0 || nodeOf(s) != "" { // of a running node these are data, which is the business of sync
		return nil
	}
	m, err := s.peer.Scan(ctx, s.root, filesync.ScanOptions{Paths: dirs})
	if err != nil {
		return ops.NodeError("", "read source", err)
	}
	for e := range m.All() {
		if e.IsDir() {
			s.folders = append(s.folders, e.Path)
		}
	}
	return nil
}

func nodeOf(s *Source) string {
	name, _ := strings.CutPrefix(s.Desc, "node ")
	if name == s.Desc {
		return ""
	}
	return name
}

// kernelFile holds the version of mosparo.
const kernelFile = "src/Kernel.php"

// notMosparo names what a release of mosparo has and the tree below root hasn't; "" if nothing is missing.
func notMosparo(ctx context.Context, host ops.FileReader, root string) (string, error) {
	for _, want := range []string{kernelFile, "public/index.php", ".env", "bin/console", "vendor/"} {
		info, err := host.Lstat(ctx, path.Join(root, want))
		if errors.Is(err, fs.ErrNotExist) || err == nil && info.IsDir() != strings.HasSuffix(want, "/") {
			return want, nil
		}
		if err != nil {
			return "", err
		}
	}
	return "", nil
}

var versionConst = regexp.MustCompile(`\bconst\s+(?:string\s+)?VERSION\s*=\s*["']([^"']*)["']`)

// KernelVersion reads the version constant of mosparo from name, its src/Kernel.php.
func KernelVersion(ctx context.Context, host ops.FileReader, name string) (string, error) {
	raw, err := readAll(ctx, host, name, 1<<20)
	if err != nil {
		return "", fmt.Errorf("read %s: %w", kernelFile, err)
	}
	match := versionConst.FindSubmatch(raw)
	if match == nil || !versionPattern.Match(match[1]) {
		return "", fmt.Errorf("read %s: no version constant in it", kernelFile)
	}
	return string(match[1]), nil
}

// readAll reads a file of at most limit bytes.
func readAll(ctx context.Context, host ops.FileReader, name string, limit int64) ([]byte, error) {
	r, err := host.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	raw, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(raw)) > limit {
		err = fmt.Errorf("%s is longer than %d bytes", name, limit)
	}
	return raw, err
}

// contentDigest hashes what a release is made of, times and owners left out: the same content has the same digest wherever
// it was unpacked. The shared paths count, since the release will hold links to them.
func contentDigest(m *filesync.Manifest, shared []sharedPath) string {
	h := sha256.New()
	for _, s := range shared {
		fmt.Fprintf(h, "shared %q\n", s.path)
	}
	for e := range m.All() {
		fmt.Fprintf(h, "%q %o %d %s %q\n", e.Path, uint32(e.Mode&(fs.ModeType|fs.ModePerm)), e.Size, e.Hash, e.Target)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// migrations lists the names of the database migrations in m, each once although there is one file per database system.
func migrations(m *filesync.Manifest) []string {
	var names []string
	for e := range m.All() {
		base := path.Base(e.Path)
		if e.IsFile() && strings.HasPrefix(e.Path, "migrations/") && strings.HasPrefix(base, "Version") && path.Ext(base) == ".php" {
			names = append(names, strings.TrimSuffix(base, ".php"))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// sharedPath is a path that outlives releases.
type sharedPath struct {
	path string
	dir  bool // a folder, made if missing; else a file, whose link may dangle
}

// mosparoShared are the shared paths of every mosparo: what the application itself, or the operator, writes.
func mosparoShared() []sharedPath {
	return []sharedPath{
		{"config/env.mosparo.php", false}, {".env.local", false},
		{"public/resources", true}, {"var/data", true}, {"var/log", true},
	}
}

// sharedPaths are mosparo's own, where the release is one, and those of the inventory, without repetition. One of the inventory is a file if it has an
// extension or begins with a dot, else a folder; a slash at its end makes it a folder anyway.
func sharedPaths(kind Kind, extra []string) []sharedPath {
	var list []sharedPath
	if kind == KindMosparo {
		list = mosparoShared()
	}
	for _, p := range extra {
		clean := strings.TrimPrefix(path.Clean("/"+p), "/")
		if clean == "" || slices.ContainsFunc(list, func(s sharedPath) bool { return s.path == clean }) {
			continue
		}
		list = append(list, sharedPath{clean, strings.HasSuffix(p, "/") || path.Ext(path.Base(clean)) == ""})
	}
	return list
}

// ownFiles are patterns of what never belongs to a release: caches and leftovers of the application on the machine the
// release comes from, version control, and what mosparoctl itself writes.
func ownFiles() []string {
	return []string{"/.git", "/" + infoName, "/" + manifestName, "/" + inventory.ManageDir, ops.TempPrefix + "*",
		"/var/cache", "/var/updates", "/var/sessions", "/public/update-log", "/.env.local.php"}
}

// anchored are patterns of the shared paths.
func anchored(shared []sharedPath) []string {
	list := make([]string, 0, len(shared))
	for _, s := range shared {
		list = append(list, "/"+s.path)
	}
	return list
}
