package main

import (
	"fmt"
	"strings"

	"github.com/mosparoctl/mosparoctl/ops"
)

// exitKey is the annotation that holds a command's "Exit status" section.
const exitKey = "exit status"

// exitTemplate adds the section to a command's help.
const exitTemplate = `{{with index .Annotations "` + exitKey + `"}}
Exit status:
{{.}}
{{end}}`

// exits is the annotation of a command that may end with these failures, besides success, failure, wrong usage and interrupt.
func exits(codes ...ops.Code) map[string]string {
	var b strings.Builder
	b.WriteString("  0    done\n")
	for _, c := range append([]ops.Code{ops.CodeFailed, ops.CodeUsage}, append(codes, ops.CodeInterrupted)...) {
		fmt.Fprintf(&b, "  %-3d  %s\n", c.ExitStatus(), exitMeaning(c))
	}
	return map[string]string{exitKey: strings.TrimRight(b.String(), "\n")}
}

// exitMeaning says in words what a class of failure means; docs/exit-codes.md has more.
func exitMeaning(c ops.Code) string {
	switch c {
	case ops.CodeUsage:
		return "the command line is wrong"
	case ops.CodePartial:
		return "some nodes failed, others succeeded"
	case ops.CodeInvalid:
		return "the inventory or a configuration value is wrong"
	case ops.CodeUnreachable:
		return "a node could not be reached, logged in to or trusted"
	case ops.CodeLocked:
		return "another operator holds the lock, or the plan is stale"
	case ops.CodeFindings:
		return "a check found a problem, or a dry run found differences"
	case ops.CodeConfirm:
		return "a confirmation is needed"
	case ops.CodeInterrupted:
		return "interrupted"
	default:
		return "failed"
	}
}
