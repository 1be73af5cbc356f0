package server

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/config"
	"github.com/mosparoctl/mosparoctl/protection/geoip/geoiptest"
	"github.com/mosparoctl/mosparoctl/protection/php"
	"github.com/mosparoctl/mosparoctl/protection/store"
)

// withGeoIP is a server whose configuration has GeoIP switched on. place is where its files are, beside the folder of the
// configuration or, standing alone, in the data folder.
func withGeoIP(t *testing.T, alone bool, place func(dir string) (asn, country string)) (*Server, *bytes.Buffer) {
	t.Helper()
	root := t.TempDir()
	dir := filepath.Join(root, "config")
	file, err := Standalone(dir)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, bytes.Replace(text, []byte("return array (\n"), []byte("return array (\n  'geoipActive' => true,\n"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(config.Files{Config: file}, noEnvironment)
	if err != nil {
		t.Fatal(err)
	}
	o, data := FromConfig(c, "", ""), filepath.Join(root, "var", "data")
	if alone {
		o, data = FromConfig(c, dir, ""), dir
	}
	asn, country := place(filepath.Join(data, "geoip2"))
	for _, path := range []string{asn, country} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	geoiptest.WriteASN(t, asn, map[string]uint32{"127.0.0.0/8": 64500})
	geoiptest.WriteCountry(t, country, map[string]string{"127.0.0.0/8": "CH"})
	var log bytes.Buffer
	o.Listen, o.Log = "127.0.0.1:0", slog.New(slog.NewTextHandler(&log, nil))
	return open(t, o), &log
}

// checkForm takes a token and checks a form, and gives what is stored about the visitor.
func checkForm(t *testing.T, s *Server, p *protection.Project) string {
	t.Helper()
	post := func(path string, v url.Values) map[string]any {
		v.Set("publicKey", p.PublicKey)
		res, err := http.PostForm("http://"+s.Addr()+"/api/v1/frontend/"+path, v)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var reply map[string]any
		if err := json.NewDecoder(res.Body).Decode(&reply); err != nil {
			t.Fatal(err)
		}
		return reply
	}
	token, _ := post("request-submit-token", url.Values{"pageTitle": {"x"}, "pageUrl": {"/"}})["submitToken"].(string)
	reply := post("check-form-data", url.Values{"submitToken": {token}, "formData": {`{"fields":[{"name":"a","value":"b","fieldPath":"input[text].a"}],"ignoredFields":[]}`}})
	list, err := s.Store().Submissions(t.Context(), p.ID, store.SubmissionFilter{})
	if err != nil || len(list) == 0 {
		t.Fatal(reply, err)
	}
	text, err := php.EncodeJSON(list[0].Data.Get(protection.GroupClient), php.Default)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestGeoIPFiles has the files where mosparo and where geoipupdate put them.
func TestGeoIPFiles(t *testing.T) {
	mosparo := func(dir string) (asn, country string) {
		return filepath.Join(dir, "GeoLite2-ASN", "GeoLite2-ASN.mmdb"), filepath.Join(dir, "GeoLite2-Country", "GeoLite2-Country.mmdb")
	}
	geoipupdate := func(dir string) (asn, country string) {
		return filepath.Join(dir, "GeoLite2-ASN.mmdb"), filepath.Join(dir, "GeoLite2-Country.mmdb")
	}
	for name, c := range map[string]struct {
		alone bool
		place func(string) (asn, country string)
	}{"beside the configuration": {false, mosparo}, "geoipupdate": {true, geoipupdate}, "copied from mosparo": {true, mosparo}} {
		t.Run(name, func(t *testing.T) {
			s, _ := withGeoIP(t, c.alone, c.place)
			if got := checkForm(t, s, newProject(t, s)); !strings.Contains(got, `"value":64500`) || !strings.Contains(got, `"value":"CH"`) {
				t.Error(got)
			}
		})
	}
}

// TestDamagedGeoIPFile is told once, and without the addresses of visitors.
func TestDamagedGeoIPFile(t *testing.T) {
	var asn string
	s, log := withGeoIP(t, true, func(dir string) (string, string) {
		asn = filepath.Join(dir, "GeoLite2-ASN.mmdb")
		return asn, filepath.Join(dir, "GeoLite2-Country.mmdb")
	})
	p := newProject(t, s)
	data, err := os.ReadFile(asn)
	if err != nil {
		t.Fatal(err)
	}
	// A string becomes a pointer beyond the end.
	at := bytes.Index(data, []byte("AS64500"))
	data[at-1], data[at], data[at+1], data[at+2], data[at+3] = 0x38, 0xff, 0xff, 0xff, 0xff
	if err := os.WriteFile(asn+".new", data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(asn+".new", asn); err != nil {
		t.Fatal(err)
	}
	s.reloadGeoIP(s.geo)
	for range 3 {
		if got := checkForm(t, s, p); !strings.Contains(got, `"value":"CH"`) {
			t.Error(got)
		}
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if text := log.String(); strings.Count(text, "GeoIP data are damaged") != 1 || strings.Contains(text, "look up 127.") {
		t.Error(text)
	}
}
