package server

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"

	_ "github.com/go-sql-driver/mysql" // the driver of DB
)

// MariaDB is a running MariaDB server with an own data folder.
type MariaDB struct {
	Addr    string // host:port
	Dir     string // data folder
	Process *Process
	User    string // may do everything
	Pass    string

	args []string
	next *atomic.Int32
}

// StartMariaDB starts MariaDB with durable commits (innodb_flush_log_at_trx_commit=1). args are further mariadbd options.
// A start takes about five seconds: share one server among the tests of a package where they can have own databases.
func StartMariaDB(t testing.TB, args ...string) *MariaDB {
	t.Helper()
	install := Binary(t, "mariadb-install-db", "mysql_install_db")
	m := &MariaDB{Addr: FreeAddress(t), Dir: filepath.Join(shortDir(t), "data"), User: "lab", Pass: "lab-password", args: args, next: new(atomic.Int32)}
	out, err := exec.Command(install, "--no-defaults", "--datadir="+m.Dir, "--auth-root-authentication-method=normal",
		"--skip-test-db", "--user=root").CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", install, err, out)
	}
	init := writeFile(t, filepath.Dir(m.Dir), "init.sql", fmt.Sprintf(
		"CREATE USER IF NOT EXISTS '%s'@'%%' IDENTIFIED BY '%s';\nGRANT ALL ON *.* TO '%[1]s'@'%%' WITH GRANT OPTION;\n", m.User, m.Pass), 0o600)
	m.args = append(m.args, "--init-file="+init)
	m.Start(t)
	return m
}

// Start starts the server again after Process was stopped or killed.
func (m *MariaDB) Start(t testing.TB) {
	t.Helper()
	_, port, _ := net.SplitHostPort(m.Addr)
	argv := append([]string{Binary(t, "mariadbd", "mysqld"), "--no-defaults", "--datadir=" + m.Dir, "--port=" + port,
		"--bind-address=127.0.0.1", "--socket=" + filepath.Join(filepath.Dir(m.Dir), "sock"), "--user=root",
		"--pid-file=" + filepath.Join(filepath.Dir(m.Dir), "pid"), "--innodb-flush-log-at-trx-commit=1",
		"--innodb-buffer-pool-size=256M", "--character-set-server=utf8mb4", "--collation-server=utf8mb4_unicode_ci",
		"--skip-name-resolve", "--default-time-zone=+00:00"}, m.args...)
	m.Process = Start(t, argv...)
	db, err := sql.Open("mysql", m.DSN(""))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	m.Process.WaitFor("mariadb", func(ctx context.Context) error { return db.PingContext(ctx) })
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
