package store

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	lab "github.com/mosparoctl/mosparoctl/internal/lab/server"
	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/php"
)

// held makes the writes of s wait until release is called: what is begun meanwhile is one group.
type held struct {
	writes *gatherer[flowWrite]
	sizes  []int
	errs   []error
	open   chan struct{}
}

func hold(s *Store) *held {
	m := s.b.(*mysqlDB)
	h := &held{writes: &m.writes, open: make(chan struct{})}
	h.writes.busy = true
	h.writes.run = func(group []*flowWrite) error {
		err := m.writeGroup(group)
		h.sizes, h.errs = append(h.sizes, len(group)), append(h.errs, err)
		return err
	}
	return h
}

// release waits until n wait and lets them run.
func (h *held) release(t *testing.T, n int) {
	t.Helper()
	for waiting := 0; waiting < n; {
		h.writes.mu.Lock()
		waiting = len(h.writes.queue)
		h.writes.mu.Unlock()
		if t.Context().Err() != nil {
			t.Fatal("they did not come")
		}
	}
	h.writes.next()
}

// together runs all of them in one group and returns their errors.
func together(t *testing.T, s *Store, work ...func(context.Context) error) (errs []error, ofGroup error) {
	t.Helper()
	h := hold(s)
	errs = make([]error, len(work))
	var wg sync.WaitGroup
	for i, f := range work {
		wg.Go(func() { errs[i] = f(context.WithoutCancel(t.Context())) })
	}
	h.release(t, len(work))
	wg.Wait()
	if len(h.sizes) == 0 || h.sizes[0] != len(work) {
		t.Fatalf("groups of %v, not of %d", h.sizes, len(work))
	}
	return errs, h.errs[0]
}

func TestGroupsOfWrites(t *testing.T) {
	m := lab.StartMariaDB(t)
	t.Run("mixed", func(t *testing.T) { testMixedGroup(t, open(t, mariaOptions(t, m))) })
	t.Run("one that fails", func(t *testing.T) { testFailingMember(t, open(t, mariaOptions(t, m))) })
	t.Run("locked row", func(t *testing.T) { testLockedMember(t, m) })
	t.Run("lost connection", func(t *testing.T) { testLostGroup(t, m) })
	t.Run("alone", func(t *testing.T) {
		contract(t, func(t testing.TB) *Store {
			s := open(t, mariaOptions(t, m))
			s.b.(*mysqlDB).servers[0].grouping.Store(false)
			return s
		})
	})
}

