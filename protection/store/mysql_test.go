package store

import (
	"bytes"
	"compress/gzip"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/google/go-cmp/cmp"

	lab "github.com/mosparoctl/mosparoctl/internal/lab/server"
	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/crypt"
	"github.com/mosparoctl/mosparoctl/protection/php"
)

// loadReference loads the database of a real installation and returns how to open it.
func loadReference(t *testing.T, m *lab.MariaDB) Options {
	t.Helper()
	o := mariaOptions(t, m)
	packed, err := os.ReadFile("../conformance/testdata/reference.sql.gz")
	must(t, err)
	zr, err := gzip.NewReader(bytes.NewReader(packed))
	must(t, err)
	dump, err := io.ReadAll(zr)
	must(t, err)
	m.Load(t, o.Database, dump)
	o.Key, err = crypt.ParseKey("e32eaa7ab2b6691a14429f74da835d6817045bc77f643f77108049bdb68b38b8") // a test key, published with the dump
	must(t, err)
	return o
}

// describe is the schema of a database as text: columns, indexes and foreign keys.
func describe(t *testing.T, m *lab.MariaDB, database string) string {
	t.Helper()
	db := m.DB(t, database)
	var out strings.Builder
	queries := []string{
		"SELECT CONCAT_WS(' ', table_name, column_name, ordinal_position, column_type, is_nullable, COALESCE(column_default, '-'), extra, COALESCE(collation_name, '-')) FROM information_schema.columns WHERE table_schema = ? ORDER BY 1",
		"SELECT CONCAT_WS(' ', table_name, index_name, seq_in_index, column_name, non_unique) FROM information_schema.statistics WHERE table_schema = ? ORDER BY 1",
		"SELECT CONCAT_WS(' ', table_name, constraint_name, referenced_table_name, delete_rule, update_rule) FROM information_schema.referential_constraints WHERE constraint_schema = ? ORDER BY 1",
		"SELECT CONCAT_WS(' ', table_name, engine, table_collation) FROM information_schema.tables WHERE table_schema = ? ORDER BY 1",
	}
	if !m.MySQL { // there it is the type that allows nothing but JSON
		queries = append(queries, "SELECT CONCAT_WS(' ', table_name, constraint_name, check_clause) FROM information_schema.check_constraints WHERE constraint_schema = ? ORDER BY 1")
	}
	for _, query := range queries {
		rows, err := db.Query(query, database)
		must(t, err)
		for rows.Next() {
			var line string
			must(t, rows.Scan(&line))
			out.WriteString(line + "\n")
		}
		must(t, rows.Err())
	}
	return out.String()
}

