package inventory

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
)

var secretName = regexp.MustCompile(`(?i)PASS|SECRET|KEY|TOKEN|DSN|URL|AUTH|CREDENTIAL`)

// PlainSecrets are the secrets that stand in the inventory in plain text, and the passwords within URLs among them, longest
// first. They are for a redactor: a Secret hides itself, but a server or a command may repeat what it was given.
func (d *Deployment) PlainSecrets() []string {
	var found []string
	add := func(s string) {
		if s == "" || NewSecret(s).isRef() {
			return
		}
		found = append(found, s)
		found = append(found, urlPasswords(s)...)
	}
	add(d.Cache.URL.ref())
	add(d.Database.Password.ref())
	for _, n := range d.Nodes {
		add(n.Cache.URL.ref())
		for name, v := range n.Env {
			if secretName.MatchString(name) && NewSecret(maskEnv(name, v)).ref() == secretMask {
				add(v)
			}
		}
	}
	slices.SortFunc(found, func(a, b string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return strings.Compare(a, b)
	})
	return slices.Compact(found)
}

// urlPasswords are the password of a URL as it is written and as it is meant, and those in its options.
func urlPasswords(s string) (found []string) {
	_, rest, ok := strings.Cut(s, ":")
	if !ok || !strings.HasPrefix(rest, "//") && !strings.HasPrefix(rest, "?") {
		return nil // no URL
	}
	rest, query, _ := strings.Cut(strings.TrimPrefix(rest, "//"), "?")
	for option := range strings.SplitSeq(query, "&") {
		if name, value, _ := strings.Cut(option, "="); secretName.MatchString(name) {
			found = append(found, value)
		}
	}
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		user, password, both := strings.Cut(rest[:at], ":")
		if !both {
			password = user
		}
		found = append(found, password)
	}
	for _, p := range found {
		if meant, err := url.PathUnescape(p); err == nil && meant != p {
			found = append(found, meant)
		}
	}
	return slices.DeleteFunc(found, func(p string) bool { return p == "" })
}
