// Package rulepackage reads the files that rule packages are made of, and fetches them from where they lie. What it fetches
// is hostile until proven otherwise: sizes are bounded, addresses of private networks are refused, the structure is checked.
package rulepackage

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"time"
	"unicode/utf8"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/php"
	"github.com/mosparoctl/mosparoctl/protection/rule"
	"github.com/mosparoctl/mosparoctl/protection/store"
)

// MaxContent bounds the content of a package, unpacked.
const MaxContent = 512 << 20

// maxMembers bounds the members of all objects and lists of a package, of which an item has five: decoded, a member of two
// bytes takes a hundred.
const maxMembers = 32 << 20

// The errors that mosparo's API tells apart; both are CodeInvalid.
var (
	errType    = protection.Errorf(protection.CodeInvalid, "Unknown rule package file type.")
	errMembers = protection.Errorf(protection.CodeInvalid, "the rule package has more than %d members in its objects and lists", maxMembers).
			WithHint("split it into several rule packages")
	errSchema = protection.Errorf(protection.CodeInvalid, "The rule package content is not valid against the schema.")
)

// Hash is the sha256 of a content, as its .sha256 file names it.
func Hash(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// Parse reads the content of a rule package: a JSON file, or a ZIP archive of several. loc is the time zone of times that
// name none. Every error is CodeInvalid.
func Parse(content []byte, loc *time.Location) (store.PackageContent, error) {
	trimmed := bytes.TrimLeft(content, " \t\r\n")
	switch {
	case bytes.HasPrefix(content, []byte("PK\x03\x04")):
		return parseArchive(content, loc)
	case len(trimmed) > 0 && (trimmed[0] == '{' || trimmed[0] == '['):
		if members(content) > maxMembers {
			return store.PackageContent{}, errMembers
		}
		v, err := php.DecodeJSON(string(content))
		if err != nil {
			return store.PackageContent{}, errType
		}
		return parsePackage(v, loc)
	}
	return store.PackageContent{}, errType
}

// members is at least the number of members that the objects and lists of a JSON text have.
func members(text []byte) int {
	n := 0
	for _, c := range []byte(",{[") {
		n += bytes.Count(text, []byte{c})
	}
	return n
}

func parsePackage(v php.Value, loc *time.Location) (c store.PackageContent, err error) {
	if c, err = head(v, loc, "rules"); err != nil {
		return c, err
	}
	if v.Get("rules").Len() == 0 || !v.Get("rules").Array().IsList() {
		return c, errSchema
	}
	for r := range v.Get("rules").Array().Values() {
		parsed, err := parseRule(r, true)
		if err != nil {
			return c, err
		}
		c.Rules = append(c.Rules, parsed)
	}
	return c, nil
}

// head reads what a package says about itself; more are its other members.
func head(v php.Value, loc *time.Location, more ...string) (c store.PackageContent, err error) {
	if !only(v, append(more, "lastUpdatedAt", "refreshInterval")...) {
		return c, errSchema
	}
	updated, ok := v.Get("lastUpdatedAt").Str()
	interval, isInterval := Interval(v.Get("refreshInterval"))
	if !ok || !isInterval {
		return c, errSchema
	}
	c.RefreshInterval = interval
	if c.UpdatedAt, ok = ParseTime(updated, loc); !ok {
		return c, errSchema
	}
	return c, nil
}

// Interval reads a refresh interval: a whole number of seconds, which may be negative or written as a fraction, within the
// bounds of its column.
func Interval(v php.Value) (time.Duration, bool) {
	seconds, ok := v.Float()
	if !ok || seconds != math.Trunc(seconds) || seconds < math.MinInt32 || seconds > math.MaxInt32 {
		return 0, false
	}
	return time.Duration(seconds) * time.Second, true
}

// ParseTime reads a time as rule packages write it, or else as PHP does, to which nothing is now.
func ParseTime(text string, loc *time.Location) (time.Time, bool) {
	now := time.Now().In(loc).Truncate(time.Second)
	if php.Trim(text) == "" {
		return now, true
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05-0700", "2006-01-02T15:04:05", "2006-01-02T15:04Z07:00", "2006-01-02 15:04:05Z07:00",
		"2006-01-02 15:04:05 Z07:00", "2006-01-02 15:04:05 -0700", time.DateTime, "2006-01-02 15:04", time.DateOnly, time.RFC1123Z} {
		if t, err := time.ParseInLocation(layout, text, loc); err == nil && t.Year() > 0 && t.Year() < 10000 {
			return t, true
		}
	}
	t, ok := php.ParseTime(text, now)
	return t, ok && t.Year() > 0 && t.Year() < 10000
}

// only reports whether v is an object that has no members but these.
func only(v php.Value, names ...string) bool {
	if v.Kind() != php.KindArray {
		return false
	}
	for k := range v.Array().All() {
		known := false
		for _, n := range names {
			known = known || k.String() == n
		}
		if !known {
			return false
		}
	}
	return true
}

func parseRule(v php.Value, withItems bool) (r protection.Rule, err error) {
	if !only(v, "name", "type", "items", "uuid", "description", "spamRatingFactor", "status") {
		return r, errSchema
	}
	r = protection.Rule{Active: true, NumberOfItems: -1}
	name, ok1 := text(v.Get("name"), maxName)
	kind, ok2 := text(v.Get("type"), maxRuleType) // a rule of a type that nobody knows finds nothing
	uuid, ok3 := text(v.Get("uuid"), maxUUID)
	if !ok1 || !ok2 || !ok3 {
		return r, errSchema
	}
	r.Name, r.Type, r.UUID = name, protection.RuleType(kind), uuid
	if d := v.Get("description"); !d.IsNull() {
		var ok bool
		if r.Description, ok = d.Str(); !ok {
			return r, errSchema
		}
	}
	if v.Array().Has("status") && v.Get("status").Kind() != php.KindBool { // it says nothing, but has a type
		return r, errSchema
	}
	if r.Factor, err = Number(v.Get("spamRatingFactor"), !v.Array().Has("spamRatingFactor")); err != nil {
		return r, err
	}
	if !withItems {
		return r, nil
	}
	if v.Get("items").Len() == 0 || !v.Get("items").Array().IsList() {
		return r, errSchema
	}
	for i := range v.Get("items").Array().Values() {
		item, err := parseItem(i, true)
		if err != nil {
			return r, err
		}
		r.Items = append(r.Items, item)
	}
	return r, nil
}

// The sizes of columns, in characters.
const (
	maxName     = 255
	maxRuleType = 30
	maxItemType = 50
	maxUUID     = 36
)

// text reads a text of at most so many characters.
func text(v php.Value, most int) (s string, ok bool) {
	s, ok = v.Str()
	return s, ok && utf8.RuneCountInString(s) <= most
}

// Number reads a factor or rating.
func Number(v php.Value, optional bool) (protection.Factor, error) {
	if v.IsNull() && optional {
		return protection.Factor{}, nil
	}
	f, ok := v.Float()
	if !ok || math.IsInf(f, 0) { // 1e400 is a number in JSON
		return protection.Factor{}, errSchema
	}
	return protection.NewFactor(f), nil
}

// ParseItem reads uuid, type, value and rating of an item.
func ParseItem(v php.Value) (protection.RuleItem, error) { return parseItem(v, false) }

// parseItem reads an item, which in a single file may have no rating.
func parseItem(v php.Value, unrated bool) (protection.RuleItem, error) {
	uuid, ok1 := text(v.Get("uuid"), maxUUID)
	kind, ok2 := text(v.Get("type"), maxItemType)
	value, ok3 := v.Get("value").Str()
	if !ok1 || !ok2 || !ok3 {
		return protection.RuleItem{}, errSchema
	}
	item, err := rule.NewItem(protection.ItemType(kind), value, 1)
	if err != nil {
		return item, err
	}
	item.UUID = uuid
	item.Rating, err = Number(v.Get("rating"), unrated && !v.Array().Has("rating"))
	return item, err
}

// archive reads the files of a ZIP archive within MaxContent and maxMembers.
type archive struct {
	files   *zip.Reader
	left    int64
	members int
}

func (a *archive) json(name string) (php.Value, error) {
	f, err := a.files.Open(name)
	if err != nil {
		return php.Null, protection.Errorf(protection.CodeInvalid, "the archive has no %s", name)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, a.left+1))
	if err != nil {
		return php.Null, protection.Errorf(protection.CodeInvalid, "read %s of the archive: %w", name, err)
	}
	if a.left -= int64(len(data)); a.left < 0 {
		return php.Null, protection.Errorf(protection.CodeInvalid, "the archive holds more than %d MB", MaxContent>>20)
	}
	if a.members += members(data); a.members > maxMembers {
		return php.Null, errMembers
	}
	v, err := php.DecodeJSON(string(data))
	if err != nil {
		return php.Null, protection.Errorf(protection.CodeInvalid, "read %s of the archive: %w", name, err)
	}
	return v, nil
}

