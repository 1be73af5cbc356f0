package tui

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops/release"
)

func deployKeys() []binding {
	return []binding{{keys: []string{"enter", "d"}, help: "choose a source and plan", do: func(m *Model) tea.Cmd {
		m.dlg = &lineDialog{heading: "Deploy", hint: "Path of a folder or an archive on this machine, or node:NAME for the installation on a node. The plan is shown first.",
			do: planDeploy}
		return nil
	}}}
}

// sourceOf is what was typed as a source: a path, or the installation on a node.
func sourceOf(d *inventory.Deployment, typed string) release.SourceSpec {
	if name, ok := strings.CutPrefix(typed, "node:"); ok && d.Node(name) != nil {
		return release.SourceSpec{FromNode: name}
	}
	if rest, ok := strings.CutPrefix(typed, "~/"); ok {
		if home, err := os.UserHomeDir(); err == nil {
			typed = filepath.Join(home, rest)
		}
	}
	if abs, err := filepath.Abs(typed); err == nil {
		typed = abs
	}
	return release.SourceSpec{Path: typed}
}

// viewDeploy says what a deploy is and on which release the nodes are, until there is a plan.
func viewDeploy(m *Model, w, _ int) []line {
	out := []line{nil, {{plain, " Press "}, {accent, "⏎"}, {plain, " and name a folder or an archive with a release of mosparo."}}, nil}
	out = append(out, indent(" ", wrap(dim, "What would be done is shown first, wave by wave, with the files that would change. It starts after the name of the deployment was typed. "+
		"A node is taken out of rotation before it is touched, and goes back to its release when it fails.", max(min(w-2, 90), 1)))...)
	out = append(out, nil, section("Now on", ""))
	for _, n := range m.st.nodes {
		current := "…"
		if f := n.reading.Facts; f != nil {
			if current = f.Current; current == "" {
				current = "no release"
			}
		}
		out = append(out, line{{strong, fmt.Sprintf("   %-12s ", cut(n.node.Name, 12))}, {plain, current}, {dim, m.aged(&n.source)}})
	}
	return out
}

func releasesKeys() []binding {
	return []binding{
		{keys: []string{"enter"}, name: "rollback", help: "plan a rollback to it", when: func(m *Model) bool { return len(m.releases()) > 0 }, do: func(m *Model) tea.Cmd {
			all := m.releases()
			id := all[max(min(m.at[m.screen], len(all)-1), 0)].ID
			return m.propose("rollback", func(ctx context.Context) (*Proposal, error) { return m.svc.Planner.Rollback(ctx, id) })
		}},
		{keys: []string{"b"}, help: "plan a rollback to the one before", do: func(m *Model) tea.Cmd {
			return m.propose("rollback", func(ctx context.Context) (*Proposal, error) { return m.svc.Planner.Rollback(ctx, "") })
		}},
	}
}

