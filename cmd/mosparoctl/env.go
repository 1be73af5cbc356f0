package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mosparoctl/mosparoctl/cmd/internal/output"
	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/envfile"
)

func newEnv(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "env",
		Short: "Look at, check and push the env files",
		Long: `Two files configure mosparo on a node. config/env.mosparo.php is rewritten by mosparo itself: the one of the admin
node counts. .env.local belongs to the operator: it is made of the env and cache settings of the inventory.
Secrets are masked everywhere; a short fingerprint shows whether two are the same.`,
		Example: `  mosparoctl env diff
  mosparoctl env push --dry-run`,
		Annotations: exits(),
		Args:        cobra.NoArgs,
		RunE:        func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newEnvShow(a), newEnvLint(a), newEnvDiff(a), newEnvPush(a))
	return cmd
}

// envOptions choose what diff and push work on.
type envOptions struct {
	only   string // "", "config" or "local"
	prune  bool
	dryRun bool
}

func (o *envOptions) addFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.only, "only", "", "one `file` only: config (env.mosparo.php) or local (.env.local)")
	cmd.Flags().BoolVar(&o.prune, "prune", false, "drop keys of a .env.local that mosparoctl did not write and the inventory does not have")
}

func (o envOptions) push(parallel int) (envfile.PushOptions, error) {
	if o.only != "" && o.only != "config" && o.only != "local" {
		return envfile.PushOptions{}, ops.Errorf(ops.CodeUsage, "--only is %q", o.only).WithHint("--only config or --only local")
	}
	return envfile.PushOptions{Parallel: parallel, SkipConfig: o.only == "local", SkipLocal: o.only == "config", Prune: o.prune}, nil
}

func newEnvShow(a *app) *cobra.Command {
	return &cobra.Command{
		Use:         "show",
		Short:       "Show what .env.local holds on each node by the inventory",
		Long:        `show works out .env.local for each node, with secret references resolved and masked. It connects to no node.`,
		Example:     `  mosparoctl env show --nodes app2`,
		Annotations: exits(ops.CodeInvalid),
		Args:        cobra.NoArgs,
		RunE:        func(cmd *cobra.Command, _ []string) error { return runEnvShow(cmd.Context(), a) },
	}
}

// envValue is one line of env show, in JSON.
type envValue struct {
	Node  string `json:"node"`
	Key   string `json:"key"`
	Value string `json:"value"`
}

func runEnvShow(ctx context.Context, a *app) error {
	s, err := a.open()
	if err != nil {
		return err
	}
	defer s.close()
	values := []envValue{}
	t := output.Table{Header: []string{"NODE", "KEY", "VALUE"}}
	for _, n := range s.nodes {
		d, err := a.desired(ctx, n)
		if err != nil {
			return err
		}
		keys := make([]string, 0, len(d.Values))
		for k := range d.Values {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		for _, k := range keys {
			v := envValue{n.Name, k, envfile.Masker{}.Value(k, d.Values[k], d.Secret[k])}
			values = append(values, v)
			t.Rows = append(t.Rows, []string{v.Node, v.Key, v.Value})
		}
	}
	a.printer.Table("env", t, values)
	return nil
}

// desired resolves the env values of n, and has their secrets masked in all output from then on.
func (a *app) desired(ctx context.Context, n *inventory.Node) (envfile.Desired, error) {
	d, err := envfile.Resolve(ctx, n)
	for _, secret := range envfile.Secrets(d.Values, d.Secret) {
		a.redactor.Add(secret)
	}
	return d, err
}

func newEnvLint(a *app) *cobra.Command {
	offline := false
	cmd := &cobra.Command{
		Use:   "lint [FILE]...",
		Short: "Find values that mosparo would silently misread",
		Long: `lint checks the env values of the inventory, and the env files on the nodes, for values that mosparo reads otherwise
than they look: "false" that counts as true, numbers out of range that are replaced in silence, blanks in allow lists,
names that have no effect. With files given it checks these: *.php as env.mosparo.php, anything else as .env file.`,
		Example: `  mosparoctl env lint
  mosparoctl env lint --offline
  mosparoctl env lint ./.env.local`,
		Annotations: exits(ops.CodeInvalid, ops.CodeUnreachable, ops.CodeFindings),
		RunE: func(cmd *cobra.Command, files []string) error {
			if len(files) > 0 {
				return runEnvLintFiles(a, files)
			}
			return runEnvLint(cmd.Context(), a, offline)
		},
	}
	cmd.Flags().BoolVar(&offline, "offline", false, "check the inventory only, connect to no node")
	return cmd
}

// lintFinding is a finding with its place, in JSON.
type lintFinding struct {
	Node string `json:"node,omitempty"`
	File string `json:"file"`
	envfile.Finding
}

func runEnvLintFiles(a *app, files []string) error {
	var all []lintFinding
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		found, err := lintContent(filepath.Ext(f) == ".php", b)
		if err != nil {
			return ops.Errorf(ops.CodeInvalid, "%s:%w", f, err)
		}
		for _, x := range found {
			all = append(all, lintFinding{File: f, Finding: x})
		}
	}
	return printFindings(a, all)
}

