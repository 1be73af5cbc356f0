package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"maps"
	"strings"
	"sync"
)

// ruleWatch remembers what the rule tables looked like when they were last read for changes.
type ruleWatch struct {
	mu       sync.Mutex
	stamp    string // of the tables, empty if it could not be trusted
	started  int64  // Unix time of the server's start, as first computed
	versions map[int64]string
}

// watchedColumns are what matching depends on, by table. Times of refreshes are not among them.
func watchedColumns() map[string][]string {
	return map[string][]string{
		"rule":                         {"id", "uuid", "type", "status", "spam_rating_factor"},
		"rule_item":                    {"id", "rule_id", "type", "value", "spam_rating_factor"},
		"rule_package":                 {"id", "status", "spam_rating_factor"},
		"rule_package_cache":           {"id", "rule_package_id"},
		"rule_package_rule_cache":      {"id", "rule_package_cache_id", "uuid", "type", "spam_rating_factor"},
		"rule_package_rule_item_cache": {"id", "rule_package_rule_cache_id", "type", "value", "spam_rating_factor"},
		"submission_rule":              {"id", "rule_key", "enabled", "rating"},
		"submission_rule_config_value": {"id", "submission_rule_id", "name", "value"},
	}
}

// watchedTables is a fixed order of them.
func watchedTables() []string {
	return []string{"rule", "rule_item", "rule_package", "rule_package_cache", "rule_package_rule_cache", "rule_package_rule_item_cache",
		"submission_rule", "submission_rule_config_value"}
}

// RuleVersions gives a text for each project that has rules; it changes when anything that matching depends on changed,
// through whichever node and program, also if a value was edited in place. It is meant to be asked every few seconds:
// where the database itself says that nothing was written, the rows are not looked at.
//
// MariaDB and MySQL say when each table was last written, to the second; when that changed, and while it is the current or
// the last second, checksums of the rows are taken. SQLite counts changes by triggers.
func (s *Store) RuleVersions(ctx context.Context) (map[int64]string, error) {
	s.rules.mu.Lock()
	defer s.rules.mu.Unlock()
	stamp, err := s.tableStamp(ctx)
	if err != nil {
		return nil, err
	}
	if stamp == "" || stamp != s.rules.stamp {
		versions, err := s.readVersions(ctx)
		if err != nil {
			return nil, err
		}
		s.rules.stamp, s.rules.versions = stamp, versions
	}
	return maps.Clone(s.rules.versions), nil
}

// freshRuleVersions is RuleVersions as of now, without relying on what the database says about its tables.
func (s *Store) freshRuleVersions(ctx context.Context) (map[int64]string, error) {
	s.rules.mu.Lock()
	s.rules.stamp = ""
	s.rules.mu.Unlock()
	return s.RuleVersions(ctx)
}

