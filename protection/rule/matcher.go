package rule

import (
	"errors"
	"net/netip"
	"slices"
	"strings"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/php"
	"github.com/mosparoctl/mosparoctl/protection/phpregex"
)

// Matcher is the compiled form of all rules of a project that are switched on. It is immutable and safe for concurrent use.
// Items are numbered in the order in which matches are listed.
type Matcher struct {
	db       Database
	extract  *extractors
	sources  []source
	problems []Problem

	// one element an item
	ratings     []float64
	valueEnds   []uint32
	itemSources []uint32
	itemTypes   []uint8
	confirm     []confirmation
	values      string
	types       []protection.ItemType

	wordIndex, agentIndex       *index
	wordAlways, agentAlways     []uint32                    // items without a literal piece
	patterns                    map[uint32]*phpregex.Regexp // by item
	fullIndex                   *index                      // by trimmed value
	mailIndex, domainIndex      *index                      // by lower-case value
	websiteIndex, providerIndex *index
	ipIndex                     *index
	subnets                     map[netip.Prefix][]subnet
	lengths4, lengths6          []int
	foreign                     []uint32
	submissionRules             []protection.SubmissionRule
}

// Len is the number of items that can match.
func (m *Matcher) Len() int { return len(m.ratings) }

// Problems lists the items that can't match, in the order of matches.
func (m *Matcher) Problems() []Problem { return m.problems }

// RuleName is the name of a rule, after that of its package if it is of one; "" if the matcher has no such rule.
func (m *Matcher) RuleName(uuid string) string {
	i := slices.IndexFunc(m.sources, func(s source) bool { return s.uuid == uuid })
	if i < 0 {
		return ""
	}
	if s := m.sources[i]; s.pack.name != "" {
		return s.pack.name + ": " + s.name
	}
	return m.sources[i].name
}

func (m *Matcher) itemValue(item uint32) string {
	start := uint32(0)
	if item > 0 {
		start = m.valueEnds[item-1]
	}
	return m.values[start:m.valueEnds[item]]
}

// patternSteps is how many steps the patterns of one submission may take together, beyond what is usual, before only those that can't run
// long are tried: as many as twenty take that are cut off, half a second.
const patternSteps = 40_000_000

// Match is one rule item found in a field.
type Match struct {
	Type     protection.ItemType
	Value    string
	Rating   float64 // of the item, with the factors of its rule and package
	RuleUUID string
}

// FieldMatches are the matches in fields of one path, in the order of the preselection.
type FieldMatches struct {
	Path    string
	Matches []Match
}

// Result is the rating of a submission.
type Result struct {
	Score  float64 // sum in double precision; see php.Round14 for what the database keeps
	Fields []FieldMatches
	Random *RandomValues // nil unless the submission rule matched
	CutOff int           // patterns that ran too long or were not tried for that reason; it counts as no match
}

// Check rates the stored data of a submission: every element of every group but the metadata. Lists and objects are taken
// apart; mosparo fails on nested ones.
func (m *Matcher) Check(data php.Value) *Result {
	r, steps := &Result{}, patternSteps
	at := map[string]int{}
	for key := range data.Array().All() {
		group := key.String()
		if group == protection.GroupMetadata {
			continue
		}
		for _, f := range protection.Fields(data, group) {
			path := group + "." + f.FieldPath
			for _, v := range elements(nil, f.Value) {
				hits := m.match(path, v, r, &steps)
				if len(hits) == 0 {
					continue
				}
				i, known := at[path]
				if !known {
					i = len(r.Fields)
					at[path] = i
					r.Fields = append(r.Fields, FieldMatches{Path: path})
				}
				for _, item := range hits {
					r.Fields[i].Matches = append(r.Fields[i].Matches, m.describe(item))
				}
			}
		}
	}
	for _, f := range r.Fields { // in this order, because a sum of fractions depends on it
		for _, match := range f.Matches {
			r.Score += match.Rating
		}
	}
	m.checkSubmission(protection.Fields(data, protection.GroupForm), r)
	r.Score = finite(r.Score)
	return r
}

func (m *Matcher) describe(item uint32) Match {
	kind := m.types[m.itemTypes[item]]
	// Cloned, so that a stored result does not keep the text of all items in memory.
	return Match{Type: kind, Value: strings.Clone(m.itemValue(item)), Rating: m.ratings[item], RuleUUID: m.sources[m.itemSources[item]].uuid}
}

// elements appends the texts of v that are checked: not blank and not "0".
func elements(list []string, v php.Value) []string {
	if v.Kind() == php.KindArray {
		for e := range v.Array().Values() {
			list = elements(list, e)
		}
		return list
	}
	text, ok := v.Text()
	if trimmed := php.Trim(text); !ok || trimmed == "" || trimmed == "0" {
		return list
	}
	return append(list, text)
}

// match returns the numbers of the items that match a value, sorted.
func (m *Matcher) match(path, v string, r *Result, steps *int) []uint32 {
	f := &field{Matcher: m, path: path, value: v, lower: php.ToLower(v), result: r, steps: steps}
	switch {
	case strings.HasPrefix(path, pathForm):
		f.texts(m.wordIndex, m.wordAlways)
		f.postings(m.fullIndex, []string{php.Trim(v)})
		if m.mailIndex != nil {
			f.postings(m.mailIndex, m.extract.emails(path, f.lower))
		}
		if m.domainIndex != nil {
			f.postings(m.domainIndex, m.extract.domains(path, f.lower))
		}
		if m.websiteIndex != nil {
			f.postings(m.websiteIndex, m.extract.websites(path, f.lower))
		}
	case strings.HasPrefix(path, pathIPAddress):
		f.postings(m.ipIndex, []string{f.lower})
		f.ranges()
	case strings.HasPrefix(path, pathUserAgent):
		f.texts(m.agentIndex, m.agentAlways)
	case strings.HasPrefix(path, pathASNumber):
		f.postings(m.providerIndex, []string{string(protection.ItemASNumber) + " " + f.lower})
	case strings.HasPrefix(path, pathCountry):
		f.postings(m.providerIndex, []string{string(protection.ItemCountry) + " " + f.lower})
	}
	for _, item := range m.foreign {
		f.stages(item)
	}
	slices.Sort(f.hits)
	return slices.Compact(f.hits)
}

