package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/mosparoctl/mosparoctl/protection"
)

// PackageContent is what a rule package's source holds. Items need UUID, Prepared and Hashed.
type PackageContent struct {
	UpdatedAt       time.Time // lastUpdatedAt
	RefreshInterval time.Duration
	Rules           []protection.Rule
}

const (
	// importPatience is how long an import is believed to run after it last said so.
	importPatience = 5 * time.Minute
	importPulse    = 30 * time.Second
	// archivePatience is the same for mosparo's import of an archive, which it goes on with from time to time.
	archivePatience = time.Hour
	// importMark tells our jobs from mosparo's. Those are no sign of an import at work: mosparo leaves the job of a JSON file behind when
	// that is not new or cannot be imported, and does not look at it before the next one.
	importMark = `a:1:{s:10:"mosparoctl";b:1;}`
)

// ImportPackage makes the imported rules of p those of c, and reports whether there was anything to do: content with the
// UpdatedAt of the last import is not looked at. Only differences are written, in many small transactions; if it is
// interrupted, the next import does the rest. An import that runs on another node is CodeConflict.
func (s *Store) ImportPackage(ctx context.Context, p *protection.RulePackage, c PackageContent) (changed bool, err error) {
	for _, r := range c.Rules {
		for n, i := range r.Items {
			if i.Hashed == "" {
				return false, protection.Errorf(protection.CodeInvalid, "import rule package: rule %q: item %d is not prepared", r.Name, n+1)
			}
		}
	}
	now := s.Now()
	job, err := s.beginImport(ctx, p, now)
	if err != nil {
		return false, err
	}
	stop := s.keepImport(ctx, job)
	defer func() {
		stop()
		err = errors.Join(err, s.endImport(context.WithoutCancel(ctx), p, job, err == nil))
	}()
	c.UpdatedAt = c.UpdatedAt.Truncate(time.Second)
	if p.Cache != nil && p.Cache.UpdatedAt.Equal(c.UpdatedAt) {
		return false, s.UpdatePackageCache(ctx, p, c.UpdatedAt, c.RefreshInterval, now)
	}
	// The new time is written last, so that an import which ended half-way is done again.
	before := time.Time{}
	if p.Cache != nil {
		before = p.Cache.UpdatedAt
	}
	if err := s.UpdatePackageCache(ctx, p, before, c.RefreshInterval, now); err != nil {
		return false, err
	}
	if err := s.importRules(ctx, p, c); err != nil {
		return true, err
	}
	distinct := map[string]bool{} // a later rule takes the place of one with the same UUID
	for i := range c.Rules {
		distinct[c.Rules[i].UUID] = true
	}
	_, err = s.exec(ctx, "count package rules", "UPDATE `rule_package_cache` SET `number_of_rules` = ?, `updated_at` = ? WHERE `id` = ?",
		len(distinct), s.stamp(c.UpdatedAt), p.Cache.ID)
	if err == nil {
		p.Cache.UpdatedAt, p.Cache.NumberOfRules = c.UpdatedAt, int64(len(distinct))
	}
	return true, err
}

