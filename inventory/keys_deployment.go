package inventory

import "time"

// document is the file before defaults and groups are merged into nodes.
type document struct {
	Deployment
	version  int
	cache    kept[Cache]
	env      kept[map[string]string]
	defaults kept[Node]
	groups   map[string]kept[Node]
	nodes    []kept[Node]
}

// kept is a value that is read again for each node, over what other layers gave.
type kept[V any] struct {
	v     V
	raw   value
	given bool
}

// keep reads with k and keeps what was written too.
func keep[V any](k kind[V]) kind[kept[V]] {
	fresh := func() kept[V] {
		if k.fresh == nil {
			return kept[V]{}
		}
		return kept[V]{v: k.fresh()}
	}
	return kind[kept[V]]{
		keys:  k.keys,
		fresh: fresh,
		read: func(d *decoder, v value, to *kept[V]) {
			to.raw, to.given = v, true
			k.read(d, v, &to.v)
		},
		emit:   func(v *kept[V], path string, out func(path, text string)) { k.emit(&v.v, path, out) },
		schema: k.schema,
	}
}

func documentKind() kind[document] {
	k := object("inventory", []field[document]{
		key("version", func(f *document) *int { return &f.version }, number(1, 1), "", "Version of this format: 1"),
		key("name", func(f *document) *string { return &f.Name }, name(), "", "Name of the deployment; typed to confirm what is dangerous"),
		key("parallel", func(f *document) *int { return &f.Parallel }, number(0, 1000), "0", "Nodes worked on at once; 0 is all"),
		key("defaults", func(f *document) *kept[Node] { return &f.defaults }, keep(settings()), "", "Settings of all nodes; a group's and a node's own come over them"),
		key("groups", func(f *document) *map[string]kept[Node] { return &f.groups }, dict(checkName, nameRegexp, keep(settings())), "",
			"Settings by group: name: settings, or nothing for a mere label"),
		key("nodes", func(f *document) *[]kept[Node] { return &f.nodes }, list(keep(nodeEntry())), "", "The machines"),
		key("env", func(f *document) *kept[map[string]string] { return &f.env }, keep(envValues()), "", "Values of .env.local on all nodes"),
		key("cache", func(f *document) *kept[Cache] { return &f.cache }, keep(object("cache", cacheKeys())), "", "The shared cache"),
		key("database", func(f *document) *Database { return &f.Database }, object("database", databaseKeys()), "", "The database all nodes share, for checks; mosparo's own settings are in its configuration"),
		key("balancers", func(f *document) *[]Balancer { return &f.Balancers }, list(object("balancer", balancerKeys()).require("name", "kind")), "", "Load balancers, where nodes are drained"),
		key("cron", func(f *document) *Cron { return &f.Cron }, object("cron", cronKeys()), "", "When mosparo's jobs run, and where"),
		key("sync", func(f *document) *Sync { return &f.Sync }, object("sync", syncKeys()), "", "What is kept in step from the admin node"),
		key("release", func(f *document) *Release { return &f.Release }, object("release", releaseKeys()), "", "How deploys are done"),
		key("check", func(f *document) *Check { return &f.Check }, object("check", checkKeys()), "", "Limits of checks"),
	}).require("version", "name", "nodes")
	read := k.read
	k.read = func(d *decoder, v value, to *document) { v.as = rootPath; read(d, v, to) }
	return k
}

func databaseKeys() []field[Database] {
	server := []field[DatabaseServer]{
		key("name", func(s *DatabaseServer) *string { return &s.Name }, name(), "", "What it is called in reports; without it, the host"),
		key("host", func(s *DatabaseServer) *string { return &s.Host }, text(checkHost), "", "Host name or IP address, as the nodes see it"),
		key("port", func(s *DatabaseServer) *int { return &s.Port }, number(1, 65535), "", "Its port; without it, 3306, or 5432 for postgres"),
	}
	return []field[Database]{
		key("system", func(b *Database) *string { return &b.System }, choice("mysql", "postgres", "sqlite"), "mysql", "mysql (MariaDB too), postgres, or sqlite, which is for one node"),
		key("topology", func(b *Database) *Topology { return &b.Topology }, choice(Single, ActivePassive, ActiveActive), "single",
			"single; active-passive: one writable primary, replicas take over; active-active: Galera or similar"),
		key("servers", func(b *Database) *[]DatabaseServer { return &b.Servers }, list(object("database_server", server).require("host")), "", "The servers"),
		key("name", func(b *Database) *string { return &b.Name }, text(anyText), "mosparo", "Name of the database"),
		key("user", func(b *Database) *string { return &b.User }, text(anyText), "", "Who asks the servers in checks; without it, mosparo's own user of each node"),
		key("password", func(b *Database) *Secret { return &b.Password }, secret(checkArgument), "", "Its password, or a reference to it"),
		key("tunnel", func(b *Database) *bool { return &b.Tunnel }, boolean(), "false", "A loopback host is a proxy or tunnel on each node that leads to the same server"),
	}
}

