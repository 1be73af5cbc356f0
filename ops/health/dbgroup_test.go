package health

import (
	"context"
	"strings"
	"testing"

	"github.com/mosparoctl/mosparoctl/inventory"
)

// view is what a member's performance_schema says of its group: "id state role" for each member.
func view(members ...string) []map[string]string {
	var rows []map[string]string
	for _, m := range members {
		f := strings.Split(m, " ")
		rows = append(rows, map[string]string{"member_id": f[0], "member_state": f[1], "member_role": f[2]})
	}
	return rows
}

// inGroup is a server of a group, as it is described from its variables and its view.
func inGroup(name, group, readOnly, single string, rows []map[string]string) DatabaseServer {
	f := dbFacts{vars: map[string]string{"server_uuid": name, "version": "8.4.3", "super_read_only": readOnly,
		"group_replication_group_name": group, "group_replication_single_primary_mode": single}}
	f.member = groupMember(group, f.vars, rows)
	s := DatabaseServer{Name: name}
	s.describe(f)
	return s
}

func TestGroupMember(t *testing.T) {
	for _, c := range []struct {
		name           string
		rows           []map[string]string
		size           int
		status         string
		state, role    string
		joined, quorum bool
	}{
		{"healthy", view("b ONLINE PRIMARY", "a ONLINE SECONDARY", "c ONLINE SECONDARY"), 3, "majority", "ONLINE", "SECONDARY", true, true},
		{"one recovers", view("a ONLINE PRIMARY", "b RECOVERING SECONDARY"), 2, "majority", "ONLINE", "PRIMARY", true, true},
		{"it recovers", view("b ONLINE PRIMARY", "a RECOVERING SECONDARY"), 2, "majority", "RECOVERING", "SECONDARY", true, true},
		{"one of three away", view("a ONLINE PRIMARY", "b ONLINE SECONDARY", "c UNREACHABLE SECONDARY"), 2, "majority", "ONLINE", "PRIMARY", true, true},
		{"two of three away", view("a ONLINE PRIMARY", "b UNREACHABLE SECONDARY", "c UNREACHABLE SECONDARY"), 1, "minority", "ONLINE", "PRIMARY", true, false},
		{"half is no majority", view("a ONLINE PRIMARY", "b UNREACHABLE SECONDARY"), 1, "minority", "ONLINE", "PRIMARY", true, false},
		{"alone", view("a ONLINE PRIMARY"), 1, "majority", "ONLINE", "PRIMARY", true, true},
		{"stopped", view("a OFFLINE "), 0, "", "OFFLINE", "", false, false},
		{"never started", view(" OFFLINE "), 0, "", "OFFLINE", "", false, false},
		{"expelled", view("a ERROR ", "b ONLINE PRIMARY"), 0, "", "ERROR", "", false, false},
		{"without the plugin", nil, 0, "", "OFFLINE", "", false, false},
		{"MySQL 5.7 tells no roles", []map[string]string{{"member_id": "a", "member_state": "ONLINE"}}, 1, "majority", "ONLINE", "", true, true},
	} {
		m := groupMember("g", map[string]string{"server_uuid": "a"}, c.rows)
		if m.Kind != GroupReplication || m.ID != "g" || m.Size != c.size || m.Status != c.status || m.State != c.state || m.Role != c.role ||
			m.joined() != c.joined || m.Quorum() != c.quorum || m.Ready != (c.state == "ONLINE") {
			t.Errorf("%s: %+v", c.name, m)
		}
	}
}

