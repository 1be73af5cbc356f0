package conformance

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/mosparoctl/mosparoctl/protection/php"
)

func metadataPair(text string) php.Pair { return php.Pair{Key: "metadata", Value: php.String(text)} }

// oneField is formData with one field, given as the JSON of its value.
func oneField(value string) string {
	return `{"fields":[{"name":"a","value":` + value + `,"fieldPath":"input[text].a"}],"ignoredFields":[]}`
}

const fieldA = `{"name":"a","value":"x","fieldPath":"input[text].a"}`

// formDataCases are sent as chk/form-NN, each with what it is.
func formDataCases() [][2]string {
	honeypot := strings.TrimSuffix(fieldA, "}") + `,"type":"honeypot"}`
	return [][2]string{
		{"", "empty"}, {"{", "broken"}, {"null", "null"}, {"[]", "empty list"}, {`"x"`, "string"}, {"5", "number"},
		{`{"fields":null,"ignoredFields":[]}`, "fields null"},
		{`{"fields":{},"ignoredFields":[]}`, "fields an object"},
		{`{"fields":"x","ignoredFields":[]}`, "fields a string"},
		{`{"fields":[],"ignoredFields":[]}`, "no fields"},
		{`{"fields":[{}],"ignoredFields":[]}`, "field without keys"},
		{`{"fields":[{"name":"a"}],"ignoredFields":[]}`, "field without value and path"},
		{`{"fields":[{"name":"a","value":"b"}],"ignoredFields":[]}`, "field without path"},
		{`{"fields":[{"value":"b","fieldPath":"input[text].a"}],"ignoredFields":[]}`, "field without name"},
		{`{"fields":[{"name":"a","fieldPath":"input[text].a"}],"ignoredFields":[]}`, "field without value"},
		{`{"fields":["x"],"ignoredFields":[]}`, "field a string"},
		{oneField("null"), "value null"}, {oneField("5"), "value integer"}, {oneField("1.50"), "value float"},
		{oneField("true"), "value true"}, {oneField("false"), "value false"}, {oneField(`{"k":"v"}`), "value an object"},
		{oneField(`[["x"],"y"]`), "value nested lists"}, {oneField("[]"), "value empty list"},
		{oneField(`["x",null,""]`), "list with null and empty"},
		{`{"fields":[{"name":"","value":"x","fieldPath":"input[text]."}],"ignoredFields":[]}`, "empty name"},
		{`{"fields":[{"name":7,"value":"x","fieldPath":"input[text].7"}],"ignoredFields":[]}`, "name a number"},
		{`{"fields":[{"name":["q"],"value":"x","fieldPath":"input[text].q"}],"ignoredFields":[]}`, "name a list"},
		{`{"fields":[` + fieldA + `],"ignoredFields":null}`, "ignoredFields null"},
		{`{"fields":[` + fieldA + `],"ignoredFields":"x"}`, "ignoredFields string"},
		{`{"fields":[` + fieldA + `]}`, "no ignoredFields"},
		{`{"fields":[` + fieldA + `],"ignoredFields":{"0":"p","k":"q"}}`, "ignoredFields object"},
		{`{"fields":[` + honeypot + `],"ignoredFields":[]}`, "a field that claims to be the honeypot"},
		{`{"fields":[` + fieldA + `,` + strings.Replace(fieldA, `"x"`, `"y"`, 1) + `],"ignoredFields":[]}`, "the same name twice"},
	}
}

// formOf is the form that belongs to a formData text; nothing if it has a field without a name.
func formOf(data string) map[string]any {
	var parsed struct {
		Fields []map[string]any `json:"fields"`
	}
	form := map[string]any{}
	if json.Unmarshal([]byte(data), &parsed) != nil {
		return form
	}
	for _, f := range parsed.Fields {
		name, ok := f["name"]
		if !ok {
			return map[string]any{}
		}
		if v, ok := f["value"]; ok {
			form[fmt.Sprint(name)] = v
		} else {
			form[fmt.Sprint(name)] = ""
		}
	}
	return form
}

// checkFormData returns the token of the last one.
func checkFormData(d *driver) (token string) {
	for i, c := range formDataCases() {
		token = d.token("P1", "")
		name := fmt.Sprintf("chk/form-%02d", i)
		reply := d.check(checkRequest{name: name, project: "P1", token: token, data: &c[0], note: "formData: " + c[1]})
		if v := str(reply["validationToken"]); v != "" {
			d.verify(name+"-verify", "P1", token, v, formOf(c[0]), "verify after formData: "+c[1])
		}
	}
	return token
}

func checkTwice(d *driver) {
	two := func(name, note string) (token, one, second string) {
		token = d.token("P1", "")
		a := d.check(checkRequest{name: name + "-1", project: "P1", token: token, fields: []field{text("a", "one")}})
		b := d.check(checkRequest{name: name + "-2", project: "P1", token: token, fields: []field{text("a", "two")}, note: note})
		return token, str(a["validationToken"]), str(b["validationToken"])
	}
	token, one, second := two("chk/twice", "second check with the same token: the last one counts")
	d.verify("chk/twice-verify-first", "P1", token, one, map[string]any{"a": "one"}, "validation token of the first check")
	d.verify("chk/twice-verify-second", "P1", token, second, map[string]any{"a": "two"}, "after the failed attempt")
	token, _, second = two("chk/twice-ok", "")
	d.verify("chk/twice-ok-verify", "P1", token, second, map[string]any{"a": "two"}, "")
	d.check(checkRequest{name: "chk/after-verify", project: "P1", token: token, fields: []field{text("a", "x")}, note: "check with a token that was verified"})
}