func execute(t *testing.T, db *sql.DB, query string, args ...any) {
	t.Helper()
	if _, err := db.Exec(query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// TestMySQL shares one server among all that needs MySQL's own ways.
func TestMySQL(t *testing.T) {
	m := lab.StartMariaDB(t)
	t.Run("reference", func(t *testing.T) { testReference(t, m) })
	t.Run("schema", func(t *testing.T) { testSchemaVerdict(t, m) })
	t.Run("set up at once", func(t *testing.T) { testSetUpAtOnce(t, m) })
	t.Run("deadlocks", func(t *testing.T) { testNoDeadlocks(t, m) })
	t.Run("probes under load", func(t *testing.T) { testProbesUnderLoad(t, m) })
	t.Run("lock wait", func(t *testing.T) { testLockWait(t, m) })
	t.Run("lost connection", func(t *testing.T) { testLostConnection(t, m) })
	t.Run("restart", func(t *testing.T) { testRestart(t, m) })
}

// testProbesUnderLoad has the health check and the watch go by visitors that take all connections.
func testProbesUnderLoad(t *testing.T, m *lab.MariaDB) {
	o := mariaOptions(t, m)
	o.MaxConns = 1
	s := open(t, o)
	must(t, s.b.write(t.Context(), "hold", func(context.Context, querier) error {
		must(t, s.CheckKey(t.Context()))
		must(t, s.Ping(t.Context()))
		must(t, s.b.(*mysqlDB).current.Load().probe(t.Context()))
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, err := s.Projects(ctx); err == nil {
			t.Error("a visitor found a second connection: nothing is shown")
		}
		return nil
	}))
}

func testReference(t *testing.T, m *lab.MariaDB) {
	o := loadReference(t, m)
	s := open(t, o)
	ctx := t.Context()
	must(t, s.SchemaCheck(ctx))
	must(t, s.CheckKey(ctx))
	p, err := s.ProjectByPublicKey(ctx, "f0wMt7U6btUBTZ3YVAiHcNQ5p_EAwfRY05wzeR7e2Cw")
	must(t, err)
	if p.PrivateKey != "pdTGel-6dGSb9MfWrrOHOi_Ru9RbFGg2o0KSyFlKEzY" || strings.Join(p.Hosts, " ") != "localhost 127.0.0.1 *" || p.Settings.Text("designConfigHash", "") == "" {
		t.Errorf("project: %+v", p)
	}
	p, err = s.ProjectByPublicKey(ctx, "rm_l1SHWE_dzAtS_Lhq1edXMJNRsmOqhClzhyLT9rHE")
	must(t, err)
	if !p.Settings.Bool("delayActive", false) || p.Settings.Int("delayNumberOfRequests", 0) != 8 || p.Settings.Text("honeypotFieldName", "") != "hp_field_x" {
		t.Errorf("settings: %v", p.Settings)
	}
	guidelines, err := s.Guidelines(ctx, p.ID)
	must(t, err)
	if len(guidelines) != 3 || guidelines[0].Name != "ip and form" || guidelines[1].Settings.Float("spamScore", 0) != 2 || guidelines[2].Subnets[0] != "172.31.0.0/16" {
		t.Errorf("guidelines: %+v", guidelines)
	}
	set, err := s.LoadRules(ctx, 13)
	must(t, err)
	if len(set.Rules) == 0 || set.Fingerprint == "" {
		t.Errorf("rules: %+v", set)
	}
	packages, err := s.Packages(ctx, 17)
	must(t, err)
	if len(packages) != 5 || packages[3].Active || packages[4].Source != "/srv/mosparo/rule-package.json" || packages[1].EffectiveFactor() != 2 {
		t.Errorf("packages: %+v", packages)
	}
	rules, err := s.SubmissionRules(ctx, 16)
	must(t, err)
	if len(rules) != 1 || rules[0].Rating.Value != 20 || !rules[0].Settings["matchTextarea"].Identical(php.Bool(false)) {
		t.Errorf("submission rules: %+v", rules)
	}

	made := mariaOptions(t, m)
	open(t, made)
	if d := cmp.Diff(describe(t, m, o.Database), describe(t, m, made.Database)); d != "" {
		t.Errorf("the schema we make differs from mosparo's (-mosparo +ours):\n%s", d)
	}
	o.Key, _ = crypt.GenerateKey()
	wantCode(t, open(t, o).CheckKey(ctx), protection.CodeKey)
}

func testSchemaVerdict(t *testing.T, m *lab.MariaDB) {
	for _, c := range []struct{ change, want string }{
		{"DELETE FROM doctrine_migration_versions WHERE version LIKE '%20260406155235'", "needs Version20260406155235"},
		{"INSERT INTO doctrine_migration_versions (version) VALUES ('DoctrineMigrations\\\\Version20270101000000')", "its newest migration is Version20270101000000"},
		{"ALTER TABLE project DROP COLUMN silent_mode_enabled", "column project.silent_mode_enabled is missing"},
		{"DROP TABLE cleanup_statistic", "table cleanup_statistic is missing"},
		{"DROP TABLE doctrine_migration_versions", "none of mosparo's migrations"},
	} {
		o := mariaOptions(t, m)
		open(t, o)
		before := describe(t, m, o.Database)
		execute(t, m.DB(t, o.Database), c.change)
		changed := describe(t, m, o.Database)
		s, err := Open(t.Context(), o)
		if err == nil {
			_ = s.Close()
		}
		if !protection.Is(err, protection.CodeSchema) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), SchemaVersion) {
			t.Errorf("%s: %v", c.change, err)
		}
		if strings.Contains(c.change, "TABLE") && changed == before || describe(t, m, o.Database) != changed {
			t.Errorf("%s: the schema was altered", c.change)
		}
	}
	o := mariaOptions(t, m)
	execute(t, m.DB(t, o.Database), "CREATE TABLE wp_posts (id INT)")
	if _, err := Open(t.Context(), o); !protection.Is(err, protection.CodeSchema) {
		t.Errorf("a database of something else: %v", err)
	}
	half := mariaOptions(t, m)
	execute(t, m.DB(t, half.Database), "CREATE TABLE doctrine_migration_versions (version VARCHAR(191) PRIMARY KEY, executed_at DATETIME, execution_time INT)")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if _, err := Open(ctx, half); !protection.Is(err, protection.CodeSchema) || !strings.Contains(err.Error(), "half made") {
		t.Errorf("a half made schema: %v", err)
	}
	for _, bad := range []func(*Options){func(o *Options) { o.Password = "wrong" }, func(o *Options) { o.Database = "missing" }, func(o *Options) { o.Servers = nil }, func(o *Options) { o.Key = crypt.Key{} }} {
		o := mariaOptions(t, m)
		bad(&o)
		if _, err := Open(t.Context(), o); !protection.Is(err, protection.CodeInvalid) {
			t.Errorf("%+v: %v", o.Servers, err)
		}
	}
	down := mariaOptions(t, m)
	down.Servers, down.RetryFor = []string{lab.FreeAddress(t)}, 300*time.Millisecond
	if _, err := Open(t.Context(), down); !protection.Is(err, protection.CodeUnavailable) {
		t.Errorf("no server: %v", err)
	}
}

