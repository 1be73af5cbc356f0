package httpapi_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/crypt"
	"github.com/mosparoctl/mosparoctl/protection/httpapi"
	"github.com/mosparoctl/mosparoctl/protection/message"
	"github.com/mosparoctl/mosparoctl/protection/php"
	"github.com/mosparoctl/mosparoctl/protection/rule"
	"github.com/mosparoctl/mosparoctl/protection/server"
	"github.com/mosparoctl/mosparoctl/protection/sign"
	"github.com/mosparoctl/mosparoctl/protection/store"
)

const tokenPath, checkPath = "/api/v1/frontend/request-submit-token", "/api/v1/frontend/check-form-data"

// zeros is an endless body.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 'a'
	}
	return len(b), nil
}

func TestLargeBodies(t *testing.T) {
	a := start(t, nil)
	send := func(length int64, body io.Reader) int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, a.base+tokenPath, body)
		if err != nil {
			t.Fatal(err)
		}
		req.ContentLength = length
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return 413 // the server hung up while we still sent
		}
		defer res.Body.Close()
		return res.StatusCode
	}
	const size = 100 << 20
	if got := send(size, io.LimitReader(zeros{}, size)); got != 413 {
		t.Errorf("100 MB: status %d", got)
	}
	if got := send(-1, io.LimitReader(zeros{}, size)); got != 413 {
		t.Errorf("100 MB in chunks: status %d", got)
	}
	if got := send(8<<20, io.LimitReader(zeros{}, 8<<20)); got != 400 {
		t.Errorf("8 MB without a key: status %d", got)
	}
}

// TestMemory sends many bodies at once, large ones and such as become large. What the server needs beyond its usual memory is bounded by
// the few of them that it handles at a time.
func TestMemory(t *testing.T) {
	elements := strings.Repeat("[],", 2<<20) // six bytes of text, a hundred of memory each, if somebody built them
	objects := strings.Repeat(`{"a":1},`, 28_000)
	for name, c := range map[string]struct {
		requests int
		json     string
		form     string
		query    string
	}{
		"large":   {24, `{"publicKey":"pubkey","x":[` + strings.TrimSuffix(elements, ",") + `]}`, "publicKey=pubkey&formData=" + strings.Repeat("%5B%5D%2C", 800<<10), ""},
		"many":    {120, `{"publicKey":"pubkey","x":[` + objects + `1]}`, "publicKey=pubkey&formData=" + strings.Repeat("%5B%5D%2C", 24<<10), ""},
		"queries": {300, "{}", "", "?" + strings.Repeat("a"+strings.Repeat("[]", 60)+"&", 230)},
	} {
		t.Run(name, func(t *testing.T) {
			a := start(t, nil)
			peak := heapPeak(func() {
				var group sync.WaitGroup
				for i := range c.requests {
					group.Go(func() {
						body, kind := c.json, "application/json"
						if i%2 == 1 {
							body, kind = c.form, "application/x-www-form-urlencoded"
						}
						if res, text := a.do("POST", tokenPath+c.query, body, "Content-Type", kind); res.StatusCode >= 500 {
							t.Errorf("%s: %.200s", res.Status, text)
						}
					})
				}
				group.Wait()
			})
			// The test's own bodies and the client's copies are in it, too.
			if peak > 320<<20 {
				t.Errorf("%d MB of heap", peak>>20)
			}
			t.Logf("%d MB of heap at most", peak>>20)
		})
	}
}

// heapPeak is the largest heap while f runs.
func heapPeak(f func()) (peak uint64) {
	runtime.GC()
	done := make(chan struct{})
	var watcher sync.WaitGroup
	watcher.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak = max(peak, m.HeapInuse)
			select {
			case <-done:
				return
			case <-tick.C:
			}
		}
	})
	f()
	close(done)
	watcher.Wait()
	return peak
}

