package tui

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/metrics"
)

// readingsBefore is how often the cores of a world were read when a test begins, each time after an interval.
const readingsBefore = 41

// readings reads the cores n times more, as if an interval had passed before each.
func (r *rig) readings(n int) {
	for range n {
		for _, c := range r.m.st.cores() {
			r.m.now = r.w.readAt(r.w.reads["metrics "+c.node.Name])
			r.do(r.m.readMetrics(c))
		}
	}
	r.m.now = noon.Add(time.Second)
}

// readAt is when the cores are read for the kth time; the last reading before a test is a little before noon.
func (w *world) readAt(k int) time.Time {
	return noon.Add(time.Duration(k-readingsBefore+1)*w.d.Check.Interval - 4*time.Second)
}

// Metrics has traffic in waves. In a broken world the second node stops answering, and the first meets an attack and
// loses its cache.
func (w *world) Metrics(_ context.Context, n *inventory.Node) (*metrics.Reading, error) {
	w.count("metrics " + n.Name)
	w.mu.Lock()
	k := w.reads["metrics "+n.Name] - 1
	w.mu.Unlock()
	i := slices.Index(w.d.Nodes, n)
	if w.broken && i == 1 && k > readingsBefore-8 {
		return nil, ops.Errorf(ops.CodeFailed, "metrics of the protection core at 127.0.0.1:9180: no answer within 20s")
	}
	var passed, spam, slow, failed float64
	for j := range k + 1 {
		wave := 60 + 40*math.Sin(float64(j)/5+float64(i))
		passed, spam, slow = passed+wave, spam+wave/3, slow+wave/20
		if w.broken && j > readingsBefore-10 {
			spam, slow, failed = spam+400, slow+120, failed+7
		}
	}
	all, cache := passed+spam, 1
	if w.broken {
		cache = 0
	}
	text := fmt.Sprintf(`mosparo_build_info{version="1.0.0"} 1
process_start_time_seconds 1000
mosparo_up{part="cache"} %d
mosparo_up{part="database"} 1
mosparo_submissions_total{decision="passed"} %.0f
mosparo_submissions_total{decision="spam"} %.0f
mosparo_http_requests_total{route="verify",status="500"} %.0f
mosparo_rule_matches_total{rule="u1",name="words against casinos"} %.0f
mosparo_rule_matches_total{rule="u2",name="DNSBL: 日本語の規則"} %.0f
mosparo_rule_matches_total{rule="other",name=""} %.0f
# TYPE mosparo_http_request_duration_seconds histogram
`, cache, passed, spam, failed, spam*0.8, spam*0.3, spam*0.01)
	for route, factor := range map[string]float64{"request-submit-token": 1.5, "check-form-data": 1, "verify": 0.7} {
		fast := all * factor
		for _, b := range []struct {
			le    string
			count float64
		}{{"0.002", fast / 2}, {"0.01", fast}, {"0.5", fast + slow}, {"+Inf", fast + slow}} {
			text += fmt.Sprintf("mosparo_http_request_duration_seconds_bucket{route=%q,le=%q} %.0f\n", route, b.le, b.count)
		}
	}
	return metrics.Parse(strings.NewReader(text), w.readAt(k))
}

// shown is a screen without styles.
func (r *rig) shown(key string, w, h int) string {
	r.size(w, h)
	r.press(key)
	return r.m.plainText()
}

func TestServeTellsWhatIsKnown(t *testing.T) {
	w := newWorld(false)
	r := newRig(t, w, Options{})
	for _, want := range []string{"Forms checked", "peak", "words against casinos", "request-submit-token", "no core on app3"} {
		if got := r.shown("0", 120, 40); !strings.Contains(got, want) {
			t.Errorf("the screen lacks %q:\n%s", want, got)
		}
	}
	for _, n := range w.d.Nodes {
		n.Serve.Metrics = ""
	}
	if got := newRig(t, w, Options{}).shown("0", 120, 40); !strings.Contains(got, "No node runs the protection core") || strings.Contains(got, "Forms checked") {
		t.Errorf("without a core:\n%s", got)
	}
}

