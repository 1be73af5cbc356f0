// Package opstest holds the contract suite of ops.Host: what every implementation does, over SSH, on this machine or as a fake.
package opstest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/mosparoctl/mosparoctl/ops"
)

// Contract runs the suite. open gives a host and an empty folder on it that the host may write to; it is called once for each
// part of the suite.
func Contract(t *testing.T, open func(t *testing.T) (ops.Host, string)) {
	parts := []struct {
		name string
		run  func(t *testing.T, h ops.Host, dir string)
	}{
		{"Run", testRun}, {"RunStreams", testRunStreams}, {"RunQuotes", testRunQuotes}, {"RunIsCancelled", testRunIsCancelled},
		{"RunBoundsOutput", testRunBoundsOutput}, {"RunInDir", testRunInDir},
		{"Dial", testDial},
		{"WriteFile", testWriteFile}, {"WriteFileSizes", testWriteFileSizes}, {"WriteFileKeepsOld", testWriteFileKeepsOld},
		{"WriteFileCancelled", testWriteFileCancelled}, {"WriteFileIsPrivate", testWriteFileIsPrivate}, {"WriteFilesAtOnce", testWriteFilesAtOnce},
		{"Open", testOpen}, {"Lstat", testLstat}, {"ReadDir", testReadDir},
		{"Symlink", testSymlink}, {"Link", testLink}, {"MkdirAll", testMkdirAll}, {"Rename", testRename}, {"Remove", testRemove},
		{"RemoveAll", testRemoveAll}, {"SetAttr", testSetAttr}, {"Errors", testErrors}, {"CancelledContext", testCancelledContext},
	}
	for _, p := range parts {
		t.Run(p.name, func(t *testing.T) {
			h, dir := open(t)
			p.run(t, h, dir)
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// write writes a small file.
func write(t *testing.T, h ops.Host, name, content string) {
	t.Helper()
	must(t, h.WriteFile(t.Context(), name, strings.NewReader(content), ops.Attr{}))
}

// read reads a whole file.
func read(t *testing.T, h ops.Host, name string) string {
	t.Helper()
	f, err := h.Open(t.Context(), name)
	must(t, err)
	defer f.Close()
	b, err := io.ReadAll(f)
	must(t, err)
	return string(b)
}

// names lists a directory.
func names(t *testing.T, h ops.Host, dir string) string {
	t.Helper()
	infos, err := h.ReadDir(t.Context(), dir)
	must(t, err)
	var list []string
	for _, i := range infos {
		list = append(list, i.Name)
	}
	return strings.Join(list, " ")
}

func wantNames(t *testing.T, h ops.Host, dir, want string) {
	t.Helper()
	if got := names(t, h, dir); got != want {
		t.Errorf("%s holds %q, want %q", dir, got, want)
	}
}

func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: error %v, want %v", what, err, want)
	}
}

func testRun(t *testing.T, h ops.Host, _ string) {
	res, err := h.Run(t.Context(), ops.Command{Argv: []string{"sh", "-c", "echo out; echo err >&2"}})
	if err != nil || string(res.Stdout) != "out\n" || string(res.Stderr) != "err\n" {
		t.Errorf("Run = %q, %q, %v", res.Stdout, res.Stderr, err)
	}
	var exit *ops.ExitError
	_, err = h.Run(t.Context(), ops.Command{Argv: []string{"sh", "-c", "echo why >&2; exit 3"}})
	if !errors.As(err, &exit) || exit.Status != 3 || !strings.Contains(err.Error(), "why") {
		t.Errorf("a failing command gives %v", err)
	}
	_, err = h.Run(t.Context(), ops.Command{Argv: []string{"sh", "-c", "kill -TERM $$"}})
	if !errors.As(err, &exit) || exit.Status != 128+15 {
		t.Errorf("a killed command gives %v, want status 143", err)
	}
	_, err = h.Run(t.Context(), ops.Command{Argv: []string{"no-such-command-anywhere"}})
	if !errors.As(err, &exit) || exit.Status != 127 {
		t.Errorf("a missing command gives %v, want status 127", err)
	}
	if _, err = h.Run(t.Context(), ops.Command{}); err == nil {
		t.Errorf("no command gives %v", err)
	}
	res, err = h.Run(t.Context(), ops.Command{Argv: []string{"cat"}})
	if err != nil || len(res.Stdout) != 0 {
		t.Errorf("a command without Stdin reads %q, %v, want an empty input", res.Stdout, err)
	}
}

func testRunStreams(t *testing.T, h ops.Host, _ string) {
	in := strings.Repeat("all of the input\n", 20_000)
	var out, errOut bytes.Buffer
	_, err := h.Run(t.Context(), ops.Command{Argv: []string{"sh", "-c", "tee /dev/stderr"}, Stdin: strings.NewReader(in), Stdout: &out, Stderr: &errOut})
	must(t, err)
	if out.String() != in || errOut.String() != in {
		t.Errorf("%d and %d of %d bytes came back", out.Len(), errOut.Len(), len(in))
	}
	// A command may end without reading its input.
	_, err = h.Run(t.Context(), ops.Command{Argv: []string{"true"}, Stdin: strings.NewReader(in)})
	must(t, err)
	// Output arrives while the command runs: it answers each line before the next one is sent.
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	done := make(chan error, 1)
	go func() {
		_, err := h.Run(t.Context(), ops.Command{Argv: []string{"sh", "-c", "while read -r l; do echo got $l; done"}, Stdin: inR, Stdout: outW})
		outW.CloseWithError(errors.Join(err, io.EOF))
		done <- err
	}()
	for _, l := range []string{"one", "two"} {
		_, err := io.WriteString(inW, l+"\n")
		must(t, err)
		got := make([]byte, len("got \n")+len(l))
		_, err = io.ReadFull(outR, got)
		must(t, err)
		if string(got) != "got "+l+"\n" {
			t.Errorf("answer %q", got)
		}
	}
	inW.Close()
	must(t, <-done)
}

// Awkward are words that quoting gets wrong when it is naive.
var Awkward = []string{"", " ", "a b", "'", `"`, `\`, "$HOME", "`id`", "$(id)", "*", "~", "a\nb", "\t", "!x", "#", "-n", "--", "é", "\xff\xfe", "a'b'c", "{a,b}", "&", ";", "|", "<x", "=", "%s"}

func testRunQuotes(t *testing.T, h ops.Host, _ string) {
	// printf ends each argument with a NUL byte, which no argument can have.
	res, err := h.Run(t.Context(), ops.Command{Argv: append([]string{"printf", `%s\0`}, Awkward...)})
	must(t, err)
	if want := strings.Join(Awkward, "\x00") + "\x00"; string(res.Stdout) != want {
		t.Errorf("arguments arrived as %q, want %q", res.Stdout, want)
	}
	env, show := map[string]string{}, `printf '%s\0'`
	for i, v := range Awkward {
		env[fmt.Sprint("MOSPARO_TEST", i)] = v
		show += fmt.Sprintf(` "$MOSPARO_TEST%d"`, i)
	}
	res, err = h.Run(t.Context(), ops.Command{Argv: []string{"sh", "-c", show}, Env: env})
	must(t, err)
	if want := strings.Join(Awkward, "\x00") + "\x00"; string(res.Stdout) != want {
		t.Errorf("variables arrived as %q, want %q", res.Stdout, want)
	}
}

func testRunIsCancelled(t *testing.T, h ops.Host, dir string) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	outR, outW := io.Pipe()
	done := make(chan error, 1)
	go func() {
		// The command says that it runs, and leaves a mark if it is let run to its end.
		_, err := h.Run(ctx, ops.Command{Argv: []string{"sh", "-c", "echo; exec sleep 600"}, Dir: dir, Stdout: outW})
		done <- err
	}()
	_, err := outR.Read(make([]byte, 1))
	must(t, err)
	cancel()
	outR.Close()
	wantErr(t, "a cancelled command", <-done, context.Canceled)
	// The host is as good as before.
	_, err = h.Run(t.Context(), ops.Command{Argv: []string{"true"}})
	must(t, err)
}

func testRunBoundsOutput(t *testing.T, h ops.Host, _ string) {
	res, err := h.Run(t.Context(), ops.Command{Argv: []string{"sh", "-c", "head -c 5000000 /dev/zero"}})
	if err != nil || len(res.Stdout) != 4<<20 {
		t.Errorf("captured %d bytes, %v, want 4 MiB", len(res.Stdout), err)
	}
	var exit *ops.ExitError
	_, err = h.Run(t.Context(), ops.Command{Argv: []string{"sh", "-c", "head -c 100000 /dev/zero >&2; echo end >&2; exit 1"}})
	if !errors.As(err, &exit) || len(exit.Stderr) > 4<<10 || !bytes.HasSuffix(exit.Stderr, []byte("end\n")) {
		t.Errorf("the error keeps %d bytes, want the last 4 KiB", len(exit.Stderr))
	}
}

func testRunInDir(t *testing.T, h ops.Host, dir string) {
	sub := path.Join(dir, "with space")
	must(t, h.MkdirAll(t.Context(), sub, ops.Attr{}))
	res, err := h.Run(t.Context(), ops.Command{Argv: []string{"pwd", "-P"}, Dir: sub})
	if err != nil || !strings.HasSuffix(string(res.Stdout), "/with space\n") {
		t.Errorf("pwd = %q, %v", res.Stdout, err)
	}
	if _, err := h.Run(t.Context(), ops.Command{Argv: []string{"true"}, Dir: path.Join(dir, "none")}); err == nil {
		t.Error("a command ran in a folder that is not there")
	}
}

// testDial needs the host to be this machine, as it is for all implementations under test.
func testDial(t *testing.T, h ops.Host, _ string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); _, _ = io.Copy(c, c) }()
		}
	}()
	c, err := h.Dial(t.Context(), "tcp", l.Addr().String())
	must(t, err)
	defer c.Close()
	// Database and cache clients set deadlines and fail without them.
	must(t, c.SetDeadline(time.Now().Add(time.Minute)))
	_, err = io.WriteString(c, "ping")
	must(t, err)
	got := make([]byte, 4)
	if _, err := io.ReadFull(c, got); err != nil || string(got) != "ping" {
		t.Errorf("echo = %q, %v", got, err)
	}
	must(t, c.SetReadDeadline(time.Now().Add(-time.Second)))
	var netErr net.Error
	if _, err := c.Read(got); !errors.As(err, &netErr) || !netErr.Timeout() {
		t.Errorf("read after the deadline: %v", err)
	}
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	gone.Close()
	if c, err := h.Dial(t.Context(), "tcp", gone.Addr().String()); err == nil {
		c.Close()
		t.Error("connected to a closed port")
	}
}
