package inventory

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

// ansible is what an Ansible inventory says, in either of its forms.
type ansible struct {
	hosts  []string // in the order of the file
	vars   map[string]map[string]string
	groups map[string]*ansibleGroup
	order  []string // names of groups
	notes  []string
	added  int // hosts of all groups together
}

type ansibleGroup struct {
	hosts, children []string
	vars            map[string]string
}

func newAnsible() *ansible {
	return &ansible{vars: map[string]map[string]string{}, groups: map[string]*ansibleGroup{}}
}

func (a *ansible) group(name string) *ansibleGroup {
	g := a.groups[name]
	if g == nil {
		g = &ansibleGroup{vars: map[string]string{}}
		a.groups[name] = g
		a.order = append(a.order, name)
	}
	return g
}

func (a *ansible) host(name string, vars map[string]string) {
	if a.vars[name] == nil {
		a.hosts = append(a.hosts, name)
		a.vars[name] = map[string]string{}
	}
	maps.Copy(a.vars[name], vars)
}

func (a *ansible) note(format string, args ...any) {
	if n := fmt.Sprintf(format, args...); !slices.Contains(a.notes, n) && len(a.notes) < maxProblems {
		a.notes = append(a.notes, n)
	}
}

// ImportAnsible turns an Ansible inventory, INI or YAML, into one of ours. The notes say what was assumed or left out, for
// the operator to look at. name is the file's; its ending decides the form, or else the content does.
// An error says where the file can't be read.
func ImportAnsible(name string, data []byte) (yaml []byte, notes []string, err error) {
	a := newAnsible()
	if looksLikeYAML(name, data) {
		err = a.readYAML(name, data)
	} else {
		err = a.readINI(name, data)
	}
	if err != nil {
		return nil, nil, err
	}
	if len(a.hosts) == 0 {
		return nil, nil, fmt.Errorf("%s: there are no hosts in it", name)
	}
	deployment := path.Base(strings.TrimSuffix(strings.ReplaceAll(name, `\`, "/"), path.Ext(name)))
	if slices.Contains([]string{"hosts", "inventory", "-", ".", "/"}, deployment) {
		deployment = "mosparo"
	}
	return a.write(a.clean("deployment", deployment)), a.notes, nil
}

var yamlStart = regexp.MustCompile(`^(---|[A-Za-z_][\w-]*:)\s*(#.*)?$`)

func looksLikeYAML(name string, data []byte) bool {
	if ext := strings.ToLower(path.Ext(name)); ext == ".yml" || ext == ".yaml" || ext == ".json" {
		return true
	}
	for line := range strings.Lines(string(data)) {
		line = strings.TrimRight(line, " \t\r\n")
		if line != "" && line[0] != '#' && line[0] != ';' {
			return yamlStart.MatchString(line)
		}
	}
	return false
}

var notInName = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// clean makes a name of ours of one of Ansible's.
func (a *ansible) clean(what, name string) string {
	c := strings.TrimLeft(notInName.ReplaceAllString(name, "-"), "._-")
	if c == "" {
		c = "node"
	}
	c = c[:min(len(c), 63)]
	if c != name {
		a.note("%s %q is called %q here", what, name, c)
	}
	return c
}

// settings turns Ansible's variables into lines of ours. where names them in notes.
func (a *ansible) settings(where string, vars map[string]string) (address string, lines []string) {
	var ssh []string
	for _, k := range slices.Sorted(maps.Keys(vars)) {
		v := vars[k]
		if strings.Contains(v, "{{") {
			a.note("%s: %s is a template and was left out", where, k)
			continue
		}
		add := func(key string, check fault) {
			if message, _ := check(v); message != "" {
				a.note("%s: %s was left out: its value %s", where, k, message)
				return
			}
			ssh = append(ssh, key+": "+quoteYAML(v))
		}
		switch k {
		case "ansible_host", "ansible_ssh_host":
			address = v
		case "ansible_port", "ansible_ssh_port":
			if !validPort(v) {
				a.note("%s: %s was left out: it is no port", where, k)
				continue
			}
			ssh = append(ssh, "port: "+v)
		case "ansible_user", "ansible_ssh_user":
			add("user", checkUser)
		case "ansible_ssh_private_key_file", "ansible_private_key_file":
			add("identity", checkLocalPath)
		case "ansible_become":
			ssh = append(ssh, fmt.Sprintf("become: %t", slices.Contains([]string{"1", "true", "yes", "on", "y", "t"}, strings.ToLower(v))))
		case "ansible_become_user":
			add("become_user", checkUser)
		case "ansible_connection":
			if v == "local" {
				address = "local"
			} else if v != "ssh" && v != "smart" {
				a.note("%s: ansible_connection %q is not supported", where, v)
			}
		case "ansible_ssh_common_args", "ansible_ssh_extra_args":
			if m := proxyJump.FindStringSubmatch(v); m != nil {
				v = m[1] + m[2]
				add("jump", checkJump)
			} else {
				a.note("%s: %s was left out; put what it says into ~/.ssh/config", where, k)
			}
		default:
			if strings.Contains(k, "pass") {
				a.note("%s: %s was left out; use keys, and sudo without a password", where, k)
			} else {
				a.note("%s: %s was left out", where, k)
			}
		}
	}
	if len(ssh) > 0 {
		lines = append(lines, "ssh: {"+strings.Join(slices.Compact(ssh), ", ")+"}")
	}
	return address, lines
}

var proxyJump = regexp.MustCompile(`(?:^|[\s"'])(?:-o ?["']?ProxyJump[= ]["']?([^\s"']+)|-J ?([^\s"']+))`)

// depths says how far below all each group is; what loops is not followed.
func (a *ansible) depths() map[string]int {
	depth := map[string]int{}
	for range len(a.order) {
		changed := false
		for _, name := range a.order {
			for _, c := range a.groups[name].children {
				if name != "all" && depth[c] < depth[name]+1 && depth[name] < len(a.order) {
					depth[c], changed = depth[name]+1, true
				}
			}
		}
		if !changed {
			break
		}
	}
	return depth
}

// members are the hosts of a group and of those below it.
func (a *ansible) members(name string, seen map[string]bool, into map[string]bool) {
	if seen[name] || a.groups[name] == nil {
		return
	}
	seen[name] = true
	for _, h := range a.groups[name].hosts {
		into[h] = true
	}
	for _, c := range a.groups[name].children {
		a.members(c, seen, into)
	}
}

// write makes our file. Groups are listed from the outermost to the innermost, so that, as in Ansible, inner ones win.
func (a *ansible) write(deployment string) []byte {
	depth := a.depths()
	names := slices.DeleteFunc(slices.Clone(a.order), func(g string) bool { return g == "all" || g == "ungrouped" })
	slices.SortFunc(names, func(x, y string) int {
		if depth[x] != depth[y] {
			return depth[x] - depth[y]
		}
		return strings.Compare(x, y)
	})
	of := map[string][]string{}
	for _, g := range names {
		into := map[string]bool{}
		a.members(g, map[string]bool{}, into)
		for h := range into {
			of[h] = append(of[h], g)
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# Imported from an Ansible inventory. Check it with: mosparoctl inventory validate\nversion: 1\nname: %s\n\ndefaults:\n", quoteYAML(deployment))
	if all := a.groups["all"]; all != nil {
		_, lines := a.settings("group all", all.vars)
		for _, l := range lines {
			b.WriteString("  " + l + "\n")
		}
	}
	b.WriteString("  paths: {root: /srv/mosparo}\n\n")
	a.note("paths.root is assumed to be /srv/mosparo")
	if len(names) > 0 {
		b.WriteString("groups:\n")
	}
	addresses := map[string]string{}
	for _, g := range names {
		address, lines := a.settings("group "+g, a.groups[g].vars)
		addresses[g] = address
		fmt.Fprintf(&b, "  %s: {%s}\n", quoteYAML(a.clean("group", g)), strings.Join(lines, ", "))
	}
	a.writeNodes(&b, of, addresses)
	if len(a.hosts) > 1 {
		b.WriteString("\n# All nodes must share one cache.\ncache: {adapter: redis, url: env:REDIS_URL}\n")
		a.note("the cache is assumed to be redis, with its URL in the environment variable REDIS_URL")
	}
	return []byte(b.String())
}

func (a *ansible) writeNodes(b *strings.Builder, groups map[string][]string, addresses map[string]string) {
	admin := a.hosts[0]
	isAdmin := regexp.MustCompile(`(?i)^(admin|primary|master|manager)s?$`)
	found := slices.IndexFunc(a.hosts, func(h string) bool {
		return isAdmin.MatchString(h) || slices.ContainsFunc(groups[h], isAdmin.MatchString)
	})
	if found >= 0 {
		admin = a.hosts[found]
	}
	a.note("%s is assumed to be the admin node", admin)
	if len(a.hosts) > 1 {
		a.note("every host is assumed to serve visitors and to run jobs: take out what is none of mosparo's, such as database servers")
	}
	b.WriteString("\nnodes:\n")
	taken := map[string]int{}
	for _, h := range a.hosts {
		address, lines := a.settings("host "+h, a.vars[h])
		for _, g := range groups[h] {
			if address == "" {
				address = addresses[g]
			}
		}
		name := a.clean("host", h)
		if taken[name]++; taken[name] > 1 {
			name = fmt.Sprintf("%.55s-%d", name, taken[name])
			a.note("host %q is called %q here", h, name)
		}
		if address == "" && name != h {
			address = h
		}
		fmt.Fprintf(b, "  - name: %s\n", quoteYAML(name))
		if message, _ := checkHost(address); address != "" && message != "" {
			a.note("host %s: its address %s", h, message)
		}
		if address != "" {
			fmt.Fprintf(b, "    address: %s\n", quoteYAML(address))
		}
		role := "[app, cron]"
		if h == admin {
			role = "[admin, app, cron]"
		}
		fmt.Fprintf(b, "    roles: %s\n", role)
		if len(groups[h]) > 0 {
			var list []string
			for _, g := range groups[h] {
				list = append(list, quoteYAML(notedName(g)))
			}
			fmt.Fprintf(b, "    groups: [%s]\n", strings.Join(slices.Compact(list), ", "))
		}
		for _, l := range lines {
			b.WriteString("    " + l + "\n")
		}
	}
}

// notedName is clean without its note.
func notedName(name string) string { return newAnsible().clean("", name) }
