package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mosparoctl/mosparoctl/cmd/internal/output"
	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/exchange"
	"github.com/mosparoctl/mosparoctl/protection/server"
	"github.com/mosparoctl/mosparoctl/protection/sign"
	"github.com/mosparoctl/mosparoctl/protection/store"
	"github.com/mosparoctl/mosparoctl/protection/widget"
)

// maxFile bounds files that commands of the core read.
const maxFile = 512 << 20

func newProject(a *app) *cobra.Command {
	var o coreOptions
	cmd := &cobra.Command{
		Use:   "project",
		Short: "Manage the projects of the protection core",
		Long: `Projects are the protected websites or forms. These commands work on the database of serve, also while it runs and beside
PHP nodes: every node sees a change within five seconds. PROJECT is a name, a UUID or an id.`,
		Example: `  mosparoctl project create "Contact form" --host www.example.org
  mosparoctl project list --config-file config/env.mosparo.php
  mosparoctl project export "Contact form" > contact.json`,
		Annotations: exits(ops.CodeInvalid, ops.CodeUnreachable),
	}
	cmd.AddCommand(newProjectCreate(a, &o), newProjectList(a, &o), newProjectShow(a, &o), newProjectKeys(a, &o), newProjectDelete(a, &o),
		newProjectExport(a, &o), newProjectImport(a, &o))
	o.addFlags(cmd)
	return cmd
}

// withData is withStore for what makes no data: a mistyped folder must not become an empty installation.
func (o *coreOptions) withData(ctx context.Context, op string, f func(*store.Store) error) error {
	if o.configFile == "" {
		dir, err := o.dataFolder()
		if err != nil {
			return err
		}
		if _, err := os.Stat(filepath.Join(dir, server.ConfigFile)); errors.Is(err, fs.ErrNotExist) {
			return ops.Errorf(ops.CodeInvalid, "there are no data of a core in %s", dir).
				WithHint("give the server's --data-dir or --config-file; a new folder begins with: mosparoctl project create NAME --data-dir %s", dir)
		}
	}
	return o.withStore(ctx, op, f)
}

// withStore runs f on the opened database. A core that stands alone gets its data folder, if it has none.
func (o *coreOptions) withStore(ctx context.Context, op string, f func(*store.Store) error) error {
	s, err := o.openStore(ctx)
	if err != nil {
		return err
	}
	return errors.Join(asCommandError(op, f(s)), asCoreError("close database", s.Close()))
}

// asCommandError leaves errors alone that have their class already.
func asCommandError(op string, err error) error {
	var known *ops.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	return asCoreError(op, err)
}

