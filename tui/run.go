package tui

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	tea "charm.land/bubbletea/v2"
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

// Run shows the model until the operator leaves, the context ends or Stop is closed. The terminal is as it was afterwards,
// also after a panic in the program, which is an error then. An operation that still runs is aborted and waited for.
func Run(ctx context.Context, m *Model, t Terminal) error {
	p := tea.NewProgram(m, tea.WithContext(ctx), tea.WithInput(t.In), tea.WithOutput(t.Out), tea.WithEnvironment(t.Env), tea.WithFPS(framesPerSecond),
		tea.WithoutSignalHandler())
	if t.Restore != nil {
		t.Restore(func() { _ = p.ReleaseTerminal() })
	}
	done := make(chan struct{})
	go watchSignals(p, t.Stop, done)
	_, err := p.Run()
	close(done)
	m.runner.finish(t.Err)
	switch {
	case errors.Is(err, tea.ErrProgramPanic):
		return fmt.Errorf("the screen failed, which is a mistake in this program: %w", err)
	case errors.Is(err, tea.ErrProgramKilled), errors.Is(err, tea.ErrInterrupted):
		return context.Canceled
	}
	return err
}

// stopMsg says that the program is to end.
type stopMsg struct{}

// watchSignals turns what comes from outside into messages: a hangup or a closed stop ends the program, a stop signal hands
// the terminal back first.
func watchSignals(p *tea.Program, stop, done <-chan struct{}) {
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
		case <-hangups:
			p.Send(stopMsg{})
		case <-stops:
			p.Send(suspendMsg{})
		case <-done:
			return
		}
	}
}

// suspendMsg asks to suspend, as the key does.
type suspendMsg struct{}

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

// finish aborts the operation that still runs, if any, and waits for its end.
func (r *runner) finish(told io.Writer) {
	r.mu.Lock()
	busy := r.stop != nil
	r.mu.Unlock()
	if busy && told != nil {
		fmt.Fprintln(told, "aborting what runs: it is ended or taken back, which may take a minute")
	}
	r.abort()
	r.wg.Wait()
}