func TestOddForms(t *testing.T) {
	a := start(t, nil)
	token := func() string {
		s, _ := a.form(tokenPath, url.Values{"pageTitle": {"x"}, "pageUrl": {"y"}})["submitToken"].(string)
		return s
	}
	fields := func(n int, value string) string {
		var b strings.Builder
		b.WriteString(`{"fields":[`)
		for i := range n {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(`{"name":"f` + php.FormatInt(int64(i)) + `","value":"` + value + `","fieldPath":"input[text].f"}`)
		}
		return b.String() + `],"ignoredFields":[]}`
	}
	for name, c := range map[string]struct {
		data  string
		valid bool
	}{
		"10,000 fields":  {fields(10_000, "v"), true},
		"10,001 fields":  {fields(10_001, "v"), false},
		"1 MB value":     {fields(1, strings.Repeat("lorem ", 180_000)), true},
		"deep":           {`{"fields":[{"name":"a","value":` + strings.Repeat("[", 600) + strings.Repeat("]", 600) + `}]}`, false},
		"many members":   {`{"fields":[],"x":[` + strings.Repeat("1,", 200_000) + `1]}`, false},
		"lone surrogate": {`{"fields":[{"name":"a","value":"\ud800"}]}`, false},
		"bad UTF-8":      {"{\"fields\":[{\"name\":\"a\",\"value\":\"\xff\xfe\",\"fieldPath\":\"textarea.a\"}]}", false},
	} {
		got := a.form(checkPath, url.Values{"submitToken": {token()}, "formData": {c.data}})
		if valid := got["valid"] == true; valid != c.valid || !valid && got["errorMessage"] != "Form data not valid." {
			t.Errorf("%s: %.300v", name, got)
		}
	}
	many := url.Values{"publicKey": {"pubkey"}, "pageTitle": {"x"}, "pageUrl": {"y"}}.Encode() + strings.Repeat("&a[]=1", 10_000)
	if res, text := a.do("POST", tokenPath, many, "Content-Type", "application/x-www-form-urlencoded"); res.StatusCode != http.StatusOK {
		t.Errorf("10,000 parameters: %s %s", res.Status, text)
	}
	for _, name := range []string{"pageTitle", "pageUrl", "formActionUrl", "formId", "language", "htmlLanguage"} {
		v := url.Values{"pageTitle": {"x"}, "pageUrl": {"y"}}
		v.Set(name, "\xff\x00\xc3"+strings.Repeat("é", 40_000))
		if got := a.form(tokenPath, v, "Accept-Language", "\xff,*;q=x", "User-Agent", "\xff\xfe"); got["submitToken"] == nil {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestRegexBomb checks a text that makes a naive matcher run for years.
func TestRegexBomb(t *testing.T) {
	a := start(t, nil)
	s := a.server.Store()
	r := &protection.Rule{ProjectID: a.project.ID, UUID: protection.NewUUID(), Name: "bomb", Type: protection.RuleWord, Active: true}
	if err := s.SaveRule(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	var items []protection.RuleItem
	for _, p := range []string{`/^(a+)+$/`, `/(a|aa)+\1$/`, `/(?=(a+))\1+b/`, `/a.*b.*c.*d.*e.*f.*g/s`} {
		item, err := rule.NewItem(protection.ItemRegex, p, 1)
		if err != nil {
			t.Fatal(err)
		}
		items = append(items, item)
	}
	if err := s.AddItems(t.Context(), a.project.ID, r.ID, items); err != nil {
		t.Fatal(err)
	}
	if err := a.server.Reload(t.Context(), server.Settings{TrustedProxies: "127.0.0.1"}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	ended := make(chan string, 1)
	go func() {
		_, v := a.submit(strings.Replace(oneField, `"b"`, `"`+strings.Repeat("a", 100_000)+`!"`, 1))
		ended <- v
	}()
	select {
	case v := <-ended:
		if v == "" {
			t.Error("the text counts as spam")
		}
	case <-ctx.Done():
		t.Error("the check did not end")
	}
}

// TestSlowClients opens connections that never finish their headers; the server hangs up.
func TestSlowClients(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for the timeout of ten seconds")
	}
	t.Parallel()
	a := start(t, nil)
	var group sync.WaitGroup
	for range 50 {
		group.Go(func() {
			c, err := net.Dial("tcp", strings.TrimPrefix(a.base, "http://"))
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			_, _ = io.WriteString(c, "POST "+tokenPath+" HTTP/1.1\r\nHost: x\r\nX-A: ")
			_ = c.SetReadDeadline(time.Now().Add(time.Minute))
			if _, err := bufio.NewReader(c).ReadByte(); err == nil {
				return // a 408, then the end
			} else if e, ok := err.(net.Error); ok && e.Timeout() { //nolint:errorlint // as net documents it
				t.Error("the server still waits")
			}
		})
	}
	group.Wait()
	if got := a.form(tokenPath, url.Values{"pageTitle": {"x"}, "pageUrl": {"y"}}); got["submitToken"] == nil {
		t.Errorf("afterwards: %v", got)
	}
}

// fixed serves one project from memory.
type fixed struct {
	project *httpapi.Project
	matcher *rule.Matcher
	panics  bool
}

func (f *fixed) ByPublicKey(_ context.Context, key string) (*httpapi.Project, error) {
	if f.panics {
		panic("a defect with secret details")
	}
	if key != f.project.PublicKey {
		return nil, protection.Errorf(protection.CodeNotFound, "no project")
	}
	return f.project, nil
}

func (f *fixed) ByUUID(ctx context.Context, _ string) (*httpapi.Project, error) {
	return f.ByPublicKey(ctx, f.project.PublicKey)
}

func (f *fixed) Refresh(context.Context) error { return nil }

func (f *fixed) Matcher(context.Context, int64) (*rule.Matcher, error) { return f.matcher, nil }

func handler(t testing.TB, log io.Writer) (*httpapi.Handler, *fixed, *store.Store) {
	t.Helper()
	key, _ := crypt.GenerateKey()
	s, err := store.Open(t.Context(), store.Options{Path: filepath.Join(t.TempDir(), "h.sqlite"), Key: key})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	p := &protection.Project{UUID: protection.NewUUID(), Name: "F", Hosts: []string{"*"}, PublicKey: "pubkey", PrivateKey: "privkey", Active: true, SpamScore: 5,
		StatisticStorageLimit: protection.Forever, MetadataAllowed: true, APIDebugMode: true, Settings: protection.Settings{}}
	if err := s.CreateProject(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	item, err := rule.NewItem(protection.ItemText, "casino", 9)
	if err != nil {
		t.Fatal(err)
	}
	set := &protection.RuleSet{ProjectID: p.ID, Rules: []protection.Rule{{ID: 1, UUID: "u", Type: protection.RuleWord, Active: true, Items: []protection.RuleItem{item}}}}
	f := &fixed{project: &httpapi.Project{Project: p}, matcher: rule.Compile(set, rule.SQLite)}
	return httpapi.New(httpapi.Options{Store: s, Projects: f, Messages: message.Own(), Health: func(context.Context) httpapi.Health { return httpapi.Health{} },
		Log: slog.New(slog.NewTextHandler(log, nil))}), f, s
}

func TestPanic(t *testing.T) {
	var log bytes.Buffer
	h, f, _ := handler(t, &log)
	f.panics = true
	req := httptest.NewRequest(http.MethodPost, tokenPath, strings.NewReader("publicKey=pubkey"))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	id := w.Header().Get("X-Request-Id")
	if w.Code != 500 || strings.Contains(w.Body.String(), "secret") || !strings.Contains(w.Body.String(), `"detail":"Internal Server Error"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if id == "" || !strings.Contains(log.String(), "request="+id) || !strings.Contains(log.String(), "secret details") {
		t.Errorf("request id %q, log %s", id, &log)
	}
}

// FuzzRequest sends whatever to the frontend API: no panic, no 500.
func FuzzRequest(f *testing.F) {
	h, _, _ := handler(f, io.Discard)
	for _, path := range []string{tokenPath, checkPath, "/api/v1/frontend/store-form-data", "/api/v1/verification/verify", "/api/v1/rule-package/1/batch", "/api/v1/health/check/", "/x"} {
		f.Add("POST", path, "application/x-www-form-urlencoded", "application/json", "publicKey=pubkey&pageTitle=a&pageUrl[]=b&submitToken=x", "en-GB,*;q=0.1", "https://x")
		f.Add("PUT", path, "application/json", "text/html,*/*", `{"publicKey":"pubkey","pageTitle":null,"pageUrl":1.5e300,"formData":"{}"}`, "\xff", "null")
		f.Add("POST", path, "multipart/form-data; boundary=X", "*/*", "--X\r\nContent-Disposition: form-data; name=\"publicKey\"\r\n\r\npubkey\r\n--X--\r\n", "", "")
	}
	f.Fuzz(func(t *testing.T, method, path, kind, accept, body, language, origin string) {
		req := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		req.Method, req.URL = method, &url.URL{Path: path, RawQuery: language}
		req.Header = http.Header{"Content-Type": {kind}, "Accept": {accept}, "Accept-Language": {language}, "Origin": {origin}, "User-Agent": {origin},
			"X-Forwarded-For": {language}, "Authorization": {accept}}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		if w.Code >= 500 {
			t.Errorf("status %d: %s", w.Code, w.Body)
		}
	})
}

// FuzzFormData takes a token, checks any form data with it, and verifies what was accepted with any hashes.
func FuzzFormData(f *testing.F) {
	h, _, s := handler(f, io.Discard)
	f.Add(oneField, `{"k":1}`, `{"a":"x"}`)
	f.Add(`{"fields":[{"name":["a"],"value":[["x"]]},{"name":"casino","value":{"k":"casino"}}],"ignoredFields":{"a":1}}`, "5", `{"a":{"b":["c"]}}`)
	f.Fuzz(func(t *testing.T, form, metadata, hashes string) {
		token := &protection.SubmitToken{ProjectID: 1, Token: sign.NewToken(), CreatedAt: s.Now()}
		if err := s.CreateToken(t.Context(), token); err != nil {
			t.Fatal(err)
		}
		send := func(path, kind, body string, headers ...string) map[string]any {
			req := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
			req.Header.Set("Content-Type", kind)
			for i := 0; i < len(headers); i += 2 {
				req.Header.Set(headers[i], headers[i+1])
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, req)
			if w.Code >= 500 {
				t.Errorf("%s: status %d: %s", path, w.Code, w.Body)
			}
			var reply map[string]any
			_ = json.Unmarshal(w.Body.Bytes(), &reply)
			return reply
		}
		values := url.Values{"publicKey": {"pubkey"}, "submitToken": {token.Token}, "formData": {form}, "metadata": {metadata}}.Encode()
		send("/api/v1/frontend/store-form-data", "application/x-www-form-urlencoded", values)
		validation, _ := send(checkPath, "application/x-www-form-urlencoded", values)["validationToken"].(string)
		if validation == "" {
			return
		}
		data, err := php.DecodeJSON(hashes)
		if err != nil {
			return
		}
		const path = "/api/v1/verification/verify"
		all := obj("submitToken", token.Token, "validationSignature", sign.HMAC("privkey", validation), "formSignature", "", "formData", data, "metadata", metadata)
		body, err := php.EncodeJSON(all, php.Default)
		if err != nil {
			return
		}
		decoded, err := php.DecodeJSON(body)
		if err != nil {
			t.Fatal(err)
		}
		signature, err := sign.Request("privkey", path, decoded)
		if err != nil {
			return
		}
		send(path, "application/json", body, "Authorization", "Basic "+base64Text("pubkey:"+signature))
	})
}