func lintContent(php bool, b []byte) ([]envfile.Finding, error) {
	if php {
		c, err := envfile.ParsePHP(b)
		if err != nil {
			return nil, err
		}
		return envfile.LintConfig(c), nil
	}
	vars, err := envfile.ParseDotenv(b, nil)
	if err != nil {
		return nil, err
	}
	return envfile.LintEnv(envfile.Values(vars)), nil
}

func runEnvLint(ctx context.Context, a *app, offline bool) error {
	s, err := a.open()
	if err != nil {
		return err
	}
	defer s.close()
	var all []lintFinding
	for _, n := range s.nodes {
		d, err := a.desired(ctx, n)
		if err != nil {
			return err
		}
		for _, f := range envfile.LintEnv(d.Values) {
			all = append(all, lintFinding{n.Name, "inventory", f})
		}
	}
	if !offline {
		states, err := eachNode(ctx, s, s.nodes, envfile.Read)
		if err != nil {
			return err
		}
		for _, n := range s.nodes {
			for _, f := range []envfile.File{states[n.Name].Config, states[n.Name].Local} {
				found := []envfile.Finding{{Severity: envfile.SeverityError, Key: "-", Reason: "the file is not there", Mend: "mosparoctl env push"}}
				if f.Exists || filepath.Base(f.Path) == envfile.LocalPath {
					if found, err = lintContent(strings.HasSuffix(f.Path, ".php"), f.Content); err != nil {
						found = []envfile.Finding{{Severity: envfile.SeverityError, Key: "-", Reason: err.Error(), Mend: "mend the file"}}
					}
				}
				for _, x := range found {
					all = append(all, lintFinding{n.Name, f.Path, x})
				}
			}
		}
	}
	return printFindings(a, all)
}

func printFindings(a *app, all []lintFinding) error {
	errs := 0
	a.printer.Result("findings", append([]lintFinding{}, all...), func(w io.Writer) {
		for _, f := range all {
			where := f.File
			if f.Node != "" {
				where = f.Node + ": " + where
			}
			fmt.Fprintf(w, "%s: %s: %s\n", f.Severity, where, f.Finding)
		}
		if len(all) == 0 {
			fmt.Fprintln(w, "nothing found")
		}
	})
	for _, f := range all {
		if f.Severity == envfile.SeverityError {
			errs++
		}
	}
	if errs > 0 {
		return ops.Errorf(ops.CodeFindings, "%s would be misread", count(errs, "value"))
	}
	return nil
}

func newEnvDiff(a *app) *cobra.Command {
	var o envOptions
	cmd := &cobra.Command{
		Use:   "diff",
		Short: "Show how the env files on the nodes differ from what they should be",
		Long:  `diff compares env.mosparo.php of each node with the admin node's, and .env.local with the inventory. Secrets are masked.`,
		Example: `  mosparoctl env diff
  mosparoctl env diff --only local --output json`,
		Annotations: exits(ops.CodeInvalid, ops.CodeUnreachable, ops.CodeFindings),
		Args:        cobra.NoArgs,
		RunE:        func(cmd *cobra.Command, _ []string) error { return runEnvDiff(cmd.Context(), a, o) },
	}
	o.addFlags(cmd)
	return cmd
}

