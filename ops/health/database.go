package health

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/mosparoctl/mosparoctl/inventory"
)

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
