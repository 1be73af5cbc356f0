package server

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/cleanup"
	"github.com/mosparoctl/mosparoctl/protection/config"
	"github.com/mosparoctl/mosparoctl/protection/rule"
	"github.com/mosparoctl/mosparoctl/protection/sign"
)

func noEnvironment(string) (string, bool) { return "", false }

func options(t *testing.T) Options {
	t.Helper()
	dir := t.TempDir()
	file, err := Standalone(dir)
	if err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(config.Files{Config: file}, noEnvironment)
	if err == nil {
		err = CheckConfig(c)
	}
	if err != nil {
		t.Fatal(err)
	}
	o := FromConfig(c, dir, "")
	o.Listen, o.MetricsListen = "127.0.0.1:0", "127.0.0.1:0"
	return o
}

func open(t *testing.T, o Options) *Server {
	t.Helper()
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// eventually polls until a condition holds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("%s did not happen", what)
		}
	}
}

func newProject(t *testing.T, s *Server) *protection.Project {
	t.Helper()
	p := &protection.Project{UUID: protection.NewUUID(), Name: "p", PublicKey: sign.NewToken(), PrivateKey: sign.NewToken(), Active: true, SpamScore: 5, StatisticStorageLimit: protection.Forever}
	if err := s.Store().CreateProject(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestStandalone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "folder")
	file, err := Standalone(dir)
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(file); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	if _, err := Standalone(dir); err != nil {
		t.Error(err)
	}
	if after, _ := os.ReadFile(file); string(after) != string(before) {
		t.Error("the second start changed the key")
	}
	// A database without its key must not get a new one.
	if err := os.WriteFile(filepath.Join(dir, "mosparo.sqlite"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err := Standalone(dir); !protection.Is(err, protection.CodeInvalid) {
		t.Errorf("a lost key: %v", err)
	}
}

func TestHealthAndMetrics(t *testing.T) {
	o := options(t)
	s := open(t, o)
	eventually(t, "ready", s.Ready)
	health := func() (int, string) { return get(t, "http://"+s.Addr()+"/api/v1/health/check") }
	if status, text := health(); status != 200 || text != `{"service":"mosparo","healthy":true,"databaseStatus":"connected","error":null,"statusCode":200}` {
		t.Error(status, text)
	}
	eventually(t, "a file in the place of the cache's folder", func() bool { // which a check under way may make again
		return os.RemoveAll(o.Cache.Path) == nil && os.WriteFile(o.Cache.Path, nil, 0o600) == nil
	})
	eventually(t, "a report of the broken cache", func() bool {
		status, text := health()
		return status == 200 && strings.Contains(text, `"healthy":false,"databaseStatus":"connected","error":"cache: `)
	})
	s.health.mu.Lock()
	s.health.schema = protection.Errorf(protection.CodeSchema, "another schema")
	s.health.mu.Unlock()
	if status, text := health(); status != 500 || !strings.Contains(text, "another schema") {
		t.Error(status, text)
	}
	_, text := get(t, "http://"+s.MetricsAddr()+"/metrics")
	for _, want := range []string{`mosparo_http_requests_total{route="health",status="200"} `, `mosparo_http_requests_total{route="health",status="500"} 1`,
		`mosparo_up{part="cache"} 0`, `mosparo_up{part="database"} 1`, "go_goroutines"} {
		if !strings.Contains(text, want) {
			t.Errorf("metrics have no %s", want)
		}
	}
}

// Changes by other nodes, which reach this one only through the database, are seen within five seconds.
func TestChangesAreSeen(t *testing.T) {
	s := open(t, options(t))
	p := newProject(t, s)
	eventually(t, "ready", s.Ready)
	ctx := t.Context()
	if got, err := s.projects.ByPublicKey(ctx, p.PublicKey); err != nil || got.SpamScore != 5 {
		t.Fatal(got, err)
	}
	if m, err := s.projects.Matcher(ctx, p.ID); err != nil || m.Len() != 0 {
		t.Fatal(m, err)
	}
	p.SpamScore = 7
	if err := s.Store().UpdateProject(ctx, p); err != nil {
		t.Fatal(err)
	}
	r := &protection.Rule{ProjectID: p.ID, UUID: protection.NewUUID(), Name: "r", Type: protection.RuleWord, Active: true}
	if err := s.Store().SaveRule(ctx, r); err != nil {
		t.Fatal(err)
	}
	item, err := rule.NewItem(protection.ItemText, "casino", 1)
	if err == nil {
		err = s.Store().AddItems(ctx, p.ID, r.ID, []protection.RuleItem{item})
	}
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the new score and rule", func() bool {
		got, err := s.projects.ByPublicKey(ctx, p.PublicKey)
		m, err2 := s.projects.Matcher(ctx, p.ID)
		return err == nil && err2 == nil && got.SpamScore == 7 && m.Len() == 1
	})
	if err := s.Store().DeleteProject(ctx, p.ID); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the end of the project", func() bool {
		_, err := s.projects.ByPublicKey(ctx, p.PublicKey)
		return protection.Is(err, protection.CodeNotFound)
	})
}

func TestWebCron(t *testing.T) {
	o := options(t)
	o.Settings.WebCron = WebCron{Active: true, Key: "secret", Interval: time.Hour}
	o.Settings.TrustedProxies, o.Settings.Cleanup = "127.0.0.1", cleanup.Defaults()
	s := open(t, o)
	url := "http://" + s.Addr() + "/cron-jobs/execute"
	for _, c := range []struct {
		query string
		want  int
		text  string
	}{{"", 400, "400 Bad Request"}, {"?key=", 401, "401 Unauthorized"}, {"?key=wrong", 401, "401 Unauthorized"}, {"?key=secret", 200, "200 OK"}, {"?key=secret", 425, "425 Too Early"}} {
		if got, text := get(t, url+c.query); got != c.want || text != c.text {
			t.Errorf("%s: %d %s", c.query, got, text)
		}
	}
	if runs, err := s.Store().Cleanups(t.Context(), 10); err != nil || len(runs) == 0 {
		t.Errorf("cleanups: %v, %v", runs, err)
	}
	o.Settings.WebCron.AllowList = "10.0.0.1"
	if err := s.Reload(t.Context(), o.Settings); err != nil {
		t.Fatal(err)
	}
	for accept, want := range map[string]string{"application/json": `{"error":true,"errorMessage":"Access to the web cron jobs for this IP address (127.0.0.1) is not allowed."}`, "*/*": "<!DOCTYPE html>"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"?key=secret", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", accept)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(res.Body)
		if _ = res.Body.Close(); err != nil || res.StatusCode != http.StatusForbidden || !strings.HasPrefix(string(text), want) {
			t.Errorf("from elsewhere: %s %s, %v", res.Status, text, err)
		}
	}
}

// Close lets a request in flight end.
func TestCloseDrains(t *testing.T) {
	o := options(t)
	o.DrainTime = 2 * time.Second
	s := open(t, o)
	eventually(t, "ready", s.Ready)
	closed := make(chan error, 1)
	go func() { closed <- s.Close(context.Background()) }()
	eventually(t, "draining", func() bool { return s.health.draining.Load() })
	if status, text := get(t, "http://"+s.Addr()+"/api/v1/health/check"); status != 503 || !strings.Contains(text, "draining") {
		t.Error(status, text)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if err := s.Close(context.Background()); err != nil {
		t.Errorf("a second close: %v", err)
	}
}
