package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/mosparoctl/mosparoctl/protection"
)

const (
	dialTimeout   = 3 * time.Second
	probeTimeout  = 2 * time.Second
	watchInterval = 2 * time.Second // between looks at whether the server in use still takes writes
	lockWait      = "3"             // seconds, innodb_lock_wait_timeout of our sessions
)

// mysqlDB is one or several MySQL or MariaDB servers. All work goes to one of them, the first in the given order that takes
// writes, until it fails or becomes read-only; then all work goes to the next that does. That fits a primary with replicas
// as well as Galera, where one writer at a time avoids lost certifications.
type mysqlDB struct {
	o       Options
	servers []*server
	current atomic.Pointer[server]

	mu      sync.Mutex // held while another server is looked for
	looked  time.Time  // when the last search ended without success
	done    chan struct{}
	watcher sync.WaitGroup

	writes gatherer[flowWrite]
}

type server struct {
	addr   string
	conns  int
	db     *sql.DB
	q      *prepared
	spare  *sql.DB     // one connection for probes and health checks, which must not wait among visitors
	galera atomic.Bool // sessions wait until what other nodes committed can be read
	mysql8 atomic.Bool // not MariaDB: sessions want table times that are not cached

	grouping atomic.Bool // flow writes may go in groups
}

func openMySQL(ctx context.Context, o Options) (backend, error) {
	if len(o.Servers) == 0 {
		return nil, protection.Errorf(protection.CodeInvalid, "open database: no server is given")
	}
	m := &mysqlDB{o: o, done: make(chan struct{})}
	m.writes.run, m.writes.limit, m.writes.patient = m.writeGroup, groupLimit, true
	for _, addr := range o.Servers {
		s, err := newServer(addr, o)
		if err != nil {
			_ = m.close()
			return nil, wrap("open database", err)
		}
		m.servers = append(m.servers, s)
	}
	m.current.Store(m.servers[0])
	if err := m.start(ctx); err != nil {
		_ = m.close()
		return nil, wrap("open database", err)
	}
	return m, nil
}

func newServer(addr string, o Options) (*server, error) {
	s := &server{addr: addr, conns: o.MaxConns}
	c := mysql.NewConfig()
	c.Net, c.Addr, c.DBName, c.User, c.Passwd, c.TLS = "tcp", addr, o.Database, o.User, o.Password, o.TLS
	if strings.HasPrefix(addr, "/") {
		c.Net = "unix"
	}
	c.Collation = "utf8mb4_unicode_ci"
	c.InterpolateParams = true // for scripts: all other statements are prepared
	c.MultiStatements = true   // texts are constant, values are never part of them
	c.Timeout, c.ReadTimeout, c.WriteTimeout = dialTimeout, max(bulkTimeout, o.StatementTimeout)+time.Second, o.StatementTimeout
	c.Params = map[string]string{"innodb_lock_wait_timeout": lockWait}
	c.Logger = &mysql.NopLogger{}
	learnt := mysql.BeforeConnect(func(_ context.Context, c *mysql.Config) error {
		if s.galera.Load() {
			c.Params["wsrep_sync_wait"] = "1"
		}
		if s.mysql8.Load() {
			c.Params["information_schema_stats_expiry"] = "0"
		}
		return nil
	})
	if err := c.Apply(learnt); err != nil {
		return nil, err
	}
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return nil, err
	}
	s.db = sql.OpenDB(connector)
	s.db.SetMaxOpenConns(o.MaxConns)
	s.db.SetMaxIdleConns(o.MaxConns)
	s.db.SetConnMaxIdleTime(time.Minute)
	s.db.SetConnMaxLifetime(10 * time.Minute)
	s.q = newPrepared(s.db)
	s.spare = sql.OpenDB(connector)
	s.spare.SetMaxOpenConns(1)
	s.spare.SetConnMaxIdleTime(time.Minute)
	return s, nil
}

// start finds a writable server and sets up or checks the schema there.
func (m *mysqlDB) start(ctx context.Context) error {
	if err := m.choose(ctx); err != nil {
		return err
	}
	if err := m.setUp(ctx); err != nil {
		return err
	}
	if len(m.servers) > 1 {
		m.watcher.Go(m.watch)
	}
	return nil
}

// choose takes the first server that can be used. It waits for one for RetryFor, unless none ever will do: then the error
// is that of the first.
func (m *mysqlDB) choose(ctx context.Context) error {
	giveUp := time.Now().Add(m.o.RetryFor)
	for {
		var errs []error
		hope := false
		for _, s := range m.servers {
			err := s.probe(ctx)
			if err == nil {
				m.current.Store(s)
				return nil
			}
			hope = hope || classify(err) != permanent
			errs = append(errs, fmt.Errorf("server %s: %w", s.addr, err))
		}
		if !hope || time.Now().After(giveUp) {
			return errors.Join(errs...)
		}
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			return errors.Join(append(errs, err)...)
		}
	}
}

