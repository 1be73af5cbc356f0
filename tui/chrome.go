package tui

import (
	"fmt"
	"strings"

	"github.com/mosparoctl/mosparoctl/ops/health"
)

// head is the two lines at the top: what deployment this is and how it is, and the screens.
func (m *Model) head() []line {
	right := m.status()
	left := line{{strong, " " + m.svc.Deployment.Name}, {dim, "  "}}
	left = append(left, m.verdicts()...)
	rw := min(width(clean(right.String())), m.w/2)
	first := append(left.fit(m.w-rw), right.fit(rw)...)
	return []line{first, m.tabs()}
}

// verdicts counts the results of all checks, in signs and words.
func (m *Model) verdicts() line {
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
			l = append(l, span{styleOf(v), fmt.Sprintf("%s %d %s", glyph(v), n, word(v))}, span{plain, "  "})
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
		l = append(l, span{caution, "lock: " + m.st.lock.Op + " by " + m.st.lock.Owner})
	}
	if m.w >= 60 {
		s := dim
		label := "  checks " + age(m.now, m.st.checks.got)
		if m.st.checks.stale(m.now) && !m.st.checks.got.IsZero() {
			s, label = caution, label+" (stale)"
		}
		l = append(l, span{s, label})
	}
	return append(l, span{dim, m.now.In(m.zone).Format("  15:04 ")})
}

// tabs names the screens; on a narrow terminal only the one that is shown.
func (m *Model) tabs() line {
	names := screenList()
	need := 0
	for _, s := range names {
		need += width(s.title) + 4
	}
	if need > m.w {
		return line{{edge, "─"}, {strong, fmt.Sprintf(" %d %s ", m.screen+1, m.title())}, {edge, strings.Repeat("─", m.w)}}
	}
	l := line{{edge, "─"}}
	for i, s := range names {
		if screenID(i) == m.screen {
			l = append(l, span{chosen, fmt.Sprintf("▸%d %s ", i+1, s.title)}, span{edge, "─"})
		} else {
			l = append(l, span{dim, fmt.Sprintf(" %d", i+1)}, span{plain, " " + s.title + " "}, span{edge, "─"})
		}
	}
	return append(l, span{edge, strings.Repeat("─", m.w)})
}

// title is that of the screen, with its place among all.
func (m *Model) title() string {
	return fmt.Sprintf("%s (%d of %d)", m.current().title, m.screen+1, screens)
}

// foot is the two lines at the bottom: a note, and the keys that matter here.
func (m *Model) foot() []line {
	rule := line{{edge, strings.Repeat("─", m.w)}}
	if m.note != "" && m.now.Sub(m.noteAt) < noteFor {
		rule = line{{edge, "─ "}, {m.noteStyle, m.note}, {edge, " " + strings.Repeat("─", m.w)}}
	}
	var keys line
	list := m.current().keys
	if m.opShown() {
		list = operationKeys()
	}
	for _, b := range list {
		if b.works(m) {
			keys = append(keys, span{accent, " " + keyName(b.keys[0])}, span{dim, " " + b.help + " "})
		}
	}
	tail := line{{accent, " :"}, {dim, " command "}, {accent, " ?"}, {dim, " keys "}, {accent, " q"}, {dim, " quit"}}
	tw := width(tail.String())
	if m.w < 60 {
		tail, tw = line{{accent, " ?"}, {dim, " keys"}}, 7
	}
	return []line{rule, append(keys.fit(max(m.w-tw, 0)), tail...)}
}
