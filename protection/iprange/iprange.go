// Package iprange reads ranges of addresses as mosparo's library for them does.
package iprange

import (
	"net/netip"
	"strings"
)

// Parse reads an address with or without a prefix length; host bits may be set, and decimal numbers may begin with zeros.
// A bare address is a range of one.
func Parse(text string) (netip.Prefix, bool) {
	text = withoutLeadingZeros(text)
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		return netip.PrefixFrom(addr, addr.BitLen()), true
	}
	prefix, err := netip.ParsePrefix(text)
	return prefix, err == nil
}

// withoutLeadingZeros drops those of the octets of an IPv4 address and of a prefix length.
func withoutLeadingZeros(text string) string {
	var out strings.Builder
	begins := true // whether a number begins here
	for i := range len(text) {
		c := text[i]
		if begins && c == '0' && i+1 < len(text) && '0' <= text[i+1] && text[i+1] <= '9' {
			continue
		}
		begins = c == '.' || c == '/'
		out.WriteByte(c)
	}
	return out.String()
}
