// Package metrics reads what the protection core of a node counts (mosparoctl serve --metrics-listen), through the node, and
// turns two readings into what happened in between. It knows the series of the core and drops all others; docs/serve.md
// lists them. What a node sends is bounded and never trusted to make sense.
package metrics

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/mosparoctl/mosparoctl/ops"
)

// Bounds of what is read from a node.
const (
	maxBody   = 4 << 20
	maxRoutes = 100
	maxRules  = 1000
	maxParts  = 20
)

// OtherRules is the key of all rules that have no series of their own.
const OtherRules = "other"

// Reading is what the core of a node had counted when it was read, since it started.
type Reading struct {
	At      time.Time       // when it was read
	Started time.Time       // when the core started; zero: it does not say
	Version string          // of the core
	Parts   map[string]bool // whether database, schema and cache are well
	total   counts
}

// counts are counters, or differences of them.
type counts struct {
	passed, spam     float64
	requests, errors float64 // of all routes; errors: status 500 and more
	routes           map[string]Histogram
	rules            map[string]Rule
}

// Rule is how often a rule found something.
type Rule struct {
	Name  string // as administrators wrote it; "" of OtherRules
	Forms float64
}

// Read asks the core at address (host:port, or the path of a unix socket) for its metrics, as the node that dials reaches
// it. at is the time of the reading.
func Read(ctx context.Context, from ops.Dialer, address string, at time.Time) (*Reading, error) {
	network := "tcp"
	if strings.HasPrefix(address, "/") {
		network = "unix"
	}
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return from.Dial(ctx, network, address)
	}}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://core/metrics", nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "text/plain; version=0.0.4")
	client := http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(req)
	if err != nil {
		return nil, unanswered(address, err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, unanswered(address, fmt.Errorf("status %d", res.StatusCode))
	}
	r, err := Parse(res.Body, at)
	if err != nil {
		return nil, unanswered(address, err)
	}
	return r, nil
}

// unanswered is the error of a core whose metrics can't be had.
func unanswered(address string, err error) error {
	var known *ops.Error
	if errors.As(err, &known) && known.Code == ops.CodeUnreachable && known.Hint != "" {
		return err
	}
	return ops.Errorf(ops.CodeFailed, "metrics of the protection core at %s: %w", address, err).
		WithHint("start it with mosparoctl serve --metrics-listen, or correct serve: metrics: in the inventory")
}

// errTooLong is the error of an answer that is no /metrics of ours.
var errTooLong = fmt.Errorf("the answer is longer than %d MiB", maxBody>>20)

// Parse reads the text format of Prometheus.
func Parse(text io.Reader, at time.Time) (*Reading, error) {
	limited := &io.LimitedReader{R: text, N: maxBody + 1}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(limited)
	switch {
	case limited.N <= 0:
		return nil, errTooLong
	case err != nil:
		return nil, fmt.Errorf("read metrics: %w", err)
	}
	build := families["mosparo_build_info"].GetMetric()
	if len(build) == 0 {
		return nil, errors.New("these are not the metrics of mosparoctl serve")
	}
	r := &Reading{At: at, Version: label(build[0], "version"), Parts: map[string]bool{}}
	if start := families["process_start_time_seconds"].GetMetric(); len(start) > 0 {
		if s := value(start[0]); s > 0 && s < math.MaxInt32 {
			r.Started = time.Unix(0, int64(s*float64(time.Second)))
		}
	}
	for _, m := range firstOf(families["mosparo_up"], maxParts) {
		r.Parts[label(m, "part")] = value(m) > 0
	}
	r.total = readCounts(families)
	return r, nil
}

func readCounts(families map[string]*dto.MetricFamily) counts {
	c := counts{routes: map[string]Histogram{}, rules: map[string]Rule{}}
	for _, m := range families["mosparo_submissions_total"].GetMetric() {
		if label(m, "decision") == "spam" {
			c.spam += value(m)
		} else {
			c.passed += value(m)
		}
	}
	for _, m := range families["mosparo_http_requests_total"].GetMetric() {
		c.requests += value(m)
		if strings.HasPrefix(label(m, "status"), "5") {
			c.errors += value(m)
		}
	}
	for _, m := range firstOf(families["mosparo_http_request_duration_seconds"], maxRoutes) {
		if h, ok := histogram(m.GetHistogram()); ok {
			c.routes[label(m, "route")] = h
		}
	}
	for _, m := range firstOf(families["mosparo_rule_matches_total"], maxRules) {
		uuid := label(m, "rule")
		r := c.rules[uuid] // a rule that was renamed may have two series
		r.Name, r.Forms = label(m, "name"), r.Forms+value(m)
		c.rules[uuid] = r
	}
	return c
}

// firstOf are at most n series of a family.
func firstOf(f *dto.MetricFamily, n int) []*dto.Metric {
	return f.GetMetric()[:min(len(f.GetMetric()), n)]
}

func label(m *dto.Metric, name string) string {
	i := slices.IndexFunc(m.GetLabel(), func(l *dto.LabelPair) bool { return l.GetName() == name })
	if i < 0 {
		return ""
	}
	return m.GetLabel()[i].GetValue()
}

// value is what a counter or gauge says, or 0 if that is nothing a counter can say.
func value(m *dto.Metric) float64 {
	switch {
	case m.GetCounter() != nil:
		return sane(m.GetCounter().GetValue())
	case m.GetGauge() != nil:
		return sane(m.GetGauge().GetValue())
	}
	return sane(m.GetUntyped().GetValue())
}

func sane(v float64) float64 {
	if math.IsNaN(v) || v < 0 || v > math.MaxInt64 {
		return 0
	}
	return v
}
