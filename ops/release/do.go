package release

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/filesync"
)

type stepFunc = func(ctx context.Context, report ops.Reporter) error

// doUpload brings the source into the staging folder. What is there already stays, and what the active release has too
// becomes a hard link to it.
func (b *builder) doUpload(n *NodeFacts) stepFunc {
	return func(ctx context.Context, report ops.Reporter) error {
		host, peer, err := b.m.reach(ctx, n)
		if err != nil {
			return err
		}
		want, err := b.m.tree(b.src, b.target, n.Node, n.Owner)
		if err != nil {
			return err
		}
		staging := stagingPath(n.Node, b.target.Digest)
		for _, dir := range []string{n.Node.Paths.Root, releasesPath(n.Node), staging} {
			if err := host.MkdirAll(ctx, dir, ops.Attr{Owner: n.Owner}); err != nil {
				return err
			}
		}
		have, err := peer.Scan(ctx, staging, filesync.ScanOptions{Hash: true})
		if err != nil {
			return err
		}
		o := filesync.Options{AllowOutside: true, Progress: func(done, total int64) { report.Progress(done, total, "bytes") }}
		if from, manifest := b.linkSource(ctx, host, n); manifest != nil {
			o.LinkFrom, o.LinkManifest = from, manifest
		}
		stats, err := filesync.Transfer(ctx, b.src.peer, b.src.root, peer, staging, differences(want, have, true), o)
		if err != nil {
			return err
		}
		if o.LinkManifest == nil {
			report.Outputf("%d files sent", stats.Files)
		} else {
			report.Outputf("%d files sent, %d the same as in %s", stats.Files, stats.Linked, n.Current)
		}
		return nil
	}
}

// linkSource is the release whose files may be linked to, with its manifest; nil if there is none to trust.
func (b *builder) linkSource(ctx context.Context, host ops.Host, n *NodeFacts) (string, *filesync.Manifest) {
	if _, ok := n.Active(); !ok {
		return "", nil
	}
	dir := releasePath(n.Node, n.Current)
	manifest, err := readManifest(ctx, host, dir)
	if err != nil {
		return "", nil // only costs time: everything is sent then
	}
	return dir, manifest
}

func readManifest(ctx context.Context, host ops.FileReader, dir string) (*filesync.Manifest, error) {
	r, err := host.Open(ctx, path.Join(dir, manifestName))
	if err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	defer r.Close()
	m, err := filesync.Parse(r)
	if err != nil {
		return nil, fmt.Errorf("read manifest of %s: %w", dir, err)
	}
	return m, nil
}

// doPublish verifies the uploaded tree on the node and gives it its name.
func (b *builder) doPublish(n *NodeFacts) stepFunc {
	return func(ctx context.Context, report ops.Reporter) error {
		host, peer, err := b.m.reach(ctx, n)
		if err != nil {
			return err
		}
		want, err := b.m.tree(b.src, b.target, n.Node, n.Owner)
		if err != nil {
			return err
		}
		staging := stagingPath(n.Node, b.target.Digest)
		wrong, err := compare(ctx, peer, staging, want)
		if err != nil {
			return err
		}
		if len(wrong) > 0 { // a file of the release before was changed behind our back, and we linked to it
			report.Warnf("not as sent, sending again: %s", describe(wrong))
			if _, err := filesync.Transfer(ctx, b.src.peer, b.src.root, peer, staging, wrong, filesync.Options{AllowOutside: true}); err != nil {
				return err
			}
			if wrong, err = compare(ctx, peer, staging, want); err != nil {
				return err
			}
			if len(wrong) > 0 {
				return ops.Errorf(ops.CodeFailed, "verify %s: %s", staging, describe(wrong)).WithHint("check the node's disk")
			}
		}
		if err := b.m.makeShared(ctx, host, n, b.src); err != nil {
			return err
		}
		if err := writeDescription(ctx, host, staging, b.target, want, n.Owner); err != nil {
			return err
		}
		if err := flush(ctx, host, staging); err != nil {
			return err
		}
		return host.Rename(ctx, staging, b.at(n, ""))
	}
}

// flush has the node write to its disk what was written so far, so that a power cut after the switch finds whole files. A
// node that has no such command, or runs none, is left to its file system.
func flush(ctx context.Context, host ops.Host, dir string) error {
	_, err := host.Run(ctx, ops.Command{Argv: []string{"sync", "-f", dir}})
	if ctx.Err() != nil || ops.CodeOf(err) == ops.CodeUnreachable {
		return err
	}
	return nil
}

// compare scans dir with all hashes and lists how it differs from want.
func compare(ctx context.Context, peer filesync.Peer, dir string, want *filesync.Manifest) ([]filesync.Op, error) {
	x, err := verifyExclude()
	if err != nil {
		return nil, err
	}
	have, err := peer.Scan(ctx, dir, filesync.ScanOptions{Hash: true, Exclude: x})
	if err != nil {
		return nil, fmt.Errorf("verify %s: %w", dir, err)
	}
	return differences(want, have, true), nil
}

