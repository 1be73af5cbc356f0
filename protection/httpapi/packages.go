package httpapi

import (
	"crypto/md5" //nolint:gosec // the format of the index, not a protection
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/php"
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
	case parts[0] == "":
	case len(parts) == 2 && parts[1] == "hash-index":
		return found("hash-index", http.MethodGet, func(c *call) (php.Value, error) { return c.hashIndex(numbers[0]) })
	case len(parts) == 2 && parts[1] == "rules":
		return found("rules", http.MethodGet, func(c *call) (php.Value, error) { return c.packageRules(numbers[0]) })
	case len(parts) == 2 && parts[1] == "batch":
		return found("batch", http.MethodPost, func(c *call) (php.Value, error) { return c.batch(numbers[0]) })
	case len(parts) == 4 && parts[1] == "rules" && parts[2] != "" && parts[3] == "rule-items":
		return found("rule-items", http.MethodGet, func(c *call) (php.Value, error) { return c.packageItems(numbers[0], numbers[2]) })
	}
	return route{}, false
}

// ids reads the parts of a path as PHP reads numbers; what begins with none is 0, which is nothing's id.
func ids(parts []string) []int64 {
	out := make([]int64, len(parts))
	for i, p := range parts {
		out[i] = php.Intval(p)
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

// paging is the part of a list that is asked for. PHP computes it in fractions.
type paging struct {
	page          php.Value // as it came
	size          float64   // of a page
	offset, limit int       // a part of an item is none
}

func (c *call) paging() paging {
	number, p := 1.0, paging{page: php.Int(1), size: 1000}
	for _, from := range []*php.Array{c.body, c.query} { // the query wins
		if v, ok := from.Get("page"); ok && v.IsScalar() {
			text, _ := v.Text()
			p.page, number = v, php.Floatval(text)
		}
		if v, ok := from.Get("perPage"); ok && v.IsScalar() {
			text, _ := v.Text()
			p.size = php.Floatval(text)
		}
	}
	if p.size = min(p.size, maxPage); p.size <= 0 {
		p.size = 1
	}
	p.offset, p.limit = int(min(max(number-1, 0)*p.size, 1<<30)), int(p.size)
	return p
}

// pages is how many pages a list has.
func (p paging) pages(total int64) int64 { return int64(min(math.Ceil(float64(total)/p.size), 1<<53)) }

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
	part := c.paging()
	rules, total, err := c.h.o.Store.PackageRules(c.r.Context(), p, part.offset, part.limit)
	if err != nil {
		return php.Null, err
	}
	list := php.NewArray()
	for _, r := range rules[:min(part.limit, len(rules))] {
		n, description := php.Null, php.String(r.Description)
		if r.NumberOfItems >= 0 {
			n = php.Int(r.NumberOfItems)
		}
		if r.NoDescription {
			description = php.Null
		}
		list.Append(php.Map(intPair("id", r.ID), textPair("uuid", r.UUID), textPair("type", string(r.Type)), textPair("name", r.Name),
			pair("description", description), pair("numberOfItems", n), pair("spamRatingFactor", factorValue(r.Factor)), timePair("updatedAt", r.UpdatedAt),
			textPair("listRoute", fmt.Sprintf("%s%d/rules/%d/rule-items", packagePath, p.ID, r.ID))))
	}
	return php.Map(boolPair("result", true), pair("rules", php.ArrayOf(list)), pair("page", part.page), intPair("totalPages", part.pages(total))), nil
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
	i := slices.IndexFunc(rules, func(r protection.Rule) bool { return r.ID == ruleID })
	if i < 0 {
		return php.Null, notFound{ruleNotFound}
	}
	part := c.paging()
	items, total, err := c.h.o.Store.PackageItems(c.r.Context(), p, ruleID, part.offset, part.limit)
	if err == nil && rules[i].NumberOfItems < 0 {
		err = c.h.o.Store.CountedItems(c.r.Context(), p, ruleID, total)
	}
	if err != nil {
		return php.Null, err
	}
	list := php.NewArray()
	for _, i := range items[:min(part.limit, len(items))] {
		list.Append(php.Map(intPair("id", i.ID), textPair("uuid", i.UUID), textPair("type", string(i.Type)), textPair("value", i.Value),
			pair("rating", factorValue(i.Rating))))
	}
	return php.Map(boolPair("result", true), pair("ruleItems", php.ArrayOf(list)), pair("page", part.page), intPair("totalPages", max(1, part.pages(total)))), nil
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
		if v, ok := c.query.Get(name); ok {
			return max(0, v.Intval())
		}
		return def
	}
	// As in mosparo, rules are always listed, and items in blocks as long as fewer were listed than asked for.
	offset, most := min(number("offset", 0), 1<<40), number("maxItems", indexBlock)
	rules, _, err := c.h.o.Store.PackageRules(c.r.Context(), p, 0, 1<<30)
	if err != nil {
		return php.Null, err
	}
	c.setCacheHeaders(true)
	c.w.Header().Set("Content-Type", "text/html; charset=UTF-8")
	var out strings.Builder
	for _, r := range rules {
		fmt.Fprintf(&out, "%s::r/%s/%d\n", r.UUID, hashOf(r.UUID, string(r.Type), r.Name, r.Description, factorText(r.Factor)), r.ID)
	}
	for at := offset; at == offset || at < offset+most; at += indexBlock {
		items, _, err := c.h.o.Store.PackageItems(c.r.Context(), p, 0, int(at), indexBlock)
		if err != nil && at > offset {
			panic(http.ErrAbortHandler) // the reply has begun; the client must not take it for the whole
		}
		if err != nil {
			return php.Null, err
		}
		for _, i := range items {
			fmt.Fprintf(&out, "%s::i/%s/%d\n", i.UUID, hashOf(i.UUID, string(i.Type), i.Value, factorText(i.Rating)), i.ID)
		}
		if len(items) == 0 && at == offset {
			out.WriteString("###END")
		}
		if c.method != http.MethodHead {
			_, _ = c.w.Write([]byte(out.String()))
		}
		if out.Reset(); len(items) < indexBlock {
			break
		}
	}
	return php.Null, errReplied
}

// indexBlock is how many items of the hash index are read at once.
const indexBlock = 100_000

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