func balancerKeys() []field[Balancer] {
	return []field[Balancer]{
		key("name", func(b *Balancer) *string { return &b.Name }, name(), "", "What it is called here; no two are alike"),
		key("kind", func(b *Balancer) *BalancerKind { return &b.Kind }, choice(BalancerHAProxy, BalancerNginx, BalancerHealthFile, BalancerCommand), "",
			"How it is told to drain a node: haproxy (runtime API), nginx (upstream file), health-file (a file on the node), command"),
		key("node", func(b *Balancer) *string { return &b.Node }, text(checkAddress), "", "Node, or SSH address, on which it runs; without it, this machine"),
		key("ssh", func(b *Balancer) *SSH { return &b.SSH }, object("ssh", sshKeys()), "", "How to log in to node, where that is an address"),
		key("socket", func(b *Balancer) *string { return &b.Socket }, text(checkSocket), "", "haproxy: path or host:port of the runtime API"),
		key("backend", func(b *Balancer) *string { return &b.Backend }, name(), "", "haproxy: name of the backend"),
		key("file", func(b *Balancer) *string { return &b.File }, text(checkPath), "", "nginx: the upstream file. health-file: the path on the node"),
		key("reload", func(b *Balancer) *[]string { return &b.Reload }, command(), "", "nginx: reloads it, such as systemctl reload nginx"),
		key("drain", func(b *Balancer) *[]string { return &b.Drain }, command(), "", "command: takes {node} out of rotation"),
		key("ready", func(b *Balancer) *[]string { return &b.Ready }, command(), "", "command: puts {node} back"),
		key("wait", func(b *Balancer) *time.Duration { return &b.Wait }, duration(0, time.Hour), "30s", "Longest wait for connections to end"),
	}
}

func cronKeys() []field[Cron] {
	job := []field[CronJob]{
		key("name", func(j *CronJob) *string { return &j.Name }, name(), "", "cleanup, rule-packages, geoip, or a name of your own"),
		key("every", func(j *CronJob) *time.Duration { return &j.Every }, duration(time.Minute, 31*24*time.Hour), "", "Interval in whole minutes, such as 2h or 1d; without it, the job's own"),
		key("command", func(j *CronJob) *[]string { return &j.Command }, command(), "", "Arguments of mosparo's console, for a job of your own"),
		key("enabled", func(j *CronJob) *bool { return &j.Enabled }, boolean(), "true", "Whether it runs at all"),
		key("nodes", func(j *CronJob) *string { return &j.Nodes }, choice("admin", "all"), "", "admin or all; without it, as the job needs"),
		key("heavy", func(j *CronJob) *bool { return &j.Heavy }, boolean(), "false", "Keep the distance to other heavy jobs too"),
	}
	return []field[Cron]{
		key("mode", func(c *Cron) *CronMode { return &c.Mode }, choice(CronAdminOnly, CronStaggered), "admin-only",
			"admin-only, or staggered: every node with the role cron runs jobs, at times that never collide"),
		key("target", func(c *Cron) *CronTarget { return &c.Target }, choice(CronUser, CronFile), "crontab", "crontab: a block in the user's crontab. cron.d: a file in dir"),
		key("user", func(c *Cron) *string { return &c.User }, text(checkUser), "", "Who runs the jobs; without it, the owner"),
		key("distance", func(c *Cron) *time.Duration { return &c.Distance }, duration(time.Minute, 24*time.Hour), "10m", "Least distance between the starts of two nodes"),
		key("jobs", func(c *Cron) *[]CronJob { return &c.Jobs }, list(object("cron_job", job).require("name")), "", "Changes of mosparo's jobs, and jobs of your own"),
		key("dir", func(c *Cron) *string { return &c.Dir }, text(checkPath), "/etc/cron.d", "Where cron.d is"),
	}
}

