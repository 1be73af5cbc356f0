package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/mosparoctl/mosparoctl/cmd/internal/output"
	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
)

// app is what every command works with. It is made once by run.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	flags          globalFlags
	redactor       *ops.Redactor
	printer        *output.Printer // nil until a command starts
	exit           func(int)       // os.Exit, but in tests

	stop        chan struct{} // closed at the first interrupt
	mu          sync.Mutex
	graceful    bool // a plan is being applied: it ends by itself after stop
	interrupted bool
	log         *os.File
	status      *int // exit status of a monitoring plugin, in place of the error's
}

func newApp(stdin io.Reader, stdout, stderr io.Writer) *app {
	return &app{stdin: stdin, stdout: stdout, stderr: stderr, redactor: &ops.Redactor{}, exit: os.Exit, stop: make(chan struct{})}
}

// globalFlags are understood by every command.
type globalFlags struct {
	inventory          string
	nodes, role, group string
	output             string
	quiet, verbose     bool
	noColor            bool
	yes                bool
	log                string
}

func (f *globalFlags) add(root *cobra.Command) {
	p := root.PersistentFlags()
	p.StringVarP(&f.inventory, "inventory", "i", "", "inventory `file` (default: $MOSPAROCTL_INVENTORY, ./mosparo.yaml, the user's config folder)")
	p.StringVar(&f.nodes, "nodes", "", "work on these nodes only: names and `patterns`, as in app*,!app3")
	p.StringVar(&f.role, "role", "", "work on nodes with this `role` only: admin, app or cron")
	p.StringVar(&f.group, "group", "", "work on nodes of this `group` only")
	p.StringVarP(&f.output, "output", "o", "text", "output `format`: text or json (one JSON object a line)")
	p.BoolVarP(&f.quiet, "quiet", "q", false, "print results, warnings and errors only")
	p.BoolVarP(&f.verbose, "verbose", "v", false, "print each step, also those with nothing to do")
	p.BoolVar(&f.noColor, "no-color", false, "no colours (also NO_COLOR)")
	p.BoolVarP(&f.yes, "yes", "y", false, "answer yes to questions; never confirms a name or a count that must be typed")
	p.StringVar(&f.log, "log-file", "", "append all events as JSON lines to this `file`")
}

// prepare checks the global flags and starts the output of a command.
func (a *app) prepare(command string) error {
	if f := output.Format(a.flags.output); f != output.Text && f != output.JSON {
		return ops.Errorf(ops.CodeUsage, "unknown output format %q", a.flags.output).WithHint("--output text or --output json")
	}
	if a.flags.log != "" {
		f, err := os.OpenFile(a.flags.log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return fmt.Errorf("open log: %w", err)
		}
		a.log = f
	}
	a.start(command)
	return nil
}

// start makes the printer and tells it which command runs.
func (a *app) start(command string) {
	o := output.Options{Stdout: a.stdout, Stderr: a.stderr, Format: output.Format(a.flags.output), Quiet: a.flags.quiet,
		Verbose: a.flags.verbose, Redactor: a.redactor, Version: version,
		Terminal: isTerminal(a.stderr), Color: isTerminal(a.stdout) && !a.flags.noColor && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
	if a.log != nil {
		o.Log = a.log
	}
	a.printer = output.New(o)
	a.printer.Begin(command)
}

// end prints how the command ended and returns the exit status.
func (a *app) end(err error) int {
	if a.printer == nil {
		return 0 // --help and --version have printed all there is
	}
	status := a.printer.End(err)
	if a.log != nil {
		_ = a.log.Close()
	}
	if err == nil && status == 0 && a.status != nil {
		return *a.status
	}
	return status
}

// interrupt stops what runs: a plan by itself, anything else through its context. That ends first, so that what a.stop breaks off
// is not taken for a failure.
func (a *app) interrupt(cancel context.CancelFunc) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.graceful {
		cancel()
	}
	if !a.interrupted {
		a.interrupted = true
		close(a.stop)
		if a.printer != nil {
			a.printer.Emit(ops.Event{Kind: ops.Warning, Message: "interrupted: what runs is ended or taken back; once more stops at once"})
		}
	}
}

// endAtHangup makes a lost terminal an interrupt, until release is called: for what runs gracefully and has no end of its own. nohup
// is respected.
func (a *app) endAtHangup() (release func()) {
	if signal.Ignored(syscall.SIGHUP) {
		return func() {}
	}
	hangups, done := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(hangups, syscall.SIGHUP)
	go func() {
		select {
		case <-hangups:
			a.interrupt(func() {})
		case <-done:
		}
	}()
	return func() {
		signal.Stop(hangups)
		close(done)
	}
}

