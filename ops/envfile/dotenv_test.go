package envfile

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRenderDotenv(t *testing.T) {
	got, err := RenderDotenv(map[string]string{
		"PLAIN": "redis://cache:6379/1?lazy=1", "EMPTY": "", "DOLLAR": "a$b", "HASH": "a #b", "QUOTE": "it's", "TWO": "a\nb",
		"CR": "\r'x", "SLASH": `C:\dir\`, "DOUBLE": `say "x"`, "ONLY": "'",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := Header + `CR="\r""'"'x'
DOLLAR='a$b'
DOUBLE='say "x"'
EMPTY=
HASH='a #b'
ONLY="'"
PLAIN=redis://cache:6379/1?lazy=1
QUOTE='it'"'"'s'
SLASH='C:\dir\'
TWO='a
b'
`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
	for name, values := range map[string]map[string]string{
		"digit": {"1A": "x"}, "empty name": {"": "x"}, "dash": {"A-B": "x"}, "NUL": {"A": "x\x00"}, "underscores": {"__A": "x"},
	} {
		if out, err := RenderDotenv(values); err == nil {
			t.Errorf("%s: rendered %q", name, out)
		}
	}
}

func TestParseDotenv(t *testing.T) {
	src := `# comment
A=1
export B=two # a comment
 C='li$teral \n'
D="x\ty\n$A\"q\" \\ \$A"
E=
F=   # only a comment
G=${A}b${NOPE:-def}c$OUT
H=a#b
I='x'"y"z
J="multi
line"
K=$A:-rest
L=a\$b
M=\'q\'
N=$ 
A=last
lower_case=ok
`
	vars, err := ParseDotenv([]byte(src), func(n string) (string, bool) {
		return map[string]string{"OUT": "out"}[n], n == "OUT"
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []Var{
		{"A", "1", 2}, {"B", "two", 3}, {"C", `li$teral \n`, 4}, {"D", "x\\ty\n1\"q\" \\ $A", 5}, {"E", "", 6}, {"F", "", 7},
		{"G", "1bdefcout", 8}, {"H", "a#b", 9}, {"I", "xyz", 10}, {"J", "multi\nline", 11}, {"K", "1", 13}, {"L", "a$b", 14},
		{"M", "'q'", 15}, {"N", "$", 16}, {"A", "last", 17}, {"lower_case", "ok", 18},
	}
	if diff := cmp.Diff(want, vars); diff != "" {
		t.Error(diff)
	}
	if Values(vars)["A"] != "last" {
		t.Error("of equal names the last must count")
	}
}

func TestParseDotenvRefuses(t *testing.T) {
	for src, want := range map[string]string{
		"A":               "1:2: expected =",
		"A =1":            "1:2: no blank",
		"A= 1":            "1:3: no blank",
		"\n A=b c":        "2:4: a value with blanks",
		"A='x":            "1:3: the quote does not end",
		"A=\"x\\\"":       "1:3: the quote does not end",
		"1=2":             "1:1: expected the name",
		"A=$(id)":         "1:3: $(…) runs a command",
		"A=${B":           "1:3: the brace",
		"A=${B:-'x}'":     "1:3: the brace",
		"A=\"${B:-$C}\"":  "1:3: the default",
		"export A":        "1:9: export without",
		"\xef\xbb\xbfA=1": "1:1: the file begins with a byte order mark",
	} {
		_, err := ParseDotenv([]byte(src), nil)
		var syntax *SyntaxError
		if !errors.As(err, &syntax) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: got %v, want %s…", src, err, want)
		}
	}
}

func FuzzDotenvRoundTrip(f *testing.F) {
	for _, v := range []string{"", "x", "a b", "it's", "$A", "a\\", "\\$", "\r\n", "#", " x ", "\"", "${A:-b}", "$(id)", "é", "\xff"} {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, v string) {
		out, err := RenderDotenv(map[string]string{"A": "before", "V": v, "W": "after"})
		if err != nil {
			if !strings.Contains(v, "\x00") {
				t.Fatal(err)
			}
			return
		}
		vars, err := ParseDotenv(out, nil)
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if got := Values(vars); len(got) != 3 || got["V"] != v || got["W"] != "after" {
			t.Fatalf("%q came back as %q from\n%s", v, got["V"], out)
		}
	})
}

func FuzzParseDotenv(f *testing.F) {
	f.Add([]byte("A=1\nexport B=\"$A\" # c\nC='x'\nD=${A:-b}\n"))
	f.Fuzz(func(t *testing.T, src []byte) {
		vars, err := ParseDotenv(src, nil)
		var syntax *SyntaxError
		if err != nil && !errors.As(err, &syntax) {
			t.Fatalf("an error without a place: %v", err)
		}
		for _, v := range vars {
			if varName(v.Name) != len(v.Name) || v.Line < 1 {
				t.Fatalf("bad variable %+v", v)
			}
		}
	})
}
