package cache

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/php"
)

// redisCache is a redis server, a sentinel group or a cluster.
type redisCache struct {
	client redis.UniversalClient
}

func newRedis(dsn string) (Cache, error) {
	d, err := parseRedis(dsn)
	if err != nil {
		return nil, protection.Errorf(protection.CodeInvalid, "REDIS_URL: %w", err)
	}
	o := &redis.UniversalOptions{
		Addrs: d.addrs, DB: d.db, Username: d.user, Password: d.password, TLSConfig: d.tls, MasterName: d.sentinel, SentinelPassword: d.sentinelPassword,
		DialTimeout: timeout, ReadTimeout: timeout, WriteTimeout: timeout, MaxRetries: 1, PoolSize: 8, ContextTimeoutEnabled: true,
		DisableIdentity: true, IsClusterMode: d.cluster,
	}
	switch {
	case d.sentinel != "":
		return &redisCache{redis.NewFailoverClient(o.Failover())}, nil
	case d.cluster:
		return &redisCache{redis.NewClusterClient(o.Cluster())}, nil
	}
	single := o.Simple()
	single.Network = d.network
	return &redisCache{redis.NewClient(single)}, nil
}

func (r *redisCache) Get(ctx context.Context, key string) (php.Value, bool, error) {
	raw, err := r.client.Get(ctx, key).Result()
	if errors.Is(err, redis.Nil) {
		return php.Null, false, nil
	}
	if err != nil {
		return php.Null, false, unavailable("read redis", err)
	}
	if raw == "" || raw == "0" { // PHP takes these for missing
		return php.Null, false, nil
	}
	v, ok := decode(raw)
	return v, ok, nil
}

func (r *redisCache) Set(ctx context.Context, key string, v php.Value, ttl time.Duration) error {
	return unavailable("write redis", r.client.Set(ctx, key, php.Serialize(v), time.Duration(seconds(ttl))*time.Second).Err())
}

func (r *redisCache) Delete(ctx context.Context, key string) error {
	return unavailable("delete from redis", r.client.Unlink(ctx, key).Err())
}

func (r *redisCache) Close() error { return r.client.Close() }
