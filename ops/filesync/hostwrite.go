package filesync

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/mosparoctl/mosparoctl/ops"
)

// Write carries out changes with many in flight. Directories get their mode and time when all else is done, so that one
// without write permission can be filled.
func (p *HostPeer) Write(ctx context.Context, root string, changes iter.Seq2[Change, error], o WriteOptions) error {
	limit := o.Concurrency
	if limit <= 0 {
		limit = p.concurrency
	}
	w := &writer{host: p.host, root: root, opts: o, limit: limit}
	if err := w.run(ctx, changes); err != nil {
		return ops.NodeError(p.host.Name(), "write "+root, err)
	}
	return nil
}

type writer struct {
	host  ops.Host
	root  string
	opts  WriteOptions
	limit int

	dirs  []Entry  // made by this run, in order
	trash sync.Map // folder of the trash -> func() error that makes it once
}

// run cuts the stream into runs of changes that may be done at once.
func (w *writer) run(ctx context.Context, changes iter.Seq2[Change, error]) error {
	if err := w.host.MkdirAll(ctx, w.root, ops.Attr{}); err != nil {
		return err
	}
	var phase string
	g, gctx := w.group(ctx)
	for c, err := range changes {
		if err != nil {
			return errors.Join(err, g.Wait())
		}
		if next := phaseOf(c.Op); next != phase {
			if err := g.Wait(); err != nil {
				return err
			}
			phase = next
			g, gctx = w.group(ctx)
		}
		if err := w.start(gctx, g, c); err != nil {
			return firstCause(g.Wait(), err)
		}
		if gctx.Err() != nil {
			break
		}
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return w.finishDirs(ctx)
}

// firstCause prefers the failure that ended a group to the cancellation that others saw because of it.
func firstCause(group, own error) error {
	if group != nil && errors.Is(own, context.Canceled) {
		return group
	}
	return errors.Join(own, group)
}

func (w *writer) group(ctx context.Context) (*errgroup.Group, context.Context) {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(w.limit)
	return g, gctx
}

// phaseOf names the set of changes that don't depend on each other.
func phaseOf(o Op) string {
	if o.Entry.IsDir() {
		return fmt.Sprintf("%s dir %d", o.Kind, strings.Count(o.Path(), "/"))
	}
	return string(o.Kind)
}

// start begins one change. A file's content is read here, since it is valid only now: small ones into memory, so that
// many are in flight, large ones on their way to the node.
func (w *writer) start(ctx context.Context, g *errgroup.Group, c Change) error {
	if c.Kind == OpMkdir {
		w.dirs = append(w.dirs, c.Entry)
	}
	if c.Kind != OpPut {
		g.Go(func() error { return w.do(ctx, c.Op, nil) })
		return nil
	}
	if c.Content == nil {
		return fmt.Errorf("write %s: no content given", c.Path())
	}
	content := newVerifier(c.Content, c.Entry)
	if c.Entry.Size > smallFile {
		return w.do(ctx, c.Op, content)
	}
	buf := bytes.NewBuffer(make([]byte, 0, c.Entry.Size+bytes.MinRead))
	if _, err := buf.ReadFrom(content); err != nil {
		return fmt.Errorf("read %s: %w", c.Path(), err)
	}
	g.Go(func() error { return w.do(ctx, c.Op, buf) })
	return nil
}

// do carries one change out.
func (w *writer) do(ctx context.Context, o Op, content io.Reader) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := CheckPath(o.Path()); err != nil {
		return err
	}
	name := path.Join(w.root, o.Path())
	if err := w.keep(ctx, o, name); err != nil {
		return fmt.Errorf("keep %s in the trash: %w", name, err)
	}
	var err error
	switch o.Kind {
	case OpPut:
		err = w.host.WriteFile(ctx, name, content, attrOf(o.Entry))
	case OpMkdir:
		attr := attrOf(o.Entry)
		attr.Mode |= 0o700
		err = w.host.MkdirAll(ctx, name, attr)
	case OpLink:
		err = w.link(ctx, o, name)
	case OpSymlink:
		err = w.host.Symlink(ctx, o.Entry.Target, name)
	case OpSetAttr:
		err = w.host.SetAttr(ctx, name, attrOf(o.Entry))
	case OpDelete:
		err = w.delete(ctx, o, name)
	default:
		err = fmt.Errorf("unknown change %q of %s", o.Kind, name)
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", o.Kind, name, err)
	}
	if w.opts.Done != nil {
		w.opts.Done(o)
	}
	return nil
}

// attrOf is what e wants to be given. Its owner is set only if both user and group are known.
func attrOf(e Entry) ops.Attr {
	a := ops.Attr{Mode: e.perm(), MTime: time.Unix(e.MTime, 0)}
	if e.UID != AnyID && e.GID != AnyID {
		a.Owner = &ops.Owner{UID: e.UID, GID: e.GID}
	}
	return a
}

