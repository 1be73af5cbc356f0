package filesync

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"

	"github.com/mosparoctl/mosparoctl/ops"
)

// errNoCommands says that the node runs no commands, or not those needed here.
var errNoCommands = errors.New("the node can't list with commands")

// proof is what the scripts print first: without it, what ran was not our script but, say, a forced command.
const proof = "mosparoctl-scan"

// maxPathArgs bounds the bytes of paths on one command line, which sshd passes as one argument of at most 128 KiB.
const maxPathArgs = 24 << 10

// Exit statuses of the scripts.
const (
	exitNoRoot    = 91 // the root is not there
	exitNoTools   = 92 // GNU find or sha256sum is missing
	exitLinked    = 93 // a parent of a path is a symlink; printed to stderr
	exitForbidden = 94 // the root can't be entered
)

// findScript lists the paths given as $3…, relative to $1. $2 is "paths" or "tree", or either one's "temps" and "treetemps".
// Names are printed raw between NULs; "./" before each path keeps one that begins with "-" from being an option.
const findScript = `
export LC_ALL=C
root=$1 mode=$2; shift 2
[ -e "$root" ] || exit 91
cd -- "$root" || exit 94
find . -maxdepth 0 -printf '' 2>/dev/null || exit 92
printf '%s\0' mosparoctl-scan
fields='%y\0%m\0%s\0%T@\0%U\0%G\0%p\0%l\0'
case $mode in
tree) exec find . -mindepth 1 -ignore_readdir_race -name '.mosparoctl-tmp-*' -prune -o -printf "$fields";;
treetemps) exec find . -mindepth 1 -ignore_readdir_race -name '.mosparoctl-tmp-*' -prune -printf "$fields";;
esac
for p; do
  shift; d=$p
  while case $d in */*) true;; *) false;; esac; do
    d=${d%/*}
    if [ -L "$d" ]; then printf '%s' "$d" >&2; exit 93; fi
  done
  if [ "$mode" = temps ]; then
    d=.; case $p in */*) d=./${p%/*};; esac
    if [ -d "$d" ]; then
      find "$d" -mindepth 1 -maxdepth 1 -ignore_readdir_race -name '.mosparoctl-tmp-*' -prune -printf "$fields" || exit
    fi
    [ ! -L "$p" ] || continue
  fi
  if [ -e "$p" ] || [ -L "$p" ]; then set -- "$@" "./$p"; fi
done
[ $# -gt 0 ] || exit 0
if [ "$mode" = temps ]; then
  exec find "$@" -mindepth 1 -ignore_readdir_race -name '.mosparoctl-tmp-*' -prune -printf "$fields"
fi
exec find "$@" -ignore_readdir_race -name '.mosparoctl-tmp-*' -prune -o -printf "$fields"
`

// sumScript hashes the files named on stdin, between NULs and relative to $1. A file that can't be read is told on stderr.
const sumScript = `
export LC_ALL=C
cd -- "$1" || exit 94
printf x | sha256sum -z >/dev/null 2>&1 && printf x | xargs -0 true 2>/dev/null || exit 92
printf '%s\0' mosparoctl-scan
exec xargs -0 sha256sum -z --
`

// findList lists with one find a path. Many paths go in several commands, since a command line is bounded.
func (p *HostPeer) findList(ctx context.Context, root string, o ScanOptions) ([]Entry, error) {
	mode, paths := "paths", topPaths(o.Paths)
	switch {
	case o.Temps && o.Paths == nil:
		mode = "treetemps"
	case o.Temps:
		mode = "temps"
	case o.Paths == nil:
		mode = "tree"
	}
	l := findParser{opts: o, seen: map[string]bool{}}
	for first := true; first || len(paths) > 0; first = false {
		n, size := 0, 0
		for n < len(paths) && (n == 0 || size+len(paths[n]) < maxPathArgs) {
			size += len(paths[n]) + 1
			n++
		}
		argv := append([]string{"sh", "-c", findScript, "sh", root, mode}, paths[:n]...)
		paths = paths[n:]
		if err := p.script(ctx, ops.Command{Argv: argv}, 1, l.record); err != nil {
			return nil, err
		}
		if l.n != 0 {
			return nil, io.ErrUnexpectedEOF
		}
	}
	return l.entries, nil
}

// findParser makes entries of find's output: eight fields each.
type findParser struct {
	opts    ScanOptions
	field   [8]string
	n       int
	entries []Entry
	seen    map[string]bool // directories left out, below which nothing is listed either; and paths, with Temps
}

func (l *findParser) record(text string) error {
	l.field[l.n] = text
	if l.n++; l.n < len(l.field) {
		return nil
	}
	l.n = 0
	f := l.field
	p := strings.TrimPrefix(f[6], "./")
	secs, _, _ := strings.Cut(f[3], ".")
	perm, err1 := strconv.ParseUint(f[1], 8, 16)
	size, err2 := strconv.ParseInt(f[2], 10, 64)
	mtime, err3 := strconv.ParseInt(secs, 10, 64)
	uid, err4 := strconv.Atoi(f[4])
	gid, err5 := strconv.Atoi(f[5])
	kind, ok := findTypes[f[0]]
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil || !ok {
		return fmt.Errorf("find printed what it shouldn't about %q", p)
	}
	e := Entry{Path: p, Mode: kind | fs.FileMode(perm&0o777), Size: size, MTime: mtime, UID: uid, GID: gid, Target: f[7]}
	if perm&0o2000 != 0 {
		e.Mode |= fs.ModeSetgid
	}
	e.normalise()
	take, descend := l.opts.wants(e)
	if dir, _, ok := cutLast(p); ok && !l.opts.Temps && l.seen[dir] {
		take, descend = false, false // find prints a directory before what is in it
	}
	if e.IsDir() && !descend {
		l.seen[p] = true
	}
	if l.opts.Temps {
		take = take && !l.seen["temp "+p]
		l.seen["temp "+p] = true
	}
	if !take {
		return nil
	}
	if len(l.entries) == MaxEntries {
		return fmt.Errorf("more than %d files", MaxEntries)
	}
	l.entries = append(l.entries, e)
	return nil
}

