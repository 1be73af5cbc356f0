package store

import (
	"context"
	"time"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/php"
)

const submissionColumns = "s.`id`, s.`project_id`, s.`submit_token_id`, s.`validation_token`, s.`data`, s.`signature`, s.`submitted_at`, " +
	"s.`verified_at`, s.`matched_rule_items`, s.`ignored_fields`, s.`general_verifications`, s.`verified_fields`, s.`issues`, " +
	"s.`spam_rating`, s.`spam_detection_rating`, s.`spam`, s.`valid`"

// submissionInto scans submissionColumns, all of which may be NULL in a left join.
func (s *Store) submissionInto(sub *protection.Submission, data *string) []any {
	var rating, threshold protection.Factor
	return []any{id{&sub.ID}, id{&sub.ProjectID}, id{&sub.TokenID}, text{&sub.ValidationToken}, text{data}, text{&sub.Signature},
		s.timeInto(&sub.SubmittedAt), s.timeInto(&sub.VerifiedAt), jsonColumn{&sub.MatchedRuleItems}, jsonColumn{&sub.IgnoredFields},
		jsonColumn{&sub.GeneralVerifications}, jsonColumn{&sub.VerifiedFields}, jsonColumn{&sub.Issues},
		plainFloat{factor{&rating}, &sub.SpamRating}, plainFloat{factor{&threshold}, &sub.SpamDetectionRating}, tristate{&sub.Spam}, tristate{&sub.Valid}}
}

// plainFloat scans a float of which NULL is 0.
type plainFloat struct {
	factor
	to *float64
}

func (p plainFloat) Scan(src any) error {
	err := p.factor.Scan(src)
	*p.to = p.factor.dest.Value
	return err
}

// submissionRow is a submission as it is written.
type submissionRow struct {
	columns   []any // of insertSubmission
	detection []any // the two JSON texts, nil if no rules ran
	tokenID   int64
	projectID int64
	spam      bool // to be counted
	recalled  bool // the token was; it must still be unused and ask for proof
	proof     string
	day, now  string
}

const (
	insertSubmission = "INSERT INTO `submission` (`project_id`, `submit_token_id`, `validation_token`, `data`, `signature`, `submitted_at`, " +
		"`verified_at`, `matched_rule_items`, `ignored_fields`, `general_verifications`, `verified_fields`, `issues`, `spam_rating`, " +
		"`spam_detection_rating`, `spam`, `valid`) VALUES "
	submissionMarks = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
	insertDetection = "INSERT INTO `detection_result` (`matched_field_rule_items`, `matched_submission_rules`, `submission_id`, `project_id`) VALUES "
	setLast         = "UPDATE `submit_token` SET `last_submission_id` = ? WHERE `id` = ? AND `project_id` + 0 = ?"
)

// CreateSubmission inserts sub and its detection, makes it the last one of its token t and, if countSpam is true, counts it
// as spam, all at once. It sets sub.ID. Rating and threshold are rounded as PHP rounds them. CodeStale means that t was
// recalled and is not any more what the database holds: nothing was done, and t is forgotten.
func (s *Store) CreateSubmission(ctx context.Context, t *protection.SubmitToken, sub *protection.Submission, countSpam bool) error {
	row, err := s.submissionRow(sub, countSpam)
	if err == nil {
		row.recalled, row.proof = t.Recalled, t.ProofOfWorkResult
		sub.ID, err = s.b.createSubmission(ctx, row)
	}
	if err != nil {
		s.Forget(t.ProjectID, t.Token)
		return wrap("create submission", err)
	}
	s.remember(t, sub.ID, row.columns)
	return nil
}

