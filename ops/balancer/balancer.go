// Package balancer takes nodes out of rotation at the deployment's load balancers and puts them back.
//
// A server that somebody else took out is never put back by accident: Drain leaves it as it is and Ready, in the same
// process or through the journalled Undo, restores only what Drain changed.
package balancer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/local"
)

// State is what a balancer has been told about a server.
type State string

// The states. A server in StateReady may still get no traffic: see Server.Up.
const (
	StateReady   State = "ready"   // in rotation
	StateDrain   State = "drain"   // gets no new connections, old ones end; what Drain asks for
	StateMaint   State = "maint"   // out of rotation by somebody else's hand
	StateUnknown State = "unknown" // the balancer can't be asked, or did not answer for this server
)

// Server is one server as one balancer sees it.
type Server struct {
	Balancer string `json:"balancer"`
	Node     string `json:"node,omitempty"` // "" for a server that is no node of the inventory
	Name     string `json:"server"`
	State    State  `json:"state"`
	Up       bool   `json:"up"`               // passes the balancer's check, or is not checked
	Sessions int    `json:"sessions"`         // open sessions; -1: not known
	Detail   string `json:"detail,omitempty"` // in the balancer's own words
}

// serving reports whether visitors reach the server.
func (s Server) serving() bool { return s.State == StateReady && s.Up }

// driver speaks to one balancer. Its methods are called by one goroutine at a time.
type driver interface {
	// servers lists what the balancer knows, Balancer and Node unset.
	servers(ctx context.Context) ([]Server, error)
	// set asks for StateDrain or StateReady. It need not verify: Set does, through servers.
	set(ctx context.Context, server string, s State) error
	// drained reports whether the last connections to the drained server have ended.
	drained(ctx context.Context, server string) (bool, error)
}

// Options change how a Set works.
type Options struct {
	Force bool          // drain the last serving server too
	Poll  time.Duration // between two looks at a balancer; default 500ms
}

// defaultWait is how long connections get to end where the inventory doesn't say.
const defaultWait = 30 * time.Second

// restoreTimeout bounds putting back what a failed Drain had changed.
const restoreTimeout = 20 * time.Second

// Set is all balancers of a deployment. Safe for concurrent use: looking and changing is done by one caller at a time,
// so that two drains at once can't take the last two servers; waiting for connections to end is not.
type Set struct {
	dep       *inventory.Deployment
	opts      Options
	balancers []*balancer

	mu     sync.Mutex
	before map[string]map[string]State // node -> balancer -> state when Drain came
}

type balancer struct {
	inventory.Balancer
	driver driver
	mu     sync.Mutex // guards driver
}

func (b *balancer) servers(ctx context.Context) ([]Server, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.driver.servers(ctx)
}

func (b *balancer) set(ctx context.Context, server string, s State) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.driver.set(ctx, server, s)
}

func (b *balancer) drained(ctx context.Context, server string) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.driver.drained(ctx, server)
}

// New makes the Set of d's balancers. Nothing is connected to yet. A balancer's Node is looked up in c, so c must know
// the SSH addresses given there too; a balancer without Node is reached from this machine.
// A balancer that lacks what its kind needs is an *ops.Error with CodeInvalid.
func New(d *inventory.Deployment, c ops.Connector, o Options) (*Set, error) {
	if o.Poll <= 0 {
		o.Poll = 500 * time.Millisecond
	}
	s := &Set{dep: d, opts: o, before: map[string]map[string]State{}}
	for _, b := range d.Balancers {
		if b.Wait <= 0 {
			b.Wait = defaultWait
		}
		host := func(ctx context.Context) (ops.Host, error) {
			if b.Node == "" {
				return local.New(b.Name), nil
			}
			return c.Host(ctx, b.Node)
		}
		drv, err := newDriver(b, d, host, c)
		if err != nil {
			return nil, &ops.Error{Code: ops.CodeInvalid, Op: "balancer " + b.Name, Err: err}
		}
		s.balancers = append(s.balancers, &balancer{Balancer: b, driver: drv})
	}
	return s, nil
}

// hostFunc gives the machine a balancer runs on.
type hostFunc func(ctx context.Context) (ops.Host, error)

func newDriver(b inventory.Balancer, d *inventory.Deployment, host hostFunc, c ops.Connector) (driver, error) {
	switch b.Kind {
	case inventory.BalancerHAProxy:
		return newHAProxy(b, host)
	case inventory.BalancerNginx:
		return newNginx(b, host)
	case inventory.BalancerHealthFile:
		return newHealthFile(b, appNodes(d), c)
	case inventory.BalancerCommand:
		return newCommand(b, appNodes(d), host)
	}
	return nil, fmt.Errorf("kind %q is not known: write haproxy, nginx, health-file or command", b.Kind)
}

