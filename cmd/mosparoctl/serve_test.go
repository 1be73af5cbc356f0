package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mosparoctl/mosparoctl/internal/lab/server"
)

// printed collects what a process prints.
type printed struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (p *printed) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.b.Write(b)
}

func (p *printed) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.b.String()
}

// startServe runs the real program. PATH has it, as the scripts need it.
func startServe(t *testing.T, args ...string) (*exec.Cmd, *printed) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, "mosparoctl", append([]string{"serve"}, args...)...)
	out := &printed{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, out
}

func within(t *testing.T, what string, out *printed, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("%s did not happen:\n%s", what, out)
		}
	}
}

func fetch(url string) (int, string) {
	res, err := http.Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(text)
}

// TestServeLives follows a server from its first start to its end, as systemd sees it.
func TestServeLives(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer notify.Close()
	told := &printed{}
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := notify.Read(b)
			if err != nil {
				return
			}
			_, _ = told.Write(append(b[:n:n], '\n'))
		}
	}()
	t.Setenv("NOTIFY_SOCKET", socket)
	t.Setenv("WATCHDOG_USEC", "300000")
	addr, metrics := server.FreeAddress(t), server.FreeAddress(t)
	cmd, out := startServe(t, "--data-dir", t.TempDir(), "--listen", addr, "--metrics-listen", metrics, "--drain-time", "1s")
	within(t, "health", out, func() bool { status, _ := fetch("http://" + addr + "/api/v1/health/check"); return status == 200 })
	within(t, "READY", told, func() bool { return strings.Contains(told.String(), "READY=1") })
	within(t, "a sign of life", told, func() bool { return strings.Contains(told.String(), "WATCHDOG=1") })
	if status, text := fetch("http://" + metrics + "/metrics"); status != 200 || !strings.Contains(text, "mosparo_build_info") {
		t.Errorf("metrics: %d %.200s", status, text)
	}
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	within(t, "a reload", out, func() bool { return strings.Contains(out.String(), "configuration reloaded") })
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	within(t, "draining", out, func() bool {
		status, text := fetch("http://" + addr + "/api/v1/health/check")
		return status == 503 && strings.Contains(text, "draining") || status == 0
	})
	if err := cmd.Wait(); err != nil {
		t.Errorf("end: %v\n%s", err, out)
	}
	if all := told.String(); !strings.Contains(all, "RELOADING=1") || !strings.Contains(all, "STOPPING=1") {
		t.Errorf("systemd was told:\n%s", all)
	}
}

// TestServeDemo starts the demo and looks at its page.
func TestServeDemo(t *testing.T) {
	cmd, out := startServe(t, "--demo", "--listen", "127.0.0.1:0", "--output", "json")
	var url string
	within(t, "the address", out, func() bool {
		for line := range strings.Lines(out.String()) {
			var r struct {
				Name string
				Data struct{ URL string }
			}
			if json.Unmarshal([]byte(line), &r) == nil && r.Name == "demo" {
				url = r.Data.URL
			}
		}
		return url != ""
	})
	if status, page := fetch(url + "/"); status != 200 || !strings.Contains(page, "new mosparo('box'") {
		t.Errorf("page: %d %.300s", status, page)
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("end: %v\n%s", err, out)
	}
}