// keep saves what o replaces, also what came there after the look that o was made of. A hard link keeps the old file in its
// place until the new one is renamed over it, so that a reader never misses it; what is deleted is moved by delete itself.
func (w *writer) keep(ctx context.Context, o Op, name string) error {
	replaces := o.Kind == OpPut || o.Kind == OpLink || o.Kind == OpSymlink
	if w.opts.Trash == "" || !replaces {
		return nil
	}
	old := o.Old
	if old == nil {
		var err error
		if old, err = w.appeared(ctx, o, name); old == nil {
			return err
		}
	}
	kept, err := w.trashPath(ctx, o.Path())
	if err != nil {
		return err
	}
	if old.IsLink() {
		err = w.host.Symlink(ctx, old.Target, kept)
	} else if err = w.host.Link(ctx, name, kept); err != nil && !errors.Is(err, fs.ErrNotExist) && !gone(ctx, err) {
		err = w.copy(ctx, name, kept, *old) // no hard links here, or another file system
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && o.Old == nil && w.opts.Appeared != nil {
		w.opts.Appeared(o.Path())
	}
	return err
}

// appeared is the file or link that lies where o expects nothing; nil if nothing does, or what can't be replaced anyway.
func (w *writer) appeared(ctx context.Context, o Op, name string) (*Entry, error) {
	info, err := w.host.Lstat(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	e := Entry{Path: o.Path(), Mode: info.Mode, Size: info.Size, MTime: info.MTime.Unix(), UID: info.UID, GID: info.GID, Target: info.Target}
	e.normalise()
	if e.IsDir() || e.IsSpecial() {
		return nil, nil
	}
	return &e, nil
}

// gone reports whether trying something else is pointless.
func gone(ctx context.Context, err error) bool {
	return ctx.Err() != nil || ops.CodeOf(err) == ops.CodeUnreachable
}

// trashPath is where p goes in the trash; its folder is made.
func (w *writer) trashPath(ctx context.Context, p string) (string, error) {
	kept := path.Join(w.opts.Trash, p)
	dir := path.Dir(kept)
	once, _ := w.trash.LoadOrStore(dir, sync.OnceValue(func() error {
		return w.host.MkdirAll(ctx, dir, ops.Attr{Mode: 0o700})
	}))
	return kept, once.(func() error)()
}

// copy copies a file on the node through this machine. It keeps the owner where we may.
func (w *writer) copy(ctx context.Context, from, to string, e Entry) error {
	attr := attrOf(e)
	err := w.copyAs(ctx, from, to, attr)
	if attr.Owner != nil && errors.Is(err, fs.ErrPermission) {
		attr.Owner = nil
		err = w.copyAs(ctx, from, to, attr)
	}
	return err
}

func (w *writer) copyAs(ctx context.Context, from, to string, attr ops.Attr) error {
	r, err := w.host.Open(ctx, from)
	if err != nil {
		return err
	}
	err = w.host.WriteFile(ctx, to, r, attr)
	if cerr := r.Close(); err == nil {
		err = cerr
	}
	return err
}

// link makes a hard link, or a copy where that isn't possible: no such thing on the node, or another file system.
func (w *writer) link(ctx context.Context, o Op, name string) error {
	err := w.host.Link(ctx, o.From, name)
	if err == nil || errors.Is(err, fs.ErrNotExist) || gone(ctx, err) {
		return err
	}
	if cerr := w.copy(ctx, o.From, name, o.Entry); cerr != nil {
		return errors.Join(err, cerr)
	}
	return nil
}

// delete removes o, into the trash if there is one. What is gone already is no error.
func (w *writer) delete(ctx context.Context, o Op, name string) error {
	if w.opts.Trash == "" || o.Entry.IsDir() || o.Entry.IsSpecial() {
		err := w.host.Remove(ctx, name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	kept, err := w.trashPath(ctx, o.Path())
	if err != nil {
		return err
	}
	err = w.host.Rename(ctx, name, kept)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if gone(ctx, err) || !o.Entry.IsFile() {
		return err
	}
	if cerr := w.copy(ctx, name, kept, o.Entry); cerr != nil {
		return errors.Join(err, cerr)
	}
	return w.host.Remove(ctx, name)
}

// finishDirs gives the directories that were made their mode and time, from the bottom.
func (w *writer) finishDirs(ctx context.Context) error {
	for _, level := range slices.Backward(byDepth(w.dirs)) {
		g, gctx := w.group(ctx)
		for _, e := range level {
			g.Go(func() error {
				if err := w.host.SetAttr(gctx, path.Join(w.root, e.Path), attrOf(e)); err != nil {
					return fmt.Errorf("set attributes of %s: %w", e.Path, err)
				}
				return nil
			})
		}
		if err := g.Wait(); err != nil {
			return err
		}
	}
	return nil
}

// byDepth groups entries by how deep they lie.
func byDepth(entries []Entry) [][]Entry {
	var levels [][]Entry
	for _, e := range entries {
		depth := strings.Count(e.Path, "/")
		for len(levels) <= depth {
			levels = append(levels, nil)
		}
		levels[depth] = append(levels[depth], e)
	}
	return levels
}
