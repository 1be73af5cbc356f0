package health

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
)

func TestHealthyDeployment(t *testing.T) {
	r := newRig(t)
	report := r.check(Filter{})
	for _, res := range report.Results {
		if res.Verdict != OK || res.Summary == "" {
			t.Errorf("%s is %s: %s %+v", res.Name, res.Verdict, res.Summary, res.Evidence)
		}
		if res.Family == FamilyDatabase { // SQLite: nothing to ask over the network
			continue
		}
		if concerned := res.Name != "php-opcache"; concerned && len(res.Evidence) != 3 {
			t.Errorf("%s: evidence of %d nodes, want 3", res.Name, len(res.Evidence))
		}
	}
	const none = 1 // db-servers: the inventory lists no servers of SQLite
	if report.Counts[OK] != len(Checks())-none || report.Verdict() != OK || report.Unreachable() != nil {
		t.Errorf("got %+v", report.Counts)
	}
	for _, secret := range []string{encryptionKey, kernelSecret, cachePassword, dbPassword} {
		if !slices.Contains(r.secrets, secret) {
			t.Errorf("the redactor was not told of %s", secret)
		}
	}
	if keys := r.redis.DB(2).Keys(); len(keys) != 0 {
		t.Errorf("keys left in the cache: %q", keys)
	}
}

// fault is one broken thing and the check that must find it.
type fault struct {
	name    string
	plant   func(r *rig)
	check   string
	verdict Verdict
	node    string // whose evidence says so
	text    string // in its evidence
}

func faults() []fault {
	return slices.Concat(nodeFaults(), fileFaults(), phpFaults(), httpFaults(), cacheFaults(), balancerFaults(), cronFaults())
}

func nodeFaults() []fault {
	return []fault{
		{"node gone", func(r *rig) {
			r.dead["app1"] = ops.Errorf(ops.CodeUnreachable, "connection refused").On("app1").WithHint("mosparoctl ssh app1")
		}, "node-reach", Fail, "app1", "connection refused"},
		{"other checks of it", func(r *rig) { r.dead["app1"] = ops.Errorf(ops.CodeUnreachable, "no route") }, "cache-reach", Unknown, "app1", "no route"},
		{"commands fail", func(r *rig) {
			r.machines[1].instead(func(_ context.Context, c ops.Command) (ops.Result, error, bool) {
				return ops.Result{}, &ops.ExitError{Argv: c.Argv, Status: 1, Stderr: []byte("account expired")}, true
			})
		}, "node-reach", Fail, "app1", "account expired"},
		{"disk full", func(r *rig) { r.d.Check.DiskWarn, r.d.Check.DiskFail = 1, 1 }, "node-disk", Fail, "app1", "%"},
		{"clock ahead", func(r *rig) { r.d.Check.Skew = time.Second; r.machines[2].clockOff("+40 seconds") }, "clock-skew", Fail, "app2", "40s ahead of the others"},
		{"clock behind", func(r *rig) { r.machines[1].clockOff("-9 seconds") }, "clock-skew", Warn, "app1", "behind the others"},
	}
}

// clockOff sets the clock of the node.
func (m *machine) clockOff(by string) {
	m.instead(func(ctx context.Context, c ops.Command) (ops.Result, error, bool) {
		if len(c.Argv) < 3 || !strings.Contains(c.Argv[2], "date -u") {
			return ops.Result{}, nil, false
		}
		c.Argv = []string{"sh", "-c", strings.ReplaceAll(c.Argv[2], "date -u", "date -u -d '"+by+"'")}
		res, err := m.Host.Run(ctx, c)
		return res, err, true
	})
}

