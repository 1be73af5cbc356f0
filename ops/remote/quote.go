package remote

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/mosparoctl/mosparoctl/ops"
)

// safeBytes need no quotes anywhere in a POSIX shell's command line.
const safeBytes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:,@+%"

// quote makes one word of s for a POSIX shell, whatever bytes s has. A NUL byte can't be passed at all: see checkWord.
func quote(s string) string {
	if s != "" && strings.Trim(s, safeBytes) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

func checkWord(what, s string) error {
	if strings.IndexByte(s, 0) >= 0 {
		return fmt.Errorf("%s %q has a NUL byte, which no command can be given", what, s)
	}
	return nil
}

// become says as whom commands run. The zero value is the login user.
type become struct {
	user string // "" for the login user
}

// sudo is the prefix that runs a command as b.user, never asking for a password.
func (b become) sudo() []string {
	if b.user == "" {
		return nil
	}
	return []string{"sudo", "-n", "-u", b.user, "--"}
}

// commandLine is c as one line for a POSIX shell, run as b. The program replaces the shell (exec), so that signals and
// the exit status are its own.
func commandLine(c ops.Command, b become) (string, error) {
	words, err := commandWords(c)
	if err != nil {
		return "", err
	}
	prefix := ""
	switch {
	case c.Dir == "":
	case b.user == "":
		prefix = "cd " + quote(dirWord(c.Dir)) + " && "
	default:
		// The login user may have no right to enter the folder, so the step into it is taken by the other user.
		words = append([]string{"sh", "-c", `cd "$1" && shift && exec "$@"`, "sh", dirWord(c.Dir)}, words...)
	}
	words = append(b.sudo(), words...)
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = quote(w)
	}
	return prefix + "exec " + strings.Join(quoted, " "), nil
}

// commandWords is the argument list with the environment in front, checked but not quoted.
func commandWords(c ops.Command) ([]string, error) {
	if len(c.Argv) == 0 || c.Argv[0] == "" {
		return nil, errors.New("no command given")
	}
	if strings.HasPrefix(c.Argv[0], "-") {
		return nil, fmt.Errorf("a command can't begin with a dash: %q", c.Argv[0])
	}
	if err := checkWord("folder", c.Dir); err != nil {
		return nil, err
	}
	var words []string
	for _, name := range slices.Sorted(maps.Keys(c.Env)) {
		if !validName(name) {
			return nil, fmt.Errorf("%q is no name of an environment variable", name)
		}
		if strings.IndexByte(c.Env[name], 0) >= 0 {
			return nil, fmt.Errorf("the value of environment variable %s has a NUL byte", name)
		}
		words = append(words, name+"="+c.Env[name])
	}
	if strings.Contains(c.Argv[0], "=") {
		return nil, fmt.Errorf("a command can't have %q in its name: %q", "=", c.Argv[0])
	}
	if words != nil {
		words = append([]string{"env"}, words...)
	}
	for _, a := range c.Argv {
		if err := checkWord("argument", a); err != nil {
			return nil, err
		}
	}
	return append(words, c.Argv...), nil
}

// dirWord keeps cd from reading a folder's name as an option, as "-" or along CDPATH.
func dirWord(dir string) string {
	if strings.HasPrefix(dir, "/") {
		return dir
	}
	return "./" + dir
}

func validName(s string) bool {
	for i, r := range s {
		switch {
		case r == '_', r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z':
		case i > 0 && r >= '0' && r <= '9':
		default:
			return false
		}
	}
	return s != ""
}
