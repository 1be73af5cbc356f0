package tuitest_test

import (
	"strings"
	"testing"

	"github.com/mosparoctl/mosparoctl/tui/tuitest"
)

func TestHTMLKeepsTextAndColours(t *testing.T) {
	got := tuitest.HTML("a<b", "plain \x1b[1;38;5;203m✗ <fail>\x1b[0m \x1b[7mrow\x1b[27m\x1b[92mok\x1b[m end")
	for _, want := range []string{`<title>a&lt;b</title>`, `<span style="">plain </span>`, `<span style="color:#ff5f5f;font-weight:bold;">✗ &lt;fail&gt;</span>`,
		`<span style="color:#16181d;background:#d4d7dd;">row</span>`, `<span style="color:#23d18b;">ok</span>`, `<span style=""> end</span>`} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
	if strings.Contains(got, "\x1b") {
		t.Error("an escape sequence is left")
	}
}
