//go:build bench

package bench

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/mosparoctl/mosparoctl/protection/cache"
	"github.com/mosparoctl/mosparoctl/protection/cleanup"
	"github.com/mosparoctl/mosparoctl/protection/crypt"
	core "github.com/mosparoctl/mosparoctl/protection/server"
	"github.com/mosparoctl/mosparoctl/protection/store"
)

// BenchmarkFlow is a whole flow on SQLite with client and server in one process, for profiles.
func BenchmarkFlow(b *testing.B) {
	key, _ := crypt.GenerateKey()
	o := store.Options{Path: filepath.Join(b.TempDir(), "b.sqlite"), Key: key}
	s := &subject{}
	fill(b, o, s, 1000)
	server, err := core.Open(b.Context(), core.Options{Listen: "127.0.0.1:0", Store: o, Cache: cache.Options{Adapter: "memory"}, Settings: core.Settings{Cleanup: cleanup.Defaults()}})
	if err != nil {
		b.Fatal(err)
	}
	defer server.Close(context.Background())
	s.base = "http://" + server.Addr()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		c := newClient(s)
		for n := 1; pb.Next(); n += 8 {
			if err := c.flow(context.Background(), n, func(string, time.Duration) {}); err != nil {
				b.Error(err)
			}
		}
	})
}