var findTypes = map[string]fs.FileMode{
	"f": 0, "d": fs.ModeDir, "l": fs.ModeSymlink, "p": fs.ModeNamedPipe, "s": fs.ModeSocket,
	"b": fs.ModeDevice, "c": fs.ModeDevice | fs.ModeCharDevice,
}

// onlyVanished reports whether a tool complained about nothing but files that are gone.
func onlyVanished(stderr []byte) bool {
	text := strings.TrimSpace(string(stderr))
	if text == "" {
		return false
	}
	for line := range strings.SplitSeq(text, "\n") {
		if !strings.HasSuffix(line, ": No such file or directory") {
			return false
		}
	}
	return true
}

// sha256sum hashes files with one command.
func (p *HostPeer) sha256sum(ctx context.Context, root string, files []string) (map[string]string, error) {
	names := &bytes.Buffer{}
	for _, f := range files {
		names.WriteString("./" + f + "\x00")
	}
	sums := make(map[string]string, len(files))
	cmd := ops.Command{Argv: []string{"sh", "-c", sumScript, "sh", root}, Stdin: names}
	err := p.script(ctx, cmd, 123, func(text string) error {
		// "hash", a space, a space or "*", the name
		if len(text) < 67 || !isHash(text[:64]) {
			return errors.New("sha256sum printed what it shouldn't")
		}
		sums[strings.TrimPrefix(text[66:], "./")] = text[:64]
		return nil
	})
	return sums, err
}

// script runs a script and hands each NUL-ended record after the proof to record. Where the proof did not come it returns
// errNoCommands. A script that ends with status vanished and complains about nothing but files that are gone succeeded.
func (p *HostPeer) script(ctx context.Context, c ops.Command, vanished int, record func(string) error) error {
	parent := ctx
	ctx, cancel := context.WithCancel(parent)
	defer cancel()
	r, w := io.Pipe()
	parsed := make(chan error, 1)
	proven := false
	go func() {
		err := eachRecord(r, func(text string) error {
			if !proven {
				if text != proof {
					return errNoCommands
				}
				proven = true
				return nil
			}
			return record(text)
		})
		if err != nil {
			cancel() // end the command
		}
		_, _ = io.Copy(io.Discard, r)
		parsed <- err
	}()
	c.Stdout = w
	res, err := p.host.Run(ctx, c)
	_ = w.Close()
	if perr := <-parsed; perr != nil {
		if !proven && parent.Err() == nil {
			return errNoCommands
		}
		return errors.Join(parent.Err(), perr)
	}
	if err := parent.Err(); err != nil {
		return err
	}
	return scriptError(c.Argv[4], res.Stderr, err, proven, vanished)
}

// scriptError is what the end of a script on root means.
func scriptError(root string, stderr []byte, err error, proven bool, vanished int) error {
	var exit *ops.ExitError
	if err != nil && !errors.As(err, &exit) {
		if !proven && ops.CodeOf(err) != ops.CodeUnreachable {
			return errNoCommands // the login may be for SFTP only
		}
		return err
	}
	status := 0
	if exit != nil {
		status = exit.Status
	}
	text, _, _ := strings.Cut(strings.TrimSpace(string(stderr)), "\n")
	switch {
	case status == exitNoRoot:
		return &fs.PathError{Op: "open", Path: root, Err: fs.ErrNotExist}
	case status == exitForbidden:
		return &fs.PathError{Op: "open", Path: root, Err: fs.ErrPermission}
	case !proven || status == exitNoTools:
		return errNoCommands
	case status == 0 || status == vanished && onlyVanished(stderr):
		return nil
	case status == exitLinked:
		return linkedParent(text)
	case strings.Contains(text, "Permission denied"):
		return fmt.Errorf("%s: %w", text, fs.ErrPermission)
	}
	return fmt.Errorf("%s (exit status %d)", text, status)
}

// eachRecord calls f with each NUL-ended record of r. A rest without a NUL is an error: the output was cut off.
func eachRecord(r io.Reader, f func(string) error) error {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, 64<<10), 4*MaxPath)
	s.Split(splitAt(0))
	for s.Scan() {
		if err := f(s.Text()); err != nil {
			return err
		}
	}
	return s.Err()
}

// splitAt splits at each end byte, and at nothing else. A rest without one is an error.
func splitAt(end byte) bufio.SplitFunc {
	return func(data []byte, atEOF bool) (int, []byte, error) {
		if i := bytes.IndexByte(data, end); i >= 0 {
			return i + 1, data[:i], nil
		}
		if atEOF && len(data) > 0 {
			return 0, nil, io.ErrUnexpectedEOF
		}
		return 0, nil, nil
	}
}
