package store

import (
	"context"
	"strings"
)

// inspect reads the tables, columns and migrations that the database holds.
func inspect(ctx context.Context, q querier, d dialect) (found, error) {
	query := "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = DATABASE()"
	if d == dialectSQLite {
		query = "SELECT m.name, p.name FROM sqlite_master m, pragma_table_info(m.name) p WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
	}
	f := found{columns: map[string][]string{}}
	rows, err := q.query(ctx, query)
	if err != nil {
		return f, err
	}
	defer rows.Close()
	for rows.Next() {
		var table, column string
		if err := rows.Scan(&table, &column); err != nil {
			return f, err
		}
		table = strings.ToLower(table)
		f.columns[table] = append(f.columns[table], strings.ToLower(column))
	}
	if err := rows.Err(); err != nil {
		return f, err
	}
	if _, ok := f.columns["doctrine_migration_versions"]; !ok {
		return f, nil
	}
	f.versions, err = column1(ctx, q, "SELECT version FROM doctrine_migration_versions")
	return f, err
}

// column1 reads a list of texts.
func column1(ctx context.Context, q querier, query string, args ...any) ([]string, error) {
	rows, err := q.query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, rows.Err()
}
