package conformance

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mosparoctl/mosparoctl/protection/php"
	"github.com/mosparoctl/mosparoctl/protection/sign"
)

const (
	rst        = "/api/v1/frontend/request-submit-token"
	chk        = "/api/v1/frontend/check-form-data"
	sto        = "/api/v1/frontend/store-form-data"
	verifyPath = "/api/v1/verification/verify"
	healthPath = "/api/v1/health/check"

	browser  = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
	noAgent  = "\x00" // no User-Agent header at all
	formType = "application/x-www-form-urlencoded"
)

// pairs are parameters or headers in their order.
type pairs [][2]string

func (p pairs) encode() string {
	parts := make([]string, len(p))
	for i, kv := range p {
		parts[i] = url.QueryEscape(kv[0]) + "=" + url.QueryEscape(kv[1])
	}
	return strings.Join(parts, "&")
}

// with is a copy of p in which the given parameters replace those of the same name.
func (p pairs) with(more ...[2]string) pairs {
	out := slices.Clone(p)
	for _, kv := range more {
		if i := slices.IndexFunc(out, func(o [2]string) bool { return o[0] == kv[0] }); i >= 0 {
			out[i] = kv
		} else {
			out = append(out, kv)
		}
	}
	return out
}

var (
	jsonType = [2]string{"Content-Type", "application/json"}
	page     = pairs{{"pageTitle", "Contact"}, {"pageUrl", "http://localhost/contact"}}
)

// project is one of projects.json.
type project struct {
	UUID, PublicKey, PrivateKey string
	Hosts                       []string
}

// exchange is a recorded case.
type exchange struct {
	Name     string            `json:"name"`
	Note     string            `json:"note"`
	Vars     map[string]any    `json:"vars"`
	Facts    map[string]string `json:"facts"`
	Database json.RawMessage   `json:"db"`
	Response struct {
		Status  int               `json:"status"`
		Headers map[string]string `json:"headers"`
		Body    any               `json:"body"` // text, or an object for what is no text
	} `json:"response"`
}

// driver sends the requests of the kit in their order and records the answers. It uses one client address for each
// scenario, since the server counts by address.
type driver struct {
	t        *testing.T
	address  string                   // also the host of the requests
	route    func(path string) string // address of the server that takes the next request, nil: address
	projects map[string]project
	db       *sql.DB // nil: the database is not looked at
	only     string
	recorded map[string]*exchange
	run, ips int
}

// ip is a client address that this run has not used yet.
func (d *driver) ip() string {
	d.ips++
	return fmt.Sprintf("10.%d.%d.%d", d.run, d.ips/250, d.ips%250+1)
}

func (d *driver) key(project string) string { return d.projects[project].PublicKey }

