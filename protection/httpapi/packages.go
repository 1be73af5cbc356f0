package httpapi

import (
	"crypto/md5" //nolint:gosec // the format of the index, not a protection
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/php"
	"github.com/mosparoctl/mosparoctl/protection/rule"
	"github.com/mosparoctl/mosparoctl/protection/rulepackage"
)

const (
	packagePath     = "/api/v1/rule-package/"
	packageNotFound = `"Mosparo\Entity\RulePackage" object not found by "Symfony\Bridge\Doctrine\ArgumentResolver\EntityValueResolver".`
	ruleNotFound    = `"Mosparo\Entity\RulePackageRuleCache" object not found by "Symfony\Bridge\Doctrine\ArgumentResolver\EntityValueResolver".`
	maxPage         = 100_000
)

// findPackageRoute is the route of a path below packagePath.
func findPackageRoute(rest string) (route, bool) {
	found := func(name, method string, a action) (route, bool) {
		return route{name: "rule-package " + name, access: (*call).backend, action: a, method: method}, true
	}
	if rest == "import" {
		return found("import", http.MethodPost, (*call).importPackage)
	}
	parts := strings.Split(rest, "/")
	numbers := ids(parts)
	switch {
	case len(parts) == 2 && numbers[0] > 0 && parts[1] == "hash-index":
		return found("hash-index", http.MethodGet, func(c *call) (php.Value, error) { return c.hashIndex(numbers[0]) })
	case len(parts) == 2 && numbers[0] > 0 && parts[1] == "rules":
		return found("rules", http.MethodGet, func(c *call) (php.Value, error) { return c.packageRules(numbers[0]) })
	case len(parts) == 2 && numbers[0] > 0 && parts[1] == "batch":
		return found("batch", http.MethodPost, func(c *call) (php.Value, error) { return c.batch(numbers[0]) })
	case len(parts) == 4 && numbers[0] > 0 && parts[1] == "rules" && numbers[2] > 0 && parts[3] == "rule-items":
		return found("rule-items", http.MethodGet, func(c *call) (php.Value, error) { return c.packageItems(numbers[0], numbers[2]) })
	}
	return route{}, false
}

// ids reads the parts of a path that are ids; others are 0.
func ids(parts []string) []int64 {
	out := make([]int64, len(parts))
	for i, p := range parts {
		if n, err := strconv.ParseInt(p, 10, 64); err == nil && n > 0 {
			out[i] = n
		}
	}
	return out
}

