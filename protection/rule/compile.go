package rule

import (
	"bytes"
	"cmp"
	"errors"
	"math"
	"net/netip"
	"slices"
	"strings"

	"github.com/zeebo/xxh3"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/iprange"
	"github.com/mosparoctl/mosparoctl/protection/php"
	"github.com/mosparoctl/mosparoctl/protection/phpregex"
)

// Database says whose preselection is imitated. It decides two details: what a backslash in an item does, and in which
// order matches are listed.
type Database int

// The databases that differ.
const (
	SQLite Database = iota // a backslash is a character; matches are listed by item id
	MySQL                  // a backslash escapes the next character of a LIKE pattern, so such items hardly ever match; matches are listed by type and hash, the index that the preselection walks
)

// Problem is an item that can never match, with the reason. It is ignored, as PHP ignores it without a word.
type Problem struct {
	RuleID   int64
	RuleUUID string
	ItemID   int64
	Package  string // name of the rule package, empty for the project's own rules
	RuleType protection.RuleType
	ItemType protection.ItemType
	Value    string
	Pos      int // byte in Value at which a pattern was refused, -1 if there is none
	Reason   string
}

// how an item found in an index is confirmed.
type confirmation uint8

const (
	confirmNothing confirmation = iota // the occurrence is the match
	confirmWord                        // the occurrence must be a word of its own
	confirmTester                      // the tester must agree; the look-up was the preselection
	confirmStages                      // both stages must agree on the whole value
	confirmPattern                     // the regular expression must match
)

// source is a rule, with what its items share.
type source struct {
	id     int64
	uuid   string
	name   string // as administrators wrote it
	kind   protection.RuleType
	factor float64
	pack   packageInfo
}

// packageInfo is what the items of a rule package share; factor is 1 for the project's own rules.
type packageInfo struct {
	name   string
	factor float64
}

// subnet is an item that is a range of addresses.
type subnet struct {
	item   uint32
	prefix string // that the text of an address must have
}

// entry is an item to be compiled.
type entry struct {
	item   *protection.RuleItem
	source uint32
	packed bool // of a rule package; those come after the project's own
	hash   [16]byte
}

// compiler builds a Matcher.
type compiler struct {
	*Matcher
	values                                    strings.Builder
	words, agents                             []posting
	full, mail, domain, website, ip, provider []posting
}

// Compile makes the matcher of a project. It keeps nothing of set.
func Compile(set *protection.RuleSet, db Database) *Matcher {
	c := &compiler{Matcher: &Matcher{db: db, extract: newExtractors(), submissionRules: slices.Clone(set.SubmissionRules)}}
	var entries []entry
	for i := range set.Rules {
		if r := &set.Rules[i]; r.Active {
			entries = c.addRule(entries, r, packageInfo{factor: 1}, false)
		}
	}
	for i := range set.Packages {
		p := &set.Packages[i]
		for j := range p.Rules {
			if p.Active {
				entries = c.addRule(entries, &p.Rules[j], packageInfo{p.Name, p.EffectiveFactor()}, true)
			}
		}
	}
	c.order(entries)
	c.valueEnds = make([]uint32, 0, len(entries))
	for _, e := range entries {
		c.addItem(e)
	}
	c.Matcher.values = c.values.String()
	c.wordIndex, c.agentIndex = buildIndex(c.words), buildIndex(c.agents)
	c.fullIndex, c.mailIndex, c.domainIndex = buildIndex(c.full), buildIndex(c.mail), buildIndex(c.domain)
	c.websiteIndex, c.providerIndex, c.ipIndex = buildIndex(c.website), buildIndex(c.provider), buildIndex(c.ip)
	return c.Matcher
}

func (c *compiler) addRule(entries []entry, r *protection.Rule, pack packageInfo, packed bool) []entry {
	c.sources = append(c.sources, source{id: r.ID, uuid: r.UUID, name: r.Name, kind: r.Type, factor: r.Factor.Effective(), pack: pack})
	for i := range r.Items {
		e := entry{item: &r.Items[i], source: uint32(len(c.sources) - 1), packed: packed}
		if c.db == MySQL {
			e.hash = xxh3.HashString128(php.ToLower(e.item.Value)).Bytes()
		}
		entries = append(entries, e)
	}
	return entries
}

