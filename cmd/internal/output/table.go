package output

import (
	"fmt"
	"io"
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// Table is columns of text under a header. Widths are those of a terminal, so wide characters line up.
type Table struct {
	Header []string
	Rows   [][]string
}

// Write draws the table, without trailing blanks. A table without rows draws its header.
func (t Table) Write(w io.Writer) {
	widths := make([]int, len(t.Header))
	for _, row := range append([][]string{t.Header}, t.Rows...) {
		for i, cell := range row {
			if i < len(widths) {
				widths[i] = max(widths[i], ansi.StringWidth(cell))
			}
		}
	}
	for _, row := range append([][]string{t.Header}, t.Rows...) {
		var b strings.Builder
		for i, cell := range row {
			b.WriteString(cell)
			if i < len(widths) && i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-ansi.StringWidth(cell)+2))
			}
		}
		fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
	}
}

// Table prints a table as a result: data in JSON, t as text.
func (p *Printer) Table(name string, t Table, data any) {
	p.Result(name, data, t.Write)
}
