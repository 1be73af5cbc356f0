package health

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mosparoctl/mosparoctl/internal/lab/server"
	"github.com/mosparoctl/mosparoctl/inventory"
)

// useMariaDB makes the rig's nodes use the server, under the name db.internal.
func (r *rig) useMariaDB(db *server.MariaDB, name string) {
	r.t.Helper()
	db.AddUser(r.t, "mosparo", dbPassword)
	db.Execute(r.t, "GRANT ALL ON "+name+".* TO 'mosparo'@'%'")
	var version string
	if err := db.DB(r.t, "").QueryRow("SELECT VERSION()").Scan(&version); err != nil {
		r.t.Fatal(err)
	}
	for _, m := range r.machines {
		m.lead("db.internal:3306", db.Addr)
		m.edit("config/env.mosparo.php", "'database_system' => 'sqlite'", fmt.Sprintf("'database_system' => 'mysql',\n  'database_host' => 'db.internal',\n"+
			"  'database_port' => '3306',\n  'database_name' => '%s',\n  'database_user' => 'mosparo',\n  'database_version' => '%s'", name, version))
		m.edit("config/env.mosparo.php", "pdo_sqlite", "pdo_mysql")
		m.php("8.2.1", "UTC", append([]string{"pdo_mysql"}, goodExtensions...)...)
	}
}

func TestRealMariaDB(t *testing.T) {
	cert, key := certificate(t, "db.internal")
	one := server.StartMariaDB(t, "--ssl-cert="+cert, "--ssl-key="+key, "--ssl-ca="+cert)
	two := server.StartMariaDB(t)
	name := one.Database(t)
	two.Execute(t, "CREATE DATABASE IF NOT EXISTS "+name)
	rigWith := func(t *testing.T) *rig {
		r := newRig(t)
		r.useMariaDB(one, name)
		return r
	}
	t.Run("healthy", func(t *testing.T) {
		for _, res := range rigWith(t).check(Filter{}).Results {
			if res.Verdict != OK {
				t.Errorf("%s is %s: %+v", res.Name, res.Verdict, res.Evidence)
			}
			if res.Family == FamilyDatabase && len(res.Evidence) != 3 {
				t.Errorf("%s: evidence of %d nodes", res.Name, len(res.Evidence))
			}
		}
	})
	const config = "config/env.mosparo.php"
	older, other := "10.3.1-MariaDB", "8.0.37"
	if one.MySQL {
		older, other = other, older
	}
	onTwo := func(r *rig) {
		other := &rig{t: r.t} // gives the second server the same user
		other.useMariaDB(two, name)
		r.machines[1].lead("db.internal:3306", two.Addr)
	}
	for _, f := range []fault{
		{"server down", func(r *rig) { r.machines[1].lead("db.internal:3306", "127.0.0.1:1") }, "db-reach", Fail, "app1", "can't be reached from here"},
		{"wrong password", func(r *rig) { r.machines[1].edit(config, dbPassword, "wrong") }, "db-reach", Fail, "app1", "refuses the user mosparo"},
		{"no such database", func(r *rig) { r.machines[1].edit(config, name, "nosuch") }, "db-reach", Fail, "app1", "no database nosuch"},
		{"another kind", func(r *rig) { r.machines[1].edit(config, "'mysql'", "'postgres'") }, "db-reach", Unknown, "app1", "postgres"},
		{"another server", onTwo, "db-same", Fail, "app1", "reaches the server"},
		{"another database", func(r *rig) { r.machines[1].edit(config, "'"+name+"'", "'information_schema'") }, "db-same", Fail, "app1", "uses the database information_schema"},
		{"read-only", func(r *rig) {
			onTwo(r)
			two.Execute(r.t, "SET GLOBAL read_only = 1")
			r.t.Cleanup(func() { two.Execute(r.t, "SET GLOBAL read_only = 0") })
		}, "db-writable", Fail, "app1", "is read-only"},
		{"called another kind", func(r *rig) { r.declare(config, other) }, "db-version", Fail, "app1", "the configuration says " + other},
		{"called older", func(r *rig) { r.declare(config, older) }, "db-version", Warn, "app1", "the configuration says " + strings.TrimSuffix(older, "-MariaDB")},
		{"not called", func(r *rig) { r.declare(config, "") }, "db-version", Warn, "app1", "has no database_version"},
	} {
		t.Run(f.check+"/"+f.name, func(t *testing.T) {
			r := rigWith(t)
			f.plant(r)
			res := result(t, r.check(Filter{Only: []string{f.check}}), f.check)
			if e, _ := res.On(f.node); e.Verdict != f.verdict || !strings.Contains(e.Text, f.text) {
				t.Errorf("got %s %q, want %s %q", e.Verdict, e.Text, f.verdict, f.text)
			}
		})
	}
	t.Run("TLS", func(t *testing.T) {
		r := rigWith(t)
		one.Execute(t, "ALTER USER 'mosparo'@'%' REQUIRE SSL")
		testDatabaseTLS(t, r, cert)
	})
	t.Run("twins", func(t *testing.T) { testTwins(t, rigWith(t), onTwo) })
}

