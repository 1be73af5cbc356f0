package store

import (
	"context"
	"strings"

	"github.com/mosparoctl/mosparoctl/protection"
)

// LoadRules reads all that decides the rating of a project's submissions: rules with their items, packages with their
// imported rules, submission rules; disabled ones too. Items carry only what matching needs. The fingerprint was taken
// before the rows were read, so a change in between shows as a difference from RuleVersions and is read again.
func (s *Store) LoadRules(ctx context.Context, projectID int64) (*protection.RuleSet, error) {
	versions, err := s.freshRuleVersions(ctx)
	if err != nil {
		return nil, err
	}
	set := &protection.RuleSet{ProjectID: projectID, Fingerprint: versions[projectID]}
	if set.Rules, err = s.ruleRows(ctx, projectID, 0); err != nil {
		return nil, err
	}
	items, err := s.matchItems(ctx, "rule_item", "rule_id", projectID)
	if err != nil {
		return nil, err
	}
	giveItems(set.Rules, items)
	if set.Packages, err = s.Packages(ctx, projectID); err != nil {
		return nil, err
	}
	if err := s.packageRules(ctx, projectID, set.Packages); err != nil {
		return nil, err
	}
	set.SubmissionRules, err = s.SubmissionRules(ctx, projectID)
	return set, err
}

func giveItems(rules []protection.Rule, items map[int64][]protection.RuleItem) {
	for i := range rules {
		rules[i].Items = items[rules[i].ID]
	}
}

// matchItems reads the items of a table by rule, in the order of their ids.
func (s *Store) matchItems(ctx context.Context, table, owner string, projectID int64) (items map[int64][]protection.RuleItem, err error) {
	query := "SELECT `id`, " + quote(owner) + ", `type`, `value`, `spam_rating_factor` FROM " + quote(table) + " WHERE `project_id` = ? AND `id` > ? ORDER BY `id` LIMIT 50000"
	items = map[int64][]protection.RuleItem{}
	types := map[protection.ItemType]protection.ItemType{} // one copy of each text
	after, more := int64(0), true
	for more {
		var page []protection.RuleItem
		err = s.b.read(inBulk(ctx), "read rule items", func(ctx context.Context, q querier) error {
			page = page[:0]
			rows, err := q.query(ctx, query, projectID, after)
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				var i protection.RuleItem
				if err := rows.Scan(&i.ID, &i.RuleID, &i.Type, &i.Value, factor{&i.Rating}); err != nil {
					return err
				}
				if t, ok := types[i.Type]; ok {
					i.Type = t
				} else {
					types[i.Type] = i.Type
				}
				page = append(page, i)
			}
			return rows.Err()
		})
		if err != nil {
			return nil, err
		}
		for _, i := range page {
			items[i.RuleID] = append(items[i.RuleID], i)
			after = i.ID
		}
		more = len(page) == 50000
	}
	return items, nil
}

// ruleRows reads the rules of a project without items, or one of them.
func (s *Store) ruleRows(ctx context.Context, projectID, ruleID int64) (list []protection.Rule, err error) {
	query, args := "SELECT `id`, `uuid`, `name`, `description`, `type`, `status`, `spam_rating_factor` FROM `rule` WHERE `project_id` = ?", []any{projectID}
	if ruleID != 0 {
		query += " AND `id` = ?"
		args = append(args, ruleID)
	}
	err = s.b.read(ctx, "read rules", func(ctx context.Context, q querier) error {
		list = nil
		rows, err := q.query(ctx, query+" ORDER BY `id`", args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			r := protection.Rule{ProjectID: projectID}
			var status int
			if err := rows.Scan(&r.ID, &r.UUID, &r.Name, text{&r.Description}, &r.Type, &status, factor{&r.Factor}); err != nil {
				return err
			}
			r.Active = status != 0
			list = append(list, r)
		}
		return rows.Err()
	})
	return list, err
}

