package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"modernc.org/sqlite"

	"github.com/mosparoctl/mosparoctl/protection"
)

// sqliteDB is a SQLite file in WAL mode: many readers, and one writer that takes the waiting operations together. A commit
// is flushed to disk before its operations return.
type sqliteDB struct {
	o      Options
	reads  *sql.DB
	reader *prepared
	writes *sql.DB
	conn   *sql.Conn // the writer, used only by its group
	writer *prepared
	group  *group
}

func openSQLite(ctx context.Context, o Options) (backend, error) {
	if err := os.MkdirAll(filepath.Dir(o.Path), 0o700); err != nil {
		return nil, protection.Errorf(protection.CodeInvalid, "open database: %w", err)
	}
	if f, err := os.OpenFile(o.Path, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, protection.Errorf(protection.CodeInvalid, "open database: %w", err)
	} else if err := f.Close(); err != nil {
		return nil, protection.Errorf(protection.CodeInvalid, "open database: %w", err)
	}
	db := &sqliteDB{o: o}
	if err := db.connect(ctx); err != nil {
		_ = db.close()
		return nil, err
	}
	return db, nil
}

func (db *sqliteDB) dsn(pragmas ...string) string {
	q := url.Values{"_pragma": append([]string{
		fmt.Sprintf("busy_timeout(%d)", db.o.StatementTimeout.Milliseconds()), "foreign_keys(1)", "synchronous(FULL)", "temp_store(MEMORY)",
	}, pragmas...)}
	return "file:" + (&url.URL{Path: db.o.Path}).EscapedPath() + "?" + q.Encode()
}

func (db *sqliteDB) connect(ctx context.Context) (err error) {
	// Sizes of caches are in KiB, per connection. Those of the readers are worth nothing after the next commit.
	if db.writes, err = sql.Open("sqlite", db.dsn("journal_mode(WAL)", "cache_size(-4000)")); err != nil {
		return wrap("open database", err)
	}
	db.writes.SetMaxOpenConns(1)
	if db.conn, err = db.writes.Conn(ctx); err != nil {
		return wrap("open database", err)
	}
	db.writer = newPrepared(db.conn)
	db.group = newGroup(db.writer)
	if err := db.setUp(ctx); err != nil {
		return wrap("open database", err)
	}
	if db.reads, err = sql.Open("sqlite", db.dsn("query_only(1)", "cache_size(-1000)")); err != nil {
		return wrap("open database", err)
	}
	n := min(db.o.MaxConns, 8)
	db.reads.SetMaxOpenConns(n)
	db.reads.SetMaxIdleConns(n)
	db.reader = newPrepared(db.reads)
	return nil
}

