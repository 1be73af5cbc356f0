package tui

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/balancer"
	"github.com/mosparoctl/mosparoctl/ops/cron"
	"github.com/mosparoctl/mosparoctl/ops/filesync"
	"github.com/mosparoctl/mosparoctl/ops/health"
	"github.com/mosparoctl/mosparoctl/ops/lock"
	"github.com/mosparoctl/mosparoctl/ops/logs"
	"github.com/mosparoctl/mosparoctl/ops/metrics"
	"github.com/mosparoctl/mosparoctl/ops/release"
)

// Live is the Reader of a deployment that is reached through its hosts. Safe for concurrent use. Close it.
type Live struct {
	deployment *inventory.Deployment
	hosts      ops.Connector
	redact     func(string)
	manager    *release.Manager
	peers      *filesync.Peers
	balancers  *balancer.Set
}

var _ Reader = (*Live)(nil)

// NewLive makes the Reader of d. Nothing is connected to yet. redact takes each secret that a check reads; nil: nobody
// wants to know. A balancer that lacks what its kind needs is an error.
func NewLive(d *inventory.Deployment, hosts ops.Connector, redact func(string)) (*Live, error) {
	set, err := balancer.New(d, hosts, balancer.Options{})
	if err != nil {
		return nil, err
	}
	return &Live{deployment: d, hosts: hosts, redact: redact, balancers: set, manager: release.New(d, release.Deps{Hosts: hosts}),
		peers: filesync.NewPeers(hosts, nil)}, nil
}

// Close ends what reading has started on the nodes. The connections stay.
func (l *Live) Close() error { return l.peers.Close() }

// Check asks checks on all nodes.
func (l *Live) Check(ctx context.Context, f health.Filter, each func(health.Result)) (health.Report, error) {
	return health.Run(ctx, health.Env{Deployment: l.deployment, Hosts: l.hosts, OnResult: each, Redact: l.redact}, f)
}

// Node reads releases, state of the sync and crontab of one node, at once.
func (l *Live) Node(ctx context.Context, n *inventory.Node) (Reading, error) {
	host, err := l.hosts.Host(ctx, n.Name)
	if err != nil {
		return Reading{}, err
	}
	var r Reading
	var factsErr, syncErr error
	var wg sync.WaitGroup
	wg.Go(func() {
		facts, err := l.manager.Read(ctx, []*inventory.Node{n})
		if factsErr = err; err == nil {
			r.Facts = facts.Nodes[0]
		}
	})
	wg.Go(func() {
		if n.Has(inventory.RoleAdmin) {
			return
		}
		for _, s := range filesync.ReadStatus(ctx, filesync.SyncOptions{Deployment: l.deployment, Targets: []*inventory.Node{n}, Peers: l.peers}) {
			r.Sync, syncErr = &s, s.Err
		}
	})
	wg.Go(func() { r.Cron, r.CronErr = cron.Read(ctx, host, l.deployment, n, time.Now()) })
	wg.Wait()
	if factsErr != nil {
		return r, errors.Join(factsErr, syncErr)
	}
	return r, nil
}

// Balancers asks all balancers.
func (l *Live) Balancers(ctx context.Context) ([]balancer.Server, error) {
	return l.balancers.State(ctx)
}

// Lock looks at the lock on the admin node. A deployment without one has no lock.
func (l *Live) Lock(ctx context.Context) (lock.Info, bool, error) {
	admin := l.deployment.Admin()
	if admin == nil {
		return lock.Info{}, false, nil
	}
	host, err := l.hosts.Host(ctx, admin.Name)
	if err != nil {
		return lock.Info{}, false, err
	}
	return lock.Inspect(ctx, host, release.LockDir(admin))
}

// Metrics asks the protection core of a node, from the node.
func (l *Live) Metrics(ctx context.Context, n *inventory.Node) (*metrics.Reading, error) {
	host, err := l.hosts.Host(ctx, n.Name)
	if err != nil {
		return nil, err
	}
	return metrics.Read(ctx, host, n.Serve.Metrics, time.Now())
}

// Drift compares all nodes with the admin node.
func (l *Live) Drift(ctx context.Context) (Drift, error) {
	o := filesync.SyncOptions{Deployment: l.deployment, Peers: l.peers}
	for _, n := range l.deployment.Nodes {
		if !n.Has(inventory.RoleAdmin) {
			o.Targets = append(o.Targets, n)
		}
	}
	c, err := filesync.Compare(ctx, o)
	if err != nil {
		return Drift{}, err
	}
	d := Drift{Left: c.Facts.Failures()}
	for _, t := range c.Facts.Targets {
		d.Nodes = append(d.Nodes, t.Node.Name)
	}
	for _, x := range c.Drift {
		i := slices.IndexFunc(d.Counts, func(c DriftCount) bool { return c.Node == x.Node && c.Path == x.Synced })
		if i < 0 {
			d.Counts, i = append(d.Counts, DriftCount{Node: x.Node, Path: x.Synced}), len(d.Counts)
		}
		switch x.Action {
		case "create":
			d.Counts[i].Create++
		case "delete":
			d.Counts[i].Delete++
		default:
			d.Counts[i].Update++
		}
	}
	return d, nil
}

// logLines is how many lines of each log are read for the screen of a node.
const logLines = 20

// Logs reads the last lines of a node's logs, in the order of their times.
func (l *Live) Logs(ctx context.Context, n *inventory.Node) ([]logs.Line, error) {
	host, err := l.hosts.Host(ctx, n.Name)
	if err != nil {
		return nil, err
	}
	o := logs.Options{Sources: logs.Sources(), Lines: logLines, Now: time.Now()}
	jobs, err := cron.Jobs(l.deployment)
	if err != nil {
		return nil, err
	}
	for _, j := range jobs {
		o.Tags = append(o.Tags, "mosparo-"+j.Name)
	}
	var mu sync.Mutex
	var all []logs.Line
	err = logs.Read(ctx, host, n, o, func(line logs.Line) {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, line)
	})
	logs.Sort(all)
	return all, err
}
