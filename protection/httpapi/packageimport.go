package httpapi

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/php"
	"github.com/mosparoctl/mosparoctl/protection/rulepackage"
)

// importPackage takes the whole content of a package.
func (c *call) importPackage() (php.Value, error) {
	if !c.has("rulePackageId") || !c.has("rulePackageContent") {
		return php.Null, c.refuse(parameterMissing, reason("required_parameter_missing", boolPair("hasRulePackageId", c.has("rulePackageId")),
			boolPair("hasRulePackageContent", c.has("rulePackageContent")))...)
	}
	var id, hash, content string
	if err := c.texts(map[string]*string{"rulePackageId": &id, "rulePackageHash": &hash, "rulePackageContent": &content}); err != nil {
		return php.Null, err
	}
	if v, _ := c.body.Get("rulePackageContent"); v.Kind() == php.KindString {
		content, _ = v.Str() // an archive is no text
	}
	p, err := c.h.o.Store.Package(c.r.Context(), c.project.ID, php.Intval(id))
	checked := truthy(php.Trim(hash))
	sent, _ := c.body.Get("rulePackageHash") // what is no string is told as it is
	if sent.Kind() == php.KindString {
		sent = php.String(hash)
	}
	switch {
	case protection.Is(err, protection.CodeNotFound):
		return php.Null, c.refuse("Rule package not found.")
	case err != nil:
		return php.Null, err
	case p.Type != protection.PackageAPI:
		name := packageTypeName(p.Type)
		return php.Null, c.refuse("Rule package type ("+name+") is not allowed.", reason("rule_package_type_invalid",
			textPair("expectedType", packageTypeName(protection.PackageAPI)), textPair("receivedType", name))...)
	case checked && hash != rulepackage.Hash([]byte(content)):
		return php.Null, c.refuse("The specified hash is invalid for the given content.", reason("rule_package_content_hash_invalid",
			pair("sentHash", sent), textPair("generatedHash", rulepackage.Hash([]byte(content))))...)
	case !truthy(php.Trim(content)):
		return php.Null, c.refuse("Rule package content is empty.")
	}
	parsed, err := rulepackage.Parse([]byte(content), c.h.o.Store.Location())
	if err == nil {
		_, err = c.h.o.Store.ImportPackage(c.r.Context(), p, parsed)
	}
	if code := protection.CodeOf(err); code == protection.CodeInvalid || code == protection.CodeConflict {
		return php.Null, c.refuse("A general error occurred.", reason("general_error", textPair("exceptionMessage", strings.ToValidUTF8(err.Error(), "\uFFFD")))...)
	}
	if err != nil {
		return php.Null, err
	}
	c.rulesChanged()
	return php.Map(boolPair("successful", true), boolPair("verifiedHash", checked)), nil
}

func packageTypeName(t protection.PackageType) string {
	switch t {
	case protection.PackageURL:
		return "AUTOMATICALLY_FROM_URL"
	case protection.PackageFile:
		return "AUTOMATICALLY_FROM_FILE"
	case protection.PackageCLI:
		return "MANUALLY_VIA_CLI"
	}
	return "MANUALLY_VIA_API"
}

// rulesChanged has the next checks know the rules that were just written; if that fails they will know them a moment later.
func (c *call) rulesChanged() {
	if err := c.h.o.Projects.Refresh(c.r.Context()); err != nil {
		c.h.o.Log.Warn("changed rules could not be read at once", "project", c.project.ID, "error", err)
	}
}

// unsetInterval is the refresh interval of a package of which none was told.
const unsetInterval = 24 * time.Hour

