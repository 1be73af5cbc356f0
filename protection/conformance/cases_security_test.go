package conformance

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

func groupHoneypot(d *driver) {
	plain, form := text("a", "b"), map[string]any{"a": "b"}
	full := func(name, note string, form map[string]any, fields ...field) {
		d.full(flow{name: "hp/" + name, project: "PH", fields: append([]field{plain}, fields...), form: form, note: note})
	}
	for _, c := range []struct {
		name  string
		value any
	}{{"filled", "http://x"}, {"empty", ""}, {"zero", "0"}, {"blank", " "}, {"list", []string{"x"}}, {"list-empty", []string{}}, {"null", nil}} {
		full(c.name, "", form, text("url_hp", c.value))
	}
	full("absent", "", form)
	full("no-value", "", form, field{Name: "url_hp", FieldPath: "input[text].url_hp", noValue: true})
	full("verify-with-hp-field", "the back end sends the honeypot field too", map[string]any{"a": "b", "url_hp": ""}, text("url_hp", ""))
}

func groupProofOfWork(d *driver) {
	fields, form := []field{text("a", "b")}, map[string]any{"a": "b"}
	// # stands for the right number; - is not sent.
	for _, c := range [][2]string{{"right", "#"}, {"wrong", "+1"}, {"missing", "-"}, {"empty", ""}, {"text", "abc"}, {"text-suffix", "#abc"},
		{"leading-zero", "0#"}, {"space", " #"}, {"float", "#.9"}, {"negative", "-#"}, {"exp", "#e0"}} {
		xff := d.ip()
		r := d.newToken("PW", xff)
		number, token := solve(r), str(r["submitToken"])
		sent := strings.ReplaceAll(c[1], "#", strconv.Itoa(number))
		if c[0] == "wrong" {
			sent = strconv.Itoa(number + 1)
		}
		extra := pairs{{"proofOfWorkNumber", sent}}
		if c[0] == "missing" {
			extra = nil
		}
		reply := d.check(checkRequest{name: "pow/" + c[0], project: "PW", token: token, fields: fields, xff: xff, extra: extra})
		if v := str(reply["validationToken"]); v != "" {
			d.verify("pow/"+c[0]+"-verify", "PW", token, v, form, "")
		}
	}
	xff := d.ip()
	r := d.newToken("PW", xff)
	token := str(r["submitToken"])
	d.check(checkRequest{name: "pow/recheck-wrong", project: "PW", token: token, fields: fields, xff: xff, extra: pairs{{"proofOfWorkNumber", "-5"}}})
	c := d.check(checkRequest{name: "pow/recheck-right", project: "PW", token: token, fields: fields, note: "right after wrong, same token", xff: xff,
		extra: pairs{{"proofOfWorkNumber", strconv.Itoa(solve(r))}}})
	d.verify("pow/recheck-verify", "PW", token, str(c["validationToken"]), form, "")
	for i := range 3 {
		d.tokenCase(fmt.Sprint("pow/dynamic-", i), "P2", "10.201.7.7", "the maximum grows with the number of requests of this address (dynamic complexity)")
	}
}

// wait lets time pass for the server: these cases are about it.
func wait(d *driver, until time.Time) {
	select {
	case <-time.After(time.Until(until)):
	case <-d.t.Context().Done():
	}
}

func groupDelay(d *driver) {
	xff := d.ip()
	for i := range 7 {
		d.tokenCase(fmt.Sprint("delay/request-", i+1), "PD", xff, "more than 3 in 5 s: delay of 5 s, multiplied by 1.5 on each further try")
	}
	wait(d, time.Now().Add(time.Second))
	d.tokenCase("delay/other-ip", "PD", d.ip(), "")
	start := time.Now()
	token := d.token("PD", d.ip())
	d.check(checkRequest{name: "delay/check-not-delayed", project: "PD", token: token, fields: []field{text("a", "b")}, note: "a delayed address may still check", xff: xff})
	wait(d, start.Add(19*time.Second))
	d.tokenCase("delay/after", "PD", xff, "after the delay ran out")
}

