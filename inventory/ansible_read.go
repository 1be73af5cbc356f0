package inventory

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

var (
	iniSection = regexp.MustCompile(`^\[([^\]:]+)(?::(children|vars))?\]\s*([#;].*)?$`)
	hostRange  = regexp.MustCompile(`^(.*?)\[([0-9]+|[a-zA-Z]):([0-9]+|[a-zA-Z])(?::([0-9]+))?\](.*)$`)
	hostPort   = regexp.MustCompile(`^([^:]+):([0-9]+)$`)
)

// readINI reads Ansible's INI form.
func (a *ansible) readINI(name string, data []byte) error {
	if len(data) > maxFile {
		return fmt.Errorf("%s: the file is larger than 1 MiB", name)
	}
	group, kind, number := "ungrouped", "", 0
	for line := range strings.Lines(string(data)) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		if line[0] == '[' && iniSection.MatchString(line) {
			m := iniSection.FindStringSubmatch(line)
			group, kind = m[1], m[2]
			a.group(group)
			continue
		}
		var err error
		switch kind {
		case "children":
			a.group(group).children = append(a.group(group).children, firstWord(line))
			a.group(firstWord(line))
		case "vars":
			key, value, ok := strings.Cut(line, "=")
			if !ok {
				err = fmt.Errorf("a variable without =; write name=value")
			}
			a.group(group).vars[strings.TrimSpace(key)] = unquote(strings.TrimSpace(value))
		default:
			err = a.hostLine(group, line)
		}
		if err == nil && len(a.order) > maxNodes {
			err = fmt.Errorf("more than %d groups", maxNodes)
		}
		if err != nil {
			return fmt.Errorf("%s:%d:1: %w", name, number, err)
		}
	}
	return nil
}

func firstWord(line string) string { return strings.Fields(line)[0] }

func unquote(s string) string {
	if len(s) > 1 && (s[0] == '"' || s[0] == '\'') && s[len(s)-1] == s[0] {
		return s[1 : len(s)-1]
	}
	return s
}

// hostLine reads "name var=value var='a b'  # comment".
func (a *ansible) hostLine(group, line string) error {
	words, err := iniWords(line)
	if err != nil {
		return err
	}
	if len(words) == 0 {
		return fmt.Errorf("a line without a host")
	}
	vars := map[string]string{}
	for _, w := range words[1:] {
		key, value, ok := strings.Cut(w, "=")
		if !ok {
			return fmt.Errorf("%q is no variable; write name=value", key)
		}
		vars[key] = value
	}
	return a.addHosts(group, words[0], vars)
}

// iniWords splits at spaces outside quotes; a # after a space begins a comment.
func iniWords(line string) (words []string, err error) {
	var word strings.Builder
	in, quote := false, rune(0)
	for _, r := range line {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '"' || r == '\'':
			in, quote = true, r
		case r == ' ' || r == '\t':
			if in {
				words = append(words, word.String())
			}
			word.Reset()
			in = false
		case r == '#' && !in:
			return words, nil
		default:
			in = true
			word.WriteRune(r)
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("a quote is not closed")
	}
	if in {
		words = append(words, word.String())
	}
	return words, nil
}

// addHosts adds a host, or those of a range.
func (a *ansible) addHosts(group, pattern string, vars map[string]string) error {
	names, err := expandRange(pattern, maxNodes)
	if err != nil {
		return err
	}
	for _, n := range names {
		v := vars
		if m := hostPort.FindStringSubmatch(n); m != nil {
			n = m[1]
			v = map[string]string{"ansible_port": m[2]}
			for key, value := range vars {
				v[key] = value
			}
		}
		a.host(n, v)
		a.group(group).hosts = append(a.group(group).hosts, n)
	}
	if a.added += len(names); len(a.hosts) > maxNodes || a.added > 50*maxNodes || len(a.order) > maxNodes {
		return fmt.Errorf("more than %d hosts or groups", maxNodes)
	}
	return nil
}

