package server

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/mosparoctl/mosparoctl/protection/cache"
	"github.com/mosparoctl/mosparoctl/protection/httpapi"
	"github.com/mosparoctl/mosparoctl/protection/store"
)

const (
	// probeFor bounds one check of the database or the cache.
	probeFor = 2 * time.Second
	// cacheEvery and schemaEvery are how often the parts are checked that a health check does not ask itself.
	cacheEvery  = 2 * time.Second
	schemaEvery = time.Minute
)

// health knows the state of what the server depends on.
type health struct {
	store    *store.Store
	cache    cache.Cache
	metrics  *metrics
	draining atomic.Bool
	warm     atomic.Bool // the rules of all projects have been compiled once

	asking singleflight.Group // the database; many balancers share an answer
	mu     sync.Mutex
	schema error
	shared error // of the cache
}

// state asks the database for a row and opens it with the key; cache and schema are as last seen by watch.
func (h *health) state(ctx context.Context) httpapi.Health {
	s := httpapi.Health{Draining: h.draining.Load(), Starting: !h.warm.Load()}
	if s.Draining || s.Starting {
		return s
	}
	_, s.Database, _ = h.asking.Do("database", func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), probeFor)
		defer cancel()
		err := h.store.CheckKey(ctx)
		h.metrics.checked("database", err)
		return nil, err
	})
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.Database == nil {
		s.Database = h.schema
	}
	s.Cache = h.shared
	return s
}

// watch looks at cache and schema until ctx ends.
func (h *health) watch(ctx context.Context) {
	caches, schemas := time.NewTicker(cacheEvery), time.NewTicker(schemaEvery)
	defer caches.Stop()
	defer schemas.Stop()
	h.checkCache(ctx)
	for {
		select {
		case <-ctx.Done():
			return
		case <-caches.C:
			h.checkCache(ctx)
		case <-schemas.C:
			h.checkSchema(ctx)
		}
	}
}

func (h *health) checkCache(ctx context.Context) {
	probe, cancel := context.WithTimeout(ctx, probeFor)
	defer cancel()
	err := cache.Ping(probe, h.cache)
	if ctx.Err() != nil {
		return
	}
	h.metrics.checked("cache", err)
	h.mu.Lock()
	h.shared = err
	h.mu.Unlock()
}

func (h *health) checkSchema(ctx context.Context) {
	err := h.store.SchemaCheck(ctx)
	if ctx.Err() != nil {
		return
	}
	h.metrics.checked("schema", err)
	h.mu.Lock()
	h.schema = err
	h.mu.Unlock()
}
