package store

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/php"
)

// create is CreateSubmission for a token that was read from the database.
func create(ctx context.Context, s *Store, sub *protection.Submission, countSpam bool) error {
	return s.CreateSubmission(ctx, &protection.SubmitToken{ID: sub.TokenID, ProjectID: sub.ProjectID}, sub, countSpam)
}

// changeElsewhere changes the database as another node does, of which this one knows nothing.
func changeElsewhere(t testing.TB, s *Store, query string, args ...any) {
	t.Helper()
	_, err := s.exec(t.Context(), "change elsewhere", query, args...)
	must(t, err)
}

// recalledSubmission is a check of a recalled token, whose data need what a way through JSON changes.
func recalledSubmission(tok *protection.SubmitToken) *protection.Submission {
	return &protection.Submission{ProjectID: tok.ProjectID, TokenID: tok.ID, ValidationToken: "vt", Signature: "s", SubmittedAt: testNow,
		Data:             php.Map(php.Pair{Key: "formData", Value: php.List(php.Float(2), php.Map())}),
		MatchedRuleItems: php.List(), IgnoredFields: php.Strings("é"), GeneralVerifications: php.Map(), VerifiedFields: php.List(),
		SpamRating: 0.1 + 0.2, SpamDetectionRating: 5, Spam: protection.No}
}

// testRecall shows that what is recalled is what would be read.
func testRecall(t *testing.T, s *Store) {
	if !s.b.recalls() {
		testNothingIsRecalled(t, s)
		return
	}
	ctx := t.Context()
	p := newProject(t, s)
	made := &protection.SubmitToken{ProjectID: p.ID, IPHash: "h", Token: "Token", PageTitle: "é", PageURL: "/", FormActionURL: "/go", FormID: "f", ProofOfWorkResult: "p",
		CreatedAt: s.Now()}
	must(t, s.CreateToken(ctx, made))
	if s.RecallToken(p.ID+1, "Token") != nil || s.RecallToken(p.ID, "token") != nil {
		t.Error("the token of another project or another token is recalled")
	}
	if _, sub := s.RecallSubmission(p.ID, "Token"); sub != nil {
		t.Errorf("before the check: %+v", sub)
	}
	tok := recalls(t, s, p)
	sub := recalledSubmission(tok)
	must(t, s.CreateSubmission(ctx, tok, sub, true))
	tok = recalls(t, s, p)
	again := recalledSubmission(tok)
	must(t, s.CreateSubmission(ctx, tok, again, true))
	tok = recalls(t, s, p)
	if tok.LastSubmissionID != again.ID || again.ID == sub.ID {
		t.Errorf("the last submission is %d, want %d", tok.LastSubmissionID, again.ID)
	}
	v := Verification{ProjectID: p.ID, TokenID: tok.ID, SubmissionID: again.ID, At: testNow, Valid: true, Recalled: true}
	must(t, s.Verify(ctx, v))
	wantCode(t, s.Verify(ctx, v), protection.CodeStale)
	s.Forget(p.ID, "Token")
	if s.RecallToken(p.ID, "Token") != nil {
		t.Error("a forgotten token is recalled")
	}
}

// recalls compares what is recalled of a token with what is stored.
func recalls(t *testing.T, s *Store, p *protection.Project) *protection.SubmitToken {
	t.Helper()
	tok, sub := s.RecallToken(p.ID, "Token"), (*protection.Submission)(nil)
	if tok == nil {
		t.Fatal("the token is not recalled")
	}
	stored, storedSub, err := s.TokenAndSubmission(t.Context(), p.ID, "Token")
	must(t, err)
	stored.Recalled = true
	same(t, "recalled token", tok, stored)
	if storedSub != nil {
		tok, sub = s.RecallSubmission(p.ID, "Token")
		same(t, "recalled token with its submission", tok, stored)
		same(t, "recalled submission", sub, storedSub)
	}
	return tok
}

func testNothingIsRecalled(t *testing.T, s *Store) {
	p := newProject(t, s)
	tok := newToken(t, s, p, testNow, "a")
	newSubmission(t, s, tok, testNow, protection.No)
	if s.RecallToken(p.ID, tok.Token) != nil {
		t.Error("a token is recalled although changes would not be noticed")
	}
}

