package health

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-sql-driver/mysql"

	"github.com/mosparoctl/mosparoctl/inventory"
)

// States and roles of members, as MySQL's performance_schema names them. The other states are OFFLINE and ERROR.
const (
	memberOnline      = "ONLINE"
	memberRecovering  = "RECOVERING"
	memberUnreachable = "UNREACHABLE"
	rolePrimary       = "PRIMARY"
	roleSecondary     = "SECONDARY"
)

// groupPrivilege is what it takes to ask a server for the members of its group.
const groupPrivilege = "SELECT ON performance_schema.replication_group_members"

// group is the name of the group of MySQL's Group Replication that the server is configured for; "" for none.
func (f dbFacts) group() string { return oneLine(f.vars["group_replication_group_name"]) }

// readGroup asks a server that is configured for a group how it is in it. Where the user may not ask, member stays nil.
func (f *dbFacts) readGroup(ctx context.Context, db *sql.DB) error {
	if f.group() == "" {
		return nil
	}
	rows, err := table(ctx, db, "SELECT * FROM performance_schema.replication_group_members")
	var refused *mysql.MySQLError
	if errors.As(err, &refused) && refused.Number == errNoSelect {
		return nil
	}
	if err != nil {
		return err
	}
	f.member = groupMember(f.group(), f.vars, rows)
	return nil
}

// groupMember makes of the rows of replication_group_members what the server they come from is in its group.
func groupMember(group string, vars map[string]string, rows []map[string]string) *ClusterMember {
	c := &ClusterMember{Kind: GroupReplication, ID: group, State: "OFFLINE", self: vars["server_uuid"], single: vars["group_replication_single_primary_mode"] == "ON"}
	for _, row := range rows {
		id, state := row["member_id"], row["member_state"]
		if id == c.self || id == "" { // none before the plugin's first start
			c.State, c.Role = oneLine(state), oneLine(row["member_role"])
		}
		c.seen = append(c.seen, id)
		switch state {
		case memberOnline, memberRecovering:
			c.Size++
		case memberUnreachable:
			c.lost++
		}
	}
	c.Ready = c.State == memberOnline
	switch {
	case !c.joined():
		c.Size, c.seen = 0, nil
	case len(c.seen) > 2*c.lost:
		c.Status = statusMajority
	default:
		c.Status = statusMinority
	}
	return c
}

// joined reports whether the server takes part in its group. Outside of it, nothing that the server says of others is true.
func (c ClusterMember) joined() bool { return c.State == memberOnline || c.State == memberRecovering }

// apart reports whether two members run groups of their own under one name, as after two bootstraps: both have a majority, and neither
// knows the other. Of two that were asked while one of them joined, at least that one knows the other.
func (c ClusterMember) apart(o ClusterMember) bool {
	return c.Kind == GroupReplication && o.Kind == GroupReplication && c.ID == o.ID && c.Ready && o.Ready && c.Quorum() && o.Quorum() &&
		!slices.Contains(c.seen, o.self) && !slices.Contains(o.seen, c.self)
}

// readBacklog asks a member what it has yet to apply. What a version does not tell, or a user may not ask, stays nil.
func (c *ClusterMember) readBacklog(ctx context.Context, db *sql.DB) error {
	if !c.joined() {
		return nil
	}
	rows, err := table(ctx, db, "SELECT * FROM performance_schema.replication_group_member_stats WHERE member_id = @@server_uuid")
	var untold *mysql.MySQLError
	switch {
	case err != nil && !errors.As(err, &untold):
		return err
	case err == nil && len(rows) == 1:
		certify, _ := strconv.Atoi(rows[0]["count_transactions_in_queue"])
		apply, _ := strconv.Atoi(rows[0]["count_transactions_remote_in_applier_queue"])
		queue := certify + apply
		c.Queue = &queue
	}
	if c.single && c.Role == rolePrimary { // follows nobody
		return nil
	}
	// By the clock of the member where the transaction was committed. Nothing that is being applied means nothing to wait for.
	rows, err = table(ctx, db, "SELECT MAX(TIMESTAMPDIFF(MICROSECOND, applying_transaction_original_commit_timestamp, NOW(6))) AS behind"+
		" FROM performance_schema.replication_applier_status_by_worker WHERE channel_name = 'group_replication_applier' AND applying_transaction <> ''")
	switch {
	case err != nil && !errors.As(err, &untold):
		return err
	case err == nil && len(rows) == 1:
		micro, _ := strconv.ParseFloat(rows[0]["behind"], 64) // NULL: nothing
		behind := max(micro, 0) / 1e6
		c.Lag = &behind
	}
	return nil
}

// groupRole is what a healthy member of a group does.
func (c ClusterMember) groupRole() string {
	text := fmt.Sprintf("%s in a group of %d", cmp.Or(strings.ToLower(c.Role), c.State), c.Size)
	if c.Lag != nil {
		text += fmt.Sprintf(", %.0f s behind", *c.Lag)
	}
	if c.Queue != nil && *c.Queue > 0 {
		text += fmt.Sprintf(", %d transactions to apply", *c.Queue)
	}
	return text
}

