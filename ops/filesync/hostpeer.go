package filesync

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"iter"
	"path"
	"sync"
	"sync/atomic"

	"github.com/mosparoctl/mosparoctl/ops"
)

const (
	// defaultConcurrency is how many requests a HostPeer keeps in flight. At 20 ms round trip it hides the six round trips
	// that writing a file over SFTP takes.
	defaultConcurrency = 64
	// smallFile is the size up to which a file is held in memory, so that many are in flight at once. Larger ones are
	// streamed one after the other. With defaultConcurrency it bounds the memory of a transfer to 2 x 64 MiB.
	smallFile = 1 << 20
)

// HostOptions tunes a HostPeer. The zero value is right for a node behind SSH.
type HostOptions struct {
	// Concurrency is how many requests are in flight; 0: 64.
	Concurrency int
	// FilesOnly never runs a command to list and hash: for this machine, where it gains nothing.
	FilesOnly bool
}

// HostPeer is a Peer over the files of an ops.Host. It lists and hashes with one command each where commands can be run,
// else through the files too. It holds nothing open between calls.
type HostPeer struct {
	host        ops.Host
	concurrency int
	filesOnly   atomic.Bool // set once a command turned out to be impossible
}

// NewHostPeer makes the peer of host.
func NewHostPeer(host ops.Host, o HostOptions) *HostPeer {
	p := &HostPeer{host: host, concurrency: o.Concurrency}
	if p.concurrency <= 0 {
		p.concurrency = defaultConcurrency
	}
	p.filesOnly.Store(o.FilesOnly)
	return p
}

// Close has nothing to end.
func (p *HostPeer) Close() error { return nil }

// Read opens files ahead of the one that is asked for and yields them in order.
func (p *HostPeer) Read(ctx context.Context, root string, files []Entry) iter.Seq2[Content, error] {
	return func(yield func(Content, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		var wg sync.WaitGroup
		defer wg.Wait()
		defer cancel()
		ahead := make(chan *fetch, p.concurrency)
		wg.Go(func() {
			defer close(ahead)
			for _, e := range files {
				f := &fetch{path: e.Path, ready: make(chan struct{})}
				select {
				case ahead <- f:
				case <-ctx.Done():
					return
				}
				if e.Size > smallFile {
					close(f.ready)
					continue
				}
				wg.Go(func() {
					defer close(f.ready)
					f.data, f.err = p.readSmall(ctx, root, e.Path, e.Size)
				})
			}
		})
		for f := range ahead {
			<-f.ready
			if !p.deliver(ctx, root, f, yield) {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(Content{}, err)
		}
	}
}

// open opens a file of the tree. Where the host can, no link that was put there since the scan leads out of the tree: what we may read,
// others would find in the copies.
func (p *HostPeer) open(ctx context.Context, root, name string) (io.ReadCloser, error) {
	if h, ok := p.host.(interface {
		OpenBelow(ctx context.Context, root, path string) (io.ReadCloser, error)
	}); ok {
		return h.OpenBelow(ctx, root, name)
	}
	return p.host.Open(ctx, path.Join(root, name))
}

// fetch is a file that is read ahead. data is nil for a large one, which is opened when its turn comes.
type fetch struct {
	path  string
	ready chan struct{}
	data  []byte
	err   error
}

// deliver yields f and reports whether more is wanted.
func (p *HostPeer) deliver(ctx context.Context, root string, f *fetch, yield func(Content, error) bool) bool {
	fail := func(err error) bool {
		yield(Content{}, fmt.Errorf("read %s: %w", path.Join(root, f.path), err))
		return false
	}
	if f.err != nil {
		return fail(f.err)
	}
	if f.data != nil {
		return yield(Content{Path: f.path, Reader: bytes.NewReader(f.data)}, nil)
	}
	r, err := p.open(ctx, root, f.path)
	if err != nil {
		return fail(err)
	}
	more := yield(Content{Path: f.path, Reader: r}, nil)
	if err := r.Close(); err != nil && more {
		return fail(err)
	}
	return more
}

// readSmall reads a whole file, but not more than one byte above the size it should have.
func (p *HostPeer) readSmall(ctx context.Context, root, name string, size int64) ([]byte, error) {
	r, err := p.open(ctx, root, name)
	if err != nil {
		return nil, err
	}
	data := make([]byte, 0, size+1)
	buf := bytes.NewBuffer(data)
	_, err = buf.ReadFrom(io.LimitReader(r, size+1))
	if cerr := r.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return nil, err
	}
	if buf.Len() == 0 {
		return data, nil // not nil: an empty file is here, not still to be opened
	}
	return buf.Bytes(), nil
}

// errChanged says that a file's content is not what the scan before saw.
var errChanged = errors.New("the file changed while it was being read; run it again")

// verifier passes content on and fails at its end when size or hash are not those of the entry, so that a writer that
// renames after the last byte never shows a wrong file.
type verifier struct {
	r    io.Reader
	want Entry
	size int64
	hash hash.Hash
}

func newVerifier(r io.Reader, want Entry) *verifier {
	v := &verifier{r: r, want: want}
	if want.Hash != "" {
		v.hash = sha256.New()
	}
	return v
}

func (v *verifier) Read(b []byte) (int, error) {
	n, err := v.r.Read(b)
	v.size += int64(n)
	if v.hash != nil {
		v.hash.Write(b[:n])
	}
	switch {
	case v.size > v.want.Size:
		return n, errChanged
	case err == io.EOF && v.size != v.want.Size:
		return n, errChanged
	case err == io.EOF && v.hash != nil && hex.EncodeToString(v.hash.Sum(nil)) != v.want.Hash:
		return n, errChanged
	}
	return n, err
}
