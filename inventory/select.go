package inventory

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// Select gives the nodes that all of nodes, role and group name, in the order of the inventory; "" names all.
// nodes is a list of names and patterns (* ? [a-z]) separated by commas, where "!" takes away: "app*,!app3". The order of
// the list doesn't matter. A name or pattern that fits no node, an unknown role or group, and an empty result are errors.
func (d *Deployment) Select(nodes, role, group string) ([]*Node, error) {
	wanted, unwanted, err := d.patterns(nodes)
	if err != nil {
		return nil, err
	}
	if roles := []string{string(RoleAdmin), string(RoleApp), string(RoleCron)}; role != "" && !slices.Contains(roles, role) {
		return nil, unknown("role", role, roles)
	}
	if groups := d.GroupNames(); group != "" && !slices.Contains(groups, group) {
		return nil, unknown("group", group, groups)
	}
	fits := func(list []string, n *Node) bool {
		return slices.ContainsFunc(list, func(p string) bool { return matches(p, n) })
	}
	var out []*Node
	for _, n := range d.Nodes {
		if (len(wanted) == 0 || fits(wanted, n)) && !fits(unwanted, n) &&
			(role == "" || n.Has(Role(role))) && (group == "" || slices.Contains(n.Groups, group)) {
			out = append(out, n)
		}
	}
	if len(out) == 0 {
		return nil, errors.New("no node is selected: " + describeSelection(nodes, role, group))
	}
	return out, nil
}

// patterns splits a selector and makes sure that each part fits a node.
func (d *Deployment) patterns(nodes string) (wanted, unwanted []string, err error) {
	if strings.TrimSpace(nodes) == "" {
		return nil, nil, nil
	}
	for part := range strings.SplitSeq(nodes, ",") {
		pattern, not := strings.CutPrefix(strings.TrimSpace(part), "!")
		if pattern == "" {
			return nil, nil, fmt.Errorf("selector %q has an empty part", nodes)
		}
		if _, err := path.Match(pattern, ""); err != nil {
			return nil, nil, fmt.Errorf("selector %q: %q is no pattern", nodes, pattern)
		}
		if !slices.ContainsFunc(d.Nodes, func(n *Node) bool { return matches(pattern, n) }) {
			if strings.ContainsAny(pattern, "*?[") {
				return nil, nil, fmt.Errorf("no node fits %q; there are: %s", pattern, strings.Join(d.NodeNames(), ", "))
			}
			return nil, nil, d.unknownNode(pattern)
		}
		if not {
			unwanted = append(unwanted, pattern)
		} else {
			wanted = append(wanted, pattern)
		}
	}
	return wanted, unwanted, nil
}

func matches(pattern string, n *Node) bool {
	ok, err := path.Match(pattern, n.Name)
	return ok && err == nil
}

// NodeNames are the names of all nodes, in the order of the inventory.
func (d *Deployment) NodeNames() []string {
	var names []string
	for _, n := range d.Nodes {
		names = append(names, n.Name)
	}
	return names
}

// GroupNames are the names of all groups that have nodes, sorted.
func (d *Deployment) GroupNames() []string {
	var names []string
	for _, n := range d.Nodes {
		names = append(names, n.Groups...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (d *Deployment) unknownNode(name string) error { return unknown("node", name, d.NodeNames()) }

func unknown(what, name string, names []string) error {
	if near := nearest(name, names); near != "" {
		return fmt.Errorf("unknown %s %q; did you mean %q?", what, name, near)
	}
	if len(names) == 0 {
		return fmt.Errorf("unknown %s %q; there is none", what, name)
	}
	return fmt.Errorf("unknown %s %q; there are: %s", what, name, strings.Join(names, ", "))
}

func describeSelection(nodes, role, group string) string {
	var parts []string
	for _, p := range [][2]string{{"--nodes", nodes}, {"--role", role}, {"--group", group}} {
		if p[1] != "" {
			parts = append(parts, p[0]+" "+p[1])
		}
	}
	if len(parts) == 0 {
		return "the inventory has none"
	}
	return strings.Join(parts, " and ") + " leave none"
}
