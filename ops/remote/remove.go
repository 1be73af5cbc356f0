package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/pkg/sftp"
	"golang.org/x/sync/errgroup"

	"github.com/mosparoctl/mosparoctl/ops"
)

// removals in flight of RemoveAll over SFTP.
const removals = 32

// removeScript removes $1 and tells that it ran: a login for SFTP only succeeds with any command, and does nothing.
const removeScript = `LC_ALL=C; export LC_ALL
rm -rf -- "$1"
s=$?
echo ` + removeProof + `
exit $s`

const removeProof = "mosparoctl-removed"

// RemoveAll removes path and all below it. A directory is removed by rm where commands may be run: it holds on to the directories that it
// goes through, whereas over SFTP each is named by its path, and who owns one could put a link to another into its place meanwhile.
func (h *Host) RemoveAll(ctx context.Context, path string) error {
	dir, err := call(ctx, h, "remove", path, func(c *sftp.Client) (bool, error) {
		st, err := c.Lstat(path)
		if err != nil || st.IsDir() {
			return true, err
		}
		return false, gone(c.Remove(path))
	}, nil)
	if err == nil && dir {
		err = h.removeDir(ctx, path)
	}
	return gone(err)
}

func (h *Host) removeDir(ctx context.Context, path string) error {
	res, err := h.Run(ctx, ops.Command{Argv: []string{"sh", "-c", removeScript, "sh", path}})
	var exit *ops.ExitError
	switch ran := bytes.Contains(res.Stdout, []byte(removeProof)); {
	case ran && err == nil, ctx.Err() != nil, h.conn.isDead():
		return err
	case ran && errors.As(err, &exit):
		last := lastLine(exit.Stderr)
		err = fmt.Errorf("refused by the node: %s", last)
		if strings.HasSuffix(last, "Permission denied") {
			err = fs.ErrPermission
		}
		return &fs.PathError{Op: "remove", Path: path, Err: err}
	}
	return do(ctx, h, "remove", path, func(c *sftp.Client) error { return removeTree(ctx, c, path, make(chan struct{}, removals)) })
}

// removeTree removes what is in dir, then dir. slots bounds the requests in flight over the whole tree.
func removeTree(ctx context.Context, c *sftp.Client, dir string, slots chan struct{}) error {
	entries, err := c.ReadDirContext(ctx, dir)
	if err != nil {
		return gone(err)
	}
	var g errgroup.Group
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		if e.IsDir() {
			// One directory after the other: what is in flight are their files.
			if err := removeTree(ctx, c, name, slots); err != nil {
				return errors.Join(err, g.Wait())
			}
			continue
		}
		slots <- struct{}{}
		g.Go(func() error {
			defer func() { <-slots }()
			if err := ctx.Err(); err != nil {
				return err
			}
			return gone(c.Remove(name))
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return gone(c.RemoveDirectory(dir))
}

// gone forgives that something to remove is not there.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
