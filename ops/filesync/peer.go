package filesync

import (
	"context"
	"io"
	"iter"
)

// Peer is one side of a transfer: a tree of files on a node, scanned, read and written in batches. Nothing in it makes a
// caller wait for one file at a time, so that an implementation may be a process on the node that is fed by one stream.
// HostPeer is the one over ops.Host; the contract suite in filesynctest runs on every implementation.
//
// Errors satisfy errors.Is with fs.ErrNotExist and fs.ErrPermission where that is the cause; *ops.Error with
// CodeUnreachable says that the node is gone, and ctx's error that ctx ended the call. Safe for concurrent use.
type Peer interface {
	// Scan lists the tree below root, an absolute path, without root itself. A root that is not there is fs.ErrNotExist; a
	// file that vanishes meanwhile is left out; a directory that can't be read is an error, never an empty one.
	// Symlinks are not followed. Temporary files of an unfinished run are left out.
	Scan(ctx context.Context, root string, o ScanOptions) (*Manifest, error)

	// Read yields the contents of files below root in the order given. The reader is valid until the next iteration.
	// The sequence ends after the first error.
	Read(ctx context.Context, root string, files []Entry) iter.Seq2[Content, error]

	// Write carries out a stream of changes below root, which it makes if needed. Files appear whole or not at all, under
	// their name only after their size, and hash where the entry has one, was checked. Changes of the same kind that
	// follow each other may be done in any order and at once; one of another kind starts when they are done. An error in
	// the stream, or of a change, ends it: what was done stays, and no temporary file does unless the node is gone.
	Write(ctx context.Context, root string, changes iter.Seq2[Change, error], o WriteOptions) error

	// Close ends what the peer runs on its node. It leaves the connection to its owner.
	Close() error
}

// ScanOptions narrows a scan.
type ScanOptions struct {
	Hash    bool     // hash the content of every file
	Exclude *Exclude // leaves these out, and all below them; nil: nothing
	// Paths limits the scan to these paths below root and all below them. One that is not there is left out; a symlink
	// among their parents is an error. Nil: the whole tree. The parents themselves are not listed.
	Paths []string
	// Temps lists nothing but temporary files and directories of unfinished runs.
	Temps bool
}

// Content is the content of one file on its way.
type Content struct {
	Path string
	io.Reader
}

// Change is an Op together with what it needs: the content of an OpPut.
type Change struct {
	Op
	Content io.Reader // OpPut only; valid until the next change is asked for
}

// WriteOptions says how changes are made.
type WriteOptions struct {
	// Trash is an absolute path of a folder on the node, on the same file system, or "". Files and links that are replaced
	// or deleted are kept there under their own path, attributes unchanged.
	Trash string
	// Appeared is told each path at which something was kept though Op.Old knows of nothing there, from any goroutine; nil:
	// nobody wants to know.
	Appeared func(path string)
	// Concurrency is how many changes are in flight; 0: 64.
	Concurrency int
	// Done is called after each change, from any goroutine; nil: nobody wants to know.
	Done func(Op)
}

// OpKind says what an Op does.
type OpKind string

// The kinds of Op.
const (
	OpPut     OpKind = "put"     // write a file's content and attributes
	OpMkdir   OpKind = "mkdir"   // make a directory
	OpLink    OpKind = "link"    // make a file a hard link to Op.From
	OpSymlink OpKind = "symlink" // make a symlink
	OpSetAttr OpKind = "setattr" // set mode, time and owner of what is there
	OpDelete  OpKind = "delete"  // delete a file, a link or an empty directory
)

// Op is one change of a tree.
type Op struct {
	Kind  OpKind
	Entry Entry  // as it will be; of OpDelete: as it was
	Old   *Entry // what is there before; nil: nothing
	From  string // OpLink: absolute path on the node of the file to link to
}

// Path is the path that is changed.
func (o Op) Path() string { return o.Entry.Path }

// Action is what the change looks like from outside: "create", "update", "attributes" or "delete".
func (o Op) Action() string {
	switch {
	case o.Kind == OpDelete:
		return "delete"
	case o.Kind == OpSetAttr:
		return "attributes"
	case o.Old == nil:
		return "create"
	}
	return "update"
}