func (s *Store) submissionRow(sub *protection.Submission, countSpam bool) (r submissionRow, err error) {
	data, err := s.o.Key.EncryptJSON(sub.Data)
	if err != nil {
		return r, err
	}
	var arrays [4]string
	for i, v := range []php.Value{sub.MatchedRuleItems, sub.IgnoredFields, sub.GeneralVerifications, sub.VerifiedFields} {
		if arrays[i], err = jsonArray(v); err != nil {
			return r, err
		}
	}
	issues, err := jsonText(sub.Issues)
	if err != nil {
		return r, err
	}
	r = submissionRow{tokenID: sub.TokenID, projectID: sub.ProjectID, spam: countSpam, day: s.day(sub.SubmittedAt), now: s.stamp(sub.SubmittedAt)}
	r.columns = []any{sub.ProjectID, sub.TokenID, textOrNull(sub.ValidationToken), data, textOrNull(sub.Signature), s.stamp(sub.SubmittedAt),
		s.stampOrNull(sub.VerifiedAt), arrays[0], arrays[1], arrays[2], arrays[3], issues, php.Round14(sub.SpamRating),
		php.Round14(sub.SpamDetectionRating), tristateValue(sub.Spam), tristateValue(sub.Valid)}
	if d := sub.Detection; d != nil {
		items, err := jsonArray(d.FieldRuleItems)
		if err != nil {
			return r, err
		}
		rules, err := jsonArray(d.SubmissionRules)
		if err != nil {
			return r, err
		}
		r.detection = []any{items, rules}
	}
	return r, nil
}

// insert writes r within a transaction.
func (r submissionRow) insert(ctx context.Context, q querier) (int64, error) {
	res, err := q.exec(ctx, insertSubmission+submissionMarks, r.columns...)
	if code, _ := sqliteCode(err); code == protection.CodeConflict && r.recalled { // the token was deleted
		err = errStale()
	}
	if err != nil {
		return 0, err
	}
	n, err := res.LastInsertId()
	if err != nil {
		return 0, err
	}
	if r.detection != nil {
		if _, err := q.exec(ctx, insertDetection+"(?, ?, ?, ?)", r.detection[0], r.detection[1], n, r.projectID); err != nil {
			return 0, err
		}
	}
	query, args := setLast, []any{n, r.tokenID, r.projectID}
	if r.recalled {
		query, args = query+stillUnused, append(args, textOrNull(r.proof))
	}
	changed, err := affected(q.exec(ctx, query, args...))
	if err == nil && changed == 0 && r.recalled {
		err = errStale()
	}
	if err != nil {
		return 0, err
	}
	if r.spam {
		err = dayCounter{countSpam, r.projectID, r.day}.add(ctx, q, dialectSQLite, increment{1, r.now})
	}
	return n, err
}

func (m *mysqlDB) createSubmission(ctx context.Context, r submissionRow) (n int64, err error) {
	w := flowWrite{submission: &r}
	err = m.o.observe("create submission", func() error {
		switch done, _ := m.group(ctx, &w); {
		case done && w.stale, !done && r.recalled: // what has failed is decided anew, with the token as it is
			return errStale()
		case done:
			n = w.id
			return nil
		}
		var missed map[dayCounter]increment
		err := m.retry(ctx, func(ctx context.Context, s *server) (err error) {
			n, missed, err = s.createSubmission(ctx, &r, lockToken)
			return err
		})
		m.startDays(ctx, missed)
		return err
	})
	return n, err
}

// createSubmission sends the whole transaction in one packet. The token's row is locked first: two checks of one token
// would otherwise both hold the shared lock that the foreign key takes, and deadlock when they want to write it.
func (s *server) createSubmission(ctx context.Context, r *submissionRow, lock string) (id int64, missed map[dayCounter]increment, err error) {
	// LAST_INSERT_ID() is the submission's until the detection is inserted, which therefore comes last.
	script := "START TRANSACTION; DO (" + lock + "); " + insertSubmission + submissionMarks +
		"; UPDATE `submit_token` SET `last_submission_id` = LAST_INSERT_ID() WHERE `id` = ? AND `project_id` + 0 = ?; "
	args := append(append([]any{r.tokenID}, r.columns...), r.tokenID, r.projectID)
	if r.detection != nil {
		script += insertDetection + "(?, ?, LAST_INSERT_ID(), ?); "
		args = append(args, r.detection[0], r.detection[1], r.projectID)
	}
	k, one := dayCounter{countSpam, r.projectID, r.day}, increment{1, r.now}
	if r.spam {
		script += k.update() + "; "
		args = append(args, k.updateArgs(one)...)
	}
	res, err := s.script(ctx, script+"COMMIT", args...)
	if err != nil {
		return 0, nil, err
	}
	if r.spam && res.affected[len(res.affected)-2] == 0 {
		missed = map[dayCounter]increment{k: one}
	}
	return res.ids[2], missed, nil
}