func TestJudgeGroup(t *testing.T) {
	three := view("db1 ONLINE PRIMARY", "db2 ONLINE SECONDARY", "db3 ONLINE SECONDARY")
	all := view("db1 ONLINE PRIMARY", "db2 ONLINE PRIMARY")
	member := func(name, readOnly string, rows []map[string]string) DatabaseServer {
		return inGroup(name, "g", readOnly, "ON", rows)
	}
	with := func(s DatabaseServer, change func(*DatabaseServer)) DatabaseServer {
		change(&s)
		return s
	}
	gone := func(name string) DatabaseServer {
		return DatabaseServer{Name: name, Error: "gone", problem: &finding{Fail, "gone", ""}}
	}
	refused := func(name string, writable bool) DatabaseServer {
		return DatabaseServer{Name: name, group: "g", Refused: groupPrivilege, Writable: writable}
	}
	passive, active := inventory.ActivePassive, inventory.ActiveActive
	primary, second, third := member("db1", "OFF", three), member("db2", "ON", three), member("db3", "ON", three)
	for _, c := range []struct {
		name       string
		topology   inventory.Topology
		servers    []DatabaseServer
		want       []Verdict
		text, mend string // of the last server
	}{
		{"single primary", passive, []DatabaseServer{primary, second, third}, []Verdict{OK, OK, OK}, "secondary in a group of 3, read-only, 8.4.3", ""},
		{"the primary is not the first", passive, []DatabaseServer{second, primary}, []Verdict{OK, OK}, "primary in a group of 3, takes writes", ""},
		{"it may not be asked whom it follows, and need not", passive, []DatabaseServer{primary, with(second, func(s *DatabaseServer) { s.Refused = "REPLICATION CLIENT" })},
			[]Verdict{OK, OK}, "secondary in a group of 3", ""},
		{"single primary, called active-active", active, []DatabaseServer{primary, second}, []Verdict{OK, Warn}, "its group has a single primary", "topology: active-passive"},
		{"multi-primary", active, []DatabaseServer{inGroup("db1", "g", "OFF", "OFF", all), inGroup("db2", "g", "OFF", "OFF", all)}, []Verdict{OK, OK}, "primary in a group of 2, takes writes", ""},
		{"multi-primary, one used", passive, []DatabaseServer{inGroup("db1", "g", "OFF", "OFF", all), inGroup("db2", "g", "OFF", "OFF", all)}, []Verdict{OK, OK}, "takes writes", ""},
		{"a group's primary alone in the inventory", inventory.Single, []DatabaseServer{primary}, []Verdict{OK}, "primary in a group of 3", ""},
		{"a secondary alone in the inventory", inventory.Single, []DatabaseServer{second}, []Verdict{Fail}, "is a secondary of its group", "list all members"},
		{"the primary is not listed", passive, []DatabaseServer{second, third}, []Verdict{OK, OK}, "secondary in a group of 3", ""},
		{"one died and was expelled", passive, []DatabaseServer{gone("db3"), member("db1", "OFF", view("db1 ONLINE PRIMARY", "db2 ONLINE SECONDARY")), member("db2", "ON", view("db1 ONLINE PRIMARY", "db2 ONLINE SECONDARY"))},
			[]Verdict{Fail, Warn, Warn}, "the group has 2 members, the inventory lists 3", "bring the missing members back"},
		{"one stopped", passive, []DatabaseServer{member("db1", "OFF", view("db1 ONLINE PRIMARY")), member("db2", "ON", view("db2 OFFLINE "))},
			[]Verdict{Warn, Fail}, "is OFFLINE: it takes no part in its group", "START GROUP_REPLICATION"},
		{"one in error", passive, []DatabaseServer{member("db1", "OFF", view("db1 ONLINE PRIMARY")), member("db2", "ON", view("db2 ERROR "))},
			[]Verdict{Warn, Fail}, "is ERROR: it takes no part", "STOP GROUP_REPLICATION; START GROUP_REPLICATION; SET GLOBAL offline_mode = 0"},
		{"one restarted outside of the group, writable", passive, []DatabaseServer{member("db1", "OFF", view("db1 ONLINE PRIMARY")), member("db2", "OFF", view(" OFFLINE "))},
			[]Verdict{Warn, Fail}, "takes writes that the group does not get", "SET GLOBAL super_read_only = 1, at once; START GROUP"},
		{"all restarted", passive, []DatabaseServer{member("db1", "ON", view("db1 OFFLINE ")), member("db2", "ON", view("db2 OFFLINE "))}, []Verdict{Fail, Fail}, "is OFFLINE", "group_replication_bootstrap_group = 1"},
		{"all that answer restarted", passive, []DatabaseServer{gone("db1"), member("db2", "ON", view("db2 OFFLINE "))}, []Verdict{Fail, Fail}, "is OFFLINE", "START GROUP_REPLICATION"},
		{"one away and not expelled yet", passive, []DatabaseServer{member("db1", "OFF", view("db1 ONLINE PRIMARY", "db2 UNREACHABLE SECONDARY", "db3 ONLINE SECONDARY"))},
			[]Verdict{Warn}, "reaches 2 of its group's 3 members", "bring the missing"},
		{"back in the group, and nobody lets visitors in", passive, []DatabaseServer{primary, with(second, func(s *DatabaseServer) { s.offline = true })},
			[]Verdict{OK, Fail}, "is in offline mode", "SET GLOBAL offline_mode = 0"},
		{"no majority", passive, []DatabaseServer{gone("db2"), member("db1", "OFF", view("db1 ONLINE PRIMARY", "db2 UNREACHABLE SECONDARY"))},
			[]Verdict{Fail, Fail}, "no quorum: it reaches 1 of its group's 2 members", "group_replication_force_members"},
		{"recovering", passive, []DatabaseServer{primary, member("db2", "ON", view("db1 ONLINE PRIMARY", "db2 RECOVERING SECONDARY"))}, []Verdict{OK, Warn}, "is RECOVERING", "wait for it"},
		{"recovering, active-active", active, []DatabaseServer{primary, member("db2", "ON", view("db1 ONLINE PRIMARY", "db2 RECOVERING PRIMARY"))}, []Verdict{OK, Warn}, "is RECOVERING", ""},
		{"two groups", passive, []DatabaseServer{member("db1", "OFF", view("db1 ONLINE PRIMARY")), inGroup("db2", "h", "OFF", "ON", view("db2 ONLINE PRIMARY"))},
			[]Verdict{OK, Fail}, "is in another group than db1", "group_replication_group_name"},
		{"two groups of one name", passive, []DatabaseServer{member("db1", "OFF", view("db1 ONLINE PRIMARY")), member("db2", "OFF", view("db2 ONLINE PRIMARY"))},
			[]Verdict{Fail, Fail}, "is in a group of its own: db1 has one of the same name", "super_read_only = 1"},
		{"one that joined between the questions", passive, []DatabaseServer{member("db1", "OFF", view("db1 ONLINE PRIMARY")), member("db2", "ON", view("db1 ONLINE PRIMARY", "db2 ONLINE SECONDARY"))},
			[]Verdict{Warn, OK}, "secondary in a group of 2", ""},
		{"a group that follows another", passive, []DatabaseServer{
			with(inGroup("db2", "h", "ON", "ON", view("db2 ONLINE PRIMARY")), func(s *DatabaseServer) { s.Replication = []Replication{following("db1", 1)} }),
			inGroup("db3", "g", "OFF", "ON", view("db3 ONLINE PRIMARY"))}, []Verdict{OK, OK}, "primary in a group of 1, takes writes", ""},
		{"a replica of a group", passive, []DatabaseServer{primary, {Name: "r", Replication: []Replication{following("db1", 1)}}}, []Verdict{OK, OK}, "replicates from db1", ""},
		{"a server beside the group that takes writes", passive, []DatabaseServer{primary, {Name: "r", Writable: true}}, []Verdict{OK, Fail}, "and so does db1, and neither follows", ""},
		{"a server beside the group", active, []DatabaseServer{inGroup("db1", "g", "OFF", "OFF", all), {Name: "r", Writable: true}}, []Verdict{OK, Fail}, "is no member of a cluster", ""},
		{"a secondary that takes writes", passive, []DatabaseServer{primary, member("db2", "OFF", three)}, []Verdict{OK, Warn}, "though it is a secondary", "SET GLOBAL super_read_only = 1"},
		{"a primary that takes none", passive, []DatabaseServer{second, member("db1", "ON", three)}, []Verdict{OK, Fail}, "takes no writes, though it is a primary", "SET GLOBAL read_only = 0"},
		{"lag", passive, []DatabaseServer{primary, with(second, func(s *DatabaseServer) {
			c, lag, queue := *s.Cluster, 31.4, 7
			c.Lag, c.Queue, s.Cluster = &lag, &queue, &c
		})}, []Verdict{OK, Warn}, "31 s behind its group", "SHOW PROCESSLIST"},
		{"a queue", passive, []DatabaseServer{primary, with(second, func(s *DatabaseServer) {
			c, lag, queue := *s.Cluster, 2.0, 7
			c.Lag, c.Queue, s.Cluster = &lag, &queue, &c
		})}, []Verdict{OK, OK}, "secondary in a group of 3, 2 s behind, 7 transactions to apply, read-only", ""},
		{"may not be asked", passive, []DatabaseServer{refused("db1", true), refused("db2", false)}, []Verdict{Unknown, Unknown}, "lacks the privilege SELECT ON performance_schema.", "GRANT SELECT ON performance_schema.* TO"},
		{"may not be asked, two writable", passive, []DatabaseServer{refused("db1", true), refused("db2", true)}, []Verdict{Unknown, Unknown}, "may not be asked", ""},
		{"may not be asked, active-active", active, []DatabaseServer{refused("db1", true), refused("db2", true)}, []Verdict{Unknown, Unknown}, "may not be asked", ""},
		{"one may not be asked", passive, []DatabaseServer{primary, refused("db2", false)}, []Verdict{OK, Unknown}, "may not be asked", ""},
		{"no roles", passive, []DatabaseServer{inGroup("db1", "g", "OFF", "ON", view("db1 ONLINE ", "db2 ONLINE ")), member("db2", "ON", view("db1 ONLINE ", "db2 ONLINE "))},
			[]Verdict{OK, OK}, "ONLINE in a group of 2, read-only", ""},
	} {
		got := judgeDatabase(inventory.Database{Topology: c.topology}, 0, c.servers)
		for i, e := range got {
			if e.Verdict != c.want[i] {
				t.Errorf("%s: %s is %s (%s), want %s", c.name, e.Node, e.Verdict, e.Text, c.want[i])
			}
			if strings.Contains(e.Text+e.Mend, "wsrep") || strings.Contains(e.Text+e.Mend, "pc.") {
				t.Errorf("%s: words of Galera: %q %q", c.name, e.Text, e.Mend)
			}
		}
		if e := got[len(got)-1]; !strings.Contains(e.Text, c.text) || !strings.Contains(e.Mend, c.mend) {
			t.Errorf("%s: %q, %q, want %q, %q in them", c.name, e.Text, e.Mend, c.text, c.mend)
		}
	}
	// A new group, while one that gives no answer may hold the old one, would part the data.
	if e := judgeDatabase(inventory.Database{Topology: passive}, 0, []DatabaseServer{gone("db1"), member("db2", "ON", view("db2 OFFLINE "))})[1]; e.Mend != "START GROUP_REPLICATION" {
		t.Errorf("mend: %q", e.Mend)
	}
	if !primary.Writable || second.Writable || !second.Cluster.Standby() || primary.Cluster.Standby() {
		t.Error("the primary must take writes, a secondary stand by")
	}
}

