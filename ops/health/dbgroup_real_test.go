//go:build mysql

package health

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/mosparoctl/mosparoctl/internal/lab/server"
	"github.com/mosparoctl/mosparoctl/inventory"
)

// groupMembers is a group of MySQL servers on loopback, and the addresses under which they speak to each other.
type groupMembers struct {
	servers   []*server.MariaDB
	addresses []string
}

// alone runs statements in one session of a member that the group does not get, though it is a secondary.
func (g groupMembers) alone(t *testing.T, i int, statements ...string) {
	t.Helper()
	c, err := g.servers[i].DB(t, "").Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, s := range append([]string{"SET GLOBAL super_read_only = 0", "SET sql_log_bin = 0"}, statements...) {
		if _, err := c.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// evidence is that of one check on one node.
func (r *rig) evidence(check, node string) Evidence {
	r.t.Helper()
	e, _ := result(r.t, r.check(Filter{Only: []string{check}}), check).On(node)
	return e
}

func (r *rig) wantEvidence(check, node string, v Verdict, text string) {
	r.t.Helper()
	if e := r.evidence(check, node); e.Verdict != v || !strings.Contains(e.Text, text) {
		r.t.Errorf("%s on %s: %s %q, want %s %q", check, node, e.Verdict, e.Text, v, text)
	}
}

func TestRealGroupReplication(t *testing.T) {
	var g groupMembers
	g.servers, g.addresses = server.StartGroup(t, 3)
	db1, db2, db3 := g.servers[0], g.servers[1], g.servers[2]
	r := newRig(t)
	r.useMariaDB(db1, db1.Database(t))
	r.listServers(inventory.ActivePassive, db1, db2, db3)

	r.eventually("db2", OK, "secondary in a group of 3, 0 s behind, read-only")
	res := r.eventually("db3", OK, "secondary in a group of 3, 0 s behind, read-only")
	if e, _ := res.On("db1"); e.Verdict != OK || !strings.Contains(e.Text, "primary in a group of 3, takes writes") {
		t.Errorf("the primary: %+v", e)
	}
	if c := res.Servers[2].Cluster; c == nil || c.Kind != GroupReplication || c.Size != 3 || !c.Quorum() || !c.Standby() || c.ID == "" || c.Queue == nil || c.Lag == nil || res.Servers[0].Cluster.Lag != nil {
		t.Errorf("members: %+v %+v", c, res.Servers[0].Cluster)
	}

	t.Run("grants", func(t *testing.T) { testGroupGrants(t, r, db1) })
	t.Run("nodes", func(t *testing.T) { testGroupNodes(t, r, g) })
	t.Run("lag", func(t *testing.T) { testGroupLag(t, r, db1, db3) })

	db3.Execute(t, "STOP GROUP_REPLICATION")
	res = r.eventually("db3", Fail, "is OFFLINE: it takes no part in its group")
	if e, _ := res.On("db3"); e.Mend != "START GROUP_REPLICATION" {
		t.Errorf("mend: %q", e.Mend)
	}
	r.eventually("db1", Warn, "the group has 2 members, the inventory lists 3")
	db3.Execute(t, "SET GLOBAL read_only = 0")
	r.eventually("db3", Fail, "takes writes that the group does not get")
	db3.Execute(t, "SET GLOBAL super_read_only = 1", "START GROUP_REPLICATION") // the mend
	r.eventually("db3", OK, "secondary in a group of 3")

	t.Run("error", func(t *testing.T) { testGroupError(t, r, g) })

	db3.Process.Kill()
	r.eventually("db1", Warn, "the group has 2 members, the inventory lists 3") // it has expelled db3: the majority is one of two now
	r.eventually("db3", Fail, "can't be reached")
	r.wantEvidence("db-writable", "admin1", OK, "takes writes")
	db2.Process.Kill()
	res = r.eventually("db1", Fail, "no quorum: it reaches 1 of its group's 2 members")
	if res.Servers[0].Writable {
		t.Error("a minority takes writes")
	}
	r.wantEvidence("db-writable", "admin1", Fail, "reaches 1 of its group's 2 members: no quorum")
	db1.Execute(t, "SET GLOBAL group_replication_force_members = '"+g.addresses[0]+"'", "SET GLOBAL group_replication_force_members = ''") // the mend
	res = r.eventually("db1", Warn, "the group has 1 members, the inventory lists 3")
	if !res.Servers[0].Writable {
		t.Error("the only member takes no writes")
	}

	db3.Start(t) // which does not join by itself
	r.eventually("db3", Fail, "is OFFLINE in its group, and takes writes that the group does not get")
	g.servers[2].FoundGroup(t)
	r.eventually("db3", Fail, "is in a group of its own: db1 has one of the same name")
	r.eventually("db1", Fail, "is in a group of its own: db3 has one of the same name")
}

// testGroupGrants: mosparo's own user may not ask for the group, and is told what that takes, which is enough.
func testGroupGrants(t *testing.T, r *rig, primary *server.MariaDB) {
	d := r.d.Database
	r.d.Database.User, r.d.Database.Password = "", inventory.Secret{}
	defer func() { r.d.Database = d }()
	for _, name := range []string{"db1", "db2"} {
		res := r.eventually(name, Unknown, "lacks the privilege SELECT ON performance_schema.replication_group_members")
		if e, _ := res.On(name); !strings.Contains(e.Mend, "GRANT SELECT ON performance_schema.* TO") {
			t.Errorf("mend: %q", e.Mend)
		}
	}
	r.wantEvidence("db-writable", "app1", Unknown, "may not be asked")
	if e := r.evidence("db-writable", "app1"); e.Mend != "GRANT SELECT ON performance_schema.replication_group_members TO mosparo's user" {
		t.Errorf("mend: %q", e.Mend)
	}
	primary.Execute(t, "GRANT SELECT ON performance_schema.replication_group_members TO 'mosparo'@'%'")
	r.eventually("db2", OK, "secondary in a group of 3, read-only") // how far behind it is, it may not ask
	r.wantEvidence("db-writable", "app1", OK, "takes writes")
	primary.Execute(t, "GRANT SELECT ON performance_schema.* TO 'mosparo'@'%'")
	r.eventually("db2", OK, "secondary in a group of 3, 0 s behind, read-only")
}

// testGroupNodes: nodes that use several members of a group, in both modes of it.
func testGroupNodes(t *testing.T, r *rig, g groupMembers) {
	primary := g.servers[0]
	r.machines[1].lead("db.internal:3306", g.servers[1].Addr)
	defer r.machines[1].lead("db.internal:3306", primary.Addr)
	r.wantEvidence("db-reach", "app1", OK, "one query in")
	r.wantEvidence("db-same", "app1", Fail, "reaches the server")
	r.wantEvidence("db-writable", "app1", Fail, "is read-only: a secondary of its group")

	r.d.Database.Topology = inventory.ActiveActive
	defer func() { r.d.Database.Topology = inventory.ActivePassive }()
	r.eventually("db2", Warn, "takes no writes: its group has a single primary")
	primary.Execute(t, "SELECT group_replication_switch_to_multi_primary_mode()")
	res := r.eventually("db2", OK, "primary in a group of 3, 0 s behind, takes writes")
	if res.Verdict != OK {
		t.Errorf("multi-primary: %+v", res.Evidence)
	}
	r.wantEvidence("db-same", "app1", OK, "a member of the same cluster")
	r.wantEvidence("db-writable", "app1", OK, "takes writes")
	primary.Execute(t, "SELECT group_replication_switch_to_single_primary_mode(@@server_uuid)")
}

// testGroupLag: a member that can't apply what it gets falls behind.
func testGroupLag(t *testing.T, r *rig, primary, secondary *server.MariaDB) {
	c, err := secondary.DB(t, "").Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.ExecContext(t.Context(), "FLUSH TABLES WITH READ LOCK"); err != nil {
		t.Fatal(err)
	}
	primary.Execute(t, "CREATE DATABASE late1", "CREATE DATABASE late2")
	r.d.Check.Lag = time.Second
	res := r.eventually("db3", Warn, "s behind its group")
	if q := res.Servers[2].Cluster.Queue; q == nil || *q == 0 {
		t.Errorf("queue: %+v", res.Servers[2].Cluster)
	}
	r.d.Check.Lag = 0
	if _, err := c.ExecContext(context.WithoutCancel(t.Context()), "UNLOCK TABLES"); err != nil {
		t.Fatal(err)
	}
	r.eventually("db3", OK, "0 s behind")
}

// testGroupError: a member that fails to apply a change leaves its group, and lets nobody in but administrators.
func testGroupError(t *testing.T, r *rig, g groupMembers) {
	g.alone(t, 2, "CREATE DATABASE clash", "SET GLOBAL super_read_only = 1")
	g.servers[0].Execute(t, "CREATE DATABASE clash")
	res := r.eventually("db3", Fail, "is ERROR: it takes no part in its group")
	if e, _ := res.On("db3"); !strings.Contains(e.Mend, "STOP GROUP_REPLICATION; START GROUP_REPLICATION") {
		t.Errorf("mend: %q", e.Mend)
	}
	r.machines[1].lead("db.internal:3306", g.servers[2].Addr)
	defer r.machines[1].lead("db.internal:3306", g.servers[0].Addr)
	r.wantEvidence("db-reach", "app1", Fail, "lets administrators in alone: The server is currently in offline mode")
	g.alone(t, 2, "DROP DATABASE clash", "SET GLOBAL super_read_only = 1")
	g.servers[2].Execute(t, "STOP GROUP_REPLICATION", "START GROUP_REPLICATION")
	r.eventually("db3", Fail, "is in offline mode: it lets administrators in alone")
	g.servers[2].Execute(t, "SET GLOBAL offline_mode = 0") // the rest of the mend
	r.eventually("db3", OK, "secondary in a group of 3")
	r.wantEvidence("db-reach", "app1", OK, "one query in")
}
