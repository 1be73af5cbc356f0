package tui

import (
	"context"
	"fmt"
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"
)

// binding is a key and what it does. Help and dispatch are both made of bindings, so help can't tell of a key that does nothing.
type binding struct {
	keys []string // as bubbletea names them; the first is shown
	name string   // for the palette; "": the palette does not have it
	far  bool     // the palette has it on every screen, and goes to the binding's own first
	help string
	when func(*Model) bool // nil: always
	do   func(*Model) tea.Cmd
}

// works reports whether the binding does something now.
func (b binding) works(m *Model) bool { return b.when == nil || b.when(m) }

// screen is one of the screens.
type screen struct {
	name  string // in the palette
	title string
	keys  []binding
	rows  func(*Model) int // how far the cursor can go
	view  func(m *Model, w, h int) []line
}

// screenList is all screens, by screenID.
func screenList() [screens]screen {
	return [screens]screen{
		screenOverview: {"overview", "Overview", overviewKeys(), func(m *Model) int { return len(m.st.nodes) }, viewOverview},
		screenNode:     {"node", "Node", nodeKeys(), func(m *Model) int { return len(nodeBody(m, max(m.w, 1))) }, viewNode},
		screenChecks:   {"checks", "Checks", checksKeys(), func(m *Model) int { return len(m.shownResults()) }, viewChecks},
		screenDeploy:   {"deploy", "Deploy", deployKeys(), func(*Model) int { return 1 }, viewDeploy},
		screenReleases: {"releases", "Releases", releasesKeys(), func(m *Model) int { return len(m.releases()) }, viewReleases},
		screenSync:     {"sync", "Sync", syncKeys(), func(m *Model) int { return len(m.generations()) }, viewSync},
		screenCron:     {"cron", "Cron", cronKeys(), func(m *Model) int { return len(cronBody(m, max(m.w, 1))) }, viewCron},
		screenData:     {"data", "Data", dataKeys(), func(m *Model) int { return len(dataBody(m, max(m.w, 1))) }, viewData},
		screenEvents:   {"events", "Events", eventsKeys(), func(m *Model) int { return len(m.shownEvents()) }, viewEvents},
		screenServe:    {"serve", "Serve", serveKeys(), func(m *Model) int { return len(serveBody(m, max(m.w, 1), m.h)) }, viewServe},
	}
}

func (m *Model) current() screen { return screenList()[m.screen] }

// onKey takes a key. While a dialog is open every key is its own.
func (m *Model) onKey(k tea.Key) tea.Cmd {
	if m.dlg != nil {
		return m.dlg.key(m, k)
	}
	name := k.String()
	for _, b := range m.bindings() {
		if slices.Contains(b.keys, name) && b.works(m) {
			return b.do(m)
		}
	}
	return nil
}

// bindings are all keys that work here: of the operation or the screen, then those that work everywhere.
func (m *Model) bindings() []binding {
	if m.opShown() {
		return append(operationKeys(), globalKeys()...)
	}
	return append(m.current().keys, globalKeys()...)
}

