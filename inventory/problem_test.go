package inventory

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The files in testdata/wrong say what is wrong with them: "#@ column message | column message" at the end of a line.
// Every mistake must be found there, and nothing else.
func TestParseFindsEveryMistake(t *testing.T) {
	files, err := filepath.Glob("testdata/wrong/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	total := 0
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			want := expectations(t, string(data))
			total += len(want)
			_, err = Parse(file, data)
			var problems Problems
			if !errors.As(err, &problems) {
				t.Fatalf("error is %v, want Problems", err)
			}
			var got []string
			for _, p := range problems {
				message := p.Message
				if p.Warning {
					message = "warning: " + message
				}
				got = append(got, fmt.Sprintf("%d:%d %s", p.Line, p.Column, message))
				if p.Instead == "" || p.File != file || p.Excerpt == "" {
					t.Errorf("incomplete: %+v", p)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
			for _, secret := range []string{"s3cr3t-canary", "canary-5ecret"} {
				if strings.Contains(problems.Render(true), secret) {
					t.Errorf("the secret %s gets out:\n%s", secret, problems.Render(true))
				}
			}
		})
	}
	if total < 60 {
		t.Errorf("%d mistakes planted, want at least 60", total)
	}
}

func expectations(t *testing.T, text string) (want []string) {
	t.Helper()
	for i, line := range strings.Split(text, "\n") {
		_, marks, found := strings.Cut(line, "#@ ")
		if !found {
			continue
		}
		for mark := range strings.SplitSeq(marks, " | ") {
			column, message, _ := strings.Cut(mark, " ")
			n, err := strconv.Atoi(column)
			if err != nil {
				t.Fatalf("line %d: bad mark %q", i+1, mark)
			}
			want = append(want, fmt.Sprintf("%d:%d %s", i+1, n, message))
		}
	}
	return want
}

func TestProblemsRender(t *testing.T) {
	_, err := Parse("x.yaml", []byte("version: 1\nname: shop\nnodes:\n  - {name: a, ssh: {port: 70000}, paths: {root: /srv/mosparo}}\n"))
	problems, _ := errors.AsType[Problems](err)
	want := "x.yaml:4:27: nodes[a].ssh.port: 70000 is out of range; write a number from 1 to 65535"
	if got := err.Error(); got != want {
		t.Errorf("Error:\n%s\nwant\n%s", got, want)
	}
	want += "\n     4 | … 70000\n       |   ^^^^^\n"
	if got := problems.Render(true); got != want {
		t.Errorf("Render:\n%s\nwant\n%s", got, want)
	}
}

// What can't be read as YAML at all is one problem.
func TestParseSyntax(t *testing.T) {
	deepList := "nodes: " + strings.Repeat("[", 200) + strings.Repeat("]", 200)
	bomb := "version: 1\nx: &a [1,1,1,1,1,1,1,1,1]\n"
	for c := 'b'; c < 'k'; c++ {
		bomb += fmt.Sprintf("%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n", c, c, c-1, c-1, c-1, c-1, c-1, c-1, c-1, c-1)
	}
	tests := map[string]struct {
		text string
		line int
		want string
	}{
		"tab":         {"a:\n\tb: 1\n", 2, "syntax error"},
		"open quote":  {"version: 1\npassword: \"canary-5ecret\nname: x\n", 2, "syntax error"},
		"two values":  {"a: b: c\n", 1, "syntax error"},
		"documents":   {"version: 1\n---\nversion: 1\n", 3, "second YAML document"},
		"empty":       {"", 0, "the file is empty"},
		"comment":     {"# nothing\n", 0, "the file is empty"},
		"text":        {"hello\n", 1, "must be a mapping"},
		"nul":         {"version: 1\nna\x00me: x\n", 2, "no text"},
		"not utf-8":   {"version: 1\nname: \xff\n", 2, "no text"},
		"deep":        {deepList, 1, "nested too deeply"},
		"deep dashes": {strings.Repeat("- ", 5000) + "a", 1, "nested too deeply"},
		"big":         {strings.Repeat("#\n", 1<<20), 0, "bytes"},
		"many":        {strings.Repeat("a: b\n", 100_000), 0, "too many entries"},
		"bomb":        {bomb + "nodes: *j\nname: x\n", 2, "unknown key"},
		"loop":        {"version: 1\nname: x\nnodes: &a *a\n", 3, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("x.yaml", []byte(tt.text))
			problems, ok := errors.AsType[Problems](err)
			if !ok {
				t.Fatalf("error is %v, want Problems", err)
			}
			if p := problems[0]; p.Line != tt.line || !strings.Contains(p.Message, tt.want) {
				t.Errorf("got %v, want line %d, %q", p, tt.line, tt.want)
			}
			if strings.Contains(problems.Render(true), "canary") {
				t.Errorf("a secret gets out:\n%s", problems.Render(true))
			}
		})
	}
}

