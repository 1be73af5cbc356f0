package health

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mosparoctl/mosparoctl/inventory"
)

// DatabaseServer is what was found out about one server of the database that the inventory lists.
type DatabaseServer struct {
	Name    string `json:"name"`              // in the inventory
	Address string `json:"address"`           // host:port, as the nodes address it
	Node    string `json:"node,omitempty"`    // through which it was asked
	Error   string `json:"error,omitempty"`   // why it could not be asked; what follows is empty then
	Version string `json:"version,omitempty"` // as it says
	// Writable reports whether ordinary users can write: it is not read-only, and its cluster, if it has one, lets it.
	Writable    bool           `json:"writable"`
	Replication []Replication  `json:"replication,omitempty"` // from whom it replicates; of several sources each
	Refused     string         `json:"refused,omitempty"`     // privilege that is missing to ask for its replication, or for its group
	Cluster     *ClusterMember `json:"cluster,omitempty"`     // nil: it is no member of a cluster or group, or may not be asked
	Connections float64        `json:"connections"`           // in use
	Limit       float64        `json:"limit"`                 // of connections: max_connections

	id      string // server_id
	offline bool   // in offline mode: MySQL lets administrators in alone
	group   string // name of the group of MySQL's Group Replication that it is configured for
	problem *finding
}

// Replication is one stream of changes that a server follows.
type Replication struct {
	Source    string   `json:"source"`        // the server's name in the inventory, else host:port
	Receiving bool     `json:"receiving"`     // the I/O thread runs and is connected
	Applying  bool     `json:"applying"`      // the SQL thread runs
	Lag       *float64 `json:"lag,omitempty"` // seconds behind the source; nil: the server can't tell
	Error     string   `json:"error,omitempty"`

	sourceID string // server_id of the source
}

// ClusterKind is what makes a cluster of servers.
type ClusterKind string

// The kinds of clusters.
const (
	Galera           ClusterKind = "galera"
	GroupReplication ClusterKind = "group_replication" // of MySQL, also as InnoDB Cluster
)

// ClusterMember is how a server is in its Galera cluster, or in its group of MySQL's Group Replication.
type ClusterMember struct {
	Kind   ClusterKind `json:"kind"`
	ID     string      `json:"id"`             // of the cluster's state; name of the group
	Size   int         `json:"size"`           // members that this one sees; of a group those that are ONLINE or RECOVERING; 0: it is not in it
	Status string      `json:"status"`         // with quorum "Primary", of a group "majority"
	State  string      `json:"state"`          // such as "Synced", of a group "ONLINE"
	Role   string      `json:"role,omitempty"` // of a group: "PRIMARY" or "SECONDARY"
	Ready  bool        `json:"ready"`
	Queue  *int        `json:"queue,omitempty"` // transactions that a group's member has yet to apply; nil: the server can't tell
	Lag    *float64    `json:"lag,omitempty"`   // seconds since what a group's member applies was committed; nil: it follows none, or can't tell

	self   string   // MEMBER_ID, which is the server_uuid
	seen   []string // ids of all members in its view of the group
	lost   int      // those of them that it does not reach
	single bool     // the group is in single-primary mode
}

// What Status is for a group.
const (
	statusMajority = "majority"
	statusMinority = "minority"
)

// Quorum reports whether the member's part of the cluster has the majority.
func (c ClusterMember) Quorum() bool { return c.Status == "Primary" || c.Status == statusMajority }

// Standby reports whether the member follows its group's primary, and can take over.
func (c ClusterMember) Standby() bool { return c.Role == roleSecondary && c.Ready && c.Quorum() }

// Stopped reports whether the replica gets no changes or applies none.
func (r Replication) Stopped() bool { return !r.Receiving || !r.Applying }

// Behind is the largest lag in seconds, of all sources and of the group. ok is false if it follows none, or can't tell.
func (s DatabaseServer) Behind() (seconds float64, ok bool) {
	for _, r := range s.Replication {
		if r.Lag != nil {
			seconds, ok = max(seconds, *r.Lag), true
		}
	}
	if s.Cluster != nil && s.Cluster.Lag != nil {
		seconds, ok = max(seconds, *s.Cluster.Lag), true
	}
	return seconds, ok
}

// defaultLag is the lag that warns where the inventory says none.
const defaultLag = 30 * time.Second

