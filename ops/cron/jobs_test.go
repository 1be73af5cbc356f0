package cron

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mosparoctl/mosparoctl/inventory"
)

func TestJobs(t *testing.T) {
	base := func() *inventory.Deployment { return newFleet(t, "web1", "web2").d }
	d := base()
	d.Nodes[1].Roles = []inventory.Role{inventory.RoleApp}
	d.Cron.Jobs = []inventory.CronJob{
		{Name: "geoip", Enabled: true, Nodes: "all", Every: 24 * time.Hour}, {Name: "cleanup", Enabled: false},
		{Name: "own", Enabled: true, Command: []string{"app:thing"}, Heavy: true},
	}
	got, err := Jobs(d)
	if err != nil {
		t.Fatal(err)
	}
	want := []Job{
		{"rule-packages", []string{"mosparo:rule-package:refresh"}, 24 * time.Hour, true, []string{"web1"}},
		{"geoip", []string{"mosparo:geoip2:download-database"}, 24 * time.Hour, false, []string{"web1"}},
		{"own", []string{"app:thing"}, 24 * time.Hour, true, []string{"web1"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for want, job := range map[string]inventory.CronJob{
		"not safe on several nodes":           {Name: "rule-packages", Enabled: true, Nodes: "all"},
		"it is not safe on several nodes":     {Name: "mine", Enabled: true, Nodes: "all", Command: []string{"mosparo:rulesets:refresh"}},
		"write mosparo:rule-package:refresh":  {Name: "mine", Enabled: true, Command: []string{"mosparo:rule-packages:refresh"}},
		"use 4h or 6h":                        {Name: "cleanup", Enabled: true, Every: 5 * time.Hour},
		"use 7d":                              {Name: "cleanup", Enabled: true, Every: 31 * 24 * time.Hour},
		"it is not one of mosparo's":          {Name: "mine", Enabled: true},
		"letters, digits and dashes only":     {Name: "a b", Enabled: true, Command: []string{"x"}},
		`nodes is "some": write admin or all`: {Name: "cleanup", Enabled: true, Nodes: "some"},
	} {
		d := base()
		d.Cron.Jobs = []inventory.CronJob{job}
		if _, err := Jobs(d); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want %s", job, err, want)
		}
	}
	d = base()
	d.Nodes[0].Roles = nil
	if _, err := Jobs(d); err == nil {
		t.Error("no admin node, and no error")
	}
}
