package store

import (
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/php"
)

const (
	datetimeFormat = "2006-01-02 15:04:05"
	dateFormat     = "2006-01-02"
)

// stamp is t as a column of type datetime holds it.
func (s *Store) stamp(t time.Time) string { return t.In(s.o.Location).Format(datetimeFormat) }

// stampOrNull is NULL for the zero time.
func (s *Store) stampOrNull(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return s.stamp(t)
}

func (s *Store) day(t time.Time) string { return t.In(s.o.Location).Format(dateFormat) }

// timeInto scans a date or datetime column into dest; NULL is the zero time.
func (s *Store) timeInto(dest *time.Time) sql.Scanner { return &timeScanner{dest, s.o.Location} }

type timeScanner struct {
	dest *time.Time
	loc  *time.Location
}

// Scan takes text, which MySQL and SQLite send, and the time that SQLite's driver makes of it, in a zone it made up.
func (s *timeScanner) Scan(src any) error {
	var text string
	switch v := src.(type) {
	case nil:
		*s.dest = time.Time{}
		return nil
	case time.Time:
		*s.dest = time.Date(v.Year(), v.Month(), v.Day(), v.Hour(), v.Minute(), v.Second(), 0, s.loc)
		return nil
	case []byte:
		text = string(v)
	case string:
		text = v
	default:
		return fmt.Errorf("a %T is no time", src)
	}
	format := datetimeFormat
	if len(text) == len(dateFormat) {
		format = dateFormat
	}
	t, err := time.ParseInLocation(format, text, s.loc)
	if err != nil {
		return fmt.Errorf("read time: %w", err)
	}
	*s.dest = t
	return nil
}

// text scans a column that may be NULL, which is empty text.
type text struct{ dest *string }

func (t text) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*t.dest = ""
	case []byte:
		*t.dest = string(v)
	case string:
		*t.dest = v
	default:
		return fmt.Errorf("a %T is no text", src)
	}
	return nil
}

// textOrNull is NULL for empty text.
func textOrNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// nullable is s, or NULL for nothing at all.
func nullable(s string, none bool) any {
	if none {
		return nil
	}
	return s
}

// id scans an id column that may be NULL, which is 0.
type id struct{ dest *int64 }

func (i id) Scan(src any) error {
	var n sql.NullInt64
	err := n.Scan(src)
	*i.dest = n.Int64
	return err
}

func idOrNull(n int64) any {
	if n == 0 {
		return nil
	}
	return n
}

// tristate scans a boolean that may be NULL.
type tristate struct{ dest *protection.Tristate }

func (t tristate) Scan(src any) error {
	var b sql.NullBool
	if err := b.Scan(src); err != nil {
		return err
	}
	*t.dest = protection.Undecided
	if b.Valid {
		*t.dest = protection.Decided(b.Bool)
	}
	return nil
}

func tristateValue(t protection.Tristate) any {
	if t == protection.Undecided {
		return nil
	}
	return bit(t == protection.Yes)
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// factor scans a rating that may be NULL. SQLite keeps any text in such a column; it is read as PHP reads it, so that one
// broken row does not keep all rules of a project from being loaded.
type factor struct{ dest *protection.Factor }

func (f factor) Scan(src any) error {
	switch v := src.(type) {
	case string:
		src = php.Floatval(v)
	case []byte:
		src = php.Floatval(string(v))
	}
	var n sql.NullFloat64
	if err := n.Scan(src); err != nil {
		return err
	}
	*f.dest = protection.Factor{Value: n.Float64, Set: n.Valid}
	return nil
}

func factorValue(f protection.Factor) any {
	if !f.Set {
		return nil
	}
	return php.Round14(f.Value)
}

// jsonColumn scans a column of type json; NULL is null.
type jsonColumn struct{ dest *php.Value }

func (j jsonColumn) Scan(src any) error {
	var raw string
	if err := (text{&raw}).Scan(src); err != nil || raw == "" {
		*j.dest = php.Null
		return err
	}
	v, err := php.DecodeJSON(raw)
	if err != nil {
		return fmt.Errorf("read JSON column: %w", err)
	}
	*j.dest = v
	return nil
}

// jsonText is v as PHP writes it into a json column: null is NULL, floats keep a fraction.
func jsonText(v php.Value) (any, error) {
	if v.IsNull() {
		return nil, nil
	}
	t, err := php.EncodeJSON(v, php.PreserveZeroFraction)
	if err != nil {
		return nil, protection.Errorf(protection.CodeInvalid, "write JSON column: %w", err)
	}
	return t, nil
}

// jsonArray is v as text of a column that may not be NULL: null is the empty array.
func jsonArray(v php.Value) (string, error) {
	if !v.Truthy() {
		return "[]", nil
	}
	t, err := jsonText(v)
	if err != nil {
		return "", err
	}
	return t.(string), nil
}

// jsonStrings scans a JSON list into texts; members that are no scalars are left out.
type jsonStrings struct{ dest *[]string }

func (j jsonStrings) Scan(src any) error {
	var v php.Value
	if err := (jsonColumn{&v}).Scan(src); err != nil {
		return err
	}
	*j.dest = stringsOf(v)
	return nil
}

func stringsOf(v php.Value) []string {
	var out []string
	for m := range v.Array().Values() {
		if t, ok := m.Text(); ok {
			out = append(out, t)
		}
	}
	return out
}

// notFound turns "no rows" into CodeNotFound.
func notFound(err error, what string) error {
	if errors.Is(err, sql.ErrNoRows) {
		return protection.Errorf(protection.CodeNotFound, "%s not found", what)
	}
	return err
}
