// Package logs reads what mosparo, PHP-FPM and the scheduled jobs have logged on the nodes, and merges it by time.
package logs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
)

// Source is a kind of log.
type Source string

// The sources.
const (
	App  Source = "app"  // var/log/*.log of the installation
	FPM  Source = "fpm"  // PHP-FPM's, where the inventory says they are
	Cron Source = "cron" // what the scheduled jobs told syslog
)

// Sources lists all of them.
func Sources() []Source { return []Source{App, FPM, Cron} }

// Line is one line of a log.
type Line struct {
	Node   string
	Source Source
	File   string    // path on the node; empty for the journal
	Time   time.Time // of the line, or of the nearest one before it that has a time; zero if none has
	Text   string    // without its end
}

// Options say what to read.
type Options struct {
	Sources []Source
	Lines   int       // at most so many from the end of each file
	Since   time.Time // drop older lines; zero: none
	Follow  bool      // go on with what is logged from now on, until the context ends
	Tags    []string  // of the scheduled jobs in syslog
	Now     time.Time // for times without a year
}

// Read reads the logs of one node and calls emit for each line, in the order of each file, from one goroutine at a time for
// each source. Logs that are not there are none. What can't be read is told by the error, after all else was read.
func Read(ctx context.Context, h ops.Host, n *inventory.Node, o Options, emit func(Line)) error {
	zone, err := time.LoadLocation(n.TZ)
	if err != nil {
		zone = time.UTC
	}
	files := map[string]Source{}
	for _, s := range o.Sources {
		for _, pattern := range patterns(s, n) {
			found, err := glob(ctx, h, path.Clean(pattern))
			if err != nil {
				return err
			}
			for _, f := range found {
				files[f] = s
			}
		}
	}
	var running []func() error
	if len(files) > 0 {
		running = append(running, func() error { return readFiles(ctx, h, n, o, zone, files, emit) })
	}
	if slices.Contains(o.Sources, Cron) && len(o.Tags) > 0 {
		running = append(running, func() error { return readCron(ctx, h, n, o, zone, emit) })
	}
	results := make(chan error, len(running))
	for _, read := range running {
		go func() { results <- read() }()
	}
	var errs []error
	for range running {
		errs = append(errs, <-results)
	}
	return errors.Join(errs...)
}

// patterns are where the files of a source lie.
func patterns(s Source, n *inventory.Node) []string {
	switch s {
	case App:
		return []string{path.Join(n.InstallPath(), "var/log/*.log")}
	case FPM:
		return n.PHP.FPMLog
	}
	return nil
}

