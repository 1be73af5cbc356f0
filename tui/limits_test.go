package tui

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"

	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/health"
)

// manyNodes is the deployment of the limits: 100 nodes with names of a usual length.
func manyNodes() []string {
	names := make([]string, 100)
	for i := range names {
		names[i] = fmt.Sprintf("node-%03d", i)
	}
	return names
}

// probe is a model that tells by the window's title which key its frame was drawn after.
type probe struct {
	*Model
	keys           int
	slowest, pause time.Duration // the longest Update, and the longest time without a frame
	drew           time.Time
}

func (p *probe) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	if _, ok := msg.(tea.KeyPressMsg); ok {
		p.keys++
	}
	began := time.Now()
	_, cmd := p.Model.Update(msg)
	p.slowest = max(p.slowest, time.Since(began))
	return p, cmd
}

func (p *probe) View() tea.View {
	if now := time.Now(); !p.drew.IsZero() {
		p.pause = max(p.pause, now.Sub(p.drew))
	}
	p.drew = time.Now()
	v := p.Model.View()
	v.WindowTitle = fmt.Sprintf("after %d", p.keys)
	return v
}

// meter is a terminal that counts what it is sent, and notes when the frame after each key came. Safe for concurrent use.
type meter struct {
	mu    sync.Mutex
	bytes int
	drawn map[int]time.Time // frames by the last key before them
}

func (m *meter) Write(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	m.bytes += len(p)
	for _, title := range regexp.MustCompile(`after (\d+)`).FindAllSubmatch(p, -1) {
		key, _ := strconv.Atoi(string(title[1]))
		for key > 0 && m.drawn[key].IsZero() { // the frame after a key is drawn after those before it too
			m.drawn[key] = now
			key--
		}
	}
	return len(p), nil
}

func (m *meter) total() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.bytes
}

// driven is a model in the loop of a real program, with keys from a pipe and a meter for a terminal.
type driven struct {
	probe *probe
	meter *meter
	keys  io.WriteCloser
	sent  []time.Time
	end   func()
}

func drive(t *testing.T, m *Model) *driven {
	t.Helper()
	in, keys := io.Pipe()
	p := &driven{probe: &probe{Model: m}, meter: &meter{drawn: map[int]time.Time{}}, keys: keys}
	ctx, cancel := context.WithCancel(context.Background())
	loop := tea.NewProgram(p.probe, tea.WithContext(ctx), tea.WithInput(in), tea.WithOutput(p.meter), tea.WithEnvironment([]string{"TERM=xterm-256color", "SSH_TTY=1"}),
		tea.WithWindowSize(120, 40), tea.WithColorProfile(colorprofile.ANSI256), tea.WithFPS(framesPerSecond), tea.WithoutSignalHandler())
	ended := make(chan error, 1)
	go func() {
		_, err := loop.Run()
		ended <- err
	}()
	p.end = func() {
		loop.Quit()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		keys.Close()
		cancel()
	}
	return p
}

func (p *driven) press(key string) {
	p.sent = append(p.sent, time.Now())
	io.WriteString(p.keys, key)
}

// settle waits until the frame after the last key was drawn.
func (p *driven) settle(t *testing.T) {
	t.Helper()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for range 1000 {
		p.meter.mu.Lock()
		_, ok := p.meter.drawn[len(p.sent)]
		p.meter.mu.Unlock()
		if ok {
			return
		}
		<-look.C
	}
	t.Fatalf("key %d was never drawn", len(p.sent))
}

// latencies are the times from each key to its frame, the shortest first.
func (p *driven) latencies(t *testing.T) []time.Duration {
	t.Helper()
	p.meter.mu.Lock()
	defer p.meter.mu.Unlock()
	var out []time.Duration
	for i, at := range p.sent {
		drawn, ok := p.meter.drawn[i+1]
		if !ok {
			t.Fatalf("key %d of %d was never drawn", i+1, len(p.sent))
		}
		out = append(out, drawn.Sub(at))
	}
	slices.Sort(out)
	return out
}

func percentile(d []time.Duration, p int) time.Duration { return d[min(len(d)*p/100, len(d)-1)] }

