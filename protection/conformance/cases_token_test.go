package conformance

import (
	"encoding/json"
	"strings"
)

// request-submit-token: methods, body formats, values, reuse of a token, security guidelines.
func groupToken(d *driver) {
	tokenRequests(d)
	tokenBodies(d)
	tokenValues(d)
	tokenReuse(d)
	tokenSecurity(d)
}

func tokenRequests(d *driver) {
	key := d.key("P1")
	good := append(pairs{{"publicKey", key}}, page...)
	post := func(name, project, note string, form pairs) {
		d.do(request{name: "rst/" + name, project: project, method: "POST", path: rst, form: form, note: note})
	}
	d.do(request{name: "rst/no-body", method: "POST", path: rst, headers: pairs{{"Content-Type", formType}}, body: ptr(""), note: "no public key"})
	d.do(request{name: "rst/no-content-type", project: "P1", method: "POST", path: rst, body: ptr(good.encode()), note: "form body but no Content-Type header"})
	post("unknown-key", "", "unknown public key", append(pairs{{"publicKey", "nope"}}, page...))
	post("empty-key", "", "", append(pairs{{"publicKey", ""}}, page...))
	post("key-array", "", "public key sent as an array", pairs{{"publicKey[]", key}, {"pageTitle", "x"}, {"pageUrl", "y"}})
	d.do(request{name: "rst/key-in-query", project: "P1", method: "POST", path: rst + "?publicKey=" + key, form: page, note: "key in the query string only"})
	d.do(request{name: "rst/get", project: "P1", method: "GET", path: rst + "?" + good.encode()})
	for _, method := range []string{"PUT", "DELETE", "PATCH"} {
		d.do(request{name: "rst/" + strings.ToLower(method), project: "P1", method: method, path: rst, form: good})
	}
	d.do(request{name: "rst/head", project: "P1", method: "HEAD", path: rst})
	d.do(request{name: "rst/trailing-slash", project: "P1", method: "POST", path: rst + "/", form: good})
	d.postToken("rst/no-page-title", "P1", "", nil, pairs{{"pageUrl", "u"}})
	d.postToken("rst/no-page-url", "P1", "", nil, pairs{{"pageTitle", "t"}})
	d.postToken("rst/no-page", "P1", "", nil, nil)
	d.postToken("rst/empty-page", "P1", "", nil, pairs{{"pageTitle", ""}, {"pageUrl", ""}})
	d.postToken("rst/ok-minimal", "P1", "", nil, page)
	d.tokenCase("rst/ok-full", "P1", "", "")
}

func tokenBodies(d *driver) {
	key := d.key("P1")
	good := `{"publicKey": "` + key + `", "pageTitle": "Contact", "pageUrl": "http://localhost/contact"}`
	send := func(name, contentType, body, note string) {
		d.do(request{name: "rst/json-" + name, project: "P1", method: "POST", path: rst, headers: pairs{{"Content-Type", contentType}}, body: &body, note: note})
	}
	send("body", "application/json", good, "JSON body is taken like a form")
	send("body-charset", "application/json; charset=utf-8", good, "")
	send("ld", "application/ld+json", good, "")
	send("invalid", "application/json", `{"publicKey": `, "broken JSON")
	send("scalar", "application/json", `"text"`, "JSON that is no object")
	send("empty-body", "application/json", "", "")
	send("numeric-title", "application/json", `{"publicKey": "`+key+`", "pageTitle": 42, "pageUrl": true}`, "")
	send("null-title", "application/json", `{"publicKey": "`+key+`", "pageTitle": null, "pageUrl": null}`, "")
	var body strings.Builder
	for _, p := range [][2]string{{"publicKey", key}, {"pageTitle", "T"}, {"pageUrl", "U"}} {
		body.WriteString("--XX\r\nContent-Disposition: form-data; name=\"" + p[0] + "\"\r\n\r\n" + p[1] + "\r\n")
	}
	d.do(request{name: "rst/multipart", project: "P1", method: "POST", path: rst, headers: pairs{{"Content-Type", "multipart/form-data; boundary=XX"}},
		body: ptr(body.String() + "--XX--\r\n")})
}