func groupSpam(d *driver) {
	for _, c := range [][2]string{{"PN", "spam is refused"}, {"PR", "silent mode: valid:true although spam"}, {"PS0", "project status 0: rated, not refused"}} {
		d.full(flow{name: "spam/" + c[0], project: c[0], fields: []field{at("textarea", "a", "Buy VIAGRA and Casino")}, note: c[1]})
	}
	d.full(flow{name: "spam/P2-guideline-score", project: "P2", fields: []field{at("textarea", "a", "che--p pill"), text("guide_hp", "")},
		note: "score 5 of the project holds (no guideline for this address)"})
	xff := d.ip()
	token := str(d.newToken("P2", xff, [2]string{"pageUrl", "https://guide.example/contact"})["submitToken"])
	d.check(checkRequest{name: "spam/P2-guideline-override", project: "P2", token: token, fields: []field{at("textarea", "a", "cheap pill"), text("guide_hp", "")},
		note: "guideline 20 lowers the score to 2", xff: xff})
}

func groupMinimumTime(d *driver) {
	token, validation, form := d.prepare("PMT")
	d.verify("mint/too-fast", "PMT", token, validation, form, "")
	d.verify("mint/too-fast-again", "PMT", token, validation, form, "the token is used up")
	token, validation, form = d.prepare("PMT")
	wait(d, time.Now().Add(4*time.Second))
	d.verify("mint/slow-enough", "PMT", token, validation, form, "")
	xff := d.ip()
	r := d.newToken("P2", xff)
	token = str(r["submitToken"])
	c := d.check(checkRequest{name: "mint/p2-check", project: "P2", token: token, fields: []field{text("a", "quick"), text("hp_field_x", "")}, xff: xff,
		extra: pairs{{"proofOfWorkNumber", strconv.Itoa(solve(r))}}})
	d.verify("mint/p2-too-fast", "P2", token, str(c["validationToken"]), map[string]any{"a": "quick"}, "no debug mode")
	xff, form = "172.31.40.40", map[string]any{"a": "quick2", "hp_field_x": "just a field here"}
	token = d.token("P2", xff)
	c = d.check(checkRequest{name: "mint/p2-guideline-check", project: "P2", token: token, fields: []field{text("a", "quick2"), text("hp_field_x", "just a field here")}, xff: xff})
	d.verify("mint/p2-guideline-no-minimum", "P2", token, str(c["validationToken"]), form, "the guideline switches the minimum time off")
}

