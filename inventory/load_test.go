package inventory

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var secretByReference = cmp.Comparer(func(a, b Secret) bool { return a == b })

func TestLoadMergesDefaultsGroupsAndNode(t *testing.T) {
	d, err := Load("testdata/full.yaml")
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	if !filepath.IsAbs(d.File) {
		t.Errorf("File is %q, want an absolute path", d.File)
	}
	if len(d.Warnings) > 0 {
		t.Errorf("warnings:\n%v", d.Warnings)
	}
	cache := Cache{Adapter: CacheRedis, URL: NewSecret("env:REDIS_URL"), SharedCSS: true}
	want := &Node{
		Name: "app2", Address: "app2.example.com", Roles: []Role{RoleApp}, Groups: []string{"us"},
		SSH: SSH{User: "deploy", Port: 2222, Jump: "ops@bastion.example.com:22,10.0.0.1", Become: true, BecomeUser: "root",
			Timeout: 20 * time.Second, Keepalive: 5 * time.Second},
		Paths: Paths{Root: "/srv/mosparo", Layout: LayoutReleases},
		Owner: Owner{User: "www-data", Group: "33"},
		PHP: PHP{Command: []string{"php8.2", "-d", "memory_limit=512M"}, Reload: []string{"systemctl", "reload", "php8.2-fpm"},
			FPMLog: []string{"/var/log/php8.2-fpm.log"}},
		HTTP:  HTTP{URL: "http://127.0.0.1:8080", Host: "mosparo.example.com", Timeout: 10 * time.Second},
		Serve: Serve{Metrics: "127.0.0.1:9180"},
		Cache: cache,
		Env: map[string]string{"MOSPARO_SUBMISSION_RETENTION_PERIOD": "10", "MAILER_DSN": "env:MAILER_DSN",
			"DATABASE_MYSQL_SSL_VERIFY_SERVER_CERT": "1", "MOSPARO_CLEANUP_PROCESS_INTERVAL": "4",
			"MOSPARO_HEALTH_ALLOW_LIST": "127.0.0.1,10.0.0.0/8"},
		TZ: "America/New_York",
	}
	if diff := cmp.Diff(want, d.Node("app2"), secretByReference); diff != "" {
		t.Errorf("node app2 (-want +got):\n%s", diff)
	}
	if n := d.Node("app1"); n.TZ != "Europe/Zurich" || n.Env["MOSPARO_CLEANUP_PROCESS_INTERVAL"] != "" || n.Backend["lb"] != "web-1" {
		t.Errorf("app1 has something of another group: %+v", n)
	}
	d.Nodes, d.Warnings = nil, nil
	wantAll := &Deployment{
		File: d.File, Name: "example", Parallel: 2, Cache: cache,
		Database: Database{System: "mysql", Topology: ActivePassive, Name: "mosparo", User: "mosparo",
			Password: NewSecret("file:/etc/mosparoctl/db.password"),
			Servers:  []DatabaseServer{{"db1", "10.0.1.1", 3306}, {"10.0.1.2", "10.0.1.2", 3307}}},
		Balancers: []Balancer{
			{Name: "lb", Kind: BalancerHAProxy, Node: "admin", Socket: "/run/haproxy/admin.sock", Backend: "mosparo", Wait: time.Minute, SSH: defaultSSH()},
			{Name: "edge", Kind: BalancerCommand, Drain: []string{"/usr/local/bin/edge", "drain", "{node}"},
				Ready: []string{"/usr/local/bin/edge", "ready", "{node}"}, Wait: 30 * time.Second, SSH: defaultSSH()},
		},
		Cron: Cron{Mode: CronStaggered, Target: CronFile, Distance: 15 * time.Minute, Dir: "/etc/cron.d", Jobs: []CronJob{
			{Name: "cleanup", Every: 4 * time.Hour, Enabled: true},
			{Name: "report", Every: 24 * time.Hour, Command: []string{"app:report", "--quiet"}, Enabled: true, Nodes: "admin"}}},
		Sync: Sync{Paths: []SyncPath{{Path: "var/rules", Delete: true, Exclude: []string{"*.tmp"}, Marker: "var/rules/.keep"}},
			MaxDelete: "25%", Bandwidth: 5_000_000, Trash: 5, Interval: 5 * time.Minute},
		Release: Release{Keep: 3, Serial: []int{1, 2}, Warm: true, Health: true,
			Before: Hooks{Node: [][]string{{"test", "-d", "vendor"}}, Deploy: [][]string{{"/usr/local/bin/announce", "start"}}}},
		Check: Check{Interval: 30 * time.Second, Skew: 500 * time.Millisecond, DiskWarn: 85, DiskFail: 95, Timeout: 20 * time.Second,
			Lag: 10 * time.Second, Disabled: []string{"geoip"}},
	}
	if diff := cmp.Diff(wantAll, d, secretByReference, cmpopts.IgnoreUnexported(Deployment{})); diff != "" {
		t.Errorf("deployment (-want +got):\n%s", diff)
	}
}

