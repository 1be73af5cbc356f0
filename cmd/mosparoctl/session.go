package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/filesync"
	"github.com/mosparoctl/mosparoctl/ops/lock"
	"github.com/mosparoctl/mosparoctl/ops/release"
	"github.com/mosparoctl/mosparoctl/ops/remote"
)

// session is an inventory with connections to its nodes. Close it.
type session struct {
	app        *app
	deployment *inventory.Deployment
	nodes      []*inventory.Node // selected by --nodes, --role and --group
	hosts      *remote.Pool
	stop       <-chan struct{} // closed when nothing new may start: at an interrupt, or when the lock was lost

	question sync.Mutex    // held while the terminal hides what is typed
	closed   chan struct{} // closed by close
}

// open loads the inventory, applies the selectors and gets ready to connect; nothing is dialled yet.
func (a *app) open() (*session, error) {
	d, err := a.loadInventory()
	if err != nil {
		return nil, err
	}
	nodes, err := a.selected(d)
	if err != nil {
		return nil, err
	}
	s := &session{app: a, deployment: d, nodes: nodes, stop: a.stop, closed: make(chan struct{})}
	s.hosts = remote.NewPool(d, remote.Options{Passphrase: s.passphrase()})
	return s, nil
}

// of is the session on the same connections as a's: a prints what it does and says when it has to stop.
func (s *session) of(a *app) *session {
	return &session{app: a, deployment: s.deployment, nodes: s.nodes, hosts: s.hosts, stop: a.stop}
}

// passphrase asks on the terminal, or is nil where there is none. An interrupt and the end of the session end the question, and the
// terminal shows again what is typed. Unlike secret it leaves the terminal's other settings as they are, since what runs goes on
// printing.
func (s *session) passphrase() func(file string) ([]byte, error) {
	if !s.app.interactive() {
		return nil
	}
	return func(file string) ([]byte, error) {
		s.question.Lock()
		defer s.question.Unlock()
		select {
		case <-s.app.stop:
			return nil, context.Canceled
		case <-s.closed:
			return nil, context.Canceled
		default:
		}
		fd := int(os.Stdin.Fd())
		before, err := term.GetState(fd)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(s.app.stderr, "Passphrase of %s: ", file)
		defer fmt.Fprintln(s.app.stderr)
		got, err := await(func() ([]byte, error) { return term.ReadPassword(fd) }, s.app.stop, s.closed)
		if errors.Is(err, context.Canceled) {
			err = errors.Join(err, term.Restore(fd, before))
		}
		return got, err
	}
}

// await is what read gives, or context.Canceled if one of two channels is closed before. read is left behind then, so it is for what ends
// the program.
func await(read func() ([]byte, error), end, or <-chan struct{}) ([]byte, error) {
	type answer struct {
		text []byte
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		text, err := read()
		answers <- answer{text, err}
	}()
	select {
	case got := <-answers:
		return got.text, got.err
	case <-end:
	case <-or:
	}
	return nil, context.Canceled
}

// close ends the connections, and the question for a passphrase that nobody has answered. Call it once.
func (s *session) close() {
	close(s.closed)
	s.question.Lock() // until the terminal is as it was
	defer s.question.Unlock()
	_ = s.hosts.Close()
}

// stateDir is the folder on this machine for what must outlive a run: journals.
func (s *session) stateDir() (string, error) {
	base := os.Getenv("XDG_STATE_HOME")
	if base == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("find the home folder for journals: %w", err)
		}
		base = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(base, "mosparoctl", s.deployment.Name), nil
}

// locked runs f while this operator holds the deployment's lock on the admin node. Losing the lock stops what f does as an
// interrupt would: what runs may end, since a migration cut in the middle is worse than one that ends without the lock. Losing the
// terminal stops nothing.
func (s *session) locked(ctx context.Context, op string, f func(context.Context) error) error {
	defer outliveTerminal()()
	admin := s.deployment.Admin()
	if admin == nil {
		return f(ctx)
	}
	host, err := s.hosts.Host(ctx, admin.Name)
	if err != nil {
		return err
	}
	machine, _ := os.Hostname()
	owner := os.Getenv("USER")
	if u, err := user.Current(); err == nil {
		owner = u.Username
	}
	l, err := lock.Acquire(ctx, host, lock.Options{Dir: release.LockDir(admin), Owner: owner, Host: machine, PID: os.Getpid(), Op: op,
		Lease: s.deployment.Release.LockTTL, Reporter: s.reporter(op, admin.Name)})
	if err != nil {
		return err
	}
	unstop := s.stopAlso(l.Lost())
	err = f(ctx)
	unstop()
	if lost := l.Err(); lost != nil {
		err = errors.Join(lost, err)
	}
	end, cancelEnd := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
	defer cancelEnd()
	return errors.Join(err, l.Release(end))
}

