package cleanup

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/cache"
	"github.com/mosparoctl/mosparoctl/protection/crypt"
	"github.com/mosparoctl/mosparoctl/protection/php"
	"github.com/mosparoctl/mosparoctl/protection/store"
)

// fake is a database that only counts.
type fake struct {
	mu     sync.Mutex
	runs   []*protection.CleanupRun
	calls  []string
	pages  int // of expired submissions
	fail   error
	block  chan struct{} // DeleteRestrictions waits for it
	expiry protection.Expiry
	kept   map[int64]time.Time
}

func (f *fake) LastCleanup(context.Context) (last time.Time, _ error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.runs {
		if r.StartedAt.After(last) {
			last = r.StartedAt
		}
	}
	return last, nil
}

func (f *fake) CleanupsSince(_ context.Context, t time.Time, unfinished bool) (n int, _ error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.runs {
		if r.StartedAt.After(t) && (!unfinished || r.Status == protection.CleanupRunning) {
			n++
		}
	}
	return n, nil
}

func (f *fake) BeginCleanup(_ context.Context, r *protection.CleanupRun) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := *r
	c.ID = int64(len(f.runs) + 1)
	r.ID = c.ID
	f.runs = append(f.runs, &c)
	return nil
}

func (f *fake) FinishCleanup(_ context.Context, r *protection.CleanupRun) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	*f.runs[r.ID-1] = *r
	return nil
}

func (f *fake) call(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, name)
	return f.fail
}

func (f *fake) DeleteRestrictions(context.Context, time.Time) error {
	if f.block != nil {
		<-f.block
	}
	return f.call("restrictions")
}

func (f *fake) DeleteSubmissions(_ context.Context, e protection.Expiry, after int64, _ int) (tokens, submissions, next int64, err error) {
	f.expiry = e
	if after+1 < int64(f.pages) {
		next = after + 1
	}
	return 10, 20, next, f.call("submissions")
}

func (f *fake) DeleteOrphans(context.Context, int) (int64, error) { return 0, f.call("orphans") }
func (f *fake) DeleteUnusedTokens(context.Context, time.Time, int) (int64, error) {
	return 0, f.call("tokens")
}
func (f *fake) StorageLimits(context.Context) (map[int64]string, error) {
	return map[int64]string{1: protection.Forever, 2: "14D", 3: "1M", 4: "2Y", 5: "odd"}, nil
}

func (f *fake) DeleteStatistics(_ context.Context, project int64, before time.Time) error {
	if f.kept == nil {
		f.kept = map[int64]time.Time{}
	}
	f.kept[project] = before
	return nil
}

func newCleaner(f *fake, c cache.Cache, s Settings) *Cleaner {
	return New(f, f, c, s, time.UTC, slog.New(slog.DiscardHandler))
}

func want(t *testing.T, c *Cleaner, trigger Trigger, result Result) {
	t.Helper()
	if got, err := c.Run(t.Context(), trigger); err != nil || got != result {
		t.Errorf("got %v, %v; want %v", got, err, result)
	}
}

func at(t *testing.T, c cache.Cache, key string) time.Duration {
	t.Helper()
	v, err := cache.Time(t.Context(), c, key)
	if err != nil {
		t.Fatal(err)
	}
	if v.IsZero() {
		return 0
	}
	return time.Until(v).Round(time.Second)
}

func TestSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, m := &fake{}, cache.NewMemory()
		c := newCleaner(f, m, Defaults())
		want(t, c, Scheduled, NotYet)
		if in := at(t, m, cache.KeyNextCleanup); in != 6*time.Hour {
			t.Errorf("a fresh installation's first cleanup is in %v", in)
		}
		time.Sleep(6 * time.Hour)
		want(t, c, Scheduled, Completed)
		want(t, c, Scheduled, NotYet)
		if in := at(t, m, cache.KeyNextCleanup); in != 6*time.Hour {
			t.Errorf("next in %v", in)
		}
		if v, ok, _ := m.Get(t.Context(), cache.KeyCleanupStarted); !ok || !v.IsNull() {
			t.Errorf("the lock was left: %v %v", v, ok)
		}
		want(t, c, Command, Completed)
		if len(f.runs) != 2 || f.runs[0].Executor != protection.ExecutorAPI || f.runs[1].Executor != protection.ExecutorCommand || f.runs[0].Status != protection.CleanupComplete ||
			f.runs[0].DeletedTokens != 10 || f.runs[0].DeletedSubmissions != 20 {
			t.Errorf("record: %+v", *f.runs[0])
		}
		_ = m.Delete(t.Context(), cache.KeyNextCleanup) // a flushed cache: the database's record counts
		want(t, c, Scheduled, NotYet)
		time.Sleep(6 * time.Hour)
		want(t, c, Scheduled, Completed)
	})
}

