package remote

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/pkg/sftp"

	"github.com/mosparoctl/mosparoctl/ops"
)

// Open opens a file for reading. The reader fills large buffers, and io.Copy from it, with many requests in flight. It ends
// with ctx's error at the first read after ctx's end, and with ops.CodeUnreachable when the node is gone.
func (h *Host) Open(ctx context.Context, path string) (io.ReadCloser, error) {
	f, err := call(ctx, h, "open", path, func(c *sftp.Client) (*sftp.File, error) { return c.Open(path) }, func(f *sftp.File) { f.Close() })
	if err != nil {
		return nil, err
	}
	return &reader{ctx: ctx, host: h, file: f, path: path}, nil
}

// reader is an open file.
type reader struct {
	ctx  context.Context // of Open: it covers the reading too
	host *Host
	file *sftp.File
	path string
}

func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := r.file.Read(p)
	return n, r.translate(err)
}

// WriteTo is what io.Copy uses.
func (r *reader) WriteTo(w io.Writer) (int64, error) {
	n, err := r.file.WriteTo(contextWriter{r.ctx, w})
	return n, r.translate(err)
}

func (r *reader) translate(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	return r.host.fileError(r.ctx, "read", r.path, err)
}

func (r *reader) Close() error {
	_, err := await(r.ctx, r.host.conn, func() (struct{}, error) { return struct{}{}, r.file.Close() }, nil)
	return err
}

// contextWriter ends a copy when its context ends.
type contextWriter struct {
	ctx context.Context
	w   io.Writer
}

func (c contextWriter) Write(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.w.Write(p)
}

// contextReader likewise.
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

// Lstat describes path itself, with its target if it is a symlink.
func (h *Host) Lstat(ctx context.Context, path string) (ops.FileInfo, error) {
	return call(ctx, h, "lstat", path, func(c *sftp.Client) (ops.FileInfo, error) {
		st, err := c.Lstat(path)
		if err != nil {
			return ops.FileInfo{}, err
		}
		info := fileInfo(st)
		if info.IsLink() {
			info.Target, err = c.ReadLink(path)
		}
		return info, err
	}, nil)
}

// ReadDir lists a directory by name.
func (h *Host) ReadDir(ctx context.Context, path string) ([]ops.FileInfo, error) {
	return call(ctx, h, "list", path, func(c *sftp.Client) ([]ops.FileInfo, error) {
		entries, err := c.ReadDirContext(ctx, path)
		if err != nil {
			return nil, err
		}
		infos := make([]ops.FileInfo, 0, len(entries))
		for _, e := range entries {
			if n := e.Name(); n != "." && n != ".." {
				infos = append(infos, fileInfo(e))
			}
		}
		slices.SortFunc(infos, func(a, b ops.FileInfo) int { return strings.Compare(a.Name, b.Name) })
		return infos, nil
	}, nil)
}

// ReadLink is the target of a symlink.
func (h *Host) ReadLink(ctx context.Context, path string) (string, error) {
	return call(ctx, h, "readlink", path, func(c *sftp.Client) (string, error) { return c.ReadLink(path) }, nil)
}

func fileInfo(st os.FileInfo) ops.FileInfo {
	info := ops.FileInfo{Name: st.Name(), Mode: st.Mode(), Size: st.Size(), MTime: st.ModTime()}
	if sys, ok := st.Sys().(*sftp.FileStat); ok {
		info.UID, info.GID = int(sys.UID), int(sys.GID)
	}
	return info
}
