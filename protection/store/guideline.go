package store

import (
	"context"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/php"
)

// Guidelines are the security guidelines of a project, the highest priority first, equal ones by id.
func (s *Store) Guidelines(ctx context.Context, projectID int64) (list []protection.Guideline, err error) {
	err = s.b.read(ctx, "read guidelines", func(ctx context.Context, q querier) error {
		list = nil
		rows, err := q.query(ctx, "SELECT `id`, `uuid`, `name`, `description`, `priority`, `subnets`, `country_codes`, `as_numbers`, `form_page_urls`, "+
			"`form_action_urls`, `form_ids` FROM `security_guideline` WHERE `project_id` = ? ORDER BY `priority` DESC, `id`", projectID)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			g := protection.Guideline{ProjectID: projectID}
			if err := rows.Scan(&g.ID, &g.UUID, &g.Name, text{&g.Description}, &g.Priority, jsonStrings{&g.Subnets}, jsonStrings{&g.CountryCodes},
				jsonStrings{&g.ASNumbers}, jsonStrings{&g.FormPageURLs}, jsonStrings{&g.FormActionURLs}, jsonStrings{&g.FormIDs}); err != nil {
				return err
			}
			list = append(list, g)
		}
		if err := rows.Err(); err != nil || len(list) == 0 {
			return err
		}
		settings, err := settingsIn(ctx, q, "security_guideline_config_value", "security_guideline_id", projectID)
		for i := range list {
			list[i].Settings = settings[list[i].ID]
		}
		return err
	})
	return list, err
}

var guidelineWritten = []string{"project_id", "uuid", "name", "description", "priority", "subnets", "country_codes", "as_numbers", "form_page_urls",
	"form_action_urls", "form_ids"}

// SaveGuideline inserts g with its settings, or replaces all of it if it has an ID, and sets its ID.
func (s *Store) SaveGuideline(ctx context.Context, g *protection.Guideline) error {
	values := []any{g.ProjectID, g.UUID, g.Name, textOrNull(g.Description), g.Priority}
	for _, list := range [][]string{g.Subnets, g.CountryCodes, g.ASNumbers, g.FormPageURLs, g.FormActionURLs, g.FormIDs} {
		t, err := jsonArray(php.Strings(list...))
		if err != nil {
			return wrap("save guideline", err)
		}
		values = append(values, t)
	}
	saved := g.ID
	err := s.b.write(ctx, "save guideline", func(ctx context.Context, q querier) (err error) {
		if saved, err = save(ctx, q, "security_guideline", guidelineWritten, values, g.ID, g.ProjectID); err != nil {
			return err
		}
		return jsonSettings(ctx, q, "security_guideline", saved, g.ProjectID, g.Settings)
	})
	if err == nil {
		g.ID = saved
	}
	return err
}

// save inserts a row, or updates it if it has an id already, which must be of the project.
func save(ctx context.Context, q querier, table string, columns []string, values []any, rowID, projectID int64) (int64, error) {
	if rowID == 0 {
		res, err := q.exec(ctx, insertInto(table, columns), values...)
		if err != nil {
			return 0, err
		}
		return res.LastInsertId()
	}
	if err := exists(ctx, q, table, rowID, projectID); err != nil {
		return 0, err
	}
	_, err := q.exec(ctx, updateOf(table, columns)+" WHERE `id` = ? AND `project_id` = ?", append(values[:len(values):len(values)], rowID, projectID)...)
	return rowID, err
}

// jsonSettings replaces the settings of a row whose settings are kept as plain JSON.
func jsonSettings(ctx context.Context, q querier, owner string, ownerID, projectID int64, settings protection.Settings) error {
	table, column := owner+"_config_value", owner+"_id"
	if _, err := q.exec(ctx, "DELETE FROM "+quote(table)+" WHERE "+quote(column)+" = ? AND `project_id` = ?", ownerID, projectID); err != nil {
		return err
	}
	for _, name := range sortedNames(settings) {
		v, err := jsonText(settings[name])
		if err != nil {
			return err
		}
		if _, err := q.exec(ctx, insertInto(table, []string{column, "project_id", "name", "value"}), ownerID, projectID, name, v); err != nil {
			return err
		}
	}
	return nil
}

// DeleteGuideline deletes a guideline of a project and its settings.
func (s *Store) DeleteGuideline(ctx context.Context, projectID, guidelineID int64) error {
	return s.deleteWith(ctx, "security_guideline", projectID, guidelineID)
}

// deleteWith deletes a row and what refers to it: its settings, or the items of a rule.
func (s *Store) deleteWith(ctx context.Context, table string, projectID, rowID int64) error {
	children, column := table+"_config_value", table+"_id"
	if table == "rule" {
		children = "rule_item"
	}
	return s.b.write(ctx, "delete "+table, func(ctx context.Context, q querier) error {
		if err := exists(ctx, q, table, rowID, projectID); err != nil {
			return err
		}
		if _, err := q.exec(ctx, "DELETE FROM "+quote(children)+" WHERE "+quote(column)+" = ? AND `project_id` = ?", rowID, projectID); err != nil {
			return err
		}
		_, err := q.exec(ctx, "DELETE FROM "+quote(table)+" WHERE `id` = ? AND `project_id` = ?", rowID, projectID)
		return err
	})
}

// Translations are a project's own message texts, by id.
func (s *Store) Translations(ctx context.Context, projectID int64) (list []protection.Translation, err error) {
	err = s.b.read(ctx, "read translations", func(ctx context.Context, q querier) error {
		list = nil
		rows, err := q.query(ctx, "SELECT `id`, `translation_key`, `locale`, `text` FROM `translation` WHERE `project_id` = ? ORDER BY `id`", projectID)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			t := protection.Translation{ProjectID: projectID}
			if err := rows.Scan(&t.ID, &t.Key, &t.Locale, &t.Text); err != nil {
				return err
			}
			list = append(list, t)
		}
		return rows.Err()
	})
	return list, err
}

// SetTranslation replaces a project's own text of a message in a locale; empty text removes it.
func (s *Store) SetTranslation(ctx context.Context, t protection.Translation) error {
	return s.b.write(ctx, "set translation", func(ctx context.Context, q querier) error {
		if _, err := q.exec(ctx, "DELETE FROM `translation` WHERE `project_id` = ? AND `translation_key` = ? AND `locale` = ?", t.ProjectID, int(t.Key), t.Locale); err != nil || t.Text == "" {
			return err
		}
		_, err := q.exec(ctx, insertInto("translation", []string{"project_id", "translation_key", "locale", "text"}), t.ProjectID, int(t.Key), t.Locale, t.Text)
		return err
	})
}