// setUp gives an empty file the schema and refuses an unknown one.
func (db *sqliteDB) setUp(ctx context.Context) error {
	q := direct{db.conn}
	if _, err := q.exec(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	err := func() error {
		f, err := inspect(ctx, q, dialectSQLite)
		if err != nil {
			return err
		}
		if empty, err := f.verdict(dialectSQLite); err != nil || !empty {
			return err
		}
		return createSchema(ctx, q, dialectSQLite, db.o)
	}()
	if err != nil {
		_, _ = q.exec(ctx, "ROLLBACK")
		return err
	}
	_, err = q.exec(ctx, "COMMIT")
	return err
}

// createSchema makes all tables and records the migrations last, so that a schema that was left half made is never taken
// for a whole one.
func createSchema(ctx context.Context, q querier, d dialect, o Options) error {
	var statements []string
	for _, t := range schemaTables() {
		statements = append(statements, t.ddl(d)...)
	}
	if d == dialectSQLite {
		statements = append(statements, changeTriggers()...)
	}
	for _, s := range statements {
		if _, err := q.exec(ctx, s); err != nil {
			return fmt.Errorf("create schema: %w", err)
		}
	}
	now := o.now().In(o.Location).Format(datetimeFormat)
	var rows []string
	var args []any
	for _, m := range migrations(d) {
		rows = append(rows, "(?, ?, 0)")
		args = append(args, m, now)
	}
	query := "INSERT INTO doctrine_migration_versions (version, executed_at, execution_time) VALUES " + strings.Join(rows, ", ")
	if _, err := q.exec(ctx, query, args...); err != nil {
		return fmt.Errorf("record migrations: %w", err)
	}
	return nil
}

func (db *sqliteDB) dialect() dialect { return dialectSQLite }

func (db *sqliteDB) read(ctx context.Context, op string, f func(context.Context, querier) error) error {
	return db.o.observe(op, func() error {
		ctx, cancel := context.WithTimeout(ctx, db.o.timeout(ctx))
		defer cancel()
		return f(ctx, db.reader)
	})
}

func (db *sqliteDB) write(ctx context.Context, op string, f func(context.Context, querier) error) error {
	return db.o.observe(op, func() error { return db.group.write(ctx, f) })
}

// find asks the writer, whose pages are in memory: any other connection reads them from the file after each commit.
func (db *sqliteDB) find(ctx context.Context, op string, f func(context.Context, querier) error) error {
	return db.o.observe(op, func() error { return db.group.read(ctx, f) })
}

func (db *sqliteDB) auto(ctx context.Context, op string, f func(context.Context, querier) error) error {
	return db.write(ctx, op, f)
}

func (db *sqliteDB) createSubmission(ctx context.Context, r submissionRow) (n int64, err error) {
	err = db.write(ctx, "create submission", func(ctx context.Context, q querier) (err error) {
		n, err = r.insert(ctx, q)
		return err
	})
	return n, err
}

func (db *sqliteDB) verify(ctx context.Context, r verifyRow) (first bool, err error) {
	err = db.write(ctx, "verify submission", func(ctx context.Context, q querier) (err error) {
		first, err = r.update(ctx, q)
		return err
	})
	return first, err
}

func (db *sqliteDB) recalls() bool { return true }

func (db *sqliteDB) close() error {
	if db.group != nil {
		db.group.close()
	}
	var errs []error
	if db.reads != nil {
		errs = append(errs, db.reads.Close())
	}
	if db.conn != nil {
		errs = append(errs, db.conn.Close())
	}
	if db.writes != nil {
		errs = append(errs, db.writes.Close())
	}
	return errors.Join(errs...)
}

// SQLite's result codes that matter here.
const (
	sqliteBusy       = 5
	sqliteLocked     = 6
	sqliteConstraint = 19
)

func sqliteCode(err error) (protection.Code, bool) {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return "", false
	}
	switch e.Code() & 0xff {
	case sqliteBusy, sqliteLocked:
		return protection.CodeUnavailable, true
	case sqliteConstraint:
		return protection.CodeConflict, true
	}
	return protection.CodeInternal, true
}

// observe times an operation, logs a slow one, and gives its error a class.
func (o *Options) observe(op string, f func() error) error {
	start := time.Now()
	err := wrap(op, f())
	took := time.Since(start)
	if took >= o.SlowQuery {
		o.Log.Warn("slow database operation", "op", op, "took", took.Round(time.Millisecond), "failed", err != nil)
	}
	if o.Observe != nil {
		o.Observe(op, took, err)
	}
	return err
}

// wrap gives err a class and names the operation.
func wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	var e *protection.Error
	if errors.As(err, &e) {
		if e.Op != "" {
			return err
		}
		return &protection.Error{Code: e.Code, Op: op, Hint: e.Hint, Err: err}
	}
	code, ok := sqliteCode(err)
	if !ok {
		code, ok = mysqlCode(err)
	}
	switch {
	case ok:
	case errors.Is(err, sql.ErrNoRows):
		code = protection.CodeNotFound
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), errors.Is(err, sql.ErrConnDone):
		code = protection.CodeUnavailable
	default:
		code = protection.CodeInternal
	}
	return &protection.Error{Code: code, Op: op, Err: err}
}
