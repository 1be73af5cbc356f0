package balancer

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mosparoctl/mosparoctl/internal/lab/server"
	"github.com/mosparoctl/mosparoctl/inventory"
)

// eventually tries until ok, for at most 15 seconds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatalf("%s: not within 15 s", what)
		case <-tick.C:
		}
	}
}

// backend is an application that says its name; a request for /slow is held until release is closed.
type backend struct {
	*httptest.Server
	entered, release chan struct{}
	free             func() // closes release, once
}

func newBackend(t *testing.T, name string) backend {
	b := backend{entered: make(chan struct{}), release: make(chan struct{})}
	b.free = sync.OnceFunc(func() { close(b.release) })
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(b.entered)
			<-b.release
		}
		fmt.Fprint(w, name)
	}))
	t.Cleanup(b.Close)
	t.Cleanup(b.free)
	return b
}

func (b backend) address() string { return b.Listener.Addr().String() }

// who asks the balancer which server answers, over a connection of its own.
func who(url string) string {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	resp, err := client.Get(url)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return string(body)
}

// drainUnderLoad drains app1 while it holds a request: Drain must wait for that, new requests must go to app2 only, and
// the held one must be answered.
func drainUnderLoad(t *testing.T, s *Set, url string, one backend) {
	t.Helper()
	held := make(chan string, 1)
	go func() { held <- who(url + "/slow") }()
	<-one.entered
	drained := make(chan error, 1)
	go func() { drained <- s.Drain(t.Context(), "app1") }()
	eventually(t, "app1 drained", func() bool {
		servers, err := s.State(t.Context())
		return err == nil && servers[0].State == StateDrain
	})
	// nginx reloads in its own time; by weight alone app1 would answer nearly all of these.
	eventually(t, "new requests to app2 only", func() bool {
		for range 20 {
			if who(url) != "two" {
				return false
			}
		}
		return true
	})
	select {
	case err := <-drained:
		t.Fatalf("Drain did not wait for the open request: %v", err)
	default:
	}
	one.free()
	if got := <-held; got != "one" {
		t.Errorf("the open request was answered %q", got)
	}
	if err := <-drained; err != nil {
		t.Fatal(err)
	}
	if err := s.Drain(t.Context(), "app2"); err == nil || !strings.Contains(err.Error(), "last server") {
		t.Errorf("drain of the last server: %v", err)
	}
	if err := s.Ready(t.Context(), "app1"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "app1 answers again", func() bool { return who(url) == "one" })
}

func twoNodes(b inventory.Balancer) *inventory.Deployment {
	d := deployment(b)
	d.Nodes = d.Nodes[:2]
	return d
}

func TestRealHAProxy(t *testing.T) {
	haproxy := server.Binary(t, "haproxy")
	dir, addr := t.TempDir(), server.FreeAddress(t)
	one, two := newBackend(t, "one"), newBackend(t, "two")
	socket := filepath.Join(dir, "admin.sock")
	reader := filepath.Join(dir, "reader.sock")
	config := filepath.Join(dir, "haproxy.cfg")
	text := fmt.Sprintf(`global
    stats socket %s mode 600 level admin
    stats socket %s mode 600 level operator
defaults
    mode http
    timeout connect 2s
    timeout client 30s
    timeout server 30s
    timeout check 20s
frontend www
    bind %s
    default_backend app
backend app
    use-server app1 if { path /slow }
    option httpchk GET /
    server app1 %s weight 100 check inter 100ms fall 1 rise 1
    server app2 %s weight 1 check inter 100ms fall 1 rise 1
`, socket, reader, addr, one.address(), two.address())
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	server.Start(t, haproxy, "-db", "-f", config)
	eventually(t, "HAProxy up", func() bool { return strings.Contains("one two", who("http://"+addr)) })

	b := inventory.Balancer{Name: "lb", Kind: inventory.BalancerHAProxy, Socket: socket, Backend: "app", Wait: 20 * time.Second}
	s := newSet(t, twoNodes(b), Options{})
	drainUnderLoad(t, s, "http://"+addr, one)

	// A server that fails its check is ready but not up.
	two.Close()
	eventually(t, "app2 seen down", func() bool {
		servers, err := s.State(t.Context())
		return err == nil && servers[1].State == StateReady && !servers[1].Up && strings.HasPrefix(servers[1].Detail, "DOWN")
	})
	if err := s.Drain(t.Context(), "app1"); err == nil || !strings.Contains(err.Error(), "last server") {
		t.Errorf("drain of the last server that is up: %v", err)
	}

	b.Socket = reader
	err := newSet(t, twoNodes(b), Options{Force: true}).Drain(t.Context(), "app1")
	if err == nil {
		t.Error("a socket of level operator let us drain")
	}
	b.Backend = "nosuch"
	if _, err := newSet(t, twoNodes(b), Options{}).State(t.Context()); err == nil || !strings.Contains(err.Error(), "backend") {
		t.Errorf("unknown backend: %v", err)
	}
	b.Socket = filepath.Join(dir, "nobody.sock")
	if _, err := newSet(t, twoNodes(b), Options{}).State(t.Context()); err == nil || !strings.Contains(err.Error(), "runtime socket") {
		t.Errorf("no socket: %v", err)
	}
}