func appNodes(d *inventory.Deployment) []*inventory.Node {
	var nodes []*inventory.Node
	for _, n := range d.Nodes {
		if n.Has(inventory.RoleApp) {
			nodes = append(nodes, n)
		}
	}
	return nodes
}

// serverName is what node n is called at balancer b.
func serverName(n *inventory.Node, b string) string {
	if name := n.Backend[b]; name != "" {
		return name
	}
	return n.Name
}

// isServer reports whether server, as balancer b calls it, is node n. Where the inventory names no server, its address
// counts too, since nginx calls servers by their address; with or without a port.
func isServer(n *inventory.Node, b, server string) bool {
	name := serverName(n, b)
	host, _, err := net.SplitHostPort(server)
	if err != nil {
		host = server
	}
	return server == name || host == name || n.Backend[b] == "" && n.Address != "" && (server == n.Address || host == n.Address)
}

// Empty reports whether the deployment has no balancer.
func (s *Set) Empty() bool { return len(s.balancers) == 0 }

// State asks every balancer for its servers, in the inventory's order. A balancer that does not answer contributes one
// Server in StateUnknown per app node and an error that names it; the servers of the others are returned with that error.
func (s *Set) State(ctx context.Context) ([]Server, error) {
	lists := make([][]Server, len(s.balancers))
	errs := make([]error, len(s.balancers))
	var wg sync.WaitGroup
	for i, b := range s.balancers {
		wg.Go(func() { lists[i], errs[i] = s.list(ctx, b) })
	}
	wg.Wait()
	var all []Server
	for i, list := range lists {
		if errs[i] == nil {
			all = append(all, list...)
			continue
		}
		for _, n := range appNodes(s.dep) {
			name := s.balancers[i].Name
			all = append(all, Server{Balancer: name, Node: n.Name, Name: serverName(n, name), State: StateUnknown, Sessions: -1,
				Detail: errs[i].Error()})
		}
	}
	return all, errors.Join(errs...)
}

// list asks b for its servers and says which node each is.
func (s *Set) list(ctx context.Context, b *balancer) ([]Server, error) {
	list, err := b.servers(ctx)
	if err != nil {
		return nil, failed(b, "", "read state", err)
	}
	for i := range list {
		list[i].Balancer = b.Name
		for _, n := range appNodes(s.dep) {
			if isServer(n, b.Name, list[i].Name) {
				list[i].Node = n.Name
			}
		}
	}
	return list, nil
}

// find looks up n at b. The rest of b's servers come with it.
func (s *Set) find(ctx context.Context, b *balancer, n *inventory.Node) (Server, []Server, error) {
	list, err := s.list(ctx, b)
	if err != nil {
		return Server{}, nil, err
	}
	var own, others []Server
	var names []string
	for _, srv := range list {
		names = append(names, srv.Name)
		if srv.Node == n.Name {
			own = append(own, srv)
		} else {
			others = append(others, srv)
		}
	}
	if len(own) != 1 {
		err := ops.Errorf(ops.CodeInvalid, "%d of its servers are %q, wanted 1 of %s", len(own), serverName(n, b.Name), strings.Join(names, ", ")).
			WithHint("name the server in the inventory: nodes: %s: backend: {%s: NAME}", n.Name, b.Name)
		return Server{}, nil, failed(b, n.Name, "find server", err)
	}
	return own[0], others, nil
}

// failed makes an error that names balancer and node.
func failed(b *balancer, node, op string, err error) error {
	e := &ops.Error{Code: ops.CodeOf(err), Op: "balancer " + b.Name + ": " + op, Node: node, Hint: ops.HintOf(err), Err: err}
	if e.Hint == "" {
		e.Hint = "mosparoctl balancer status"
	}
	return e
}

// node looks up an app node. Nil without error means that the node serves no visitors, so no balancer knows it.
func (s *Set) node(name string) (*inventory.Node, error) {
	n := s.dep.Node(name)
	if n == nil {
		return nil, ops.Errorf(ops.CodeUsage, "the inventory has no node %q", name).WithHint("mosparoctl inventory list")
	}
	if !n.Has(inventory.RoleApp) {
		return nil, nil
	}
	return n, nil
}

// remember records the state of a node before the first Drain of this process.
func (s *Set) remember(node, balancer string, st State) {
	if s.before[node] == nil {
		s.before[node] = map[string]State{}
	}
	if _, ok := s.before[node][balancer]; !ok {
		s.before[node][balancer] = st
	}
}

// Before is the state in which Drain of this process found the node, by balancer; nil if it was not drained.
func (s *Set) Before(node string) map[string]State {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.before[node] == nil {
		return nil
	}
	states := make(map[string]State, len(s.before[node]))
	for b, st := range s.before[node] {
		states[b] = st
	}
	return states
}

// lastServing reports whether nobody of others serves visitors. Where no state is known it can't be told: false.
func lastServing(others []Server) bool {
	return !slices.ContainsFunc(others, func(o Server) bool { return o.serving() || o.State == StateUnknown })
}
