package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/mosparoctl/mosparoctl/ops"
)

type docsOptions struct {
	markdown, man, completions string
}

func (o *docsOptions) addFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.markdown, "markdown", "", "write a Markdown page of each command to this `folder`")
	cmd.Flags().StringVar(&o.man, "man", "", "write man pages to this `folder`")
	cmd.Flags().StringVar(&o.completions, "completions", "", "write shell completions to this `folder`")
}

// newDocs writes what is generated from the commands. It is for the build of releases.
func newDocs() *cobra.Command {
	var o docsOptions
	cmd := &cobra.Command{
		Use: "docs", Hidden: true, Args: cobra.NoArgs,
		Short: "Write documentation that is made from the commands themselves",
		RunE:  func(cmd *cobra.Command, _ []string) error { return runDocs(cmd.Root(), o) },
	}
	o.addFlags(cmd)
	return cmd
}

func runDocs(root *cobra.Command, o docsOptions) error {
	if o == (docsOptions{}) {
		return ops.Errorf(ops.CodeUsage, "nothing to write").WithHint("--markdown, --man or --completions")
	}
	root.DisableAutoGenTag = true
	withExitStatus(root)
	for _, dir := range []string{o.markdown, o.man, o.completions} {
		if dir == "" {
			continue
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if o.markdown != "" {
		if err := doc.GenMarkdownTree(root, o.markdown); err != nil {
			return fmt.Errorf("write Markdown: %w", err)
		}
	}
	if o.man != "" {
		// A fixed date: the same source gives the same package.
		date := time.Unix(0, 0).UTC()
		if err := doc.GenManTree(root, &doc.GenManHeader{Section: "1", Source: "mosparoctl", Date: &date}, o.man); err != nil {
			return fmt.Errorf("write man pages: %w", err)
		}
	}
	if o.completions != "" {
		return writeCompletions(root, o.completions)
	}
	return nil
}

// withExitStatus puts the "Exit status" section, which the help text has from its template, into the long description.
func withExitStatus(cmd *cobra.Command) {
	if s := cmd.Annotations[exitKey]; s != "" {
		if cmd.Long == "" {
			cmd.Long = cmd.Short + "."
		}
		cmd.Long += "\n\nExit status:\n\n" + indent(s)
	}
	for _, c := range cmd.Commands() {
		withExitStatus(c)
	}
}

// indent makes a block of code of s in Markdown.
func indent(s string) string { return "    " + strings.ReplaceAll(s, "\n", "\n    ") }

func writeCompletions(root *cobra.Command, dir string) error {
	for shell, write := range map[string]func(string) error{
		"bash": func(f string) error { return root.GenBashCompletionFileV2(f, true) },
		"zsh":  root.GenZshCompletionFile,
		"fish": func(f string) error { return root.GenFishCompletionFile(f, true) },
	} {
		if err := write(filepath.Join(dir, "mosparoctl."+shell)); err != nil {
			return fmt.Errorf("write completion for %s: %w", shell, err)
		}
	}
	return nil
}