// busyDeploy is a model of 100 nodes in the middle of a deploy, and what sends it an event of the next node.
func busyDeploy(t testing.TB) (m *Model, emit func(i int)) {
	w := newWorld(true, manyNodes()...)
	w.now = time.Now
	r := newRig(t, w, Options{Theme: Dark})
	r.size(120, 40)
	deployRunning(r)
	return r.m, func(i int) {
		n := w.d.Nodes[i%len(w.d.Nodes)].Name
		e := ops.Event{Time: time.Now(), Kind: ops.Progress, Op: "deploy", Node: n, Step: "upload/" + n, Done: int64(i) * 1000, Total: 100_000_000, Unit: "bytes"}
		if i%10 == 9 {
			e.Kind, e.Message = ops.Output, "a line of what a command said"
		}
		r.m.feed.Emit(e)
	}
}

// load sends 1000 events a second, 10 of each node, and a key every 70 ms, which shows another screen or moves.
func load(p *driven, emit func(int), d time.Duration) (events int) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	keys := strings.Split("1j3j4k5679j82", "")
	for began := time.Now(); time.Since(began) < d; {
		<-tick.C
		for due := int(time.Since(began) / time.Millisecond); events < due; events++ {
			emit(events)
		}
		if len(p.sent) < int(time.Since(began)/(70*time.Millisecond)) {
			p.press(keys[len(p.sent)%len(keys)])
		}
	}
	return events
}

// cpuTime is what the process has used, in user and system mode.
func cpuTime(t *testing.T) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// raced reports whether the test runs under the race detector, which costs many times the CPU.
func raced() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// TestHundredNodesUnderLoad runs the program for some seconds of real time with 1000 events a second. A quarter of a core is 250 µs
// an event.
func TestHundredNodesUnderLoad(t *testing.T) {
	m, emit := busyDeploy(t)
	p := drive(t, m)
	used, began := cpuTime(t), time.Now()
	events := load(p, emit, 4*time.Second)
	used = cpuTime(t) - used
	took := time.Since(began)
	p.settle(t)
	p.end()
	lat := p.latencies(t)
	each := used / time.Duration(events)
	t.Logf("%d events and %d keys in %s: key to frame p50 %s, p99 %s; CPU %s, %.1f %% of a core, %s an event", events, len(lat), took.Round(time.Millisecond),
		percentile(lat, 50), percentile(lat, 99), used, 100*used.Seconds()/took.Seconds(), each)
	if each > 250*time.Microsecond && !raced() {
		t.Errorf("an event takes %s of CPU: 1000 a second need more than a quarter of a core", each)
	}
}

// TestKeysAreDrawnInTime measures the same in virtual time, where nothing counts but what the program waits for.
func TestKeysAreDrawnInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, emit := busyDeploy(t)
		p := drive(t, m)
		load(p, emit, 20*time.Second)
		p.settle(t)
		p.end()
		p.drawnInTime(t)
		synctest.Wait()
	})
}

// drawnInTime wants each key drawn within a frame: half of what is allowed, the other half is for the CPU.
func (p *driven) drawnInTime(t *testing.T) {
	t.Helper()
	lat := p.latencies(t)
	t.Logf("%d keys: key to frame p50 %s, p99 %s", len(lat), percentile(lat, 50), percentile(lat, 99))
	if p99 := percentile(lat, 99); p99 > 26*time.Millisecond {
		t.Errorf("a key waits %s for its frame", p99)
	}
}

// TestLittleIsWrittenWhenNothingChanges leaves the program alone for a while: checks and nodes are read again and again, ages grow.
func TestLittleIsWrittenWhenNothingChanges(t *testing.T) {
	for _, broken := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(broken, manyNodes()...)
			w.now = time.Now
			p := drive(t, New(t.Context(), Services{Deployment: w.d, Reader: w, Planner: w}, Options{Theme: Dark}))
			time.Sleep(time.Minute) // the first pictures
			before := p.meter.total()
			time.Sleep(4 * time.Minute)
			rate := (p.meter.total() - before) / (4 * 60)
			p.end()
			t.Logf("broken: %v: %d bytes a second in 4 minutes", broken, rate)
			if before == 0 || rate == 0 || rate > 2048 {
				t.Errorf("broken: %v: %d bytes at first, then %d a second", broken, before, rate)
			}
			synctest.Wait()
		})
	}
}

