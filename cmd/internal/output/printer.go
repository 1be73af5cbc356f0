// Package output prints what commands have to tell: text for people, JSON lines for programs. Nothing else prints.
package output

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"
	"time"

	"github.com/mosparoctl/mosparoctl/ops"
)

// Format is how a command prints.
type Format string

// The formats.
const (
	Text Format = "text"
	JSON Format = "json"
)

// Options tell a Printer where and how to print.
type Options struct {
	Stdout, Stderr io.Writer
	Format         Format
	Quiet          bool // text: only results, warnings and errors
	Color          bool // text: ANSI colours
	Terminal       bool // Stderr is a terminal: progress is drawn there
	Verbose        bool // text: start of steps and skipped steps too
	Redactor       *ops.Redactor
	Log            io.Writer // JSON lines of all events, whatever Format is; nil: none
	Version        string    // of the program, for the first JSON line
	Events         ops.Sink  // takes every event too, secrets masked; nil: nobody does
}

// Printer prints results and events. It is an ops.Sink; safe for concurrent use.
type Printer struct {
	o           Options
	mu          sync.Mutex
	op          string
	stdout, log *stream // Stdout and Log of o; log is nil where there is none
	progress
}

// New makes a Printer.
func New(o Options) *Printer {
	if o.Redactor == nil {
		o.Redactor = &ops.Redactor{}
	}
	p := &Printer{o: o, stdout: &stream{w: o.Stdout}, progress: progress{nodes: map[string]ops.Event{}}}
	p.o.Stdout = p.stdout
	if o.Log != nil {
		p.log = &stream{w: o.Log}
		p.o.Log = p.log
	}
	return p
}

// stream remembers the first error of writing to w.
type stream struct {
	w   io.Writer
	err error
}

func (s *stream) Write(b []byte) (int, error) {
	n, err := s.w.Write(b)
	if s.err == nil {
		s.err = err
	}
	return n, err
}

// lost is the error with which output was lost, or nil. A reader that wanted no more, as head does, lost nothing.
func (s *stream) lost() error {
	if s == nil || errors.Is(s.err, syscall.EPIPE) {
		return nil
	}
	return s.err
}

// header is the first line of every JSON stream.
type header struct {
	Version int    `json:"version"` // ops.EventVersion
	Program string `json:"program"`
	Command string `json:"command"`
}

// Begin starts the output of a command.
func (p *Printer) Begin(command string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.op = command
	h := header{Version: ops.EventVersion, Program: "mosparoctl " + p.o.Version, Command: command}
	if p.o.Format == JSON {
		p.json(p.o.Stdout, h)
	}
	if p.o.Log != nil {
		p.json(p.o.Log, h)
	}
}

// Emit prints an event.
func (p *Printer) Emit(e ops.Event) {
	p.o.Redactor.Sink(ops.SinkFunc(p.emit)).Emit(e)
}

func (p *Printer) emit(e ops.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e.Time.IsZero() {
		e.Time = time.Now().UTC()
	}
	if e.Op == "" {
		e.Op = p.op
	}
	if p.o.Log != nil && e.Kind != ops.Progress {
		p.json(p.o.Log, e)
	}
	if p.o.Events != nil {
		p.o.Events.Emit(e)
	}
	if p.o.Format == JSON {
		p.json(p.o.Stdout, e)
		return
	}
	p.text(e)
}

// result is a JSON line that carries what a command was asked for.
type result struct {
	Kind string `json:"kind"` // "result"
	Name string `json:"name"`
	Data any    `json:"data"`
}

// Result prints what the command was asked for: data as one JSON line, or what text writes.
func (p *Printer) Result(name string, data any, text func(io.Writer)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.o.Format == JSON {
		p.json(p.o.Stdout, result{Kind: "result", Name: name, Data: data})
		return
	}
	p.clear()
	text(redacting{p.o.Stdout, p.o.Redactor})
}

// summary is the last line of every JSON stream.
type summary struct {
	Time    time.Time `json:"time"`
	Kind    ops.Kind  `json:"kind"` // "summary"
	Op      string    `json:"op"`
	Exit    int       `json:"exit"`
	Code    ops.Code  `json:"code,omitempty"`
	Node    string    `json:"node,omitempty"`
	Error   string    `json:"error,omitempty"`
	Hint    string    `json:"hint,omitempty"`
	Message string    `json:"message,omitempty"`
}

// End prints the error, if any, and the JSON summary, and returns the exit status. Output that could not be written is a failure too: who
// reads it must not take half an answer for a whole one.
func (p *Printer) End(err error) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	exit := 0
	s := summary{Time: time.Now().UTC(), Kind: ops.Summary, Op: p.op}
	if err != nil {
		var e *ops.Error
		if errors.As(err, &e) {
			s.Node = e.Node
		}
		s.Code, s.Error, s.Hint = ops.CodeOf(err), p.o.Redactor.Text(err.Error()), p.o.Redactor.Text(ops.HintOf(err))
		exit = s.Code.ExitStatus()
	}
	s.Exit = exit
	if p.o.Log != nil {
		p.json(p.o.Log, s)
	}
	switch {
	case p.o.Format == JSON:
		p.json(p.o.Stdout, s)
	case err != nil:
		fmt.Fprintf(p.o.Stderr, "%s %s\n", p.paint(red, "error:"), Printable(s.Error))
		if s.Hint != "" {
			fmt.Fprintf(p.o.Stderr, "%s %s\n", p.paint(bold, " hint:"), Printable(s.Hint))
		}
	}
	if lost := p.log.lost(); lost != nil {
		fmt.Fprintf(p.o.Stderr, "%s the log file is not complete: %v\n", p.paint(yellow, "warning:"), lost)
	}
	if lost := p.stdout.lost(); lost != nil {
		fmt.Fprintf(p.o.Stderr, "%s the output is not complete, what was done is done: %v\n", p.paint(red, "error:"), lost)
		if exit == 0 {
			exit = ops.CodeFailed.ExitStatus()
		}
	}
	return exit
}

// json writes v as one line. A value that can't be encoded is a mistake in this program, told on the stream itself.
func (p *Printer) json(w io.Writer, v any) {
	line, err := json.Marshal(v)
	if err != nil {
		line, _ = json.Marshal(summary{Kind: ops.Warning, Op: p.op, Error: "encode output: " + err.Error()})
	}
	_, _ = io.WriteString(w, escaped(p.o.Redactor.Text(string(line)))+"\n")
}

// redacting masks secrets and control characters in what is written through it. Each Write must hold whole values; fmt's do.
type redacting struct {
	w io.Writer
	r *ops.Redactor
}

func (r redacting) Write(b []byte) (int, error) {
	if _, err := io.WriteString(r.w, Printable(r.r.Text(string(b)))); err != nil {
		return 0, err
	}
	return len(b), nil
}
