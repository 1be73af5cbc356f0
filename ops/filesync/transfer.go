package filesync

import (
	"context"
	"fmt"
	"io"
	"iter"
	"slices"
	"sync"

	"github.com/mosparoctl/mosparoctl/ops"
)

// Options tunes a Transfer. The zero value is right for most.
type Options struct {
	Bandwidth   int64             // bytes of content per second; 0: no limit
	Concurrency int               // changes in flight; 0: 64
	Trash       string            // see WriteOptions.Trash
	Appeared    func(path string) // see WriteOptions.Appeared
	// Progress is told the bytes of content sent so far and in total, from any goroutine; nil: nobody wants to know.
	Progress func(done, total int64)
	// LinkFrom is a folder on the target, such as the previous release. A file that has the same content (by hash, which ops
	// must hold), mode and owner there becomes a hard link to it instead of being sent. It keeps the time it has there,
	// since the two are one file.
	LinkFrom string
	// LinkManifest describes LinkFrom with hashes; nil: it is scanned.
	LinkManifest *Manifest
	// AllowOutside permits symlinks whose targets lie outside of the tree; else such a link is an error that names it.
	AllowOutside bool
	// Each is told every finished change, from any goroutine; nil: nobody wants to know.
	Each func(Op)
}

// Stats counts what a Transfer did.
type Stats struct {
	Files    int   // files written
	Bytes    int64 // their content
	Linked   int   // files hard-linked from LinkFrom
	Symlinks int
	Dirs     int // directories made
	Attrs    int // attributes set on what was there
	Deleted  int // files, links and directories
}

// Add sums two counts.
func (s Stats) Add(t Stats) Stats {
	return Stats{s.Files + t.Files, s.Bytes + t.Bytes, s.Linked + t.Linked, s.Symlinks + t.Symlinks, s.Dirs + t.Dirs,
		s.Attrs + t.Attrs, s.Deleted + t.Deleted}
}

// Transfer carries todo (see Diff) out on dst, with contents streamed from src. Stats are valid after an error too.
// It does not change todo.
func Transfer(ctx context.Context, src Peer, srcRoot string, dst Peer, dstRoot string, todo []Op, o Options) (Stats, error) {
	t := transfer{opts: o, todo: slices.Clone(todo)}
	if err := t.checkLinks(); err != nil {
		return Stats{}, err
	}
	if err := t.useLinks(ctx, dst); err != nil {
		return Stats{}, err
	}
	if len(t.todo) == 0 {
		return Stats{}, nil
	}
	var puts []Entry
	for _, op := range t.todo {
		if op.Kind == OpPut {
			puts = append(puts, op.Entry)
			t.total += op.Entry.Size
		}
	}
	t.limiter = newLimiter(o.Bandwidth)
	// A change that fails must end reading too, or a slow source would hold the error back.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	changes := t.changes(ctx, src.Read(ctx, srcRoot, puts))
	err := dst.Write(ctx, dstRoot, changes, WriteOptions{Trash: o.Trash, Appeared: o.Appeared, Concurrency: o.Concurrency, Done: t.count})
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.stats, err
}

type transfer struct {
	opts    Options
	todo    []Op
	limiter *limiter
	total   int64

	mu    sync.Mutex // guards what follows
	sent  int64
	stats Stats
}

// checkLinks refuses symlinks that lead out of the tree.
func (t *transfer) checkLinks() error {
	for _, op := range t.todo {
		if op.Kind == OpSymlink && !t.opts.AllowOutside && LeavesRoot(op.Path(), op.Entry.Target) {
			return outsideLink(op.Entry)
		}
	}
	return nil
}

func outsideLink(e Entry) error {
	return ops.Errorf(ops.CodeFailed, "symlink %s points out of the tree, to %s", e.Path, e.Target).
		WithHint("replace it by a relative link inside of the tree, or exclude it")
}

// useLinks turns puts into hard links where the target has the content already.
func (t *transfer) useLinks(ctx context.Context, dst Peer) error {
	if t.opts.LinkFrom == "" || !slices.ContainsFunc(t.todo, func(o Op) bool { return o.Kind == OpPut }) {
		return nil
	}
	have := t.opts.LinkManifest
	if have == nil {
		var err error
		if have, err = dst.Scan(ctx, t.opts.LinkFrom, ScanOptions{Hash: true}); err != nil {
			return err
		}
	}
	byHash := make(map[string][]Entry, have.Len())
	for e := range have.All() {
		if e.IsFile() && e.Hash != "" {
			byHash[e.Hash] = append(byHash[e.Hash], e)
		}
	}
	for i, op := range t.todo {
		if op.Kind != OpPut || op.Entry.Hash == "" {
			continue
		}
		same := func(e Entry) bool {
			return e.perm() == op.Entry.perm() && e.Size == op.Entry.Size &&
				(op.Entry.UID == AnyID || op.Entry.UID == e.UID) && (op.Entry.GID == AnyID || op.Entry.GID == e.GID)
		}
		from, ok := have.Get(op.Path())
		if !ok || from.Hash != op.Entry.Hash || !same(from) {
			j := slices.IndexFunc(byHash[op.Entry.Hash], same)
			if j < 0 {
				continue
			}
			from = byHash[op.Entry.Hash][j]
		}
		t.todo[i].Kind, t.todo[i].From = OpLink, t.opts.LinkFrom+"/"+from.Path
	}
	Sort(t.todo)
	return nil
}

// changes joins the ops with the contents, which come in the order of the ops that need them.
func (t *transfer) changes(ctx context.Context, contents iter.Seq2[Content, error]) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		next, stop := iter.Pull2(contents)
		defer stop()
		for _, op := range t.todo {
			change := Change{Op: op}
			if op.Kind == OpPut {
				content, err, ok := next()
				if err == nil && (!ok || content.Path != op.Path()) {
					err = fmt.Errorf("the source sent %q instead of %q", content.Path, op.Path())
				}
				if err != nil {
					yield(Change{}, err)
					return
				}
				change.Content = &meter{ctx: ctx, r: content, t: t}
			}
			if !yield(change, nil) {
				return
			}
		}
	}
}

// count books a finished change.
func (t *transfer) count(op Op) {
	if t.opts.Each != nil {
		t.opts.Each(op)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch op.Kind {
	case OpPut:
		t.stats.Files++
		t.stats.Bytes += op.Entry.Size
	case OpLink:
		t.stats.Linked++
	case OpSymlink:
		t.stats.Symlinks++
	case OpMkdir:
		t.stats.Dirs++
	case OpSetAttr:
		t.stats.Attrs++
	case OpDelete:
		t.stats.Deleted++
	}
}

// meter counts and slows down content that passes.
type meter struct {
	ctx context.Context
	r   io.Reader
	t   *transfer
}

// meterChunk keeps the steps of a limited transfer small.
const meterChunk = 32 << 10

func (m *meter) Read(b []byte) (int, error) {
	n, err := m.r.Read(b[:min(len(b), meterChunk)])
	if n == 0 {
		return n, err
	}
	if lerr := m.t.limiter.wait(m.ctx, n); lerr != nil {
		return n, lerr
	}
	m.t.mu.Lock()
	m.t.sent += int64(n)
	sent := m.t.sent
	m.t.mu.Unlock()
	if m.t.opts.Progress != nil {
		m.t.opts.Progress(sent, m.t.total)
	}
	return n, err
}
