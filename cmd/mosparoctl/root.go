package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/mosparoctl/mosparoctl/cmd/internal/output"
	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
)

// commands lists every command. One line each, so that two changes don't meet.
func commands(a *app) []*cobra.Command {
	return []*cobra.Command{
		newAdopt(a),
		newApply(a),
		newBalancer(a),
		newCheck(a),
		newDrain(a),
		newReady(a),
		newDeploy(a),
		newPlan(a),
		newPrune(a),
		newRecover(a),
		newReleases(a),
		newRollback(a),
		newUnlock(a),
		newCron(a),
		newEnv(a),
		newExec(a),
		newHosts(a),
		newLogs(a),
		newSSH(a),
		newInit(a),
		newInventory(a),
		newSync(a),
		newServe(a),
		newStats(a),
		newSubmissions(a),
		newDesign(a),
		newSecurity(a),
		newRule(a),
		newProject(a),
		newPackage(a),
		newTUI(a),
		newVersion(a),
		newDemo(a),
		newLabConsole(a),
		newDocs(),
	}
}

// run is the whole program with its streams, and returns the exit status.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := newApp(stdin, stdout, stderr)
	ctx, stop := a.interrupts()
	defer stop()
	root := newRoot(a)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil && a.printer == nil {
		// The command line was wrong, so no command has started its output, and the flags behind the mistake were not read.
		if wantsJSON(args) {
			a.flags.output = string(output.JSON)
		}
		a.start(strings.TrimPrefix(cmd.CommandPath(), root.Name()+" "))
	}
	return a.end(a.interruptedError(ctx, asUserError(cmd, err)))
}

// interruptedError is err, or what it is called where an interrupt broke the command off: its nodes then seem to fail.
func (a *app) interruptedError(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil || ops.CodeOf(err) == ops.CodeInterrupted {
		return err
	}
	if errors.Is(err, context.Canceled) {
		return ops.Errorf(ops.CodeInterrupted, "interrupted")
	}
	return ops.Errorf(ops.CodeInterrupted, "interrupted: %w", err)
}

// wantsJSON looks for --output json in a command line that could not be read.
func wantsJSON(args []string) bool {
	line := strings.ReplaceAll(" "+strings.Join(args, " ")+" ", "=", " ")
	return strings.Contains(line, " --output json ") || strings.Contains(line, " -o json ") || strings.Contains(line, " -ojson ")
}

func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "mosparoctl",
		Short: "Operate multi-node mosparo deployments",
		Long: `mosparoctl deploys, syncs, schedules, checks and serves mosparo on several nodes.

It reads an inventory (mosparo.yaml), reaches the nodes over SSH and changes them by plans that can be looked at first.`,
		Example: `  mosparoctl init                      # write a first inventory
  mosparoctl deploy mosparo-1.5.4.zip  # put a release on all nodes
  mosparoctl check                     # find what is silently wrong`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       version,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if a.opensTUI() {
				return runTUI(cmd.Context(), a, tuiOptions{})
			}
			return cmd.Help()
		},
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.HasParent() && !a.opensTUI() {
				return nil // help alone
			}
			return a.prepare(strings.TrimPrefix(cmd.CommandPath(), "mosparoctl "))
		},
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &ops.Error{Code: ops.CodeUsage, Err: err, Hint: cmd.CommandPath() + " --help"}
	})
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	a.flags.add(root)
	root.AddCommand(commands(a)...)
	completeFlags(a, root)
	root.SetUsageTemplate(root.UsageTemplate() + exitTemplate)
	return root
}

// interrupts makes the context of the program. The first SIGINT or SIGTERM closes a.stop, which lets running steps end and
// undoes what is half done; the second ends the program at once.
func (a *app) interrupts() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		select {
		case <-signals:
		case <-done:
			return
		}
		a.interrupt(cancel)
		select {
		case <-signals:
			a.exit(ops.CodeInterrupted.ExitStatus())
		case <-done:
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		cancel()
	}
}

// asUserError gives err the class and the hint a person needs. Cobra's own errors are about the command line.
func asUserError(cmd *cobra.Command, err error) error {
	if err == nil {
		return nil
	}
	var problems inventory.Problems
	var known *ops.Error
	switch {
	case errors.As(err, &known):
		return withNodeHint(err)
	case errors.As(err, &problems):
		return &ops.Error{Code: ops.CodeInvalid, Err: errors.New("the inventory has problems:\n" + strings.TrimRight(problems.Render(true), "\n")),
			Hint: "mosparoctl inventory validate"}
	case errors.Is(err, context.Canceled):
		return &ops.Error{Code: ops.CodeInterrupted, Err: errors.New("interrupted")}
	case isUsage(err):
		return &ops.Error{Code: ops.CodeUsage, Err: err, Hint: cmd.CommandPath() + " --help"}
	}
	return err
}

// withNodeHint says what helps against what any operation on a node may run into, where nobody knew better.
func withNodeHint(err error) error {
	e, ok := err.(*ops.Error) //nolint:errorlint // its own text is kept
	if !ok || ops.HintOf(err) != "" {
		return err
	}
	var at *ops.Error
	for node := err; at == nil || at.Node == ""; node = at.Err {
		if !errors.As(node, &at) {
			return err
		}
	}
	switch text := err.Error(); {
	case strings.Contains(text, "no space left on device"):
		return e.WithHint("make room, such as by: mosparoctl prune --nodes %s", at.Node)
	case strings.Contains(text, "permission denied"):
		return e.WithHint("log in as the owner of the files, or set ssh.become: true for %s in the inventory", at.Node)
	}
	return err
}

// isUsage recognises cobra's errors about arguments, which have no type of their own.
func isUsage(err error) bool {
	msg := err.Error()
	for _, prefix := range []string{"unknown command", "accepts ", "requires ", "required flag", "if any flags in the group",
		"at least one of the flags", "invalid argument", "unknown flag", "unknown shorthand"} {
		if strings.HasPrefix(msg, prefix) {
			return true
		}
	}
	return false
}
