package ops

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"net"
	"strings"
	"time"
)

// Command is a command on a node, as data. The transport quotes it; callers never do.
// Secrets go on Stdin or into a 0600 file, never into Argv or Env, which a node's process list shows.
type Command struct {
	Argv    []string
	Env     map[string]string
	Dir     string    // working directory, "" for the transport's default
	Stdin   io.Reader // nil: empty
	Stdout  io.Writer // nil: captured in Result.Stdout
	Stderr  io.Writer // nil: captured in Result.Stderr
	AsLogin bool      // run as the login user even where the node says become
}

// Result is what a finished command left. Captured output is cut at 4 MiB a stream.
type Result struct {
	Stdout, Stderr []byte
}

// ExitError says that a command ran and ended with a status other than 0.
type ExitError struct {
	Argv   []string
	Status int    // exit status; 128 + signal number if a signal ended it
	Stderr []byte // the last 4 KiB
}

func (e *ExitError) Error() string {
	msg := strings.TrimSpace(string(e.Stderr))
	if i := strings.LastIndexByte(msg, '\n'); i >= 0 {
		msg = msg[i+1:]
	}
	name := ""
	if len(e.Argv) > 0 {
		name = strings.Join(e.Argv, " ")
	}
	if msg == "" {
		return fmt.Sprintf("%s: exit status %d", name, e.Status)
	}
	return fmt.Sprintf("%s: exit status %d: %s", name, e.Status, msg)
}

// Runner runs commands on one node. Run returns *ExitError for a status other than 0, ctx's error when ctx ended it,
// and *Error with CodeUnreachable when the node is gone. Safe for concurrent use.
type Runner interface {
	Run(ctx context.Context, c Command) (Result, error)
}

// Dialer opens a connection from the node's point of view: what is dialled is what the node sees.
// network is "tcp" or "unix". Safe for concurrent use.
type Dialer interface {
	Dial(ctx context.Context, network, address string) (net.Conn, error)
}

// FileInfo describes one file on a node; symlinks are never followed.
type FileInfo struct {
	Name   string      // base name
	Mode   fs.FileMode // type and permission bits
	Size   int64
	MTime  time.Time // whole seconds over SFTP
	UID    int
	GID    int
	Target string // of a symlink, only where the call says so
}

// IsDir reports whether it is a directory.
func (i FileInfo) IsDir() bool { return i.Mode.IsDir() }

// IsLink reports whether it is a symlink.
func (i FileInfo) IsLink() bool { return i.Mode&fs.ModeSymlink != 0 }

// Attr is what a written file gets. The zero value of a field means the default it names.
type Attr struct {
	Mode  fs.FileMode // permission bits; 0: 0644 for files, 0755 for directories
	MTime time.Time   // zero: now
	Owner *Owner      // nil: whoever the transport writes as
}

// Owner is a numeric owner and group on a node.
type Owner struct{ UID, GID int }

// FileReader reads files on a node. Paths are absolute, with slashes. Errors satisfy errors.Is(err, fs.ErrNotExist) and
// fs.ErrPermission where that is the cause; *Error with CodeUnreachable says that the node is gone. Safe for concurrent use.
type FileReader interface {
	Open(ctx context.Context, path string) (io.ReadCloser, error)
	// Lstat describes path itself, with Target for a symlink.
	Lstat(ctx context.Context, path string) (FileInfo, error)
	// ReadDir lists a directory by name, without "." and "..", and without link targets.
	ReadDir(ctx context.Context, path string) ([]FileInfo, error)
	ReadLink(ctx context.Context, path string) (string, error)
}

// FileWriter changes files on a node. A reader sees the old file or the whole new one, never a part: content goes to a
// temporary name beside its place (TempPrefix), gets its size checked, its mode and owner set, and is renamed over the old
// file. Errors are those of FileReader, and any error leaves the old file as it was. Safe for concurrent use on different paths.
type FileWriter interface {
	WriteFile(ctx context.Context, path string, content io.Reader, attr Attr) error
	// Symlink makes path a link to target, replacing a file or link atomically.
	Symlink(ctx context.Context, target, path string) error
	// MkdirAll makes path and its missing parents; attr goes to directories it makes, an existing one is left alone.
	MkdirAll(ctx context.Context, path string, attr Attr) error
	// Rename moves atomically, replacing a file or link that is there (posix-rename).
	Rename(ctx context.Context, from, to string) error
	// Remove removes a file, a link or an empty directory.
	Remove(ctx context.Context, path string) error
	// RemoveAll removes path and all below it, without following links; a path that is not there is no error.
	RemoveAll(ctx context.Context, path string) error
	// SetAttr sets mode, time and owner of an existing file or directory; it follows no symlink.
	SetAttr(ctx context.Context, path string, attr Attr) error
	// Link makes path a hard link to the file old. errors.ErrUnsupported where the node can't.
	Link(ctx context.Context, old, path string) error
}

// TempPrefix begins the name of every temporary file and directory written on a node, so that a later run finds leftovers.
const TempPrefix = ".mosparoctl-tmp-"

// Host is one node as operations see it: over SSH, on this machine, or a fake.
type Host interface {
	Name() string
	Runner
	Dialer
	FileReader
	FileWriter
}

// Connector gives the Host of a node by name, connecting at the first call and returning the same Host after that.
// Errors are *Error with CodeUnreachable. Safe for concurrent use.
type Connector interface {
	Host(ctx context.Context, node string) (Host, error)
}
