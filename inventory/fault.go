package inventory

import (
	"fmt"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // so that time zones are known on machines without a database of them
)

var (
	namePattern  = regexp.MustCompile(nameRegexp)
	variableName = regexp.MustCompile(variableRegexp)
	userPattern  = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}\$?$`)
	hostPattern  = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9._-]{0,251}[A-Za-z0-9_])?$`)
	sharePattern = regexp.MustCompile(`^([0-9]{1,2}|100)%$|^[0-9]{1,9}$`)
)

const (
	nameRegexp     = `^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`
	variableRegexp = `^[A-Za-z_][A-Za-z0-9_]{0,127}$`
)

func anyText(s string) (string, string) {
	if strings.TrimSpace(s) == "" {
		return "is empty", "write a value, or remove the key"
	}
	return checkArgument(s)
}

func checkArgument(s string) (string, string) {
	if strings.ContainsRune(s, 0) {
		return "holds a NUL character", "remove it"
	}
	return "", ""
}

// checkName makes sure that a name can be part of a path, a shell word and a selector.
func checkName(s string) (string, string) {
	if !namePattern.MatchString(s) {
		return fmt.Sprintf("%q is no name", s), "write at most 63 letters, digits, dots, - and _, beginning with a letter or digit"
	}
	return "", ""
}

func checkVariable(s string) (string, string) {
	if !variableName.MatchString(s) {
		return fmt.Sprintf("%q is no name of a variable", s), "write letters, digits and _, not beginning with a digit"
	}
	return "", ""
}

// checkHost accepts a host name, an IP address or an alias of ssh_config, without user and port.
func checkHost(s string) (string, string) {
	if _, err := netip.ParseAddr(s); err == nil || hostPattern.MatchString(s) {
		return "", ""
	}
	if user, host, found := strings.Cut(s, "@"); found {
		return "an address with a user", fmt.Sprintf("write %s, and the user %s below ssh", host, user)
	}
	if host, port, found := strings.Cut(s, ":"); found && hostPattern.MatchString(host) {
		return "an address with a port", fmt.Sprintf("write %s, and port: %s", host, port)
	}
	return fmt.Sprintf("%q is no address", s), "write a host name, an IP address or an alias of ~/.ssh/config"
}

// checkAddress is checkHost that leaves room for user@host, as ssh takes it.
func checkAddress(s string) (string, string) {
	if user, host, found := strings.Cut(s, "@"); found && userPattern.MatchString(user) {
		s = host
	}
	return checkHost(s)
}

func checkUser(s string) (string, string) {
	if !userPattern.MatchString(s) {
		return fmt.Sprintf("%q is no user or group", s), "write its name or its number"
	}
	return "", ""
}

// checkPath accepts an absolute path on a node in its shortest form.
func checkPath(s string) (string, string) {
	switch {
	case s == "":
		return "is empty", "write an absolute path, or remove the key"
	case strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return "holds a control character", "remove it"
	case !strings.HasPrefix(s, "/"):
		return fmt.Sprintf("%q is a relative path", s), "write it from the root: /…/" + strings.TrimPrefix(path.Clean("/"+strings.TrimPrefix(s, "~")), "/")
	case path.Clean(s) != s:
		return fmt.Sprintf("%q is not in its shortest form", s), "write " + path.Clean(s)
	}
	return "", ""
}

// checkRoot is checkPath that refuses folders a deployment must never manage: it deletes what it doesn't know.
func checkRoot(s string) (string, string) {
	if message, instead := checkPath(s); message != "" {
		return message, instead
	}
	system := []string{"/", "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib64", "/media", "/mnt", "/opt", "/proc", "/root",
		"/run", "/sbin", "/srv", "/sys", "/tmp", "/usr", "/usr/bin", "/usr/lib", "/usr/local", "/usr/share", "/var", "/var/lib", "/var/www"}
	if slices.Contains(system, s) {
		return s + " belongs to the system", "write a folder of mosparo's own, such as " + path.Join(s, "mosparo")
	}
	return "", ""
}

// checkLocalPath accepts a path on this machine: absolute, or below the home folder as ~/.
func checkLocalPath(s string) (string, string) {
	if rest, home := strings.CutPrefix(s, "~/"); home {
		s = "/" + rest
	}
	if !strings.HasPrefix(s, "/") {
		return fmt.Sprintf("%q is a relative path", s), "write an absolute path, or one that begins with ~/"
	}
	return checkPath(s)
}

