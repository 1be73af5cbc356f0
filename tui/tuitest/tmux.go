// Package tuitest drives whole programs in a real terminal, by tmux, and looks at what they show.
package tuitest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mosparoctl/mosparoctl/internal/lab/server"
)

// patience bounds the wait for a text to appear: long enough for a deploy on a machine that is busy with other tests.
const patience = 3 * time.Minute

// capturesEnv names the folder in which captures are kept; empty: they are not.
const capturesEnv = "TUI_CAPTURES"

// Terminal is a terminal of its own with a shell in it. It ends with the test.
type Terminal struct {
	t      testing.TB
	tmux   string
	socket string
	dir    string
	runs   int
}

// Open starts a terminal of w×h cells with the environment given. Without tmux the test is skipped, and fails where CI=true.
func Open(t testing.TB, w, h int, env ...string) *Terminal {
	t.Helper()
	tmux := server.Binary(t, "tmux")
	dir, err := os.MkdirTemp("", "tui-") // a short path: it holds a socket
	if err != nil {
		t.Fatal(err)
	}
	x := &Terminal{t: t, tmux: tmux, dir: dir, socket: filepath.Join(dir, "s")}
	t.Cleanup(func() {
		_ = exec.Command(tmux, "-S", x.socket, "kill-server").Run()
		_ = os.RemoveAll(dir)
	})
	args := []string{"-f", "/dev/null", "new-session", "-d", "-x", strconv.Itoa(w), "-y", strconv.Itoa(h)}
	for _, e := range append([]string{"PS1=$ ", "TMUX=", "LC_ALL=C.UTF-8"}, env...) {
		args = append(args, "-e", e)
	}
	x.do(append(args, "sh")...)
	x.do("set-option", "-g", "status", "off")
	x.do("resize-window", "-x", strconv.Itoa(w), "-y", strconv.Itoa(h))
	x.do("pipe-pane", "cat > '"+x.written()+"'")
	return x
}

// written is the file of all that was written to the terminal.
func (x *Terminal) written() string { return filepath.Join(x.dir, "written") }

// For makes failures those of a subtest from now on.
func (x *Terminal) For(t testing.TB) *Terminal {
	x.t = t
	return x
}

func (x *Terminal) do(args ...string) string {
	x.t.Helper()
	cmd := exec.Command(x.tmux, append([]string{"-S", x.socket}, args...)...)
	cmd.Env = append(os.Environ(), "TMUX=", "LC_ALL=C.UTF-8")
	out, err := cmd.CombinedOutput()
	if err != nil {
		x.t.Fatalf("tmux %s: %v\n%s", args[0], err, out)
	}
	return string(out)
}

// Run types a command line into the shell, which notes the state of the terminal before and after it.
func (x *Terminal) Run(argv ...string) { x.t.Helper(); x.run(argv, "") }

// RunLast is Run for a terminal that is not used after it: no key reaches the shell any more, whatever the program leaves unread.
func (x *Terminal) RunLast(argv ...string) {
	x.t.Helper()
	x.run(argv, "trap '' INT QUIT TSTP\nwhile :; do cat > /dev/null; done\n")
}

func (x *Terminal) run(argv []string, then string) {
	x.t.Helper()
	x.fresh()
	x.runs++
	argv = slices.Clone(argv)
	for i, a := range argv {
		argv[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
	}
	script := filepath.Join(x.dir, fmt.Sprintf("run%d", x.runs))
	content := fmt.Sprintf("set -m\nstty -g > %[1]s.before\n%[2]s\necho $? > %[1]s.status\nstty -g > %[1]s.after\n: > %[1]s.done\n%[3]s", script, strings.Join(argv, " "), then)
	if err := os.WriteFile(script, []byte(content), 0o600); err != nil {
		x.t.Fatal(err)
	}
	x.Type(". " + script)
	x.Keys("Enter")
}

// Resume brings a stopped program back, as by "fg".
func (x *Terminal) Resume() {
	x.t.Helper()
	x.fresh()
	x.Type("fg")
	x.Keys("Enter")
}

// fresh empties the shell's line: keys and replies of the terminal that the program did not live to read are in it.
func (x *Terminal) fresh() {
	x.t.Helper()
	if x.runs > 0 {
		x.do("send-keys", "-R") // clears the screen, where a program that crashed wrote all over
		x.Keys("C-c")
		x.Wait(`\^C\n[#$]\s*$`)
	}
}

// Keys presses keys by tmux's names: "Enter", "Escape", "C-c", "x".
func (x *Terminal) Keys(keys ...string) {
	x.t.Helper()
	for _, k := range keys {
		x.do("send-keys", k)
	}
}

// Type types text letter by letter.
func (x *Terminal) Type(text string) { x.t.Helper(); x.do("send-keys", "-l", text) }

// Paste pastes text as terminals do, in brackets where the program asked for that.
func (x *Terminal) Paste(text string) { x.t.Helper(); x.paste(text, "-p") }

// PasteAsKeys pastes text as terminals do that know no brackets: each character is a key.
func (x *Terminal) PasteAsKeys(text string) { x.t.Helper(); x.paste(text) }

// TTY is the path of the terminal.
func (x *Terminal) TTY() string {
	x.t.Helper()
	return strings.TrimSpace(x.do("display-message", "-p", "#{pane_tty}"))
}

func (x *Terminal) paste(text string, how ...string) {
	x.t.Helper()
	file := filepath.Join(x.dir, "paste")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		x.t.Fatal(err)
	}
	x.do("load-buffer", file)
	x.do(append([]string{"paste-buffer"}, how...)...)
}

