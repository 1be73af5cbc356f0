package inventory

import (
	"fmt"
	"slices"
	"strings"
)

// check looks for what is wrong with the whole, after each value by itself was found right.
func (d *decoder) check(dep *Deployment, f *document) {
	if len(f.nodes) == 0 {
		if _, given := d.origins["nodes"]; given {
			d.bad(d.origin("nodes"), "there is no node", "write a node: - name: app1")
		}
		return
	}
	if len(f.nodes) > maxNodes {
		d.bad(d.origin("nodes"), fmt.Sprintf("%d nodes", len(f.nodes)), fmt.Sprintf("write at most %d", maxNodes))
		return
	}
	for _, p := range d.problems {
		d.failed = append(d.failed, p.Path)
	}
	d.checkNodes(dep, f)
	d.checkAdmin(dep)
	d.checkCaches(dep)
	d.checkDatabase(dep)
	for i := range dep.Balancers {
		d.checkBalancer(dep, &dep.Balancers[i], i)
	}
	d.checkCron(dep)
	d.checkRest(dep)
}

// origin is what was written for the first of paths that was written, or the start of the file.
func (d *decoder) origin(paths ...string) value {
	for _, p := range paths {
		if v, ok := d.origins[p]; ok {
			return v
		}
	}
	return value{at: place{1, 1}}
}

// of is the path of a node in the resolved deployment.
func of(n *Node, key string) string { return "nodes[" + n.Name + "]." + key }

func at(n *Node) string { return "nodes[" + n.Name + "]" }

// machine tells nodes on different machines apart; all on a loopback address are on this one.
func machine(n *Node) string {
	if loopback(n.Address) {
		return "local"
	}
	return strings.ToLower(n.Address)
}

// machines counts the machines of those nodes that keep accepts.
func machines(nodes []*Node, keep func(*Node) bool) int {
	seen := map[string]bool{}
	for _, n := range nodes {
		if keep(n) {
			seen[machine(n)] = true
		}
	}
	return len(seen)
}

func (d *decoder) checkNodes(dep *Deployment, f *document) {
	groups := make([]string, 0, len(f.groups))
	for g := range f.groups {
		groups = append(groups, g)
	}
	slices.Sort(groups)
	var balancers []string
	for _, b := range dep.Balancers {
		balancers = append(balancers, b.Name)
	}
	var rootless []string
	installed := map[string]string{}
	for _, n := range dep.Nodes {
		if n.Name == "" {
			continue
		}
		for i, g := range n.Groups {
			if !slices.Contains(groups, g) {
				d.bad(d.origin(fmt.Sprintf("%s[%d]", of(n, "groups"), i), of(n, "groups")), fmt.Sprintf("unknown group %q", g), suggest(g, groups, "add it below groups"))
			}
		}
		for b := range n.Backend {
			if !slices.Contains(balancers, b) {
				d.bad(d.origin(of(n, "backend."+b)), fmt.Sprintf("unknown balancer %q", b), suggest(b, balancers, "add it below balancers"))
			}
		}
		if len(n.Roles) == 0 {
			d.bad(d.origin(of(n, "roles"), at(n)), "a node without a role", "write roles: [app]")
		}
		if n.Paths.Root == "" {
			if _, given := d.origins[of(n, "paths.root")]; !given {
				rootless = append(rootless, n.Name)
			}
			continue
		}
		key := fmt.Sprint(machine(n), n.SSH.Port, n.SSH.Jump, n.Paths.Root)
		if other, taken := installed[key]; taken && other != n.Name {
			d.bad(d.origin(of(n, "address"), at(n)), fmt.Sprintf("the same installation as node %q: address, port and root are alike", other), "give it its own address, or another paths.root")
		}
		installed[key] = n.Name
	}
	if len(rootless) > 0 && !d.failedAt("paths.root") {
		d.bad(d.origin("nodes["+rootless[0]+"]"), "no paths.root for "+strings.Join(rootless, ", "), "write defaults: {paths: {root: /srv/mosparo}}, or it for each node")
	}
}

// failedAt reports whether a value of the key was found wrong by itself, so that it is not missing or unfit too.
func (d *decoder) failedAt(key string) bool {
	return slices.ContainsFunc(d.failed, func(p string) bool { return strings.HasSuffix(p, key) })
}

