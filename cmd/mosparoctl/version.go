package main

import (
	"fmt"
	"io"
	"runtime"

	"github.com/spf13/cobra"
)

func newVersion(a *app) *cobra.Command {
	return &cobra.Command{
		Use:         "version",
		Short:       "Print the version",
		Example:     "  mosparoctl version --output json",
		Annotations: exits(),
		Args:        cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			runVersion(a)
			return nil
		},
	}
}

// versionView is the version in JSON.
type versionView struct {
	Version  string `json:"version"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func runVersion(a *app) {
	v := versionView{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	a.printer.Result("version", v, func(w io.Writer) {
		fmt.Fprintf(w, "mosparoctl %s (%s, %s)\n", v.Version, v.Go, v.Platform)
	})
}
