package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/mosparoctl/mosparoctl/cmd/internal/output"
	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/cron"
	"github.com/mosparoctl/mosparoctl/ops/filesync"
	"github.com/mosparoctl/mosparoctl/ops/release"
	"github.com/mosparoctl/mosparoctl/ops/remote"
	"github.com/mosparoctl/mosparoctl/tui"
)

type tuiOptions struct {
	theme string
	mouse bool
}

func newTUI(a *app) *cobra.Command {
	var o tuiOptions
	cmd := &cobra.Command{
		Use:   "tui",
		Short: "Watch and operate the deployment on the full screen",
		Long: `tui shows how the deployment is, and lets an operator act: deploy, roll back, sync, undo, schedule. What it would do is shown
first and starts only after the name of the deployment was typed. docs/tui.md lists the keys; ? shows those that work where
you are. mosparoctl without a command opens it too, on a terminal where an inventory is found.

NO_COLOR and --no-color turn colours off.`,
		Example: `  mosparoctl tui
  mosparoctl tui --theme light`,
		Annotations: exits(ops.CodeInvalid, ops.CodeConfirm),
		Args:        cobra.NoArgs,
		RunE:        func(cmd *cobra.Command, _ []string) error { return runTUI(cmd.Context(), a, o) },
	}
	cmd.Flags().StringVar(&o.theme, "theme", "", "`colours`: "+strings.Join(tui.Themes(), ", ")+" (default: dark or light, as the terminal's background is; mono with NO_COLOR)")
	cmd.Flags().BoolVar(&o.mouse, "mouse", false, "take clicks and the wheel; the terminal then selects text with shift only")
	return cmd
}

// choose is the theme to use; "" leaves it to the terminal.
func (o tuiOptions) choose(a *app) (string, error) {
	switch {
	case o.theme != "" && !slices.Contains(tui.Themes(), o.theme):
		return "", ops.Errorf(ops.CodeUsage, "there is no theme %q", o.theme).WithHint("--theme %s", strings.Join(tui.Themes(), ", "))
	case o.theme != "":
		return o.theme, nil
	case a.flags.noColor || os.Getenv("NO_COLOR") != "":
		return tui.Mono, nil
	}
	return "", nil
}

func runTUI(ctx context.Context, a *app, o tuiOptions) error {
	theme, err := o.choose(a)
	if err != nil {
		return err
	}
	if !a.canDraw() {
		return ops.Errorf(ops.CodeUsage, "the full screen needs a terminal that it can draw on").WithHint("mosparoctl check")
	}
	s, err := a.open()
	if err != nil {
		return err
	}
	defer s.close()
	// On the full screen nobody can be asked for a passphrase: what runs draws over the question.
	_ = s.hosts.Close()
	s.hosts = remote.NewPool(s.deployment, remote.Options{})
	locked, err := s.unlockKeys(ctx)
	if err != nil {
		return err
	}
	live, err := tui.NewLive(s.deployment, s.hosts, a.redactor.Add)
	if err != nil {
		return err
	}
	defer func() { _ = live.Close() }()
	m := tui.New(ctx, tui.Services{Deployment: s.deployment, Reader: live, Planner: planner{s}, Shell: s.shell, Export: exportFile, Redact: a.redactor.Text,
		Leftovers: s.leftovers},
		tui.Options{Theme: theme, Mouse: o.mouse, Notes: locked})
	if a.log == nil {
		if a.log, err = s.screenLog(); err != nil {
			a.printer.Emit(ops.Event{Kind: ops.Warning, Message: "what is done on the screen is not logged", Error: err.Error()})
		}
	}
	exit := a.exit
	defer func() { a.exit = exit }()
	return a.gracefully(func() error {
		return tui.Run(ctx, m, tui.Terminal{In: a.stdin, Out: a.stdout, Env: os.Environ(), Stop: a.stop, Err: a.stderr,
			Restore: func(restore func()) { a.exit = func(status int) { restore(); exit(status) } }})
	})
}

// canDraw reports whether there is a terminal that a full screen can be drawn on. A dumb one, such as an editor's, would show all
// escape sequences as text.
func (a *app) canDraw() bool {
	return a.interactive() && isTerminal(a.stdout) && os.Getenv("TERM") != "dumb"
}

// opensTUI reports whether the program without a command shows the full screen: on a terminal, where an inventory is found.
func (a *app) opensTUI() bool {
	if !a.canDraw() {
		return false
	}
	_, err := inventory.Find(a.flags.inventory)
	return err == nil || errors.Is(err, inventory.ErrForeign) // which it tells
}

// shell is the command that logs in to a node.
func (s *session) shell(node string) (*exec.Cmd, error) {
	n := s.deployment.Node(node)
	switch {
	case n == nil:
		return nil, fmt.Errorf("the inventory has no node %q", node)
	case n.Local():
		shell := os.Getenv("SHELL")
		if shell == "" {
			shell = "/bin/sh"
		}
		return exec.Command(shell), nil
	}
	return exec.Command("ssh", remote.ClientArgs(n)...), nil
}