// nameSources turns the sources of replicas into names of the inventory: by server_id where it is unique, since a replica
// may address its source in another way than the nodes do, else by address.
func nameSources(servers []DatabaseServer) {
	byID, times := map[string]string{}, map[string]int{}
	byAddress := map[string]string{}
	for _, s := range servers {
		byAddress[s.Address] = s.Name
		if s.id != "" && s.id != "0" {
			byID[s.id] = s.Name
			times[s.id]++
		}
	}
	for i, s := range servers {
		for j, r := range s.Replication {
			if name := byID[r.sourceID]; name != "" && name != s.Name && times[r.sourceID] == 1 {
				servers[i].Replication[j].Source = name
			} else if name := byAddress[r.Source]; name != "" {
				servers[i].Replication[j].Source = name
			}
		}
	}
}

// judgeDatabase judges servers together: evidence for each, in their order.
func judgeDatabase(d inventory.Database, lag time.Duration, servers []DatabaseServer) []Evidence {
	j := dbJudge{topology: cmp.Or(d.Topology, inventory.Single), servers: servers, lag: cmp.Or(lag, defaultLag)}
	for _, s := range servers {
		if s.Error != "" {
			continue
		}
		if s.Writable {
			j.writable = append(j.writable, s.Name)
		}
	}
	for _, follows := range []bool{false, true} { // a group that stands by for another is not what the others are measured by
		for _, s := range servers {
			if s.Error == "" && s.Cluster != nil && j.cluster == "" && s.Cluster.Ready && (s.group != "" && j.follows(s.group)) == follows {
				j.cluster, j.first = s.Cluster.ID, s.Name
			}
		}
	}
	var out []Evidence
	for _, s := range servers {
		e := Evidence{Node: s.Name}
		e.Verdict, e.Text, e.Mend = j.judge(s)
		if s.Error == "" {
			e.Figures = j.figures(s)
		}
		out = append(out, e)
	}
	return out
}

type dbJudge struct {
	topology inventory.Topology
	lag      time.Duration
	servers  []DatabaseServer
	writable []string
	cluster  string // that of first
	first    string
}

// judge is the worst that is to be said of a server.
func (j dbJudge) judge(s DatabaseServer) (v Verdict, text, mend string) {
	if s.Error != "" {
		if s.problem != nil {
			return s.problem.verdict, s.problem.text, s.problem.mend
		}
		return Unknown, s.Error, ""
	}
	v, text = OK, j.role(s)
	for _, look := range []func(DatabaseServer) (Verdict, string, string){j.clusterOf, j.offlineOf, j.replicationOf, j.writesOf} {
		if w, t, m := look(s); Worse(v, w) != v {
			v, text, mend = w, t, m
		}
	}
	return v, text, mend
}

// role is what a healthy server does.
func (j dbJudge) role(s DatabaseServer) string {
	var parts []string
	if c := s.Cluster; c != nil && c.Kind == GroupReplication {
		parts = append(parts, c.groupRole())
	} else if c != nil {
		parts = append(parts, fmt.Sprintf("%s in a cluster of %d", c.State, c.Size))
	}
	for _, r := range s.Replication {
		behind := ""
		if r.Lag != nil {
			behind = fmt.Sprintf(", %.0f s behind", *r.Lag)
		}
		parts = append(parts, "replicates from "+r.Source+behind)
	}
	if s.Writable {
		parts = append(parts, "takes writes")
	} else {
		parts = append(parts, "read-only")
	}
	return strings.Join(append(parts, s.Version), ", ")
}

// figures are the gauges of a server.
func (j dbJudge) figures(s DatabaseServer) []Figure {
	var list []Figure
	if lag, ok := s.Behind(); ok {
		list = append(list, Figure{Name: "lag", Value: lag, Unit: "s", Warn: j.lag.Seconds()})
	}
	if s.Limit > 0 {
		list = append(list, Figure{Name: "connections", Value: s.Connections / s.Limit * 100, Unit: "%"})
	}
	if s.Cluster != nil {
		list = append(list, Figure{Name: "cluster_size", Value: float64(s.Cluster.Size)})
		if q := s.Cluster.Queue; q != nil {
			list = append(list, Figure{Name: "queue", Value: float64(*q)})
		}
	}
	return list
}

