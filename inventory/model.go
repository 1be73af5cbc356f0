// Package inventory holds the nouns of a mosparo deployment and the file that describes one.
package inventory

import (
	"slices"
	"time"
)

// Role says what a node is for.
type Role string

// The roles. A node may have several.
const (
	RoleAdmin Role = "admin" // the one node where administrative changes are made
	RoleApp   Role = "app"   // serves visitors behind the balancer
	RoleCron  Role = "cron"  // runs scheduled jobs
)

// Deployment is a whole inventory with defaults merged into each node. It is not changed after Load.
type Deployment struct {
	File      string // where it was read from, absolute
	Name      string // typed to confirm dangerous operations
	Nodes     []*Node
	Cache     Cache
	Database  Database
	Balancers []Balancer
	Cron      Cron
	Sync      Sync
	Release   Release
	Check     Check
	Parallel  int      // nodes worked on at once; 0: all
	Warnings  Problems // what is questionable but usable; in the order of the file

	named   string            // the file as it was given to Load or Parse
	origins map[string]origin // where resolved values were written, by path; see Position and Explain
}

// Admin is the admin node, or nil if the inventory has none.
func (d *Deployment) Admin() *Node {
	for _, n := range d.Nodes {
		if n.Has(RoleAdmin) {
			return n
		}
	}
	return nil
}

// Node is the node of that name, or nil.
func (d *Deployment) Node(name string) *Node {
	for _, n := range d.Nodes {
		if n.Name == name {
			return n
		}
	}
	return nil
}

// Node is one machine of the deployment.
type Node struct {
	Name    string
	Address string // host name, IP address or alias of ~/.ssh/config; "local" for this machine
	Roles   []Role
	Groups  []string
	SSH     SSH
	Paths   Paths
	Owner   Owner
	PHP     PHP
	HTTP    HTTP
	Serve   Serve
	Cache   Cache             // as seen from this node: the deployment's, unless overridden
	Env     map[string]string // values of .env.local: deployment's, with the node's own over them; may hold references
	TZ      string            // IANA name of the node's system time zone, for cron; "" reads as UTC
	Backend map[string]string // balancer name -> the server's name there; default: the node's name
}

// Has reports whether the node has role r.
func (n *Node) Has(r Role) bool { return slices.Contains(n.Roles, r) }

// Local reports whether the node is this machine, worked on without SSH.
func (n *Node) Local() bool { return n.Address == "local" }

// SSH says how to log in to a node. Empty fields are left to ~/.ssh/config and its defaults.
type SSH struct {
	User       string
	Port       int
	Identity   string        // path of a private key file, or ""
	KnownHosts string        // path of a known_hosts file, or ""
	Jump       string        // ProxyJump: user@host:port, several separated by commas; or ""
	Config     string        // path of an ssh_config to use instead of ~/.ssh/config; "none" for no file
	Become     bool          // run commands and SFTP through "sudo -n"
	BecomeUser string        // default "root"
	SFTPServer string        // path of sftp-server on the node, used with Become; "" looks for it
	Timeout    time.Duration // for connecting; default 15s
	Keepalive  time.Duration // between keepalives; default 5s, dead after 3 unanswered
}

// Layout says how releases lie on a node.
type Layout string

// The layouts.
const (
	LayoutReleases Layout = "releases" // Root holds releases/, shared/ and the current link
	LayoutInPlace  Layout = "in-place" // Root is the installation itself; a deploy is not atomic there
)

// Paths says where things lie on a node. All are absolute.
type Paths struct {
	Root   string // the folder mosparoctl manages
	Layout Layout
}

// Owner is who owns mosparo's files on a node: names or numbers; "" keeps what the login user writes.
type Owner struct {
	User  string
	Group string
}

// PHP says how to run PHP on a node. Commands are argument lists.
type PHP struct {
	Command []string // default ["php"]
	User    string   // run console commands as this user; default: the owner
	Reload  []string // reloads PHP-FPM, e.g. ["systemctl", "reload", "php8.2-fpm"]; nil: OPcache must validate timestamps
	FPMLog  []string // paths (globs) of PHP-FPM's logs
}

// HTTP says how to reach a node's own web server, from the node itself.
type HTTP struct {
	URL      string        // e.g. "http://127.0.0.1:8080"; "" where the node serves nothing
	Host     string        // Host header to send; "" sends the URL's
	Timeout  time.Duration // default 10s
	Insecure bool          // don't verify the certificate (a node's own is often not for 127.0.0.1)
}

// Serve says how to reach the protection core ("mosparoctl serve") of a node that runs it.
type Serve struct {
	Metrics string // its --metrics-listen, as seen from the node: host:port or the path of a unix socket; "": it runs no core
}

// CacheAdapter is mosparo's MOSPARO_CACHE_ADAPTER.
type CacheAdapter string

// The adapters; empty means filesystem, as in mosparo.
const (
	CacheFilesystem CacheAdapter = "filesystem"
	CacheRedis      CacheAdapter = "redis"
	CacheMemcached  CacheAdapter = "memcached"
)