func testSetUpAtOnce(t *testing.T, m *lab.MariaDB) {
	o := mariaOptions(t, m)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			s, err := Open(context.Background(), o)
			if err != nil {
				t.Error(err)
				return
			}
			if err := s.SchemaCheck(context.Background()); err != nil {
				t.Error(err)
			}
			_ = s.Close()
		})
	}
	wg.Wait()
}

func statusValue(t *testing.T, db *sql.DB, name string) (n int64) {
	t.Helper()
	var ignored string
	must(t, db.QueryRow("SHOW GLOBAL STATUS LIKE '"+name+"'").Scan(&ignored, &n))
	return n
}

// testNoDeadlocks shows that parallel checks of one token wait for each other instead of deadlocking.
func testNoDeadlocks(t *testing.T, m *lab.MariaDB) {
	o := mariaOptions(t, m)
	s, db := open(t, o), m.DB(t, o.Database)
	deadlocks := func() (n int64) {
		if !m.MySQL {
			return statusValue(t, db, "Innodb_deadlocks")
		}
		must(t, db.QueryRow("SELECT count FROM information_schema.innodb_metrics WHERE name = 'lock_deadlocks' AND status = 'enabled'").Scan(&n))
		return n
	}
	before := deadlocks()
	for range 5 {
		testParallelChecksOf(t, s)
	}
	if n := deadlocks() - before; n != 0 {
		t.Errorf("%d deadlocks", n)
	}
}

