package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/mosparoctl/mosparoctl/protection"
)

// Packages are the rule packages of a project with the state of their imports, without rules.
func (s *Store) Packages(ctx context.Context, projectID int64) (list []protection.RulePackage, err error) {
	err = s.b.read(ctx, "read rule packages", func(ctx context.Context, q querier) error {
		list = nil
		rows, err := q.query(ctx, "SELECT p.`id`, p.`uuid`, p.`name`, p.`source`, p.`type`, p.`status`, p.`spam_rating_factor`, c.`id`, c.`refreshed_at`, "+
			"c.`updated_at`, COALESCE(c.`refresh_interval`, 0), COALESCE(c.`number_of_rules`, -1) FROM `rule_package` p "+
			"LEFT JOIN `rule_package_cache` c ON c.`rule_package_id` = p.`id` WHERE p.`project_id` = ? ORDER BY p.`id`", projectID)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			p := protection.RulePackage{ProjectID: projectID}
			var c protection.PackageCache
			var seconds int64
			if err := rows.Scan(&p.ID, &p.UUID, &p.Name, text{&p.Source}, &p.Type, &p.Active, factor{&p.Factor}, id{&c.ID}, s.timeInto(&c.RefreshedAt),
				s.timeInto(&c.UpdatedAt), &seconds, &c.NumberOfRules); err != nil {
				return err
			}
			if c.RefreshInterval = time.Duration(seconds) * time.Second; c.ID != 0 {
				p.Cache = &c
			}
			list = append(list, p)
		}
		return rows.Err()
	})
	return list, err
}

// Package is one rule package of a project, CodeNotFound if there is none with this id.
func (s *Store) Package(ctx context.Context, projectID, packageID int64) (*protection.RulePackage, error) {
	list, err := s.Packages(ctx, projectID)
	if err != nil {
		return nil, err
	}
	for i := range list {
		if list[i].ID == packageID {
			return &list[i], nil
		}
	}
	return nil, protection.Errorf(protection.CodeNotFound, "rule package %d not found", packageID)
}

// packageRules reads the imported rules of packages with the items for matching.
func (s *Store) packageRules(ctx context.Context, projectID int64, packages []protection.RulePackage) error {
	byCache := map[int64]int{}
	for i, p := range packages {
		if p.Cache != nil {
			byCache[p.Cache.ID] = i
		}
	}
	if len(byCache) == 0 {
		return nil
	}
	items, err := s.matchItems(ctx, "rule_package_rule_item_cache", "rule_package_rule_cache_id", projectID)
	if err != nil {
		return err
	}
	for cache, i := range byCache {
		rules, _, err := s.cachedRules(ctx, projectID, cache, 0, 0)
		if err != nil {
			return err
		}
		giveItems(rules, items)
		packages[i].Rules = rules
	}
	return nil
}

// cachedRules reads imported rules by id; limit 0 means all. The second result is how many there are in all.
func (s *Store) cachedRules(ctx context.Context, projectID, cacheID int64, offset, limit int) (list []protection.Rule, total int64, err error) {
	const from = " FROM `rule_package_rule_cache` WHERE `project_id` = ? AND `rule_package_cache_id` = ?"
	if limit <= 0 {
		limit = 1<<31 - 1
	}
	err = s.b.read(ctx, "read package rules", func(ctx context.Context, q querier) error {
		list = nil
		if err := q.row(ctx, "SELECT COUNT(*)"+from, projectID, cacheID).Scan(&total); err != nil {
			return err
		}
		rows, err := q.query(ctx, "SELECT `id`, `uuid`, `name`, `description`, `type`, `spam_rating_factor`, COALESCE(`number_of_items`, -1), `updated_at`"+from+
			" ORDER BY `id` LIMIT ? OFFSET ?", projectID, cacheID, limit, offset)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			r := protection.Rule{ProjectID: projectID, Active: true}
			var description sql.NullString
			if err := rows.Scan(&r.ID, &r.UUID, &r.Name, &description, &r.Type, factor{&r.Factor}, &r.NumberOfItems, s.timeInto(&r.UpdatedAt)); err != nil {
				return err
			}
			r.Description, r.NoDescription = description.String, !description.Valid
			list = append(list, r)
		}
		return rows.Err()
	})
	return list, total, err
}

// PackageRules pages through the imported rules of a package, by id, and says how many there are. A package that was never
// imported is CodeNotFound.
func (s *Store) PackageRules(ctx context.Context, p *protection.RulePackage, offset, limit int) ([]protection.Rule, int64, error) {
	if p.Cache == nil {
		return nil, 0, protection.Errorf(protection.CodeNotFound, "rule package %d was never imported", p.ID)
	}
	return s.cachedRules(ctx, p.ProjectID, p.Cache.ID, offset, limit)
}

