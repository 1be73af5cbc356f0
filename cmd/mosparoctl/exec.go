package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/mosparoctl/mosparoctl/cmd/internal/output"
	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/logs"
)

// execOptions are the flags of exec.
type execOptions struct {
	dir     string
	shell   bool
	login   bool
	timeout time.Duration
}

func newExec(a *app) *cobra.Command {
	var o execOptions
	cmd := &cobra.Command{
		Use:   "exec [flags] -- COMMAND [ARG]...",
		Short: "Run a command on nodes",
		Long: `exec runs a command on all nodes, or on those that --nodes, --role and --group choose, side by side, and prints each line of
output with the node's name in front. Where the inventory says become, it runs under sudo.

Arguments reach the command as they are: no shell reads them again. --shell gives them to sh as one script, for pipes and the like.
Secrets do not belong on a command line, which the nodes' process lists show.`,
		Example: `  mosparoctl exec -- uptime
  mosparoctl exec --role app --dir current -- php bin/console about
  mosparoctl exec --shell -- 'df -h / | tail -n 1'`,
		Annotations: exits(ops.CodePartial, ops.CodeInvalid, ops.CodeUnreachable),
		Args:        cobra.MinimumNArgs(1),
		RunE:        func(cmd *cobra.Command, args []string) error { return runExec(cmd.Context(), a, o, args) },
	}
	f := cmd.Flags()
	f.SetInterspersed(false)
	f.StringVar(&o.dir, "dir", "", "run in this `folder`; a relative one is below the node's root")
	f.BoolVar(&o.shell, "shell", false, "the arguments are a script for sh")
	f.BoolVar(&o.login, "as-login", false, "run as the login user even where the inventory says become")
	f.DurationVar(&o.timeout, "timeout", 0, "end the command after this `time`, such as 30s (default: no limit)")
	return cmd
}

func runExec(ctx context.Context, a *app, o execOptions, argv []string) error {
	s, err := a.open()
	if err != nil {
		return err
	}
	defer s.close()
	if o.shell {
		argv = []string{"sh", "-c", strings.Join(argv, " ")}
	}
	errs := s.forNodes(ctx, s.nodes, func(ctx context.Context, h ops.Host, n *inventory.Node) error {
		if o.timeout > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, o.timeout)
			defer cancel()
		}
		show := func(line string) {
			a.printer.Emit(ops.Event{Kind: ops.Output, Op: "exec", Node: n.Name, Message: output.Printable(line)})
		}
		out, errOut := &logs.Lines{Each: show}, &logs.Lines{Each: show}
		_, err := h.Run(ctx, ops.Command{Argv: argv, Dir: below(n, o.dir), Stdout: out, Stderr: errOut, AsLogin: o.login})
		out.Flush()
		errOut.Flush()
		return execError(err)
	})
	for i, err := range errs {
		if err != nil {
			a.printer.Emit(ops.Event{Kind: ops.Failed, Op: "exec", Node: s.nodes[i].Name, Error: nodeText(err, s.nodes[i].Name), Hint: ops.HintOf(err), Code: ops.CodeOf(err)})
		}
	}
	if ctx.Err() != nil {
		return &ops.Error{Code: ops.CodeInterrupted, Op: "exec", Err: errors.New("interrupted before all nodes were done")}
	}
	return partialError(errs)
}

// execError shortens what is printed beside the command's own output anyway.
func execError(err error) error {
	var exit *ops.ExitError
	if errors.As(err, &exit) {
		return ops.Errorf(ops.CodeFailed, "exit status %d", exit.Status)
	}
	return err
}

// nodeText is err without the node's name in front, which the printer puts there.
func nodeText(err error, node string) string { return strings.TrimPrefix(err.Error(), node+": ") }

// below is dir on the node: relative to its root.
func below(n *inventory.Node, dir string) string {
	if dir == "" || strings.HasPrefix(dir, "/") {
		return dir
	}
	return strings.TrimSuffix(n.Paths.Root, "/") + "/" + dir
}