// send writes a request byte by byte as given; net/http's client would add and drop headers.
func (d *driver) send(method, path string, headers pairs, body *string) (int, http.Header, string, error) {
	to := d.address
	if d.route != nil {
		to = d.route(path)
	}
	conn, err := net.Dial("tcp", to)
	if err != nil {
		return 0, nil, "", err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\n", method, path)
	if body != nil {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(*body))
	}
	for _, h := range headers {
		fmt.Fprintf(&b, "%s: %s\r\n", h[0], h[1])
	}
	b.WriteString("Connection: close\r\n\r\n")
	if body != nil {
		b.WriteString(*body)
	}
	if _, err := io.WriteString(conn, b.String()); err != nil {
		return 0, nil, "", err
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		return 0, nil, "", err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	return res.StatusCode, res.Header, string(raw), err
}

// request is one case.
type request struct {
	name, project, method, path string
	headers                     pairs
	form                        pairs   // sent as a form, unless body is set
	body                        *string // sent as it is
	note, xff, agent, accept    string
	vars                        map[string]any
	token                       string // whose newest submission is looked up afterwards
	facts                       func(map[string]any) map[string]string
}

func (d *driver) baseHeaders(r request) pairs {
	h := pairs{{"Host", d.address}}
	switch r.agent {
	case noAgent:
	case "":
		h = append(h, [2]string{"User-Agent", browser})
	default:
		h = append(h, [2]string{"User-Agent", strings.TrimPrefix(r.agent, "=")})
	}
	if r.accept == "" {
		r.accept = "application/json"
	}
	h = append(h, [2]string{"Accept", r.accept})
	if r.xff != "" {
		h = append(h, [2]string{"X-Forwarded-For", r.xff})
	}
	return h
}

// do sends a case and records it. The result is the reply if it is a JSON object.
func (d *driver) do(r request) map[string]any {
	d.t.Helper()
	if _, twice := d.recorded[r.name]; twice {
		d.t.Fatalf("case %s occurs twice", r.name)
	}
	headers := d.baseHeaders(r)
	body := r.body
	if body == nil && r.form != nil {
		text := r.form.encode()
		body = &text
		if !slices.ContainsFunc(r.headers, func(h [2]string) bool { return strings.EqualFold(h[0], "Content-Type") }) {
			headers = append(headers, [2]string{"Content-Type", formType})
		}
	}
	status, h, raw, err := d.send(r.method, r.path, append(headers, r.headers...), body)
	if err != nil {
		raw = "no answer: " + err.Error()
	}
	var reply map[string]any
	_ = json.Unmarshal([]byte(raw), &reply)
	if strings.Contains(r.name, d.only) {
		d.record(r, status, h, raw, reply)
	}
	return reply
}

func (d *driver) record(r request, status int, h http.Header, raw string, reply map[string]any) {
	e := &exchange{Name: r.name, Note: r.note, Vars: r.vars}
	e.Response.Status, e.Response.Body, e.Response.Headers = status, d.neutral(raw), map[string]string{}
	for _, name := range functionalHeaders {
		if v := h.Values(name); v != nil {
			e.Response.Headers[name] = d.neutral(strings.Join(v, ", "))
		}
	}
	if r.facts != nil {
		e.Facts = r.facts(reply)
	}
	if result, _ := reply["proofOfWorkResult"].(string); result != "" {
		if e.Facts == nil {
			e.Facts = map[string]string{}
		}
		e.Facts["proofOfWork"] = "solvable"
		if solve(reply) < 0 {
			e.Facts["proofOfWork"] = "unsolvable"
		}
	}
	if r.token != "" && d.db != nil {
		e.Database = d.submission(r.token)
	}
	d.recorded[r.name] = e
}

// neutral takes the server's own address out of a text.
func (d *driver) neutral(text string) string {
	base := "http://" + d.address
	text = strings.ReplaceAll(text, base, "http://BASE")
	return strings.ReplaceAll(text, strings.ReplaceAll(base, "/", `\/`), `http:\/\/BASE`)
}

// newestSubmission reads what the database holds about the newest submission of a token.
const newestSubmission = `SELECT JSON_OBJECT('submission_id', s.id, 'validation_token', s.validation_token, 'signature', s.signature,
 'matched_rule_items', s.matched_rule_items, 'ignored_fields', s.ignored_fields, 'general_verifications',
 s.general_verifications, 'spam_rating', s.spam_rating, 'spam', s.spam, 'spam_detection_rating', s.spam_detection_rating,
 'valid', s.valid, 'verified_fields', s.verified_fields, 'issues', s.issues, 'verified_at_set', s.verified_at IS NOT NULL,
 'matched_field_rule_items', d.matched_field_rule_items, 'matched_submission_rules', d.matched_submission_rules,
 'token_verified', t.verified_at IS NOT NULL, 'token_checked', t.checked_at IS NOT NULL,
 'is_last_submission', t.last_submission_id = s.id)
 FROM submission s JOIN submit_token t ON t.id = s.submit_token_id LEFT JOIN detection_result d ON d.submission_id = s.id
 WHERE t.token = ? ORDER BY s.id DESC LIMIT 1`

func (d *driver) submission(token string) json.RawMessage {
	d.t.Helper()
	var text string
	err := d.db.QueryRowContext(context.Background(), newestSubmission, token).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return json.RawMessage(`{"none": true}`)
	}
	if err != nil {
		d.t.Fatal(err)
	}
	return json.RawMessage(text)
}

// solve finds the number of the proof of work of a token reply, -1 if there is none.
func solve(reply map[string]any) int {
	token, _ := reply["submitToken"].(string)
	most, _ := reply["proofOfWorkMaxNumber"].(float64)
	for i := 0; reply["proofOfWorkResult"] != nil && i <= int(most); i++ {
		if sign.Hash(token+strconv.Itoa(i)) == reply["proofOfWorkResult"] {
			return i
		}
	}
	return -1
}

