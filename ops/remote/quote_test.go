package remote

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"

	"github.com/mosparoctl/mosparoctl/ops"
)

func TestCommandLine(t *testing.T) {
	tests := []struct {
		name string
		c    ops.Command
		b    become
		want string
	}{
		{"plain", ops.Command{Argv: []string{"ls", "-l", "/srv"}}, become{}, "exec ls -l /srv"},
		{"quoted", ops.Command{Argv: []string{"echo", "it's", "", "a b"}}, become{}, `exec echo 'it'\''s' '' 'a b'`},
		{"folder", ops.Command{Argv: []string{"ls"}, Dir: "/a b"}, become{}, "cd '/a b' && exec ls"},
		{"relative folder", ops.Command{Argv: []string{"ls"}, Dir: "-"}, become{}, "cd ./- && exec ls"},
		{"environment", ops.Command{Argv: []string{"ls"}, Env: map[string]string{"B": "2 3", "A": "1"}}, become{}, "exec env 'A=1' 'B=2 3' ls"},
		{"sudo", ops.Command{Argv: []string{"ls"}, Env: map[string]string{"A": "1"}}, become{user: "www-data"}, "exec sudo -n -u www-data -- env 'A=1' ls"},
		{
			"sudo in a folder", ops.Command{Argv: []string{"ls"}, Dir: "/srv"},
			become{user: "root"}, `exec sudo -n -u root -- sh -c 'cd "$1" && shift && exec "$@"' sh /srv ls`,
		},
	}
	for _, tt := range tests {
		if got, err := commandLine(tt.c, tt.b); err != nil || got != tt.want {
			t.Errorf("%s: %s, %v\nwant %s", tt.name, got, err, tt.want)
		}
	}
}

func TestCommandLineRefuses(t *testing.T) {
	for name, c := range map[string]ops.Command{
		"nothing":          {},
		"an empty name":    {Argv: []string{""}},
		"an option":        {Argv: []string{"-c", "x"}},
		"an assignment":    {Argv: []string{"A=b", "ls"}},
		"NUL":              {Argv: []string{"ls", "a\x00b"}},
		"NUL in Env":       {Argv: []string{"ls"}, Env: map[string]string{"A": "\x00"}},
		"a folder NUL":     {Argv: []string{"ls"}, Dir: "/\x00"},
		"a bad variable":   {Argv: []string{"ls"}, Env: map[string]string{"A B": "x"}},
		"a variable digit": {Argv: []string{"ls"}, Env: map[string]string{"1A": "x"}},
		"no variable":      {Argv: []string{"ls"}, Env: map[string]string{"": "x"}},
	} {
		if line, err := commandLine(c, become{}); err == nil {
			t.Errorf("%s became %q", name, line)
		}
	}
}

// The error of a bad variable must not show its value, which may be a secret.
func TestCommandLineKeepsValues(t *testing.T) {
	_, err := commandLine(ops.Command{Argv: []string{"ls"}, Env: map[string]string{"KEY": "s3cret\x00"}}, become{})
	if err == nil || strings.Contains(err.Error(), "s3cret") || !strings.Contains(err.Error(), "KEY") {
		t.Errorf("error = %v", err)
	}
}

// FuzzQuote sends any words through a real shell and back.
func FuzzQuote(f *testing.F) {
	for _, s := range []string{"", "'", "a'b", "$(id)", "`x`", "\n", "\\", "!", "~", "é\xff", "-n", "*", "a=b", "\x7f\x01"} {
		f.Add(s, s+"x", s)
	}
	f.Fuzz(func(t *testing.T, a, b, variable string) {
		c := ops.Command{Argv: []string{"printf", `%s\0`, a, b}, Env: map[string]string{"FUZZ": variable}}
		c.Argv = append([]string{"sh", "-c", `printf '%s\0' "$FUZZ" "$@"`, "sh"}, a, b)
		line, err := commandLine(c, become{})
		if strings.Contains(a+b+variable, "\x00") {
			if err == nil {
				t.Fatalf("a NUL byte was let through: %q", line)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("sh", "-c", line).Output()
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if want := []byte(variable + "\x00" + a + "\x00" + b + "\x00"); !bytes.Equal(out, want) {
			t.Fatalf("%q gave %q, want %q", line, out, want)
		}
	})
}
