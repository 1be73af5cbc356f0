package phpregex

import (
	"errors"
	"strings"
	"sync"
	"testing"
)

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		literal, subject string
		want             bool
	}{
		{`/^foo\d+$/`, "foo12", true},
		{`/^foo\d+$/`, "foo12\n", true},
		{`/^foo\d+$/D`, "foo12\n", false},
		{`/^foo\d+\z/`, "foo12\n", false},
		{`/FOO/`, "foo", false},
		{`/FOO/i`, "foo", true},
		{"#a.c#s", "a\nc", true},
		{"#a.c#", "a\nc", false},
		{`{^a}`, "abc", true},
		{`<a<b>c>`, "xa<b>cx", true},
		{"\n /a/ \n", "a", true},
		{`/^.$/`, "é", false},
		{`/^..$/`, "é", true},
		{`/^.$/u`, "é", true},
		{`/É/i`, "é", false},
		{`/É/iu`, "é", true},
		{`/^\w$/`, "\xe9", false},
		{`/^\W\W$/`, "é", true},
		{`/^\w$/u`, "é", true},
		{`/k/iu`, "\u212a", true},
		{`/k/i`, "\u212a", false},
		{`/^\p{Cyrillic}+$/u`, "Привет", true},
		{`/^\p{Han}$/u`, "々", true},
		{`~(?<!x)y~`, "ay", true},
		{`~(?<!x)y~`, "xy", false},
		{`/(a|b)\1/`, "ab", false},
		{`/(a|b)\1/`, "bb", true},
		{`/(?>a+)ab/`, "aaab", false},
		{`/a++ab/`, "aaab", false},
		{`/^(?:(x)|y)(?(1)z|w)$/`, "yw", true},
		{`/^(?:(x)|y)(?(1)z|w)$/`, "xw", false},
		{`/^$/m`, "a\n", false},
		{`/^b/m`, "a\nb", true},
		{`/(?=(a))\1b/`, "ab", true},
		{`/a{,3}b/`, "a{,3}b", true},
		{`/a # comment` + "\n" + ` b/x`, "ab", true},
		{`/\Qa.b\E+/`, "a.bbb", true},
		{`/(a(?i)b|c)/`, "C", true},
		{`/[[:upper:]]/i`, "a", true},
		{`/[^\x00-\xff]/`, "abc", false},
		{`/\R\n/`, "\r\n", false},
		{`/a\R+b/`, "a\r\n\nb", true},
	} {
		re, err := Compile(c.literal)
		if err != nil {
			t.Errorf("%s: %v", c.literal, err)
			continue
		}
		if got, err := re.Match(c.subject); got != c.want || err != nil {
			t.Errorf("%s on %q = %v, %v (linear %v)", c.literal, c.subject, got, err, re.Linear())
		}
	}
}

