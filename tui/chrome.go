package tui

import (
	"fmt"

	"github.com/mosparoctl/mosparoctl/ops/health"
)

// headLines is how many lines the head has, and tabsLine which of them names the screens.
const headLines, tabsLine = 2, 1

// leastForBelow is the width from which on the foot says how many lines are below.
const leastForBelow = 40

// head is the two lines at the top: what deployment this is and how it is, and the screens.
func (m *Model) head() []line {
	right := m.status()
	rw := min(width(clean(right.String())), m.w*3/5)
	name := line{{strong, " " + m.svc.Deployment.Name}, {dim, "  "}}
	left := append(name, m.verdicts(true)...)
	if width(clean(left.String())) > m.w-rw {
		left = append(name, m.verdicts(false)...)
	}
	first := append(left.fit(m.w-rw), right.fit(rw)...)
	tabs, _ := m.tabs()
	return []line{first, tabs}
}

// verdicts counts the results of all checks, in signs and, where there is room, in words.
func (m *Model) verdicts(words bool) line {
	t := m.st.counts()
	if len(m.st.results) == 0 {
		if m.st.checks.err != nil {
			return text(bad, "✗ checks can't be asked")
		}
		return text(dim, "… checking")
	}
	var l line
	for _, v := range []health.Verdict{health.Fail, health.Warn, health.Unknown, health.OK} {
		if n := t[v]; n > 0 {
			count := fmt.Sprintf("%s %d", glyph(v), n)
			if words {
				count += " " + word(v)
			}
			l = append(l, span{styleOf(v), count}, span{plain, "  "})
		}
	}
	return l
}

// status is what is going on: the operation that runs, else the lock; the age of the checks; the time.
func (m *Model) status() line {
	var l line
	switch {
	case m.op != nil && m.op.phase == running:
		l = append(l, span{accent, fmt.Sprintf("▶ %s %d/%d", m.op.name, m.op.done(), m.op.total)})
	case m.st.locked:
		words := "locked: " + m.st.lock.Op + " by " + m.st.lock.Owner
		switch {
		case m.w < 60:
			words = "  locked"
		case m.w < 100:
			words = "  locked by " + m.st.lock.Owner
		}
		l = append(l, span{caution, words})
	}
	if m.w >= 60 {
		s := dim
		label := "  checked " + ago(m.now, m.st.checks.got)
		switch {
		case m.st.checks.got.IsZero() && m.st.checks.busy:
			label = "  checking …"
		case m.st.checks.got.IsZero():
			label = "  not checked"
		case m.st.checks.stale(m.now):
			s, label = caution, label+" (stale)"
		}
		l = append(l, span{s, label})
	}
	return append(l, span{dim, m.now.In(m.zone).Format("  15:04 ")})
}

// tabs names the screens, and says in which cells each ends. Where there is not much room the names stand close, where there is
// little the others keep their numbers only.
func (m *Model) tabs() (l line, ends [screens]int) {
	names := screenList()
	letters := 0
	for _, s := range names {
		letters += width(s.title)
	}
	l = line{{edge, "─"}}
	for i, s := range names {
		switch {
		case screenID(i) == m.screen:
			l = append(l, span{chosen, fmt.Sprintf("▸%s %s ", screenKey(screenID(i)), s.title)}, span{edge, "─"})
		case letters+5*len(names) <= m.w:
			l = append(l, span{dim, " " + screenKey(screenID(i))}, span{plain, " " + s.title + " "}, span{edge, "─"})
		case letters+2*len(names)+4 <= m.w:
			l = append(l, span{dim, " " + screenKey(screenID(i))}, span{plain, s.title})
			if i == len(names)-1 {
				l = append(l, span{plain, " "})
			}
		default:
			l = append(l, span{dim, (" " + screenKey(screenID(i)) + " ")[:min(3, max(m.w/15, 2))]})
		}
		ends[i] = width(l.String())
	}
	return l.ruled(m.w), ends
}

// part is what h lines show of a body from line *at on, which is moved to where there is something. The foot tells how much is below.
func (m *Model) part(lines []line, at *int, h int) []line {
	*at = max(min(*at, len(lines)-h), 0)
	end := min(*at+h, len(lines))
	m.below = len(lines) - end
	return lines[*at:end]
}

// footLines is how many lines the foot has.
const footLines = 2

// foot is the lines at the bottom: a note and how much is below, and the keys that matter here.
func (m *Model) foot() []line {
	var rule, below line
	if m.below > 0 && m.w >= leastForBelow {
		below = line{{dim, fmt.Sprintf(" ↓ %d more ", m.below)}, {edge, "─"}}
	}
	if m.note != "" && m.now.Sub(m.noteAt) < noteFor {
		rule = line{{edge, "─ "}, {m.noteStyle, m.note}, {edge, " "}}
	}
	room := m.w - width(below.String())
	rule = append(rule.ruled(room).fit(room), below...)
	var keys line
	list := m.current().keys
	if m.opShown() {
		list = operationKeys()
	}
	tail := line{{accent, " :"}, {dim, " command "}, {accent, " ?"}, {dim, " keys "}, {accent, " q"}, {dim, " quit"}}
	tw := width(tail.String())
	if m.w < 60 {
		tail, tw = line{{accent, " ?"}, {dim, " keys"}}, 7
	}
	room = m.w - tw
	for _, b := range list {
		if key := (line{{accent, " " + keyName(b.keys[0])}, {dim, " " + b.help + " "}}); b.works(m) && width(key.String()) <= room {
			keys, room = append(keys, key...), room-width(key.String()) // those that don't fit are in the help
		}
	}
	return []line{rule, append(keys.fit(max(m.w-tw, 0)), tail...)}
}
