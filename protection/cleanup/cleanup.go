// Package cleanup deletes what has expired: delays, lockouts, submissions, submit tokens and old statistics. Schedule and
// lock are shared with the PHP nodes through the cache and the database, so that one node at a time does it, whatever it
// is written in. A Go node does it in the background instead of in a visitor's request.
package cleanup

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/cache"
)

// Journal is the record of cleanups that all nodes see.
type Journal interface {
	LastCleanup(ctx context.Context) (time.Time, error)
	CleanupsSince(ctx context.Context, t time.Time, unfinished bool) (int, error)
	BeginCleanup(ctx context.Context, run *protection.CleanupRun) error
	FinishCleanup(ctx context.Context, run *protection.CleanupRun) error
}

// Deleter deletes expired rows in portions.
type Deleter interface {
	DeleteRestrictions(ctx context.Context, now time.Time) error
	DeleteSubmissions(ctx context.Context, e protection.Expiry, after int64, limit int) (tokens, submissions, next int64, err error)
	DeleteOrphans(ctx context.Context, limit int) (int64, error)
	DeleteUnusedTokens(ctx context.Context, before time.Time, limit int) (int64, error)
	Statistics
}

// Statistics are the counters of days, kept as long as each project wants.
type Statistics interface {
	StorageLimits(ctx context.Context) (map[int64]string, error)
	DeleteStatistics(ctx context.Context, projectID int64, before time.Time) error
}

// Settings are mosparo's, all within the bounds that it accepts.
type Settings struct {
	Interval            time.Duration // between regular cleanups
	Unfinished          time.Duration // until the follow-up of one that did not finish; how long the database lock holds
	TokenRetention      time.Duration // of unused tokens and unverified submissions
	SubmissionRetention time.Duration // of all other submissions
	Grace               bool          // requests leave the work to a cron job for TokenRetention longer
}

// Defaults are mosparo's.
func Defaults() Settings {
	return Settings{Interval: 6 * time.Hour, Unfinished: 10 * time.Minute, TokenRetention: 24 * time.Hour, SubmissionRetention: 14 * 24 * time.Hour}
}

// Result says how a cleanup ended, or why there was none. The numbers are mosparo's.
type Result int

// The results.
const (
	Completed     Result = 0
	Unfinished    Result = 1 // a follow-up is scheduled
	NotYet        Result = 2 // the schedule says later
	Running       Result = 3 // another node holds the lock in the cache
	RunningInBase Result = 4 // another node's record in the database is unfinished and young
	JustDone      Result = 5 // the cache is down, and the database says that one ran a moment ago
)

// String is mosparo's name of the result.
func (r Result) String() string {
	if r < 0 || int(r) > 5 {
		return fmt.Sprintf("RESULT_%d", int(r))
	}
	return [...]string{"COMPLETED", "UNFINISHED", "NEXT_CLEANUP_IN_THE_FUTURE", "CLEANUP_RUNNING_ALREADY", "UNFINISHED_CLEANUP_STATISTIC_OBJECT", "CLEANUP_JUST_EXECUTED"}[r]
}

// Trigger says on whose behalf a cleanup runs.
type Trigger struct {
	Executor protection.CleanupExecutor
	Now      bool          // whatever the schedule and the lock in the cache say
	Timeout  time.Duration // after which no further portion of submissions is begun; 0: none
}

// The triggers of a Go node.
var (
	// Scheduled is the background's. Its time is below that of the lock.
	Scheduled = Trigger{Executor: protection.ExecutorAPI, Timeout: 2 * time.Minute}
	// Command is that of a person or a cron job.
	Command = Trigger{Executor: protection.ExecutorCommand, Now: true}
)

// WebCron is the trigger of a web cron request that may take as long as limit.
func WebCron(limit time.Duration) Trigger {
	return Trigger{Executor: protection.ExecutorWebCron, Now: true, Timeout: limit}
}

const (
	lockTime  = 5 * time.Minute // how long a lock in the cache holds, by its value
	portion   = 2500            // tokens of expired submissions read at once
	batch     = 500             // orphans and unused tokens deleted at once
	batches   = 100             // of each, in one cleanup
	settleFor = 30 * time.Second
)