func tokenValues(d *driver) {
	key := d.key("P1")
	send := func(name, note string, form pairs) {
		d.do(request{name: "rst/" + name, project: "P1", method: "POST", path: rst, form: append(pairs{{"publicKey", key}}, form...), note: note})
	}
	raw := func(name, note, body string) {
		d.do(request{name: "rst/" + name, project: "P1", method: "POST", path: rst, headers: pairs{{"Content-Type", formType}},
			body: ptr("publicKey=" + key + body), note: note})
	}
	send("title-array", "", pairs{{"pageTitle[]", "a"}, {"pageUrl", "u"}})
	send("formid-array", "", pairs{{"pageTitle", "a"}, {"pageUrl", "u"}, {"formId[]", "x"}})
	send("title-unicode", "", pairs{{"pageTitle", "Tïtle ✓ 😀 日本"}, {"pageUrl", "http://ex/ü?a=😀"}})
	raw("title-invalid-utf8", "bytes that are no UTF-8", "&pageTitle=%ff%fe&pageUrl=u")
	raw("title-nul", "", "&pageTitle=a%00b&pageUrl=u")
	send("title-long", "", pairs{{"pageTitle", strings.Repeat("T", 20000)}, {"pageUrl", "http://x/" + strings.Repeat("u", 5000)}})
	send("formid-255", "", append(page.with(), [2]string{"formId", strings.Repeat("i", 255)}))
	send("formid-256", "form id longer than its column", append(page.with(), [2]string{"formId", strings.Repeat("i", 256)}))
}

func tokenReuse(d *driver) {
	again := func(name, project, token, note, xff string, vars map[string]any) {
		d.do(request{name: "rst/reuse-token" + name, project: project, method: "POST", path: rst, note: note, vars: vars, xff: xff,
			form: append(append(pairs{{"publicKey", d.key(project)}}, page...), [2]string{"submitToken", token})})
	}
	first := d.token("P1", "")
	used := map[string]any{"submitToken": first}
	again("", "P1", first, "an unused token is given back", "", used)
	again("-empty", "P1", "", "an empty token means a new one", "", nil)
	again("-unknown", "P1", "doesnotexist", "", "", nil)
	again("-other-project", "P3", first, "a token of another project", "", used)
	token, validation, form := d.prepare("P1")
	d.verify("rst/verify-to-use-token", "P1", token, validation, form, "")
	again("-verified", "P1", token, "a verified token", "", map[string]any{"submitToken": token})
	reply := d.newToken("PW", "10.200.1.1")
	token = str(reply["submitToken"])
	again("-pow", "PW", token, "the proof of work is made anew for the same token", "10.200.1.1",
		map[string]any{"submitToken": token, "firstProofOfWorkResult": reply["proofOfWorkResult"]})
}

// tokenSecurity is about what the answer holds by design, by client address and by security guideline.
func tokenSecurity(d *driver) {
	d.tokenCase("rst/invisible-nologo", "PC", "", "invisible design, logo switched off")
	p2 := func(name, xff, note string, extra ...[2]string) {
		if xff == "" {
			xff = d.ip()
		}
		d.tokenCase("rst/p2-"+name, "P2", xff, note, extra...)
	}
	p2("default", "", "honeypot and proof of work")
	p2("allow-list-subnet", "192.168.77.5", "")
	p2("allow-list-ip", "10.9.9.9", "")
	p2("allow-list-miss", "192.168.78.5", "")
	p2("guideline-subnet", "172.31.9.9", "guideline 10 by subnet")
	p2("guideline-page-url", "", "", [2]string{"pageUrl", "https://guide.example/contact?x=1"})
	p2("guideline-page-url-other", "", "", [2]string{"pageUrl", "https://guide.example/other"})
	p2("guideline-wildcard", "", "", [2]string{"pageUrl", "https://wild.example/any/thing/form"})
	p2("guideline-wildcard-miss", "", "", [2]string{"pageUrl", "https://wild.example/any/form/more"})
	p2("guideline-action-url", "", "", [2]string{"formActionUrl", "https://act.example/go/there"})
	p2("guideline-form-id", "", "", [2]string{"formId", "form-77"})
	p2("guideline-form-id-case", "", "", [2]string{"formId", "FORM-77"})
	p2("guideline-both", "172.31.5.6", "needs subnet and form: the one with priority 30", [2]string{"formId", "both-1"})
	p2("guideline-both-only-form", "", "", [2]string{"formId", "both-1"})
	p2("guideline-both-only-ip", "172.31.5.7", "", [2]string{"formId", "zz"})
	p2("guideline-two-match", "172.31.5.8", "guidelines 10 and 20 match: the higher priority wins", [2]string{"pageUrl", "https://guide.example/contact"})
	p2("ipv6", "2001:db8::5", "")
	p2("xff-garbage", "not-an-ip", "X-Forwarded-For that is no address")
	p2("xff-chain", "10.50.1.1, 10.50.1.2", "")
}

