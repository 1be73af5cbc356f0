package local

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/mosparoctl/mosparoctl/ops"
)

// Open opens a file for reading.
func (h *Host) Open(ctx context.Context, path string) (io.ReadCloser, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return os.Open(path)
}

// OpenBelow opens a file below root for reading. No symlink leads out of root, not even one that was put into the place of a file or
// of a folder after it was listed; and nothing but a file is opened, such as a pipe that would never end.
func (h *Host) OpenBelow(ctx context.Context, root, path string) (io.ReadCloser, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	dir, err := os.OpenRoot(root)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	f, err := dir.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: filepath.Join(root, path), Err: errors.New("is no file any more")}
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// Lstat describes path itself.
func (h *Host) Lstat(ctx context.Context, path string) (ops.FileInfo, error) {
	if err := ctx.Err(); err != nil {
		return ops.FileInfo{}, err
	}
	st, err := os.Lstat(path)
	if err != nil {
		return ops.FileInfo{}, err
	}
	info := fileInfo(st)
	if info.IsLink() {
		info.Target, err = os.Readlink(path)
	}
	return info, err
}

// ReadDir lists a directory by name.
func (h *Host) ReadDir(ctx context.Context, path string) ([]ops.FileInfo, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	infos := make([]ops.FileInfo, 0, len(entries))
	for _, e := range entries {
		st, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // gone since the listing
		}
		if err != nil {
			return nil, err
		}
		infos = append(infos, fileInfo(st))
	}
	return infos, nil
}

// ReadLink is the target of a symlink.
func (h *Host) ReadLink(ctx context.Context, path string) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	return os.Readlink(path)
}

// WriteFile writes a file as ops.FileWriter promises.
func (h *Host) WriteFile(ctx context.Context, path string, content io.Reader, attr ops.Attr) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	tmp := tempName(path)
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("write %s: %w", path, err)
			_ = os.Remove(tmp)
		}
	}()
	written, err := io.Copy(f, contextReader{ctx, content})
	if err == nil {
		err = finish(f, written, attr)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// finish checks the size of a new file and sets what attr names, on the open file: by its name, whoever owns the directory could have put
// a link to another one in its place.
func finish(f *os.File, written int64, attr ops.Attr) error {
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if st.Size() != written {
		return fmt.Errorf("%d of %d bytes arrived", st.Size(), written)
	}
	if attr.Owner != nil { // before the mode, since it drops setuid bits
		if err := f.Chown(attr.Owner.UID, attr.Owner.GID); err != nil {
			return err
		}
	}
	if attr.Mode == 0 {
		attr.Mode = 0o644
	}
	if err := f.Chmod(attr.Mode); err != nil {
		return err
	}
	return setAttr(f.Name(), ops.Attr{MTime: attr.MTime})
}

// Symlink makes path a link to target, atomically.
func (h *Host) Symlink(ctx context.Context, target, path string) error {
	return h.replace(ctx, path, func(tmp string) error { return os.Symlink(target, tmp) })
}

// Link makes path a hard link to old, atomically.
func (h *Host) Link(ctx context.Context, old, path string) error {
	return h.replace(ctx, path, func(tmp string) error { return os.Link(old, tmp) })
}

// replace makes something under a temporary name and renames it to path.
func (h *Host) replace(ctx context.Context, path string, make func(tmp string) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	tmp := tempName(path)
	if err := make(tmp); err != nil {
		return err
	}
	err := os.Rename(tmp, path)
	// rename(2) does nothing when both names are links to one file, and leaves the temporary one.
	if rmErr := os.Remove(tmp); err == nil && rmErr != nil && !errors.Is(rmErr, fs.ErrNotExist) {
		return rmErr
	}
	return err
}

// MkdirAll makes path and its missing parents.
func (h *Host) MkdirAll(ctx context.Context, path string, attr ops.Attr) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	path = filepath.Clean(path)
	if st, err := os.Stat(path); err == nil {
		if !st.IsDir() {
			return &fs.PathError{Op: "mkdir", Path: path, Err: syscall.ENOTDIR}
		}
		return nil
	}
	if parent := filepath.Dir(path); parent != path {
		if err := h.MkdirAll(ctx, parent, attr); err != nil {
			return err
		}
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return nil // somebody else was faster
		}
		return err
	}
	if attr.Mode == 0 {
		attr.Mode = 0o755
	}
	return setAttr(path, attr)
}

// Rename moves atomically, replacing what is there.
func (h *Host) Rename(ctx context.Context, from, to string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return os.Rename(from, to)
}

// Remove removes a file, a link or an empty directory.
func (h *Host) Remove(ctx context.Context, path string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return os.Remove(path)
}

// RemoveAll removes path and all below it.
func (h *Host) RemoveAll(ctx context.Context, path string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return os.RemoveAll(path)
}

// SetAttr sets mode, time and owner. A symlink only gets its owner, since Linux gives it no mode.
func (h *Host) SetAttr(ctx context.Context, path string, attr ops.Attr) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	st, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if st.Mode()&fs.ModeSymlink != 0 {
		if attr.Owner == nil {
			return nil
		}
		return os.Lchown(path, attr.Owner.UID, attr.Owner.GID)
	}
	return setAttr(path, attr)
}

// setAttr sets what attr names. The owner goes first, since chown drops setuid bits. It follows no link out of the directory of path, so
// that nobody can turn what is meant for a file of theirs against another one.
func setAttr(path string, attr ops.Attr) error {
	dir, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	name := filepath.Base(path)
	if attr.Owner != nil {
		if err := dir.Lchown(name, attr.Owner.UID, attr.Owner.GID); err != nil {
			return err
		}
	}
	if attr.Mode != 0 {
		if err := dir.Chmod(name, attr.Mode); err != nil {
			return err
		}
	}
	if !attr.MTime.IsZero() {
		return dir.Chtimes(name, attr.MTime, attr.MTime)
	}
	return nil
}

func fileInfo(st fs.FileInfo) ops.FileInfo {
	info := ops.FileInfo{Name: st.Name(), Mode: st.Mode(), Size: st.Size(), MTime: st.ModTime()}
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		info.UID, info.GID = int(sys.Uid), int(sys.Gid)
	}
	return info
}

// tempName is a name beside path that no other file has.
func tempName(path string) string {
	return filepath.Join(filepath.Dir(path), ops.TempPrefix+rand.Text())
}

// contextReader ends a copy when its context ends.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
