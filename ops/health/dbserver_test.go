package health

import (
	"strings"
	"testing"
	"time"

	"github.com/mosparoctl/mosparoctl/inventory"
)

// following is a replica's stream from a source, lag seconds behind.
func following(source string, lag float64) Replication {
	return Replication{Source: source, Receiving: true, Applying: true, Lag: &lag}
}

func TestJudgeDatabase(t *testing.T) {
	primary := DatabaseServer{Name: "db1", Writable: true, Version: "10.11", Connections: 10, Limit: 40}
	replica := DatabaseServer{Name: "db2", Version: "10.11", Replication: []Replication{following("db1", 2)}}
	member := func(name string, change func(*ClusterMember)) DatabaseServer {
		c := &ClusterMember{ID: "c1", Size: 2, Status: "Primary", State: "Synced", Ready: true}
		change(c)
		return DatabaseServer{Name: name, Writable: c.Quorum() && c.Ready, Cluster: c}
	}
	well := func(*ClusterMember) {}
	with := func(s DatabaseServer, change func(*DatabaseServer)) DatabaseServer {
		change(&s)
		return s
	}
	for _, c := range []struct {
		name     string
		topology inventory.Topology
		servers  []DatabaseServer
		want     []Verdict
		text     string // of the last server
	}{
		{"one", inventory.Single, []DatabaseServer{primary}, []Verdict{OK}, "takes writes, 10.11"},
		{"one that is read-only", inventory.Single, []DatabaseServer{with(primary, func(s *DatabaseServer) { s.Writable = false })}, []Verdict{Fail}, "takes no writes"},
		{"no answer", inventory.Single, []DatabaseServer{{Name: "db1", Error: "gone", problem: &finding{Fail, "gone", "mend"}}}, []Verdict{Fail}, "gone"},
		{"nobody to ask", inventory.Single, []DatabaseServer{{Name: "db1", Error: "no node could be asked"}}, []Verdict{Unknown}, "no node"},
		{"a pair", inventory.ActivePassive, []DatabaseServer{primary, replica}, []Verdict{OK, OK}, "replicates from db1, 2 s behind, read-only"},
		{"lag", inventory.ActivePassive, []DatabaseServer{primary, with(replica, func(s *DatabaseServer) { s.Replication = []Replication{following("db1", 31)} })}, []Verdict{OK, Warn}, "31 s behind db1"},
		{"stopped", inventory.ActivePassive, []DatabaseServer{primary, with(replica, func(s *DatabaseServer) {
			s.Replication = []Replication{{Source: "db1", Receiving: true, Error: "duplicate"}}
		})}, []Verdict{OK, Fail}, "replication from db1 has stopped: duplicate"},
		{"stopped by hand", inventory.ActivePassive, []DatabaseServer{primary, with(replica, func(s *DatabaseServer) { s.Replication = []Replication{{Source: "db1"}} })},
			[]Verdict{OK, Fail}, "has stopped: neither thread runs"},
		{"writable replica", inventory.ActivePassive, []DatabaseServer{primary, with(replica, func(s *DatabaseServer) { s.Writable = true })}, []Verdict{OK, Warn}, "takes writes, though it replicates from db1"},
		{"two primaries", inventory.ActivePassive, []DatabaseServer{primary, with(primary, func(s *DatabaseServer) { s.Name = "db2" })}, []Verdict{Fail, Fail}, "and so does db1, and neither follows"},
		{"no primary", inventory.ActivePassive, []DatabaseServer{{Name: "db1", Error: "gone", problem: &finding{Fail, "gone", ""}}, replica}, []Verdict{Fail, Fail}, "takes no writes, and neither"},
		{"forgotten", inventory.ActivePassive, []DatabaseServer{primary, {Name: "db2"}}, []Verdict{OK, Fail}, "replicates from nobody"},
		{"refused", inventory.ActivePassive, []DatabaseServer{primary, {Name: "db2", Refused: "REPLICA MONITOR"}}, []Verdict{OK, Unknown}, "lacks the privilege REPLICA MONITOR"},
		{"refused, two writable", inventory.ActivePassive, []DatabaseServer{with(primary, func(s *DatabaseServer) { s.Refused = "X" }), {Name: "db2", Writable: true, Refused: "X"}},
			[]Verdict{Warn, Warn}, "and so does db1"},
		{"refused, but nobody needs to know", inventory.Single, []DatabaseServer{with(primary, func(s *DatabaseServer) { s.Refused = "X" })}, []Verdict{OK}, "takes writes"},
		{"cluster", inventory.ActiveActive, []DatabaseServer{member("a", well), member("b", well)}, []Verdict{OK, OK}, "Synced in a cluster of 2, takes writes"},
		{"no quorum", inventory.ActiveActive, []DatabaseServer{member("a", well), member("b", func(c *ClusterMember) { c.Status, c.Size = "non-Primary", 1 })}, []Verdict{OK, Fail}, "no quorum"},
		{"waiting", inventory.ActiveActive, []DatabaseServer{member("a", well), member("b", func(c *ClusterMember) { *c = ClusterMember{Status: "non-Primary"} })}, []Verdict{OK, Fail}, "is not in its cluster: it is joining"},
		{"joining", inventory.ActiveActive, []DatabaseServer{member("a", well), member("b", func(c *ClusterMember) { c.Ready, c.State = false, "Joining" })}, []Verdict{OK, Fail}, "not ready: Joining"},
		{"another cluster", inventory.ActiveActive, []DatabaseServer{member("a", well), member("b", func(c *ClusterMember) { c.ID = "c2" })}, []Verdict{OK, Fail}, "another cluster than a"},
		{"a member is missing", inventory.ActiveActive, []DatabaseServer{{Name: "c", Error: "gone", problem: &finding{Fail, "gone", ""}}, member("a", well), member("b", well)}, []Verdict{Fail, Warn, Warn}, "2 members, the inventory lists 3"},
		{"no cluster", inventory.ActiveActive, []DatabaseServer{member("a", func(c *ClusterMember) { c.Size = 1 }), {Name: "b", Writable: true}}, []Verdict{OK, Fail}, "no member of a cluster"},
		{"a ring", inventory.ActiveActive, []DatabaseServer{{Name: "a", Writable: true, Replication: []Replication{following("b", 0)}}, {Name: "b", Writable: true, Replication: []Replication{following("a", 0)}}},
			[]Verdict{OK, OK}, "replicates from a"},
	} {
		got := judgeDatabase(inventory.Database{Topology: c.topology}, 0, c.servers)
		for i, e := range got {
			if e.Verdict != c.want[i] || e.Node != c.servers[i].Name {
				t.Errorf("%s: %s is %s (%s), want %s", c.name, e.Node, e.Verdict, e.Text, c.want[i])
			}
		}
		if e := got[len(got)-1]; !strings.Contains(e.Text, c.text) {
			t.Errorf("%s: %q, want %q in it", c.name, e.Text, c.text)
		}
	}
	e := judgeDatabase(inventory.Database{Topology: inventory.ActivePassive}, 10*time.Second, []DatabaseServer{primary, replica})
	if f := e[0].Figures; len(f) != 1 || f[0].Name != "connections" || f[0].Value != 25 {
		t.Errorf("figures of the primary: %+v", f)
	}
	if f := e[1].Figures; len(f) != 1 || f[0] != (Figure{Name: "lag", Value: 2, Unit: "s", Warn: 10}) {
		t.Errorf("figures of the replica: %+v", f)
	}
}

