package iprange_test

import (
	"net/netip"
	"testing"

	"github.com/mosparoctl/mosparoctl/protection/iprange"
)

// What mosparo's library takes, asked of it.
func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"10.0.0.0/8":        "10.0.0.0/8",
		"10.0.0.7/8":        "10.0.0.7/8",
		"10.0.0.0/08":       "10.0.0.0/8",
		"010.000.0.001/008": "10.0.0.1/8",
		"10.0.0.1":          "10.0.0.1/32",
		"192.168.001.010":   "192.168.1.10/32",
		"2001:DB8::/032":    "2001:db8::/32",
		"::1":               "::1/128",
		"0.0.0.0/00":        "0.0.0.0/0",
	} {
		if got, ok := iprange.Parse(text); !ok || got != netip.MustParsePrefix(want) {
			t.Errorf("%q: %v %v, want %s", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "/", "/8", "a/b", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/ 8", " 10.0.0.0/8", "10.0.0.0/8 ", "10.0.0/8",
		"10/8", "10.0.0.0/255.0.0.0", "10.0.0.0/8/8", "10.0.0.*/8", "[2001:db8::]/32", "fe80::1%1/10", "fe80::1%1", "2001:db8/32"} {
		if got, ok := iprange.Parse(text); ok {
			t.Errorf("%q: %v", text, got)
		}
	}
}
