package httpapi_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/cache"
	"github.com/mosparoctl/mosparoctl/protection/cleanup"
	"github.com/mosparoctl/mosparoctl/protection/crypt"
	"github.com/mosparoctl/mosparoctl/protection/php"
	"github.com/mosparoctl/mosparoctl/protection/server"
	"github.com/mosparoctl/mosparoctl/protection/sign"
	"github.com/mosparoctl/mosparoctl/protection/store"
)

// api is a server on SQLite with one project.
type api struct {
	t       testing.TB
	base    string
	server  *server.Server
	project *protection.Project
}

func start(t testing.TB, change func(*server.Options, *protection.Project)) *api {
	t.Helper()
	key, _ := crypt.GenerateKey()
	o := server.Options{Listen: "127.0.0.1:0", Store: store.Options{Path: filepath.Join(t.TempDir(), "a.sqlite"), Key: key}, Cache: cache.Options{Adapter: "memory"},
		Settings: server.Settings{TrustedProxies: "127.0.0.1", HealthAllow: "127.0.0.1", Cleanup: cleanup.Defaults(), ShareStyles: true}}
	p := &protection.Project{UUID: protection.NewUUID(), Name: "T", Hosts: []string{"*"}, PublicKey: "pubkey", PrivateKey: "privkey", Active: true, SpamScore: 5,
		StatisticStorageLimit: protection.Forever, MetadataAllowed: true, MetadataReturned: true, APIDebugMode: true, Settings: protection.Settings{}}
	if change != nil {
		change(&o, p)
	}
	s, err := server.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if err := s.Store().CreateProject(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	return &api{t: t, base: "http://" + s.Addr(), server: s, project: p}
}

// do sends a request; headers come in pairs.
func (a *api) do(method, path, body string, headers ...string) (*http.Response, string) {
	a.t.Helper()
	req, err := http.NewRequestWithContext(a.t.Context(), method, a.base+path, strings.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	req.Header.Set("Accept", "application/json")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(req)
	if err != nil {
		a.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	return res, string(text)
}

func (a *api) form(path string, values url.Values, headers ...string) map[string]any {
	a.t.Helper()
	values.Set("publicKey", a.project.PublicKey)
	res, text := a.do("POST", path, values.Encode(), append([]string{"Content-Type", "application/x-www-form-urlencoded"}, headers...)...)
	var reply map[string]any
	if err := json.Unmarshal([]byte(text), &reply); err != nil {
		a.t.Fatalf("%s: %s: %s", path, res.Status, text)
	}
	return reply
}

// signed sends a signed backend request. data is what is signed: query and body together.
func (a *api) signed(method, path, query string, body, data php.Value) (*http.Response, string) {
	a.t.Helper()
	signature, err := sign.Request(a.project.PrivateKey, path, data)
	if err != nil {
		a.t.Fatal(err)
	}
	text := ""
	if !body.IsNull() {
		if text, err = php.EncodeJSON(body, php.Default); err != nil {
			a.t.Fatal(err)
		}
	}
	return a.do(method, path+query, text, "Content-Type", "application/json",
		"Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(a.project.PublicKey+":"+signature)))
}

func (a *api) post(path string, data php.Value) string {
	a.t.Helper()
	_, text := a.signed("POST", path, "", data, data)
	return text
}

// submit takes a token and checks a form.
func (a *api) submit(fields string, headers ...string) (token, validation string) {
	a.t.Helper()
	t := a.form("/api/v1/frontend/request-submit-token", url.Values{"pageTitle": {"x"}, "pageUrl": {"https://example.org/"}}, headers...)
	token, _ = t["submitToken"].(string)
	c := a.form("/api/v1/frontend/check-form-data", url.Values{"submitToken": {token}, "formData": {fields}}, headers...)
	validation, _ = c["validationToken"].(string)
	return token, validation
}

const oneField = `{"fields":[{"name":"a","value":"b","fieldPath":"input[text].a"}],"ignoredFields":[]}`

func obj(pairs ...any) php.Value {
	a := php.NewArray()
	for i := 0; i < len(pairs); i += 2 {
		v, ok := pairs[i+1].(php.Value)
		if !ok {
			v = php.String(pairs[i+1].(string))
		}
		a.SetString(pairs[i].(string), v)
	}
	return php.ArrayOf(a)
}

func TestAuthorization(t *testing.T) {
	a := start(t, nil)
	const path = "/api/v1/statistic/by-date"
	basic := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	good := "pubkey:" + sign.HMAC("privkey", path+"{}")
	for _, c := range []struct {
		header, want string
		status       int
	}{
		{"", `{"error":true,"errorMessage":"No authorization header found."}`, 400},
		{"0", `{"error":true,"errorMessage":"No authorization header found."}`, 400},
		{"Basic " + basic(good), `{"result":true,`, 200},
		{basic(good), `{"result":true,`, 200},
		{"Bearer " + basic(good), `{"error":true,"errorMessage":"Authorization header invalid.","0":401}`, 200},
		{"Basic " + basic("a:b:c"), `{"error":true,"errorMessage":"Authorization header invalid.","0":401}`, 200},
		{"Basic " + basic("nobody:x"), `{"error":true,"errorMessage":"No project available for the sent public key."}`, 403},
		{"Basic " + basic("PUBKEY:x"), `{"error":true,"errorMessage":"No project available for the sent public key."}`, 403},
		{"Basic " + basic("pubkey:\xff"), `{"error":true,"errorMessage":"Request invalid.","debugInformation":{"reason":"hmac_hash_invalid"`, 400},
	} {
		res, text := a.do("GET", path, "", "Authorization", c.header)
		if res.StatusCode != c.status || !strings.HasPrefix(text, c.want) {
			t.Errorf("%q: %d %s", c.header, res.StatusCode, text)
		}
	}
}

func TestAllowLists(t *testing.T) {
	a := start(t, func(o *server.Options, _ *protection.Project) { o.Settings.APIAllowList = "10.0.0.0/8,192.0.2.1" })
	for ip, want := range map[string]int{"10.1.2.3": 400, "192.0.2.1": 400, "192.0.2.2": 403} {
		res, text := a.do("GET", "/api/v1/statistic/by-date", "", "X-Forwarded-For", ip)
		if res.StatusCode != want {
			t.Errorf("%s: %d %s", ip, res.StatusCode, text)
		}
	}
	if res, _ := a.do("GET", "/api/v1/health/check", "", "X-Forwarded-For", "8.8.8.8"); res.StatusCode != http.StatusNotFound {
		t.Errorf("health from elsewhere: %s", res.Status)
	}
}

func TestStatistic(t *testing.T) {
	a := start(t, nil)
	const path = "/api/v1/statistic/by-date"
	ask := func(query string, data php.Value) string {
		_, text := a.signed("GET", path, query, php.Null, data)
		return text
	}
	if got := ask("", obj()); got != `{"result":true,"data":{"numberOfValidSubmissions":0,"numberOfSpamSubmissions":0,"numberOfDelayedRequests":0,"numberOfBlockedRequests":0,"lastSubmissionAt":null,"numbersByDate":[]}}` {
		t.Error(got)
	}
	for range 2 {
		if err := a.server.Store().Count(t.Context(), a.project.ID, protection.CountSpam, a.server.Store().Now()); err != nil {
			t.Fatal(err)
		}
	}
	today := a.server.Store().Now().Format("2006-01-02")
	for query, data := range map[string]php.Value{"?range=3600": obj("range", php.Int(3600)), "?range=-5x": obj("range", php.Int(-5)), "?startDate=" + today: obj("startDate", today),
		"?startDate=yesterday": obj("startDate", "yesterday"), "?startDate=-1+week": obj("startDate", "-1 week")} {
		if got := ask(query, data); !strings.Contains(got, `"numbersByDate":{"`+today+`":{"numberOfValidSubmissions":0,"numberOfSpamSubmissions":2`) {
			t.Errorf("%s: %s", query, got)
		}
	}
	earlier := a.server.Store().Now().AddDate(0, 0, -2)
	if err := a.server.Store().Count(t.Context(), a.project.ID, protection.CountValid, earlier); err != nil {
		t.Fatal(err)
	}
	for at, has := range map[string]bool{earlier.Format("2006-01-02"): true, earlier.Format("2006-01-02") + "T00:00:00+14:00": true,
		earlier.AddDate(0, 0, 1).Format("2006-01-02") + "T00:00:00+14:00": false} { // the day that is written counts, not the one that it is here
		if got := ask("?startDate="+url.QueryEscape(at), obj("startDate", at)); strings.Contains(got, earlier.Format("2006-01-02")+`":{"numberOf`) != has {
			t.Errorf("%s: %s", at, got)
		}
	}
	for query, c := range map[string]struct {
		data php.Value
		want string
	}{
		"?range=x":             {obj("range", php.Int(0)), "Invalid range."},
		"?startDate=tomorrow":  {obj("startDate", "tomorrow"), "The start date cannot be in the future."},
		"?startDate=2026-99-1": {obj("startDate", "2026-99-1"), "The start date has an invalid format. Excepted format: YYYY-MM-DD"},
	} {
		if got := ask(query, c.data); got != `{"error":true,"errorMessage":"`+c.want+`"}` {
			t.Errorf("%s: %s", query, got)
		}
	}
}

func TestVerifyAndMetadata(t *testing.T) {
	a := start(t, nil)
	token, validation := a.submit(oneField)
	form := obj("a", sign.Hash("b"))
	data := obj("submitToken", token, "validationSignature", sign.HMAC("privkey", validation), "formSignature", "any", "formData", form, "metadata", `{"x":{"y":1}}`)
	got := a.post("/api/v1/verification/verify", data)
	if !strings.HasPrefix(got, `{"valid":true,"verificationSignature":"`) || !strings.HasSuffix(got, `"verifiedFields":{"a":"valid"},"issues":[],"metadata":{"x":{"y":1}}}`) {
		t.Error(got)
	}
	if got := a.post("/api/v1/verification/verify", data); got != `{"error":true,"errorMessage":"Submit token not found or not valid.","debugInformation":{"reason":"submit_token_not_valid"}}` {
		t.Error(got)
	}
	const path = "/api/v1/verification/store-metadata"
	signature := sign.HMAC("privkey", validation)
	for _, c := range []struct {
		data php.Value
		want string
	}{
		{obj("submitToken", token), `{"error":true,"errorMessage":"Required parameter missing.","debugInformation":{"reason":"required_parameter_missing","hasSubmitToken":true,"hasValidationSignature":false}}`},
		{obj("submitToken", "x", "validationSignature", "y"), `{"error":true,"errorMessage":"Submit token not found or not valid.","debugInformation":{"reason":"submit_token_not_found"}}`},
		{obj("submitToken", token, "validationSignature", signature, "metadata", "5"), `{"result":true}`},
		{obj("submitToken", token, "validationSignature", signature, "metadata", `{"x":{"z":[1,2,3]}}`), `{"result":true}`},
		{obj("submitToken", token, "validationSignature", signature, "metadata", `{"x":{"z":[9]}}`), `{"result":true}`},
	} {
		if got := a.post(path, c.data); got != c.want {
			t.Errorf("%s", got)
		}
	}
	if got := a.post(path, obj("submitToken", token, "validationSignature", "wrong")); !strings.Contains(got, `"reason":"validation_signature_invalid","expectedSignature":"`+signature) {
		t.Error(got)
	}
	list, err := a.server.Store().Submissions(t.Context(), a.project.ID, store.SubmissionFilter{})
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	if stored, _ := php.EncodeJSON(list[0].Data.Get("metadata"), php.Default); stored != `{"x":{"y":1,"z":[9,2,3]}}` {
		t.Errorf("stored %s", stored)
	}
}

func TestLockout(t *testing.T) {
	a := start(t, func(_ *server.Options, p *protection.Project) {
		p.Settings = protection.Settings{"lockoutActive": php.Bool(true), "lockoutNumberOfRequests": php.Int(1), "lockoutDetectionTimeFrame": php.Int(600),
			"lockoutTime": php.Int(100), "lockoutMultiplicator": php.Float(2)}
	})
	t1 := a.form("/api/v1/frontend/request-submit-token", url.Values{"pageTitle": {"x"}, "pageUrl": {"y"}})["submitToken"].(string)
	a.form("/api/v1/frontend/request-submit-token", url.Values{"pageTitle": {"x"}, "pageUrl": {"y"}})
	now := a.server.Store().Now()
	for i, seconds := range []int64{100, 300, 500} { // the first end is where all further ones are counted from
		got := a.form("/api/v1/frontend/check-form-data", url.Values{"submitToken": {t1}, "formData": {oneField}})
		if got["type"] != "lockout" || got["security"] != true {
			t.Fatalf("%v", got)
		}
		r, err := a.server.Store().Restriction(t.Context(), protection.Lockout, crypt.HashIP("127.0.0.1"), now)
		if err != nil || r == nil || got["until"] != r.ValidUntil.Format("2006-01-02T15:04:05-07:00") {
			t.Fatalf("%v, %+v, %v", got, r, err)
		}
		if d := int64(r.ValidUntil.Sub(now).Seconds()); d < seconds || d > seconds+5 {
			t.Errorf("lockout %d ends in %d s, want %d", i+1, d, seconds)
		}
	}
}

func TestResources(t *testing.T) {
	a := start(t, nil)
	const hash = "147a432c541ffb177b27afb330b961c25593198172d8f09f0119da97e03ffb8e"
	sheet := "/resources/" + a.project.UUID + "/" + hash + ".css"
	for path, want := range map[string]string{"/build/mosparo-frontend.js": "text/javascript", "/build/mosparo-frontend.css": "text/css", "/resources/logo.svg?fc=1&pcs=d": "image/svg+xml", sheet: "text/css"} {
		for range 2 { // made, then from the cache
			res, text := a.do("GET", path, "")
			if res.StatusCode != http.StatusOK || !strings.HasPrefix(res.Header.Get("Content-Type"), want) || res.Header.Get("Access-Control-Allow-Origin") != "*" || len(text) < 100 {
				t.Errorf("%s: %s %s, %d bytes", path, res.Status, res.Header.Get("Content-Type"), len(text))
			}
		}
	}
	for _, path := range []string{"/resources/" + a.project.UUID + ".css", "/resources/" + a.project.UUID + "/old.css"} {
		if res, _ := a.do("GET", path, ""); res.StatusCode != http.StatusTemporaryRedirect || res.Header.Get("Location") != a.base+sheet {
			t.Errorf("%s: %s to %s", path, res.Status, res.Header.Get("Location"))
		}
	}
	if res, text := a.do("GET", "/resources/"+a.project.UUID+"/url", "", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "spam.example.org"); res.StatusCode != http.StatusOK || text != "https://spam.example.org"+sheet {
		t.Errorf("url: %s %s", res.Status, text)
	}
	upper := "/resources/" + strings.ToUpper(a.project.UUID)
	if res, _ := a.do("GET", upper+".css", ""); res.Header.Get("Location") != a.base+upper+"/"+hash+".css" {
		t.Errorf("upper case: %s to %s", res.Status, res.Header.Get("Location"))
	}
	for query, want := range map[string]int{"fc[]=1": 400, "fc=1&pcs[]=d": 400, "pcs[]=d": 200} {
		if res, _ := a.do("GET", "/resources/logo.svg?"+query, ""); res.StatusCode != want {
			t.Errorf("logo, %s: %s", query, res.Status)
		}
	}
	for _, path := range []string{"/resources/unknown.css", "/resources/", "/resources/a/b/c.css", "/build/../etc/passwd", "/"} {
		if res, _ := a.do("GET", path, ""); res.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %s", path, res.Status)
		}
	}
}

func TestRulePackages(t *testing.T) {
	a := start(t, nil)
	p := &protection.RulePackage{ProjectID: a.project.ID, UUID: protection.NewUUID(), Name: "feed", Type: protection.PackageAPI, Active: true}
	file := &protection.RulePackage{ProjectID: a.project.ID, UUID: protection.NewUUID(), Name: "file", Type: protection.PackageFile, Source: "/x", Active: true}
	for _, k := range []*protection.RulePackage{p, file} {
		if err := a.server.Store().SavePackage(t.Context(), k); err != nil {
			t.Fatal(err)
		}
	}
	const importPath = "/api/v1/rule-package/import"
	base := fmt.Sprintf("/api/v1/rule-package/%d/", p.ID)
	content := `{"lastUpdatedAt":"2026-11-23T04:00:00Z","refreshInterval":60,"rules":[{"name":"r","type":"word","uuid":"u1","items":[{"uuid":"i1","type":"text","value":"casino","rating":9}]}]}`
	get := func(path, query string, data php.Value) (int, string) {
		res, text := a.signed("GET", path, query, php.Null, data)
		return res.StatusCode, text
	}
	if status, text := get(base+"rules", "", obj()); status != 200 || text != `{"result":false,"noCache":true}` {
		t.Error(status, text)
	}
	if status, _ := get(base+"hash-index", "", obj()); status != 205 {
		t.Error(status)
	}
	for _, c := range []struct {
		data php.Value
		want string
	}{
		{obj("rulePackageId", php.Int(p.ID)), "Required parameter missing."},
		{obj("rulePackageId", php.Int(99), "rulePackageContent", "x"), "Rule package not found."},
		{obj("rulePackageId", php.Int(file.ID), "rulePackageContent", "x"), "Rule package type (AUTOMATICALLY_FROM_FILE) is not allowed."},
		{obj("rulePackageId", php.Int(p.ID), "rulePackageContent", content, "rulePackageHash", "x"), "The specified hash is invalid for the given content."},
		{obj("rulePackageId", php.Int(p.ID), "rulePackageContent", " "), "Rule package content is empty."},
		{obj("rulePackageId", php.Int(p.ID), "rulePackageContent", "hello"), "A general error occurred."},
	} {
		if got := a.post(importPath, c.data); !strings.HasPrefix(got, `{"error":true,"errorMessage":"`+c.want+`"`) {
			t.Errorf("%s: %s", c.want, got)
		}
	}
	for range 2 {
		if got := a.post(importPath, obj("rulePackageId", php.Int(p.ID), "rulePackageContent", content, "rulePackageHash", sign.Hash(content))); got != `{"successful":true,"verifiedHash":true}` {
			t.Error(got)
		}
	}
	for _, none := range []string{"", " ", "0", " 0 "} {
		if got := a.post(importPath, obj("rulePackageId", php.Int(p.ID), "rulePackageContent", content, "rulePackageHash", none)); got != `{"successful":true,"verifiedHash":false}` {
			t.Errorf("hash %q: %s", none, got)
		}
	}
	if _, validation := a.submit(strings.Replace(oneField, `"b"`, `"casino"`, 1)); validation != "" {
		// The rules were compiled before the import; they are seen within seconds.
		if err := a.server.Reload(t.Context(), server.Settings{TrustedProxies: "127.0.0.1"}); err != nil {
			t.Fatal(err)
		}
		if _, validation := a.submit(strings.Replace(oneField, `"b"`, `"casino"`, 1)); validation != "" {
			t.Error("the imported rule does not match")
		}
	}
	status, text := get(base+"rules", "?page=1", obj("page", php.Int(1)))
	if status != 200 || !strings.HasPrefix(text, `{"result":true,"rules":[{"id":1,"uuid":"u1","type":"word","name":"r","description":"`) || !strings.Contains(text, `"listRoute":"\/api\/v1\/rule-package\/1\/rules\/1\/rule-items"`) ||
		!strings.HasSuffix(text, `"page":"1","totalPages":1}`) {
		t.Error(status, text)
	}
	if status, text := get(base+"rules/1/rule-items", "", obj()); status != 200 || text != `{"result":true,"ruleItems":[{"id":1,"uuid":"i1","type":"text","value":"casino","rating":9}],"page":1,"totalPages":1}` {
		t.Error(status, text)
	}
	if status, text := get(base+"hash-index", "", obj()); status != 200 || !strings.Contains(text, "u1::r/") || !strings.Contains(text, "i1::i/") || strings.Contains(text, "END") {
		t.Error(status, text)
	}
	if status, text := get(base+"hash-index", "?offset=1", obj("offset", "1")); status != 200 || !strings.Contains(text, "u1::r/") || strings.Contains(text, "i1::i/") || !strings.HasSuffix(text, "\n###END") {
		t.Error(status, text)
	}
	for _, path := range []string{"/api/v1/rule-package/99/rules", base + "rules/99/rule-items"} {
		if status, text := get(path, "", obj()); status != 404 || !strings.Contains(text, "object not found by") {
			t.Error(path, status, text)
		}
	}
	task := func(kind string, data php.Value) php.Value { return obj("type", kind, "data", data) }
	got := a.post(base+"batch", obj("tasks", php.List(task("store_rule_item", obj("ruleUuid", "u2", "uuid", "i2", "type", "text", "value", "x", "rating", php.Int(1))),
		task("store_rule", obj("name", "n", "type", "word", "uuid", "u2")), task("store_rule", obj("name", "n")), task("unknown", obj()),
		task("store_rule_item", obj("ruleUuid", "u9", "uuid", "i3", "type", "text", "value", "x", "rating", php.Int(1))), task("remove_rule_item", obj("id", php.Int(1))))))
	if got != `{"result":true,"errors":["Task data not valid: store_rule; Data: {\u0022name\u0022:\u0022n\u0022}","Rule not available: u9"]}` {
		t.Error(got)
	}
	if res, text := a.signed("POST", base+"batch", "", php.Null, obj()); res.StatusCode != http.StatusBadRequest || text != `{"result":false,"error":true,"errorMessage":"Tasks undefined."}` {
		t.Error(res.Status, text)
	}
}

func TestHealthTells(t *testing.T) {
	a := start(t, nil)
	if res, text := a.do("GET", "/api/v1/health/check", ""); res.StatusCode != http.StatusOK && res.StatusCode != http.StatusServiceUnavailable {
		t.Error(res.Status, text)
	}
	a.server.Drain()
	if res, text := a.do("GET", "/api/v1/health/check", ""); res.StatusCode != http.StatusServiceUnavailable || !strings.Contains(text, `"databaseStatus":"draining"`) {
		t.Error(res.Status, text)
	}
	if got := a.form("/api/v1/frontend/request-submit-token", url.Values{"pageTitle": {"x"}, "pageUrl": {"y"}}); got["submitToken"] == nil {
		t.Errorf("a draining server still serves: %v", got)
	}
}

func base64Text(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
