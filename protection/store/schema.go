package store

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mosparoctl/mosparoctl/protection"
)

// SchemaVersion is the version of mosparo whose schema this package speaks.
const SchemaVersion = "1.5.4"

type kind int

// The kinds of columns. Each dialect has a type for it.
const (
	kindID kind = iota // auto-increment primary key
	kindInt
	kindUint
	kindSmallint
	kindBool
	kindDouble
	kindDatetime
	kindDate
	kindJSON
	kindText
	kindBlob
	kindUUID
	kindVarchar
	kindVarbinary
)

type column struct {
	name string
	kind kind
	size int
	null bool
	def  string
}

type index struct {
	name    string
	columns []string
	unique  bool
}

type foreignKey struct {
	name    string
	column  string
	table   string // its id is referenced
	cascade bool
}

type table struct {
	name      string
	key       string
	collation string // of MySQL, empty for utf8mb4_unicode_ci
	columns   []column
	indexes   []index
	foreign   []foreignKey
}

// migrations lists what PHP's migration library must find in doctrine_migration_versions to call a schema up to date.
func migrations(d dialect) []string {
	stamps := `20220616122832 20220813084402 20220828085833 20230331111545 20230518124634 20230521093341 20230523173704
		20230623044735 20231115183633 20231120165547 20231122143647 20240212181600 20240218182953 20240328185504 20240827173729
		20240908170826 20240922173821 20250410171444 20250420080757 20250427170020 20250629155949 20250630100733 20251012073350
		20251117111233 20251221085044 20251221190529 20260117181852 20260215081044 20260305183353 20260308105809 20260314093449
		20260314184349 20260317182917 20260326190248 20260406155235`
	if d == dialectSQLite {
		stamps = `20240818152021 20240818152141 20240827173742 20240908170842 20240922175756 20250410171430 20250424170755
		20250427173122 20250629155324 20250630100753 20251012075454 20251117111230 20251221085044 20251221190529 20260117181852
		20260215081044 20260305183353 20260308105809 20260314093449 20260314184350 20260317182918 20260326190248 20260406155235`
	}
	list := strings.Fields(stamps)
	for i, s := range list {
		list[i] = `DoctrineMigrations\Version` + s
	}
	return list
}

// shortVersion cuts the namespace off a migration's name.
func shortVersion(m string) string { return m[strings.LastIndexByte(m, '\\')+1:] }

func (c column) mysql() string {
	t := map[kind]string{
		kindID: "INT NOT NULL AUTO_INCREMENT", kindInt: "INT", kindUint: "INT UNSIGNED", kindSmallint: "SMALLINT", kindBool: "TINYINT(1)",
		kindDouble: "DOUBLE PRECISION", kindDatetime: "DATETIME", kindDate: "DATE", kindJSON: "JSON", kindText: "LONGTEXT", kindBlob: "BLOB",
		kindUUID: "CHAR(36)", kindVarchar: fmt.Sprintf("VARCHAR(%d)", c.size), kindVarbinary: fmt.Sprintf("VARBINARY(%d)", c.size),
	}[c.kind]
	return c.define(t)
}

func (c column) sqlite() string {
	t := map[kind]string{
		kindID: "INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL", kindInt: "INTEGER", kindUint: "INTEGER", kindSmallint: "SMALLINT", kindBool: "BOOLEAN",
		kindDouble: "DOUBLE PRECISION", kindDatetime: "DATETIME", kindDate: "DATE", kindJSON: "CLOB", kindText: "CLOB", kindBlob: "BLOB",
		kindUUID: "CHAR(36)", kindVarchar: fmt.Sprintf("VARCHAR(%d)", c.size), kindVarbinary: fmt.Sprintf("VARCHAR(%d)", c.size),
	}[c.kind]
	return c.define(t)
}

func (c column) define(t string) string {
	s := quote(c.name) + " " + t
	if c.kind == kindID {
		return s
	}
	if c.def != "" {
		s += " DEFAULT " + c.def
	}
	if !c.null {
		return s + " NOT NULL"
	}
	if c.def == "" {
		s += " DEFAULT NULL"
	}
	return s
}

// quote quotes an identifier; SQLite accepts MySQL's way.
func quote(name string) string { return "`" + name + "`" }

func quoteAll(names []string) string {
	q := make([]string, len(names))
	for i, n := range names {
		q[i] = quote(n)
	}
	return strings.Join(q, ", ")
}

