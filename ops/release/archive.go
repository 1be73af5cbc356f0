package release

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/filesync"
)

// Bounds of what an archive may unpack to. A release of mosparo is about 100 MB in 10,000 files.
const (
	maxFiles = 200_000
	maxBytes = 4 << 30
)

// unpack unpacks an archive into a new temporary folder, after its checksum was verified. Nothing in the archive may lie,
// or point, outside of the folder.
func unpack(ctx context.Context, name string, o SourceOptions) (dir string, err error) {
	f, err := os.Open(name)
	if err != nil {
		return "", ops.Errorf(ops.CodeFailed, "open archive: %w", err)
	}
	defer f.Close()
	if err := verifyChecksum(f, name, o); err != nil {
		return "", err
	}
	if dir, err = os.MkdirTemp("", "mosparoctl-unpack-"); err != nil {
		return "", ops.Errorf(ops.CodeFailed, "unpack archive: %w", err)
	}
	defer func() {
		if err != nil {
			err = ops.Errorf(ops.CodeFailed, "unpack %s: %w", filepath.Base(name), err)
			_ = os.RemoveAll(dir)
		}
	}()
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", err
	}
	defer root.Close()
	u := &unpacker{ctx: ctx, root: root}
	switch lower := strings.ToLower(name); {
	case strings.HasSuffix(lower, ".zip"):
		err = u.zip(f)
	case strings.HasSuffix(lower, ".tar.gz"), strings.HasSuffix(lower, ".tgz"):
		err = u.tarGz(f)
	default:
		err = errors.New("the name does not end in .zip, .tar.gz or .tgz")
	}
	if err == nil {
		err = u.finish()
	}
	return dir, err
}

// unpacker writes members of an archive below root. os.Root refuses what a member or a link would make outside of it;
// links are made last, so that nothing is written through one.
type unpacker struct {
	ctx   context.Context
	root  *os.Root
	files int
	bytes int64
	links []memberLink
	modes []memberMode // of folders, set at the end, deepest first
}

type memberLink struct{ name, target string }

type memberMode struct {
	name string
	mode fs.FileMode
}

func (u *unpacker) zip(f *os.File) error {
	st, err := f.Stat()
	if err != nil {
		return err
	}
	z, err := zip.NewReader(f, st.Size())
	if err != nil {
		return err
	}
	for _, m := range z.File {
		mode := m.Mode()
		if m.ExternalAttrs>>16 == 0 { // made where there are no modes
			mode = mode.Type() | 0o644
			if mode.IsDir() {
				mode |= 0o755
			}
		}
		r, err := m.Open()
		if err != nil {
			return fmt.Errorf("%q: %w", m.Name, err)
		}
		err = u.member(m.Name, mode, "", r)
		if cerr := r.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return err
		}
		if mode.IsRegular() {
			if err := u.root.Chtimes(clean(m.Name), m.Modified, m.Modified); err != nil {
				return err
			}
		}
	}
	return nil
}

func (u *unpacker) tarGz(f *os.File) error {
	gz, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	defer gz.Close()
	t := tar.NewReader(gz)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if h.Typeflag == tar.TypeXGlobalHeader {
			continue
		}
		if h.Typeflag == tar.TypeLink {
			if err := u.hardLink(h); err != nil {
				return err
			}
			continue
		}
		if err := u.member(h.Name, h.FileInfo().Mode(), h.Linkname, t); err != nil {
			return err
		}
		if h.Typeflag == tar.TypeReg {
			if err := u.root.Chtimes(clean(h.Name), h.ModTime, h.ModTime); err != nil {
				return err
			}
		}
	}
}

// hardLink copies the file a member is a link to, so that no two files of a release are one.
func (u *unpacker) hardLink(h *tar.Header) error {
	from, err := u.root.Open(clean(h.Linkname))
	if err != nil {
		return fmt.Errorf("%q: %w", h.Name, err)
	}
	defer from.Close()
	return u.member(h.Name, h.FileInfo().Mode().Perm(), "", from)
}

// clean is a member's name without a slash at its end and "./" before it.
func clean(name string) string {
	return path.Clean(strings.TrimSuffix(strings.ReplaceAll(name, `\`, "/"), "/"))
}

// member unpacks one member.
func (u *unpacker) member(raw string, mode fs.FileMode, target string, content io.Reader) error {
	if err := u.ctx.Err(); err != nil {
		return err
	}
	name := clean(raw)
	if name == "." && mode.IsDir() {
		return nil
	}
	if u.files++; u.files > maxFiles {
		return fmt.Errorf("more than %d files", maxFiles)
	}
	if err := filesync.CheckPath(name); err != nil || path.IsAbs(raw) {
		return fmt.Errorf("%.200q is not below the archive's root", raw)
	}
	if dir := path.Dir(name); dir != "." {
		if err := u.root.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	switch {
	case mode.IsDir():
		u.modes = append(u.modes, memberMode{name, mode.Perm()})
		return u.root.MkdirAll(name, 0o755)
	case mode.IsRegular():
		return u.file(name, mode.Perm(), content)
	case mode&fs.ModeSymlink != 0:
		if target == "" { // zip keeps it as the content
			b, err := io.ReadAll(io.LimitReader(content, filesync.MaxPath+1))
			if err != nil {
				return err
			}
			target = string(b)
		}
		if target == "" || len(target) > filesync.MaxPath {
			return fmt.Errorf("%q: impossible link target", name)
		}
		u.links = append(u.links, memberLink{name, target})
		return nil
	}
	return fmt.Errorf("%q is neither file, folder nor symlink", name)
}

func (u *unpacker) file(name string, perm fs.FileMode, content io.Reader) error {
	f, err := u.root.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	n, err := io.Copy(f, io.LimitReader(content, maxBytes-u.bytes+1))
	u.bytes += n
	if err == nil && u.bytes > maxBytes {
		err = fmt.Errorf("more than %d bytes", int64(maxBytes))
	}
	if err == nil {
		err = f.Chmod(perm)
	}
	return errors.Join(err, f.Close())
}

// finish makes the links, when nothing is written any more that could follow one, and gives folders their modes.
func (u *unpacker) finish() error {
	for _, l := range u.links {
		if filesync.LeavesRoot(l.name, l.target) {
			return fmt.Errorf("symlink %q points out of the archive, to %.200q", l.name, l.target)
		}
		if err := u.root.Symlink(l.target, l.name); err != nil {
			return err
		}
	}
	for i := len(u.modes) - 1; i >= 0; i-- {
		// The owner must be able to read and remove it again.
		if err := u.root.Chmod(u.modes[i].name, u.modes[i].mode|0o700); err != nil {
			return err
		}
	}
	return nil
}

// topFolder is the only folder in dir, where there is nothing else, else dir: archives often hold one folder around all.
func topFolder(dir string) string {
	entries, err := os.ReadDir(dir)
	if err == nil && len(entries) == 1 && entries[0].IsDir() {
		return filepath.Join(dir, entries[0].Name())
	}
	return dir
}
