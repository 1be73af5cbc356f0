package release

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/filesync"
	"github.com/mosparoctl/mosparoctl/ops/local"
)

// lab is a deployment of local folders with a PHP that only notes how it was called.
type lab struct {
	t        testing.TB
	dir      string
	d        *inventory.Deployment
	rotation *rotation
	gate     *gate
	wrap     func(ops.Host) ops.Host                                  // nil: hosts as they are
	reach    func(ctx context.Context, node string) (ops.Host, error) // nil: folders of this machine
	now      time.Time
}

// newLab makes n nodes, the first of which is the admin node. dir is reused by a second process.
func newLab(t testing.TB, dir string, n int) *lab {
	l := &lab{t: t, dir: dir, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
		d: &inventory.Deployment{Name: "lab", Release: inventory.Release{Keep: 3, Serial: []int{1}, Migrate: true, Warm: true, Health: true}}}
	php := filepath.Join(dir, "php")
	script := "#!/bin/sh\necho \"$(basename $PWD) $*\" >>" + filepath.Join(dir, "php.log") + "\necho ran $2\ntest ! -e " + filepath.Join(dir, "php.fails") + "\n"
	if err := os.WriteFile(php, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		node := &inventory.Node{Name: fmt.Sprintf("app%d", i+1), Roles: []inventory.Role{inventory.RoleApp},
			PHP:  inventory.PHP{Command: []string{php}, Reload: []string{"sh", "-c", "echo reload >>" + filepath.Join(dir, "reload.log")}},
			HTTP: inventory.HTTP{URL: "http://127.0.0.1"}}
		node.Paths = inventory.Paths{Root: filepath.Join(dir, node.Name), Layout: inventory.LayoutReleases}
		if i == 0 {
			node.Roles = append(node.Roles, inventory.RoleAdmin)
		}
		l.d.Nodes = append(l.d.Nodes, node)
	}
	l.rotation = &rotation{lab: l}
	l.gate = &gate{lab: l, sick: map[string]bool{}}
	return l
}

func (l *lab) Host(ctx context.Context, node string) (ops.Host, error) {
	if l.reach != nil {
		return l.reach(ctx, node)
	}
	var h ops.Host = local.New(node)
	if l.wrap != nil {
		h = l.wrap(h)
	}
	return h, nil
}

func (l *lab) At(ctx context.Context, n *inventory.Node) (ops.Host, filesync.Peer, error) {
	h, err := l.Host(ctx, n.Name)
	if err != nil {
		return nil, nil, err
	}
	return h, filesync.NewHostPeer(h, filesync.HostOptions{FilesOnly: l.reach == nil, Concurrency: 4}), nil
}

func (l *lab) manager() *Manager {
	return New(l.d, Deps{Hosts: l, Peers: l, Rotation: l.rotation, Gate: l.gate, Now: func() time.Time { return l.now }})
}

// rotation is a balancer whose states are files, so that it outlives a process. It reports a node that comes back without
// being fit for visitors.
type rotation struct {
	lab *lab
	// strict makes it as a real one with a check of mosparo's health: a node on which mosparo is not installed is down, and the
	// last one that is up is not drained.
	strict bool
	broken bool // it takes no node back
	mu     sync.Mutex
	log    []string
	was    map[string]string
}

func (r *rotation) file(node string) string { return filepath.Join(r.lab.dir, "balancer-"+node) }

// state is what the balancer does with a node.
func (r *rotation) state(node string) string {
	b, err := os.ReadFile(r.file(node))
	if errors.Is(err, fs.ErrNotExist) {
		return "ready"
	}
	return string(b)
}

func (r *rotation) set(node, state string) {
	if err := os.WriteFile(r.file(node), []byte(state), 0o644); err != nil {
		r.lab.t.Error(err)
	}
}

func (r *rotation) Facts(context.Context) ([]ops.Fact, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var facts []ops.Fact
	for _, n := range r.lab.d.Nodes {
		facts = append(facts, ops.Fact{Node: n.Name, Path: "balancer lb", Value: r.state(n.Name)})
	}
	return facts, nil
}

// up reports whether a node passes the balancer's check.
func (r *rotation) up(node string) bool {
	_, version := r.lab.versions(node)
	return !r.strict || version != ""
}

func (r *rotation) Drain(_ context.Context, node string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	serves := func(n *inventory.Node) bool { return r.up(n.Name) && r.state(n.Name) == "ready" }
	if r.strict && serves(r.lab.d.Node(node)) &&
		!slices.ContainsFunc(r.lab.d.Nodes, func(n *inventory.Node) bool { return n.Name != node && serves(n) }) {
		return errors.New("it is the last server that serves visitors")
	}
	if r.was == nil {
		r.was = map[string]string{}
	}
	r.was[node] = r.state(node)
	r.set(node, "drain")
	r.log = append(r.log, "drain "+node)
	return nil
}