// exportFile writes a new file into the working folder, and returns its path.
func exportFile(name string, data []byte) (string, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return "", err
	}
	_, err = f.Write(data)
	if whole, absErr := filepath.Abs(name); absErr == nil {
		name = whole
	}
	return name, errors.Join(err, f.Close())
}

// planner plans what the full screen proposes, by the ways of the commands.
type planner struct{ s *session }

// quiet is the session with its events going to sink and nothing printed. The program's own connections serve it.
func (p planner) quiet(sink ops.Sink) *session {
	a := newApp(strings.NewReader(""), io.Discard, io.Discard)
	a.flags, a.redactor, a.log = p.s.app.flags, p.s.app.redactor, p.s.app.log
	a.flags.yes = false
	o := output.Options{Stdout: io.Discard, Stderr: io.Discard, Format: output.Text, Redactor: a.redactor, Version: version, Events: sink}
	if a.log != nil {
		o.Log = a.log
	}
	a.printer = output.New(o)
	return p.s.of(a)
}

// apply makes the Apply of a proposal: do gets a session that tells sink what happens and ends when stop is closed.
func (p planner) apply(do func(context.Context, *session) error) func(context.Context, ops.Sink, <-chan struct{}) error {
	return func(ctx context.Context, sink ops.Sink, stop <-chan struct{}) error {
		s := p.quiet(sink)
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		done := make(chan struct{})
		defer close(done)
		go func() {
			select {
			case <-stop:
				s.app.interrupt(cancel)
			case <-done:
			}
		}()
		err := do(ctx, s)
		if errors.Is(err, context.Canceled) && ops.CodeOf(err) == ops.CodeFailed {
			err = &ops.Error{Code: ops.CodeInterrupted, Err: errors.New("aborted before anything was changed")}
		}
		s.app.printer.End(err) // into the log
		return err
	}
}

// Deploy plans a deploy of source on the selected nodes.
func (p planner) Deploy(ctx context.Context, source release.SourceSpec) (*tui.Proposal, error) {
	s := p.quiet(ops.Discard)
	r, err := s.releasing(false)
	if err != nil {
		return nil, err
	}
	defer r.closePeers()
	src, err := r.manager.OpenSource(ctx, source)
	if err != nil {
		return nil, err
	}
	defer func() { _ = src.Close() }()
	facts, err := r.facts(ctx)
	if err != nil {
		return nil, err
	}
	o := release.Options{Nodes: r.names()}
	planned, err := r.manager.PlanDeploy(facts, src, o)
	if err != nil {
		return nil, err
	}
	content, err := r.manager.Preview(ctx, facts, src)
	if err != nil {
		return nil, err
	}
	return p.releaseProposal("deploy "+planned.Release.ID, r, planned, source, o, content), nil
}

// Rollback plans a rollback to a release; "" is the one before.
func (p planner) Rollback(ctx context.Context, id string) (*tui.Proposal, error) {
	s := p.quiet(ops.Discard)
	r, err := s.releasing(false)
	if err != nil {
		return nil, err
	}
	defer r.closePeers()
	facts, err := r.facts(ctx)
	if err != nil {
		return nil, err
	}
	o := release.Options{Nodes: r.names(), ID: id}
	planned, err := r.manager.PlanRollback(facts, o)
	if err != nil {
		return nil, err
	}
	return p.releaseProposal("roll back to "+planned.Release.ID, r, planned, release.SourceSpec{}, o, nil), nil
}

// releaseProposal carries out what "mosparoctl apply" would: the plan is made again from fresh facts and must be the same.
func (p planner) releaseProposal(title string, r *releasing, planned *release.Planned, source release.SourceSpec, o release.Options, content []release.Preview) *tui.Proposal {
	file := r.manager.NewPlanFile(planned, source, o)
	op := planned.Plan.Op
	return &tui.Proposal{Title: title, Plan: planned.Plan, Notes: planned.Notes, Content: content,
		Apply: p.apply(func(ctx context.Context, s *session) error {
			r, err := s.releasing(false)
			if err != nil {
				return err
			}
			defer r.closePeers()
			var src *release.Source
			defer func() { _ = src.Close() }()
			return r.carryOut(ctx, op, func(ctx context.Context) (*release.Planned, error) {
				facts, err := r.facts(ctx)
				if err != nil {
					return nil, err
				}
				if op == release.OpDeploy {
					if src, err = r.manager.OpenSource(ctx, source); err != nil {
						return nil, err
					}
				}
				return r.manager.Replan(file, facts, src)
			})
		})}
}

// syncWork is a sync, or the undo of one, that was looked at.
type syncWork struct {
	title    string
	plan     *ops.Plan
	warnings []ops.Event
	left     error  // of nodes that take no part
	took     int    // nodes that do
	have     string // what they have in the end
}