// declare sets database_version on app1.
func (r *rig) declare(config, version string) {
	r.t.Helper()
	var is string
	for line := range strings.Lines(string(mustRead(r.t, r.machines[1].path(config)))) {
		if rest, ok := strings.CutPrefix(line, "  'database_version' => '"); ok {
			is, _, _ = strings.Cut(rest, "'")
		}
	}
	r.machines[1].edit(config, "'"+is+"'", "'"+version+"'")
}

// testTwins: two servers that say the same of themselves are told apart by a lock.
func testTwins(t *testing.T, r *rig, onTwo func(*rig)) {
	onTwo(r)
	s := session1(t, Env{Deployment: r.d, Hosts: r})
	q := dbSame().(question[dbFacts])
	q.ask = func(ctx context.Context, n *node) (dbFacts, error) {
		f, err := n.database(ctx)
		if err == nil {
			f.vars["port"], f.vars["hostname"], f.vars["server_uid"], f.vars["server_uuid"] = "3306", "db", "", "" // copies say the same
		}
		return f, err
	}
	res := q.run(t.Context(), s)
	if e, _ := res.On("app1"); e.Verdict != Fail || !strings.Contains(e.Text, "though both call themselves db:3306") {
		t.Errorf("app1: %+v", e)
	}
	if e, _ := res.On("app2"); e.Verdict != OK {
		t.Errorf("app2: %+v", e)
	}
}

func TestJudgeCluster(t *testing.T) {
	d := nodes("a", "b", "c", "d")
	d.Database.Topology = inventory.ActiveActive
	s := session1(t, Env{Deployment: d, Hosts: connector{}})
	facts := func(host, cluster, status, ready string) dbFacts {
		return dbFacts{database: "mosparo", address: host + ":3306", vars: map[string]string{"hostname": host, "port": "3306", "version": "10.11.2-MariaDB",
			"wsrep_cluster_state_uuid": cluster, "wsrep_cluster_status": status, "wsrep_ready": ready, "wsrep_local_state_comment": "Joining"}}
	}
	all := map[string]dbFacts{"a": facts("m1", "c1", "Primary", "ON"), "b": facts("m2", "c1", "Primary", "ON"),
		"c": facts("m3", "c2", "non-Primary", "ON"), "d": facts("m4", "c1", "Primary", "OFF")}
	ask := func(_ context.Context, n *node) (dbFacts, error) { return all[n.Name], nil }
	same, writable := dbSame().(question[dbFacts]), dbWritable().(question[dbFacts])
	same.ask, writable.ask = ask, ask
	for node, want := range map[string]Verdict{"a": OK, "b": OK, "c": Fail, "d": OK} {
		if e, _ := same.run(t.Context(), s).On(node); e.Verdict != want {
			t.Errorf("same: %+v", e)
		}
	}
	for node, want := range map[string]string{"a": "takes writes", "c": "no quorum", "d": "not ready (Joining)"} {
		if e, _ := writable.run(t.Context(), s).On(node); !strings.Contains(e.Text, want) {
			t.Errorf("writable: %+v", e)
		}
	}
}

func TestRealRedis(t *testing.T) {
	addr := server.Redis(t, "--requirepass", cachePassword)
	r := newRig(t)
	for _, m := range r.machines {
		m.lead("cache.internal:6379", addr)
	}
	for _, res := range r.check(Filter{Families: []Family{FamilyCache}}).Results {
		if res.Verdict != OK {
			t.Errorf("%s is %s: %+v", res.Name, res.Verdict, res.Evidence)
		}
	}
	_, port, _ := net.SplitHostPort(addr)
	replica := server.Redis(t, "--requirepass", cachePassword, "--replicaof", "127.0.0.1 "+port, "--masterauth", cachePassword)
	r.machines[1].lead("cache.internal:6379", replica)
	res := result(t, r.check(Filter{Only: []string{"cache-reach"}}), "cache-reach")
	if e, _ := res.On("app1"); e.Verdict != Fail || !strings.Contains(e.Text, "READONLY") || !strings.Contains(e.Mend, "replica") {
		t.Errorf("replica: %+v", e)
	}
	r.machines[1].lead("cache.internal:6379", server.Redis(t))
	res = result(t, r.check(Filter{Only: []string{"cache-reach"}}), "cache-reach")
	if e, _ := res.On("app1"); e.Verdict != Fail || !strings.Contains(e.Mend, "has no password") {
		t.Errorf("server without a password: %+v", e)
	}
}