func (r *rotation) Ready(_ context.Context, node string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.broken {
		return errors.New("it took the order and says drain")
	}
	if r.was[node] == "ready" {
		r.put(node)
		if !r.up(node) {
			return errors.New("it is in rotation, but fails the balancer's check")
		}
	}
	return nil
}

func (r *rotation) put(node string) {
	r.lab.mustBeCoherent(node)
	r.set(node, "ready")
	r.log = append(r.log, "ready "+node)
}

func (r *rotation) Undoers() ops.Undoers {
	return ops.Undoers{UndoReady: func(_ context.Context, u ops.Undo) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		if u.Data["lb"] == "ready" {
			r.put(u.Node)
		}
		return nil
	}}
}

// gate is healthy where code and configuration go together and nobody said otherwise.
type gate struct {
	lab  *lab
	mu   sync.Mutex
	sick map[string]bool
}

func (g *gate) Healthy(_ context.Context, n *inventory.Node, _ ops.Reporter) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.sick[n.Name] {
		return errors.New("databaseStatus: connection-failed")
	}
	g.lab.mustBeCoherent(n.Name)
	return nil
}

// versions reads the version of the code and of the configuration of a node from its files.
func (l *lab) versions(node string) (code, config string) {
	n := l.d.Node(node)
	kernel, err := os.ReadFile(filepath.Join(n.InstallPath(), kernelFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.t.Errorf("%s: %v", node, err)
	}
	if m := versionConst.FindSubmatch(kernel); m != nil {
		code = string(m[1])
	}
	c, _, err := readConfig(context.Background(), local.New(node), configPath(n))
	if err != nil {
		l.t.Errorf("%s: %v", node, err)
		return code, ""
	}
	return code, c.Text(keyVersion)
}

func (l *lab) mustBeCoherent(node string) {
	l.t.Helper()
	if code, config := l.versions(node); config != "" && code != config {
		l.t.Errorf("%s: code %s and configuration %s in rotation", node, code, config)
	}
}

// install writes the configuration of an installed mosparo on every node, as it is after the wizard and a sync.
func (l *lab) install(version string) {
	for _, n := range l.d.Nodes {
		l.write(configPath(n), "<?php\n\nreturn array (\n  'mosparo_installed' => true,\n  'mosparo_installed_version' => '"+version+
			"',\n  'mosparo_assets_version' => 'abcdefghijk',\n  'encryption_key' => 's3cret-canary',\n);\n")
	}
}

func (l *lab) write(name, content string) {
	l.t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		l.t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) read(name string) string {
	l.t.Helper()
	b, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.t.Fatal(err)
	}
	return string(b)
}

// tree writes a folder that looks like mosparo of that version with some files more.
func (l *lab) tree(version string, files int) string {
	dir := filepath.Join(l.dir, "src-"+version)
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	for name, content := range map[string]string{
		"src/Kernel.php":   "<?php\nclass Kernel {\n    const MAJOR_VERSION = '1.5';\n    const VERSION = '" + version + "';\n}\n",
		"public/index.php": "<?php // " + version + "\n", ".env": "APP_ENV=prod\n", "bin/console": "#!/usr/bin/env php\n",
		"vendor/autoload.php": "<?php\n", "public/build/entrypoints.json": `{"v":"` + version + `"}`,
		"migrations/mysql/Version1.php": "<?php\n", "migrations/mysql/Version" + strings.ReplaceAll(version, ".", "") + ".php": "<?php\n",
		"var/data/geoip2/.gitkeep": "", "public/resources/.gitkeep": "", "config/services.yaml": "services: {}\n",
	} {
		l.write(filepath.Join(dir, name), content)
	}
	for i := range files {
		content := fmt.Sprintf("<?php // file %d\n", i)
		if i%3 == 0 {
			content += "// " + version + strings.Repeat(" x", i*7) + "\n"
		}
		l.write(filepath.Join(dir, "vendor", fmt.Sprintf("p%d", i%5), fmt.Sprintf("f%d.php", i)), content)
	}
	if err := os.Symlink("../vendor/autoload.php", filepath.Join(dir, "bin/link.php")); err != nil {
		l.t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, "bin/console"), 0o755); err != nil {
		l.t.Fatal(err)
	}
	return dir
}

func (l *lab) open(dir string) *Source {
	l.t.Helper()
	src, err := Open(context.Background(), dir, SourceOptions{})
	if err != nil {
		l.t.Fatal(err)
	}
	return src
}