func syncKeys() []field[Sync] {
	item := []field[SyncPath]{
		key("path", func(p *SyncPath) *string { return &p.Path }, text(checkSynced), "", "Folder or file below the installation's root"),
		key("exclude", func(p *SyncPath) *[]string { return &p.Exclude }, list(text(anyText)), "", "Patterns to leave out"),
		key("delete", func(p *SyncPath) *bool { return &p.Delete }, boolean(), "false", "Delete on the target what the source doesn't have"),
		key("last", func(p *SyncPath) *bool { return &p.Last }, boolean(), "false", "Sync it after all that is not last"),
		key("marker", func(p *SyncPath) *string { return &p.Marker }, text(checkBelow), "", "A file in it that must be there, or nothing is deleted"),
	}
	return []field[Sync]{
		key("paths", func(s *Sync) *[]SyncPath { return &s.Paths }, list(object("sync_path", item).require("path")), "", "Paths in addition to config/env.mosparo.php, public/resources and var/data"),
		key("exclude", func(s *Sync) *[]string { return &s.Exclude }, list(text(anyText)), "", "Patterns to leave out of all paths"),
		key("max_delete", func(s *Sync) *string { return &s.MaxDelete }, textOrNumber(checkShare), "10%", "Most that one run may delete: a share of the files, or a count"),
		key("bandwidth", func(s *Sync) *int64 { return &s.Bandwidth }, rate(), "0", "Bytes per second and node, such as 5MB; 0 is no limit"),
		key("trash", func(s *Sync) *int { return &s.Trash }, number(0, 1000), "5", "Kept generations of replaced and deleted files"),
		key("interval", func(s *Sync) *time.Duration { return &s.Interval }, duration(time.Second, 24*time.Hour), "5m", "Time between full passes of sync --watch"),
	}
}

func releaseKeys() []field[Release] {
	hooks := []field[Hooks]{
		key("node", func(h *Hooks) *[][]string { return &h.Node }, list(command()), "", "On each node, in the release's folder"),
		key("deploy", func(h *Hooks) *[][]string { return &h.Deploy }, list(command()), "", "Once, on the admin node"),
	}
	return []field[Release]{
		key("keep", func(r *Release) *int { return &r.Keep }, number(1, 1000), "5", "Releases kept on a node"),
		key("serial", func(r *Release) *[]int { return &r.Serial }, numberOrNumbers(1, 1000), "1", "Nodes per wave; of a list, the last repeats"),
		key("shared", func(r *Release) *[]string { return &r.Shared }, list(text(checkBelow)), "", "Shared paths in addition to mosparo's own"),
		key("before", func(r *Release) *Hooks { return &r.Before }, object("hooks", hooks), "", "Commands before the switch"),
		key("after", func(r *Release) *Hooks { return &r.After }, object("hooks", hooks), "", "Commands after the switch"),
		key("migrate", func(r *Release) *bool { return &r.Migrate }, boolean(), "true", "Run migrations, once"),
		key("warm", func(r *Release) *bool { return &r.Warm }, boolean(), "true", "Warm the cache before the switch"),
		key("health", func(r *Release) *bool { return &r.Health }, boolean(), "true", "Wait for the health check before a node goes back into rotation"),
		key("lock_ttl", func(r *Release) *time.Duration { return &r.LockTTL }, duration(10*time.Second, 24*time.Hour), "", "Lease of the lock; without it, the lock's own"),
		key("checksum", func(r *Release) *bool { return &r.Checksum }, boolean(), "false", "Refuse a source without a checksum"),
	}
}

func checkKeys() []field[Check] {
	return []field[Check]{
		key("interval", func(c *Check) *time.Duration { return &c.Interval }, duration(time.Second, 24*time.Hour), "30s", "Time between checks in the TUI and with --watch"),
		key("skew", func(c *Check) *time.Duration { return &c.Skew }, duration(time.Millisecond, time.Hour), "1s", "Clock skew that warns; five times as much fails"),
		key("disk_warn", func(c *Check) *int { return &c.DiskWarn }, number(1, 100), "85", "Percent of a disk in use that warns"),
		key("disk_fail", func(c *Check) *int { return &c.DiskFail }, number(1, 100), "95", "Percent of a disk in use that fails"),
		key("lag", func(c *Check) *time.Duration { return &c.Lag }, duration(time.Second, 24*time.Hour), "30s", "Lag of a replica of the database that warns"),
		key("timeout", func(c *Check) *time.Duration { return &c.Timeout }, duration(time.Second, 10*time.Minute), "20s", "Longest time of one check on one node"),
		key("disabled", func(c *Check) *[]string { return &c.Disabled }, list(text(anyText)), "", "Checks that are left out"),
	}
}