// Aliases multiply what is read. The number of reads is bounded, whatever they multiply to.
func TestAliasesAreBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString("version: 1\nname: x\nenv: &e\n")
	for i := range 900 {
		fmt.Fprintf(&b, "  V%d: x\n", i)
	}
	b.WriteString("groups:\n")
	for i := range 50 {
		fmt.Fprintf(&b, "  g%d: {env: *e}\n", i)
	}
	b.WriteString("defaults: {paths: {root: /srv/mosparo}}\nnodes:\n")
	for i := range 500 {
		fmt.Fprintf(&b, "  - {name: n%d, groups: [g0,g1,g2,g3,g4,g5,g6,g7,g8,g9]}\n", i)
	}
	_, err := Parse("x.yaml", []byte(b.String()))
	if err == nil || !strings.Contains(err.Error(), "multiply") {
		t.Errorf("error is %.300v", err)
	}
}

func TestWarningsKeepTheFileUsable(t *testing.T) {
	d, err := Parse("x.yaml", []byte(`version: 1
name: shop
defaults: {paths: {root: /srv/mosparo}}
nodes:
  - {name: a, address: 10.0.0.1, roles: [admin, app]}
  - {name: b, address: 10.0.0.2}
cache: {adapter: redis, url: "redis://:canary-5ecret@10.0.0.9"}
env: {APP_SECRET: canary-5ecret, MAILER_DSN: "smtp://u:canary-5ecret@mail", DATABASE_MYSQL_SSL_KEY: /etc/key, S3_KEY: env:K, SITE_URL: "https://x"}
`))
	if err != nil {
		t.Fatal(err)
	}
	got := d.Warnings.Render(true)
	for _, want := range []string{"x.yaml:7:30: warning: cache.url: a password in plain text", "lazy=1"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	for _, want := range []string{"x.yaml:8:19: warning: env.APP_SECRET: a secret in plain text", "x.yaml:8:46: warning: env.MAILER_DSN"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "canary") || d.Warnings.Fatal() != 0 || len(d.Warnings) != 4 {
		t.Errorf("warnings:\n%s", got)
	}
}

// A loopback cache is right where all nodes are on one machine, behind a tunnel, and on the node that runs it.
func TestLoopbackThatIsRight(t *testing.T) {
	const head = "version: 1\nname: x\ndefaults: {paths: {root: /srv/mosparo}}\n"
	for name, text := range map[string]string{
		"one machine": head + "nodes:\n  - {name: a, address: 127.0.0.1, roles: [admin, app], ssh: {port: 2201}}\n  - {name: b, address: localhost, ssh: {port: 2202}}\ncache: {adapter: redis, url: redis://127.0.0.1?lazy=1}\n",
		"tunnel":      head + "nodes:\n  - {name: a, roles: [admin, app]}\n  - {name: b}\ncache: {adapter: redis, url: redis://127.0.0.1?lazy=1, tunnel: true}\ndatabase: {servers: [{host: ::1}], tunnel: true}\n",
		"one node":    head + "nodes:\n  - {name: a, roles: [admin, app], cache: {url: redis:///run/redis.sock?lazy=1}}\n  - {name: b}\ncache: {adapter: redis, url: redis://a:6379?lazy=1}\n",
	} {
		if _, err := Parse("x.yaml", []byte(text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/*/*.yaml")
	for _, file := range append(files, "testdata/full.yaml") {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := Parse("fuzz.yaml", data)
		if err != nil {
			problems, ok := errors.AsType[Problems](err)
			if !ok || problems.Fatal() == 0 || d != nil {
				t.Fatalf("deployment %v with error %#v", d, err)
			}
			problems.Render(true)
			return
		}
		if len(d.Nodes) == 0 || d.Admin() == nil {
			t.Fatalf("accepted without nodes or admin node: %+v", d)
		}
		for _, n := range d.Nodes {
			if settings, err := d.Explain(n.Name); err != nil || len(settings) == 0 {
				t.Fatalf("explain %s: %v", n.Name, err)
			}
		}
		if _, err := d.Select("", "", ""); err != nil {
			t.Fatal(err)
		}
	})
}
