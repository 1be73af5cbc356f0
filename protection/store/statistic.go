package store

import (
	"context"
	"time"

	"github.com/mosparoctl/mosparoctl/protection"
)

const countSpam = "number_of_spam_submissions"

func counterColumn(c protection.Counter) string {
	return [...]string{"number_of_valid_submissions", countSpam, "number_of_delayed_requests", "number_of_blocked_requests"}[c]
}

func updateCounter(column string) string {
	return "UPDATE `day_statistic` SET `" + column + "` = `" + column + "` + 1, `updated_at` = ? WHERE `date` = ? AND `project_id` = ?"
}

// count adds one to a counter of a day. The row is inserted only if an update found none: an insert that ends as an update
// would use up an id each time, and ids have 31 bits.
func count(ctx context.Context, q querier, d dialect, column string, projectID int64, day, now string) error {
	n, err := affected(q.exec(ctx, updateCounter(column), now, day, projectID))
	if err != nil || n > 0 {
		return err
	}
	query := "INSERT INTO `day_statistic` (`project_id`, `date`, `number_of_valid_submissions`, `number_of_spam_submissions`, " +
		"`number_of_delayed_requests`, `number_of_blocked_requests`, `updated_at`) VALUES (?, ?, ?, ?, ?, ?, ?) "
	if d == dialectSQLite {
		query += "ON CONFLICT (`date`, `project_id`) DO UPDATE SET "
	} else {
		query += "ON DUPLICATE KEY UPDATE "
	}
	query += "`" + column + "` = `" + column + "` + 1, `updated_at` = ?"
	args := []any{projectID, day}
	for c := protection.CountValid; c <= protection.CountBlocked; c++ {
		args = append(args, bit(counterColumn(c) == column))
	}
	_, err = q.exec(ctx, query, append(args, now, now)...)
	return err
}

// Count adds one to a counter of the day of now.
func (s *Store) Count(ctx context.Context, projectID int64, c protection.Counter, now time.Time) error {
	return s.b.auto(ctx, "count", func(ctx context.Context, q querier) error {
		return count(ctx, q, s.b.dialect(), counterColumn(c), projectID, s.day(now), s.stamp(now))
	})
}

// Statistics are the days of a project from the day of from on, ascending; the zero time means all. Days on which nothing
// happened are missing.
func (s *Store) Statistics(ctx context.Context, projectID int64, from time.Time) (days []protection.DayStatistic, err error) {
	query := "SELECT `date`, `number_of_valid_submissions`, `number_of_spam_submissions`, `number_of_delayed_requests`, " +
		"`number_of_blocked_requests`, `updated_at` FROM `day_statistic` WHERE `project_id` = ? AND `date` >= ? ORDER BY `date`"
	first := "0000-01-01"
	if !from.IsZero() {
		first = s.day(from)
	}
	err = s.b.read(ctx, "read statistics", func(ctx context.Context, q querier) error {
		days = nil
		rows, err := q.query(ctx, query, projectID, first)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var d protection.DayStatistic
			if err := rows.Scan(s.timeInto(&d.Date), &d.Valid, &d.Spam, &d.Delayed, &d.Blocked, s.timeInto(&d.UpdatedAt)); err != nil {
				return err
			}
			days = append(days, d)
		}
		return rows.Err()
	})
	return days, err
}
