package ops

import (
	"encoding/json"
	"strconv"
	"strings"
	"sync"
	"time"
)

// EventVersion is the version of the Event format, written first in every JSON stream.
// It grows when a field changes its meaning or goes; new fields do not change it.
const EventVersion = 1

// Kind says what an Event tells.
type Kind string

// The closed list of event kinds.
const (
	Planned  Kind = "planned"  // a step was planned; Message is its title
	Started  Kind = "started"  // a step started
	Progress Kind = "progress" // Done of Total units are done; may be merged by a sink
	Output   Kind = "output"   // a line of output of a command on a node
	Finished Kind = "finished" // a step, or without Step the whole operation on a node, succeeded
	Skipped  Kind = "skipped"  // a step had nothing to do; Message says why
	Failed   Kind = "failed"   // a step failed; Error says why
	Warning  Kind = "warning"  // something an operator should know
	Summary  Kind = "summary"  // the last event of an operation
)

// Event is what happened, flat and versioned: every consumer (text, JSON lines, TUI, log, tests) reads the same stream.
type Event struct {
	Time    time.Time `json:"time"`
	Kind    Kind      `json:"kind"`
	Op      string    `json:"op"`
	Node    string    `json:"node,omitempty"`
	Step    string    `json:"step,omitempty"`
	Done    int64     `json:"done,omitempty"`
	Total   int64     `json:"total,omitempty"`
	Unit    string    `json:"unit,omitempty"` // of Done and Total: "bytes", "files", "steps"
	Message string    `json:"message,omitempty"`
	Error   string    `json:"error,omitempty"`
	Hint    string    `json:"hint,omitempty"`
	Code    Code      `json:"code,omitempty"`
}

// Sink takes events. Emit is called from many goroutines at once and must not block for long;
// it may merge Progress events but drops nothing else.
type Sink interface {
	Emit(Event)
}

// SinkFunc makes a Sink of a function that is safe for concurrent use.
type SinkFunc func(Event)

// Emit calls f.
func (f SinkFunc) Emit(e Event) { f(e) }

// Discard drops every event.
var Discard Sink = SinkFunc(func(Event) {})

// Recorder keeps events in memory, for tests and for summaries. The zero value is ready; safe for concurrent use.
type Recorder struct {
	mu     sync.Mutex
	events []Event
}

// Emit appends e.
func (r *Recorder) Emit(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

// Events returns a copy of what was recorded so far.
func (r *Recorder) Events() []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Event(nil), r.events...)
}

// Mask stands for a secret in everything that is shown.
const Mask = "••••••"

// Redactor replaces secret values in text. Values are added as they become known, from any goroutine.
// The zero value is ready to use and replaces nothing.
type Redactor struct {
	mu       sync.RWMutex
	values   map[string]bool
	replacer *strings.Replacer
}

// Add makes the redactor replace value from now on, also as it stands in JSON and in Go's quotes, which write some characters
// otherwise. Values shorter than four bytes are ignored, since replacing them would garble ordinary text and reveal them by doing so.
func (r *Redactor) Add(value string) {
	if len(value) < 4 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.values == nil {
		r.values = map[string]bool{}
	}
	if r.values[value] {
		return
	}
	r.values[value] = true
	quoted := strconv.Quote(value)
	r.values[quoted[1:len(quoted)-1]] = true
	if encoded, err := json.Marshal(value); err == nil { // a text can always be encoded
		r.values[string(encoded[1:len(encoded)-1])] = true
	}
	pairs := make([]string, 0, 2*len(r.values))
	for _, v := range sortedByLength(r.values) {
		pairs = append(pairs, v, Mask)
	}
	r.replacer = strings.NewReplacer(pairs...)
}

// Text is s with every known secret masked.
func (r *Redactor) Text(s string) string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.replacer == nil {
		return s
	}
	return r.replacer.Replace(s)
}

// Sink masks secrets in the texts of each event before next sees it.
func (r *Redactor) Sink(next Sink) Sink {
	return SinkFunc(func(e Event) {
		e.Message, e.Error, e.Hint = r.Text(e.Message), r.Text(e.Error), r.Text(e.Hint)
		e.Step = r.Text(e.Step)
		next.Emit(e)
	})
}
