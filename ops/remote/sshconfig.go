package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/kevinburke/ssh_config"
)

// hostConfig is what ssh_config says about one host: values by lower-case keyword.
type hostConfig map[string][]string

// first is the first value of keyword, or "".
func (c hostConfig) first(keyword string) string {
	if v := c[keyword]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// yes reports whether keyword is set to yes.
func (c hostConfig) yes(keyword string) bool { return strings.EqualFold(c.first(keyword), "yes") }

// usedKeywords are the keywords of ssh_config that matter here. Those that may be given several times collect all values.
var usedKeywords = map[string]bool{
	"HostName": false, "User": false, "Port": false, "IdentitiesOnly": false, "IdentityAgent": false, "ProxyJump": false,
	"ProxyCommand": false, "UserKnownHostsFile": false, "GlobalKnownHostsFile": false, "HostKeyAlias": false,
	"HashKnownHosts": false, "IdentityFile": true, "CertificateFile": true,
}

// directives finds the lines whose meaning the parser may not know: it reads some criteria of Match, and some of them wrongly.
var directives = regexp.MustCompile(`(?im)^[ \t]*(match|include)(?:[ \t]+|[ \t]*=[ \t]*)(.*)$`)

// maxIncludes is how deep Include may go, as in ssh.
const maxIncludes = 16

// beyondParser reports whether text, or a file it includes, has a Match that only ssh reads as ssh does. Relative names are
// looked for in dir.
func beyondParser(text []byte, dir, home string, depth int) bool {
	for _, m := range directives.FindAllSubmatch(text, -1) {
		if strings.EqualFold(string(m[1]), "match") {
			if !strings.EqualFold(strings.TrimSpace(string(m[2])), "all") {
				return true
			}
			continue
		}
		if depth >= maxIncludes {
			return true
		}
		for _, pattern := range strings.Fields(string(m[2])) {
			pattern = expandHome(strings.Trim(pattern, `"`), home)
			if !filepath.IsAbs(pattern) {
				pattern = filepath.Join(dir, pattern)
			}
			files, _ := filepath.Glob(pattern) // a bad pattern matches nothing
			for _, f := range files {
				included, err := os.ReadFile(f)
				if err == nil && beyondParser(included, dir, home, depth+1) {
					return true
				}
			}
		}
	}
	return false
}

// configQuery asks for the settings of one host.
type configQuery struct {
	file  string // the inventory's: "" for the usual files, "none" for no file
	alias string
	user  string // known from elsewhere, for Match; or ""
	port  string // likewise
	home  string
}

// readConfig reads ssh_config for one host: by the parser where that suffices, else by asking "ssh -G".
func readConfig(ctx context.Context, q configQuery) (hostConfig, error) {
	var files []string
	switch q.file {
	case "none":
		return hostConfig{}, nil
	case "":
		files = []string{filepath.Join(q.home, ".ssh", "config"), "/etc/ssh/ssh_config"}
	default:
		files = []string{expandHome(q.file, q.home)}
	}
	merged := hostConfig{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) && q.file == "" {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read ssh_config: %w", err)
		}
		dir := filepath.Join(q.home, ".ssh") // as ssh has it, also for a file of another name
		if strings.HasPrefix(file, "/etc/ssh/") {
			dir = "/etc/ssh"
		}
		parsed, err := ssh_config.DecodeBytes(text)
		if err != nil || beyondParser(text, dir, q.home, 0) {
			// One file that the parser can't read is enough to leave all of them to ssh.
			asked, askErr := askSSH(ctx, q)
			if askErr != nil {
				return nil, fmt.Errorf("read %s: %w", file, errors.Join(err, askErr))
			}
			return asked, nil
		}
		if err := merged.add(parsed, q.alias); err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
	}
	return merged, nil
}

// add takes what parsed says about alias; what is there already wins, as in ssh.
func (c hostConfig) add(parsed *ssh_config.Config, alias string) error {
	for keyword, several := range usedKeywords {
		key := strings.ToLower(keyword)
		values, err := parsed.GetAll(alias, keyword)
		if err != nil {
			return err
		}
		switch {
		case several:
			c[key] = append(c[key], values...)
		case len(c[key]) == 0 && len(values) > 0:
			c[key] = values[:1]
		}
	}
	return nil
}

// askSSH asks the ssh client for its view of the host. Without a file of the inventory's it reads the usual ones, from the
// home folder that the system knows.
func askSSH(ctx context.Context, q configQuery) (hostConfig, error) {
	if strings.HasPrefix(q.alias, "-") {
		return nil, fmt.Errorf("a host can't be called %q", q.alias)
	}
	args := []string{"-G"}
	if q.file != "" {
		args = append(args, "-F", expandHome(q.file, q.home))
	}
	if q.user != "" {
		args = append(args, "-l", q.user)
	}
	if q.port != "" {
		args = append(args, "-p", q.port)
	}
	cmd := exec.CommandContext(ctx, "ssh", append(args, "--", q.alias)...)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("ask ssh -G: %w: %s", err, strings.TrimSpace(stderr.String()))
	}
	c := hostConfig{}
	for line := range strings.Lines(out.String()) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if ok {
			c[key] = append(c[key], value)
		}
	}
	return c, nil
}

// expandHome replaces a leading ~.
func expandHome(path, home string) string {
	if path == "~" {
		return home
	}
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		return filepath.Join(home, rest)
	}
	return path
}

// tokens are the percent tokens of ssh_config; an unknown one is left as it is.
type tokens map[byte]string

func (t tokens) expand(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+1 < len(s) {
			if v, ok := t[s[i+1]]; ok {
				b.WriteString(v)
				i++
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// environment matches ${NAME}, the only form that ssh_config expands.
var environment = regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_]*)\}`)

// path expands tokens, ${NAME} and ~ in a path of ssh_config.
func (t tokens) path(s, home string) string {
	s = environment.ReplaceAllStringFunc(s, func(m string) string { return os.Getenv(m[2 : len(m)-1]) })
	return expandHome(t.expand(s), home)
}