func fileFaults() []fault {
	const config = "config/env.mosparo.php"
	return []fault{
		{"no release", func(r *rig) { _ = os.Remove(filepath.Join(r.machines[1].root, "current")) }, "files-release", Fail, "app1", "leads nowhere"},
		{"no manifest", func(r *rig) { r.machines[1].remove(".mosparoctl-manifest") }, "files-release", Fail, "app1", "not completed"},
		{"other release", func(r *rig) {
			r.machines[2].write(".mosparoctl-release", `{"id":"r0","kind":"mosparo","version":"1.5.3","digest":"`+strings.Repeat("cd", 32)+`"}`)
		}, "files-release", Fail, "app2", "release r0 differs from admin1"},
		{"torn release info", func(r *rig) { r.machines[2].write(".mosparoctl-release", `{"id":"r0`) }, "files-release", Fail, "app2", "can't be read"},
		{"update not finished", func(r *rig) { r.machines[1].edit("src/Kernel.php", "1.5.4", "1.5.5") }, "files-version", Fail, "app1", "code 1.5.5"},
		{"older code and configuration", func(r *rig) {
			r.machines[1].edit("src/Kernel.php", "1.5.4", "1.5.3")
			r.machines[1].edit(config, "'1.5.4'", "'1.5.3'")
		}, "files-version", Fail, "app1", "version 1.5.3, admin1 has 1.5.4"},
		{"not set up", func(r *rig) { r.machines[1].write(config, "<?php return [];\n") }, "files-version", Fail, "app1", "not set up"},
		{"configuration lost", func(r *rig) { r.machines[2].remove(config) }, "files-config", Fail, "app2", "installer is open"},
		{"configuration torn", func(r *rig) { r.machines[2].write(config, "<?php\n\nreturn array (\n  'mospa") }, "files-config", Fail, "app2", "can't be read"},
		{"configuration stale", func(r *rig) { r.machines[2].edit(config, "'geoipActive' => true", "'geoipActive' => false") }, "files-config", Fail, "app2", "differs in geoipActive from admin1"},
		{"other key", func(r *rig) { r.machines[1].edit(config, "0011", "0012") }, "files-keys", Fail, "app1", "another encryption_key than admin1"},
		{"other secret", func(r *rig) { r.machines[1].edit(config, kernelSecret, "other") }, "files-keys", Fail, "app1", "another secret"},
		{"no key", func(r *rig) { r.machines[1].edit(config, "encryption_key", "x") }, "files-keys", Fail, "app1", "no encryption_key"},
		{"key of another length", func(r *rig) { r.machines[1].edit(config, "00112233", "0011223") }, "files-keys", Fail, "app1", "64 hexadecimal"},
		{"no .env.local", func(r *rig) { r.machines[1].remove(".env.local") }, "files-env", Fail, "app1", "there is no .env.local"},
		{"other .env.local", func(r *rig) { r.machines[1].edit(".env.local", "lazy=1", "lazy=0") }, "files-env", Fail, "app1", "REDIS_URL differs"},
		{"dumped env", func(r *rig) {
			r.machines[1].write(".env.local.php", "<?php\n\nreturn array (\n  'APP_ENV' => 'prod',\n);\n")
		}, "files-env", Warn, "app1", ".env.local.php replaces"},
		{"misread value", func(r *rig) {
			for _, m := range r.machines {
				m.edit(".env.local", "MOSPARO_CACHE", "MOSPARO_PREPARE_CSS_FILES_IN_SHARED_CACHE=false\nMOSPARO_CACHE")
			}
		}, "files-values", Fail, "app1", "MOSPARO_PREPARE_CSS_FILES_IN_SHARED_CACHE"},
		{"owner unknown", func(r *rig) { r.machines[1].node.Owner.User = "nosuchuser" }, "files-owner", Fail, "app1", "no user nosuchuser"},
		{"files of another", func(r *rig) { r.machines[1].node.Owner.User = "nobody" }, "files-owner", Fail, "app1", "not of user"},
		{"folder locked", func(r *rig) { _ = os.Chmod(r.machines[1].path("public/resources"), 0o555) }, "files-owner", Fail, "app1", "can't write"},
		{"no .env", func(r *rig) { r.machines[1].remove(".env") }, "files-owner", Fail, "app1", "does not start without it"},
		{"stale container", func(r *rig) { r.machines[1].age("var/cache/prod/App_KernelProdContainer.php", 2*time.Hour) }, "files-cache", Warn, "app1", "newer than the compiled container"},
		{"no GeoIP", func(r *rig) { r.machines[2].remove(geoFiles[1]) }, "files-geoip", Fail, "app2", "Country.mmdb is missing"},
		{"other GeoIP", func(r *rig) { r.machines[2].write(geoFiles[0], "older") }, "files-geoip", Warn, "app2", "other databases than admin1"},
		{"stale CSS map", func(r *rig) { r.machines[2].edit("public/resources/mappings.php", "'h'", "'g'") }, "files-resources", Fail, "app2", "mappings.php differs"},
		{"CSS missing", func(r *rig) { r.machines[2].remove("public/resources/u") }, "files-resources", Fail, "app2", "0 CSS files"},
		{"CSS map left over", func(r *rig) {
			for _, m := range r.machines {
				m.edit(".env.local", "MOSPARO_CACHE", "MOSPARO_PREPARE_CSS_FILES_IN_SHARED_CACHE=1\nMOSPARO_CACHE")
			}
		}, "files-resources", Fail, "app1", "left over"},
	}
}

