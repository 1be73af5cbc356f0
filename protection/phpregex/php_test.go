package phpregex

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/mosparoctl/mosparoctl/internal/lab/server"
)

var (
	differentialTime = flag.Duration("differential", 20*time.Second, "how long to compare with PHP")
	differentialSeed = flag.Uint64("seed", 1, "seed of the comparison; 0 takes a new one, for long runs")
)

// worker is a PHP process that answers one question a line.
type worker struct {
	in  io.Writer
	out *bufio.Scanner
}

func startPHP(t *testing.T) *worker {
	t.Helper()
	php := server.Binary(t, "php")
	version, _ := exec.Command(php, "-r", "echo PCRE_VERSION;").Output()
	server.Need(t, bytes.HasPrefix(version, []byte("10.42")), fmt.Sprintf("this PHP has PCRE2 %s, the reference is 10.42", version))
	cmd := exec.Command(php, "-n", "testdata/worker.php")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	return &worker{in, bufio.NewScanner(out)}
}

// ask sends all subjects in one go and returns one answer each.
func (w *worker) ask(t *testing.T, pattern string, subjects []string) string {
	t.Helper()
	var b strings.Builder
	for _, s := range subjects {
		fmt.Fprintf(&b, "%s %s\n", base64.StdEncoding.EncodeToString([]byte(pattern)), base64.StdEncoding.EncodeToString([]byte(s)))
	}
	if _, err := io.WriteString(w.in, b.String()); err != nil {
		t.Fatal(err)
	}
	answers := ""
	for range subjects {
		if !w.out.Scan() {
			t.Fatalf("php ended at %q", pattern)
		}
		answers += w.out.Text()
	}
	return answers
}

// disagreement compares one pattern with PHP's answers; "" is agreement.
func disagreement(re *Regexp, subjects []string, answers string) string {
	for i, s := range subjects {
		matched, err := re.Match(s)
		if answers[i] == '1' && !strings.Contains(asciiLower(s), re.Required()) {
			return fmt.Sprintf("on %q: a match without %q", s, re.Required())
		}
		switch answers[i] {
		case 'E':
			return "PHP refuses the pattern"
		case 'X':
			if matched && errors.Is(err, ErrUTF8) {
				return fmt.Sprintf("on %q: an error and a match", s)
			}
		default:
			if errors.Is(err, ErrLimit) {
				continue // cut off, which is not silent
			}
			if matched != (answers[i] == '1') || err != nil {
				return fmt.Sprintf("on %q: %v %v, PHP says %c", s, matched, err, answers[i])
			}
		}
	}
	return ""
}

// TestDifferential compares random patterns and subjects with PHP. A disagreement is a failure; being refused is not, but
// most of the patterns that PHP takes must be taken.
func TestDifferential(t *testing.T) {
	php := startPHP(t)
	seed := *differentialSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	g := &generator{rand.New(rand.NewPCG(seed, 0))}
	deadline := time.Now().Add(*differentialTime)
	var patterns, taken, linear, refusedByUs, failures int
	for time.Now().Before(deadline) && failures < 10 {
		literal := g.literal()
		subjects := make([]string, 12)
		for i := range subjects {
			subjects[i] = g.subject(literal)
		}
		patterns++
		re, err := Compile(literal)
		answers := php.ask(t, literal, subjects)
		if err != nil {
			if !strings.Contains(answers, "E") {
				refusedByUs++
			}
			continue
		}
		taken++
		if re.Linear() {
			linear++
		}
		if d := disagreement(re, subjects, answers); d != "" {
			failures++
			t.Errorf("seed %d: %q (linear %v): %s", seed, literal, re.Linear(), d)
		}
	}
	t.Logf("seed %d: %d patterns, %d taken (%d linear), %d that PHP takes refused", seed, patterns, taken, linear, refusedByUs)
	if taken < refusedByUs*2 {
		t.Errorf("only %d patterns taken, %d refused that PHP takes", taken, refusedByUs)
	}
}

// The comparison must be able to fail.
func TestDisagreementIsSeen(t *testing.T) {
	re, err := Compile(`/a/`)
	if err != nil {
		t.Fatal(err)
	}
	for answers, want := range map[string]bool{"1": false, "0": true, "E": true} {
		if d := disagreement(re, []string{"a"}, answers); (d != "") != want {
			t.Errorf("answer %s: %q", answers, d)
		}
	}
}

// TestUnicodeData asks PHP for the tables again.
func TestUnicodeData(t *testing.T) {
	startPHP(t)
	if testing.Short() {
		t.Skip("takes ten seconds")
	}
	got, err := exec.Command("php", "testdata/unicode.php").Output()
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != unicodeText {
		t.Error("unicode.txt is not what this PHP says; run go generate and look at the difference")
	}
}

// generator makes patterns and subjects that have a chance to match.
type generator struct{ *rand.Rand }

func (g *generator) pick(list ...string) string { return list[g.IntN(len(list))] }

