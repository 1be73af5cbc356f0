package inventory

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// FileName is what an inventory is called where it is looked for.
const FileName = "mosparo.yaml"

// EnvVar is the environment variable that names an inventory.
const EnvVar = "MOSPAROCTL_INVENTORY"

// Find says which file to load: flag if it is not empty, else $MOSPAROCTL_INVENTORY, ./mosparo.yaml, or
// mosparoctl/mosparo.yaml in the user's configuration folder. A file that was named is not looked at; if none was and
// none is there, the error wraps fs.ErrNotExist and names every place. One in the working folder that others could have put there is
// ErrForeign.
func Find(flag string) (string, error) {
	if flag != "" {
		return flag, nil
	}
	if path := os.Getenv(EnvVar); path != "" {
		return path, nil
	}
	places := []string{FileName}
	if dir, err := os.UserConfigDir(); err == nil {
		places = append(places, filepath.Join(dir, "mosparoctl", FileName))
	}
	for _, path := range places {
		info, err := os.Stat(path)
		if err == nil && !info.IsDir() {
			if path == FileName {
				if err := checkFound(path); err != nil {
					return "", err
				}
			}
			return path, nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("look for an inventory: %w", err)
		}
	}
	places[0] = "./" + places[0]
	return "", fmt.Errorf("no inventory: --inventory and $%s are not given, and there is no %s: %w",
		EnvVar, strings.Join(places, " and no "), fs.ErrNotExist)
}

// Load reads the inventory at path. What is wrong with its content is Problems; other errors are those of reading the file.
func Load(path string) (*Deployment, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read inventory: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read inventory: %w", err)
	}
	d, err := Parse(path, data)
	if err != nil {
		return nil, err
	}
	if d.File, err = filepath.Abs(path); err != nil {
		return nil, fmt.Errorf("read inventory: %w", err)
	}
	return d, nil
}

// Parse reads an inventory from data, which came from a file called name. Its error is of type Problems, all there are,
// warnings included. A usable inventory has its warnings in Warnings. Any input is safe to parse.
func Parse(name string, data []byte) (*Deployment, error) {
	src := &source{name: name}
	if len(data) <= maxFile {
		src.lines = strings.Split(strings.TrimPrefix(string(data), "\ufeff"), "\n")
	}
	root, anchors, problem := parseYAML(src, data)
	if problem != nil {
		return nil, Problems{*problem}
	}
	if root == nil {
		return nil, Problems{*src.problem(place{}, "", "the file is empty", "write a starter with: mosparoctl init")}
	}
	d := newDecoder(src, anchors)
	var deployment *Deployment
	if v, ok := d.value(value{}, root, place{1, 1}, ""); ok {
		k := documentKind()
		file := k.fresh()
		k.read(d, v, &file)
		deployment = d.merge(&file)
		d.check(deployment, &file)
	}
	problems := d.problems.sorted()
	if problems.Fatal() > 0 || deployment == nil {
		return nil, problems
	}
	deployment.File, deployment.named = name, name
	deployment.Warnings, deployment.origins = problems, make(map[string]origin, len(d.origins))
	for path, v := range d.origins {
		deployment.origins[path] = origin{v.at, v.path}
	}
	return deployment, nil
}

// merge lays the settings of defaults, of a node's groups and its own over each other.
func (d *decoder) merge(f *document) *Deployment {
	out := &f.Deployment
	out.Cache = f.cache.v
	entryKind, layerKind, cacheKind, envKind := nodeEntry(), settings(), object("cache", cacheKeys()), envValues()
	for _, k := range f.nodes {
		if _, ok := k.raw.node.(*ast.MappingNode); !ok {
			continue
		}
		n := entryKind.fresh()
		as := k.raw.as
		if f.env.given {
			envKind.read(d, f.env.raw.forPath(as+".env"), &n.Env)
		}
		if f.cache.given {
			cacheKind.read(d, f.cache.raw.forPath(as+".cache"), &n.Cache)
		}
		if f.defaults.given {
			layerKind.read(d, f.defaults.raw.forPath(as), &n)
		}
		for _, g := range k.v.Groups {
			if group, ok := f.groups[g]; ok {
				layerKind.read(d, group.raw.forPath(as), &n)
			}
		}
		entryKind.read(d, k.raw, &n)
		out.Nodes = append(out.Nodes, &n)
	}
	for _, n := range out.Nodes {
		complete(n, len(out.Nodes) == 1)
	}
	for i := range out.Balancers {
		expandHome(&out.Balancers[i].SSH)
	}
	if out.Cache.Adapter == "" {
		out.Cache.Adapter = CacheFilesystem
	}
	if _, given := d.origins["database"]; !given {
		out.Database = Database{}
	}
	for i := range out.Database.Servers {
		s := &out.Database.Servers[i]
		if s.Name == "" {
			s.Name = s.Host
		}
		if s.Port == 0 {
			s.Port = 3306
			if out.Database.System == "postgres" {
				s.Port = 5432
			}
		}
	}
	return out
}

// forPath is v stored for another part of the deployment.
func (v value) forPath(as string) value {
	v.as = as
	return v
}

// complete fills in the defaults of a node that follow from its other values.
func complete(n *Node, alone bool) {
	if n.Address == "" {
		n.Address = n.Name
	}
	if len(n.Roles) == 0 {
		n.Roles = []Role{RoleApp}
		if alone {
			n.Roles = []Role{RoleAdmin, RoleApp, RoleCron}
		}
	}
	if n.Cache.Adapter == "" {
		n.Cache.Adapter = CacheFilesystem
	}
	if n.Env == nil {
		n.Env = map[string]string{}
	}
	n.Roles, n.Groups = slices.Clone(n.Roles), slices.Clone(n.Groups)
	expandHome(&n.SSH)
}

// expandHome replaces ~/ in paths of this machine.
func expandHome(s *SSH) {
	home, err := os.UserHomeDir()
	if err != nil {
		return
	}
	for _, p := range []*string{&s.Identity, &s.KnownHosts, &s.Config} {
		if rest, ok := strings.CutPrefix(*p, "~/"); ok {
			*p = filepath.Join(home, rest)
		}
	}
}