// order sorts the items as the preselection returns them, which is the order of matches.
func (c *compiler) order(entries []entry) {
	slices.SortFunc(entries, func(a, b entry) int {
		if a.packed != b.packed {
			if a.packed {
				return 1
			}
			return -1
		}
		if c.db == MySQL {
			if by := cmp.Or(cmp.Compare(a.item.Type, b.item.Type), bytes.Compare(a.hash[:], b.hash[:])); by != 0 {
				return by
			}
		}
		return cmp.Compare(a.item.ID, b.item.ID)
	})
}

// addItem stores an item and posts it where its type is looked up, or notes why it can't match.
func (c *compiler) addItem(e entry) {
	src := &c.sources[e.source]
	if reason, pos := c.place(e, src); reason != "" {
		c.problems = append(c.problems, Problem{
			RuleID: src.id, RuleUUID: src.uuid, ItemID: e.item.ID, Package: src.pack.name, RuleType: src.kind, ItemType: e.item.Type,
			Value: e.item.Value, Pos: pos, Reason: reason,
		})
		return
	}
	c.values.WriteString(e.item.Value)
	c.valueEnds = append(c.valueEnds, uint32(c.values.Len()))
	// mosparo multiplies in this order; with fractions another one could differ in the last digit.
	c.ratings = append(c.ratings, finite(e.item.Rating.Effective()*src.factor*src.pack.factor))
	c.itemSources = append(c.itemSources, e.source)
	c.itemTypes = append(c.itemTypes, c.typeIndex(e.item.Type))
}

// finite keeps a rating within what a database and JSON hold: the factors of a rule may be as large as a float can be.
func finite(f float64) float64 {
	if math.IsNaN(f) {
		return 0
	}
	return max(-math.MaxFloat64, min(math.MaxFloat64, f))
}

// place posts the item under the number that it will get. A reason says that it can't match.
func (c *compiler) place(e entry, src *source) (reason string, pos int) {
	value, kind := e.item.Value, e.item.Type
	if c.values.Len()+len(value) > maxIndexText {
		return "the rules of the project hold more than 4 GB of text", -1
	}
	if !slices.Contains(itemTypes[src.kind], kind) {
		return c.placeForeign(e, src)
	}
	switch kind {
	case protection.ItemText, protection.ItemWordExact:
		return c.placeText(&c.words, &c.wordAlways, kind, php.ToLower(value)), -1
	case protection.ItemUAText:
		return c.placeText(&c.agents, &c.agentAlways, kind, php.ToLower(value)), -1
	case protection.ItemRegex, protection.ItemUARegex:
		return c.placePattern(kind, value)
	case protection.ItemSubnet:
		return c.placeSubnet(php.ToLower(value)), -1
	}
	return c.placeExact(kind, value), -1
}

// placeExact posts an item that is looked up by its whole value.
func (c *compiler) placeExact(kind protection.ItemType, value string) string {
	if php.Trim(value) == "" && kind != protection.ItemDomain { // the host that is looked for may be blank, as in "a@ "
		return "an empty value never matches"
	}
	list, literal, how := &c.website, php.ToLower(value), confirmTester
	switch kind {
	case protection.ItemWordFull:
		list, literal, how = &c.full, php.Trim(value), confirmStages
	case protection.ItemEmail:
		list = &c.mail
	case protection.ItemDomain:
		list = &c.domain
	case protection.ItemIPAddress:
		list = &c.ip
	case protection.ItemASNumber, protection.ItemCountry:
		list, literal = &c.provider, string(kind)+" "+literal
	}
	*list = append(*list, posting{literal, uint32(len(c.ratings))})
	c.confirm = append(c.confirm, how)
	return ""
}

