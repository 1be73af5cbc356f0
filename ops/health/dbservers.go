package health

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/go-sql-driver/mysql"

	"github.com/mosparoctl/mosparoctl/inventory"
)

// dbServerCheck asks each database server of the inventory, through a node. It is a question to the servers, not to the
// nodes: the other checks of the family ask what each node reaches.
type dbServerCheck struct{ Info }

func dbServers() Check {
	return dbServerCheck{Info{
		Name: "db-servers", Family: FamilyDatabase,
		Title: "Is every database server there, in its role, and up to date?",
		Why:   "A replica that stopped or lags loses submissions when it takes over; with two writable servers the data part; a cluster without quorum takes no writes.",
		Mend:  "mosparoctl check --only db-servers",
	}}
}

func (c dbServerCheck) About() Info { return c.Info }

func (dbServerCheck) applies(d *inventory.Deployment) bool {
	return cmp.Or(d.Database.System, "mysql") == "mysql" && len(d.Database.Servers) > 0
}

func (c dbServerCheck) run(ctx context.Context, s *session) Result {
	d := s.env.Deployment
	servers := make([]DatabaseServer, len(d.Database.Servers))
	took := make([]Evidence, len(servers))
	var wg sync.WaitGroup
	for i, srv := range d.Database.Servers {
		wg.Go(func() {
			start := s.now()
			servers[i] = s.askServer(ctx, srv)
			took[i].At = s.now()
			took[i].Took = took[i].At.Sub(start)
		})
	}
	wg.Wait()
	nameSources(servers)
	v := &verdicts{session: s, info: c.Info, evidence: judgeDatabase(d.Database, d.Check.Lag, servers)}
	for i := range v.evidence {
		v.evidence[i].At, v.evidence[i].Took = took[i].At, took[i].Took
	}
	v.allOK("all %d servers are in their roles", len(servers))
	if len(servers) == 1 {
		v.allOK("%s", v.evidence[0].Text)
	}
	r := v.result()
	r.Servers = servers
	return r
}

// askersOfServer is how many nodes are tried before a server counts as not answering.
const askersOfServer = 2

// askServer asks one server through the first node that gets an answer.
func (s *session) askServer(ctx context.Context, srv inventory.DatabaseServer) DatabaseServer {
	out := DatabaseServer{Name: srv.Name, Address: net.JoinHostPort(srv.Host, strconv.Itoa(cmp.Or(srv.Port, 3306)))}
	out.Error = "no node could be asked"
	tried := 0
	for _, n := range s.nodes {
		got, err := do(ctx, n, func(ctx context.Context) (DatabaseServer, error) { return n.askServer(ctx, out) })
		var f *finding
		switch {
		case err == nil:
			return got
		case errors.As(err, &f):
			out.Node, out.Error, out.problem = n.Name, f.text, f
			tried++
		case out.problem == nil:
			out.Node, out.Error = n.Name, n.reason(err)
		}
		if tried == askersOfServer {
			break
		}
	}
	return out
}

// askServer asks one server through this node. A *finding as error is an answer of the server, or that there is none.
func (n *node) askServer(ctx context.Context, s DatabaseServer) (DatabaseServer, error) {
	s.Node, s.Error, s.problem = n.Name, "", nil
	db, cfg, err := n.openServer(ctx, s.Address)
	if err != nil {
		return s, err
	}
	defer db.Close()
	if err := db.PingContext(ctx); err != nil {
		return s, serverFailure(n, cfg, err)
	}
	f := dbFacts{vars: map[string]string{}}
	for _, query := range []string{
		"SHOW GLOBAL VARIABLES WHERE Variable_name IN (" + serverVariables + ",'server_id','max_connections','offline_mode','wsrep_on')",
		"SHOW GLOBAL STATUS WHERE Variable_name IN (" + serverStatus + ",'wsrep_cluster_size','Threads_connected')",
	} {
		if err := f.read(ctx, db, query); err != nil {
			return s, serverFailure(n, cfg, err)
		}
	}
	if err := f.readGroup(ctx, db); err != nil {
		return s, serverFailure(n, cfg, err)
	}
	s.describe(f)
	if s.group != "" && s.Cluster != nil {
		if err := s.Cluster.readBacklog(ctx, db); err != nil {
			return s, serverFailure(n, cfg, err)
		}
	}
	if s.Replication, err = replication(ctx, db, f.mariadb()); err != nil {
		var refused *mysql.MySQLError
		if !errors.As(err, &refused) || refused.Number != errPrivilege {
			return s, serverFailure(n, cfg, err)
		}
		s.Refused = "REPLICATION CLIENT"
		if strings.Contains(refused.Message, "SLAVE MONITOR") || strings.Contains(refused.Message, "REPLICA MONITOR") {
			s.Refused = "REPLICA MONITOR"
		}
	}
	if s.group != "" && s.Cluster == nil {
		s.Refused = groupPrivilege
	}
	return s, nil
}

