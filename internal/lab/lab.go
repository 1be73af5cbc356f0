// Package lab builds a whole mosparo deployment on this machine, without root and without any server installed: nodes with
// SSH and SFTP in this process, each with a folder of its own, a balancer with HAProxy's runtime API, a cache that speaks
// redis' protocol, and on each node
// the protection core behind a small stand-in for PHP that serves the release it finds at "current".
package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"text/template"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/mosparoctl/mosparoctl/ops/remote/remotetest"
	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/server"
)

// Options say what to build.
type Options struct {
	Dir     string // an existing, empty folder, absolute
	Nodes   int    // default 3; the first is the admin node
	Console string // path of this program, whose command "lab-console" stands in for PHP on the nodes
}

// Lab is a running deployment. Close it.
type Lab struct {
	Inventory string // path of its mosparo.yaml
	URL       string // of the balancer
	Nodes     []*Node

	dir      string
	project  *protection.Project
	balancer *Balancer
	cache    *miniredis.Miniredis
}

// Node is one machine of the lab.
type Node struct {
	Name string
	Root string // its mosparo root
	URL  string // of its own web server

	ssh  *remotetest.Server
	app  *app
	core *server.Server
}

// Start builds a lab and starts it.
func Start(ctx context.Context, o Options) (_ *Lab, err error) {
	if o.Nodes == 0 {
		o.Nodes = 3
	}
	l := &Lab{dir: o.Dir, Inventory: filepath.Join(o.Dir, "mosparo.yaml")}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close())
		}
	}()
	if l.cache, err = miniredis.Run(); err != nil {
		return nil, fmt.Errorf("start cache: %w", err)
	}
	key := remotetest.NewKey()
	var knownHosts strings.Builder
	for i := range o.Nodes {
		n, err := startNode(o.Dir, fmt.Sprintf("app%d", i+1), key)
		if err != nil {
			return nil, err
		}
		l.Nodes = append(l.Nodes, n)
		knownHosts.WriteString(n.ssh.KnownHosts())
	}
	if l.balancer, err = startBalancer(l.Nodes); err != nil {
		return nil, err
	}
	if err := l.startCores(ctx); err != nil {
		return nil, err
	}
	l.URL = "http://" + l.balancer.Addr()
	if err := key.WriteFile(filepath.Join(o.Dir, "id_ed25519")); err != nil {
		return nil, fmt.Errorf("write key: %w", err)
	}
	if err := os.WriteFile(filepath.Join(o.Dir, "known_hosts"), []byte(knownHosts.String()), 0o600); err != nil {
		return nil, err
	}
	return l, l.writeInventory(o.Console)
}

func startNode(dir, name string, key *remotetest.Key) (*Node, error) {
	n := &Node{Name: name, Root: filepath.Join(dir, name, "mosparo")}
	home := filepath.Join(dir, name, "home")
	for _, d := range []string{home, n.Root} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, err
		}
	}
	if err := seedConfig(n.Root); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	var err error
	if n.ssh, err = remotetest.Start(remotetest.Config{Dir: home, UserKeys: []*remotetest.Key{key}}); err != nil {
		return nil, fmt.Errorf("%s: start SSH: %w", name, err)
	}
	if n.app, err = startApp(name, filepath.Join(n.Root, "current")); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: start web server: %w", name, err), n.ssh.Close())
	}
	n.URL = "http://" + n.app.addr()
	return n, nil
}

// Close stops everything. The folder stays.
func (l *Lab) Close() error {
	var errs []error
	if l.balancer != nil {
		errs = append(errs, l.balancer.Close())
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for _, n := range l.Nodes {
		errs = append(errs, n.app.close(), n.ssh.Close())
		if n.core != nil {
			errs = append(errs, n.core.Close(ctx))
		}
	}
	if l.cache != nil {
		l.cache.Close()
	}
	return errors.Join(errs...)
}

// inventoryTemplate is the inventory of a lab, as a user would write it.
var inventoryTemplate = template.Must(template.New("inventory").Parse(`# A deployment on this machine. Everything listens on loopback and is gone when the demo ends.
version: 1
name: demo

defaults:
  ssh:
    user: {{.User}}
    identity: {{.Dir}}/id_ed25519
    known_hosts: {{.Dir}}/known_hosts
    config: none
  php:
    command: [{{.Console}}, lab-console] # stands in for PHP, which need not be installed
    reload: ["true"] # on a real node: [systemctl, reload, php8.2-fpm]

nodes:
{{- range .Nodes}}
  - name: {{.Name}}
    address: 127.0.0.1
    roles: [{{if .Admin}}admin, {{end}}app, cron]
    ssh: {port: {{.Port}}}
    paths: {root: {{.Root}}}
    http: {url: "{{.URL}}"}
    serve: {metrics: "{{.Metrics}}"}
{{- end}}

balancers:
  - name: lb
    kind: haproxy
    socket: {{.Runtime}}
    backend: mosparo

cache:
  adapter: redis
  url: redis://{{.Cache}}?lazy=1

env:
  MOSPARO_CACHE_ADAPTER: redis
  REDIS_URL: redis://{{.Cache}}?lazy=1

cron:
  mode: staggered
  user: {{.CronUser}}

check:
  # There is no PHP and no database server in the demo, and its nodes are one machine with one cron.
  disabled: [{{.Disabled}}]
`))

// disabled are the checks of what a lab doesn't have.
var disabled = []string{"php", "database", "cron"}

// inventoryNode is a node in inventoryTemplate.
type inventoryNode struct {
	Name, Root, URL, Metrics string
	Port                     int
	Admin                    bool
}

func (l *Lab) writeInventory(console string) error {
	var nodes []inventoryNode
	for i, n := range l.Nodes {
		nodes = append(nodes, inventoryNode{Name: n.Name, Root: n.Root, URL: n.URL, Metrics: n.core.MetricsAddr(), Port: n.ssh.Addr().Port, Admin: i == 0})
	}
	var b strings.Builder
	err := inventoryTemplate.Execute(&b, map[string]any{"User": l.Nodes[0].ssh.User(), "CronUser": cronUser(), "Dir": l.dir, "Console": console, "Nodes": nodes,
		"Runtime": l.balancer.RuntimeAddr(), "Cache": l.cache.Addr(), "Disabled": strings.Join(disabled, ", ")})
	if err != nil {
		return fmt.Errorf("write inventory: %w", err)
	}
	return os.WriteFile(l.Inventory, []byte(b.String()), 0o644)
}

// cronUser is who would run scheduled jobs: the current user, but never root, as whom mosparo's jobs must not run.
func cronUser() string {
	if u, err := user.Current(); err == nil && u.Uid != "0" {
		return u.Username
	}
	return "nobody"
}
