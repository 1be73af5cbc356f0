package inventory

import (
	"fmt"
	"strings"
)

// origin is where a value was written. It holds no value, so that a Deployment can be printed.
type origin struct {
	at   place
	path string
}

// Setting is a resolved value and where it comes from.
type Setting struct {
	Key    string `json:"key"`            // "ssh.port"
	Value  string `json:"value"`          // as text; secrets as their reference, or masked
	File   string `json:"file,omitempty"` // as given to Load or Parse; "" for a default
	Line   int    `json:"line,omitempty"` // 0 for a default
	Column int    `json:"column,omitempty"`
	Path   string `json:"path,omitempty"` // the key that was written, such as "defaults.ssh.port"; "" for a default
}

// From is "file:line:column (path)", or "default".
func (s Setting) From() string {
	if s.Line == 0 {
		return "default"
	}
	return fmt.Sprintf("%s:%d:%d (%s)", s.File, s.Line, s.Column, s.Path)
}

// Explain gives every resolved value of a node that is not empty, in the order of the reference, with where it comes from.
// For "" it gives those of the deployment as a whole. An unknown node is an error.
func (d *Deployment) Explain(node string) ([]Setting, error) {
	var out []Setting
	emit := func(prefix string) func(path, text string) {
		return func(path, text string) {
			s := Setting{Key: path, Value: text}
			if v, ok := d.written(joinIf(prefix, path)); ok {
				s.File, s.Line, s.Column, s.Path = d.named, v.at.line, v.at.column, v.path
			}
			if text != "" && (s.Line != 0 || !unset(text)) {
				out = append(out, s)
			}
		}
	}
	if node == "" {
		f := document{Deployment: *d, version: 1, cache: kept[Cache]{v: d.Cache}}
		k := documentKind()
		k.emit(&f, "", func(path, text string) {
			for _, layer := range []string{"defaults", "groups", "nodes", "env"} {
				if path == layer || strings.HasPrefix(path, layer+".") || strings.HasPrefix(path, layer+"[") {
					return
				}
			}
			emit(rootPath)(path, text)
		})
		return out, nil
	}
	n := d.Node(node)
	if n == nil {
		return nil, d.unknownNode(node)
	}
	k := nodeEntry()
	k.emit(n, "", emit("nodes["+node+"]"))
	return out, nil
}

// unset reports whether a text is that of a value nobody set and that has no default.
func unset(text string) bool { return text == "0" || text == "0s" || text == "false" }

// written finds what was written for a path: the value itself, or the list it is in.
func (d *Deployment) written(path string) (origin, bool) {
	for path != "" {
		if v, ok := d.origins[path]; ok {
			return v, true
		}
		if !strings.HasSuffix(path, "]") {
			break
		}
		path = path[:strings.LastIndexByte(path, '[')]
	}
	return origin{}, false
}

// Position is where the value of a path was written: "cache.url", "env.MOSPARO_X", "nodes[app1].env.MOSPARO_X" (which may be
// in defaults or in a group). Both are 0 where nothing was written.
func (d *Deployment) Position(path string) (line, col int) {
	v, _ := d.written(path)
	return v.at.line, v.at.column
}

// ProblemAt makes a Problem about the value of a path, for what only another package can judge. It has no excerpt.
func (d *Deployment) ProblemAt(path, message, instead string) Problem {
	v, _ := d.written(path)
	if v.path == "" {
		v.path = path
	}
	return Problem{File: d.named, Line: v.at.line, Column: v.at.column, Path: v.path, Message: message, Instead: instead}
}