// retry runs f on the server in use, and again there or elsewhere as its errors ask, for at most RetryFor. An unsure end
// counts as a failed server, so f must bear being done twice.
func (m *mysqlDB) retry(ctx context.Context, f func(context.Context, *server) error) error {
	giveUp := time.Now().Add(m.o.RetryFor)
	for attempt := 1; ; attempt++ {
		s := m.current.Load()
		err := m.once(ctx, s, f)
		if err == nil || ctx.Err() != nil {
			return err
		}
		t := classify(err)
		if t == permanent || time.Now().After(giveUp) {
			return err
		}
		if t != contended {
			m.o.Log.Warn("database server refused", "server", s.addr, "error", err)
			m.moveFrom(ctx, s)
		} else if err := pause(ctx, time.Duration(attempt)*2*time.Millisecond); err != nil {
			return err
		}
	}
}

func (m *mysqlDB) once(ctx context.Context, s *server, f func(context.Context, *server) error) error {
	ctx, cancel := context.WithTimeout(ctx, m.o.timeout(ctx))
	defer cancel()
	return f(ctx, s)
}

// pause waits between half of d and d.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d/2 + rand.N(d/2+1))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// moveFrom looks for a server that takes writes, in the given order, unless somebody moved from bad meanwhile. If there is
// none it returns after a short wait. Those who come while one looks wait for what it finds.
func (m *mysqlDB) moveFrom(ctx context.Context, bad *server) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.current.Load() != bad {
		return
	}
	if time.Since(m.looked) < 100*time.Millisecond {
		_ = pause(ctx, 20*time.Millisecond)
		return
	}
	for _, s := range m.servers {
		if err := s.probe(ctx); err != nil {
			continue
		}
		if s != bad {
			m.o.Log.Warn("database server changed", "from", bad.addr, "to", s.addr)
		}
		m.current.Store(s)
		return
	}
	_ = pause(ctx, 200*time.Millisecond)
	m.looked = time.Now()
}

// watch looks regularly whether the server in use still takes writes: an account with administrative rights would not
// notice from its errors.
func (m *mysqlDB) watch() {
	t := time.NewTicker(watchInterval)
	defer t.Stop()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for {
		select {
		case <-m.done:
			return
		case <-t.C:
		}
		if s := m.current.Load(); s.probe(ctx) != nil {
			m.moveFrom(ctx, s)
		}
	}
}

func (m *mysqlDB) dialect() dialect { return dialectMySQL }

func (m *mysqlDB) read(ctx context.Context, op string, f func(context.Context, querier) error) error {
	return m.o.observe(op, func() error {
		return m.retry(ctx, func(ctx context.Context, s *server) error {
			if isProbe(ctx) {
				return f(ctx, direct{s.spare})
			}
			return f(ctx, s.q)
		})
	})
}

func (m *mysqlDB) find(ctx context.Context, op string, f func(context.Context, querier) error) error {
	return m.read(ctx, op, f)
}

func (m *mysqlDB) write(ctx context.Context, op string, f func(context.Context, querier) error) error {
	return m.o.observe(op, func() error {
		return m.retry(ctx, func(ctx context.Context, s *server) error {
			tx, err := s.db.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			if err := f(ctx, s.q.within(tx)); err != nil {
				_ = tx.Rollback() // a lost connection has rolled back already
				return err
			}
			return tx.Commit()
		})
	})
}

func (m *mysqlDB) auto(ctx context.Context, op string, f func(context.Context, querier) error) error {
	return m.read(ctx, op, f)
}

func (m *mysqlDB) close() error {
	close(m.done)
	m.watcher.Wait()
	for _, s := range m.servers {
		_ = s.db.Close() // it complains about connections that the server had closed already
		_ = s.spare.Close()
	}
	return nil
}

// script runs several statements in one packet: one round trip for a whole transaction. The results are those of the
// statements in order. After an error the transaction is rolled back, or its connection dropped.
func (s *server) script(ctx context.Context, text string, args ...any) (scriptResult, error) {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return scriptResult{}, err
	}
	defer conn.Close()
	r, err := runScript(ctx, conn, text, args)
	if err != nil {
		undo(ctx, conn)
	}
	return r, err
}

// undo rolls back what conn is in the middle of, or drops the connection.
func undo(ctx context.Context, conn *sql.Conn) {
	if _, err := conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK"); err != nil {
		_ = conn.Raw(func(any) error { return driver.ErrBadConn })
	}
}

// runScript is script on a connection, and leaves it as it is after an error. It goes to the driver itself, since the
// standard library hands on the result of the last statement only.
func runScript(ctx context.Context, conn *sql.Conn, text string, args []any) (r scriptResult, err error) {
	values := make([]driver.NamedValue, len(args))
	for i, a := range args {
		v, err := driver.DefaultParameterConverter.ConvertValue(a)
		if err != nil {
			return r, fmt.Errorf("statement value %d: %w", i+1, err)
		}
		values[i] = driver.NamedValue{Ordinal: i + 1, Value: v}
	}
	err = conn.Raw(func(dc any) error {
		on, ok := dc.(driver.ExecerContext)
		if !ok {
			return fmt.Errorf("the MySQL driver runs no scripts")
		}
		res, err := on.ExecContext(ctx, text, values)
		if all, ok := res.(mysql.Result); ok && err == nil {
			r = scriptResult{affected: all.AllRowsAffected(), ids: all.AllLastInsertIds()}
		}
		return err
	})
	return r, err
}

type scriptResult struct {
	affected, ids []int64
}
