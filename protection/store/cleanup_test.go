package store

import (
	"context"
	"testing"
	"time"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/php"
)

func (s *Store) rowCount(t testing.TB, table string) (n int64) {
	t.Helper()
	must(t, s.b.read(t.Context(), "count", func(ctx context.Context, q querier) error {
		return q.row(ctx, "SELECT COUNT(*) FROM "+quote(table)).Scan(&n)
	}))
	return n
}

func testCleanup(t *testing.T, s *Store) {
	ctx := t.Context()
	p := newProject(t, s)
	old, day, fresh := testNow.AddDate(0, 0, -15), testNow.Add(-25*time.Hour), testNow.Add(-time.Hour)
	submit := func(tokenAt time.Time, spam protection.Tristate, at ...time.Time) *protection.SubmitToken {
		tok := newToken(t, s, p, tokenAt, "x")
		must(t, s.SavePartial(ctx, &protection.PartialSubmission{ProjectID: p.ID, TokenID: tok.ID, Data: php.Strings("x"), UpdatedAt: tokenAt}))
		for _, a := range at {
			sub := &protection.Submission{ProjectID: p.ID, TokenID: tok.ID, Data: php.Strings("x"), SubmittedAt: a, Spam: spam, Detection: &protection.Detection{}}
			must(t, create(ctx, s, sub, false))
		}
		return tok
	}
	kept := []*protection.SubmitToken{
		submit(day, protection.Yes, day),            // spam lives the long time
		submit(day, protection.Undecided, day),      // and what was not decided
		submit(old, protection.Yes, old, fresh),     // one of two is still to be kept
		submit(fresh, protection.No),                // a fresh token
		submit(fresh, protection.No, fresh),         // a fresh submission
		submit(old, protection.No, day, fresh, day), // mixed
	}
	gone := []*protection.SubmitToken{
		submit(old, protection.Yes, old), submit(old, protection.No, old, old), submit(day, protection.No, day), submit(day, protection.No, day, day),
		submit(day, protection.No), // never checked
	}
	verified := submit(day, protection.No, day)
	tok, sub, err := s.TokenAndSubmission(ctx, p.ID, verified.Token)
	must(t, err)
	must(t, s.Verify(ctx, Verification{ProjectID: p.ID, TokenID: tok.ID, SubmissionID: sub.ID, At: day, Valid: true}))
	kept = append(kept, verified)
	orphan := submit(fresh, protection.No, fresh)
	must(t, s.b.write(ctx, "orphan", func(ctx context.Context, q querier) error {
		if _, err := q.exec(ctx, "UPDATE submission SET submit_token_id = NULL WHERE submit_token_id = ?", orphan.ID); err != nil {
			return err
		}
		_, err := q.exec(ctx, "UPDATE submit_token SET last_submission_id = NULL WHERE id = ?", orphan.ID)
		return err
	}))

	e := protection.Expiry{Submitted: testNow.AddDate(0, 0, -14), Unverified: testNow.Add(-24 * time.Hour)}
	var deletedTokens, deletedSubs, after int64
	for page := 0; ; page++ {
		if page > 20 {
			t.Fatal("the pages do not end")
		}
		toks, subs, next, err := s.DeleteSubmissions(ctx, e, after, 2)
		must(t, err)
		deletedTokens, deletedSubs = deletedTokens+toks, deletedSubs+subs
		if next == 0 {
			break
		}
		after = next
	}
	if deletedTokens != 4 || deletedSubs != 6 {
		t.Errorf("deleted %d tokens and %d submissions", deletedTokens, deletedSubs)
	}
	if n, err := s.DeleteOrphans(ctx, 50); n != 1 || err != nil {
		t.Errorf("orphans: %d, %v", n, err)
	}
	if n, err := s.DeleteUnusedTokens(ctx, testNow.Add(-24*time.Hour), 50); n != 1 || err != nil {
		t.Errorf("unused tokens: %d, %v", n, err)
	}
	for i, tok := range kept {
		if _, err := s.Token(ctx, p.ID, tok.Token); err != nil {
			t.Errorf("kept %d: %v", i, err)
		}
	}
	for i, tok := range gone {
		if _, err := s.Token(ctx, p.ID, tok.Token); !protection.Is(err, protection.CodeNotFound) {
			t.Errorf("gone %d: %v", i, err)
		}
	}
	if subs, det := s.rowCount(t, "submission"), s.rowCount(t, "detection_result"); subs != det || subs != 9 {
		t.Errorf("%d submissions and %d detections are left", subs, det)
	}
	testCleanupRecord(t, s)
	testStatisticExpiry(t, s, p)
}

func testCleanupRecord(t *testing.T, s *Store) {
	ctx := t.Context()
	if last, err := s.LastCleanup(ctx); err != nil || !last.IsZero() {
		t.Errorf("last cleanup: %v, %v", last, err)
	}
	run := &protection.CleanupRun{StartedAt: testNow.Truncate(time.Second), Executor: protection.ExecutorAPI}
	must(t, s.BeginCleanup(ctx, run))
	count := func(want int, since time.Time, unfinished bool) {
		t.Helper()
		if n, err := s.CleanupsSince(ctx, since, unfinished); err != nil || n != want {
			t.Errorf("cleanups: %d, %v; want %d", n, err, want)
		}
	}
	count(1, testNow.Add(-time.Minute), true)
	count(0, testNow.Add(time.Minute), true)
	run.Status, run.DeletedTokens, run.DeletedSubmissions, run.Took = protection.CleanupComplete, 5, 6, 1500*time.Millisecond
	must(t, s.FinishCleanup(ctx, run))
	count(0, testNow.Add(-time.Minute), true)
	count(1, testNow.Add(-time.Minute), false)
	if last, err := s.LastCleanup(ctx); err != nil || !last.Equal(run.StartedAt) {
		t.Errorf("last cleanup: %v, %v", last, err)
	}
	list, err := s.Cleanups(ctx, 10)
	must(t, err)
	same(t, "record", list, []protection.CleanupRun{*run})
	if run.StoredSubmissions != 9 || run.StoredTokens != 8 {
		t.Errorf("stored: %+v", run)
	}
}

func testStatisticExpiry(t *testing.T, s *Store, p *protection.Project) {
	ctx := t.Context()
	for _, days := range []int{0, -1, -30} {
		must(t, s.Count(ctx, p.ID, protection.CountValid, testNow.AddDate(0, 0, days)))
	}
	must(t, s.DeleteStatistics(ctx, p.ID, testNow.AddDate(0, 0, -1)))
	if days, err := s.Statistics(ctx, p.ID, time.Time{}); err != nil || len(days) != 2 {
		t.Errorf("left: %+v, %v", days, err)
	}
	if limits, err := s.StorageLimits(ctx); err != nil || limits[p.ID] != protection.Forever {
		t.Errorf("limits: %v, %v", limits, err)
	}
}