func (j dbJudge) clusterOf(s DatabaseServer) (Verdict, string, string) {
	if s.group != "" {
		return j.groupOf(s)
	}
	c := s.Cluster
	listed := 0
	for _, o := range j.servers {
		if o.Error != "" || o.Cluster != nil {
			listed++
		}
	}
	switch {
	case c == nil && j.topology == inventory.ActiveActive && len(s.Replication) == 0 && s.Refused == "":
		return Fail, "is no member of a cluster and replicates from nobody", "let it join the cluster, or correct database: topology: in the inventory"
	case c == nil:
		return OK, "", ""
	case c.Size == 0:
		return Fail, "is not in its cluster: " + cmp.Or(oneLine(c.State), "it is joining, or waits for its data"), "look into the server's log"
	case !c.Quorum():
		return Fail, fmt.Sprintf("no quorum: it is in the cluster's %s part and sees %d members", oneLine(cmp.Or(c.Status, "disconnected")), c.Size),
			"bring the other members back; if they are gone for good, on the most advanced one: SET GLOBAL wsrep_provider_options='pc.bootstrap=YES'"
	case !c.Ready:
		return Fail, "is not ready: " + cmp.Or(oneLine(c.State), "it has no data yet"), "look into the server's log"
	case c.ID != j.cluster:
		return Fail, "is in another cluster than " + j.first, "let it join again: compare wsrep_cluster_address"
	case c.Size < listed && j.topology == inventory.ActiveActive:
		return Warn, fmt.Sprintf("the cluster has %d members, the inventory lists %d", c.Size, listed), "bring the missing members back"
	}
	return OK, "", ""
}

// offlineOf finds what a member that left its group by an error keeps when it is back in.
func (j dbJudge) offlineOf(s DatabaseServer) (Verdict, string, string) {
	if s.offline {
		return Fail, "is in offline mode: it lets administrators in alone", "SET GLOBAL offline_mode = 0"
	}
	return OK, "", ""
}

func (j dbJudge) replicationOf(s DatabaseServer) (Verdict, string, string) {
	if s.Refused != "" && s.group == "" && j.topology == inventory.ActivePassive {
		return Unknown, "may not be asked whether it replicates: it lacks the privilege " + s.Refused,
			fmt.Sprintf("GRANT %s ON *.* TO the user of the checks: database: user: in the inventory, else mosparo's", s.Refused)
	}
	for _, r := range s.Replication {
		if r.Stopped() {
			return Fail, strings.TrimSuffix(fmt.Sprintf("replication from %s has stopped: %s", r.Source, cmp.Or(oneLine(r.Error), r.halted())), ": "),
				"SHOW REPLICA STATUS, mend the cause, then: START REPLICA"
		}
	}
	if lag, ok := s.Behind(); ok && lag >= j.lag.Seconds() {
		source := "its group"
		if len(s.Replication) > 0 {
			source = s.Replication[0].Source
		}
		return Warn, fmt.Sprintf("%.0f s behind %s", lag, source), "look for long writes and slow disks: SHOW PROCESSLIST"
	}
	if len(s.Replication) == 0 && s.Cluster == nil && s.group == "" && !s.Writable && j.topology == inventory.ActivePassive && len(j.writable) > 0 {
		return Fail, "is read-only and replicates from nobody: what it holds is old", "set up its replication from " + j.writable[0]
	}
	return OK, "", ""
}

// halted says which half of a replica does not work.
func (r Replication) halted() string {
	switch {
	case !r.Receiving && !r.Applying:
		return "neither thread runs"
	case !r.Receiving:
		return "it does not receive changes"
	case !r.Applying:
		return "it does not apply changes"
	}
	return ""
}

// writesOf finds servers that take writes and must not, or don't and should.
func (j dbJudge) writesOf(s DatabaseServer) (Verdict, string, string) {
	if c := s.Cluster; c != nil && c.Kind == GroupReplication && c.Role != "" { // old versions don't tell roles
		return j.groupWrites(s)
	}
	switch {
	case !s.Writable && len(j.writable) == 0:
		return Fail, "takes no writes, and neither does any other server that answers", "SET GLOBAL read_only = 0 on the primary"
	case !s.Writable && j.topology == inventory.Single:
		return Fail, "takes no writes", "SET GLOBAL read_only = 0"
	case !s.Writable || j.topology != inventory.ActivePassive || s.Cluster != nil || s.group != "":
		return OK, "", ""
	case len(s.Replication) > 0:
		return Warn, "takes writes, though it replicates from " + s.Replication[0].Source, "SET GLOBAL read_only = 1"
	}
	for _, o := range j.servers {
		if o.Error == "" && o.Writable && o.Name != s.Name && len(o.Replication) == 0 && o.Refused == "" && s.Refused == "" {
			return Fail, "takes writes, and so does " + o.Name + ", and neither follows the other: their data part",
				"SET GLOBAL read_only = 1 on the one that is not the primary, at once"
		}
	}
	// Without the privilege nobody knows who follows whom, but two that take writes are one too many.
	if i := slices.IndexFunc(j.writable, func(name string) bool { return name != s.Name }); i >= 0 && s.Refused != "" {
		return Warn, "takes writes, and so does " + j.writable[i], "SET GLOBAL read_only = 1 on the one that is not the primary"
	}
	return OK, "", ""
}
