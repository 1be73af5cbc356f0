package metrics

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/protection/cache"
	"github.com/mosparoctl/mosparoctl/protection/crypt"
	"github.com/mosparoctl/mosparoctl/protection/server"
	"github.com/mosparoctl/mosparoctl/protection/store"
)

// noon is when readings of tests begin.
func noon() time.Time { return time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC) }

// scrape is what a core says that has checked forms, each in the time of its bucket.
func scrape(started int64, passed, spam, fast, slow int, rules string) string {
	return fmt.Sprintf(`mosparo_build_info{version="1.2"} 1
process_start_time_seconds %d
mosparo_submissions_total{decision="passed"} %d
mosparo_submissions_total{decision="spam"} %d
mosparo_http_requests_total{route="verify",status="200"} %d
mosparo_http_requests_total{route="verify",status="500"} %d
# TYPE mosparo_http_request_duration_seconds histogram
mosparo_http_request_duration_seconds_bucket{route="verify",le="0.01"} %d
mosparo_http_request_duration_seconds_bucket{route="verify",le="0.1"} %d
mosparo_http_request_duration_seconds_bucket{route="verify",le="1"} %[7]d
mosparo_http_request_duration_seconds_bucket{route="verify",le="+Inf"} %[7]d
mosparo_up{part="database"} 1
mosparo_up{part="cache"} 0
# TYPE mosparo_rule_matches_total counter
%[8]s`, started, passed, spam, fast, slow, fast, fast+slow, rules)
}

func parsed(t *testing.T, text string, after time.Duration) *Reading {
	t.Helper()
	r, err := Parse(strings.NewReader(text), noon().Add(after))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func near(a, b float64) bool { return math.Abs(a-b) < 1e-9 }

func TestBetween(t *testing.T) {
	const rule = `mosparo_rule_matches_total{rule="u1",name="words"} %d` + "\n" + `mosparo_rule_matches_total{rule="other",name=""} %d` + "\n"
	a := parsed(t, scrape(100, 10, 5, 8, 2, fmt.Sprintf(rule, 5, 3)), 0)
	b := parsed(t, scrape(100, 40, 15, 80, 20, fmt.Sprintf(rule, 9, 3)+`mosparo_rule_matches_total{rule="u2",name=""} 7`+"\n"), 10*time.Second)
	if a.Version != "1.2" || !a.Parts["database"] || a.Parts["cache"] || a.Started.Unix() != 100 {
		t.Errorf("got %+v", a)
	}
	d, ok := Between(a, b)
	share, _ := d.SpamShare()
	if !ok || d.Forms() != 40 || d.PerSecond(d.Forms()) != 4 || !near(share, 0.25) || d.Requests() != 90 || d.Errors() != 18 {
		t.Errorf("got %+v", d)
	}
	if r := d.Rules(); len(r) != 2 || r[0] != (Rule{"u2", 7}) || r[1] != (Rule{"words", 4}) {
		t.Errorf("rules: %+v", r)
	}
	if routes := d.Routes(); len(routes) != 1 || routes[0].Name != "verify" || routes[0].Latency.Count() != 90 {
		t.Errorf("routes: %+v", routes)
	}
	if _, ok := Between(b, a); ok {
		t.Error("a reading before the first counts")
	}
	if _, ok := Between(nil, a); ok {
		t.Error("one reading alone counts")
	}
}

// A core that was started again counts from zero, even if it has counted more since; a series alone may begin anew, too.
func TestResets(t *testing.T) {
	a := parsed(t, scrape(100, 10, 10, 8, 2, `mosparo_rule_matches_total{rule="u1",name="words"} 50`+"\n"), 0)
	again := parsed(t, scrape(105, 30, 10, 80, 20, `mosparo_rule_matches_total{rule="u1",name="words"} 60`+"\n"), 10*time.Second)
	if d, _ := Between(a, again); d.Forms() != 40 || d.Rules()[0].Forms != 60 || d.Latency().Count() != 100 {
		t.Errorf("after a restart: %+v", d)
	}
	evicted := parsed(t, scrape(100, 20, 10, 18, 2, `mosparo_rule_matches_total{rule="u1",name="words"} 3`+"\n"), 10*time.Second)
	if d, _ := Between(a, evicted); d.Forms() != 10 || d.Rules()[0].Forms != 3 || d.Latency().Count() != 10 {
		t.Errorf("after a series began anew: %+v", d)
	}
	fewer := parsed(t, scrape(100, 1, 0, 1, 0, ""), 10*time.Second)
	if d, _ := Between(a, fewer); d.Forms() != 1 || d.Latency().Count() != 1 {
		t.Errorf("after a restart without a time: %+v", d)
	}
}

func TestQuantile(t *testing.T) {
	a := parsed(t, scrape(100, 0, 0, 0, 0, ""), 0)
	d, _ := Between(a, parsed(t, scrape(100, 1, 0, 50, 50, ""), time.Second))
	for q, want := range map[float64]float64{0.25: 0.005, 0.5: 0.01, 0.75: 0.055, 1: 0.1} {
		if got, over, ok := d.Latency().Quantile(q); !near(got, want) || over || !ok {
			t.Errorf("%g: %g, %t, %t, want %g", q, got, over, ok, want)
		}
	}
	if _, _, ok := (Histogram{}).Quantile(0.5); ok {
		t.Error("nothing has a median")
	}
	late := Histogram{[]float64{1, math.Inf(1)}, []float64{1, 3}}
	if got, over, ok := late.Quantile(0.9); got != 1 || !over || !ok {
		t.Errorf("beyond the last bound: %g, %t, %t", got, over, ok)
	}
}

func TestSum(t *testing.T) {
	zero := parsed(t, scrape(100, 0, 0, 0, 0, ""), 0)
	one, _ := Between(zero, parsed(t, scrape(100, 6, 2, 3, 1, `mosparo_rule_matches_total{rule="u1",name="a"} 2`+"\n"), 10*time.Second))
	two, _ := Between(zero, parsed(t, scrape(100, 1, 1, 0, 4, `mosparo_rule_matches_total{rule="u1",name="a"} 1`+"\n"+`mosparo_rule_matches_total{rule="other",name=""} 9`+"\n"), 20*time.Second))
	s := Sum(one, two)
	if s.Forms() != 10 || s.To.Sub(s.From) != 20*time.Second || s.Latency().Count() != 8 {
		t.Errorf("got %+v", s)
	}
	if r := s.Rules(); len(r) != 2 || r[0] != (Rule{"a", 3}) || r[1] != (Rule{"", 9}) {
		t.Errorf("rules: %+v", r)
	}
	if one.Latency().Count() != 4 || one.Rules()[0].Forms != 2 {
		t.Error("the sum has changed what it was made of")
	}
	if empty := Sum(); empty.Forms() != 0 || empty.PerSecond(1) != 0 {
		t.Errorf("the sum of nothing: %+v", empty)
	}
}

// direct dials as a node on this machine would.
type direct struct{ net.Dialer }

func (d *direct) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return d.DialContext(ctx, network, address)
}