// groupRules is about the rules of project PR, which is silent, so that the rating is in spamData and the matches in the
// database.
func groupRules(d *driver) {
	for _, c := range []struct {
		name, path string
		value      any
	}{
		{"text-hit", "textarea.m", "cheap viagra here"}, {"text-in-word", "textarea.m", "xviagrax"}, {"text-wild", "textarea.m", "chea p pill"},
		{"text-wild-zero", "textarea.m", "chep pill"}, {"text-umlaut-lower", "textarea.m", "überxspam"}, {"text-umlaut-plain", "textarea.m", "uberxspam"},
		{"text-percent-like", "textarea.m", "100abcXoff"}, {"text-question", "textarea.m", "hello"}, {"text-cyrillic-same", "textarea.m", "ПРИВЕТ"},
		{"text-backslash", "textarea.m", `back\slash`}, {"text-all", "textarea.m", "viagra cheap pill it's hello"},
		{"text-only-negative", "textarea.m", "goodword"}, {"text-no-factor", "textarea.m", "plainone"}, {"text-fullwidth", "textarea.m", "ｖｉａｇｒａ"},
		{"text-html", "textarea.m", "<b>via</b>gra"}, {"text-trailing", "textarea.m", "viagra   "},
		{"text-list-twice", "select.m", []string{"viagra", "casino"}}, {"text-weird-path", "foo.m", "viagra"},
		{"text-long", "textarea.m", strings.Repeat("a ", 20000) + "viagra"}, {"wexact-hit", "textarea.m", "the casino is"},
		{"wexact-in-word", "textarea.m", "casinos"}, {"wexact-umlaut-edge", "textarea.m", "übercasinoü"}, {"wexact-underscore", "textarea.m", "_casino_"},
		{"wexact-dot-other", "textarea.m", "nox1"}, {"wfull-hit", "textarea.m", "Test"}, {"wfull-spaces", "textarea.m", "  Test \n"},
		{"wfull-padded", "textarea.m", "Padded"}, {"wfull-padded-inner", "textarea.m", "x Padded x"}, {"regex-hit", "textarea.m", "Buy 12 items"},
		{"regex-u", "textarea.m", "my crypto coin"}, {"regex-nl", "textarea.m", "Buy 1 item\n"}, {"email-hit", "input[email].e", "spammer@bad.example"},
		{"email-spaces", "input[email].e", " spammer@bad.example "}, {"email-textarea-only", "textarea.m", "spammer@bad.example"},
		{"email-text-input", "input[text].t", "spammer@bad.example"}, {"email-two", "textarea.m", "spammer@bad.example other+tag@mail.example"},
		{"domain-email", "input[email].e", "me@evil.example"}, {"domain-url-noslash", "input[url].u", "http://evil.example"},
		{"domain-url-query", "input[url].u", "http://evil.example?x=1"}, {"domain-textarea", "textarea.m", "see http://evil.example/x and me@evil.example"},
		{"domain-text-input", "input[text].t", "http://evil.example/"}, {"domain-both", "input[url].u", "https://sub.domain.example/evil.example/"},
		{"url-hit", "input[url].u", "https://bad.example/page"}, {"url-http", "input[url].u", "http://bad.example/page"},
		{"url-textarea-more", "textarea.m", "go https://bad.example/page2 now"}, {"url-nohttp-http", "input[url].u", "http://nohttp.example"},
		{"url-text-input", "input[text].t", "https://bad.example/page"}, {"block-cyrillic", "textarea.m", "дом"}, {"block-both", "textarea.m", "дом ひ"},
		{"blank", "textarea.m", "   "}, {"zero-list", "select.m", []string{"0", ""}},
	} {
		path, name, _ := strings.Cut(c.path, ".")
		d.full(flow{name: "rule/" + c.name, project: "PR", fields: []field{at(path, name, c.value)}})
	}
	harmless := []field{at("textarea", "m", "ok")}
	for _, c := range [][2]string{{"ip-hit", "203.0.113.7"}, {"subnet24-hit", "198.51.100.200"}, {"subnet26-hit", "192.0.2.70"},
		{"subnet26-edge-high", "192.0.2.127"}, {"ip6-hit", "2001:db8::bad"}, {"ip6-long-form", "2001:0db8:0:0:0:0:0:bad"},
		{"ip6-subnet-hit2", "2001:db8:1:ffff::1"}} {
		d.full(flow{name: "rule/" + c[0], project: "PR", fields: harmless, note: "client address " + c[1], xff: c[1]})
	}
	for _, c := range [][2]string{{"ua-text", "Mozilla BadBot/1.0"}, {"ua-wild", "Evil Big Crawler"}, {"ua-regex-miss", "xcurl/8.1"},
		{"ua-all", "curl/1 BadBot Evil x Crawler"}} {
		d.full(flow{name: "rule/" + c[0], project: "PR", fields: harmless, note: "user agent " + c[1], agent: c[1]})
	}
	xff := d.ip()
	d.check(checkRequest{name: "rule/invalid-utf8", project: "PR", token: d.token("PR", xff), xff: xff, note: "lone surrogate in JSON",
		data: ptr(`{"fields":[{"name":"m","value":"a\ud800b viagra","fieldPath":"textarea.m"}],"ignoredFields":[]}`)})
	d.full(flow{name: "rule/p2-like-refused", project: "PN", fields: []field{at("textarea", "m", "Casino")}})
	d.full(flow{name: "rule/exact-limit", project: "PN", fields: []field{at("textarea", "m", "viagra cheap pill")}, note: "5 points: at the limit"})
}