func TestRealNginx(t *testing.T) {
	nginx := server.Binary(t, "nginx")
	server.Binary(t, "ps")
	dir, addr := t.TempDir(), server.FreeAddress(t)
	one, two := newBackend(t, "one"), newBackend(t, "two")
	upstream := filepath.Join(dir, "upstream.conf")
	linked := filepath.Join(dir, "linked.conf")
	config := filepath.Join(dir, "nginx.conf")
	servers := fmt.Sprintf("server %s weight=100; # app1\nserver %s;\n", one.address(), two.address())
	for path, text := range map[string]string{upstream: servers, config: fmt.Sprintf(`daemon off;
worker_processes 1;
pid %[1]s/nginx.pid;
error_log %[1]s/error.log;
events {}
http {
    access_log off;
    client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/fastcgi;
    uwsgi_temp_path %[1]s/uwsgi; scgi_temp_path %[1]s/scgi;
    upstream app { include %[2]s; }
    server { listen %[3]s; location / { proxy_pass http://app; } }
}
`, dir, linked, addr)} {
		if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("upstream.conf", linked); err != nil {
		t.Fatal(err)
	}
	server.Start(t, nginx, "-c", config, "-e", filepath.Join(dir, "error.log"))
	eventually(t, "nginx up", func() bool { return who("http://"+addr) == "one" })

	b := inventory.Balancer{Name: "lb", Kind: inventory.BalancerNginx, File: linked, Wait: 20 * time.Second,
		Reload: []string{nginx, "-c", config, "-e", filepath.Join(dir, "error.log"), "-s", "reload"}}
	d := twoNodes(b)
	d.Nodes[0].Backend = map[string]string{"lb": one.address()}
	d.Nodes[1].Backend = map[string]string{"lb": two.address()}
	drainUnderLoad(t, newSet(t, d, Options{}), "http://"+addr, one)
	text, err := os.ReadFile(upstream)
	if err != nil || string(text) != servers {
		t.Errorf("the file did not come back: %q, %v", text, err)
	}
	if info, err := os.Lstat(linked); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the symlink was replaced: %v, %v", info, err)
	}
	if info, err := os.Stat(upstream); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("the mode changed: %v, %v", info, err)
	}

	// What nginx refuses is put back and never reloaded.
	bad := servers + "nonsense;\n"
	if err := os.WriteFile(upstream, []byte(bad), 0o640); err != nil {
		t.Fatal(err)
	}
	err = newSet(t, d, Options{}).Drain(t.Context(), "app1")
	if err == nil || !strings.Contains(err.Error(), "put back") {
		t.Errorf("got %v", err)
	}
	if text, _ := os.ReadFile(upstream); string(text) != bad {
		t.Errorf("got %q", text)
	}
	if got := who("http://" + addr); got != "one" && got != "two" {
		t.Errorf("nginx no longer serves: %q", got)
	}
}
