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

// dayCounter is a counter of a project's day.
type dayCounter struct {
	column    string
	projectID int64
	day       string
}

// increment is what a counter grows by, and when.
type increment struct {
	by int64
	at string
}

func (k dayCounter) update() string {
	return "UPDATE `day_statistic` SET `" + k.column + "` = `" + k.column + "` + ?, `updated_at` = ? WHERE `date` = ? AND `project_id` = ?"
}

func (k dayCounter) updateArgs(n increment) []any { return []any{n.by, n.at, k.day, k.projectID} }

// add counts up. The row is inserted only if an update found none: an insert that ends as an update would use up an id
// each time, and ids have 31 bits.
func (k dayCounter) add(ctx context.Context, q querier, d dialect, n increment) error {
	found, err := affected(q.exec(ctx, k.update(), k.updateArgs(n)...))
	if err != nil || found > 0 {
		return err
	}
	return k.insert(ctx, q, d, n)
}

// insert is add for a day that has no row yet.
func (k dayCounter) insert(ctx context.Context, q querier, d dialect, n increment) error {
	query := "INSERT INTO `day_statistic` (`project_id`, `date`, `number_of_valid_submissions`, `number_of_spam_submissions`, " +
		"`number_of_delayed_requests`, `number_of_blocked_requests`, `updated_at`) VALUES (?, ?, ?, ?, ?, ?, ?) "
	if d == dialectSQLite {
		query += "ON CONFLICT (`date`, `project_id`) DO UPDATE SET "
	} else {
		query += "ON DUPLICATE KEY UPDATE "
	}
	query += "`" + k.column + "` = `" + k.column + "` + ?, `updated_at` = ?"
	args := []any{k.projectID, k.day}
	for c := protection.CountValid; c <= protection.CountBlocked; c++ {
		var first int64
		if counterColumn(c) == k.column {
			first = n.by
		}
		args = append(args, first)
	}
	_, err := q.exec(ctx, query, append(args, n.at, n.by, n.at)...)
	return err
}

// Count adds one to a counter of the day of now.
func (s *Store) Count(ctx context.Context, projectID int64, c protection.Counter, now time.Time) error {
	return s.b.auto(ctx, "count", func(ctx context.Context, q querier) error {
		return dayCounter{counterColumn(c), projectID, s.day(now)}.add(ctx, q, s.b.dialect(), increment{1, s.stamp(now)})
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