func testParallelChecksOf(t *testing.T, s *Store) {
	p := newProject(t, s)
	tok := newToken(t, s, p, testNow, "a")
	var wg sync.WaitGroup
	for range 30 {
		wg.Go(func() {
			sub := &protection.Submission{ProjectID: p.ID, TokenID: tok.ID, Data: php.Strings("x"), SubmittedAt: testNow, Spam: protection.Yes, Detection: &protection.Detection{}}
			if err := create(context.Background(), s, sub, true); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// testLockWait lets another transaction hold a row until after our lock wait timeout.
func testLockWait(t *testing.T, m *lab.MariaDB) {
	o := mariaOptions(t, m)
	o.RetryFor = 30 * time.Second
	var refused atomic.Int32
	s, db := open(t, o), m.DB(t, o.Database)
	p := newProject(t, s)
	must(t, s.Count(t.Context(), p.ID, protection.CountSpam, testNow))
	tx, err := db.Begin()
	must(t, err)
	_, err = tx.Exec("UPDATE day_statistic SET number_of_valid_submissions = 7")
	must(t, err)
	done := make(chan error)
	go func() { done <- s.Count(context.Background(), p.ID, protection.CountSpam, testNow) }()
	watch := time.NewTicker(50 * time.Millisecond)
	defer watch.Stop()
	for refused.Load() == 0 { // until the server has refused it once
		select {
		case err := <-done:
			t.Fatalf("it did not wait: %v", err)
		case <-watch.C:
			if statusValue(t, db, "Innodb_row_lock_waits") > 0 && statusValue(t, db, "Innodb_row_lock_time_max") >= 3000 {
				refused.Store(1)
			}
		}
	}
	must(t, tx.Commit())
	must(t, <-done)
	days, err := s.Statistics(t.Context(), p.ID, time.Time{})
	must(t, err)
	if days[0].Spam != 2 || days[0].Valid != 7 {
		t.Errorf("statistics: %+v", days)
	}
}

// proxy forwards to a server and can cut a connection when a statement passes.
type proxy struct {
	net.Listener
	server string
	mu     sync.Mutex
	word   string // a packet with it is the last of its connection, once
	pass   bool   // whether that packet still reaches the server
	cuts   int
}

func newProxy(t *testing.T, server string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	p := &proxy{Listener: l, server: server}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(c)
		}
	}()
	return p
}

// moreResults reports whether the last packet of a reply says that those of further statements follow: flag 8 of the status in
// an OK packet, behind two counts that are one byte each here.
func moreResults(reply []byte) bool {
	more := false
	for len(reply) >= 4 {
		size := int(reply[0]) | int(reply[1])<<8 | int(reply[2])<<16
		body := reply[4:min(4+size, len(reply))]
		more = len(body) >= 5 && body[0] == 0 && body[3]&8 != 0
		reply = reply[4+len(body):]
	}
	return more
}

func (p *proxy) cut(word string, pass bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.word, p.pass = word, pass
}

func (p *proxy) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", p.server)
	if err != nil {
		return
	}
	defer server.Close()
	var dropped atomic.Bool
	replied := make(chan struct{})
	go func() {
		defer close(replied)
		buf := make([]byte, 1<<16)
		for {
			n, err := server.Read(buf)
			if dropped.Load() { // the answer to the last packet is not passed on
				for err == nil && moreResults(buf[:n]) {
					n, err = server.Read(buf)
				}
				return
			}
			if err != nil {
				return
			}
			if _, err := client.Write(buf[:n]); err != nil {
				return
			}
		}
	}()
	buf := make([]byte, 1<<16)
	for {
		n, err := client.Read(buf)
		if err != nil {
			return
		}
		p.mu.Lock()
		hit := p.word != "" && bytes.Contains(buf[:n], []byte(p.word))
		if hit {
			p.word = ""
			p.cuts++
		}
		pass := p.pass
		p.mu.Unlock()
		if hit {
			dropped.Store(true)
			if pass {
				if _, err := server.Write(buf[:n]); err == nil {
					<-replied // the server has done it
				}
			}
			return
		}
		if _, err := server.Write(buf[:n]); err != nil {
			return
		}
	}
}

// testLostConnection cuts connections before and after the server has done what it was told.
func testLostConnection(t *testing.T, m *lab.MariaDB) {
	o := mariaOptions(t, m)
	px := newProxy(t, m.Addr)
	o.Servers = []string{px.Addr().String()}
	s := open(t, o)
	ctx := t.Context()
	p := newProject(t, s)
	for _, pass := range []bool{false, true} {
		newToken(t, s, p, testNow, "warm up")
		px.cut("a page that is cut", pass)
		tok := &protection.SubmitToken{ProjectID: p.ID, IPHash: "h", Token: fmt.Sprint("cut", pass), PageTitle: "a page that is cut", CreatedAt: testNow}
		must(t, s.CreateToken(ctx, tok))
		if n := rowsWhere(t, s, "submit_token", "token = ?", tok.Token); n != 1 {
			t.Errorf("pass %v: the token is there %d times", pass, n)
		}

		px.cut("INSERT INTO `submission`", pass)
		sub := newSubmission(t, s, tok, testNow, protection.No)
		got, last, err := s.TokenAndSubmission(ctx, p.ID, tok.Token)
		must(t, err)
		if got.LastSubmissionID != sub.ID || last.ID != sub.ID {
			t.Errorf("pass %v: the last submission is %d, not %d", pass, got.LastSubmissionID, sub.ID)
		}

		px.cut("SET `verified_at`", pass)
		err = s.Verify(ctx, Verification{ProjectID: p.ID, TokenID: tok.ID, SubmissionID: sub.ID, At: testNow, Valid: true, Counted: true, Counter: protection.CountValid})
		if pass { // done, but nobody can know: it must not be accepted
			wantCode(t, err, protection.CodeUnavailable)
		} else {
			must(t, err)
		}
		if got, err = s.Token(ctx, p.ID, tok.Token); err != nil || got.VerifiedAt.IsZero() {
			t.Errorf("pass %v: %+v, %v", pass, got, err)
		}
		wantCode(t, s.Verify(ctx, Verification{ProjectID: p.ID, TokenID: tok.ID, SubmissionID: sub.ID, At: testNow}), protection.CodeUsed)
	}
	if px.cuts != 6 {
		t.Errorf("%d connections were cut", px.cuts)
	}
	if days, err := s.Statistics(ctx, p.ID, time.Time{}); err != nil || days[0].Valid != 2 {
		t.Errorf("statistics: %+v, %v", days, err)
	}
}

func rowsWhere(t *testing.T, s *Store, table, where string, args ...any) (n int) {
	t.Helper()
	must(t, s.b.read(t.Context(), "count", func(ctx context.Context, q querier) error {
		return q.row(ctx, "SELECT COUNT(*) FROM "+quote(table)+" WHERE "+where, args...).Scan(&n)
	}))
	return n
}

// testRestart kills the server in the middle of work and starts it again: operations wait for it, and nothing is lost.
func testRestart(t *testing.T, m *lab.MariaDB) {
	o := mariaOptions(t, m)
	o.RetryFor = time.Minute
	s := open(t, o)
	p := newProject(t, s)
	f := startFlows(t, s, p, 4)
	f.await(t, 20)
	m.Process.Kill()
	m.Start(t)
	f.await(t, 20)
	f.stop()
	f.check(t, s, p)
}

// flows runs whole flows from several sides and remembers what it was told was done.
type flows struct {
	wg       sync.WaitGroup
	quit     chan struct{}
	mu       sync.Mutex
	cond     sync.Cond
	accepted []string // tokens that were verified
	failed   []error
	total    int
}

func startFlows(t *testing.T, s *Store, p *protection.Project, n int) *flows {
	f := &flows{quit: make(chan struct{})}
	f.cond.L = &f.mu
	for i := range n {
		f.wg.Go(func() {
			for k := 0; ; k++ {
				select {
				case <-f.quit:
					return
				default:
				}
				token := fmt.Sprintf("flow-%s-%d-%d", t.Name(), i, k)
				err := oneFlow(s, p, token)
				f.mu.Lock()
				if err == nil {
					f.accepted = append(f.accepted, token)
				} else {
					f.failed = append(f.failed, err)
				}
				f.total++
				f.cond.Broadcast()
				f.mu.Unlock()
			}
		})
	}
	return f
}

func oneFlow(s *Store, p *protection.Project, token string) error {
	ctx := context.Background()
	tok := &protection.SubmitToken{ProjectID: p.ID, IPHash: "h", Token: token, CreatedAt: testNow}
	if err := s.CreateToken(ctx, tok); err != nil {
		return fmt.Errorf("token: %w", err)
	}
	sub := &protection.Submission{ProjectID: p.ID, TokenID: tok.ID, Data: php.Strings("x"), SubmittedAt: testNow, Spam: protection.No, Detection: &protection.Detection{}}
	if err := create(ctx, s, sub, false); err != nil {
		return fmt.Errorf("check: %w", err)
	}
	v := Verification{ProjectID: p.ID, TokenID: tok.ID, SubmissionID: sub.ID, At: testNow, Valid: true, Counted: true, Counter: protection.CountValid}
	var first, second error
	var wg sync.WaitGroup
	wg.Go(func() { first = s.Verify(ctx, v) })
	second = s.Verify(ctx, v)
	wg.Wait()
	if first == nil && second == nil {
		return errTwice
	}
	if first == nil || second == nil {
		return nil
	}
	return fmt.Errorf("verify: %w", first)
}

var errTwice = errors.New("one token was accepted twice")

// await waits until n more flows ended.
func (f *flows) await(t *testing.T, n int) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for end := f.total + n; f.total < end; {
		f.cond.Wait()
	}
}

