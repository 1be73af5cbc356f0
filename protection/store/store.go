// Package store keeps projects, tokens, submissions and rules in a database with mosparo's own schema: SQLite for an
// installation that stands alone, MySQL or MariaDB beside PHP nodes. It encrypts and decrypts columns, speaks PHP's value
// formats, retries what a cluster refuses for the moment, and moves to another server when one fails.
//
// Errors are protection.Error. Callers branch on CodeNotFound, CodeUsed, CodeConflict, CodeInvalid, CodeKey, CodeSchema
// and CodeUnavailable. A *Store is safe for concurrent use.
package store

import (
	"context"
	"crypto/tls"
	"database/sql"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/crypt"
)

// Options say where the database is and how to use it.
type Options struct {
	Path    string   // the file of a SQLite database; empty for MySQL
	Servers []string // MySQL or MariaDB: host:port or a socket's path, in the order of preference

	User, Password, Database string
	TLS                      *tls.Config // nil: none

	Key      crypt.Key
	Location *time.Location // PHP's default time zone, in which times are stored; nil is UTC

	MaxConns         int           // per server, 0 is 16
	StatementTimeout time.Duration // of one operation on one server, 0 is 5 s
	RetryFor         time.Duration // how long to look for a server that takes the operation, 0 is 10 s
	SlowQuery        time.Duration // operations that take longer are logged, 0 is 500 ms
	Log              *slog.Logger  // nil: nothing is logged

	// Observe, if set, is told about every finished operation. It must be quick and safe for concurrent use.
	Observe func(op string, took time.Duration, err error)

	now func() time.Time // in tests
}

func (o *Options) defaults() {
	if o.Location == nil {
		o.Location = time.UTC
	}
	if o.MaxConns == 0 {
		o.MaxConns = 16
	}
	if o.StatementTimeout == 0 {
		o.StatementTimeout = 5 * time.Second
	}
	if o.RetryFor == 0 {
		o.RetryFor = 10 * time.Second
	}
	if o.SlowQuery == 0 {
		o.SlowQuery = 500 * time.Millisecond
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.now == nil {
		o.now = time.Now
	}
}

type dialect int

const (
	dialectSQLite dialect = iota
	dialectMySQL
)

// querier runs statements on one connection or transaction. Statements are constant texts and are prepared once.
type querier interface {
	exec(ctx context.Context, query string, args ...any) (sql.Result, error)
	query(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	row(ctx context.Context, query string, args ...any) rower
}

type findToken func(context.Context, querier) (id int64, err error)

// backend is a dialect with its connections. Each method retries what may be retried and bounds it in time; f may
// therefore run several times and must not have effects of its own before it returns nil.
type backend interface {
	dialect() dialect
	// read runs f outside of a transaction.
	read(ctx context.Context, op string, f func(context.Context, querier) error) error
	// find is read for a few rows that are found by an index.
	find(ctx context.Context, op string, f func(context.Context, querier) error) error
	// write runs f in one transaction.
	write(ctx context.Context, op string, f func(context.Context, querier) error) error
	// auto runs f, which may write, each statement being its own transaction or all of them one.
	auto(ctx context.Context, op string, f func(context.Context, querier) error) error
	// createToken inserts a token; find tells the id of one that was inserted before the connection was lost.
	createToken(ctx context.Context, row []any, find findToken) (int64, error)
	// createSubmission writes sub, its detection, the token's last submission and the counter of spam, as one transaction.
	// For a token that was recalled and has changed it is errStale.
	createSubmission(ctx context.Context, r submissionRow) (int64, error)
	// verify marks a token and its submission as verified and counts, as one transaction; it is false if the token was
	// verified before or, if it was recalled, has changed.
	verify(ctx context.Context, r verifyRow) (bool, error)
	// recalls reports whether createSubmission and verify can tell that a recalled token has changed.
	recalls() bool
	close() error
}

// Store is an open database.
type Store struct {
	o      Options
	b      backend
	rules  ruleWatch
	memory memory

	withPartial, withSubmission *lookup

	closing sync.Once
	closed  error
}

// Open opens the database and checks its schema. An empty one is given the schema of mosparo 1.5.4 and marked so that PHP
// accepts it; one with any other schema is never altered: CodeSchema. CodeUnavailable means that no server could be
// reached or written to within RetryFor.
func Open(ctx context.Context, o Options) (*Store, error) {
	o.defaults()
	s := &Store{o: o}
	if o.Key.IsZero() {
		return nil, protection.Errorf(protection.CodeInvalid, "open database: there is no encryption key")
	}
	var err error
	if o.Path != "" {
		s.b, err = openSQLite(ctx, s.o)
	} else {
		s.b, err = openMySQL(ctx, s.o)
	}
	if err != nil {
		return nil, err
	}
	s.lookups()
	return s, nil
}

// Close ends all connections, once. Operations that run meanwhile may fail.
func (s *Store) Close() error {
	s.closing.Do(func() { s.closed = s.b.close() })
	return s.closed
}

// exec runs one statement that is its own transaction, and gives the number of rows it changed.
func (s *Store) exec(ctx context.Context, op, query string, args ...any) (n int64, err error) {
	err = s.b.auto(ctx, op, func(ctx context.Context, q querier) error {
		n, err = affected(q.exec(ctx, query, args...))
		return err
	})
	return n, err
}

func affected(r sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// Location is the time zone of the stored times.
func (s *Store) Location() *time.Location { return s.o.Location }

// Now is the current time in the store's location and with its resolution of a second.
func (s *Store) Now() time.Time { return s.o.now().In(s.o.Location).Truncate(time.Second) }

// Ping checks that the database answers. It writes nothing: a single server that has become read-only still answers.
func (s *Store) Ping(ctx context.Context) error {
	return s.b.read(asProbe(ctx), "ping", func(ctx context.Context, q querier) error {
		var one int
		return q.row(ctx, "SELECT 1").Scan(&one)
	})
}

// CheckKey checks that the encryption key opens what the database holds, on the private key of one project. With no
// project there is nothing to check.
func (s *Store) CheckKey(ctx context.Context) error {
	return s.b.read(asProbe(ctx), "check key", func(ctx context.Context, q querier) error {
		var stored string
		err := q.row(ctx, "SELECT `private_key` FROM `project` WHERE `private_key` <> '' ORDER BY `id` LIMIT 1").Scan(&stored)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err == nil {
			_, err = s.o.Key.Decrypt(stored)
		}
		return err
	})
}

// SchemaCheck compares the schema with the known one again, as Open did.
func (s *Store) SchemaCheck(ctx context.Context) error {
	return s.b.read(ctx, "check schema", func(ctx context.Context, q querier) error {
		f, err := inspect(ctx, q, s.b.dialect())
		if err != nil {
			return err
		}
		empty, err := f.verdict(s.b.dialect())
		if err == nil && empty {
			err = schemaError("it is empty")
		}
		return err
	})
}
