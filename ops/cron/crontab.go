package cron

import (
	"fmt"
	"strings"
)

// LineKind says what a line of a crontab is.
type LineKind int

// The kinds of lines.
const (
	Blank LineKind = iota
	Comment
	Setting // NAME = value
	Entry   // a job
	Broken  // cron would refuse it; kept as it is
)

// Line is one line of a crontab.
type Line struct {
	Number int    // from 1
	Raw    string // as read, with its line end
	Kind   LineKind
	Block  string // the deployment whose block it is in, markers included; "" outside of all blocks

	Fields  Fields // of an Entry
	User    string // of an Entry in a system crontab
	Command string // of an Entry, as written: % still escaped
}

// Crontab is a crontab with every byte of it. It is not changed after ParseCrontab.
type Crontab struct {
	Lines []Line
	name  string
	begin int // index of the begin marker, -1 without a block
	end   int // index of the end marker
}

// Markers of the block that belongs to mosparoctl. The deployment's name follows.
const (
	beginMarker = "# BEGIN mosparoctl "
	endMarker   = "# END mosparoctl "
)

// ParseCrontab reads a crontab and finds the block of the deployment called name. system says that entries have a user
// column, as in /etc/crontab and /etc/cron.d. Lines that cron would refuse are kept. Only markers that don't pair up
// are an error: guessing where the block ends could cost somebody's jobs.
func ParseCrontab(src []byte, system bool, name string) (*Crontab, error) {
	c := &Crontab{name: name, begin: -1, end: -1}
	for raw := range strings.Lines(string(src)) {
		line := Line{Number: len(c.Lines) + 1, Raw: raw}
		line.parse(system)
		c.Lines = append(c.Lines, line)
	}
	if err := c.findBlocks(); err != nil {
		return nil, err
	}
	return c, nil
}

// findBlocks notes which lines lie in which block, and where ours is.
func (c *Crontab) findBlocks() error {
	inside, opened := "", 0
	for i := range c.Lines {
		text := strings.TrimRight(c.Lines[i].Raw, " \t\r\n")
		begins, isBegin := strings.CutPrefix(text, beginMarker)
		ends, isEnd := strings.CutPrefix(text, endMarker)
		isBegin, isEnd = isBegin && begins != "", isEnd && ends != ""
		ours := c.begin >= 0 && c.end < 0
		switch {
		case isBegin && begins == c.name && c.begin >= 0:
			return c.brokenBlock(i, "a second begin marker")
		case isEnd && ends == c.name && !ours:
			return c.brokenBlock(i, "an end marker without its begin marker")
		case ours && (isBegin || isEnd && ends != c.name):
			return c.brokenBlock(i, "another deployment's marker inside the block")
		case isBegin && inside != "":
			return c.brokenBlock(i, "a begin marker inside the block of "+inside)
		case isBegin:
			inside, opened = begins, i
			if begins == c.name {
				c.begin = i
			}
		}
		c.Lines[i].Block = inside
		if isEnd {
			if ends == c.name {
				c.end = i
			}
			inside = ""
		}
	}
	if inside != "" { // also of another deployment: ours would end up in its block
		return c.brokenBlock(opened, "a begin marker without its end marker")
	}
	return nil
}

func (c *Crontab) brokenBlock(i int, what string) error {
	return fmt.Errorf("line %d: %s (%q)", i+1, what, strings.TrimSpace(c.Lines[i].Raw))
}

// parse classifies l and takes an entry apart.
func (l *Line) parse(system bool) {
	text := strings.TrimLeft(strings.TrimRight(l.Raw, "\r\n"), " \t")
	switch {
	case text == "":
		l.Kind = Blank
		return
	case text[0] == '#':
		l.Kind = Comment
		return
	case isSetting(text):
		l.Kind = Setting
		return
	}
	count := 5
	if text[0] == '@' {
		count = 1
	}
	l.Kind = Broken
	fields, rest := cutFields(text, count)
	f, err := ParseFields(fields)
	if err != nil {
		return
	}
	if system {
		l.User, rest = cutFields(rest, 1)
		if l.User == "" {
			return
		}
	}
	if rest == "" {
		return
	}
	l.Kind, l.Fields, l.Command = Entry, f, rest
}

// cutFields splits off the first n words.
func cutFields(s string, n int) (head, rest string) {
	i := 0
	for range n {
		for i < len(s) && (s[i] == ' ' || s[i] == '\t') {
			i++
		}
		for i < len(s) && s[i] != ' ' && s[i] != '\t' {
			i++
		}
	}
	return strings.TrimLeft(s[:i], " \t"), strings.TrimLeft(s[i:], " \t")
}

// isSetting reports whether the line sets an environment variable: a name, perhaps quoted, before the first equals sign.
func isSetting(s string) bool {
	name, _, ok := strings.Cut(s, "=")
	if !ok {
		return false
	}
	name = strings.TrimRight(name, " \t")
	if len(name) >= 2 && (name[0] == '"' || name[0] == '\'') && name[len(name)-1] == name[0] {
		return true
	}
	return name != "" && !strings.ContainsAny(name, " \t\"'") && (isNameByte(name[0]))
}

func isNameByte(c byte) bool { return c == '_' || 'a' <= c|0x20 && c|0x20 <= 'z' }

// Block is the text of the managed block with its markers, "" if there is none.
func (c *Crontab) Block() string {
	if c.begin < 0 {
		return ""
	}
	return c.text(c.begin, c.end+1)
}

func (c *Crontab) text(from, to int) string {
	var b strings.Builder
	for _, l := range c.Lines[from:to] {
		b.WriteString(l.Raw)
	}
	return b.String()
}

// WithBlock is the crontab with block (from NewBlock) in place of the managed one, or at its end if there was none; ""
// removes it. All other lines stay byte for byte; only a missing last line end, without which cron ignores the line, is added.
func (c *Crontab) WithBlock(block string) []byte {
	if c.begin < 0 {
		all := c.text(0, len(c.Lines))
		if block != "" && all != "" && !strings.HasSuffix(all, "\n") {
			all += "\n"
		}
		return []byte(all + block)
	}
	return []byte(c.text(0, c.begin) + block + c.text(c.end+1, len(c.Lines)))
}

// NewBlock puts lines between the markers of the deployment called name.
func NewBlock(name string, lines []string) string {
	var b strings.Builder
	b.WriteString(beginMarker + name + "\n")
	for _, l := range lines {
		b.WriteString(l + "\n")
	}
	b.WriteString(endMarker + name + "\n")
	return b.String()
}