// store-form-data: partial submissions, metadata.
func groupStore(d *driver) {
	store := func(name, project, token, note string, real bool, form pairs) {
		all := pairs{{"publicKey", d.key(project)}}
		if token != "" {
			all = append(all, [2]string{"submitToken", token})
		}
		var vars map[string]any
		if real {
			vars = map[string]any{"submitToken": token}
		}
		d.do(request{name: "sto/" + name, project: project, method: "POST", path: sto, form: append(all, form...), note: note, vars: vars})
	}
	data := func(fields []field, ignored ...string) [2]string {
		return [2]string{"formData", formDataOf(fields, ignored)}
	}
	plain := func(fields ...field) [2]string {
		text, err := json.Marshal(map[string]any{"fields": fields})
		if err != nil {
			panic(err)
		}
		return [2]string{"formData", string(text)}
	}
	store("no-token", "P1", "", "", false, pairs{{"formData", "{}"}})
	store("bad-token", "P1", "x", "", false, pairs{{"formData", "{}"}})
	t := d.token("P1", "")
	store("nothing", "P1", t, "neither formData nor metadata", true, nil)
	store("bad-json", "P1", t, "", true, pairs{{"formData", "{"}})
	store("no-fields", "P1", t, "", true, pairs{{"formData", `{"x":1}`}})
	store("metadata-only", "P3", d.token("P3", ""), "metadata alone", true, pairs{{"metadata", `{"a":1}`}})
	store("metadata-only-not-allowed", "P1", t, "metadata alone in a project that does not allow it", true, pairs{{"metadata", `{"a":1}`}})
	store("ok", "P1", t, "", true, pairs{data([]field{text("step1", "one"), text("both", "first")}, "pw")})
	store("ok-second", "P1", t, "merged by field name", true, pairs{data([]field{text("step2", "two"), text("both", "second")}, "pw", "cb")})
	c := d.check(checkRequest{name: "sto/check", project: "P1", token: t, fields: []field{text("step3", "three"), text("both", "third")},
		note: "check after two partial submissions: everything is in the submission", ignored: []string{"last"}})
	d.verify("sto/verify-all", "P1", t, str(c["validationToken"]), map[string]any{"step1": "one", "step2": "two", "step3": "three", "both": "third"}, "")
	t = d.token("P1", "")
	store("ok-no-ignored", "P1", t, "", true, pairs{plain(text("s", "v"))})
	d.check(checkRequest{name: "sto/check-no-ignored", project: "P1", token: t, data: ptr(plain(text("z", "w"))[1]),
		note: "no ignoredFields in the check of a token with a partial submission"})
	t = d.token("PM", "")
	store("with-metadata", "PM", t, "", true, pairs{plain(text("s", "v")), {"metadata", `{"k":{"a":1,"b":2}}`}})
	c = d.check(checkRequest{name: "sto/check-with-metadata", project: "PM", token: t, fields: []field{text("z", "w")}, note: "metadata is merged deep",
		extra: pairs{{"metadata", `{"k":{"b":3,"c":4}}`}}})
	d.verify("sto/verify-with-metadata", "PM", t, str(c["validationToken"]), map[string]any{"s": "v", "z": "w"}, "", metadataPair(`{"v":1}`))
}
