package filesync

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/mosparoctl/mosparoctl/ops"
)

// Scan lists the tree with one find and hashes with one sha256sum where the node runs commands, else by many directory
// listings and reads in flight.
func (p *HostPeer) Scan(ctx context.Context, root string, o ScanOptions) (*Manifest, error) {
	for _, sub := range o.Paths {
		if err := CheckPath(sub); err != nil {
			return nil, fmt.Errorf("scan %s: %w", root, err)
		}
	}
	entries, err := p.list(ctx, root, o)
	if err != nil {
		return nil, p.scanError(root, err)
	}
	m, err := NewManifest(entries)
	if err != nil {
		return nil, p.scanError(root, err)
	}
	if o.Hash {
		if m, err = p.hash(ctx, root, m); err != nil {
			return nil, p.scanError(root, err)
		}
	}
	return m, nil
}

func (p *HostPeer) scanError(root string, err error) error {
	return ops.NodeError(p.host.Name(), "scan "+root, err)
}

func (p *HostPeer) list(ctx context.Context, root string, o ScanOptions) ([]Entry, error) {
	if !p.filesOnly.Load() {
		entries, err := p.findList(ctx, root, o)
		if !errors.Is(err, errNoCommands) {
			return entries, err
		}
		p.filesOnly.Store(true)
	}
	w := walker{host: p.host, root: root, opts: o, slots: semaphore.NewWeighted(int64(p.concurrency))}
	return w.list(ctx)
}

// hash fills in the hashes of m's files. Files that vanished meanwhile are left out.
func (p *HostPeer) hash(ctx context.Context, root string, m *Manifest) (*Manifest, error) {
	var files []string
	for e := range m.All() {
		if e.IsFile() {
			files = append(files, e.Path)
		}
	}
	if len(files) == 0 {
		return m, nil
	}
	var sums map[string]string
	err := errNoCommands
	if !p.filesOnly.Load() {
		sums, err = p.sha256sum(ctx, root, files)
	}
	if errors.Is(err, errNoCommands) {
		p.filesOnly.Store(true)
		sums, err = p.readSums(ctx, root, files)
	}
	if err != nil {
		return nil, err
	}
	hashed := make([]Entry, 0, m.Len())
	for e := range m.All() {
		sum, ok := sums[e.Path]
		if e.IsFile() && !ok {
			continue
		}
		e.Hash = sum
		hashed = append(hashed, e)
	}
	return &Manifest{entries: hashed}, nil
}

// readSums hashes files by reading them.
func (p *HostPeer) readSums(ctx context.Context, root string, files []string) (map[string]string, error) {
	var mu sync.Mutex
	sums := make(map[string]string, len(files))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(p.concurrency)
	for _, f := range files {
		g.Go(func() error {
			r, err := p.open(ctx, root, f)
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			h := sha256.New()
			_, err = io.Copy(h, r)
			if cerr := r.Close(); err == nil {
				err = cerr
			}
			mu.Lock()
			defer mu.Unlock()
			sums[f] = hex.EncodeToString(h.Sum(nil))
			return err
		})
	}
	return sums, g.Wait()
}

// walker lists a tree by directory, many at once.
type walker struct {
	host  ops.Host
	root  string
	opts  ScanOptions
	slots *semaphore.Weighted // requests in flight

	mu      sync.Mutex
	entries []Entry
}

func (w *walker) list(ctx context.Context) ([]Entry, error) {
	g, ctx := errgroup.WithContext(ctx)
	if w.opts.Paths == nil {
		if err := w.dir(ctx, g, "", true); err != nil {
			return nil, errors.Join(err, g.Wait())
		}
		return w.entries, g.Wait()
	}
	if _, err := w.host.Lstat(ctx, w.root); err != nil {
		return nil, err
	}
	for _, sub := range topPaths(w.opts.Paths) {
		g.Go(func() error { return w.start(ctx, g, sub) })
	}
	return w.entriesAfter(g)
}

func (w *walker) entriesAfter(g *errgroup.Group) ([]Entry, error) {
	err := g.Wait()
	// With Temps, one directory may be listed both as a parent and as a part of a tree.
	slices.SortFunc(w.entries, func(a, b Entry) int { return strings.Compare(a.Path, b.Path) })
	return slices.CompactFunc(w.entries, func(a, b Entry) bool { return a.Path == b.Path }), err
}

