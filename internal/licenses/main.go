// Command licenses writes the licences and notices of all that is linked into a program into one file, as most of them ask of those who
// hand it on.
//
//	licenses PACKAGE OUTPUT
package main

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// systems are those that programs are built for; some modules are linked on one of them only.
var systems = []string{"linux", "darwin"}

// text is how files with a licence or a notice are called.
var text = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice)([-.].*)?$`)

type module struct{ path, version, dir string }

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: licenses PACKAGE OUTPUT")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "licenses:", err)
		os.Exit(1)
	}
}

func run(pkg, output string) error {
	modules, err := linked(pkg)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	for _, m := range modules {
		if err := write(&out, m); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Dir(output), 0o755); err != nil {
		return err
	}
	return os.WriteFile(output, out.Bytes(), 0o644)
}

// linked lists the modules of which something is linked into the package, and Go's own library.
func linked(pkg string) ([]module, error) {
	out, err := exec.Command("go", "env", "GOVERSION", "GOROOT").Output()
	if err != nil {
		return nil, fmt.Errorf("go env: %w", err)
	}
	version, root, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	list := []module{{"std", version, root}}
	for _, system := range systems {
		cmd := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}\t{{.Version}}\t{{.Dir}}{{end}}{{end}}", pkg)
		cmd.Env = append(os.Environ(), "GOOS="+system, "CGO_ENABLED=0")
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("go list for %s: %w", system, err)
		}
		for line := range strings.Lines(string(out)) {
			if f := strings.Split(strings.TrimSpace(line), "\t"); len(f) == 3 {
				list = append(list, module{f[0], f[1], f[2]})
			}
		}
	}
	slices.SortFunc(list, func(a, b module) int { return cmp.Compare(a.path, b.path) })
	return slices.Compact(list), nil
}

// write appends what a module's folder says of its licence. A module that says nothing is an error: nobody may hand it on.
func write(out *bytes.Buffer, m module) error {
	entries, err := os.ReadDir(m.dir)
	if err != nil {
		return fmt.Errorf("%s: %w", m.path, err)
	}
	found := false
	for _, e := range entries {
		if e.IsDir() || !text.MatchString(e.Name()) {
			continue
		}
		data, err := os.ReadFile(filepath.Join(m.dir, e.Name()))
		if err != nil {
			return fmt.Errorf("%s: %w", m.path, err)
		}
		found = true
		fmt.Fprintf(out, "%s\n%s\n\n%s\n\n", strings.Join([]string{m.path, m.version, e.Name()}, " "), strings.Repeat("=", 80), bytes.TrimSpace(data))
	}
	if !found {
		return fmt.Errorf("%s has no licence in %s", m.path, m.dir)
	}
	return nil
}