func TestRealMemcached(t *testing.T) {
	one, two, other := server.Memcached(t), server.Memcached(t), server.Memcached(t)
	r := newRig(t)
	for _, m := range r.machines {
		m.node.Cache.Adapter = inventory.CacheMemcached
		m.lead("m1.internal:11211", one)
		m.lead("m2.internal:11211", two)
		m.edit(".env.local", "ADAPTER=redis\n", "ADAPTER=memcached\nMEMCACHED_URL='memcached:?host[m1.internal]&host[m2.internal:11211]=2'\n")
		m.php("8.2.1", "UTC", append([]string{"memcached"}, goodExtensions...)...)
	}
	for _, res := range r.check(Filter{Families: []Family{FamilyCache, FamilyPHP}}).Results {
		if res.Verdict != OK {
			t.Errorf("%s is %s: %+v", res.Name, res.Verdict, res.Evidence)
		}
	}
	// One of the two servers is another one for app2.
	r.machines[2].lead("m2.internal:11211", other)
	res := result(t, r.check(Filter{Only: []string{"cache-shared"}}), "cache-shared")
	if e, _ := res.On("app2"); e.Verdict != Fail || !strings.Contains(e.Text, "reads nothing of what admin1, app1 wrote") {
		t.Errorf("got %+v", e)
	}
	r.machines[2].lead("m2.internal:11211", "127.0.0.1:1")
	res = result(t, r.check(Filter{Only: []string{"cache-reach"}}), "cache-reach")
	if e, _ := res.On("app2"); e.Verdict != Fail {
		t.Errorf("got %+v", e)
	}
}

// The node's real date, df, find and php answer what the checks expect of them.
func TestRealCommands(t *testing.T) {
	php := server.Binary(t, "php")
	r := newRig(t, "admin1")
	m := r.machines[0]
	m.node.PHP.Command = []string{php, "-n", "-d", "date.timezone=Europe/Berlin"}
	n := session1(t, Env{Deployment: r.d, Hosts: r}).nodes[0]
	facts, err := do(t.Context(), n, func(ctx context.Context) (phpFacts, error) { return n.phpOf(ctx) })
	if err != nil || facts.cli.timezone != "Europe/Berlin" || branch(facts.cli.version) == facts.cli.version || len(facts.cli.extensions) < 5 {
		t.Errorf("got %+v, %v", facts, err)
	}
	fpm := server.Binary(t, "php-fpm8.2", "php-fpm8.3", "php-fpm8.4", "php-fpm")
	m.mu.Lock()
	m.run = nil // this machine's php-fpm is the node's now
	m.mu.Unlock()
	m.node.PHP.Reload = []string{"systemctl", "reload", strings.Replace(strings.TrimPrefix(fpm[strings.LastIndexByte(fpm, '/')+1:], "php-"), "fpm", "php", 1) + "-fpm"}
	n = session1(t, Env{Deployment: r.d, Hosts: r}).nodes[0]
	facts, err = do(t.Context(), n, func(ctx context.Context) (phpFacts, error) { return n.phpOf(ctx) })
	if err != nil || facts.fpm == nil || !strings.HasPrefix(facts.fpm.version, branch(facts.cli.version)) || len(facts.fpm.extensions) < 5 {
		t.Errorf("got %+v, %v", facts.fpm, err)
	}
}

// Sentinels say where the primary is; both are dialled from the node.
func TestRealSentinel(t *testing.T) {
	primary := server.Redis(t, "--requirepass", cachePassword)
	host, port, _ := net.SplitHostPort(primary)
	addr := server.FreeAddress(t)
	_, sentinelPort, _ := net.SplitHostPort(addr)
	config := filepath.Join(t.TempDir(), "sentinel.conf")
	text := fmt.Sprintf("port %s\nbind 127.0.0.1\ndir %s\nsentinel monitor main %s %s 1\nsentinel auth-pass main %s\n",
		sentinelPort, filepath.Dir(config), host, port, cachePassword)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	server.Start(t, server.Binary(t, "redis-server"), config, "--sentinel").WaitFor("sentinel", server.Answers("tcp", addr))
	r := newRig(t)
	for _, m := range r.machines {
		m.lead("s1.internal:26379", addr)
		m.lead(primary, primary)
		m.edit(".env.local", "@cache.internal:6379/2?lazy=1", "@?host[s1.internal:26379]&redis_sentinel=main&dbindex=2&lazy=1")
	}
	for _, res := range r.check(Filter{Families: []Family{FamilyCache}}).Results {
		if res.Verdict != OK {
			t.Errorf("%s is %s: %+v", res.Name, res.Verdict, res.Evidence)
		}
	}
}