// Sync plans a sync of the selected nodes, without deletions but those that the inventory asks for.
func (p planner) Sync(ctx context.Context) (*tui.Proposal, error) {
	return p.syncProposal(ctx, "sync", func(ctx context.Context, o filesync.SyncOptions) (w syncWork, err error) {
		f, err := filesync.Gather(ctx, o)
		if err != nil {
			return w, err
		}
		took := count(len(f.Targets), "node")
		w = syncWork{title: "sync " + took, left: f.Failures(), took: len(f.Targets), have: fmt.Sprintf("%d files on %s", f.Tree.Files(), took)}
		w.plan, w.warnings, err = filesync.Plan(f, o)
		return w, err
	})
}

// UndoSync plans to take a run of sync back.
func (p planner) UndoSync(ctx context.Context, run string) (*tui.Proposal, error) {
	return p.syncProposal(ctx, "sync undo", func(ctx context.Context, o filesync.SyncOptions) (w syncWork, err error) {
		f, err := filesync.GatherUndo(ctx, o, run)
		if err != nil {
			return w, err
		}
		w = syncWork{title: "undo sync " + f.Run, left: f.Failures(), took: len(f.Targets),
			have: fmt.Sprintf("run %s taken back on %s", f.Run, count(len(f.Targets), "node"))}
		w.plan, w.warnings, err = filesync.PlanUndo(f, o)
		return w, err
	})
}

// syncProposal proposes what look finds. It looks again under the lock, and applies only what was shown.
func (p planner) syncProposal(ctx context.Context, op string, look func(context.Context, filesync.SyncOptions) (syncWork, error)) (*tui.Proposal, error) {
	run := filesync.NewRun(time.Now())
	with := func(s *session, f func(filesync.SyncOptions) error) error {
		o, err := syncOptions{}.options(s)
		if err != nil {
			return err
		}
		defer func() { _ = o.Peers.Close() }()
		o.Run = run
		return f(o)
	}
	var shown syncWork
	err := with(p.quiet(ops.Discard), func(o filesync.SyncOptions) (err error) {
		shown, err = look(ctx, o)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &tui.Proposal{Title: shown.title, Plan: shown.plan, Notes: notesOf(shown.warnings, shown.left), Apply: p.apply(func(ctx context.Context, s *session) error {
		return s.locked(ctx, op, func(ctx context.Context) error {
			return with(s, func(o filesync.SyncOptions) error {
				w, err := look(ctx, o)
				if err == nil {
					err = ops.Stale(shown.plan, w.plan)
				}
				if err != nil {
					return err
				}
				return s.applyEach(ctx, w.plan, w.left, w.took, w.have)
			})
		})
	})}, nil
}

// Cron plans the crontabs of the selected nodes.
func (p planner) Cron(ctx context.Context) (*tui.Proposal, error) {
	now := time.Now()
	look := func(ctx context.Context, s *session) (*cron.Overview, *ops.Plan, error) {
		w := &cronWork{session: s, now: now}
		var err error
		w.states, err = eachNode(ctx, s, s.deployment.Nodes, func(ctx context.Context, h ops.Host, n *inventory.Node) (*cron.NodeState, error) {
			return cron.Read(ctx, h, s.deployment, n, now)
		})
		if err != nil {
			return nil, nil, err
		}
		lay, err := w.lay()
		if err != nil {
			return nil, nil, err
		}
		plan, _, err := cron.PlanApply(s.deployment, lay, w.states, s.nodes, s.hosts)
		return lay, plan, err
	}
	lay, shown, err := look(ctx, p.quiet(ops.Discard))
	if err != nil {
		return nil, err
	}
	notes := []string{lay.Proof.String()}
	for _, slot := range lay.Moved {
		notes = append(notes, slot.Job+" on "+slot.Node+" will start at another time than now")
	}
	for _, f := range lay.Foreign {
		notes = append(notes, f.String())
	}
	return &tui.Proposal{Title: "write the crontabs", Plan: shown, Notes: notes, Apply: p.apply(func(ctx context.Context, s *session) error {
		return s.locked(ctx, shown.Op, func(ctx context.Context) error {
			_, fresh, err := look(ctx, s)
			if err == nil {
				err = ops.Stale(shown, fresh)
			}
			if err != nil {
				return err
			}
			return s.applyLocked(ctx, fresh, nil)
		})
	})}, nil
}

// notesOf are warnings of a plan and failures of nodes that take no part, as notes.
func notesOf(warnings []ops.Event, left error) []string {
	var notes []string
	for _, w := range warnings {
		note := w.Message
		if w.Node != "" {
			note = w.Node + ": " + note
		}
		notes = append(notes, note)
	}
	if left != nil {
		notes = append(notes, "left out: "+strings.ReplaceAll(left.Error(), "\n", "; "))
	}
	return notes
}
