package tui

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/health"
)

// planned brings a rig to a deploy that waits for its confirmation.
func plannedDeploy(t testing.TB) *rig {
	t.Helper()
	r := newRig(t, newWorld(false), Options{})
	r.size(120, 40)
	r.press("4", "enter")
	r.typed("/srv/new.zip")
	r.press("enter")
	if r.m.op == nil || r.m.op.phase != planned {
		t.Fatal("no deploy was planned")
	}
	return r
}

func TestNothingStartsBeforeTheNameWasTyped(t *testing.T) {
	r := plannedDeploy(t)
	r.press("enter") // opens the dialog
	r.typed("shop-prod")
	r.press("enter")
	if !strings.Contains(r.m.plainText(), "not the name") {
		t.Errorf("the dialog does not say that the name is wrong:\n%s", r.m.plainText())
	}
	r.press("enter", "enter", "y")
	if got := r.w.ran(); len(got) != 0 {
		t.Fatalf("a wrong name started %v", got)
	}
	r.press("esc", "enter")
	r.m.Update(tea.PasteMsg{Content: "shop-production\n"})
	r.press("enter")
	if got := r.w.ran(); len(got) != 0 {
		t.Fatalf("a pasted name started %v", got)
	}
	r.typed("shop-production")
	r.press("enter")
	if got := r.w.ran(); len(got) != 1 || got[0] != "deploy "+releaseNew {
		t.Fatalf("the right name started %v", got)
	}
	if r.m.op.phase != ended || r.m.op.err != nil {
		t.Errorf("the deploy ended in phase %d: %v", r.m.op.phase, r.m.op.err)
	}
}

func TestEveryOperationIsShownAndConfirmed(t *testing.T) {
	for name, keys := range map[string][]string{"roll back to " + releaseOld: {"5", "down", "enter"}, "roll back to ": {"5", "b"}, "sync 2 nodes": {"6", "enter"},
		"undo sync 20260302-115300.120-ab2c": {"6", "u"}, "write the crontabs": {"7", "enter"}} {
		r := newRig(t, newWorld(false), Options{})
		r.size(100, 30)
		r.press(keys...)
		if !strings.Contains(r.m.plainText(), "wave 1 prepare") || len(r.w.ran()) != 0 {
			t.Errorf("%s: the plan is not shown first; ran %v:\n%s", name, r.w.ran(), r.m.plainText())
		}
		r.press("enter")
		r.typed("shop-production")
		r.press("enter")
		if got := r.w.ran(); len(got) != 1 || got[0] != name {
			t.Errorf("%v ran %q, want %q", keys, got, name)
		}
	}
}

func TestKeysOfADialogStayThere(t *testing.T) {
	r := newRig(t, newWorld(false), Options{})
	r.press("3", "/", "q", "1", "?", "T")
	if r.quits != 0 || r.m.screen != screenChecks || r.m.th.name != Dark {
		t.Errorf("keys of a dialog reached the screen: quits %d, screen %d, theme %s", r.quits, r.m.screen, r.m.th.name)
	}
	r.press("enter")
	if got := r.m.filter[screenChecks]; got != "q1?T" {
		t.Errorf("filter %q", got)
	}
}

// blocked is a deploy that runs until it is aborted.
func blockedDeploy(t *testing.T) (*rig, chan tea.Msg) {
	r := plannedDeploy(t)
	r.w.run = func(_ context.Context, sink ops.Sink, stop <-chan struct{}) error {
		sink.Emit(ops.Event{Kind: ops.Started, Node: "app1", Step: "upload/app1", Message: "upload"})
		<-stop
		return &ops.Error{Code: ops.CodeInterrupted, Err: errors.New("interrupted before all was done")}
	}
	end := make(chan tea.Msg, 1)
	cmd := r.m.start()
	go func() { end <- cmd() }()
	return r, end
}

