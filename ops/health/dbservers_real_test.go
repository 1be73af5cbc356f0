package health

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mosparoctl/mosparoctl/internal/lab/server"
	"github.com/mosparoctl/mosparoctl/inventory"
)

// listServers puts servers into the inventory, asked as their administrator.
func (r *rig) listServers(topology inventory.Topology, servers ...*server.MariaDB) {
	r.d.Database = inventory.Database{System: "mysql", Topology: topology, User: servers[0].User, Password: inventory.NewSecret(servers[0].Pass)}
	for i, s := range servers {
		host, port, _ := net.SplitHostPort(s.Addr)
		n, _ := strconv.Atoi(port)
		r.d.Database.Servers = append(r.d.Database.Servers, inventory.DatabaseServer{Name: fmt.Sprintf("db%d", i+1), Host: host, Port: n})
		for _, m := range r.machines {
			m.lead(s.Addr, s.Addr)
		}
	}
}

// eventually asks db-servers until a server's evidence is as wanted.
func (r *rig) eventually(name string, v Verdict, text string) Result {
	r.t.Helper()
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		res := result(r.t, r.check(Filter{Only: []string{"db-servers"}}), "db-servers")
		if e, _ := res.On(name); e.Verdict == v && strings.Contains(e.Text, text) {
			return res
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			r.t.Fatalf("%s never is %s with %q: %+v", name, v, text, res.Evidence)
		}
	}
}

func TestRealReplication(t *testing.T) {
	primary := server.StartMariaDB(t, "--server-id=11", "--log-bin=bin")
	replica := server.StartMariaDB(t, "--server-id=12", "--read-only=1")
	replica.Follow(t, primary, "localhost") // which the inventory calls otherwise
	r := newRig(t)
	r.useMariaDB(primary, primary.Database(t))
	r.listServers(inventory.ActivePassive, primary, replica)

	res := r.eventually("db2", OK, "replicates from db1, 0 s behind, read-only")
	if e, _ := res.On("db1"); e.Verdict != OK || !strings.Contains(e.Text, "takes writes") {
		t.Errorf("the primary: %+v", e)
	}
	if len(res.Servers) != 2 || !res.Servers[0].Writable || res.Servers[1].Writable || res.Servers[1].Replication[0].Source != "db1" || res.Servers[0].Limit < 1 || res.Servers[0].Node != "admin1" {
		t.Errorf("servers: %+v", res.Servers)
	}

	replica.Execute(t, "SET GLOBAL read_only = 0")
	r.eventually("db2", Warn, "takes writes, though it replicates from db1")
	replica.Execute(t, "SET GLOBAL read_only = 1")

	replica.Execute(t, "STOP SLAVE SQL_THREAD")
	r.eventually("db2", Fail, "replication from db1 has stopped: it does not apply changes")
	replica.Execute(t, "STOP SLAVE", "CHANGE MASTER TO master_delay = 3600", "START SLAVE")
	primary.Execute(t, "CREATE DATABASE late")
	r.d.Check.Lag = time.Second
	r.eventually("db2", Warn, "s behind db1")
	r.d.Check.Lag = 0
	replica.Execute(t, "STOP SLAVE", "CHANGE MASTER TO master_delay = 0, master_password = 'wrong'", "START SLAVE")
	r.eventually("db2", Fail, "Access denied")

	primary.Execute(t, "SET GLOBAL read_only = 1")
	r.eventually("db1", Fail, "takes no writes, and neither does any other server")
	primary.Execute(t, "SET GLOBAL read_only = 0")
	replica.Execute(t, "STOP SLAVE", "RESET SLAVE ALL", "SET GLOBAL read_only = 0")
	r.eventually("db1", Fail, "and so does db2, and neither follows the other")

	t.Run("grants", func(t *testing.T) { testGrants(t, r, primary, replica) })

	replica.Process.Kill()
	res = r.eventually("db2", Fail, "can't be reached from here")
	if e, _ := res.On("db1"); e.Verdict == Fail {
		t.Errorf("a dead replica is blamed on the primary: %+v", e)
	}
	r.dead["admin1"] = fmt.Errorf("no route")
	if res = r.eventually("db2", Fail, "can't be reached"); res.Servers[0].Node != "app1" || res.Servers[0].Error != "" {
		t.Errorf("with the first node away: %+v", res.Servers)
	}
}

// testGrants: mosparo's own user may not ask for replication, and is told which privilege that takes; it is enough, too.
func testGrants(t *testing.T, r *rig, primary, replica *server.MariaDB) {
	replica.Execute(t, "SET GLOBAL read_only = 1")
	replica.AddUser(t, "mosparo", dbPassword)
	r.d.Database.User, r.d.Database.Password = "", inventory.Secret{}
	privilege := "REPLICA MONITOR"
	if replica.MySQL {
		privilege = "REPLICATION CLIENT"
	}
	res := r.eventually("db2", Unknown, "lacks the privilege "+privilege)
	if e, _ := res.On("db2"); !strings.Contains(e.Mend, "GRANT "+privilege+" ON *.*") {
		t.Errorf("mend: %q", e.Mend)
	}
	for _, db := range []*server.MariaDB{primary, replica} {
		db.Execute(t, "GRANT "+privilege+" ON *.* TO 'mosparo'@'%'")
	}
	r.eventually("db2", Fail, "is read-only and replicates from nobody")
	r.d.Database.User, r.d.Database.Password = "nobody", inventory.NewSecret("wrong")
	res = r.eventually("db1", Fail, "refuses the user nobody")
	if e, _ := res.On("db1"); !strings.Contains(e.Mend, "in the inventory") {
		t.Errorf("mend: %q", e.Mend)
	}
	r.d.Database.User, r.d.Database.Password = primary.User, inventory.NewSecret(primary.Pass)
}

func TestRealGalera(t *testing.T) {
	one, address := server.StartGalera(t, "", "skip")
	two, _ := server.StartGalera(t, address, "skip") // waits for its data, which never come
	r := newRig(t, "admin1")
	r.useMariaDB(one, one.Database(t))
	r.listServers(inventory.ActiveActive, one, two)
	r.eventually("db2", Fail, "is not in its cluster")
	res := r.eventually("db1", OK, "Synced in a cluster of 2, takes writes")
	if c := res.Servers[0].Cluster; c == nil || !c.Quorum() || c.Size != 2 || c.ID == "" {
		t.Errorf("cluster: %+v", c)
	}
	two.Process.Kill()
	r.eventually("db1", Fail, "no quorum: it is in the cluster's non-Primary part")
	one.Execute(t, "SET GLOBAL wsrep_provider_options = 'pc.bootstrap=YES'") // the mend
	res = r.eventually("db1", Warn, "the cluster has 1 members, the inventory lists 2")
	if !res.Servers[0].Writable {
		t.Error("the only member takes no writes")
	}
}
