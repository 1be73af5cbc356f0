package cache

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/mosparoctl/mosparoctl/protection/php"
)

// redisDSN is what a REDIS_URL says.
type redisDSN struct {
	network          string // tcp or unix
	addrs            []string
	user, password   string
	sentinelPassword string
	db               int
	sentinel         string // name of the master, empty without sentinels
	cluster          bool
	tls              *tls.Config
}

// parseRedis reads a DSN as Symfony does: redis[s]:[//[[user]:password@]][host[:port] or /socket][/db][?options].
func parseRedis(dsn string) (d redisDSN, err error) {
	if dsn == "" {
		dsn = "redis://localhost"
	}
	scheme, rest, ok := strings.Cut(dsn, ":")
	if !ok || scheme != "redis" && scheme != "rediss" {
		return d, errors.New(`it must begin with "redis:" or "rediss:"`)
	}
	rest = strings.TrimPrefix(rest, "//")
	rest, query, _ := strings.Cut(rest, "?")
	options := php.ParseForm(query)
	if rest, err = d.credentials(rest); err != nil {
		return d, err
	}
	place, db := splitDB(rest)
	if v, ok := options.Get("dbindex"); ok {
		db, _ = v.Text()
	}
	if db != "" {
		if d.db, err = strconv.Atoi(db); err != nil {
			return d, fmt.Errorf("database index %q is no number", db)
		}
	}
	d.network = "tcp"
	if err := d.places(place, options); err != nil {
		return d, err
	}
	return d, d.options(scheme, options)
}

// credentials cuts user and password off.
func (d *redisDSN) credentials(rest string) (string, error) {
	at := strings.IndexByte(rest, '@')
	if at < 0 {
		return rest, nil
	}
	user, password, both := strings.Cut(rest[:at], ":")
	if !both {
		user, password = "", rest[:at]
	}
	var err error
	if d.user, err = url.PathUnescape(user); err == nil {
		d.password, err = url.PathUnescape(password)
	}
	if d.user == "default" {
		d.user = ""
	}
	if err != nil {
		return "", errors.New("user or password is not percent-encoded") // the cause would show it
	}
	return rest[at+1:], nil
}

// splitDB cuts a last path segment of digits off, or a slash with nothing after it.
func splitDB(place string) (string, string) {
	i := strings.LastIndexByte(place, '/')
	if i < 0 || strings.Trim(place[i+1:], "0123456789") != "" {
		return place, ""
	}
	return place[:i], place[i+1:]
}

func (d *redisDSN) places(place string, options *php.Array) error {
	places := []string{}
	if place != "" {
		places = append(places, place)
	}
	hosts, _ := options.Get("host")
	for k, v := range hosts.Array().All() {
		name := k.String() // host[a:1] has an empty value, host[]=a:1 an integer key
		if t, _ := v.Text(); t != "" {
			name = t
		}
		places = append(places, name)
	}
	if len(places) == 0 {
		places = []string{"localhost"}
	}
	for _, p := range places {
		if strings.HasPrefix(p, "/") {
			if len(places) > 1 {
				return errors.New("a socket cannot be one of several servers")
			}
			d.network = "unix"
			d.addrs = append(d.addrs, p)
			continue
		}
		addr, err := withPort(p, "6379")
		if err != nil {
			return err
		}
		d.addrs = append(d.addrs, addr)
	}
	return nil
}

// withPort gives an address its default port.
func withPort(host, port string) (string, error) {
	if h, p, err := net.SplitHostPort(host); err == nil {
		if _, err := strconv.ParseUint(p, 10, 16); err != nil || h == "" {
			return "", fmt.Errorf("server %q is no host:port", host)
		}
		return host, nil
	}
	if host == "" || strings.ContainsAny(host, "/@ ") {
		return "", fmt.Errorf("server %q is no host:port", host)
	}
	return net.JoinHostPort(strings.Trim(host, "[]"), port), nil
}