// writeDescription writes the manifest and the info of a release, in this order: a folder with an info is complete.
func writeDescription(ctx context.Context, host ops.Host, dir string, info Info, m *filesync.Manifest, owner *ops.Owner) error {
	var manifest bytes.Buffer
	if err := m.Encode(&manifest); err != nil {
		return err
	}
	raw, err := info.encode()
	if err != nil {
		return err
	}
	attr := ops.Attr{Owner: owner}
	if err := host.WriteFile(ctx, path.Join(dir, manifestName), &manifest, attr); err != nil {
		return err
	}
	return host.WriteFile(ctx, path.Join(dir, infoName), bytes.NewReader(raw), attr)
}

// makeShared makes the folders that outlive releases.
func (m *Manager) makeShared(ctx context.Context, host ops.Host, n *NodeFacts, src *Source) error {
	var dirs []string
	for _, s := range m.sharedOf(n.Node, src.Kind) {
		if s.dir {
			dirs = append(dirs, n.Node.SharedPath(s.path))
		} else {
			dirs = append(dirs, path.Dir(n.Node.SharedPath(s.path)))
		}
	}
	for _, f := range src.folders {
		dirs = append(dirs, n.Node.SharedPath(f))
	}
	for _, d := range dirs {
		if err := host.MkdirAll(ctx, d, ops.Attr{Owner: n.Owner}); err != nil {
			return fmt.Errorf("make shared folder: %w", err)
		}
	}
	return nil
}

// doVerify verifies a stored release against its manifest. A deploy has the content at hand and repairs what was damaged,
// which it may, since the release is not active.
func (b *builder) doVerify(n *NodeFacts) stepFunc {
	return func(ctx context.Context, report ops.Reporter) error {
		host, peer, err := b.m.reach(ctx, n)
		if err != nil {
			return err
		}
		dir := b.at(n, "")
		want, err := readManifest(ctx, host, dir)
		if b.src != nil {
			want, err = b.m.tree(b.src, b.target, n.Node, n.Owner)
		}
		if err != nil {
			return err
		}
		wrong, err := compare(ctx, peer, dir, want)
		if err == nil && len(wrong) > 0 && b.src != nil {
			if err := b.spareData(n, wrong); err != nil {
				return err
			}
			report.Warnf("not as stored, sending again: %s", describe(wrong))
			if _, err := filesync.Transfer(ctx, b.src.peer, b.src.root, peer, dir, wrong, filesync.Options{AllowOutside: true}); err != nil {
				return err
			}
			if err := writeDescription(ctx, host, dir, b.target, want, n.Owner); err != nil {
				return err
			}
			wrong, err = compare(ctx, peer, dir, want)
		}
		if err == nil && len(wrong) > 0 {
			err = ops.Errorf(ops.CodeFailed, "release %s is not what was stored: %s", b.target.ID, describe(wrong)).
				WithHint("deploy the archive it came from (%s) again, with --downgrade if it is older", b.target.Source)
		}
		return err
	}
}

// spareData refuses repairs that would delete a file in the place of a link to a shared path: it may be the only one of its kind.
func (b *builder) spareData(n *NodeFacts, repairs []filesync.Op) error {
	for _, op := range repairs {
		if op.Old == nil || !op.Old.IsFile() {
			continue
		}
		for _, s := range b.m.sharedOf(n.Node, b.src.Kind) {
			if op.Path() == s.path || strings.HasPrefix(op.Path(), s.path+"/") {
				return ops.Errorf(ops.CodeFailed, "release %s holds %s itself, where a link to the shared path should be", b.target.ID, op.Path()).
					On(n.Node.Name).WithHint("move it to %s, or away", n.Node.SharedPath(op.Path()))
			}
		}
	}
	return nil
}

// doDrain leaves a note on the node and takes it out of rotation.
func (b *builder) doDrain(n *NodeFacts, states map[string]string) stepFunc {
	return func(ctx context.Context, _ ops.Reporter) error {
		host, err := b.m.deps.Hosts.Host(ctx, n.Node.Name)
		if err != nil {
			return err
		}
		if err := writeHold(ctx, host, n, Hold{Release: b.target.ID, Balancer: states, Replacing: n.Hold != nil && n.Hold.Replacing}); err != nil {
			return err
		}
		if len(n.Rotation) == 0 {
			return nil
		}
		return b.m.deps.Rotation.Drain(ctx, n.Node.Name)
	}
}

func writeHold(ctx context.Context, host ops.Host, n *NodeFacts, h Hold) error {
	raw, err := json.Marshal(h)
	if err != nil {
		return err
	}
	if err := host.MkdirAll(ctx, n.Node.ManagePath(""), ops.Attr{Mode: 0o700}); err != nil {
		return err
	}
	return host.WriteFile(ctx, n.Node.ManagePath(holdName), bytes.NewReader(append(raw, '\n')), ops.Attr{})
}

