package balancer

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/mosparoctl/mosparoctl/ops"
)

// UndoKind names the Undo that puts a drained node back.
const UndoKind = "balancer.ready"

// Facts are the states of every node at every balancer, for a plan to rely on.
func (s *Set) Facts(ctx context.Context) ([]ops.Fact, error) {
	servers, err := s.State(ctx)
	if err != nil {
		return nil, err
	}
	var facts []ops.Fact
	for _, srv := range servers {
		if srv.Node != "" {
			facts = append(facts, ops.Fact{Node: srv.Node, Path: factPrefix + srv.Balancer, Value: string(srv.State)})
		}
	}
	return facts, nil
}

const factPrefix = "balancer "

// UndoOf is the Undo of draining node, made of the facts before: it puts the node back where it was ready then.
func UndoOf(node string, facts []ops.Fact) *ops.Undo {
	u := &ops.Undo{Kind: UndoKind, Node: node, Data: map[string]string{}}
	for _, f := range facts {
		if b, ok := strings.CutPrefix(f.Path, factPrefix); ok && f.Node == node {
			u.Data[b] = f.Value
		}
	}
	return u
}

// DrainStep takes node out of rotation. With undo it is journalled and taken back when the operation ends early.
func (s *Set) DrainStep(id, node string, undo *ops.Undo) ops.Step {
	return ops.Step{ID: id, Node: node, Title: "take out of rotation", Changes: s.changes("drain"), Undo: undo, Cancel: true,
		Do: func(ctx context.Context, report ops.Reporter) error {
			did, still, err := s.drain(ctx, node)
			if err != nil {
				return err
			}
			if !did {
				return ops.ErrNothingToDo
			}
			for _, b := range still {
				report.Warnf("balancer %s: connections were still open when the time to wait was over", b)
			}
			return nil
		}}
}

// ReadyStep puts node back into rotation and settles the steps named.
func (s *Set) ReadyStep(id, node string, settles ...string) ops.Step {
	return ops.Step{ID: id, Node: node, Title: "put back into rotation", Changes: s.changes("ready"), Settles: settles,
		Do: func(ctx context.Context, _ ops.Reporter) error {
			did, err := s.ready(ctx, node)
			if err == nil && !did {
				return ops.ErrNothingToDo
			}
			return err
		}}
}

func (s *Set) changes(action string) []ops.Change {
	var cs []ops.Change
	for _, b := range s.balancers {
		cs = append(cs, ops.Change{Path: factPrefix + b.Name, Action: action})
	}
	return cs
}

// Undoers is the entry for UndoKind. A server that is in maint now, or was not ready when the Undo was made, is left alone.
func (s *Set) Undoers() ops.Undoers {
	return ops.Undoers{UndoKind: s.undo}
}

func (s *Set) undo(ctx context.Context, u ops.Undo) error {
	n, err := s.node(u.Node)
	if n == nil || err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, b := range s.balancers {
		if was, ok := u.Data[b.Name]; ok && was != string(StateReady) && was != string(StateUnknown) {
			continue
		}
		srv, _, err := s.find(ctx, b, n)
		if err == nil && (srv.State == StateDrain || srv.State == StateUnknown) {
			err = s.change(ctx, member{b, srv.Name}, n, StateReady)
		}
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("put %s back into rotation: %w", u.Node, err)
	}
	delete(s.before, n.Name)
	return nil
}