// Cleaner runs cleanups. Safe for concurrent use; two at once in one process exclude each other as two nodes do.
type Cleaner struct {
	journal Journal
	deleter Deleter
	cache   cache.Cache
	set     Settings
	loc     *time.Location
	log     *slog.Logger
	born    time.Time // the schedule's start where neither the cache nor the database knows one
}

// New makes a Cleaner. loc is the time zone of the days of statistics.
func New(j Journal, d Deleter, c cache.Cache, s Settings, loc *time.Location, log *slog.Logger) *Cleaner {
	return &Cleaner{journal: j, deleter: d, cache: c, set: s, loc: loc, log: log, born: time.Now()}
}

// Run does a cleanup if it is due and nobody else is at it. An error in the middle leaves the rest to a follow-up, which is
// scheduled, and is returned with Unfinished.
func (c *Cleaner) Run(ctx context.Context, t Trigger) (Result, error) {
	if !t.Now {
		if r, err := c.due(ctx); err != nil || r != Completed {
			return r, err
		}
	}
	if err := pause(ctx, time.Millisecond+rand.N(99*time.Millisecond)); err != nil { // so that nodes that start together do not collide
		return NotYet, err
	}
	now := time.Now()
	n, err := c.journal.CleanupsSince(ctx, now.Add(-c.set.Unfinished), true)
	if err != nil || n > 0 {
		return RunningInBase, err
	}
	if err := cache.SetTime(ctx, c.cache, cache.KeyCleanupStarted, now); err != nil {
		c.log.Warn("cleanup: the shared cache takes no lock", "error", err)
		n, err := c.journal.CleanupsSince(ctx, now.Add(-c.set.Unfinished), false)
		if err != nil || n > 0 {
			return JustDone, err
		}
	}
	return c.locked(ctx, t, now)
}

// due decides by the schedule and the lock in the cache; Completed means go. What cannot be read counts as not there.
func (c *Cleaner) due(ctx context.Context) (Result, error) {
	now := time.Now()
	start, err := c.start(ctx)
	switch {
	case err != nil:
		return NotYet, err
	case start.After(now):
		return NotYet, nil
	}
	// A lock from the far future is a node's wrong clock, and would hold until that time comes.
	lock := c.read(ctx, cache.KeyCleanupStarted)
	if lock.After(now.Add(-lockTime)) && lock.Before(now.Add(lockTime)) {
		return Running, nil
	}
	return Completed, nil
}

// start is when the next scheduled cleanup may start. Where nothing is known yet it is an interval after this process
// began, and put into the cache: PHP would count from now each time, and never begin.
func (c *Cleaner) start(ctx context.Context) (time.Time, error) {
	if additional := c.read(ctx, cache.KeyAdditionalCleanup); !additional.IsZero() {
		return additional, nil
	}
	start := c.read(ctx, cache.KeyNextCleanup)
	if start.IsZero() {
		last, err := c.journal.LastCleanup(ctx)
		if err != nil {
			return start, err
		}
		if last.IsZero() {
			start = c.born.Add(c.set.Interval)
			if err := cache.SetTime(ctx, c.cache, cache.KeyNextCleanup, start); err != nil {
				c.log.Warn("cleanup: the shared cache takes no schedule", "error", err)
			}
		} else {
			start = last.Add(c.set.Interval)
		}
	}
	if c.set.Grace {
		start = start.Add(c.set.TokenRetention)
	}
	return start, nil
}

func (c *Cleaner) read(ctx context.Context, key string) time.Time {
	t, err := cache.Time(ctx, c.cache, key)
	if err != nil {
		c.log.Warn("cleanup: the shared cache cannot be read", "key", key, "error", err)
	}
	return t
}