// testMixedGroup puts new tokens, submissions and verifications of two projects into one transaction.
func testMixedGroup(t *testing.T, s *Store) {
	ctx := t.Context()
	p, other := newProject(t, s), newProject(t, s)
	const n = 10
	var work []func(context.Context) error
	var fresh []*protection.SubmitToken
	var subs []*protection.Submission
	var verified []*protection.SubmitToken
	for i := range n {
		project := []*protection.Project{p, other}[i%2]
		tok := &protection.SubmitToken{ProjectID: project.ID, IPHash: "h", Token: fmt.Sprintf("fresh-%d", i), PageTitle: fmt.Sprint("page ", i), CreatedAt: testNow}
		fresh = append(fresh, tok)
		work = append(work, func(ctx context.Context) error { return s.CreateToken(ctx, tok) })

		sub := &protection.Submission{ProjectID: project.ID, TokenID: newToken(t, s, project, testNow, "a").ID, Data: php.Strings(fmt.Sprint("data ", i)), SubmittedAt: testNow, Spam: protection.Yes}
		if i%3 > 0 {
			sub.Detection = &protection.Detection{FieldRuleItems: php.Strings(fmt.Sprint("item ", i))}
		}
		subs = append(subs, sub)
		work = append(work, func(ctx context.Context) error { return create(ctx, s, sub, i%2 == 0) })

		used := newToken(t, s, project, testNow, "b")
		verified = append(verified, used)
		v := Verification{ProjectID: project.ID, TokenID: used.ID, SubmissionID: newSubmission(t, s, used, testNow, protection.No).ID, At: testNow.Add(time.Duration(i) * time.Minute),
			Valid: i%2 == 0, VerifiedFields: php.Strings(fmt.Sprint("field ", i)), Counted: true, Counter: protection.CountValid}
		if i%4 == 0 {
			v.Data = php.Strings(fmt.Sprint("metadata ", i))
			v.Issues = php.Strings(fmt.Sprint("issue ", i))
		}
		work = append(work, func(ctx context.Context) error { return s.Verify(ctx, v) })
	}
	errs, err := together(t, s, work...)
	must(t, err)
	for i, err := range errs {
		if err != nil {
			t.Errorf("%d: %v", i, err)
		}
	}
	for i := range n {
		project := []*protection.Project{p, other}[i%2]
		tok, err := s.Token(ctx, project.ID, fresh[i].Token)
		must(t, err)
		if tok.ID != fresh[i].ID || tok.PageTitle != fmt.Sprint("page ", i) {
			t.Errorf("token %d: %+v", i, tok)
		}
		sub, err := s.Submission(ctx, project.ID, subs[i].ID)
		must(t, err)
		if !sub.Data.Identical(subs[i].Data) || sub.TokenID != subs[i].TokenID || (sub.Detection == nil) != (i%3 == 0) ||
			sub.Detection != nil && !sub.Detection.FieldRuleItems.Identical(subs[i].Detection.FieldRuleItems) {
			t.Errorf("submission %d: %+v", i, sub)
		}
		if rowsWhere(t, s, "submit_token", "id = ? AND last_submission_id = ?", sub.TokenID, sub.ID) != 1 {
			t.Errorf("submission %d is not the last of its token", i)
		}
		tok, sub, err = s.TokenAndSubmission(ctx, project.ID, verified[i].Token)
		must(t, err)
		at := testNow.Add(time.Duration(i) * time.Minute).Truncate(time.Second)
		if !tok.VerifiedAt.Equal(at) || !sub.VerifiedAt.Equal(at) || (sub.Valid == protection.Yes) != (i%2 == 0) ||
			!sub.VerifiedFields.Identical(php.Strings(fmt.Sprint("field ", i))) || sub.Data.Identical(php.Strings(fmt.Sprint("metadata ", i))) != (i%4 == 0) ||
			(sub.Issues.Len() == 1) != (i%4 == 0) {
			t.Errorf("verification %d: %+v %+v", i, tok, sub)
		}
	}
	for project, spam := range map[*protection.Project]int64{p: n / 2, other: 0} {
		days, err := s.Statistics(ctx, project.ID, time.Time{})
		must(t, err)
		if len(days) != 1 || days[0].Spam != spam || days[0].Valid != n/2 {
			t.Errorf("statistics: %+v", days)
		}
	}
}

// testFailingMember puts writes that the database refuses, and one token twice, beside others.
func testFailingMember(t *testing.T, s *Store) {
	p := newProject(t, s)
	tok := newToken(t, s, p, testNow, "a")
	sub := newSubmission(t, s, tok, testNow, protection.No)
	verify := func(ctx context.Context) error {
		return s.Verify(ctx, Verification{ProjectID: p.ID, TokenID: tok.ID, SubmissionID: sub.ID, At: testNow, Valid: true, Counted: true, Counter: protection.CountValid})
	}
	good := &protection.Submission{ProjectID: p.ID, TokenID: newToken(t, s, p, testNow, "a").ID, Data: php.Strings("x"), SubmittedAt: testNow}
	errs, err := together(t, s,
		func(ctx context.Context) error { return create(ctx, s, good, true) },
		func(ctx context.Context) error {
			return create(ctx, s, &protection.Submission{ProjectID: p.ID, TokenID: 4711, Data: php.Strings("x"), SubmittedAt: testNow}, true)
		},
		func(ctx context.Context) error {
			return s.CreateToken(ctx, &protection.SubmitToken{ProjectID: p.ID, Token: strings.Repeat("x", 100), CreatedAt: testNow})
		},
		verify, verify)
	if err == nil {
		t.Error("the group did not fail")
	}
	must(t, errs[0])
	wantCode(t, errs[1], protection.CodeConflict)
	wantCode(t, errs[2], protection.CodeInvalid)
	checkOnce(t, errs[3], errs[4])
	tok2 := newToken(t, s, p, testNow, "a")
	again := Verification{ProjectID: p.ID, TokenID: tok2.ID, SubmissionID: newSubmission(t, s, tok2, testNow, protection.No).ID, At: testNow}
	errs, err = together(t, s, verify, func(ctx context.Context) error { return s.Verify(ctx, again) }, func(ctx context.Context) error { return s.Verify(ctx, again) })
	must(t, err)
	wantCode(t, errs[0], protection.CodeUsed)
	checkOnce(t, errs[1], errs[2])
	if days, err := s.Statistics(t.Context(), p.ID, time.Time{}); err != nil || len(days) != 1 || days[0].Valid != 1 || days[0].Spam != 1 {
		t.Errorf("statistics: %+v, %v", days, err)
	}
	if n := rowsWhere(t, s, "submission", "submit_token_id = ?", good.TokenID); n != 1 {
		t.Errorf("the good submission is there %d times", n)
	}
}