func TestRefused(t *testing.T) {
	for _, c := range []struct {
		literal string
		pos     int
		reason  string
	}{
		{``, 0, "empty"},
		{`foo`, 0, "delimiter"},
		{`\foo\`, 0, "delimiter"},
		{`/abc`, 4, "no ending delimiter"},
		{`/foo/e`, 5, "unknown modifier"},
		{`/(unclosed/`, 1, "missing closing"},
		{`/a)/`, 2, "unmatched"},
		{`/a**/`, 3, "repeatable"},
		{`/x(?R)/`, 2, "not supported"},
		{`/x\X/`, 2, "not supported"},
		{`/a(*SKIP)/`, 2, "verbs"},
		{`/\2(a)/`, 1, "non-existent"},
		{`/[b-a]/`, 4, "invalid range"},
		{`/(?<=a+)b/`, 1, "fixed length"},
		{"/\xff/u", 1, "UTF-8"},
		{`/\p{Foo}/u`, 1, "property"},
		{`/(a\1?){3}$/`, 3, "inside"},
		{`/(?<n>a|(b\k<n>))/`, 13, "inside"},
		{`/a{0}b/`, 5, "{0}"},
		{`/(?>a+?)b/`, 1, "lazy"},
		{`/(?=(a|b*?))c/`, 1, "lazy"},
		{`/(b|\A){2,}+/`, 1, "alternatives"},
		{`/(?>\N+\-|\D)./`, 1, "alternatives"},
		{`/x*(?>a?)x/`, 1, "match nothing"},
		{`/x*(\n)?+x/`, 1, "match nothing"},
		{`/(a(?(1)b|c))/`, 3, "inside"},
		{`/\R{2}\s/`, 1, "line breaks"},
		{`/.*\R/`, 1, "line breaks"},
		{`/[[:print:]a]/u`, 2, "POSIX"},
		{`/\P{Ll}{1,2}\D/u`, 1, "negated properties"},
		{`/\p{Xan}+(\p{^L&})/`, 1, "negated properties"},
		{`/((a{999}){999}){999}b\1/`, 1, "too large"},
		{"/" + strings.Repeat("(", 300) + strings.Repeat(")", 300) + "/", 251, "nested"},
	} {
		_, err := Compile(c.literal)
		var refused *Error
		if !errors.As(err, &refused) {
			t.Errorf("%.40s: not refused: %v", c.literal, err)
			continue
		}
		if refused.Pos != c.pos || !strings.Contains(refused.Reason, c.reason) {
			t.Errorf("%.40s: %d %q, want %d %q", c.literal, refused.Pos, refused.Reason, c.pos, c.reason)
		}
	}
}

func TestLinear(t *testing.T) {
	for literal, want := range map[string]bool{
		`/(a+)+$/`: true, `/foo|bar/i`: true, `/^a$/m`: false, `/a$b/`: false, `/\bfoo\b/`: true, `/\bfoo\b/u`: false, `/(?=a)/`: false,
	} {
		re, err := Compile(literal)
		if err != nil || re.Linear() != want {
			t.Errorf("%s: linear %v, %v", literal, re != nil && re.Linear(), err)
		}
	}
}

func TestRequired(t *testing.T) {
	for literal, want := range map[string]string{
		`/^buy\s+\d+ items?$/i`: " item", `/crypto(coin|cash)s/`: "crypto", `/a|b/`: "", `/(?:FOO){2}bar/`: "foofoobar", `/x(?=longer)y/`: "xy", `/a+bcd?/`: "bc",
		`/k\xe9/u`: "k\u00e9", `/k\xe9/`: "k\xe9", `/kab/iu`: "ab", `/(foo)?\bbar\b/`: "bar", `/foo*/`: "fo", `/(?>ab)c\1?(x)/`: "abc",
	} {
		re, err := Compile(literal)
		if err != nil || re.Required() != want {
			t.Errorf("%s: %q, want %q (%v)", literal, re.Required(), want, err)
		}
	}
}

// A bomb ends with ErrLimit instead of running for ages or taking memory without end.
func TestBombs(t *testing.T) {
	for literal, subject := range map[string]string{
		`/^(?=(a+)+$)/`:           strings.Repeat("a", 40) + "b",
		`/(?:(a)|b)*\1c/`:         strings.Repeat("ab", 1<<20),
		`/^(?:a?){40}(?=x)/`:      strings.Repeat("a", 39),
		`/(a{500}|b){1,2}c/`:      strings.Repeat("a", 1<<20),
		`/(.*)(.*)(.*)(.*)\4\3z/`: strings.Repeat("xy", 1000),
	} {
		re, err := Compile(literal)
		if err != nil {
			t.Errorf("%s: %v", literal, err)
			continue
		}
		if matched, err := re.Match(subject); matched || !errors.Is(err, ErrLimit) {
			t.Errorf("%s: %v, %v", literal, matched, err)
		}
	}
	re, err := Compile(`/a/u`)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := re.Match("a\xff"); !errors.Is(err, ErrUTF8) {
		t.Errorf("invalid UTF-8: %v", err)
	}
}

// Whatever is built at the first use fits.
func TestLazy(t *testing.T) {
	for _, literal := range []string{`/(){60000}\1/`, `/(?=a{60000})/`, `/(?>(?:){60000})/`, `/(?(1)a{30000}|b{30000})()/`, `/(?<=a{60000})b/`, `/((a?)*){300}\1/`, `/(?:a|){400}(?!x)/`, `/(a{1000}){60}\1/`, `/((((a{65535}){65535}){65535}){65535}){65535}\1/`} {
		re, err := Compile(literal)
		if err != nil {
			continue
		}
		if e := re.ready(); e.linear == nil && e.program == nil {
			t.Errorf("%s: neither refused nor built", literal)
		}
	}
}

// FuzzCompile looks for panics, and for patterns on which RE2 and the backtracking machine disagree.
func FuzzCompile(f *testing.F) {
	f.Add(`/^(a|b)+?(?<!c)\1[[:alpha:]\d-]{2,3}$/imsxu`, "abc")
	f.Add(`~(?(1)a|b)(?i-s:x)\Q.\E\x{41}~`, "x")
	f.Add(`/^(?:\s|a?)*[^b]{2,}$/m`, "aa\n")
	f.Fuzz(func(t *testing.T, literal, subject string) {
		re, err := Compile(literal)
		if err != nil {
			return
		}
		matched, err := re.Match(subject)
		if err != nil && !errors.Is(err, ErrLimit) && !errors.Is(err, ErrUTF8) {
			t.Fatal(err)
		}
		if err != nil || !re.Linear() {
			return
		}
		lit, err := splitLiteral(literal)
		if err != nil {
			t.Fatal(err)
		}
		tree, groups, err := parse(literal, lit)
		if err != nil {
			t.Fatal(err)
		}
		if p := compileProgram(tree, groups, lit.options); p != nil {
			if again, err := p.search(subject, lit.options.anchored); err == nil && again != matched {
				t.Fatalf("%q on %q: linear %v, backtracking %v", literal, subject, matched, again)
			}
		}
	})
}

// Many goroutines share a pattern that is built at the first use.
func TestConcurrent(t *testing.T) {
	re, err := Compile(`/(a|b)\1$/`)
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if matched, err := re.Match("xaa"); !matched || err != nil {
				t.Error(matched, err)
			}
		})
	}
	group.Wait()
}