// plan plans a deploy of the folder.
func (l *lab) plan(dir string, o Options) (*Planned, error) {
	m := l.manager()
	facts, err := m.Read(context.Background(), l.d.Nodes)
	if err != nil {
		return nil, err
	}
	return m.PlanDeploy(facts, l.open(dir), o)
}

// deploy deploys the folder with all that a command does around it but the lock.
func (l *lab) deploy(dir string) (*Planned, error) {
	p, err := l.plan(dir, Options{})
	if err != nil {
		return nil, err
	}
	return p, l.apply(p)
}

func (l *lab) apply(p *Planned) error {
	rec := &ops.Recorder{}
	_, err := ops.Apply(context.Background(), p.Plan, ops.ApplyOptions{Undoers: l.manager().Undoers(), Sink: rec})
	for _, e := range rec.Events() {
		if strings.Contains(e.Message+e.Error, "s3cret-canary") {
			l.t.Errorf("event shows a secret: %+v", e)
		}
	}
	return err
}

func (l *lab) mustDeploy(dir string) *Planned {
	l.t.Helper()
	p, err := l.deploy(dir)
	if err != nil {
		l.t.Fatal(err)
	}
	return p
}

// current is the id of a node's active release.
func (l *lab) current(node string) string {
	target, _ := os.Readlink(l.d.Node(node).InstallPath())
	return filepath.Base(target)
}

// mustBeOn checks that every node serves version, complete, coherent, in rotation, with no leftovers.
func (l *lab) mustBeOn(version string) {
	l.t.Helper()
	for _, n := range l.d.Nodes {
		code, config := l.versions(n.Name)
		if code != version || config != "" && config != version {
			l.t.Errorf("%s: code %q, configuration %q, want %s", n.Name, code, config, version)
		}
		if s := l.rotation.state(n.Name); s != "ready" {
			l.t.Errorf("%s is %s at the balancer", n.Name, s)
		}
		l.mustBeComplete(n)
		l.mustBeClean(n)
	}
}

// mustBeComplete verifies the active release against its own manifest, and that manifest against the digest of the content.
func (l *lab) mustBeComplete(n *inventory.Node) {
	l.t.Helper()
	if err := l.checkComplete(n); err != nil {
		l.t.Errorf("%s: %v", n.Name, err)
	}
}

func (l *lab) checkComplete(n *inventory.Node) error {
	dir, err := filepath.EvalSymlinks(n.InstallPath())
	if err != nil {
		return err
	}
	host := local.New(n.Name)
	want, err := readManifest(context.Background(), host, dir)
	if err != nil {
		return err
	}
	peer := filesync.NewHostPeer(host, filesync.HostOptions{FilesOnly: true})
	wrong, err := compare(context.Background(), peer, dir, want)
	if err == nil && len(wrong) > 0 {
		err = errors.New(describe(wrong))
	}
	return err
}

// mustBeClean checks that no temporary file and no note of a change is left on the node.
func (l *lab) mustBeClean(n *inventory.Node) {
	l.t.Helper()
	if _, err := os.Lstat(n.ManagePath(holdName)); err == nil {
		l.t.Errorf("%s: the note of a change is left", n.Name)
	}
	if err := filepath.WalkDir(n.Paths.Root, func(p string, _ fs.DirEntry, err error) error {
		if strings.HasPrefix(filepath.Base(p), ops.TempPrefix) {
			l.t.Errorf("left behind: %s", p)
		}
		return err
	}); err != nil {
		l.t.Error(err)
	}
}

// text is a plan for a golden: without the folder of the test.
func (l *lab) text(p *Planned) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n", p.Plan.Op, p.Release.ID)
	for _, w := range p.Plan.Waves {
		fmt.Fprintf(&b, "\n[%s] parallel %d\n", w.Name, w.Parallel)
		for _, s := range w.Steps {
			fmt.Fprintf(&b, "%s: %s", s.ID, s.Title)
			if s.Undo != nil {
				fmt.Fprintf(&b, " (undo %s)", s.Undo.Kind)
			}
			if len(s.Settles) > 0 {
				fmt.Fprintf(&b, " (settles %s)", strings.Join(s.Settles, ", "))
			}
			b.WriteByte('\n')
			for _, c := range s.Changes {
				fmt.Fprintf(&b, "    %s %s %s\n", c.Action, c.Path, cmp.Or(c.Detail, "-"))
			}
		}
	}
	for _, n := range p.Notes {
		fmt.Fprintf(&b, "\nnote: %s\n", n)
	}
	return strings.ReplaceAll(b.String(), l.dir, "DIR")
}

// phpLog are the console commands that were run, oldest first.
func (l *lab) phpLog() []string {
	return slices.DeleteFunc(strings.Split(l.read(filepath.Join(l.dir, "php.log")), "\n"), func(s string) bool { return s == "" })
}
