package health

import (
	"cmp"
	"context"
	"crypto/tls"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

// dbFacts is the database server as one node sees it.
type dbFacts struct {
	address  string // as configured
	database string // name of the schema
	declared string // database_version in the configuration
	took     time.Duration
	vars     map[string]string // variables and status of the server, lower case
	member   *ClusterMember    // of a group of MySQL's Group Replication; nil: of none, or it may not be asked
}

// server identifies the server process; equal for two servers only if somebody copied a data folder.
func (f dbFacts) server() string {
	id := cmp.Or(f.vars["server_uuid"], f.vars["server_uid"])
	return strings.Join([]string{f.vars["hostname"], f.vars["port"], id}, "/")
}

// cluster identifies the cluster the server is a member of; "" for none.
func (f dbFacts) cluster() string {
	if f.member != nil && !f.member.joined() { // it has the group's name all the same
		return ""
	}
	return cmp.Or(f.vars["wsrep_cluster_state_uuid"], f.group())
}

func (f dbFacts) mariadb() bool {
	return strings.Contains(strings.ToLower(f.vars["version"]), "mariadb")
}

// readOnly reports whether ordinary users can't write.
func (f dbFacts) readOnly() bool {
	for _, name := range []string{"read_only", "super_read_only", "innodb_read_only"} {
		if v := f.vars[name]; v != "" && v != "OFF" && v != "0" && v != "NO_LOCK" {
			return true
		}
	}
	return false
}

// serverVariables are asked of every server; those it does not know are left out of its answer.
const serverVariables = `'hostname','port','server_uuid','server_uid','version','read_only','super_read_only','innodb_read_only',` +
	`'group_replication_group_name','group_replication_single_primary_mode'`

// serverStatus is asked of every server.
const serverStatus = `'wsrep_cluster_state_uuid','wsrep_ready','wsrep_cluster_status','wsrep_local_state_comment'`

// openDB opens the node's database with the node's own settings, through the node. MySQL and MariaDB only.
func (n *node) openDB(ctx context.Context) (*sql.DB, *mysql.Config, error) {
	c, err := n.configuration(ctx)
	if err != nil {
		return nil, nil, err
	}
	switch system := cmp.Or(c.Text("database_system"), "mysql"); system {
	case "mysql":
	case "sqlite":
		return nil, nil, errNotConcerned
	default:
		return nil, nil, fmt.Errorf("this version can't ask a database of the kind %s", oneLine(system))
	}
	cfg := mysql.NewConfig()
	cfg.Net = "tcp"
	cfg.Addr = net.JoinHostPort(cmp.Or(c.Text("database_host"), "127.0.0.1"), cmp.Or(c.Text("database_port"), "3306"))
	cfg.User = cmp.Or(c.Text("database_user"), "root")
	cfg.Passwd = c.Text("database_password")
	cfg.DBName = cmp.Or(c.Text("database_name"), "mosparo")
	cfg.Timeout = n.session.timeout / 2
	cfg.ReadTimeout, cfg.WriteTimeout = n.session.timeout, n.session.timeout
	cfg.Logger = &mysql.NopLogger{}
	cfg.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		return n.host.Dial(ctx, network, addr)
	}
	if cfg.TLS, err = n.databaseTLS(ctx); err != nil {
		return nil, nil, err
	}
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, nil, err
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(1)
	return db, cfg, nil
}

// databaseTLS is the TLS that PHP would use: only where it is turned on and a file is named.
func (n *node) databaseTLS(ctx context.Context) (*tls.Config, error) {
	value := map[string]string{}
	for _, name := range []string{"", "_KEY", "_CERT", "_CA", "_VERIFY_SERVER_CERT"} {
		v, err := n.setting(ctx, "DATABASE_MYSQL_SSL"+name)
		if err != nil {
			return nil, err
		}
		value[name] = v
	}
	on := func(v string) bool { return v != "" && v != "0" }
	if !on(value[""]) || value["_KEY"]+value["_CERT"]+value["_CA"] == "" {
		return nil, nil
	}
	config, err := n.tlsConfig(ctx, value["_CA"], value["_CERT"], value["_KEY"])
	if err != nil {
		return nil, err
	}
	config.InsecureSkipVerify = !on(value["_VERIFY_SERVER_CERT"])
	return config, nil
}

