package server

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
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

	program []string // with the options that come first
	args    []string // which override those of Start
	account string   // that root has it run as
	next    *atomic.Int32
}

// StartMariaDB starts MariaDB with durable commits (innodb_flush_log_at_trx_commit=1), or MySQL where MySQLRoot says so. args are
// further options of both, and win over ours. A start takes about five seconds: share one server among the tests of a package where they can
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
		install = append(slices.Clone(m.program), "--initialize-insecure")
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
	m.args = append(slices.Clone(args), "--init-file="+init)
	m.Start(t)
	return m
}

// Start starts the server again after Process was stopped or killed.
func (m *MariaDB) Start(t testing.TB) {
	t.Helper()
	_, port, _ := net.SplitHostPort(m.Addr)
	argv := slices.Concat(m.program, []string{"--datadir=" + m.Dir, "--port=" + port,
		"--bind-address=127.0.0.1", "--socket=" + filepath.Join(filepath.Dir(m.Dir), "sock"), "--user=" + m.account,
		"--pid-file=" + filepath.Join(filepath.Dir(m.Dir), "pid"), "--innodb-flush-log-at-trx-commit=1",
		"--innodb-buffer-pool-size=256M", "--character-set-server=utf8mb4", "--collation-server=utf8mb4_unicode_ci",
		"--skip-name-resolve", "--default-time-zone=+00:00"}, m.args)
	m.Process = Start(t, argv...)
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