// Rules are the field rules of a project with all fields of their items, for showing and exporting.
func (s *Store) Rules(ctx context.Context, projectID int64) ([]protection.Rule, error) {
	rules, err := s.ruleRows(ctx, projectID, 0)
	if err != nil {
		return nil, err
	}
	for i := range rules {
		if rules[i].Items, err = s.fullItems(ctx, projectID, rules[i].ID); err != nil {
			return nil, err
		}
	}
	return rules, nil
}

// Rule is one field rule with its items, CodeNotFound if the project has none with this id.
func (s *Store) Rule(ctx context.Context, projectID, ruleID int64) (*protection.Rule, error) {
	rules, err := s.ruleRows(ctx, projectID, ruleID)
	if err == nil && len(rules) == 0 {
		err = protection.Errorf(protection.CodeNotFound, "rule %d not found", ruleID)
	}
	if err != nil {
		return nil, err
	}
	rules[0].Items, err = s.fullItems(ctx, projectID, ruleID)
	return &rules[0], err
}

func (s *Store) fullItems(ctx context.Context, projectID, ruleID int64) (items []protection.RuleItem, err error) {
	err = s.b.read(ctx, "read rule items", func(ctx context.Context, q querier) error {
		items = nil
		rows, err := q.query(ctx, "SELECT `id`, `rule_id`, `uuid`, `type`, `value`, `spam_rating_factor`, `prepared_value`, `hashed_value` "+
			"FROM `rule_item` WHERE `project_id` = ? AND `rule_id` = ? ORDER BY `id`", projectID, ruleID)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var i protection.RuleItem
			if err := rows.Scan(&i.ID, &i.RuleID, &i.UUID, &i.Type, &i.Value, factor{&i.Rating}, text{&i.Prepared}, text{&i.Hashed}); err != nil {
				return err
			}
			items = append(items, i)
		}
		return rows.Err()
	})
	return items, err
}

var ruleWritten = []string{"project_id", "uuid", "name", "description", "type", "status", "spam_rating_factor"}

// SaveRule inserts r, or updates its row if it has an ID, and sets its ID. Items are left to AddItems and DeleteItems.
func (s *Store) SaveRule(ctx context.Context, r *protection.Rule) error {
	values := []any{r.ProjectID, r.UUID, r.Name, textOrNull(r.Description), string(r.Type), bit(r.Active), factorValue(r.Factor)}
	saved := r.ID
	err := s.b.write(ctx, "save rule", func(ctx context.Context, q querier) (err error) {
		saved, err = save(ctx, q, "rule", ruleWritten, values, r.ID, r.ProjectID)
		return err
	})
	if err == nil {
		r.ID = saved
	}
	return err
}

// DeleteRule deletes a rule of a project and its items.
func (s *Store) DeleteRule(ctx context.Context, projectID, ruleID int64) error {
	return s.deleteWith(ctx, "rule", projectID, ruleID)
}

// itemsAtOnce bounds the rows that one transaction inserts, so that it ends well within StatementTimeout.
const itemsAtOnce = 2048

// AddItems inserts items into a rule of a project, in transactions of some thousand. UUID, Prepared and Hashed must be set
// (see protection/rule); without the latter two PHP would not find the item.
func (s *Store) AddItems(ctx context.Context, projectID, ruleID int64, items []protection.RuleItem) error {
	rows := make([][]any, len(items))
	for n, i := range items {
		if i.Hashed == "" || i.UUID == "" {
			return protection.Errorf(protection.CodeInvalid, "add rule items: item %d (%.40q) is not prepared", n+1, i.Value)
		}
		rows[n] = []any{ruleID, projectID, i.UUID, string(i.Type), i.Value, factorValue(i.Rating), i.Prepared, i.Hashed}
	}
	columns := []string{"rule_id", "project_id", "uuid", "type", "value", "spam_rating_factor", "prepared_value", "hashed_value"}
	return s.insertRows(ctx, "add rule items", "rule_item", columns, rows, func(ctx context.Context, q querier) error {
		return exists(ctx, q, "rule", ruleID, projectID)
	})
}

