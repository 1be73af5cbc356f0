package health

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/mosparoctl/mosparoctl/ops/cron"
)

// cronFacts is what a node's crontabs hold of mosparo's jobs.
type cronFacts struct {
	*cron.NodeState
	web bool // mosparo's web cron is on: jobs run without a crontab
}

// cronJobs compares the crontabs with the schedule.
func cronJobs() Check {
	return question[cronFacts]{
		Info: Info{
			Name: "cron-jobs", Family: FamilyCron,
			Title: "Do mosparo's jobs run as scheduled, and only so?",
			Why: "Without the cleanup old submissions stay for ever, without the refresh rule packages grow old; jobs that start together " +
				"on several nodes end in deadlocks.",
			Mend: "mosparoctl cron apply",
		},
		ask: func(ctx context.Context, n *node) (cronFacts, error) {
			var f cronFacts
			if err := n.mosparo(ctx); err != nil {
				return f, err
			}
			state, err := cron.Read(ctx, n.host, n.session.env.Deployment, n.Node, n.session.now())
			if err != nil {
				return f, err
			}
			f.NodeState = state
			c, err := n.configuration(ctx)
			if err != nil {
				var known *finding
				if errors.As(err, &known) {
					return f, nil // other checks tell of a broken configuration
				}
				return f, err
			}
			web, _ := c.Get("webCronJobActive")
			f.web = web.Truth()
			return f, nil
		},
		judge: judgeCron,
	}
}

func judgeCron(_ context.Context, v *verdicts, answers []answer[cronFacts]) {
	states := map[string]*cron.NodeState{}
	web := false
	for _, a := range answers {
		states[a.node.Name] = a.value.NodeState
		web = web || a.value.web
	}
	lay, err := cron.Lay(v.session.env.Deployment, states, v.session.now())
	if err != nil {
		for _, a := range answers {
			v.unknown(a.node, "%s", cause(err))
		}
		return
	}
	for _, a := range answers {
		wanted := map[string]bool{}
		for _, s := range lay.Schedules {
			if s.Node == a.node.Name {
				wanted[s.Job] = true
			}
		}
		v.judgeTable(a.node, a.value.NodeState, wanted, lay.Moved, web)
	}
	v.allOK("the jobs stand in the crontabs as scheduled; %s", lay.Proof)
}

// judgeTable judges the crontabs of one node, the worst first.
func (v *verdicts) judgeTable(n *node, s *cron.NodeState, wanted map[string]bool, moved []cron.Slot, web bool) {
	for _, f := range s.Foreign {
		if f.Correct != "" {
			v.fail(n, fmt.Sprintf("correct the line to %s, or remove it: mosparoctl cron apply", f.Correct),
				"%s, line %d runs %s, which mosparo does not have: that job never ran", f.File, f.Line, f.Command)
			return
		}
	}
	has := map[string]bool{}
	for _, m := range s.Managed() {
		has[m.Job] = true
	}
	missing, extra := without(wanted, has), without(has, wanted)
	switch {
	case s.Zone.Wrong != "" && len(has) > 0:
		v.fail(n, "write the node's zone into the inventory (tz:), then: mosparoctl cron apply", "its clock is not in the zone %s: %s", s.Zone.Declared, s.Zone.Wrong)
	case len(s.Foreign) > 0:
		f := s.Foreign[0]
		v.warn(n, "remove the line, if the schedule has the job", "%s, line %d runs %s and keeps no distance to the other nodes", f.File, f.Line, f.Command)
	case len(has) == 0 && web:
		v.ok(n, "mosparo's web cron runs the jobs")
	case len(missing) > 0:
		v.warn(n, "", "not scheduled: %s", list(missing, 4))
	case len(extra) > 0:
		v.warn(n, "", "scheduled, and should not be on this node: %s", list(extra, 4))
	case slices.ContainsFunc(moved, func(m cron.Slot) bool { return m.Node == n.Name }):
		v.warn(n, "", "starts at other times than the schedule of all nodes says")
	default:
		v.ok(n, "%d jobs scheduled", len(has))
	}
}

// without lists the members of set that other lacks, sorted.
func without(set, other map[string]bool) []string {
	return slices.Sorted(func(yield func(string) bool) {
		for w := range set {
			if !other[w] && !yield(w) {
				return
			}
		}
	})
}
