package tui

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/local"
)

// folders connects each node to a folder of this machine.
type folders struct{}

func (folders) Host(_ context.Context, node string) (ops.Host, error) {
	if node == "gone" {
		return nil, ops.Errorf(ops.CodeUnreachable, "connection refused").On(node)
	}
	return local.New(node), nil
}

// newLive is the Reader of nodes that are folders, the first of them the admin node, with equal files in all.
func newLive(t *testing.T, names ...string) (*Live, *inventory.Deployment) {
	t.Helper()
	d := &inventory.Deployment{Name: "test"}
	for i, name := range names {
		n := &inventory.Node{Name: name, Address: "local", Roles: []inventory.Role{inventory.RoleApp}, Paths: inventory.Paths{Root: filepath.Join(t.TempDir(), name), Layout: inventory.LayoutInPlace}}
		if i == 0 {
			n.Roles = append(n.Roles, inventory.RoleAdmin)
		}
		d.Nodes = append(d.Nodes, n)
		put(t, n, "config/env.mosparo.php", "<?php\n\nreturn array (\n  'mosparo_installed' => true,\n);\n")
		put(t, n, "public/resources/mappings.php", "<?php return [];\n")
	}
	l, err := NewLive(d, folders{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l, d
}

func put(t *testing.T, n *inventory.Node, name, content string) {
	t.Helper()
	path := filepath.Join(n.Paths.Root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, noon, noon); err != nil {
		t.Fatal(err)
	}
}

func TestLiveDrift(t *testing.T) {
	l, d := newLive(t, "admin", "a", "b", "gone")
	admin, a := d.Nodes[0], d.Nodes[1]
	put(t, admin, "public/resources/new.css", "a{}")
	put(t, admin, "public/resources/newer.css", "b{}")
	put(t, a, "public/resources/new.css", "a{}")
	put(t, a, "config/env.mosparo.php", "<?php return [];\n")
	got, err := l.Drift(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for _, c := range got.Counts {
		count[c.Node+" "+c.Path+" create"] = c.Create
		count[c.Node+" "+c.Path+" update"] = c.Update
		count[c.Node+" "+c.Path+" delete"] = c.Delete
	}
	want := map[string]int{"a public/resources create": 1, "a public/resources update": 0, "a public/resources delete": 0,
		"a config/env.mosparo.php create": 0, "a config/env.mosparo.php update": 1, "a config/env.mosparo.php delete": 0,
		"b public/resources create": 2, "b public/resources update": 0, "b public/resources delete": 0}
	if diff := cmp.Diff(want, count); diff != "" {
		t.Errorf("drift (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"a", "b"}, got.Nodes); diff != "" || got.Left == nil {
		t.Errorf("compared %v, left out %v", got.Nodes, got.Left)
	}
}

func TestLiveMetrics(t *testing.T) {
	l, d := newLive(t, "admin")
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("mosparo_build_info{version=\"1.2.3\"} 1\n"))
	}))
	defer web.Close()
	d.Nodes[0].Serve.Metrics = web.Listener.Addr().String()
	if r, err := l.Metrics(t.Context(), d.Nodes[0]); err != nil || r.Version != "1.2.3" || r.At.IsZero() {
		t.Errorf("got %+v, %v", r, err)
	}
	if _, err := l.Metrics(t.Context(), &inventory.Node{Name: "gone"}); ops.CodeOf(err) != ops.CodeUnreachable {
		t.Errorf("got %v", err)
	}
}