// findProject finds a project by name, UUID or id.
func findProject(ctx context.Context, s *store.Store, ref string) (*protection.Project, error) {
	all, err := s.Projects(ctx)
	if err != nil {
		return nil, err
	}
	var found []*protection.Project
	for i := range all {
		p := &all[i]
		if p.UUID == ref || p.Name == ref || strconv.FormatInt(p.ID, 10) == ref {
			found = append(found, p)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return nil, ops.Errorf(ops.CodeFailed, "there is no project %q", ref).WithHint("mosparoctl project list")
	}
	return nil, ops.Errorf(ops.CodeUsage, "%d projects are called %q", len(found), ref).WithHint("use the id or UUID of one: mosparoctl project list")
}

// projectView is a project without its private key.
type projectView struct {
	ID        int64    `json:"id"`
	UUID      string   `json:"uuid"`
	Name      string   `json:"name"`
	Hosts     []string `json:"hosts"`
	PublicKey string   `json:"publicKey"`
	Active    bool     `json:"active"`
	SpamScore float64  `json:"spamScore"`
	Silent    bool     `json:"silentMode"`
	Debug     bool     `json:"apiDebugMode"`
	Metadata  bool     `json:"metadataAllowed"`
}

func viewProject(p *protection.Project) projectView {
	return projectView{p.ID, p.UUID, p.Name, p.Hosts, p.PublicKey, p.Active, p.SpamScore, p.SilentMode, p.APIDebugMode, p.MetadataAllowed}
}

type projectCreateOptions struct {
	hosts       []string
	description string
	spamScore   numberFlag
	silent      bool
}

func newProjectCreate(a *app, core *coreOptions) *cobra.Command {
	o := projectCreateOptions{spamScore: 5}
	cmd := &cobra.Command{
		Use:         "create NAME",
		Short:       "Make a project with new keys",
		Example:     "  mosparoctl project create \"Contact form\" --host www.example.org --host '*.example.com'",
		Annotations: exits(ops.CodeInvalid, ops.CodeUnreachable),
		Args:        cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runProjectCreate(cmd.Context(), a, core, args[0], o)
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&o.hosts, "host", nil, "a `host` whose pages may use the project; *.example.org means its subdomains, * any (can be repeated)")
	f.StringVar(&o.description, "description", "", "a `text` for whoever administers it")
	f.Var(&o.spamScore, "spam-score", "the `rating` from which on a submission is spam")
	f.BoolVar(&o.silent, "silent", false, "let spam pass the check and refuse it at verification only")
	return cmd
}

func runProjectCreate(ctx context.Context, a *app, core *coreOptions, name string, o projectCreateOptions) error {
	if strings.TrimSpace(name) == "" || o.spamScore <= 0 {
		return ops.Errorf(ops.CodeUsage, "a project needs a name, and a spam score above 0")
	}
	return core.withStore(ctx, "create project", func(s *store.Store) error {
		p := &protection.Project{UUID: protection.NewUUID(), Name: name, Description: o.description, Hosts: o.hosts, PublicKey: sign.NewToken(),
			PrivateKey: sign.NewToken(), Active: true, SpamScore: float64(o.spamScore), SilentMode: o.silent, StatisticStorageLimit: protection.Forever,
			Settings: widget.Settings(nil)}
		if err := s.CreateProject(ctx, p); err != nil {
			return err
		}
		printKeys(a, p)
		return nil
	})
}

// keysView is what a website needs to use a project.
type keysView struct {
	ID         int64  `json:"id"`
	Name       string `json:"name"`
	UUID       string `json:"uuid"`
	PublicKey  string `json:"publicKey"`
	PrivateKey string `json:"privateKey"`
}

func printKeys(a *app, p *protection.Project) {
	a.printer.Result("project", keysView{p.ID, p.Name, p.UUID, p.PublicKey, p.PrivateKey}, func(w io.Writer) {
		fmt.Fprintf(w, "id           %d\nname         %s\nuuid         %s\npublic key   %s\nprivate key  %s\n", p.ID, p.Name, p.UUID, p.PublicKey, p.PrivateKey)
	})
}

func newProjectList(a *app, core *coreOptions) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the projects", Args: cobra.NoArgs,
		Example:     "  mosparoctl project list --output json",
		Annotations: exits(ops.CodeInvalid, ops.CodeUnreachable),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return core.withData(cmd.Context(), "list projects", func(s *store.Store) error { return runProjectList(cmd.Context(), a, s) })
		},
	}
}

func runProjectList(ctx context.Context, a *app, s *store.Store) error {
	all, err := s.Projects(ctx)
	if err != nil {
		return err
	}
	t := output.Table{Header: []string{"ID", "NAME", "UUID", "HOSTS", "ACTIVE"}}
	views := []projectView{}
	for i := range all {
		p := &all[i]
		views = append(views, viewProject(p))
		t.Rows = append(t.Rows, []string{strconv.FormatInt(p.ID, 10), p.Name, p.UUID, strings.Join(p.Hosts, " "), yesNo(p.Active)})
	}
	a.printer.Table("projects", t, views)
	return nil
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// projectCommand is a command that works on one project.
func projectCommand(a *app, core *coreOptions, use, short, example string, run func(context.Context, *app, *store.Store, *protection.Project, []string) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Example: example, Annotations: exits(ops.CodeInvalid, ops.CodeUnreachable), Args: argsOf(use),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			return core.withData(ctx, cmd.Name(), func(s *store.Store) error {
				p, err := findProject(ctx, s, args[0])
				if err != nil {
					return err
				}
				return run(ctx, a, s, p, args[1:])
			})
		},
	}
}

// argsOf counts the arguments that a usage line names: words, [optional] words, and more of the last one (WORD...).
func argsOf(use string) cobra.PositionalArgs {
	least, most := 0, 0
	for _, w := range strings.Fields(use)[1:] {
		most++
		if !strings.HasPrefix(w, "[") {
			least++
		}
		if strings.Contains(w, "...") {
			return cobra.MinimumNArgs(least)
		}
	}
	return cobra.RangeArgs(least, most)
}

