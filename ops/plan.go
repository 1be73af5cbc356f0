package ops

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
)

// Fact is something read from a node that a plan relies on.
type Fact struct {
	Node  string `json:"node"`
	Path  string `json:"path"`  // a file's path, or the name of what was read ("clock", "release")
	Value string `json:"value"` // its state as text: a hash, a link target, "absent"; never a secret
}

// Change is one visible effect of a step.
type Change struct {
	Path   string `json:"path"`             // what changes: a file, a link, a service
	Action string `json:"action"`           // "create", "update", "delete", "run", …
	Detail string `json:"detail,omitempty"` // one line, or a diff; secrets masked by the maker
}

// Step is one thing to do on one node. Whatever changes a node is a Step.
type Step struct {
	ID      string   `json:"id"` // unique in the plan, stable between two plans of the same facts
	Node    string   `json:"node"`
	Title   string   `json:"title"`
	Changes []Change `json:"changes,omitempty"`
	// Undo is journalled before Do starts and carried out when the operation ends early after it,
	// unless a step that Settles this one has finished. It must be harmless when Do did nothing.
	Undo *Undo `json:"undo,omitempty"`
	// Settles names steps on the same node whose Undo is no longer wanted once this one has finished.
	Settles []string `json:"settles,omitempty"`
	// Cancel says that the first interrupt ends the running step through its context; without it the step runs to its end.
	Cancel bool `json:"-"`
	// Do carries the step out.. ErrNothingToDo counts as skipped.
	Do func(ctx context.Context, report Reporter) error `json:"-"`
}

// Undo is how to take something back, as data, so that it can be done by a later process too.
type Undo struct {
	Kind string            `json:"kind"` // names an entry of Undoers
	Node string            `json:"node"`
	Data map[string]string `json:"data,omitempty"` // never a secret
}

// Undoers carries out the kinds of Undo. Each must be idempotent.
type Undoers map[string]func(ctx context.Context, u Undo) error

// Wave is a set of steps: those of one node run in order, nodes run side by side, and the next wave starts when all succeeded.
type Wave struct {
	Name     string `json:"name"`
	Parallel int    `json:"parallel,omitempty"` // nodes at once; 0: all
	Steps    []Step `json:"steps"`
}

// Plan is what an operation will do, made of facts by a pure function.
type Plan struct {
	Op    string `json:"op"`
	Facts []Fact `json:"facts"`
	Waves []Wave `json:"waves"`
}

// Empty reports whether the plan has no step.
func (p *Plan) Empty() bool { return p.Steps() == 0 }

// Steps is the number of steps.
func (p *Plan) Steps() int {
	n := 0
	for _, w := range p.Waves {
		n += len(w.Steps)
	}
	return n
}

// Nodes lists the nodes that have steps, sorted.
func (p *Plan) Nodes() []string {
	seen := map[string]bool{}
	for _, w := range p.Waves {
		for _, s := range w.Steps {
			seen[s.Node] = true
		}
	}
	nodes := make([]string, 0, len(seen))
	for n := range seen {
		nodes = append(nodes, n)
	}
	slices.Sort(nodes)
	return nodes
}

// SortFacts puts the facts into the order that Digest and Stale rely on: by node, then path.
func (p *Plan) SortFacts() {
	slices.SortStableFunc(p.Facts, func(a, b Fact) int {
		return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Path, b.Path))
	})
}

// Digest is a hash of the operation, its facts and its steps. Two plans with the same digest do the same.
func (p *Plan) Digest() string {
	h := sha256.New()
	fmt.Fprintf(h, "%q\n", p.Op)
	facts := Plan{Facts: slices.Clone(p.Facts)}
	facts.SortFacts()
	for _, f := range facts.Facts {
		fmt.Fprintf(h, "f %q %q %q\n", f.Node, f.Path, f.Value)
	}
	for _, w := range p.Waves {
		fmt.Fprintf(h, "w %q %d\n", w.Name, w.Parallel)
		for _, s := range w.Steps {
			fmt.Fprintf(h, "s %q %q %q\n", s.ID, s.Node, s.Title)
			for _, c := range s.Changes {
				fmt.Fprintf(h, "c %q %q %q\n", c.Path, c.Action, c.Detail)
			}
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Stale compares the facts an older plan was made of with those of a fresh one. It returns nil when they are equal,
// else an *Error with CodeLocked that names the first node and path that changed.
func Stale(old, fresh *Plan) error {
	now := map[[2]string]string{}
	for _, f := range fresh.Facts {
		now[[2]string{f.Node, f.Path}] = f.Value
	}
	for _, f := range old.Facts {
		key := [2]string{f.Node, f.Path}
		v, ok := now[key]
		if !ok {
			return stale(f.Node, f.Path, f.Value, "absent")
		}
		if v != f.Value {
			return stale(f.Node, f.Path, f.Value, v)
		}
		delete(now, key)
	}
	for _, f := range fresh.Facts {
		if v, ok := now[[2]string{f.Node, f.Path}]; ok {
			return stale(f.Node, f.Path, "absent", v)
		}
	}
	if old.Digest() != fresh.Digest() {
		return Errorf(CodeLocked, "the plan is stale: the inventory, the source or this program changed since it was made").
			WithHint("make the plan again")
	}
	return nil
}

func stale(node, path, was, is string) error {
	return Errorf(CodeLocked, "the plan is stale: %s was %s when it was made and is %s now", path, was, is).
		On(node).WithHint("make the plan again")
}

// Reporter takes what a running step has to tell. Apply makes one for each step; tests use NopReporter.
type Reporter interface {
	// Progress says that done of total units are done; total 0 means unknown.
	Progress(done, total int64, unit string)
	// Outputf adds a line of output.
	Outputf(format string, args ...any)
	// Warnf adds a warning.
	Warnf(format string, args ...any)
}

// NopReporter drops what it is told.
type NopReporter struct{}

// Progress drops it.
func (NopReporter) Progress(int64, int64, string) {}

// Outputf drops it.
func (NopReporter) Outputf(string, ...any) {}

// Warnf drops it.
func (NopReporter) Warnf(string, ...any) {}
