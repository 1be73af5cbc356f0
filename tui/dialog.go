package tui

import (
	"fmt"
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"
)

// dialog lies over the screen and gets every key until it is closed.
type dialog interface {
	title() string
	view(m *Model, w, h int) []line
	key(m *Model, k tea.Key) tea.Cmd
	paste(s string)
}

// helpDialog lists the keys that work here.
type helpDialog struct{ scroll int }

func (d *helpDialog) title() string { return "Keys" }
func (d *helpDialog) paste(string)  {}

func (d *helpDialog) view(m *Model, w, h int) []line {
	lines := []line{text(strong, "Here")}
	everywhere := len(m.bindings()) - len(globalKeys())
	for i, b := range m.bindings() {
		if i == everywhere {
			lines = append(lines, nil, text(strong, "Everywhere"))
		}
		if !b.works(m) {
			continue
		}
		var names []string
		for _, k := range b.keys {
			names = append(names, keyName(k))
		}
		lines = append(lines, line{{accent, fmt.Sprintf("%-14s", strings.Join(names, " "))}, {plain, " " + b.help}})
	}
	h = max(h-1, 1)
	d.scroll = max(min(d.scroll, len(lines)-h), 0)
	from, to := d.scroll, min(d.scroll+h, len(lines))
	out := append([]line{}, lines[from:to]...)
	more := "any other key closes"
	if to < len(lines) || from > 0 {
		more = fmt.Sprintf("↑↓ %d–%d of %d, any other key closes", from+1, to, len(lines))
	}
	return append(out, text(dim, more))
}

func (d *helpDialog) key(m *Model, k tea.Key) tea.Cmd {
	switch k.String() {
	case "up", "k":
		d.scroll--
	case "down", "j":
		d.scroll++
	case "pgdown":
		d.scroll += 10
	case "pgup":
		d.scroll -= 10
	default:
		m.dlg = nil
	}
	return nil
}

// keyName is a key as people write it.
func keyName(k string) string {
	if named, ok := map[string]string{"up": "↑", "down": "↓", "left": "←", "right": "→", "enter": "⏎", "pgup": "PgUp", "pgdown": "PgDn", "ctrl+c": "^C", "ctrl+z": "^Z", "ctrl+p": "^P",
		"ctrl+r": "^R", "ctrl+u": "^U", "ctrl+d": "^D", "backspace": "⌫", "shift+tab": "⇧tab", "f1": "F1", "home": "Home", "end": "End"}[k]; ok {
		return named
	}
	return k
}

// askDialog asks before something that can't be taken back. Only its own key says yes; any other closes it.
type askDialog struct {
	heading, question string
	yes, yesKey       string
	do                func(*Model) tea.Cmd
}

func (d *askDialog) title() string { return d.heading }
func (d *askDialog) paste(string)  {}

func (d *askDialog) view(_ *Model, w, _ int) []line {
	return append(wrap(plain, d.question, w), nil, line{{accent, d.yesKey}, {plain, " " + d.yes + "   "}, {accent, "any other key"}, {plain, " go on"}})
}

func (d *askDialog) key(m *Model, k tea.Key) tea.Cmd {
	m.dlg = nil
	if k.String() != d.yesKey {
		return nil
	}
	return d.do(m)
}

// typedDialog starts the planned operation when the name of the deployment was typed, letter by letter: a paste counts for
// nothing.
type typedDialog struct {
	heading, want string
	id            int // of the operation that was shown
	in            input
	wrong         bool
}

func (d *typedDialog) title() string { return d.heading }
func (d *typedDialog) paste(string)  {}

func (d *typedDialog) view(m *Model, w, _ int) []line {
	var out []line
	if m.op != nil && m.op.proposal != nil {
		p := m.op.proposal.Plan
		out = append(out, text(plain, fmt.Sprintf("%s on %s", plural(p.Steps(), "step"), cut(strings.Join(p.Nodes(), ", "), max(w-14, 1)))), nil)
	}
	out = append(out, line{{plain, "Type "}, {strong, d.want}, {plain, " and ⏎ to start, esc to leave it."}}.fit(w), d.in.line("> ", w))
	if d.wrong {
		out = append(out, text(bad, "✗ that is not the name: nothing was started"))
	}
	return out
}

func (d *typedDialog) key(m *Model, k tea.Key) tea.Cmd {
	switch k.String() {
	case "esc", "ctrl+c":
		m.dlg = nil
		return nil
	case "enter":
		if d.in.String() != d.want {
			d.wrong, d.in = true, input{}
			return nil
		}
		m.dlg = nil
		if m.op == nil || m.op.id != d.id {
			m.say(caution, "what was shown is gone: plan it again")
			return nil
		}
		return m.start()
	}
	if d.in.key(k) {
		d.wrong = false
	}
	return nil
}

// lineDialog asks for one line of text.
type lineDialog struct {
	heading, hint string
	in            input
	do            func(m *Model, value string) tea.Cmd
}

