package server

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	_ "github.com/go-sql-driver/mysql" // the driver of DB
)

// MySQLRoot is the environment variable with a root folder in which MySQL is installed ("make test-mysql" makes one). Where it is
// set, tests get that server instead of MariaDB.
const MySQLRoot = "MOSPAROCTL_MYSQL_ROOT"

// MariaDB is a running MariaDB server with an own data folder, or a MySQL server.
type MariaDB struct {
	Addr    string // host:port
	Dir     string // data folder
	MySQL   bool   // it is MySQL
	Process *Process
	User    string // may do everything
	Pass    string

	program []string // with the options that every start takes
	account string   // that root has it run as
	next    *atomic.Int32
}

// StartMariaDB starts MariaDB with durable commits (innodb_flush_log_at_trx_commit=1), or MySQL where MySQLRoot says so. args are
// further options of both. A start takes about five seconds: share one server among the tests of a package where they can
// have own databases.
func StartMariaDB(t testing.TB, args ...string) *MariaDB {
	t.Helper()
	return startMariaDB(t, "root", args...)
}

// startMariaDB starts a server as a user of this machine.
func startMariaDB(t testing.TB, account string, args ...string) *MariaDB {
	t.Helper()
	m := &MariaDB{Addr: FreeAddress(t), Dir: filepath.Join(shortDir(t), "data"), User: "lab", Pass: "lab-password", account: account, next: new(atomic.Int32)}
	if account != "root" {
		if err := os.Chmod(filepath.Dir(m.Dir), 0o777); err != nil { //nolint:gosec // nothing but a test's server
			t.Fatal(err)
		}
	}
	var install []string
	if root := os.Getenv(MySQLRoot); root != "" {
		m.MySQL = true
		lib, share := filepath.Join(root, "usr/lib"), filepath.Join(root, "usr/share/mysql")
		libs := filepath.Join(lib, "x86_64-linux-gnu")
		m.program = []string{filepath.Join(libs, "ld-linux-x86-64.so.2"), "--library-path", libs, filepath.Join(root, "usr/sbin/mysqld"), "--no-defaults",
			"--lc-messages-dir=" + share, "--character-sets-dir=" + share + "/charsets", "--plugin-dir=" + lib + "/mysql/plugin", "--secure-file-priv=NULL",
			"--mysqlx=OFF", "--gtid-mode=ON", "--enforce-gtid-consistency=ON"}
		install = append(m.program[:len(m.program):len(m.program)], "--initialize-insecure")
	} else {
		m.program = []string{Binary(t, "mariadbd", "mysqld"), "--no-defaults"}
		install = []string{Binary(t, "mariadb-install-db", "mysql_install_db"), "--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"}
	}
	install = append(install, "--datadir="+m.Dir, "--user="+m.account)
	if out, err := exec.Command(install[0], install[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", install, err, out)
	}
	init := writeFile(t, filepath.Dir(m.Dir), "init.sql", fmt.Sprintf(
		"CREATE USER IF NOT EXISTS '%s'@'%%' IDENTIFIED BY '%s';\nGRANT ALL ON *.* TO '%[1]s'@'%%' WITH GRANT OPTION;\n", m.User, m.Pass), 0o644)
	m.program = append(append(m.program, args...), "--init-file="+init)
	m.Start(t)
	return m
}

// Start starts the server again after Process was stopped or killed.
func (m *MariaDB) Start(t testing.TB) {
	t.Helper()
	_, port, _ := net.SplitHostPort(m.Addr)
	m.Process = Start(t, append(m.program[:len(m.program):len(m.program)], "--datadir="+m.Dir, "--port="+port,
		"--bind-address=127.0.0.1", "--socket="+filepath.Join(filepath.Dir(m.Dir), "sock"), "--user="+m.account,
		"--pid-file="+filepath.Join(filepath.Dir(m.Dir), "pid"), "--innodb-flush-log-at-trx-commit=1",
		"--innodb-buffer-pool-size=256M", "--character-set-server=utf8mb4", "--collation-server=utf8mb4_unicode_ci",
		"--skip-name-resolve", "--default-time-zone=+00:00")...)
	db, err := sql.Open("mysql", m.DSN(""))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	m.Process.WaitFor("the database", func(ctx context.Context) error { return db.PingContext(ctx) })
}

// jsonColumn is what MariaDB makes of the type JSON.
var jsonColumn = regexp.MustCompile("longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin((?: NOT NULL| DEFAULT NULL)?) CHECK \\(json_valid\\(`[a-z_]+`\\)\\)")

// Load runs a dump of MariaDB in a database. On MySQL its JSON columns get the type of their own that MySQL has.
func (m *MariaDB) Load(t testing.TB, database string, dump []byte) {
	t.Helper()
	if m.MySQL {
		dump = jsonColumn.ReplaceAll(dump, []byte("json$1"))
	}
	if _, err := m.DB(t, database).ExecContext(t.Context(), string(dump)); err != nil {
		t.Fatalf("load a dump: %v", err)
	}
}

// mysqlWords turns statements of MariaDB about replication into those of MySQL.
var mysqlWords = strings.NewReplacer("CHANGE MASTER TO", "CHANGE REPLICATION SOURCE TO", "SLAVE", "REPLICA", "slave_", "replica_", "_slave", "_replica",
	"_master_", "_source_", "master_use_gtid=slave_pos", "source_auto_position=1, get_source_public_key=1", "master_", "source_", "_Master_", "_Source_", "Master_", "Source_")

// Execute runs statements as the administrator. What they say about replication is in MariaDB's words.
func (m *MariaDB) Execute(t testing.TB, statements ...string) {
	t.Helper()
	db := m.DB(t, "")
	for _, s := range statements {
		if m.MySQL {
			s = mysqlWords.Replace(s)
		}
		if _, err := db.ExecContext(context.WithoutCancel(t.Context()), s); err != nil { // also in a cleanup
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// AddUser makes an account that may do nothing yet, anew if there is one of that name.
func (m *MariaDB) AddUser(t testing.TB, name, password string) {
	t.Helper()
	m.Execute(t, "DROP USER IF EXISTS '"+name+"'@'%'", "CREATE USER '"+name+"'@'%' IDENTIFIED BY '"+password+"'")
}

// Follow makes the server a replica of source, which calls itself host. Both need an own server-id, source a log-bin.
func (m *MariaDB) Follow(t testing.TB, source *MariaDB, host string) {
	t.Helper()
	_, port, _ := net.SplitHostPort(source.Addr)
	m.Execute(t, "SET GLOBAL slave_exec_mode = 'IDEMPOTENT'", // both made the same account
		fmt.Sprintf("CHANGE MASTER TO master_host='%s', master_port=%s, master_user='%s', master_password='%s', master_use_gtid=slave_pos", host, port, source.User, source.Pass),
		"START SLAVE")
}

// StartReplicated starts a primary and a read-only replica that the primary waits for at each commit.
func StartReplicated(t testing.TB) (primary, replica *MariaDB) {
	t.Helper()
	primary = StartMariaDB(t, "--server-id=1", "--log-bin=bin")
	replica = StartMariaDB(t, "--server-id=2", "--log-bin=bin", "--read-only=1")
	if primary.MySQL {
		primary.Execute(t, "INSTALL PLUGIN rpl_semi_sync_source SONAME 'semisync_source.so'")
		replica.Execute(t, "INSTALL PLUGIN rpl_semi_sync_replica SONAME 'semisync_replica.so'")
	}
	replica.Execute(t, "SET GLOBAL rpl_semi_sync_slave_enabled = 1")
	replica.Follow(t, primary, "127.0.0.1")
	primary.Execute(t, "SET GLOBAL rpl_semi_sync_master_wait_point = AFTER_SYNC", "SET GLOBAL rpl_semi_sync_master_timeout = 60000",
		"SET GLOBAL rpl_semi_sync_master_enabled = 1")
	return primary, replica
}

// galeraProvider is a file of Debian's galera-4, which its mariadb-server depends on.
const galeraProvider = "/usr/lib/galera/libgalera_smm.so"

// StartGalera starts a member of a Galera cluster: the first one without a peer, any other one with the address of the cluster that
// the first got. transfer is how one that joins takes over what the others hold: "rsync", or "skip" if it never does.
func StartGalera(t testing.TB, peer, transfer string) (m *MariaDB, address string) {
	t.Helper()
	if _, err := os.Stat(galeraProvider); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	address = FreeAddress(t)
	// As root rsync would give up its rights, and find the way to the data closed.
	return startMariaDB(t, "mysql", "--wsrep-on=ON", "--wsrep-provider="+galeraProvider, "--wsrep-cluster-address=gcomm://"+peer, "--wsrep-node-address=127.0.0.1",
		"--wsrep-sst-method="+transfer, "--wsrep-sst-receive-address="+FreeAddress(t), "--wsrep-cluster-name=lab", "--binlog-format=ROW", "--innodb-autoinc-lock-mode=2",
		"--wsrep-provider-options=gcache.size=8M;base_host=127.0.0.1;gmcast.listen_addr=tcp://"+address+";ist.recv_addr="+FreeAddress(t)+
			";evs.keepalive_period=PT0.5S;evs.suspect_timeout=PT2S;evs.inactive_timeout=PT4S;evs.inactive_check_period=PT0.5S"), address
}

// Promote makes a replica writable once it has applied all that it received.
func (m *MariaDB) Promote(t testing.TB) {
	t.Helper()
	m.Execute(t, "STOP SLAVE IO_THREAD")
	db := m.DB(t, "")
	m.Process.WaitFor("what the replica received", func(ctx context.Context) error {
		status := m.replicaStatus(ctx, t, db)
		if e := status("Last_SQL_Error"); e != "" {
			t.Fatal(e)
		}
		if status("Read_Master_Log_Pos") != status("Exec_Master_Log_Pos") || status("Master_Log_File") != status("Relay_Master_Log_File") {
			return fmt.Errorf("applied up to %s of %s", status("Exec_Master_Log_Pos"), status("Read_Master_Log_Pos"))
		}
		return nil
	})
	m.Execute(t, "STOP SLAVE", "SET GLOBAL read_only = 0")
}

// replicaStatus asks how a replica is, by MariaDB's names.
func (m *MariaDB) replicaStatus(ctx context.Context, t testing.TB, db *sql.DB) func(name string) string {
	t.Helper()
	words := func(s string) string { return s }
	if m.MySQL {
		words = mysqlWords.Replace
	}
	rows, err := db.QueryContext(ctx, words("SHOW SLAVE STATUS"))
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil || !rows.Next() {
		t.Fatalf("no replica: %v", err)
	}
	values, into := make([]sql.NullString, len(names)), make([]any, len(names))
	for i := range values {
		into[i] = &values[i]
	}
	if err := errors.Join(rows.Scan(into...), rows.Err()); err != nil {
		t.Fatal(err)
	}
	return func(name string) string {
		at := slices.Index(names, words(name))
		if at < 0 {
			t.Fatalf("a replica says nothing of %s", words(name))
		}
		return values[at].String
	}
}

// DSN is the go-sql-driver data source name of a database on the server ("" for none).
func (m *MariaDB) DSN(database string) string {
	return fmt.Sprintf("%s:%s@tcp(%s)/%s?parseTime=true&multiStatements=true", m.User, m.Pass, m.Addr, database)
}

// Database creates an empty database of a fresh name, dropped with the test, and returns the name.
func (m *MariaDB) Database(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("lab_%d", m.next.Add(1))
	db, err := sql.Open("mysql", m.DSN(""))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("CREATE DATABASE " + name + " CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci"); err != nil {
		t.Fatal(err)
	}
	return name
}

// DB opens a database of the server; it is closed with the test.
func (m *MariaDB) DB(t testing.TB, database string) *sql.DB {
	t.Helper()
	db, err := sql.Open("mysql", m.DSN(database))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}
