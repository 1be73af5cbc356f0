package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// functionalHeaders are those that a browser or a client acts upon.
var functionalHeaders = []string{"access-control-allow-origin", "access-control-allow-methods", "access-control-allow-headers", "location"}

var (
	randomKeys = map[string]bool{"submitToken": true, "validationToken": true, "validation_token": true, "verificationSignature": true,
		"proofOfWorkResult": true, "expectedSignature": true, "receivedSignature": true, "signaturePayload": true, "expectedHash": true, "generatedHash": true}
	secondsKeys = map[string]bool{"minimumTimeElapsed": true, "seconds": true}
	timePattern = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00`)
	htmlPage    = regexp.MustCompile(`(?i)^\s*<(!doctype|html)`)
)

// normal is a value with everything that differs by nature replaced. known are the tokens that the request used: whether a
// reply gives one of them back counts.
func normal(v any, known []string, key string) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, e := range v {
			if key == "messages" {
				if k != "locale" {
					e = "<text>"
				}
				out[k] = e
				continue
			}
			out[k] = normal(e, known, k)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = normal(e, known, key)
		}
		return out
	case json.Number:
		f, err := v.Float64()
		switch {
		case secondsKeys[key] && !strings.ContainsAny(v.String(), ".eE"):
			return "<seconds>"
		case err == nil:
			return json.Number(strconv.FormatFloat(f, 'g', -1, 64))
		}
	case string:
		if randomKeys[key] && v != "" {
			if slices.Contains(known, v) {
				return "<the same " + key + ">"
			}
			return "<a new " + key + ">"
		}
		return timePattern.ReplaceAllString(v, "<time>")
	}
	return v
}

func decoded(data []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err = d.Decode(&v); err == nil && d.More() {
		err = fmt.Errorf("text after the value")
	}
	return v, err
}

// body is what is compared of a reply's body, and the order of its top-level keys.
func (e *exchange) body() (string, []string) {
	raw, isText := e.Response.Body.(string)
	if !isText {
		return encoded(e.Response.Body), nil
	}
	known := make([]string, 0, 4)
	for _, v := range e.Vars {
		known = append(known, str(v))
	}
	if v, err := decoded([]byte(raw)); err == nil {
		return encoded(normal(v, known, "")), topKeys(raw)
	}
	if htmlPage.MatchString(raw) {
		return "<html>", nil
	}
	return timePattern.ReplaceAllString(raw, "<time>"), nil
}

func encoded(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(data)
}

// topKeys lists the keys of a JSON object in their order.
func topKeys(text string) (keys []string) {
	d := json.NewDecoder(strings.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil
	}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil
		}
		keys = append(keys, fmt.Sprint(t))
		var skip json.RawMessage
		if d.Decode(&skip) != nil {
			return nil
		}
	}
	return keys
}

// byText brings the matches of each field into one order: mosparo stores them in that of its database, which differs between
// MySQL and MariaDB.
func byText(matches any) {
	fields, _ := matches.(map[string]any)
	for _, list := range fields {
		if l, ok := list.([]any); ok {
			slices.SortFunc(l, func(a, b any) int { return strings.Compare(encoded(a), encoded(b)) })
		}
	}
}

// database are the facts about a submission without its id; an empty list and an empty object are the same there.
func (e *exchange) database() map[string]string {
	v, err := decoded(e.Database)
	facts, ok := v.(map[string]any)
	if err != nil || !ok {
		return nil
	}
	out := map[string]string{}
	for k, f := range normal(facts, nil, "").(map[string]any) {
		if *external != "" && k == "matched_field_rule_items" {
			byText(f)
		}
		if text := encoded(f); k != "submission_id" && text != "{}" {
			out[k] = text
		} else if text == "{}" {
			out[k] = "[]"
		}
	}
	return out
}

// differences lists what distinguishes a recorded case from the expected one.
func differences(want, got *exchange) (found []string) {
	add := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	if want.Response.Status != got.Response.Status {
		add("status: %d, expected %d", got.Response.Status, want.Response.Status)
	}
	a, keysA := want.body()
	b, keysB := got.body()
	if a != b {
		add("body:     %.800s\n      expected: %.800s", b, a)
	} else if !slices.Equal(keysA, keysB) {
		add("order of the keys: %v, expected %v", keysB, keysA)
	}
	for _, name := range functionalHeaders {
		if w, g := want.Response.Headers[name], got.Response.Headers[name]; w != g {
			add("header %s: %q, expected %q", name, g, w)
		}
	}
	if !maps.Equal(want.Facts, got.Facts) {
		add("facts: %v, expected %v", got.Facts, want.Facts)
	}
	if len(want.Database) > 0 && len(got.Database) > 0 {
		a, b := want.database(), got.database()
		for _, k := range slices.Sorted(maps.Keys(a)) {
			if a[k] != b[k] {
				add("database, %s: %.800s, expected %.800s", k, b[k], a[k])
			}
			delete(b, k)
		}
		for _, k := range slices.Sorted(maps.Keys(b)) {
			add("database, %s: %.800s, expected nothing", k, b[k])
		}
	}
	return found
}

// The comparison must be able to fail.
func TestDifferences(t *testing.T) {
	base := func() *exchange {
		e := &exchange{Vars: map[string]any{"submitToken": "T"}, Facts: map[string]string{"f": "right"}, Database: json.RawMessage(`{"submission_id":1,"spam":0}`)}
		e.Response.Status, e.Response.Headers = 200, map[string]string{"location": "x", "other": "y"}
		e.Response.Body = `{"submitToken":"T","at":"2026-11-23T04:40:33+00:00","n":1,"messages":{"locale":"en","a":"b"}}`
		return e
	}
	for name, c := range map[string]struct {
		change func(*exchange)
		found  int
	}{
		"nothing": {func(*exchange) {}, 0},
		"what differs by nature": {func(e *exchange) {
			e.Response.Body = `{"submitToken":"T","at":"2027-01-01T00:00:00+00:00","n":1.0,"messages":{"locale":"en","a":"c"}}`
			e.Response.Headers["other"] = "z"
			e.Database = json.RawMessage(`{"submission_id":2,"spam":0}`)
		}, 0},
		"status":    {func(e *exchange) { e.Response.Status = 500 }, 1},
		"new token": {func(e *exchange) { e.Response.Body = strings.Replace(e.Response.Body.(string), `"T"`, `"U"`, 1) }, 1},
		"number":    {func(e *exchange) { e.Response.Body = strings.Replace(e.Response.Body.(string), `:1,`, `:2,`, 1) }, 1},
		"locale":    {func(e *exchange) { e.Response.Body = strings.Replace(e.Response.Body.(string), `"en"`, `"de"`, 1) }, 1},
		"order": {func(e *exchange) {
			e.Response.Body = `{"at":"2026-11-23T04:40:33+00:00","submitToken":"T","n":1,"messages":{"locale":"en","a":"b"}}`
		}, 1},
		"header":   {func(e *exchange) { delete(e.Response.Headers, "location") }, 1},
		"facts":    {func(e *exchange) { e.Facts = map[string]string{"f": "wrong"} }, 1},
		"database": {func(e *exchange) { e.Database = json.RawMessage(`{"submission_id":1,"spam":1,"more":2}`) }, 2},
	} {
		got := base()
		c.change(got)
		if found := differences(base(), got); len(found) != c.found {
			t.Errorf("%s: %d differences, want %d: %v", name, len(found), c.found, found)
		}
	}
}