// groupOf judges how a server is in its group.
func (j dbJudge) groupOf(s DatabaseServer) (Verdict, string, string) {
	c := s.Cluster
	if c == nil {
		return Unknown, "may not be asked about its replication group: it lacks the privilege " + groupPrivilege,
			"GRANT SELECT ON performance_schema.* TO the user of the checks: database: user: in the inventory, else mosparo's"
	}
	listed := 0
	for _, o := range j.servers {
		if o.Error != "" || o.group == s.group {
			listed++
		}
	}
	other := slices.IndexFunc(j.servers, func(o DatabaseServer) bool { return o.Cluster != nil && c.apart(*o.Cluster) })
	switch {
	case !c.joined() && s.Writable:
		return Fail, fmt.Sprintf("is %s in its group, and takes writes that the group does not get", c.State), "SET GLOBAL super_read_only = 1, at once; " + j.rejoin(s)
	case !c.joined():
		return Fail, fmt.Sprintf("is %s: it takes no part in its group", c.State), j.rejoin(s)
	case !c.Quorum():
		return Fail, fmt.Sprintf("no quorum: it reaches %d of its group's %d members", len(c.seen)-c.lost, len(c.seen)),
			"bring the other members back; if they are gone for good, on one that is left: SET GLOBAL group_replication_force_members = " +
				"the group_replication_local_address of each one that is left, and after that = ''"
	case c.Ready && c.ID != j.cluster && !j.follows(c.ID):
		return Fail, "is in another group than " + j.first,
			"let it join again: compare group_replication_group_name, then STOP GROUP_REPLICATION; START GROUP_REPLICATION"
	case other >= 0:
		return Fail, fmt.Sprintf("is in a group of its own: %s has one of the same name, and their data part", j.servers[other].Name),
			"SET GLOBAL super_read_only = 1 on the one that is not to be kept, at once; then let it join the other's group"
	case !c.Ready:
		return Warn, "is " + c.State + ": it gets what it missed, and can't take over yet", "wait for it; if it stays so, look into the server's log"
	case c.lost > 0: // until they are expelled
		return Warn, fmt.Sprintf("reaches %d of its group's %d members", len(c.seen)-c.lost, len(c.seen)), "bring the missing members back"
	case c.Size < listed:
		return Warn, fmt.Sprintf("the group has %d members, the inventory lists %d", c.Size, listed), "bring the missing members back"
	case c.Role == roleSecondary && j.topology == inventory.ActiveActive:
		return Warn, "takes no writes: its group has a single primary",
			"write database: topology: active-passive into the inventory, or: SELECT group_replication_switch_to_multi_primary_mode()"
	}
	return OK, "", ""
}

// follows reports whether a group stands by for another, as in a ClusterSet: one of its members replicates.
func (j dbJudge) follows(group string) bool {
	return slices.ContainsFunc(j.servers, func(o DatabaseServer) bool { return o.group == group && len(o.Replication) > 0 })
}

// rejoin is how a server gets back into its group.
func (j dbJudge) rejoin(s DatabaseServer) string {
	switch {
	case !slices.ContainsFunc(j.servers, func(o DatabaseServer) bool { return o.Cluster == nil || o.Cluster.joined() }):
		// Nobody who may have a group is left out, so that a new one can't part the data.
		return "no member is left to join: on the one with the most transactions SET GLOBAL group_replication_bootstrap_group = 1; START GROUP_REPLICATION; " +
			"SET GLOBAL group_replication_bootstrap_group = 0; then on the others START GROUP_REPLICATION"
	case s.Cluster.State == "OFFLINE":
		return "START GROUP_REPLICATION"
	}
	return "mend what the server's log says, then STOP GROUP_REPLICATION; START GROUP_REPLICATION; SET GLOBAL offline_mode = 0"
}

// groupWrites finds members of a group that take writes and must not, or don't and should. groupOf has judged those that take no
// part in it or have no quorum.
func (j dbJudge) groupWrites(s DatabaseServer) (Verdict, string, string) {
	c := s.Cluster
	switch {
	case !c.Ready || !c.Quorum():
		return OK, "", ""
	case c.Role == roleSecondary && s.Writable:
		return Warn, "takes writes, though it is a secondary of its group", "SET GLOBAL super_read_only = 1"
	case c.Role == roleSecondary && j.topology == inventory.Single:
		return Fail, "takes no writes: it is a secondary of its group", "list all members of the group in the inventory, with database: topology: active-passive"
	case c.Role == rolePrimary && !s.Writable && len(s.Replication) == 0: // one that replicates belongs to a group that follows
		return Fail, "takes no writes, though it is a primary of its group", "SET GLOBAL read_only = 0"
	}
	return OK, "", ""
}
