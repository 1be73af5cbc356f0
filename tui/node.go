package tui

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops/cron"
	"github.com/mosparoctl/mosparoctl/ops/health"
)

func nodeKeys() []binding {
	return []binding{
		{keys: []string{"right", "l", "n"}, help: "next node", do: func(m *Model) tea.Cmd { return m.otherNode(1) }},
		{keys: []string{"left", "h", "p"}, help: "node before", do: func(m *Model) tea.Cmd { return m.otherNode(-1) }},
		{keys: []string{"s"}, name: "shell", far: true, help: "shell on the node", when: func(m *Model) bool { return m.svc.Shell != nil && m.st.node(m.shown) != nil }, do: openShell},
		{keys: []string{"r"}, help: "run the checks", when: idleChecks, do: runChecks},
	}
}

func (m *Model) otherNode(by int) tea.Cmd {
	n := len(m.st.nodes)
	if n == 0 {
		return nil
	}
	i := slices.IndexFunc(m.st.nodes, func(s *nodeState) bool { return s.node.Name == m.shown })
	m.shown, m.at[screenNode] = m.st.nodes[(i+by+n)%n].node.Name, 0
	return m.poll()
}

// openShell suspends the screen into ssh. What runs goes on meanwhile.
func openShell(m *Model) tea.Cmd {
	node := m.shown
	cmd, err := m.svc.Shell(node)
	if err != nil {
		m.say(bad, "%v", err)
		return nil
	}
	return m.lend(process{cmd}, func(err error) tea.Msg {
		if err != nil {
			return saidMsg{caution, "shell on " + node + ": " + err.Error()}
		}
		return saidMsg{plain, "back from " + node}
	})
}

func viewNode(m *Model, w, h int) []line {
	return m.part(nodeBody(m, w), &m.at[screenNode], h)
}

// nodeBody is all that is known of the node.
func nodeBody(m *Model, w int) []line {
	n := m.st.node(m.shown)
	if n == nil {
		return []line{text(dim, " the inventory has no nodes")}
	}
	facts := m.nodeFacts(n, w-4)
	if w >= 90 {
		facts = m.nodeFacts(n, w/2-4)
	}
	releases := m.nodeReleases(n)
	var out []line
	if w >= 90 {
		lw := w / 2
		facts, releases = level(facts, releases)
		out = beside(box(span{strong, n.node.Name}, facts, lw), lw, box(span{strong, "Releases"}, releases, w-lw), w-lw)
	} else {
		out = append(box(span{strong, n.node.Name}, facts, w), box(span{strong, "Releases"}, releases, w)...)
	}
	wrong, fine := m.nodeChecks(n, w)
	switch {
	case len(wrong) > 0:
		out = append(append(out, section("Checks", "what is not fine, the worst first; the others are below")), wrong...)
	case len(fine) > 0:
		out = append(out, line{{strong, " Checks  "}, {good, "✓ "}, {plain, plural(len(fine), "check") + " fine here"}, {dim, ", with evidence below"}})
	default:
		out = append(out, section("Checks", "not asked yet"))
	}
	out = append(out, section("Cron", "the next 24 hours"))
	out = append(out, m.nodeCron(n, w)...)
	out = append(out, section("Log", "mosparo, PHP-FPM and jobs; "+age(m.now, n.logs.got)))
	switch {
	case n.logs.err != nil && len(n.lines) == 0:
		out = append(out, indent("  ", wrap(unsure, "? "+m.svc.Redact(n.logs.err.Error()), max(w-2, 1)))...)
	case len(n.lines) == 0 && n.logs.got.IsZero():
		out = append(out, text(dim, "  reading …"))
	case len(n.lines) == 0:
		out = append(out, text(dim, "  nothing was logged"))
	}
	for _, l := range n.lines {
		at := "        "
		if !l.Time.IsZero() {
			at = l.Time.In(m.zone).Format(time.TimeOnly)
		}
		out = append(out, line{{dim, "  " + at + " " + fmt.Sprintf("%-4s ", l.Source)}, {plain, m.svc.Redact(l.Text)}})
	}
	if len(fine) > 0 {
		out = append(append(out, section("Fine", "checks and what they found")), fine...)
	}
	return out
}

// section is the heading of a part of a screen.
func section(title, detail string) line { return line{{strong, " " + title}, {dim, "  " + detail}} }