func phpFaults() []fault {
	without := func(name string) []string {
		return slices.DeleteFunc(slices.Clone(goodExtensions), func(e string) bool { return e == name })
	}
	return []fault{
		{"no PHP", func(r *rig) { r.machines[1].node.PHP.Command = []string{"nosuchphp"} }, "php-version", Fail, "app1", "no command nosuchphp"},
		{"other PHP", func(r *rig) { r.machines[1].php("8.1.9", "UTC", goodExtensions...) }, "php-version", Warn, "app1", "PHP 8.1.9, admin1 has 8.2.1"},
		{"other FPM", func(r *rig) { r.machines[1].fpm("[PHP Modules]\ngd\n[settings]\nPHP Version => 8.1.2\n") }, "php-version", Warn, "app1", "8.1.2 in FPM"},
		{"no intl", func(r *rig) { r.machines[1].php("8.2.1", "UTC", without("intl")...) }, "php-extensions", Fail, "app1", "lacks intl"},
		{"igbinary on some", func(r *rig) { r.machines[1].php("8.2.1", "UTC", without("igbinary")...) }, "php-extensions", Fail, "app1", "lacks igbinary"},
		{"igbinary in the CLI only", func(r *rig) {
			r.machines[1].fpm("[PHP Modules]\n" + strings.Join(without("igbinary"), "\n") + "\n[settings]\n")
		}, "php-extensions", Fail, "app1", "PHP fpm lacks igbinary"},
		{"other zone", func(r *rig) { r.machines[1].php("8.2.1", "Europe/Zurich", goodExtensions...) }, "php-timezone", Fail, "app1", "Europe/Zurich"},
		{"other zone in FPM", func(r *rig) {
			r.machines[1].fpm("[settings]\ndate.timezone => Asia/Tokyo => UTC\n")
		}, "php-timezone", Fail, "app1", "PHP fpm is in Asia/Tokyo"},
		{"OPcache blind", func(r *rig) {
			r.machines[1].fpm("[settings]\nopcache.validate_timestamps => Off => Off\n")
		}, "php-opcache", Fail, "app1", "no command to reload"},
	}
}