// The real core is read over TCP and over a unix socket.
func TestReadRealCore(t *testing.T) {
	key, _ := crypt.GenerateKey()
	dir := t.TempDir()
	for _, listen := range []string{"127.0.0.1:0", "unix:" + filepath.Join(dir, "s")} {
		s, err := server.Open(t.Context(), server.Options{Listen: "127.0.0.1:0", MetricsListen: listen, Version: "9.9",
			Store: store.Options{Path: filepath.Join(dir, "m.sqlite"), Key: key}, Cache: cache.Options{Adapter: "memory"}})
		if err != nil {
			t.Fatal(err)
		}
		address := s.MetricsAddr()
		r, err := Read(t.Context(), &direct{}, address, noon())
		if err != nil || r.Version != "9.9" || r.Started.IsZero() {
			t.Errorf("%s: got %+v, %v", listen, r, err)
		}
		if _, known := r.total.rules[OtherRules]; !known {
			t.Errorf("%s: the core's rules are not counted", listen)
		}
		res, err := http.Get("http://" + s.Addr() + "/api/v1/health/check")
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		later, err := Read(t.Context(), &direct{}, address, noon().Add(time.Second))
		if d, ok := Between(r, later); err != nil || !ok || d.Requests() != 1 || d.Routes()[0].Name != "health" {
			t.Errorf("%s: got %+v, %v", listen, d, err)
		}
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}
}

func TestReadTellsWhy(t *testing.T) {
	answer := func(status int, text string) string {
		web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = w.Write([]byte(text))
		}))
		t.Cleanup(web.Close)
		return web.Listener.Addr().String()
	}
	for address, want := range map[string]string{
		"127.0.0.1:1":              "refused",
		answer(404, "no"):          "status 404",
		answer(200, "go_info 1\n"): "not the metrics of mosparoctl serve",
		answer(200, "<html>"):      "read metrics",
		answer(200, strings.Repeat("# comment\n", maxBody/10+1)): "longer than 4 MiB",
	} {
		_, err := Read(t.Context(), &direct{}, address, noon())
		var e *ops.Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), want) || !strings.Contains(e.Hint, "--metrics-listen") {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// Whatever a node sends, it is read or refused, and everything that is made of it is finite.
func FuzzParse(f *testing.F) {
	f.Add(scrape(100, 10, 5, 8, 2, ""), scrape(100, 12, 5, 9, 2, ""))
	f.Add("mosparo_build_info 1\nmosparo_submissions_total NaN\n", "mosparo_build_info 1\nmosparo_submissions_total{decision=\"spam\"} +Inf\n")
	f.Add("mosparo_build_info 1\n# TYPE mosparo_http_request_duration_seconds histogram\nmosparo_http_request_duration_seconds_bucket{le=\"NaN\"} 1\n", "")
	f.Fuzz(func(t *testing.T, x, y string) {
		a, err1 := Parse(strings.NewReader(x), noon())
		b, err2 := Parse(strings.NewReader(y), noon().Add(time.Second))
		if err1 != nil || err2 != nil {
			return
		}
		d, _ := Between(a, b)
		d = Sum(d, d)
		p, _, _ := d.Latency().Quantile(0.99)
		share, _ := d.SpamShare()
		for _, v := range []float64{p, share, d.Forms(), d.Requests(), d.Errors()} {
			if math.IsNaN(v) || math.IsInf(v, 0) || v < 0 {
				t.Fatalf("%g of %q and %q", v, x, y)
			}
		}
		_, _ = d.Rules(), d.Routes()
	})
}