func parseArchive(content []byte, loc *time.Location) (c store.PackageContent, err error) {
	z, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		return c, errType
	}
	a := &archive{files: z, left: MaxContent}
	v, err := a.json("rule-package.json")
	if err != nil {
		return c, err
	}
	if c, err = head(v, loc, "rFiles", "riFiles"); err != nil {
		return c, err
	}
	byUUID := map[string]int{}
	err = a.each(v.Get("rFiles"), func(r php.Value) error {
		parsed, err := parseRule(r, false)
		if err == nil {
			byUUID[parsed.UUID] = len(c.Rules)
			c.Rules = append(c.Rules, parsed)
		}
		return err
	})
	if err != nil {
		return c, err
	}
	return c, a.each(v.Get("riFiles"), func(i php.Value) error {
		item, err := ParseItem(i)
		if err != nil {
			return err
		}
		uuid, _ := i.Get("ruleUuid").Str()
		if at, ok := byUUID[uuid]; ok { // mosparo skips items of unknown rules
			c.Rules[at].Items = append(c.Rules[at].Items, item)
		}
		return nil
	})
}

// each calls f for the members of the lists in several files.
func (a *archive) each(names php.Value, f func(php.Value) error) error {
	if names.Len() == 0 {
		return errSchema
	}
	for n := range names.Array().Values() {
		name, ok := n.Str()
		if !ok {
			return errSchema
		}
		v, err := a.json(name)
		if err != nil {
			return err
		}
		if v.Len() == 0 {
			return errSchema
		}
		for e := range v.Array().Values() {
			if err := f(e); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return nil
}