// doReady puts the node back into rotation and takes the note away.
func (b *builder) doReady(n *NodeFacts) stepFunc {
	return func(ctx context.Context, report ops.Reporter) error {
		host, err := b.m.deps.Hosts.Host(ctx, n.Node.Name)
		if err != nil {
			return err
		}
		if len(n.Rotation) > 0 {
			err := b.m.ready(ctx, n)
			if err != nil && b.isBack(ctx, n) {
				report.Warnf("%v. It will pass when mosparo's wizard has run: open it at the node's own address", err)
				err = nil
			}
			if err != nil {
				return err
			}
		}
		return removeHold(ctx, host, n)
	}
}

// isBack reports whether the balancers have taken n back, and only their own checks fail, as they do at an admin node that waits
// for mosparo's wizard.
func (b *builder) isBack(ctx context.Context, n *NodeFacts) bool {
	if b.target.Kind != KindMosparo || b.lead.Config.Installed {
		return false
	}
	before := n.Rotation
	if n.Hold != nil && n.Hold.Balancer != nil {
		before = n.Hold.Balancer
	}
	facts, err := b.m.deps.Rotation.Facts(ctx)
	return err == nil && !slices.ContainsFunc(facts, func(f ops.Fact) bool {
		return f.Node == n.Node.Name && before[strings.TrimPrefix(f.Path, "balancer ")] != f.Value
	})
}

// ready puts n back. What an earlier run has drained, this one found drained: the note says how it was before.
func (m *Manager) ready(ctx context.Context, n *NodeFacts) error {
	if n.Hold != nil {
		if undo := m.deps.Rotation.Undoers()[UndoReady]; undo != nil {
			return undo(ctx, ops.Undo{Kind: UndoReady, Node: n.Node.Name, Data: n.Hold.Balancer})
		}
	}
	return m.deps.Rotation.Ready(ctx, n.Node.Name)
}

func removeHold(ctx context.Context, host ops.Host, n *NodeFacts) error {
	err := host.Remove(ctx, n.Node.ManagePath(holdName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// doStayOut leaves the node out of rotation, and the note on it, for the deploy after mosparo's installation.
func (b *builder) doStayOut(n *NodeFacts) stepFunc {
	return func(_ context.Context, report ops.Reporter) error {
		report.Warnf("%s stays out of rotation: mosparo is not installed yet", n.Node.Name)
		return nil
	}
}

// doActivate switches to the release, then gives it its configuration, then makes PHP see both.
func (b *builder) doActivate(n *NodeFacts) stepFunc {
	return func(ctx context.Context, report ops.Reporter) error {
		host, err := b.m.deps.Hosts.Host(ctx, n.Node.Name)
		if err != nil {
			return err
		}
		if b.needsSwitch(n) && n.Node.Paths.Layout != inPlace {
			if err := switchTo(ctx, host, n, b.target.ID); err != nil {
				return err
			}
		}
		if b.configured() {
			if n == b.lead {
				err = finishConfig(ctx, host, n, b.target.Version, b.target.assets())
			} else {
				err = b.copyConfig(ctx, host, n)
			}
			if err != nil {
				return err
			}
		}
		return b.m.reload(ctx, host, n.Node, report)
	}
}

// switchTo makes current point to release id with one rename, and notes what was active before.
func switchTo(ctx context.Context, host ops.Host, n *NodeFacts, id string) error {
	if _, err := readInfo(ctx, host, releasePath(n.Node, id)); err != nil {
		return fmt.Errorf("switch to %s: %w", id, err)
	}
	if _, ok := n.Active(); ok && n.Current != id {
		note := strings.NewReader(n.Current + "\n")
		if err := host.WriteFile(ctx, n.Node.ManagePath(previousName), note, ops.Attr{}); err != nil {
			return err
		}
	}
	if err := host.Symlink(ctx, linkTarget(id), n.Node.InstallPath()); err != nil {
		return fmt.Errorf("switch to %s: %w", id, err)
	}
	return nil
}

func (b *builder) doHealth(n *NodeFacts) stepFunc {
	return func(ctx context.Context, report ops.Reporter) error {
		if err := b.m.deps.Gate.Healthy(ctx, n.Node, report); err != nil {
			return ops.Errorf(ops.CodeFailed, "mosparo is not healthy with release %s: %w", b.target.ID, err).
				WithHint("mosparoctl logs --nodes %s", n.Node.Name)
		}
		return nil
	}
}

// reach gives the host and the peer of n.
func (m *Manager) reach(ctx context.Context, n *NodeFacts) (ops.Host, filesync.Peer, error) {
	return m.deps.Peers.At(ctx, n.Node)
}