// outliveTerminal keeps the program alive, until release is called, where its terminal is lost or what reads its output has ended: who
// changes nodes must not die between two of them for want of a reader. As on the full screen, the operation goes on to its end.
func outliveTerminal() (release func()) {
	ignored := make(chan os.Signal, 1)
	signal.Notify(ignored, syscall.SIGHUP, syscall.SIGPIPE)
	return func() { signal.Stop(ignored) }
}

// stopAlso makes lost a reason to stop until release is called.
func (s *session) stopAlso(lost <-chan struct{}) (release func()) {
	before, stop, ended := s.stop, make(chan struct{}), make(chan struct{})
	go func() {
		select {
		case <-lost:
		case <-before:
		case <-ended:
			return
		}
		close(stop)
	}()
	s.stop = stop
	return func() {
		close(ended)
		s.stop = before
	}
}

// apply carries out a plan under the lock, journalled, with its events printed. A plan without steps says so.
func (s *session) apply(ctx context.Context, p *ops.Plan, undoers ops.Undoers) error {
	if p.Empty() {
		s.app.printer.Emit(ops.Event{Kind: ops.Summary, Op: p.Op, Message: "nothing to do: " + p.Op + " would change nothing"})
		return nil
	}
	return s.locked(ctx, p.Op, func(ctx context.Context) error { return s.applyLocked(ctx, p, undoers) })
}

// applyLocked is apply for a caller that holds the lock.
func (s *session) applyLocked(ctx context.Context, p *ops.Plan, undoers ops.Undoers) error {
	dir, err := s.stateDir()
	if err != nil {
		return err
	}
	journal, err := ops.OpenJournal(dir, filesync.NewRun(time.Now()))
	if err != nil {
		return err
	}
	var res ops.ApplyResult
	err = s.app.gracefully(func() error {
		res, err = ops.Apply(ctx, p, ops.ApplyOptions{Sink: s.app.printer, Undoers: undoers, Journal: journal, Stop: s.stop})
		return err
	})
	if err == nil {
		s.app.printer.Emit(ops.Event{Kind: ops.Summary, Op: p.Op, Message: p.Op + ": " + applied(res)})
	}
	return err
}

// applied says in words what became of a plan.
func applied(res ops.ApplyResult) string {
	var changed []string
	steps := 0
	for _, n := range res.Nodes {
		if n.Finished > 0 {
			changed = append(changed, n.Node)
			steps += n.Finished
		}
	}
	if len(changed) == 0 {
		return "nothing to do, nothing was changed"
	}
	return fmt.Sprintf("done, %s on %s", count(steps, "step"), strings.Join(changed, ", "))
}

// reporter turns what something outside a plan tells into events.
func (s *session) reporter(op, node string) ops.Reporter {
	return eventReporter{sink: s.app.printer, op: op, node: node}
}

type eventReporter struct {
	sink     ops.Sink
	op, node string
}

func (r eventReporter) Progress(done, total int64, unit string) {
	r.sink.Emit(ops.Event{Kind: ops.Progress, Op: r.op, Node: r.node, Done: done, Total: total, Unit: unit})
}

func (r eventReporter) Outputf(format string, args ...any) {
	r.sink.Emit(ops.Event{Kind: ops.Output, Op: r.op, Node: r.node, Message: fmt.Sprintf(format, args...)})
}

func (r eventReporter) Warnf(format string, args ...any) {
	r.sink.Emit(ops.Event{Kind: ops.Warning, Op: r.op, Node: r.node, Message: fmt.Sprintf(format, args...)})
}

// printPlan shows what a plan will do: its waves, steps and changes.
func (s *session) printPlan(p *ops.Plan) {
	s.app.printer.Result("plan", planView{Plan: p, Digest: p.Digest()}, planText(p))
}

// planView is a plan in JSON.
type planView struct {
	*ops.Plan
	Digest string `json:"digest"`
}

// dryRun shows the plan and returns the error with which a dry run that found differences ends.
func (s *session) dryRun(p *ops.Plan) error {
	s.printPlan(p)
	if p.Empty() {
		return nil
	}
	return ops.Errorf(ops.CodeFindings, "dry run: %s on %s would run", count(p.Steps(), "step"), strings.Join(p.Nodes(), ", "))
}