func runEnvDiff(ctx context.Context, a *app, o envOptions) error {
	s, err := a.open()
	if err != nil {
		return err
	}
	defer s.close()
	o.prune = true // to compare is not to drop
	push, err := planEnv(ctx, s, o)
	if err != nil {
		return err
	}
	differ := 0
	for _, d := range push.Diffs {
		if len(d.Config)+len(d.Local) > 0 || d.ConfigForm {
			differ++
		}
	}
	a.printer.Result("env diff", push.Diffs, func(w io.Writer) {
		for _, d := range push.Diffs {
			printEnvDiff(w, s.deployment.Node(d.Node), d)
		}
		if differ == 0 {
			fmt.Fprintln(w, "no differences")
		}
	})
	if differ > 0 {
		return ops.Errorf(ops.CodeFindings, "env files differ on %s", count(differ, "node")).WithHint("mosparoctl env push")
	}
	return nil
}

func printEnvDiff(w io.Writer, n *inventory.Node, d envfile.NodeDiff) {
	for _, part := range []struct {
		path  string
		lines []envfile.Difference
	}{{n.SharedPath(envfile.LocalPath), d.Local}, {n.SharedPath(envfile.ConfigPath), d.Config}} {
		if len(part.lines) > 0 {
			fmt.Fprintf(w, "%s: %s\n  %s\n", d.Node, part.path, strings.ReplaceAll(envfile.Lines(part.lines), "\n", "\n  "))
		}
	}
	if d.ConfigForm {
		fmt.Fprintf(w, "%s: %s\n  same values, written in another form or order\n", d.Node, n.SharedPath(envfile.ConfigPath))
	}
}

// planEnv reads the admin node and the selected nodes and plans the push.
func planEnv(ctx context.Context, s *session, o envOptions) (*envfile.Push, error) {
	options, err := o.push(s.deployment.Parallel)
	if err != nil {
		return nil, err
	}
	admin := s.deployment.Admin()
	if admin == nil {
		return nil, ops.Errorf(ops.CodeInvalid, "the inventory has no admin node, whose env.mosparo.php counts")
	}
	read := slices.Clone(s.nodes)
	if !slices.Contains(read, admin) {
		read = append(read, admin)
	}
	states, err := eachNode(ctx, s, read, envfile.Read)
	if err != nil {
		return nil, err
	}
	for _, st := range states {
		if c, err := envfile.ParsePHP(st.Config.Content); err == nil {
			for _, secret := range envfile.ConfigSecrets(c) {
				s.app.redactor.Add(secret)
			}
		}
	}
	var targets []envfile.Target
	for _, n := range s.nodes {
		d, err := s.app.desired(ctx, n)
		if err != nil {
			return nil, err
		}
		targets = append(targets, envfile.Target{Node: n, State: states[n.Name], Desired: d})
	}
	push, err := envfile.PlanPush(states[admin.Name], targets, s.hosts, options)
	if err != nil {
		return nil, err
	}
	for _, n := range read {
		for _, w := range push.Warnings[n.Name] {
			s.app.printer.Emit(ops.Event{Kind: ops.Warning, Node: n.Name, Message: w.String()})
		}
	}
	return push, nil
}

func newEnvPush(a *app) *cobra.Command {
	var o envOptions
	cmd := &cobra.Command{
		Use:   "push",
		Short: "Bring the env files on the nodes to what they should be",
		Long: `push copies env.mosparo.php from the admin node to the others and writes .env.local from the inventory. Each file
appears whole, with the owner and mode it had. Then PHP-FPM is reloaded by the inventory's php.reload; without that, PHP-FPM is
asked whether it sees changed files by itself, and if not, nothing is changed and the node is named.
Values that mosparo would misread are refused before anything is changed.`,
		Example: `  mosparoctl env push --dry-run
  mosparoctl env push --nodes app2 --only local`,
		Annotations: exits(ops.CodePartial, ops.CodeInvalid, ops.CodeUnreachable, ops.CodeLocked, ops.CodeFindings, ops.CodeConfirm),
		Args:        cobra.NoArgs,
		RunE:        func(cmd *cobra.Command, _ []string) error { return runEnvPush(cmd.Context(), a, o) },
	}
	o.addFlags(cmd)
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "show what would change and change nothing; exit status 7 if there is something")
	return cmd
}

func runEnvPush(ctx context.Context, a *app, o envOptions) error {
	s, err := a.open()
	if err != nil {
		return err
	}
	defer s.close()
	push, err := planEnv(ctx, s, o)
	if err != nil {
		return err
	}
	if o.dryRun {
		return s.dryRun(push.Plan)
	}
	return s.apply(ctx, push.Plan, nil)
}
