package httpapi_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/php"
	"github.com/mosparoctl/mosparoctl/protection/server"
	"github.com/mosparoctl/mosparoctl/protection/sign"
	"github.com/mosparoctl/mosparoctl/protection/store"
)

// Who reads a path with slashes at its end is sent to the path without them, once its project is known.
func TestTrailingSlash(t *testing.T) {
	a := start(t, nil)
	key := `{"publicKey":"pubkey"}`
	for _, c := range []struct {
		method, path, body string
		status             int
		want               string // in the body, or where the reply leads to
	}{
		{"GET", tokenPath + "/", "", 400, "No public key sent."},
		{"GET", tokenPath + "//", "", 400, "No public key sent."},
		{"GET", tokenPath + "/", `{"publicKey":"x"}`, 403, "No project available"},
		{"GET", tokenPath + "/?a=b", key, 301, a.base + tokenPath + "?a=b"},
		{"HEAD", tokenPath + "/", key, 301, a.base + tokenPath},
		{"POST", tokenPath + "/", key, 404, `POST http:\/\/`},
		{"OPTIONS", tokenPath + "/", key, 404, "No route found"},
		{"GET", "/api/v1/verification/verify/", "", 400, "No authorization header found."},
		{"GET", "/api/v1/rule-package/import/", "", 404, "No route found"},
		{"GET", "/api/v1/rule-package/1/batch/", "", 404, "No route found"},
		{"GET", "/api/v1/rule-package/1/rules/", "", 400, "No authorization header found."},
		{"POST", "/api/v1/rule-package/1/rules/", "", 404, "No route found"},
		{"GET", "/api/v1/health/check/?x=1", "", 301, a.base + "/api/v1/health/check?x=1"},
		{"POST", "/api/v1/health/check/", "", 404, "No route found"},
		{"POST", "/api/v1/health/check", "", 405, "Method Not Allowed"},
		{"GET", "/resources/logo.svg/", "", 301, a.base + "/resources/logo.svg"},
		{"POST", "/resources/logo.svg/", "", 404, "No route found"},
	} {
		res, text := a.do(c.method, c.path, c.body, "Content-Type", "application/json")
		if c.status == http.StatusMovedPermanently {
			text = res.Header.Get("Location")
			if text != c.want || res.Header.Get("Content-Security-Policy") != "" || res.Header.Get("Referrer-Policy") == "" {
				t.Errorf("%s %s: to %s, %v", c.method, c.path, text, res.Header)
			}
		}
		if res.StatusCode != c.status || c.method != "HEAD" && !strings.Contains(text, c.want) {
			t.Errorf("%s %s: %s, %.120s", c.method, c.path, res.Status, text)
		}
	}
	const path = "/api/v1/statistic/by-date/"
	if res, text := a.signed("GET", path, "", php.Null, obj()); res.StatusCode != http.StatusBadRequest || !strings.Contains(text, "Request invalid.") {
		t.Error(res.Status, text)
	}
}

// The framework compares content types exactly, PHP's own parsers do not.
func TestContentTypes(t *testing.T) {
	a := start(t, nil)
	const form, text = "publicKey=pubkey", `{"publicKey":"pubkey"}`
	for _, c := range []struct {
		method, contentType, body string
		read                      bool
	}{
		{"POST", "application/x-www-form-urlencoded", form, true},
		{"POST", "Application/X-WWW-Form-Urlencoded; charset=UTF-8", form, true},
		{"POST", "application/x-www-form-urlencoded, x", form, true},
		{"PUT", "application/x-www-form-urlencoded; charset=UTF-8", form, true},
		{"PUT", "Application/x-www-form-urlencoded", form, false},
		{"GET", "application/x-www-form-urlencoded", form, false},
		{"POST", "application/json ; x", text, true},
		{"GET", "application/x-json", text, true},
		{"POST", "application/ld+json", text, true},
		{"POST", "Application/JSON", text, false},
		{"POST", "application/vnd.api+json", text, false},
		{"POST", "text/plain", text, false},
	} {
		res, reply := a.do(c.method, tokenPath, c.body, "Content-Type", c.contentType)
		want := "No public key sent."
		if c.read {
			want = "Required parameters missing."
		}
		if !strings.Contains(reply, want) {
			t.Errorf("%s %s: %s %s", c.method, c.contentType, res.Status, reply)
		}
	}
}

