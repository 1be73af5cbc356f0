package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
)

// eachNode reads something from several nodes side by side, at most limit at once (0: all). Every node is tried; the
// error tells of all that failed.
func eachNode[T any](ctx context.Context, s *session, nodes []*inventory.Node, read func(context.Context, ops.Host, *inventory.Node) (T, error)) (map[string]T, error) {
	limit := s.deployment.Parallel
	if limit <= 0 {
		limit = len(nodes)
	}
	results := make([]T, len(nodes))
	errs := make([]error, len(nodes))
	slots := make(chan struct{}, max(limit, 1))
	var wg sync.WaitGroup
	for i, n := range nodes {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			h, err := s.hosts.Host(ctx, n.Name)
			if err == nil {
				results[i], err = read(ctx, h, n)
			}
			errs[i] = onNode(n.Name, err)
		})
	}
	wg.Wait()
	out := map[string]T{}
	var first error
	failed := 0
	for i, n := range nodes {
		if errs[i] == nil {
			out[n.Name] = results[i]
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
