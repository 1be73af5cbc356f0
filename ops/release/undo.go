package release

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
)

// Undoers are the ways to take back what this package's steps begin. Each looks at the node first: what a later run has
// ended already is left alone.
func (m *Manager) Undoers() ops.Undoers {
	return ops.Undoers{undoStaging: m.removeStaging, undoSwitch: m.switchBack, undoReady: m.backIntoRotation, undoAdopt: m.undoAdoption}
}

// undoTarget finds the node an Undo concerns.
func (m *Manager) undoTarget(ctx context.Context, u ops.Undo) (*inventory.Node, ops.Host, error) {
	n := m.d.Node(u.Node)
	if n == nil {
		return nil, nil, ops.Errorf(ops.CodeInvalid, "the inventory has no node %q any more", u.Node)
	}
	host, err := m.deps.Hosts.Host(ctx, n.Name)
	return n, host, err
}

// removeStaging removes a half-uploaded release. The path comes from a journal: only our own kind of name is removed.
func (m *Manager) removeStaging(ctx context.Context, u ops.Undo) error {
	n, host, err := m.undoTarget(ctx, u)
	if err != nil {
		return err
	}
	p := path.Clean(u.Data["path"])
	if path.Dir(p) != path.Clean(releasesPath(n)) || !strings.HasPrefix(path.Base(p), ops.TempPrefix) {
		return fmt.Errorf("remove staging folder: %s is none", p)
	}
	return host.RemoveAll(ctx, p)
}

// switchBack brings a node back to the release it was on. It does so only while the node carries the note of the change
// that is taken back.
func (m *Manager) switchBack(ctx context.Context, u ops.Undo) error {
	n, host, err := m.undoTarget(ctx, u)
	if err != nil {
		return err
	}
	hold, err := readHold(ctx, host, n)
	if err != nil {
		return err
	}
	if hold == nil || hold.Release != u.Data["release"] || u.Data["from"] == "" || !ValidID(u.Data["from"]) {
		return nil
	}
	f, err := m.readNode(ctx, n)
	if err != nil {
		return err
	}
	if _, ok := f.Release(u.Data["from"]); !ok {
		return nil // removed or never ours: the node stays on what it has
	}
	// The configuration first: if the node is lost between the two, it is out of rotation anyway, and the next run ends it.
	if f.Config.Installed && u.Data["version"] != "" &&
		(f.Config.Version != u.Data["version"] || f.Config.Assets != u.Data["assets"]) {
		if err := finishConfig(ctx, host, f, u.Data["version"], u.Data["assets"]); err != nil {
			return err
		}
	}
	if f.Current == u.Data["release"] && u.Data["from"] != f.Current {
		if err := host.Symlink(ctx, linkTarget(u.Data["from"]), n.InstallPath()); err != nil {
			return fmt.Errorf("switch back to %s: %w", u.Data["from"], err)
		}
	}
	if err := m.restorePrevious(ctx, host, n, u.Data["previous"]); err != nil {
		return err
	}
	return m.reload(ctx, host, n, ops.NopReporter{})
}

func (m *Manager) restorePrevious(ctx context.Context, host ops.Host, n *inventory.Node, id string) error {
	name := n.ManagePath(previousName)
	if ValidID(id) {
		return host.WriteFile(ctx, name, strings.NewReader(id+"\n"), ops.Attr{})
	}
	if err := host.Remove(ctx, name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// backIntoRotation puts a node back that an operation has drained, unless its code and its configuration are of different
// versions: then any visitor could start mosparo's updater there.
func (m *Manager) backIntoRotation(ctx context.Context, u ops.Undo) error {
	n, host, err := m.undoTarget(ctx, u)
	if err != nil {
		return err
	}
	f, err := m.readNode(ctx, n)
	if err != nil || f.Hold == nil {
		return err
	}
	if err := f.coherent(); err != nil {
		return ops.NodeError(n.Name, "put back into rotation", err)
	}
	if m.deps.Rotation != nil && len(u.Data) > 0 {
		undo := m.deps.Rotation.Undoers()[UndoReady]
		if undo == nil {
			return fmt.Errorf("the balancer can't put %s back", n.Name)
		}
		if err := undo(ctx, ops.Undo{Kind: UndoReady, Node: n.Name, Data: u.Data}); err != nil {
			return err
		}
	}
	return removeHold(ctx, host, f)
}

// coherent returns an error where the code on the node and its configuration don't go together.
func (f *NodeFacts) coherent() error {
	active, ok := f.Active()
	switch {
	case f.Hold != nil && f.Hold.Replacing:
		return ops.Errorf(ops.CodeFailed, "its code is incomplete").WithHint("run the deploy again")
	case !ok || active.Kind != KindMosparo || !f.Config.Installed && f.Config.Hash == "":
		return nil // nothing of ours, or nothing to contradict it
	case f.Config.Installed && active.Version != f.Config.Version:
		return ops.Errorf(ops.CodeFailed, "its code is %s and its configuration %s, so it stays out", active.Version, f.Config.Version).
			WithHint("run the deploy again")
	}
	return nil
}
