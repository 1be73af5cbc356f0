package balancer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"time"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
)

// drainedSuffix is what a health file is called while we keep its node out. An operator who takes a node out removes or
// renames the file in his own way, so the two can be told apart; the content survives.
const drainedSuffix = ".drained-by-mosparoctl"

// healthFile drains a node by taking away the file that the balancer's check looks for on it. What the balancer makes of
// that can't be seen from here, so Drain waits the whole of the inventory's time.
type healthFile struct {
	file  string
	nodes map[string]string // server -> node
	order []string
	hosts ops.Connector
	since map[string]time.Time // server -> when it was drained
	wait  time.Duration
}

func newHealthFile(b inventory.Balancer, nodes []*inventory.Node, c ops.Connector) (driver, error) {
	if b.File == "" {
		return nil, errors.New("file is needed: the path of the file that the balancer's check looks for on each node")
	}
	h := &healthFile{file: b.File, nodes: map[string]string{}, hosts: c, since: map[string]time.Time{}, wait: b.Wait}
	for _, n := range nodes {
		name := serverName(n, b.Name)
		h.nodes[name] = n.Name
		h.order = append(h.order, name)
	}
	return h, nil
}

// servers looks at all nodes at once. One that does not answer is in StateUnknown.
func (h *healthFile) servers(ctx context.Context) ([]Server, error) {
	list := make([]Server, len(h.order))
	var wg sync.WaitGroup
	for i, name := range h.order {
		wg.Go(func() {
			s := Server{Name: name, Up: true, Sessions: -1}
			var err error
			if s.State, err = h.state(ctx, name); err != nil {
				s.State, s.Up, s.Detail = StateUnknown, false, err.Error()
			}
			list[i] = s
		})
	}
	wg.Wait()
	return list, nil
}

func (h *healthFile) state(ctx context.Context, server string) (State, error) {
	host, err := h.hosts.Host(ctx, h.nodes[server])
	if err != nil {
		return "", err
	}
	for _, look := range []struct {
		path  string
		state State
	}{{h.file, StateReady}, {h.file + drainedSuffix, StateDrain}} {
		_, err := host.Lstat(ctx, look.path)
		if err == nil {
			return look.state, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	return StateMaint, nil
}

func (h *healthFile) set(ctx context.Context, server string, s State) error {
	node, ok := h.nodes[server]
	if !ok {
		return fmt.Errorf("no node is called %q", server)
	}
	host, err := h.hosts.Host(ctx, node)
	if err != nil {
		return err
	}
	now, err := h.state(ctx, server)
	if err != nil || now == s {
		return err
	}
	switch {
	case s == StateDrain:
		h.since[server] = time.Now()
		return host.Rename(ctx, h.file, h.file+drainedSuffix)
	case now == StateDrain:
		return host.Rename(ctx, h.file+drainedSuffix, h.file)
	}
	return host.WriteFile(ctx, h.file, strings.NewReader("ok\n"), ops.Attr{})
}

func (h *healthFile) drained(_ context.Context, server string) (bool, error) {
	return time.Since(h.since[server]) >= h.wait, nil
}
