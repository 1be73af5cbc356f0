package health

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/checks.md anew")

const docsFile = "../../docs/checks.md"

// docs/checks.md is made of the checks themselves: go test ./ops/health -run TestDocs -update.
func TestDocs(t *testing.T) {
	var b bytes.Buffer
	b.WriteString(`# Checks

What ` + "`mosparoctl check`" + ` asks, why it matters and how to mend it. A check has one verdict for each node it concerns, and the
worst of them is its own:

| verdict | means |
|---|---|
| ok | all is well |
| unknown | it could not be found out, mostly since the node did not answer: see ` + "`node-reach`" + ` |
| warn | it works, and will not for ever |
| fail | it is broken |

All nodes are asked at once, each against its own deadline (` + "`check: timeout:`" + ` in the inventory, 20 s): a node that hangs delays
nobody else. Caches, databases and web servers are reached through the nodes, with each node's own configuration, since what a
node sees is what counts. Values that must be equal are compared with those of the admin node, else with those of most nodes.
Secrets are compared by fingerprints that hold for one run, and never shown. Nothing is changed on a node; the shared
cache gets one key with an unguessable name for as long as a check lasts, and the database one named lock.

The database's servers that the inventory lists are asked one by one through the first node that reaches them, as ` + "`database: user:`" + ` of
the inventory, else as mosparo's own user. To say who replicates from whom that user needs ` + "`GRANT REPLICA MONITOR ON *.*`" + ` on MariaDB,
` + "`REPLICATION CLIENT`" + ` on MySQL and on MariaDB before 10.5; without it ` + "`db-servers`" + ` says what is missing. Of Galera's clusters it knows
size, quorum and state.

So it does of MySQL's Group Replication (InnoDB Cluster), and besides each member's role and what it has yet to apply. For that the user
needs ` + "`GRANT SELECT ON performance_schema.*`" + `, or on three tables of it: without ` + "`replication_group_members`" + ` nothing is known of the
group and ` + "`db-servers`" + ` says so, without ` + "`replication_group_member_stats`" + ` and ` + "`replication_applier_status_by_worker`" + ` only how far behind
a member is stays unknown. ` + "`db-writable`" + ` needs the first table too, as mosparo's own user, since a member without a majority is not
read-only: its writes wait. A group with a single primary is ` + "`topology: active-passive`" + ` in the inventory, one with several
primaries ` + "`active-active`" + `.

Variables that are set in the environment of PHP-FPM or of the system, and not in mosparo's files, are not seen.

Limits and exceptions stand in the inventory: ` + "`check: skew, disk_warn, disk_fail, lag, timeout, disabled`" + `. A name in ` + "`disabled`" + ` is that
of a check, of a family, or a pattern such as ` + "`php-*`" + `.

This file is made of the program: ` + "`go test ./ops/health -run TestDocs -update`" + `.
`)
	for _, family := range Families() {
		fmt.Fprintf(&b, "\n## %s\n", family)
		for _, c := range Checks() {
			if i := c.About(); i.Family == family {
				fmt.Fprintf(&b, "\n### %s\n\n%s\n\n- **Why:** %s\n- **Mend:** `%s`\n", i.Name, i.Title, i.Why, i.Mend)
			}
		}
	}
	if *update {
		if err := os.WriteFile(docsFile, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(docsFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, b.Bytes()) {
		t.Errorf("%s is stale: run go test ./ops/health -run TestDocs -update", docsFile)
	}
}

// What is said of a check must be there, in the form that screens and tables rely on.
func TestAbout(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range Checks() {
		i := c.About()
		switch {
		case seen[i.Name]:
			t.Errorf("%s is there twice", i.Name)
		case !strings.Contains(i.Name, "-") || i.Family == "" || len(i.Name) > 24:
			t.Errorf("%s: bad name or family", i.Name)
		case !strings.HasSuffix(i.Title, "?") || len(i.Title) > 100:
			t.Errorf("%s: the title is no short question: %s", i.Name, i.Title)
		case !strings.HasSuffix(i.Why, ".") || i.Mend == "":
			t.Errorf("%s: no reason, or no mend", i.Name)
		}
		seen[i.Name] = true
	}
}
