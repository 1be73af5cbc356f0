package tui

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"

	tea "charm.land/bubbletea/v2"

	"github.com/mosparoctl/mosparoctl/ops"
)

// Terminal is where the program runs.
type Terminal struct {
	In  io.Reader
	Out io.Writer
	Env []string // as os.Environ
	// Stop is closed by the first interrupt from outside: a running operation is aborted, and the program ends after it.
	Stop <-chan struct{}
	// Restore takes a function that gives the terminal back, for a caller that is about to exit at once; nil: nobody does.
	Restore func(func())
	// Err takes a line when the program waits for an operation after the screen was left.
	Err io.Writer
}

// framesPerSecond bounds how often the screen is drawn, which is what a slow line has to carry. A key waits for a frame at most, so
// it is seen within 25 ms.
const framesPerSecond = 40

// Run shows the model until the operator leaves, the context ends, Stop is closed or the terminal is lost. The terminal is as it
// was afterwards: also after a panic in the program, which is an error then, and after its death by a signal.
//
// An operation that still runs is aborted and waited for. But one whose terminal was lost goes on to its end, unless Stop is closed.
func Run(ctx context.Context, m *Model, t Terminal) error {
	m.guard = newGuard(t.In, t.Out)
	defer m.guard.end()
	lost := make(chan struct{})
	p := tea.NewProgram(m, tea.WithContext(ctx), tea.WithInput(watchInput(t.In, lost)), tea.WithOutput(t.Out), tea.WithEnvironment(t.Env),
		tea.WithFPS(framesPerSecond), tea.WithoutSignalHandler())
	if t.Restore != nil {
		t.Restore(func() {
			_ = p.ReleaseTerminal()
			m.guard.end()
		})
	}
	done := make(chan struct{})
	defer close(done) // a hangup or a stop must not end the program before its operation has ended
	go watchOutside(p, t.Stop, lost, done)
	m.guard.drawing(true)
	_, err := p.Run()
	m.guard.drawing(false)
	panicked := errors.Is(err, tea.ErrProgramPanic)
	gone := m.lost || errors.Is(err, tea.ErrProgramKilled) && !panicked && ctx.Err() == nil // or it could not be read or written
	m.runner.finish(gone, t.Stop, t.Err)
	switch {
	case panicked:
		return fmt.Errorf("the screen failed, which is a mistake in this program: %w", err)
	case gone:
		return ops.Errorf(ops.CodeInterrupted, "the terminal was lost")
	case errors.Is(err, tea.ErrProgramKilled), errors.Is(err, tea.ErrInterrupted):
		return context.Canceled
	}
	return err
}

// Messages from outside: the program is to end, its terminal is lost, it is to suspend as by the key.
type (
	stopMsg    struct{}
	lostMsg    struct{}
	suspendMsg struct{}
)

// watchOutside turns what comes from outside into messages until done is closed: a closed stop ends the program, so does a hangup
// or a closed lost in its own way, a stop signal hands the terminal back first. After the end of the screen they are swallowed.
func watchOutside(p *tea.Program, stop, lost, done <-chan struct{}) {
	hangups, stops := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	signal.Notify(stops, syscall.SIGTSTP)
	defer signal.Stop(hangups)
	defer signal.Stop(stops)
	for {
		select {
		case <-stop:
			stop = nil
			p.Send(stopMsg{})
		case <-lost:
			lost = nil
			p.Send(lostMsg{})
		case <-hangups:
			p.Send(lostMsg{})
		case <-stops:
			p.Send(suspendMsg{})
		case <-done:
			return
		}
	}
}

// watchInput closes lost when the terminal in ends, which is told by no signal where hangups are ignored.
func watchInput(in io.Reader, lost chan<- struct{}) io.Reader {
	if f, ok := in.(*os.File); ok {
		return &watchedInput{File: f, lost: sync.OnceFunc(func() { close(lost) })}
	}
	return in
}

type watchedInput struct {
	*os.File
	lost func()
}

func (w *watchedInput) Read(b []byte) (int, error) {
	n, err := w.File.Read(b)
	if err != nil {
		w.lost()
	}
	return n, err
}

// onLost ends the screen whose terminal is gone. What runs goes on.
func (m *Model) onLost() tea.Cmd {
	m.lost = true
	return tea.Quit
}

// stopSelf stops the process group as Ctrl-Z does in a shell, between handing the terminal back and taking it again. It is
// SIGSTOP and not SIGTSTP since that is caught here, and the Go runtime does not give its default action back.
type stopSelf struct{}

// Run returns when the program was continued. It waits for that signal, since the stop reaches other threads first.
func (stopSelf) Run() error {
	continued := make(chan os.Signal, 1)
	signal.Notify(continued, syscall.SIGCONT)
	defer signal.Stop(continued)
	if err := syscall.Kill(0, syscall.SIGSTOP); err != nil {
		return err
	}
	<-continued
	return nil
}

// SetStdin, SetStdout and SetStderr make it a tea.ExecCommand; it has no use for them.
func (stopSelf) SetStdin(io.Reader)  {}
func (stopSelf) SetStdout(io.Writer) {}
func (stopSelf) SetStderr(io.Writer) {}

// finish waits for the operation that still runs, if any, and lets no other begin. One that does not go on by itself is aborted
// first; one that does is when stop is closed.
func (r *runner) finish(goOn bool, stop <-chan struct{}, told io.Writer) {
	tell := func(text string) {
		if told != nil {
			fmt.Fprintln(told, text)
		}
	}
	ended := make(chan struct{})
	busy := r.close()
	go func() {
		r.wg.Wait()
		close(ended)
	}()
	if busy && goOn {
		tell("the terminal was lost: what runs goes on to its end; ^C aborts it")
		select {
		case <-ended:
			return
		case <-stop:
		}
	}
	if busy {
		tell("aborting what runs: it is ended or taken back, which may take a minute")
	}
	r.abort()
	<-ended
}