func TestQuitAsksWhileSomethingRuns(t *testing.T) {
	r, end := blockedDeploy(t)
	r.press("q")
	if r.quits != 0 || r.m.dlg == nil {
		t.Fatal("q left in the middle of a deploy")
	}
	r.press("n")
	if r.m.op.aborting || r.m.dlg != nil {
		t.Fatal("another key than y aborted the deploy")
	}
	r.press("ctrl+z")
	if !strings.Contains(r.m.plainText(), "another terminal") {
		t.Error("a running deploy is suspended without a word")
	}
	r.size(30, 8) // it survives a resize
	r.size(120, 40)
	r.press("ctrl+c", "y")
	if r.quits != 0 {
		t.Error("the program left before the deploy had ended")
	}
	_, cmd := r.m.Update(<-end)
	r.do(cmd)
	if r.quits != 1 {
		t.Error("the program stayed after the deploy had ended")
	}
	r.m.runner.finish(false, nil, nil)
}

func TestOneOperationAtATime(t *testing.T) {
	r, end := blockedDeploy(t)
	r.press("6", "enter")
	if r.m.op.name != "deploy" || !strings.Contains(r.m.plainText(), "deploy is running") {
		t.Errorf("a second operation was planned:\n%s", r.m.plainText())
	}
	r.press("4", "x")
	if r.m.op.aborting {
		t.Error("one key aborted the deploy")
	}
	r.press("y")
	_, cmd := r.m.Update(<-end)
	r.do(cmd)
	if r.m.op.phase != ended || !strings.Contains(r.m.plainText(), "failed") {
		t.Errorf("an aborted deploy is shown as:\n%s", r.m.plainText())
	}
}

// randomKey makes keys, pastes, resizes and ticks, with a liking for what opens and closes things.
func randomMsg(rnd *rand.Rand, m *Model) tea.Msg {
	names := []string{"enter", "esc", "up", "down", "tab", "backspace", "left", "right", "pgdown", "end", "ctrl+c", "ctrl+z", "ctrl+u", "ctrl+p"}
	switch n := rnd.IntN(100); {
	case n < 50:
		return tea.KeyPressMsg(keyOf(names[rnd.IntN(len(names))]))
	case n < 92:
		return tea.KeyPressMsg(keyOf(string(rune(' ' + rnd.IntN(95)))))
	case n < 95:
		b := make([]byte, rnd.IntN(40))
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		return tea.PasteMsg{Content: string(b) + m.svc.Deployment.Name + "\n"}
	case n < 97:
		return tea.WindowSizeMsg{Width: 1 + rnd.IntN(140), Height: 1 + rnd.IntN(45)}
	case n < 98:
		if n := rnd.IntN(200); n < 150 {
			return tea.MouseClickMsg{X: n, Y: rnd.IntN(45), Button: tea.MouseLeft}
		}
		return tea.MouseWheelMsg{Button: tea.MouseWheelDown}
	default:
		return tea.KeyPressMsg{Code: rune(rnd.Uint32()), Text: string(rune(rnd.Uint32())), Mod: tea.KeyMod(rnd.IntN(64))}
	}
}