func str(v any) string {
	s, _ := v.(string)
	return s
}

func ptr(s string) *string { return &s }

// ---- steps of the protocol ----

func (d *driver) tokenForm(project string, extra ...[2]string) pairs {
	return append(pairs{{"publicKey", d.key(project)}}, page.with(append([][2]string{{"formActionUrl", "http://localhost/send"}, {"formId", "f1"},
		{"htmlLanguage", ""}}, extra...)...)...)
}

// newToken requests a token without recording it.
func (d *driver) newToken(project, xff string, extra ...[2]string) map[string]any {
	d.t.Helper()
	body := d.tokenForm(project, extra...).encode()
	_, _, raw, err := d.send("POST", rst, append(d.baseHeaders(request{xff: xff}), [2]string{"Content-Type", formType}), &body)
	if err != nil {
		d.t.Fatalf("request a token: %v", err)
	}
	var reply map[string]any
	_ = json.Unmarshal([]byte(raw), &reply)
	return reply
}

func (d *driver) token(project, xff string) string {
	return str(d.newToken(project, xff)["submitToken"])
}

func (d *driver) tokenCase(name, project, xff, note string, extra ...[2]string) map[string]any {
	return d.do(request{name: name, project: project, method: "POST", path: rst, form: d.tokenForm(project, extra...), note: note, xff: xff})
}

// postToken records a token request with just these parameters.
func (d *driver) postToken(name, project, note string, headers pairs, form pairs) map[string]any {
	return d.do(request{name: name, project: project, method: "POST", path: rst, headers: headers, note: note,
		form: append(pairs{{"publicKey", d.key(project)}}, form...)})
}

// field is one form field as the widget sends it; the path is ELEMENT[TYPE].NAME.
type field struct {
	Name      string `json:"name"`
	Value     any    `json:"value"`
	FieldPath string `json:"fieldPath"`
	noValue   bool
}

func text(name string, value any) field {
	return field{Name: name, Value: value, FieldPath: "input[text]." + name}
}

func at(path, name string, value any) field {
	return field{Name: name, Value: value, FieldPath: path + "." + name}
}

// MarshalJSON leaves the value out where a case wants that.
func (f field) MarshalJSON() ([]byte, error) {
	m := map[string]any{"name": f.Name, "fieldPath": f.FieldPath}
	if !f.noValue {
		m["value"] = f.Value
	}
	return json.Marshal(m)
}

func formDataOf(fields []field, ignored []string) string {
	if ignored == nil {
		ignored = []string{}
	}
	data, err := json.Marshal(map[string]any{"fields": fields, "ignoredFields": ignored})
	if err != nil {
		panic(err)
	}
	return string(data)
}

func valuesOf(fields []field) map[string]any {
	m := map[string]any{}
	for _, f := range fields {
		if m[f.Name] = f.Value; f.noValue {
			m[f.Name] = ""
		}
	}
	return m
}

// checkRequest is a check-form-data case.
type checkRequest struct {
	name, project, token, note string
	fields                     []field
	ignored                    []string
	data                       *string // in place of fields
	xff, agent                 string
	vars                       map[string]any
	extra                      pairs
}

func (d *driver) check(c checkRequest) map[string]any {
	d.t.Helper()
	if c.data == nil {
		c.data = ptr(formDataOf(c.fields, c.ignored))
	}
	vars := map[string]any{"submitToken": c.token}
	maps.Copy(vars, c.vars)
	form := append(pairs{{"publicKey", d.key(c.project)}, {"submitToken", c.token}, {"formData", *c.data}}, c.extra...)
	return d.do(request{name: c.name, project: c.project, method: "POST", path: chk, form: form, note: c.note, vars: vars, token: c.token, xff: c.xff, agent: c.agent})
}

func (d *driver) authorization(project, path string, data php.Value) [2]string {
	d.t.Helper()
	p := d.projects[project]
	signature, err := sign.Request(p.PrivateKey, path, data)
	if err != nil {
		d.t.Fatal(err)
	}
	return [2]string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte(p.PublicKey+":"+signature))}
}