// TestMemoryStaysFlat feeds the events of an hour to the model, and draws a frame for each second.
func TestMemoryStaysFlat(t *testing.T) {
	perSecond := 1000
	if testing.Short() || raced() {
		perSecond = 50
	}
	m, emit := busyDeploy(t)
	heap := func() int64 {
		runtime.GC()
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return int64(s.HeapAlloc)
	}
	var early int64
	const batches = 12 // of the feed, in a second
	for second, events := 0, 0; second < 3600; second++ {
		m.now = m.now.Add(time.Second)
		for b := range batches {
			for ; events < second*perSecond+(b+1)*perSecond/batches; events++ {
				emit(events)
			}
			m.Update(m.feed.take())
		}
		for _, r := range m.st.results[:2] { // verdicts change back and forth, which is told as events
			r.Evidence = slices.Clone(r.Evidence)
			r.Evidence[second%len(r.Evidence)].Verdict = []health.Verdict{health.OK, health.Fail}[second/100%2]
			m.feed.result(r)
		}
		m.View()
		if second == 600 {
			early = heap()
		}
	}
	late := heap()
	t.Logf("%d events in an hour: %.2f MiB after 10 minutes, %.2f MiB after 60", 3600*perSecond, float64(early)/(1<<20), float64(late)/(1<<20))
	if late > early+early/10+1<<20 {
		t.Errorf("the heap grew from %d to %d bytes", early, late)
	}
	if len(m.log.ring) != keptEvents {
		t.Errorf("%d events are kept: the hour was not long enough to prove anything", len(m.log.ring))
	}
}

// TestSlowAndHangingNodes has 300 ms between the program and its nodes, and 5 of 100 nodes that stop to answer, together.
func TestSlowAndHangingNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const roundTrip = 300 * time.Millisecond
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		names := manyNodes()
		hanging := []string{names[3], names[20], names[21], names[57], names[99]}
		wait := func(ctx context.Context, d time.Duration) error {
			ctx, cancel := context.WithTimeout(ctx, d)
			defer cancel()
			<-ctx.Done()
			return nil
		}
		var hang atomic.Bool
		w := newWorld(false, names...)
		w.now = time.Now
		w.node = func(ctx context.Context, name string) error {
			if hang.Load() && slices.Contains(hanging, name) {
				<-ctx.Done()
				return ctx.Err()
			}
			return wait(ctx, 4*roundTrip)
		}
		w.check = func(ctx context.Context) error {
			if hang.Load() {
				return wait(ctx, w.d.Check.Timeout) // the checks wait for the nodes that hang
			}
			return wait(ctx, 4*roundTrip)
		}
		m := New(ctx, Services{Deployment: w.d, Reader: w, Planner: w}, Options{Theme: Mono})
		p := drive(t, m)
		time.Sleep(2 * time.Minute)
		hang.Store(true)
		for i := range 200 {
			time.Sleep(time.Second)
			p.press([]string{"1", "2", "3", "9", "j"}[i%5])
		}
		p.press("1")
		p.settle(t)
		p.end()
		p.drawnInTime(t)
		if p.probe.slowest > 0 {
			t.Errorf("an Update took %s: it waits for something", p.probe.slowest)
		}
		if p.probe.pause > tickEvery+10*time.Millisecond {
			t.Errorf("no frame was made for %s", p.probe.pause)
		}
		r := &rig{m: m}
		r.size(120, 200)
		s := m.plainText()
		for _, n := range hanging {
			if !regexp.MustCompile(n + `  no answer for \dm`).MatchString(s) {
				t.Errorf("%s is not told to be without an answer", n)
			}
		}
		for _, n := range names {
			row := regexp.MustCompile(`(?m)^..` + n + ` .*$`).FindString(s)
			if got, want := strings.Contains(row, "1.5.4~"), slices.Contains(hanging, n); row == "" || got != want {
				t.Errorf("%s is marked as stale: %v, want %v: %q", n, got, want, row)
			}
		}
		cancel()
		synctest.Wait()
	})
}
