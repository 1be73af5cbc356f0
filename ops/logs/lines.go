package logs

import (
	"bytes"
	"strings"
)

// maxLine is where a line without an end is broken.
const maxLine = 64 << 10

// Lines cuts what is written into lines, which Each gets without their ends. It is used by one goroutine at a time.
type Lines struct {
	Each func(text string)
	held []byte
}

// Write never fails.
func (l *Lines) Write(p []byte) (int, error) {
	l.held = append(l.held, p...)
	for {
		i := bytes.IndexByte(l.held, '\n')
		switch {
		case i >= 0:
			l.Each(strings.TrimSuffix(string(l.held[:i]), "\r"))
			l.held = append(l.held[:0], l.held[i+1:]...)
		case len(l.held) >= maxLine:
			l.Each(string(l.held))
			l.held = l.held[:0]
		default:
			return len(p), nil
		}
	}
}

// Flush hands on a last line that has no end.
func (l *Lines) Flush() {
	if len(l.held) > 0 {
		l.Each(string(l.held))
		l.held = nil
	}
}
