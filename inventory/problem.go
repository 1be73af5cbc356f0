package inventory

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing wrong with an inventory: where it is, what is wrong, and what to write instead. It never holds a
// secret's value.
type Problem struct {
	File    string `json:"file"`              // as given to Load or Parse
	Line    int    `json:"line,omitempty"`    // from 1; 0 where the problem has no place
	Column  int    `json:"column,omitempty"`  // from 1, counted in characters
	Path    string `json:"path,omitempty"`    // the key, such as "nodes[app1].ssh.port"; "" for the file as a whole
	Message string `json:"message"`           // what is wrong
	Instead string `json:"instead,omitempty"` // what to write instead, or ""
	Warning bool   `json:"warning,omitempty"` // the file can be used all the same
	Excerpt string `json:"-"`                 // the place in the source with a marker below it; two lines, or "" where there is none
}

// String is one line: "file:line:column: path: message; instead".
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
	}
	b.WriteString(": ")
	if p.Warning {
		b.WriteString("warning: ")
	}
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.Message)
	if p.Instead != "" {
		b.WriteString("; " + p.Instead)
	}
	return b.String()
}

// Problems are all problems of one inventory in the order of the file. As an error it holds at least one that is no warning.
type Problems []Problem

// Error is one line for each problem.
func (p Problems) Error() string { return strings.TrimSuffix(p.Render(false), "\n") }

// Render is one line for each problem, with the place in the source below it if excerpts is set.
func (p Problems) Render(excerpts bool) string {
	var b strings.Builder
	for _, x := range p {
		b.WriteString(x.String() + "\n")
		if excerpts && x.Excerpt != "" {
			b.WriteString(x.Excerpt + "\n")
		}
	}
	return b.String()
}

// Fatal counts the problems that are no warnings.
func (p Problems) Fatal() int {
	n := 0
	for _, x := range p {
		if !x.Warning {
			n++
		}
	}
	return n
}

// sorted orders by place; what has the same place stays in the order in which it was found.
func (p Problems) sorted() Problems {
	slices.SortStableFunc(p, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return p
}
