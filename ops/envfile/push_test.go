package envfile

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/local"
)

// canary is a secret that must never be seen.
const canary = "canary-7f3a9-pa$$word"

// fakeNode is a node whose files are real and whose commands are recorded.
type fakeNode struct {
	*local.Host
	mu      sync.Mutex
	ran     []string
	fail    map[string]error  // by command
	answers map[string]string // by a part of the command
}

func (h *fakeNode) Run(_ context.Context, c ops.Command) (ops.Result, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	line := strings.Join(c.Argv, " ")
	h.ran = append(h.ran, line)
	if err := h.fail[line]; err != nil {
		return ops.Result{}, err
	}
	for part, answer := range h.answers {
		if strings.Contains(line, part) {
			return ops.Result{Stdout: []byte(answer)}, nil
		}
	}
	return ops.Result{}, nil
}

// cluster is an admin node and an app node in a temporary folder.
type cluster struct {
	t     *testing.T
	hosts map[string]*fakeNode
	nodes []*inventory.Node
}

func (c *cluster) Host(_ context.Context, node string) (ops.Host, error) { return c.hosts[node], nil }

func newCluster(t *testing.T) *cluster {
	c := &cluster{t: t, hosts: map[string]*fakeNode{}}
	for _, name := range []string{"web1", "web2"} {
		n := &inventory.Node{Name: name, Roles: []inventory.Role{inventory.RoleApp},
			Paths: inventory.Paths{Root: filepath.Join(t.TempDir(), name), Layout: inventory.LayoutReleases},
			PHP:   inventory.PHP{Reload: []string{"systemctl", "reload", "php8.2-fpm"}}}
		for _, dir := range []string{n.SharedPath("config"), filepath.Join(n.InstallPath(), "src")} {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		c.nodes = append(c.nodes, n)
		c.hosts[name] = &fakeNode{Host: local.New(name), fail: map[string]error{}, answers: map[string]string{}}
		c.write(n, filepath.Join(n.InstallPath(), "src/Kernel.php"), "<?php class Kernel { public const VERSION = '1.5.4'; }", 0o644)
	}
	c.write(c.nodes[0], c.nodes[0].SharedPath(ConfigPath), installed("1.5.4"), 0o640)
	return c
}

func installed(version string) string {
	cfg := &Config{}
	cfg.Set("mosparo_installed", BoolValue(true))
	cfg.Set("mosparo_installed_version", StringValue(version))
	cfg.Set("encryption_key", StringValue(strings.Repeat("0a", 32)))
	cfg.Set("database_password", StringValue(canary))
	cfg.Set("mailer_dsn", StringValue("smtp://u:"+canary+"@mail"))
	return string(cfg.Format())
}

func (c *cluster) write(_ *inventory.Node, path, content string, mode os.FileMode) {
	c.t.Helper()
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		c.t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) read(path string) string {
	c.t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(b)
}

func (c *cluster) plan(o PushOptions) (*Push, error) {
	c.t.Helper()
	var targets []Target
	for _, n := range c.nodes {
		s, err := Read(c.t.Context(), c.hosts[n.Name], n)
		if err != nil {
			return nil, err
		}
		d, err := Resolve(c.t.Context(), n)
		if err != nil {
			return nil, err
		}
		targets = append(targets, Target{n, s, d})
	}
	return PlanPush(targets[0].State, targets, c, o)
}

func (c *cluster) mustPlan(o PushOptions) *Push {
	c.t.Helper()
	p, err := c.plan(o)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, s := range []string{canary, "0a0a0a"} {
		for _, d := range p.Diffs {
			if strings.Contains(Lines(d.Config)+Lines(d.Local), s) {
				c.t.Fatalf("a secret is shown: %+v", d)
			}
		}
		for _, f := range p.Plan.Facts {
			if strings.Contains(f.Value, s) {
				c.t.Fatalf("a secret is in a fact: %+v", f)
			}
		}
	}
	return p
}

func (c *cluster) apply(p *Push) error {
	c.t.Helper()
	var rec ops.Recorder
	_, err := ops.Apply(c.t.Context(), p.Plan, ops.ApplyOptions{Sink: &rec})
	for _, e := range rec.Events() {
		if strings.Contains(e.Message+e.Error+e.Hint, canary) {
			c.t.Fatalf("a secret is in an event: %+v", e)
		}
	}
	return err
}

func TestPush(t *testing.T) {
	c := newCluster(t)
	t.Setenv("ENVFILE_TEST_PASSWORD", canary)
	for _, n := range c.nodes {
		n.Env = map[string]string{"MOSPARO_SUBMISSION_RETENTION_PERIOD": "7", "OWN_THING": "env:ENVFILE_TEST_PASSWORD"}
		n.Cache = inventory.Cache{Adapter: inventory.CacheRedis, URL: inventory.NewSecret("redis://:" + canary + "@cache/1?lazy=1")}
	}
	p := c.mustPlan(PushOptions{})
	var got []string
	for _, s := range p.Plan.Waves[0].Steps {
		got = append(got, s.Node+" "+s.Title)
	}
	web1, web2 := c.nodes[0], c.nodes[1]
	want := []string{
		"web1 create " + web1.SharedPath(LocalPath),
		"web2 create " + web2.SharedPath(LocalPath), "web2 create " + web2.SharedPath(ConfigPath), "web2 reload PHP-FPM",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
	if err := c.apply(p); err != nil {
		t.Fatal(err)
	}
	if c.read(web2.SharedPath(ConfigPath)) != installed("1.5.4") {
		t.Error("env.mosparo.php did not arrive as it is")
	}
	vars, err := ParseDotenv([]byte(c.read(web2.SharedPath(LocalPath))), nil)
	if err != nil {
		t.Fatal(err)
	}
	wantVars := map[string]string{"MOSPARO_SUBMISSION_RETENTION_PERIOD": "7", "OWN_THING": canary,
		"MOSPARO_CACHE_ADAPTER": "redis", "REDIS_URL": "redis://:" + canary + "@cache/1?lazy=1"}
	if diff := cmp.Diff(wantVars, Values(vars)); diff != "" {
		t.Error(diff)
	}
	if st, err := os.Stat(web2.SharedPath(LocalPath)); err != nil || st.Mode().Perm()&0o007 != 0 {
		t.Errorf("%s with secrets is readable by all: %v %v", LocalPath, st.Mode(), err)
	}
	if diff := cmp.Diff([]string{"systemctl reload php8.2-fpm"}, c.hosts["web2"].ran); diff != "" {
		t.Error(diff)
	}
	if p := c.mustPlan(PushOptions{}); !p.Plan.Empty() {
		t.Errorf("the second push has %d steps", p.Plan.Steps())
	}
}

func TestPushKeepsModeAndFollowsALink(t *testing.T) {
	c := newCluster(t)
	web2 := c.nodes[1]
	real := filepath.Join(t.TempDir(), "real.php")
	c.write(web2, real, "<?php return ['mosparo_name' => 'old'];", 0o604)
	if err := os.Symlink(real, web2.SharedPath(ConfigPath)); err != nil {
		t.Fatal(err)
	}
	if err := c.apply(c.mustPlan(PushOptions{SkipLocal: true})); err != nil {
		t.Fatal(err)
	}
	st, err := os.Lstat(real)
	if err != nil || st.Mode().Perm() != 0o604 || c.read(real) != installed("1.5.4") {
		t.Errorf("mode %v, err %v, content %q", st.Mode(), err, c.read(real))
	}
	if st, err := os.Lstat(web2.SharedPath(ConfigPath)); err != nil || st.Mode().Type() != os.ModeSymlink {
		t.Error("the link was replaced")
	}
}

// A reload that fails is made up for by the next push, although the files are the same by then.
func TestPushThatFailedToReloadConverges(t *testing.T) {
	c := newCluster(t)
	const reload = "systemctl reload php8.2-fpm"
	c.hosts["web2"].fail[reload] = errors.New("unit not found")
	err := c.apply(c.mustPlan(PushOptions{}))
	if err == nil || !strings.Contains(err.Error(), "web2") || !strings.Contains(err.Error(), "not yet used") {
		t.Fatalf("got %v", err)
	}
	delete(c.hosts["web2"].fail, reload)
	p := c.mustPlan(PushOptions{})
	if p.Plan.Steps() != 1 || p.Plan.Waves[0].Steps[0].Title != "reload PHP-FPM" {
		t.Fatalf("planned %+v", p.Plan.Waves)
	}
	if err := c.apply(p); err != nil {
		t.Fatal(err)
	}
	if !c.mustPlan(PushOptions{}).Plan.Empty() {
		t.Error("the reload is planned again")
	}
}

func TestPushClearsCacheForDatabaseTLS(t *testing.T) {
	for name, tc := range map[string]struct {
		login string // what id says
		as    string // how the console becomes who runs PHP
	}{
		"as another user":  {"1000\ndeploy\n", "sudo -n -u www-data -- "},
		"as root":          {"0\nroot\n", "runuser -u www-data -- "}, // who must not run what www-data can write
		"as who runs PHP":  {"33\nwww-data\n", ""},
		"became root":      {"0\nroot\n", "runuser -u www-data -- "},
		"became the owner": {"33\nwww-data\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			c.nodes[0].Env = map[string]string{"DATABASE_MYSQL_SSL": "1", "DATABASE_MYSQL_SSL_CA": "/etc/ca.pem"}
			c.nodes[0].Owner.User, c.nodes[0].SSH.Become = "www-data", strings.HasPrefix(name, "became")
			c.hosts["web1"].answers["getent"] = "33 33\n"
			c.hosts["web1"].answers["id -un"] = tc.login
			c.write(c.nodes[1], c.nodes[1].SharedPath(ConfigPath), installed("1.5.4"), 0o640)
			p := c.mustPlan(PushOptions{})
			var got []string
			for _, s := range p.Plan.Waves[0].Steps {
				got = append(got, s.Title+": "+s.Changes[0].Path)
			}
			want := []string{
				"create " + c.nodes[0].SharedPath(LocalPath) + ": " + c.nodes[0].SharedPath(LocalPath),
				"clear mosparo's cache: " + tc.as + "php " + c.nodes[0].InstallPath() + "/bin/console cache:clear --no-interaction",
				"reload PHP-FPM: systemctl reload php8.2-fpm",
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPushRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(c *cluster)
		code   ops.Code
		want   string
	}{
		"no source": {func(c *cluster) { _ = os.Remove(c.nodes[0].SharedPath(ConfigPath)) }, ops.CodeFailed, "nothing to push"},
		"empty source": {func(c *cluster) { c.write(nil, c.nodes[0].SharedPath(ConfigPath), "<?php return [];", 0o644) },
			ops.CodeInvalid, "any visitor may start the installer"},
		"broken source": {func(c *cluster) { c.write(nil, c.nodes[0].SharedPath(ConfigPath), "<?php return [", 0o644) },
			ops.CodeFailed, "1:15: expected a value"},
		"other code": {func(c *cluster) { c.write(nil, c.nodes[0].SharedPath(ConfigPath), installed("1.5.5"), 0o644) },
			ops.CodeFailed, "web2: its code is mosparo 1.5.4"},
		"misread value": {func(c *cluster) { c.nodes[1].Env = map[string]string{"MOSPARO_UPDATES_ENABLED": "false"} },
			ops.CodeInvalid, `web2: env: mosparo would misread 1 of the values:` + "\n" + `MOSPARO_UPDATES_ENABLED: "false" counts as true`},
		"unset reference": {func(c *cluster) { c.nodes[1].Env = map[string]string{"A": "env:ENVFILE_TEST_UNSET"} },
			ops.CodeInvalid, "web2: env A: secret env:ENVFILE_TEST_UNSET"},
		"contradiction": {func(c *cluster) {
			c.nodes[1].Env = map[string]string{"MOSPARO_CACHE_ADAPTER": "memcached"}
			c.nodes[1].Cache.Adapter = inventory.CacheRedis
		}, ops.CodeInvalid, "web2: env MOSPARO_CACHE_ADAPTER says something else"},
		"somebody's keys": {func(c *cluster) {
			c.nodes[1].Env = map[string]string{"A": "1"}
			c.write(nil, c.nodes[1].SharedPath(LocalPath), "MAILER=x\n", 0o644)
		}, ops.CodeConfirm, "holds keys that the inventory does not: MAILER"},
		"dumped env": {func(c *cluster) {
			c.nodes[1].Env = map[string]string{"A": "1"}
			c.write(nil, filepath.Join(c.nodes[1].InstallPath(), dumpedEnv), "<?php return [];", 0o644)
		}, ops.CodeFailed, "replaces all .env files"},
		"no way to reload": {func(c *cluster) { c.nodes[1].PHP.Reload = nil }, ops.CodeInvalid, "web2: no PHP-FPM was found"},
		"fixed OPcache": {func(c *cluster) {
			c.nodes[1].PHP.Reload = nil
			c.hosts["web2"].answers["opcache"] = "opcache.enable => On => On\nopcache.validate_timestamps => Off => Off\n"
		}, ops.CodeInvalid, "web2: OPcache never looks at changed files"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			tc.change(c)
			_, err := c.plan(PushOptions{})
			if err == nil || !strings.Contains(err.Error(), tc.want) || ops.CodeOf(err) != tc.code {
				t.Errorf("got %v (%s), want %s (%s)", err, ops.CodeOf(err), tc.want, tc.code)
			}
			if err != nil && strings.Contains(err.Error(), canary) {
				t.Error("a secret is in the error")
			}
		})
	}
}

func TestPushWithoutReloadWhereOPcacheValidates(t *testing.T) {
	c := newCluster(t)
	c.nodes[1].PHP.Reload = nil
	c.hosts["web2"].answers["opcache"] = "opcache.enable => On => On\nopcache.validate_timestamps => On => On\n"
	p := c.mustPlan(PushOptions{})
	if p.Plan.Steps() != 1 {
		t.Errorf("planned %+v", p.Plan.Waves)
	}
}

func TestPushSeesAChangeAfterPlanning(t *testing.T) {
	c := newCluster(t)
	p := c.mustPlan(PushOptions{})
	c.write(nil, c.nodes[1].SharedPath(ConfigPath), "<?php return ['mosparo_name' => 'theirs'];", 0o644)
	if err := c.apply(p); ops.CodeOf(err) != ops.CodeLocked {
		t.Errorf("got %v", err)
	}
	if !strings.Contains(c.read(c.nodes[1].SharedPath(ConfigPath)), "theirs") {
		t.Error("somebody's change was overwritten")
	}
	if err := ops.Stale(p.Plan, c.mustPlan(PushOptions{}).Plan); ops.CodeOf(err) != ops.CodeLocked {
		t.Errorf("the old plan is not stale: %v", err)
	}
}

func TestLocalShadowWarning(t *testing.T) {
	c := newCluster(t)
	c.nodes[1].Env = map[string]string{"A": "1"}
	c.write(nil, filepath.Join(c.nodes[1].InstallPath(), ".env.prod.local"), "A=2\n", 0o644)
	p := c.mustPlan(PushOptions{})
	if w := p.Warnings["web2"]; len(w) != 1 || w[0].Key != "A" {
		t.Errorf("warnings %+v", p.Warnings)
	}
}

func TestReadFileRefusesWhatIsNoFile(t *testing.T) {
	h := local.New("x")
	if _, err := ReadFile(t.Context(), h, t.TempDir()); err == nil {
		t.Error("a folder was read as a file")
	}
	big := filepath.Join(t.TempDir(), "big")
	if err := os.WriteFile(big, bytes.Repeat([]byte("x"), maxFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadFile(t.Context(), h, big); err == nil {
		t.Error("an endless file was read")
	}
}
