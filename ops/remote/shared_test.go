package remote_test

import (
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/remote"
	"github.com/mosparoctl/mosparoctl/ops/remote/remotetest"
)

// Two nodes may be two installations on one machine. They share a connection, and each error names the node that was asked.
func TestNodesOfOneMachine(t *testing.T) {
	s, one := start(t, remotetest.Config{})
	two := *one
	two.Name = "web2"
	nodes := []*inventory.Node{one, &two}

	t.Run("a lost connection", func(t *testing.T) {
		p := pool(t, nodes...)
		hosts := map[string]ops.Host{}
		for _, n := range nodes {
			h, err := p.Host(t.Context(), n.Name)
			if err != nil {
				t.Fatal(err)
			}
			hosts[n.Name] = h
		}
		if s.Connections() != 1 {
			t.Fatalf("%d connections, want one that both share", s.Connections())
		}
		s.Disconnect()
		for name, h := range hosts {
			_, err := h.Run(t.Context(), ops.Command{Argv: []string{"true"}})
			wantOwn(t, err, name, "connection lost")
			_, err = h.Lstat(t.Context(), "/")
			wantOwn(t, err, name, "connection lost")
			_, err = h.Dial(t.Context(), "tcp", s.Addr().String())
			wantOwn(t, err, name, "connection lost")
		}
	})
	t.Run("no answer", func(t *testing.T) {
		silent, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer silent.Close()
		first, second := *one, two
		for _, n := range []*inventory.Node{&first, &second} {
			n.SSH.Port, n.SSH.Timeout = silent.Addr().(*net.TCPAddr).Port, 300*time.Millisecond
		}
		wantEachOwn(t, pool(t, &first, &second), "no answer within")
	})
	t.Run("an unknown host key", func(t *testing.T) {
		first, second := *one, two
		first.SSH.KnownHosts = t.TempDir() + "/none"
		second.SSH.KnownHosts = first.SSH.KnownHosts
		wantEachOwn(t, pool(t, &first, &second), "not known")
	})
	t.Run("the key of a jump host", func(t *testing.T) {
		first, second := *one, two
		_, behind := start(t, remotetest.Config{})
		second.SSH.Port = behind.SSH.Port
		for _, n := range []*inventory.Node{&first, &second} {
			n.SSH.KnownHosts, n.SSH.Jump = t.TempDir()+"/none", "jumper@"+s.Addr().String()
		}
		second.SSH.KnownHosts = first.SSH.KnownHosts
		wantEachOwn(t, pool(t, &first, &second), "jump host", "not known")
	})
}

// wantEachOwn connects to both nodes at once, which share the attempt, and wants an error of its own of each.
func wantEachOwn(t *testing.T, p *remote.Pool, words ...string) {
	t.Helper()
	errs := map[string]error{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, name := range []string{"web1", "web2"} {
		wg.Go(func() {
			_, err := p.Host(t.Context(), name)
			mu.Lock()
			defer mu.Unlock()
			errs[name] = err
		})
	}
	wg.Wait()
	for name, err := range errs {
		wantOwn(t, err, name, words...)
	}
}

// wantOwn wants the node unreachable, and no word of the other node.
func wantOwn(t *testing.T, err error, node string, words ...string) {
	t.Helper()
	wantUnreachable(t, err, node, words...)
	other := map[string]string{"web1": "web2", "web2": "web1"}[node]
	if err != nil && strings.Contains(err.Error()+ops.HintOf(err), other) {
		t.Errorf("%s is named in an error of %s: %v, hint %s", other, node, err, ops.HintOf(err))
	}
}
