package server

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Who reads the metrics, or only connects there, must not take the descriptors that visitors need.
func TestMetricsConnectionsAreBounded(t *testing.T) {
	s := open(t, options(t))
	if s.metricsHTTP.IdleTimeout == 0 || s.metricsHTTP.ReadTimeout == 0 || s.metricsHTTP.WriteTimeout == 0 {
		t.Error("connections to the metrics never end")
	}
	connect := func() (net.Conn, *bufio.Reader) {
		t.Helper()
		c, err := net.Dial("tcp", s.MetricsAddr())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		if _, err := c.Write([]byte("GET /none HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		return c, bufio.NewReader(c)
	}
	var first net.Conn
	for range metricsConns {
		c, r := connect()
		if res, err := http.ReadResponse(r, nil); err != nil || res.StatusCode != http.StatusNotFound {
			t.Fatal(res, err)
		}
		if first == nil {
			first = c
		}
	}
	c, r := connect()
	_ = c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	if _, err := r.Peek(1); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("one connection too many was answered: %v", err)
	}
	first.Close()
	_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
	if _, err := r.Peek(1); err != nil {
		t.Errorf("a connection that became free is not given on: %v", err)
	}
}

func TestSocketOfAKilledServer(t *testing.T) {
	o := options(t)
	path := filepath.Join(t.TempDir(), "s")
	o.Listen, o.MetricsListen = "unix:"+path, ""
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	if s, err := Open(t.Context(), o); err == nil {
		t.Error("took the socket of a server that lives")
		_ = s.Close(context.Background())
	}
	left.SetUnlinkOnClose(false) // as a killed one leaves it
	left.Close()
	s := open(t, o)
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatalf("%s: %v", s.Addr(), err)
	}
	c.Close()
	other := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(other, []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
	o.Listen = "unix:" + other
	if s, err := Open(t.Context(), o); err == nil {
		t.Error("a file gave way to the socket")
		_ = s.Close(context.Background())
	}
	if _, err := os.Stat(other); err != nil {
		t.Error(err)
	}
}
