package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/mosparoctl/mosparoctl/cmd/internal/output"
	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/php"
	"github.com/mosparoctl/mosparoctl/protection/rulepackage"
	"github.com/mosparoctl/mosparoctl/protection/store"
)

func newPackage(a *app) *cobra.Command {
	var o coreOptions
	cmd := &cobra.Command{
		Use:   "package",
		Short: "Manage and refresh rule packages",
		Long: `Rule packages are sets of rules that somebody else maintains, fetched from a URL or a file on this machine. PROJECT is a
name, a UUID or an id; PACKAGE is an id from "package list".`,
		Example: `  mosparoctl package add "Contact form" Feed https://rules.example.org/spam.json
  mosparoctl package refresh`,
		Annotations: exits(ops.CodeInvalid, ops.CodeUnreachable),
	}
	cmd.AddCommand(newPackageAdd(a, &o), newPackageList(a, &o), newPackageRefresh(a, &o), newPackageImport(a, &o), newPackageDelete(a, &o))
	o.addFlags(cmd)
	return cmd
}

func newPackageAdd(a *app, core *coreOptions) *cobra.Command {
	factor := numberFlag(1)
	cmd := projectCommand(a, core, "add PROJECT NAME [SOURCE]", "Add a rule package", "  mosparoctl package add 1 Feed https://rules.example.org/spam.json\n  mosparoctl package add 1 Ours # filled by the API",
		func(ctx context.Context, a *app, s *store.Store, p *protection.Project, args []string) error {
			k := &protection.RulePackage{ProjectID: p.ID, UUID: protection.NewUUID(), Name: args[0], Type: protection.PackageAPI, Active: true}
			if len(args) > 1 {
				k.Source, k.Type = args[1], protection.PackageURL
				if args[1] != "" && args[1][0] == '/' {
					k.Type = protection.PackageFile
				}
			}
			if factor != 1 {
				k.Factor = protection.NewFactor(float64(factor))
			}
			if err := s.SavePackage(ctx, k); err != nil {
				return err
			}
			a.printer.Emit(ops.Event{Kind: ops.Summary, Message: fmt.Sprintf("Added rule package %d %q.", k.ID, k.Name)})
			return nil
		})
	cmd.Long = "Adds a rule package. SOURCE is a URL or an absolute path; its hash lies beside it, with .sha256 at the end. Without SOURCE the API fills it."
	cmd.Flags().Var(&factor, "factor", "`number` that all ratings of the package are multiplied by")
	return cmd
}

// packageView is a rule package in lists.
type packageView struct {
	ID        int64   `json:"id"`
	UUID      string  `json:"uuid"`
	Name      string  `json:"name"`
	Source    string  `json:"source"`
	Type      int     `json:"type"`
	Active    bool    `json:"active"`
	Factor    float64 `json:"factor"`
	Refreshed string  `json:"refreshedAt"` // empty: never
	Rules     int64   `json:"rules"`       // -1: not counted
}

func newPackageList(a *app, core *coreOptions) *cobra.Command {
	return projectCommand(a, core, "list PROJECT", "List the rule packages of a project", "  mosparoctl package list \"Contact form\"",
		func(ctx context.Context, a *app, s *store.Store, p *protection.Project, _ []string) error {
			all, err := s.Packages(ctx, p.ID)
			if err != nil {
				return err
			}
			t, views := output.Table{Header: []string{"ID", "NAME", "SOURCE", "ACTIVE", "FACTOR", "REFRESHED"}}, []packageView{}
			for i := range all {
				k := &all[i]
				v := packageView{ID: k.ID, UUID: k.UUID, Name: k.Name, Source: k.Source, Type: int(k.Type), Active: k.Active, Factor: k.EffectiveFactor(), Rules: -1}
				if k.Cache != nil {
					v.Refreshed, v.Rules = k.Cache.RefreshedAt.Format("2006-01-02 15:04:05"), k.Cache.NumberOfRules
				}
				views = append(views, v)
				t.Rows = append(t.Rows, []string{strconv.FormatInt(v.ID, 10), v.Name, v.Source, yesNo(v.Active), php.FormatFloat(v.Factor), v.Refreshed})
			}
			a.printer.Table("packages", t, views)
			return nil
		})
}

// findPackage is the package with an id as text.
func findPackage(ctx context.Context, s *store.Store, p *protection.Project, ref string) (*protection.RulePackage, error) {
	id, err := strconv.ParseInt(ref, 10, 64)
	if err != nil {
		return nil, ops.Errorf(ops.CodeUsage, "%q is no id of a rule package", ref).WithHint("mosparoctl package list %q", p.Name)
	}
	return s.Package(ctx, p.ID, id)
}

