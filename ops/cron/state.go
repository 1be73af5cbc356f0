package cron

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
)

// Table is one crontab as it was read.
type Table struct {
	Path    string // of a file in cron.d; "crontab of USER" otherwise
	Exists  bool
	Content []byte
	Parsed  *Crontab // nil where the file is missing: then empty
}

// NodeState is what was read from one node.
type NodeState struct {
	Node    string
	Root    bool   // commands run as root
	Login   string // the user commands run as
	User    string // who runs the jobs
	Crontab Table  // of User
	File    Table  // our file in cron.d
	Foreign []ForeignJob
	Locks   bool       // the folder of lock files is there
	Owner   *ops.Owner // of the folder of lock files; nil: as the login user writes
	Zone    ZoneCheck
}

// ZoneCheck compares the zone in the inventory with the node's clock.
type ZoneCheck struct {
	Declared string // in the inventory
	Found    string // the name the node gives, "" if it gives none
	Wrong    string // what does not agree, "" if all does
}

// Err is the disagreement as an error that names node, or nil.
func (z ZoneCheck) Err(node string) error {
	if z.Wrong == "" {
		return nil
	}
	return ops.Errorf(ops.CodeInvalid, "its clock is not in the time zone %s: %s", z.Declared, z.Wrong).On(node).
		WithHint("write tz: %s for %s in the inventory", cmp.Or(z.Found, "its zone"), node)
}

// maxTable bounds what is read of one crontab.
const maxTable = 1 << 20

// Read collects the state of n through h. now is the operator's clock.
func Read(ctx context.Context, h ops.Host, d *inventory.Deployment, n *inventory.Node, now time.Time) (*NodeState, error) {
	s := &NodeState{Node: n.Name}
	fail := func(err error) (*NodeState, error) { return nil, ops.NodeError(n.Name, "read cron", err) }
	if err := s.readUser(ctx, h, d, n); err != nil {
		return fail(err)
	}
	if err := s.readTables(ctx, h, d); err != nil {
		return fail(err)
	}
	if err := s.readForeign(ctx, h, d); err != nil {
		return fail(err)
	}
	if _, err := h.Lstat(ctx, LockDir(n)); err == nil {
		s.Locks = true
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fail(err)
	}
	if s.Root {
		owner, err := ops.LookupOwner(ctx, h, s.User, "")
		if err != nil {
			return fail(err)
		}
		s.Owner = &owner
	}
	zone, err := readZone(ctx, h, n, now)
	if err != nil {
		return fail(err)
	}
	s.Zone = zone
	return s, nil
}

func (s *NodeState) readUser(ctx context.Context, h ops.Runner, d *inventory.Deployment, n *inventory.Node) error {
	res, err := h.Run(ctx, ops.Command{Argv: []string{"sh", "-c", "id -u && id -un"}})
	if err != nil {
		return fmt.Errorf("ask who commands run as: %w", err)
	}
	words := strings.Fields(string(res.Stdout))
	if len(words) != 2 {
		return fmt.Errorf("ask who commands run as: unexpected answer %q", res.Stdout)
	}
	s.Root, s.Login = words[0] == "0", words[1]
	wanted := User(d, n)
	s.User = cmp.Or(wanted, s.Login)
	switch {
	case s.Root && wanted == "":
		return ops.Errorf(ops.CodeInvalid, "jobs would run as root and leave files that PHP can't write").
			WithHint("set cron.user, or owner.user of the node, in the inventory")
	case !s.Root && s.User != s.Login:
		return ops.Errorf(ops.CodeInvalid, "only root can change the crontab of %s, and commands run as %s", s.User, s.Login).
			WithHint("set ssh.become: true for %s in the inventory", n.Name)
	case !s.Root && d.Cron.Target == inventory.CronFile:
		return ops.Errorf(ops.CodeInvalid, "only root can write to %s, and commands run as %s", cronDir(d), s.Login).
			WithHint("set ssh.become: true, or cron.target: crontab, in the inventory")
	}
	return nil
}

