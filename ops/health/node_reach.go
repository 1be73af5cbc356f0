package health

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mosparoctl/mosparoctl/ops"
)

// NameReach is the name of the check that fails where a node could not be reached.
const NameReach = "node-reach"

// reachSamples is how often the round trip is measured; the shortest counts.
const reachSamples = 3

// reach asks each node for a sign of life. It has an opinion where all others say unknown.
func reach() Check {
	return question[time.Duration]{
		Info: Info{
			Name: NameReach, Family: FamilyNode,
			Title: "Can every node be reached and run commands?",
			Why:   "A node that can't be reached gets no deploys, no synchronised files and no checks, and may serve visitors all the same.",
			Mend:  "mosparoctl check --only " + NameReach,
		},
		ask: func(ctx context.Context, n *node) (time.Duration, error) {
			if _, err := n.host.Run(ctx, ops.Command{Argv: []string{"true"}, AsLogin: true}); err != nil {
				return 0, err
			}
			best := time.Duration(0)
			for range reachSamples {
				start := n.session.now()
				if _, err := n.host.Lstat(ctx, "/"); err != nil { // one question, one answer: no process starts for it
					return 0, err
				}
				if took := n.session.now().Sub(start); best == 0 || took < best {
					best = took
				}
			}
			return best, nil
		},
		judge: func(_ context.Context, v *verdicts, answers []answer[time.Duration]) {
			for _, a := range answers {
				v.add(a.node, OK, "", fmt.Sprintf("answers in %s", round(a.value)), Figure{Name: "round_trip", Value: a.value.Seconds(), Unit: "s"})
			}
			v.allOK("all %d nodes answer", len(answers))
		},
		// What is unknown elsewhere is the answer here.
		failure: func(n *node, err error) error {
			hint := ops.HintOf(err)
			if hint == "" {
				hint = "mosparoctl ssh " + n.Name
			}
			if errors.Is(err, errStuck) || errors.Is(err, context.DeadlineExceeded) {
				return failf(hint, "does not answer within %s", n.session.timeout)
			}
			return failf(hint, "%s", cause(err))
		},
	}
}

// round shortens a duration for people: three digits are enough.
func round(d time.Duration) time.Duration {
	for unit := time.Nanosecond; unit < time.Hour; unit *= 10 {
		if d < 1000*unit {
			return d.Round(unit)
		}
	}
	return d.Round(time.Hour)
}