// gracefully runs f, which ends by itself after a.stop is closed.
func (a *app) gracefully(f func() error) error {
	a.mu.Lock()
	a.graceful = true
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		a.graceful = false
		a.mu.Unlock()
	}()
	return f()
}

// loadInventory finds and reads the inventory, and warns of what is allowed but unwise.
func (a *app) loadInventory() (*inventory.Deployment, error) {
	file, err := inventory.Find(a.flags.inventory)
	if err != nil {
		return nil, inventoryNotFound(err)
	}
	d, err := inventory.Load(file)
	if problems := (inventory.Problems)(nil); errors.As(err, &problems) {
		return nil, err
	} else if err != nil {
		return nil, &ops.Error{Code: ops.CodeInvalid, Err: err, Hint: "name another with --inventory, or write one: mosparoctl init"}
	}
	for _, secret := range d.PlainSecrets() {
		a.redactor.Add(secret)
	}
	for _, w := range d.Warnings {
		if a.printer != nil { // completion has none
			a.printer.Emit(ops.Event{Kind: ops.Warning, Message: fmt.Sprintf("%s:%d:%d: %s: %s", w.File, w.Line, w.Column, w.Path, w.Message), Hint: w.Instead})
		}
	}
	return d, nil
}

// inventoryNotFound tells why no inventory is read, and what to do.
func inventoryNotFound(err error) error {
	hint := "mosparoctl init"
	if errors.Is(err, inventory.ErrForeign) {
		hint = "if you trust what is in it: --inventory ./" + inventory.FileName
	}
	return &ops.Error{Code: ops.CodeInvalid, Op: "find inventory", Err: err, Hint: hint}
}

// selected are the nodes that --nodes, --role and --group choose.
func (a *app) selected(d *inventory.Deployment) ([]*inventory.Node, error) {
	nodes, err := d.Select(a.flags.nodes, a.flags.role, a.flags.group)
	if err != nil {
		return nil, &ops.Error{Code: ops.CodeUsage, Err: err, Hint: "mosparoctl inventory list"}
	}
	return nodes, nil
}

// interactive reports whether there is somebody to ask.
func (a *app) interactive() bool {
	f, ok := a.stdin.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && isTerminal(a.stderr) && a.flags.output == string(output.Text)
}

// confirm asks a yes-or-no question. Without a terminal and without --yes it is an error that names the way out.
func (a *app) confirm(question string) error {
	if a.flags.yes {
		return nil
	}
	answer, err := a.ask(question+" [y/N] ", "--yes")
	if err != nil {
		return err
	}
	if s := strings.ToLower(answer); s != "y" && s != "yes" {
		return ops.Errorf(ops.CodeConfirm, "not confirmed")
	}
	return nil
}

// confirmTyped asks for exactly want. instead is what to write on a command line where nobody can be asked.
func (a *app) confirmTyped(question, want, instead string) error {
	answer, err := a.ask(fmt.Sprintf("%s\nType %q to go on: ", question, want), instead)
	if err != nil {
		return err
	}
	if answer != want {
		return ops.Errorf(ops.CodeConfirm, "%q was typed, not %q", answer, want)
	}
	return nil
}

// ask prints a question and reads a line.
func (a *app) ask(question, instead string) (string, error) {
	if !a.interactive() {
		asked, _, _ := strings.Cut(strings.TrimSuffix(question, " [y/N] "), "\nType ")
		return "", ops.Errorf(ops.CodeConfirm, "a confirmation is needed and there is no terminal to ask on: %s", asked).WithHint("%s", instead)
	}
	fmt.Fprint(a.stderr, question)
	line, err := readLine(a.stdin)
	if err != nil {
		return "", fmt.Errorf("read the answer: %w", err)
	}
	return strings.TrimSpace(line), nil
}

// readLine reads up to a newline, byte by byte, so that nothing behind it is lost to a later reader.
func readLine(r io.Reader) (string, error) {
	var line []byte
	buf := make([]byte, 1)
	for {
		n, err := r.Read(buf)
		if n == 1 && buf[0] == '\n' {
			return string(line), nil
		}
		line = append(line, buf[:n]...)
		if errors.Is(err, io.EOF) && len(line) > 0 {
			return string(line), nil
		}
		if err != nil {
			return "", err
		}
	}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
