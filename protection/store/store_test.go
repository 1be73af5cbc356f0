package store

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	lab "github.com/mosparoctl/mosparoctl/internal/lab/server"
	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/crypt"
	"github.com/mosparoctl/mosparoctl/protection/php"
)

// testNow is inside a second, so that lost fractions show.
var testNow = time.Date(2026, 11, 23, 9, 13, 37, 654321000, time.UTC)

func testKey(t testing.TB) crypt.Key {
	t.Helper()
	k, err := crypt.ParseKey("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f")
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func baseOptions(t testing.TB) Options {
	return Options{Key: testKey(t), now: func() time.Time { return testNow }, StatementTimeout: 20 * time.Second}
}

func open(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func openSQLiteFile(t testing.TB) *Store {
	o := baseOptions(t)
	o.Path = filepath.Join(t.TempDir(), "sub dir", "data?.sqlite")
	return open(t, o)
}

func mariaOptions(t testing.TB, m *lab.MariaDB) Options {
	o := baseOptions(t)
	o.Servers, o.User, o.Password, o.Database = []string{m.Addr}, m.User, m.Pass, m.Database(t)
	return o
}

func TestSQLite(t *testing.T) {
	contract(t, func(t testing.TB) *Store { return openSQLiteFile(t) })
}

func TestMariaDB(t *testing.T) {
	m := lab.StartMariaDB(t)
	contract(t, func(t testing.TB) *Store { return open(t, mariaOptions(t, m)) })
}

// contract is what every dialect must do. open gives a fresh, empty database.
func contract(t *testing.T, open func(testing.TB) *Store) {
	for name, f := range map[string]func(*testing.T, *Store){
		"project": testProject, "project deletion": testDeleteProject, "token": testToken, "partial": testPartial, "submission": testSubmission,
		"verify": testVerify, "verify once": testVerifyOnce, "parallel checks": testParallelChecks, "counts": testCounts, "statistic": testStatistic,
		"restriction": testRestriction, "guideline": testGuideline, "translation": testTranslation,
		"rules": testRules, "rule versions": testRuleVersions, "cleanup": testCleanup, "packages": testPackages, "key": testCheckKey,
		"limits": testLimits, "import": testImport, "import jobs": testImportJobs, "recall": testRecall, "recall is a guess": testRecallIsAGuess, "stale members": testStaleMembers,
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			if err := s.Ping(t.Context()); err != nil {
				t.Fatal(err)
			}
			f(t, s)
		})
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantCode(t testing.TB, err error, code protection.Code) {
	t.Helper()
	if !protection.Is(err, code) {
		t.Errorf("got %v (%s), want %s", err, protection.CodeOf(err), code)
	}
}

// same compares values; php.Value has no exported fields, so it goes by its serialized form.
func same[T any](t testing.TB, what string, got, want T) {
	t.Helper()
	if d := cmp.Diff(want, got, cmp.Comparer(func(a, b php.Value) bool { return a.Identical(b) }), cmp.Comparer(time.Time.Equal)); d != "" {
		t.Errorf("%s: (-want +got)\n%s", what, d)
	}
}

var testID int

func newProject(t testing.TB, s *Store) *protection.Project {
	t.Helper()
	testID++
	p := &protection.Project{
		UUID: fmt.Sprintf("00000000-0000-4000-8000-%012d", testID), Name: "Zoë's form", Hosts: []string{"example.com", "*.wild.test"},
		PublicKey: fmt.Sprintf("Public_Key-%d", testID), PrivateKey: "hT2sYkq7X0m5w1Qz9c4VbN8rLpE3uJ6aGdFiKoSyZxM", Active: true, SpamScore: 5,
		StatisticStorageLimit: protection.Forever, Settings: protection.Settings{},
	}
	must(t, s.CreateProject(t.Context(), p))
	return p
}

var tokens struct {
	sync.Mutex
	n int
}

func newToken(t testing.TB, s *Store, p *protection.Project, at time.Time, ip string) *protection.SubmitToken {
	t.Helper()
	tokens.Lock()
	tokens.n++
	n := tokens.n
	tokens.Unlock()
	tok := &protection.SubmitToken{ProjectID: p.ID, IPHash: crypt.HashIP(ip), PageTitle: "Title é😀", PageURL: "https://example.com/?a=b&c", Token: fmt.Sprintf("Token%038d", n),
		CreatedAt: at.Truncate(time.Second)}
	must(t, s.CreateToken(t.Context(), tok))
	return tok
}

func newSubmission(t testing.TB, s *Store, tok *protection.SubmitToken, at time.Time, spam protection.Tristate) *protection.Submission {
	t.Helper()
	sub := &protection.Submission{
		ProjectID: tok.ProjectID, TokenID: tok.ID, ValidationToken: "validation", Signature: strings.Repeat("ab", 32), SubmittedAt: at.Truncate(time.Second),
		Data: php.Map(php.Pair{Key: "formData", Value: php.List(php.Map(php.Pair{Key: "name", Value: php.String("first")}, php.Pair{Key: "value", Value: php.String("Zoë / \"x\"")}))}),
		Spam: spam, SpamDetectionRating: 5,
	}
	must(t, create(t.Context(), s, sub, spam == protection.Yes))
	return sub
}

func testProject(t *testing.T, s *Store) {
	ctx := t.Context()
	p := newProject(t, s)
	p.Description, p.SilentMode, p.MetadataAllowed, p.SpamScore, p.LanguageSource = "text", true, true, 2.5, protection.LanguageHTMLBrowser
	p.Settings = protection.Settings{
		"minimumTimeActive": php.Bool(true), "delayMultiplicator": php.Float(1.5), "minimumTimeSeconds": php.Int(2), "boxSize": php.String("medium"),
		"fontSize": php.Map(php.Pair{Key: "value", Value: php.Int(16)}, php.Pair{Key: "unit", Value: php.String("px")}), "gone": php.Null,
	}
	must(t, s.UpdateProject(ctx, p))
	delete(p.Settings, "gone")
	got, err := s.ProjectByPublicKey(ctx, p.PublicKey)
	must(t, err)
	same(t, "project", got, p)
	delete(p.Settings, "boxSize")
	must(t, s.UpdateProject(ctx, p))
	got, err = s.ProjectByUUID(ctx, p.UUID)
	must(t, err)
	same(t, "settings", got.Settings, p.Settings)
	other := newProject(t, s)
	all, err := s.Projects(ctx)
	must(t, err)
	if len(all) != 2 || all[0].ID != p.ID || all[1].ID != other.ID || !all[0].Settings.Bool("minimumTimeActive", false) {
		t.Errorf("projects: %+v", all)
	}
	_, err = s.ProjectByPublicKey(ctx, strings.ToLower(p.PublicKey))
	wantCode(t, err, protection.CodeNotFound)
	_, err = s.ProjectByID(ctx, 4711)
	wantCode(t, err, protection.CodeNotFound)
	wantCode(t, s.UpdateProject(ctx, &protection.Project{ID: 4711}), protection.CodeNotFound)
	again := *p
	wantCode(t, s.CreateProject(ctx, &again), protection.CodeConflict)
}

func testDeleteProject(t *testing.T, s *Store) {
	ctx := t.Context()
	p, other := newProject(t, s), newProject(t, s)
	for _, p := range []*protection.Project{p, other} {
		tok := newToken(t, s, p, testNow, "192.0.2.1")
		must(t, s.SavePartial(ctx, &protection.PartialSubmission{ProjectID: p.ID, TokenID: tok.ID, Data: php.Map(php.Pair{Key: "formData", Value: php.List()}), UpdatedAt: testNow}))
		newSubmission(t, s, tok, testNow, protection.Yes)
		r := &protection.Rule{ProjectID: p.ID, UUID: p.UUID, Name: "r", Type: protection.RuleWord, Active: true}
		must(t, s.SaveRule(ctx, r))
		must(t, s.AddItems(ctx, p.ID, r.ID, []protection.RuleItem{{UUID: p.UUID, Type: protection.ItemText, Value: "x", Prepared: "%x%", Hashed: strings.Repeat("0", 32)}}))
		must(t, s.SaveGuideline(ctx, &protection.Guideline{ProjectID: p.ID, UUID: p.UUID, Name: "g", Settings: protection.Settings{"a": php.Bool(true)}}))
		must(t, s.SetTranslation(ctx, protection.Translation{ProjectID: p.ID, Key: protection.MessageLabel, Locale: "de", Text: "x"}))
		must(t, s.SaveSubmissionRule(ctx, &protection.SubmissionRule{ProjectID: p.ID, Key: "random-values", Settings: protection.Settings{"a": php.Int(1)}}))
		must(t, s.SavePackage(ctx, &protection.RulePackage{ProjectID: p.ID, UUID: p.UUID, Name: "p", Type: protection.PackageAPI}))
	}
	must(t, s.DeleteProject(ctx, p.ID))
	wantCode(t, s.DeleteProject(ctx, p.ID), protection.CodeNotFound)
	if all, err := s.Projects(ctx); err != nil || len(all) != 1 || all[0].ID != other.ID {
		t.Errorf("left: %v, %v", all, err)
	}
	if rules, err := s.Rules(ctx, other.ID); err != nil || len(rules) != 1 || len(rules[0].Items) != 1 {
		t.Errorf("the other project's rules: %v, %v", rules, err)
	}
}

func testToken(t *testing.T, s *Store) {
	ctx := t.Context()
	p, other := newProject(t, s), newProject(t, s)
	tok := newToken(t, s, p, testNow, "192.0.2.1")
	got, err := s.Token(ctx, p.ID, tok.Token)
	must(t, err)
	same(t, "token", got, tok)
	must(t, s.SetProofOfWork(ctx, p.ID, tok.ID, strings.Repeat("f", 64)))
	tok.ProofOfWorkResult = strings.Repeat("f", 64)
	got, err = s.Token(ctx, p.ID, tok.Token)
	must(t, err)
	same(t, "token with proof of work", got, tok)
	if !got.Usable(testNow) {
		t.Error("a fresh token is not usable")
	}
	for _, none := range []bool{false, true} {
		bare := &protection.SubmitToken{ProjectID: p.ID, IPHash: "h", Token: fmt.Sprint("bare ", none), NoFormActionURL: none, NoFormID: none, CreatedAt: testNow}
		if err := s.CreateToken(ctx, bare); err != nil {
			t.Fatal(err)
		}
		var n int
		err := s.b.read(ctx, "count", func(ctx context.Context, q querier) error {
			return q.row(ctx, "SELECT COUNT(*) FROM `submit_token` WHERE `id` = ? AND `form_action_url` IS NULL AND `form_id` IS NULL", bare.ID).Scan(&n)
		})
		if err != nil || n == 1 != none {
			t.Errorf("nothing sent: %v: %d, %v", none, n, err)
		}
	}
	full := &protection.SubmitToken{ProjectID: p.ID, IPHash: "h", Token: "second", FormActionURL: "/go", FormID: "form-1", ProofOfWorkResult: "p", CreatedAt: testNow.Truncate(time.Second)}
	must(t, s.CreateToken(ctx, full))
	got, err = s.Token(ctx, p.ID, "second")
	must(t, err)
	same(t, "full token", got, full)
	for _, bad := range []struct {
		project int64
		token   string
	}{{other.ID, tok.Token}, {p.ID, strings.ToUpper(tok.Token)}, {p.ID, tok.Token + " "}, {p.ID, ""}} {
		_, err = s.Token(ctx, bad.project, bad.token)
		wantCode(t, err, protection.CodeNotFound)
		_, _, err = s.TokenAndSubmission(ctx, bad.project, bad.token)
		wantCode(t, err, protection.CodeNotFound)
	}
	_, sub, err := s.TokenAndSubmission(ctx, p.ID, tok.Token)
	if err != nil || sub != nil {
		t.Errorf("a token without a submission: %v, %v", sub, err)
	}
}

func testPartial(t *testing.T, s *Store) {
	ctx := t.Context()
	p := newProject(t, s)
	tok := newToken(t, s, p, testNow, "192.0.2.1")
	_, none, err := s.TokenAndPartial(ctx, p.ID, tok.Token)
	if err != nil || none != nil {
		t.Fatalf("partial of a fresh token: %v, %v", none, err)
	}
	for _, text := range []string{"one", "two"} {
		want := &protection.PartialSubmission{ProjectID: p.ID, TokenID: tok.ID, UpdatedAt: testNow.Truncate(time.Second), IgnoredFields: php.Strings("pw", text),
			Data: php.Map(php.Pair{Key: "formData", Value: php.Strings(text)})}
		must(t, s.SavePartial(ctx, want))
		gotToken, got, err := s.TokenAndPartial(ctx, p.ID, tok.Token)
		must(t, err)
		want.ID = got.ID
		same(t, "partial", got, want)
		same(t, "token", gotToken, tok)
	}
}

func testSubmission(t *testing.T, s *Store) {
	ctx := t.Context()
	p := newProject(t, s)
	tok := newToken(t, s, p, testNow, "192.0.2.1")
	want := &protection.Submission{
		ProjectID: p.ID, TokenID: tok.ID, ValidationToken: "vt", Signature: strings.Repeat("a", 64), SubmittedAt: testNow.Truncate(time.Second),
		Data:                 php.Map(php.Pair{Key: "formData", Value: php.List()}, php.Pair{Key: "client", Value: php.List(php.Int(1), php.Null)}),
		MatchedRuleItems:     php.List(),
		IgnoredFields:        php.Strings("a", "é"),
		GeneralVerifications: php.Map(php.Pair{Key: "minimumTime", Value: php.Map(php.Pair{Key: "valid", Value: php.Bool(true)})}),
		VerifiedFields:       php.List(), SpamRating: 0.1 + 0.2, SpamDetectionRating: 5, Spam: protection.No,
		Detection: &protection.Detection{FieldRuleItems: php.Map(php.Pair{Key: "formData.a", Value: php.List(php.Map(php.Pair{Key: "rating", Value: php.Float(10)}))}), SubmissionRules: php.List()},
	}
	must(t, create(ctx, s, want, false))
	want.SpamRating = 0.3
	got, err := s.Submission(ctx, p.ID, want.ID)
	must(t, err)
	same(t, "submission", got, want)
	gotToken, last, err := s.TokenAndSubmission(ctx, p.ID, tok.Token)
	must(t, err)
	if gotToken.LastSubmissionID != want.ID {
		t.Errorf("last submission is %d, want %d", gotToken.LastSubmissionID, want.ID)
	}
	want.Detection = nil
	same(t, "last submission", last, want)
	second := newSubmission(t, s, tok, testNow, protection.Yes)
	if _, last, err = s.TokenAndSubmission(ctx, p.ID, tok.Token); err != nil || last.ID != second.ID {
		t.Errorf("after a second check: %v, %v", last, err)
	}
	must(t, s.SetData(ctx, p.ID, second.ID, php.Map(php.Pair{Key: "metadata", Value: php.Strings("x")})))
	list, err := s.Submissions(ctx, p.ID, SubmissionFilter{})
	must(t, err)
	if len(list) != 2 || list[0].ID != second.ID || list[0].Data.Get("metadata").Len() != 1 || list[0].Detection != nil || list[1].Detection == nil {
		t.Errorf("list: %+v", list)
	}
	for _, f := range []struct {
		filter SubmissionFilter
		n      int
	}{{SubmissionFilter{Spam: protection.Yes}, 1}, {SubmissionFilter{BeforeID: second.ID}, 1}, {SubmissionFilter{Limit: 1}, 1}, {SubmissionFilter{Valid: protection.Yes}, 0},
		{SubmissionFilter{Since: testNow.Add(-time.Hour)}, 2}, {SubmissionFilter{Since: testNow.Add(time.Hour)}, 0}} {
		if list, err := s.Submissions(ctx, p.ID, f.filter); err != nil || len(list) != f.n {
			t.Errorf("%+v: %d, %v", f.filter, len(list), err)
		}
	}
	days, err := s.Statistics(ctx, p.ID, time.Time{})
	must(t, err)
	if len(days) != 1 || days[0].Spam != 1 || days[0].Valid != 0 {
		t.Errorf("statistics: %+v", days)
	}
	_, err = s.Submission(ctx, p.ID+1, second.ID)
	wantCode(t, err, protection.CodeNotFound)
	wantCode(t, create(ctx, s, &protection.Submission{ProjectID: p.ID, TokenID: 4711, SubmittedAt: testNow, Data: php.Strings("x")}, true), protection.CodeConflict)
	if days, _ = s.Statistics(ctx, p.ID, time.Time{}); days[0].Spam != 1 {
		t.Error("a failed submission was counted")
	}
	wantCode(t, create(ctx, s, &protection.Submission{ProjectID: p.ID, TokenID: tok.ID, Data: php.String("\xff")}, false), protection.CodeInvalid)
}

func testVerify(t *testing.T, s *Store) {
	ctx := t.Context()
	p := newProject(t, s)
	tok := newToken(t, s, p, testNow, "192.0.2.1")
	sub := newSubmission(t, s, tok, testNow, protection.No)
	at := testNow.Add(5 * time.Second).Truncate(time.Second)
	v := Verification{
		ProjectID: p.ID, TokenID: tok.ID, SubmissionID: sub.ID, At: at, Valid: true, VerifiedFields: php.Map(php.Pair{Key: "name", Value: php.String("valid")}),
		GeneralVerifications: php.Map(php.Pair{Key: "minimumTime", Value: php.Bool(true)}), Data: php.Map(php.Pair{Key: "metadata", Value: php.Int(1)}),
		Counted: true, Counter: protection.CountValid,
	}
	must(t, s.Verify(ctx, v))
	gotToken, got, err := s.TokenAndSubmission(ctx, p.ID, tok.Token)
	must(t, err)
	if !gotToken.VerifiedAt.Equal(at) || gotToken.Usable(at) {
		t.Errorf("token verified at %v", gotToken.VerifiedAt)
	}
	sub.VerifiedAt, sub.Valid, sub.VerifiedFields, sub.GeneralVerifications, sub.Data = at, protection.Yes, v.VerifiedFields, v.GeneralVerifications, v.Data
	sub.MatchedRuleItems, sub.IgnoredFields = php.List(), php.List()
	same(t, "verified submission", got, sub)
	wantCode(t, s.Verify(ctx, v), protection.CodeUsed)
	days, err := s.Statistics(ctx, p.ID, at)
	must(t, err)
	if len(days) != 1 || days[0].Valid != 1 || !days[0].UpdatedAt.Equal(at) {
		t.Errorf("statistics: %+v", days)
	}
	tok2 := newToken(t, s, p, testNow, "192.0.2.1")
	sub2 := newSubmission(t, s, tok2, testNow, protection.No)
	must(t, s.Verify(ctx, Verification{ProjectID: p.ID, TokenID: tok2.ID, SubmissionID: sub2.ID, At: at, Issues: php.List(php.Map(php.Pair{Key: "error", Value: php.Bool(true)}))}))
	_, got, err = s.TokenAndSubmission(ctx, p.ID, tok2.Token)
	must(t, err)
	if got.Valid != protection.No || got.Issues.Len() != 1 || !got.Data.Identical(sub2.Data) {
		t.Errorf("consumed failure: %+v", got)
	}
	if days, _ = s.Statistics(ctx, p.ID, at); days[0].Valid != 1 || days[0].Spam != 0 {
		t.Errorf("a failure was counted: %+v", days)
	}
	wantCode(t, s.Verify(ctx, Verification{ProjectID: p.ID + 1, TokenID: tok.ID, SubmissionID: sub.ID, At: at}), protection.CodeUsed)
}

// testVerifyOnce lets many try to use up the same token at the same time.
func testVerifyOnce(t *testing.T, s *Store) {
	p := newProject(t, s)
	for range 3 {
		tok := newToken(t, s, p, testNow, "192.0.2.1")
		sub := newSubmission(t, s, tok, testNow, protection.No)
		results := make(chan error)
		const tries = 100
		for range tries {
			go func() {
				results <- s.Verify(context.Background(), Verification{ProjectID: p.ID, TokenID: tok.ID, SubmissionID: sub.ID, At: testNow, Valid: true, Counted: true, Counter: protection.CountValid})
			}()
		}
		accepted := 0
		for range tries {
			if err := <-results; err == nil {
				accepted++
			} else if !protection.Is(err, protection.CodeUsed) {
				t.Error(err)
			}
		}
		if accepted != 1 {
			t.Errorf("the token was accepted %d times", accepted)
		}
	}
	if days, err := s.Statistics(t.Context(), p.ID, time.Time{}); err != nil || len(days) != 1 || days[0].Valid != 3 {
		t.Errorf("statistics: %+v, %v", days, err)
	}
}

// testParallelChecks checks the same few tokens from many sides: nothing may deadlock for good, and counters must add up.
func testParallelChecks(t *testing.T, s *Store) {
	p := newProject(t, s)
	toks := []*protection.SubmitToken{newToken(t, s, p, testNow, "a"), newToken(t, s, p, testNow, "b")}
	var wg sync.WaitGroup
	const n = 40
	for i := range n {
		wg.Go(func() {
			sub := &protection.Submission{ProjectID: p.ID, TokenID: toks[i%2].ID, Data: php.Strings("x"), SubmittedAt: testNow, Spam: protection.Yes}
			if err := create(context.Background(), s, sub, true); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	days, err := s.Statistics(t.Context(), p.ID, time.Time{})
	must(t, err)
	if len(days) != 1 || days[0].Spam != n {
		t.Errorf("statistics: %+v", days)
	}
	list, err := s.Submissions(t.Context(), p.ID, SubmissionFilter{Limit: 2 * n})
	if err != nil || len(list) != n {
		t.Errorf("%d submissions, %v", len(list), err)
	}
}

func testCounts(t *testing.T, s *Store) {
	ctx := t.Context()
	p, other := newProject(t, s), newProject(t, s)
	ip := crypt.HashIP("192.0.2.1")
	a := newToken(t, s, p, testNow.Add(-30*time.Second), "192.0.2.1")
	newToken(t, s, p, testNow, "192.0.2.1")
	newToken(t, s, p, testNow, "192.0.2.2")
	newToken(t, s, other, testNow, "192.0.2.1")
	for range 3 {
		newSubmission(t, s, a, testNow, protection.No)
	}
	for _, c := range []struct {
		ip    string
		since time.Time
		want  int64
	}{{ip, testNow.Add(-time.Minute), 4}, {"", testNow.Add(-time.Minute), 5}, {ip, testNow.Add(-10 * time.Second), 1}, {ip, testNow, 0}, {"none", testNow.Add(-time.Minute), 0}} {
		if n, err := s.CountRequests(ctx, p.ID, c.ip, c.since); err != nil || n != c.want {
			t.Errorf("requests of %.8q since %v: %d, %v; want %d", c.ip, c.since, n, err, c.want)
		}
	}
	signature := strings.Repeat("ab", 32)
	for _, c := range []struct {
		signature, ip string
		want          int64
	}{{signature, "", 3}, {signature, ip, 3}, {signature, crypt.HashIP("192.0.2.2"), 0}, {"other", "", 0}} {
		if n, err := s.CountEqual(ctx, p.ID, c.signature, c.ip, testNow.Add(-time.Minute)); err != nil || n != c.want {
			t.Errorf("equal %.8q %.8q: %d, %v; want %d", c.signature, c.ip, n, err, c.want)
		}
	}
}

func testStatistic(t *testing.T, s *Store) {
	ctx := t.Context()
	p, other := newProject(t, s), newProject(t, s)
	for i, c := range []protection.Counter{protection.CountValid, protection.CountSpam, protection.CountDelayed, protection.CountBlocked} {
		for range i + 1 {
			must(t, s.Count(ctx, p.ID, c, testNow))
		}
	}
	must(t, s.Count(ctx, p.ID, protection.CountValid, testNow.AddDate(0, 0, -3)))
	must(t, s.Count(ctx, other.ID, protection.CountValid, testNow))
	day := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	today := protection.DayStatistic{Date: day, Valid: 1, Spam: 2, Delayed: 3, Blocked: 4, UpdatedAt: testNow.Truncate(time.Second)}
	days, err := s.Statistics(ctx, p.ID, time.Time{})
	must(t, err)
	same(t, "all days", days, []protection.DayStatistic{{Date: day.AddDate(0, 0, -3), Valid: 1, UpdatedAt: testNow.AddDate(0, 0, -3).Truncate(time.Second)}, today})
	days, err = s.Statistics(ctx, p.ID, testNow.Add(-24*time.Hour))
	must(t, err)
	same(t, "since yesterday", days, []protection.DayStatistic{today})
	var wg sync.WaitGroup
	for range 20 { // the first of a day from many sides
		wg.Go(func() {
			if err := s.Count(context.Background(), p.ID, protection.CountSpam, testNow.AddDate(0, 0, 1)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if days, _ = s.Statistics(ctx, p.ID, testNow.AddDate(0, 0, 1)); len(days) != 1 || days[0].Spam != 20 {
		t.Errorf("parallel: %+v", days)
	}
}

func testRestriction(t *testing.T, s *Store) {
	ctx := t.Context()
	p := newProject(t, s)
	now := testNow.Truncate(time.Second)
	for _, kind := range []protection.RestrictionKind{protection.Delay, protection.Lockout} {
		if r, err := s.Restriction(ctx, kind, "ip", now); r != nil || err != nil {
			t.Fatalf("before: %v, %v", r, err)
		}
		r := &protection.Restriction{Kind: kind, IPHash: "ip", StartedAt: now, Duration: 60, ValidUntil: now.Add(time.Minute)}
		must(t, s.SaveRestriction(ctx, r, p.ID, now))
		r.Duration, r.ValidUntil = 90, now.Add(90*time.Second)
		must(t, s.SaveRestriction(ctx, r, p.ID, now))
		got, err := s.Restriction(ctx, kind, "ip", now.Add(89*time.Second))
		must(t, err)
		same(t, "restriction", got, r)
		if got, _ := s.Restriction(ctx, kind, "ip", now.Add(90*time.Second)); got != nil {
			t.Error("it holds longer than it should")
		}
	}
	if days, err := s.Statistics(ctx, p.ID, now); err != nil || len(days) != 1 || days[0].Delayed != 2 || days[0].Blocked != 2 {
		t.Errorf("statistics: %+v, %v", days, err)
	}
	must(t, s.DeleteRestrictions(ctx, now.Add(time.Hour)))
	if got, _ := s.Restriction(ctx, protection.Delay, "ip", now); got != nil {
		t.Error("not deleted")
	}
}

func testGuideline(t *testing.T, s *Store) {
	ctx := t.Context()
	p := newProject(t, s)
	low := &protection.Guideline{ProjectID: p.ID, UUID: "u1", Name: "low", Priority: 1, Subnets: []string{"10.0.0.0/8"}}
	high := &protection.Guideline{ProjectID: p.ID, UUID: "u2", Name: "high", Description: "d", Priority: 9, CountryCodes: []string{"CH"}, ASNumbers: []string{"64500"},
		FormPageURLs: []string{"https://a/*"}, FormActionURLs: []string{"/go"}, FormIDs: []string{"f"},
		Settings: protection.Settings{"spamScore": php.Float(2), "delayActive": php.Bool(true), "honeypotFieldName": php.String("hp")}}
	must(t, s.SaveGuideline(ctx, low))
	must(t, s.SaveGuideline(ctx, high))
	got, err := s.Guidelines(ctx, p.ID)
	must(t, err)
	same(t, "guidelines", got, []protection.Guideline{*high, *low})
	delete(high.Settings, "delayActive")
	high.Priority = 0
	must(t, s.SaveGuideline(ctx, high))
	got, err = s.Guidelines(ctx, p.ID)
	must(t, err)
	same(t, "guidelines after a change", got, []protection.Guideline{*low, *high})
	wantCode(t, s.DeleteGuideline(ctx, p.ID+1, high.ID), protection.CodeNotFound)
	must(t, s.DeleteGuideline(ctx, p.ID, high.ID))
	if got, _ = s.Guidelines(ctx, p.ID); len(got) != 1 {
		t.Errorf("left: %+v", got)
	}
}

func testTranslation(t *testing.T, s *Store) {
	ctx := t.Context()
	p := newProject(t, s)
	tr := protection.Translation{ProjectID: p.ID, Key: protection.MessageLabel, Locale: "zh_Hant", Text: "我不是機器人"}
	for _, text := range []string{"first", tr.Text} {
		tr.Text = text
		must(t, s.SetTranslation(ctx, tr))
	}
	got, err := s.Translations(ctx, p.ID)
	must(t, err)
	if len(got) != 1 {
		t.Fatalf("got %+v", got)
	}
	tr.ID = got[0].ID
	same(t, "translation", got[0], tr)
	tr.Text = ""
	must(t, s.SetTranslation(ctx, tr))
	if got, _ = s.Translations(ctx, p.ID); len(got) != 0 {
		t.Errorf("left: %+v", got)
	}
}

func item(n int) protection.RuleItem {
	var rating protection.Factor
	if n%2 == 1 {
		rating = protection.NewFactor(float64(n) / 2)
	}
	return protection.RuleItem{UUID: fmt.Sprintf("10000000-0000-4000-8000-%012d", n), Type: protection.ItemText, Value: fmt.Sprintf("wörd-%d", n),
		Rating: rating, Prepared: fmt.Sprintf("%%wörd-%d%%", n), Hashed: fmt.Sprintf("%032d", n)}
}

func testRules(t *testing.T, s *Store) {
	ctx := t.Context()
	p := newProject(t, s)
	r := &protection.Rule{ProjectID: p.ID, UUID: "rule", Name: "name", Description: "d", Type: protection.RuleWord, Active: true, Factor: protection.NewFactor(1.5)}
	must(t, s.SaveRule(ctx, r))
	var items []protection.RuleItem
	for n := range 300 {
		items = append(items, item(n))
	}
	must(t, s.AddItems(ctx, p.ID, r.ID, items))
	got, err := s.Rule(ctx, p.ID, r.ID)
	must(t, err)
	if len(got.Items) != 300 {
		t.Fatalf("%d items", len(got.Items))
	}
	for i := range got.Items {
		items[i].ID, items[i].RuleID = got.Items[i].ID, r.ID
	}
	same(t, "items", got.Items, items)
	got.Items = nil
	same(t, "rule", got, r)
	set, err := s.LoadRules(ctx, p.ID)
	must(t, err)
	if len(set.Rules) != 1 || len(set.Rules[0].Items) != 300 || set.Rules[0].Items[7].Value != "wörd-7" || set.Fingerprint == "" {
		t.Errorf("set: %+v", set)
	}
	must(t, s.DeleteItems(ctx, p.ID, r.ID, []int64{items[0].ID, items[1].ID, 99999}))
	r.Active, r.Factor = false, protection.Factor{}
	must(t, s.SaveRule(ctx, r))
	rules, err := s.Rules(ctx, p.ID)
	must(t, err)
	if len(rules) != 1 || rules[0].Active || rules[0].Factor.Set || len(rules[0].Items) != 298 {
		t.Errorf("rules: %d items", len(rules[0].Items))
	}
	wantCode(t, s.AddItems(ctx, p.ID, r.ID, []protection.RuleItem{{UUID: "u", Type: protection.ItemText, Value: "x"}}), protection.CodeInvalid)
	wantCode(t, s.AddItems(ctx, p.ID+1, r.ID, items[:1]), protection.CodeNotFound)
	wantCode(t, s.DeleteRule(ctx, p.ID+1, r.ID), protection.CodeNotFound)
	must(t, s.DeleteRule(ctx, p.ID, r.ID))
	_, err = s.Rule(ctx, p.ID, r.ID)
	wantCode(t, err, protection.CodeNotFound)
	sr := &protection.SubmissionRule{ProjectID: p.ID, Key: "random-values", Enabled: true, Rating: protection.NewFactor(20), Settings: protection.Settings{"numberOfMatchingFields": php.Int(3)}}
	must(t, s.SaveSubmissionRule(ctx, sr))
	sr.Settings["matchTextarea"] = php.Bool(false)
	must(t, s.SaveSubmissionRule(ctx, sr))
	list, err := s.SubmissionRules(ctx, p.ID)
	must(t, err)
	same(t, "submission rules", list, []protection.SubmissionRule{*sr})
}

// testRuleVersions changes rules in every way that matching depends on, as PHP would, behind the store's back.
func testRuleVersions(t *testing.T, s *Store) {
	ctx := t.Context()
	p, other := newProject(t, s), newProject(t, s)
	for _, p := range []*protection.Project{p, other} {
		r := &protection.Rule{ProjectID: p.ID, UUID: p.UUID, Name: "n", Type: protection.RuleWord, Active: true}
		must(t, s.SaveRule(ctx, r))
		must(t, s.AddItems(ctx, p.ID, r.ID, []protection.RuleItem{item(1), item(2), item(3)}))
		must(t, s.SaveSubmissionRule(ctx, &protection.SubmissionRule{ProjectID: p.ID, Key: "random-values", Settings: protection.Settings{"a": php.Int(1)}}))
	}
	before, err := s.RuleVersions(ctx)
	must(t, err)
	if before[p.ID] == "" {
		t.Fatal("no version")
	}
	newSubmission(t, s, newToken(t, s, p, testNow, "x"), testNow, protection.Yes)
	if after, err := s.RuleVersions(ctx); err != nil || after[p.ID] != before[p.ID] {
		t.Errorf("a submission changed the version: %v", err)
	}
	if set, err := s.LoadRules(ctx, p.ID); err != nil || set.Fingerprint != before[p.ID] {
		t.Errorf("the fingerprint of a rule set differs: %v", err)
	}
	for _, change := range []string{
		"UPDATE rule_item SET value = 'wörD-2' WHERE value = 'wörd-2' AND project_id = ?",
		"UPDATE rule_item SET spam_rating_factor = 7.25 WHERE value = 'wörd-3' AND project_id = ?",
		"UPDATE rule_item SET spam_rating_factor = NULL WHERE value = 'wörd-3' AND project_id = ?",
		"UPDATE rule SET status = 0 WHERE project_id = ?",
		"UPDATE rule SET spam_rating_factor = 2 WHERE project_id = ?",
		"UPDATE submission_rule SET enabled = 1 WHERE project_id = ?",
		"UPDATE submission_rule_config_value SET value = '2' WHERE project_id = ?",
		"DELETE FROM rule_item WHERE value = 'wörd-1' AND project_id = ?",
	} {
		must(t, s.b.write(ctx, "change", func(ctx context.Context, q querier) error {
			_, err := q.exec(ctx, change, p.ID)
			return err
		}))
		after, err := s.RuleVersions(ctx)
		must(t, err)
		if after[p.ID] == before[p.ID] {
			t.Errorf("not seen: %s", change)
		}
		if after[other.ID] != before[other.ID] {
			t.Errorf("seen in another project: %s", change)
		}
		before = after
	}
}

func testCheckKey(t *testing.T, s *Store) {
	must(t, s.CheckKey(t.Context()))
	p := newProject(t, s)
	must(t, s.CheckKey(t.Context()))
	key := s.o.Key
	s.o.Key, _ = crypt.GenerateKey()
	wantCode(t, s.CheckKey(t.Context()), protection.CodeKey)
	_, err := s.ProjectByPublicKey(t.Context(), p.PublicKey)
	wantCode(t, err, protection.CodeKey)
	s.o.Key = key
	must(t, s.SchemaCheck(t.Context()))
}

// testLimits writes what is as long or as odd as a request can make it.
func testLimits(t *testing.T, s *Store) {
	ctx := t.Context()
	p := newProject(t, s)
	big := strings.Repeat("é😀'\"\\\x00\n;-- ?", 40000)
	tok := &protection.SubmitToken{ProjectID: p.ID, IPHash: "h", Token: "odd", PageTitle: big, PageURL: `\' OR 1=1; -- `, FormActionURL: "?", CreatedAt: testNow.Truncate(time.Second)}
	must(t, s.CreateToken(ctx, tok))
	got, err := s.Token(ctx, p.ID, "odd")
	must(t, err)
	same(t, "odd token", got, tok)
	sub := &protection.Submission{ProjectID: p.ID, TokenID: tok.ID, Data: php.Map(php.Pair{Key: "x", Value: php.String(big)}), IgnoredFields: php.Strings(big, `'; DROP TABLE project; -- `, `\`),
		SubmittedAt: testNow.Truncate(time.Second), Detection: &protection.Detection{FieldRuleItems: php.Strings(big), SubmissionRules: php.Strings(`\'`)}}
	must(t, create(ctx, s, sub, true))
	again, err := s.Submission(ctx, p.ID, sub.ID)
	must(t, err)
	if !again.Data.Identical(sub.Data) || !again.IgnoredFields.Identical(sub.IgnoredFields) || !again.Detection.FieldRuleItems.Identical(sub.Detection.FieldRuleItems) {
		t.Error("odd submission differs")
	}
	must(t, s.Verify(ctx, Verification{ProjectID: p.ID, TokenID: tok.ID, SubmissionID: sub.ID, At: testNow, Issues: php.Strings(big), Data: sub.Data}))
}
