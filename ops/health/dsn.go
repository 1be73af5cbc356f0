package health

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// dsn is a REDIS_URL or MEMCACHED_URL as mosparo's cache library reads it.
type dsn struct {
	adapter        string   // "redis" or "memcached"
	servers        []string // host:port, or the path of a socket
	user, password string
	db             int
	tls            bool
	sentinel       string // name of the master; the servers are sentinels then
	cluster        bool
	lazy           bool
	options        url.Values // all that follows "?", without hosts
}

var (
	errDSN     = errors.New("is no URL that mosparo understands: write redis://host:6379/0?lazy=1 or memcached://host:11211")
	hostOption = regexp.MustCompile(`^host\[([^\]]*)\](?:=([0-9]*))?$`)
)

// parseDSN reads s for the adapter. Its errors show nothing of s, which holds a password.
func parseDSN(adapter, s string) (dsn, error) {
	d := dsn{adapter: adapter, options: url.Values{}}
	scheme, rest, ok := strings.Cut(s, ":")
	switch {
	case !ok:
		return d, errDSN
	case adapter == "redis" && (scheme == "rediss" || scheme == "valkeys"):
		d.tls = true
	case adapter == "redis" && (scheme == "redis" || scheme == "valkey"), adapter == "memcached" && scheme == "memcached":
	default:
		return d, fmt.Errorf("begins with another word than %s", adapter)
	}
	rest, query, _ := strings.Cut(rest, "?")
	for part := range strings.SplitSeq(query, "&") {
		if m := hostOption.FindStringSubmatch(part); m != nil {
			d.servers = append(d.servers, withPort(m[1], adapter))
			continue
		}
		key, value, _ := strings.Cut(part, "=")
		key, err1 := url.QueryUnescape(key)
		value, err2 := url.QueryUnescape(value)
		if errors.Join(err1, err2) != nil {
			return d, errors.New("has an option that is not percent-encoded")
		}
		if key != "" {
			d.options.Set(key, value)
		}
	}
	if err := d.readAuthority(rest); err != nil {
		return d, err
	}
	if len(d.servers) == 0 {
		return d, errors.New("names no server")
	}
	d.lazy = d.options.Get("lazy") == "1"
	d.sentinel = d.options.Get("redis_sentinel")
	if d.sentinel == "" {
		d.sentinel = d.options.Get("sentinel_master")
	}
	d.cluster = d.options.Get("redis_cluster") == "1"
	if i := d.options.Get("dbindex"); i != "" {
		db, err := strconv.Atoi(i)
		if err != nil || db < 0 {
			return d, errors.New("has a dbindex that is no number")
		}
		d.db = db
	}
	return d, nil
}

// readAuthority reads what stands between the scheme and the options.
func (d *dsn) readAuthority(rest string) error {
	rest, ok := strings.CutPrefix(rest, "//")
	if !ok {
		if rest == "" {
			return nil // the hosts are options
		}
		return errDSN
	}
	authority, path, _ := strings.Cut(rest, "/")
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		if err := d.readUser(authority[:at]); err != nil {
			return err
		}
		authority = authority[at+1:]
	}
	if authority == "" && path != "" { // a socket, perhaps with the index of a database behind it
		path = "/" + path
		if slash := strings.LastIndexByte(path, '/'); slash > 0 && d.adapter == "redis" && digits(path[slash+1:]) {
			d.db, _ = strconv.Atoi(path[slash+1:])
			path = path[:slash]
		}
		d.servers = append(d.servers, path)
		return nil
	}
	if authority != "" {
		d.servers = append(d.servers, withPort(authority, d.adapter))
	}
	if d.adapter == "redis" && path != "" {
		if !digits(path) {
			return errors.New("has something else than a database's index after the host")
		}
		d.db, _ = strconv.Atoi(path)
	}
	return nil
}

func (d *dsn) readUser(info string) error {
	user, password, both := strings.Cut(info, ":")
	if !both && d.adapter == "redis" {
		user, password = "", user // redis://pass@host
	}
	var err1, err2 error
	d.user, err1 = url.PathUnescape(user)
	d.password, err2 = url.PathUnescape(password)
	if errors.Join(err1, err2) != nil {
		return errors.New("has a user or password that is not percent-encoded")
	}
	if d.user == "default" {
		d.user = ""
	}
	return nil
}

func digits(s string) bool { return s != "" && len(s) < 6 && strings.Trim(s, "0123456789") == "" }

func withPort(host, adapter string) string {
	if strings.HasPrefix(host, "/") {
		return host
	}
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	port := "6379"
	if adapter == "memcached" {
		port = "11211"
	}
	return net.JoinHostPort(strings.Trim(host, "[]"), port)
}

// network is how the address of a server is dialled.
func network(server string) string {
	if strings.HasPrefix(server, "/") {
		return "unix"
	}
	return "tcp"
}

// public is the DSN without user, password and options: for people.
func (d dsn) public() string {
	s := d.adapter + " " + strings.Join(d.servers, ", ")
	if d.adapter == "redis" {
		s += fmt.Sprintf(" database %d", d.db)
	}
	if d.sentinel != "" {
		s += " (sentinels of " + d.sentinel + ")"
	}
	return s
}

// storage is all of the DSN that decides where and under which keys values are stored. It shows no secret.
func (d dsn) storage() string {
	var relevant []string
	for _, key := range slices.Sorted(maps.Keys(d.options)) {
		if key == "prefix_key" || key == "hash" || key == "libketama_compatible" || key == "serializer" || key == "distribution" {
			relevant = append(relevant, key+"="+d.options.Get(key))
		}
	}
	return d.public() + " " + strings.Join(relevant, " ")
}

// local lists the servers that are the node's own: a loopback address or a socket.
func (d dsn) local() []string {
	var list []string
	for _, s := range d.servers {
		host, _, err := net.SplitHostPort(s)
		if err != nil {
			host = s
		}
		host = strings.ToLower(strings.TrimSuffix(host, "."))
		ip, err := netip.ParseAddr(host)
		if strings.HasPrefix(host, "/") || host == "localhost" || strings.HasSuffix(host, ".localhost") ||
			err == nil && (ip.Unmap().IsLoopback() || ip.IsUnspecified()) {
			list = append(list, s)
		}
	}
	return list
}