func newProjectShow(a *app, core *coreOptions) *cobra.Command {
	return projectCommand(a, core, "show PROJECT", "Show a project", "  mosparoctl project show \"Contact form\"",
		func(_ context.Context, a *app, _ *store.Store, p *protection.Project, _ []string) error {
			a.printer.Result("project", viewProject(p), func(w io.Writer) {
				fmt.Fprintf(w, "id               %d\nname             %s\nuuid             %s\nhosts            %s\npublic key       %s\nactive           %s\nspam score       %g\n"+
					"silent mode      %s\nAPI debug mode   %s\nmetadata         %s\n", p.ID, p.Name, p.UUID, strings.Join(p.Hosts, " "), p.PublicKey, yesNo(p.Active),
					p.SpamScore, yesNo(p.SilentMode), yesNo(p.APIDebugMode), yesNo(p.MetadataAllowed))
			})
			return nil
		})
}

func newProjectKeys(a *app, core *coreOptions) *cobra.Command {
	cmd := projectCommand(a, core, "keys PROJECT", "Show the keys of a project", "  mosparoctl project keys \"Contact form\"",
		func(_ context.Context, a *app, _ *store.Store, p *protection.Project, _ []string) error {
			printKeys(a, p)
			return nil
		})
	cmd.Long = "Shows what a website needs to use a project. The private key is a secret: whoever has it can verify submissions."
	return cmd
}

func newProjectDelete(a *app, core *coreOptions) *cobra.Command {
	var confirm string
	cmd := projectCommand(a, core, "delete PROJECT", "Delete a project with all its data", "  mosparoctl project delete 3 --confirm \"Contact form\"",
		func(ctx context.Context, a *app, s *store.Store, p *protection.Project, _ []string) error {
			switch {
			case confirm == "":
				if err := a.confirmTyped(fmt.Sprintf("Project %q is deleted with its rules, submissions and statistics. There is no way back.", p.Name), p.Name,
					fmt.Sprintf("--confirm %q", p.Name)); err != nil {
					return err
				}
			case confirm != p.Name:
				return ops.Errorf(ops.CodeConfirm, "the project is called %q, not %q", p.Name, confirm)
			}
			if err := s.DeleteProject(ctx, p.ID); err != nil {
				return err
			}
			a.printer.Emit(ops.Event{Kind: ops.Summary, Message: fmt.Sprintf("Deleted project %q.", p.Name)})
			return nil
		})
	cmd.Annotations = exits(ops.CodeInvalid, ops.CodeUnreachable, ops.CodeConfirm)
	cmd.Flags().StringVar(&confirm, "confirm", "", "the project's `name`, where there is no terminal to type it on")
	return cmd
}

func newProjectExport(a *app, core *coreOptions) *cobra.Command {
	cmd := projectCommand(a, core, "export PROJECT [FILE]", "Write a project in mosparo's format", "  mosparoctl project export \"Contact form\" contact.json",
		func(ctx context.Context, a *app, s *store.Store, p *protection.Project, args []string) error {
			text, err := exchange.Export(ctx, s, p, s.Now())
			if err != nil {
				return err
			}
			if len(args) == 0 {
				_, err := io.WriteString(a.stdout, text+"\n")
				return err
			}
			return os.WriteFile(args[0], []byte(text+"\n"), 0o600)
		})
	cmd.Long = "Writes design, security settings, guidelines, translations, rules and rule packages (without their contents). Keys and submissions are left out."
	return cmd
}

func newProjectImport(a *app, core *coreOptions) *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use:         "import FILE",
		Short:       "Make a new project of an exported one",
		Example:     "  mosparoctl project import contact.json --name \"Contact form 2\"",
		Annotations: exits(ops.CodeInvalid, ops.CodeUnreachable),
		Args:        cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runProjectImport(cmd.Context(), a, core, args[0], name)
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "`name` of the new project (default: that in the file)")
	return cmd
}

func runProjectImport(ctx context.Context, a *app, core *coreOptions, file, name string) error {
	text, err := readBounded(a, file)
	if err != nil {
		return err
	}
	parsed, err := exchange.Parse(text)
	if err != nil {
		return asCoreError("read "+file, err)
	}
	if name != "" {
		parsed.Project.Name = name
	}
	parsed.Project.UUID, parsed.Project.PublicKey, parsed.Project.PrivateKey = protection.NewUUID(), sign.NewToken(), sign.NewToken()
	return core.withStore(ctx, "import project", func(s *store.Store) error {
		if err := parsed.Create(ctx, s); err != nil {
			return err
		}
		printKeys(a, &parsed.Project)
		return nil
	})
}

// readBounded reads a file, or standard input for "-".
func readBounded(a *app, file string) (string, error) {
	r := a.stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return "", err
		}
		defer f.Close()
		r = f
	}
	data, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = ops.Errorf(ops.CodeInvalid, "%s is larger than %d MB", file, maxFile>>20)
	}
	return string(data), err
}