func (d *redisDSN) options(scheme string, options *php.Array) error {
	get := func(name string) string {
		v, _ := options.Get(name)
		t, _ := v.Text()
		return t
	}
	d.sentinel, d.cluster = get("redis_sentinel"), php.String(get("redis_cluster")).Truthy()
	if t := get("sentinel_master"); d.sentinel == "" {
		d.sentinel = t
	}
	switch auth := get("auth"); {
	case auth == "":
	case d.sentinel != "":
		d.sentinelPassword = auth
	default:
		d.password = auth
	}
	switch {
	case d.sentinel != "" && d.cluster:
		return errors.New("redis_sentinel and redis_cluster exclude each other")
	case d.sentinel == "" && !d.cluster && len(d.addrs) > 1:
		return errors.New("several hosts without redis_sentinel or redis_cluster would each hold a part of the items; name a sentinel group or a cluster")
	case d.cluster && d.db != 0:
		return errors.New("a cluster has only database 0")
	}
	if scheme == "rediss" || get("tls") == "1" {
		ssl, _ := options.Get("ssl")
		return d.secure(ssl)
	}
	return nil
}

// secure makes the TLS settings of PHP's stream options ssl[cafile], ssl[local_cert], ssl[local_pk], ssl[peer_name],
// ssl[verify_peer] and ssl[verify_peer_name].
func (d *redisDSN) secure(ssl php.Value) error {
	get := func(name string) string { t, _ := ssl.Get(name).Text(); return t }
	off := func(name string) bool {
		v := ssl.Get(name)
		return !v.IsNull() && (!v.Truthy() || get(name) == "false")
	}
	host, _, _ := net.SplitHostPort(d.addrs[0])
	d.tls = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host, InsecureSkipVerify: off("verify_peer") || off("verify_peer_name")} //nolint:gosec // asked for by name
	if d.cluster || d.sentinel != "" {
		d.tls.ServerName = "" // go-redis sets it for each server
	}
	if n := get("peer_name"); n != "" {
		d.tls.ServerName = n
	}
	if file := get("cafile"); file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("ssl[cafile]: %w", err)
		}
		d.tls.RootCAs = x509.NewCertPool()
		if !d.tls.RootCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("ssl[cafile]: %s holds no certificate", file)
		}
	}
	if cert := get("local_cert"); cert != "" {
		key := get("local_pk")
		if key == "" {
			key = cert
		}
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return fmt.Errorf("ssl[local_cert]: %w", err)
		}
		d.tls.Certificates = []tls.Certificate{pair}
	}
	return nil
}

// memcachedServer is one server of a MEMCACHED_URL.
type memcachedServer struct {
	host   string // or the path of a socket
	port   int    // 0 for a socket
	weight int
}

type memcachedDSN struct {
	servers []memcachedServer
	prefix  string // prepended to all keys
}

// parseMemcached reads memcached://host[:port][/weight], memcached:///socket, memcached:?host[a:1]&host[b:2]=weight.
func parseMemcached(dsn string) (d memcachedDSN, err error) {
	if dsn == "" {
		dsn = "memcached://localhost"
	}
	rest, ok := strings.CutPrefix(dsn, "memcached:")
	if !ok {
		return d, errors.New(`it must begin with "memcached:"`)
	}
	rest = strings.TrimPrefix(rest, "//")
	place, query, _ := strings.Cut(rest, "?")
	options := php.ParseForm(query)
	if strings.Contains(place, "@") {
		return d, errors.New("user and password need SASL and the binary protocol, which this program does not speak; restrict the server by network instead")
	}
	weight := ""
	if i := strings.LastIndexByte(place, '/'); i > 0 && strings.Trim(place[i+1:], "0123456789") == "" {
		place, weight = place[:i], place[i+1:]
	}
	if place != "" {
		if err := d.add(place, weight); err != nil {
			return d, err
		}
	}
	hosts, _ := options.Get("host")
	for k, v := range hosts.Array().All() {
		weight, _ := v.Text()
		if err := d.add(k.String(), weight); err != nil {
			return d, err
		}
	}
	if len(d.servers) == 0 {
		return d, d.add("localhost", "")
	}
	prefix, _ := options.Get("prefix_key")
	d.prefix, _ = prefix.Text()
	return d, nil
}

func (d *memcachedDSN) add(place, weight string) error {
	s := memcachedServer{host: place}
	if weight != "" {
		n, err := strconv.Atoi(weight)
		if err != nil || n < 0 {
			return fmt.Errorf("weight %q of %s is no number", weight, place)
		}
		s.weight = n
	}
	if !strings.HasPrefix(place, "/") {
		addr, err := withPort(place, "11211")
		if err != nil {
			return err
		}
		host, port, _ := net.SplitHostPort(addr)
		s.host = host
		s.port, _ = strconv.Atoi(port)
	}
	d.servers = append(d.servers, s)
	return nil
}
