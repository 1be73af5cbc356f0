package remote

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/sync/errgroup"

	"github.com/mosparoctl/mosparoctl/ops"
)

const (
	// cleanupTimeout bounds the removal of a temporary file after a failure.
	cleanupTimeout = 5 * time.Second
	// nearlyFull is the free space below which a failed write is put down to a full disk.
	nearlyFull = 256 << 10
	// readOnly is SSH_FXE_STATVFS_ST_RDONLY, in the flags of a file system.
	readOnly = 1
)

// Extensions of OpenSSH that are used where the server has them.
const (
	posixRename = "posix-rename@openssh.com"
	hardLink    = "hardlink@openssh.com"
)

// WriteFile writes a file as ops.FileWriter promises. A file that not everybody may read is closed to others before its
// content arrives. When ctx ends or the content can't be read, the temporary file is removed; when the connection dies it stays
// behind, to be found by its prefix.
func (h *Host) WriteFile(ctx context.Context, name string, content io.Reader, attr ops.Attr) (err error) {
	tmp := tempName(name)
	if attr.Mode == 0 {
		attr.Mode = 0o644
	}
	remove := func(c *sftp.Client) { _ = c.Remove(tmp) }
	var client *sftp.Client
	f, err := call(ctx, h, "write", name, func(c *sftp.Client) (*sftp.File, error) {
		client = c
		return c.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	}, func(f *sftp.File) { f.Close(); remove(client) })
	if err != nil {
		return h.explained(ctx, "write", name, err)
	}
	defer func() {
		if err != nil {
			err = h.explained(ctx, "write", name, err)
			h.cleanUp(ctx, func() { f.Close(); remove(client) })
		}
	}()
	if attr.Mode&0o044 != 0o044 { // on servers that make no file closed, see closedFiles
		if err := h.step(ctx, "write", name, func() error { return f.Chmod(0o600) }); err != nil {
			return err
		}
	}
	written, err := h.send(ctx, f, name, content)
	if err != nil {
		return err
	}
	if err := h.finish(ctx, client, f, tmp, name, written, attr); err != nil {
		return err
	}
	return h.replace(ctx, "write", tmp, name)
}

// step waits for one request on an open file.
func (h *Host) step(ctx context.Context, op, name string, fn func() error) error {
	_, err := await(ctx, h.conn, func() (struct{}, error) { return struct{}{}, fn() }, nil)
	if err != nil {
		return h.fileError(ctx, op, name, err)
	}
	return nil
}

// chunks are buffers for the beginnings of files, which are all of most files.
var chunks = sync.Pool{New: func() any { b := make([]byte, packetSize); return &b }}

// send writes the content, with many requests in flight if it is more than one packet. An error of the content's reader is
// returned as it is.
func (h *Host) send(ctx context.Context, f *sftp.File, name string, content io.Reader) (int64, error) {
	source := &sourceReader{r: contextReader{ctx, content}}
	chunk := chunks.Get().(*[]byte)
	defer chunks.Put(chunk)
	n, err := io.ReadFull(source, *chunk)
	var written int64
	switch {
	case n == 0 && errors.Is(err, io.EOF):
		return 0, nil
	case errors.Is(err, io.ErrUnexpectedEOF) && source.err == nil:
		n, err = f.WriteAt((*chunk)[:n], 0)
		written = int64(n)
	case err == nil:
		written, err = f.ReadFromWithConcurrency(io.MultiReader(bytes.NewReader(*chunk), source), inFlight)
	}
	switch {
	case source.err != nil:
		return written, fmt.Errorf("write %s: %w", name, source.err)
	case err != nil:
		return written, h.fileError(ctx, "write", name, err)
	}
	return written, nil
}

// sourceReader remembers the error of a reader, to tell it from errors of the node.
type sourceReader struct {
	r   io.Reader
	err error
}