func defaultSSH() SSH {
	return SSH{BecomeUser: "root", Timeout: 15 * time.Second, Keepalive: 5 * time.Second}
}

func TestParseMinimal(t *testing.T) {
	d, err := Parse("m.yaml", []byte("version: 1\nname: one\nnodes:\n  - name: web\n    paths: {root: /srv/mosparo}\n"))
	if err != nil {
		t.Fatal(err)
	}
	n := d.Nodes[0]
	if n.Address != "web" || !n.Has(RoleAdmin) || !n.Has(RoleApp) || !n.Has(RoleCron) || n.Cache.Adapter != CacheFilesystem {
		t.Errorf("a single node got %+v", n)
	}
	if diff := cmp.Diff([]int{1}, d.Release.Serial); diff != "" {
		t.Error(diff)
	}
	if d.Admin() != n || d.Database.System != "" {
		t.Errorf("admin %v, database %+v", d.Admin(), d.Database)
	}
}

func TestFind(t *testing.T) {
	dir, config := t.TempDir(), t.TempDir()
	t.Chdir(dir)
	t.Setenv("XDG_CONFIG_HOME", config)
	t.Setenv("HOME", config)
	t.Setenv(EnvVar, "")
	_, err := Find("")
	if !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("error is %v, want fs.ErrNotExist", err)
	}
	configDir, _ := os.UserConfigDir()
	inConfig := filepath.Join(configDir, "mosparoctl", FileName)
	for _, place := range []string{"--inventory", "$" + EnvVar, "./mosparo.yaml", inConfig} {
		if !strings.Contains(err.Error(), place) {
			t.Errorf("%v does not name %s", err, place)
		}
	}
	expect := func(flag, want string) {
		t.Helper()
		if got, err := Find(flag); err != nil || got != want {
			t.Errorf("Find(%q) = %q, %v; want %q", flag, got, err, want)
		}
	}
	os.MkdirAll(filepath.Dir(inConfig), 0o700)
	os.WriteFile(inConfig, nil, 0o600)
	expect("", inConfig)
	os.WriteFile(FileName, nil, 0o600)
	expect("", FileName)
	t.Setenv(EnvVar, "/from/env.yaml")
	expect("", "/from/env.yaml")
	expect("flag.yaml", "flag.yaml")
}

func TestLoadReadErrors(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "none.yaml"))
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	big := filepath.Join(t.TempDir(), "big.yaml")
	os.WriteFile(big, make([]byte, 2<<20), 0o600)
	var problems Problems
	if _, err = Load(big); !errors.As(err, &problems) {
		t.Errorf("big file: %v", err)
	}
}

func TestHomeIsExpandedOnThisMachineOnly(t *testing.T) {
	t.Setenv("HOME", "/home/ops")
	d, err := Parse("m.yaml", []byte("version: 1\nname: one\nnodes:\n  - {name: web, paths: {root: /srv/mosparo}, ssh: {identity: ~/.ssh/key, known_hosts: /etc/hosts.known}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if s := d.Nodes[0].SSH; s.Identity != "/home/ops/.ssh/key" || s.KnownHosts != "/etc/hosts.known" {
		t.Errorf("%+v", s)
	}
}