// Addresses in replies are those that the client sees, if a trusted proxy tells them.
func TestForwardedAddresses(t *testing.T) {
	a := start(t, nil)
	other := start(t, func(o *server.Options, _ *protection.Project) { o.Settings.TrustedProxies = "" })
	sheet := "/resources/" + a.project.UUID + ".css"
	for _, c := range []struct {
		a      *api
		header []string
		want   string // before the path
	}{
		{a, []string{"X-Forwarded-Prefix", "/mosparo/"}, a.base + "/mosparo"},
		{a, []string{"X-Forwarded-Prefix", "/a, /b"}, a.base + "/a"},
		{a, []string{"X-Forwarded-Prefix", "/"}, a.base},
		{a, []string{"X-Forwarded-Host", "Spam.Example:80"}, "http://spam.example"},
		{a, []string{"X-Forwarded-Host", "spam.example:443", "X-Forwarded-Proto", "https, http", "X-Forwarded-Prefix", "/p"}, "https://spam.example/p"},
		{a, []string{"X-Forwarded-Host", "spam.example:443"}, "http://spam.example:443"},
		{a, []string{"X-Forwarded-Port", "99", "Forwarded", "host=x.example"}, a.base},
		{other, []string{"X-Forwarded-Prefix", "/p", "X-Forwarded-Host", "x.example"}, other.base},
	} {
		path := strings.Replace(sheet, a.project.UUID, c.a.project.UUID, 1)
		res, _ := c.a.do("POST", path, "", c.header...)
		if to := res.Header.Get("Location"); res.StatusCode != http.StatusTemporaryRedirect || !strings.HasPrefix(to, c.want+"/resources/") {
			t.Errorf("%v: %s to %s", c.header, res.Status, to)
		}
		if _, text := c.a.do("GET", "/nope", "", c.header...); !strings.Contains(text, strings.ReplaceAll(c.want, "/", `\/`)+`\/nope\u0022`) {
			t.Errorf("%v: %s", c.header, text)
		}
	}
	if res, _ := a.do("GET", "/api/v1/health/check", "", "X-Forwarded-Host", "a<b"); res.StatusCode != http.StatusBadRequest {
		t.Error(res.Status)
	}
	if res, _ := other.do("GET", "/api/v1/frontend/", "", "X-Forwarded-Host", "a<b"); res.StatusCode != http.StatusNotFound {
		t.Error(res.Status)
	}
}

// Error pages: what the framework makes depends on the Accept header, and says so.
func TestErrorPages(t *testing.T) {
	a := start(t, nil)
	for _, c := range []struct{ method, path, accept, cache, vary string }{
		{"POST", "/api/v1/health/check", "text/html", "no-cache, private", "Accept"},
		{"POST", "/api/v1/health/check", "application/json", "no-cache, private", "Accept"},
		{"POST", "/api/v1/health/check", "application/json;q=0.9, text/html;q=0.5", "no-cache, private", "Accept"},
		{"POST", "/api/v1/health/check", "text/css, application/json", "no-cache, private", "Accept"},
		{"GET", "/nope", "application/json", "no-cache, private", ""},
		{"GET", "/nope", "text/html", "max-age=0, must-revalidate, private", ""},
	} {
		res, text := a.do(c.method, c.path, "", "Accept", c.accept)
		if res.Header.Get("Cache-Control") != c.cache || res.Header.Get("Vary") != c.vary || strings.HasPrefix(c.accept, "text/") != strings.HasPrefix(text, "<!DOCTYPE") {
			t.Errorf("%+v: %v, %.40s", c, res.Header, text)
		}
	}
	for _, path := range []string{"/resources/", "/resources/x", "/resources/x/y", "/resources/x/y.css/z", "/resources/.css"} {
		if res, text := a.do("GET", path, ""); res.StatusCode != http.StatusNotFound || !strings.Contains(text, "No route found") {
			t.Errorf("%s: %s %s", path, res.Status, text)
		}
	}
	if res, text := a.do("DELETE", "/resources/x.css", ""); res.StatusCode != http.StatusNotFound || text != "404 Not Found" || res.Header.Get("X-Frame-Options") != "DENY" {
		t.Errorf("%s %s %v", res.Status, text, res.Header)
	}
}

// What verify stores and answers for odd parameters and for too many equal submissions.
func TestVerifyOddities(t *testing.T) {
	a := start(t, func(_ *server.Options, p *protection.Project) {
		p.Settings = protection.Settings{"equalSubmissionsActive": php.Bool(true), "equalSubmissionsNumberOfEqualSubmissions": php.Int(1)}
	})
	const path = "/api/v1/verification/verify"
	list := php.List(php.String("x"))
	data := func(pairs ...any) php.Value {
		return obj(append([]any{"submitToken", "x", "validationSignature", "x", "formSignature", "x", "formData", obj("a", sign.Hash("b"))}, pairs...)...)
	}
	if got := a.post(path, data("validationSignature", list)); !strings.Contains(got, "Submit token not found") {
		t.Error(got)
	}
	token, _ := a.submit(oneField)
	if got := a.post(path, data("submitToken", token, "validationSignature", list)); !strings.Contains(got, `"status":400`) {
		t.Error(got)
	}
	if got := a.post(path, data("submitToken", token, "validationSignature", php.Int(5), "metadata", "7")); !strings.Contains(got, `"receivedSignature":5,`) || !strings.HasSuffix(got, `,"metadata":7}`) {
		t.Error(got)
	}
	token, validation := a.submit(oneField)
	if got := a.post(path, data("submitToken", token, "validationSignature", sign.HMAC("privkey", validation))); !strings.Contains(got, "too_many_equal_submissions") {
		t.Error(got)
	}
	subs, err := a.server.Store().Submissions(t.Context(), a.project.ID, store.SubmissionFilter{Limit: 1})
	if err != nil || len(subs) != 1 {
		t.Fatal(subs, err)
	}
	if fields, _ := php.EncodeJSON(subs[0].VerifiedFields, php.Default); fields != `{"a":"valid"}` {
		t.Error(fields)
	}
}