// A replica's own words for its source are turned into the inventory's: by number where that is unique, else by address.
func TestNameSources(t *testing.T) {
	follow := func(source, id string) []Replication { return []Replication{{Source: source, sourceID: id}} }
	servers := []DatabaseServer{{Name: "a", Address: "10.0.0.1:3306", id: "1"}, {Name: "b", Address: "10.0.0.2:3306", id: "2", Replication: follow("primary.internal:3306", "1")},
		{Name: "c", Address: "10.0.0.3:3306", id: "2", Replication: follow("10.0.0.1:3306", "9")}, {Name: "d", Address: "10.0.0.4:3306", id: "4", Replication: follow("elsewhere:3306", "2")}}
	nameSources(servers)
	for i, want := range []string{"", "a", "a", "elsewhere:3306"} {
		if want != "" && servers[i].Replication[0].Source != want {
			t.Errorf("%s follows %s, want %s", servers[i].Name, servers[i].Replication[0].Source, want)
		}
	}
}

// The columns of MariaDB, of MySQL 8 and of older versions are read alike.
func TestSources(t *testing.T) {
	for _, row := range []map[string]string{
		{"master_host": "db1", "master_port": "3306", "master_server_id": "7", "slave_io_running": "Yes", "slave_sql_running": "No", "seconds_behind_master": "", "last_sql_error": "bad\nrow"},
		{"source_host": "db1", "source_port": "3306", "source_server_id": "7", "replica_io_running": "Yes", "replica_sql_running": "No", "seconds_behind_source": "", "last_sql_error": "bad\nrow"},
	} {
		got := sources([]map[string]string{row})
		if len(got) != 1 || got[0].Source != "db1:3306" || got[0].sourceID != "7" || !got[0].Receiving || got[0].Applying || got[0].Lag != nil || got[0].Error != "bad row" {
			t.Errorf("got %+v", got)
		}
		row["seconds_behind_master"], row["seconds_behind_source"] = "12", "12"
		if got = sources([]map[string]string{row}); got[0].Lag == nil || *got[0].Lag != 12 {
			t.Errorf("lag: %+v", got)
		}
	}
	if got := sources(nil); got != nil {
		t.Errorf("a server that follows nobody: %+v", got)
	}
}