// Cache is the shared cache.
type Cache struct {
	Adapter   CacheAdapter
	URL       Secret // DSN as in REDIS_URL or MEMCACHED_URL
	SharedCSS bool   // MOSPARO_PREPARE_CSS_FILES_IN_SHARED_CACHE: public/resources is not synced
	Tunnel    bool   // a loopback URL is a proxy or tunnel on each node that leads to one and the same cache
}

// Topology of the database.
type Topology string

// The topologies.
const (
	Single        Topology = "single"
	ActivePassive Topology = "active-passive" // one writable primary, replicas take over
	ActiveActive  Topology = "active-active"  // Galera or similar
)

// Database is the database all nodes share.
type Database struct {
	System   string // "mysql" (MariaDB too), "postgres" or "sqlite"
	Topology Topology
	Servers  []DatabaseServer
	Name     string
	User     string
	Password Secret
	Tunnel   bool // a loopback host is a proxy or tunnel on each node that leads to one and the same server
}

// DatabaseServer is one server, as the nodes address it.
type DatabaseServer struct {
	Name string // default: Host
	Host string
	Port int // default 3306
}

// BalancerKind says how a balancer is told to drain a node.
type BalancerKind string

// The kinds of balancer.
const (
	BalancerHAProxy    BalancerKind = "haproxy"     // runtime API on a socket
	BalancerNginx      BalancerKind = "nginx"       // an upstream file that is rewritten, then reloaded
	BalancerHealthFile BalancerKind = "health-file" // a file on the node that its health check looks for
	BalancerCommand    BalancerKind = "command"     // commands of the operator's own
)

// Balancer is one load balancer.
type Balancer struct {
	Name    string
	Kind    BalancerKind
	Node    string        // node or SSH address on which it runs; "" reaches Socket from this machine
	Socket  string        // haproxy: unix socket path or host:port of the runtime API
	Backend string        // haproxy: backend name
	File    string        // nginx: upstream file; health-file: path on the node
	Reload  []string      // nginx: reload command
	Drain   []string      // command: drain, with {node} replaced
	Ready   []string      // command: back into rotation, with {node} replaced
	Wait    time.Duration // at most this long for connections to end; default 30s
	SSH     SSH           // for Node, where that is an address and not a node's name
}

// CronMode says which nodes run scheduled jobs.
type CronMode string

// The modes.
const (
	CronAdminOnly CronMode = "admin-only"
	CronStaggered CronMode = "staggered"
)

// CronTarget says where the schedule is written.
type CronTarget string

// The targets.
const (
	CronUser CronTarget = "crontab" // a managed block in the user's crontab
	CronFile CronTarget = "cron.d"  // a file in /etc/cron.d
)

// Cron is the schedule of mosparo's jobs.
type Cron struct {
	Mode     CronMode
	Target   CronTarget
	User     string        // whose crontab, or who runs the jobs; default: the owner
	Distance time.Duration // least distance between two nodes' starts; default 10m
	Jobs     []CronJob
	Dir      string // default /etc/cron.d
}

// CronJob overrides or adds a job.
type CronJob struct {
	Name    string        // "cleanup", "rule-packages", "geoip", or an own name
	Every   time.Duration // interval; 0 keeps the job's default
	Command []string      // own job: console arguments; nil keeps the job's default
	Enabled bool
	Nodes   string // "admin" or "all"; "" keeps the job's default
	Heavy   bool   // keeps distance to other heavy jobs too
}

// Sync says what is kept in step from the admin node.
type Sync struct {
	Paths     []SyncPath // in addition to mosparo's own three
	Exclude   []string   // patterns, for all paths
	MaxDelete string     // "25%" or a count; default "10%"
	Bandwidth int64      // bytes per second and node; 0: no limit
	Trash     int        // kept generations of replaced and deleted files; default 5
	Interval  time.Duration
}

// SyncPath is a folder or file below the installation's root.
type SyncPath struct {
	Path    string
	Exclude []string
	Delete  bool // delete on the target what the source doesn't have
	Last    bool // after all that is not last
	Marker  string
}

// Release says how deploys are done.
type Release struct {
	Keep     int      // releases kept on a node; default 5
	Serial   []int    // nodes per wave, the last repeats; default [1]
	Shared   []string // shared paths in addition to mosparo's own
	Before   Hooks
	After    Hooks
	Migrate  bool // run migrations; default true
	Warm     bool // warm the cache before the switch; default true
	Health   bool // wait for the health check before the node goes back; default true
	LockTTL  time.Duration
	Checksum bool // verify the source's checksum even if none is given beside it
}

// Hooks are commands of the operator's own.
type Hooks struct {
	Node   [][]string // on each node, in the release folder
	Deploy [][]string // once, on the admin node
}

// Check sets the limits of checks.
type Check struct {
	Interval time.Duration // of polling in the TUI and in --watch; default 30s
	Skew     time.Duration // clock skew that warns; default 1s, fails at 5 times it
	DiskWarn int           // percent used; default 85
	DiskFail int           // default 95
	Lag      time.Duration // of a replica of the database that warns; default 30s
	Timeout  time.Duration // of one check on one node; default 20s
	Disabled []string
}