// checkBelow accepts a path below a node's root.
func checkBelow(s string) (string, string) {
	switch {
	case s == "" || s == ".":
		return "names the whole installation", "write a folder below the root, such as var/data"
	case strings.HasPrefix(s, "/") || strings.HasPrefix(s, "~"):
		return fmt.Sprintf("%q is not below the root", s), "write it relative to the root, such as var/data"
	case s == ".." || strings.HasPrefix(path.Clean(s), "../"):
		return fmt.Sprintf("%q leads out of the root", s), "write a path without .."
	case path.Clean(s) != s:
		return fmt.Sprintf("%q is not in its shortest form", s), "write " + path.Clean(s)
	}
	return checkPath("/" + s)
}

// checkSynced is checkBelow that refuses what belongs to one node only.
func checkSynced(s string) (string, string) {
	for _, p := range []string{"var/cache", "var/log", "var/updates", "public/update-log"} {
		if s == p || strings.HasPrefix(s, p+"/") || s == "var" {
			return p + " belongs to each node and must not be synced", "remove it, or name the folders below var that nodes share"
		}
	}
	return checkBelow(s)
}

func checkURL(s string) (string, string) {
	const instead = "write it like http://127.0.0.1:8080"
	u, err := url.Parse(s)
	switch {
	case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "":
		return "is no http or https URL", instead
	case u.User != nil:
		return "a URL with a user", instead
	case u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		return "a URL with a query", instead
	case u.Port() != "" && !validPort(u.Port()):
		return "port " + u.Port() + " is out of range", "write a port from 1 to 65535"
	}
	return "", ""
}

func validPort(s string) bool {
	n, err := strconv.Atoi(s)
	return err == nil && n >= 1 && n <= 65535 && strconv.Itoa(n) == s
}

// checkHostPort accepts host or host:port.
func checkHostPort(s string) (string, string) {
	host := s
	if h, port, ok := cutPort(s); ok {
		if host = h; !validPort(port) {
			return "port " + port + " is out of range", "write a port from 1 to 65535"
		}
	}
	return checkHost(host)
}

// cutPort splits "host:port" and "[v6]:port"; ok is false if there is no port.
func cutPort(s string) (host, port string, ok bool) {
	if rest, bracket := strings.CutPrefix(s, "["); bracket {
		host, port, ok = strings.Cut(rest, "]:")
		if !ok {
			return strings.TrimSuffix(rest, "]"), "", false
		}
		return host, port, true
	}
	if strings.Count(s, ":") != 1 {
		return s, "", false
	}
	return strings.Cut(s, ":")
}

// checkJump accepts ProxyJump: user@host:port, several separated by commas, or "none".
func checkJump(s string) (string, string) {
	for hop := range strings.SplitSeq(s, ",") {
		if user, host, found := strings.Cut(hop, "@"); found {
			if message, _ := checkUser(user); message != "" {
				return message, "write user@host:port"
			}
			hop = host
		}
		if message, instead := checkHostPort(hop); message != "" {
			return message, instead
		}
	}
	return "", ""
}

// checkSocket accepts the place of HAProxy's runtime API.
func checkSocket(s string) (string, string) {
	if strings.HasPrefix(s, "/") {
		return checkPath(s)
	}
	host, port, ok := cutPort(s)
	if message, _ := checkHost(host); !ok || message != "" {
		return fmt.Sprintf("%q is no socket", s), "write the path of a unix socket, or host:port"
	}
	if !validPort(port) {
		return "port " + port + " is out of range", "write a port from 1 to 65535"
	}
	return "", ""
}

func checkZone(s string) (string, string) {
	if s == "" || s == "Local" {
		return "names no time zone", "write an IANA name, such as UTC or Europe/Zurich"
	}
	if _, err := time.LoadLocation(s); err != nil {
		return fmt.Sprintf("unknown time zone %q", s), "write an IANA name, such as UTC or Europe/Zurich"
	}
	return "", ""
}

// checkShare accepts a percentage or a count.
func checkShare(s string) (string, string) {
	if !sharePattern.MatchString(s) {
		return fmt.Sprintf("%q is no share", s), "write a percentage such as 10%, or a count"
	}
	return "", ""
}
