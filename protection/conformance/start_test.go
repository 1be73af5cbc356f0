package conformance

import (
	"compress/gzip"
	"context"
	"database/sql"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/mosparoctl/mosparoctl/internal/lab/server"
	"github.com/mosparoctl/mosparoctl/protection/cache"
	"github.com/mosparoctl/mosparoctl/protection/cleanup"
	"github.com/mosparoctl/mosparoctl/protection/crypt"
	core "github.com/mosparoctl/mosparoctl/protection/server"
	"github.com/mosparoctl/mosparoctl/protection/store"
)

// referenceKey is the encryption key of the reference database, made for it and used nowhere else.
const referenceKey = "e32eaa7ab2b6691a14429f74da835d6817045bc77f643f77108049bdb68b38b8"

// referenceDatabase loads the reference server's database into a new one.
func referenceDatabase(t testing.TB, m *server.MariaDB) (name string, db *sql.DB) {
	t.Helper()
	name = m.Database(t)
	m.Load(t, name, unzipped(t, "reference.sql.gz"))
	return name, m.DB(t, name)
}

func unzipped(t testing.TB, name string) []byte {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// referenceOptions are those of the reference server: its database, redis, and a proxy on the loopback address.
func referenceOptions(t testing.TB, m *server.MariaDB, database, redis string) core.Options {
	t.Helper()
	key, err := crypt.ParseKey(referenceKey)
	if err != nil {
		t.Fatal(err)
	}
	clean := cleanup.Defaults()
	clean.Grace = true
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo}))
	return core.Options{
		Listen:   "127.0.0.1:0",
		Store:    store.Options{Servers: []string{m.Addr}, User: m.User, Password: m.Pass, Database: database, Key: key},
		Cache:    cache.Options{Adapter: "redis", URL: "redis://" + redis},
		Settings: core.Settings{TrustedProxies: "127.0.0.1", HealthAllow: "127.0.0.1,::1", ShareStyles: true, Cleanup: clean},
		Log:      log,
	}
}

// startServer runs a server until the test ends.
func startServer(t testing.TB, o core.Options) *core.Server {
	t.Helper()
	s, err := core.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	waitReady(t, s)
	return s
}

// waitReady waits until the server calls itself healthy.
func waitReady(t testing.TB, s *core.Server) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !s.Ready() {
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatal("the server did not become ready")
		}
	}
}
