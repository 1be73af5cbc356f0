package inventory

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

var update = flag.Bool("update", false, "write the generated files instead of comparing them")

// The schema and the reference are made of the tables of keys. go generate writes them.
func TestGenerated(t *testing.T) {
	reference := filepath.Join("..", "docs", "inventory.md")
	text, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- keys: made by go generate ./inventory -->\n", "<!-- end of keys -->"
	head, rest, ok := strings.Cut(string(text), begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no marks for the keys", reference)
	}
	for path, want := range map[string][]byte{
		reference: []byte(head + begin + referenceTables() + end + tail),
		filepath.Join("..", "docs", "inventory.schema.json"): Schema(),
	} {
		if *update {
			if err := os.WriteFile(path, want, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is stale (%v): run go generate ./inventory", path, err)
		}
	}
}

// referenceTables are the keys in Markdown, one table for each mapping.
func referenceTables() string {
	var b strings.Builder
	seen := map[string]bool{}
	var write func(title string, keys []keyInfo)
	write = func(title string, keys []keyInfo) {
		fmt.Fprintf(&b, "\n### %s\n\n| key | default | meaning |\n|---|---|---|\n", title)
		for _, k := range keys {
			def := k.def
			if def != "" {
				def = "`" + def + "`"
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", k.name, def, strings.ReplaceAll(k.doc, "|", "\\|"))
		}
		for _, k := range keys {
			sub := strings.TrimPrefix(title+"."+k.name, "Top level.")
			if k.name == "defaults" || (k.name == "cache" && title == "nodes") || (k.name == "ssh" && title == "balancers") || len(k.keys) == 0 || seen[sub] {
				continue
			}
			seen[sub] = true
			write(sub, k.keys)
		}
	}
	write("Top level", documentKind().keys)
	return b.String() + "\n"
}

func compileSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	if err := c.AddResource("inventory.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("inventory.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func validate(t *testing.T, s *jsonschema.Schema, data []byte) error {
	t.Helper()
	asJSON, err := yaml.YAMLToJSON(data)
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
	if err != nil {
		t.Fatal(err)
	}
	return s.Validate(value)
}

func TestSchemaAgreesWithParse(t *testing.T) {
	s := compileSchema(t)
	full, err := os.ReadFile("testdata/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"full.yaml": full, "starter": Starter(StarterOptions{}), "explained": []byte(explained)} {
		if err := validate(t, s, data); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, wrong := range []string{
		"name: x\nnodes: []\n",
		"version: 1\nname: x\nnodes: [{name: a}]\ntypo: 1\n",
		"version: 1\nname: x\nnodes: [{name: a, ssh: {port: 70000}}]\n",
		"version: 1\nname: x\nnodes: [{name: a, ssh: {timeout: 15}}]\n",
		"version: 1\nname: x\nnodes: [{name: a, roles: [boss]}]\n",
		"version: 1\nname: x y\nnodes: [{name: a}]\n",
		"version: 1\nname: x\nnodes: [{name: a}]\nrelease: {serial: [0]}\n",
		"version: 1\nname: x\nnodes: [{name: a}]\nbalancers: [{name: lb}]\n",
	} {
		if err := validate(t, s, []byte(wrong)); err == nil {
			t.Errorf("the schema accepts:\n%s", wrong)
		}
	}
}

// Every default is what its key accepts, and says of itself what was meant.
func TestDefaultsAreValid(t *testing.T) {
	var walk func(path string, keys []keyInfo)
	count := 0
	walk = func(path string, keys []keyInfo) {
		for _, k := range keys {
			if k.doc == "" || strings.HasSuffix(k.doc, ".") {
				t.Errorf("%s.%s: description %q", path, k.name, k.doc)
			}
			if k.def != "" {
				count++
			}
			walk(path+"."+k.name, k.keys)
		}
	}
	walk("", documentKind().keys)
	if count < 25 {
		t.Errorf("%d defaults", count)
	}
	base := "version: 1\nname: x\nnodes: [{name: a, paths: {root: /srv/x}}]\n"
	for _, text := range defaultsAsFile(documentKind().keys, 0, "") {
		if _, err := Parse("x.yaml", []byte(base+text)); err != nil {
			t.Errorf("%s\n%v", text, err)
		}
	}
}

// defaultsAsFile writes each default below a top-level mapping as one would write it oneself.
func defaultsAsFile(keys []keyInfo, depth int, above string) (out []string) {
	for _, k := range keys {
		line := above + strings.Repeat("  ", depth) + k.name + ":"
		switch {
		case k.name == "groups" || k.name == "nodes" || k.name == "balancers" || k.name == "jobs" || k.name == "paths" && depth == 1 && strings.HasPrefix(above, "sync"):
		case k.name == "database" || k.name == "env":
		case k.def != "":
			out = append(out, line+" "+k.def+"\n")
		case len(k.keys) > 0:
			out = append(out, defaultsAsFile(k.keys, depth+1, line+"\n")...)
		}
	}
	return out
}

func TestStarterPassesParse(t *testing.T) {
	two := []StarterNode{{Name: "a", Address: "10.0.0.1"}, {Name: "b"}}
	tests := map[string]StarterOptions{
		"examples":    {},
		"one node":    {Nodes: two[:1], DBSystem: "sqlite"},
		"odd text":    {Name: "no", User: "0", Root: "/srv/my mosparo #1", Owner: "33", Reload: "systemctl reload 'php: fpm'", Nodes: []StarterNode{{"1.5", "192.0.2.1"}, {"true", "::1"}}},
		"memcached":   {Nodes: two, Cache: CacheMemcached, CacheURL: "memcached://10.0.0.9:11211", DBSystem: "postgres", Become: true},
		"haproxy":     {Nodes: two, Balancer: BalancerHAProxy},
		"nginx":       {Nodes: two, Balancer: BalancerNginx},
		"health-file": {Nodes: two, Balancer: BalancerHealthFile},
		"command":     {Nodes: two, Balancer: BalancerCommand},
	}
	for name, o := range tests {
		data := Starter(o)
		d, err := Parse("mosparo.yaml", data)
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, data)
			continue
		}
		if len(d.Warnings) > 0 {
			t.Errorf("%s: %v", name, d.Warnings)
		}
		if o.Nodes != nil && len(d.Nodes) != len(o.Nodes) {
			t.Errorf("%s: %d nodes", name, len(d.Nodes))
		}
		if o.Root != "" && d.Nodes[0].Paths.Root != o.Root {
			t.Errorf("%s: root %q", name, d.Nodes[0].Paths.Root)
		}
		if o.Balancer != "" && (len(d.Balancers) != 1 || d.Balancers[0].Kind != o.Balancer) {
			t.Errorf("%s: balancers %+v", name, d.Balancers)
		}
	}
	for name, o := range map[string]StarterOptions{"root": {Root: "relative"}, "cache": {Cache: "redsi"}, "balancer": {Balancer: "haproxi"},
		"name": {Name: "a b"}, "filesystem": {Nodes: two, Cache: CacheFilesystem}, "sqlite": {Nodes: two, DBSystem: "sqlite"}, "database": {DBSystem: "oracle"}} {
		if _, err := Parse("x", Starter(o)); err == nil {
			t.Errorf("a wrong %s passes", name)
		} else if _, ok := errors.AsType[Problems](err); !ok || strings.Contains(err.Error(), "syntax") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestReferenceExampleIsValid(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "docs", "inventory.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), "```yaml\n")
	example, _, _ := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("no example")
	}
	if d, err := Parse("inventory.md", []byte(example)); err != nil || len(d.Warnings) > 0 {
		t.Errorf("%v %v", err, d)
	}
	if err := validate(t, compileSchema(t), []byte(example)); err != nil {
		t.Error(err)
	}
}
