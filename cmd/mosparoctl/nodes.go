package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
)

// forNodes does something on several nodes side by side, at most as many at once as the inventory says. Every node is tried.
// It returns an error or nil for each.
func (s *session) forNodes(ctx context.Context, nodes []*inventory.Node, do func(context.Context, ops.Host, *inventory.Node) error) []error {
	errs := make([]error, len(nodes))
	sideBySide(s.deployment.Parallel, len(nodes), func(i int) {
		h, err := s.hosts.Host(ctx, nodes[i].Name)
		if err == nil {
			err = do(ctx, h, nodes[i])
		}
		errs[i] = onNode(nodes[i].Name, err)
	})
	return errs
}

// sideBySide calls do for each of n indexes, at most limit at once (0: all), and waits.
func sideBySide(limit, n int, do func(i int)) {
	if limit <= 0 {
		limit = n
	}
	slots := make(chan struct{}, max(limit, 1))
	var wg sync.WaitGroup
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			do(i)
		})
	}
	wg.Wait()
}

// partialError is what a command ends with that did something on nodes: nil if all errs are, CodePartial if some are; if all
// nodes failed, CodeUnreachable where that is the reason on each, else CodeFailed.
func partialError(errs []error) error {
	failed, unreachable := 0, 0
	var first error
	for _, err := range errs {
		if err == nil {
			continue
		}
		failed++
		if ops.CodeOf(err) == ops.CodeUnreachable {
			unreachable++
		}
		if first == nil {
			first = err
		}
	}
	e := &ops.Error{Code: ops.CodeFailed, Hint: ops.HintOf(first), Err: fmt.Errorf("%d of %s failed", failed, count(len(errs), "node"))}
	switch {
	case failed == 0:
		return nil
	case failed < len(errs):
		e.Code = ops.CodePartial
	case unreachable == failed:
		e.Code = ops.CodeUnreachable
	}
	return e
}

// eachNode reads something from several nodes side by side, as forNodes does. The error tells of all that failed.
func eachNode[T any](ctx context.Context, s *session, nodes []*inventory.Node, read func(context.Context, ops.Host, *inventory.Node) (T, error)) (map[string]T, error) {
	results := make(map[*inventory.Node]*T, len(nodes))
	for _, n := range nodes {
		results[n] = new(T)
	}
	errs := s.forNodes(ctx, nodes, func(ctx context.Context, h ops.Host, n *inventory.Node) (err error) {
		*results[n], err = read(ctx, h, n)
		return err
	})
	out := map[string]T{}
	var first error
	failed := 0
	for i, n := range nodes {
		if errs[i] == nil {
			out[n.Name] = *results[n]
			continue
		}
		failed++
		if first == nil {
			first = errs[i]
		}
	}
	if failed > 1 {
		return out, &ops.Error{Code: ops.CodeOf(first), Hint: ops.HintOf(first), Err: fmt.Errorf("%d nodes failed:\n%w", failed, errors.Join(errs...))}
	}
	return out, first
}

// onNode names the node in err, unless it is named already.
func onNode(node string, err error) error {
	var e *ops.Error
	if errors.As(err, &e) && e.Node == node {
		return err
	}
	return ops.NodeError(node, "", err)
}