// field is one value being matched.
type field struct {
	*Matcher
	path, value string
	lower       string // value in lower case
	line        string // lower without line ends, once it was needed
	hits        []uint32
	result      *Result
	steps       *int // of the submission that patterns may still take
}

// texts looks for literals in the value.
func (f *field) texts(x *index, always []uint32) {
	for _, item := range always {
		if f.confirm[item] == confirmPattern {
			f.pattern(item)
		} else {
			f.stages(item)
		}
	}
	if x == nil {
		return
	}
	var settled map[int]bool // literals whose items need no further occurrence
	x.scan(f.lower, func(literal, start int) bool {
		if settled[literal] {
			return true
		}
		done := true
		for _, item := range x.items(literal) {
			switch f.confirm[item] {
			case confirmNothing:
				f.hits = append(f.hits, item)
			case confirmWord:
				if wordAt(f.lower, start, start+len(x.literal(literal))) {
					f.hits = append(f.hits, item)
				} else {
					done = false
				}
			case confirmStages:
				f.stages(item)
			case confirmPattern:
				f.pattern(item)
			}
		}
		if done {
			if settled == nil {
				settled = map[int]bool{}
			}
			settled[literal] = true
		}
		return true
	})
}

// postings looks up whole values.
func (f *field) postings(x *index, values []string) {
	for _, v := range values {
		for _, item := range x.find(v) {
			switch {
			case f.confirm[item] == confirmStages:
				f.stages(item)
			case f.tested(f.sources[f.itemSources[item]].kind, f.types[f.itemTypes[item]], f.itemValue(item)):
				f.hits = append(f.hits, item)
			}
		}
	}
}

// pattern runs a regular expression. Once those before took too long, a submission gets no more of them: one visitor
// must not keep a processor busy for as long as there are patterns and fields.
func (f *field) pattern(item uint32) {
	matched, err := f.patterns[item].MatchWithin(f.value, f.steps)
	if errors.Is(err, phpregex.ErrLimit) {
		f.result.CutOff++
	}
	if matched {
		f.hits = append(f.hits, item)
	}
}

func (f *field) ranges() {
	addr, err := netip.ParseAddr(f.lower)
	if err != nil || addr.Zone() != "" {
		return
	}
	lengths := f.lengths4
	if !addr.Is4() {
		lengths = f.lengths6
	}
	for _, bits := range lengths {
		prefix, err := addr.Prefix(bits)
		if err != nil {
			continue
		}
		for _, s := range f.subnets[prefix] {
			if strings.HasPrefix(f.lower, s.prefix) {
				f.hits = append(f.hits, s.item)
			}
		}
	}
}

// stages adds the item if both stages agree on the whole value.
func (f *field) stages(item uint32) {
	kind, value := f.types[f.itemTypes[item]], f.itemValue(item)
	ruleType := f.sources[f.itemSources[item]].kind
	if f.preselected(kind, value) && f.tested(ruleType, kind, value) {
		f.hits = append(f.hits, item)
	}
}

// preselected is stage 1: whether the database would hand the item over for this field.
func (f *field) preselected(kind protection.ItemType, value string) bool {
	lower := php.ToLower(value)
	var path string
	switch kind {
	case protection.ItemText, protection.ItemWordExact, protection.ItemWordFull, protection.ItemRegex:
		path = pathForm
	case protection.ItemUAText, protection.ItemUARegex:
		path = pathUserAgent
	case protection.ItemEmail:
		return slices.Contains(f.extract.emails(f.path, f.lower), lower)
	case protection.ItemDomain:
		return slices.Contains(f.extract.domains(f.path, f.lower), lower)
	case protection.ItemURL:
		return slices.Contains(f.extract.websites(f.path, f.lower), lower)
	case protection.ItemIPAddress:
		return strings.HasPrefix(f.path, pathIPAddress) && f.lower == lower
	case protection.ItemSubnet:
		path = pathIPAddress
	case protection.ItemASNumber:
		return strings.HasPrefix(f.path, pathASNumber) && f.lower == lower
	case protection.ItemCountry:
		return strings.HasPrefix(f.path, pathCountry) && f.lower == lower
	default:
		return false
	}
	prepared, err := Prepared(kind, value)
	return err == nil && strings.HasPrefix(f.path, path) && like(f.lower, prepared, f.db == MySQL)
}

// tested is stage 2 for the types that are confirmed with the whole value. It does not ask whether the rule looks at the
// field: the preselection of the item's own type has.
func (f *field) tested(ruleType protection.RuleType, kind protection.ItemType, value string) bool {
	lower := php.ToLower(value)
	switch ruleType {
	case protection.RuleEmail:
		return containsEmail(f.lower, lower)
	case protection.RuleDomain:
		return containsDomain(f.lower, lower)
	case protection.RuleWebsite:
		return containsURL(f.lower, lower)
	case protection.RuleProvider:
		return value == f.value
	}
	switch kind {
	case protection.ItemText, protection.ItemUAText:
		return f.containsText(lower)
	case protection.ItemWordExact:
		return containsWord(f.lower, lower)
	case protection.ItemWordFull:
		return php.Trim(value) == php.Trim(f.value)
	case protection.ItemIPAddress:
		return lower == f.lower
	}
	return false
}
