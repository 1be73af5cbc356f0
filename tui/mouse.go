package tui

import tea "charm.land/bubbletea/v2"

// spot is a row of a list on the screen that a click chooses.
type spot struct {
	y, w int // its line in the body, and its width from the left edge
	row  int
}

// clickable notes that line y of the body shows a row of the screen's list, in w cells. Views call it while they draw.
func (m *Model) clickable(y, w, row int) { m.spots = append(m.spots, spot{y, w, row}) }

func toggleMouse(m *Model) tea.Cmd {
	if m.mouse = !m.mouse; m.mouse {
		m.say(plain, "mouse on: the wheel scrolls, a click chooses; with shift most terminals select text")
	} else {
		m.say(plain, "mouse off")
	}
	return nil
}

// wheelStep is how many lines the wheel moves.
const wheelStep = 3

// onMouse takes the wheel, and clicks on screens and rows. Nothing is started or left by the mouse, and a dialog wants keys.
func (m *Model) onMouse(msg tea.MouseMsg) tea.Cmd {
	if m.dlg != nil {
		return nil
	}
	switch at := msg.Mouse(); msg.(type) {
	case tea.MouseWheelMsg:
		switch at.Button {
		case tea.MouseWheelUp:
			m.move(-wheelStep)
		case tea.MouseWheelDown:
			m.move(wheelStep)
		}
	case tea.MouseClickMsg:
		if at.Button == tea.MouseLeft {
			return m.click(at.X, at.Y)
		}
	}
	return nil
}

func (m *Model) click(x, y int) tea.Cmd {
	if y == tabsLine {
		_, ends := m.tabs()
		for id, end := range ends {
			if x < end {
				return m.goTo(screenID(id))
			}
		}
		return nil
	}
	for _, s := range m.spots {
		if s.y == y-headLines && x < s.w {
			m.at[m.screen] = s.row
		}
	}
	return nil
}