// check-form-data: malformed form data, then verify; repeated checks.
func groupCheck(d *driver) {
	key, token := d.key("P1"), d.token("P1", "")
	send := func(name, project, note string, vars map[string]any, form pairs) {
		d.do(request{name: "chk/" + name, project: project, method: "POST", path: chk, form: form, note: note, vars: vars})
	}
	of := func(token string) map[string]any { return map[string]any{"submitToken": token} }
	send("no-key", "", "", nil, pairs{{"submitToken", token}})
	send("no-token", "P1", "", nil, pairs{{"publicKey", key}})
	send("bad-token", "P1", "", nil, pairs{{"publicKey", key}, {"submitToken", "zzz"}})
	send("token-array", "P1", "", nil, pairs{{"publicKey", key}, {"submitToken[]", token}})
	send("token-other-project", "P3", "a token of another project", of(token),
		pairs{{"publicKey", d.key("P3")}, {"submitToken", token}, {"formData", `{"fields":[],"ignoredFields":[]}`}})
	send("no-form-data", "P1", "", of(token), pairs{{"publicKey", key}, {"submitToken", token}})
	token = checkFormData(d)
	send("form-data-array", "P1", "formData sent as a nested form array", of(token),
		pairs{{"publicKey", key}, {"submitToken", token}, {"formData[fields][0][name]", "a"}})
	token = d.token("P1", "")
	object := formDataOf([]field{text("a", "b")}, nil)
	quoted, err := json.Marshal(object)
	if err != nil {
		d.t.Fatal(err)
	}
	for _, c := range [][2]string{{"string", string(quoted)}, {"object", object}} {
		d.do(request{name: "chk/json-body-" + c[0], project: "P1", method: "POST", path: chk, headers: pairs{jsonType}, vars: of(token), token: token,
			body: ptr(`{"publicKey":"` + key + `","submitToken":"` + token + `","formData":` + c[1] + `}`), note: "whole request as JSON, formData a " + c[0]})
	}
	checkTwice(d)
}

// values and field names through check and verify (hashes, signatures).
func groupValues(d *driver) {
	full := func(name, note string, fields ...field) {
		d.full(flow{name: "val/" + name, project: "P1", fields: fields, note: note})
	}
	for _, c := range []struct {
		name  string
		value any
	}{
		{"plain", "John"}, {"empty", ""}, {"blank", "   "}, {"zero", "0"}, {"crlf", "a\r\nb"}, {"lf", "a\nb"}, {"cr", "a\rb"},
		{"tab", "\tx"}, {"html", `<b onclick="x()">& "q" 's'</b>`}, {"unicode", "ÄÖÜ ß é ñ"}, {"emoji", "😀👨\u200d👩\u200d👧"},
		{"cjk", "日本語 テスト"}, {"rtl", "שלום مرحبا"}, {"combining", "e\u0301"}, {"nul", "a\x00b"}, {"u2028", "a\u2028b"},
		{"bom", "\ufeffx"}, {"slash", `a/b\c`}, {"brackets", "a[]b{}"}, {"list", []string{"a", "b"}}, {"list-empty-strings", []string{"", ""}},
		{"long", strings.Repeat("x", 66000)}, {"long-words", strings.Repeat("lorem ipsum ", 2000)}, {"number-string", "007"}, {"float-string", "1e3"},
		{"percent", `100% _ \`}, {"quote", `O'Brien "x"`},
	} {
		full(c.name, "", at("textarea", "field", c.value))
	}
	var many []field
	for i := range 200 {
		many = append(many, text(fmt.Sprint("f", i), fmt.Sprint("v", i)))
	}
	full("many-fields", "", many...)
	ab := []field{text("a", "b")}
	d.full(flow{name: "val/no-ua", project: "P1", fields: ab, note: "no User-Agent header", agent: noAgent})
	d.full(flow{name: "val/empty-ua", project: "P1", fields: ab, note: "empty User-Agent", agent: "="})
	nested := text("user[name]", "x")
	full("nested-name", "nested names kept flat by the client", nested, at("select", "user[tags]", []string{"a", "b"}))
	d.full(flow{name: "val/nested-name-as-php", project: "P1", fields: []field{nested}, note: "nested names turned into arrays by the back end",
		form: map[string]any{"user": map[string]any{"name": "x"}}})
	tags := at("select", "tags[]", []string{"a"})
	full("name-with-list-suffix", "", tags)
	d.full(flow{name: "val/name-list-suffix-stripped", project: "P1", fields: []field{tags}, form: map[string]any{"tags": []string{"a"}}})
	full("object-value", "", text("o", map[string]any{"b": "x", "a": "y"}))
	full("nested-object", "", text("o", map[string]any{"k": []any{"a", "b"}}))
	full("unicode-name", "", text("näme ✓", "x"))
	full("dot-name", "", text("a.b c", "x"))
	full("case-names", "order of the keys in the signature", text("B", "1"), text("a", "2"), text("C", "3"), text("10", "x"), text("9", "y"))
	d.full(flow{name: "val/ignored", project: "P1", fields: ab, note: "ignored fields", ignored: []string{"pw", "agree"}})
}