// insertRows inserts many rows, each transaction after check.
func (s *Store) insertRows(ctx context.Context, op, table string, columns []string, rows [][]any, check func(context.Context, querier) error) error {
	for len(rows) > 0 {
		n := min(len(rows), itemsAtOnce)
		err := s.b.write(ctx, op, func(ctx context.Context, q querier) error {
			if err := check(ctx, q); err != nil {
				return err
			}
			return insertMany(ctx, q, table, columns, rows[:n])
		})
		if err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

// insertMany inserts rows with statements of a few lengths only, since each is prepared once and kept.
func insertMany(ctx context.Context, q querier, table string, columns []string, rows [][]any) error {
	tuple := "(?" + strings.Repeat(", ?", len(columns)-1) + ")"
	head := "INSERT INTO " + quote(table) + " (" + quoteAll(columns) + ") VALUES "
	for _, size := range []int{256, 32, 4, 1} {
		query := head + tuple + strings.Repeat(", "+tuple, size-1)
		for len(rows) >= size {
			var args []any
			for _, r := range rows[:size] {
				args = append(args, r...)
			}
			if _, err := q.exec(ctx, query, args...); err != nil {
				return err
			}
			rows = rows[size:]
		}
	}
	return nil
}

// DeleteItems deletes items of a rule of a project; ids that are not there are no error.
func (s *Store) DeleteItems(ctx context.Context, projectID, ruleID int64, ids []int64) error {
	return s.b.write(ctx, "delete rule items", func(ctx context.Context, q querier) error {
		for _, i := range ids {
			if _, err := q.exec(ctx, "DELETE FROM `rule_item` WHERE `id` = ? AND `rule_id` = ? AND `project_id` = ?", i, ruleID, projectID); err != nil {
				return err
			}
		}
		return nil
	})
}

// SubmissionRules are the rules of a project that look at whole submissions, with their settings.
func (s *Store) SubmissionRules(ctx context.Context, projectID int64) (list []protection.SubmissionRule, err error) {
	err = s.b.read(ctx, "read submission rules", func(ctx context.Context, q querier) error {
		list = nil
		rows, err := q.query(ctx, "SELECT `id`, `rule_key`, `enabled`, `rating` FROM `submission_rule` WHERE `project_id` = ? ORDER BY `id`", projectID)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			r := protection.SubmissionRule{ProjectID: projectID}
			if err := rows.Scan(&r.ID, &r.Key, &r.Enabled, factor{&r.Rating}); err != nil {
				return err
			}
			list = append(list, r)
		}
		if err := rows.Err(); err != nil || len(list) == 0 {
			return err
		}
		settings, err := settingsIn(ctx, q, "submission_rule_config_value", "submission_rule_id", projectID)
		for i := range list {
			list[i].Settings = settings[list[i].ID]
		}
		return err
	})
	return list, err
}

// SaveSubmissionRule inserts r with its settings, or replaces all of it if it has an ID, and sets its ID.
func (s *Store) SaveSubmissionRule(ctx context.Context, r *protection.SubmissionRule) error {
	values := []any{r.ProjectID, r.Key, bit(r.Enabled), factorValue(r.Rating)}
	saved := r.ID
	err := s.b.write(ctx, "save submission rule", func(ctx context.Context, q querier) (err error) {
		if saved, err = save(ctx, q, "submission_rule", []string{"project_id", "rule_key", "enabled", "rating"}, values, r.ID, r.ProjectID); err != nil {
			return err
		}
		return jsonSettings(ctx, q, "submission_rule", saved, r.ProjectID, r.Settings)
	})
	if err == nil {
		r.ID = saved
	}
	return err
}
