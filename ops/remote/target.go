package remote

import (
	"context"
	"fmt"
	"net"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/mosparoctl/mosparoctl/inventory"
)

// Defaults of the inventory's SSH settings.
const (
	defaultTimeout   = 15 * time.Second
	defaultKeepalive = 5 * time.Second
	maxJumps         = 8
)

// target is a machine to log in to, with every setting resolved.
type target struct {
	name  string // what messages call it: the node's name, or the jump host as written
	node  string // the node that it is, or that it is on the way to
	alias string // as written in the inventory or in ProxyJump
	host  string // to dial
	port  string
	user  string

	identities     []string // private key files, most wanted first
	explicit       bool     // identities were configured, not guessed: a missing file is an error
	certificates   []string
	identitiesOnly bool
	agent          string // socket of the agent, or ""

	knownHosts   []string // files that are read; the first one is where new keys go
	hostKeyAlias string
	hashHosts    bool

	timeout, keepalive time.Duration
	jump               *target // or nil
}

// address is host:port.
func (t *target) address() string { return net.JoinHostPort(t.host, t.port) }

// hostKeyAddress is what known_hosts knows the host by.
func (t *target) hostKeyAddress() string {
	if t.hostKeyAlias != "" {
		return net.JoinHostPort(t.hostKeyAlias, "22")
	}
	return t.address()
}

// login is user@host, with the port where it isn't ssh's, for messages and hints.
func (t *target) login() string {
	if t.port == "22" {
		return t.user + "@" + t.host
	}
	return "-p " + t.port + " " + t.user + "@" + t.host
}

// key tells apart targets that need a connection of their own.
func (t *target) key() string {
	jump := ""
	if t.jump != nil {
		jump = t.jump.key()
	}
	return fmt.Sprintf("%q", []string{t.user, t.address(), t.hostKeyAddress(), jump, strings.Join(t.knownHosts, "\n"), strings.Join(t.identities, "\n")})
}

// resolver turns nodes into targets.
type resolver struct {
	home  string
	agent string // socket used where ssh_config names none
}

// resolve merges the inventory's settings of a node, which win, with ssh_config.
func (r resolver) resolve(ctx context.Context, name, address string, s inventory.SSH) (*target, error) {
	return r.target(ctx, name, name, address, s, 0)
}

func (r resolver) target(ctx context.Context, node, name, alias string, s inventory.SSH, depth int) (*target, error) {
	if depth > maxJumps {
		return nil, fmt.Errorf("more than %d jump hosts: ProxyJump seems to go in a circle", maxJumps)
	}
	q := configQuery{file: s.Config, alias: alias, user: s.User, home: r.home}
	if s.Port != 0 {
		q.port = strconv.Itoa(s.Port)
	}
	c, err := readConfig(ctx, q)
	if err != nil {
		return nil, err
	}
	local, home := localUser(), r.home
	t := &target{
		name: name, node: node, alias: alias,
		host: or(tokens{'h': alias, '%': "%"}.expand(c.first("hostname")), alias),
		port: or(q.port, c.first("port"), "22"),
		user: or(s.User, c.first("user"), local),

		identitiesOnly: c.yes("identitiesonly"),
		hostKeyAlias:   c.first("hostkeyalias"),
		hashHosts:      c.yes("hashknownhosts"),
		timeout:        s.Timeout,
		keepalive:      s.Keepalive,
	}
	if t.timeout <= 0 {
		t.timeout = defaultTimeout
	}
	if t.keepalive <= 0 {
		t.keepalive = defaultKeepalive
	}
	if p := c.first("proxycommand"); p != "" && p != "none" && s.Jump == "" {
		return nil, fmt.Errorf("ssh_config has a ProxyCommand for %s, which is not supported: use ProxyJump, or ssh.jump in the inventory", alias)
	}
	tok := tokens{'%': "%", 'h': t.host, 'n': alias, 'p': t.port, 'r': t.user, 'u': local, 'd': home}
	tok['k'] = or(t.hostKeyAlias, alias)
	r.files(t, s, c, tok)
	jump := or(s.Jump, c.first("proxyjump"))
	if jump != "" && jump != "none" {
		t.jump, err = r.jumps(ctx, node, alias, tok.expand(jump), s, depth+1)
	}
	return t, err
}

// files sets the files t uses: keys, certificates, known_hosts, the agent's socket.
func (r resolver) files(t *target, s inventory.SSH, c hostConfig, tok tokens) {
	paths := func(values []string) []string {
		var out []string
		for _, v := range values {
			if v != "none" {
				out = append(out, tok.path(v, r.home))
			}
		}
		return out
	}
	sshDir := filepath.Join(r.home, ".ssh")
	t.certificates = paths(c["certificatefile"])
	switch {
	case s.Identity != "":
		t.identities, t.explicit = []string{tok.path(s.Identity, r.home)}, true
	case len(c["identityfile"]) > 0:
		t.identities = paths(c["identityfile"])
	default:
		for _, f := range []string{"id_ed25519", "id_ecdsa", "id_rsa"} {
			t.identities = append(t.identities, filepath.Join(sshDir, f))
		}
	}
	switch {
	case s.KnownHosts != "":
		t.knownHosts = []string{tok.path(s.KnownHosts, r.home)}
	default:
		t.knownHosts = paths(strings.Fields(c.first("userknownhostsfile")))
		if len(t.knownHosts) == 0 {
			t.knownHosts = []string{filepath.Join(sshDir, "known_hosts"), filepath.Join(sshDir, "known_hosts2")}
		}
		global := paths(strings.Fields(c.first("globalknownhostsfile")))
		if len(global) == 0 {
			global = []string{"/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"}
		}
		t.knownHosts = append(t.knownHosts, global...)
	}
	switch agent := c.first("identityagent"); agent {
	case "", "SSH_AUTH_SOCK":
		t.agent = r.agent
	case "none":
	default:
		t.agent = tok.path(strings.Replace(agent, "$SSH_AUTH_SOCK", r.agent, 1), r.home)
	}
}

// jumps resolves a ProxyJump list: its first host is reached first, the node through its last. As with ssh, only the first
// one's own ProxyJump counts. Key, known_hosts and config file of the inventory serve the jump hosts too, user and port don't.
func (r resolver) jumps(ctx context.Context, node, self, list string, s inventory.SSH, depth int) (*target, error) {
	hops := strings.Split(list, ",")
	last := strings.TrimPrefix(strings.TrimSpace(hops[len(hops)-1]), "ssh://")
	hop := inventory.SSH{Identity: s.Identity, KnownHosts: s.KnownHosts, Config: s.Config, Timeout: s.Timeout, Keepalive: s.Keepalive}
	address := last
	if i := strings.LastIndexByte(address, '@'); i >= 0 {
		hop.User, address = address[:i], address[i+1:]
	}
	if host, port, err := net.SplitHostPort(address); err == nil {
		address = host
		if hop.Port, err = strconv.Atoi(port); err != nil {
			return nil, fmt.Errorf("jump host %q: %q is no port", last, port)
		}
	}
	address = strings.Trim(address, "[]")
	if len(hops) == 1 && s.Jump == "" && address == self {
		return nil, nil // "Host *" with a ProxyJump means the jump host too, which needs none
	}
	if address == "" {
		return nil, fmt.Errorf("jump host list %q has an empty entry", list)
	}
	if len(hops) > 1 {
		hop.Jump = strings.Join(hops[:len(hops)-1], ",")
	}
	return r.target(ctx, node, last, address, hop, depth)
}

// or is the first value that isn't empty.
func or(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

func localUser() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return ""
}
