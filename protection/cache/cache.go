// Package cache is the cache that all nodes of an installation share: the schedule and lock of the cleanup, and the CSS of
// the projects. It reads and writes mosparo's items in mosparo's place and form, so that PHP and Go honour each other's.
//
// Values are written in PHP's serialize form, which every PHP process reads, and read in that and in igbinary's. A value
// that cannot be read counts as missing. Nothing here is needed to serve a request: callers go on without it.
package cache

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/php"
)

// The keys of mosparo's items.
const (
	KeyNextCleanup       = "mosparoNextCleanup"       // DateTime: the next regular cleanup
	KeyAdditionalCleanup = "mosparoAdditionalCleanup" // DateTime or null: the follow-up of one that did not finish
	KeyCleanupStarted    = "mosparoCleanupStartedAt"  // DateTime or null: the lock, valid for five minutes
)

// KeyDesignContent is the key of a project's prepared CSS, a string.
func KeyDesignContent(uuid string) string { return "design_" + uuid + "_content" }

// KeyDesignHash is the key of the hash that belongs to the prepared CSS, a string of 64 hex digits.
func KeyDesignHash(uuid string) string { return "design_" + uuid + "_hash" }

// Cache is a shared cache. Implementations are safe for concurrent use, bound every call in time, and return errors of
// CodeUnavailable only.
type Cache interface {
	// Get is the value at key and whether there is one; a null that was stored is one.
	Get(ctx context.Context, key string) (php.Value, bool, error)
	// Set stores v. ttl is rounded up to seconds; 0 means for good.
	Set(ctx context.Context, key string, v php.Value, ttl time.Duration) error
	// Delete removes key; it is no error if it is missing.
	Delete(ctx context.Context, key string) error
	// Close ends the connections.
	Close() error
}

// timeout bounds one operation on a cache server.
const timeout = time.Second

// Options say which cache to use.
type Options struct {
	Adapter string // memory, filesystem (also the empty string), redis or memcached
	URL     string // of redis or memcached, in Symfony's form; empty for localhost
	Path    string // of filesystem; empty for PHP's default in the system's folder of temporary files
}

// Open makes a cache of the given kind. It fails for settings that cannot work, not because a server is down: that shows
// in the operations. After a failed operation further ones fail at once for a second, so that a dead server slows nobody.
func Open(o Options) (Cache, error) {
	switch o.Adapter {
	case "memory":
		return NewMemory(), nil
	case "", "filesystem":
		return NewFilesystem(o.Path), nil
	case "redis":
		c, err := newRedis(o.URL)
		if err != nil {
			return nil, err
		}
		return &guard{Cache: c}, nil
	case "memcached":
		c, err := newMemcached(o.URL)
		if err != nil {
			return nil, err
		}
		return &guard{Cache: c}, nil
	}
	return nil, protection.Errorf(protection.CodeInvalid, "cache adapter %q is not known", o.Adapter).
		WithHint("set MOSPARO_CACHE_ADAPTER to filesystem, redis or memcached")
}

// Ping checks that the cache stores: it writes, reads and removes an item of its own.
func Ping(ctx context.Context, c Cache) error {
	key := "mosparoctlProbe" + php.FormatInt(time.Now().UnixNano())
	if err := c.Set(ctx, key, php.String(key), time.Minute); err != nil {
		return err
	}
	v, _, err := c.Get(ctx, key)
	if err != nil {
		return err
	}
	if text, _ := v.Str(); text != key {
		return unavailable("probe cache", protection.Errorf(protection.CodeUnavailable, "an item that was just written is not there"))
	}
	return c.Delete(ctx, key)
}

// Time is the instant at key: the zero time if it is missing, null, or no DateTime.
func Time(ctx context.Context, c Cache, key string) (time.Time, error) {
	v, _, err := c.Get(ctx, key)
	if err != nil {
		return time.Time{}, err
	}
	t, _ := v.Time()
	return t, nil
}

// SetTime stores t as a DateTime in UTC, the zero time as null.
func SetTime(ctx context.Context, c Cache, key string, t time.Time) error {
	if t.IsZero() {
		return c.Set(ctx, key, php.Null, 0)
	}
	return c.Set(ctx, key, php.DateTime(t), 0)
}

func unavailable(op string, err error) error {
	if err == nil {
		return nil
	}
	return &protection.Error{Code: protection.CodeUnavailable, Op: op, Err: err}
}

// seconds is ttl in whole seconds, rounded up.
func seconds(ttl time.Duration) int64 { return int64((ttl + time.Second - 1) / time.Second) }

// decode reads a stored value; one that cannot be read is a miss.
func decode(raw string) (php.Value, bool) {
	v, err := php.Unmarshal(raw)
	return v, err == nil
}

// restAfterFailure is how long a guard does not try a cache that just failed.
const restAfterFailure = time.Second

// guard bounds each operation in time, and fails at once for a while after one failed.
type guard struct {
	Cache
	failed atomic.Int64 // UnixNano of the last failure, 0 after a success
}

var errResting = protection.Errorf(protection.CodeUnavailable, "the cache failed a moment ago")

func (g *guard) do(ctx context.Context, f func(context.Context) error) error {
	if at := g.failed.Load(); at != 0 && time.Since(time.Unix(0, at)) < restAfterFailure {
		return errResting
	}
	bounded, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err := f(bounded)
	switch {
	case err == nil:
		g.failed.Store(0)
	case ctx.Err() == nil: // not because the caller gave up
		g.failed.Store(time.Now().UnixNano())
	}
	return err
}

func (g *guard) Get(ctx context.Context, key string) (v php.Value, ok bool, err error) {
	err = g.do(ctx, func(ctx context.Context) (err error) {
		v, ok, err = g.Cache.Get(ctx, key)
		return err
	})
	return v, ok, err
}

func (g *guard) Set(ctx context.Context, key string, v php.Value, ttl time.Duration) error {
	return g.do(ctx, func(ctx context.Context) error { return g.Cache.Set(ctx, key, v, ttl) })
}

func (g *guard) Delete(ctx context.Context, key string) error {
	return g.do(ctx, func(ctx context.Context) error { return g.Cache.Delete(ctx, key) })
}
