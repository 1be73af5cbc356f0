package server

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/httpapi"
)

// metrics are what /metrics tells. Nothing in them is about a visitor.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	store    *prometheus.HistogramVec
	failures *prometheus.CounterVec
	items    *prometheus.GaugeVec
	problems *prometheus.GaugeVec
	cutOff   prometheus.Counter
	up       *prometheus.GaugeVec
	checks   *prometheus.CounterVec
	rules    *ruleCounts
}

// Values of the label decision.
const (
	decisionPassed = "passed"
	decisionSpam   = "spam"
)

func newMetrics(version string) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "mosparo_http_requests_total", Help: "Answered requests."},
			[]string{"route", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "mosparo_http_request_duration_seconds",
			Help: "Time from the headers of a request to the end of its reply.", Buckets: prometheus.ExponentialBuckets(0.0005, 2.5, 11)}, []string{"route"}),
		store: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "mosparo_store_operation_duration_seconds",
			Help: "Time of database operations with their repetitions.", Buckets: prometheus.ExponentialBuckets(0.0001, 3, 11)}, []string{"operation"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "mosparo_store_failures_total", Help: "Database operations that failed."},
			[]string{"operation", "code"}),
		items: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "mosparo_rule_items", Help: "Rule items that can match."}, []string{"project"}),
		problems: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "mosparo_rule_item_problems",
			Help: "Rule items that were refused or cannot match; mosparoctl rule check lists them."}, []string{"project"}),
		cutOff: prometheus.NewCounter(prometheus.CounterOpts{Name: "mosparo_rule_patterns_cut_off_total",
			Help: "Matches of patterns that took too long and count as no match."}),
		up: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "mosparo_up", Help: "1 if the last check of a part succeeded, else 0."}, []string{"part"}),
		checks: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "mosparo_submissions_total", Help: "Forms that were checked, by decision."},
			[]string{"decision"}),
		rules: newRuleCounts(),
	}
	for _, d := range []string{decisionPassed, decisionSpam} {
		m.checks.WithLabelValues(d) // so that the first form is a difference, too
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{Name: "mosparo_build_info", Help: "Always 1.", ConstLabels: prometheus.Labels{"version": version}})
	info.Set(1)
	m.registry.MustRegister(m.requests, m.duration, m.store, m.failures, m.items, m.problems, m.cutOff, m.up, m.checks, m.rules, info,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) request(route string, status int, took time.Duration) {
	m.requests.WithLabelValues(route, strconv.Itoa(status)).Inc()
	m.duration.WithLabelValues(route).Observe(took.Seconds())
}

func (m *metrics) outcome(o httpapi.Outcome) {
	decision := decisionPassed
	if o.Spam {
		decision = decisionSpam
	}
	m.checks.WithLabelValues(decision).Inc()
	m.rules.add(o.Rules)
}

func (m *metrics) operation(op string, took time.Duration, err error) {
	m.store.WithLabelValues(op).Observe(took.Seconds())
	if code := protection.CodeOf(err); err != nil && code != protection.CodeNotFound && code != protection.CodeUsed {
		m.failures.WithLabelValues(op, string(code)).Inc()
	}
}

func (m *metrics) compiled(projectID int64, items, problems int) {
	m.items.WithLabelValues(protectionID(projectID)).Set(float64(items))
	m.problems.WithLabelValues(protectionID(projectID)).Set(float64(problems))
}

func (m *metrics) checked(part string, err error) {
	v := 1.0
	if err != nil {
		v = 0
	}
	m.up.WithLabelValues(part).Set(v)
}

func (m *metrics) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	return mux
}

func protectionID(id int64) string { return strconv.FormatInt(id, 10) }