// hashed is a form value as the reference's client sends it: every leaf replaced by its hash, keys sorted as text.
func hashed(v any) php.Value {
	switch v := v.(type) {
	case map[string]any:
		m := php.NewArray()
		for _, k := range slices.Sorted(maps.Keys(v)) {
			m.SetString(k, hashed(v[k]))
		}
		return php.ArrayOf(m)
	case []any:
		list := php.NewArray()
		for _, e := range v {
			list.Append(hashed(e))
		}
		return php.ArrayOf(list)
	case []string:
		list := php.NewArray()
		for _, e := range v {
			list.Append(hashed(e))
		}
		return php.ArrayOf(list)
	case nil:
		return php.String(sign.Hash(""))
	case bool: // as that client, which is written in Python, has it
		if v {
			return php.String(sign.Hash("True"))
		}
		return php.String(sign.Hash("False"))
	case float64:
		return php.String(sign.Hash(strconv.FormatFloat(v, 'g', -1, 64)))
	}
	return php.String(sign.Hash(strings.ReplaceAll(fmt.Sprint(v), "\r\n", "\n")))
}

func (d *driver) verify(name, project, token, validation string, form map[string]any, note string, extra ...php.Pair) map[string]any {
	d.t.Helper()
	key := d.projects[project].PrivateKey
	values := hashed(form)
	signed, err := sign.Form(key, values)
	if err != nil {
		d.t.Fatal(err)
	}
	validationSignature := sign.HMAC(key, validation)
	data := php.Map(append([]php.Pair{{Key: "submitToken", Value: php.String(token)}, {Key: "validationSignature", Value: php.String(validationSignature)},
		{Key: "formSignature", Value: php.String(signed)}, {Key: "formData", Value: values}}, extra...)...)
	body, err := php.EncodeJSON(data, php.Default)
	if err != nil {
		d.t.Fatal(err)
	}
	right := sign.HMAC(key, validationSignature+signed)
	facts := func(reply map[string]any) map[string]string {
		got, ok := reply["verificationSignature"].(string)
		switch {
		case !ok:
			return map[string]string{"verificationSignature": "absent"}
		case got == "":
			return map[string]string{"verificationSignature": "empty"}
		case got == right:
			return map[string]string{"verificationSignature": "right"}
		}
		return map[string]string{"verificationSignature": "wrong"}
	}
	return d.do(request{name: name, project: project, method: "POST", path: verifyPath, headers: pairs{d.authorization(project, verifyPath, data), jsonType},
		body: &body, note: note, vars: map[string]any{"submitToken": token, "validationToken": validation}, token: token, facts: facts})
}

// prepare requests and checks a token without recording it.
func (d *driver) prepare(project string) (token, validation string, form map[string]any) {
	d.t.Helper()
	fields, xff := []field{text("name", "John"), at("textarea", "message", "Hi")}, d.ip()
	token = d.token(project, xff)
	body := pairs{{"publicKey", d.key(project)}, {"submitToken", token}, {"formData", formDataOf(fields, nil)}}.encode()
	_, _, raw, err := d.send("POST", chk, append(d.baseHeaders(request{xff: xff}), [2]string{"Content-Type", formType}), &body)
	if err != nil {
		d.t.Fatalf("check a form: %v", err)
	}
	var reply map[string]any
	_ = json.Unmarshal([]byte(raw), &reply)
	return token, str(reply["validationToken"]), valuesOf(fields)
}

// flow is a whole flow: token (not recorded), NAME/check and, if that passed, NAME/verify.
type flow struct {
	name, project, note, xff, agent string
	fields                          []field
	form                            map[string]any // what the website received, nil: the fields
	ignored                         []string
}

func (d *driver) full(f flow) {
	d.t.Helper()
	if f.xff == "" {
		f.xff = d.ip()
	}
	token := d.token(f.project, f.xff)
	reply := d.check(checkRequest{name: f.name + "/check", project: f.project, token: token, fields: f.fields, note: f.note, ignored: f.ignored, xff: f.xff, agent: f.agent})
	if v := str(reply["validationToken"]); v != "" {
		if f.form == nil {
			f.form = valuesOf(f.fields)
		}
		d.verify(f.name+"/verify", f.project, token, v, f.form, f.note)
	}
}