// placeText posts a text under its longest piece without wildcards, and notes how an occurrence of it is confirmed.
func (c *compiler) placeText(list *[]posting, always *[]uint32, kind protection.ItemType, lower string) string {
	number := uint32(len(c.ratings))
	literal, how := lower, confirmNothing
	switch {
	case kind == protection.ItemWordExact && strings.Contains(lower, "/"):
		return "an exact word with a slash never matches in mosparo"
	case kind == protection.ItemWordExact:
		how = confirmWord
	case strings.ContainsAny(lower, "*?"):
		how = confirmStages
		literal = ""
		for _, piece := range strings.FieldsFunc(lower, func(r rune) bool { return strings.ContainsRune(`*?%_\`, r) }) {
			if len(piece) > len(literal) {
				literal = piece
			}
		}
	}
	if c.db == MySQL && strings.Contains(lower, `\`) {
		how = confirmStages
	}
	c.confirm = append(c.confirm, how)
	if literal == "" {
		c.confirm[number] = confirmStages
		*always = append(*always, number)
		return ""
	}
	*list = append(*list, posting{literal, number})
	return ""
}

// placePattern posts a regular expression under a text that its matches contain, so that it runs only where that occurs.
func (c *compiler) placePattern(kind protection.ItemType, value string) (string, int) {
	re, err := phpregex.Compile(value)
	if err != nil {
		var refused *phpregex.Error
		if errors.As(err, &refused) {
			return refused.Reason, refused.Pos
		}
		return err.Error(), -1
	}
	number := uint32(len(c.ratings))
	list, always := &c.words, &c.wordAlways
	if kind == protection.ItemUARegex {
		list, always = &c.agents, &c.agentAlways
	}
	if literal := re.Required(); literal != "" {
		*list = append(*list, posting{literal, number})
	} else {
		*always = append(*always, number)
	}
	if c.patterns == nil {
		c.patterns = map[uint32]*phpregex.Regexp{}
	}
	c.patterns[number] = re
	c.confirm = append(c.confirm, confirmPattern)
	return "", -1
}

func (c *compiler) placeSubnet(lower string) string {
	prepared, err := Prepared(protection.ItemSubnet, lower)
	if err != nil {
		return "mosparo cannot save an IPv6 range of this length"
	}
	prefix, ok := iprange.Parse(lower)
	if !ok {
		return "no range of addresses"
	}
	start := strings.TrimSuffix(prepared, "%")
	switch {
	case strings.HasPrefix(start, "*"):
		return "mosparo never matches a range this large"
	case prefix.IsSingleIP():
		return "mosparo never matches a range of one address; use the item type ipAddress"
	}
	prefix = prefix.Masked()
	if c.subnets == nil {
		c.subnets = map[netip.Prefix][]subnet{}
	}
	c.subnets[prefix] = append(c.subnets[prefix], subnet{uint32(len(c.ratings)), start})
	lengths := &c.lengths4
	if !prefix.Addr().Is4() {
		lengths = &c.lengths6
	}
	if !slices.Contains(*lengths, prefix.Bits()) {
		*lengths = append(*lengths, prefix.Bits())
	}
	c.confirm = append(c.confirm, confirmNothing)
	return ""
}

// placeForeign handles an item whose type is not one of its rule's. Testers of e-mail, domain and website rules don't look
// at the type, so such an item can match when the preselection of its own type lets it through. That of provider rules
// compares the type with the name of the field, so an address matches.
func (c *compiler) placeForeign(e entry, src *source) (string, int) {
	known := false
	for _, types := range itemTypes {
		known = known || slices.Contains(types, e.item.Type)
	}
	switch src.kind {
	case protection.RuleUnicodeBlock:
		return "Unicode blocks never match in mosparo 1.5.4", -1
	case protection.RuleEmail, protection.RuleDomain, protection.RuleWebsite, protection.RuleProvider:
		if known && (src.kind != protection.RuleProvider || e.item.Type == protection.ItemIPAddress) {
			c.foreign = append(c.foreign, uint32(len(c.ratings)))
			c.confirm = append(c.confirm, confirmStages)
			return "", -1
		}
	}
	return "items of this type don't belong to a rule of this type and never match", -1
}

// typeIndex numbers the item types in use, to keep an item small; only known ones get here.
func (c *compiler) typeIndex(kind protection.ItemType) uint8 {
	i := slices.Index(c.types, kind)
	if i < 0 {
		i = len(c.types)
		c.types = append(c.types, kind)
	}
	return uint8(i)
}
