package tui

import (
	"context"
	"os/exec"
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

// Services is what the screens work with. All calls happen outside of the model's Update, several at once.
type Services struct {
	Deployment *inventory.Deployment
	Reader     Reader
	Planner    Planner
	// Shell is the command that logs in to a node on this terminal.
	Shell func(node string) (*exec.Cmd, error)
	// Leftovers tells what killed runs have left to take back, each as a warning with its mend; nil: nobody knows.
	Leftovers func(context.Context) ([]ops.Event, error)
	// Export writes what was asked for into a new file and returns where it is.
	Export func(name string, data []byte) (path string, err error)
	// Redact masks secrets in text that is about to be shown; nil: there are none.
	Redact func(string) string
	Now    func() time.Time // nil: time.Now
}

// Reader reads the state of the deployment. Every call ends with its context. Errors are told with node and hint where they
// are *ops.Error; no class is treated apart.
type Reader interface {
	// Check asks checks and hands on each result as soon as it is there, one call at a time.
	Check(ctx context.Context, f health.Filter, each func(health.Result)) (health.Report, error)
	// Node reads one node. What could not be read is told in the Reading; an error says that nothing could.
	Node(ctx context.Context, n *inventory.Node) (Reading, error)
	// Balancers asks all balancers; servers may come along with an error.
	Balancers(ctx context.Context) ([]balancer.Server, error)
	// Lock says who holds the deployment's lock.
	Lock(ctx context.Context) (info lock.Info, held bool, err error)
	// Metrics reads what the protection core of a node has counted. Only nodes whose metrics the inventory names are asked.
	Metrics(ctx context.Context, n *inventory.Node) (*metrics.Reading, error)
	// Drift compares the other nodes with the admin node, as "sync --check" does.
	Drift(ctx context.Context) (Drift, error)
	// Logs reads the last lines that were logged on a node.
	Logs(ctx context.Context, n *inventory.Node) ([]logs.Line, error)
}

// Reading is what was read from one node.
type Reading struct {
	Facts *release.NodeFacts
	Sync  *filesync.NodeStatus // nil for the admin node
	Cron  *cron.NodeState      // nil where CronErr says why
	// CronErr says why the crontab could not be read.
	CronErr error
}

// Planner plans what changes the deployment. Planning changes nothing.
type Planner interface {
	Deploy(ctx context.Context, source release.SourceSpec) (*Proposal, error)
	Rollback(ctx context.Context, id string) (*Proposal, error)
	Sync(ctx context.Context) (*Proposal, error)
	UndoSync(ctx context.Context, run string) (*Proposal, error)
	Cron(ctx context.Context) (*Proposal, error)
}

// Proposal is a plan that waits to be confirmed.
type Proposal struct {
	Title   string // what will be done, in a few words
	Plan    *ops.Plan
	Notes   []string          // what an operator should know
	Content []release.Preview // how files would change, secrets masked
	// Apply carries the plan out, under the lock and journalled, if it still is what was shown; its events go to sink. Closing
	// stop aborts: what runs is ended or taken back. It is called at most once, after the confirmation.
	Apply func(ctx context.Context, sink ops.Sink, stop <-chan struct{}) error
}