func (s *sourceReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// finish checks the size, sets owner, mode and time, and closes the file.
func (h *Host) finish(ctx context.Context, c *sftp.Client, f *sftp.File, tmp, name string, written int64, attr ops.Attr) error {
	if attr.Owner != nil { // before the mode, since it drops setuid bits
		if err := h.step(ctx, "chown", name, func() error { return f.Chown(attr.Owner.UID, attr.Owner.GID) }); err != nil {
			return err
		}
	}
	// None of these depends on another: one round trip for all.
	var g errgroup.Group
	g.Go(func() error { return h.step(ctx, "chmod", name, func() error { return f.Chmod(attr.Mode) }) })
	if !attr.MTime.IsZero() {
		g.Go(func() error {
			return h.step(ctx, "set time of", name, func() error { return c.Chtimes(tmp, attr.MTime, attr.MTime) })
		})
	}
	g.Go(func() error {
		return h.step(ctx, "verify", name, func() error {
			st, err := f.Stat()
			if err == nil && st.Size() != written {
				err = fmt.Errorf("%d of %d bytes arrived", st.Size(), written)
			}
			return err
		})
	})
	if err := g.Wait(); err != nil {
		return err
	}
	return h.step(ctx, "close", name, f.Close)
}

// replace renames from over to and removes from if that fails.
func (h *Host) replace(ctx context.Context, op, from, to string) error {
	return do(ctx, h, op, to, func(c *sftp.Client) error { return h.rename(ctx, c, from, to) })
}

// rename is rename(2). Without the posix-rename extension SFTP can't replace a file, so mv does it where commands may be run;
// -T keeps it from moving into a directory that the target links to.
func (h *Host) rename(ctx context.Context, c *sftp.Client, from, to string) error {
	if _, ok := c.HasExtension(posixRename); ok {
		return c.PosixRename(from, to)
	}
	_, err := h.Run(ctx, ops.Command{Argv: []string{"mv", "-fT", "--", from, to}})
	var exit *ops.ExitError
	if err == nil || ops.CodeOf(err) == ops.CodeUnreachable && h.conn.isDead() {
		return err
	}
	if errors.As(err, &exit) {
		if _, statErr := c.Lstat(from); statErr != nil {
			return statErr
		}
		return err
	}
	return ops.Errorf(ops.CodeFailed, "the node's SFTP server can't replace files (no %s), and mv can't be run there: %w", posixRename, err).
		On(h.name).WithHint("use OpenSSH's sftp-server on the node: Subsystem sftp internal-sftp")
}

// cleanUp runs fn, which tidies up on the node, even when ctx has ended, but doesn't wait long for it.
func (h *Host) cleanUp(ctx context.Context, fn func()) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	_, _ = await(ctx, h.conn, func() (struct{}, error) { fn(); return struct{}{}, nil }, nil)
}

