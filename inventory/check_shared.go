package inventory

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// checkCaches finds caches that nodes believe to share and don't.
func (d *decoder) checkCaches(dep *Deployment) {
	local := map[string]bool{} // machines whose URL leads to themselves
	adapters := map[CacheAdapter]bool{}
	parsed := map[*Node]dsn{}
	several := machines(dep.Nodes, func(*Node) bool { return true }) > 1
	for _, n := range dep.Nodes {
		adapters[n.Cache.Adapter] = true
		d.checkCacheEnv(n)
		d.checkPlainEnv(n)
		url, ok := d.checkCache(n, several)
		if parsed[n] = url; ok && url.local() && !n.Cache.Tunnel {
			local[machine(n)] = true
		}
	}
	if dep.Cache.Adapter != CacheFilesystem && dep.Cache.URL.IsZero() && !several {
		dep.Cache.URL = defaultURL(dep.Cache.Adapter)
	}
	for _, n := range dep.Nodes {
		if url := parsed[n]; len(local) > 1 && url.local() && !n.Cache.Tunnel {
			d.bad(d.origin(of(n, "cache.url")), "a loopback address or socket, which leads each of the nodes to a cache of its own",
				"write the address that all nodes reach; if it is a proxy or tunnel to the same cache, add tunnel: true")
		}
	}
	apps := machines(dep.Nodes, func(n *Node) bool { return n.Has(RoleApp) })
	if len(adapters) > 1 {
		for _, n := range dep.Nodes {
			if n.Cache.Adapter != dep.Nodes[0].Cache.Adapter {
				d.bad(d.origin(of(n, "cache.adapter"), "cache.adapter", at(n)), fmt.Sprintf("%s uses %s, %s uses %s", n.Name, n.Cache.Adapter, dep.Nodes[0].Name, dep.Nodes[0].Cache.Adapter),
					"use one adapter on all nodes")
			}
		}
		return
	}
	if adapters[CacheFilesystem] && apps > 1 && !d.failedAt("cache.adapter") {
		n := dep.Nodes[0]
		d.bad(d.origin(of(n, "cache.adapter"), "cache", "nodes"), fmt.Sprintf("the filesystem cache can't be shared, and %d machines have the role app", apps),
			"write cache: {adapter: redis, url: \"redis://HOST:6379?lazy=1\"} or memcached")
	}
}

// checkCache looks at the cache of one node. ok is false if its URL is none that can be read now.
func (d *decoder) checkCache(n *Node, several bool) (dsn, bool) {
	c := &n.Cache
	where := d.origin(of(n, "cache.url"), of(n, "cache.adapter"), of(n, "cache"))
	if d.failedAt("cache.url") || d.failedAt("cache.adapter") {
		return dsn{}, false
	}
	if c.Adapter == CacheFilesystem {
		if !c.URL.IsZero() {
			d.bad(where, "a URL, but no adapter that uses it", "add adapter: redis, or adapter: memcached")
		}
		return dsn{}, false
	}
	if c.URL.IsZero() {
		if several {
			d.bad(where, fmt.Sprintf("no URL for %s, which then looks for it on each node itself", c.Adapter), fmt.Sprintf("add url: %q", exampleURL(c.Adapter)))
		} else {
			c.URL = defaultURL(c.Adapter)
		}
		return dsn{}, false
	}
	if c.URL.isRef() {
		return dsn{}, false
	}
	url, message, _ := parseDSN(c.URL.ref())
	if message != "" {
		return dsn{}, false
	}
	scheme := strings.TrimSuffix(url.scheme, "s")
	if url.scheme != string(c.Adapter) && scheme != string(c.Adapter) {
		d.bad(where, fmt.Sprintf("the adapter is %s, the URL is one of %s", c.Adapter, scheme), fmt.Sprintf("write url: %q, or adapter: %s", exampleURL(c.Adapter), scheme))
		return url, false
	}
	if url.password {
		d.warn(where, "a password in plain text", "write a reference: env:NAME, file:/path or cmd:…")
	}
	if c.Adapter == CacheRedis && !url.lazy {
		d.warn(where, "without lazy=1, every page of a node fails while redis is away", "add ?lazy=1 to the URL")
	}
	return url, true
}

func exampleURL(a CacheAdapter) string {
	if a == CacheMemcached {
		return "memcached://HOST:11211"
	}
	return "redis://HOST:6379?lazy=1"
}

// defaultURL is what mosparo uses where no URL is given.
func defaultURL(a CacheAdapter) Secret { return NewSecret(string(a) + "://localhost") }

// checkCacheEnv finds variables that say something else than the cache's settings, which are written to the same file.
func (d *decoder) checkCacheEnv(n *Node) {
	adapter, ok := n.Env["MOSPARO_CACHE_ADAPTER"]
	if ok && adapter != string(n.Cache.Adapter) && (adapter != "" || n.Cache.Adapter != CacheFilesystem) {
		d.bad(d.origin(of(n, "env.MOSPARO_CACHE_ADAPTER")), fmt.Sprintf("contradicts cache.adapter, which is %s", n.Cache.Adapter), "remove it, and write cache: {adapter: …, url: …}")
	}
	for adapter, name := range map[CacheAdapter]string{CacheRedis: "REDIS_URL", CacheMemcached: "MEMCACHED_URL"} {
		if v, ok := n.Env[name]; ok && n.Cache.Adapter == adapter && !n.Cache.URL.IsZero() && v != n.Cache.URL.ref() {
			d.bad(d.origin(of(n, "env."+name)), "contradicts cache.url", "remove it, and write cache: {url: …}")
		}
	}
}