// TestAMillionRandomKeys drives all screens by keys, pastes and resizes: nothing starts that was not confirmed, nothing panics.
func TestAMillionRandomKeys(t *testing.T) {
	events := 1_000_000
	if testing.Short() {
		events = 50_000
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	w := newWorld(true)
	r := newRig(t, w, Options{})
	dialogs, plans := 0, 0
	for i := range events {
		_, cmd := r.m.Update(randomMsg(rnd, r.m))
		if r.m.op != nil && r.m.op.phase == planning {
			plans++
		}
		if cmd != nil && i%3 == 0 { // answers come late, or never
			r.do(cmd)
		}
		if _, ok := r.m.dlg.(*typedDialog); ok {
			dialogs++
		}
		if i%997 == 0 {
			checkFrame(t, r.m)
		}
		if len(w.ran()) > 0 || t.Failed() {
			t.Fatalf("after %d events: %v was started without its name typed", i, w.ran())
		}
	}
	if dialogs == 0 || plans == 0 {
		t.Errorf("the keys reached %d confirmations and %d plans: the test proves nothing", dialogs, plans)
	}
	t.Logf("%d keys in a confirmation, %d in a plan, %d quits", dialogs, plans, r.quits)
}

// loop runs a model as bubbletea does, in a bubble of fake time, until ctx ends. mu is held during each Update.
func loop(ctx context.Context, m *Model, mu *sync.Mutex) {
	msgs := make(chan tea.Msg)
	var run func(cmd tea.Cmd)
	run = func(cmd tea.Cmd) {
		if cmd == nil {
			return
		}
		go func() {
			msg := cmd()
			if batch, ok := msg.(tea.BatchMsg); ok {
				for _, c := range batch {
					run(c)
				}
				return
			}
			select {
			case msgs <- msg:
			case <-ctx.Done():
			}
		}()
	}
	run(m.Init())
	for {
		select {
		case msg := <-msgs:
			mu.Lock()
			_, cmd := m.Update(msg)
			mu.Unlock()
			run(cmd)
		case <-ctx.Done():
			return
		}
	}
}

func TestPollingKeepsTheIntervalAndMarksWhatIsStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		w := newWorld(false)
		w.now = time.Now
		var hangs atomic.Bool
		w.node = func(ctx context.Context, name string) error {
			if hangs.Load() && name == "app3" {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}
		m := New(ctx, Services{Deployment: w.d, Reader: w, Planner: w}, Options{})
		m.w, m.h = 120, 40
		done := make(chan struct{})
		var mu sync.Mutex
		go func() { loop(ctx, m, &mu); close(done) }()
		screen := func() string {
			mu.Lock()
			defer mu.Unlock()
			return m.plainText()
		}
		reads := func(what string) int {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.reads[what]
		}
		wait := func(d time.Duration) { time.Sleep(d); synctest.Wait() }
		wait(10 * time.Minute)
		for _, what := range []string{"checks", "node app1", "node app2", "node app3"} {
			// 20 intervals in ten minutes, and the first one at once.
			if got := reads(what); got < 15 || got > 21 {
				t.Errorf("%s was read %d times in 10 minutes at an interval of 30s", what, got)
			}
		}
		if s := screen(); strings.Contains(s, "~") || strings.Contains(s, "stale") {
			t.Errorf("fresh figures are marked as stale:\n%s", s)
		}
		hangs.Store(true)
		before := reads("node app1")
		asked := reads("node app3")
		wait(80 * time.Second)
		if got := reads("node app1") - before; got < 2 {
			t.Errorf("a node that hangs holds the others up: app1 was read %d times in 80s", got)
		}
		if got := reads("node app3") - asked; got > 1 {
			t.Errorf("a node that hangs was asked %d times more", got)
		}
		if s := screen(); !strings.Contains(s, "app3  1.5.4 ~1m") {
			t.Errorf("the figures of a hanging node are not marked:\n%s", s)
		}
		wait(3 * time.Minute)
		if s := screen(); !strings.Contains(s, "no answer for") {
			t.Errorf("a node that does not answer is not told:\n%s", s)
		}
		cancel()
		<-done
		synctest.Wait()
	})
}

// TestMemoryIsBounded feeds an hour of events and wants what is kept to stay as large.
func TestMemoryIsBounded(t *testing.T) {
	r := newRig(t, newWorld(false), Options{})
	deployRunning(r)
	for i := range 36_000 {
		n := r.w.d.Nodes[i%3].Name
		r.m.feed.Emit(ops.Event{Time: noon.Add(time.Duration(i) * 100 * time.Millisecond), Kind: []ops.Kind{ops.Progress, ops.Output, ops.Warning}[i%3], Node: n, Step: "upload/" + n,
			Done: int64(i), Unit: "bytes", Message: "line"})
		if i%10 == 0 {
			r.m.onNews(r.m.feed.take())
		}
	}
	if len(r.m.log.ring) > keptEvents || len(r.m.op.news) > keptNews {
		t.Errorf("%d events and %d lines of news are kept", len(r.m.log.ring), len(r.m.op.news))
	}
	for n, p := range r.m.op.nodes {
		if len(p.rates) > keptRates {
			t.Errorf("%s: %d rates are kept", n, len(p.rates))
		}
	}
	var newest ops.Event
	r.m.log.newest(func(e ops.Event) bool { newest = e; return false })
	if newest.Time.Before(noon.Add(59 * time.Minute)) {
		t.Errorf("the newest event is of %s", newest.Time)
	}
}