// explained puts a name to an unexplained refusal where the file system of name is full or read-only.
func (h *Host) explained(ctx context.Context, op, name string, err error) error {
	var status *sftp.StatusError
	if !errors.As(err, &status) {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	for dir := path.Dir(name); ; dir = path.Dir(dir) {
		st, statErr := call(ctx, h, "look at", dir, func(c *sftp.Client) (*sftp.StatVFS, error) { return c.StatVFS(dir) }, nil)
		switch {
		case statErr != nil && dir != "/" && ctx.Err() == nil && !h.conn.isDead():
			continue // it may be one that was still to be made
		case statErr != nil:
			return err
		case st.Flag&readOnly != 0:
			return &fs.PathError{Op: op, Path: name, Err: syscall.EROFS}
		case st.Bavail*st.Frsize < nearlyFull, st.Favail == 0 && st.Files != 0:
			return &fs.PathError{Op: op, Path: name, Err: syscall.ENOSPC}
		}
		return err
	}
}

// Symlink makes path a link to target, atomically.
func (h *Host) Symlink(ctx context.Context, target, path string) error {
	return h.create(ctx, "symlink", path, func(c *sftp.Client, name string) error { return c.Symlink(target, name) })
}

// Link makes path a hard link to old, atomically.
func (h *Host) Link(ctx context.Context, old, path string) error {
	if err := checkPath("link", old); err != nil {
		return err
	}
	return h.create(ctx, "link", path, func(c *sftp.Client, name string) error {
		if _, ok := c.HasExtension(hardLink); !ok {
			return fmt.Errorf("hard links over SFTP: %w", errors.ErrUnsupported)
		}
		return c.Link(old, name)
	})
}

// create makes a link: in its place if that is free, which takes one request, else beside it and renamed over it.
func (h *Host) create(ctx context.Context, op, path string, make func(c *sftp.Client, name string) error) error {
	err := do(ctx, h, op, path, func(c *sftp.Client) error { return make(c, path) })
	if err == nil || ctx.Err() != nil || h.conn.isDead() || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	tmp := tempName(path)
	if err := do(ctx, h, op, path, func(c *sftp.Client) error { return make(c, tmp) }); err != nil {
		return err
	}
	err = h.replace(ctx, op, tmp, path)
	// rename(2) does nothing when both names are links to one file, and leaves the temporary one.
	h.cleanUp(ctx, func() { _ = h.removeQuietly(ctx, tmp) })
	return err
}

func (h *Host) removeQuietly(ctx context.Context, name string) error {
	return do(context.WithoutCancel(ctx), h, "remove", name, func(c *sftp.Client) error { return c.Remove(name) })
}

// MkdirAll makes path and its missing parents.
func (h *Host) MkdirAll(ctx context.Context, name string, attr ops.Attr) error {
	if attr.Mode == 0 {
		attr.Mode = 0o755
	}
	err := do(ctx, h, "mkdir", name, func(c *sftp.Client) error { return mkdirAll(c, path.Clean(name), attr) })
	return h.explained(ctx, "mkdir", name, err)
}

func mkdirAll(c *sftp.Client, name string, attr ops.Attr) error {
	st, err := c.Stat(name)
	switch {
	case err == nil && !st.IsDir():
		return syscall.ENOTDIR
	case err == nil:
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if parent := path.Dir(name); parent != name {
		if err := mkdirAll(c, parent, attr); err != nil {
			return err
		}
	}
	if err := c.Mkdir(name); err != nil {
		if st, statErr := c.Stat(name); statErr == nil && st.IsDir() {
			return nil // somebody else was faster
		}
		return err
	}
	return setAttr(c, name, attr)
}

// Rename moves atomically, replacing what is there.
func (h *Host) Rename(ctx context.Context, from, to string) error {
	if err := checkPath("rename", from); err != nil {
		return err
	}
	return h.replace(ctx, "rename", from, to)
}

// Remove removes a file, a link or an empty directory.
func (h *Host) Remove(ctx context.Context, path string) error {
	return do(ctx, h, "remove", path, func(c *sftp.Client) error { return c.Remove(path) })
}

// SetAttr sets what attr names. A symlink only gets its owner, and that by a command, since SFTP would follow it.
func (h *Host) SetAttr(ctx context.Context, path string, attr ops.Attr) error {
	link, err := call(ctx, h, "set attributes of", path, func(c *sftp.Client) (bool, error) {
		st, err := c.Lstat(path)
		if err != nil || st.Mode()&fs.ModeSymlink != 0 {
			return err == nil, err
		}
		return false, setAttr(c, path, attr)
	}, nil)
	if err != nil || !link || attr.Owner == nil {
		return err
	}
	owner := strconv.Itoa(attr.Owner.UID) + ":" + strconv.Itoa(attr.Owner.GID)
	_, err = h.Run(ctx, ops.Command{Argv: []string{"chown", "-h", "--", owner, path}})
	return err
}

// setAttr sets what attr names. The owner goes first, since chown drops setuid bits.
func setAttr(c *sftp.Client, name string, attr ops.Attr) error {
	if attr.Owner != nil {
		if err := c.Chown(name, attr.Owner.UID, attr.Owner.GID); err != nil {
			return err
		}
	}
	if attr.Mode != 0 {
		if err := c.Chmod(name, attr.Mode); err != nil {
			return err
		}
	}
	if !attr.MTime.IsZero() {
		return c.Chtimes(name, attr.MTime, attr.MTime)
	}
	return nil
}

// tempName is a name beside name that no other file has.
func tempName(name string) string { return path.Join(path.Dir(name), ops.TempPrefix+rand.Text()) }
