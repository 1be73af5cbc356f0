package health

import (
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/mosparoctl/mosparoctl/inventory"
)

// capitals finds words such as NODE that stand for something else, and what usage texts write in its place.
var capitals = regexp.MustCompile(`\b[A-Z]{2,}\b|…|<\w+>|\.\.\.`)

// words are the capitals that mean themselves: names, and what redis and SQL are told.
var words = strings.Fields("PHP FPM CLI TLS GET SET MGET DEL GLOBAL SHOW REPLICA STATUS START PROCESSLIST GRANT MONITOR REPLICATION CLIENT ON TO YES STOP SELECT")

// placeholders are the words of a mend that somebody would have to replace before it can be pasted.
func placeholders(mend string) []string {
	return slices.DeleteFunc(capitals.FindAllString(mend, -1), func(w string) bool {
		return slices.Contains(words, w)
	})
}

// nothingToFillIn fails the test where a mend of the report, of whatever verdict, holds a placeholder, or where a node's own mend
// is a command for another one.
func nothingToFillIn(t *testing.T, r Report) {
	t.Helper()
	for _, res := range r.Results {
		if p := placeholders(res.Mend); len(p) > 0 {
			t.Errorf("%s: %q is left in the mend %q", res.Name, p, res.Mend)
		}
		for _, e := range res.Evidence {
			if p := placeholders(e.Mend); len(p) > 0 {
				t.Errorf("%s on %s: %q is left in the mend %q", res.Name, e.Node, p, e.Mend)
			}
			if _, of, ok := strings.Cut(e.Mend, "--nodes "); ok && strings.Fields(of)[0] != e.Node && slices.Contains(r.Nodes, e.Node) {
				t.Errorf("%s on %s: the mend is for another node: %q", res.Name, e.Node, e.Mend)
			}
		}
	}
}

func TestMendsOfChecksHaveNoPlaceholders(t *testing.T) {
	for _, c := range Checks() {
		if p := placeholders(c.About().Mend); len(p) > 0 {
			t.Errorf("%s: %q is left in the mend %q", c.About().Name, p, c.About().Mend)
		}
	}
	for _, mend := range []string{"mosparoctl ssh NODE", "chown -R OWNER PATH", "mosparoctl deploy SOURCE", "CREATE USER '…'"} {
		if len(placeholders(mend)) == 0 {
			t.Errorf("the placeholders of %q are not found", mend)
		}
	}
}

// A file that a visitor could upload names itself as it likes: it must stay one word of the operator's shell.
func TestMendsQuoteNamesOfNodes(t *testing.T) {
	n := &node{Node: &inventory.Node{Name: "app1"}}
	for _, name := range []string{"/srv/a b", "/srv/$(touch x)", "/srv/a'; touch x; '", "/srv/a\nb", "", "-rf", "/srv/plain_1.php", "~", "*"} {
		line := strings.Replace(n.exec("rm", name), "mosparoctl exec --nodes app1 -- rm", "printf %s", 1)
		out, err := exec.Command("sh", "-c", line).Output()
		if err != nil || string(out) != name {
			t.Errorf("%q became %q: %v", line, out, err)
		}
	}
}

func TestDeployMendNamesAnotherNode(t *testing.T) {
	d := &inventory.Deployment{}
	for _, name := range []string{"admin1", "app1"} {
		d.Nodes = append(d.Nodes, &inventory.Node{Name: name, Roles: []inventory.Role{inventory.RoleApp}, Paths: inventory.Paths{Root: "/srv"}})
	}
	d.Nodes[0].Roles = append(d.Nodes[0].Roles, inventory.RoleAdmin)
	s := &session{env: Env{Deployment: d}}
	for i, want := range []string{"mosparoctl deploy --from-node app1", "mosparoctl deploy --from-node admin1"} {
		if got := (&node{Node: d.Nodes[i], session: s}).deployMend(); got != want {
			t.Errorf("%s: %q, want %q", d.Nodes[i].Name, got, want)
		}
	}
	d.Nodes = d.Nodes[:1]
	if got := (&node{Node: d.Nodes[0], session: s}).deployMend(); got != deployHint {
		t.Errorf("one node alone: %q", got)
	}
}