func TestStoreFormDataOddities(t *testing.T) {
	a := start(t, func(_ *server.Options, p *protection.Project) { p.MetadataAllowed = false })
	token := a.form(tokenPath, url.Values{"pageTitle": {"x"}, "pageUrl": {"y"}})["submitToken"].(string)
	const path = "/api/v1/frontend/store-form-data"
	if got := a.form(path, url.Values{"submitToken": {token}, "metadata": {`{"a":1}`}}); got["result"] != true {
		t.Error(got)
	}
	if _, partial, err := a.server.Store().TokenAndPartial(t.Context(), a.project.ID, token); partial != nil || err != nil {
		t.Error("a row without data, which PHP cannot read", partial, err)
	}
	for fields, ok := range map[string]bool{`{"fields":[],"ignoredFields":false}`: true, `{"fields":[],"ignoredFields":"x"}`: false, "{\"fields\":[{\"name\":\"\xff\"}]}": false} {
		if got := a.form(path, url.Values{"submitToken": {token}, "formData": {fields}}); got["result"] == true != ok {
			t.Errorf("%q: %v", fields, got)
		}
	}
}

// A batch leaves the rows that mosparo's leaves.
func TestBatchRows(t *testing.T) {
	a := start(t, nil)
	st, ctx := a.server.Store(), t.Context()
	p := &protection.RulePackage{ProjectID: a.project.ID, UUID: protection.NewUUID(), Name: "feed", Type: protection.PackageAPI, Active: true}
	if err := st.SavePackage(ctx, p); err != nil {
		t.Fatal(err)
	}
	batch := func(tasks ...php.Value) {
		t.Helper()
		if got := a.post(fmt.Sprintf("/api/v1/rule-package/%d/batch", p.ID), obj("tasks", php.List(tasks...))); got != `{"result":true,"errors":[]}` {
			t.Fatal(got)
		}
		var err error
		if p, err = st.Package(ctx, p.ProjectID, p.ID); err != nil {
			t.Fatal(err)
		}
	}
	task := func(kind string, data ...any) php.Value { return obj("type", kind, "data", obj(data...)) }
	rule := func(uuid string) php.Value {
		return task("store_rule", "name", "n", "type", "word", "uuid", uuid, "spamRatingFactor", php.Int(0))
	}
	item := func(rule, value string) php.Value {
		return task("store_rule_item", "ruleUuid", rule, "uuid", "i", "type", "text", "value", value, "rating", php.Int(0))
	}
	update := func(at string) php.Value {
		return task("update_rule_package", "lastUpdatedAt", at, "refreshInterval", php.Int(60))
	}
	rules := func() map[string]time.Time {
		t.Helper()
		list, _, err := st.PackageRules(ctx, p, 0, 10)
		if err != nil {
			t.Fatal(err)
		}
		times := map[string]time.Time{}
		for _, r := range list {
			if times[r.UUID] = r.UpdatedAt; r.Factor != protection.NewFactor(0) {
				t.Errorf("factor: %+v", r.Factor)
			}
		}
		return times
	}
	items := func() []protection.RuleItem {
		t.Helper()
		list, _, err := st.PackageItems(ctx, p, 0, 0, 10)
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	batch(rule("first"))
	if p.Cache.RefreshInterval != 24*time.Hour || !p.Cache.UpdatedAt.IsZero() || !rules()["first"].IsZero() {
		t.Errorf("without a time: %+v, %v", p.Cache, rules())
	}
	// A time is stored as it reads, whatever its zone, and counts for rules that come after it and for those of items.
	at := time.Date(2026, 5, 5, 10, 0, 0, 0, st.Location())
	batch(rule("early"), item("first", "later one counts"), update("2026-05-05T10:00:00+02:00"), rule("late"), item("late", "casino"))
	if got := rules(); !p.Cache.UpdatedAt.Equal(at) || p.Cache.RefreshInterval != time.Minute || !got["first"].IsZero() || !got["early"].IsZero() || !got["late"].Equal(at) {
		t.Errorf("%+v, %v", p.Cache, got)
	}
	got := items()
	if len(got) != 1 || got[0].Value != "casino" || got[0].Rating != protection.NewFactor(0) || !got[0].UpdatedAt.Equal(at) {
		t.Errorf("items: %+v", got)
	}
	// What is stored anew comes after what is removed.
	batch(item("late", "poker"), task("remove_rule_item", "id", php.Int(got[0].ID)), update("2026-05-06T10:00:00Z"))
	if again := items(); len(again) != 1 || again[0].Value != "poker" || again[0].ID == got[0].ID || !rules()["late"].Equal(at.AddDate(0, 0, 1)) {
		t.Errorf("items: %+v, rules: %v", again, rules())
	}
}

// Changes by batch: the order of the complaints, what is accepted, and how the list shows it.
func TestBatch(t *testing.T) {
	a := start(t, nil)
	p := &protection.RulePackage{ProjectID: a.project.ID, UUID: protection.NewUUID(), Name: "feed", Type: protection.PackageAPI, Active: true}
	if err := a.server.Store().SavePackage(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	base := fmt.Sprintf("/api/v1/rule-package/%d/", p.ID)
	task := func(kind string, data php.Value) php.Value { return obj("type", kind, "data", data) }
	batch := func(tasks ...php.Value) string { return a.post(base+"batch", obj("tasks", php.List(tasks...))) }
	if got := a.post(base+"batch", obj("tasks", "x")); got != `{"result":true,"errors":[]}` {
		t.Error(got)
	}
	if _, got := a.signed("GET", base+"rules", "", php.Null, obj()); got != `{"result":true,"rules":[],"page":1,"totalPages":0}` {
		t.Error(got)
	}
	rule := []any{"name", "n", "type", "unheard", "uuid", "u"}
	item := obj("ruleUuid", "u", "uuid", "i", "type", "text", "value", "casino", "rating", php.Int(9))
	got := batch(task("remove_rule", obj()), task("store_rule_item", item), task("store_rule", obj(append(rule, "status", php.Null)...)), task("later", obj()),
		task("update_rule_package", obj("a", "b")), task("store_rule", obj(rule...)), task("store_rule", obj(append(rule, "spamRatingFactor", php.Null)...)))
	for _, kind := range []string{"remove_rule;", "store_rule;", "update_rule_package;", "store_rule;"} {
		at := strings.Index(got, kind)
		if at < 0 {
			t.Fatalf("%s is not complained about in its place: %s", kind, got)
		}
		got = got[at+len(kind):]
	}
	if strings.Contains(got, "store_rule_item") {
		t.Error(got)
	}
	list := func() string {
		_, text := a.signed("GET", base+"rules", "", php.Null, obj())
		return text
	}
	if got := list(); !strings.Contains(got, `"type":"unheard","name":"n","description":null,"numberOfItems":null,`) {
		t.Error(got)
	}
	if _, got := a.signed("GET", base+"rules/1/rule-items", "", php.Null, obj()); !strings.Contains(got, `"value":"casino","rating":9`) {
		t.Error(got)
	}
	for page, want := range map[string]string{"1.5": `{"result":true,"rules":[],"page":"1.5","totalPages":1}`, "1&perPage=0.5": `{"result":true,"rules":[],"page":"1","totalPages":2}`} {
		data := obj("page", php.Int(1))
		if strings.Contains(page, "perPage") {
			data = obj("page", php.Int(1), "perPage", php.Int(0))
		}
		if _, got := a.signed("GET", base+"rules", "?page="+page, php.Null, data); !strings.Contains(got, want) {
			t.Errorf("page %s: %s", page, got)
		}
	}
	if got := list(); !strings.Contains(got, `"numberOfItems":1,`) {
		t.Error(got)
	}
	if _, validation := a.submit(strings.Replace(oneField, `"b"`, `"casino"`, 1)); validation == "" {
		t.Error("a rule of a type that nobody knows matches")
	}
	batch(task("store_rule", obj("name", "n", "type", "word", "uuid", "u")), task("store_rule_item", item))
	if _, validation := a.submit(strings.Replace(oneField, `"b"`, `"casino"`, 1)); validation != "" {
		t.Error("a changed rule is not known at once")
	}
	for _, id := range []string{"abc", "0", "-1", "1%20x%C3%BC"} {
		decoded, _ := url.PathUnescape(id)
		signedPath := "/api/v1/rule-package/" + strings.ReplaceAll(url.PathEscape(decoded), "+", "%2B") + "/rules"
		res, text := a.signed("GET", signedPath, "", php.Null, obj())
		if want := map[bool]int{true: 200, false: 404}[strings.HasPrefix(id, "1")]; res.StatusCode != want {
			t.Errorf("%s: %s %s", id, res.Status, text)
		}
	}
}