// locked does the work and always records its end and opens the lock, also when ctx was cancelled.
func (c *Cleaner) locked(ctx context.Context, t Trigger, now time.Time) (Result, error) {
	run := &protection.CleanupRun{StartedAt: now, Executor: t.Executor, Status: protection.CleanupRunning}
	if err := c.journal.BeginCleanup(ctx, run); err != nil {
		c.store(context.WithoutCancel(ctx), cache.KeyCleanupStarted, time.Time{})
		return Unfinished, err
	}
	c.log.Info("cleanup started", "executor", int(t.Executor))
	finished, err := c.delete(ctx, t, now, run)

	settle, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleFor)
	defer cancel()
	result, additional := Completed, time.Time{}
	run.Status = protection.CleanupComplete
	if err != nil || !finished {
		result, additional, run.Status = Unfinished, time.Now().Add(c.set.Unfinished), protection.CleanupIncomplete
	}
	c.store(settle, cache.KeyAdditionalCleanup, additional)
	c.store(settle, cache.KeyNextCleanup, time.Now().Add(c.set.Interval))
	run.Took = time.Since(now)
	if ended := c.journal.FinishCleanup(settle, run); err == nil {
		err = ended
	}
	c.store(settle, cache.KeyCleanupStarted, time.Time{})
	c.log.Info("cleanup ended", "result", result.String(), "tokens", run.DeletedTokens, "submissions", run.DeletedSubmissions, "took", run.Took.Round(time.Millisecond))
	return result, err
}

func (c *Cleaner) store(ctx context.Context, key string, t time.Time) {
	if err := cache.SetTime(ctx, c.cache, key, t); err != nil {
		c.log.Warn("cleanup: the shared cache cannot be written", "key", key, "error", err)
	}
}

// delete does the deletions in mosparo's order and says whether nothing was left.
func (c *Cleaner) delete(ctx context.Context, t Trigger, now time.Time, run *protection.CleanupRun) (finished bool, err error) {
	if err := c.deleter.DeleteRestrictions(ctx, now); err != nil {
		return false, err
	}
	e := protection.Expiry{Submitted: now.Add(-c.set.SubmissionRetention), Unverified: now.Add(-c.set.TokenRetention)}
	for after := int64(0); ; {
		tokens, submissions, next, err := c.deleter.DeleteSubmissions(ctx, e, after, portion)
		run.DeletedTokens += tokens
		run.DeletedSubmissions += submissions
		if err != nil {
			return false, err
		}
		if next == 0 {
			finished = true
			break
		}
		if after = next; t.Timeout > 0 && time.Since(now) > t.Timeout {
			break
		}
	}
	err = c.repeat(func() (int64, error) { return c.deleter.DeleteOrphans(ctx, batch) }, &run.DeletedSubmissions)
	if err == nil {
		err = c.repeat(func() (int64, error) { return c.deleter.DeleteUnusedTokens(ctx, e.Unverified, batch) }, &run.DeletedTokens)
	}
	if err == nil {
		err = c.deleteStatistics(ctx, now)
	}
	return finished, err
}

func (c *Cleaner) repeat(f func() (int64, error), sum *int64) error {
	for range batches {
		n, err := f()
		*sum += n
		if err != nil || n == 0 {
			return err
		}
	}
	return nil
}

func (c *Cleaner) deleteStatistics(ctx context.Context, now time.Time) error {
	limits, err := c.deleter.StorageLimits(ctx)
	if err != nil {
		return err
	}
	y, m, d := now.In(c.loc).Date()
	today := time.Date(y, m, d, 0, 0, 0, 0, c.loc)
	for project, limit := range limits {
		if limit == protection.Forever {
			continue
		}
		if err := c.deleter.DeleteStatistics(ctx, project, keepFrom(today, limit)); err != nil {
			return err
		}
	}
	return nil
}

// keepFrom is the first day that a storage limit keeps; an unknown limit is 14 days.
func keepFrom(today time.Time, limit string) time.Time {
	switch limit {
	case "1M", "2M", "3M", "6M":
		return today.AddDate(0, -int(limit[0]-'0'), 0)
	case "1Y", "2Y":
		return today.AddDate(-int(limit[0]-'0'), 0, 0)
	}
	return today.AddDate(0, 0, -14)
}

// lookEvery is how often the background looks whether a cleanup is due.
const lookEvery = time.Minute

// Background cleans up when it is due, until ctx ends. Errors are logged.
func (c *Cleaner) Background(ctx context.Context) {
	for pause(ctx, lookEvery/2+rand.N(lookEvery)) == nil {
		if _, err := c.Run(ctx, Scheduled); err != nil && ctx.Err() == nil {
			c.log.Error("cleanup failed", "error", err)
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
