package inventory

import (
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// The tables of keys: what a key is called, where it is stored, what it takes, its default as it would be written, and what
// people are told about it. docs/inventory.md and the JSON Schema are made of them.

// nodeEntry is an entry of nodes: what only one node can have, and the settings.
func nodeEntry() kind[Node] {
	own := []field[Node]{
		key("name", func(n *Node) *string { return &n.Name }, name(), "", "What the node is called here; no two are alike"),
		key("address", func(n *Node) *string { return &n.Address }, text(checkHost), "",
			`Host name, IP address or alias of ~/.ssh/config; "local" is this machine. Without it, the name`),
		key("groups", func(n *Node) *[]string { return &n.Groups }, distinct(name()), "", "Groups whose settings it takes, later ones over earlier"),
		key("backend", func(n *Node) *map[string]string { return &n.Backend }, dict(checkName, nameRegexp, name()), "",
			"What the node is called at a balancer: balancer's name: server's name. Without it, the node's name"),
	}
	return object("node", append(own, settingKeys()...)).require("name")
}

// settings are what defaults and groups can hold for nodes.
func settings() kind[Node] { return object("settings", settingKeys()) }

func settingKeys() []field[Node] {
	return []field[Node]{
		key("roles", func(n *Node) *[]Role { return &n.Roles }, distinct(choice(RoleAdmin, RoleApp, RoleCron)), "",
			"What the node is for: admin (one node, where changes are made), app (serves visitors), cron (runs jobs). Without it, app, and all three on a node that is alone"),
		key("ssh", func(n *Node) *SSH { return &n.SSH }, object("ssh", sshKeys()), "", "How to log in; what is not given is left to ~/.ssh/config"),
		key("paths", func(n *Node) *Paths { return &n.Paths }, object("paths", pathKeys()), "", "Where mosparo lies on the node"),
		key("owner", func(n *Node) *Owner { return &n.Owner }, object("owner", ownerKeys()), "", "Who owns mosparo's files; without it, whoever writes them"),
		key("php", func(n *Node) *PHP { return &n.PHP }, object("php", phpKeys()), "", "How to run PHP"),
		key("http", func(n *Node) *HTTP { return &n.HTTP }, object("http", httpKeys()), "", "How to reach the node's own web server, from the node itself"),
		key("serve", func(n *Node) *Serve { return &n.Serve }, object("serve", serveKeys()), "", "The protection core, on a node that runs mosparoctl serve"),
		key("cache", func(n *Node) *Cache { return &n.Cache }, object("cache", cacheKeys()), "", "The shared cache, where this node reaches it in another way than the rest"),
		key("env", func(n *Node) *map[string]string { return &n.Env }, envValues(), "", "Values of .env.local; secrets by reference"),
		key("tz", func(n *Node) *string { return &n.TZ }, text(checkZone), "", "The system's time zone, for cron, such as Europe/Zurich; without it, UTC"),
	}
}

func sshKeys() []field[SSH] {
	return []field[SSH]{
		key("user", func(s *SSH) *string { return &s.User }, text(checkUser), "", "Login user"),
		key("port", func(s *SSH) *int { return &s.Port }, number(1, 65535), "", "Port of the SSH server"),
		key("identity", func(s *SSH) *string { return &s.Identity }, text(checkLocalPath), "", "Private key file on this machine"),
		key("known_hosts", func(s *SSH) *string { return &s.KnownHosts }, text(checkLocalPath), "", "File of known host keys on this machine"),
		key("jump", func(s *SSH) *string { return &s.Jump }, text(checkJump), "", "Hosts to go through, user@host:port, separated by commas"),
		key("config", func(s *SSH) *string { return &s.Config }, text(func(p string) (string, string) {
			if p == "none" {
				return "", ""
			}
			return checkLocalPath(p)
		}), "", `An ssh_config to use instead of ~/.ssh/config; "none" for no file`),
		key("become", func(s *SSH) *bool { return &s.Become }, boolean(), "false", "Run commands and transfers through sudo -n"),
		key("become_user", func(s *SSH) *string { return &s.BecomeUser }, text(checkUser), "root", "Whom to become"),
		key("sftp_server", func(s *SSH) *string { return &s.SFTPServer }, text(checkPath), "", "sftp-server on the node, with become; without it, it is looked for"),
		key("timeout", func(s *SSH) *time.Duration { return &s.Timeout }, duration(time.Second, 5*time.Minute), "15s", "Longest wait for a connection"),
		key("keepalive", func(s *SSH) *time.Duration { return &s.Keepalive }, duration(time.Second, 5*time.Minute), "5s",
			"Time between keepalives; after three without an answer the node is gone"),
	}
}

func pathKeys() []field[Paths] {
	return []field[Paths]{
		key("root", func(p *Paths) *string { return &p.Root }, text(checkRoot), "", "The folder that mosparoctl manages; required"),
		key("layout", func(p *Paths) *Layout { return &p.Layout }, choice(LayoutReleases, LayoutInPlace), "releases",
			"releases: root holds releases/, shared/ and current. in-place: root is the installation, and a deploy is not atomic"),
	}
}

func ownerKeys() []field[Owner] {
	return []field[Owner]{
		key("user", func(o *Owner) *string { return &o.User }, textOrNumber(checkUser), "", "User, by name or number"),
		key("group", func(o *Owner) *string { return &o.Group }, textOrNumber(checkUser), "", "Group, by name or number"),
	}
}

func phpKeys() []field[PHP] {
	return []field[PHP]{
		key("command", func(p *PHP) *[]string { return &p.Command }, command(), "php", "The PHP command line, with options if it needs any"),
		key("user", func(p *PHP) *string { return &p.User }, text(checkUser), "", "Who runs mosparo's console; without it, the owner"),
		key("reload", func(p *PHP) *[]string { return &p.Reload }, command(), "",
			"Reloads PHP-FPM, such as systemctl reload php8.2-fpm. Without it, OPcache must look at times of files"),
		key("fpm_log", func(p *PHP) *[]string { return &p.FPMLog }, list(text(checkPath)), "", "Logs of PHP-FPM; * and ? match"),
	}
}

func httpKeys() []field[HTTP] {
	return []field[HTTP]{
		key("url", func(h *HTTP) *string { return &h.URL }, text(checkURL), "", "Where the node's web server answers, such as http://127.0.0.1:8080; without it, it serves nothing"),
		key("host", func(h *HTTP) *string { return &h.Host }, text(checkHostPort), "", "Host header to send; without it, the URL's"),
		key("timeout", func(h *HTTP) *time.Duration { return &h.Timeout }, duration(time.Second, 5*time.Minute), "10s", "Longest wait for an answer"),
		key("insecure", func(h *HTTP) *bool { return &h.Insecure }, boolean(), "false", "Accept a certificate for another name"),
	}
}

func serveKeys() []field[Serve] {
	return []field[Serve]{
		key("metrics", func(s *Serve) *string { return &s.Metrics }, text(checkSocket), "",
			"Its --metrics-listen, as the node reaches it: such as 127.0.0.1:9180, or the path of a unix socket. Without it, the node runs no core"),
	}
}

func cacheKeys() []field[Cache] {
	return []field[Cache]{
		key("adapter", func(c *Cache) *CacheAdapter { return &c.Adapter }, choice(CacheFilesystem, CacheRedis, CacheMemcached), "",
			"MOSPARO_CACHE_ADAPTER; without it, filesystem, which nodes can't share"),
		key("url", func(c *Cache) *Secret { return &c.URL }, secret(checkDSN), "", "REDIS_URL or MEMCACHED_URL, or a reference to it"),
		key("shared_css", func(c *Cache) *bool { return &c.SharedCSS }, boolean(), "false",
			"MOSPARO_PREPARE_CSS_FILES_IN_SHARED_CACHE: CSS lives in the cache, and public/resources is not synced"),
		key("tunnel", func(c *Cache) *bool { return &c.Tunnel }, boolean(), "false",
			"A loopback URL is a proxy or tunnel on each node that leads to the same cache"),
	}
}

// envValues are the values of .env.local. Any scalar is taken as it is written.
func envValues() kind[map[string]string] {
	value := hidden(textOrNumber(checkEnvValue))
	value.schema = func(schema) schema { return schema{"type": []string{"string", "number", "boolean"}} }
	value.emit = func(s *string, path string, out func(path, text string)) {
		out(path, maskEnv(path[strings.LastIndexByte(path, '.')+1:], *s))
	}
	return dict(checkVariable, variableRegexp, value)
}

func checkEnvValue(s string) (string, string) {
	if message, instead := checkReference(NewSecret(s)); message != "" {
		return message, instead
	}
	return checkArgument(s)
}

// maskEnv hides a value of .env.local unless it is a reference or the variable is one of mosparo's that hold no secret.
func maskEnv(name, value string) string {
	harmless := []string{"APP_ENV", "APP_DEBUG", "TRUSTED_PROXIES", "FILESYSTEM_CACHE_PATH", "DATABASE_MYSQL_SSL",
		"DATABASE_MYSQL_SSL_CA", "DATABASE_MYSQL_SSL_VERIFY_SERVER_CERT", "MOSPARO_CACHE_ADAPTER", "MOSPARO_CONFIG_FILE_PATH"}
	for _, prefix := range []string{"MOSPARO_CLEANUP_", "MOSPARO_RULE_", "MOSPARO_SUBMI", "MOSPARO_USE_", "MOSPARO_PREPARE_",
		"MOSPARO_HEALTH_", "MOSPARO_BYPASS_", "MOSPARO_UPDATES_", "MOSPARO_AUTOMATIC_"} {
		if strings.HasPrefix(name, prefix) {
			return value
		}
	}
	if slices.Contains(harmless, name) {
		return value
	}
	return NewSecret(value).Reference()
}

// numberOrNumbers is a list of numbers, or one.
func numberOrNumbers(low, high int) kind[[]int] {
	k := list(number(low, high))
	readList := k.read
	k.read = func(d *decoder, v value, to *[]int) {
		if _, single := v.node.(*ast.IntegerNode); !single {
			readList(d, v, to)
			return
		}
		n := 0
		if number(low, high).read(d, v, &n); n >= low {
			*to = []int{n}
		}
	}
	item := number(low, high).schema
	k.schema = func(defs schema) schema {
		return schema{"oneOf": []schema{item(defs), {"type": "array", "items": item(defs), "minItems": 1}}}
	}
	return k
}