// lockToken takes the exclusive lock of a token's row without changing it.
const lockToken = "SELECT `id` FROM `submit_token` WHERE `id` = ? FOR UPDATE"

// SetData replaces the data of a submission.
func (s *Store) SetData(ctx context.Context, projectID, submissionID int64, data php.Value) error {
	stored, err := s.o.Key.EncryptJSON(data)
	if err != nil {
		return wrap("set submission data", err)
	}
	_, err = s.exec(ctx, "set submission data", "UPDATE `submission` SET `data` = ? WHERE `id` = ? AND `project_id` = ?", stored, submissionID, projectID)
	return err
}

// SubmissionFilter selects submissions of a project, newest first.
type SubmissionFilter struct {
	BeforeID int64               // only older ones; 0: from the newest
	Limit    int                 // 0: 50
	Spam     protection.Tristate // Undecided: all
	Valid    protection.Tristate // Undecided: all
	Since    time.Time
}

// Submissions lists submissions, with their detection.
func (s *Store) Submissions(ctx context.Context, projectID int64, f SubmissionFilter) ([]protection.Submission, error) {
	where, args := "s.`project_id` = ?", []any{projectID}
	add := func(cond string, v any) {
		where += " AND " + cond
		args = append(args, v)
	}
	if f.BeforeID > 0 {
		add("s.`id` < ?", f.BeforeID)
	}
	if f.Spam != protection.Undecided {
		add("s.`spam` = ?", bit(f.Spam == protection.Yes))
	}
	if f.Valid != protection.Undecided {
		add("s.`valid` = ?", bit(f.Valid == protection.Yes))
	}
	if !f.Since.IsZero() {
		add("s.`submitted_at` >= ?", s.stamp(f.Since))
	}
	if f.Limit <= 0 {
		f.Limit = 50
	}
	return s.submissions(ctx, where+" ORDER BY s.`id` DESC LIMIT ?", append(args, f.Limit)...)
}

// Submission is one submission of a project with its detection, CodeNotFound if there is none.
func (s *Store) Submission(ctx context.Context, projectID, submissionID int64) (*protection.Submission, error) {
	list, err := s.submissions(ctx, "s.`project_id` = ? AND s.`id` = ?", projectID, submissionID)
	if err == nil && len(list) == 0 {
		err = protection.Errorf(protection.CodeNotFound, "submission %d not found", submissionID)
	}
	if err != nil {
		return nil, err
	}
	return &list[0], nil
}

func (s *Store) submissions(ctx context.Context, where string, args ...any) (list []protection.Submission, err error) {
	query := "SELECT " + submissionColumns + ", d.`id`, d.`matched_field_rule_items`, d.`matched_submission_rules` FROM `submission` s " +
		"LEFT JOIN `detection_result` d ON d.`submission_id` = s.`id` WHERE " + where
	err = s.b.read(ctx, "read submissions", func(ctx context.Context, q querier) error {
		list = nil
		rows, err := q.query(ctx, query, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var sub protection.Submission
			var data string
			var detectionID int64
			d := new(protection.Detection)
			dest := append(s.submissionInto(&sub, &data), id{&detectionID}, jsonColumn{&d.FieldRuleItems}, jsonColumn{&d.SubmissionRules})
			if err := rows.Scan(dest...); err != nil {
				return err
			}
			if sub.Data, err = s.o.Key.DecryptJSON(data); err != nil {
				return err
			}
			if detectionID != 0 {
				sub.Detection = d
			}
			list = append(list, sub)
		}
		return rows.Err()
	})
	return list, err
}