// failedBelow reports whether path, or something in it, was found wrong by itself.
func (d *decoder) failedBelow(path string) bool {
	return slices.ContainsFunc(d.failed, func(p string) bool { return strings.HasPrefix(p, path) })
}

func suggest(word string, names []string, instead string) string {
	if near := nearest(word, names); near != "" {
		return fmt.Sprintf("write %q, or %s", near, instead)
	}
	return instead
}

func (d *decoder) checkAdmin(dep *Deployment) {
	var admin *Node
	for _, n := range dep.Nodes {
		if !n.Has(RoleAdmin) {
			continue
		}
		if admin != nil && admin.Name != n.Name {
			d.bad(d.origin(of(n, "roles"), at(n)), fmt.Sprintf("a second admin node: %s is one already", admin.Name), "leave admin to one of them, where administrative changes are made")
			continue
		}
		admin = n
	}
	badRole := slices.ContainsFunc(d.failed, func(p string) bool { return strings.HasSuffix(p, "roles") || strings.Contains(p, "roles[") })
	if admin == nil && !badRole {
		d.bad(d.origin("nodes"), "no node has the role admin, from which sync, cron and migrations start", "write roles: [admin, app] for one node")
	}
}

func (d *decoder) checkCron(dep *Deployment) {
	cronNodes := slices.ContainsFunc(dep.Nodes, func(n *Node) bool { return n.Has(RoleCron) })
	if dep.Cron.Mode == CronStaggered && !cronNodes {
		d.bad(d.origin("cron.mode"), "staggered, but no node has the role cron", "write roles: [app, cron] for the nodes that run jobs")
	}
	builtIn := []string{"cleanup", "rule-packages", "geoip"}
	for i, j := range dep.Cron.Jobs {
		path := d.item("cron.jobs", j.Name, i)
		own := !slices.Contains(builtIn, j.Name)
		switch {
		case own && len(j.Command) == 0 && j.Name != "" && !d.failedAt(path+".command"):
			d.bad(d.origin(path), fmt.Sprintf("job %q has no command", j.Name), suggest(j.Name, builtIn, "add command: the arguments of mosparo's console"))
		case own && j.Every == 0 && j.Enabled && j.Name != "" && !d.failedAt(path+".every"):
			d.bad(d.origin(path), fmt.Sprintf("job %q has no interval", j.Name), "add every: 1d, or another interval")
		case j.Name == "rule-packages" && j.Nodes == "all":
			d.bad(d.origin(path+".nodes"), "rule-packages can't run on several nodes: parallel runs end in duplicates and deadlocks", "write nodes: admin")
		}
		if j.Every%60e9 != 0 {
			d.bad(d.origin(path+".every"), "cron knows whole minutes only", "write a number of minutes, such as "+short(j.Every.Round(60e9)))
		}
	}
	if dep.Cron.Distance%60e9 != 0 {
		d.bad(d.origin("cron.distance"), "cron knows whole minutes only", "write a number of minutes, such as "+short(dep.Cron.Distance.Round(60e9)))
	}
}

// item is the path of a list's item, as decoder.step makes it.
func (d *decoder) item(list, name string, index int) string {
	if p := fmt.Sprintf("%s[%s]", list, name); name != "" {
		if _, ok := d.origins[p]; ok {
			return p
		}
	}
	return fmt.Sprintf("%s[%d]", list, index)
}

func (d *decoder) checkRest(dep *Deployment) {
	seen := map[string]bool{}
	for i, p := range dep.Sync.Paths {
		if p.Path != "" && seen[p.Path] {
			d.bad(d.origin(fmt.Sprintf("sync.paths[%d].path", i)), fmt.Sprintf("%q is listed twice", p.Path), "keep one of them")
		}
		seen[p.Path] = true
	}
	if dep.Check.DiskWarn >= dep.Check.DiskFail {
		d.bad(d.origin("check.disk_warn", "check.disk_fail"), fmt.Sprintf("disk_warn (%d) is not below disk_fail (%d)", dep.Check.DiskWarn, dep.Check.DiskFail), "write disk_warn: 85 and disk_fail: 95, or alike")
	}
	for i, s := range dep.Release.Shared {
		if slices.Contains(dep.Release.Shared[:i], s) {
			d.bad(d.origin(fmt.Sprintf("release.shared[%d]", i)), fmt.Sprintf("%q is listed twice", s), "keep one of them")
		}
	}
}