// refreshView is the outcome of one refresh.
type refreshView struct {
	Project string `json:"project"`
	Package string `json:"package"`
	Outcome string `json:"outcome"`
	Error   string `json:"error,omitempty"`
}

func newPackageRefresh(a *app, core *coreOptions) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "refresh [PROJECT]",
		Short: "Fetch and import the packages that are due",
		Long: `Fetches the packages of all projects, or of one, whose refresh interval has passed, and imports what changed. A package
that fails stops none of the others. Private networks are asked only with MOSPARO_RULE_PACKAGE_ALLOW_PRIVATE_NETWORKS=1,
this machine never. Run it on one node, by cron or a timer.`,
		Example:     "  mosparoctl package refresh\n  mosparoctl package refresh \"Contact form\" --force",
		Annotations: exits(ops.CodePartial, ops.CodeInvalid, ops.CodeUnreachable),
		Args:        cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return core.withData(cmd.Context(), "refresh rule packages", func(s *store.Store) error {
				return runPackageRefresh(cmd.Context(), a, core, s, args, force)
			})
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "fetch also what is not due yet")
	return cmd
}

func runPackageRefresh(ctx context.Context, a *app, core *coreOptions, s *store.Store, args []string, force bool) error {
	_, c, err := core.options()
	if err != nil {
		return err
	}
	projects, err := s.Projects(ctx)
	if err != nil {
		return err
	}
	if len(args) == 1 {
		p, err := findProject(ctx, s, args[0])
		if err != nil {
			return err
		}
		projects = []protection.Project{*p}
	}
	f := &rulepackage.Fetcher{AllowPrivate: c.PackagesFromPrivate, Redirects: c.PackageRedirects}
	t, views := output.Table{Header: []string{"PROJECT", "PACKAGE", "OUTCOME"}}, []refreshView{}
	var failed []error
	for i := range projects {
		packages, err := s.Packages(ctx, projects[i].ID)
		if err != nil {
			return err
		}
		for j := range packages {
			if k := &packages[j]; k.Active && ctx.Err() == nil {
				v := refreshView{Project: projects[i].Name, Package: k.Name}
				outcome, err := f.Refresh(ctx, s, &projects[i], k, force)
				if v.Outcome = string(outcome); err != nil {
					v.Outcome, v.Error = "failed", err.Error()
					failed = append(failed, err)
				}
				views = append(views, v)
				t.Rows = append(t.Rows, []string{v.Project, v.Package, v.Outcome})
			}
		}
	}
	a.printer.Table("refresh", t, views)
	switch {
	case len(failed) == 0:
		return ctx.Err()
	case len(failed) < len(views):
		return &ops.Error{Code: ops.CodePartial, Err: fmt.Errorf("%d of %s failed: %w", len(failed), count(len(views), "package"), errors.Join(failed...))}
	}
	return errors.Join(failed...)
}

func newPackageImport(a *app, core *coreOptions) *cobra.Command {
	return projectCommand(a, core, "import PROJECT PACKAGE FILE", "Import the content of a package from a file", "  mosparoctl package import \"Contact form\" 2 rules.json",
		func(ctx context.Context, a *app, s *store.Store, p *protection.Project, args []string) error {
			k, err := findPackage(ctx, s, p, args[0])
			if err != nil {
				return err
			}
			text, err := readBounded(a, args[1])
			if err != nil {
				return err
			}
			content, err := rulepackage.Parse([]byte(text), s.Location())
			if err != nil {
				return err
			}
			changed, err := s.ImportPackage(ctx, k, content)
			if err != nil {
				return err
			}
			message := fmt.Sprintf("Imported %s into %q.", count(len(content.Rules), "rule"), k.Name)
			if !changed {
				message = fmt.Sprintf("%q is up to date.", k.Name)
			}
			a.printer.Emit(ops.Event{Kind: ops.Summary, Message: message})
			return nil
		})
}

func newPackageDelete(a *app, core *coreOptions) *cobra.Command {
	return projectCommand(a, core, "delete PROJECT PACKAGE", "Delete a rule package with everything imported", "  mosparoctl package delete \"Contact form\" 2 --yes",
		func(ctx context.Context, a *app, s *store.Store, p *protection.Project, args []string) error {
			k, err := findPackage(ctx, s, p, args[0])
			if err != nil {
				return err
			}
			if err := a.confirm(fmt.Sprintf("Delete rule package %q?", k.Name)); err != nil {
				return err
			}
			return s.DeletePackage(ctx, p.ID, k.ID)
		})
}
