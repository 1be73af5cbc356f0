package health

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/mosparoctl/mosparoctl/inventory"
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

// askDatabase is the question of all checks of this family.
func askDatabase(ctx context.Context, n *node) (dbFacts, error) { return n.database(ctx) }

// dbReach logs in to the database through each node.
func dbReach() Check {
	return question[dbFacts]{
		Info: Info{
			Name: "db-reach", Family: FamilyDatabase,
			Title: "Does every node get into the database with its own settings?",
			Why:   "A node without its database answers 500 to every visitor.",
			Mend:  "mosparoctl check --only db-reach",
		},
		ask: askDatabase,
		judge: func(_ context.Context, v *verdicts, answers []answer[dbFacts]) {
			for _, a := range answers {
				v.add(a.node, OK, "", fmt.Sprintf("%s at %s, one query in %s", a.value.vars["version"], a.value.address, round(a.value.took)),
					Figure{Name: "query", Value: a.value.took.Seconds(), Unit: "s"})
			}
			v.allOK("the database answers on all %d nodes", len(answers))
		},
	}
}

// dbSame proves that all nodes talk to the same server, or the same cluster.
func dbSame() Check {
	return question[dbFacts]{
		Info: Info{
			Name: "db-same", Family: FamilyDatabase,
			Title: "Is it one and the same database that all nodes use?",
			Why:   "A node on another server, or on a replica, does not know the tokens that the others gave out: every form fails there.",
			Mend:  "compare database_host and database_name: mosparoctl env diff",
		},
		ask:   askDatabase,
		judge: judgeSame,
	}
}

// judgeSame compares what the servers say of themselves, and then takes a named lock through one node, which the others
// must see: a lock belongs to one server process, so that is proof even where names and numbers are copies.
func judgeSame(ctx context.Context, v *verdicts, answers []answer[dbFacts]) {
	active := v.session.env.Deployment.Database.Topology == inventory.ActiveActive
	identity := func(f dbFacts) string {
		if active && f.cluster() != "" {
			return "cluster " + f.cluster() + "/" + f.database
		}
		return f.server() + "/" + f.database
	}
	ref := reference(answers, identity)
	seen := lockSeen(ctx, ref, answers)
	for i, a := range answers {
		f, r := a.value, ref.value
		switch {
		case a.node == ref.node:
			v.ok(a.node, "%s on %s", f.database, f.vars["hostname"])
		case f.database != r.database:
			v.fail(a.node, "", "uses the database %s, %s uses %s", f.database, ref.node.Name, r.database)
		case active && f.member != nil && r.member != nil && f.member.apart(*r.member):
			v.fail(a.node, "", "reaches the group of %s:%s, %s reaches another one of that name", f.vars["hostname"], f.vars["port"], ref.node.Name)
		case identity(f) == identity(r) && active && f.cluster() != "":
			v.ok(a.node, "%s on %s, a member of the same cluster", f.database, f.vars["hostname"])
		case identity(f) != identity(r):
			v.fail(a.node, "", "reaches the server %s:%s, %s reaches %s:%s", f.vars["hostname"], f.vars["port"], ref.node.Name, r.vars["hostname"], r.vars["port"])
		case seen[i].err != nil:
			v.unknown(a.node, "%s", cause(seen[i].err))
		case !seen[i].value:
			v.fail(a.node, "", "reaches another server than %s, though both call themselves %s:%s", ref.node.Name, f.vars["hostname"], f.vars["port"])
		default:
			v.ok(a.node, "%s on %s, the same server as %s", f.database, f.vars["hostname"], ref.node.Name)
		}
	}
	v.allOK("all %d nodes use the database %s", len(answers), ref.value.database)
}

type lockReply struct {
	value bool
	err   error
}

