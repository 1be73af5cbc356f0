package httpapi

import "testing"

func TestAllowsOrigin(t *testing.T) {
	some := []string{"example.com", "*.wild.test", "*suffix.test", "0"}
	for _, x := range []struct {
		hosts  []string
		origin string
		want   bool
	}{
		{some, "https://example.com", true},
		{some, "http://example.com", true},
		{some, "example.com", true},
		{some, "https://example.com:8443", false},
		{some, "HTTPS://example.com", false},
		{some, "https://https://example.com", false},
		{some, "https://wild.test", true},
		{some, "https://a.b.wild.test", true},
		{some, "https://xwild.test", false},
		{some, "https://mysuffix.test", true},
		{[]string{"*"}, "null", true},
		{[]string{"*"}, "https://a", true},
		// PHP takes these for no host at all.
		{[]string{"*"}, "", false},
		{[]string{"*"}, "https://", false},
		{[]string{"*"}, "0", false},
		{some, "http://0", false},
	} {
		if got := allowsOrigin(x.hosts, x.origin); got != x.want {
			t.Errorf("%v, %q: %v", x.hosts, x.origin, got)
		}
	}
}
