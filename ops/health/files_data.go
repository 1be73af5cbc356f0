package health

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/mosparoctl/mosparoctl/inventory"
)

// geoFiles are MaxMind's databases below the installation.
var geoFiles = [...]string{
	"var/data/geoip2/GeoLite2-ASN/GeoLite2-ASN.mmdb",
	"var/data/geoip2/GeoLite2-Country/GeoLite2-Country.mmdb",
}

// geoState is a node's GeoIP databases.
type geoState struct {
	active bool
	size   [len(geoFiles)]int64 // -1: missing
	mtime  [len(geoFiles)]time.Time
}

func (g geoState) key() string { return fmt.Sprint(g.size) }

// geoIP compares the GeoIP databases.
func geoIP() Check {
	return question[geoState]{
		Info: Info{
			Name: "files-geoip", Family: FamilyFiles,
			Title: "Does every node have the same GeoIP databases?",
			Why: "A node without them stores addresses without country for all nodes to use: rules for countries and networks stop " +
				"matching those visitors.",
			Mend: syncHint,
		},
		nodes: func(n *inventory.Node) bool { return n.Has(inventory.RoleApp) || n.Has(inventory.RoleAdmin) },
		ask: func(ctx context.Context, n *node) (geoState, error) {
			c, err := n.configuration(ctx)
			if err != nil {
				return geoState{}, err
			}
			v, _ := c.Get("geoipActive")
			g := geoState{active: v.Truth()}
			for i, name := range geoFiles {
				info, err := n.stat(ctx, n.file(name))
				switch {
				case errors.Is(err, fs.ErrNotExist):
					g.size[i] = -1
				case err != nil:
					return g, err
				default:
					g.size[i], g.mtime[i] = info.Size, info.MTime
				}
			}
			return g, nil
		},
		judge: func(_ context.Context, v *verdicts, answers []answer[geoState]) {
			ref := reference(answers, geoState.key)
			for _, a := range answers {
				g, missing := a.value, ""
				for i, name := range geoFiles {
					if g.size[i] < 0 && (g.active || ref.value.size[i] >= 0) {
						missing = name
					}
				}
				switch {
				case !g.active && missing == "":
					v.ok(a.node, "GeoIP is not used")
				case !g.active:
					v.ok(a.node, "GeoIP is not used; %s has databases all the same", ref.node.Name)
				case missing != "":
					v.fail(a.node, "", "%s is missing", missing)
				case g.key() != ref.value.key():
					v.warn(a.node, syncHint+" --nodes "+a.node.Name, "other databases than %s: %s here, %s there", ref.node.Name, stamp(g.mtime[0]), stamp(ref.value.mtime[0]))
				default:
					v.ok(a.node, "of %s", stamp(g.mtime[0]))
				}
			}
		},
	}
}

// resourceState is a node's prepared CSS.
type resourceState struct {
	inCache bool // CSS is served from the shared cache
	mapping string
	css     []string // "uuid/hash.css", sorted
}

// resources compares the prepared CSS and the map that leads to it.
func resources() Check {
	return question[resourceState]{
		Info: Info{
			Name: "files-resources", Family: FamilyFiles,
			Title: "Is the prepared CSS the same on every node?",
			Why:   "A node with an old map serves an old or unstyled box; one that is left over in shared-cache mode keeps redirecting to it.",
			Mend:  syncHint,
		},
		ask: askResources,
		judge: func(_ context.Context, v *verdicts, answers []answer[resourceState]) {
			text := func(r resourceState) string { return r.mapping + " " + strings.Join(r.css, " ") }
			ref := reference(answers, text)
			for _, a := range answers {
				r := a.value
				switch {
				case r.inCache && r.mapping != "":
					v.fail(a.node, a.node.exec("rm", a.node.file(mappingsFile)), "%s is left over: CSS is in the shared cache, and this file goes before it", mappingsFile)
				case r.inCache:
					v.ok(a.node, "CSS is in the shared cache")
				case r.mapping != ref.value.mapping:
					v.fail(a.node, syncHint+" --nodes "+a.node.Name, "%s differs from %s", mappingsFile, ref.node.Name)
				case text(r) != text(ref.value):
					v.fail(a.node, syncHint+" --nodes "+a.node.Name, "%d CSS files, other than the %d of %s", len(r.css), len(ref.value.css), ref.node.Name)
				default:
					v.ok(a.node, "%d CSS files", len(r.css))
				}
			}
		},
	}
}

// mappingsFile maps a project to its CSS.
const mappingsFile = "public/resources/mappings.php"

func askResources(ctx context.Context, n *node) (resourceState, error) {
	var r resourceState
	if err := n.mosparo(ctx); err != nil {
		return r, err
	}
	flag, err := n.setting(ctx, "MOSPARO_PREPARE_CSS_FILES_IN_SHARED_CACHE")
	if err != nil {
		return r, err
	}
	r.inCache = flag != "" && flag != "0" // PHP's truth of a string: "false" is true
	raw, err := n.read(ctx, n.file(mappingsFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return r, err
	default:
		sum := sha256.Sum256(raw)
		r.mapping = short(hex.EncodeToString(sum[:]))
	}
	if r.inCache {
		return r, nil
	}
	out, err := n.output(ctx, "sh", "-c", `cd "$1" 2>/dev/null || exit 0; find . -name '*.css' -type f | sort | head -n 20000`, "sh", n.file("public/resources"))
	if err != nil {
		return r, err
	}
	r.css = lines(out)
	return r, nil
}
