package store

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"github.com/mosparoctl/mosparoctl/protection"
)

// LastCleanup is when the newest recorded cleanup started, whoever ran it and however it ended; the zero time if none did.
func (s *Store) LastCleanup(ctx context.Context) (t time.Time, err error) {
	err = s.b.read(ctx, "read last cleanup", func(ctx context.Context, q querier) error {
		t = time.Time{}
		err := q.row(ctx, "SELECT `date_time` FROM `cleanup_statistic` ORDER BY `date_time` DESC LIMIT 1").Scan(s.timeInto(&t))
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	return t, err
}

// CleanupsSince counts the cleanups that started after t: all of them, or those that did not end.
func (s *Store) CleanupsSince(ctx context.Context, t time.Time, unfinished bool) (n int, err error) {
	query := "SELECT COUNT(*) FROM `cleanup_statistic` WHERE `date_time` > ?"
	if unfinished {
		query += " AND `cleanup_status` = 0"
	}
	err = s.b.read(ctx, "read cleanups", func(ctx context.Context, q querier) error { return q.row(ctx, query, s.stamp(t)).Scan(&n) })
	return n, err
}

// Cleanups lists the newest recorded cleanups.
func (s *Store) Cleanups(ctx context.Context, limit int) (list []protection.CleanupRun, err error) {
	err = s.b.read(ctx, "read cleanups", func(ctx context.Context, q querier) error {
		list = nil
		rows, err := q.query(ctx, "SELECT `id`, `date_time`, `cleanup_executor`, `cleanup_status`, `number_of_stored_submit_tokens`, "+
			"`number_of_deleted_submit_tokens`, `number_of_stored_submissions`, `number_of_deleted_submissions`, `execution_time` "+
			"FROM `cleanup_statistic` ORDER BY `id` DESC LIMIT ?", limit)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var c protection.CleanupRun
			var took float64
			if err := rows.Scan(&c.ID, s.timeInto(&c.StartedAt), &c.Executor, &c.Status, &c.StoredTokens, &c.DeletedTokens, &c.StoredSubmissions,
				&c.DeletedSubmissions, &took); err != nil {
				return err
			}
			c.Took = time.Duration(took * float64(time.Second))
			list = append(list, c)
		}
		return rows.Err()
	})
	return list, err
}

// BeginCleanup records that a cleanup starts, which all nodes see as a lock, and sets its ID.
func (s *Store) BeginCleanup(ctx context.Context, c *protection.CleanupRun) error {
	return s.b.auto(ctx, "begin cleanup", func(ctx context.Context, q querier) error {
		r, err := q.exec(ctx, "INSERT INTO `cleanup_statistic` (`date_time`, `cleanup_executor`, `number_of_stored_submit_tokens`, `number_of_deleted_submit_tokens`, "+
			"`number_of_stored_submissions`, `number_of_deleted_submissions`, `execution_time`, `cleanup_status`) VALUES (?, ?, 0, 0, 0, 0, 0, 0)",
			s.stamp(c.StartedAt), int(c.Executor))
		if err == nil {
			c.ID, err = r.LastInsertId()
		}
		return err
	})
}

// FinishCleanup counts what is left and records how the cleanup ended.
func (s *Store) FinishCleanup(ctx context.Context, c *protection.CleanupRun) error {
	err := s.b.read(ctx, "count rows", func(ctx context.Context, q querier) error {
		return q.row(ctx, "SELECT (SELECT COUNT(*) FROM `submit_token`), (SELECT COUNT(*) FROM `submission`)").Scan(&c.StoredTokens, &c.StoredSubmissions)
	})
	if err != nil {
		return err
	}
	_, err = s.exec(ctx, "finish cleanup", "UPDATE `cleanup_statistic` SET `number_of_stored_submit_tokens` = ?, `number_of_deleted_submit_tokens` = ?, "+
		"`number_of_stored_submissions` = ?, `number_of_deleted_submissions` = ?, `execution_time` = ?, `cleanup_status` = ? WHERE `id` = ?",
		c.StoredTokens, c.DeletedTokens, c.StoredSubmissions, c.DeletedSubmissions, c.Took.Seconds(), int(c.Status), c.ID)
	return err
}

// DeleteRestrictions deletes the delays and lockouts that ended before now.
func (s *Store) DeleteRestrictions(ctx context.Context, now time.Time) error {
	if _, err := s.exec(ctx, "delete delays", "DELETE FROM `delay` WHERE `valid_until` < ?", s.stamp(now)); err != nil {
		return err
	}
	_, err := s.exec(ctx, "delete lockouts", "DELETE FROM `lockout` WHERE `valid_until` < ?", s.stamp(now))
	return err
}

// expired is the condition for a protection.Expiry; what was not decided to be spam or not goes by the first rule only.
const expired = "(x.`submitted_at` < ? OR (x.`submitted_at` < ? AND COALESCE(x.`spam`, 1) = 0 AND x.`valid` IS NULL))"

// DeleteSubmissions deletes up to limit expired submissions together with their tokens and everything that hangs on them.
// A token goes only with all of its submissions. It returns how many tokens and submissions went, and the id to continue
// after; 0 means that there is nothing more. (PHP takes any candidates each time, so a page of such as must stay ends
// its cleanup early.)
func (s *Store) DeleteSubmissions(ctx context.Context, e protection.Expiry, after int64, limit int) (tokens, submissions, next int64, err error) {
	args := []any{after, s.stamp(e.Submitted), s.stamp(e.Unverified), limit}
	var ids []int64 // tokens with an expired submission, in the order of their ids
	err = s.b.read(ctx, "find expired submissions", func(ctx context.Context, q querier) (err error) {
		ids, err = idsOf(q.query(ctx, "SELECT x.`submit_token_id` FROM `submission` x WHERE x.`submit_token_id` > ? AND "+expired+
			" GROUP BY x.`submit_token_id` ORDER BY x.`submit_token_id` LIMIT ?", args...))
		return err
	})
	if err != nil || len(ids) == 0 {
		return 0, 0, 0, err
	}
	if len(ids) == limit {
		next = ids[len(ids)-1]
	}
	for len(ids) > 0 {
		n := min(len(ids), deleteAtOnce)
		t, sub, err := s.deleteTokens(ctx, e, ids[:n])
		tokens, submissions = tokens+t, submissions+sub
		if err != nil {
			return tokens, submissions, 0, err
		}
		ids = ids[n:]
	}
	return tokens, submissions, next, nil
}

// deleteAtOnce is how many tokens one transaction deletes: few enough that nobody waits long for its locks.
const deleteAtOnce = 100

// deleteTokens deletes those of the given tokens that have no submission to keep. That is decided again under the lock of
// the tokens, since a visitor may check one of them meanwhile.
func (s *Store) deleteTokens(ctx context.Context, e protection.Expiry, ids []int64) (tokens, submissions int64, err error) {
	err = s.b.write(ctx, "delete expired submissions", func(ctx context.Context, q querier) (err error) {
		tokens, submissions = 0, 0
		in, args := inList(ids)
		if s.b.dialect() == dialectMySQL {
			if _, err := idsOf(q.query(ctx, "SELECT `id` FROM `submit_token` WHERE `id` IN "+in+" FOR UPDATE", args...)); err != nil {
				return err
			}
		}
		keep, err := idsOf(q.query(ctx, "SELECT DISTINCT x.`submit_token_id` FROM `submission` x WHERE x.`submit_token_id` IN "+in+
			" AND NOT "+expired+s.locking(),
			append(args, s.stamp(e.Submitted), s.stamp(e.Unverified))...))
		if err != nil {
			return err
		}
		free := without(ids, keep)
		if len(free) == 0 {
			return nil
		}
		tokens = int64(len(free))
		submissions, err = deleteWithTokens(ctx, q, free)
		return err
	})
	return tokens, submissions, err
}

// locking makes a read see what others committed meanwhile, instead of the transaction's snapshot.
func (s *Store) locking() string {
	if s.b.dialect() == dialectMySQL {
		return " LOCK IN SHARE MODE"
	}
	return ""
}

func deleteWithTokens(ctx context.Context, q querier, tokens []int64) (submissions int64, err error) {
	in, args := inList(tokens)
	if _, err := q.exec(ctx, "UPDATE `submit_token` SET `last_submission_id` = NULL WHERE `id` IN "+in, args...); err != nil {
		return 0, err
	}
	if _, err := q.exec(ctx, "DELETE FROM `detection_result` WHERE `submission_id` IN (SELECT `id` FROM `submission` WHERE `submit_token_id` IN "+in+")", args...); err != nil {
		return 0, err
	}
	if submissions, err = affected(q.exec(ctx, "DELETE FROM `submission` WHERE `submit_token_id` IN "+in, args...)); err != nil {
		return 0, err
	}
	if _, err := q.exec(ctx, "DELETE FROM `partial_submission` WHERE `submit_token_id` IN "+in, args...); err != nil {
		return 0, err
	}
	_, err = q.exec(ctx, "DELETE FROM `submit_token` WHERE `id` IN "+in, args...)
	return submissions, err
}

// DeleteOrphans deletes up to limit submissions that no token belongs to any more.
func (s *Store) DeleteOrphans(ctx context.Context, limit int) (n int64, err error) {
	var ids []int64
	err = s.b.read(ctx, "find orphaned submissions", func(ctx context.Context, q querier) (err error) {
		ids, err = idsOf(q.query(ctx, "SELECT x.`id` FROM `submission` x LEFT JOIN `submit_token` t ON t.`last_submission_id` = x.`id` "+
			"WHERE x.`submit_token_id` IS NULL AND t.`id` IS NULL ORDER BY x.`id` LIMIT ?", limit))
		return err
	})
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	err = s.b.write(ctx, "delete orphaned submissions", func(ctx context.Context, q querier) (err error) {
		in, args := inList(ids)
		if _, err := q.exec(ctx, "DELETE FROM `detection_result` WHERE `submission_id` IN "+in, args...); err != nil {
			return err
		}
		n, err = affected(q.exec(ctx, "DELETE FROM `submission` WHERE `id` IN "+in, args...))
		return err
	})
	return n, err
}

// DeleteUnusedTokens deletes up to limit tokens that were made before t and never checked.
func (s *Store) DeleteUnusedTokens(ctx context.Context, t time.Time, limit int) (n int64, err error) {
	var ids []int64
	err = s.b.read(ctx, "find unused tokens", func(ctx context.Context, q querier) (err error) {
		ids, err = idsOf(q.query(ctx, "SELECT t.`id` FROM `submit_token` t LEFT JOIN `submission` x ON x.`submit_token_id` = t.`id` "+
			"WHERE t.`created_at` < ? AND x.`id` IS NULL AND t.`last_submission_id` IS NULL ORDER BY t.`id` LIMIT ?", s.stamp(t), limit))
		return err
	})
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	err = s.b.write(ctx, "delete unused tokens", func(ctx context.Context, q querier) (err error) {
		in, args := inList(ids)
		if _, err := idsOf(q.query(ctx, "SELECT `id` FROM `submit_token` WHERE `id` IN "+in+s.forUpdate(), args...)); err != nil {
			return err
		}
		checked, err := idsOf(q.query(ctx, "SELECT DISTINCT `submit_token_id` FROM `submission` WHERE `submit_token_id` IN "+in+s.locking(), args...))
		if err != nil {
			return err
		}
		free := without(ids, checked)
		if n = int64(len(free)); n == 0 {
			return nil
		}
		_, err = deleteWithTokens(ctx, q, free)
		return err
	})
	return n, err
}

func (s *Store) forUpdate() string {
	if s.b.dialect() == dialectMySQL {
		return " FOR UPDATE"
	}
	return ""
}

// DeleteStatistics deletes the days of a project before the given one.
func (s *Store) DeleteStatistics(ctx context.Context, projectID int64, before time.Time) error {
	_, err := s.exec(ctx, "delete statistics", "DELETE FROM `day_statistic` WHERE `project_id` = ? AND `date` < ?", projectID, s.day(before))
	return err
}

// StorageLimits are the statistic storage limits of the projects by id.
func (s *Store) StorageLimits(ctx context.Context) (limits map[int64]string, err error) {
	err = s.b.read(ctx, "read storage limits", func(ctx context.Context, q querier) error {
		limits = map[int64]string{}
		rows, err := q.query(ctx, "SELECT `id`, `statistic_storage_limit` FROM `project`")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var project int64
			var limit string
			if err := rows.Scan(&project, &limit); err != nil {
				return err
			}
			limits[project] = limit
		}
		return rows.Err()
	})
	return limits, err
}

func idsOf(rows *sql.Rows, err error) ([]int64, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var ids []int64
	for rows.Next() {
		var n int64
		if err := rows.Scan(&n); err != nil {
			return nil, err
		}
		ids = append(ids, n)
	}
	return ids, rows.Err()
}

// inList is an IN list whose length is one of a few, filled up with the last id, since statements are prepared and kept.
func inList(ids []int64) (string, []any) {
	size := 1
	for size < len(ids) {
		size *= 4
	}
	args := make([]any, size)
	for i := range args {
		args[i] = ids[min(i, len(ids)-1)]
	}
	return "(?" + strings.Repeat(", ?", size-1) + ")", args
}

// without are the ids that are not in drop.
func without(ids, drop []int64) []int64 {
	set := make(map[int64]bool, len(drop))
	for _, d := range drop {
		set[d] = true
	}
	var out []int64
	for _, i := range ids {
		if !set[i] {
			out = append(out, i)
		}
	}
	return out
}
