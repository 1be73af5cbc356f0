package lab

import (
	"fmt"
	"io"
	"strings"
)

// Console stands in for "php bin/console" on a node of a lab: it says what mosparo's console would do and does nothing.
// It returns the exit status.
func Console(args []string, stdout, stderr io.Writer) int {
	if len(args) < 2 || args[0] != "bin/console" {
		fmt.Fprintln(stderr, "the stand-in for PHP runs bin/console only")
		return 1
	}
	switch command := args[1]; {
	case command == "doctrine:migrations:migrate":
		fmt.Fprintln(stdout, "Already at the latest version (there is no database in the lab)")
	case command == "cache:warmup" || command == "cache:clear" || strings.HasPrefix(command, "mosparo:"):
		fmt.Fprintln(stdout, command+": done")
	default:
		fmt.Fprintf(stderr, "there is no command %q\n", command)
		return 1
	}
	return 0
}
