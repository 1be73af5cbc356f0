package httpapi_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/php"
	"github.com/mosparoctl/mosparoctl/protection/server"
)

const storePath = "/api/v1/frontend/store-form-data"

// stored is a group of the data of the token's submission, or else of what was collected for it.
func (a *api) stored(token, group string) string {
	a.t.Helper()
	_, sub, err := a.server.Store().TokenAndSubmission(a.t.Context(), a.project.ID, token)
	if err != nil {
		a.t.Fatal(err)
	}
	data := php.Null
	if sub != nil {
		data = sub.Data
	} else if _, partial, err := a.server.Store().TokenAndPartial(a.t.Context(), a.project.ID, token); err != nil {
		a.t.Fatal(err)
	} else if partial != nil {
		data = partial.Data
	}
	text, err := php.EncodeJSON(data.Get(group), php.Default)
	if err != nil {
		a.t.Fatal(err)
	}
	return text
}

// TestOddFields has forms that no browser sends, with what mosparo answers and keeps. Where it keeps a field without a name, the
// field has an empty one here.
func TestOddFields(t *testing.T) {
	a := start(t, nil)
	for fields, want := range map[string]string{
		`[null,5,true,1.5]`:                            `[{"name":""},{"name":""},{"name":""},{"name":""}]`,
		`[[],{"value":"x"}]`:                           `[{"name":""},{"value":"x","name":""}]`,
		`[{"name":"a","value":"x","fieldPath":["b"]}]`: `[{"name":"a","value":"x","fieldPath":["b"]}]`,
		`[{"name":1.5,"value":"x"},{"name":true}]`:     `[{"name":1.5,"value":"x"},{"name":true}]`,
		`{"k":{"name":"a"}}`:                           `{"k":{"name":"a"}}`,
		`[{"name":["a"],"type":"honeypot"}]`:           `[{"name":"","type":"honeypot"}]`,
		`["a"]`:                                        "",
		`[{"name":["a"]}]`:                             "",
		`[{"name":"a","value":[["x"]]}]`:               "",
		`5`:                                            "",
		`null`:                                         "",
	} {
		token, validation := a.submit(`{"fields":` + fields + `,"ignoredFields":[]}`)
		if got := a.stored(token, protection.GroupForm); (validation == "") != (want == "") || want != "" && got != want {
			t.Errorf("%s: %q, %s", fields, validation, got)
		}
	}
}

// TestIgnoredFields has names with keys, which are kept as they are until they are joined with others.
func TestIgnoredFields(t *testing.T) {
	a := start(t, nil)
	for _, partial := range []bool{false, true} {
		token, _ := a.form(tokenPath, url.Values{"pageTitle": {"x"}, "pageUrl": {"y"}})["submitToken"].(string)
		form := url.Values{"submitToken": {token}, "formData": {`{"fields":[],"ignoredFields":{"5":"a"}}`}}
		want := `{"5":"a"}`
		if partial {
			a.form(storePath, form)
			want = `["a","a"]`
		}
		a.form(checkPath, form)
		_, sub, err := a.server.Store().TokenAndSubmission(t.Context(), a.project.ID, token)
		if err != nil || sub == nil {
			t.Fatal(sub, err)
		}
		if got, err := php.EncodeJSON(sub.IgnoredFields, php.Default); err != nil || got != want {
			t.Errorf("collected before: %v: %s, %v", partial, got, err)
		}
	}
}

// TestOddMetadata has metadata that are no object: they are kept with the form all the same.
func TestOddMetadata(t *testing.T) {
	a := start(t, func(_ *server.Options, p *protection.Project) { p.MetadataAllowed = true })
	for metadata, want := range map[string]string{"null": "null", "[]": "[]", "5": "5", "{": "null", `{"a":1}`: `{"a":1}`} {
		token, _ := a.form(tokenPath, url.Values{"pageTitle": {"x"}, "pageUrl": {"y"}})["submitToken"].(string)
		a.form(storePath, url.Values{"submitToken": {token}, "formData": {`{"fields":[5]}`}, "metadata": {metadata}})
		if got := a.stored(token, protection.GroupMetadata); got != want {
			t.Errorf("%s: collected %s", metadata, got)
		}
		if got := a.stored(token, protection.GroupForm); got != "[5]" {
			t.Errorf("collected %s", got)
		}
		a.form(checkPath, url.Values{"submitToken": {token}, "formData": {oneField}, "metadata": {`{"b":2}`}})
		if want == `{"a":1}` {
			want = `{"a":1,"b":2}`
		}
		if want == "null" || want == "[]" {
			want = `{"b":2}`
		}
		if got := a.stored(token, protection.GroupMetadata); got != want {
			t.Errorf("%s: submitted %s", metadata, got)
		}
	}
}

// TestMethodOverride sends requests that name another method than their own.
func TestMethodOverride(t *testing.T) {
	a := start(t, nil)
	for _, c := range []struct {
		method, override, path string
		want                   int
	}{
		{"POST", "FOO", tokenPath, 200},
		{"POST", "head", tokenPath, 200},
		{"POST", "GET", tokenPath + "/", 301},
		{"POST", "GET", "/api/v1/rule-package/import", 405},
		{"POST", "GET", "/api/v1/health/check", 200},
		{"POST", "0", tokenPath, 400},
		{"POST", "", tokenPath, 400},
		{"POST", "G T", tokenPath, 400},
		{"PUT", "POST", "/api/v1/rule-package/import", 405},
	} {
		res, text := a.do(c.method, c.path, url.Values{"publicKey": {a.project.PublicKey}, "pageTitle": {""}, "pageUrl": {""}}.Encode(),
			"Content-Type", "application/x-www-form-urlencoded", "X-HTTP-Method-Override", c.override)
		if res.StatusCode != c.want || (text == "") != (c.override == "head") {
			t.Errorf("%s as %q %s: %s %q", c.method, c.override, c.path, res.Status, text)
		}
	}
	if res, _ := a.do(http.MethodGet, "/cron-jobs/execute/?key=x", ""); res.StatusCode != http.StatusMovedPermanently || res.Header.Get("Location") != a.base+"/cron-jobs/execute?key=x" {
		t.Errorf("slash: %s to %s", res.Status, res.Header.Get("Location"))
	}
}