// topPaths is paths without those that lie below another one.
func topPaths(paths []string) []string {
	sorted := slices.Clone(paths)
	slices.Sort(sorted)
	var top []string
	for _, p := range sorted {
		if !slices.ContainsFunc(top, func(t string) bool { return p == t || strings.HasPrefix(p, t+"/") }) {
			top = append(top, p)
		}
	}
	return top
}

// start lists one of the paths the scan is limited to.
func (w *walker) start(ctx context.Context, g *errgroup.Group, sub string) error {
	parent := "."
	for i, c := range sub + "/" {
		if c != '/' || i == len(sub) {
			continue
		}
		parent = sub[:i]
		info, err := w.host.Lstat(ctx, path.Join(w.root, parent))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if info.IsLink() {
			return linkedParent(parent)
		}
	}
	if w.opts.Temps {
		if err := w.dir(ctx, g, strings.TrimPrefix(parent, "."), false); err != nil {
			return err
		}
	}
	info, err := w.host.Lstat(ctx, path.Join(w.root, sub))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if w.opts.Temps && !info.IsDir() {
		return nil
	}
	return w.add(ctx, g, sub, info, true)
}

func linkedParent(p string) error {
	return ops.Errorf(ops.CodeFailed, "%s is a symlink, and nothing behind it is touched", p).
		WithHint("name the folder it points to, or replace the link by a folder")
}

// dir lists one directory (relative, "" for the root) and, with deep, those below it.
func (w *walker) dir(ctx context.Context, g *errgroup.Group, dir string, deep bool) error {
	if err := w.slots.Acquire(ctx, 1); err != nil {
		return err
	}
	infos, err := w.host.ReadDir(ctx, path.Join(w.root, dir))
	w.slots.Release(1)
	if errors.Is(err, fs.ErrNotExist) && dir != "" {
		return nil
	}
	if err != nil {
		return err
	}
	for _, info := range infos {
		if err := w.add(ctx, g, path.Join(dir, info.Name), info, deep); err != nil {
			return err
		}
	}
	return nil
}

// add takes one entry in and goes on below it.
func (w *walker) add(ctx context.Context, g *errgroup.Group, p string, info ops.FileInfo, deep bool) error {
	e := Entry{Path: p, Mode: info.Mode, Size: info.Size, MTime: info.MTime.Unix(), UID: info.UID, GID: info.GID, Target: info.Target}
	e.normalise()
	take, descend := w.opts.wants(e)
	if take && e.IsLink() && e.Target == "" {
		if err := w.slots.Acquire(ctx, 1); err != nil {
			return err
		}
		var err error
		e.Target, err = w.host.ReadLink(ctx, path.Join(w.root, p))
		w.slots.Release(1)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	if take {
		w.mu.Lock()
		full := len(w.entries) == MaxEntries
		w.entries = append(w.entries, e)
		w.mu.Unlock()
		if full {
			return fmt.Errorf("more than %d files", MaxEntries)
		}
	}
	if descend && deep {
		g.Go(func() error { return w.dir(ctx, g, p, true) })
	}
	return nil
}

// wants says whether the scan lists e, and whether it goes on below it.
func (o ScanOptions) wants(e Entry) (take, descend bool) {
	temp := strings.HasPrefix(path.Base(e.Path), ops.TempPrefix)
	if o.Temps {
		return temp, e.IsDir() && !temp
	}
	if temp || o.Exclude.Match(e.Path, e.IsDir()) {
		return false, false
	}
	return true, e.IsDir()
}

// normalise drops what a manifest doesn't hold. A file or directory without any permission bit is listed as readable by
// its owner, since ops.Attr can't express mode 0.
func (e *Entry) normalise() {
	e.Mode &= fs.ModeType | fs.ModePerm | fs.ModeSetgid
	if !e.IsDir() {
		e.Mode &^= fs.ModeSetgid
	}
	if e.IsLink() {
		e.Mode |= fs.ModePerm
	} else if e.Mode.Perm() == 0 {
		e.Mode |= 0o400
	}
	if !e.IsFile() {
		e.Size = 0
	}
	e.MTime = min(max(e.MTime, 0), maxTime)
}
