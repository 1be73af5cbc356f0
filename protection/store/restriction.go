package store

import (
	"context"
	"time"

	"github.com/mosparoctl/mosparoctl/protection"
)

func restrictionTable(k protection.RestrictionKind) (table string, c protection.Counter) {
	if k == protection.Lockout {
		return "`lockout`", protection.CountBlocked
	}
	return "`delay`", protection.CountDelayed
}

// Restriction is the delay or lockout of a hashed address that holds at now, nil if there is none.
func (s *Store) Restriction(ctx context.Context, k protection.RestrictionKind, ipHash string, now time.Time) (*protection.Restriction, error) {
	table, _ := restrictionTable(k)
	r := &protection.Restriction{Kind: k}
	err := s.b.read(ctx, "read restriction", func(ctx context.Context, q querier) error {
		return q.row(ctx, "SELECT `id`, `ip_address`, `started_at`, `duration`, `valid_until` FROM "+table+
			" WHERE `ip_address` = ? AND `valid_until` > ? ORDER BY `id` LIMIT 1", ipHash, s.stamp(now)).
			Scan(&r.ID, &r.IPHash, s.timeInto(&r.StartedAt), &r.Duration, s.timeInto(&r.ValidUntil))
	})
	if protection.Is(err, protection.CodeNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

// SaveRestriction inserts r, or updates it if it has an ID, and counts the delayed or blocked request for the project.
func (s *Store) SaveRestriction(ctx context.Context, r *protection.Restriction, projectID int64, now time.Time) error {
	table, counter := restrictionTable(r.Kind)
	inserted := r.ID
	err := s.b.write(ctx, "save restriction", func(ctx context.Context, q querier) error {
		if r.ID == 0 {
			res, err := q.exec(ctx, "INSERT INTO "+table+" (`ip_address`, `started_at`, `duration`, `valid_until`) VALUES (?, ?, ?, ?)",
				r.IPHash, s.stamp(r.StartedAt), r.Duration, s.stamp(r.ValidUntil))
			if err != nil {
				return err
			}
			if inserted, err = res.LastInsertId(); err != nil {
				return err
			}
		} else if _, err := q.exec(ctx, "UPDATE "+table+" SET `started_at` = ?, `duration` = ?, `valid_until` = ? WHERE `id` = ?",
			s.stamp(r.StartedAt), r.Duration, s.stamp(r.ValidUntil), r.ID); err != nil {
			return err
		}
		return dayCounter{counterColumn(counter), projectID, s.day(now)}.add(ctx, q, s.b.dialect(), increment{1, s.stamp(now)})
	})
	if err == nil {
		r.ID = inserted
	}
	return err
}
