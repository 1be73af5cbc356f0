// Command mosparoctl operates multi-node mosparo deployments. See docs/ for the user guide.
package main

import (
	"os"
)

// version is set by the release build.
var version = "dev"

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
