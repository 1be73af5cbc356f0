package cache

import (
	"context"
	"crypto/md5" //nolint:gosec // what ketama is defined with
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/bradfitz/gomemcache/memcache"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/php"
)

// versionKey holds the namespace version that stands before every other key.
const versionKey = ":"

// memcachedCache is one or several memcached servers. The version is read anew for each operation: it changes when PHP
// clears its cache and when the server loses the item.
type memcachedCache struct {
	client *memcache.Client
	prefix string
}

func newMemcached(dsn string) (Cache, error) {
	d, err := parseMemcached(dsn)
	if err != nil {
		return nil, protection.Errorf(protection.CodeInvalid, "MEMCACHED_URL: %w", err)
	}
	c := memcache.NewFromSelector(newRing(d.servers))
	c.Timeout, c.MaxIdleConns = timeout, 8
	return &memcachedCache{client: c, prefix: d.prefix}, nil
}

// raw is the marshalled value at a physical key, empty if there is none.
func (m *memcachedCache) raw(key string) (string, error) {
	item, err := m.client.Get(m.prefix + key)
	if errors.Is(err, memcache.ErrCacheMiss) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	raw, err := uncompress(item.Flags, item.Value)
	if err != nil {
		return "", nil //nolint:nilerr // a value that cannot be read is a miss
	}
	return raw, nil
}

// version reads the namespace version and makes one if there is none.
func (m *memcachedCache) version() (string, error) {
	raw, err := m.raw(versionKey)
	if err != nil {
		return "", err
	}
	if v, ok := decode(raw); ok {
		if version, ok := v.Str(); ok && version != "" {
			return version, nil
		}
	}
	var now [4]byte
	binary.LittleEndian.PutUint32(now[:], uint32(time.Now().Unix()))
	version := strings.ReplaceAll(base64.StdEncoding.EncodeToString(now[:]), "/", "_")[:5] + ":"
	item := &memcache.Item{Key: m.prefix + versionKey, Value: []byte(php.Serialize(php.String(version)))}
	if raw != "" { // there, but no version: PHP would replace it too
		return version, m.client.Set(item)
	}
	if err := m.client.Add(item); errors.Is(err, memcache.ErrNotStored) { // another node was faster
		return m.version()
	} else if err != nil {
		return "", err
	}
	return version, nil
}

func (m *memcachedCache) Get(_ context.Context, key string) (php.Value, bool, error) {
	version, err := m.version()
	if err != nil {
		return php.Null, false, unavailable("read memcached", err)
	}
	raw, err := m.raw(version + key)
	if err != nil {
		return php.Null, false, unavailable("read memcached", err)
	}
	v, ok := decode(raw)
	return v, ok, nil
}

// maxRelative is the longest time that memcached takes as relative to now.
const maxRelative = 30 * 24 * 3600

func (m *memcachedCache) Set(_ context.Context, key string, v php.Value, ttl time.Duration) error {
	version, err := m.version()
	if err != nil {
		return unavailable("write memcached", err)
	}
	expires := seconds(ttl)
	if expires > maxRelative {
		expires += time.Now().Unix()
	}
	return unavailable("write memcached", m.client.Set(&memcache.Item{Key: m.prefix + version + key, Value: []byte(php.Serialize(v)),
		Expiration: int32(min(expires, math.MaxInt32))}))
}

func (m *memcachedCache) Delete(_ context.Context, key string) error {
	version, err := m.version()
	if err == nil {
		err = m.client.Delete(m.prefix + version + key)
	}
	if errors.Is(err, memcache.ErrCacheMiss) {
		return nil
	}
	return unavailable("delete from memcached", err)
}

func (m *memcachedCache) Close() error { return m.client.Close() }

// ring places keys on servers as libmemcached does in its ketama-compatible, weighted mode, so that PHP and this program
// look for an item on the same server.
type ring struct {
	servers []net.Addr
	points  []point
}

type point struct {
	hash   uint32
	server int
}

// pointsPerServer is how many points a server of average weight has.
const pointsPerServer = 160

func newRing(servers []memcachedServer) *ring {
	r := &ring{}
	total := 0
	for _, s := range servers {
		total += max(s.weight, 1)
	}
	for i, s := range servers {
		name := s.host
		if s.port != 0 {
			r.servers = append(r.servers, address{"tcp", net.JoinHostPort(s.host, strconv.Itoa(s.port))})
			if s.port != 11211 {
				name += ":" + strconv.Itoa(s.port)
			}
		} else {
			r.servers = append(r.servers, address{"unix", s.host})
			name += ":0"
		}
		share := float32(max(s.weight, 1)) / float32(total)
		hashes := int(math.Floor(float64(share*pointsPerServer/4*float32(len(servers)) + 0.0000000001)))
		for h := range hashes {
			sum := md5.Sum([]byte(fmt.Sprintf("%s-%d", name, h))) //nolint:gosec
			for j := range 4 {
				r.points = append(r.points, point{binary.LittleEndian.Uint32(sum[4*j:]), i})
			}
		}
	}
	slices.SortStableFunc(r.points, func(a, b point) int { return int(int64(a.hash) - int64(b.hash)) })
	return r
}

// PickServer is the server that holds key.
func (r *ring) PickServer(key string) (net.Addr, error) {
	if len(r.servers) == 1 {
		return r.servers[0], nil
	}
	sum := md5.Sum([]byte(key)) //nolint:gosec
	hash := binary.LittleEndian.Uint32(sum[:])
	i := sort.Search(len(r.points), func(i int) bool { return r.points[i].hash >= hash })
	if i == len(r.points) {
		i = 0
	}
	return r.servers[r.points[i].server], nil
}

// Each calls f for every server.
func (r *ring) Each(f func(net.Addr) error) error {
	for _, s := range r.servers {
		if err := f(s); err != nil {
			return err
		}
	}
	return nil
}

// address is resolved each time it is dialled.
type address struct{ network, addr string }

func (a address) Network() string { return a.network }
func (a address) String() string  { return a.addr }
