package filesync

import (
	"context"
	"errors"
	"strings"

	"github.com/mosparoctl/mosparoctl/ops"
)

// Drift is one path on a node that is not as it is on the admin node.
type Drift struct {
	Node   string `json:"node"`
	Action string `json:"action"` // what a sync would do: "create", "update", "delete", …
	Path   string `json:"path"`   // absolute
	Detail string `json:"detail,omitempty"`
	// Synced is the path of the inventory, or of mosparo's own three, that it belongs to.
	Synced string `json:"-"`
}

// Comparison is how the nodes differ from the admin node.
type Comparison struct {
	Facts    *Facts
	Plan     *ops.Plan // what a sync would do, however much it would delete
	Warnings []ops.Event
	Drift    []Drift // in the order of the plan
}

// Compare reads all nodes and changes nothing. It is for looking: where a sync would ask before it deletes so much, that is
// a warning. Errors are those of Gather and Plan; nodes that could not be read are in Facts.Unreadable.
func Compare(ctx context.Context, o SyncOptions) (*Comparison, error) {
	f, err := Gather(ctx, o)
	if err != nil {
		return nil, err
	}
	c := &Comparison{Facts: f}
	c.Plan, c.Warnings, err = Plan(f, o)
	var over *DeleteBudgetError
	if errors.As(err, &over) {
		warning := ops.Event{Kind: ops.Warning, Op: "sync", Message: over.Error(), Hint: ops.HintOf(err)}
		o.MaxDelete = "100%"
		c.Plan, c.Warnings, err = Plan(f, o)
		c.Warnings = append([]ops.Event{warning}, c.Warnings...)
	}
	if err != nil {
		return c, err
	}
	c.Drift = driftOf(c.Plan, o)
	return c, nil
}

// driftOf lists the paths that a plan would change.
func driftOf(p *ops.Plan, o SyncOptions) []Drift {
	paths := o.syncPaths()
	list := []Drift{}
	for _, w := range p.Waves {
		for _, step := range w.Steps {
			node := o.Deployment.Node(step.Node)
			for _, c := range step.Changes {
				if c.Action == "run" {
					continue
				}
				d := Drift{Node: step.Node, Action: c.Action, Path: c.Path, Detail: c.Detail}
				if node != nil {
					d.Synced = pathOf(paths, strings.TrimPrefix(strings.TrimPrefix(c.Path, node.SharedPath("")), "/")).Path
				}
				list = append(list, d)
			}
		}
	}
	return list
}