// Resize changes the size of the terminal.
func (x *Terminal) Resize(w, h int) {
	x.t.Helper()
	x.do("resize-window", "-x", strconv.Itoa(w), "-y", strconv.Itoa(h))
}

// Screen is what is shown.
func (x *Terminal) Screen() string { x.t.Helper(); return x.do("capture-pane", "-p") }

// Wait waits until the screen matches a pattern, and returns it.
func (x *Terminal) Wait(pattern string) string {
	x.t.Helper()
	re := regexp.MustCompile(pattern)
	var s string
	x.until(func() bool { s = x.Screen(); return re.MatchString(s) }, func() string { return fmt.Sprintf("%q to appear on\n%s", pattern, s) })
	return s
}

func (x *Terminal) until(ok func() bool, what func() string) {
	x.t.Helper()
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	end := time.After(patience)
	for !ok() {
		select {
		case <-look.C:
		case <-end:
			x.t.Fatalf("waited in vain for %s", what())
		}
	}
}

// Capture keeps the screen, as text, with its colours and as a web page, in the folder that TUI_CAPTURES names.
func (x *Terminal) Capture(name string) {
	x.t.Helper()
	dir := os.Getenv(capturesEnv)
	if dir == "" {
		return
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		x.t.Fatal(err)
	}
	coloured := x.do("capture-pane", "-p", "-e")
	for ext, out := range map[string]string{".txt": x.Screen(), ".ansi": coloured, ".html": HTML(name, coloured)} {
		if err := os.WriteFile(filepath.Join(dir, name+ext), []byte(out), 0o644); err != nil {
			x.t.Fatal(err)
		}
	}
}

func (x *Terminal) file(ext string) string {
	b, _ := os.ReadFile(filepath.Join(x.dir, fmt.Sprintf("run%d.%s", x.runs, ext)))
	return strings.TrimSpace(string(b))
}

// Program is the process of the program that runs in the foreground, once it has been started.
func (x *Terminal) Program() int {
	x.t.Helper()
	shell := strings.TrimSpace(x.do("display-message", "-p", "#{pane_pid}"))
	pid := 0
	x.until(func() bool {
		children, _ := os.ReadFile("/proc/" + shell + "/task/" + shell + "/children")
		pid, _ = strconv.Atoi(strings.TrimSpace(string(children)))
		name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		return pid > 0 && !slices.Contains([]string{"sh", "stty", "env", ""}, strings.TrimSpace(string(name))) // not what notes the state before it
	}, func() string { return "a program in the shell on\n" + x.Screen() })
	return pid
}

// Ended waits for the end of the program and returns its exit status. It wants the terminal as it was before.
func (x *Terminal) Ended() (status string) {
	x.t.Helper()
	status = x.Died()
	if before, after := x.file("before"), x.file("after"); before != after {
		x.t.Errorf("the terminal was %q before and was %q when the program had ended", before, after)
	}
	return status
}

// Died waits for the end of the program, however it came, and returns its exit status. It waits until the terminal is as it was
// before: the program may be past doing that itself.
func (x *Terminal) Died() (status string) {
	x.t.Helper()
	x.until(func() bool {
		_, err := os.Stat(filepath.Join(x.dir, fmt.Sprintf("run%d.done", x.runs)))
		return err == nil
	}, func() string { return "the end of the program on\n" + x.Screen() })
	x.Restored()
	return x.file("status")
}

// Restored waits until the terminal is as it was before the program: its settings, the screen, the cursor, and all that is
// switched on by escape sequences.
func (x *Terminal) Restored() {
	x.t.Helper()
	before := x.file("before")
	if before == "" {
		x.t.Fatal("the state of the terminal was not noted")
	}
	tty := x.TTY()
	var now string
	x.until(func() bool {
		stty, err := exec.Command("stty", "-F", tty, "-g").Output()
		if err != nil {
			x.t.Fatalf("stty: %v", err)
		}
		now = strings.TrimSpace(string(stty))
		if now == before {
			now = ""
		}
		if alt := strings.TrimSpace(x.do("display-message", "-p", "#{alternate_on}#{cursor_flag}#{mouse_any_flag}")); alt != "010" {
			now += " alternate screen, cursor and mouse " + alt
		}
		written, err := os.ReadFile(x.written())
		if err != nil {
			x.t.Fatal(err)
		}
		if on := Modes(string(written)); len(on) > 0 {
			now += fmt.Sprintf(" still on: %q", on)
		}
		return now == ""
	}, func() string { return fmt.Sprintf("the terminal to be as before (%s); it is%s", before, now) })
}

// Hangup takes the terminal away, as a lost line does. It can't be looked at or reached by keys any more.
func (x *Terminal) Hangup() {
	x.t.Helper()
	x.do("kill-server")
}

// Until waits for a condition outside of the screen.
func (x *Terminal) Until(what string, ok func() bool) {
	x.t.Helper()
	x.until(ok, func() string {
		screen, _ := exec.Command(x.tmux, "-S", x.socket, "capture-pane", "-p").Output() // none after a hangup
		return what + " on\n" + string(screen)
	})
}

// Stopped reports whether the program is stopped, as by Ctrl-Z.
func Stopped(pid int) bool {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(b), ") ")
	return strings.HasPrefix(rest, "T")
}
