package release

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/filesync"
)

// replaceStep replaces the code of an installation in place. Each file is replaced atomically, the tree is not: while the
// step runs, and after it failed, the node holds a mixture. That is why the node is drained first and why nothing puts it
// back until a run has ended.
func (b *builder) replaceStep(n *NodeFacts) ops.Step {
	return ops.Step{ID: stepID(n, "replace"), Node: n.Node.Name, Title: "replace the code in place by " + b.target.ID,
		Changes: []ops.Change{{Path: n.Node.InstallPath(), Action: "update", Detail: b.size() + ", not atomic"}}, Do: b.doReplace(n)}
}

func (b *builder) doReplace(n *NodeFacts) stepFunc {
	return func(ctx context.Context, report ops.Reporter) error {
		host, peer, err := b.m.reach(ctx, n)
		if err != nil {
			return err
		}
		root := n.Node.InstallPath()
		if err := host.MkdirAll(ctx, root, ops.Attr{Owner: n.Owner}); err != nil {
			return err
		}
		hold, err := readHold(ctx, host, n.Node)
		if err != nil {
			return err
		}
		if hold == nil {
			hold = &Hold{Release: b.target.ID}
		}
		hold.Replacing = true
		if err := writeHold(ctx, host, n, *hold); err != nil {
			return err
		}
		// Without its info the installation counts as undeployed until all is done.
		if err := host.Remove(ctx, path.Join(root, infoName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		want := b.src.Manifest
		if n.Owner != nil {
			want = want.WithOwner(n.Owner.UID, n.Owner.GID)
		}
		todo, err := b.inPlaceDifferences(ctx, peer, root, want)
		if err != nil {
			return err
		}
		stats, err := filesync.Transfer(ctx, b.src.peer, b.src.root, peer, root, todo,
			filesync.Options{Progress: func(done, total int64) { report.Progress(done, total, "bytes") }})
		if err != nil {
			return err
		}
		report.Outputf("%d files sent, %d removed", stats.Files, stats.Deleted)
		if todo, err = b.inPlaceDifferences(ctx, peer, root, want); err != nil {
			return err
		}
		if len(todo) > 0 {
			return ops.Errorf(ops.CodeFailed, "verify %s: %s", root, describe(todo)).WithHint("check the node's disk")
		}
		if err := b.m.makeShared(ctx, host, n, b.src); err != nil {
			return err
		}
		if b.target.Kind == KindMosparo {
			if err := b.doCache(n)(ctx, report); err != nil {
				return err
			}
		}
		if err := writeDescription(ctx, host, root, b.target, want, n.Owner); err != nil {
			return err
		}
		hold.Replacing = false
		return writeHold(ctx, host, n, *hold)
	}
}

// inPlaceDifferences lists what makes the installation like want, without what is not ours to touch there.
func (b *builder) inPlaceDifferences(ctx context.Context, peer filesync.Peer, root string, want *filesync.Manifest) ([]filesync.Op, error) {
	x, err := filesync.NewExclude(slices.Concat(ownFiles(), anchored(sharedPaths(b.target.Kind, b.m.d.Release.Shared)))...)
	if err != nil {
		return nil, err
	}
	have, err := peer.Scan(ctx, root, filesync.ScanOptions{Hash: true, Exclude: x})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", root, err)
	}
	var todo []filesync.Op
	for _, op := range differences(want, have, true) {
		if op.Kind != filesync.OpDelete || !keptInPlace(op.Path()) {
			todo = append(todo, op)
		}
	}
	return todo, nil
}

// keptInPlace reports whether mosparo's own updater would leave p alone when the new release does not have it: dot files at
// the top, what operators put below public/, the folder var, and web.config.
func keptInPlace(p string) bool {
	top, rest, _ := strings.Cut(p, "/")
	if rest == "" && (strings.HasPrefix(top, ".") || top == "web.config" || top == "var" || top == "public") {
		return true
	}
	second, _, _ := strings.Cut(rest, "/")
	return top == "var" || strings.HasPrefix(top, ".") || top == "public" && second != "build" && second != "bundles"
}