// PackageItems pages through the items of an imported rule, or of all rules of the package if ruleID is 0, by id, and says
// how many there are.
func (s *Store) PackageItems(ctx context.Context, p *protection.RulePackage, ruleID int64, offset, limit int) (items []protection.RuleItem, total int64, err error) {
	if p.Cache == nil {
		return nil, 0, protection.Errorf(protection.CodeNotFound, "rule package %d was never imported", p.ID)
	}
	from := " FROM `rule_package_rule_item_cache` i JOIN `rule_package_rule_cache` r ON r.`id` = i.`rule_package_rule_cache_id` " +
		"WHERE i.`project_id` = ? AND r.`rule_package_cache_id` = ?"
	args := []any{p.ProjectID, p.Cache.ID}
	if ruleID != 0 {
		from += " AND r.`id` = ?"
		args = append(args, ruleID)
	}
	err = s.b.read(ctx, "read package items", func(ctx context.Context, q querier) error {
		items = nil
		if err := q.row(ctx, "SELECT COUNT(*)"+from, args...).Scan(&total); err != nil {
			return err
		}
		rows, err := q.query(ctx, "SELECT i.`id`, i.`rule_package_rule_cache_id`, i.`uuid`, i.`type`, i.`value`, i.`spam_rating_factor`, i.`prepared_value`, "+
			"i.`hashed_value`, i.`updated_at`"+from+" ORDER BY i.`id` LIMIT ? OFFSET ?", append(args[:len(args):len(args)], limit, offset)...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var i protection.RuleItem
			if err := rows.Scan(&i.ID, &i.RuleID, &i.UUID, &i.Type, &i.Value, factor{&i.Rating}, text{&i.Prepared}, text{&i.Hashed}, s.timeInto(&i.UpdatedAt)); err != nil {
				return err
			}
			items = append(items, i)
		}
		return rows.Err()
	})
	return items, total, err
}

var packageWritten = []string{"project_id", "name", "source", "spam_rating_factor", "status", "type", "uuid"}

// CountedItems keeps the number of items of an imported rule until something changes it.
func (s *Store) CountedItems(ctx context.Context, p *protection.RulePackage, ruleID, n int64) error {
	_, err := s.exec(ctx, "count package items", "UPDATE `rule_package_rule_cache` SET `number_of_items` = ? WHERE `id` = ? AND `project_id` = ?", n, ruleID, p.ProjectID)
	return err
}

// SavePackage inserts p, or updates its row if it has an ID, and sets its ID. Its rules are left to ImportPackage.
func (s *Store) SavePackage(ctx context.Context, p *protection.RulePackage) error {
	values := []any{p.ProjectID, p.Name, textOrNull(p.Source), factorValue(p.Factor), bit(p.Active), int(p.Type), p.UUID}
	saved := p.ID
	err := s.b.write(ctx, "save rule package", func(ctx context.Context, q querier) (err error) {
		saved, err = save(ctx, q, "rule_package", packageWritten, values, p.ID, p.ProjectID)
		return err
	})
	if err == nil {
		p.ID = saved
	}
	return err
}

// DeletePackage deletes a package with everything imported, items in many small transactions. If it is interrupted it can
// be called again.
func (s *Store) DeletePackage(ctx context.Context, projectID, packageID int64) error {
	p, err := s.Package(ctx, projectID, packageID)
	if err != nil {
		return err
	}
	if p.Cache != nil {
		rules, _, err := s.cachedRules(ctx, projectID, p.Cache.ID, 0, 0)
		if err != nil {
			return err
		}
		for _, r := range rules {
			if err := s.deleteCachedRule(ctx, projectID, r.ID); err != nil {
				return err
			}
		}
	}
	return s.b.write(ctx, "delete rule package", func(ctx context.Context, q querier) error {
		for _, query := range []string{
			"DELETE FROM `rule_package_cache` WHERE `rule_package_id` = ? AND `project_id` = ?",
			"DELETE FROM `rule_package_processing_job` WHERE `rule_package_id` = ? AND `project_id` = ?",
			"DELETE FROM `rule_package` WHERE `id` = ? AND `project_id` = ?",
		} {
			if _, err := q.exec(ctx, query, packageID, projectID); err != nil {
				return err
			}
		}
		return nil
	})
}

// deleteCachedRule deletes an imported rule and its items.
func (s *Store) deleteCachedRule(ctx context.Context, projectID, ruleID int64) error {
	for {
		var ids []int64
		err := s.b.read(ctx, "read package items", func(ctx context.Context, q querier) (err error) {
			ids, err = idsOf(q.query(ctx, "SELECT `id` FROM `rule_package_rule_item_cache` WHERE `rule_package_rule_cache_id` = ? AND `project_id` = ? "+
				"ORDER BY `id` LIMIT 1024", ruleID, projectID))
			return err
		})
		if err != nil {
			return err
		}
		if len(ids) == 0 {
			break
		}
		if err := s.deleteByID(ctx, "rule_package_rule_item_cache", projectID, ids); err != nil {
			return err
		}
	}
	return s.deleteByID(ctx, "rule_package_rule_cache", projectID, []int64{ruleID})
}

func (s *Store) deleteByID(ctx context.Context, table string, projectID int64, ids []int64) error {
	for len(ids) > 0 {
		n := min(len(ids), 1024)
		in, args := inList(ids[:n])
		if _, err := s.exec(ctx, "delete from "+table, "DELETE FROM "+quote(table)+" WHERE `id` IN "+in+" AND `project_id` = ?", append(args, projectID)...); err != nil {
			return err
		}
		ids = ids[n:]
	}
	return nil
}