func TestGraceAndAdditional(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := Defaults()
		s.Grace = true
		m := cache.NewMemory()
		c := newCleaner(&fake{}, m, s)
		past, future := time.Now().Add(-25*time.Hour), time.Now().Add(time.Hour)
		_ = cache.SetTime(t.Context(), m, cache.KeyNextCleanup, past.Add(2*time.Hour))
		want(t, c, Scheduled, NotYet)
		_ = cache.SetTime(t.Context(), m, cache.KeyAdditionalCleanup, future) // overrides in both directions
		_ = cache.SetTime(t.Context(), m, cache.KeyNextCleanup, past)
		want(t, c, Scheduled, NotYet)
		_ = cache.SetTime(t.Context(), m, cache.KeyAdditionalCleanup, past)
		_ = cache.SetTime(t.Context(), m, cache.KeyNextCleanup, future)
		want(t, c, Scheduled, Completed)
		if in := at(t, m, cache.KeyAdditionalCleanup); in != 0 {
			t.Errorf("additional in %v", in)
		}
	})
}

func TestLocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, m := &fake{}, cache.NewMemory()
		c := newCleaner(f, m, Defaults())
		due := func() { _ = cache.SetTime(t.Context(), m, cache.KeyNextCleanup, time.Now().Add(-time.Second)) }
		due()
		_ = cache.SetTime(t.Context(), m, cache.KeyCleanupStarted, time.Now().Add(-4*time.Minute))
		want(t, c, Scheduled, Running)
		time.Sleep(time.Minute)
		want(t, c, Scheduled, Completed)
		due()
		_ = cache.SetTime(t.Context(), m, cache.KeyCleanupStarted, time.Now().Add(time.Hour)) // a wrong clock
		want(t, c, Scheduled, Completed)
		_ = cache.SetTime(t.Context(), m, cache.KeyCleanupStarted, time.Now())
		want(t, c, Command, Completed)

		f.runs = append(f.runs, &protection.CleanupRun{StartedAt: time.Now()}) // another node's, running or crashed
		due()
		want(t, c, Scheduled, RunningInBase)
		want(t, c, Command, RunningInBase)
		want(t, c, WebCron(time.Minute), RunningInBase)
		time.Sleep(10 * time.Minute)
		want(t, c, Scheduled, Completed)
	})
}

func TestTwoNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, m := &fake{block: make(chan struct{})}, cache.NewMemory()
		_ = cache.SetTime(t.Context(), m, cache.KeyNextCleanup, time.Now())
		a, b := newCleaner(f, m, Defaults()), newCleaner(f, m, Defaults())
		done := make(chan Result)
		go func() { r, _ := a.Run(t.Context(), Scheduled); done <- r }()
		time.Sleep(time.Second)
		want(t, b, Scheduled, Running)
		want(t, b, Command, RunningInBase)
		close(f.block)
		if r := <-done; r != Completed {
			t.Error(r)
		}
	})
}

func TestFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, m := &fake{fail: errors.New("deadlock")}, cache.NewMemory()
		c := newCleaner(f, m, Defaults())
		if r, err := c.Run(t.Context(), Command); r != Unfinished || !errors.Is(err, f.fail) {
			t.Errorf("%v, %v", r, err)
		}
		if f.runs[0].Status != protection.CleanupIncomplete || at(t, m, cache.KeyAdditionalCleanup) != 10*time.Minute || at(t, m, cache.KeyCleanupStarted) != 0 {
			t.Errorf("after a failure: %+v, again in %v, lock %v", f.runs[0], at(t, m, cache.KeyAdditionalCleanup), at(t, m, cache.KeyCleanupStarted))
		}
		f.fail = nil
		time.Sleep(10 * time.Minute)
		want(t, c, Scheduled, Completed)

		ctx, cancel := context.WithCancel(t.Context())
		f.block = make(chan struct{})
		f.fail = context.Canceled
		go func() { cancel(); close(f.block) }()
		_, err := c.Run(ctx, Command)
		if err == nil {
			t.Error("a cancelled cleanup succeeded")
		}
		if at(t, m, cache.KeyCleanupStarted) != 0 {
			t.Error("a cancelled cleanup left the lock")
		}
	})
}

// slow takes a minute for each portion.
type slow struct{ *fake }