func httpFaults() []fault {
	reply := func(status int, body string) func(r *rig) {
		return func(r *rig) { r.machines[1].serve(status, body) }
	}
	state := func(s string) string {
		return `{"service":"mosparo","healthy":true,"databaseStatus":"` + s + `","error":"x\u0000y"}`
	}
	const check = "http-health"
	return []fault{
		{"web server down", func(r *rig) { r.machines[1].lead("127.0.0.1:80", "127.0.0.1:1") }, check, Fail, "app1", "does not answer"},
		{"database down", reply(500, state("connection-failed")), check, Fail, "app1", "database can't be reached or read: x y"},
		{"half updated", reply(200, state("test-skipped__update-not-finished")), check, Fail, "app1", "update was not finished"},
		{"not configured", reply(200, state("test-skipped__not-configured")), check, Fail, "app1", "not set up"},
		{"bypassed", reply(200, state("bypassed")), check, Warn, "app1", "MOSPARO_BYPASS_HEALTH_CHECK"},
		{"not allowed", reply(404, "<h1>Not found</h1>"), check, Fail, "app1", "MOSPARO_HEALTH_ALLOW_LIST"},
		{"PHP error", reply(500, "<h1>Oops</h1>"), check, Fail, "app1", "lazy=1"},
		{"FPM down", reply(502, ""), check, Fail, "app1", "does not reach PHP"},
		{"redirect", reply(301, ""), check, Fail, "app1", "redirect"},
		{"another site", reply(200, "Welcome to nginx!"), check, Fail, "app1", "not from mosparo"},
		{"connected, but 503", reply(503, state("connected")), check, Fail, "app1", "503"},
		{"unknown state", reply(200, state("perhaps")), check, Fail, "app1", "perhaps"},
		{"status of another kind", reply(http.StatusForbidden, ""), check, Fail, "app1", "403"},
	}
}

func cacheFaults() []fault {
	env := func(m *machine, old, with string) { m.edit(".env.local", old, with) }
	all := func(old, with string) func(r *rig) {
		return func(r *rig) {
			for _, m := range r.machines {
				env(m, old, with)
			}
		}
	}
	return []fault{
		{"adapter unset", func(r *rig) { env(r.machines[1], "MOSPARO_CACHE_ADAPTER=redis\n", "") }, "cache-adapter", Fail, "app1", "uses filesystem"},
		{"adapter of no kind", func(r *rig) { env(r.machines[1], "=redis\n", "=Redis\n") }, "cache-adapter", Fail, "app1", "every request fails"},
		{"adapter differs", func(r *rig) {
			r.machines[1].node.Cache.Adapter = ""
			env(r.machines[1], "=redis\n", "=memcached\n")
		}, "cache-adapter", Fail, "app1", "admin1 uses redis"},
		{"filesystem everywhere", func(r *rig) {
			all("=redis\n", "=filesystem\n")(r)
			for _, m := range r.machines {
				m.node.Cache.Adapter = ""
			}
		}, "cache-adapter", Warn, "app1", "a cache of its own"},
		{"loopback", all("cache.internal", "127.0.0.1"), "cache-url", Fail, "app1", "127.0.0.1:6379 is the node's own"},
		{"socket", func(r *rig) { env(r.machines[1], "@cache.internal:6379/2", "@/run/redis.sock/2") }, "cache-url", Fail, "app1", "/run/redis.sock"},
		{"other database", func(r *rig) { env(r.machines[1], "/2?", "/3?") }, "cache-url", Fail, "app1", "database 3"},
		{"not lazy", all("?lazy=1", ""), "cache-url", Warn, "app1", "without lazy=1"},
		{"no URL", func(r *rig) { env(r.machines[1], "redis://", "http://") }, "cache-reach", Fail, "app1", "REDIS_URL begins with another word"},
		{"cache down", func(r *rig) { r.machines[1].lead("cache.internal:6379", "127.0.0.1:1") }, "cache-reach", Fail, "app1", "can't be used from here"},
		{"wrong password", func(r *rig) { env(r.machines[1], cachePassword, "wrong") }, "cache-reach", Fail, "app1", "WRONGPASS"},
		{"no password", func(r *rig) { env(r.machines[1], cachePassword+"@", "") }, "cache-reach", Fail, "app1", "NOAUTH"},
		{"another cache of the same name", func(r *rig) {
			other := miniredis.RunT(r.t)
			other.RequireAuth(cachePassword)
			r.machines[2].lead("cache.internal:6379", other.Addr())
		}, "cache-shared", Fail, "app2", "reads nothing of what admin1, app1 wrote"},
		{"seen by the others too", func(r *rig) {
			other := miniredis.RunT(r.t)
			other.RequireAuth(cachePassword)
			r.machines[2].lead("cache.internal:6379", other.Addr())
		}, "cache-shared", Fail, "app1", "shares a cache with admin1, but not with app2"},
	}
}

