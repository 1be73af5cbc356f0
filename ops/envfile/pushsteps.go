package envfile

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io/fs"
	"path"
	"strings"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
)

// pendingFile, in the folder mosparoctl keeps on a node, says what is to be done before PHP uses files already written. It
// is there from before the first write until after the last step, so that a push that was cut off is finished by the next.
const pendingFile = "env-pending"

// What pendingFile holds.
const (
	pendingReload = "reload"
	pendingCache  = "cache" // clear mosparo's cache, then reload
)

// write is one file to be written.
type write struct {
	target  Target
	file    File // as it was read
	content []byte
	detail  string // secrets masked
	pending string // what must follow, "" if nothing
}

func (w *write) step(conn ops.Connector) ops.Step {
	action := "update"
	if !w.file.Exists {
		action = "create"
	}
	name := w.target.Node.Name
	return ops.Step{
		ID: "env:" + name + ":" + w.file.Path, Node: name, Title: action + " " + w.file.Path,
		Changes: []ops.Change{{Path: w.file.Path, Action: action, Detail: w.detail}},
		Do: func(ctx context.Context, _ ops.Reporter) error {
			h, err := conn.Host(ctx, name)
			if err != nil {
				return err
			}
			return w.do(ctx, h)
		},
	}
}

func (w *write) do(ctx context.Context, h ops.Host) error {
	now, err := ReadFile(ctx, h, w.file.Path)
	if err != nil {
		return err
	}
	if now.Exists && bytes.Equal(now.Content, w.content) {
		return ops.ErrNothingToDo
	}
	if now.Exists != w.file.Exists || !bytes.Equal(now.Content, w.file.Content) {
		return ops.Errorf(ops.CodeLocked, "%s changed since it was read", w.file.Path).On(h.Name()).WithHint("push again")
	}
	if w.pending != "" {
		mark := w.target.Node.ManagePath(pendingFile)
		if err := h.MkdirAll(ctx, path.Dir(mark), ops.Attr{Mode: 0o700}); err != nil {
			return err
		}
		if err := h.WriteFile(ctx, mark, strings.NewReader(w.pending+"\n"), ops.Attr{Mode: 0o600}); err != nil {
			return err
		}
	}
	return h.WriteFile(ctx, w.file.Path, bytes.NewReader(w.content), newAttr(w.target.State, w.file))
}

// newAttr is the mode and owner of a written file: those it has; for a new one those of env.mosparo.php beside it, which
// the same PHP reads and which is as secret; else the owner the inventory names, or the folder's.
func newAttr(s *NodeState, f File) ops.Attr {
	for _, like := range []File{f, s.Config} {
		if like.Exists {
			return ops.Attr{Mode: like.Info.Mode.Perm(), Owner: &ops.Owner{UID: like.Info.UID, GID: like.Info.GID}}
		}
	}
	if s.NewFile != nil {
		return ops.Attr{Mode: 0o640, Owner: s.NewFile}
	}
	attr := ops.Attr{Mode: 0o640}
	if f.Parent.Mode.Type() == fs.ModeDir {
		attr.Owner = &ops.Owner{UID: f.Parent.UID, GID: f.Parent.GID}
	}
	return attr
}

// effective makes the steps after which PHP uses the new files, or refuses where there is none.
func (p *pusher) effective(t Target, pending string) ([]ops.Step, error) {
	if pending == "" {
		return nil, nil
	}
	name := t.Node.Name
	var commands []ops.Step
	if pending == pendingCache {
		commands = append(commands, p.command(t, "cache", "clear mosparo's cache", consoleArgv(t, "cache:clear", "--no-interaction"), len(t.Node.PHP.Reload) == 0))
	}
	if len(t.Node.PHP.Reload) == 0 {
		p.push.Plan.Facts = append(p.push.Plan.Facts, ops.Fact{Node: name, Path: "opcache", Value: t.State.OPcache.String()})
		switch t.State.OPcache {
		case OPcacheOff, OPcacheValidates:
			return commands, nil
		case OPcacheFixed:
			return nil, ops.Errorf(ops.CodeInvalid, "OPcache never looks at changed files here (opcache.validate_timestamps=0), and the inventory has no reload command").
				On(name).WithHint("set php.reload for %s in the inventory, e.g. [systemctl, reload, php8.2-fpm]", name)
		default:
			return nil, ops.Errorf(ops.CodeInvalid, "no PHP-FPM was found to ask whether OPcache sees changed files, and the inventory has no reload command").
				On(name).WithHint("set php.reload for %s in the inventory, e.g. [systemctl, reload, php8.2-fpm]", name)
		}
	}
	return append(commands, p.command(t, "reload", "reload PHP-FPM", t.Node.PHP.Reload, true)), nil
}

// consoleUser is who runs mosparo's console on n; "" is whoever we are there.
func consoleUser(n *inventory.Node) string { return cmp.Or(n.PHP.User, n.Owner.User) }

// consoleArgv runs mosparo's console.
func consoleArgv(t Target, args ...string) []string {
	argv := append([]string{}, t.Node.PHP.Command...)
	if len(argv) == 0 {
		argv = []string{"php"}
	}
	argv = append(append(argv, path.Join(t.Node.InstallPath(), "bin/console")), args...)
	return t.State.Login.As(consoleUser(t.Node), argv)
}

// command makes the step that runs argv; the last one takes the pending mark away.
func (p *pusher) command(t Target, id, title string, argv []string, last bool) ops.Step {
	name := t.Node.Name
	return ops.Step{
		ID: "env:" + name + ":" + id, Node: name, Title: title,
		Changes: []ops.Change{{Path: strings.Join(argv, " "), Action: "run"}},
		Do: func(ctx context.Context, _ ops.Reporter) error {
			h, err := p.conn.Host(ctx, name)
			if err != nil {
				return err
			}
			if _, err := h.Run(ctx, ops.Command{Argv: argv}); err != nil {
				return ops.Errorf(ops.CodeOf(err), "the new files are in place but not yet used: %w", err).On(name).
					WithHint("mosparoctl env push --nodes %s", name)
			}
			if !last {
				return nil
			}
			if err := h.Remove(ctx, t.Node.ManagePath(pendingFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			return nil
		},
	}
}