func (f *flows) stop() {
	close(f.quit)
	f.wg.Wait()
}

// check looks for what was lost or done twice. Only errors of CodeUnavailable may have happened.
func (f *flows) check(t *testing.T, s *Store, p *protection.Project) {
	t.Helper()
	for _, err := range f.failed {
		if errors.Is(err, errTwice) || !protection.Is(err, protection.CodeUnavailable) && !protection.Is(err, protection.CodeUsed) {
			t.Error(err)
		}
	}
	for _, token := range f.accepted {
		tok, sub, err := s.TokenAndSubmission(t.Context(), p.ID, token)
		if err != nil || sub == nil || tok.VerifiedAt.IsZero() || sub.Valid != protection.Yes {
			t.Errorf("lost: %s: %+v %+v %v", token, tok, sub, err)
		}
	}
	t.Logf("%d flows accepted, %d failed in the meantime", len(f.accepted), len(f.failed))
}

// TestFailover kills a primary under load and promotes its replica, which waits for the primary's last transactions by
// semi-synchronous replication.
func TestFailover(t *testing.T) {
	primary, replica := lab.StartReplicated(t)
	o := mariaOptions(t, primary)
	o.Servers, o.RetryFor = []string{replica.Addr, primary.Addr}, time.Minute // the one that is not writable first
	s := open(t, o)
	p := newProject(t, s)
	f := startFlows(t, s, p, 4)
	f.await(t, 40)
	primary.Process.Kill()
	replica.Promote(t)
	f.await(t, 40)
	f.stop()
	f.check(t, s, p)
}