func cronDir(d *inventory.Deployment) string { return cmp.Or(d.Cron.Dir, "/etc/cron.d") }

// crontabArgv is a call of crontab for the user who runs the jobs.
func (s *NodeState) crontabArgv(user string, args ...string) []string {
	if user == s.Login {
		return append([]string{"crontab"}, args...)
	}
	return append([]string{"crontab", "-u", user}, args...)
}

func (s *NodeState) readTables(ctx context.Context, h ops.Host, d *inventory.Deployment) error {
	var err error
	if s.Crontab, err = s.readCrontab(ctx, h, d.Name, s.User); err != nil {
		return err
	}
	s.File, err = readTable(ctx, h, path.Join(cronDir(d), FileName(d.Name)), d.Name)
	return err
}

// readCrontab reads a user's crontab. A node without the program has no crontabs.
func (s *NodeState) readCrontab(ctx context.Context, h ops.Runner, name, user string) (Table, error) {
	t := Table{Path: "crontab of " + user}
	res, err := h.Run(ctx, ops.Command{Argv: s.crontabArgv(user, "-l"), Env: map[string]string{"CRONTAB_NOHEADER": "Y", "LC_ALL": "C"}})
	var exit *ops.ExitError
	switch {
	case errors.As(err, &exit) && bytes.Contains(exit.Stderr, []byte("no crontab for")):
	case errors.As(err, &exit) && exit.Status == 127:
	case err != nil:
		return t, fmt.Errorf("read the %s: %w", t.Path, err)
	case len(res.Stdout) > maxTable: // a part must never be written back as the whole
		return t, fmt.Errorf("read the %s: it is larger than %d bytes", t.Path, maxTable)
	default:
		t.Exists, t.Content = true, res.Stdout
	}
	if t.Parsed, err = ParseCrontab(t.Content, false, name); err != nil {
		return t, brokenTable(t.Path, err)
	}
	return t, nil
}

func brokenTable(path string, err error) error {
	return ops.Errorf(ops.CodeFailed, "%s: %w", path, err).WithHint("repair the marker lines by hand, they must stand in pairs")
}

func readTable(ctx context.Context, h ops.FileReader, name, deployment string) (Table, error) {
	t := Table{Path: name}
	r, err := h.Open(ctx, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return t, fmt.Errorf("read %s: %w", name, err)
	default:
		defer r.Close()
		if t.Content, err = io.ReadAll(io.LimitReader(r, maxTable+1)); err != nil {
			return t, fmt.Errorf("read %s: %w", name, err)
		}
		if len(t.Content) > maxTable {
			return t, fmt.Errorf("read %s: it is larger than %d bytes", name, maxTable)
		}
		t.Exists = true
	}
	if t.Parsed, err = ParseCrontab(t.Content, true, deployment); err != nil {
		return t, brokenTable(name, err)
	}
	return t, nil
}

// readForeign looks for jobs of mosparo in all crontabs that can be read.
func (s *NodeState) readForeign(ctx context.Context, h ops.Host, d *inventory.Deployment) error {
	all := func(string) bool { return true }
	others := func(deployment string) bool { return deployment != d.Name } // our own block has no business elsewhere
	s.Foreign = append(s.Foreign, FindForeign(s.Node, s.Crontab.Path, s.Crontab.Parsed, all)...)
	s.Foreign = append(s.Foreign, FindForeign(s.Node, s.File.Path, s.File.Parsed, all)...)
	if s.Root && s.User != s.Login {
		own, err := s.readCrontab(ctx, h, "", s.Login)
		if err != nil {
			return err
		}
		s.Foreign = append(s.Foreign, FindForeign(s.Node, own.Path, own.Parsed, others)...)
	}
	files := []string{"/etc/crontab"}
	entries, err := h.ReadDir(ctx, cronDir(d))
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("list %s: %w", cronDir(d), err)
	}
	for _, e := range entries {
		if name := path.Join(cronDir(d), e.Name); !e.IsDir() && !strings.HasPrefix(e.Name, ".") && name != s.File.Path {
			files = append(files, name)
		}
	}
	for _, f := range files {
		t, err := readTable(ctx, h, f, "")
		if errors.Is(err, fs.ErrPermission) {
			continue
		}
		if err != nil {
			return err
		}
		s.Foreign = append(s.Foreign, FindForeign(s.Node, f, t.Parsed, others)...)
	}
	return nil
}

