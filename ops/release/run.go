package release

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
)

const inPlace = inventory.LayoutInPlace

// migrateCommand are the console arguments that bring the database to the state of the code.
func migrateCommand() []string {
	return []string{"doctrine:migrations:migrate", "--no-interaction", "--allow-no-migration"}
}

// doMigrate migrates the database with the new code, then compiles the cache again, since it may hold what was before.
func (b *builder) doMigrate(n *NodeFacts) stepFunc {
	return func(ctx context.Context, report ops.Reporter) error {
		host, err := b.m.deps.Hosts.Host(ctx, n.Node.Name)
		if err != nil {
			return err
		}
		if err := b.console(ctx, host, n, report, migrateCommand()...); err != nil {
			return ops.Errorf(ops.CodeFailed, "migrate the database: %w", err).
				WithHint("look at the output above; restore the backup of the database if a migration broke off halfway")
		}
		return b.doCache(n)(ctx, report)
	}
}

// doCache removes the compiled cache of the release, and compiles it anew where the inventory wants that.
func (b *builder) doCache(n *NodeFacts) stepFunc {
	return func(ctx context.Context, report ops.Reporter) error {
		host, err := b.m.deps.Hosts.Host(ctx, n.Node.Name)
		if err != nil {
			return err
		}
		if err := host.RemoveAll(ctx, b.at(n, cacheDir+"/prod")); err != nil {
			return fmt.Errorf("clear the compiled cache: %w", err)
		}
		if !b.warms() {
			return nil
		}
		if err := b.console(ctx, host, n, report, "cache:warmup", "--no-interaction"); err != nil {
			return ops.Errorf(ops.CodeFailed, "compile the cache: %w", err).WithHint("set release.warm: false if the application can't do it")
		}
		return nil
	}
}

// console runs mosparo's console of the target release, as the user PHP runs as.
func (b *builder) console(ctx context.Context, host ops.Host, n *NodeFacts, report ops.Reporter, args ...string) error {
	php := n.Node.PHP.Command
	if len(php) == 0 {
		php = []string{"php"}
	}
	argv := slices.Concat(php, []string{"bin/console"}, args)
	login := ops.Login{User: n.User, Root: n.Root}
	return run(ctx, host, ops.Command{Argv: login.As(cmp.Or(n.Node.PHP.User, n.Node.Owner.User), argv), Dir: b.at(n, "")}, report)
}

// reload makes PHP-FPM forget the code and the configuration it has compiled.
func (m *Manager) reload(ctx context.Context, host ops.Host, n *inventory.Node, report ops.Reporter) error {
	if len(n.PHP.Reload) == 0 {
		return nil
	}
	if err := run(ctx, host, ops.Command{Argv: n.PHP.Reload}, report); err != nil {
		return fmt.Errorf("reload PHP-FPM: %w", err)
	}
	return nil
}

// doHook runs one of the operator's own commands: in the folder of the release, before or after it is active.
func (b *builder) doHook(n *NodeFacts, when string, argv []string) stepFunc {
	return func(ctx context.Context, report ops.Reporter) error {
		host, err := b.m.deps.Hosts.Host(ctx, n.Node.Name)
		if err != nil {
			return err
		}
		dir := b.at(n, "")
		if _, err := host.Lstat(ctx, dir); err != nil {
			dir = path.Clean(n.Node.Paths.Root) // in place before the first deploy, or a node that was not selected
		}
		env := map[string]string{
			"MOSPAROCTL_OP": b.planned.Plan.Op, "MOSPAROCTL_HOOK": when, "MOSPAROCTL_NODE": n.Node.Name,
			"MOSPAROCTL_RELEASE": b.target.ID, "MOSPAROCTL_VERSION": b.target.Version, "MOSPAROCTL_PREVIOUS": n.Current,
			"MOSPAROCTL_ROOT": n.Node.Paths.Root, "MOSPAROCTL_PATH": dir,
		}
		if err := run(ctx, host, ops.Command{Argv: argv, Dir: dir, Env: env}, report); err != nil {
			return fmt.Errorf("hook %s: %w", when, err)
		}
		return nil
	}
}

// run runs a command and reports its output line by line.
func run(ctx context.Context, host ops.Host, c ops.Command, report ops.Reporter) error {
	out := &lines{report: report}
	c.Stdout, c.Stderr = out, out
	_, err := host.Run(ctx, c)
	out.flush()
	return err
}

// maxLine bounds what is kept of one line of output.
const maxLine = 2000

// lines reports each line written to it. Both streams of a command write to it, maybe at once.
type lines struct {
	report ops.Reporter
	mu     sync.Mutex
	buf    []byte
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf = append(l.buf, p...)
	for {
		line, rest, ok := bytes.Cut(l.buf, []byte("\n"))
		if !ok && len(l.buf) < maxLine {
			return len(p), nil
		}
		l.line(line)
		l.buf = rest
	}
}

func (l *lines) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.buf) > 0 {
		l.line(l.buf)
	}
	l.buf = nil
}

func (l *lines) line(b []byte) {
	if text := strings.TrimSpace(strings.ToValidUTF8(string(b[:min(len(b), maxLine)]), "?")); text != "" {
		l.report.Outputf("%s", text)
	}
}
