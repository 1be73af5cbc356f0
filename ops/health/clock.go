package health

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mosparoctl/mosparoctl/ops"
)

// clockSamples is how often a node is asked for its time. The answer with the shortest round trip counts.
const clockSamples = 8

// offset is how far a node's clock is ahead of this machine's.
type offset struct {
	ahead time.Duration
	error time.Duration // it may be wrong by this much: half of the round trip
}

// clock compares the nodes' clocks with each other and with this machine's.
func clock() Check {
	return question[offset]{
		Info: Info{
			Name: "clock-skew", Family: FamilyClock,
			Title: "Do all nodes agree on the time?",
			Why:   "Delays, lockouts, the minimum time, sessions and the cleanup lock compare times that different nodes wrote.",
			Mend:  "mosparoctl exec -- timedatectl set-ntp true",
		},
		ask:   sampleClock,
		judge: judgeClock,
	}
}

// sampleClock asks one shell for the time again and again, so that only the round trip lies between question and answer,
// and not the start of a command over SSH.
func sampleClock(ctx context.Context, n *node) (offset, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stdin, ask := io.Pipe()
	replies, stdout := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		_, err := n.host.Run(ctx, ops.Command{Argv: []string{"sh", "-c", "while read -r _; do date -u +%s.%N; done"},
			Stdin: stdin, Stdout: stdout, AsLogin: true})
		_ = stdout.CloseWithError(cmp.Or(err, io.EOF))
		ended <- err
	}()
	defer func() {
		_ = ask.Close()
		_ = replies.Close()
	}()
	lines := bufio.NewReader(replies)
	best := offset{error: -1}
	for range clockSamples {
		before := n.session.now()
		if _, err := io.WriteString(ask, "\n"); err != nil {
			return offset{}, fmt.Errorf("ask for the time: %w", err)
		}
		line, err := lines.ReadString('\n')
		if err != nil {
			return offset{}, fmt.Errorf("ask for the time: %w", errors.Join(err, ctx.Err()))
		}
		after := n.session.now()
		there, grain, err := parseUnix(strings.TrimSpace(line))
		if err != nil {
			return offset{}, err
		}
		half := after.Sub(before) / 2
		o := offset{ahead: there.Sub(before.Add(half)), error: half + grain}
		if best.error < 0 || o.error < best.error {
			best = o
		}
	}
	_ = ask.Close()
	if err := <-ended; err != nil {
		return offset{}, fmt.Errorf("ask for the time: %w", err)
	}
	return best, nil
}

// parseUnix reads seconds since 1970 with a fraction of nine digits. A date command that knows no %N gives whole seconds:
// the middle of the second then, and half a second of grain.
func parseUnix(s string) (t time.Time, grain time.Duration, err error) {
	whole, frac, _ := strings.Cut(s, ".")
	sec, err := strconv.ParseInt(whole, 10, 64)
	if err != nil {
		return t, 0, fmt.Errorf("ask for the time: unexpected answer %q", s)
	}
	if len(frac) != 9 || strings.Trim(frac, "0123456789") != "" {
		return time.Unix(sec, int64(500*time.Millisecond)), 500 * time.Millisecond, nil
	}
	nsec, err := strconv.ParseInt(frac, 10, 64)
	return time.Unix(sec, nsec), 0, err
}

// judgeClock measures each node by the median of all, since this machine's own clock may be the one that is wrong.
func judgeClock(_ context.Context, v *verdicts, answers []answer[offset]) {
	warn := cmp.Or(v.session.env.Deployment.Check.Skew, time.Second)
	fail := 5 * warn
	all := make([]time.Duration, len(answers))
	for i, a := range answers {
		all[i] = a.value.ahead
	}
	slices.Sort(all)
	median := all[len(all)/2]
	if len(all)%2 == 0 {
		median = (all[len(all)/2-1] + median) / 2
	}
	if len(all) == 1 {
		median = 0 // one node can only be compared with this machine
	}
	worst := time.Duration(0)
	for _, a := range answers {
		skew := a.value.ahead - median
		sure := max(skew.Abs()-a.value.error, 0)
		worst = max(worst, skew.Abs())
		verdict, mend := OK, ""
		switch {
		case sure >= fail:
			verdict = Fail
		case sure >= warn:
			verdict = Warn
		}
		if verdict != OK {
			mend = a.node.exec("timedatectl", "set-ntp", "true")
		}
		v.add(a.node, verdict, mend, fmt.Sprintf("%s the others, %s this machine (±%s)", ahead(skew), ahead(a.value.ahead), round(a.value.error)),
			Figure{Name: "skew", Value: skew.Seconds(), Unit: "s", Warn: warn.Seconds(), Fail: fail.Seconds()},
			Figure{Name: "offset", Value: a.value.ahead.Seconds(), Unit: "s"})
	}
	summary := fmt.Sprintf("the clocks are at most %s apart", round(worst*2))
	if len(all) == 1 {
		summary = fmt.Sprintf("the clock differs by %s from this machine's", round(worst))
	}
	if median.Abs() >= warn {
		summary += fmt.Sprintf("; this machine's is %s off", round(median.Abs()))
	}
	v.allOK("%s", summary)
}

func ahead(d time.Duration) string {
	if d < 0 {
		return round(-d).String() + " behind"
	}
	return round(d).String() + " ahead of"
}