// releases are all releases on any node, the newest first.
func (m *Model) releases() []release.Info {
	var out []release.Info
	for _, n := range m.st.nodes {
		if n.reading.Facts == nil {
			continue
		}
		for _, r := range n.reading.Facts.Releases {
			if !slices.ContainsFunc(out, func(o release.Info) bool { return o.ID == r.ID }) {
				out = append(out, r)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b release.Info) int { return b.Created.Compare(a.Created) })
	return out
}

// viewReleases draws releases against nodes.
func viewReleases(m *Model, w, h int) []line {
	all := m.releases()
	if len(all) == 0 {
		return []line{text(dim, " no releases were found yet")}
	}
	nodes := len(m.st.nodes)
	iw := 0
	for _, r := range all {
		iw = max(iw, width(clean(r.ID)))
	}
	iw = min(iw, max(w-18, 10))
	out := []line{row(cell(dim, "   release", iw+3), cell(dim, "  on nodes", 10), cell(dim, "created", 16), cell(dim, "files", 6), cell(dim, "source", max(w-iw-44, 0)))}
	at := max(min(m.at[screenReleases], len(all)-1), 0)
	from, to := window(len(all), at, max(h-5, 1))
	for i, r := range all[from:to] {
		active, has, before := 0, 0, 0
		for _, n := range m.st.nodes {
			if f := n.reading.Facts; f != nil {
				if _, ok := f.Release(r.ID); ok {
					has++
				}
				if f.Current == r.ID {
					active++
				}
				if f.Previous == r.ID {
					before++
				}
			}
		}
		sign, s := " ", plain
		switch {
		case active > 0:
			sign, s = "●", good
		case before > 0:
			sign = "○"
		}
		where := fmt.Sprintf("  %d of %d", has, nodes)
		if active > 0 {
			where = fmt.Sprintf("● %d of %d", active, nodes)
		}
		mark := " "
		if from+i == at {
			mark = "▸"
		}
		l := row(cell(s, mark+sign+" "+r.ID, iw+3), cell(s, where, 10), cell(dim, r.Created.In(m.zone).Format("2006-01-02 15:04"), 16), cell(dim, fmt.Sprint(r.Files), 6),
			cell(dim, r.Source, max(w-iw-44, 0)))
		if from+i == at {
			l = l.marked(w)
		}
		m.clickable(len(out), w, from+i)
		out = append(out, l)
	}
	out = append(out, nil, text(dim, " ● active  ○ the one before"))
	return append(out, indent(" ", wrap(dim, "A rollback does not take back migrations of the database; the plan names them.", max(w-2, 1)))...)
}

func syncKeys() []binding {
	return []binding{
		{keys: []string{"enter", "d"}, name: "sync", help: "compare, and plan a sync", do: func(m *Model) tea.Cmd { return m.propose("sync", m.svc.Planner.Sync) }},
		{keys: []string{"r"}, help: "compare only", when: func(m *Model) bool { return syncs(m.svc.Deployment) && !m.st.drift.busy }, do: func(m *Model) tea.Cmd {
			m.st.drift.asked = time.Time{}
			c := m.readDrift()
			if c == nil {
				m.say(caution, "not while something is being changed")
			}
			return c
		}},
		{keys: []string{"u"}, name: "undo-sync", help: "plan to undo the chosen run", when: func(m *Model) bool { return len(m.generations()) > 0 }, do: func(m *Model) tea.Cmd {
			all := m.generations()
			run := all[max(min(m.at[m.screen], len(all)-1), 0)].run
			return m.propose("sync undo", func(ctx context.Context) (*Proposal, error) { return m.svc.Planner.UndoSync(ctx, run) })
		}},
	}
}

// generation is a run of a sync that can be undone.
type generation struct {
	run   string
	nodes []string
}

// generations lists the runs of which some node has a trash, the newest first.
func (m *Model) generations() []generation {
	var out []generation
	for _, n := range m.st.nodes {
		if n.reading.Sync == nil {
			continue
		}
		for _, g := range n.reading.Sync.Generations {
			i := slices.IndexFunc(out, func(o generation) bool { return o.run == g })
			if i < 0 {
				out, i = append(out, generation{run: g}), len(out)
			}
			out[i].nodes = append(out[i].nodes, n.node.Name)
		}
	}
	slices.SortFunc(out, func(a, b generation) int { return strings.Compare(b.run, a.run) })
	return out
}

func viewSync(m *Model, w, h int) []line {
	fields := func(name, at, ago, files, state column) line {
		name.w, at.w, ago.w, files.w, state.w = 16, 17, 7, 7, max(w-51, 8)
		if w < 70 { // how long ago and what is wrong matter more than when and how much
			name.w, state.w = 12, max(w-21, 8)
			return row(name, ago, state)
		}
		return row(name, at, ago, files, state)
	}
	out := []line{nil, fields(cell(dim, "   node", 0), cell(dim, "last sync", 0), cell(dim, "ago", 0), cell(dim, "files", 0), cell(dim, "state", 0))}
	room := max(h/4, 3) // drift and runs need some, too
	for i, n := range m.st.nodes {
		if i == room-1 && len(m.st.nodes) > room {
			out = append(out, text(dim, fmt.Sprintf("   … and %d more, on the overview", len(m.st.nodes)-i)))
			break
		}
		if n.node.Has(inventory.RoleAdmin) {
			what, none := cell(dim, "source", 0), cell(dim, "", 0)
			if w < 70 {
				out = append(out, fields(cell(strong, "   "+n.node.Name, 0), none, what, none, none))
			} else {
				out = append(out, fields(cell(strong, "   "+n.node.Name, 0), what, none, none, none))
			}
			continue
		}
		s := n.reading.Sync
		at, ago, files, st, state := "…", "", "", dim, "not read yet"
		if n.err != nil {
			st, state = bad, "✗ "+m.svc.Redact(n.err.Error())
		}
		if s != nil {
			at, ago, files, st, state = "never", "", fmt.Sprint(s.Files), dim, ""
			if !s.Synced.IsZero() {
				at, ago = s.Synced.In(m.zone).Format("2006-01-02 15:04"), age(m.now, s.Synced)
			}
			switch {
			case s.Unfinished:
				st, state = bad, "✗ a sync did not end; run it again"
			case n.stale(m.now):
				st, state = caution, "! stale: read "+age(m.now, n.got)+" ago"
			}
		}
		if ago == "" {
			ago = at // "never", or that it was not read
		}
		out = append(out, fields(cell(strong, "   "+n.node.Name, 0), cell(plain, at, 0), cell(dim, ago, 0), cell(dim, files, 0), cell(st, state, 0)))
	}
	switch {
	case !syncs(m.svc.Deployment):
	case h < 16:
		out[0] = line{{strong, " Drift  "}, m.driftInWords()}
	default:
		out = append(append(out, nil), m.viewDrift(w, max(h/4, 2))...)
	}
	out = append(out, nil, section("Runs that can be undone", "newest first"))
	all := m.generations()
	if len(all) == 0 {
		out = append(out, text(dim, "   none"))
	}
	at := max(min(m.at[screenSync], len(all)-1), 0)
	from, to := window(len(all), at, max(h-len(out)-2, 1))
	for i, g := range all[from:to] {
		l := line{{plain, "   " + g.run + "  "}, {dim, runTime(g.run, m.now) + "on " + strings.Join(g.nodes, ", ")}}
		if from+i == at {
			l[0].text = " ▸ " + g.run + "  "
			l = l.marked(w)
		}
		m.clickable(len(out), w, from+i)
		out = append(out, l)
	}
	return append(out, nil, line{{accent, " ⏎"}, {dim, " compares with the admin node; nothing changes before you confirm"}})
}

// runTime is the age of a run of sync, which is named after its time.
func runTime(run string, now time.Time) string {
	if len(run) < 15 {
		return ""
	}
	at, err := time.Parse("20060102-150405", run[:15])
	if err != nil {
		return ""
	}
	return age(now, at) + " ago "
}
