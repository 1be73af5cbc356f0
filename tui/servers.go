package tui

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops/health"
)

// databaseServers draws the servers of the database in lines of w cells: each below the one it replicates from, or the
// members of a cluster below each other. Until the servers were asked it is what the inventory says.
func (m *Model) databaseServers(w int) []line {
	d := m.svc.Deployment.Database
	if len(d.Servers) == 0 {
		return []line{text(dim, "none in the inventory: the nodes' own configuration says")}
	}
	i := slices.IndexFunc(m.st.results, func(r health.Result) bool { return len(r.Servers) > 0 })
	if i < 0 {
		var out []line
		for _, s := range d.Servers {
			out = append(out, line{{dim, "· "}, {strong, cmp.Or(s.Name, s.Host)}, {dim, fmt.Sprintf("  %s:%d  not asked", s.Host, cmp.Or(s.Port, 3306))}})
		}
		return out
	}
	t := serverTree{m: m, result: m.st.results[i], w: w, drawn: map[string]bool{}}
	t.draw()
	if at := t.result.At; m.now.Sub(at) > 2*m.st.checks.every {
		t.out = append(t.out, text(caution, "~"+age(m.now, at)+" old"))
	}
	return t.out
}

// serverTree draws servers and what leads from one to the other.
type serverTree struct {
	m      *Model
	result health.Result
	w      int
	drawn  map[string]bool
	out    []line
}

func (t *serverTree) draw() {
	servers := t.result.Servers
	members := slices.DeleteFunc(slices.Clone(servers), func(s health.DatabaseServer) bool { return s.Cluster == nil })
	if len(members) > 0 {
		t.cluster(members)
	}
	for _, s := range servers { // those that follow none of the others
		if !slices.ContainsFunc(s.Replication, func(r health.Replication) bool { return t.knows(r.Source) }) {
			t.server(s, "", "")
		}
	}
	for _, s := range servers { // those in a ring
		t.server(s, "", "")
	}
}

func (t *serverTree) knows(name string) bool {
	return slices.ContainsFunc(t.result.Servers, func(s health.DatabaseServer) bool { return s.Name == name })
}

// cluster draws the members of a cluster and what it is as the members with quorum see it.
func (t *serverTree) cluster(members []health.DatabaseServer) {
	best := members[0].Cluster
	for _, s := range members {
		if c := s.Cluster; c.Quorum() && !best.Quorum() || c.Quorum() == best.Quorum() && c.Size > best.Size {
			best = c
		}
	}
	what := "cluster"
	if best.Kind == health.GroupReplication {
		what = "group"
	}
	none := "" // takes writes, unless one does that has left its group
	if !slices.ContainsFunc(members, func(s health.DatabaseServer) bool { return s.Writable }) {
		none = ": nobody takes writes"
	}
	if best.Quorum() {
		t.out = append(t.out, line{{good, "◆ "}, {plain, fmt.Sprintf("%s of %d, with quorum", what, best.Size)}})
	} else {
		t.out = append(t.out, line{{bad, "✗ "}, {bad, what + " without quorum" + none}})
	}
	for i, s := range members {
		branch, below := "├─ ", "│  "
		if i == len(members)-1 {
			branch, below = "└─ ", "   "
		}
		t.server(s, branch, below)
	}
}

// server draws a server behind a branch, and below it those that follow it.
func (t *serverTree) server(s health.DatabaseServer, branch, below string) {
	if t.drawn[s.Name] {
		return
	}
	t.drawn[s.Name] = true
	e, _ := t.result.On(s.Name)
	l := line{{edge, branch}, {styleOf(e.Verdict), glyph(e.Verdict) + " "}, {strong, s.Name}}
	if t.w >= 44 {
		l = append(l, span{dim, "  " + s.Address})
	}
	t.out = append(t.out, append(l, t.role(s)...))
	var followers []health.DatabaseServer
	for _, o := range t.result.Servers {
		if !t.drawn[o.Name] && slices.ContainsFunc(o.Replication, func(r health.Replication) bool { return r.Source == s.Name }) {
			followers = append(followers, o)
		}
	}
	rail := below + "  "
	if len(followers) > 0 {
		rail = below + "│ "
	}
	for _, f := range e.Figures {
		if f.Name == "cluster_size" || f.Name == "queue" && f.Value == 0 { // the cluster's heading says it; the lag says it
			continue
		}
		t.out = append(t.out, append(line{{edge, rail}}, gauge(f, max(t.w-width(rail), 8))...))
	}
	for i, o := range followers {
		branch, under := below+"├─▸ ", below+"│   "
		if i == len(followers)-1 {
			branch, under = below+"└─▸ ", below+"    "
		}
		t.server(o, branch, under)
	}
}

// role is what a server does, in few words.
func (t *serverTree) role(s health.DatabaseServer) line {
	if s.Error != "" {
		return text(bad, "  no answer")
	}
	var l line
	switch {
	case s.Writable:
		l = text(plain, "  takes writes")
	case t.m.svc.Deployment.Database.Topology == inventory.ActivePassive && (len(s.Replication) > 0 || s.Cluster != nil && s.Cluster.Standby()):
		l = text(dim, "  stands by")
	default:
		l = text(caution, "  read-only")
	}
	if s.Cluster != nil {
		l = append(l, span{dim, ", " + cmp.Or(s.Cluster.State, "not joined")})
	}
	for _, r := range s.Replication {
		switch {
		case r.Stopped():
			l = append(l, span{bad, "  ✗ stopped"})
		case !t.knows(r.Source):
			l = append(l, span{dim, "  ◂ " + r.Source})
		}
	}
	return l
}
