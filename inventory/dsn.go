package inventory

import (
	"net/netip"
	"net/url"
	"regexp"
	"strings"
)

// dsn is what an inventory needs to know of a REDIS_URL or MEMCACHED_URL.
type dsn struct {
	scheme   string
	hosts    []string // host names and addresses, without ports
	sockets  []string
	password bool
	lazy     bool
}

var hostOption = regexp.MustCompile(`^host\[([^\]]*)\](=[0-9]*)?$`)

// parseDSN reads a DSN in the forms that mosparo's cache library takes: scheme://[user:pass@]host[:port][/db][?options],
// scheme://[pass@]/socket[/db], scheme:?host[a:1]&host[b:2][&options]. Messages never hold a part of it that may be secret.
func parseDSN(s string) (d dsn, message, instead string) {
	const form = "write redis://host:6379/0?lazy=1 or memcached://host:11211, or a reference such as env:REDIS_URL"
	scheme, rest, ok := strings.Cut(s, ":")
	switch {
	case !ok || (scheme != "redis" && scheme != "rediss" && scheme != "memcached"):
		return d, "is no URL of a cache", form
	case strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return d, "holds a space or control character", "percent-encode it, such as %20"
	}
	d.scheme = scheme
	rest, query, _ := strings.Cut(rest, "?")
	if message, instead = d.readQuery(query); message != "" {
		return d, message, instead
	}
	rest, ok = strings.CutPrefix(rest, "//")
	if rest == "" && len(d.hosts)+len(d.sockets) > 0 {
		return d, "", ""
	}
	if !ok {
		return d, "is no URL of a cache", form
	}
	authority, path, _ := strings.Cut(rest, "/")
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		d.password = true
		if _, err := url.PathUnescape(authority[:at]); err != nil {
			return d, "holds a % that encodes nothing", "percent-encode the password: % is %25"
		}
		authority = authority[at+1:]
	}
	if authority == "" {
		if path == "" {
			return d, "names no host", form
		}
		d.sockets = append(d.sockets, "/"+path)
		return d, "", ""
	}
	if message, instead = d.addHost(authority); message != "" {
		return d, message, instead
	}
	if path != "" && strings.Trim(path, "0123456789") != "" {
		return d, "the part after / is no number", "write the database's index there, such as /0"
	}
	return d, "", ""
}

func (d *dsn) readQuery(query string) (message, instead string) {
	for option := range strings.SplitSeq(query, "&") {
		if m := hostOption.FindStringSubmatch(option); m != nil {
			if message, instead = d.addHost(m[1]); message != "" {
				return message, instead
			}
			continue
		}
		switch name, value, _ := strings.Cut(option, "="); name {
		case "lazy":
			if value != "0" && value != "1" {
				return "the option lazy must be 0 or 1", "write lazy=1"
			}
			d.lazy = value == "1"
		case "auth":
			d.password = true
		}
	}
	return "", ""
}

func (d *dsn) addHost(s string) (message, instead string) {
	if strings.HasPrefix(s, "/") {
		d.sockets = append(d.sockets, s)
		return "", ""
	}
	host, port, ok := cutPort(s)
	if ok && !validPort(port) {
		return "the port is no number from 1 to 65535", "write host:port, such as cache.internal:6379"
	}
	if message, _ = checkHost(host); message != "" {
		return "the host is no host name or IP address", "write host:port, such as cache.internal:6379; percent-encode a password's @ : and /"
	}
	d.hosts = append(d.hosts, host)
	return "", ""
}

// local reports whether every machine that uses the DSN gets to a server of its own.
func (d dsn) local() bool {
	for _, h := range d.hosts {
		if loopback(h) {
			return true
		}
	}
	return len(d.sockets) > 0
}

// loopback reports whether a host name or address is that of the machine that uses it.
func loopback(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "local" || host == "localhost" || strings.HasSuffix(host, ".localhost") || strings.HasPrefix(host, "localhost.") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && (a.Unmap().IsLoopback() || a.IsUnspecified())
}

func checkDSN(s string) (message, instead string) {
	_, message, instead = parseDSN(s)
	return message, instead
}
