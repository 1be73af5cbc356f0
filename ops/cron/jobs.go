package cron

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
)

// JobType is a scheduled job of mosparo, as data.
type JobType struct {
	Name    string
	Console []string      // arguments of bin/console
	Every   time.Duration // default interval
	Heavy   bool          // loads the database or the memory: keeps its distance to other heavy jobs too
	Once    bool          // not safe on two nodes at once, however far apart they start: the admin node only
	OptIn   bool          // off unless the inventory lists it
	Admin   bool          // runs on the admin node unless the inventory says "all"
}

// jobTypes are mosparo's jobs.
var jobTypes = []JobType{
	// Unbounded deletes in slices. Runs that overlap end at once, runs one after the other are cheap.
	{Name: "cleanup", Console: []string{"mosparo:cleanup-database"}, Every: 2 * time.Hour, Heavy: true},
	// No lock of its own: two at once end in unique violations, deadlocks or doubled rules.
	{Name: "rule-packages", Console: []string{"mosparo:rule-package:refresh"}, Every: 24 * time.Hour, Heavy: true, Once: true, Admin: true},
	// Needs a MaxMind licence key. Its files reach the other nodes by sync.
	{Name: "geoip", Console: []string{"mosparo:geoip2:download-database"}, Every: 7 * 24 * time.Hour, OptIn: true, Admin: true},
}

// Job is a job with all that is needed to schedule it.
type Job struct {
	Name    string
	Console []string
	Every   time.Duration
	Heavy   bool
	Nodes   []string // that run it, sorted
}

// intervals are the intervals that can be promised: each divides a week, and what is shorter than a day divides a day, so
// that all schedules together repeat every week, to the minute.
var intervals = []time.Duration{
	5 * time.Minute, 6 * time.Minute, 10 * time.Minute, 12 * time.Minute, 15 * time.Minute, 20 * time.Minute, 30 * time.Minute,
	time.Hour, 2 * time.Hour, 3 * time.Hour, 4 * time.Hour, 6 * time.Hour, 8 * time.Hour, 12 * time.Hour,
	24 * time.Hour, 7 * 24 * time.Hour,
}

// DefaultDistance is kept where the inventory says nothing.
const DefaultDistance = 10 * time.Minute

// onceCommands must not run on two nodes at once, whatever the job is called.
var onceCommands = []string{"mosparo:rule-package:refresh", "mosparo:rulesets:refresh"}

// Jobs works out which jobs run on which nodes. Errors are *ops.Error with CodeInvalid.
func Jobs(d *inventory.Deployment) ([]Job, error) {
	byName := map[string]inventory.CronJob{}
	names := []string{}
	for _, t := range jobTypes {
		names = append(names, t.Name)
	}
	for _, j := range d.Cron.Jobs {
		if _, twice := byName[j.Name]; twice {
			return nil, ops.Errorf(ops.CodeInvalid, "cron job %s is listed twice", j.Name)
		}
		byName[j.Name] = j
		if !slices.Contains(names, j.Name) {
			names = append(names, j.Name)
		}
	}
	var jobs []Job
	for _, name := range names {
		set, listed := byName[name]
		job, on, err := resolve(d, name, set, listed)
		if err != nil {
			return nil, ops.Errorf(ops.CodeInvalid, "cron job %s: %w", name, err)
		}
		if on {
			jobs = append(jobs, job)
		}
	}
	return jobs, nil
}

// resolve merges what the inventory says with mosparo's own job of that name.
func resolve(d *inventory.Deployment, name string, set inventory.CronJob, listed bool) (job Job, on bool, err error) {
	t := JobType{Name: name, Every: 24 * time.Hour}
	for _, known := range jobTypes {
		if known.Name == name {
			t = known
		}
	}
	if listed && !set.Enabled || !listed && t.OptIn {
		return Job{}, false, nil
	}
	if !validName(name) {
		return Job{}, false, fmt.Errorf("the name may hold letters, digits and dashes only")
	}
	if len(set.Command) > 0 {
		t.Console = set.Command
	}
	if set.Every != 0 {
		t.Every = set.Every
	}
	if len(t.Console) == 0 {
		return Job{}, false, fmt.Errorf("it is not one of mosparo's and has no command")
	}
	for _, arg := range t.Console {
		if right, wrong := misspelt[arg]; wrong {
			return Job{}, false, fmt.Errorf("mosparo has no command %s: write %s", arg, right)
		}
		t.Once = t.Once || slices.Contains(onceCommands, arg)
	}
	if err := checkInterval(t.Every); err != nil {
		return Job{}, false, err
	}
	nodes, err := runners(d, t, set.Nodes)
	if err != nil {
		return Job{}, false, err
	}
	return Job{Name: name, Console: t.Console, Every: t.Every, Heavy: t.Heavy || set.Heavy, Nodes: nodes}, true, nil
}

func validName(s string) bool {
	return s != "" && len(s) <= 40 && strings.Trim(strings.ToLower(s), "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

func checkInterval(every time.Duration) error {
	i, ok := slices.BinarySearch(intervals, every)
	if ok {
		return nil
	}
	near := []string{}
	if i > 0 {
		near = append(near, short(intervals[i-1]))
	}
	if i < len(intervals) {
		near = append(near, short(intervals[i]))
	}
	return fmt.Errorf("every %s can't be promised with cron's fields: use %s", short(every), strings.Join(near, " or "))
}

// runners are the nodes that run a job.
func runners(d *inventory.Deployment, t JobType, where string) ([]string, error) {
	switch where {
	case "":
		where = "all"
		if t.Admin {
			where = "admin"
		}
	case "admin", "all":
	default:
		return nil, fmt.Errorf("nodes is %q: write admin or all", where)
	}
	if t.Once && where == "all" {
		return nil, fmt.Errorf("it is not safe on several nodes: write nodes: admin")
	}
	if d.Cron.Mode != inventory.CronStaggered || where == "admin" {
		admin := d.Admin()
		if admin == nil {
			return nil, fmt.Errorf("it runs on the admin node, and the inventory has none")
		}
		return []string{admin.Name}, nil
	}
	var named, all []string
	for _, n := range d.Nodes {
		all = append(all, n.Name)
		if n.Has(inventory.RoleCron) {
			named = append(named, n.Name)
		}
	}
	if len(named) > 0 { // nodes with the role cron are there for this
		all = named
	}
	slices.Sort(all)
	return all, nil
}

// short writes a duration without its zero parts: "2h", "7d".
func short(d time.Duration) string {
	if d >= 24*time.Hour && d%(24*time.Hour) == 0 {
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	}
	s := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(s, zero) {
			s = strings.TrimSuffix(s, zero[1:])
		}
	}
	return s
}
