package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/php"
)

const projectColumns = "p.`id`, p.`project_group_id`, p.`uuid`, p.`name`, p.`description`, p.`hosts`, p.`public_key`, p.`private_key`, p.`status`, " +
	"p.`spam_score`, p.`api_debug_mode`, p.`verification_simulation_mode`, p.`statistic_storage_limit`, p.`language_source`, " +
	"p.`metadata_allowed`, p.`metadata_returned`, p.`spam_data_returned`, p.`silent_mode_enabled`"

func (s *Store) scanProject(row rower) (*protection.Project, error) {
	p := new(protection.Project)
	var hosts, key string
	var source int
	err := row.Scan(&p.ID, id{&p.GroupID}, &p.UUID, &p.Name, text{&p.Description}, text{&hosts}, &p.PublicKey, &key, &p.Active, &p.SpamScore,
		&p.APIDebugMode, &p.VerificationSimulationMode, &p.StatisticStorageLimit, &source, &p.MetadataAllowed, &p.MetadataReturned,
		&p.SpamDataReturned, &p.SilentMode)
	if err != nil {
		return nil, err
	}
	p.LanguageSource = protection.LanguageSource(source)
	if p.PrivateKey, err = s.o.Key.Decrypt(key); err != nil {
		return nil, fmt.Errorf("project %d: private key: %w", p.ID, err)
	}
	if hosts != "" {
		list, err := php.Unserialize(hosts)
		if err != nil {
			return nil, fmt.Errorf("project %d: hosts: %w", p.ID, err)
		}
		p.Hosts = stringsOf(list)
	}
	return p, nil
}