func balancerFaults() []fault {
	const check = "balancer-state"
	return []fault{
		{"forgotten drain", func(r *rig) { r.haproxy["app1"] = "2 8 DRAIN" }, check, Warn, "app1", "out of rotation (drain)"},
		{"balancer's check fails", func(r *rig) { r.haproxy["app1"] = "0 0 DOWN" }, check, Fail, "app1", "fails the balancer's check (DOWN)"},
		{"no server", func(r *rig) { delete(r.haproxy, "app1") }, check, Fail, "app1", "no balancer knows it"},
		{"in one balancer only", func(r *rig) {
			b := r.d.Balancers[0]
			b.Name = "lb2"
			r.d.Balancers = append(r.d.Balancers, b)
			r.machines[1].node.Backend = map[string]string{"lb2": "web9"}
		}, check, Fail, "app1", "lb2: knows no such server"},
		{"balancer down", func(r *rig) { r.machines[0].lead("lb.internal:9000", "127.0.0.1:1") }, check, Unknown, "app1", "runtime socket"},
	}
}

func cronFaults() []fault {
	const check = "cron-jobs"
	return []fault{
		{"no such command", func(r *rig) {
			r.machines[1].crontab += "15 3 * * * php bin/console mosparo:rule-packages:refresh\n"
		}, check, Fail, "app1", "which mosparo does not have"},
		{"somebody else's line", func(r *rig) {
			r.machines[1].crontab += "15 3 * * * php bin/console mosparo:cleanup-database\n"
		}, check, Warn, "app1", "keeps no distance"},
		{"no schedule", func(r *rig) { r.machines[1].crontab = "" }, check, Warn, "app1", "not scheduled: cleanup"},
		{"other zone", func(r *rig) { r.machines[1].node.TZ = "Asia/Tokyo" }, check, Fail, "app1", "not in the zone Asia/Tokyo"},
		{"markers broken", func(r *rig) {
			r.machines[1].crontab = strings.Replace(r.machines[1].crontab, "# END", "# ENDE", 1)
		}, check, Unknown, "app1", "without its end marker"},
		{"a job too many", func(r *rig) { r.d.Cron.Mode = inventory.CronAdminOnly }, check, Warn, "app1", "should not be on this node"},
	}
}

// Every planted fault is found, on the node where it is, and by its check only where it says nothing of the others.
func TestFaultsAreFound(t *testing.T) {
	covered := map[string]bool{}
	for _, f := range faults() {
		covered[f.check] = true
		t.Run(f.check+"/"+f.name, func(t *testing.T) {
			r := newRig(t)
			f.plant(r)
			res := result(t, r.check(Filter{Only: []string{f.check}}), f.check)
			e, ok := res.On(f.node)
			if !ok || e.Verdict != f.verdict || !strings.Contains(e.Text, f.text) {
				t.Errorf("on %s: %s %q, want %s %q\nall: %+v", f.node, e.Verdict, e.Text, f.verdict, f.text, res.Evidence)
			}
			if Worse(res.Verdict, f.verdict) != res.Verdict || res.Mend == "" || res.Summary == "" {
				t.Errorf("result %s, summary %q, mend %q", res.Verdict, res.Summary, res.Mend)
			}
		})
	}
	for _, c := range Checks() {
		if i := c.About(); !covered[i.Name] && i.Family != FamilyDatabase {
			t.Errorf("no fault is planted for %s", i.Name)
		}
	}
}

