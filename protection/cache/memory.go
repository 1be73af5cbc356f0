package cache

import (
	"context"
	"sync"
	"time"

	"github.com/mosparoctl/mosparoctl/protection/php"
)

// memory is a cache for a node that stands alone.
type memory struct {
	mu    sync.Mutex
	items map[string]memoryItem
}

type memoryItem struct {
	value   php.Value
	expires time.Time // zero: never
}

// NewMemory makes an empty cache in this process.
func NewMemory() Cache { return &memory{items: map[string]memoryItem{}} }

func (m *memory) Get(_ context.Context, key string) (php.Value, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i, ok := m.items[key]
	if ok && !i.expires.IsZero() && !time.Now().Before(i.expires) {
		delete(m.items, key)
		return php.Null, false, nil
	}
	return i.value.Clone(), ok, nil
}

func (m *memory) Set(_ context.Context, key string, v php.Value, ttl time.Duration) error {
	i := memoryItem{value: v.Clone()}
	if ttl > 0 {
		i.expires = time.Now().Add(time.Duration(seconds(ttl)) * time.Second)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.items[key] = i
	return nil
}

func (m *memory) Delete(_ context.Context, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.items, key)
	return nil
}

func (m *memory) Close() error { return nil }
