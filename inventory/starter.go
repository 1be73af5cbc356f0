package inventory

import (
	"bytes"
	"encoding/json"
	"regexp"
	"text/template"
)

// StarterOptions are the answers that a starter file is made of. What is empty gets an example.
type StarterOptions struct {
	Name       string
	Nodes      []StarterNode // the first is the admin node
	User       string        // login user
	Become     bool          // it needs sudo
	Root       string        // folder of the installation
	Owner      string        // user and group that own mosparo's files
	Reload     string        // command that reloads PHP-FPM
	Cache      CacheAdapter  // with several nodes, redis or memcached
	CacheURL   string        // better a reference
	DBSystem   string        // mysql, postgres or sqlite
	DBHost     string
	DBPassword string // better a reference
	Balancer   BalancerKind
}

// StarterNode is one machine of a starter file.
type StarterNode struct {
	Name    string
	Address string // "": the name
}

// Starter writes a commented inventory. It passes Parse if the options do; the caller should look.
func Starter(o StarterOptions) []byte {
	fill := func(s *string, example string) {
		if *s == "" {
			*s = example
		}
	}
	fill(&o.Name, "mosparo")
	if len(o.Nodes) == 0 {
		o.Nodes = []StarterNode{{"app1", "app1.example.com"}, {"app2", "app2.example.com"}}
	}
	fill(&o.User, "deploy")
	fill(&o.Root, "/srv/mosparo")
	fill(&o.Owner, "www-data")
	fill(&o.DBSystem, "mysql")
	fill(&o.DBHost, "db.example.com")
	fill(&o.DBPassword, "env:MOSPARO_DB_PASSWORD")
	if o.Cache == "" && len(o.Nodes) > 1 {
		o.Cache = CacheRedis
	}
	switch o.Cache {
	case CacheRedis:
		fill(&o.CacheURL, "env:REDIS_URL")
	case CacheMemcached:
		fill(&o.CacheURL, "env:MEMCACHED_URL")
	}
	t := template.Must(template.New("starter").Funcs(template.FuncMap{"q": quoteYAML}).Parse(starterText))
	var b bytes.Buffer
	if err := t.Execute(&b, o); err != nil {
		panic(err) // the template and its data are both ours
	}
	return b.Bytes()
}

var plainYAML = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+$|^[A-Za-z/][A-Za-z0-9_./@-]*(:[A-Za-z0-9_./@-]+)*( [A-Za-z0-9_./@-]+)*$`)

// quoteYAML writes s as one YAML scalar that is text whatever it looks like.
func quoteYAML(s string) string {
	reserved := regexp.MustCompile(`^(?i:true|false|null|yes|no|on|off|y|n)$`)
	if plainYAML.MatchString(s) && !reserved.MatchString(s) {
		return s
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		panic(err) // text can always be encoded
	}
	return string(bytes.TrimSpace(b.Bytes()))
}

const starterText = `# yaml-language-server: $schema=https://raw.githubusercontent.com/mosparoctl/mosparoctl/main/docs/inventory.schema.json
#
# The machines of a mosparo deployment. Check it with: mosparoctl inventory validate
# Every key is described in docs/inventory.md. Secrets are best written as references:
# env:NAME, file:/path or cmd:COMMAND.
version: 1

# Typed to confirm what is dangerous.
name: {{q .Name}}

# Settings of all nodes. A group's and a node's own settings come over them.
defaults:
  ssh:
    user: {{q .User}}
{{- if .Become}}
    become: true              # work through sudo -n
{{- else}}
    # become: true            # work through sudo -n
{{- end}}
    # jump: bastion.example.com
  paths:
    root: {{q .Root}}         # releases/, shared/ and current are made in it
    # layout: in-place        # the root is the installation itself; deploys are not atomic
  owner:
    user: {{q .Owner}}
    group: {{q .Owner}}
  php:
    command: php
{{- if .Reload}}
    reload: {{q .Reload}}
{{- else}}
    # reload: systemctl reload php8.2-fpm
{{- end}}
  http:
    url: http://127.0.0.1     # the node's own web server, as the node reaches it
    # host: mosparo.example.com
  # tz: Europe/Zurich         # the machines' time zone, for cron

# Groups of nodes, with settings of their own or none.
# groups:
#   eu: {tz: Europe/Zurich}

# One node is the admin node: administrative changes are made there, and sync and migrations start from it.
nodes:
{{- range $i, $n := .Nodes}}
  - name: {{q $n.Name}}
{{- if $n.Address}}
    address: {{q $n.Address}}
{{- end}}
    roles: {{if $i}}[app, cron]{{else}}[admin, app, cron]{{end}}
{{- end}}

{{if and .Cache (ne .Cache "filesystem") -}}
# All nodes must share one cache.
cache:
  adapter: {{q (print .Cache)}}
{{- if .CacheURL}}
  url: {{q .CacheURL}}
{{- end}}
{{- else -}}
# With several nodes, all must share one cache.
# cache: {adapter: redis, url: env:REDIS_URL}
{{- end}}
  # shared_css: true          # keep prepared CSS in the cache

# The database, for checks. mosparo's own settings are in config/env.mosparo.php.
database:
  system: {{q .DBSystem}}
{{- if ne .DBSystem "sqlite"}}
  topology: single            # or active-passive, active-active
  servers:
    - host: {{q .DBHost}}
  name: mosparo
  user: mosparo
  password: {{q .DBPassword}}
{{- end}}

# Values of .env.local on all nodes; a node can have its own.
# env:
#   MOSPARO_SUBMISSION_RETENTION_PERIOD: 14

{{if eq .Balancer "haproxy" -}}
balancers:
  - name: lb
    kind: haproxy
    node: {{q (index .Nodes 0).Name}}                # where it runs: a node, or an address
    socket: /run/haproxy/admin.sock
    backend: mosparo
{{- else if eq .Balancer "nginx" -}}
balancers:
  - name: lb
    kind: nginx
    node: {{q (index .Nodes 0).Name}}                # where it runs: a node, or an address
    file: /etc/nginx/conf.d/mosparo-upstream.conf
    reload: systemctl reload nginx
{{- else if eq .Balancer "health-file" -}}
balancers:
  - name: lb
    kind: health-file
    file: {{q .Root}}/shared/healthy
{{- else if eq .Balancer "command" -}}
balancers:
  - name: lb
    kind: command
    drain: /usr/local/bin/lb drain {node}
    ready: /usr/local/bin/lb ready {node}
{{- else if .Balancer -}}
balancers:
  - name: lb
    kind: {{q (print .Balancer)}}
{{- else -}}
# Where nodes are drained before a deploy. Kinds: haproxy, nginx, health-file, command.
# balancers:
#   - name: lb
#     kind: haproxy
#     node: app1
#     socket: /run/haproxy/admin.sock
#     backend: mosparo
{{- end}}

cron:
  mode: admin-only            # or staggered: all nodes with the role cron, never at the same time
  target: crontab             # or cron.d

# What is kept in step beside config/env.mosparo.php, public/resources and var/data.
# sync:
#   paths:
#     - {path: var/rules, delete: true}
#   max_delete: 10%
#   bandwidth: 5MB

release:
  keep: 5
  serial: 1                   # nodes per wave
  # before: {node: [[test, -d, vendor]]}
`
