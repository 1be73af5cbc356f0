package health

import (
	"context"
	"errors"
	"io/fs"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops/release"
)

// releaseComplete looks at what current leads to.
func releaseComplete() Check {
	return question[release.Info]{
		Info: Info{
			Name: "files-release", Family: FamilyFiles,
			Title: "Does every node run the same complete release?",
			Why:   "Nodes on different releases answer differently, and old code may fail on the new database.",
			Mend:  deployHint,
		},
		nodes: func(n *inventory.Node) bool { return n.Paths.Root != "" },
		ask: func(ctx context.Context, n *node) (release.Info, error) {
			if _, err := n.stat(ctx, n.InstallPath()+"/."); errors.Is(err, fs.ErrNotExist) {
				return release.Info{}, failf(n.deployMend(), "%s leads nowhere: there is no release", n.InstallPath())
			} else if err != nil {
				return release.Info{}, err
			}
			r, err := n.releaseOf(ctx)
			if err != nil || r.ID == "" {
				return r, err
			}
			if info, err := n.stat(ctx, n.file(manifestFile)); err != nil || info.Size == 0 {
				return r, failf(n.deployMend(), "release %s has no manifest: it was not completed", r.ID)
			}
			return r, nil
		},
		judge: func(_ context.Context, v *verdicts, answers []answer[release.Info]) {
			differ := compare(v, answers, Fail, func(ref *node) string { return deployFrom(ref.Node) },
				func(r release.Info) string { return r.Digest },
				func(r release.Info) string {
					if r.ID == "" {
						return "an installation that was not deployed by mosparoctl"
					}
					return "release " + r.ID
				})
			if len(differ) == 0 && answers[0].value.ID != "" {
				v.allOK("all %d nodes run release %s", len(answers), answers[0].value.ID)
			}
		},
	}
}

// versions of one node.
type versions struct{ code, installed string }

// codeVersion compares the version in the code, that in the configuration, and the nodes with each other.
func codeVersion() Check {
	return question[versions]{
		Info: Info{
			Name: "files-version", Family: FamilyFiles,
			Title: "Is the installed version that of the code, and the same everywhere?",
			Why: "Where they differ, mosparo sends every page to its public updater: any visitor can start the migrations there, " +
				"and the health check still answers 200.",
			Mend: syncHint,
		},
		ask: func(ctx context.Context, n *node) (versions, error) {
			if err := n.mosparo(ctx); err != nil {
				return versions{}, err
			}
			code, err := release.KernelVersion(ctx, n.host, n.file("src/Kernel.php"))
			if errors.Is(err, fs.ErrNotExist) {
				return versions{}, failf(n.deployMend(), "%s is missing: mosparo's code is not complete", n.file("src/Kernel.php"))
			}
			if err != nil {
				return versions{}, err
			}
			c, err := n.configuration(ctx)
			if err != nil {
				return versions{}, err
			}
			return versions{code: code, installed: c.Text("mosparo_installed_version")}, nil
		},
		judge: func(_ context.Context, v *verdicts, answers []answer[versions]) {
			ref := reference(answers, func(x versions) string { return x.code })
			for _, a := range answers {
				x := a.value
				switch {
				case x.installed == "":
					v.fail(a.node, syncHint+" --nodes "+a.node.Name, "the configuration names no installed version (code %s): mosparo is not set up", x.code)
				case x.installed != x.code:
					v.fail(a.node, "mosparoctl drain "+a.node.Name, "code %s, but the configuration says %s: the update was not finished", x.code, x.installed)
				case x.code != ref.value.code:
					v.fail(a.node, deployFrom(ref.node.Node), "version %s, %s has %s", x.code, ref.node.Name, ref.value.code)
				default:
					v.ok(a.node, "version %s", x.code)
				}
			}
			v.allOK("version %s on all %d nodes", ref.value.code, len(answers))
		},
	}
}
