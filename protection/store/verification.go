package store

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/php"
)

// Verification is the outcome of verify: everything that becomes true at once when a token is used up.
type Verification struct {
	ProjectID            int64
	TokenID              int64
	SubmissionID         int64
	At                   time.Time
	Valid                bool
	VerifiedFields       php.Value
	GeneralVerifications php.Value
	Issues               php.Value // null leaves the column NULL
	Data                 php.Value // with merged metadata; null leaves the column as it is

	Recalled bool // the token and its submission were

	Counted bool // whether Counter is counted
	Counter protection.Counter
}

type verifyRow struct {
	tokenID, submissionID, projectID int64
	at, day                          string
	columns                          []any // verifiedColumns
	data                             string
	counter                          string // a column, or empty
	recalled                         bool   // the submission must still be the last one of the token
}

const (
	markToken = "UPDATE `submit_token` SET `verified_at` = ? WHERE `id` = ? AND `project_id` + 0 = ? AND `verified_at` IS NULL"
	stillLast = " AND `last_submission_id` = ?"
)

// verifiedColumns are what a verification sets in its submission, beside the data.
var verifiedColumns = [...]string{"`verified_at`", "`valid`", "`verified_fields`", "`general_verifications`", "`issues`"}

// Verify uses a token up and records the outcome. However many nodes try at once, exactly one succeeds; the others get
// CodeUsed or, for a recalled token, CodeStale, which can also mean that the token was checked again on another node. CodeUnavailable after a lost connection can mean that this very call used the token up: the caller must not
// accept the submission then.
func (s *Store) Verify(ctx context.Context, v Verification) error {
	row, err := s.verifyRow(v)
	if err != nil {
		return wrap("verify submission", err)
	}
	first, err := s.b.verify(ctx, row)
	switch {
	case err == nil && !first && v.Recalled:
		err = errStale()
	case err == nil && !first:
		err = protection.Errorf(protection.CodeUsed, "the submit token was verified before")
	}
	return wrap("verify submission", err)
}

func (s *Store) verifyRow(v Verification) (r verifyRow, err error) {
	fields, err := jsonArray(v.VerifiedFields)
	if err != nil {
		return r, err
	}
	general, err := jsonArray(v.GeneralVerifications)
	if err != nil {
		return r, err
	}
	issues, err := jsonText(v.Issues)
	if err != nil {
		return r, err
	}
	r = verifyRow{tokenID: v.TokenID, submissionID: v.SubmissionID, projectID: v.ProjectID, at: s.stamp(v.At), day: s.day(v.At), recalled: v.Recalled}
	r.columns = []any{r.at, bit(v.Valid), fields, general, issues}
	if v.Counted {
		r.counter = counterColumn(v.Counter)
	}
	r.data, err = s.o.Key.EncryptJSON(v.Data)
	return r, err
}

// statement is the update of the submission and its values.
func (r verifyRow) statement() (string, []any) {
	query, args := "UPDATE `submission` SET "+strings.Join(verifiedColumns[:], " = ?, ")+" = ?", slices.Clip(r.columns)
	if r.data != "" {
		query += ", `data` = ?"
		args = append(args, r.data)
	}
	return query + " WHERE `id` = ? AND `project_id` + 0 = ?", append(args, r.submissionID, r.projectID)
}

// mark is the statement that uses the token up, and its values.
func (r verifyRow) mark(query string) (string, []any) {
	args := []any{r.at, r.tokenID, r.projectID}
	if r.recalled {
		query, args = query+stillLast, append(args, r.submissionID)
	}
	return query, args
}

// update writes r within a transaction; it is false if the token was verified before.
func (r verifyRow) update(ctx context.Context, q querier) (bool, error) {
	query, args := r.mark(markToken)
	n, err := affected(q.exec(ctx, query, args...))
	if err != nil || n == 0 {
		return false, err
	}
	query, args = r.statement()
	if _, err := q.exec(ctx, query, args...); err != nil {
		return false, err
	}
	if r.counter != "" {
		err = dayCounter{r.counter, r.projectID, r.day}.add(ctx, q, dialectSQLite, increment{1, r.at})
	}
	return err == nil, err
}

// markTokenFirst is markToken for a script: it notes in a variable of the connection whether it was the first. ROW_COUNT()
// is not enough for the statements after it: with it, a script whose client had gone in the middle was seen committed on MariaDB
// 10.11 without its last update, presumably since the function loses its value where a reply can't be sent.
const markTokenFirst = "UPDATE `submit_token` SET `verified_at` = IF(@mosparoctl_first := 1, ?, NULL) " +
	"WHERE `id` = ? AND `project_id` + 0 = ? AND `verified_at` IS NULL"

func (m *mysqlDB) verify(ctx context.Context, r verifyRow) (first bool, err error) {
	w := flowWrite{verify: &r}
	lost := false
	err = m.o.observe("verify submission", func() (err error) {
		done := false
		if done, lost = m.group(ctx, &w); done {
			first = w.first
			return nil
		}
		var missed map[dayCounter]increment
		err = m.retry(ctx, func(ctx context.Context, s *server) error {
			first, missed, err = s.verify(ctx, &r, "")
			lost = lost || err != nil && classify(err) == unsure
			return err
		})
		m.startDays(ctx, missed)
		return err
	})
	if err == nil && !first && lost {
		return false, protection.Errorf(protection.CodeUnavailable, "the connection was lost while the token was used up: nobody can tell by whom")
	}
	return first, err
}

// verify sends the whole transaction in one packet; each statement changes something only if the token was marked by it.
func (s *server) verify(ctx context.Context, r *verifyRow, lock string) (first bool, missed map[dayCounter]increment, err error) {
	query, set := r.statement()
	k, one := dayCounter{r.counter, r.projectID, r.day}, increment{1, r.at}
	script, args := "SET @mosparoctl_first = 0; START TRANSACTION; ", []any{}
	markedAt := 2
	if lock != "" {
		script, args = script+"DO ("+lock+"); ", append(args, r.tokenID)
		markedAt++
	}
	mark, marked := r.mark(markTokenFirst)
	script += mark + "; " + query + " AND @mosparoctl_first = 1; "
	args = append(append(args, marked...), set...)
	if r.counter != "" {
		script += k.update() + " AND @mosparoctl_first = 1; "
		args = append(args, k.updateArgs(one)...)
	}
	res, err := s.script(ctx, script+"COMMIT", args...)
	if err != nil || res.affected[markedAt] == 0 {
		return false, nil, err
	}
	if r.counter != "" && res.affected[len(res.affected)-2] == 0 {
		missed = map[dayCounter]increment{k: one}
	}
	return true, missed, nil
}