// What a node that is silent had counted is no part of the present; its row says how old it is.
func TestServeMarksWhatIsOld(t *testing.T) {
	r := newRig(t, newWorld(true), Options{})
	for _, want := range []string{"sums are of 1 of 2 nodes", "~3m old: metrics of the protection core", "cache down"} {
		if got := r.shown("0", 120, 40); !strings.Contains(got, want) {
			t.Errorf("the screen lacks %q:\n%s", want, got)
		}
	}
	r.m.now = r.m.now.Add(2 * r.w.d.Check.Interval) // nobody answers any more, and nobody has said so
	for _, n := range r.m.st.cores() {
		n.core.busy, n.core.err = true, nil
	}
	if got := r.shown("0", 120, 40); !strings.Contains(got, "sums are of 0 of 2 nodes") || !strings.Contains(got, "the node does not answer") {
		t.Errorf("nothing is said of silence:\n%s", got)
	}
}

func TestServeIsReadAtTheInterval(t *testing.T) {
	w := newWorld(false)
	r := newRig(t, w, Options{})
	r.m.now = noon
	before := w.reads["metrics app1"]
	for range 60 { // a minute in seconds
		r.m.now = r.m.now.Add(time.Second)
		r.do(r.m.poll())
	}
	if n := w.reads["metrics app1"] - before; n != 2 {
		t.Errorf("read %d times in two intervals", n)
	}
	if n := w.reads["metrics app3"]; n != 0 {
		t.Errorf("a node without a core was asked %d times", n)
	}
	r.press("0", "r")
	if n := w.reads["metrics app1"] - before; n != 3 {
		t.Errorf("r read %d times", n-2)
	}
}

// However long it runs, the history stays bounded, and a core that fails and comes back goes on.
func TestServeHistoryIsBounded(t *testing.T) {
	r := newRig(t, newWorld(false), Options{})
	r.readings(3 * keptDeltas)
	c := &r.m.st.cores()[0].core
	if len(c.past) != keptDeltas || cap(c.past) > 2*keptDeltas {
		t.Errorf("%d of %d deltas are kept", len(c.past), keptDeltas)
	}
	r.m.onMetrics(metricsMsg{"app1", nil, errors.New("gone")})
	if _, _, words := r.m.coreState(r.m.st.cores()[0]); !strings.Contains(words, "gone") {
		t.Errorf("got %q", words)
	}
	r.m.onMetrics(metricsMsg{name: "nobody"})
}

func TestChart(t *testing.T) {
	for _, c := range []struct {
		values []float64
		w, h   int
		top    float64
		want   string
	}{
		{[]float64{0, 1, 2, 4}, 4, 1, 0, "▁▂▄█"},
		{[]float64{-1, 0, 4}, 5, 1, 0, "   ▁█"},
		{[]float64{9, 9, 1, 2}, 2, 1, 0, "▄█"},
		{[]float64{0, 0}, 2, 1, 0, "▁▁"},
		{[]float64{0.5}, 1, 2, 1, " /█"},
		{[]float64{8, 12, 16, 0}, 4, 2, 16, " ▄█ /███▁"},
		{nil, 2, 1, 0, "  "},
	} {
		var got []string
		for _, l := range chart(plain, c.values, c.w, c.h, c.top) {
			got = append(got, l.String())
		}
		if s := strings.Join(got, "/"); s != c.want {
			t.Errorf("%v: %q, want %q", c.values, s, c.want)
		}
	}
}

func TestRatesInWords(t *testing.T) {
	for v, want := range map[float64]string{0: "0/s", 0.0001: "0.4/h", 0.005: "18.0/h", 0.5: "30.0/min", 1: "1.0/s", 123.4: "123/s"} {
		if got := rate(v); got != want {
			t.Errorf("%g: %q, want %q", v, got, want)
		}
	}
	for v, want := range map[float64]string{0: "0.0 ms", 0.00314: "3.1 ms", 0.048: "48 ms", 0.9996: "1.0 s", 4.8: "4.8 s"} {
		if got := latency(v); got != want {
			t.Errorf("%g: %q, want %q", v, got, want)
		}
	}
}