func TestProgressIsMergedAndNothingElseIsDropped(t *testing.T) {
	f := newFeed()
	for i := range 100 {
		f.Emit(ops.Event{Kind: ops.Progress, Node: "a", Step: "s", Done: int64(i)})
	}
	f.Emit(ops.Event{Kind: ops.Output, Node: "a", Step: "s", Message: "1"})
	f.Emit(ops.Event{Kind: ops.Progress, Node: "a", Step: "s", Done: 100})
	f.Emit(ops.Event{Kind: ops.Output, Node: "a", Step: "s", Message: "2"})
	var got []string
	for _, e := range f.take().events {
		got = append(got, fmt.Sprint(e.Kind, " ", e.Done, e.Message))
	}
	if want := "progress 99,output 01,progress 100,output 02"; strings.Join(got, ",") != want {
		t.Errorf("%v", got)
	}
}

func TestHelpTellsOfEveryKeyThatWorks(t *testing.T) {
	for i := range screens {
		r := newRig(t, newWorld(true), Options{})
		r.size(100, 60)
		r.press(fmt.Sprint(int(i)+1), "?")
		s := r.m.plainText()
		for _, b := range r.m.bindings() {
			if b.works(r.m) != strings.Contains(s, b.help) && !strings.Contains(s, "of ") {
				t.Errorf("screen %d: %q", i, b.help)
			}
		}
	}
}

func TestPaletteGoesAndPlans(t *testing.T) {
	r := newRig(t, newWorld(false), Options{})
	r.press(":")
	r.typed("node app2")
	r.press("enter")
	if r.m.screen != screenNode || r.m.shown != "app2" {
		t.Errorf("screen %d, node %s", r.m.screen, r.m.shown)
	}
	r.press(":")
	r.m.Update(tea.PasteMsg{Content: "deploy /srv/new.zip\n"})
	if r.m.op != nil {
		t.Fatal("a paste runs a command")
	}
	r.press("enter")
	if r.m.op == nil || r.m.op.phase != planned || r.m.screen != screenDeploy || len(r.w.ran()) != 0 {
		t.Errorf("deploy in the palette: %+v", r.m.op)
	}
}

// TestSilentNodeNeedsOneLine wants a node that does not answer named once among what needs attention, not by each check that can't
// know anything of it.
func TestSilentNodeNeedsOneLine(t *testing.T) {
	w := newWorld(true)
	w.node = func(_ context.Context, name string) error {
		if name == w.last() {
			return errors.New("app3: no route to host; encryption key differs: fingerprint 91c0f02b77aa, the other nodes have 0f3a9c117d02")
		}
		return nil
	}
	r := newRig(t, w, Options{})
	var said strings.Builder
	for _, l := range r.m.attention(120, 40) {
		said.WriteString(l.String() + "\n")
	}
	got := said.String()
	if strings.Count(got, "no route to host") != 1 || strings.Contains(got, "db-version") || strings.Contains(got, "files-keys") {
		t.Errorf("got:\n%s", got)
	}
	if !strings.Contains(got, "cache-reach") || !strings.Contains(got, "clock-skew") {
		t.Errorf("what was found out is left out:\n%s", got)
	}
}

