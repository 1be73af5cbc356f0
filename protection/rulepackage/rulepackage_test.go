package rulepackage

import (
	"archive/zip"
	"bytes"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/crypt"
	"github.com/mosparoctl/mosparoctl/protection/sign"
	"github.com/mosparoctl/mosparoctl/protection/store"
)

const valid = `{"lastUpdatedAt":"2026-11-23T12:00:00+02:00","refreshInterval":3600,"rules":[{"name":"r","type":"word","uuid":"u1","spamRatingFactor":1.5,` +
	`"items":[{"uuid":"i1","type":"text","value":"Casino","rating":2},{"uuid":"i2","type":"text","value":"x","rating":0}]}]}`

func TestParse(t *testing.T) {
	c, err := Parse([]byte(valid), time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	r := c.Rules[0]
	if !c.UpdatedAt.Equal(time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)) || c.RefreshInterval != time.Hour || r.Factor.Value != 1.5 || len(r.Items) != 2 {
		t.Errorf("%+v", c)
	}
	if i := r.Items[0]; i.UUID != "i1" || i.Prepared != "%casino%" || i.Hashed == "" || i.Rating.Value != 2 {
		t.Errorf("%+v", i)
	}
	if r.Items[1].Rating != protection.NewFactor(0) {
		t.Error("a rating of 0 counts as absent")
	}
	if c, err = Parse([]byte(strings.Replace(valid, `,"rating":2`, "", 1)), time.UTC); err != nil || c.Rules[0].Items[0].Rating.Set {
		t.Errorf("without a rating: %+v, %v", c, err)
	}
}

func TestParseRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"text":             "hello",
		"empty":            "",
		"damaged archive":  "PK\x03\x04 and nothing more",
		"broken":           "{",
		"more members":     strings.Replace(valid, `"rules"`, `"x":1,"rules"`, 1),
		"more in a rule":   strings.Replace(valid, `"name"`, `"x":1,"name"`, 1),
		"no rules":         `{"lastUpdatedAt":"2026-11-23","refreshInterval":1,"rules":[]}`,
		"no items":         strings.Split(valid, `"items"`)[0] + `"items":[]}]}`,
		"interval a text":  strings.Replace(valid, "3600", `"3600"`, 1),
		"no date":          strings.Replace(valid, "2026-11-23T12:00:00+02:00", "soon", 1),
		"long type":        strings.Replace(valid, `"word"`, `"`+strings.Repeat("x", 31)+`"`, 1),
		"long uuid":        strings.Replace(valid, `"u1"`, `"`+strings.Repeat("x", 37)+`"`, 1),
		"long item type":   strings.Replace(valid, `"text"`, `"`+strings.Repeat("x", 51)+`"`, 1),
		"long name":        strings.Replace(valid, `"name":"r"`, `"name":"`+strings.Repeat("é", 256)+`"`, 1),
		"part of a second": strings.Replace(valid, "3600", "0.5", 1),
		"interval too big": strings.Replace(valid, "3600", "2147483648", 1),
		"status null":      strings.Replace(valid, `"name"`, `"status":null,"name"`, 1),
		"factor null":      strings.Replace(valid, `"spamRatingFactor":1.5`, `"spamRatingFactor":null`, 1),
		"rating null":      strings.Replace(valid, `"rating":2`, `"rating":null`, 1),
		"rating infinite":  strings.Replace(valid, `"rating":2`, `"rating":1e400`, 1),
		"rating a text":    strings.Replace(valid, `"rating":2`, `"rating":"2"`, 1),
		"items an object":  strings.Replace(strings.Replace(valid, `"items":[`, `"items":{"a":`, 1), `,{"uuid":"i2","type":"text","value":"x","rating":0}]`, `}`, 1),
		"status a number":  strings.Replace(valid, `"name"`, `"status":1,"name"`, 1),
	} {
		if _, err := Parse([]byte(text), time.UTC); !protection.Is(err, protection.CodeInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParseAccepts(t *testing.T) {
	replaced := func(old, with string) string { return strings.Replace(valid, old, with, 1) }
	for name, c := range map[string]struct {
		text     string
		interval time.Duration
		kind     protection.RuleType
		uuid     string
	}{
		"a fraction that is whole": {replaced("3600", "5.0"), 5 * time.Second, "word", "u1"},
		"an exponent":              {replaced("3600", "1e3"), 1000 * time.Second, "word", "u1"},
		"a negative interval":      {replaced("3600", "-1"), -time.Second, "word", "u1"},
		"an unknown type":          {replaced(`"word"`, `"words"`), time.Hour, "words", "u1"},
		"no uuid":                  {replaced(`"u1"`, `""`), time.Hour, "word", ""},
		"no uuid of an item":       {replaced(`"i1"`, `""`), time.Hour, "word", "u1"},
		"no name":                  {replaced(`"name":"r"`, `"name":""`), time.Hour, "word", "u1"},
		"no time":                  {replaced("2026-11-23T12:00:00+02:00", ""), time.Hour, "word", "u1"},
		"a date in words":          {replaced("2026-11-23T12:00:00+02:00", "1 January 2026"), time.Hour, "word", "u1"},
	} {
		got, err := Parse([]byte(c.text), time.UTC)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if got.RefreshInterval != c.interval || got.Rules[0].Type != c.kind || got.Rules[0].UUID != c.uuid {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func archived(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, text := range files {
		w, err := z.Create(name)
		if err == nil {
			_, err = w.Write([]byte(text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestParseArchive(t *testing.T) {
	files := map[string]string{
		"rule-package.json": `{"lastUpdatedAt":"2026-11-23T12:00:00Z","refreshInterval":60,"rFiles":["r.json"],"riFiles":["i1.json","i2.json"]}`,
		"r.json":            `[{"name":"r","type":"word","uuid":"u1"}]`,
		"i1.json":           `[{"ruleUuid":"u1","uuid":"i1","type":"text","value":"a","rating":1},{"ruleUuid":"nobody","uuid":"i3","type":"text","value":"c","rating":1}]`,
		"i2.json":           `[{"ruleUuid":"u1","uuid":"i2","type":"text","value":"b","rating":1}]`,
	}
	c, err := Parse(archived(t, files), time.UTC)
	if err != nil || len(c.Rules) != 1 || len(c.Rules[0].Items) != 2 {
		t.Fatalf("%+v, %v", c, err)
	}
	files["i2.json"] = `[{"ruleUuid":"u1","uuid":"i2","type":"text","value":"b"}]`
	if _, err := Parse(archived(t, files), time.UTC); !protection.Is(err, protection.CodeInvalid) {
		t.Errorf("a rating is missing: %v", err)
	}
	delete(files, "i2.json")
	if _, err := Parse(archived(t, files), time.UTC); !protection.Is(err, protection.CodeInvalid) {
		t.Errorf("a file is missing: %v", err)
	}
}

// TestHostileContent has texts that are small as they come and large once they are read.
func TestHostileContent(t *testing.T) {
	zeros := `{"lastUpdatedAt":"2026-11-23","refreshInterval":1,"rules":[` + strings.Repeat("0,", maxMembers) + `0]}`
	_, err := Parse([]byte(zeros), time.UTC)
	if err == nil || !strings.Contains(err.Error(), "members") {
		t.Errorf("a long list: %v", err)
	}
	zipped := archived(t, map[string]string{"rule-package.json": `{"lastUpdatedAt":"2026-11-23","refreshInterval":1,"rFiles":["r.json"],"riFiles":["r.json"]}`, "r.json": "[" + strings.Repeat("[],", maxMembers/2) + "0]"})
	if _, err := Parse(zipped, time.UTC); err == nil || !strings.Contains(err.Error(), "members") {
		t.Errorf("a long list in an archive of %d bytes: %v", len(zipped), err)
	}
	if _, err := Parse([]byte(strings.Repeat("[", 1<<20)), time.UTC); !protection.Is(err, protection.CodeInvalid) {
		t.Errorf("deep nesting: %v", err)
	}
	for _, name := range []string{"../r.json", "/etc/passwd", "", "dir/", "rule-package.json"} {
		files := map[string]string{"rule-package.json": `{"lastUpdatedAt":"2026-11-23","refreshInterval":1,"rFiles":["` + name + `"],"riFiles":["` + name + `"]}`}
		if _, err := Parse(archived(t, files), time.UTC); !protection.Is(err, protection.CodeInvalid) {
			t.Errorf("file %q of an archive: %v", name, err)
		}
	}
}

func TestParseTime(t *testing.T) {
	zone := time.FixedZone("", 3600)
	for text, want := range map[string]int64{"2026-11-23T12:00:00Z": 1795435200, "2026-11-23T12:00:00.25+02:00": 1795428000, "2026-11-23T12:00:00+0200": 1795428000, "2026-11-23T12:00Z": 1795435200,
		"2026-11-23 12:00:00+02:00": 1795428000, "2026-11-23 12:00:00 +02:00": 1795428000, "2026-11-23 12:00:00 -0100": 1795438800, "2026-11-23 12:00:00": 1795431600, "2026-11-23 12:00": 1795431600,
		"2026-11-23": 1795388400, "Mon, 23 Nov 2026 12:00:00 +0200": 1795428000} {
		if got, ok := ParseTime(text, zone); !ok || got.Unix() != want {
			t.Errorf("%q: %v %v", text, got, ok)
		}
	}
	for _, text := range []string{"soon", "2026-13-01", "0000-01-01"} {
		if got, ok := ParseTime(text, zone); ok {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestRefresh(t *testing.T) {
	key, _ := crypt.GenerateKey()
	s, err := store.Open(t.Context(), store.Options{Path: filepath.Join(t.TempDir(), "x.sqlite"), Key: key})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	project := &protection.Project{UUID: protection.NewUUID(), Name: "p", PublicKey: sign.NewToken(), PrivateKey: sign.NewToken(), StatisticStorageLimit: protection.Forever}
	if err := s.CreateProject(t.Context(), project); err != nil {
		t.Fatal(err)
	}
	content, hash, asked := valid, Hash([]byte(valid))+"  rules.json\n", ""
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.Header.Get("X-mosparo-project-uuid")
		switch r.URL.Path {
		case "/rules.json":
			_, _ = w.Write([]byte(content))
		case "/rules.json.sha256":
			_, _ = w.Write([]byte(hash))
		case "/moved":
			http.Redirect(w, r, "/rules.json", http.StatusFound)
		}
	}))
	defer web.Close()
	add := func(kind protection.PackageType, source string) *protection.RulePackage {
		p := &protection.RulePackage{ProjectID: project.ID, UUID: protection.NewUUID(), Name: source, Source: source, Type: kind, Active: true}
		if err := s.SavePackage(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		return p
	}
	f := &Fetcher{allowLoopback: true}
	p := add(protection.PackageURL, web.URL+"/rules.json")
	for i, want := range []Outcome{Imported, TooSoon} {
		if got, err := f.Refresh(t.Context(), s, project, p, false); got != want || err != nil {
			t.Errorf("refresh %d: %s, %v, want %s", i+1, got, err, want)
		}
	}
	if got, err := f.Refresh(t.Context(), s, project, p, true); got != UpToDate || err != nil {
		t.Errorf("forced: %s, %v", got, err)
	}
	if asked != project.UUID {
		t.Errorf("the source was told %q", asked)
	}
	set, err := s.LoadRules(t.Context(), project.ID)
	if err != nil || len(set.Packages) != 1 || len(set.Packages[0].Rules) != 1 || len(set.Packages[0].Rules[0].Items) != 2 {
		t.Errorf("imported: %+v, %v", set, err)
	}
	if _, err := f.Refresh(t.Context(), s, project, add(protection.PackageURL, web.URL+"/moved"), false); err == nil {
		t.Error("a redirect was followed")
	}
	hash = Hash([]byte("other"))
	if _, err := f.Refresh(t.Context(), s, project, p, true); !protection.Is(err, protection.CodeInvalid) {
		t.Errorf("a wrong hash: %v", err)
	}
	if _, err := (&Fetcher{AllowPrivate: true}).Refresh(t.Context(), s, project, p, true); !protection.Is(err, protection.CodeUnavailable) {
		t.Errorf("this machine was asked: %v", err)
	}
	file := filepath.Join(t.TempDir(), "rules.json")
	for name, text := range map[string]string{file: content, file + ".sha256": Hash([]byte(content))} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := f.Refresh(t.Context(), s, project, add(protection.PackageFile, file), false); got != Imported || err != nil {
		t.Errorf("from a file: %s, %v", got, err)
	}
	if got, err := f.Refresh(t.Context(), s, project, add(protection.PackageAPI, ""), false); got != Manual || err != nil {
		t.Errorf("by API: %s, %v", got, err)
	}
}

func TestAllowed(t *testing.T) {
	for address, want := range map[string][2]bool{"127.0.0.1": {false, false}, "::1": {false, false}, "0.0.0.0": {false, false}, "10.1.2.3": {false, true},
		"192.168.0.1": {false, true}, "169.254.169.254": {false, true}, "100.64.0.1": {false, true}, "fd00::1": {false, true}, "fe80::1": {false, true},
		"0.1.2.3": {false, false}, "240.0.0.1": {false, true}, "::ffff:10.0.0.1": {false, true},
		"64:ff9b::7f00:1": {false, false}, "64:ff9b::a00:1": {false, true}, "64:ff9b::5db8:d822": {true, true}, "2002:a00:1::1": {false, true}, "2002:7f00:1::": {false, false},
		"93.184.216.34": {true, true}, "2606:4700::1": {true, true}, "224.0.0.1": {false, false}} {
		for i, f := range []*Fetcher{{}, {AllowPrivate: true}} {
			if got := f.allowed(netip.MustParseAddr(address)) == nil; got != want[i] {
				t.Errorf("%s, private %v: %v", address, f.AllowPrivate, got)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(valid))
	f.Add([]byte("PK\x03\x04"))
	f.Fuzz(func(_ *testing.T, content []byte) { _, _ = Parse(content, time.UTC) })
}
