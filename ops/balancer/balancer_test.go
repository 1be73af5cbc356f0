package balancer

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
)

func TestDrainWaitsForSessions(t *testing.T) {
	f := startFake(t, "app1", "app2", "app3")
	f.sessions["app1"] = 3
	f.onStat = func(f *fakeHAProxy) { // one session ends between two looks
		if f.admin["app1"] != 0 && f.sessions["app1"] > 0 {
			f.sessions["app1"]--
		}
	}
	s := newSet(t, deployment(f.balancer("lb")), Options{})
	if err := s.Drain(t.Context(), "app1"); err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	left := f.sessions["app1"]
	f.mu.Unlock()
	if left != 0 {
		t.Errorf("Drain returned with %d sessions open", left)
	}
	if got, want := states(t, s), "lb/app1=drain lb/app2=ready lb/app3=ready"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if err := s.Ready(t.Context(), "app1"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"app1 state drain", "app1 state ready"}, f.sets()); diff != "" {
		t.Error(diff)
	}
	if s.Before("app1") != nil {
		t.Error("Ready did not forget the state before")
	}
}

func TestDrainGoesOnWhenTheWaitIsOver(t *testing.T) {
	f := startFake(t, "app1", "app2", "app3")
	f.sessions["app1"] = 1
	b := f.balancer("lb")
	b.Wait = 30 * time.Millisecond
	s := newSet(t, deployment(b), Options{})
	var warned reports
	step := s.DrainStep("drain app1", "app1", nil)
	if err := step.Do(t.Context(), &warned); err != nil {
		t.Fatal(err)
	}
	if len(warned) != 1 || !strings.Contains(warned[0], "balancer lb") {
		t.Errorf("warnings %q", warned)
	}
}

type reports []string

func (reports) Progress(int64, int64, string) {}
func (reports) Outputf(string, ...any)        {}
func (r *reports) Warnf(f string, args ...any) {
	for _, a := range args {
		*r = append(*r, strings.ReplaceAll(f, "%s", a.(string)))
	}
}

func TestMaintIsLeftAlone(t *testing.T) {
	f := startFake(t, "app1", "app2", "app3")
	f.admin["app1"] = 0x01
	s := newSet(t, deployment(f.balancer("lb")), Options{})
	for _, do := range []func(context.Context, string) error{s.Drain, s.Ready} {
		if err := do(t.Context(), "app1"); err != nil {
			t.Fatal(err)
		}
	}
	if sets := f.sets(); len(sets) != 0 {
		t.Errorf("changed %q", sets)
	}
	// Without a Drain before it, Ready is the operator's own wish.
	fresh := newSet(t, deployment(f.balancer("lb")), Options{})
	if err := fresh.Ready(t.Context(), "app1"); err != nil {
		t.Fatal(err)
	}
	if got := states(t, fresh); !strings.HasPrefix(got, "lb/app1=ready") {
		t.Error(got)
	}
}

