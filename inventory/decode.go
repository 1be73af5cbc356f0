package inventory

import (
	"fmt"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// decoder turns YAML nodes into Go values and collects every problem on its way. One decoder reads one file.
type decoder struct {
	src      *source
	anchors  map[string]ast.Node
	problems Problems
	reported map[string]bool
	reads    int
	origins  map[string]value // what was written for a path of the resolved deployment
	failed   []string         // paths of values found wrong by themselves, set before the whole is checked
}

func newDecoder(src *source, anchors map[string]ast.Node) *decoder {
	return &decoder{src: src, anchors: anchors, reported: map[string]bool{}, origins: map[string]value{}}
}

// value is a YAML value at a place of the file.
type value struct {
	node   ast.Node // never nil, an alias, an anchor or a tag
	at     place
	path   string // in the file: "defaults.ssh.port"
	as     string // in the resolved deployment: "nodes[app1].ssh.port"; "" if it is only checked
	secret bool   // its text must not be shown
}

func (v value) child(n ast.Node, at place, step string) value {
	return value{node: n, at: at, path: join(v.path, step), as: joinIf(v.as, step), secret: v.secret}
}

// join adds a step to a path: ".key", or "[name]" as it is.
func join(path, step string) string {
	if path == "" || strings.HasPrefix(step, "[") {
		return path + step
	}
	return path + "." + step
}

// rootPath stands for the resolved deployment itself, whose keys have no prefix.
const rootPath = "."

func joinIf(as, step string) string {
	switch as {
	case "":
		return ""
	case rootPath:
		return step
	}
	return join(as, step)
}

// bad reports a problem with v.
func (d *decoder) bad(v value, message, instead string) {
	d.report(v.at, v.path, message, instead, width(v.node), v.secret, false)
}

// warn reports something about v that doesn't keep the file from being used.
func (d *decoder) warn(v value, message, instead string) {
	d.report(v.at, v.path, message, instead, width(v.node), v.secret, true)
}

func (d *decoder) report(at place, path, message, instead string, width int, secret, warning bool) {
	key := fmt.Sprint(at, message)
	if d.reported[key] || len(d.problems) >= maxProblems {
		return
	}
	d.reported[key] = true
	p := d.src.problem(at, path, message, instead)
	p.Warning, p.Excerpt = warning, d.src.excerpt(at, width, secret)
	d.problems = append(d.problems, *p)
}

// width is how many characters of its first line a node takes.
func width(n ast.Node) int {
	if n == nil || n.GetToken() == nil {
		return 1
	}
	switch n := n.(type) {
	case *ast.MappingNode:
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return width(n.Values[0].Key)
		}
		return 1
	case *ast.SequenceNode:
		return 1
	case *ast.NullNode:
		return 1
	}
	text, _, _ := strings.Cut(strings.TrimSpace(n.GetToken().Origin), "\n")
	return len([]rune(text))
}

// spend counts one value read. Past the limit it reports that once and returns false.
func (d *decoder) spend(v value) bool {
	d.reads++
	if d.reads == maxReads {
		d.report(v.at, "", "aliases and layers of settings multiply into too many values", "write fewer settings per layer", 1, true, false)
	}
	return d.reads < maxReads && len(d.problems) < maxProblems
}

// value makes a value of a node that a mapping or sequence holds, following aliases. ok is false if it reported why not.
func (d *decoder) value(parent value, n ast.Node, fallback place, step string) (value, bool) {
	for range maxAlias {
		switch x := n.(type) {
		case *ast.AnchorNode:
			n = x.Value
			continue
		case *ast.AliasNode:
			target, ok := d.anchors[x.Value.GetToken().Value]
			if !ok {
				d.bad(parent.child(x, nodePlace(x), step), "an alias of an anchor that is not there", "write the value itself")
				return value{}, false
			}
			n = target
			continue
		case *ast.TagNode:
			d.bad(parent.child(x, nodePlace(x), step), "YAML tags are not supported", "write the value without the tag")
			return value{}, false
		case nil:
			d.bad(parent.child(nil, fallback, step), "has no value", "write a value, or remove the key")
			return value{}, false
		case *ast.NullNode:
			return parent.child(x, fallback, step), d.spend(parent)
		}
		return parent.child(n, nodePlace(n), step), d.spend(parent)
	}
	d.bad(parent.child(nil, fallback, step), "an alias that leads to itself", "write the value itself")
	return value{}, false
}

