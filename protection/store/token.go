package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/mosparoctl/mosparoctl/protection"
)

const tokenColumns = "t.`id`, t.`project_id`, t.`last_submission_id`, t.`ip_address`, t.`page_title`, t.`page_url`, t.`form_action_url`, " +
	"t.`form_id`, t.`token`, t.`proof_of_work_result`, t.`created_at`, t.`verified_at`, t.`valid_until`"

func (s *Store) tokenInto(t *protection.SubmitToken) []any {
	return []any{&t.ID, &t.ProjectID, id{&t.LastSubmissionID}, &t.IPHash, &t.PageTitle, &t.PageURL, text{&t.FormActionURL},
		text{&t.FormID}, &t.Token, text{&t.ProofOfWorkResult}, s.timeInto(&t.CreatedAt), s.timeInto(&t.VerifiedAt), s.timeInto(&t.ValidUntil)}
}

// whereToken finds a token by its index. The sum keeps planners from walking all tokens of the project instead, which
// they prefer without statistics, or where an ORDER BY invites them to.
const whereToken = "t.`token` = ? AND t.`project_id` + 0 = ?"

const (
	insertToken = "INSERT INTO `submit_token` (`project_id`, `ip_address`, `page_title`, `page_url`, `form_action_url`, `form_id`, `token`, " +
		"`proof_of_work_result`, `created_at`) VALUES "
	tokenMarks = "(?, ?, ?, ?, ?, ?, ?, ?, ?)"
)

// CreateToken inserts t and sets its ID.
func (s *Store) CreateToken(ctx context.Context, t *protection.SubmitToken) (err error) {
	row := []any{t.ProjectID, t.IPHash, t.PageTitle, t.PageURL, nullable(t.FormActionURL, t.NoFormActionURL), nullable(t.FormID, t.NoFormID), t.Token,
		textOrNull(t.ProofOfWorkResult), s.stamp(t.CreatedAt)}
	t.ID, err = s.b.createToken(ctx, row, func(ctx context.Context, q querier) (id int64, err error) {
		err = q.row(ctx, "SELECT t.`id` FROM `submit_token` t WHERE "+whereToken, t.Token, t.ProjectID).Scan(&id)
		return id, err
	})
	if err == nil {
		s.remember(t, 0, nil)
	}
	return err
}

func (db *sqliteDB) createToken(ctx context.Context, row []any, _ findToken) (id int64, err error) {
	err = db.write(ctx, "create submit token", func(ctx context.Context, q querier) error {
		r, err := q.exec(ctx, insertToken+tokenMarks, row...)
		if err == nil {
			id, err = r.LastInsertId()
		}
		return err
	})
	return id, err
}

func (m *mysqlDB) createToken(ctx context.Context, row []any, find findToken) (id int64, err error) {
	w := flowWrite{token: row}
	err = m.o.observe("create submit token", func() error {
		done, again := m.group(ctx, &w)
		if done {
			id = w.id
			return nil
		}
		return m.retry(ctx, func(ctx context.Context, s *server) (err error) {
			if again { // an earlier try may have been committed before its connection was lost
				if id, err = find(ctx, s.q); !errors.Is(err, sql.ErrNoRows) {
					return err
				}
			}
			again = true
			r, err := s.q.exec(ctx, insertToken+tokenMarks, row...)
			if err == nil {
				id, err = r.LastInsertId()
			}
			return err
		})
	})
	return id, err
}

// SetProofOfWork replaces the proof that a token asks for.
func (s *Store) SetProofOfWork(ctx context.Context, projectID, tokenID int64, result string) error {
	_, err := s.exec(ctx, "set proof of work", "UPDATE `submit_token` SET `proof_of_work_result` = ? WHERE `id` = ? AND `project_id` = ?",
		textOrNull(result), tokenID, projectID)
	return err
}

// Token is the submit token of a project, CodeNotFound if there is none. It may be used up.
func (s *Store) Token(ctx context.Context, projectID int64, token string) (*protection.SubmitToken, error) {
	t := new(protection.SubmitToken)
	err := s.b.read(ctx, "read submit token", func(ctx context.Context, q querier) error {
		return q.row(ctx, "SELECT "+tokenColumns+" FROM `submit_token` t WHERE "+whereToken, token, projectID).Scan(s.tokenInto(t)...)
	})
	return exactToken(t, token, err)
}

// exactToken refuses what MySQL's collation finds beside the token itself.
func exactToken(t *protection.SubmitToken, token string, err error) (*protection.SubmitToken, error) {
	if protection.Is(err, protection.CodeNotFound) || err == nil && t.Token != token {
		return nil, protection.Errorf(protection.CodeNotFound, "submit token not found")
	}
	if err != nil {
		return nil, err
	}
	return t, nil
}

