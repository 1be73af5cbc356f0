package tui

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/mosparoctl/mosparoctl/inventory"
)

// leastDrift is the least time between two comparisons of the nodes with the admin node, which read all that is synced.
const leastDrift = 5 * time.Minute

// Drift is how the nodes differ from the admin node.
type Drift struct {
	Counts []DriftCount // in the order of nodes and paths
	Nodes  []string     // that were compared
	Left   error        // why others were not
}

// DriftCount is what a sync would do on a node, in files below one synced path.
type DriftCount struct {
	Node, Path     string
	Create, Delete int
	Update         int // of content, or of mode, owner or time
}

// driftMsg is an answer of the poller.
type driftMsg struct {
	drift Drift
	err   error
}

// readDrift compares the nodes, where that is in nobody's way: not before the checks have answered, not while something
// is being changed, by us or by who holds the lock.
func (m *Model) readDrift() tea.Cmd {
	busy := m.op != nil && m.op.phase == running || m.st.locked || m.st.checks.got.IsZero()
	if busy || !m.st.drift.due(m.now) || !syncs(m.svc.Deployment) {
		return nil
	}
	m.st.drift.begin(m.now)
	reader := m.svc.Reader
	return m.read(func(ctx context.Context) tea.Msg {
		d, err := reader.Drift(ctx)
		return driftMsg{d, err}
	})
}

// syncs reports whether there is a node to keep in step with an admin node.
func syncs(d *inventory.Deployment) bool { return d.Admin() != nil && len(d.Nodes) > 1 }

func (m *Model) onDrift(msg driftMsg) {
	if m.st.drift.end(m.now, msg.err); msg.err == nil {
		m.st.drifted = msg.drift
	}
}

// words say what a sync would do.
func (c DriftCount) words() string {
	var parts []string
	for _, p := range []struct {
		n    int
		what string
	}{{c.Create, "to create"}, {c.Update, "to update"}, {c.Delete, "to delete"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	return strings.Join(parts, ", ")
}

// driftInWords is the drift of all nodes in one span, for the overview.
func (m *Model) driftInWords() span {
	s := &m.st.drift
	if s.got.IsZero() {
		if s.err != nil {
			return span{unsure, "? drift can't be read"}
		}
		return span{}
	}
	files, nodes := 0, map[string]bool{}
	for _, c := range m.st.drifted.Counts {
		files += c.Create + c.Update + c.Delete
		nodes[c.Node] = true
	}
	old := " (" + age(m.now, s.got) + ")"
	switch {
	case s.err != nil || s.stale(m.now):
		return span{caution, "! drift was last read " + age(m.now, s.got) + " ago"}
	case files > 0:
		return span{caution, fmt.Sprintf("! %s out of step on %s%s", plural(files, "file"), plural(len(nodes), "node"), old)}
	case m.st.drifted.Left != nil:
		return span{unsure, "? some nodes could not be compared" + old}
	}
	return span{good, "✓ in step" + old}
}

// few names at most five.
func few(names []string) string {
	if len(names) <= 5 {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:4], ", "), len(names)-4)
}

// viewDrift lists what differs, by node and path, in at most so many lines.
func (m *Model) viewDrift(w, most int) []line {
	s, d := &m.st.drift, m.st.drifted
	detail := "not compared yet"
	if !s.got.IsZero() {
		detail = "as of " + age(m.now, s.got)
	}
	head := section("Drift", detail)
	if s.busy {
		head = append(head, span{dim, ", comparing …"})
	} else if !s.got.IsZero() && s.stale(m.now) {
		head = append(head, span{caution, "  ! stale"})
	}
	out := []line{head}
	if s.err != nil {
		out = append(out, indent("   ", wrap(unsure, "? "+m.svc.Redact(s.err.Error()), max(w-4, 1)))...)
	}
	if s.got.IsZero() {
		return out
	}
	for i, c := range d.Counts {
		if i == most-1 && len(d.Counts) > most {
			out = append(out, text(caution, fmt.Sprintf("   … and %d more: mosparoctl sync --check", len(d.Counts)-i)))
			break
		}
		out = append(out, line{{caution, "   ! "}, {strong, cut(c.Node, 12) + blanks(12-width(cut(c.Node, 12)))}, {plain, " " + c.words()}, {dim, " in " + c.Path}})
	}
	var same []string
	for _, n := range d.Nodes {
		if !slices.ContainsFunc(d.Counts, func(c DriftCount) bool { return c.Node == n }) {
			same = append(same, n)
		}
	}
	if len(same) > 0 {
		out = append(out, line{{good, "   ✓ "}, {plain, "in step: " + few(same)}})
	}
	if d.Left != nil {
		out = append(out, indent("   ", wrap(unsure, "? "+m.svc.Redact(strings.ReplaceAll(d.Left.Error(), "\n", "; ")), max(w-4, 1)))...)
	}
	return out
}