// lockSeen takes a lock through ref and asks through all others whether it is taken.
func lockSeen(ctx context.Context, ref answer[dbFacts], answers []answer[dbFacts]) []lockReply {
	replies := make([]lockReply, len(answers))
	if len(answers) < 2 {
		return replies
	}
	name := "mosparoctl-" + rand.Text()
	_, err := do(ctx, ref.node, func(ctx context.Context) (struct{}, error) {
		db, _, err := ref.node.openDB(ctx)
		if err != nil {
			return struct{}{}, err
		}
		defer db.Close() // which frees the lock
		var taken sql.NullInt64
		if err := db.QueryRowContext(ctx, "SELECT GET_LOCK(?, 0)", name).Scan(&taken); err != nil || taken.Int64 != 1 {
			return struct{}{}, fmt.Errorf("take a lock through %s: %w", ref.node.Name, cmp.Or(err, errors.New("refused")))
		}
		each(answers, func(i int, a answer[dbFacts]) {
			if a.node != ref.node {
				replies[i].value, replies[i].err = do(ctx, a.node, func(ctx context.Context) (bool, error) { return lockTaken(ctx, a.node, name) })
			}
		})
		return struct{}{}, nil
	})
	if err == nil {
		return replies
	}
	failed := make([]lockReply, len(answers)) // not replies: an abandoned ask may still write there
	for i := range failed {
		failed[i].err = err
	}
	return failed
}

func lockTaken(ctx context.Context, n *node, name string) (bool, error) {
	db, _, err := n.openDB(ctx)
	if err != nil {
		return false, err
	}
	defer db.Close()
	var holder sql.NullInt64
	err = db.QueryRowContext(ctx, "SELECT IS_USED_LOCK(?)", name).Scan(&holder)
	return holder.Valid, err
}

// dbWritable looks for servers that take no writes.
func dbWritable() Check {
	return question[dbFacts]{
		Info: Info{
			Name: "db-writable", Family: FamilyDatabase,
			Title: "Does the server that each node reaches take writes?",
			Why:   "On a read-only replica, or a cluster member without quorum, every token and every submission fails.",
			Mend:  "point database_host to the primary",
		},
		ask: askDatabase,
		judge: func(_ context.Context, v *verdicts, answers []answer[dbFacts]) {
			for _, a := range answers {
				x, m := a.value.vars, a.value.member
				switch {
				case a.value.readOnly() && m != nil && m.Role == roleSecondary:
					v.fail(a.node, "", "%s is read-only: a secondary of its group", a.value.address)
				case a.value.readOnly():
					v.fail(a.node, "", "%s is read-only", a.value.address)
				case a.value.group() != "" && m == nil:
					v.add(a.node, Unknown, "GRANT "+groupPrivilege+" TO mosparo's user",
						fmt.Sprintf("%s is not read-only; whether its replication group lets it write may not be asked", a.value.address))
				case m != nil && !m.joined():
					v.fail(a.node, "", "%s is %s in its group, which gets none of what is written there", a.value.address, m.State)
				case m != nil && !m.Quorum():
					v.fail(a.node, "", "%s reaches %d of its group's %d members: no quorum", a.value.address, len(m.seen)-m.lost, len(m.seen))
				case a.value.vars["wsrep_cluster_status"] != "" && x["wsrep_cluster_status"] != "Primary" && a.value.cluster() != "":
					v.fail(a.node, "", "%s is in the cluster's %s part: no quorum", a.value.address, oneLine(x["wsrep_cluster_status"]))
				case x["wsrep_ready"] == "OFF" && a.value.cluster() != "":
					v.fail(a.node, "", "%s is not ready (%s)", a.value.address, oneLine(x["wsrep_local_state_comment"]))
				default:
					v.ok(a.node, "%s takes writes", a.value.address)
				}
			}
		},
	}
}

// dbVersion compares the server with what mosparo believes it to be.
func dbVersion() Check {
	return question[dbFacts]{
		Info: Info{
			Name: "db-version", Family: FamilyDatabase,
			Title: "Is the database the one that the configuration names?",
			Why:   "database_version chooses the dialect of SQL, and mosparo never looks again after its setup.",
			Mend:  "set database_version in config/env.mosparo.php to the server's version, then: " + syncHint,
		},
		ask: askDatabase,
		judge: func(_ context.Context, v *verdicts, answers []answer[dbFacts]) {
			for _, a := range answers {
				is, said := a.value.vars["version"], a.value.declared
				saidMaria := strings.Contains(strings.ToLower(said), "mariadb")
				switch {
				case said == "":
					v.warn(a.node, "", "the configuration has no database_version; the server is %s", oneLine(is))
				case saidMaria != a.value.mariadb():
					v.fail(a.node, "", "the configuration says %s, the server is %s", oneLine(said), oneLine(is))
				case branch(said) != branch(is):
					v.warn(a.node, "", "the configuration says %s, the server is %s", oneLine(said), oneLine(is))
				default:
					v.ok(a.node, "%s", oneLine(is))
				}
			}
		},
	}
}