// expandRange expands app[1:3], app[01:10:3] and db[a:c], several in one name too, to at most limit names.
func expandRange(pattern string, limit int) ([]string, error) {
	m := hostRange.FindStringSubmatch(pattern)
	if m == nil {
		if strings.ContainsAny(pattern, "[]") && strings.Count(pattern, ":") < 2 {
			return nil, fmt.Errorf("%q is no range; write it like app[1:3]", pattern)
		}
		return []string{pattern}, nil
	}
	step := 1
	if m[4] != "" {
		step, _ = strconv.Atoi(m[4])
	}
	low, errLow := strconv.Atoi(m[2])
	high, errHigh := strconv.Atoi(m[3])
	letters := errLow != nil && errHigh != nil && len(m[2]) == 1 && len(m[3]) == 1
	if letters {
		low, high = int(m[2][0]), int(m[3][0])
	}
	if (!letters && (errLow != nil || errHigh != nil)) || step < 1 || high < low || len(m[2]) > 9 || len(m[3]) > 9 {
		return nil, fmt.Errorf("%q is no range; write it like app[1:3]", pattern)
	}
	var names []string
	for i := low; i <= high; i += step {
		part := string(rune(i))
		if !letters {
			part = fmt.Sprintf("%0*d", len(m[2]), i)
			if m[2][0] != '0' {
				part = strconv.Itoa(i)
			}
		}
		rest, err := expandRange(m[5], limit-len(names))
		if err != nil {
			return nil, err
		}
		for _, r := range rest {
			if names = append(names, m[1]+part+r); len(names) > limit {
				return nil, fmt.Errorf("a range of more than %d hosts", maxNodes)
			}
		}
	}
	return names, nil
}

// readYAML reads Ansible's YAML form: groups with hosts, children and vars.
func (a *ansible) readYAML(name string, data []byte) error {
	src := &source{name: name}
	if len(data) <= maxFile {
		src.lines = strings.Split(strings.TrimPrefix(string(data), "\ufeff"), "\n")
	}
	root, anchors, problem := parseYAML(src, data)
	if problem != nil {
		return Problems{*problem}
	}
	if root == nil {
		return fmt.Errorf("%s: the file is empty", name)
	}
	d := newDecoder(src, anchors)
	v, ok := d.value(value{}, root, place{1, 1}, "")
	if ok {
		entries, _ := d.entries(v)
		for _, e := range entries {
			if child, ok := d.value(v, e.value, e.at, e.key); ok {
				a.readGroup(d, e.key, child, 0)
			}
		}
	}
	if problems := d.problems.sorted(); problems.Fatal() > 0 {
		return problems
	}
	return nil
}

func (a *ansible) readGroup(d *decoder, name string, v value, depth int) {
	if depth > maxNested || len(a.order) > maxNodes {
		d.bad(v, "groups are nested too deeply, or too many", "check for a group that holds itself")
		return
	}
	g := a.group(name)
	entries, _ := d.entries(v)
	for _, e := range entries {
		part, ok := d.value(v, e.value, e.at, e.key)
		if !ok {
			continue
		}
		switch e.key {
		case "vars":
			for k, x := range a.readVars(d, part) {
				g.vars[k] = x
			}
		case "hosts", "children":
			inner, _ := d.entries(part)
			for _, i := range inner {
				child, ok := d.value(part, i.value, i.at, i.key)
				switch {
				case !ok:
				case e.key == "children":
					g.children = append(g.children, i.key)
					a.readGroup(d, i.key, child, depth+1)
				default:
					if err := a.addHosts(name, i.key, a.readVars(d, child)); err != nil {
						d.bad(child, err.Error(), "correct the host's name")
					}
				}
			}
		default:
			d.report(e.at, join(v.path, e.key), fmt.Sprintf("unknown key %q in a group", e.key), "write hosts, children or vars", width(e.node), false, false)
		}
	}
}

// readVars reads the scalars of a mapping; a list or mapping is noted as left out by its name.
func (a *ansible) readVars(d *decoder, v value) map[string]string {
	vars := map[string]string{}
	entries, _ := d.entries(v)
	for _, e := range entries {
		x, ok := d.value(v, e.value, e.at, e.key)
		if !ok {
			continue
		}
		switch x.node.(type) {
		case *ast.MappingNode, *ast.SequenceNode, *ast.NullNode:
			a.note("%s was left out", x.path)
		default:
			if s, ok := d.scalar(x); ok {
				vars[e.key] = s
			}
		}
	}
	return vars
}
