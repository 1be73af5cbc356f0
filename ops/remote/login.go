package remote

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
)

// loginLine is script as a line for a login shell of any kind: sh runs it, whatever the login shell makes of quotes. fish reads
// backslashes within them, csh reads exclamation marks and allows no line ends. So those bytes stand outside of quotes, each
// behind a backslash, and line ends, which commandLine writes within single quotes only, come from a variable.
func loginLine(script string) string {
	if strings.Contains(script, "\n") {
		script = `_mosparoctl_nl=$(printf "\nx"); _mosparoctl_nl=${_mosparoctl_nl%x}; ` +
			strings.ReplaceAll(script, "\n", `'"$_mosparoctl_nl"'`)
	}
	var b strings.Builder
	b.WriteString("exec sh -c ")
	quoted := false
	for i := range len(script) {
		if special := strings.IndexByte(`'\!`, script[i]) >= 0; special == quoted {
			b.WriteByte('\'')
			quoted = !quoted
		}
		if !quoted {
			b.WriteByte('\\')
		}
		b.WriteByte(script[i])
	}
	if quoted {
		b.WriteByte('\'')
	}
	return b.String()
}

// maxGreeting bounds what login scripts may print before a command's own output begins.
const maxGreeting = 64 << 10

// greetingFilter drops what login scripts print to a command's standard output: all before the line with pidMark. Where that
// never comes, as with a forced command, everything is passed on.
type greetingFilter struct {
	w    io.Writer
	seen bool // or given up
	held []byte
}

func (f *greetingFilter) Write(p []byte) (int, error) {
	if f.seen {
		return f.w.Write(p)
	}
	f.held = append(f.held, p...)
	if _, rest, ok := cutGreeting(f.held); ok {
		f.held, f.seen = rest, true
	} else if f.seen = len(f.held) > maxGreeting; !f.seen {
		return len(p), nil
	}
	return passOn(f.w, &f.held, p)
}

// passOn writes what a filter holds, the rest of p among it, once it is not needed any more. The count is that of p.
func passOn(w io.Writer, held *[]byte, p []byte) (int, error) {
	rest := *held
	*held = nil
	if len(rest) == 0 {
		return len(p), nil
	}
	if _, err := w.Write(rest); err != nil {
		return 0, err
	}
	return len(p), nil
}

// flush passes on what is held at the end of the stream.
func (f *greetingFilter) flush() {
	if len(f.held) > 0 {
		_, _ = f.w.Write(f.held) // the command has ended: nobody is left to tell
		f.held = nil
	}
}

// cutGreeting splits what was printed so far at the line with pidMark; ok is false where that has not come yet.
func cutGreeting(text []byte) (greeting, rest []byte, ok bool) {
	greeting, rest, found := bytes.Cut(text, []byte(pidMark))
	_, rest, ended := bytes.Cut(rest, []byte("\n"))
	return greeting, rest, found && ended
}

// skipGreeting reads the stream up to the end of the line with pidMark and returns the rest of it.
func skipGreeting(r io.Reader) (io.Reader, error) {
	buffered := bufio.NewReader(r)
	var greeting []byte
	for {
		line, err := buffered.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return nil, err
		}
		greeting = append(greeting, line...)
		if _, _, ok := cutGreeting(greeting); ok {
			return buffered, nil
		}
		if len(greeting) > maxGreeting {
			return nil, errors.New("the login prints without end before the command does")
		}
	}
}
