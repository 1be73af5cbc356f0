package output_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"

	"github.com/mosparoctl/mosparoctl/cmd/internal/output"
	"github.com/mosparoctl/mosparoctl/ops"
)

func TestJSONStartsWithVersionAndEndsWithSummary(t *testing.T) {
	var out, errs bytes.Buffer
	red := &ops.Redactor{}
	red.Add("s3cret-value")
	p := output.New(output.Options{Stdout: &out, Stderr: &errs, Format: output.JSON, Redactor: red, Version: "1.2.3"})
	p.Begin("deploy")
	p.Emit(ops.Event{Kind: ops.Finished, Node: "app1", Message: "password s3cret-value"})
	p.Result("releases", map[string]string{"key": "s3cret-value"}, nil)
	err := (&ops.Error{Code: ops.CodeLocked, Node: "app1", Hint: "mosparoctl unlock", Err: errors.New("held with s3cret-value")})
	if got := p.End(err); got != 6 {
		t.Errorf("exit status %d, want 6", got)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 4 {
		t.Fatalf("%d lines:\n%s", len(lines), out.String())
	}
	var first, last map[string]any
	if json.Unmarshal([]byte(lines[0]), &first) != nil || first["version"] != 1.0 || first["command"] != "deploy" {
		t.Errorf("first line: %s", lines[0])
	}
	if json.Unmarshal([]byte(lines[3]), &last) != nil || last["kind"] != "summary" || last["exit"] != 6.0 || last["node"] != "app1" {
		t.Errorf("last line: %s", lines[3])
	}
	if strings.Contains(out.String()+errs.String(), "s3cret") {
		t.Errorf("the secret is shown:\n%s", out.String())
	}
}

func TestTextPutsWarningsAndErrorsOnStderr(t *testing.T) {
	var out, errs bytes.Buffer
	p := output.New(output.Options{Stdout: &out, Stderr: &errs, Format: output.Text})
	p.Begin("sync")
	p.Emit(ops.Event{Kind: ops.Finished, Node: "app1", Message: "3 files"})
	p.Emit(ops.Event{Kind: ops.Warning, Node: "app2", Message: "changed behind our back"})
	p.Emit(ops.Event{Kind: ops.Failed, Node: "app2", Message: "upload", Error: "app2: no space"})
	p.Emit(ops.Event{Kind: ops.Progress, Node: "app1", Done: 1, Total: 2})
	if got := p.End(errors.New("boom")); got != 1 {
		t.Errorf("exit status %d, want 1", got)
	}
	if out.String() != "✓ app1: 3 files\n" {
		t.Errorf("stdout = %q", out.String())
	}
	if errs.String() != "warning: app2: changed behind our back\n✗ app2: upload: no space\nerror: boom\n" {
		t.Errorf("stderr = %q", errs.String())
	}
}

func TestTextDoesNotSteerTheTerminal(t *testing.T) {
	var out, errs bytes.Buffer
	p := output.New(output.Options{Stdout: &out, Stderr: &errs, Format: output.Text, Verbose: true})
	p.Begin("deploy")
	const hostile = "a\x1b]52;c;ZXZpbA==\x07\u009b2J\x9b2J\r\tä\n"
	for _, kind := range []ops.Kind{ops.Planned, ops.Started, ops.Output, ops.Finished, ops.Skipped, ops.Warning, ops.Failed, ops.Summary} {
		p.Emit(ops.Event{Kind: kind, Node: "app1", Message: hostile, Error: hostile, Hint: hostile})
	}
	p.Result("rows", nil, func(w io.Writer) { fmt.Fprint(w, hostile) })
	p.End((&ops.Error{Hint: hostile, Err: errors.New(hostile)}))
	const shown = `a\x1b]52;c;ZXZpbA==\x07\x9b2J\x9b2J\x0d` + "\tä\n"
	for _, text := range []string{out.String(), errs.String()} {
		if strings.ContainsAny(text, "\x1b\x07\r\u009b") || strings.ToValidUTF8(text, "") != text || !strings.Contains(text, shown) {
			t.Errorf("printed %q", text)
		}
	}
}

func TestJSONDoesNotSteerTheTerminal(t *testing.T) {
	var out bytes.Buffer
	p := output.New(output.Options{Stdout: &out, Format: output.JSON})
	const hostile = "a\x1b[2J\u009b2J\u007fä\n"
	p.Emit(ops.Event{Kind: ops.Output, Message: hostile})
	if strings.ContainsAny(out.String(), "\x1b\u009b\u007f") {
		t.Errorf("printed %q", out.String())
	}
	var e ops.Event
	if err := json.Unmarshal(out.Bytes(), &e); err != nil || e.Message != hostile {
		t.Errorf("read back as %q, %v", e.Message, err)
	}
}

func TestTableAlignsWideText(t *testing.T) {
	var b bytes.Buffer
	output.Table{Header: []string{"NODE", "STATE"}, Rows: [][]string{{"日本", "ok"}, {"a", "✓ fine"}}}.Write(&b)
	if want := "NODE  STATE\n日本  ok\na     ✓ fine\n"; b.String() != want {
		t.Errorf("table:\n%s", b.String())
	}
}

// full takes nothing, as a full disk.
type full struct{ err error }

func (f full) Write([]byte) (int, error) { return 0, f.err }

func TestOutputThatIsLostIsAFailure(t *testing.T) {
	for _, tt := range []struct {
		name        string
		stdout, log error
		err         error
		exit        int
		said        string
	}{
		{name: "a full disk", stdout: syscall.ENOSPC, exit: 1, said: "error: the output is not complete, what was done is done: no space left on device\n"},
		{name: "a reader that has enough", stdout: syscall.EPIPE},
		{name: "a failure of its own", stdout: syscall.ENOSPC, err: ops.Errorf(ops.CodeLocked, "held"), exit: 6,
			said: "error: held\nerror: the output is not complete, what was done is done: no space left on device\n"},
		{name: "the log", log: syscall.ENOSPC, said: "warning: the log file is not complete: no space left on device\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var errs bytes.Buffer
			o := output.Options{Stdout: io.Discard, Stderr: &errs, Format: output.Text, Log: io.Discard}
			if tt.stdout != nil {
				o.Stdout = full{tt.stdout}
			}
			if tt.log != nil {
				o.Log = full{tt.log}
			}
			p := output.New(o)
			p.Begin("releases")
			p.Result("releases", nil, func(w io.Writer) { _, _ = io.WriteString(w, "app1") })
			if got := p.End(tt.err); got != tt.exit || errs.String() != tt.said {
				t.Errorf("exit status %d, want %d; stderr:\n%s", got, tt.exit, errs.String())
			}
		})
	}
}
