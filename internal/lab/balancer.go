package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// nodeHeader names in each reply the node that gave it.
const nodeHeader = "X-Lab-Node"

// backendName is the balancer's only backend.
const backendName = "mosparo"

// Values of srv_admin_state in HAProxy's "show servers state".
const (
	adminReady = 0x00
	adminMaint = 0x01
	adminDrain = 0x08
)

// Balancer is a round-robin HTTP balancer that is told by the part of HAProxy's runtime API that mosparoctl uses.
type Balancer struct {
	front, runtime net.Listener
	server         *http.Server
	servers        []*backend
	next           atomic.Uint64
	running        sync.WaitGroup
}

// backend is one server behind the balancer.
type backend struct {
	name     string
	proxy    *httputil.ReverseProxy
	admin    atomic.Int64
	sessions atomic.Int64
}

func startBalancer(nodes []*Node) (*Balancer, error) {
	b := &Balancer{}
	for _, n := range nodes {
		target, err := url.Parse(n.URL)
		if err != nil {
			return nil, err
		}
		b.servers = append(b.servers, &backend{name: n.Name, proxy: &httputil.ReverseProxy{
			Rewrite: func(r *httputil.ProxyRequest) {
				r.SetURL(target)
				r.SetXForwarded()
				r.Out.Host = r.In.Host
			},
			ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
				http.Error(w, n.Name+": "+err.Error(), http.StatusBadGateway)
			},
		}})
	}
	var err error
	if b.front, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, fmt.Errorf("start balancer: %w", err)
	}
	if b.runtime, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, errors.Join(fmt.Errorf("start balancer: %w", err), b.front.Close())
	}
	b.server = &http.Server{Handler: b, ReadHeaderTimeout: 10 * time.Second}
	b.running.Go(func() { _ = b.server.Serve(b.front) })
	b.running.Go(b.serveRuntime)
	return b, nil
}

// Addr is where visitors come in.
func (b *Balancer) Addr() string { return b.front.Addr().String() }

// RuntimeAddr is where the runtime API listens.
func (b *Balancer) RuntimeAddr() string { return b.runtime.Addr().String() }

// Close stops the balancer, giving requests five seconds to end.
func (b *Balancer) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := errors.Join(b.runtime.Close(), b.server.Shutdown(ctx))
	b.running.Wait()
	return err
}

// ServeHTTP passes a request to the next server in rotation.
func (b *Balancer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for range b.servers {
		s := b.servers[int(b.next.Add(1)%uint64(len(b.servers)))]
		if s.admin.Load() != adminReady {
			continue
		}
		s.sessions.Add(1)
		defer s.sessions.Add(-1)
		w.Header().Set(nodeHeader, s.name)
		s.proxy.ServeHTTP(w, r)
		return
	}
	http.Error(w, "no server is in rotation", http.StatusServiceUnavailable)
}

func (b *Balancer) serveRuntime() {
	for {
		conn, err := b.runtime.Accept()
		if err != nil {
			return
		}
		b.running.Go(func() {
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
			if line, err := bufio.NewReader(conn).ReadString('\n'); err == nil {
				fmt.Fprintln(conn, b.answer(strings.Fields(line)))
			}
		})
	}
}

// answer is the reply to one command of the runtime API; every reply ends with an empty line.
func (b *Balancer) answer(words []string) string {
	var out strings.Builder
	switch line := strings.Join(words, " "); {
	case line == "show servers state "+backendName:
		fmt.Fprintln(&out, "1\n# be_name srv_name srv_op_state srv_admin_state")
		for _, s := range b.servers {
			fmt.Fprintln(&out, backendName, s.name, 2, s.admin.Load())
		}
	case line == "show stat":
		fmt.Fprintln(&out, "# pxname,svname,scur,status,")
		for _, s := range b.servers {
			fmt.Fprintf(&out, "%s,%s,%d,UP,\n", backendName, s.name, s.sessions.Load())
		}
	case len(words) == 5 && words[0] == "set" && words[1] == "server" && words[3] == "state":
		return b.set(words[2], words[4])
	default:
		return "Unknown command."
	}
	return out.String()
}

func (b *Balancer) set(server, state string) string {
	name, ok := strings.CutPrefix(server, backendName+"/")
	i := slices.IndexFunc(b.servers, func(s *backend) bool { return s.name == name })
	if !ok || i < 0 {
		return "No such server."
	}
	states := map[string]int64{"ready": adminReady, "drain": adminDrain, "maint": adminMaint}
	admin, ok := states[state]
	if !ok {
		return "'set server <srv> state' expects 'ready', 'drain' or 'maint'."
	}
	b.servers[i].admin.Store(admin)
	return ""
}