func checkOnce(t *testing.T, a, b error) {
	t.Helper()
	if a != nil {
		a, b = b, a
	}
	must(t, a)
	wantCode(t, b, protection.CodeUsed)
}

// testLockedMember lets a stranger hold the row of one token: the others do not wait for it.
func testLockedMember(t *testing.T, m *lab.MariaDB) {
	o := mariaOptions(t, m)
	o.RetryFor = time.Minute
	s, db := open(t, o), m.DB(t, o.Database)
	p := newProject(t, s)
	locked, free := newToken(t, s, p, testNow, "a"), newToken(t, s, p, testNow, "b")
	tx, err := db.Begin()
	must(t, err)
	_, err = tx.Exec("UPDATE submit_token SET page_title = 'held' WHERE id = ?", locked.ID)
	must(t, err)
	create := func(tok *protection.SubmitToken, then func() error) func(context.Context) error {
		return func(ctx context.Context) error {
			sub := &protection.Submission{ProjectID: p.ID, TokenID: tok.ID, Data: php.Strings("x"), SubmittedAt: testNow}
			if err := create(ctx, s, sub, false); err != nil {
				return err
			}
			return then()
		}
	}
	errs, err := together(t, s, create(locked, func() error { return nil }), create(free, tx.Commit)) // the first ends only if the second does
	if classify(err) != contended {
		t.Errorf("the group: %v", err)
	}
	for _, err := range errs {
		must(t, err)
	}
}

// testLostGroup cuts the connection before and after the server has done what a group told it.
func testLostGroup(t *testing.T, m *lab.MariaDB) {
	o := mariaOptions(t, m)
	px := newProxy(t, m.Addr)
	o.Servers = []string{px.Addr().String()}
	s := open(t, o)
	p := newProject(t, s)
	for _, pass := range []bool{false, true} {
		used := newToken(t, s, p, testNow, "a")
		sub := newSubmission(t, s, used, testNow, protection.No)
		px.cut("CASE `id`", pass)
		fresh := &protection.SubmitToken{ProjectID: p.ID, IPHash: "h", Token: fmt.Sprint("lost group ", pass), CreatedAt: testNow}
		errs, err := together(t, s, func(ctx context.Context) error { return s.CreateToken(ctx, fresh) }, func(ctx context.Context) error {
			return s.Verify(ctx, Verification{ProjectID: p.ID, TokenID: used.ID, SubmissionID: sub.ID, At: testNow, Valid: true, Counted: true, Counter: protection.CountValid})
		})
		if classify(err) != unsure {
			t.Errorf("the group: %v", err)
		}
		must(t, errs[0])
		if n := rowsWhere(t, s, "submit_token", "token = ? AND id = ?", fresh.Token, fresh.ID); n != 1 {
			t.Errorf("pass %v: the token is there %d times", pass, n)
		}
		if pass { // done, but nobody can know: it must not be accepted
			wantCode(t, errs[1], protection.CodeUnavailable)
		} else {
			must(t, errs[1])
		}
		if px.cuts == 0 {
			t.Fatal("nothing was cut")
		}
		px.cuts = 0
	}
	if days, err := s.Statistics(t.Context(), p.ID, time.Time{}); err != nil || len(days) != 1 || days[0].Valid != 2 {
		t.Errorf("statistics: %+v, %v", days, err)
	}
}
