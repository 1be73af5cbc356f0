package cron

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/local"
)

// cronNode is a node whose files lie below a folder of their own and whose users' crontabs are a map.
type cronNode struct {
	*local.Host
	root   string
	zone   string // answers for the clock
	uid    string
	login  string
	mu     sync.Mutex
	tables map[string]string // by user
}

// below maps absolute paths of system folders into the node's own.
func (h *cronNode) below(path string) string {
	if strings.HasPrefix(path, h.root) {
		return path
	}
	return filepath.Join(h.root, path)
}

func (h *cronNode) Open(ctx context.Context, path string) (io.ReadCloser, error) {
	return h.Host.Open(ctx, h.below(path))
}

func (h *cronNode) ReadDir(ctx context.Context, path string) ([]ops.FileInfo, error) {
	return h.Host.ReadDir(ctx, h.below(path))
}

func (h *cronNode) Lstat(ctx context.Context, path string) (ops.FileInfo, error) {
	return h.Host.Lstat(ctx, h.below(path))
}

func (h *cronNode) Remove(ctx context.Context, path string) error {
	return h.Host.Remove(ctx, h.below(path))
}

func (h *cronNode) WriteFile(ctx context.Context, path string, content io.Reader, attr ops.Attr) error {
	attr.Owner = nil // the tests may run as anybody
	return h.Host.WriteFile(ctx, h.below(path), content, attr)
}

func (h *cronNode) MkdirAll(ctx context.Context, path string, attr ops.Attr) error {
	attr.Owner = nil
	return h.Host.MkdirAll(ctx, h.below(path), attr)
}

func (h *cronNode) Run(_ context.Context, c ops.Command) (ops.Result, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	line := strings.Join(c.Argv, " ")
	switch {
	case strings.HasPrefix(line, "sh -c id -u && id -un"):
		return ops.Result{Stdout: []byte(h.uid + "\n" + h.login + "\n")}, nil
	case strings.Contains(line, "/etc/timezone"):
		loc, err := time.LoadLocation(h.zone)
		if err != nil {
			return ops.Result{}, err
		}
		out := "zone " + h.zone + "\n"
		for _, arg := range c.Argv[4:] {
			sec, err := time.ParseDuration(arg + "s")
			if err != nil {
				return ops.Result{}, err
			}
			out += time.Unix(int64(sec.Seconds()), 0).In(loc).Format("-0700") + " /etc/localtime\n"
		}
		return ops.Result{Stdout: []byte(out)}, nil
	case strings.HasPrefix(line, "sh -c u=$(id"):
		return ops.Result{Stdout: []byte("33 33\n")}, nil
	case c.Argv[0] == "crontab":
		return h.crontab(c)
	}
	return ops.Result{}, errors.New("no such command here: " + line)
}

func (h *cronNode) crontab(c ops.Command) (ops.Result, error) {
	user, args := h.login, c.Argv[1:]
	if args[0] == "-u" {
		user, args = args[1], args[2:]
	}
	content, ok := h.tables[user]
	switch args[0] {
	case "-l":
		if !ok {
			return ops.Result{}, &ops.ExitError{Argv: c.Argv, Status: 1, Stderr: []byte("no crontab for " + user)}
		}
		return ops.Result{Stdout: []byte(content)}, nil
	case "-r":
		delete(h.tables, user)
	case "-":
		b, err := io.ReadAll(c.Stdin)
		if err != nil {
			return ops.Result{}, err
		}
		h.tables[user] = string(b)
	}
	return ops.Result{}, nil
}

type fleet struct {
	t     *testing.T
	d     *inventory.Deployment
	hosts map[string]*cronNode
}

func (f *fleet) Host(_ context.Context, node string) (ops.Host, error) { return f.hosts[node], nil }

func newFleet(t *testing.T, names ...string) *fleet {
	f := &fleet{t: t, hosts: map[string]*cronNode{}, d: &inventory.Deployment{Name: "prod", Cron: inventory.Cron{
		Mode: inventory.CronStaggered, Target: inventory.CronUser, Distance: 10 * time.Minute, Dir: "/etc/cron.d"}}}
	for i, name := range names {
		f.add(name, zones[i%2])
	}
	f.d.Nodes[0].Roles = []inventory.Role{inventory.RoleAdmin, inventory.RoleApp, inventory.RoleCron}
	return f
}