func TestClassify(t *testing.T) {
	for _, c := range []struct {
		err  error
		want trouble
	}{
		{&mysql.MySQLError{Number: 1213}, contended}, {&mysql.MySQLError{Number: 1205}, contended}, {&mysql.MySQLError{Number: 3572}, contended}, {&mysql.MySQLError{Number: 1047}, elsewhere},
		{&mysql.MySQLError{Number: 1290}, elsewhere}, {&mysql.MySQLError{Number: 1792}, elsewhere}, {&mysql.MySQLError{Number: 1836}, elsewhere},
		{&mysql.MySQLError{Number: 1062}, permanent}, {&mysql.MySQLError{Number: 1146}, permanent}, {mysql.ErrInvalidConn, unsure}, {io.EOF, unsure},
		{context.DeadlineExceeded, unsure}, {errors.New("x"), permanent}, {&net.OpError{Op: "dial", Err: errors.New("refused")}, elsewhere},
		{&net.OpError{Op: "read", Err: errors.New("reset")}, unsure}, {fmt.Errorf("x: %w", &mysql.MySQLError{Number: 1213}), contended},
		{protection.Errorf(protection.CodeNotFound, "x"), permanent}, {sql.ErrNoRows, permanent},
	} {
		if got := classify(c.err); got != c.want {
			t.Errorf("%v: %v, want %v", c.err, got, c.want)
		}
	}
}
