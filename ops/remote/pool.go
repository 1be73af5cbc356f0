package remote

import (
	"context"
	"fmt"
	"os"
	"sync"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/local"
)

// Options are the surroundings of a Pool. The zero value is what a user's shell has.
type Options struct {
	// Passphrase asks for the passphrase of an encrypted key file; nil where there is no terminal to ask on. It is called
	// by one goroutine at a time, and only for keys that a node has accepted.
	Passphrase func(file string) ([]byte, error)
	// Home is the folder that ~ stands for; "" is the user's.
	Home string
	// Agent is the socket of the SSH agent; "" is $SSH_AUTH_SOCK, "none" is none.
	Agent string
}

// Pool connects to the nodes of a deployment. It implements ops.Connector: one connection a node, made at the first call,
// shared, and made anew by a call of Host after it has died. Safe for concurrent use.
type Pool struct {
	deployment *inventory.Deployment
	resolver   resolver
	keys       *keyring

	mu      sync.Mutex
	targets map[string]*target // by node name
	links   map[string]*link   // by target.key
	hosts   map[string]*Host   // by node name
	closed  bool
}

// link is a connection that is being made or is there.
type link struct {
	done    chan struct{} // closed when conn and err are set
	conn    *conn
	err     error
	waiting int // callers that wait for done
	cancel  context.CancelFunc
}

// NewPool makes a pool that has no connections yet. Close it.
func NewPool(deployment *inventory.Deployment, o Options) *Pool {
	if o.Home == "" {
		// Without a home folder the paths below it don't exist, and the error of the first login says so.
		o.Home, _ = os.UserHomeDir()
	}
	switch o.Agent {
	case "":
		o.Agent = os.Getenv("SSH_AUTH_SOCK")
	case "none":
		o.Agent = ""
	}
	return &Pool{
		deployment: deployment,
		resolver:   resolver{home: o.Home, agent: o.Agent},
		keys:       &keyring{passphrase: o.Passphrase},
		targets:    map[string]*target{},
		links:      map[string]*link{},
		hosts:      map[string]*Host{},
	}
}

// Questions grows when somebody is asked for a passphrase and when the answer has come, so it is odd while one is waited for. Deadlines
// of those who wait for a connection should not count that time.
func (p *Pool) Questions() int64 { return p.keys.questions.Load() }

// Close ends all connections. Calls that are under way fail.
func (p *Pool) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, l := range p.links {
		l.cancel()
		select {
		case <-l.done:
			if l.conn != nil {
				l.conn.close()
			}
		default:
		}
	}
	return nil
}

// Host is the node of that name, or the machine of a balancer that is given by its SSH address. Local nodes need no SSH.
// A node whose connection has died since the last call is connected to again and gets a new Host; the old one stays dead.
func (p *Pool) Host(ctx context.Context, name string) (ops.Host, error) {
	node, err := p.node(name)
	if err != nil {
		return nil, err
	}
	if node.Local() {
		return local.New(name), nil
	}
	t, err := p.target(ctx, node)
	if err != nil {
		return nil, onNode(name, "", err)
	}
	c, err := p.connect(ctx, t)
	if err != nil {
		return nil, onNode(name, "", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if h := p.hosts[name]; h != nil && h.conn == c {
		return h, nil
	}
	h := newHost(node, c)
	p.hosts[name] = h
	return h, nil
}

// node finds a node, or makes one of a balancer's SSH address.
func (p *Pool) node(name string) (*inventory.Node, error) {
	if n := p.deployment.Node(name); n != nil {
		return n, nil
	}
	for _, b := range p.deployment.Balancers {
		if b.Node == name && name != "" {
			return &inventory.Node{Name: name, Address: name, SSH: b.SSH}, nil
		}
	}
	return nil, ops.Errorf(ops.CodeUsage, "the inventory has no node %q", name).WithHint("mosparoctl inventory list")
}

// target resolves a node's settings once.
func (p *Pool) target(ctx context.Context, n *inventory.Node) (*target, error) {
	p.mu.Lock()
	t := p.targets[n.Name]
	p.mu.Unlock()
	if t != nil {
		return t, nil
	}
	t, err := p.resolver.resolve(ctx, n.Name, n.Address, n.SSH)
	if err != nil {
		return nil, ops.Errorf(ops.CodeInvalid, "SSH settings: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if first := p.targets[n.Name]; first != nil {
		return first, nil
	}
	p.targets[n.Name] = t
	return t, nil
}

// connect gives the live connection to t, making it if need be. Callers that come while it is being made share it; when all
// of them have given up, so does the attempt.
func (p *Pool) connect(ctx context.Context, t *target) (*conn, error) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, unreachable(t, errClosed)
	}
	l := p.links[t.key()]
	if l == nil || l.over() {
		l = p.start(ctx, t)
	}
	l.waiting++
	p.mu.Unlock()
	select {
	case <-l.done:
		return l.conn, t.own(l.err)
	case <-ctx.Done():
		p.mu.Lock()
		defer p.mu.Unlock()
		if l.waiting--; l.waiting == 0 {
			l.cancel()
			if p.links[t.key()] == l {
				delete(p.links, t.key())
			}
		}
		if ctx.Err() == context.DeadlineExceeded {
			return nil, unreachable(t, fmt.Errorf("connect to %s: %w", t.address(), ctx.Err()))
		}
		return nil, ctx.Err()
	}
}

// over reports whether the attempt failed or the connection has died.
func (l *link) over() bool {
	select {
	case <-l.done:
		return l.err != nil || l.conn.isDead()
	default:
		return false
	}
}

// start begins to connect to t. p.mu is held.
func (p *Pool) start(ctx context.Context, t *target) *link {
	// The first caller's context doesn't decide for those who join.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	l := &link{done: make(chan struct{}), cancel: cancel}
	p.links[t.key()] = l
	go func() {
		defer cancel()
		c, err := p.dialPatiently(ctx, t)
		p.mu.Lock()
		defer p.mu.Unlock()
		if err == nil && (p.closed || p.links[t.key()] != l) {
			c.close()
			c, err = nil, unreachable(t, errClosed)
		}
		l.conn, l.err = c, err
		close(l.done)
	}()
	return l
}

// dialPatiently connects to t within its timeout, but doesn't count the time in which somebody was asked for a passphrase: the
// node has given up by then, and the key is open for another attempt.
func (p *Pool) dialPatiently(ctx context.Context, t *target) (*conn, error) {
	const attempts = 5
	for i := 1; ; i++ {
		before := p.keys.questions.Load()
		attempt, cancel := context.WithTimeout(ctx, t.timeout)
		c, err := p.dialThrough(attempt, t)
		late := attempt.Err() == context.DeadlineExceeded
		cancel()
		if err == nil || !late || i == attempts || p.keys.questions.Load() == before {
			return c, err
		}
	}
}

// dialThrough connects to t, first to its jump host, which several nodes may share.
func (p *Pool) dialThrough(ctx context.Context, t *target) (*conn, error) {
	var via *conn
	if t.jump != nil {
		var err error
		if via, err = p.connect(ctx, t.jump); err != nil {
			return nil, &ops.Error{Code: ops.CodeUnreachable, Node: t.name, Hint: ops.HintOf(err), Err: fmt.Errorf("jump host %w", err)}
		}
	}
	return dial(ctx, t, via, p.keys)
}