func (s slow) DeleteSubmissions(ctx context.Context, e protection.Expiry, after int64, limit int) (int64, int64, int64, error) {
	time.Sleep(time.Minute)
	return s.fake.DeleteSubmissions(ctx, e, after, limit)
}

func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, m := &fake{pages: 100}, cache.NewMemory()
		c := New(f, slow{f}, m, Defaults(), time.UTC, slog.New(slog.DiscardHandler))
		_ = cache.SetTime(t.Context(), m, cache.KeyNextCleanup, time.Now())
		want(t, c, Scheduled, Unfinished)
		if f.runs[0].DeletedTokens != 30 || f.runs[0].Status != protection.CleanupIncomplete || at(t, m, cache.KeyAdditionalCleanup) != 10*time.Minute {
			t.Errorf("record: %+v", f.runs[0])
		}
		if f.calls[len(f.calls)-1] != "tokens" {
			t.Errorf("what comes after the submissions was left out: %v", f.calls)
		}
		want(t, c, Command, Completed)
	})
}

func TestCacheDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		c := newCleaner(f, broken{}, Defaults())
		want(t, c, Scheduled, NotYet)
		time.Sleep(7 * time.Hour)
		want(t, c, Scheduled, Completed)
		want(t, c, Scheduled, NotYet) // by the database's record
		want(t, c, Command, JustDone)
		time.Sleep(11 * time.Minute)
		want(t, c, Command, Completed)
	})
}

type broken struct{ cache.Cache }

var errDown = protection.Errorf(protection.CodeUnavailable, "down")

func (broken) Get(context.Context, string) (php.Value, bool, error)        { return php.Null, false, errDown }
func (broken) Set(context.Context, string, php.Value, time.Duration) error { return errDown }

func TestRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		c := newCleaner(f, cache.NewMemory(), Defaults())
		want(t, c, Command, Completed)
		if d := time.Since(f.expiry.Submitted).Round(time.Second); d != 14*24*time.Hour {
			t.Errorf("submissions live %v", d)
		}
		if d := time.Since(f.expiry.Unverified).Round(time.Second); d != 24*time.Hour {
			t.Errorf("unverified ones live %v", d)
		}
		today := time.Now().UTC().Truncate(24 * time.Hour)
		for project, want := range map[int64]time.Time{2: today.AddDate(0, 0, -14), 3: today.AddDate(0, -1, 0), 4: today.AddDate(-2, 0, 0), 5: today.AddDate(0, 0, -14)} {
			if got := f.kept[project]; !got.Equal(want) {
				t.Errorf("project %d keeps from %v, want %v", project, got, want)
			}
		}
		if _, ok := f.kept[1]; ok {
			t.Error("deleted what is kept forever")
		}
	})
}

func TestBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		c := newCleaner(f, cache.NewMemory(), Defaults())
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { c.Background(ctx); close(done) }()
		time.Sleep(25 * time.Hour)
		cancel()
		<-done
		if len(f.runs) != 4 {
			t.Errorf("%d cleanups in 25 hours", len(f.runs))
		}
	})
}

// TestOnDatabase runs the whole on SQLite.
func TestOnDatabase(t *testing.T) {
	key, _ := crypt.GenerateKey()
	s, err := store.Open(t.Context(), store.Options{Path: filepath.Join(t.TempDir(), "data.sqlite"), Key: key})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	p := &protection.Project{UUID: "u", Name: "n", PublicKey: "k", PrivateKey: "p", StatisticStorageLimit: "14D"}
	if err := s.CreateProject(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	for _, age := range []time.Duration{0, 25 * time.Hour} {
		tok := &protection.SubmitToken{ProjectID: p.ID, IPHash: "h", Token: age.String(), CreatedAt: time.Now().Add(-age)}
		if err := s.CreateToken(t.Context(), tok); err != nil {
			t.Fatal(err)
		}
		if err := s.Count(t.Context(), p.ID, protection.CountSpam, time.Now().AddDate(0, 0, -15)); err != nil {
			t.Fatal(err)
		}
	}
	c := New(s, s, cache.NewMemory(), Defaults(), s.Location(), slog.New(slog.DiscardHandler))
	want(t, c, Command, Completed)
	runs, err := s.Cleanups(t.Context(), 1)
	if err != nil || len(runs) != 1 || runs[0].DeletedTokens != 1 || runs[0].StoredTokens != 1 || runs[0].Status != protection.CleanupComplete {
		t.Errorf("record: %+v, %v", runs, err)
	}
	if days, err := s.Statistics(t.Context(), p.ID, time.Time{}); err != nil || len(days) != 0 {
		t.Errorf("statistics left: %+v, %v", days, err)
	}
}