func (f *fleet) add(name, zoneName string) {
	root := f.t.TempDir()
	n := &inventory.Node{Name: name, Roles: []inventory.Role{inventory.RoleApp, inventory.RoleCron}, TZ: zoneName,
		Owner: inventory.Owner{User: "www-data"}, Paths: inventory.Paths{Root: "/srv/mosparo", Layout: inventory.LayoutReleases}}
	f.d.Nodes = append(f.d.Nodes, n)
	for _, dir := range []string{"/etc/cron.d", "/srv/mosparo"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			f.t.Fatal(err)
		}
	}
	f.hosts[name] = &cronNode{Host: local.New(name), root: root, zone: zoneName, uid: "0", login: "root", tables: map[string]string{}}
}

func (f *fleet) states() map[string]*NodeState {
	f.t.Helper()
	states := map[string]*NodeState{}
	for _, n := range f.d.Nodes {
		s, err := Read(f.t.Context(), f.hosts[n.Name], f.d, n, date)
		if err != nil {
			f.t.Fatal(err)
		}
		states[n.Name] = s
	}
	return states
}

func (f *fleet) plan() (*ops.Plan, *Overview, error) {
	f.t.Helper()
	states := f.states()
	o, err := Lay(f.d, states, date)
	if err != nil {
		return nil, nil, err
	}
	p, _, err := PlanApply(f.d, o, states, f.d.Nodes, f)
	return p, o, err
}

func (f *fleet) apply(p *ops.Plan) {
	f.t.Helper()
	if _, err := ops.Apply(f.t.Context(), p, ops.ApplyOptions{}); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fleet) mustApply() *Overview {
	f.t.Helper()
	p, o, err := f.plan()
	if err != nil {
		f.t.Fatal(err)
	}
	f.apply(p)
	return o
}

func TestApplyToCrontabs(t *testing.T) {
	f := newFleet(t, "web1", "web2", "web3")
	const foreign = "MAILTO=x\n1 2 * * * /bin/theirs %a"
	f.hosts["web2"].tables["www-data"] = foreign
	o := f.mustApply()
	if len(o.Schedules) != 4 || !o.Proof.OK() {
		t.Errorf("%d schedules, %s", len(o.Schedules), o.Proof)
	}
	if len(o.InForce) != 0 {
		t.Errorf("%d in force before anything was written", len(o.InForce))
	}
	got := f.hosts["web2"].tables["www-data"]
	if !strings.HasPrefix(got, foreign+"\n# BEGIN mosparoctl prod\n") || strings.Count(got, "mosparo:cleanup-database") != 1 {
		t.Errorf("web2:\n%s", got)
	}
	if got := f.hosts["web1"].tables["www-data"]; strings.Count(got, "mosparo:rule-package:refresh") != 1 {
		t.Errorf("web1:\n%s", got)
	}
	if st, err := os.Stat(filepath.Join(f.hosts["web2"].root, "srv/mosparo/shared/var/cron")); err != nil || !st.IsDir() {
		t.Error("no folder for the locks")
	}
	p, again, err := f.plan()
	if err != nil || !p.Empty() || len(again.Moved) != 0 {
		t.Errorf("the second time: %v, %d steps, moved %v", err, p.Steps(), again.Moved)
	}
	if !reflect.DeepEqual(again.InForce, again.Schedules) {
		t.Errorf("in force:\n%v\nplanned:\n%v", again.InForce, again.Schedules)
	}

	f.add("new", "UTC") // joins: nobody else's crontab changes
	p, o, err = f.plan()
	if err != nil || !slices.Equal(p.Nodes(), []string{"new"}) || len(o.Moved) != 0 {
		t.Errorf("a node joins: %v, %v, moved %v", err, p.Nodes(), o.Moved)
	}
	f.apply(p)

	remove, diffs := PlanRemove(f.d, f.states(), f.d.Nodes, f)
	if len(diffs) != 4 {
		t.Errorf("%d diffs", len(diffs))
	}
	f.apply(remove)
	if got := f.hosts["web2"].tables["www-data"]; got != foreign+"\n" {
		t.Errorf("after removal: %q", got)
	}
	if _, ok := f.hosts["web1"].tables["www-data"]; ok {
		t.Error("an empty crontab stayed")
	}
	if p, _ := PlanRemove(f.d, f.states(), f.d.Nodes, f); !p.Empty() {
		t.Error("removing twice does something")
	}
}

