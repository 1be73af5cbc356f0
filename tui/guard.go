package tui

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
	"golang.org/x/term"
)

// guard gives the terminal back when this program dies without doing so itself: by kill -9, for want of memory, or by a panic
// that nothing catches. It is a shell that waits for the end of a pipe, which no way of dying can keep open. It is in a session
// of its own, so that no key and no signal for this program reaches it, and this program stays what the operator's shell
// started: job control, signals and exit statuses are its own. A nil *guard guards nothing.
type guard struct {
	cmd   *exec.Cmd
	state *os.File // takes a line with each change: on while the program draws, off while it does not
	once  sync.Once
}

// guardScript notes how the terminal is, says that it is ready, and waits. What it restores is only the mode in which no key
// makes a signal: a shell may have set a mode of its own by then.
const guardScript = `before=$(stty -g) || exit
trap '' HUP INT QUIT TERM TSTP TTIN TTOU
echo ready >&4
exec 4>&-
drawing=off
while read -r line <&3; do drawing=$line; done
[ "$drawing" = on ] || exit
case $(stty -a) in *-isig*) stty "$before" ;; esac
printf %s "$GIVE_BACK"`

// giveBack undoes what a screen may have switched on: the frame that is not ended, ways of telling keys, the mouse, the cursor,
// pastes in brackets, margins and colours, then the other screen itself.
const giveBack = ansi.ResetModeSynchronizedOutput + ansi.ResetModifyOtherKeys + "\x1b[<1u" + ansi.ResetModeMouseButtonEvent + ansi.ResetModeMouseAnyEvent +
	ansi.ResetModeMouseExtSgr + ansi.ResetModeFocusEvent + ansi.ResetModeBracketedPaste + ansi.ResetModeUnicodeCore + "\x1b[r\x1b[m" + ansi.ResetModeAltScreenSaveCursor +
	ansi.SetModeTextCursorEnable + "\x1b]2;\a"

// guardWait is how long a guard may take to begin.
const guardWait = 5 * time.Second

// newGuard starts a guard of the terminal. Where there is none, or no shell with stty, there is no guard.
func newGuard(in io.Reader, out io.Writer) *guard {
	tty, ok := in.(*os.File)
	screen, same := out.(*os.File)
	if !ok || !same || !term.IsTerminal(int(tty.Fd())) || !term.IsTerminal(int(screen.Fd())) {
		return nil
	}
	waits, state, err := os.Pipe()
	if err != nil {
		return nil
	}
	defer waits.Close()
	ready, begun, err := os.Pipe()
	if err != nil {
		state.Close()
		return nil
	}
	defer ready.Close()
	defer begun.Close()
	cmd := exec.Command("/bin/sh", "-c", guardScript, "mosparoctl-terminal-guard")
	cmd.Stdin, cmd.Stdout, cmd.ExtraFiles = tty, screen, []*os.File{waits, begun}
	cmd.Env = append(os.Environ(), "LC_ALL=C", "GIVE_BACK="+giveBack)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		state.Close()
		return nil
	}
	g := &guard{cmd: cmd, state: state}
	begun.Close()
	_ = ready.SetReadDeadline(time.Now().Add(guardWait))
	word, _ := io.ReadAll(ready)
	if strings.TrimSpace(string(word)) != "ready" {
		g.end()
		return nil
	}
	return g
}

// drawing says whether the terminal is in this program's hands.
func (g *guard) drawing(on bool) {
	if g == nil {
		return
	}
	word := "off\n"
	if on {
		word = "on\n"
	}
	_, _ = g.state.WriteString(word) // a guard that is gone can't be told, nor can it do harm
}

// end dismisses the guard. It may be called more than once, by several.
func (g *guard) end() {
	if g == nil {
		return
	}
	g.once.Do(func() {
		_ = g.cmd.Process.Kill()
		_ = g.cmd.Wait()
		g.state.Close()
	})
}

// lend hands the terminal to a command for as long as it runs.
func (m *Model) lend(c tea.ExecCommand, back func(error) tea.Msg) tea.Cmd {
	return tea.Exec(lent{c, m.guard}, back)
}

// lent is a command that has the terminal, which is not guarded meanwhile: the command may have set it in its own way.
type lent struct {
	tea.ExecCommand
	guard *guard
}

func (l lent) Run() error {
	l.guard.drawing(false)
	defer l.guard.drawing(true)
	return l.ExecCommand.Run()
}

// sshFailed is the exit status of ssh where it failed itself; others are of what ran on the node.
const sshFailed = 255

// process is a program that is lent the terminal.
type process struct{ *exec.Cmd }

// SetStdin takes the terminal itself, not what watches it: the program is to have it, not a pipe.
func (p process) SetStdin(r io.Reader) {
	if w, ok := r.(*watchedInput); ok {
		r = w.File
	}
	p.Stdin = r
}

// Run waits for ⏎ where ssh itself failed or could not be started: what it said would be gone with the next frame.
func (p process) Run() error {
	err := p.Cmd.Run()
	var ended *exec.ExitError
	if err == nil || errors.As(err, &ended) && ended.ExitCode() != sshFailed {
		return err
	}
	fmt.Fprintf(p.Stdout, "\n%v. ⏎ goes back to the screen: ", err)
	_, _ = bufio.NewReader(p.Stdin).ReadString('\n')
	return err
}

func (p process) SetStdout(w io.Writer) { p.Stdout = w }
func (p process) SetStderr(w io.Writer) { p.Stderr = w }
