package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/mosparoctl/mosparoctl/ops"
)

// planText writes a plan for people.
func planText(p *ops.Plan) func(io.Writer) {
	return func(w io.Writer) {
		if p.Empty() {
			fmt.Fprintf(w, "%s: nothing to do\n", p.Op)
			return
		}
		for i, wave := range p.Waves {
			if len(wave.Steps) == 0 {
				continue
			}
			fmt.Fprintf(w, "wave %d: %s\n", i+1, wave.Name)
			for _, s := range wave.Steps {
				fmt.Fprintf(w, "  %s: %s\n", s.Node, s.Title)
				for _, c := range s.Changes {
					fmt.Fprintf(w, "      %s %s%s\n", c.Action, c.Path, detail(c.Detail))
				}
			}
		}
	}
}

// detail puts one line behind a change, and several below it.
func detail(s string) string {
	s = strings.TrimRight(s, "\n")
	if s == "" {
		return ""
	}
	if !strings.Contains(s, "\n") {
		return "  " + s
	}
	return "\n        " + strings.ReplaceAll(s, "\n", "\n        ")
}
