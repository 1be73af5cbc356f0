package demo

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/mosparoctl/mosparoctl/internal/lab/server"
)

// browser is a headless Chromium that a test drives by the W3C WebDriver protocol.
type browser struct {
	t       *testing.T
	session string // URL of the session
}

func startBrowser(t *testing.T) *browser {
	t.Helper()
	chromium := server.Binary(t, "chromium")
	addr := server.FreeAddress(t)
	_, port, _ := net.SplitHostPort(addr)
	p := server.Start(t, server.Binary(t, "chromedriver"), "--port="+port)
	p.WaitFor("chromedriver", server.Answers("tcp", addr))
	b := &browser{t: t, session: "http://" + addr + "/session"}
	var made struct {
		SessionID string `json:"sessionId"`
	}
	b.call("POST", "", map[string]any{"capabilities": map[string]any{"alwaysMatch": map[string]any{"browserName": "chrome",
		"goog:chromeOptions": map[string]any{"binary": chromium, "args": []string{"--headless=new", "--no-sandbox", "--disable-gpu",
			"--disable-dev-shm-usage", "--no-first-run", "--window-size=800,900", "--user-data-dir=" + t.TempDir()}}}}}, &made)
	b.session += "/" + made.SessionID
	t.Cleanup(func() { b.request(context.Background(), "DELETE", "", nil, nil) })
	return b
}

func (b *browser) call(method, path string, body, into any) {
	b.t.Helper()
	if err := b.request(b.t.Context(), method, path, body, into); err != nil {
		b.t.Fatal(err)
	}
}

func (b *browser) request(ctx context.Context, method, path string, body, into any) error {
	var data io.Reader
	if method == http.MethodPost {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		data = bytes.NewReader(text)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, b.session+path, data)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	var reply struct {
		Value json.RawMessage `json:"value"`
	}
	if err := json.Unmarshal(text, &reply); err != nil || res.StatusCode != http.StatusOK {
		return fmt.Errorf("webdriver %s %s: %s: %s", method, path, res.Status, text)
	}
	if into != nil {
		return json.Unmarshal(reply.Value, into)
	}
	return nil
}

func (b *browser) open(url string) {
	b.t.Helper()
	b.call("POST", "/url", map[string]any{"url": url}, nil)
}

// run is the result of a script in the page.
func (b *browser) run(script string) (v any) {
	b.t.Helper()
	b.call("POST", "/execute/sync", map[string]any{"script": script, "args": []any{}}, &v)
	return v
}

// wait polls until a script's result is true.
func (b *browser) wait(what, condition string) {
	b.t.Helper()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for b.run("return "+condition) != true {
		select {
		case <-tick.C:
		case <-deadline.C:
			b.screenshot("failed")
			b.t.Fatalf("%s did not happen; the page says: %v", what, b.run("return document.body.innerText"))
		}
	}
}

// element is the id of the first element that matches a selector.
func (b *browser) element(selector string) string {
	b.t.Helper()
	var found map[string]string
	b.call("POST", "/element", map[string]any{"using": "css selector", "value": selector}, &found)
	for _, id := range found {
		return id
	}
	b.t.Fatalf("no element %s", selector)
	return ""
}

func (b *browser) click(selector string) {
	b.t.Helper()
	b.call("POST", "/element/"+b.element(selector)+"/click", map[string]any{}, nil)
}

func (b *browser) write(selector, text string) {
	b.t.Helper()
	b.call("POST", "/element/"+b.element(selector)+"/value", map[string]any{"text": text}, nil)
}

// The keys of the WebDriver protocol.
const (
	keyTab   = "\uE004"
	keySpace = "\uE00D"
	keyEnter = "\uE007"
)

// press types keys wherever the focus is.
func (b *browser) press(keys ...string) {
	b.t.Helper()
	var actions []any
	for _, keys := range keys {
		for _, k := range keys {
			actions = append(actions, map[string]any{"type": "keyDown", "value": string(k)}, map[string]any{"type": "keyUp", "value": string(k)})
		}
	}
	b.call("POST", "/actions", map[string]any{"actions": []any{map[string]any{"type": "key", "id": "keyboard", "actions": actions}}}, nil)
}

// screenshot keeps a picture of the page in $MOSPAROCTL_ARTIFACTS, if that is set.
func (b *browser) screenshot(name string) {
	b.t.Helper()
	var picture string
	b.call("GET", "/screenshot", nil, &picture)
	png, err := base64.StdEncoding.DecodeString(picture)
	if err != nil || len(png) == 0 {
		b.t.Fatalf("screenshot: %d bytes, %v", len(png), err)
	}
	dir := os.Getenv("MOSPAROCTL_ARTIFACTS")
	if dir == "" {
		return
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "serve-demo-"+name+".png"), png, 0o644); err != nil {
		b.t.Fatal(err)
	}
}