// What is no fault: settings that look odd and are right.
func TestRightThings(t *testing.T) {
	for _, tc := range []struct {
		name, check string
		plant       func(r *rig)
	}{
		{"tunnel", "cache-url", func(r *rig) {
			r.d.Cache.Tunnel = true
			for _, m := range r.machines {
				m.edit(".env.local", "cache.internal", "127.0.0.1")
			}
		}},
		{"all nodes on one machine", "cache-url", func(r *rig) {
			for _, m := range r.machines {
				m.node.Address = "127.0.0.1"
				m.edit(".env.local", "cache.internal", "127.0.0.1")
			}
		}},
		{"value set per node on purpose", "files-env", func(r *rig) {
			r.machines[1].node.Env = map[string]string{"TRUSTED_PROXIES": "10.0.0.1"}
			r.machines[1].edit(".env.local", "MOSPARO_CACHE", "TRUSTED_PROXIES=10.0.0.1\nMOSPARO_CACHE")
		}},
		{"no GeoIP anywhere", "files-geoip", func(r *rig) {
			for _, m := range r.machines {
				m.edit("config/env.mosparo.php", "'geoipActive' => true", "'geoipActive' => false")
				m.remove("var/data/geoip2")
			}
		}},
		{"CSS in the cache", "files-resources", func(r *rig) {
			for i, m := range r.machines {
				m.edit(".env.local", "MOSPARO_CACHE", "MOSPARO_PREPARE_CSS_FILES_IN_SHARED_CACHE=1\nMOSPARO_CACHE")
				m.remove("public/resources/mappings.php")
				if i > 0 {
					m.remove("public/resources/u")
				}
			}
		}},
		{"blind OPcache with a reload", "php-opcache", func(r *rig) {
			r.machines[1].node.PHP.Reload = []string{"systemctl", "reload", "php8.2-fpm"}
			r.machines[1].fpm("[settings]\nopcache.validate_timestamps => Off => Off\n")
		}},
		{"not compiled yet", "files-cache", func(r *rig) { r.machines[1].remove("var/cache/prod") }},
		{"a release that is not mosparo", "files-version", func(r *rig) {
			for _, m := range r.machines {
				m.write(".mosparoctl-release", `{"id":"r1","kind":"any","digest":"`+strings.Repeat("ab", 32)+`"}`)
				m.remove("src")
				m.remove("config")
			}
		}},
		{"adapter from the config file", "cache-adapter", func(r *rig) {
			for _, m := range r.machines {
				m.edit(".env.local", "MOSPARO_CACHE_ADAPTER=redis\n", "")
				m.edit("config/env.mosparo.php", "  'geoipActive'", "  'MOSPARO_CACHE_ADAPTER' => 'redis',\n  'geoipActive'")
			}
		}},
		{"web cron", "cron-jobs", func(r *rig) {
			for _, m := range r.machines {
				m.crontab = ""
				m.edit("config/env.mosparo.php", "  'geoipActive'", "  'webCronJobActive' => true,\n  'webCronJobSecretKey' => 'x',\n  'geoipActive'")
			}
		}},
		{"a balancer of commands", "balancer-state", func(r *rig) {
			r.d.Balancers = append(r.d.Balancers, inventory.Balancer{Name: "own", Kind: inventory.BalancerCommand, Drain: []string{"true"}, Ready: []string{"true"}})
		}},
	} {
		t.Run(tc.check+"/"+tc.name, func(t *testing.T) {
			r := newRig(t)
			tc.plant(r)
			if res := result(t, r.check(Filter{Only: []string{tc.check}}), tc.check); res.Verdict != OK {
				t.Errorf("got %s: %+v", res.Verdict, res.Evidence)
			}
		})
	}
}

func mustRead(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
