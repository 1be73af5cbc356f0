package protection

import "time"

// Factor is a rating that may be absent, which counts as 1.
type Factor struct {
	Value float64
	Set   bool
}

// NewFactor makes a Factor that is set.
func NewFactor(f float64) Factor { return Factor{Value: f, Set: true} }

// Effective is the value, or 1 if it is not set.
func (f Factor) Effective() float64 {
	if !f.Set {
		return 1
	}
	return f.Value
}

// RuleType is the type of a rule and decides which fields it looks at.
type RuleType string

// The rule types.
const (
	RuleWord         RuleType = "word"
	RuleWebsite      RuleType = "website"
	RuleDomain       RuleType = "domain"
	RuleEmail        RuleType = "email"
	RuleIPAddress    RuleType = "ipAddress"
	RuleProvider     RuleType = "provider"
	RuleUnicodeBlock RuleType = "unicodeBlock"
	RuleUserAgent    RuleType = "user-agent"
)

// ItemType is the type of a rule item and decides how its value is compared.
type ItemType string

// The item types.
const (
	ItemText      ItemType = "text"
	ItemWordExact ItemType = "wExact"
	ItemWordFull  ItemType = "wFull"
	ItemRegex     ItemType = "regex"
	ItemURL       ItemType = "url"
	ItemDomain    ItemType = "domain"
	ItemEmail     ItemType = "email"
	ItemIPAddress ItemType = "ipAddress"
	ItemSubnet    ItemType = "subnet"
	ItemASNumber  ItemType = "asNumber"
	ItemCountry   ItemType = "country"
	ItemBlock     ItemType = "block"
	ItemUAText    ItemType = "uaText"
	ItemUARegex   ItemType = "uaRegex"
)

// Rule is a field rule of a project, or a rule of a rule package.
type Rule struct {
	ID          int64
	ProjectID   int64
	UUID        string
	Name        string
	Description string
	Type        RuleType
	Active      bool // always true for a rule of a package
	Factor      Factor
	UpdatedAt   time.Time // only of a rule of a package
	Items       []RuleItem

	NoDescription bool  // a rule of a package whose description is not even empty, which only its list tells apart
	NumberOfItems int64 // as stored with a rule of a package, -1 if it was not counted
}

// RuleItem is one value of a rule. Prepared and Hashed are what PHP's preselection uses; where they are empty PHP
// recomputes them. A store that loads items for matching leaves UUID, Prepared, Hashed and UpdatedAt empty.
type RuleItem struct {
	ID        int64
	RuleID    int64
	UUID      string
	Type      ItemType
	Value     string
	Rating    Factor
	Prepared  string
	Hashed    string
	UpdatedAt time.Time // only of an item of a package
}

// PackageType says where the content of a rule package comes from.
type PackageType int

// The package types.
const (
	PackageURL  PackageType = 1
	PackageFile PackageType = 2
	PackageCLI  PackageType = 3
	PackageAPI  PackageType = 4
)

// RulePackage is a set of rules imported from elsewhere.
type RulePackage struct {
	ID        int64
	ProjectID int64
	UUID      string
	Name      string
	Source    string // URL or absolute path
	Type      PackageType
	Active    bool
	Factor    Factor        // 0 counts as not set
	Cache     *PackageCache // nil before the first import
	Rules     []Rule        // empty unless asked for
}

// EffectiveFactor is the factor, where 0 counts as not set, so 1.
func (p *RulePackage) EffectiveFactor() float64 {
	if p.Factor.Value == 0 {
		return 1
	}
	return p.Factor.Effective()
}

// PackageCache is the state of the imported content of a rule package.
type PackageCache struct {
	ID              int64
	RefreshedAt     time.Time // the last fetch
	UpdatedAt       time.Time // lastUpdatedAt of the content
	RefreshInterval time.Duration
	NumberOfRules   int64 // -1: not counted
}

// SubmissionRule is a rule that looks at the submission as a whole.
type SubmissionRule struct {
	ID        int64
	ProjectID int64
	Key       string // "random-values"
	Enabled   bool
	Rating    Factor
	Settings  Settings
}

// RuleSet is all that decides the spam rating of a project's submissions.
type RuleSet struct {
	ProjectID       int64
	Fingerprint     string // changes when anything below changed
	Rules           []Rule // with items, by id
	Packages        []RulePackage
	SubmissionRules []SubmissionRule
}