func (d *lineDialog) title() string  { return d.heading }
func (d *lineDialog) paste(s string) { d.in.insert(s) }

func (d *lineDialog) view(_ *Model, w, _ int) []line {
	return append([]line{d.in.line("> ", w), nil}, wrap(dim, d.hint, w)...)
}

func (d *lineDialog) key(m *Model, k tea.Key) tea.Cmd {
	switch k.String() {
	case "esc", "ctrl+c":
		m.dlg = nil
	case "enter":
		m.dlg = nil
		return d.do(m, d.in.String())
	default:
		d.in.key(k)
	}
	return nil
}

// filterDialog narrows a list while it is typed.
func filterDialog(m *Model) tea.Cmd {
	m.dlg = &lineDialog{heading: "Filter", hint: "Rows that hold all these words stay. Empty shows all.", in: newInput(m.filter[m.screen]),
		do: func(m *Model, value string) tea.Cmd {
			m.filter[m.screen], m.at[m.screen] = strings.TrimSpace(value), 0
			return nil
		}}
	return nil
}

// matches reports whether text holds every word of filter, whatever the case.
func matches(filter string, texts ...string) bool {
	if filter == "" {
		return true
	}
	all := strings.ToLower(strings.Join(texts, " "))
	return !slices.ContainsFunc(strings.Fields(strings.ToLower(filter)), func(w string) bool { return !strings.Contains(all, w) })
}

// palette runs a command by its name.
type palette struct {
	in       input
	at       int
	commands []command
}

// command is an entry of the palette.
type command struct {
	name, help string
	argument   bool // it takes the words behind its name
	do         func(m *Model, argument string) tea.Cmd
}

func newPalette(m *Model) *palette { return &palette{commands: m.commands()} }

// commands are all that the palette has. Those that would change something only plan.
func (m *Model) commands() []command {
	out := []command{{"deploy", "PATH: plan a deploy of a folder or an archive", true, planDeploy}}
	for _, n := range m.svc.Deployment.Nodes {
		out = append(out, command{"node " + n.Name, "show the node", false, func(m *Model, _ string) tea.Cmd { m.shown = n.Name; return m.goTo(screenNode) }})
	}
	for _, t := range Themes() {
		out = append(out, command{"theme " + t, "use the theme", false, func(m *Model, _ string) tea.Cmd { m.setTheme(t); return nil }})
	}
	for _, b := range m.bindings() {
		if b.name != "" && b.works(m) {
			out = append(out, command{b.name, b.help, false, func(m *Model, _ string) tea.Cmd { return b.do(m) }})
		}
	}
	for id, s := range screenList() {
		for _, b := range s.keys {
			if b.far && b.works(m) && !slices.ContainsFunc(out, func(c command) bool { return c.name == b.name }) {
				out = append(out, command{b.name, b.help, false, func(m *Model, _ string) tea.Cmd { return tea.Batch(m.goTo(screenID(id)), b.do(m)) }})
			}
		}
	}
	return out
}

func (p *palette) title() string  { return "Command" }
func (p *palette) paste(s string) { p.in.insert(s) }

// found are the commands that begin with what was typed, then those that hold it.
func (p *palette) found() []command {
	typed := strings.TrimSpace(p.in.String())
	var first, then []command
	for _, c := range p.commands {
		word, rest, _ := strings.Cut(typed, " ")
		switch {
		case c.argument && word == c.name && rest != "", strings.HasPrefix(c.name, typed):
			first = append(first, c)
		case strings.Contains(c.name, typed):
			then = append(then, c)
		}
	}
	return append(first, then...)
}

func (p *palette) view(_ *Model, w, h int) []line {
	out := []line{p.in.line(": ", w), nil}
	found := p.found()
	p.at = max(min(p.at, len(found)-1), 0)
	from, to := window(len(found), p.at, min(max(h-3, 1), 12))
	for i, c := range found[from:to] {
		l := line{{strong, fmt.Sprintf("  %-18s", c.name)}, {dim, " " + c.help}}
		if from+i == p.at {
			l[0].text = "▸" + l[0].text[1:]
			l = l.marked(w)
		}
		out = append(out, l)
	}
	if len(found) == 0 {
		out = append(out, text(caution, "no such command"))
	}
	return out
}

func (p *palette) key(m *Model, k tea.Key) tea.Cmd {
	switch k.String() {
	case "esc", "ctrl+c":
		m.dlg = nil
	case "up":
		p.at--
	case "down", "tab":
		p.at++
	case "enter":
		found := p.found()
		if len(found) == 0 {
			return nil // which it says, and what was typed can be mended
		}
		m.dlg = nil
		c := found[max(min(p.at, len(found)-1), 0)]
		_, rest, _ := strings.Cut(strings.TrimSpace(p.in.String()), " ")
		return c.do(m, rest)
	default:
		p.in.key(k)
		p.at = 0
	}
	return nil
}
