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
	"sync"
	"sync/atomic"
	"time"

	"modernc.org/sqlite"

	"github.com/mosparoctl/mosparoctl/protection"
)

// groupLimit is how many waiting operations share one transaction, and so one flush to disk.
const groupLimit = 128

// sqliteDB is a SQLite file in WAL mode: many readers, and one writer that takes the waiting operations together, each in a
// savepoint of its own. A commit is flushed to disk before its operations return.
type sqliteDB struct {
	o      Options
	reads  *sql.DB
	reader *prepared
	writes *sql.DB
	conn   *sql.Conn // the writer, used only by drain
	writer *prepared

	mu       sync.Mutex
	idle     sync.Cond // signalled when draining ends
	queue    []*job
	draining bool
	closed   bool
}

// The states of a job.
const (
	jobWaiting int32 = iota
	jobStarted
	jobGivenUp
)

type job struct {
	ctx   context.Context
	f     func(context.Context, querier) error
	state atomic.Int32
	err   error
	done  chan struct{}
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
	db.idle.L = &db.mu
	if err := db.connect(ctx); err != nil {
		_ = db.close()
		return nil, err
	}
	return db, nil
}

func (db *sqliteDB) dsn(pragmas ...string) string {
	q := url.Values{"_pragma": append([]string{
		fmt.Sprintf("busy_timeout(%d)", db.o.StatementTimeout.Milliseconds()), "foreign_keys(1)", "synchronous(FULL)", "temp_store(MEMORY)",
		"cache_size(-16000)", // KiB per connection
	}, pragmas...)}
	return "file:" + (&url.URL{Path: db.o.Path}).EscapedPath() + "?" + q.Encode()
}

func (db *sqliteDB) connect(ctx context.Context) (err error) {
	if db.writes, err = sql.Open("sqlite", db.dsn("journal_mode(WAL)")); err != nil {
		return wrap("open database", err)
	}
	db.writes.SetMaxOpenConns(1)
	if db.conn, err = db.writes.Conn(ctx); err != nil {
		return wrap("open database", err)
	}
	db.writer = newPrepared(db.conn)
	if err := db.setUp(ctx); err != nil {
		return wrap("open database", err)
	}
	if db.reads, err = sql.Open("sqlite", db.dsn("query_only(1)")); err != nil {
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
	return db.o.observe(op, func() error { return db.submit(ctx, f) })
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

// submit queues f and waits until it was committed or failed. Giving up is possible until it starts.
func (db *sqliteDB) submit(ctx context.Context, f func(context.Context, querier) error) error {
	j := &job{ctx: ctx, f: f, done: make(chan struct{})}
	db.mu.Lock()
	if db.closed {
		db.mu.Unlock()
		return protection.Errorf(protection.CodeUnavailable, "the database was closed")
	}
	db.queue = append(db.queue, j)
	if !db.draining {
		db.draining = true
		go db.drain()
	}
	db.mu.Unlock()
	select {
	case <-j.done:
		return j.err
	case <-ctx.Done():
		if j.state.CompareAndSwap(jobWaiting, jobGivenUp) {
			return ctx.Err()
		}
		<-j.done
		return j.err
	}
}

// drain runs groups of jobs until none waits.
func (db *sqliteDB) drain() {
	for {
		db.mu.Lock()
		n := min(len(db.queue), groupLimit)
		group := db.queue[:n:n]
		db.queue = db.queue[n:]
		if n == 0 {
			db.queue, db.draining = nil, false
			db.idle.Broadcast()
			db.mu.Unlock()
			return
		}
		db.mu.Unlock()
		db.group(group)
	}
}

// group runs jobs in one transaction. Statements of the writer are short and not cancelled half-way.
func (db *sqliteDB) group(jobs []*job) {
	ctx := context.Background()
	started := jobs[:0]
	for _, j := range jobs {
		if j.state.CompareAndSwap(jobWaiting, jobStarted) {
			started = append(started, j)
		}
	}
	err := db.transact(ctx, started)
	for _, j := range started {
		if err != nil && j.err == nil {
			j.err = err
		}
		close(j.done)
	}
}

func (db *sqliteDB) transact(ctx context.Context, jobs []*job) error {
	if len(jobs) == 0 {
		return nil
	}
	q := db.writer
	if _, err := q.exec(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	alone := len(jobs) == 1
	for _, j := range jobs {
		if err := db.one(ctx, j, alone); err != nil {
			_, _ = q.exec(ctx, "ROLLBACK")
			return err
		}
	}
	if alone && jobs[0].err != nil {
		_, err := q.exec(ctx, "ROLLBACK")
		return err
	}
	if _, err := q.exec(ctx, "COMMIT"); err != nil {
		_, _ = q.exec(ctx, "ROLLBACK")
		return err
	}
	return nil
}

// one runs a job inside the group's transaction. It fails only if the whole transaction is lost.
func (db *sqliteDB) one(ctx context.Context, j *job, alone bool) error {
	if alone {
		j.err = j.f(ctx, db.writer)
		return nil
	}
	if _, err := db.writer.exec(ctx, "SAVEPOINT job"); err != nil {
		return err
	}
	if j.err = j.f(ctx, db.writer); j.err != nil {
		if _, err := db.writer.exec(ctx, "ROLLBACK TO job"); err != nil {
			return err
		}
	}
	_, err := db.writer.exec(ctx, "RELEASE job")
	return err
}

func (db *sqliteDB) close() error {
	db.mu.Lock()
	db.closed = true
	for db.draining {
		db.idle.Wait()
	}
	db.mu.Unlock()
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