// plainName is the name of a variable that holds a secret by itself; that of a URL may hold one with a password in it.
var plainName = regexp.MustCompile(`(?i)PASS|SECRET|TOKEN|CREDENTIAL|_KEY$`)

// checkPlainEnv finds secrets in plain text among the values of .env.local. A path is none.
func (d *decoder) checkPlainEnv(n *Node) {
	for name, v := range n.Env {
		plain := plainName.MatchString(name) && !strings.HasPrefix(v, "/") || len(urlPasswords(v)) > 0
		if plain && v != "" && NewSecret(maskEnv(name, v)).ref() == secretMask {
			d.warn(d.origin(of(n, "env."+name)), "a secret in plain text", "write a reference: env:NAME, file:/path or cmd:…")
		}
	}
}

// checkDatabase finds databases that nodes can't share, and topologies that their servers don't fit.
func (d *decoder) checkDatabase(dep *Deployment) {
	if _, given := d.origins["database"]; !given {
		return
	}
	b := &dep.Database
	if !b.Password.IsZero() && !b.Password.isRef() {
		d.warn(d.origin("database.password"), "a password in plain text", "write a reference: env:NAME, file:/path or cmd:…")
	}
	if b.System == "sqlite" {
		if n := len(dep.Nodes); n > 1 {
			d.bad(d.origin("database.system"), fmt.Sprintf("SQLite is a file on one node, and there are %d nodes", n), "write system: mysql (MariaDB too) or postgres, or keep one node")
		}
		if len(b.Servers) > 0 {
			d.bad(d.origin("database.servers"), "SQLite has no servers", "remove servers")
		}
		return
	}
	servers := d.origin("database.servers", "database.topology", "database")
	switch n := len(b.Servers); {
	case d.failedBelow("database.servers"):
	case n == 0:
		d.bad(servers, "there is no server", "write servers: [{host: db.internal}]")
	case n > 1 && b.Topology == Single:
		d.bad(servers, fmt.Sprintf("topology single, but %d servers", n), "write topology: active-passive or active-active, or keep one server")
	case n == 1 && b.Topology != Single:
		d.bad(servers, fmt.Sprintf("topology %s, but one server", b.Topology), "write topology: single, or add the other servers")
	}
	shared := machines(dep.Nodes, func(*Node) bool { return true }) > 1 && !b.Tunnel
	seen := map[string]bool{}
	for i, s := range b.Servers {
		path := d.item("database.servers", s.Name, i)
		if loopback(s.Host) && shared {
			d.bad(d.origin(path+".host", path), "a loopback address, which leads each node to a database of its own",
				"write the address that all nodes reach; if it is a proxy or tunnel to the same server, add tunnel: true")
		}
		if key := fmt.Sprint(s.Host, s.Port); s.Host != "" && seen[key] {
			d.bad(d.origin(path+".host", path), "the same server twice", "keep one of them")
		} else {
			seen[key] = true
		}
	}
}

// checkBalancer makes sure that a balancer has what its kind needs, and nothing else.
func (d *decoder) checkBalancer(dep *Deployment, b *Balancer, index int) {
	path := d.item("balancers", b.Name, index)
	needs := map[BalancerKind]map[string]string{
		BalancerHAProxy:    {"socket": "/run/haproxy/admin.sock", "backend": "mosparo"},
		BalancerNginx:      {"file": "/etc/nginx/conf.d/mosparo-upstream.conf", "reload": "systemctl reload nginx"},
		BalancerHealthFile: {"file": "/srv/mosparo/shared/healthy"},
		BalancerCommand:    {"drain": "/usr/local/bin/lb drain {node}", "ready": "/usr/local/bin/lb ready {node}"},
	}
	need, known := needs[b.Kind]
	if !known {
		return
	}
	for _, k := range slices.Sorted(maps.Keys(need)) {
		if _, given := d.origins[path+"."+k]; !given && !d.failedAt(path+"."+k) {
			d.bad(d.origin(path), fmt.Sprintf("kind %s needs %q", b.Kind, k), fmt.Sprintf("add %s: %s", k, need[k]))
		}
	}
	for _, k := range []string{"socket", "backend", "file", "reload", "drain", "ready"} {
		if v, given := d.origins[path+"."+k]; given && need[k] == "" {
			d.bad(v, fmt.Sprintf("kind %s has no use for %q", b.Kind, k), "remove it, or write another kind")
		}
	}
	for k, argv := range map[string][]string{"drain": b.Drain, "ready": b.Ready} {
		if b.Kind == BalancerCommand && len(argv) > 0 && !strings.Contains(strings.Join(argv, " "), "{node}") {
			d.warn(d.origin(path+"."+k), "does not say which node", "write {node} where its name belongs")
		}
	}
	d.checkBalancerNode(dep, b, path)
}

func (d *decoder) checkBalancerNode(dep *Deployment, b *Balancer, path string) {
	_, login := d.origins[path+".ssh"]
	switch {
	case b.Node == "" || b.Node == "local" || login || dep.Node(b.Node) != nil || strings.ContainsAny(b.Node, ".:@"):
		return
	}
	var names []string
	for _, n := range dep.Nodes {
		names = append(names, n.Name)
	}
	d.bad(d.origin(path+".node"), fmt.Sprintf("unknown node %q", b.Node), suggest(b.Node, names, "for a machine that is no node, add ssh: {user: …}"))
}