func (f foreignKey) ddl() string {
	s := fmt.Sprintf("CONSTRAINT %s FOREIGN KEY (%s) REFERENCES %s (`id`)", quote(f.name), quote(f.column), quote(f.table))
	if f.cascade {
		s += " ON DELETE CASCADE"
	}
	return s
}

// ddl are the statements that make t.
func (t table) ddl(d dialect) []string {
	var lines, after []string
	for _, c := range t.columns {
		if d == dialectSQLite {
			lines = append(lines, c.sqlite())
		} else {
			lines = append(lines, c.mysql())
		}
	}
	if d == dialectMySQL || !slices.ContainsFunc(t.columns, func(c column) bool { return c.kind == kindID }) {
		lines = append(lines, "PRIMARY KEY ("+quote(t.key)+")")
	}
	for _, i := range t.indexes {
		unique := ""
		if i.unique {
			unique = "UNIQUE "
		}
		if d == dialectMySQL {
			lines = append(lines, fmt.Sprintf("%sINDEX %s (%s)", unique, quote(i.name), quoteAll(i.columns)))
		} else {
			after = append(after, fmt.Sprintf("CREATE %sINDEX %s ON %s (%s)", unique, quote(i.name), quote(t.name), quoteAll(i.columns)))
		}
	}
	for _, f := range t.foreign {
		lines = append(lines, f.ddl())
	}
	s := fmt.Sprintf("CREATE TABLE %s (\n  %s\n)", quote(t.name), strings.Join(lines, ",\n  "))
	if d == dialectMySQL {
		collation := t.collation
		if collation == "" {
			collation = "utf8mb4_unicode_ci"
		}
		s += " ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE " + collation
	}
	return append([]string{s}, after...)
}

// found is what a database holds.
type found struct {
	columns  map[string][]string // by table, in lower case
	versions []string            // of doctrine_migration_versions
}

// verdict compares what a database holds with the known schema: "empty", "known", or an error that names both versions.
func (f found) verdict(d dialect) (empty bool, err error) {
	if len(f.columns) == 0 {
		return true, nil
	}
	want := migrations(d)
	newest := want[len(want)-1]
	if _, ok := f.columns["doctrine_migration_versions"]; !ok {
		return false, schemaError("it holds %d tables, but none of mosparo's migrations (this program speaks mosparo %s, %s)",
			len(f.columns), SchemaVersion, shortVersion(newest)).WithHint("use an empty database, or that of a mosparo %s installation", SchemaVersion)
	}
	var extra, missing []string
	for _, v := range f.versions {
		if !slices.Contains(want, v) {
			extra = append(extra, shortVersion(v))
		}
	}
	for _, v := range want {
		if !slices.Contains(f.versions, v) {
			missing = append(missing, shortVersion(v))
		}
	}
	have := "none"
	if len(f.versions) > 0 {
		have = shortVersion(slices.MaxFunc(f.versions, func(a, b string) int { return strings.Compare(shortVersion(a), shortVersion(b)) }))
	}
	switch {
	case len(extra) > 0:
		return false, schemaError("its newest migration is %s, which is not part of mosparo %s (newest %s): another mosparo made it, this program does not know it",
			slices.Max(extra), SchemaVersion, shortVersion(newest)).WithHint("use a mosparoctl made for the mosparo version of your PHP nodes")
	case len(missing) > 0:
		return false, schemaError("its newest migration is %s, mosparo %s needs %s: %d are missing, the first is %s", have, SchemaVersion,
			shortVersion(newest), len(missing), missing[0]).WithHint("update mosparo to %s on a PHP node and run its migrations", SchemaVersion)
	}
	for _, t := range schemaTables() {
		have, ok := f.columns[t.name]
		if !ok {
			return false, schemaError("all migrations of mosparo %s are recorded, but table %s is missing", SchemaVersion, t.name)
		}
		for _, c := range t.columns {
			if !slices.Contains(have, strings.ToLower(c.name)) {
				return false, schemaError("all migrations of mosparo %s are recorded, but column %s.%s is missing", SchemaVersion, t.name, c.name)
			}
		}
	}
	return false, nil
}

func schemaError(format string, args ...any) *protection.Error {
	return protection.Errorf(protection.CodeSchema, "the database cannot be used: "+format, args...)
}