// nodeFacts are the facts of a node, an error in lines of w cells.
func (m *Model) nodeFacts(n *nodeState, w int) []line {
	var roles []string
	for _, r := range n.node.Roles {
		roles = append(roles, string(r))
	}
	field := func(name string, s style, value string) line {
		return line{{dim, fmt.Sprintf("%-9s", name)}, {s, value}}
	}
	out := []line{
		field("address", plain, n.node.Address),
		field("roles", plain, strings.Join(roles, ", ")),
		field("root", plain, n.node.Paths.Root),
	}
	if n.err != nil {
		out = append(out, wrap(bad, "✗ "+m.svc.Redact(n.err.Error()), max(w, 10))...)
	}
	fresh := plain
	read := ago(m.now, n.got)
	if n.stale(m.now) && !n.got.IsZero() {
		fresh, read = caution, read+" (stale)"
	}
	out = append(out, field("read", fresh, read))
	f := n.reading.Facts
	if f == nil {
		return out
	}
	configStyle := m.configStyle(n)
	out = append(out, field("release", plain, cmp.Or(f.Current, "none")), field("config", configStyle, configOf(n)))
	if f.Hold != nil {
		out = append(out, field("held", bad, "✗ out of rotation, on its way to "+f.Hold.Release))
	}
	for _, s := range m.st.servers {
		if s.Node == n.node.Name {
			words := s.Balancer + ": " + string(s.State)
			if s.Sessions >= 0 {
				words += fmt.Sprintf(", %d sessions", s.Sessions)
			}
			out = append(out, field("rotation", plain, words+m.aged(&m.st.balance)))
		}
	}
	if !n.node.Has(inventory.RoleAdmin) {
		out = append(out, field("synced", plain, m.syncedAge(n)))
	}
	return out
}

func (m *Model) nodeReleases(n *nodeState) []line {
	f := n.reading.Facts
	if f == nil {
		return []line{text(dim, "not read yet")}
	}
	if len(f.Releases) == 0 {
		return []line{text(dim, "none")}
	}
	var out []line
	for _, r := range f.Releases {
		mark, s := "  ", plain
		switch r.ID {
		case f.Current:
			mark, s = "● ", good
		case f.Previous:
			mark = "○ "
		}
		out = append(out, line{{s, mark}, {plain, r.ID}, {dim, "  " + r.Source}})
	}
	return append(out, text(dim, "● active  ○ the one before"))
}

// nodeChecks is the evidence on a node: of what is not fine, the worst first and with mends, and of the rest.
func (m *Model) nodeChecks(n *nodeState, w int) (wrong, fine []line) {
	type found struct {
		check health.Info
		on    health.Evidence
	}
	var all []found
	for _, r := range m.st.results {
		if e, ok := r.On(n.node.Name); ok {
			all = append(all, found{r.Info, e})
		}
	}
	slices.SortStableFunc(all, func(a, b found) int {
		return cmp.Compare(rank(b.on.Verdict), rank(a.on.Verdict))
	})
	for i, f := range all {
		v := f.on.Verdict
		l := line{{styleOf(v), "  " + glyph(v) + " "}, {strong, fmt.Sprintf("%-16s ", f.check.Name)}, {plain, m.svc.Redact(f.on.Text)}, {dim, "  " + m.evidenceAge(f.on.At)}}
		if v == health.OK {
			fine = append(fine, l)
			continue
		}
		wrong = append(wrong, l)
		mend := cmp.Or(f.on.Mend, f.check.Mend)
		if shared := i+1 < len(all) && all[i+1].on.Verdict != health.OK && cmp.Or(all[i+1].on.Mend, all[i+1].check.Mend) == mend; mend != "" && !shared {
			wrong = append(wrong, indent("      ", wrap(accent, "→ "+mend, max(w-6, 1)))...) // one that many share is shown once
		}
	}
	return wrong, fine
}

// rank orders verdicts from good to bad.
func rank(v health.Verdict) int { return slices.Index(health.Verdicts(), v) }

// evidenceAge is the age of evidence, marked where it is stale.
func (m *Model) evidenceAge(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	if m.now.Sub(at) > 2*m.st.checks.every {
		return "~" + age(m.now, at) + " stale"
	}
	return age(m.now, at)
}

// nodeCron draws what the node's crontab starts, and says what it should start and does not.
func (m *Model) nodeCron(n *nodeState, w int) []line {
	o := m.st.cron
	if n.reading.CronErr != nil {
		return []line{text(unsure, "  ? "+m.svc.Redact(n.reading.CronErr.Error()))}
	}
	if o == nil {
		return []line{text(dim, "  not read yet")}
	}
	here := func(list []cron.Schedule) (out []cron.Schedule) {
		for _, s := range list {
			if s.Node == n.node.Name {
				out = append(out, s)
			}
		}
		return out
	}
	want, have := here(o.Schedules), here(o.InForce)
	var out []line
	if len(have) > 0 {
		out = m.timeline([]string{n.node.Name}, m.dayOf(o.InForce, o), w)
	}
	for _, s := range nextStarts(o, m.now) {
		if s.Node == n.node.Name {
			out = append(out, line{{plain, fmt.Sprintf("  %-16s ", s.Job)}, {strong, s.at.In(m.zone).Format("Mon 15:04 ")}, {dim, until(m.now, s.at)}})
		}
	}
	switch {
	case len(want) == 0:
		out = append(out, text(dim, "  no jobs run here"))
	case slices.Contains(m.st.unread, n.node.Name):
		out = append(out, text(unsure, "  ? the crontab can't be read"))
	case len(have) == 0:
		out = append(out, text(caution, "  ! not written into the crontab yet: "+screenKey(screenCron)+" plans it"))
	case len(have) < len(want):
		out = append(out, text(caution, fmt.Sprintf("  ! %s not written into the crontab yet: %s plans it", plural(len(want)-len(have), "job"), screenKey(screenCron))))
	}
	return out
}