// ProjectByPublicKey is the project with exactly this public key and its settings, CodeNotFound if there is none.
func (s *Store) ProjectByPublicKey(ctx context.Context, key string) (*protection.Project, error) {
	p, err := s.project(ctx, "p.`public_key` = ?", key)
	if err == nil && p.PublicKey != key { // MySQL's collation found another
		err = protection.Errorf(protection.CodeNotFound, "project not found")
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

// ProjectByUUID is the project with this UUID.
func (s *Store) ProjectByUUID(ctx context.Context, uuid string) (*protection.Project, error) {
	return s.project(ctx, "p.`uuid` = ?", uuid)
}

// ProjectByID is the project with this id.
func (s *Store) ProjectByID(ctx context.Context, projectID int64) (*protection.Project, error) {
	return s.project(ctx, "p.`id` = ?", projectID)
}

func (s *Store) project(ctx context.Context, where string, arg any) (p *protection.Project, err error) {
	err = s.b.read(ctx, "read project", func(ctx context.Context, q querier) error {
		p, err = s.scanProject(q.row(ctx, "SELECT "+projectColumns+" FROM `project` p WHERE "+where+" ORDER BY p.`id` LIMIT 1", arg))
		if err != nil {
			return notFound(err, "project")
		}
		settings, err := projectSettings(ctx, q, "WHERE `project_id` = ?", p.ID)
		p.Settings = settings[p.ID]
		return err
	})
	return p, err
}

// Projects are all projects with their settings, by id.
func (s *Store) Projects(ctx context.Context) (list []protection.Project, err error) {
	err = s.b.read(ctx, "read projects", func(ctx context.Context, q querier) error {
		list = nil
		rows, err := q.query(ctx, "SELECT "+projectColumns+" FROM `project` p ORDER BY p.`id`")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			p, err := s.scanProject(rows)
			if err != nil {
				return err
			}
			list = append(list, *p)
		}
		if err := rows.Err(); err != nil {
			return err
		}
		settings, err := projectSettings(ctx, q, "")
		for i := range list {
			list[i].Settings = settings[list[i].ID]
		}
		return err
	})
	return list, err
}

// projectSettings reads stored settings by project. Of several rows of one name the first counts; a value that cannot be
// read is left out, so that its default holds.
func projectSettings(ctx context.Context, q querier, where string, args ...any) (map[int64]protection.Settings, error) {
	rows, err := q.query(ctx, "SELECT `project_id`, `name`, `value` FROM `project_config_value` "+where+" ORDER BY `id`", args...)
	if err != nil {
		return nil, err
	}
	return collectSettings(rows, php.Unserialize)
}

// settingsIn reads the settings of all that belong to a project and keep them as JSON, by the id of their owner.
func settingsIn(ctx context.Context, q querier, table, owner string, projectID int64) (map[int64]protection.Settings, error) {
	rows, err := q.query(ctx, "SELECT `"+owner+"`, `name`, `value` FROM `"+table+"` WHERE `project_id` = ? ORDER BY `id`", projectID)
	if err != nil {
		return nil, err
	}
	return collectSettings(rows, php.DecodeJSON)
}

func collectSettings(rows *sql.Rows, read func(string) (php.Value, error)) (map[int64]protection.Settings, error) {
	defer rows.Close()
	all := map[int64]protection.Settings{}
	for rows.Next() {
		var owner int64
		var name, raw string
		if err := rows.Scan(&owner, &name, text{&raw}); err != nil {
			return nil, err
		}
		if all[owner] == nil {
			all[owner] = protection.Settings{}
		}
		if _, twice := all[owner][name]; twice {
			continue
		}
		if v, err := read(raw); err == nil && !v.IsNull() {
			all[owner][name] = v
		}
	}
	return all, rows.Err()
}

func (s *Store) projectValues(p *protection.Project) []any {
	return []any{idOrNull(p.GroupID), p.UUID, p.Name, textOrNull(p.Description), php.Serialize(php.Strings(p.Hosts...)), p.PublicKey,
		s.o.Key.Encrypt(p.PrivateKey), bit(p.Active), php.Round14(p.SpamScore), bit(p.APIDebugMode), bit(p.VerificationSimulationMode),
		p.StatisticStorageLimit, int(p.LanguageSource), bit(p.MetadataAllowed), bit(p.MetadataReturned), bit(p.SpamDataReturned), bit(p.SilentMode)}
}

var projectWritten = []string{"project_group_id", "uuid", "name", "description", "hosts", "public_key", "private_key", "status", "spam_score",
	"api_debug_mode", "verification_simulation_mode", "statistic_storage_limit", "language_source", "metadata_allowed", "metadata_returned",
	"spam_data_returned", "silent_mode_enabled"}

func insertInto(table string, columns []string) string {
	return "INSERT INTO " + quote(table) + " (" + quoteAll(columns) + ") VALUES (?" + strings.Repeat(", ?", len(columns)-1) + ")"
}

func updateOf(table string, columns []string) string {
	sets := make([]string, len(columns))
	for i, c := range columns {
		sets[i] = quote(c) + " = ?"
	}
	return "UPDATE " + quote(table) + " SET " + strings.Join(sets, ", ")
}

// CreateProject inserts p with its settings and sets its ID. The caller made uuid and keys. A public key or UUID that is
// taken is CodeConflict.
func (s *Store) CreateProject(ctx context.Context, p *protection.Project) error {
	var made int64
	err := s.b.write(ctx, "create project", func(ctx context.Context, q querier) error {
		var n int
		if err := q.row(ctx, "SELECT COUNT(*) FROM `project` WHERE `public_key` = ? OR `uuid` = ?", p.PublicKey, p.UUID).Scan(&n); err != nil {
			return err
		}
		if n > 0 {
			return protection.Errorf(protection.CodeConflict, "a project with this public key or UUID exists")
		}
		res, err := q.exec(ctx, insertInto("project", projectWritten), s.projectValues(p)...)
		if err != nil {
			return err
		}
		if made, err = res.LastInsertId(); err != nil {
			return err
		}
		return writeSettings(ctx, q, made, p.Settings)
	})
	if err == nil {
		p.ID = made
	}
	return err
}

// UpdateProject writes all fields of p and its settings.
func (s *Store) UpdateProject(ctx context.Context, p *protection.Project) error {
	return s.b.write(ctx, "update project", func(ctx context.Context, q querier) error {
		if err := exists(ctx, q, "project", p.ID, p.ID); err != nil {
			return err
		}
		if _, err := q.exec(ctx, updateOf("project", projectWritten)+" WHERE `id` = ?", append(s.projectValues(p), p.ID)...); err != nil {
			return err
		}
		return writeSettings(ctx, q, p.ID, p.Settings)
	})
}

// exists fails with CodeNotFound if table has no row with this id in the project.
func exists(ctx context.Context, q querier, table string, rowID, projectID int64) error {
	query, args := "SELECT `id` FROM "+quote(table)+" WHERE `id` = ?", []any{rowID}
	if table != "project" {
		query += " AND `project_id` = ?"
		args = append(args, projectID)
	}
	var found int64
	return notFound(q.row(ctx, query, args...).Scan(&found), strings.ReplaceAll(table, "_", " "))
}

// writeSettings makes the stored settings of a project equal to settings, touching only rows that differ. Null is removed.
func writeSettings(ctx context.Context, q querier, projectID int64, settings protection.Settings) error {
	old, err := projectSettings(ctx, q, "WHERE `project_id` = ?", projectID)
	if err != nil {
		return err
	}
	for _, name := range sortedNames(settings, old[projectID]) {
		now := settings[name]
		if !now.IsNull() && now.Identical(old[projectID][name]) {
			continue
		}
		if _, err := q.exec(ctx, "DELETE FROM `project_config_value` WHERE `project_id` = ? AND `name` = ?", projectID, name); err != nil {
			return err
		}
		if now.IsNull() {
			continue
		}
		if _, err := q.exec(ctx, "INSERT INTO `project_config_value` (`project_id`, `name`, `value`) VALUES (?, ?, ?)", projectID, name, php.Serialize(now)); err != nil {
			return err
		}
	}
	return nil
}

func sortedNames(sets ...protection.Settings) []string {
	var names []string
	for _, s := range sets {
		for n := range s {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// DeleteProject deletes a project with everything in it. Delays and lockouts, which belong to no project, stay.
func (s *Store) DeleteProject(ctx context.Context, projectID int64) error {
	return s.b.write(ctx, "delete project", func(ctx context.Context, q querier) error {
		if err := exists(ctx, q, "project", projectID, projectID); err != nil {
			return err
		}
		if _, err := q.exec(ctx, "UPDATE `submit_token` SET `last_submission_id` = NULL WHERE `project_id` = ?", projectID); err != nil {
			return err
		}
		for _, table := range []string{
			"detection_result", "submission", "partial_submission", "submit_token", "day_statistic", "rule_package_processing_job",
			"rule_package_rule_item_cache", "rule_package_rule_cache", "rule_package_cache", "rule_package", "rule_item", "rule",
			"submission_rule_config_value", "submission_rule", "security_guideline_config_value", "security_guideline", "translation",
			"project_member", "project_config_value",
		} {
			if _, err := q.exec(ctx, "DELETE FROM "+quote(table)+" WHERE `project_id` = ?", projectID); err != nil {
				return err
			}
		}
		_, err := q.exec(ctx, "DELETE FROM `project` WHERE `id` = ?", projectID)
		return err
	})
}