// globalKeys work on every screen.
func globalKeys() []binding {
	keys := []binding{
		{keys: []string{"?", "f1"}, help: "the keys that work here", do: func(m *Model) tea.Cmd { m.dlg = &helpDialog{}; return nil }},
		{keys: []string{":", "ctrl+p"}, help: "type a command", do: func(m *Model) tea.Cmd { m.dlg = newPalette(m); return nil }},
		{keys: []string{"up", "k"}, help: "up", do: moveBy(-1)},
		{keys: []string{"down", "j"}, help: "down", do: moveBy(1)},
		{keys: []string{"pgup", "ctrl+u"}, help: "a page up", do: func(m *Model) tea.Cmd { m.move(-max(m.h-6, 1)); return nil }},
		{keys: []string{"pgdown", "ctrl+d"}, help: "a page down", do: func(m *Model) tea.Cmd { m.move(max(m.h-6, 1)); return nil }},
		{keys: []string{"home", "g"}, help: "to the top", do: moveBy(-1 << 20)},
		{keys: []string{"end", "G"}, help: "to the end", do: moveBy(1 << 20)},
	}
	for id, s := range screenNames() {
		keys = append(keys, binding{keys: []string{screenKey(screenID(id))}, name: s, help: "go to " + s,
			do: func(m *Model) tea.Cmd { return m.goTo(screenID(id)) }})
	}
	return append(keys,
		binding{keys: []string{"tab"}, help: "the next screen", do: func(m *Model) tea.Cmd { return m.goTo((m.screen + 1) % screens) }},
		binding{keys: []string{"shift+tab"}, help: "the screen before", do: func(m *Model) tea.Cmd { return m.goTo((m.screen + screens - 1) % screens) }},
		binding{keys: []string{"esc", "backspace"}, help: "back", do: goBack},
		binding{keys: []string{"R", "ctrl+r"}, name: "refresh", help: "read everything anew", do: func(m *Model) tea.Cmd { m.say(plain, "reading"); return m.refresh() }},
		binding{keys: []string{"T"}, name: "theme", help: "the next theme", do: nextTheme},
		binding{keys: []string{"M"}, name: "mouse", help: "mouse on or off", do: toggleMouse},
		binding{keys: []string{"Y"}, name: "copy", help: "copy the screen as text", do: func(m *Model) tea.Cmd {
			m.say(plain, "copied to the clipboard, if the terminal allows it")
			return tea.SetClipboard(m.plainText())
		}},
		binding{keys: []string{"ctrl+z"}, help: "suspend", do: suspend},
		binding{keys: []string{"q", "ctrl+c"}, name: "quit", help: "quit", do: quit},
	)
}

// screenKey is the key of a screen: its number, and 0 for the tenth.
func screenKey(id screenID) string { return fmt.Sprint((int(id) + 1) % 10) }

// screenNames are the names of the screens, without their functions, which refer to bindings themselves.
func screenNames() [screens]string {
	return [screens]string{"overview", "node", "checks", "deploy", "releases", "sync", "cron", "data", "events", "serve"}
}

func moveBy(n int) func(*Model) tea.Cmd {
	return func(m *Model) tea.Cmd { m.move(n); return nil }
}

// goBack closes what is open, else goes to the screen that was shown before.
func goBack(m *Model) tea.Cmd {
	switch {
	case m.open:
		m.open = false
	case m.filter[m.screen] != "":
		m.filter[m.screen] = ""
	case len(m.back) > 0:
		m.screen, m.back = m.back[len(m.back)-1], m.back[:len(m.back)-1]
	}
	return nil
}

func nextTheme(m *Model) tea.Cmd {
	names := Themes()
	m.setTheme(names[(slices.Index(names, m.th.name)+1)%len(names)])
	m.say(plain, "theme: %s", m.th.name)
	return nil
}

// suspend hands the terminal back to the shell. A running operation would stand still with the program and lose its lock, so
// then it is refused.
func suspend(m *Model) tea.Cmd {
	if m.op != nil && m.op.phase == running {
		m.say(caution, "%s is running and would stand still: use another terminal", m.op.name)
		return nil
	}
	return m.lend(stopSelf{}, func(error) tea.Msg { return nil })
}

// quit leaves, and asks first while something runs.
func quit(m *Model) tea.Cmd {
	if m.op == nil || m.op.phase != running {
		return tea.Quit
	}
	m.dlg = &askDialog{heading: m.op.name + " is running",
		question: "Leaving aborts it: what runs is ended or taken back first, which may take a minute.",
		yes:      "abort and leave", yesKey: "y",
		do: func(m *Model) tea.Cmd {
			m.quitAfter = true
			m.abort()
			if m.op == nil || m.op.phase != running {
				return tea.Quit
			}
			return nil
		}}
	return nil
}

// confirmStart asks for the deployment's name, and starts the planned operation when it was typed.
func confirmStart(m *Model) tea.Cmd {
	m.dlg = &typedDialog{heading: m.op.proposal.Title, want: m.svc.Deployment.Name, id: m.op.id}
	return nil
}

// planDeploy plans the deploy of a source. Without one it shows where one is chosen.
func planDeploy(m *Model, source string) tea.Cmd {
	source = strings.TrimSpace(source)
	if source == "" {
		return m.goTo(screenDeploy)
	}
	_ = m.goTo(screenDeploy)
	return m.propose("deploy", func(ctx context.Context) (*Proposal, error) {
		return m.svc.Planner.Deploy(ctx, sourceOf(m.svc.Deployment, source))
	})
}
