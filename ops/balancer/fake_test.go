package balancer

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/local"
)

// fakeHAProxy answers the runtime API on a unix socket. Its columns stand in another order than HAProxy's, since only
// the header may be relied on.
type fakeHAProxy struct {
	path string

	mu       sync.Mutex
	order    []string
	admin    map[string]int // bits of srv_admin_state
	down     map[string]bool
	sessions map[string]int
	refuse   string             // reply to every "set"
	deaf     bool               // takes a "set" without doing it
	onSet    func(cmd string)   // called with the lock held
	onStat   func(*fakeHAProxy) // called with the lock held, before "show stat" is answered
	commands []string
}

func startFake(t *testing.T, servers ...string) *fakeHAProxy {
	t.Helper()
	f := &fakeHAProxy{path: filepath.Join(t.TempDir(), "haproxy.sock"), order: servers,
		admin: map[string]int{}, down: map[string]bool{}, sessions: map[string]int{}}
	l, err := net.Listen("unix", f.path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				if line, err := bufio.NewReader(conn).ReadString('\n'); err == nil {
					_, _ = conn.Write([]byte(f.answer(strings.TrimSpace(line))))
				}
			}()
		}
	}()
	return f
}

func (f *fakeHAProxy) answer(cmd string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.commands = append(f.commands, cmd)
	switch {
	case strings.HasPrefix(cmd, "show servers state app"):
		out := "1\n# srv_name be_name srv_admin_state srv_op_state\n"
		for _, s := range f.order {
			op := 2
			if f.down[s] {
				op = 0
			}
			out += fmt.Sprintf("%s app %d %d\n", s, f.admin[s], op)
		}
		return out + "\n"
	case strings.HasPrefix(cmd, "show servers state"):
		return "Can't find backend.\n\n"
	case cmd == "show stat":
		if f.onStat != nil {
			f.onStat(f)
		}
		out := "# svname,pxname,scur,status,\n"
		for _, s := range append([]string{"BACKEND"}, f.order...) {
			out += fmt.Sprintf("%s,app,%d,UP,\n%s,other,77,UP,\n", s, f.sessions[s], s)
		}
		return out + "\n"
	case strings.HasPrefix(cmd, "set server app/"):
		if f.onSet != nil {
			f.onSet(cmd)
		}
		if f.refuse != "" {
			return f.refuse + "\n\n"
		}
		name, state, _ := strings.Cut(strings.TrimPrefix(cmd, "set server app/"), " state ")
		if !f.deaf {
			f.admin[name] = map[string]int{"ready": 0, "drain": 0x08, "maint": 0x01}[state]
		}
		return "\n"
	}
	return "Unknown command.\n\n"
}

// sets lists the changes that were asked for.
func (f *fakeHAProxy) sets() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var sets []string
	for _, c := range f.commands {
		if rest, ok := strings.CutPrefix(c, "set server app/"); ok {
			sets = append(sets, rest)
		}
	}
	return sets
}

// here connects to this machine under any name but "gone".
type here struct{}

func (here) Host(_ context.Context, node string) (ops.Host, error) {
	if node == "gone" {
		return nil, ops.Errorf(ops.CodeUnreachable, "no route to host").On(node)
	}
	return local.New(node), nil
}

// deployment has the app nodes app1 to app3, the admin node admin1 and these balancers.
func deployment(balancers ...inventory.Balancer) *inventory.Deployment {
	d := &inventory.Deployment{Name: "test", Balancers: balancers}
	for _, name := range []string{"app1", "app2", "app3"} {
		d.Nodes = append(d.Nodes, &inventory.Node{Name: name, Address: name + ".example", Roles: []inventory.Role{inventory.RoleApp}})
	}
	d.Nodes = append(d.Nodes, &inventory.Node{Name: "admin1", Roles: []inventory.Role{inventory.RoleAdmin}})
	return d
}

func newSet(t *testing.T, d *inventory.Deployment, o Options) *Set {
	t.Helper()
	if o.Poll == 0 {
		o.Poll = 5 * time.Millisecond
	}
	s, err := New(d, here{}, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// states is what s says, as "balancer/node=state".
func states(t *testing.T, s *Set) string {
	t.Helper()
	servers, err := s.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, srv := range servers {
		out = append(out, fmt.Sprintf("%s/%s=%s", srv.Balancer, srv.Node, srv.State))
	}
	return strings.Join(out, " ")
}

func (f *fakeHAProxy) balancer(name string) inventory.Balancer {
	return inventory.Balancer{Name: name, Kind: inventory.BalancerHAProxy, Socket: f.path, Backend: "app", Wait: 5 * time.Second}
}
