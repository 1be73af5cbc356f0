package tui

import (
	"strings"
	"testing"
	"time"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops/health"
)

// servers are a primary and a replica, which in a broken world lags behind.
func (w *world) servers(i health.Info) health.Result {
	lag, verdict, words := 0.0, health.OK, "replicates from db1, 0 s behind, read-only"
	if w.broken {
		lag, verdict, words = 95, health.Warn, "95 s behind db1"
	}
	return health.Result{Info: i, Verdict: verdict, Summary: "db2: " + words, At: w.now(),
		Servers: []health.DatabaseServer{{Name: "db1", Address: "10.0.0.21:3306", Writable: true, Connections: 12, Limit: 150},
			{Name: "db2", Address: "10.0.0.22:3306", Replication: []health.Replication{{Source: "db1", Receiving: true, Applying: true, Lag: &lag}}}},
		Evidence: []health.Evidence{
			{Node: "db1", Verdict: health.OK, Text: "takes writes", At: w.now(), Figures: []health.Figure{{Name: "connections", Value: 8, Unit: "%"}}},
			{Node: "db2", Verdict: verdict, Text: words, At: w.now(), Figures: []health.Figure{{Name: "lag", Value: lag, Unit: "s", Warn: 30}, {Name: "connections", Value: 2, Unit: "%"}}}}}
}

// drawn is the topology of servers, a line each.
func drawn(t *testing.T, topology inventory.Topology, w int, servers ...health.DatabaseServer) string {
	t.Helper()
	r := newRig(t, newWorld(false), Options{})
	r.w.d.Database.Topology = topology
	res := health.Result{Info: health.Info{Name: "db-servers", Family: health.FamilyDatabase}, At: noon, Servers: servers}
	for _, s := range servers {
		e := health.Evidence{Node: s.Name, Verdict: health.OK}
		if s.Error != "" {
			e.Verdict = health.Fail
		}
		res.Evidence = append(res.Evidence, e)
	}
	r.m.st.put(res)
	var b strings.Builder
	for _, l := range r.m.databaseServers(w) {
		b.WriteString(l.String() + "\n")
	}
	return b.String()
}

func TestDatabaseServersAreDrawn(t *testing.T) {
	follow := func(name, source string, well bool) health.DatabaseServer {
		return health.DatabaseServer{Name: name, Address: name + ":3306", Replication: []health.Replication{{Source: source, Receiving: true, Applying: well}}}
	}
	primary := health.DatabaseServer{Name: "a", Address: "a:3306", Writable: true}
	member := func(name, status string, size int) health.DatabaseServer {
		return health.DatabaseServer{Name: name, Address: name + ":3306", Writable: status == "Primary", Cluster: &health.ClusterMember{ID: "x", Size: size, Status: status, State: "Synced", Ready: true}}
	}
	inGroup := func(name, status, state, role string, size int) health.DatabaseServer {
		return health.DatabaseServer{Name: name, Address: name + ":3306", Writable: status == "majority" && role == "PRIMARY",
			Cluster: &health.ClusterMember{Kind: health.GroupReplication, ID: "x", Size: size, Status: status, State: state, Role: role, Ready: state == "ONLINE"}}
	}
	stray := inGroup("b", "", "OFFLINE", "", 0)
	stray.Writable = true
	for _, c := range []struct {
		name     string
		topology inventory.Topology
		servers  []health.DatabaseServer
		want     string
	}{
		{"a chain", inventory.ActivePassive, []health.DatabaseServer{follow("c", "b", true), primary, follow("b", "a", true), follow("d", "a", false)},
			"✓ a  a:3306  takes writes\n├─▸ ✓ b  b:3306  stands by\n│   └─▸ ✓ c  c:3306  stands by\n└─▸ ✓ d  d:3306  stands by  ✗ stopped\n"},
		{"a ring", inventory.ActiveActive, []health.DatabaseServer{follow("a", "b", true), follow("b", "a", true)}, "✓ a  a:3306  read-only\n└─▸ ✓ b  b:3306  read-only\n"},
		{"from elsewhere", inventory.ActivePassive, []health.DatabaseServer{follow("a", "old:3306", true)}, "✓ a  a:3306  stands by  ◂ old:3306\n"},
		{"one away", inventory.ActivePassive, []health.DatabaseServer{primary, {Name: "b", Address: "b:3306", Error: "gone"}}, "✓ a  a:3306  takes writes\n✗ b  b:3306  no answer\n"},
		{"a cluster", inventory.ActiveActive, []health.DatabaseServer{member("a", "Primary", 2), member("b", "Primary", 2), follow("c", "a", true)},
			"◆ cluster of 2, with quorum\n├─ ✓ a  a:3306  takes writes, Synced\n│  └─▸ ✓ c  c:3306  read-only\n└─ ✓ b  b:3306  takes writes, Synced\n"},
		{"no quorum", inventory.ActiveActive, []health.DatabaseServer{member("a", "non-Primary", 1)}, "✗ cluster without quorum: nobody takes writes\n└─ ✓ a  a:3306  read-only, Synced\n"},
		{"a group", inventory.ActivePassive, []health.DatabaseServer{inGroup("a", "majority", "ONLINE", "SECONDARY", 2), inGroup("b", "majority", "ONLINE", "PRIMARY", 2), inGroup("c", "", "ERROR", "", 0)},
			"◆ group of 2, with quorum\n├─ ✓ a  a:3306  stands by, ONLINE\n├─ ✓ b  b:3306  takes writes, ONLINE\n└─ ✓ c  c:3306  read-only, ERROR\n"},
		{"a secondary where all should take writes", inventory.ActiveActive, []health.DatabaseServer{inGroup("a", "majority", "ONLINE", "SECONDARY", 2)},
			"◆ group of 2, with quorum\n└─ ✓ a  a:3306  read-only, ONLINE\n"},
		{"a group's minority", inventory.ActivePassive, []health.DatabaseServer{inGroup("a", "minority", "ONLINE", "PRIMARY", 1)}, "✗ group without quorum: nobody takes writes\n└─ ✓ a  a:3306  read-only, ONLINE\n"},
		{"one outside of its group", inventory.ActivePassive, []health.DatabaseServer{inGroup("a", "minority", "ONLINE", "PRIMARY", 1), stray},
			"✗ group without quorum\n├─ ✓ a  a:3306  read-only, ONLINE\n└─ ✓ b  b:3306  takes writes, OFFLINE\n"},
	} {
		if got := drawn(t, c.topology, 60, c.servers...); got != c.want {
			t.Errorf("%s:\n%s\nwant:\n%s", c.name, got, c.want)
		}
	}
	if got := drawn(t, inventory.ActivePassive, 30, primary); got != "✓ a  takes writes\n" {
		t.Errorf("narrow: %s", got)
	}
}

func TestDatabaseServersAreMarkedAsOld(t *testing.T) {
	r := newRig(t, newWorld(false), Options{})
	r.m.now = noon.Add(5 * time.Minute)
	lines := r.m.databaseServers(60)
	if got := lines[len(lines)-1].String(); got != "~5m old" {
		t.Errorf("got %q", got)
	}
	r.m.st.results = nil
	if got := r.m.databaseServers(60)[0].String(); got != "· db1  10.0.0.21:3306  not asked" {
		t.Errorf("got %q", got)
	}
}