// TestSilentNodeIsNotedOnce wants one event of a node that no check can ask, and none of each check that knows it again.
func TestSilentNodeIsNotedOnce(t *testing.T) {
	r := newRig(t, newWorld(false), Options{})
	before := len(r.m.log.ring)
	tell := func(v health.Verdict, text string) {
		for _, name := range []string{"files-keys", "files-env", "php-version"} {
			r.m.onNews(happened{results: []health.Result{{Info: health.Info{Name: name}, Verdict: v, Evidence: []health.Evidence{{Node: "app3", Verdict: v, Text: text}}}}})
		}
	}
	tell(health.Unknown, "no route to host")
	if n := len(r.m.log.ring) - before; n != 1 {
		t.Errorf("%d events of a node that does not answer", n)
	}
	tell(health.OK, "fine")
	if n := len(r.m.log.ring) - before; n != 1 {
		t.Errorf("%d events when it answers again", n)
	}
	tell(health.Fail, "differs")
	if n := len(r.m.log.ring) - before; n != 4 {
		t.Errorf("%d events after three checks failed", n)
	}
}

// TestLongEventIsShownWhole wants the text of the chosen event in full below the list where its line is cut, and its mend.
func TestLongEventIsShownWhole(t *testing.T) {
	r := newRig(t, newWorld(false), Options{})
	r.size(80, 24)
	long := strings.Repeat("why and how ", 12) + "THE END"
	r.m.record(ops.Event{Kind: ops.Warning, Message: "key stays locked", Error: long, Hint: "ssh-add"})
	r.press("9")
	checkFrame(t, r.m)
	if s := r.m.plainText(); !strings.Contains(s, "THE END") || !strings.Contains(s, "→ ssh-add") {
		t.Errorf("got:\n%s", s)
	}
	r.size(80, 7)
	checkFrame(t, r.m)
	if s := r.m.plainText(); !strings.Contains(s, "→ ssh-add") {
		t.Errorf("with little room:\n%s", s)
	}
}

// TestNothingToExport wants no empty file, and an empty list told from one that a filter empties.
func TestNothingToExport(t *testing.T) {
	r := newRig(t, newWorld(false), Options{})
	r.m.svc.Export = func(string, []byte) (string, error) { t.Error("exported"); return "", nil }
	r.m.log = eventLog{}
	r.press("9", "e")
	if s := r.m.plainText(); !strings.Contains(s, "no events to export") || !strings.Contains(s, "nothing has happened yet") {
		t.Errorf("got:\n%s", s)
	}
	r.m.record(ops.Event{Kind: ops.Warning, Message: "one"})
	r.press("/")
	r.typed("two")
	r.press("enter", "e")
	if s := r.m.plainText(); !strings.Contains(s, "no event matches the filter") {
		t.Errorf("got:\n%s", s)
	}
}

// TestDeployWithoutASource wants the command to lead to the screen where a source is chosen.
func TestDeployWithoutASource(t *testing.T) {
	r := newRig(t, newWorld(false), Options{})
	r.press(":")
	r.typed("deploy")
	r.press("enter")
	if r.m.screen != screenDeploy || r.m.op != nil {
		t.Errorf("on screen %d with operation %v", r.m.screen, r.m.op)
	}
}

// TestPaletteReachesFar wants what belongs to one screen to be had from another, and that screen to be shown then.
func TestPaletteReachesFar(t *testing.T) {
	r := newRig(t, newWorld(true), Options{})
	exported := 0
	r.m.svc.Export = func(name string, _ []byte) (string, error) { exported++; return name, nil }
	r.press("7", ":")
	r.typed("export")
	r.press("enter")
	if exported != 1 || r.m.screen != screenEvents {
		t.Errorf("exported %d times, on screen %d", exported, r.m.screen)
	}
	r.press("7", ":")
	r.typed("undo-sync") // of the run that is chosen there
	if p, _ := r.m.dlg.(*palette); p == nil || len(p.found()) != 0 {
		t.Error("a run can be undone that is not to be seen")
	}
}