// serverFailure is dbFailure where it may be the user of the inventory who is refused.
func serverFailure(n *node, cfg *mysql.Config, err error) error {
	var m *mysql.MySQLError
	if n.session.env.Deployment.Database.User != "" && errors.As(err, &m) && m.Number == errPassword {
		return failf("compare database: user: and password: in the inventory", "%s refuses the user %s and the password", cfg.Addr, cfg.User)
	}
	return dbFailure(n, cfg, err)
}

// openServer opens a server, not a database on it, as the user of the inventory if it names one, else as mosparo's.
func (n *node) openServer(ctx context.Context, address string) (*sql.DB, *mysql.Config, error) {
	db, cfg, err := n.openDB(ctx)
	if errors.Is(err, errNotConcerned) {
		err = fmt.Errorf("the configuration of %s names another kind of database", n.Name)
	}
	if err != nil {
		return nil, nil, err
	}
	_ = db.Close() // nothing was dialled
	cfg.Addr, cfg.DBName = address, ""
	if d := n.session.env.Deployment.Database; d.User != "" {
		cfg.User = d.User
		if cfg.Passwd, err = d.Password.Resolve(ctx); err != nil {
			return nil, nil, fmt.Errorf("password of %s: %w", d.User, err)
		}
		n.session.secret(cfg.Passwd)
	}
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, nil, err
	}
	db = sql.OpenDB(connector)
	db.SetMaxOpenConns(1)
	return db, cfg, nil
}

// describe takes over what the variables say.
func (s *DatabaseServer) describe(f dbFacts) {
	x := f.vars
	s.id, s.Version, s.group = x["server_id"], oneLine(x["version"]), f.group()
	s.Connections, _ = strconv.ParseFloat(x["threads_connected"], 64)
	s.Limit, _ = strconv.ParseFloat(x["max_connections"], 64)
	s.offline = x["offline_mode"] == "ON"
	s.Writable = !f.readOnly() && !s.offline
	if s.Cluster = f.member; s.Cluster != nil {
		s.Writable = s.Writable && (!s.Cluster.joined() || s.Cluster.Quorum() && s.Cluster.Ready) // outside of the group nothing holds writes back
		return
	}
	if x["wsrep_on"] != "ON" && x["wsrep_cluster_state_uuid"] == "" { // one that is joining has no state yet
		return
	}
	size, _ := strconv.Atoi(x["wsrep_cluster_size"])
	s.Cluster = &ClusterMember{Kind: Galera, ID: oneLine(x["wsrep_cluster_state_uuid"]), Size: size, Status: oneLine(x["wsrep_cluster_status"]),
		State: oneLine(x["wsrep_local_state_comment"]), Ready: x["wsrep_ready"] == "ON"}
	s.Writable = s.Writable && s.Cluster.Quorum() && s.Cluster.Ready
}

// replication asks a server whom it follows. MariaDB names all its sources at once, as MySQL does; older ones of both know
// only the old words, which newer ones of MySQL have dropped.
func replication(ctx context.Context, db *sql.DB, mariadb bool) ([]Replication, error) {
	queries := []string{"SHOW REPLICA STATUS", "SHOW SLAVE STATUS"}
	if mariadb {
		queries = []string{"SHOW ALL SLAVES STATUS"}
	}
	var err error
	for _, query := range queries {
		var rows []map[string]string
		if rows, err = table(ctx, db, query); err == nil {
			return sources(rows), nil
		}
		var refused *mysql.MySQLError
		if !errors.As(err, &refused) || refused.Number != errSyntax {
			return nil, err
		}
	}
	return nil, err
}

// sources reads the status of replicas by the names of any version.
func sources(rows []map[string]string) []Replication {
	var out []Replication
	for _, row := range rows {
		if strings.HasPrefix(row["channel_name"], "group_replication_") { // of the group's own making: its members' states say more
			continue
		}
		get := func(name string) string {
			renamed := strings.NewReplacer("slave", "replica", "master", "source").Replace(name)
			return cmp.Or(row[name], row[renamed])
		}
		r := Replication{Source: net.JoinHostPort(oneLine(get("master_host")), oneLine(get("master_port"))), sourceID: get("master_server_id"),
			Receiving: get("slave_io_running") == "Yes", Applying: get("slave_sql_running") == "Yes", Error: oneLine(cmp.Or(get("last_sql_error"), get("last_io_error")))}
		if lag, err := strconv.ParseFloat(get("seconds_behind_master"), 64); err == nil && lag >= 0 {
			r.Lag = &lag
		}
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b Replication) int { return cmp.Compare(a.Source, b.Source) })
	return out
}

// table reads rows whose columns depend on the server's version, by their names in lower case.
func table(ctx context.Context, db *sql.DB, query string) ([]map[string]string, error) {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	var out []map[string]string
	for rows.Next() {
		values, into := make([]sql.NullString, len(names)), make([]any, len(names))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		row := map[string]string{}
		for i, name := range names {
			row[strings.ToLower(name)] = values[i].String
		}
		out = append(out, row)
	}
	return out, rows.Err()
}
