package tui

import (
	"cmp"
	"fmt"
	"strings"

	tea "charm.land/bubbletea/v2"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops/health"
)

func dataKeys() []binding {
	return []binding{{keys: []string{"r"}, help: "run these checks", do: func(m *Model) tea.Cmd {
		var only []string
		for _, r := range m.st.results {
			if r.Family == health.FamilyCache || r.Family == health.FamilyDatabase {
				only = append(only, r.Name)
			}
		}
		if len(only) == 0 {
			return nil
		}
		m.say(plain, asking+"%s", plural(len(only), "check"))
		return m.readChecks(health.Filter{Only: only})
	}}}
}

func viewData(m *Model, w, h int) []line {
	return m.part(dataBody(m, w), &m.at[screenData], h)
}

// dataBody draws database and cache as the nodes see them: who they are, then every check of theirs with its figures,
// whatever checks there are.
func dataBody(m *Model, w int) []line {
	d := m.svc.Deployment
	cache := []line{text(plain, string(cmp.Or(d.Cache.Adapter, inventory.CacheFilesystem)))}
	if d.Cache.Adapter == "" || d.Cache.Adapter == inventory.CacheFilesystem {
		cache = append(cache, text(dim, "each node has its own"))
	} else {
		cache = append(cache, text(dim, "one for "+plural(len(d.Nodes), "node")))
	}
	dbTitle := m.familyTitle("Database · "+string(cmp.Or(d.Database.Topology, inventory.Single)), health.FamilyDatabase)
	cacheTitle := m.familyTitle("Cache", health.FamilyCache)
	var out []line
	if w >= 70 {
		lw := w * 2 / 3
		servers, cache := level(m.databaseServers(lw-4), cache)
		out = beside(box(dbTitle, servers, lw), lw, box(cacheTitle, cache, w-lw), w-lw)
	} else {
		out = append(box(dbTitle, m.databaseServers(w-4), w), box(cacheTitle, cache, w)...)
	}
	for _, f := range []health.Family{health.FamilyDatabase, health.FamilyCache} {
		out = append(out, section(strings.ToUpper(string(f)[:1])+string(f)[1:], "as each node sees it"))
		found := false
		for _, r := range m.st.results {
			if r.Family == f {
				found = true
				out = append(out, m.dataCheck(r, w)...)
			}
		}
		if !found {
			out = append(out, text(dim, "   not checked: turned off in the inventory, or not answered yet"))
		}
	}
	return out
}

func (m *Model) familyTitle(name string, f health.Family) span {
	v, known := m.st.ofFamily(f).worst()
	if !known {
		return span{strong, name}
	}
	return span{styleOf(v), glyph(v) + " " + name}
}

// dataCheck is one check with the nodes' answers and gauges.
func (m *Model) dataCheck(r health.Result, w int) []line {
	out := []line{{{styleOf(r.Verdict), " " + glyph(r.Verdict) + " "}, {strong, fmt.Sprintf("%-16s ", r.Name)}, {plain, m.svc.Redact(r.Summary)}, {dim, "  " + m.evidenceAge(r.At)}}}
	for _, e := range r.Evidence {
		if len(r.Servers) > 0 { // whose figures are in the drawing
			e.Figures = nil
		}
		if e.Verdict == health.OK && len(e.Figures) == 0 {
			continue
		}
		l := append(line{{styleOf(e.Verdict), "   " + glyph(e.Verdict) + " "}}, text(strong, e.Node).fit(10)...)
		if len(e.Figures) == 0 {
			out = append(out, append(l, span{plain, " " + m.svc.Redact(e.Text)}))
			continue
		}
		for i, f := range e.Figures {
			if i > 0 {
				l = text(plain, blanks(15))
			}
			out = append(out, append(append(l, span{plain, " "}), gauge(f, max(w-17, 8))...))
		}
	}
	if r.Verdict != health.OK && r.Mend != "" {
		out = append(out, indent("     ", wrap(accent, "→ "+r.Mend, max(w-6, 1)))...)
	}
	return out
}

// gauge draws a figure: its name and value, and a bar up to its limits where it has some.
func gauge(f health.Figure, w int) line {
	value := figure(f.Value, f.Unit)
	l := line{{dim, fmt.Sprintf("%-12s", cut(strings.ReplaceAll(f.Name, "_", " "), 12))}, {plain, " " + value}}
	top := max(f.Fail, f.Warn)
	if f.Unit == "%" {
		top = 100
	}
	bw := min(w-width(l.String())-12, 24)
	if top <= 0 || bw < 4 {
		return l
	}
	abs := max(f.Value, -f.Value)
	s := good
	switch {
	case f.Fail > 0 && abs >= f.Fail:
		s = bad
	case f.Warn > 0 && abs >= f.Warn:
		s = caution
	}
	full := min(int(abs/top*float64(bw)), bw)
	bar := []rune(strings.Repeat("█", full) + strings.Repeat("░", bw-full))
	l = append(l, span{plain, " "}, span{s, string(bar[:full])}, span{edge, string(bar[full:])})
	if f.Warn > 0 {
		l = append(l, span{dim, " of " + figure(top, f.Unit)})
	}
	return l
}

// figure is a value with its unit, for people.
func figure(v float64, unit string) string {
	switch unit {
	case "s":
		switch a := max(v, -v); {
		case a == 0:
			return "0 s"
		case a >= 1:
			return fmt.Sprintf("%.1f s", v)
		case a >= 0.001:
			return fmt.Sprintf("%.0f ms", v*1e3)
		default:
			return fmt.Sprintf("%.0f µs", v*1e6)
		}
	case "%":
		return fmt.Sprintf("%.0f %%", v)
	case "B":
		return bytes(int64(v))
	case "":
		return fmt.Sprintf("%g", v)
	}
	return fmt.Sprintf("%g %s", v, unit)
}
