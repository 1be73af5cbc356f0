package inventory

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const explained = `version: 1
name: shop
defaults:
  ssh: {user: deploy}
  paths: {root: /srv/mosparo}
  env: {MOSPARO_CLEANUP_PROCESS_INTERVAL: 2, CUSTOM: canary-5ecret}
groups:
  eu: {tz: Europe/Zurich, ssh: {user: eu-deploy}}
nodes:
  - name: app1
    address: 10.0.0.1
    roles: [admin, app]
    groups: [eu]
    php: {command: [php, -d, "memory_limit=1G"]}
env: {MAILER_DSN: "smtp://u:canary-5ecret@mail", MOSPARO_CLEANUP_PROCESS_INTERVAL: 3}
cache: {adapter: memcached, url: "memcached://u:canary-5ecret@10.0.0.9"}
`

func TestExplain(t *testing.T) {
	d, err := Parse("shop.yaml", []byte(explained))
	if err != nil {
		t.Fatal(err)
	}
	settings, err := d.Explain("app1")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, s := range settings {
		fmt.Fprintf(&b, "%s = %s < %s\n", s.Key, s.Value, s.From())
	}
	want := `name = app1 < shop.yaml:10:11 (nodes[app1].name)
address = 10.0.0.1 < shop.yaml:11:14 (nodes[app1].address)
groups[0] = eu < shop.yaml:13:14 (nodes[app1].groups[0])
roles[0] = admin < shop.yaml:12:13 (nodes[app1].roles[0])
roles[1] = app < shop.yaml:12:20 (nodes[app1].roles[1])
ssh.user = eu-deploy < shop.yaml:8:39 (groups.eu.ssh.user)
ssh.become_user = root < default
ssh.timeout = 15s < default
ssh.keepalive = 5s < default
paths.root = /srv/mosparo < shop.yaml:5:17 (defaults.paths.root)
paths.layout = releases < default
php.command = php -d memory_limit=1G < shop.yaml:14:20 (nodes[app1].php.command)
http.timeout = 10s < default
cache.adapter = memcached < shop.yaml:16:18 (cache.adapter)
cache.url = •••••• < shop.yaml:16:34 (cache.url)
env.CUSTOM = •••••• < shop.yaml:6:54 (defaults.env.CUSTOM)
env.MAILER_DSN = •••••• < shop.yaml:15:19 (env.MAILER_DSN)
env.MOSPARO_CLEANUP_PROCESS_INTERVAL = 2 < shop.yaml:6:43 (defaults.env.MOSPARO_CLEANUP_PROCESS_INTERVAL)
tz = Europe/Zurich < shop.yaml:8:12 (groups.eu.tz)
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("Explain (-want +got):\n%s", diff)
	}
	if _, err := d.Explain("app2"); err == nil || !strings.Contains(err.Error(), `"app1"`) {
		t.Errorf("unknown node: %v", err)
	}
	for path, want := range map[string][2]int{
		"env.MAILER_DSN": {15, 19},
		"nodes[app1].env.MOSPARO_CLEANUP_PROCESS_INTERVAL": {6, 43},
		"nodes[app1].ssh.port":                             {0, 0},
		"cache.url":                                        {16, 34},
	} {
		if line, col := d.Position(path); line != want[0] || col != want[1] {
			t.Errorf("Position(%s) = %d, %d; want %v", path, line, col, want)
		}
	}
	p := d.ProblemAt("nodes[app1].env.MOSPARO_CLEANUP_PROCESS_INTERVAL", "is wrong", "write 6")
	if got := p.String(); got != "shop.yaml:6:43: defaults.env.MOSPARO_CLEANUP_PROCESS_INTERVAL: is wrong; write 6" {
		t.Error(got)
	}
}

func TestExplainDeployment(t *testing.T) {
	d, err := Load("testdata/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	settings, err := d.Explain("")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, s := range settings {
		got[s.Key] = s.Value
		if strings.HasPrefix(s.Key, "nodes") || strings.HasPrefix(s.Key, "defaults") {
			t.Errorf("%s is no setting of the deployment", s.Key)
		}
	}
	for key, want := range map[string]string{"name": "example", "cache.url": "env:REDIS_URL", "database.servers[1].port": "3307",
		"balancers[0].kind": "haproxy", "release.serial[1]": "2", "cron.distance": "15m", "database.password": "file:/etc/mosparoctl/db.password"} {
		if got[key] != want {
			t.Errorf("%s is %q, want %q", key, got[key], want)
		}
	}
}

func TestSelect(t *testing.T) {
	var list strings.Builder
	for _, n := range []string{"app1", "app2", "app3", "db-app"} {
		fmt.Fprintf(&list, "  - {name: %s, groups: [%s]}\n", n, map[bool]string{true: "odd", false: "even"}[n == "app1" || n == "app3"])
	}
	d, err := Parse("x.yaml", []byte("version: 1\nname: x\ndefaults: {paths: {root: /srv/mosparo}, cache: {adapter: memcached, url: env:M}}\ngroups: {odd: , even: , none: }\nnodes:\n  - {name: admin, roles: [admin, cron]}\n"+list.String()))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		nodes, role, group string
		want, err          string
	}{
		{want: "admin app1 app2 app3 db-app"},
		{nodes: "app*,!app3", want: "app1 app2"},
		{nodes: "!app3, app*", want: "app1 app2"},
		{nodes: "!admin", want: "app1 app2 app3 db-app"},
		{nodes: "app[12],db-app", want: "app1 app2 db-app"},
		{nodes: "app?", group: "odd", want: "app1 app3"},
		{role: "cron", want: "admin"},
		{role: "app", group: "even", want: "app2 db-app"},
		{nodes: "app4", err: `unknown node "app4"; did you mean "app1"?`},
		{nodes: "zzzzzz", err: "there are: admin, app1"},
		{nodes: "web*", err: `no node fits "web*"`},
		{nodes: "app*,!web1", err: `unknown node "web1"`},
		{nodes: "app1,", err: "empty part"},
		{nodes: "app[", err: "no pattern"},
		{role: "adm", err: `unknown role "adm"; did you mean "admin"?`},
		{group: "od", err: `unknown group "od"; did you mean "odd"?`},
		{nodes: "app1", role: "cron", err: "no node is selected: --nodes app1 and --role cron leave none"},
		{nodes: "app1,!app*", err: "no node is selected"},
	}
	for _, tt := range tests {
		nodes, err := d.Select(tt.nodes, tt.role, tt.group)
		var names []string
		for _, n := range nodes {
			names = append(names, n.Name)
		}
		if got := strings.Join(names, " "); got != tt.want {
			t.Errorf("Select(%q, %q, %q) = %q, want %q", tt.nodes, tt.role, tt.group, got, tt.want)
		}
		if (tt.err == "") != (err == nil) || (err != nil && !strings.Contains(err.Error(), tt.err)) {
			t.Errorf("Select(%q, %q, %q): error %v, want %q", tt.nodes, tt.role, tt.group, err, tt.err)
		}
	}
}