func groupHealth(d *driver) {
	get := func(name, method, path, xff, accept string) {
		d.do(request{name: "health/" + name, method: method, path: path, xff: xff, accept: accept})
	}
	get("ok", "GET", healthPath, "", "")
	get("head", "HEAD", healthPath, "", "")
	d.do(request{name: "health/post", method: "POST", path: healthPath, form: pairs{}})
	get("from-outside", "GET", healthPath, "8.8.8.8", "")
	get("from-outside-html", "GET", healthPath, "8.8.8.8", "text/html")
	get("slash", "GET", healthPath+"/", "", "")
	get("ipv6-local", "GET", healthPath, "::1", "")
}

func origin(v string) [2]string { return [2]string{"Origin", v} }

func groupCORS(d *driver) {
	for i, v := range []string{
		"http://example.com", "https://example.com", "example.com", "https://example.com:8443", "https://www.example.com",
		"https://EXAMPLE.com", "https://a.wild.test", "https://wild.test", "https://b.a.wild.test", "https://xwild.test",
		"https://a.wild.test:444", "http://localhost:3000", "http://localhost", "https://mysuffix.test", "https://suffix.test",
		"https://scheme.test", "https://upper.test", "https://UPPER.test", "null", "", "ftp://example.com", "https://evil.com",
		"https://example.com/path"} {
		d.postToken(fmt.Sprintf("cors/origin-%02d", i), "PC", "Origin: "+v, pairs{origin(v)}, page)
	}
	d.postToken("cors/star-host", "P1", "", pairs{origin("https://anything.at.all")}, page)
	d.postToken("cors/star-null", "P1", "", pairs{origin("null")}, page)
	d.postToken("cors/no-origin", "P1", "", nil, page)
	good, key := origin("https://example.com"), d.key("PC")
	d.do(request{name: "cors/error-unknown-key", method: "POST", path: rst, headers: pairs{good}, form: append(pairs{{"publicKey", "zz"}}, page...)})
	d.postToken("cors/error-missing-params", "PC", "", pairs{good}, nil)
	d.do(request{name: "cors/check", project: "PC", method: "POST", path: chk, headers: pairs{good}, form: pairs{{"publicKey", key}, {"submitToken", "x"}}})
	d.do(request{name: "cors/verify-no-cors", project: "P1", method: "POST", path: verifyPath, headers: pairs{good, d.authorization("P1", verifyPath, emptyData)},
		body: ptr(""), note: "the back end API sends no CORS headers"})
	d.postToken("cors/error-500", "P1", "", pairs{good, {"Accept-Language", "*"}}, page)

	preflight := func(name, path, note string, headers pairs, form pairs, body *string) {
		d.do(request{name: "cors/preflight-" + name, project: "PC", method: "OPTIONS", path: path, headers: headers, form: form, body: body, note: note})
	}
	method := [2]string{"Access-Control-Request-Method", "POST"}
	for _, c := range [][2]string{{"rst", rst}, {"chk", chk}, {"sto", sto}} {
		preflight(c[0], c[1], "a browser preflight has no body, hence no public key", pairs{good, method, {"Access-Control-Request-Headers", "content-type"}}, nil, nil)
	}
	preflight("form-body", rst, "OPTIONS with a form body", pairs{good, method}, pairs{{"publicKey", key}}, nil)
	body := `{"publicKey": "` + key + `"}`
	preflight("json-body", rst, "OPTIONS with a JSON body", pairs{good, jsonType}, nil, &body)
	preflight("json-bad-origin", rst, "", pairs{origin("https://evil.com"), jsonType}, nil, &body)
	preflight("query", rst+"?publicKey="+key, "", pairs{good}, nil, nil)
	d.do(request{name: "cors/options-health", method: "OPTIONS", path: healthPath})
	d.do(request{name: "cors/options-verify", method: "OPTIONS", path: verifyPath})
}
