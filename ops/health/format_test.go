package health

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func sampleReport() Report {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	return Report{Version: ReportVersion, Deployment: "shop", Nodes: []string{"app1", "app2"}, Started: at, Finished: at.Add(2 * time.Second),
		Counts: map[Verdict]int{OK: 1, Warn: 1, Fail: 1, Unknown: 1},
		Results: []Result{
			{Info: Info{Name: "node-disk", Family: FamilyNode}, Verdict: OK, Summary: "fine", At: at, Evidence: []Evidence{{Node: "app1", Verdict: OK, At: at,
				Figures: []Figure{{Name: "used_root", Value: 12.5, Unit: "%", Warn: 85, Fail: 95}}}}},
			{Info: Info{Name: "clock-skew", Family: FamilyClock}, Verdict: Warn, Summary: "app1: 2s | ahead", At: at,
				Evidence: []Evidence{{Node: "app1", Verdict: Warn, At: at, Figures: []Figure{{Name: "skew", Value: 2, Unit: "s"}}}}},
			{Info: Info{Name: "http-health", Family: FamilyHTTP}, Verdict: Fail, Summary: "app2: 500\nOops", At: at,
				Evidence: []Evidence{{Node: `app"2`, Verdict: Fail, At: at}}},
			{Info: Info{Name: "db-reach", Family: FamilyDatabase}, Verdict: Unknown, Summary: "who knows", At: at, Evidence: []Evidence{}},
		}}
}

func TestNagios(t *testing.T) {
	r := sampleReport()
	want := "MOSPARO CRITICAL - http-health: app2: 500 Oops; clock-skew: app1: 2s / ahead; db-reach: who knows; 4 checks on 2 nodes" +
		" | 'app1 node-disk used_root'=12.5%;85;95 'app1 clock-skew skew'=2s;;"
	if diff := cmp.Diff(want, r.Nagios()); diff != "" {
		t.Error(diff)
	}
	if r.NagiosStatus() != 2 {
		t.Errorf("status %d", r.NagiosStatus())
	}
	r.Results = r.Results[:1]
	if got := r.Nagios(); !strings.HasPrefix(got, "MOSPARO OK - 1 checks on 2 nodes | ") || r.NagiosStatus() != 0 {
		t.Errorf("%d %s", r.NagiosStatus(), got)
	}
	r.Results = nil
	if got := r.Nagios(); got != "MOSPARO OK - 0 checks on 2 nodes" {
		t.Error(got)
	}
}

func TestPrometheus(t *testing.T) {
	want := `# HELP mosparoctl_check_verdict Verdict of a check on a node: 0 ok, 1 warn, 2 fail, 3 unknown.
# TYPE mosparoctl_check_verdict gauge
mosparoctl_check_verdict{check="node-disk",family="node",node="app1"} 0
mosparoctl_check_verdict{check="clock-skew",family="clock",node="app1"} 1
mosparoctl_check_verdict{check="http-health",family="http",node="app\"2"} 2
# HELP mosparoctl_check_figure What a check measured on a node, in the unit named.
# TYPE mosparoctl_check_figure gauge
mosparoctl_check_figure{check="node-disk",node="app1",figure="used_root",unit="%"} 12.5
mosparoctl_check_figure{check="clock-skew",node="app1",figure="skew",unit="s"} 2
# HELP mosparoctl_check_finished_seconds When the checks ended, as Unix time.
# TYPE mosparoctl_check_finished_seconds gauge
mosparoctl_check_finished_seconds 1772366402
`
	if diff := cmp.Diff(want, sampleReport().Prometheus()); diff != "" {
		t.Error(diff)
	}
}

// The JSON is a contract: a field that is renamed breaks somebody's script.
func TestReportJSON(t *testing.T) {
	r := sampleReport()
	r.Results = r.Results[:1]
	got, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"version":1,"deployment":"shop","nodes":["app1","app2"],"started":"2026-03-01T12:00:00Z","finished":"2026-03-01T12:00:02Z",` +
		`"counts":{"fail":1,"ok":1,"unknown":1,"warn":1},"results":[{"name":"node-disk","family":"node","title":"","why":"","mend":"",` +
		`"verdict":"ok","summary":"fine","evidence":[{"node":"app1","verdict":"ok","text":"","figures":[{"name":"used_root","value":12.5,` +
		`"unit":"%","warn":85,"fail":95}],"at":"2026-03-01T12:00:00Z","took":0}],"at":"2026-03-01T12:00:00Z"}]}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
}