func (g *generator) literal() string {
	modifiers := ""
	for _, m := range "imsxnUADu" {
		if g.IntN(4) == 0 {
			modifiers += string(m)
		}
	}
	if strings.Contains(modifiers, "x") && g.IntN(2) == 0 {
		modifiers = strings.ReplaceAll(modifiers, "x", "")
	}
	body := g.alternatives(3)
	switch g.IntN(8) {
	case 0:
		return "{" + body + "}" + modifiers
	case 1:
		return "~" + body + "~" + modifiers
	case 2: // noise: anything may come
		cut := g.IntN(len(body) + 1)
		return "/" + body[:cut] + g.pick("(", ")", "[", "]", "{", "}", "*", "?", "+", "\\", "|", "^", "-", "\xff", "é", ",", "2", "#", "\n", ":") + body[cut:] + "/" + modifiers
	}
	return "/" + body + "/" + modifiers
}

func (g *generator) alternatives(depth int) string {
	out := g.sequence(depth)
	for g.IntN(4) == 0 {
		out += "|" + g.sequence(depth)
	}
	return out
}

func (g *generator) sequence(depth int) string {
	out := ""
	for range g.IntN(4) {
		out += g.item(depth)
		if g.IntN(3) == 0 {
			out += g.pick("*", "+", "?", "{2}", "{1,2}", "{0,2}", "{2,}", "{,2}", "{0}", "{3") + g.pick("", "", "", "?", "+")
		}
	}
	return out
}

func (g *generator) item(depth int) string {
	if depth > 0 && g.IntN(3) == 0 {
		inner := g.alternatives(depth - 1)
		return g.pick("(", "(", "(", "(?:", "(?>", "(?=", "(?!", "(?<=", "(?<!", "(?<n>", "(?'m'", "(?P<o>", "(?i:", "(?-i:", "(?^:", "(?s-m:", "(?U:", "(?1", "(?|") + inner + ")"
	}
	switch g.IntN(9) {
	case 0:
		return g.class()
	case 1:
		return g.pick("^", "$", `\A`, `\z`, `\Z`, `\b`, `\B`, `\G`, "^", "$")
	case 2:
		return g.pick(`\d`, `\D`, `\w`, `\W`, `\s`, `\S`, `\h`, `\H`, `\v`, `\V`, `\R`, `\N`, ".", ".", ".")
	case 3:
		return g.pick(`\1`, `\2`, `\g{-1}`, `\g1`, `\k<n>`, `\k{m}`, `(?P=o)`, `\k'n'`, `\g{n}`, "(?(1)a|b)", "(?(<n>)a)", "(?(2)b)")
	case 4:
		return g.pick(`\p{L}`, `\p{Lu}`, `\P{Ll}`, `\p{Greek}`, `\pN`, `\p{^L}`, `\p{L&}`, `\x{e9}`, `\xe9`, `\x41`, `\101`, `\0`, `\07`, `\o{141}`, `\cA`, `\e`, `\x{3c3}`, `\x{212a}`, `\11`, `\81`)
	case 5:
		return g.pick("(?i)", "(?-i)", "(?s)", "(?m)", "(?x)", "(?#c)", "(?n)", `\Qa.\E`, `\E`, `\Q\E`, " ", "#a\n", "(?U)", "(?^)", "(?im-s)", `\K`, `\.`, `\-`, `\/`)
	}
	return g.pick("a", "b", "A", "B", "k", "s", "1", "_", "\n", "é", "É", "ſ", "σ", "ß", " ", "-", ",", "}", "]")
}

func (g *generator) class() string {
	out := "[" + g.pick("", "", "^")
	for range 1 + g.IntN(3) {
		out += g.pick("a", "b", "K", "s", "é", "ς", "a-c", "A-z", "0-9", `\d`, `\W`, `\s`, `\S`, "[:alpha:]", "[:^lower:]", "[:upper:]", "[:punct:]", "[:word:]", "[:space:]",
			"[:print:]", "[:graph:]", "[:xdigit:]", "[:cntrl:]", `\p{L}`, `\P{Lu}`, "-", "]", "^", `\n`, `\]`, `\x{e0}-\x{ff}`, `\x80-\xff`, `\b`, `\h`, `\V`, `\\`, ".", " ", "[", "[:foo:]", "a-", `\1`, `\x{3b1}-\x{3c9}`)
	}
	return out + "]"
}

func (g *generator) subject(literal string) string {
	out := ""
	for range g.IntN(7) {
		switch g.IntN(3) {
		case 0: // a piece of the pattern
			i := g.IntN(len(literal))
			out += literal[i:min(len(literal), i+1+g.IntN(3))]
		default:
			out += g.pick("a", "b", "A", "B", "k", "K", "\u212a", "s", "S", "ſ", "1", "_", "\n", "\r\n", "é", "É", "\xe9", "\xff", "σ", "ς", "Σ", "ß", "ẞ", " ", "-", "aa", "ab", "\x00", "\x01", "\u0085", "\u2028", "\u3005", ",", "\t")
		}
	}
	return out
}

func asciiLower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c | 0x20
		}
	}
	return string(b)
}
