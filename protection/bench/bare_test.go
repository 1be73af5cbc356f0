//go:build bench

package bench

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	_ "modernc.org/sqlite" // the driver of the bare loop

	"github.com/mosparoctl/mosparoctl/internal/lab/server"
	"github.com/mosparoctl/mosparoctl/protection/sign"
)

// bare is a loop over the SQL statements that a flow cannot do without, on tables of the same columns and indexes, without
// HTTP, rules, encryption and signatures.
type bare struct {
	kind    string
	db      *sql.DB
	mariadb int // process id, 0 with SQLite
}

func newBare(t *testing.T, kind string, m *server.MariaDB) *bare {
	t.Helper()
	b := &bare{kind: kind}
	driver, dsn := "sqlite", "file:"+filepath.Join(t.TempDir(), "bare.sqlite")
	if kind == "mariadb" {
		driver, dsn, b.mariadb = "mysql", m.DSN(m.Database(t)), m.Process.PID()
	}
	var err error
	if b.db, err = sql.Open(driver, dsn); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.db.Close() })
	b.schema(t, b.db, driver)
	return b
}

// load runs flows with so many clients for a while. The loop's own CPU time is that of this process, which does nothing else
// meanwhile.
func (b *bare) load(t *testing.T, clients int, d time.Duration) *result {
	t.Helper()
	var flows atomic.Int64
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	cpu := func() (used [2]time.Duration) {
		used[0] = processorTime(t, os.Getpid())
		if b.mariadb != 0 {
			used[1] = processorTime(t, b.mariadb)
		}
		return used
	}
	before, begun := cpu(), time.Now()
	var group sync.WaitGroup
	for range clients {
		group.Go(func() {
			for ctx.Err() == nil {
				if err := bareFlow(context.WithoutCancel(ctx), b.db); err != nil {
					t.Error(err)
					return
				}
				flows.Add(1)
			}
		})
	}
	group.Wait()
	after := cpu()
	return &result{flows: flows.Load(), took: time.Since(begun), cpu: [2]time.Duration{after[0] - before[0], after[1] - before[1]},
		latency: map[string][]time.Duration{}}
}

func (b *bare) schema(t *testing.T, db *sql.DB, driver string) {
	t.Helper()
	key, text := "INTEGER PRIMARY KEY AUTO_INCREMENT", "LONGTEXT"
	if driver == "sqlite" {
		key, text = "INTEGER PRIMARY KEY AUTOINCREMENT", "TEXT"
		db.SetMaxOpenConns(1) // SQLite has one writer
		for _, pragma := range []string{"journal_mode=WAL", "synchronous=FULL"} {
			if _, err := db.ExecContext(t.Context(), "PRAGMA "+pragma); err != nil {
				t.Fatal(err)
			}
		}
	} else {
		db.SetMaxOpenConns(16)
		db.SetMaxIdleConns(16)
	}
	for _, s := range []string{
		"CREATE TABLE token (id KEY, ip VARCHAR(128), title TEXT, url TEXT, token VARCHAR(64), created DATETIME, verified DATETIME NULL, last INTEGER NULL)",
		"CREATE INDEX token_token ON token (token)",
		"CREATE INDEX token_ip ON token (ip, created)",
		"CREATE TABLE submission (id KEY, token INTEGER, validation VARCHAR(64), data TEXT, signature VARCHAR(64), submitted DATETIME, valid INTEGER NULL, fields TEXT NULL)",
		"CREATE INDEX submission_token ON submission (token)",
		"CREATE TABLE detection (id KEY, submission INTEGER, items TEXT, rules TEXT)",
		"CREATE TABLE day (id KEY, day DATE, valid INTEGER)",
		"INSERT INTO day (day, valid) VALUES ('2026-01-01', 0)",
	} {
		if _, err := db.ExecContext(t.Context(), strings.NewReplacer("id KEY", "id "+key, " TEXT", " "+text).Replace(s)); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// bareFlow is three transactions: a token; a submission with its detection; the verification with its counter.
func bareFlow(ctx context.Context, db *sql.DB) error {
	const now = "2026-01-01 00:00:00"
	token := sign.NewToken()
	if _, err := db.ExecContext(ctx, "INSERT INTO token (ip, title, url, token, created) VALUES (?, ?, ?, ?, ?)", strings.Repeat("0", 128), "Contact",
		"https://example.org/contact", token, now); err != nil {
		return err
	}
	var id int64
	var validation sql.NullString
	find := func() error {
		return db.QueryRowContext(ctx, "SELECT t.id, s.validation FROM token t LEFT JOIN submission s ON s.id = t.last WHERE t.token = ?", token).Scan(&id, &validation)
	}
	if err := find(); err != nil {
		return err
	}
	err := within(ctx, db, func(tx *sql.Tx) error {
		r, err := tx.ExecContext(ctx, "INSERT INTO submission (token, validation, data, signature, submitted) VALUES (?, ?, ?, ?, ?)", id, token, strings.Repeat("d", 1200), token, now)
		if err != nil {
			return err
		}
		sub, err := r.LastInsertId()
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO detection (submission, items, rules) VALUES (?, '[]', '[]')", sub); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "UPDATE token SET last = ? WHERE id = ?", sub, id)
		return err
	})
	if err != nil {
		return err
	}
	if err := find(); err != nil {
		return err
	}
	return within(ctx, db, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "UPDATE token SET verified = ? WHERE id = ? AND verified IS NULL", now, id); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "UPDATE submission SET valid = 1, fields = '{}' WHERE token = ?", id); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "UPDATE day SET valid = valid + 1 WHERE day = '2026-01-01'")
		return err
	})
}

func within(ctx context.Context, db *sql.DB, f func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}
