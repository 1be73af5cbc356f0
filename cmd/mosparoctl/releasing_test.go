package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/mosparoctl/mosparoctl/ops"
)

// The gate waits for the one sign that counts, and says what it saw instead.
func TestHealthGateWaits(t *testing.T) {
	var asked atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		status := "test-skipped__update-not-finished"
		if asked.Add(1) > 1 {
			status = "connected"
		}
		fmt.Fprintf(w, `{"service":"mosparo","healthy":true,"databaseStatus":%q,"error":null,"statusCode":200}`, status)
	}))
	defer srv.Close()
	file := filepath.Join(t.TempDir(), "mosparo.yaml")
	text := fmt.Sprintf("version: 1\nname: lab\nnodes:\n  - {name: a, address: local, roles: [admin, app], paths: {root: %s}, http: {url: %q}}\n",
		t.TempDir(), srv.URL)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	a := newApp(strings.NewReader(""), io.Discard, io.Discard)
	a.flags.inventory = file
	s, err := a.open()
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if err := (healthGate{s}).Healthy(t.Context(), s.nodes[0], ops.NopReporter{}); err != nil {
		t.Error(err)
	}
	if n := asked.Load(); n != 2 {
		t.Errorf("asked %d times, want 2", n)
	}
	asked.Store(-1000)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for asked.Load() == -1000 {
			select {
			case <-ctx.Done():
				return
			default:
			}
		}
		cancel()
	}()
	if err := (healthGate{s}).Healthy(ctx, s.nodes[0], ops.NopReporter{}); err == nil {
		t.Error("a half-updated node passed")
	}
}
