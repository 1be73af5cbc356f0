package health

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/bradfitz/gomemcache/memcache"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// probeTTL ends a probe key that could not be removed.
const probeTTL = time.Minute

// cacheClient is a connection to a cache, through a node.
type cacheClient interface {
	// put sets key for probeTTL, on every server of the cache.
	put(ctx context.Context, key, value string) error
	// get returns those of the keys that every server has.
	get(ctx context.Context, keys []string) (map[string]string, error)
	remove(ctx context.Context, key string) error
	// describe is what the server says of itself.
	describe(ctx context.Context) (string, error)
	close()
}

// openCache makes a client for d whose connections start at n.
func openCache(ctx context.Context, n *node, d dsn) (cacheClient, error) {
	limit := n.session.timeout / 2
	if d.adapter == "memcached" {
		if d.user != "" {
			return nil, errors.New("memcached with a user and password (SASL) can't be asked")
		}
		c := &memcachedClient{}
		for _, server := range d.servers {
			mc := memcache.NewFromSelector(address(server))
			mc.Timeout = limit
			mc.DialContext = func(ctx context.Context, _, addr string) (net.Conn, error) {
				return n.host.Dial(ctx, network(server), addr)
			}
			c.servers = append(c.servers, mc)
		}
		return c, nil
	}
	dial, err := redisDialer(ctx, n, d)
	if err != nil {
		return nil, err
	}
	redis.SetLogger(quiet{}) // it would write to stderr; its errors come back to us anyway
	options := &redis.UniversalOptions{
		Addrs: d.servers, DB: d.db, Username: d.user, Password: d.password, MasterName: d.sentinel, IsClusterMode: d.cluster,
		Dialer: dial, DialTimeout: limit, ReadTimeout: limit, WriteTimeout: limit, ContextTimeoutEnabled: true,
		PoolSize: 1, MaxRetries: -1, Protocol: 2, DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	if d.sentinel != "" {
		options.SentinelPassword = d.options.Get("auth")
	}
	if d.cluster && options.Password == "" {
		options.Password = d.options.Get("auth")
	}
	return redisClient{redis.NewUniversalClient(options), d}, nil
}

// address is the one server of a memcache client, by the name that the node knows it by: the client's own list would
// look names up on this machine.
type address string

func (a address) Network() string                     { return network(string(a)) }
func (a address) String() string                      { return string(a) }
func (a address) PickServer(string) (net.Addr, error) { return a, nil }
func (a address) Each(f func(net.Addr) error) error   { return f(a) }

type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

// redisDialer dials from n, with TLS as the DSN says.
func redisDialer(ctx context.Context, n *node, d dsn) (func(context.Context, string, string) (net.Conn, error), error) {
	if !d.tls {
		return func(ctx context.Context, _, addr string) (net.Conn, error) {
			return n.host.Dial(ctx, network(addr), addr)
		}, nil
	}
	config, err := n.tlsConfig(ctx, d.options.Get("ssl[cafile]"), d.options.Get("ssl[local_cert]"), d.options.Get("ssl[local_pk]"))
	if err != nil {
		return nil, err
	}
	config.InsecureSkipVerify = d.options.Get("ssl[verify_peer]") == "0" || d.options.Get("ssl[verify_peer_name]") == "0"
	return func(ctx context.Context, _, addr string) (net.Conn, error) {
		conn, err := n.host.Dial(ctx, network(addr), addr)
		if err != nil {
			return nil, err
		}
		c := config.Clone()
		c.ServerName, _, _ = net.SplitHostPort(addr)
		secure := tls.Client(conn, c)
		if err := secure.HandshakeContext(ctx); err != nil {
			_ = conn.Close()
			return nil, fmt.Errorf("TLS: %w", err)
		}
		return secure, nil
	}, nil
}

// tlsConfig reads certificates from the node. Empty paths are left out; a certificate without a key holds its key too.
func (n *node) tlsConfig(ctx context.Context, ca, cert, key string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		pem, err := n.read(ctx, ca)
		if err != nil {
			return nil, fmt.Errorf("read CA certificate: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate", ca)
		}
	}
	if cert == "" {
		return config, nil
	}
	certPEM, err := n.read(ctx, cert)
	if err != nil {
		return nil, fmt.Errorf("read client certificate: %w", err)
	}
	keyPEM := certPEM
	if key != "" {
		if keyPEM, err = n.read(ctx, key); err != nil {
			return nil, fmt.Errorf("read client key: %w", err)
		}
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("client certificate %s: %w", cert, err)
	}
	config.Certificates = []tls.Certificate{pair}
	return config, nil
}

type redisClient struct {
	redis.UniversalClient
	dsn dsn
}

func (c redisClient) put(ctx context.Context, key, value string) error {
	return c.Set(ctx, key, value, probeTTL).Err()
}

// get asks for one key at a time: in a cluster they lie on different servers.
func (c redisClient) get(ctx context.Context, keys []string) (map[string]string, error) {
	found := map[string]string{}
	pipe := c.Pipeline()
	replies := make([]*redis.StringCmd, len(keys))
	for i, k := range keys {
		replies[i] = pipe.Get(ctx, k)
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return nil, err
	}
	for i, r := range replies {
		if v, err := r.Result(); err == nil {
			found[keys[i]] = v
		} else if !errors.Is(err, redis.Nil) {
			return nil, err
		}
	}
	return found, nil
}

func (c redisClient) remove(ctx context.Context, key string) error { return c.Del(ctx, key).Err() }

func (c redisClient) describe(ctx context.Context) (string, error) {
	if c.dsn.password != "" && c.dsn.user == "" {
		// go-redis shrugs off a server that has no password; PHP's extension does not.
		if err := c.Do(ctx, "auth", c.dsn.password).Err(); err != nil {
			return "", err
		}
	}
	info, err := c.Info(ctx, "server").Result()
	if err != nil {
		return "redis", nil //nolint:nilerr // a user that may not call INFO can still use the cache
	}
	for line := range strings.Lines(info) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "redis_version:"); ok {
			return "redis " + v, nil
		}
	}
	return "redis", nil
}

func (c redisClient) close() { _ = c.Close() }

// memcachedClient has a client for each server, since a key belongs to one of several and all are to be looked at.
type memcachedClient struct{ servers []*memcache.Client }

func (c *memcachedClient) put(_ context.Context, key, value string) error {
	for _, s := range c.servers {
		if err := s.Set(&memcache.Item{Key: key, Value: []byte(value), Expiration: int32(probeTTL / time.Second)}); err != nil {
			return err
		}
	}
	return nil
}

func (c *memcachedClient) get(_ context.Context, keys []string) (map[string]string, error) {
	found := map[string]string{}
	for i, s := range c.servers {
		items, err := s.GetMulti(keys)
		if err != nil {
			return nil, err
		}
		for _, k := range keys {
			item, ok := items[k]
			switch {
			case !ok:
				delete(found, k)
			case i == 0:
				found[k] = string(item.Value)
			}
		}
	}
	return found, nil
}

func (c *memcachedClient) remove(_ context.Context, key string) error {
	for _, s := range c.servers {
		if err := s.Delete(key); err != nil && !errors.Is(err, memcache.ErrCacheMiss) {
			return err
		}
	}
	return nil
}

func (c *memcachedClient) describe(context.Context) (string, error) { return "memcached", nil }

func (c *memcachedClient) close() {
	for _, s := range c.servers {
		_ = s.Close()
	}
}