// glob lists the files that match pattern, sorted. Folders that are not there or may not be read match nothing.
func glob(ctx context.Context, h ops.FileReader, pattern string) ([]string, error) {
	if !strings.ContainsAny(pattern, `*?[\`) {
		_, err := h.Lstat(ctx, pattern)
		return only(pattern, err)
	}
	dirs := []string{path.Dir(pattern)}
	if strings.ContainsAny(dirs[0], `*?[\`) {
		var err error
		if dirs, err = glob(ctx, h, dirs[0]); err != nil {
			return nil, err
		}
	}
	var found []string
	for _, dir := range dirs {
		entries, err := h.ReadDir(ctx, dir)
		if err != nil && !absent(err) {
			return nil, err
		}
		for _, e := range entries {
			if ok, err := path.Match(path.Base(pattern), e.Name); err != nil {
				return nil, fmt.Errorf("log files %s: %w", pattern, err)
			} else if ok {
				found = append(found, path.Join(dir, e.Name))
			}
		}
	}
	return found, nil
}

func only(name string, err error) ([]string, error) {
	switch {
	case err == nil:
		return []string{name}, nil
	case absent(err):
		return nil, nil
	}
	return nil, err
}

func absent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)
}

// readFiles reads files by one tail, which says before each piece whose it is.
func readFiles(ctx context.Context, h ops.Host, n *inventory.Node, o Options, zone *time.Location, files map[string]Source, emit func(Line)) error {
	argv := []string{"tail", "-v", "-n", strconv.Itoa(o.Lines)}
	if o.Follow {
		argv = append(argv, "-F") // by name: logs are rotated, and a release has its own
	}
	argv = append(argv, "--")
	for f := range files {
		argv = append(argv, f)
	}
	slices.Sort(argv[len(argv)-len(files):])
	clocks := map[string]*clock{}
	for f := range files {
		clocks[f] = &clock{zone: zone, now: o.Now}
	}
	p := tailParser{known: func(name string) bool { return clocks[name] != nil }}
	return run(ctx, h, argv, &Lines{Each: func(text string) {
		p.feed(text, func(file, text string) {
			if c := clocks[file]; c != nil {
				o.pass(Line{Node: n.Name, Source: files[file], File: file, Time: c.at(text), Text: text}, emit)
			}
		})
	}})
}

// pass emits l unless it is too old. A line without any time is kept: nobody knows how old it is.
func (o Options) pass(l Line, emit func(Line)) {
	if o.Since.IsZero() || l.Time.IsZero() || !l.Time.Before(o.Since) {
		emit(l)
	}
}

// cronScript prints the lines of syslog that have one of the tags: from the journal where there is one, else from the files
// that syslog daemons write. $1 is the number of lines, $2 "-f" or "", then come the tags.
const cronScript = `n=$1 follow=$2; shift 2
if journalctl -q -n 1 >/dev/null 2>&1 && [ -n "$(journalctl -q -n 1 2>/dev/null)" ]; then
  for t; do set -- "$@" -t "$t"; shift; done
  exec journalctl --no-pager --no-hostname -o short-iso -n "$n" $follow "$@"
fi
for t; do set -- "$@" -e " $t"; shift; done
for s in /var/log/syslog /var/log/messages /var/log/cron.log /var/log/cron; do
  [ -r "$s" ] || continue
  grep -F "$@" "$s" | tail -n "$n"
  [ -z "$follow" ] || tail -n 0 -F "$s" | grep -F --line-buffered "$@"
  exit 0
done`

// readCron reads what the jobs told syslog.
func readCron(ctx context.Context, h ops.Host, n *inventory.Node, o Options, zone *time.Location, emit func(Line)) error {
	follow := ""
	if o.Follow {
		follow = "-f"
	}
	argv := append([]string{"sh", "-c", cronScript, "sh", strconv.Itoa(o.Lines), follow}, o.Tags...)
	c := &clock{zone: zone, now: o.Now}
	return run(ctx, h, argv, &Lines{Each: func(text string) {
		if !strings.HasPrefix(text, "-- ") { // journalctl's own remarks
			o.pass(Line{Node: n.Name, Source: Cron, Time: c.at(text), Text: text}, emit)
		}
	}})
}

// run runs a command and hands its output on. What it complains of is its error, even if it goes on.
func run(ctx context.Context, h ops.Host, argv []string, out *Lines) error {
	res, err := h.Run(ctx, ops.Command{Argv: argv, Stdout: out})
	out.Flush()
	var exit *ops.ExitError
	if err == nil || errors.As(err, &exit) {
		if complaint := strings.TrimSpace(string(res.Stderr)); complaint != "" {
			return ops.Errorf(ops.CodeFailed, "%s", complaint).On(h.Name()).WithHint("may the login user read the logs? (group adm or systemd-journal, or ssh.become)")
		}
	}
	return err
}

// tailParser takes the output of "tail -v" apart: a header before each piece of a file, an empty line before each header but
// the first.
type tailParser struct {
	known func(name string) bool
	file  string
	empty int // empty lines that may belong to a header
}

func (p *tailParser) feed(text string, each func(file, text string)) {
	if text == "" {
		p.empty++
		return
	}
	name, ok := strings.CutPrefix(text, "==> ")
	if name, end := strings.CutSuffix(name, " <=="); ok && end && p.known(name) {
		if p.file != "" {
			p.empty--
		}
		p.flush(each)
		p.file = name
		return
	}
	p.flush(each)
	each(p.file, text)
}

func (p *tailParser) flush(each func(file, text string)) {
	for ; p.empty > 0; p.empty-- {
		each(p.file, "")
	}
	p.empty = 0
}
