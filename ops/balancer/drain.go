package balancer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
)

// Drain takes node out of rotation at every balancer and waits until its connections have ended, at most each balancer's
// Wait. A server that is out already is left as it is. A node without the app role is none of the balancers' business: nil.
// It refuses to take the last serving server unless Options.Force. When it fails or ctx ends, what it changed is put back.
func (s *Set) Drain(ctx context.Context, node string) error {
	_, _, err := s.drain(ctx, node)
	return err
}

// drain does what Drain says; did is false where the node was out of rotation already, and still lists the balancers
// at which connections were left when Wait had passed.
func (s *Set) drain(ctx context.Context, node string) (did bool, still []string, err error) {
	n, err := s.node(node)
	if n == nil || err != nil {
		return false, nil, err
	}
	changed, err := s.takeOut(ctx, n)
	if err != nil {
		return false, nil, errors.Join(err, s.putBack(ctx, n, changed))
	}
	type outcome struct {
		name string
		done bool
		err  error
	}
	results := make(chan outcome, len(changed))
	for _, m := range changed {
		go func() {
			done, err := s.poll(ctx, m.Wait, func() (bool, error) { return m.drained(ctx, m.server) })
			results <- outcome{m.Name, done, err}
		}()
	}
	for range changed {
		r := <-results
		if r.err != nil {
			err = errors.Join(err, fmt.Errorf("balancer %s: wait for connections to end: %w", r.name, r.err))
		} else if !r.done {
			still = append(still, r.name)
		}
	}
	if err != nil {
		return false, nil, errors.Join(ops.NodeError(node, "drain", err), s.putBack(ctx, n, changed))
	}
	return len(changed) > 0, still, nil
}

// member is a node's server at one balancer.
type member struct {
	*balancer
	server string
}

// takeOut drains n wherever it is ready, and lists where it did so.
func (s *Set) takeOut(ctx context.Context, n *inventory.Node) (changed []member, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// All are asked before any is told, so that a refusal changes nothing.
	var todo []member
	for _, b := range s.balancers {
		srv, others, err := s.find(ctx, b, n)
		if err != nil {
			return nil, err
		}
		s.remember(n.Name, b.Name, srv.State)
		if srv.State == StateDrain || srv.State == StateMaint {
			continue
		}
		if !s.opts.Force && srv.Up && lastServing(others) {
			return nil, failed(b, n.Name, "drain", ops.Errorf(ops.CodeFailed, "it is the last server that serves visitors").
				WithHint("put another node back first, see: mosparoctl balancer status; or give --force"))
		}
		todo = append(todo, member{b, srv.Name})
	}
	for _, m := range todo {
		changed = append(changed, m)
		if err := s.change(ctx, m, n, StateDrain); err != nil {
			return changed, err
		}
	}
	return changed, nil
}

// change sets n's state at m and verifies it.
func (s *Set) change(ctx context.Context, m member, n *inventory.Node, want State) error {
	if err := m.set(ctx, m.server, want); err != nil {
		return failed(m.balancer, n.Name, "set "+string(want), err)
	}
	srv, _, err := s.find(ctx, m.balancer, n)
	if err != nil {
		return err
	}
	if srv.State != want && srv.State != StateUnknown {
		return failed(m.balancer, n.Name, "set "+string(want), fmt.Errorf("it took the order and says %s (%s)", srv.State, srv.Detail))
	}
	return nil
}

// putBack makes n ready again where this process has just drained it. It works with an ended ctx too.
func (s *Set) putBack(ctx context.Context, n *inventory.Node, changed []member) error {
	if len(changed) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), restoreTimeout)
	defer cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, m := range changed {
		errs = append(errs, s.change(ctx, m, n, StateReady))
	}
	delete(s.before, n.Name)
	return errors.Join(errs...)
}

// poll asks done until it says yes, fails, or the time is up.
func (s *Set) poll(ctx context.Context, limit time.Duration, done func() (bool, error)) (bool, error) {
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(s.opts.Poll)
	defer tick.Stop()
	for {
		ok, err := done()
		if ok || err != nil {
			return ok, err
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-deadline.C:
			return done()
		case <-tick.C:
		}
	}
}

// Ready puts node back into rotation at every balancer and waits until each sees it up, at most the balancer's Wait.
// After a Drain of this process only what that Drain changed is put back: a server that was in maint stays there.
// Without one, all are.
func (s *Set) Ready(ctx context.Context, node string) error {
	_, err := s.ready(ctx, node)
	return err
}

// ready does what Ready says; did is false where the node was in rotation already.
func (s *Set) ready(ctx context.Context, node string) (did bool, err error) {
	n, err := s.node(node)
	if n == nil || err != nil {
		return false, err
	}
	members, did, err := s.putIn(ctx, n)
	if err != nil {
		return did, err
	}
	for _, m := range members {
		var last Server
		up, err := s.poll(ctx, m.Wait, func() (bool, error) {
			srv, _, err := s.find(ctx, m.balancer, n)
			last = srv
			return err == nil && (srv.Up || srv.State == StateUnknown), err
		})
		if err != nil {
			return did, ops.NodeError(node, "wait until it is up", err)
		}
		if !up {
			return did, failed(m.balancer, node, "ready", ops.Errorf(ops.CodeFailed, "it is in rotation, but fails the balancer's check: %s", last.Detail).
				WithHint("mosparoctl check --nodes %s --family http", node))
		}
	}
	return did, nil
}

// putIn makes n ready at every balancer and lists its servers there; did reports whether any was not ready before.
func (s *Set) putIn(ctx context.Context, n *inventory.Node) (members []member, did bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, b := range s.balancers {
		if was, drained := s.before[n.Name][b.Name]; drained && was != StateReady && was != StateUnknown {
			continue
		}
		srv, _, err := s.find(ctx, b, n)
		if err == nil && srv.State != StateReady {
			did = true
			err = s.change(ctx, member{b, srv.Name}, n, StateReady)
		}
		if err != nil {
			// The other balancers are told all the same: a node in half of the rotation is better than in none.
			errs = append(errs, err)
			continue
		}
		members = append(members, member{b, srv.Name})
	}
	if len(errs) == 0 {
		delete(s.before, n.Name)
	}
	return members, did, errors.Join(errs...)
}