// tableStamp is a text that changes whenever one of the rule tables was written, or "" if that is not known now. A table
// without a time was not written since the server started; InnoDB keeps the times of tables with foreign keys as long as
// it runs.
func (s *Store) tableStamp(ctx context.Context) (stamp string, err error) {
	if s.b.dialect() == dialectSQLite {
		return "", nil // its versions are cheap
	}
	query := "SELECT CONCAT_WS(' ', table_name, create_time, update_time), COALESCE(update_time >= NOW() - INTERVAL 1 SECOND, 0), " +
		"CONCAT_WS(' ', @@hostname, @@port), UNIX_TIMESTAMP() FROM information_schema.tables " +
		"WHERE table_schema = DATABASE() AND table_name IN (?" + strings.Repeat(", ?", len(watchedTables())-1) + ") ORDER BY table_name"
	args := make([]any, 0, 8)
	for _, t := range watchedTables() {
		args = append(args, t)
	}
	err = s.b.read(ctx, "read table times", func(ctx context.Context, q querier) error {
		rows, err := q.query(ctx, query, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		var server string
		var now int64
		var fresh bool
		stamp = ""
		for rows.Next() {
			var line string
			var written bool
			if err := rows.Scan(&line, &written, &server, &now); err != nil {
				return err
			}
			fresh = fresh || written
			stamp += line + "\n"
		}
		if err := rows.Err(); err != nil {
			return err
		}
		var name string
		var uptime int64
		if err := q.row(ctx, "SHOW GLOBAL STATUS LIKE 'Uptime'").Scan(&name, &uptime); err != nil {
			return err
		}
		if d := now - uptime - s.rules.started; d < -1 || d > 1 { // the two were not read at the same moment
			s.rules.started = now - uptime
		}
		if stamp += fmt.Sprint(server, " ", s.rules.started); fresh {
			stamp = ""
		}
		return nil
	})
	return stamp, err
}

func (s *Store) readVersions(ctx context.Context) (versions map[int64]string, err error) {
	err = s.b.read(inBulk(ctx), "read rule versions", func(ctx context.Context, q querier) error {
		if s.b.dialect() == dialectMySQL {
			versions, err = checksums(ctx, q)
			return err
		}
		var n int
		if err := q.row(ctx, "SELECT COUNT(*) FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'mosparoctl\\_%' ESCAPE '\\'").Scan(&n); err != nil {
			return err
		}
		if n == len(changeTriggers())-1 {
			versions, err = changeCounts(ctx, q)
		} else {
			versions, err = rowSums(ctx, q)
		}
		return err
	})
	return versions, err
}

// checksums lets the server read all rows once.
func checksums(ctx context.Context, q querier) (map[int64]string, error) {
	columns := watchedColumns()
	var parts []string
	for i, t := range watchedTables() {
		row := "CRC32(CONCAT_WS('|', "
		for j, c := range columns[t] {
			if j > 0 {
				row += ", "
			}
			row += "COALESCE(" + quote(c) + ", '-')"
		}
		row += "))"
		parts = append(parts, fmt.Sprintf("SELECT `project_id`, %d AS n, CONCAT_WS(' ', COUNT(*), MAX(`id`), BIT_XOR(%s), SUM(%s)) AS v FROM %s GROUP BY `project_id`",
			i, row, row, quote(t)))
	}
	rows, err := q.query(ctx, "SELECT `project_id`, n, v FROM ("+strings.Join(parts, " UNION ALL ")+") u ORDER BY `project_id`, n")
	if err != nil {
		return nil, err
	}
	return joinVersions(rows)
}

func joinVersions(rows *sql.Rows) (map[int64]string, error) {
	defer rows.Close()
	versions := map[int64]string{}
	for rows.Next() {
		var project int64
		var n int
		var v string
		if err := rows.Scan(&project, &n, &v); err != nil {
			return nil, err
		}
		versions[project] += fmt.Sprintf("%d: %s; ", n, v)
	}
	for p, v := range versions { // short and opaque
		sum := sha256.Sum256([]byte(v))
		versions[p] = hex.EncodeToString(sum[:12])
	}
	return versions, rows.Err()
}

// changeCounts reads what the triggers counted.
func changeCounts(ctx context.Context, q querier) (map[int64]string, error) {
	rows, err := q.query(ctx, "SELECT project_id, n FROM mosparoctl_change")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	versions := map[int64]string{}
	for rows.Next() {
		var project, n int64
		if err := rows.Scan(&project, &n); err != nil {
			return nil, err
		}
		versions[project] = fmt.Sprintf("c%d", n)
	}
	return versions, rows.Err()
}

// rowSums reads all rows of a SQLite database that PHP made, which has no triggers.
func rowSums(ctx context.Context, q querier) (map[int64]string, error) {
	columns := watchedColumns()
	sums := map[int64]uint64{}
	for _, t := range watchedTables() {
		rows, err := q.query(ctx, "SELECT `project_id`, "+quoteAll(columns[t])+" FROM "+quote(t)+" ORDER BY `id`")
		if err != nil {
			return nil, err
		}
		for rows.Next() {
			var project int64
			values := make([]any, len(columns[t]))
			dest := []any{&project}
			for i := range values {
				dest = append(dest, &values[i])
			}
			if err := rows.Scan(dest...); err != nil {
				_ = rows.Close()
				return nil, err
			}
			line := fmt.Sprint(t, values)
			sums[project] = sums[project]*1099511628211 ^ uint64(crc32.ChecksumIEEE([]byte(line)))
		}
		if err := rows.Err(); err != nil {
			return nil, err
		}
	}
	versions := map[int64]string{}
	for p, sum := range sums {
		versions[p] = fmt.Sprintf("s%016x", sum)
	}
	return versions, nil
}

// changeTriggers make a SQLite database count the changes of rule tables by project: the table of counts, then a trigger
// for each kind of change. They are ours alone; PHP does not mind them.
func changeTriggers() []string {
	statements := []string{"CREATE TABLE mosparoctl_change (project_id INTEGER PRIMARY KEY NOT NULL, n INTEGER NOT NULL)"}
	columns := watchedColumns()
	for _, t := range watchedTables() {
		for event, row := range map[string]string{"INSERT": "NEW", "UPDATE": "NEW", "DELETE": "OLD"} {
			when := event
			if event == "UPDATE" {
				when += " OF " + quoteAll(columns[t])
			}
			statements = append(statements, fmt.Sprintf("CREATE TRIGGER mosparoctl_%s_%s AFTER %s ON %s BEGIN INSERT INTO mosparoctl_change (project_id, n) "+
				"VALUES (%s.project_id, 1) ON CONFLICT (project_id) DO UPDATE SET n = n + 1; END", t, strings.ToLower(event), when, quote(t), row))
		}
	}
	return statements
}