// rulePackage is a package of the project.
func (c *call) rulePackage(id int64) (*protection.RulePackage, error) {
	p, err := c.h.o.Store.Package(c.r.Context(), c.project.ID, id)
	if protection.Is(err, protection.CodeNotFound) {
		return nil, notFound{packageNotFound}
	}
	return p, err
}

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
	hash = php.Trim(hash)
	switch {
	case protection.Is(err, protection.CodeNotFound):
		return php.Null, c.refuse("Rule package not found.")
	case err != nil:
		return php.Null, err
	case p.Type != protection.PackageAPI:
		name := packageTypeName(p.Type)
		return php.Null, c.refuse("Rule package type ("+name+") is not allowed.", reason("rule_package_type_invalid",
			textPair("expectedType", packageTypeName(protection.PackageAPI)), textPair("receivedType", name))...)
	case hash != "" && hash != rulepackage.Hash([]byte(content)):
		return php.Null, c.refuse("The specified hash is invalid for the given content.", reason("rule_package_content_hash_invalid",
			textPair("sentHash", hash), textPair("generatedHash", rulepackage.Hash([]byte(content))))...)
	case php.Trim(content) == "":
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
	return php.Map(boolPair("successful", true), boolPair("verifiedHash", hash != "")), nil
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

// paging is what a list is asked for. page is given back as it came.
func (c *call) paging() (page php.Value, offset, limit int) {
	page, number, size := php.Int(1), int64(1), int64(1000)
	for _, from := range []*php.Array{c.body, c.query} { // the query wins
		if v, ok := from.Get("page"); ok && v.IsScalar() {
			page, number = v, v.Intval()
		}
		if v, ok := from.Get("perPage"); ok && v.IsScalar() {
			size = v.Intval()
		}
	}
	size = min(max(size, 1), maxPage)
	return page, int(min(max(number-1, 0), 1<<30/size) * size), int(size)
}

func pages(total int64, size int) php.Value {
	return php.Int(max(1, (total+int64(size)-1)/int64(size)))
}

// noCache is the reply for a package that was never imported.
func noCache() php.Value { return php.Map(boolPair("result", false), boolPair("noCache", true)) }

func (c *call) packageRules(id int64) (php.Value, error) {
	p, err := c.rulePackage(id)
	if err != nil {
		return php.Null, err
	}
	if p.Cache == nil {
		return noCache(), nil
	}
	page, offset, limit := c.paging()
	rules, total, err := c.h.o.Store.PackageRules(c.r.Context(), p, offset, limit)
	if err != nil {
		return php.Null, err
	}
	list := php.NewArray()
	for _, r := range rules {
		n := php.Null
		if r.NumberOfItems >= 0 {
			n = php.Int(r.NumberOfItems)
		}
		list.Append(php.Map(intPair("id", r.ID), textPair("uuid", r.UUID), textPair("type", string(r.Type)), textPair("name", r.Name),
			textPair("description", r.Description), pair("numberOfItems", n), pair("spamRatingFactor", factorValue(r.Factor)), timePair("updatedAt", r.UpdatedAt),
			textPair("listRoute", fmt.Sprintf("%s%d/rules/%d/rule-items", packagePath, p.ID, r.ID))))
	}
	return php.Map(boolPair("result", true), pair("rules", php.ArrayOf(list)), pair("page", page), pair("totalPages", pages(total, limit))), nil
}

func factorValue(f protection.Factor) php.Value {
	if !f.Set {
		return php.Null
	}
	return php.Float(f.Value)
}

func (c *call) packageItems(id, ruleID int64) (php.Value, error) {
	p, err := c.rulePackage(id)
	if err != nil {
		return php.Null, err
	}
	if p.Cache == nil {
		return php.Null, notFound{ruleNotFound}
	}
	rules, _, err := c.h.o.Store.PackageRules(c.r.Context(), p, 0, 1<<30)
	if err != nil {
		return php.Null, err
	}
	if !slices.ContainsFunc(rules, func(r protection.Rule) bool { return r.ID == ruleID }) {
		return php.Null, notFound{ruleNotFound}
	}
	page, offset, limit := c.paging()
	items, total, err := c.h.o.Store.PackageItems(c.r.Context(), p, ruleID, offset, limit)
	if err != nil {
		return php.Null, err
	}
	list := php.NewArray()
	for _, i := range items {
		list.Append(php.Map(intPair("id", i.ID), textPair("uuid", i.UUID), textPair("type", string(i.Type)), textPair("value", i.Value),
			pair("rating", factorValue(i.Rating))))
	}
	return php.Map(boolPair("result", true), pair("ruleItems", php.ArrayOf(list)), pair("page", page), pair("totalPages", pages(total, limit))), nil
}

// hashIndex lists the hashes of rules and items, so that a client sends only differences.
func (c *call) hashIndex(id int64) (php.Value, error) {
	p, err := c.rulePackage(id)
	if err != nil {
		return php.Null, err
	}
	if p.Cache == nil {
		return php.Null, failure{http.StatusResetContent, noCache()}
	}
	number := func(name string, def int64) int64 {
		if v, ok := c.query.Get(name); ok && v.Intval() > 0 {
			return v.Intval()
		}
		return def
	}
	offset, most := number("offset", 0), min(number("maxItems", maxPage), maxPage)
	var out strings.Builder
	if offset == 0 {
		rules, _, err := c.h.o.Store.PackageRules(c.r.Context(), p, 0, 1<<30)
		if err != nil {
			return php.Null, err
		}
		for _, r := range rules {
			fmt.Fprintf(&out, "%s::r/%s/%d\n", r.UUID, hashOf(r.UUID, string(r.Type), r.Name, r.Description, factorText(r.Factor)), r.ID)
		}
	}
	items, _, err := c.h.o.Store.PackageItems(c.r.Context(), p, 0, int(min(offset, 1<<40)), int(most))
	if err != nil {
		return php.Null, err
	}
	for _, i := range items {
		fmt.Fprintf(&out, "%s::i/%s/%d\n", i.UUID, hashOf(i.UUID, string(i.Type), i.Value, factorText(i.Rating)), i.ID)
	}
	if len(items) == 0 {
		out.WriteString("###END")
	}
	c.setCacheHeaders(true)
	c.write(http.StatusOK, "text/html; charset=UTF-8", []byte(out.String()))
	return php.Null, errReplied
}

// errReplied means that an action has written its reply itself.
var errReplied = errors.New("replied")

func factorText(f protection.Factor) string {
	if !f.Set {
		return ""
	}
	return php.FormatFloat(f.Value)
}

func hashOf(parts ...string) string {
	sum := md5.Sum([]byte(strings.Join(parts, ""))) //nolint:gosec // as above
	return hex.EncodeToString(sum[:])
}

// batch carries out a list of changes. Rules come before items, so that items may belong to rules of the same batch.
func (c *call) batch(id int64) (php.Value, error) {
	p, err := c.rulePackage(id)
	if err != nil {
		return php.Null, err
	}
	tasks, _ := c.query.Get("tasks")
	if v, ok := c.body.Get("tasks"); ok {
		tasks = v
	}
	if tasks.Kind() != php.KindArray || tasks.Len() == 0 {
		return php.Null, failure{http.StatusBadRequest, php.Map(boolPair("result", false), boolPair("error", true), textPair("errorMessage", "Tasks undefined."))}
	}
	var problems []string
	for _, phase := range [][]string{{"update_rule_package"}, {"store_rule"}, {"store_rule_item"}, {"remove_rule_item"}, {"remove_rule"}} {
		for t := range tasks.Array().Values() {
			kind, _ := t.Get("type").Str()
			if !slices.Contains(phase, kind) {
				continue
			}
			problem, err := c.task(p, kind, t.Get("data"))
			if err != nil {
				return php.Null, err
			}
			if problem != "" && !slices.Contains(problems, problem) {
				problems = append(problems, problem)
			}
		}
	}
	return php.Map(boolPair("result", true), pair("errors", php.Strings(problems...))), nil
}

// task carries out one change. The text says what was wrong with it.
func (c *call) task(p *protection.RulePackage, kind string, data php.Value) (string, error) {
	ctx, st := c.r.Context(), c.h.o.Store
	invalid := func() (string, error) {
		text, err := php.EncodeJSON(data, php.Default)
		return "Task data not valid: " + kind + "; Data: " + text, err
	}
	switch kind {
	case "update_rule_package":
		text, ok := data.Get("lastUpdatedAt").Str()
		interval, isInt := data.Get("refreshInterval").Int()
		at, isTime := rulepackage.ParseTime(text, st.Location())
		if !ok || !isInt || !isTime || data.Len() != 2 || interval < 0 || interval > 1<<32 {
			return invalid()
		}
		return "", st.UpdatePackageCache(ctx, p, at, time.Duration(interval)*time.Second, st.Now())
	case "store_rule":
		r, ok := taskRule(data)
		if !ok {
			return invalid()
		}
		if p.Cache == nil {
			if err := st.UpdatePackageCache(ctx, p, time.Time{}, 0, st.Now()); err != nil {
				return "", err
			}
		}
		return "", st.StorePackageRule(ctx, p, r)
	case "store_rule_item":
		ruleUUID, ok := data.Get("ruleUuid").Str()
		item, err := rulepackage.ParseItem(data)
		if !ok || err != nil || data.Len() != 5 {
			return invalid()
		}
		err = st.StorePackageItem(ctx, p, ruleUUID, &item)
		if protection.Is(err, protection.CodeNotFound) {
			return "Rule not available: " + ruleUUID, nil
		}
		return "", err
	}
	n, ok := data.Get("id").Int()
	if !ok || data.Len() != 1 {
		return invalid()
	}
	if kind == "remove_rule_item" {
		return "", st.RemovePackageItem(ctx, p, n)
	}
	err := st.RemovePackageRule(ctx, p, n)
	if protection.Is(err, protection.CodeConflict) {
		return fmt.Sprintf("Rule has items: %d", n), nil // mosparo fails here
	}
	return "", err
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
	factor, err := rulepackage.Number(data.Get("spamRatingFactor"), true)
	if !ok1 || !ok2 || !ok3 || !ok4 && !data.Get("description").IsNull() || !ok5 && !data.Get("status").IsNull() || err != nil || uuid == "" || len(uuid) > 36 ||
		rule.ItemTypes(protection.RuleType(kind)) == nil {
		return nil, false
	}
	return &protection.Rule{UUID: uuid, Name: name, Description: description, Type: protection.RuleType(kind), Active: true, Factor: factor, NumberOfItems: -1}, true
}
