package health

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mosparoctl/mosparoctl/inventory"
)

const envHint = "mosparoctl env push"

// cacheConf is what a node's configuration says of the shared cache.
type cacheConf struct {
	adapter string // "filesystem", "redis" or "memcached"; or what mosparo would choke on
	dsn     dsn
	err     error // of the DSN
}

// cacheOf reads a node's cache settings.
func (n *node) cacheOf(ctx context.Context) (cacheConf, error) {
	var c cacheConf
	if err := n.mosparo(ctx); err != nil {
		return c, err
	}
	adapter, err := n.setting(ctx, "MOSPARO_CACHE_ADAPTER")
	if err != nil {
		return c, err
	}
	c.adapter = cmp.Or(adapter, "filesystem")
	variable, fallback := "REDIS_URL", "redis://localhost"
	switch c.adapter {
	case "redis":
	case "memcached":
		variable, fallback = "MEMCACHED_URL", "memcached://localhost"
	default:
		return c, nil
	}
	value, err := n.setting(ctx, variable)
	if err != nil {
		return c, err
	}
	n.session.secret(value)
	if c.dsn, c.err = parseDSN(c.adapter, cmp.Or(value, fallback)); c.err != nil {
		c.err = fmt.Errorf("%s %w", variable, c.err)
	}
	n.session.secret(c.dsn.password)
	return c, nil
}

// cacheAdapter compares the adapters with each other and with the inventory.
func cacheAdapter() Check {
	return question[cacheConf]{
		Info: Info{
			Name: "cache-adapter", Family: FamilyCache,
			Title: "Does every node use the shared cache?",
			Why:   "A node without the setting keeps a cache of its own in /tmp: cleanups run once per node and CSS differs.",
			Mend:  envHint,
		},
		ask: func(ctx context.Context, n *node) (cacheConf, error) { return n.cacheOf(ctx) },
		judge: func(_ context.Context, v *verdicts, answers []answer[cacheConf]) {
			ref := reference(answers, func(c cacheConf) string { return c.adapter })
			for _, a := range answers {
				got, want := a.value.adapter, string(a.node.Cache.Adapter)
				switch {
				case !slices.Contains([]string{"filesystem", "redis", "memcached"}, got):
					v.fail(a.node, "", "MOSPARO_CACHE_ADAPTER is %q: every request fails", oneLine(got))
				case want != "" && got != want:
					v.fail(a.node, "", "uses %s, the inventory says %s", got, want)
				case got != ref.value.adapter:
					v.fail(a.node, "", "uses %s, %s uses %s", got, ref.node.Name, ref.value.adapter)
				case got == "filesystem" && len(v.session.env.Deployment.Nodes) > 1:
					v.warn(a.node, "set cache: adapter: redis and a url in the inventory, then: "+envHint, "each node has a cache of its own")
				default:
					v.ok(a.node, "%s", got)
				}
			}
		},
	}
}

// askShared is the question of all checks that need a shared cache: its settings, if it is one and the URL can be read.
func askShared(ctx context.Context, n *node) (cacheConf, error) {
	c, err := n.cacheOf(ctx)
	if err != nil {
		return c, err
	}
	if c.dsn.adapter == "" {
		return c, errNotConcerned
	}
	if c.err != nil {
		return c, failf(envHint, "%v", c.err)
	}
	return c, nil
}

// cacheURL looks at the URLs alone.
func cacheURL() Check {
	return question[cacheConf]{
		Info: Info{
			Name: "cache-url", Family: FamilyCache,
			Title: "Do all nodes name the same cache, in a way that survives its failure?",
			Why: "With a loopback address each node has its own cache. A redis that is down makes every page of all nodes answer 500 " +
				"at once, unless the URL says lazy=1.",
			Mend: envHint,
		},
		ask: askShared,
		judge: func(_ context.Context, v *verdicts, answers []answer[cacheConf]) {
			own := !v.session.env.Deployment.Cache.Tunnel && !oneMachine(v.session.env.Deployment)
			ref := reference(answers, func(c cacheConf) string { return c.dsn.storage() })
			for _, a := range answers {
				d := a.value.dsn
				switch {
				case own && !a.node.Cache.Tunnel && len(d.local()) > 0:
					v.fail(a.node, "write an address that all nodes reach into cache: url:, then: "+envHint, "%s is the node's own", list(d.local(), 3))
				case d.storage() != ref.value.dsn.storage():
					v.fail(a.node, "", "%s, %s has %s", d.storage(), ref.node.Name, ref.value.dsn.storage())
				case d.adapter == "redis" && !d.lazy:
					v.warn(a.node, "add ?lazy=1 to cache: url:, then: "+envHint, "%s, without lazy=1", d.public())
				default:
					v.ok(a.node, "%s", d.public())
				}
			}
			v.allOK("%s on all nodes", ref.value.dsn.public())
		},
	}
}