func TestGroupFigures(t *testing.T) {
	s := inGroup("db2", "g", "ON", "ON", view("db1 ONLINE PRIMARY", "db2 ONLINE SECONDARY"))
	lag, queue := 1.5, 3
	s.Cluster.Lag, s.Cluster.Queue = &lag, &queue
	f := judgeDatabase(inventory.Database{Topology: inventory.ActivePassive}, 0, []DatabaseServer{s})[0].Figures
	if len(f) != 3 || f[0] != (Figure{Name: "lag", Value: 1.5, Unit: "s", Warn: 30}) || f[1] != (Figure{Name: "cluster_size", Value: 2}) || f[2] != (Figure{Name: "queue", Value: 3}) {
		t.Errorf("figures: %+v", f)
	}
}

// A group's own channels are no replication that anybody set up: that of its recovery is stopped in every healthy member.
func TestSourcesLeaveOutTheGroup(t *testing.T) {
	rows := []map[string]string{{"channel_name": "group_replication_recovery", "replica_io_running": "No"}, {"channel_name": "", "source_host": "db1", "source_port": "3306"}}
	if got := sources(rows); len(got) != 1 || got[0].Source != "db1:3306" {
		t.Errorf("got %+v", got)
	}
}

// What the nodes reach, where that is members of a group: db-same and db-writable.
func TestJudgeNodesOfGroup(t *testing.T) {
	facts := func(host, readOnly string, rows []map[string]string) dbFacts {
		f := dbFacts{database: "mosparo", address: host + ":3306", vars: map[string]string{"hostname": host, "port": "3306", "server_uuid": host, "version": "8.4.3",
			"super_read_only": readOnly, "group_replication_group_name": "g"}}
		if rows != nil {
			f.member = groupMember("g", f.vars, rows)
		}
		return f
	}
	two := view("m1 ONLINE PRIMARY", "m2 ONLINE SECONDARY")
	type want struct {
		same, writable Verdict
		text           string // of db-writable
	}
	for _, c := range []struct {
		name     string
		topology inventory.Topology
		second   dbFacts // what node b reaches; a reaches m1, where all is well
		want     want
	}{
		{"a secondary", inventory.ActivePassive, facts("m2", "ON", two), want{Fail, Fail, "a secondary of its group"}},
		{"a secondary, called active-active", inventory.ActiveActive, facts("m2", "ON", two), want{OK, Fail, "a secondary of its group"}},
		{"a member that takes writes", inventory.ActiveActive, facts("m2", "OFF", view("m1 ONLINE PRIMARY", "m2 ONLINE PRIMARY")), want{OK, OK, "takes writes"}},
		{"one that is not used", inventory.ActivePassive, facts("m2", "OFF", view("m1 ONLINE PRIMARY", "m2 ONLINE PRIMARY")), want{Fail, OK, "takes writes"}},
		{"one outside of the group", inventory.ActiveActive, facts("m2", "OFF", view("m2 OFFLINE ")), want{Fail, Fail, "is OFFLINE in its group"}},
		{"one without a majority", inventory.ActiveActive, facts("m2", "OFF", view("m1 UNREACHABLE PRIMARY", "m2 ONLINE PRIMARY")), want{OK, Fail, "reaches 1 of its group's 2 members"}},
		{"another group of the same name", inventory.ActiveActive, facts("m2", "OFF", view("m2 ONLINE PRIMARY")), want{Fail, OK, "takes writes"}},
		{"one that may not be asked", inventory.ActiveActive, facts("m2", "OFF", nil), want{OK, Unknown, "may not be asked"}},
	} {
		d := nodes("a", "b")
		d.Database.Topology = c.topology
		s := session1(t, Env{Deployment: d, Hosts: connector{}})
		first := facts("m1", "OFF", two)
		if c.second.member != nil && len(c.second.member.seen) == 1 {
			first = facts("m1", "OFF", view("m1 ONLINE PRIMARY"))
		}
		same, writable := dbSame().(question[dbFacts]), dbWritable().(question[dbFacts])
		same.ask = func(_ context.Context, n *node) (dbFacts, error) {
			return map[string]dbFacts{"a": first, "b": c.second}[n.Name], nil
		}
		writable.ask = same.ask
		if e, _ := same.run(t.Context(), s).On("b"); e.Verdict != c.want.same {
			t.Errorf("%s: db-same: %s %q, want %s", c.name, e.Verdict, e.Text, c.want.same)
		}
		if e, _ := writable.run(t.Context(), s).On("b"); e.Verdict != c.want.writable || !strings.Contains(e.Text, c.want.text) {
			t.Errorf("%s: db-writable: %s %q, want %s %q", c.name, e.Verdict, e.Text, c.want.writable, c.want.text)
		}
	}
}
