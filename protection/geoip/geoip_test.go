package geoip_test

import (
	"bytes"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/geoip"
	"github.com/mosparoctl/mosparoctl/protection/geoip/geoiptest"
)

func lookup(t *testing.T, r *geoip.Reader, ip string) protection.Localization {
	t.Helper()
	l, err := r.Lookup(ip)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestLookup(t *testing.T) {
	asn, country := filepath.Join(t.TempDir(), "asn.mmdb"), filepath.Join(t.TempDir(), "country.mmdb")
	geoiptest.WriteASN(t, asn, map[string]uint32{"203.0.113.0/24": 64500, "2001:db8::/32": 64501})
	geoiptest.WriteCountry(t, country, map[string]string{"203.0.113.8/31": "DE", "2001:db8:1::/48": "CH"})
	r := geoip.New([]string{asn}, []string{country})
	if r.Active() {
		t.Error("active before anything was read")
	}
	if changed, err := r.Reload(); !changed || err != nil || !r.Active() {
		t.Fatal(changed, err)
	}
	for ip, want := range map[string]protection.Localization{
		"203.0.113.9":   {ASNumber: 64500, ASOrganization: "AS64500", Country: "DE"},
		"203.0.113.10":  {ASNumber: 64500, ASOrganization: "AS64500"},
		"198.51.100.1":  {},
		"2001:db8:1::7": {ASNumber: 64501, ASOrganization: "AS64501", Country: "CH"},
		"fe80::1%eth0":  {},
		"nonsense":      {},
	} {
		if got := lookup(t, r, ip); got != want {
			t.Errorf("%s: %+v, want %+v", ip, got, want)
		}
	}
	if changed, err := r.Reload(); changed || err != nil {
		t.Error("reloaded an unchanged file", err)
	}
}

// TestDamaged has a file whose records cannot be read; what the other one says counts all the same.
func TestDamaged(t *testing.T) {
	asn, country := filepath.Join(t.TempDir(), "asn.mmdb"), filepath.Join(t.TempDir(), "country.mmdb")
	geoiptest.WriteASN(t, asn, map[string]uint32{"203.0.113.0/24": 64500})
	geoiptest.WriteCountry(t, country, map[string]string{"203.0.113.0/24": "DE"})
	data, err := os.ReadFile(asn)
	if err != nil {
		t.Fatal(err)
	}
	if at := bytes.Index(data, []byte("AS64500")); at > 0 {
		data[at-1] = 0xe1 // no text any more, but a map
	}
	if err := os.WriteFile(asn, data, 0o600); err != nil {
		t.Fatal(err)
	}
	r := geoip.New([]string{asn}, []string{country})
	if _, err := r.Reload(); err != nil {
		t.Fatal(err)
	}
	if l, err := r.Lookup("203.0.113.9"); err == nil || l.Country != "DE" {
		t.Errorf("%+v, %v", l, err)
	}
}

func TestReload(t *testing.T) {
	path := filepath.Join(t.TempDir(), "country.mmdb")
	r := geoip.New(nil, []string{path})
	if _, err := r.Reload(); err == nil || r.Active() {
		t.Error("a missing file is no error")
	}
	geoiptest.WriteCountry(t, path, map[string]string{"10.0.0.0/8": "DE"})
	if changed, err := r.Reload(); !changed || err != nil {
		t.Fatal(changed, err)
	}
	var group sync.WaitGroup
	stop := make(chan struct{})
	group.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				if l := lookup(t, r, "10.1.1.1"); l.Country != "DE" && l.Country != "CH" {
					t.Errorf("%+v while the file is replaced", l)
					return
				}
			}
		}
	})
	// The same size, and perhaps the same time: the file is another one all the same.
	geoiptest.WriteCountry(t, path, map[string]string{"10.0.0.0/8": "CH"})
	if changed, err := r.Reload(); !changed || err != nil {
		t.Error(changed, err)
	}
	close(stop)
	group.Wait()
	if got := lookup(t, r, "10.1.1.1").Country; got != "CH" {
		t.Error(got)
	}
	if err := os.WriteFile(path, []byte("no database"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Reload(); err == nil {
		t.Error("a broken file is no error")
	}
	if got := lookup(t, r, "10.1.1.1").Country; got != "CH" {
		t.Errorf("%q after a broken file", got)
	}
}
