package security

import (
	"net/netip"
	"strings"

	"github.com/mosparoctl/mosparoctl/protection/iprange"
	"github.com/mosparoctl/mosparoctl/protection/php"
)

// Listed reports whether an address is on a list of addresses and CIDR ranges, separated by commas or line ends. Entries
// are not trimmed; a single address is compared as text.
func Listed(list, ip string) bool {
	entries := strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == '\n' || r == '\r' })
	for _, e := range entries {
		if e == ip || inRange(e, ip) {
			return true
		}
	}
	return false
}

// inRange reports whether text is a CIDR range of the same family that contains the address. Host bits may be set; a
// range without a length is none.
func inRange(text, ip string) bool {
	prefix, ok := iprange.Parse(text)
	if !ok || !strings.Contains(text, "/") {
		return false
	}
	addr, err := netip.ParseAddr(ip)
	return err == nil && prefix.Contains(addr)
}

// Proxies are the peers whose X-Forwarded headers are believed.
type Proxies struct {
	prefixes []netip.Prefix
	peer     bool // REMOTE_ADDR: whoever connects
}

// ParseProxies reads TRUSTED_PROXIES or the instance setting of the same purpose: addresses, CIDR ranges and REMOTE_ADDR,
// separated by commas. What it can't read it returns, and trusts nobody for it.
func ParseProxies(list string) (p Proxies, unknown []string) {
	for entry := range strings.SplitSeq(list, ",") {
		entry = php.Trim(entry)
		switch entry {
		case "":
		case "REMOTE_ADDR":
			p.peer = true
		default:
			prefix, ok := parseRange(entry)
			if !ok {
				unknown = append(unknown, entry)
				continue
			}
			p.prefixes = append(p.prefixes, prefix)
		}
	}
	return p, unknown
}

func parseRange(entry string) (netip.Prefix, bool) {
	if addr, err := netip.ParseAddr(entry); err == nil && addr.Zone() == "" {
		return netip.PrefixFrom(addr, addr.BitLen()), true
	}
	prefix, err := netip.ParsePrefix(entry)
	return prefix, err == nil
}

// Trusts reports whether the headers of a request from this peer are believed.
func (p Proxies) Trusts(peer string) bool { return p.peer || p.contains(peer) }

func (p Proxies) contains(ip string) bool {
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return false
	}
	for _, prefix := range p.prefixes {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// ClientIP is the address of the visitor, as text exactly as it was sent: the last one in X-Forwarded-For and the peer
// that is no trusted proxy, or the first trusted one if there is no other. Without trust in the peer it is the peer.
func (p Proxies) ClientIP(peer, forwardedFor string) string {
	if !p.Trusts(peer) {
		return peer
	}
	client, firstTrusted := "", ""
	// The peer itself would be the last of the list, and is trusted.
	for entry := range strings.SplitSeq(forwardedFor, ",") {
		ip := withoutPort(php.Trim(entry))
		if addr, err := netip.ParseAddr(ip); err != nil || addr.Zone() != "" {
			continue
		}
		if p.contains(ip) || p.peer && ip == peer {
			if firstTrusted == "" {
				firstTrusted = ip
			}
			continue
		}
		client = ip
	}
	switch {
	case client != "":
		return client
	case firstTrusted != "":
		return firstTrusted
	}
	return peer
}

// withoutPort strips :port from an IPv4 address and brackets with what follows from an IPv6 address.
func withoutPort(entry string) string {
	if strings.Contains(entry, ".") {
		if i := strings.IndexByte(entry, ':'); i > 0 {
			return entry[:i]
		}
		return entry
	}
	if rest, ok := strings.CutPrefix(entry, "["); ok {
		ip, _, _ := strings.Cut(rest, "]")
		return ip
	}
	return entry
}
