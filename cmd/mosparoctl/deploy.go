package main

import (
	"context"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/release"
)

// sourceOptions say what to deploy; plan has them too.
type sourceOptions struct {
	fromNode, checksum string
	allowAny           bool
	exclude            []string
}

func (o *sourceOptions) addFlags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&o.fromNode, "from-node", "", "deploy the installation that runs on this `node`, after mosparo's own updater ran there")
	f.StringVar(&o.checksum, "checksum", "", "SHA-256 or SHA-512 of the archive in `hex` (default: from a file beside it, such as ARCHIVE.sha256)")
	f.BoolVar(&o.allowAny, "allow-any", false, "take a tree that does not look like mosparo: no migrations, no configuration")
	f.StringArrayVar(&o.exclude, "exclude", nil, "leave out what matches this `pattern` (as in .gitignore; repeatable)")
}

// spec is where the source is. The path is made absolute, since plans are carried out from other folders.
func (o *sourceOptions) spec(args []string) (release.SourceSpec, error) {
	s := release.SourceSpec{FromNode: o.fromNode, Checksum: o.checksum, AllowAny: o.allowAny, Exclude: o.exclude}
	switch {
	case o.fromNode == "" && len(args) == 0:
		return s, ops.Errorf(ops.CodeUsage, "there is nothing to deploy").WithHint("name a folder or an archive, or give --from-node NODE")
	case o.fromNode != "" && len(args) > 0:
		return s, ops.Errorf(ops.CodeUsage, "both %s and --from-node are given", args[0]).WithHint("give one of them")
	case len(args) == 0:
		return s, nil
	}
	abs, err := filepath.Abs(args[0])
	s.Path = abs
	return s, err
}

// releaseOptions change how a deploy or a rollback is done; plan has them too.
type releaseOptions struct {
	noMigrate, noHooks, downgrade, force bool
}

func (o *releaseOptions) addFlags(c *cobra.Command) {
	f := c.Flags()
	f.BoolVar(&o.noHooks, "no-hooks", false, "run no hooks of the inventory")
	f.BoolVar(&o.force, "force", false, "drain a node even if it is the last one that serves visitors")
}

func (o *releaseOptions) addDeployFlags(c *cobra.Command) {
	o.addFlags(c)
	f := c.Flags()
	f.BoolVar(&o.noMigrate, "no-migrate", false, "leave the database alone")
	f.BoolVar(&o.downgrade, "downgrade", false, "deploy an older version than the one that runs, without migrations")
}

func (o *releaseOptions) options(names []string) release.Options {
	return release.Options{Nodes: names, NoMigrate: o.noMigrate, NoHooks: o.noHooks, Downgrade: o.downgrade}
}

type deployOptions struct {
	source  sourceOptions
	release releaseOptions
	dryRun  bool
}

func (o *deployOptions) addFlags(c *cobra.Command) {
	o.source.addFlags(c)
	o.release.addDeployFlags(c)
	c.Flags().BoolVarP(&o.dryRun, "dry-run", "n", false, "show what would be done, with the content that would change, and change nothing")
}

func newDeploy(a *app) *cobra.Command {
	var o deployOptions
	c := &cobra.Command{
		Use:   "deploy [FOLDER | ARCHIVE]",
		Short: "Put a release of mosparo on all nodes",
		Long: `Put a release of mosparo on all nodes.

The release is uploaded to all nodes at once and verified there, which no visitor notices. Then the admin node is taken out
of rotation, the database is migrated once, the node is switched with one rename, checked and put back; the others follow,
wave by wave, each with its configuration after its code. Deploying the same content again changes nothing.

When a node fails, it goes back to the release it was on, nothing more is started, and it is said which node is on which
release. Running the command again goes on from there.`,
		Example: `  mosparoctl deploy mosparo-stable-1.5.4.zip
  mosparoctl deploy --dry-run ./build
  mosparoctl deploy --from-node admin      # after mosparo's own updater ran there`,
		Annotations: exits(ops.CodePartial, ops.CodeInvalid, ops.CodeUnreachable, ops.CodeLocked, ops.CodeFindings),
		Args:        cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runDeploy(cmd.Context(), a, o, args)
		},
	}
	o.addFlags(c)
	_ = c.RegisterFlagCompletionFunc("from-node", completeNodes(a))
	return c
}

func runDeploy(ctx context.Context, a *app, o deployOptions, args []string) error {
	spec, err := o.source.spec(args)
	if err != nil {
		return err
	}
	r, err := a.openReleasing(o.release.force)
	if err != nil {
		return err
	}
	defer r.close()
	plan := func(ctx context.Context) (*release.Planned, *release.Facts, *release.Source, error) {
		src, err := r.manager.OpenSource(ctx, spec)
		if err != nil {
			return nil, nil, nil, err
		}
		facts, err := r.facts(ctx)
		if err != nil {
			return nil, nil, src, err
		}
		p, err := r.manager.PlanDeploy(facts, src, o.release.options(r.names()))
		return p, facts, src, err
	}
	var src *release.Source
	defer func() { _ = src.Close() }()
	if !o.dryRun {
		return r.carryOut(ctx, release.OpDeploy, func(ctx context.Context) (p *release.Planned, err error) {
			p, _, src, err = plan(ctx)
			return p, err
		})
	}
	p, facts, src, err := plan(ctx)
	if err != nil {
		return err
	}
	previews, err := r.manager.Preview(ctx, facts, src)
	if err != nil {
		return err
	}
	return r.dryRunRelease(p, previews)
}

// completeReleases completes ids of releases on the admin node, which takes a connection to it.
func completeReleases(a *app) completion {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completionTimeout)
		defer cancel()
		s, err := a.open()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		defer s.close()
		facts, err := release.New(s.deployment, release.Deps{Hosts: s.hosts}).Read(ctx, firstNode(s))
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var ids []string
		for _, info := range facts.Nodes[0].Releases {
			ids = append(ids, info.ID)
		}
		return ids, cobra.ShellCompDirectiveNoFileComp
	}
}

// firstNode is the admin node, else the first one.
func firstNode(s *session) []*inventory.Node {
	if n := s.deployment.Admin(); n != nil {
		return []*inventory.Node{n}
	}
	return s.deployment.Nodes[:1]
}
