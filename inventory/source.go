package inventory

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// The bounds of a file. The YAML parser takes time in the square of a mapping's size and a stack frame for each level, so
// both are limited before it starts; maxReads limits what aliases and layers of settings can multiply.
const (
	maxFile   = 1 << 20
	maxTokens = 60_000
	maxNested = 50
	maxReads  = 500_000
	maxAlias  = 16
	maxNodes  = 1000

	// maxProblems is where reading stops: who sees that many has given the wrong file.
	maxProblems = 500
)

// place is a position in the file; the zero value is no place.
type place struct{ line, column int }

// source is a file's text, to find places and quote from.
type source struct {
	name  string
	lines []string
}

// parseYAML reads data into the node of its only document, which is nil for an empty file, and the anchors in it.
// It stops at the first error of syntax: what follows one can't be told.
func parseYAML(src *source, data []byte) (root ast.Node, anchors map[string]ast.Node, problem *Problem) {
	defer func() {
		// The parser is not ours and reads whatever it is given; a panic in it is a file it can't read.
		if r := recover(); r != nil {
			root, anchors, problem = nil, nil, src.problem(place{}, "", "can't be read as YAML", "check quotes and indentation")
		}
	}()
	if p := src.checkText(data); p != nil {
		return nil, nil, p
	}
	tokens := lexer.Tokenize(strings.TrimPrefix(string(data), "\ufeff"))
	if p := src.checkTokens(tokens); p != nil {
		return nil, nil, p
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		var syntax *yaml.SyntaxError
		if errors.As(err, &syntax) && syntax.Token != nil {
			p := src.problem(tokenPlace(syntax.Token), "", "syntax error: "+syntax.Message, "check quotes, indentation and colons")
			p.Excerpt = src.excerpt(tokenPlace(syntax.Token), 1, true)
			return nil, nil, p
		}
		return nil, nil, src.problem(place{}, "", "can't be read as YAML", "check quotes and indentation")
	}
	anchors = anchorFinder{}
	for _, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		if root != nil {
			return nil, nil, src.problem(nodePlace(doc.Body), "", "a second YAML document", "keep one document, without ---")
		}
		root = doc.Body
		ast.Walk(anchorFinder(anchors), root)
	}
	return root, anchors, nil
}

// checkText refuses what is no text or too much of it.
func (s *source) checkText(data []byte) *Problem {
	if len(data) > maxFile {
		return s.problem(place{}, "", fmt.Sprintf("the file has %d bytes", len(data)), "keep it below 1 MiB")
	}
	for i, line := range s.lines {
		column := 0
		for _, r := range line {
			column++
			if r == utf8.RuneError || (r < ' ' && r != '\t' && r != '\r') || r == 0x7f {
				return s.problem(place{i + 1, column}, "", "a character that is no text", "save the file as UTF-8 without control characters")
			}
		}
	}
	return nil
}

// checkTokens bounds size and depth.
func (s *source) checkTokens(tokens token.Tokens) *Problem {
	if len(tokens) > maxTokens {
		return s.problem(place{}, "", "the file has too many entries", "move what nodes share into defaults or groups")
	}
	flow, entries, line := 0, 0, 0
	for _, t := range tokens {
		if t.Position.Line != line {
			entries, line = 0, t.Position.Line
		}
		switch t.Type {
		case token.MappingStartType, token.SequenceStartType:
			flow++
		case token.MappingEndType, token.SequenceEndType:
			flow--
		case token.SequenceEntryType, token.MappingKeyType, token.AnchorType, token.TagType:
			entries++
		}
		if flow > maxNested || entries > maxNested || t.Position.IndentNum > 4*maxNested {
			return s.problem(tokenPlace(t), "", "nested too deeply", "an inventory needs no more than 8 levels")
		}
	}
	return nil
}

// anchorFinder collects anchors by name; a later one replaces an earlier one of the same name.
type anchorFinder map[string]ast.Node

// Visit implements ast.Visitor.
func (f anchorFinder) Visit(n ast.Node) ast.Visitor {
	if a, ok := n.(*ast.AnchorNode); ok && a.Name != nil && a.Value != nil {
		f[a.Name.GetToken().Value] = a.Value
	}
	return f
}

func tokenPlace(t *token.Token) place {
	if t == nil || t.Position == nil {
		return place{}
	}
	return place{t.Position.Line, max(t.Position.Column, 1)}
}

// nodePlace is where a value begins: its first key for a block mapping, its own token else.
func nodePlace(n ast.Node) place {
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		return nodePlace(m.Values[0].Key)
	}
	if n == nil {
		return place{}
	}
	return tokenPlace(n.GetToken())
}

func (s *source) problem(at place, path, message, instead string) *Problem {
	return &Problem{File: s.name, Line: at.line, Column: at.column, Path: path, Message: message, Instead: instead}
}

// plainPrefix is what may stand before the place of a problem and be quoted; anything else could hold a secret.
var plainPrefix = regexp.MustCompile(`^[\s-]*([A-Za-z_][\w.-]*:\s+)?$`)

// excerpt quotes width characters at a place, marked on a second line. Nothing else of the line is shown but its
// indentation and its first key, so that no secret beside a mistake gets out; the place itself is masked if secret is set.
func (s *source) excerpt(at place, width int, secret bool) string {
	if at.line < 1 || at.line > len(s.lines) {
		return ""
	}
	line := []rune(strings.TrimRight(s.lines[at.line-1], "\r"))
	from := min(at.column-1, len(line))
	to := min(from+min(max(width, 1), 60), len(line))
	prefix, text := string(line[:from]), string(line[from:to])
	if !plainPrefix.MatchString(prefix) {
		prefix = "… "
	}
	if secret {
		text = secretMask
	}
	prefix = strings.ReplaceAll(prefix, "\t", " ")
	number := fmt.Sprintf("%6d | ", at.line)
	marks := strings.Repeat("^", max(utf8.RuneCountInString(text), 1))
	return number + prefix + text + "\n" +
		strings.Repeat(" ", len(number)-2) + "| " + strings.Repeat(" ", utf8.RuneCountInString(prefix)) + marks
}