// oneMachine reports whether all nodes are this machine, or one and the same: a loopback address is one place then.
func oneMachine(d *inventory.Deployment) bool {
	seen := map[string]bool{}
	for _, n := range d.Nodes {
		if len((dsn{servers: []string{n.Address}}).local()) > 0 || n.Local() {
			seen["here"] = true
			continue
		}
		seen[n.Address] = true
	}
	return len(seen) <= 1
}

// cacheReply is what the cache answered through one node.
type cacheReply struct {
	what  string
	where string
	took  time.Duration // of one write, read and removal
}

// cacheReach uses the cache through each node.
func cacheReach() Check {
	return question[cacheReply]{
		Info: Info{
			Name: "cache-reach", Family: FamilyCache,
			Title: "Can every node write to its cache and read from it?",
			Why:   "Without its cache a node schedules cleanups by itself and builds CSS anew; a redis without lazy=1 takes it down.",
			Mend:  "see that the server of cache: url: runs and lets the nodes in",
		},
		ask: func(ctx context.Context, n *node) (cacheReply, error) {
			conf, err := askShared(ctx, n)
			if err != nil {
				return cacheReply{}, err
			}
			return roundTrip(ctx, n, conf.dsn)
		},
		judge: func(_ context.Context, v *verdicts, answers []answer[cacheReply]) {
			for _, a := range answers {
				v.add(a.node, OK, "", fmt.Sprintf("%s at %s, write and read in %s", a.value.what, a.value.where, round(a.value.took)),
					Figure{Name: "round_trip", Value: a.value.took.Seconds(), Unit: "s"})
			}
			v.allOK("%s answers on all %d nodes", answers[0].value.what, len(answers))
		},
	}
}

// roundTrip writes, reads and removes a key through n.
func roundTrip(ctx context.Context, n *node, d dsn) (cacheReply, error) {
	r := cacheReply{where: strings.Join(d.servers, ", ")}
	c, err := openCache(ctx, n, d)
	if err != nil {
		return r, err
	}
	defer c.close()
	key, value := probeKey(), rand.Text()
	if err := c.put(ctx, key, value); err != nil { // the first call connects and logs in
		return r, cacheFailure(n, d, err)
	}
	for range 3 {
		start := n.session.now()
		if err := c.put(ctx, key, value); err != nil {
			return r, cacheFailure(n, d, err)
		}
		got, err := c.get(ctx, []string{key})
		if err != nil {
			return r, cacheFailure(n, d, err)
		}
		if took := n.session.now().Sub(start); r.took == 0 || took < r.took {
			r.took = took
		}
		if got[key] != value {
			return r, failf("raise maxmemory, or set maxmemory-policy allkeys-lru", "%s took a value and does not return it: it may be full, or evict at once", r.where)
		}
	}
	if err := c.remove(ctx, key); err != nil {
		return r, cacheFailure(n, d, err)
	}
	if r.what, err = c.describe(ctx); err != nil {
		return r, cacheFailure(n, d, err)
	}
	return r, nil
}

// cacheFailure says what the error of a cache means for people.
func cacheFailure(n *node, d dsn, err error) error {
	where, text := strings.Join(d.servers, ", "), n.reason(err)
	for word, mend := range map[string]string{
		"NOAUTH":     "write the password into cache: url:, then: " + envHint,
		"WRONGPASS":  "correct the password in cache: url:, then: " + envHint,
		"ERR AUTH":   "the server has no password: remove it from cache: url:, then: " + envHint,
		"ERR DB":     "the server has no database of that number: correct cache: url:, then: " + envHint,
		"READONLY":   "that is a replica: name the primary, or sentinels, in cache: url:, then: " + envHint,
		"OOM":        "raise maxmemory, or set maxmemory-policy allkeys-lru",
		"MISCONF":    "redis can't save to its disk: look into its log",
		"NOPERM":     "the user needs the commands GET, SET, MGET and DEL",
		"LOADING":    "redis is reading its data after a start: wait",
		"MASTERDOWN": "the replica lost its primary",
	} {
		if strings.Contains(text, word) {
			return failf(mend, "%s refuses: %s", where, text)
		}
	}
	mend := "" // of the check: a socket file is nothing to connect to by hand
	if len(d.servers) > 0 {
		if host, port, err := net.SplitHostPort(d.servers[0]); err == nil {
			mend = n.exec("nc", "-zv", host, port)
		}
	}
	return failf(mend, "%s can't be used from here: %s", where, text)
}