// database reads the facts of the server, once.
func (n *node) database(ctx context.Context) (dbFacts, error) {
	return n.db.get(ctx, func(ctx context.Context) (dbFacts, error) {
		var f dbFacts
		db, cfg, err := n.openDB(ctx)
		if err != nil {
			return f, err
		}
		defer db.Close()
		c, err := n.configuration(ctx)
		if err != nil {
			return f, err
		}
		f.address, f.declared, f.vars = cfg.Addr, c.Text("database_version"), map[string]string{}
		if err := db.PingContext(ctx); err != nil {
			return f, dbFailure(n, cfg, err)
		}
		start := n.session.now()
		if err := db.QueryRowContext(ctx, "SELECT DATABASE()").Scan(&f.database); err != nil {
			return f, dbFailure(n, cfg, err)
		}
		f.took = n.session.now().Sub(start)
		for _, query := range []string{
			"SHOW GLOBAL VARIABLES WHERE Variable_name IN (" + serverVariables + ")",
			"SHOW GLOBAL STATUS WHERE Variable_name IN (" + serverStatus + ")",
		} {
			if err := f.read(ctx, db, query); err != nil {
				return f, dbFailure(n, cfg, err)
			}
		}
		if err := f.readGroup(ctx, db); err != nil {
			return f, dbFailure(n, cfg, err)
		}
		return f, nil
	})
}

func (f *dbFacts) read(ctx context.Context, db *sql.DB, query string) error {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var name, value string
		if err := rows.Scan(&name, &value); err != nil {
			return err
		}
		f.vars[strings.ToLower(name)] = value
	}
	return rows.Err()
}

// Numbers of MySQL's errors, from its error reference.
const (
	errTooMany   = 1040
	errNoRight   = 1044
	errPassword  = 1045
	errNoSchema  = 1049
	errSyntax    = 1064
	errHost      = 1130
	errNoSelect  = 1142
	errPrivilege = 1227
	errOffline   = 3032

	// Since 9.0 it says since when, and why or by whom.
	errOfflineWhy = 6400
	errOfflineWho = 6401
)

// dbFailure says what the error of a database server means for people.
func dbFailure(n *node, cfg *mysql.Config, err error) error {
	var m *mysql.MySQLError
	if !errors.As(err, &m) {
		host, port, _ := net.SplitHostPort(cfg.Addr)
		return failf(n.exec("nc", "-zv", host, port),
			"%s can't be reached from here: %s", cfg.Addr, n.reason(err))
	}
	switch m.Number {
	case errPassword:
		return failf("compare database_user and database_password: mosparoctl env diff", "%s refuses the user %s and the password", cfg.Addr, cfg.User)
	case errNoRight, errNoSchema:
		return failf("compare database_name: mosparoctl env diff", "%s has no database %s for the user %s", cfg.Addr, cfg.DBName, cfg.User)
	case errHost:
		return failf(fmt.Sprintf("on the server, let the user %s in from the address that it names", cfg.User), "%s does not let this node in: %s", cfg.Addr, oneLine(m.Message))
	case errTooMany:
		return failf("raise max_connections, or lower PHP-FPM's pm.max_children", "%s has no connection left", cfg.Addr)
	case errOffline, errOfflineWhy, errOfflineWho:
		return failf("if it has left its replication group, mend what its log says, then STOP GROUP_REPLICATION; START GROUP_REPLICATION; SET GLOBAL offline_mode = 0",
			"%s lets administrators in alone: %s", cfg.Addr, oneLine(m.Message))
	}
	return failf("", "%s answers: %s", cfg.Addr, oneLine(m.Message))
}