// beginImport records that an import runs, in the form in which PHP records its own.
func (s *Store) beginImport(ctx context.Context, p *protection.RulePackage, now time.Time) (job int64, err error) {
	err = s.b.write(ctx, "begin import", func(ctx context.Context, q querier) error {
		var n int64
		err := q.row(ctx, "SELECT `id` FROM `rule_package` WHERE `id` = ? AND `project_id` = ?"+s.forUpdate(), p.ID, p.ProjectID).Scan(&n)
		if err != nil {
			return notFound(err, "rule package")
		}
		err = q.row(ctx, "SELECT `id` FROM `rule_package_processing_job` WHERE `rule_package_id` = ? AND `type` = 1 AND (`processed_import_data` = ? AND `created_at` > ? OR "+
			"`mimetype` = 'application/zip' AND `created_at` > ?) LIMIT 1", p.ID, importMark, s.stamp(now.Add(-importPatience)), s.stamp(now.Add(-archivePatience))).Scan(&n)
		if err == nil {
			return protection.Errorf(protection.CodeConflict, "another node imports the rule package, or stopped half-way not long ago")
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		r, err := q.exec(ctx, "INSERT INTO `rule_package_processing_job` (`created_at`, `type`, `mimetype`, `processed_import_data`, `import_tasks`, `processed_import_tasks`, "+
			"`processed_cleanup_data`, `cleanup_tasks`, `processed_cleanup_tasks`, `rule_package_id`, `project_id`) VALUES (?, 1, 'application/json', ?, 0, 0, 'a:0:{}', 0, 0, ?, ?)",
			s.stamp(now), importMark, p.ID, p.ProjectID)
		if err != nil {
			return err
		}
		job, err = r.LastInsertId()
		return err
	})
	return job, err
}

// keepImport says now and then that an import is still at work, until stop is called.
func (s *Store) keepImport(ctx context.Context, job int64) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		pulse := time.NewTicker(importPulse)
		defer pulse.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-pulse.C: // if it fails, the next one does
				_, _ = s.exec(ctx, "go on with import", "UPDATE `rule_package_processing_job` SET `created_at` = ? WHERE `id` = ?", s.stamp(s.Now()), job)
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// endImport removes the job of an import and, after one that succeeded, also those that mosparo or a node that died left
// behind, as mosparo does with its own. An archive that mosparo uploads afterwards would be taken for JSON.
func (s *Store) endImport(ctx context.Context, p *protection.RulePackage, job int64, succeeded bool) error {
	query, args := "DELETE FROM `rule_package_processing_job` WHERE `id` = ?", []any{job}
	if succeeded {
		query, args = query+" OR `rule_package_id` = ? AND `type` = 1 AND `mimetype` = 'application/json'", append(args, p.ID)
	}
	_, err := s.exec(ctx, "end import", query, args...)
	return err
}

// UpdatePackageCache records when the content of p was fetched (now) and last changed, and makes p.Cache if this is the
// first time.
func (s *Store) UpdatePackageCache(ctx context.Context, p *protection.RulePackage, updatedAt time.Time, interval time.Duration, now time.Time) error {
	c := protection.PackageCache{NumberOfRules: -1}
	if p.Cache != nil {
		c = *p.Cache
	}
	c.UpdatedAt, c.RefreshInterval, c.RefreshedAt = updatedAt, interval, now.Truncate(time.Second)
	values := []any{p.ID, p.ProjectID, s.stampOrNull(now), s.stampOrNull(updatedAt), int64(interval / time.Second)}
	err := s.b.write(ctx, "update package cache", func(ctx context.Context, q querier) (err error) {
		c.ID, err = save(ctx, q, "rule_package_cache", []string{"rule_package_id", "project_id", "refreshed_at", "updated_at", "refresh_interval"}, values, c.ID, p.ProjectID)
		return err
	})
	if err == nil {
		p.Cache = &c
	}
	return err
}

// importRules makes the rules of p's cache equal to those of c.
func (s *Store) importRules(ctx context.Context, p *protection.RulePackage, c PackageContent) error {
	old, _, err := s.cachedRules(ctx, p.ProjectID, p.Cache.ID, 0, 0)
	if err != nil {
		return err
	}
	byUUID := make(map[string]int64, len(old))
	stale := map[int64]bool{}
	for _, r := range old {
		byUUID[r.UUID] = r.ID
		stale[r.ID] = true // also the second of two with one UUID
	}
	for _, r := range c.Rules {
		r.ID, r.ProjectID = byUUID[r.UUID], p.ProjectID
		delete(stale, r.ID)
		if err := s.saveCachedRule(ctx, p, &r, c.UpdatedAt, nonZero(r.Factor), true); err != nil {
			return err
		}
		byUUID[r.UUID] = r.ID
		if err := s.importItems(ctx, p, &r, c.UpdatedAt); err != nil {
			return err
		}
	}
	for ruleID := range stale {
		if err := s.deleteCachedRule(ctx, p.ProjectID, ruleID); err != nil {
			return err
		}
	}
	return nil
}

// saveCachedRule inserts or updates the row of an imported rule. With recount its items are no longer counted.
func (s *Store) saveCachedRule(ctx context.Context, p *protection.RulePackage, r *protection.Rule, updatedAt time.Time, factor any, recount bool) error {
	var description any = r.Description
	if r.NoDescription {
		description = nil
	}
	columns := []string{"rule_package_cache_id", "project_id", "uuid", "name", "description", "type", "spam_rating_factor", "updated_at"}
	values := []any{p.Cache.ID, p.ProjectID, r.UUID, r.Name, description, string(r.Type), factor, s.stampOrNull(updatedAt)}
	if recount {
		columns, values = append(columns, "number_of_items"), append(values, nil)
	}
	saved := r.ID
	err := s.b.write(ctx, "save package rule", func(ctx context.Context, q querier) (err error) {
		saved, err = save(ctx, q, "rule_package_rule_cache", columns, values, r.ID, p.ProjectID)
		return err
	})
	if err == nil {
		r.ID = saved
	}
	return err
}

// nonZero is how the import of a whole package stores a factor: 0 as none, which counts as 1. A batch stores 0. So does PHP.
func nonZero(f protection.Factor) any {
	if f.Value == 0 {
		return nil
	}
	return factorValue(f)
}

var cachedItemColumns = []string{"rule_package_rule_cache_id", "project_id", "uuid", "type", "value", "spam_rating_factor", "prepared_value", "hashed_value", "updated_at"}

func (s *Store) cachedItem(p *protection.RulePackage, ruleID int64, i *protection.RuleItem, updatedAt time.Time, rating any) []any {
	return []any{ruleID, p.ProjectID, i.UUID, string(i.Type), i.Value, rating, i.Prepared, i.Hashed, s.stampOrNull(updatedAt)}
}

// importItems makes the items of an imported rule equal to r.Items.
func (s *Store) importItems(ctx context.Context, p *protection.RulePackage, r *protection.Rule, updatedAt time.Time) error {
	old, _, err := s.PackageItems(ctx, p, r.ID, 0, 1<<31-1)
	if err != nil {
		return err
	}
	byUUID := make(map[string]*protection.RuleItem, len(old))
	for i := range old {
		byUUID[old[i].UUID] = &old[i]
	}
	var fresh [][]any
	var touched []int64
	var changed []protection.RuleItem
	kept := make(map[int64]bool, len(old))
	for i := range r.Items {
		item := r.Items[i]
		was := byUUID[item.UUID]
		switch {
		case was == nil:
			fresh = append(fresh, s.cachedItem(p, r.ID, &item, updatedAt, nonZero(item.Rating)))
			continue
		case kept[was.ID]: // listed twice: the last one counts
			item.ID = was.ID
			changed = append(changed, item)
		case was.Type == item.Type && was.Value == item.Value && was.Rating.Value == item.Rating.Value && was.Rating.Set == (item.Rating.Value != 0) && was.Hashed == item.Hashed && was.Prepared == item.Prepared:
			touched = append(touched, was.ID)
		default:
			item.ID = was.ID
			changed = append(changed, item)
		}
		kept[was.ID] = true
	}
	var gone []int64
	for i := range old {
		if !kept[old[i].ID] {
			gone = append(gone, old[i].ID)
		}
	}
	if err := s.deleteByID(ctx, "rule_package_rule_item_cache", p.ProjectID, gone); err != nil {
		return err
	}
	if err := s.touchItems(ctx, touched, updatedAt); err != nil {
		return err
	}
	if err := s.changeItems(ctx, p, r.ID, changed, updatedAt); err != nil {
		return err
	}
	return s.insertRows(ctx, "add package items", "rule_package_rule_item_cache", cachedItemColumns, fresh, func(ctx context.Context, q querier) error {
		return exists(ctx, q, "rule_package_rule_cache", r.ID, p.ProjectID)
	})
}

// touchItems marks items as seen: PHP deletes those that are older than their rule.
func (s *Store) touchItems(ctx context.Context, ids []int64, updatedAt time.Time) error {
	for len(ids) > 0 {
		n := min(len(ids), 1024)
		in, args := inList(ids[:n])
		if _, err := s.exec(ctx, "touch package items", "UPDATE `rule_package_rule_item_cache` SET `updated_at` = ? WHERE `id` IN "+in, append([]any{s.stampOrNull(updatedAt)}, args...)...); err != nil {
			return err
		}
		ids = ids[n:]
	}
	return nil
}

func (s *Store) changeItems(ctx context.Context, p *protection.RulePackage, ruleID int64, items []protection.RuleItem, updatedAt time.Time) error {
	for len(items) > 0 {
		n := min(len(items), 256)
		err := s.b.write(ctx, "change package items", func(ctx context.Context, q querier) error {
			for i := range items[:n] {
				if _, err := q.exec(ctx, updateOf("rule_package_rule_item_cache", cachedItemColumns)+" WHERE `id` = ?",
					append(s.cachedItem(p, ruleID, &items[i], updatedAt, nonZero(items[i].Rating)), items[i].ID)...); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		items = items[n:]
	}
	return nil
}

// StorePackageRule inserts or, by its UUID, updates an imported rule without its items, and sets its ID.
func (s *Store) StorePackageRule(ctx context.Context, p *protection.RulePackage, r *protection.Rule) error {
	n, err := s.cachedRuleID(ctx, p, r.UUID)
	if err != nil && !protection.Is(err, protection.CodeNotFound) {
		return err
	}
	r.ID = n
	return s.saveCachedRule(ctx, p, r, p.Cache.UpdatedAt, factorValue(r.Factor), false)
}

// cachedRuleID is the id of an imported rule, CodeNotFound if there is none or the package was never imported.
func (s *Store) cachedRuleID(ctx context.Context, p *protection.RulePackage, uuid string) (n int64, err error) {
	if p.Cache == nil {
		return 0, protection.Errorf(protection.CodeNotFound, "rule package %d was never imported", p.ID)
	}
	err = s.b.read(ctx, "read package rule", func(ctx context.Context, q querier) error {
		return notFound(q.row(ctx, "SELECT `id` FROM `rule_package_rule_cache` WHERE `rule_package_cache_id` = ? AND `project_id` = ? AND `uuid` = ? ORDER BY `id` LIMIT 1",
			p.Cache.ID, p.ProjectID, uuid).Scan(&n), "package rule")
	})
	return n, err
}

// StorePackageItem inserts or, by its UUID, updates an item of the imported rule with ruleUUID, and sets its ID. It is
// CodeNotFound if there is no such rule.
func (s *Store) StorePackageItem(ctx context.Context, p *protection.RulePackage, ruleUUID string, i *protection.RuleItem) error {
	ruleID, err := s.cachedRuleID(ctx, p, ruleUUID)
	if err != nil {
		return err
	}
	var saved int64
	err = s.b.write(ctx, "store package item", func(ctx context.Context, q querier) error {
		saved = 0
		err := q.row(ctx, "SELECT `id` FROM `rule_package_rule_item_cache` WHERE `rule_package_rule_cache_id` = ? AND `project_id` = ? AND `uuid` = ? ORDER BY `id` LIMIT 1",
			ruleID, p.ProjectID, i.UUID).Scan(&saved)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		saved, err = save(ctx, q, "rule_package_rule_item_cache", cachedItemColumns, s.cachedItem(p, ruleID, i, p.Cache.UpdatedAt, factorValue(i.Rating)), saved, p.ProjectID)
		if err == nil {
			_, err = q.exec(ctx, "UPDATE `rule_package_rule_cache` SET `number_of_items` = NULL, `updated_at` = ? WHERE `id` = ?", s.stampOrNull(p.Cache.UpdatedAt), ruleID)
		}
		return err
	})
	if err == nil {
		i.ID, i.RuleID = saved, ruleID
	}
	return err
}

// RemovePackageRule removes an imported rule by its id. It is CodeConflict while the rule has items.
func (s *Store) RemovePackageRule(ctx context.Context, p *protection.RulePackage, ruleID int64) error {
	if p.Cache == nil {
		return nil
	}
	_, err := s.exec(ctx, "remove package rule", "DELETE FROM `rule_package_rule_cache` WHERE `id` = ? AND `project_id` = ? AND `rule_package_cache_id` = ?", ruleID, p.ProjectID, p.Cache.ID)
	return err
}

// RemovePackageItem removes an imported item by its id.
func (s *Store) RemovePackageItem(ctx context.Context, p *protection.RulePackage, itemID int64) error {
	if p.Cache == nil {
		return nil
	}
	_, err := s.exec(ctx, "remove package item", "DELETE FROM `rule_package_rule_item_cache` WHERE `id` = ? AND `project_id` = ? AND `rule_package_rule_cache_id` IN "+
		"(SELECT `id` FROM `rule_package_rule_cache` WHERE `rule_package_cache_id` = ?)", itemID, p.ProjectID, p.Cache.ID)
	return err
}
