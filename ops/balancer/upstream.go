package balancer

import (
	"regexp"
	"slices"
	"strings"
)

// upstreamFile is an nginx file with server lines. Everything but the lines that are changed stays byte for byte.
type upstreamFile struct {
	text  string
	lines []string // with their line ends
	entry map[int]upstreamEntry
}

type upstreamEntry struct {
	address string
	down    bool
	ours    bool // the down is ours
}

// drainMark follows the directive that we marked as down; one without it was somebody else's.
const drainMark = " # drained by mosparoctl"

var (
	serverLine   = regexp.MustCompile(`^\s*server\s+([^\s;{}#]+)((?:\s+[^\s;{}#]+)*)\s*;`)
	upstreamLine = regexp.MustCompile(`^\s*upstream\s+([^\s;{}#]+)\s*\{`)
)

// parseUpstream finds the server lines, those of the named upstream only unless upstream is "". A server line of a
// "server {" block is none.
func parseUpstream(text, upstream string) upstreamFile {
	f := upstreamFile{text: text, lines: strings.SplitAfter(text, "\n"), entry: map[int]upstreamEntry{}}
	block := ""
	named := false // the file has upstream blocks, and is not the inside of one
	for i, line := range f.lines {
		if m := upstreamLine.FindStringSubmatch(line); m != nil {
			block, named = m[1], true
			continue
		}
		code, _, _ := strings.Cut(line, "#")
		if strings.Contains(code, "}") {
			block = ""
		}
		m := serverLine.FindStringSubmatch(line)
		if m == nil || upstream != "" && named && block != upstream {
			continue
		}
		e := upstreamEntry{address: m[1], ours: strings.Contains(line, drainMark)}
		for _, p := range strings.Fields(m[2]) {
			e.down = e.down || p == "down"
		}
		f.entry[i] = e
	}
	return f
}

// servers lists the addresses in order. A server is called by its address as written; one that stands in several
// upstreams is one server, ready if any of them uses it.
func (f upstreamFile) servers() []Server {
	var list []Server
	for i := range f.lines {
		e, ok := f.entry[i]
		if !ok {
			continue
		}
		at := slices.IndexFunc(list, func(s Server) bool { return s.Name == e.address })
		if at < 0 {
			list = append(list, Server{Name: e.address, State: StateMaint, Up: true, Sessions: -1, Detail: "down"})
			at = len(list) - 1
		}
		switch s := &list[at]; {
		case !e.down:
			s.State, s.Detail = StateReady, ""
		case e.ours && s.State == StateMaint:
			s.State = StateDrain
		}
	}
	return list
}

// with is the text with server in state s.
func (f upstreamFile) with(server string, s State) string {
	var out strings.Builder
	for i, line := range f.lines {
		e, ok := f.entry[i]
		switch {
		case !ok || e.address != server:
		case s == StateDrain && !e.down:
			at := serverLine.FindStringIndex(line)[1]
			line = line[:at-1] + " down;" + drainMark + line[at:]
		case s == StateReady && e.down:
			line = withoutDown(line)
		}
		out.WriteString(line)
	}
	return out.String()
}

var downParameter = regexp.MustCompile(`\s+down(\s|;)`)

// withoutDown drops the down parameter and our mark.
func withoutDown(line string) string {
	at := serverLine.FindStringIndex(line)[1]
	directive, rest := line[:at], line[at:]
	for downParameter.MatchString(directive) {
		directive = downParameter.ReplaceAllString(directive, "$1")
	}
	return directive + strings.Replace(rest, drainMark, "", 1)
}