// ManagedJob is a job of ours as it stands in a crontab.
type ManagedJob struct {
	File   string
	Line   int // of the entry
	Job    string
	Fields string
}

// Managed lists the jobs in our blocks.
func (s *NodeState) Managed() []ManagedJob {
	var list []ManagedJob
	for _, t := range []Table{s.Crontab, s.File} {
		if t.Parsed == nil || t.Parsed.begin < 0 {
			continue
		}
		job := "?" // the note above an entry names it
		for _, l := range t.Parsed.Lines[t.Parsed.begin : t.Parsed.end+1] {
			if name, _, _, ok := phaseOf(l.Raw); ok {
				job = name
			}
			if l.Kind == Entry {
				list = append(list, ManagedJob{t.Path, l.Number, job, l.Fields.Text})
			}
		}
	}
	return list
}

// readZone compares the node's clock with its zone in the inventory, at the beginning of each month of two years and
// around each clock change in them. Debian's cron follows /etc/timezone where there is one, others /etc/localtime: both must agree.
func readZone(ctx context.Context, h ops.Runner, n *inventory.Node, now time.Time) (ZoneCheck, error) {
	z := ZoneCheck{Declared: cmp.Or(n.TZ, "UTC")}
	zone, err := time.LoadLocation(z.Declared)
	if err != nil {
		return z, err
	}
	instants := probes(zone, now)
	const script = `unset TZ
link=$(readlink /etc/localtime 2>/dev/null | sed 's|.*zoneinfo/||')
file=$(head -n 1 /etc/timezone 2>/dev/null)
echo "zone ${link:-$file}"
for t; do date -d "@$t" "+%z /etc/localtime" || exit 1; done
if [ -n "$file" ]; then for t; do TZ=$file date -d "@$t" "+%z /etc/timezone" || exit 1; done; fi`
	argv := []string{"sh", "-c", script, "sh"}
	for _, t := range instants {
		argv = append(argv, strconv.FormatInt(t.Unix(), 10))
	}
	res, err := h.Run(ctx, ops.Command{Argv: argv})
	if err != nil {
		return z, fmt.Errorf("ask for the time zone: %w", err)
	}
	lines := strings.Split(strings.TrimSpace(string(res.Stdout)), "\n")
	z.Found = strings.TrimSpace(strings.TrimPrefix(lines[0], "zone"))
	lines = lines[1:]
	if len(lines) == 0 || len(lines)%len(instants) != 0 {
		return z, fmt.Errorf("ask for the time zone: %d answers to %d questions", len(lines), len(instants))
	}
	for i, line := range lines {
		t := instants[i%len(instants)].In(zone)
		offset, source, _ := strings.Cut(line, " ")
		if want := t.Format("-0700"); offset != want {
			z.Wrong = fmt.Sprintf("on %s it is at %s by %s, not at %s", t.Format("2006-01-02"), offset, source, want)
			break
		}
	}
	return z, nil
}

// probes are instants at which a zone shows which one it is.
func probes(zone *time.Location, now time.Time) []time.Time {
	year, month, _ := now.UTC().Date()
	var list []time.Time
	for i := range 24 {
		list = append(list, time.Date(year, month+time.Month(i), 1, 12, 0, 0, 0, time.UTC))
	}
	end := list[len(list)-1]
	for t := list[0].In(zone); ; {
		_, boundary := t.ZoneBounds()
		if boundary.IsZero() || boundary.After(end) {
			break
		}
		list = append(list, boundary.Add(-time.Second), boundary)
		t = boundary
	}
	slices.SortFunc(list, time.Time.Compare)
	return list
}