// TokenAndPartial is Token together with the data that store-form-data collected for it, nil if there is none.
func (s *Store) TokenAndPartial(ctx context.Context, projectID int64, token string) (*protection.SubmitToken, *protection.PartialSubmission, error) {
	r, err := s.withPartial.find(ctx, projectID, token)
	if err != nil || r.partial.ID == 0 {
		return r.orNil(err), nil, err
	}
	r.partial.ProjectID, r.partial.TokenID = projectID, r.token.ID
	r.partial.Data, err = s.o.Key.DecryptJSON(r.data)
	return &r.token, &r.partial, wrap("read partial submission", err)
}

// TokenAndSubmission is Token together with its last submission (without detection), nil if it was never checked.
func (s *Store) TokenAndSubmission(ctx context.Context, projectID int64, token string) (*protection.SubmitToken, *protection.Submission, error) {
	r, err := s.withSubmission.find(ctx, projectID, token)
	if err != nil || r.sub.ID == 0 {
		return r.orNil(err), nil, err
	}
	r.sub.Data, err = s.o.Key.DecryptJSON(r.data)
	return &r.token, &r.sub, wrap("read submission", err)
}

// SavePartial inserts or replaces the collected data of p's token.
func (s *Store) SavePartial(ctx context.Context, p *protection.PartialSubmission) error {
	data, err := s.o.Key.EncryptJSON(p.Data)
	if err != nil {
		return wrap("save partial submission", err)
	}
	ignored, err := jsonArray(p.IgnoredFields)
	if err != nil {
		return wrap("save partial submission", err)
	}
	upsert := "ON DUPLICATE KEY UPDATE `data` = VALUES(`data`), `ignored_fields` = VALUES(`ignored_fields`), `updated_at` = VALUES(`updated_at`)"
	if s.b.dialect() == dialectSQLite {
		upsert = "ON CONFLICT (`submit_token_id`) DO UPDATE SET `data` = excluded.`data`, `ignored_fields` = excluded.`ignored_fields`, " +
			"`updated_at` = excluded.`updated_at`"
	}
	return s.b.write(ctx, "save partial submission", func(ctx context.Context, q querier) error {
		n, err := affected(q.exec(ctx, "UPDATE `partial_submission` SET `data` = ?, `ignored_fields` = ?, `updated_at` = ? "+
			"WHERE `submit_token_id` = ? AND `project_id` = ?", data, ignored, s.stamp(p.UpdatedAt), p.TokenID, p.ProjectID))
		if err != nil || n > 0 {
			return err
		}
		_, err = q.exec(ctx, "INSERT INTO `partial_submission` (`data`, `ignored_fields`, `updated_at`, `submit_token_id`, `project_id`) "+
			"VALUES (?, ?, ?, ?, ?) "+upsert, data, ignored, s.stamp(p.UpdatedAt), p.TokenID, p.ProjectID)
		return err
	})
}

// CountRequests counts what delays, lockouts and the proof of work are measured by: the project's tokens made after since
// for a hashed address, or for all addresses if ipHash is empty, each as often as it has submissions, but once at least.
func (s *Store) CountRequests(ctx context.Context, projectID int64, ipHash string, since time.Time) (n int64, err error) {
	query := "SELECT COUNT(*) FROM `submit_token` t LEFT JOIN `submission` s ON s.`submit_token_id` = t.`id` AND s.`project_id` + 0 = t.`project_id` " +
		"WHERE t.`project_id` + 0 = ? AND t.`created_at` > ?"
	args := []any{projectID, s.stamp(since)}
	if ipHash != "" {
		query += " AND t.`ip_address` = ?"
		args = append(args, ipHash)
	}
	err = s.b.read(ctx, "count requests", func(ctx context.Context, q querier) error { return q.row(ctx, query, args...).Scan(&n) })
	return n, err
}

// CountEqual counts the submissions of a project with the given signature whose token was made after since, for a hashed
// address or, if ipHash is empty, for all.
func (s *Store) CountEqual(ctx context.Context, projectID int64, signature, ipHash string, since time.Time) (n int64, err error) {
	query := "SELECT COUNT(*) FROM `submit_token` t JOIN `submission` s ON s.`submit_token_id` = t.`id` AND s.`project_id` + 0 = t.`project_id` " +
		"WHERE t.`project_id` + 0 = ? AND s.`signature` = ? AND t.`created_at` > ?"
	args := []any{projectID, signature, s.stamp(since)}
	if ipHash != "" {
		query += " AND t.`ip_address` = ?"
		args = append(args, ipHash)
	}
	err = s.b.read(ctx, "count equal submissions", func(ctx context.Context, q querier) error { return q.row(ctx, query, args...).Scan(&n) })
	return n, err
}