// probeKey is a key that nobody else uses and nobody can guess.
func probeKey() string { return "mosparoctl-probe-" + rand.Text() }

// probe is a key that was written through a node.
type probe struct {
	conf cacheConf
	key  string
}

// cacheShared writes a key through every node and reads all keys through every node.
func cacheShared() Check {
	return question[probe]{
		Info: Info{
			Name: "cache-shared", Family: FamilyCache,
			Title: "Is it one and the same cache that all nodes use?",
			Why:   "Nodes that look alike may use different caches: the lock and the schedule of the cleanup then mean nothing.",
			Mend:  "mosparoctl check --only cache-url",
		},
		ask: func(ctx context.Context, n *node) (probe, error) {
			conf, err := askShared(ctx, n)
			if err != nil {
				return probe{}, err
			}
			p := probe{conf: conf, key: probeKey()}
			c, err := openCache(ctx, n, conf.dsn)
			if err != nil {
				return p, err
			}
			defer c.close()
			if err := c.put(ctx, p.key, n.Name); err != nil {
				return p, cacheFailure(n, conf.dsn, err)
			}
			return p, nil
		},
		judge: judgeShared,
	}
}

func judgeShared(ctx context.Context, v *verdicts, answers []answer[probe]) {
	all := make([]string, len(answers))
	for i, a := range answers {
		all[i] = a.value.key
	}
	seen := make([]map[string]string, len(answers)) // what each node reads
	errs := make([]error, len(answers))
	each(answers, func(i int, a answer[probe]) {
		seen[i], errs[i] = do(ctx, a.node, func(ctx context.Context) (map[string]string, error) {
			return readProbes(ctx, a, all)
		})
	})
	// Keys are removed only now that everybody has read them.
	each(answers, func(i int, a answer[probe]) {
		_, err := do(ctx, a.node, func(ctx context.Context) (struct{}, error) { return struct{}{}, removeProbe(ctx, a) })
		errs[i] = errors.Join(errs[i], err)
	})
	for i, a := range answers {
		var with, without []string
		for j, b := range answers {
			switch {
			case i == j:
			case seen[i][b.value.key] == b.node.Name:
				with = append(with, b.node.Name)
			default:
				without = append(without, b.node.Name)
			}
		}
		switch {
		case errs[i] != nil:
			v.unknown(a.node, "%s", cause(errs[i]))
		case len(answers) == 1:
			v.ok(a.node, "no other node to share it with")
		case len(without) == 0:
			v.ok(a.node, "reads what all others wrote")
		case len(with) == 0:
			v.fail(a.node, "", "reads nothing of what %s wrote", list(without, 4))
		default:
			v.fail(a.node, "", "shares a cache with %s, but not with %s", list(with, 4), list(without, 4))
		}
	}
	v.allOK("%d nodes share one cache", len(answers))
}

// each calls do for every answer at once and waits.
func each[T any](answers []answer[T], do func(i int, a answer[T])) {
	var wg sync.WaitGroup
	for i, a := range answers {
		wg.Go(func() { do(i, a) })
	}
	wg.Wait()
}

func readProbes(ctx context.Context, a answer[probe], keys []string) (map[string]string, error) {
	c, err := openCache(ctx, a.node, a.value.conf.dsn)
	if err != nil {
		return nil, err
	}
	defer c.close()
	return c.get(ctx, keys)
}

func removeProbe(ctx context.Context, a answer[probe]) error {
	c, err := openCache(ctx, a.node, a.value.conf.dsn)
	if err != nil {
		return err
	}
	defer c.close()
	return c.remove(ctx, a.value.key)
}
