package health

import (
	"strings"

	"github.com/mosparoctl/mosparoctl/inventory"
)

// Mends are pasted into a shell: commands name the node and its paths, and hold nothing that has to be filled in first.

// exec is the command line that runs argv on n. Names of files come from the node, so each word is quoted.
func (n *node) exec(argv ...string) string {
	words := []string{"mosparoctl exec --nodes", n.Name, "--"}
	for _, a := range argv {
		words = append(words, shellWord(a))
	}
	return strings.Join(words, " ")
}

// shellWord quotes s where a shell would not take it as one word.
func shellWord(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:=+,@%", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// deployHint puts the code of all nodes right.
const deployHint = "deploy one release to all nodes, see: mosparoctl deploy --help"

// deployFrom brings all nodes to the code of one of them. A deploy to the others alone is refused: it makes a release, which the
// admin node must be on first.
func deployFrom(good *inventory.Node) string { return "mosparoctl deploy --from-node " + good.Name }

// deployMend puts n's code right by that of the admin node, or if n is that, by that of the first other one.
func (n *node) deployMend() string {
	d := n.session.env.Deployment
	if admin := d.Admin(); admin != nil && admin.Name != n.Name {
		return deployFrom(admin)
	}
	for _, other := range d.Nodes {
		if other.Name != n.Name && other.Paths.Root != "" {
			return deployFrom(other)
		}
	}
	return deployHint
}