// entry is a key of a mapping with its value.
type entry struct {
	key   string
	at    place // of the key
	node  ast.Node
	value ast.Node
}

// entries are the entries of a mapping with text for keys; duplicates and other keys are reported and left out.
// ok is false if v is no mapping. Nothing written (null) is an empty mapping.
func (d *decoder) entries(v value) (list []entry, ok bool) {
	if _, null := v.node.(*ast.NullNode); null {
		return nil, true
	}
	m, ok := v.node.(*ast.MappingNode)
	if !ok {
		v.secret = true // whatever it is, it may be a secret without its key
		d.bad(v, "must be a mapping, not "+nodeKind(v.node), "write \"key: value\" lines, indented below it")
		return nil, false
	}
	first := map[string]place{}
	for _, mv := range m.Values {
		key, isText := mv.Key.(*ast.StringNode)
		at := nodePlace(mv.Key)
		if !isText {
			d.badKey(v, mv.Key)
			continue
		}
		if was, dup := first[key.Value]; dup {
			d.report(at, join(v.path, key.Value), fmt.Sprintf("key %q is given twice, first in line %d", key.Value, was.line), "keep one of them", width(key), false, false)
			continue
		}
		first[key.Value] = at
		list = append(list, entry{key.Value, at, mv.Key, mv.Value})
	}
	return list, true
}

func (d *decoder) badKey(v value, key ast.Node) {
	message, instead := "a key that is no text", "put the key in quotes"
	switch key.(type) {
	case *ast.MergeKeyNode:
		message, instead = "YAML merge keys (<<) are not supported", "put what nodes share into defaults or a group"
	case *ast.MappingKeyNode:
		message, instead = "complex keys (?) are not supported", "write \"key: value\""
	}
	d.report(nodePlace(key), v.path, message, instead, width(key), false, false)
}

// items are the values of a sequence, each with the place of its dash or else of the list. ok is false if v is none.
func (d *decoder) items(v value) (list []entry, ok bool) {
	s, ok := v.node.(*ast.SequenceNode)
	if !ok {
		v.secret = true
		d.bad(v, "must be a list, not "+nodeKind(v.node), "write \"- item\" lines, or [item, item]")
		return nil, false
	}
	for i, n := range s.Values {
		e := entry{at: v.at, value: n}
		if !s.IsFlowStyle && i < len(s.Entries) && s.Entries[i] != nil {
			e.at = tokenPlace(s.Entries[i].Start)
		}
		list = append(list, e)
	}
	return list, true
}

// text is the text of a string; numbers and the like need quotes to be one.
func (d *decoder) text(v value) (string, bool) {
	switch n := v.node.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		d.bad(v, "must be text, not "+nodeKind(v.node), "put it in quotes")
	default:
		d.bad(v, "must be text, not "+nodeKind(v.node), "write one value")
	}
	return "", false
}

// scalar is the text of any scalar as it is written, so that 010 stays "010".
func (d *decoder) scalar(v value) (string, bool) {
	switch v.node.(type) {
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return v.node.GetToken().Value, true
	case *ast.NullNode:
		d.bad(v, "has no value", "write \"\" for an empty one, or remove the key")
		return "", false
	}
	return d.text(v)
}

// nodeKind names a node for people.
func nodeKind(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.StringNode, *ast.LiteralNode:
		return "text"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "a number"
	case *ast.BoolNode:
		return "true or false"
	case *ast.NullNode:
		return "nothing"
	}
	return "something else"
}

// record notes where the resolved value of v comes from.
func (d *decoder) record(v value) {
	if v.as != "" {
		d.origins[v.as] = v
	}
}

// step is the part of a path that an item of a list adds: its name if it has a proper one, else its index. The name's own
// value comes with it.
func (d *decoder) step(n ast.Node, index int) (string, value) {
	if m, ok := n.(*ast.MappingNode); ok {
		for _, mv := range m.Values {
			key, isText := mv.Key.(*ast.StringNode)
			name, named := mv.Value.(*ast.StringNode)
			if isText && named && key.Value == "name" && namePattern.MatchString(name.Value) {
				return "[" + name.Value + "]", value{node: name, at: nodePlace(name)}
			}
		}
	}
	return fmt.Sprintf("[%d]", index), value{}
}

// quiet is a decoder for looking at what was already read: its problems are dropped.
func (d *decoder) quiet() *decoder { return newDecoder(d.src, d.anchors) }