func TestApplyToCronD(t *testing.T) {
	f := newFleet(t, "web1", "web2")
	f.mustApply()
	f.d.Cron.Target = inventory.CronFile
	f.mustApply() // moves the block from the crontab into the file
	for name, h := range f.hosts {
		if _, ok := h.tables["www-data"]; ok {
			t.Errorf("%s: the block in the crontab stayed", name)
		}
		path := filepath.Join(h.root, "etc/cron.d/mosparoctl-prod")
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		st, err := os.Stat(path)
		if err != nil || st.Mode().Perm() != 0o644 || !bytes.HasSuffix(b, []byte("\n")) {
			t.Errorf("%s: mode %v, %v", name, st.Mode(), err)
		}
		c := parse(t, string(b), true)
		for _, l := range c.Lines {
			if l.Kind == Broken || l.Kind == Entry && l.User != "www-data" {
				t.Errorf("%s: %q", name, l.Raw)
			}
		}
	}
	f.d.Cron.Mode = inventory.CronAdminOnly
	f.mustApply()
	if _, err := os.Stat(filepath.Join(f.hosts["web2"].root, "etc/cron.d/mosparoctl-prod")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("web2 kept its file although only the admin node runs jobs")
	}
}

func TestForeignJobsOnANode(t *testing.T) {
	f := newFleet(t, "web1", "web2")
	h := f.hosts["web1"]
	h.tables["root"] = "0 1 * * * php /srv/x/bin/console mosparo:cleanup-database\n# BEGIN mosparoctl prod\n0 1 * * * mosparo:cleanup-database\n# END mosparoctl prod\n"
	for name, content := range map[string]string{
		"etc/crontab":         "0 4 * * * root php bin/console mosparo:geoip2:download-database\n",
		"etc/cron.d/docker":   "15 3 * * * www-data php bin/console mosparo:rule-packages:refresh\n",
		"etc/cron.d/.ignored": "15 3 * * * www-data php bin/console mosparo:rule-packages:refresh\n",
	} {
		if err := os.WriteFile(filepath.Join(h.root, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	o := f.mustApply()
	var got []string
	for _, j := range o.Foreign {
		got = append(got, j.File+" "+j.Command)
	}
	want := []string{"crontab of root mosparo:cleanup-database", "crontab of root mosparo:cleanup-database",
		"/etc/crontab mosparo:geoip2:download-database", "/etc/cron.d/docker mosparo:rule-packages:refresh"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestApplyRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		change func(f *fleet)
		want   string
	}{
		"another zone": {func(f *fleet) { f.hosts["web2"].zone = "Asia/Kathmandu" }, "web2: its clock is not in the time zone Europe/Berlin"},
		"broken markers": {func(f *fleet) { f.hosts["web2"].tables["www-data"] = "# BEGIN mosparoctl prod\n" },
			"web2: read cron: crontab of www-data: line 1: a begin marker without"},
		"not root": {func(f *fleet) { f.hosts["web2"].uid, f.hosts["web2"].login = "1000", "deploy" },
			"only root can change the crontab of www-data"},
		"as root":   {func(f *fleet) { f.d.Nodes[1].Owner.User = "" }, "jobs would run as root"},
		"too many":  {func(f *fleet) { f.d.Cron.Distance = 90 * time.Minute }, "can't keep 1h30m from the others"},
		"long line": {func(f *fleet) { f.d.Nodes[1].PHP.Command = []string{"/" + strings.Repeat("x", 1000)} }, "cron takes 990"},
		"new line":  {func(f *fleet) { f.d.Nodes[1].PHP.Command = []string{"a\nb"} }, "can't hold a new line"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t, "web1", "web2")
			c.change(f)
			var err error
			states := map[string]*NodeState{}
			for _, n := range f.d.Nodes {
				var s *NodeState
				if s, err = Read(t.Context(), f.hosts[n.Name], f.d, n, date); err != nil {
					break
				}
				states[n.Name] = s
			}
			if err == nil {
				_, _, err = f.plan()
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || ops.HintOf(err) == "" && name != "long line" && name != "new line" {
				t.Errorf("got %v (%s), want %s", err, ops.HintOf(err), c.want)
			}
		})
	}
}

func TestApplySeesAChangeAfterPlanning(t *testing.T) {
	f := newFleet(t, "web1", "web2")
	p, _, err := f.plan()
	if err != nil {
		t.Fatal(err)
	}
	f.hosts["web2"].tables["www-data"] = "1 1 * * * theirs\n"
	if _, err := ops.Apply(t.Context(), p, ops.ApplyOptions{}); err == nil || !strings.Contains(err.Error(), "web2") {
		t.Errorf("got %v", err)
	}
	if f.hosts["web2"].tables["www-data"] != "1 1 * * * theirs\n" {
		t.Error("somebody's line was lost")
	}
}

// A crontab that can't be read in whole is not written back in part.
func TestReadRefusesHugeTables(t *testing.T) {
	huge := strings.Repeat("# somebody's\n", maxTable/10)
	f := newFleet(t, "web1", "web2")
	f.hosts["web1"].tables["www-data"] = huge
	if err := os.WriteFile(filepath.Join(f.hosts["web2"].root, "/etc/cron.d", FileName(f.d.Name)), []byte(huge), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, n := range f.d.Nodes {
		if _, err := Read(t.Context(), f.hosts[n.Name], f.d, n, date); err == nil || !strings.Contains(err.Error(), "larger than") {
			t.Errorf("%s: %v", n.Name, err)
		}
	}
}

func TestApplyToSomeNodesKeepsThePromise(t *testing.T) {
	f := newFleet(t, "web1", "web2", "web3")
	f.mustApply()
	f.d.Cron.Distance = 30 * time.Minute // with rule-packages all four slots are taken: somebody has to move
	states := f.states()
	o, err := Lay(f.d, states, date)
	if err != nil || len(o.Moved) == 0 {
		t.Fatalf("%v, moved %v", err, o.Moved)
	}
	for _, now := range o.InForce {
		i := slices.IndexFunc(o.Schedules, func(s Schedule) bool { return s.Slot == now.Slot })
		if moves := slices.Contains(o.Moved, now.Slot); moves != (now.Phase != o.Schedules[i].Phase) {
			t.Errorf("%v: in force at phase %d, planned %d, moves: %t", now.Slot, now.Phase, o.Schedules[i].Phase, moves)
		}
	}
	for _, n := range f.d.Nodes {
		moves := slices.ContainsFunc(o.Moved, func(s Slot) bool { return s.Node != n.Name })
		_, _, err := PlanApply(f.d, o, states, []*inventory.Node{n}, f)
		if refused := err != nil && strings.Contains(err.Error(), "not among the chosen nodes"); refused != moves {
			t.Errorf("%s alone: %v, moved %v", n.Name, err, o.Moved)
		}
	}
	if o := f.mustApply(); o.Proof.Least < 30*time.Minute {
		t.Error(o.Proof)
	}
}

func TestFileName(t *testing.T) {
	for name, want := range map[string]string{"prod": "mosparoctl-prod", "My.Site (eu)": "mosparoctl-my-site-eu", "…": "mosparoctl"} {
		if got := FileName(name); got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// The clock of this machine is read.
func TestReadZoneOfThisMachine(t *testing.T) {
	n := &inventory.Node{Name: "here", TZ: time.Now().Location().String()}
	if n.TZ == "Local" {
		n.TZ = "UTC"
	}
	z, err := readZone(t.Context(), local.New("here"), n, date)
	if err != nil {
		t.Fatal(err)
	}
	if _, offset := date.Local().Zone(); offset == 0 && z.Wrong != "" {
		t.Errorf("%+v", z)
	}
	n.TZ = "Asia/Kathmandu"
	if z, err = readZone(t.Context(), local.New("here"), n, date); err != nil || z.Err("here") == nil {
		t.Errorf("%+v, %v", z, err)
	}
}