func TestLastServerIsNotDrained(t *testing.T) {
	for name, break2 := range map[string]func(*fakeHAProxy){
		"drained": func(f *fakeHAProxy) { f.admin["app2"] = 0x08 },
		"down":    func(f *fakeHAProxy) { f.down["app2"] = true },
	} {
		t.Run(name, func(t *testing.T) {
			one, two := startFake(t, "app1", "app2", "app3"), startFake(t, "app1", "app2", "app3")
			break2(two)
			two.admin["app3"] = 0x01
			d := deployment(one.balancer("one"), two.balancer("two"))
			err := newSet(t, d, Options{}).Drain(t.Context(), "app1")
			var e *ops.Error
			if !errors.As(err, &e) || e.Node != "app1" || !strings.Contains(e.Op, "two") || !strings.Contains(e.Hint, "--force") {
				t.Fatalf("got %#v", err)
			}
			if sets := slices.Concat(one.sets(), two.sets()); len(sets) != 0 {
				t.Errorf("a refused drain changed %q", sets)
			}
			if err := newSet(t, d, Options{Force: true}).Drain(t.Context(), "app1"); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestTwoDrainsAtOnceLeaveOneServer(t *testing.T) {
	f := startFake(t, "app1", "app2")
	d := deployment(f.balancer("lb"))
	d.Nodes = d.Nodes[:2]
	s := newSet(t, d, Options{})
	errs := make(chan error, 2)
	for _, n := range []string{"app1", "app2"} {
		go func() { errs <- s.Drain(t.Context(), n) }()
	}
	if a, b := <-errs, <-errs; (a == nil) == (b == nil) {
		t.Errorf("want one refusal, got %v and %v", a, b)
	}
}

func TestAllBalancersMustAgree(t *testing.T) {
	one, two := startFake(t, "app1", "app2", "app3"), startFake(t, "app1", "app2", "app3")
	for name, tc := range map[string]struct {
		fault func()
		want  string
	}{
		"refused":        {func() { two.refuse, two.deaf = "Permission denied", false }, "Permission denied"},
		"without effect": {func() { two.refuse, two.deaf = "", true }, "says ready"},
	} {
		t.Run(name, func(t *testing.T) {
			tc.fault()
			s := newSet(t, deployment(one.balancer("one"), two.balancer("two")), Options{})
			err := s.Drain(t.Context(), "app1")
			if err == nil || !strings.Contains(err.Error(), "app1: balancer two") || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("got %v", err)
			}
			if got := states(t, s); !strings.HasPrefix(got, "one/app1=ready") {
				t.Errorf("not put back: %s", got)
			}
		})
	}
}

func TestDrainIsTakenBackWhenInterrupted(t *testing.T) {
	f := startFake(t, "app1", "app2", "app3")
	f.sessions["app1"] = 1
	ctx, cancel := context.WithCancel(t.Context())
	f.onSet = func(string) { cancel() }
	s := newSet(t, deployment(f.balancer("lb")), Options{})
	if err := s.Drain(ctx, "app1"); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	if got := states(t, s); !strings.HasPrefix(got, "lb/app1=ready") {
		t.Error(got)
	}
}

func TestSomebodyElseEndsTheDrain(t *testing.T) {
	f := startFake(t, "app1", "app2", "app3")
	f.sessions["app1"] = 1
	looks := 0
	f.onStat = func(f *fakeHAProxy) {
		if looks++; looks > 3 {
			f.admin["app1"] = 0
		}
	}
	err := newSet(t, deployment(f.balancer("lb")), Options{}).Drain(t.Context(), "app1")
	if err == nil || !strings.Contains(err.Error(), "somebody put it back") {
		t.Fatalf("got %v", err)
	}
}

func TestReadyWaitsForTheBalancersCheck(t *testing.T) {
	f := startFake(t, "app1", "app2", "app3")
	f.admin["app1"], f.down["app1"] = 0x08, true
	b := f.balancer("lb")
	looks := 0
	f.onStat = func(f *fakeHAProxy) {
		if looks++; looks == 4 {
			f.down["app1"] = false
		}
	}
	if err := newSet(t, deployment(b), Options{}).Ready(t.Context(), "app1"); err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	f.down["app1"] = true
	f.mu.Unlock()
	b.Wait = 20 * time.Millisecond
	err := newSet(t, deployment(b), Options{}).Ready(t.Context(), "app1")
	if err == nil || !strings.Contains(err.Error(), "fails the balancer's check") {
		t.Fatalf("got %v", err)
	}
}

func TestUndo(t *testing.T) {
	one, two := startFake(t, "app1", "app2", "app3"), startFake(t, "app1", "app2", "app3")
	two.admin["app1"] = 0x08 // by the operator, before us
	d := deployment(one.balancer("one"), two.balancer("two"))
	facts, err := newSet(t, d, Options{}).Facts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	u := UndoOf("app1", facts)
	if diff := cmp.Diff(map[string]string{"one": "ready", "two": "drain"}, u.Data); diff != "" {
		t.Fatal(diff)
	}
	if err := newSet(t, d, Options{}).Drain(t.Context(), "app1"); err != nil {
		t.Fatal(err)
	}
	later := newSet(t, d, Options{}) // another process: nothing remembered
	for range 2 {                    // and idempotent
		if err := later.Undoers()[UndoKind](t.Context(), *u); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := states(t, later), "one/app1=ready one/app2=ready one/app3=ready two/app1=drain two/app2=ready two/app3=ready"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	// An operator who took it into maint in the meantime is right.
	one.mu.Lock()
	one.admin["app1"] = 0x01
	one.mu.Unlock()
	if err := later.Undoers()[UndoKind](t.Context(), *u); err != nil {
		t.Fatal(err)
	}
	if got := states(t, later); !strings.HasPrefix(got, "one/app1=maint") {
		t.Error(got)
	}
}

// A plan that drains and then fails leaves the node in rotation.
func TestApplyUndoesTheDrain(t *testing.T) {
	f := startFake(t, "app1", "app2", "app3")
	s := newSet(t, deployment(f.balancer("lb")), Options{})
	facts, err := s.Facts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	plan := &ops.Plan{Op: "deploy", Facts: facts, Waves: []ops.Wave{{Name: "w", Steps: []ops.Step{
		s.DrainStep("drain", "app1", UndoOf("app1", facts)),
		{ID: "boom", Node: "app1", Do: func(context.Context, ops.Reporter) error { return errors.New("boom") }},
		s.ReadyStep("ready", "app1", "drain"),
	}}}}
	if _, err := ops.Apply(t.Context(), plan, ops.ApplyOptions{Undoers: s.Undoers()}); err == nil {
		t.Fatal("no error")
	}
	if diff := cmp.Diff([]string{"app1 state drain", "app1 state ready"}, f.sets()); diff != "" {
		t.Error(diff)
	}
}

func TestNodesThatAreNoServers(t *testing.T) {
	f := startFake(t, "app1", "web2")
	d := deployment(f.balancer("lb"))
	d.Nodes[1].Backend = map[string]string{"lb": "web2"}
	s := newSet(t, d, Options{})
	if err := s.Drain(t.Context(), "admin1"); err != nil {
		t.Errorf("admin node: %v", err)
	}
	if err := s.Drain(t.Context(), "nobody"); ops.CodeOf(err) != ops.CodeUsage {
		t.Errorf("unknown node: %v", err)
	}
	if err := s.Drain(t.Context(), "app3"); ops.CodeOf(err) != ops.CodeInvalid || !strings.Contains(err.Error(), `"app3"`) {
		t.Errorf("node the balancer doesn't know: %v", err)
	}
	if err := s.Drain(t.Context(), "app2"); err != nil {
		t.Errorf("node with another name: %v", err)
	}
	if diff := cmp.Diff([]string{"web2 state drain"}, f.sets()); diff != "" {
		t.Error(diff)
	}
}

func TestStateOfADeadBalancer(t *testing.T) {
	f := startFake(t, "app1", "app2", "app3")
	dead := f.balancer("dead")
	dead.Node = "gone"
	servers, err := newSet(t, deployment(f.balancer("lb"), dead), Options{}).State(t.Context())
	if ops.CodeOf(err) == "" || !strings.Contains(err.Error(), "balancer dead") {
		t.Errorf("got %v", err)
	}
	count := map[State]int{}
	for _, s := range servers {
		count[s.State]++
	}
	if count[StateReady] != 3 || count[StateUnknown] != 3 {
		t.Errorf("got %+v", servers)
	}
}

func TestNewRefusesWhatIsMissing(t *testing.T) {
	for _, b := range []inventory.Balancer{
		{Kind: "f5"},
		{Kind: inventory.BalancerHAProxy, Socket: "/s"},
		{Kind: inventory.BalancerHAProxy, Socket: "/s", Backend: "app; disable frontend www"},
		{Kind: inventory.BalancerNginx},
		{Kind: inventory.BalancerHealthFile},
		{Kind: inventory.BalancerCommand, Drain: []string{"true"}},
	} {
		b.Name = "lb"
		if _, err := New(deployment(b), here{}, Options{}); ops.CodeOf(err) != ops.CodeInvalid || !strings.Contains(err.Error(), "lb") {
			t.Errorf("%+v: got %v", b, err)
		}
	}
}
