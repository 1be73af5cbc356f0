package filesync

import (
	"context"
	"crypto/rand"
	"fmt"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
)

// Paths of mosparo that are kept in step, relative to the installation.
const (
	configPath    = "config/env.mosparo.php"
	resourcesPath = "public/resources"
	dataPath      = "var/data"
	mappingsPath  = resourcesPath + "/mappings.php"
)

// neverSynced is what belongs to one node, whatever the inventory says: caches, logs, the updater's files, the SQLite
// database with its journals, and our own folder.
var neverSynced = []string{"/var/cache", "/var/log", "/var/updates", "/public/update-log", "/var/data/data.sqlite*", "/" + inventory.ManageDir}

// SyncOptions is what one sync is asked to do.
type SyncOptions struct {
	Deployment *inventory.Deployment
	Targets    []*inventory.Node // the admin node among them is left out
	Peers      *Peers

	Delete    bool   // delete on the targets what the source doesn't have, in all paths
	MaxDelete string // "10%" or a count, for each target; "": the inventory's, else 10%
	Confirmed int    // the exact number of deletions on all targets together, confirmed by somebody; 0: not
	Checksum  bool   // compare all files by content
	Exclude   []string
	Bandwidth int64 // bytes per second and target; 0: the inventory's
	// AllowOutside permits symlinks that point out of their tree.
	AllowOutside bool
	// Each tells every changed path as a line of output, for watch mode.
	Each bool
	// Run names the run and its generation of the trash; "": made of the time.
	Run string
}

// NewRun makes a name for a run: its time in UTC, so that names sort by time, and something that no other run has.
func NewRun(now time.Time) string {
	return now.UTC().Format(runTime) + "-" + strings.ToLower(rand.Text()[:4])
}

// runTime begins the name of a run.
const runTime = "20060102-150405.000"

// laterRun is run under a name that sorts after those of all generations. Operators' clocks differ, but the run that comes last
// is the one to take back first, and the last one to be dropped.
func laterRun(run string, generations []string) string {
	for _, g := range generations {
		at, err := time.Parse(runTime, g[:min(len(g), len(runTime))])
		if g >= run && err == nil && len(run) >= len(runTime) {
			run = at.Add(time.Millisecond).Format(runTime) + run[len(runTime):]
		}
	}
	return run
}

// syncPaths lists what is synced in the order in which it is: mosparo's own, then the inventory's. The inventory may name
// one of mosparo's own to change how it is treated.
func (o SyncOptions) syncPaths() []inventory.SyncPath {
	paths := []inventory.SyncPath{{Path: dataPath}}
	if !o.Deployment.Cache.SharedCSS {
		paths = append(paths, inventory.SyncPath{Path: resourcesPath})
	}
	paths = append(paths, inventory.SyncPath{Path: configPath, Last: true})
	for _, p := range o.Deployment.Sync.Paths {
		p.Path = path.Clean(p.Path)
		if p.Path == resourcesPath && o.Deployment.Cache.SharedCSS {
			continue
		}
		if i := slices.IndexFunc(paths, func(q inventory.SyncPath) bool { return q.Path == p.Path }); i >= 0 {
			p.Last = p.Last || paths[i].Last
			paths[i] = p
			continue
		}
		paths = append(paths, p)
	}
	return paths
}

// pathNames are the paths alone.
func pathNames(paths []inventory.SyncPath) []string {
	names := make([]string, len(paths))
	for i, p := range paths {
		names[i] = p.Path
	}
	return names
}

// excludes makes one Exclude of all patterns: those of a path are tied to it, and what is never synced comes last, so that
// nothing takes it back in.
func (o SyncOptions) excludes(paths []inventory.SyncPath) (*Exclude, error) {
	patterns := slices.Concat(o.Deployment.Sync.Exclude, o.Exclude)
	for _, p := range paths {
		for _, pattern := range p.Exclude {
			patterns = append(patterns, below(p.Path, pattern))
		}
	}
	x, err := NewExclude(append(patterns, neverSynced...)...)
	if err != nil {
		return nil, &ops.Error{Code: ops.CodeUsage, Op: "sync", Err: err}
	}
	return x, nil
}

// below ties a pattern to a folder, whose root is then what "/" at its beginning means.
func below(dir, pattern string) string {
	if pattern == "" || strings.HasPrefix(pattern, "#") {
		return pattern
	}
	not := ""
	if rest, ok := strings.CutPrefix(pattern, "!"); ok {
		not, pattern = "!", rest
	} else if strings.HasPrefix(pattern, `\#`) || strings.HasPrefix(pattern, `\!`) {
		pattern = pattern[1:]
	}
	rest, anchored := strings.CutPrefix(pattern, "/")
	if !anchored && !strings.Contains(strings.TrimSuffix(pattern, "/"), "/") {
		rest = "**/" + pattern
	}
	return not + "/" + dir + "/" + rest
}

// pathOf is the sync path that p belongs to: the longest, where one lies in another.
func pathOf(paths []inventory.SyncPath, p string) inventory.SyncPath {
	var best inventory.SyncPath
	for _, s := range paths {
		if (p == s.Path || strings.HasPrefix(p, s.Path+"/")) && len(s.Path) >= len(best.Path) {
			best = s
		}
	}
	return best
}

// rank orders what is synced: data first, then what refers to it, mappings.php and env.mosparo.php last.
func rank(paths []inventory.SyncPath, p string) int {
	switch {
	case p == configPath:
		return 3
	case p == mappingsPath:
		return 2
	case pathOf(paths, p).Last:
		return 1
	}
	return 0
}

// budget is how many files of total may be deleted. A share is rounded up, so that it always allows one.
func budget(limit string, total int) (int, error) {
	if limit == "" {
		limit = "10%"
	}
	number, share := strings.CutSuffix(limit, "%")
	bad := ops.Errorf(ops.CodeUsage, "a deletion limit is a count or a share of 0%% to 100%%, not %q", limit)
	if !share {
		n, err := strconv.Atoi(limit)
		if err != nil || n < 0 {
			return 0, bad
		}
		return n, nil
	}
	f, err := strconv.ParseFloat(number, 64)
	if err != nil || !(f >= 0 && f <= 100) {
		return 0, bad
	}
	return int(math.Ceil(float64(total) * f / 100)), nil
}

// DeleteBudgetError says that a sync would delete more than it may. It is confirmed by SyncOptions.Confirmed = Count.
type DeleteBudgetError struct {
	Count int // files that would be deleted on all targets together
	Node  string
	Files int // of them on Node, the first that is over its limit
	Of    int // files there
	Limit int
}

func (e *DeleteBudgetError) Error() string {
	return fmt.Sprintf("%d of %d files would be deleted on %s, where at most %d may; %d on all nodes together", e.Files, e.Of, e.Node, e.Limit, e.Count)
}

// at runs f with the host and the peer of a node.
func (o SyncOptions) at(ctx context.Context, n *inventory.Node, f func(ops.Host, Peer) error) error {
	h, p, err := o.Peers.At(ctx, n)
	if err != nil {
		return err
	}
	return f(h, p)
}