// changesElsewhere are what another node, PHP or Go, does to a token that this one remembers.
var changesElsewhere = map[string]func(testing.TB, *Store, *protection.SubmitToken){
	"used up": func(t testing.TB, s *Store, tok *protection.SubmitToken) {
		changeElsewhere(t, s, "UPDATE `submit_token` SET `verified_at` = ? WHERE `id` = ?", s.stamp(testNow), tok.ID)
	},
	"deleted": func(t testing.TB, s *Store, tok *protection.SubmitToken) {
		changeElsewhere(t, s, "UPDATE `submit_token` SET `last_submission_id` = NULL WHERE `id` = ?", tok.ID)
		changeElsewhere(t, s, "DELETE FROM `submission` WHERE `submit_token_id` = ?", tok.ID)
		changeElsewhere(t, s, "DELETE FROM `submit_token` WHERE `id` = ?", tok.ID)
	},
	"another proof": func(t testing.TB, s *Store, tok *protection.SubmitToken) {
		must(t, s.SetProofOfWork(t.Context(), tok.ProjectID, tok.ID, "other"))
	},
	"data collected": func(t testing.TB, s *Store, tok *protection.SubmitToken) {
		must(t, s.SavePartial(t.Context(), &protection.PartialSubmission{ProjectID: tok.ProjectID, TokenID: tok.ID, Data: php.Strings("x"), UpdatedAt: testNow}))
	},
	"checked again": func(t testing.TB, s *Store, tok *protection.SubmitToken) {
		must(t, create(t.Context(), s, recalledSubmission(tok), false))
	},
}

// testRecallIsAGuess changes tokens elsewhere between the recalling and the writing.
func testRecallIsAGuess(t *testing.T, s *Store) {
	if !s.b.recalls() {
		testNothingIsRecalled(t, s)
		return
	}
	ctx := t.Context()
	p := newProject(t, s)
	for name, change := range changesElsewhere {
		newToken(t, s, p, testNow, "a") // another one, in the same tables
		tok := newToken(t, s, p, testNow, "a")
		recalled := s.RecallToken(p.ID, tok.Token)
		change(t, s, tok)
		before := rowsWhere(t, s, "submission", "submit_token_id = ?", tok.ID)
		err := s.CreateSubmission(ctx, recalled, recalledSubmission(recalled), false)
		if name == "checked again" { // which a check does not care about
			must(t, err)
			continue
		}
		if !protection.Is(err, protection.CodeStale) {
			t.Errorf("check, %s: %v", name, err)
		}
		if n := rowsWhere(t, s, "submission", "submit_token_id = ?", tok.ID); n != before {
			t.Errorf("check, %s: %d submissions were written", name, n-before)
		}
		if s.RecallToken(p.ID, tok.Token) != nil {
			t.Errorf("check, %s: the token is still recalled", name)
		}
	}
	for _, name := range []string{"used up", "deleted", "checked again"} {
		tok := newToken(t, s, p, testNow, "a")
		must(t, s.CreateSubmission(ctx, tok, recalledSubmission(tok), false))
		recalled, sub := s.RecallSubmission(p.ID, tok.Token)
		changesElsewhere[name](t, s, tok)
		used := rowsWhere(t, s, "submit_token", "verified_at IS NOT NULL")
		err := s.Verify(ctx, Verification{ProjectID: p.ID, TokenID: recalled.ID, SubmissionID: sub.ID, At: testNow, Valid: true, Recalled: true})
		if !protection.Is(err, protection.CodeStale) || rowsWhere(t, s, "submit_token", "verified_at IS NOT NULL") != used {
			t.Errorf("verify, %s: %v", name, err)
		}
	}
}

// testStaleMembers lets many write at once, of whom every third is mistaken.
func testStaleMembers(t *testing.T, s *Store) {
	p := newProject(t, s)
	const n = 30
	errs := make([]error, n)
	var toks []*protection.SubmitToken
	for i := range n {
		tok := newToken(t, s, p, testNow, "a")
		if i%3 == 0 {
			changesElsewhere["used up"](t, s, tok)
		}
		tok.Recalled = s.b.recalls()
		toks = append(toks, tok)
	}
	var wg sync.WaitGroup
	for i, tok := range toks {
		wg.Go(func() {
			errs[i] = s.CreateSubmission(context.WithoutCancel(t.Context()), tok, recalledSubmission(tok), true)
		})
	}
	wg.Wait()
	for i, err := range errs {
		mistaken := i%3 == 0 && s.b.recalls()
		if protection.Is(err, protection.CodeStale) != mistaken || err != nil && !mistaken {
			t.Errorf("%d: %v", i, err)
		}
		want := 1
		if mistaken {
			want = 0
		}
		if got := rowsWhere(t, s, "submission", "submit_token_id = ?", toks[i].ID); got != want {
			t.Errorf("%d: %d submissions", i, got)
		}
	}
}

func TestMemoryIsBounded(t *testing.T) {
	s := openSQLiteFile(t)
	put := func(name, title string) {
		s.remember(&protection.SubmitToken{ProjectID: 1, Token: name, PageTitle: title, CreatedAt: testNow}, 0, nil)
	}
	for i := range 2 * memoryLimit {
		put(fmt.Sprint(i), "")
		put(fmt.Sprint("again ", i%10), "")
	}
	if len(s.memory.of) > memoryLimit || s.RecallToken(1, fmt.Sprint(2*memoryLimit-1)) == nil || s.RecallToken(1, "0") != nil {
		t.Errorf("%d tokens are remembered", len(s.memory.of))
	}
	put("long", "")
	put("long", strings.Repeat("x", memoryRow+1))
	if s.RecallToken(1, "long") != nil {
		t.Error("a long title is remembered, or the row before it")
	}
}