// batch carries out a list of changes, one after the other, but items last, so that they may belong to rules of the same batch.
func (c *call) batch(id int64) (php.Value, error) {
	p, err := c.rulePackage(id)
	if err != nil {
		return php.Null, err
	}
	tasks, _ := c.query.Get("tasks")
	if v, ok := c.body.Get("tasks"); ok {
		tasks = v
	}
	if !tasks.Truthy() {
		return php.Null, failure{http.StatusBadRequest, php.Map(boolPair("result", false), boolPair("error", true), textPair("errorMessage", "Tasks undefined."))}
	}
	st := c.h.o.Store
	if p.Cache == nil {
		if err := st.UpdatePackageCache(c.r.Context(), p, time.Time{}, unsetInterval, st.Now()); err != nil {
			return php.Null, err
		}
	}
	var problems []string
	var steps, items []step
	byUUID := map[string]int{} // of an item that comes twice the later one counts
	for t := range tasks.Array().Values() {
		kind, _ := t.Get("type").Str()
		run, ok := c.task(p, kind, t.Get("data"))
		uuid, _ := t.Get("data").Get("uuid").Str()
		at, twice := byUUID[uuid]
		switch {
		case !ok:
			text, err := php.EncodeJSON(t.Get("data"), php.Default)
			if err != nil {
				return php.Null, exception{status: http.StatusBadRequest} // the signature of the request could not have been right
			}
			problems = append(problems, "Task data not valid: "+kind+"; Data: "+text)
		case kind != "store_rule_item":
			steps = append(steps, run)
		case twice:
			items[at] = run
		default:
			byUUID[uuid] = len(items)
			items = append(items, run)
		}
	}
	for _, run := range append(steps, items...) {
		problem, err := run()
		if err != nil {
			return php.Null, err
		}
		if problem != "" && !slices.Contains(problems, problem) {
			problems = append(problems, problem)
		}
	}
	if err := st.UpdatePackageCache(c.r.Context(), p, p.Cache.UpdatedAt, p.Cache.RefreshInterval, st.Now()); err != nil {
		return php.Null, err
	}
	c.rulesChanged()
	return php.Map(boolPair("result", true), pair("errors", php.Strings(problems...))), nil
}

// clock is the time that the text of t shows, taken for one of loc: PHP stores it so, whatever its zone.
func clock(t time.Time, loc *time.Location) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), 0, loc)
}

// step carries out one change. The text says what was wrong with it.
type step func() (problem string, err error)

// task reads one change; it is false if its data are not valid. An unknown one changes nothing.
func (c *call) task(p *protection.RulePackage, kind string, data php.Value) (step, bool) {
	ctx, st := c.r.Context(), c.h.o.Store
	switch kind {
	case "update_rule_package":
		text, ok := data.Get("lastUpdatedAt").Str()
		interval, fits := rulepackage.Interval(data.Get("refreshInterval"))
		at, isTime := rulepackage.ParseTime(text, st.Location())
		return func() (string, error) {
			p.Cache.UpdatedAt, p.Cache.RefreshInterval = clock(at, st.Location()), interval // stored at the end of the batch
			return "", nil
		}, ok && isTime && fits && data.Len() == 2
	case "store_rule":
		r, ok := taskRule(data)
		return func() (string, error) { return "", st.StorePackageRule(ctx, p, r) }, ok
	case "store_rule_item":
		ruleUUID, ok := data.Get("ruleUuid").Str()
		item, err := rulepackage.ParseItem(data)
		return func() (string, error) {
			err := st.StorePackageItem(ctx, p, ruleUUID, &item)
			if protection.Is(err, protection.CodeNotFound) {
				return "Rule not available: " + ruleUUID, nil
			}
			return "", err
		}, ok && err == nil && data.Len() == 5
	case "remove_rule_item", "remove_rule":
		n, ok := data.Get("id").Int()
		return func() (string, error) {
			if kind == "remove_rule_item" {
				return "", st.RemovePackageItem(ctx, p, n)
			}
			err := st.RemovePackageRule(ctx, p, n)
			if protection.Is(err, protection.CodeConflict) {
				return fmt.Sprintf("Rule has items: %d", n), nil // mosparo fails here
			}
			return "", err
		}, ok && data.Len() == 1
	}
	return func() (string, error) { return "", nil }, true
}

// taskRule reads a rule without items.
func taskRule(data php.Value) (*protection.Rule, bool) {
	if data.Kind() != php.KindArray {
		return nil, false
	}
	for k := range data.Array().All() {
		if !slices.Contains([]string{"name", "type", "uuid", "description", "status", "spamRatingFactor"}, k.String()) {
			return nil, false
		}
	}
	name, ok1 := data.Get("name").Str()
	kind, ok2 := data.Get("type").Str()
	uuid, ok3 := data.Get("uuid").Str()
	description, ok4 := data.Get("description").Str()
	_, ok5 := data.Get("status").Bool()
	factor, err := rulepackage.Number(data.Get("spamRatingFactor"), !data.Array().Has("spamRatingFactor"))
	if !ok1 || !ok2 || !ok3 || !ok4 && !data.Get("description").IsNull() || !ok5 && data.Array().Has("status") || err != nil || utf8.RuneCountInString(uuid) > 36 ||
		len(kind) > 30 || utf8.RuneCountInString(name) > 255 {
		return nil, false
	}
	return &protection.Rule{UUID: uuid, Name: name, Description: description, NoDescription: !ok4, Type: protection.RuleType(kind), Active: true, Factor: factor,
		NumberOfItems: -1}, true
}
