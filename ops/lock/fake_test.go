package lock

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/mosparoctl/mosparoctl/ops"
)

// node is a node's file system in memory, with a clock of its own and a link that can be cut. Every call takes a
// millisecond, so that two operators' calls interleave in a synctest bubble.
type node struct {
	mu    sync.Mutex
	skew  time.Duration // of the node's clock
	files map[string]file
	dirs  map[string]bool
}

type file struct {
	data  []byte
	mtime time.Time
}

func newNode() *node { return &node{files: map[string]file{}, dirs: map[string]bool{"/": true}} }

// link is one operator's connection to the node.
type link struct {
	*node
	mu  sync.Mutex
	cut error
}

func (n *node) connect() *link { return &link{node: n} }

func (l *link) Name() string { return "admin" }

func (l *link) setCut(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = err
}

// call waits for the wire and reports its state.
func (l *link) call(ctx context.Context) error {
	time.Sleep(time.Millisecond)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut != nil {
		return l.cut
	}
	return ctx.Err()
}

// clock sets the node's clock off by d.
func (n *node) clock(d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.skew = d
}

func (l *link) Open(ctx context.Context, p string) (io.ReadCloser, error) {
	if err := l.call(ctx); err != nil {
		return nil, err
	}
	l.node.mu.Lock()
	defer l.node.mu.Unlock()
	f, ok := l.files[p]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return io.NopCloser(bytes.NewReader(f.data)), nil
}

func (l *link) Lstat(ctx context.Context, p string) (ops.FileInfo, error) {
	if err := l.call(ctx); err != nil {
		return ops.FileInfo{}, err
	}
	l.node.mu.Lock()
	defer l.node.mu.Unlock()
	if f, ok := l.files[p]; ok {
		return ops.FileInfo{Name: path.Base(p), Size: int64(len(f.data)), MTime: f.mtime.Truncate(time.Second)}, nil
	}
	if l.dirs[p] {
		return ops.FileInfo{Name: path.Base(p), Mode: fs.ModeDir | 0o755}, nil
	}
	return ops.FileInfo{}, fs.ErrNotExist
}

func (l *link) ReadDir(ctx context.Context, p string) ([]ops.FileInfo, error) {
	if err := l.call(ctx); err != nil {
		return nil, err
	}
	l.node.mu.Lock()
	defer l.node.mu.Unlock()
	if !l.dirs[p] {
		return nil, fs.ErrNotExist
	}
	var infos []ops.FileInfo
	for d := range l.dirs {
		if path.Dir(d) == p && d != p {
			infos = append(infos, ops.FileInfo{Name: path.Base(d), Mode: fs.ModeDir})
		}
	}
	for f := range l.files {
		if path.Dir(f) == p {
			infos = append(infos, ops.FileInfo{Name: path.Base(f)})
		}
	}
	return infos, nil
}

func (l *link) WriteFile(ctx context.Context, p string, content io.Reader, _ ops.Attr) error {
	if err := l.call(ctx); err != nil {
		return err
	}
	data, err := io.ReadAll(content)
	if err != nil {
		return err
	}
	l.node.mu.Lock()
	defer l.node.mu.Unlock()
	if !l.dirs[path.Dir(p)] {
		return fs.ErrNotExist
	}
	l.files[p] = file{data, time.Now().Add(l.skew)}
	return nil
}

func (l *link) MkdirAll(ctx context.Context, p string, _ ops.Attr) error {
	if err := l.call(ctx); err != nil {
		return err
	}
	l.node.mu.Lock()
	defer l.node.mu.Unlock()
	for ; !l.dirs[p]; p = path.Dir(p) {
		l.dirs[p] = true
	}
	return nil
}

// Rename moves a folder as rename(2) does.
func (l *link) Rename(ctx context.Context, from, to string) error {
	if err := l.call(ctx); err != nil {
		return err
	}
	l.node.mu.Lock()
	defer l.node.mu.Unlock()
	if !l.dirs[from] {
		return fs.ErrNotExist
	}
	for f := range l.files {
		if strings.HasPrefix(f, to+"/") {
			return &fs.PathError{Op: "rename", Path: to, Err: fs.ErrExist}
		}
	}
	delete(l.dirs, from)
	l.dirs[to] = true
	for f, c := range l.files {
		if rest, ok := strings.CutPrefix(f, from+"/"); ok {
			delete(l.files, f)
			l.files[path.Join(to, rest)] = c
		}
	}
	return nil
}

func (l *link) RemoveAll(ctx context.Context, p string) error {
	if err := l.call(ctx); err != nil {
		return err
	}
	l.node.mu.Lock()
	defer l.node.mu.Unlock()
	for f := range l.files {
		if f == p || strings.HasPrefix(f, p+"/") {
			delete(l.files, f)
		}
	}
	for d := range l.dirs {
		if d == p || strings.HasPrefix(d, p+"/") {
			delete(l.dirs, d)
		}
	}
	return nil
}

func (l *link) ReadLink(context.Context, string) (string, error) { return "", fs.ErrInvalid }
func (l *link) Symlink(context.Context, string, string) error    { return fs.ErrInvalid }
func (l *link) Link(context.Context, string, string) error       { return fs.ErrInvalid }
func (l *link) Remove(context.Context, string) error             { return fs.ErrInvalid }
func (l *link) SetAttr(context.Context, string, ops.Attr) error  { return fs.ErrInvalid }
