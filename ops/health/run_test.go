package health

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/local"
)

// connector gives hosts that do nothing, unless connecting to the node is said to fail or hang.
type connector map[string]func(ctx context.Context) error

func (c connector) Host(ctx context.Context, node string) (ops.Host, error) {
	if f := c[node]; f != nil {
		if err := f(ctx); err != nil {
			return nil, err
		}
	}
	return local.New(node), nil
}

func nodes(names ...string) *inventory.Deployment {
	d := &inventory.Deployment{Name: "test"}
	for _, n := range names {
		d.Nodes = append(d.Nodes, &inventory.Node{Name: n, Roles: []inventory.Role{inventory.RoleApp}})
	}
	return d
}

// asking is a check that asks as told and finds every answer good.
func asking(name string, ask func(ctx context.Context, n *node) (int, error)) Check {
	return question[int]{Info: Info{Name: name, Family: FamilyNode, Mend: "mend"}, ask: ask,
		judge: func(_ context.Context, v *verdicts, answers []answer[int]) {
			for _, a := range answers {
				v.ok(a.node, "%d", a.value)
			}
		}}
}

func session1(t *testing.T, env Env) *session {
	t.Helper()
	s, err := newSession(t.Context(), env)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func verdictsOf(r Result) map[string]Verdict {
	m := map[string]Verdict{}
	for _, e := range r.Evidence {
		m[e.Node] = e.Verdict
	}
	return m
}

func TestHangingNodeDelaysNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := session1(t, Env{Deployment: nodes("a", "b", "c"), Hosts: connector{}})
		start := time.Now()
		var mu sync.Mutex
		answered := map[string]time.Duration{}
		var checks []Check
		for i := range 20 {
			checks = append(checks, asking(fmt.Sprintf("node-%d", i), func(ctx context.Context, n *node) (int, error) {
				if n.Name == "b" {
					<-ctx.Done()
					return 0, ctx.Err()
				}
				mu.Lock()
				answered[n.Name] = time.Since(start)
				mu.Unlock()
				return 1, nil
			}))
		}
		r := s.run(t.Context(), checks)
		if answered["a"] != 0 || answered["c"] != 0 {
			t.Errorf("the others answered after %v", answered)
		}
		// Twenty questions, six at once: without giving up on the node this would take four times the deadline.
		if took := time.Since(start); took > 21*time.Second {
			t.Errorf("took %s", took)
		}
		for _, res := range r.Results {
			if diff := cmp.Diff(map[string]Verdict{"a": OK, "b": Unknown, "c": OK}, verdictsOf(res)); diff != "" {
				t.Fatal(diff)
			}
		}
	})
}

// An ask that ignores its context is given up on, and what it returns later hurts nobody.
func TestDeafAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := session1(t, Env{Deployment: nodes("a", "b"), Hosts: connector{}})
		release := make(chan struct{})
		start := time.Now()
		r := s.run(t.Context(), []Check{asking("node-deaf", func(_ context.Context, n *node) (int, error) {
			if n.Name == "b" {
				<-release
			}
			return 1, nil
		})})
		if took := time.Since(start); took != defaultTimeout+stopGrace {
			t.Errorf("took %s", took)
		}
		e, _ := r.Results[0].On("b")
		if e.Verdict != Unknown || !strings.Contains(e.Text, "no answer within 20s") {
			t.Errorf("got %+v", e)
		}
		close(release)
		synctest.Wait()
	})
}

// A slow node that does answer keeps being asked.
func TestSlowNodeIsNotGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := session1(t, Env{Deployment: nodes("a"), Hosts: connector{}})
		var checks []Check
		for i := range 18 {
			checks = append(checks, asking(fmt.Sprintf("node-%d", i), func(ctx context.Context, _ *node) (int, error) {
				if i == 0 {
					<-ctx.Done()
					return 0, ctx.Err()
				}
				time.Sleep(15 * time.Second)
				return 1, nil
			}))
		}
		r := s.run(t.Context(), checks)
		if r.Counts[OK] != 17 || r.Counts[Unknown] != 1 {
			t.Errorf("got %v", r.Counts)
		}
	})
}

func TestDeadNodeIsReportedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hosts := connector{"b": func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }}
		var order []string
		start := time.Now()
		r, err := Run(t.Context(), Env{Deployment: nodes("b"), Hosts: hosts, OnResult: func(r Result) { order = append(order, r.Name) }},
			Filter{Only: []string{"node-reach", "clock-skew"}})
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took > 30*time.Second {
			t.Errorf("took %s", took)
		}
		if diff := cmp.Diff([]string{"b"}, r.Unreachable()); diff != "" {
			t.Error(diff)
		}
		if len(order) != 2 || r.Results[0].Name != "node-reach" || r.Results[1].Verdict != Unknown {
			t.Errorf("got %v, %+v", order, r.Results)
		}
		if !strings.Contains(r.Results[0].Summary, "no connection within 20s") {
			t.Errorf("summary %q", r.Results[0].Summary)
		}
	})
}

func TestQuestionsMakeNoNodeLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var questions atomic.Int64
		answered := make(chan struct{})
		hosts := connector{"a": func(ctx context.Context) error {
			select {
			case <-answered:
				time.Sleep(5 * time.Second) // of the handshake, which begins anew
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}, "dead": func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }}
		questions.Add(1)
		time.AfterFunc(3*time.Minute-time.Second, func() { // somebody looks a passphrase up
			questions.Add(1)
			close(answered)
		})
		r, err := Run(t.Context(), Env{Deployment: nodes("a", "dead"), Hosts: hosts, Questions: questions.Load}, Filter{Only: []string{"node-reach"}})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"dead"}, r.Unreachable()); diff != "" {
			t.Error(diff, r.Results[0].Summary)
		}
	})
}

func TestAsksOfOneNodeAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := session1(t, Env{Deployment: nodes("a"), Hosts: connector{}})
		var mu sync.Mutex
		now, most := 0, 0
		var checks []Check
		for i := range 30 {
			checks = append(checks, asking(fmt.Sprintf("node-%d", i), func(context.Context, *node) (int, error) {
				mu.Lock()
				now++
				most = max(most, now)
				mu.Unlock()
				time.Sleep(time.Second)
				mu.Lock()
				now--
				mu.Unlock()
				return 1, nil
			}))
		}
		s.run(t.Context(), checks)
		if most != asksPerNode {
			t.Errorf("%d at once, want %d", most, asksPerNode)
		}
	})
}

func TestErrorsOfAsks(t *testing.T) {
	s := session1(t, Env{Deployment: nodes("a", "b", "c", "d", "e"), Hosts: connector{}})
	errs := map[string]error{
		"a": failf("do this", "broken %d", 1),
		"b": fmt.Errorf("wrapped: %w", warnf("", "odd")),
		"c": errNotConcerned,
		"d": ops.Errorf(ops.CodeFailed, "whatever").On("d").WithHint("paste this"),
	}
	r := s.run(t.Context(), []Check{asking("node-x", func(_ context.Context, n *node) (int, error) { return 7, errs[n.Name] })}).Results[0]
	want := map[string]Verdict{"a": Fail, "b": Warn, "d": Unknown, "e": OK}
	if diff := cmp.Diff(want, verdictsOf(r)); diff != "" {
		t.Error(diff)
	}
	if r.Verdict != Fail || r.Summary != "a: broken 1" || r.Mend != "do this" {
		t.Errorf("got %+v", r)
	}
	if e, _ := r.On("d"); e.Text != "whatever" || e.Mend != "paste this" {
		t.Errorf("got %+v", e)
	}
	for _, e := range r.Evidence {
		if e.At.IsZero() || e.Took < 0 {
			t.Errorf("%s: no age: %+v", e.Node, e)
		}
	}
}

func TestCancelledRun(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r, err := Run(ctx, Env{Deployment: nodes("a"), Hosts: connector{"a": func(ctx context.Context) error { return ctx.Err() }}}, Filter{Families: []Family{FamilyClock}})
	if err != nil || r.Results[0].Verdict != Unknown {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestFilter(t *testing.T) {
	d := nodes("a")
	d.Check.Disabled = []string{"php", "files-geo*", "cache-url"}
	run := func(f Filter) []string {
		t.Helper()
		r, err := Run(t.Context(), Env{Deployment: d, Hosts: connector{"a": func(context.Context) error { return errors.New("no") }}}, f)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, res := range r.Results {
			names = append(names, res.Name)
		}
		return names
	}
	for _, name := range run(Filter{}) {
		if strings.HasPrefix(name, "php-") || name == "files-geoip" || name == "cache-url" || name == "http-health" || name == "balancer-state" {
			t.Errorf("%s was asked", name)
		}
	}
	if diff := cmp.Diff([]string{"node-reach", "cache-shared"}, run(Filter{Only: []string{"node-reach", "*-shared"}})); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"node-reach", "node-disk", "clock-skew"}, run(Filter{Families: []Family{FamilyNode, FamilyClock}})); diff != "" {
		t.Error(diff)
	}
	for _, f := range []Filter{{Only: []string{"nosuch"}}, {Only: []string{"["}}, {Families: []Family{"nosuch"}}} {
		if _, err := Run(t.Context(), Env{Deployment: d, Hosts: connector{}}, f); ops.CodeOf(err) != ops.CodeUsage {
			t.Errorf("%+v: got %v", f, err)
		}
	}
}

func TestReference(t *testing.T) {
	answers := func(admin int, values ...string) []answer[string] {
		var list []answer[string]
		for i, value := range values {
			n := &inventory.Node{Name: fmt.Sprint(i)}
			if i == admin {
				n.Roles = []inventory.Role{inventory.RoleAdmin}
			}
			list = append(list, answer[string]{node: &node{Node: n}, value: value})
		}
		return list
	}
	same := func(s string) string { return s }
	if got := reference(answers(-1, "x", "y", "y"), same).value; got != "y" {
		t.Errorf("majority: %s", got)
	}
	if got := reference(answers(0, "x", "y", "y"), same).value; got != "x" {
		t.Errorf("admin: %s", got)
	}
	if got := reference(answers(-1, "x", "y"), same).value; got != "x" {
		t.Errorf("tie: %s", got)
	}
}

func TestWorse(t *testing.T) {
	for i, a := range Verdicts() {
		for j, b := range Verdicts() {
			if got, want := Worse(a, b), Verdicts()[max(i, j)]; got != want {
				t.Errorf("Worse(%s, %s) = %s", a, b, got)
			}
		}
	}
}
