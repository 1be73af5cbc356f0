// Package protection holds the nouns of the protection core and its error codes: what a project, a submit token, a
// submission or a rule is, as mosparo 1.5 stores them. It knows no database, no HTTP and no clock. The packages below it
// do the work and import only this one and protection/php, the value formats.
//
// Times carry the resolution of a second and the location the store was opened with (PHP's default time zone). The zero
// time, the id 0 and the empty string stand for NULL in columns that may be NULL, unless a field says otherwise.
package protection

import (
	"strconv"
	"time"

	"github.com/mosparoctl/mosparoctl/protection/php"
)

// LanguageSource says where the language of the messages comes from.
type LanguageSource int

// The language sources of a project.
const (
	LanguageBrowser     LanguageSource = 0 // the browser's languages, then the fallback
	LanguageBrowserHTML LanguageSource = 1 // the browser's, then that of the page
	LanguageHTMLBrowser LanguageSource = 2 // that of the page, then the browser's
)

// Forever is the statistic storage limit under which nothing is ever deleted.
const Forever = "FOREVER"

// Project is one protected website or form.
type Project struct {
	ID                         int64
	GroupID                    int64
	UUID                       string
	Name                       string
	Description                string
	Hosts                      []string
	PublicKey                  string
	PrivateKey                 string // plaintext; encrypted where it is stored
	Active                     bool   // an inactive project rates submissions but never calls them spam by rules
	SpamScore                  float64
	APIDebugMode               bool
	VerificationSimulationMode bool
	StatisticStorageLimit      string // 14D 1M 2M 3M 6M 1Y 2Y FOREVER
	LanguageSource             LanguageSource
	MetadataAllowed            bool
	MetadataReturned           bool
	SpamDataReturned           bool
	SilentMode                 bool
	Settings                   Settings // stored rows only: what differs from the defaults
}

// Guideline is a set of security settings for some visitors or some forms of a project.
type Guideline struct {
	ID             int64
	ProjectID      int64
	UUID           string
	Name           string
	Description    string
	Priority       int // the highest that matches wins
	Subnets        []string
	CountryCodes   []string
	ASNumbers      []string
	FormPageURLs   []string
	FormActionURLs []string
	FormIDs        []string
	Settings       Settings // stored rows only
}

// TranslationKey names a message whose text a project may replace.
type TranslationKey int

// The messages that can be replaced.
const (
	MessageLabel              TranslationKey = 1
	MessageCheckingData       TranslationKey = 2
	MessageDataValid          TranslationKey = 3
	MessageProtectedBy        TranslationKey = 4
	MessageGotNoToken         TranslationKey = 5
	MessageInternalError      TranslationKey = 6
	MessageNoTokenAvailable   TranslationKey = 7
	MessageSpamDetected       TranslationKey = 8
	MessageLockedOut          TranslationKey = 9
	MessageDelay              TranslationKey = 10
	MessageHoneypotLeaveEmpty TranslationKey = 11
)

// Translation is a project's own text of a message in one locale ("de", "de_CH", "zh_Hant").
type Translation struct {
	ID        int64
	ProjectID int64
	Key       TranslationKey
	Locale    string
	Text      string
}

// DayStatistic counts what happened in a project on one calendar day of the store's location.
type DayStatistic struct {
	Date      time.Time // midnight of the day
	Valid     int64
	Spam      int64
	Delayed   int64
	Blocked   int64
	UpdatedAt time.Time
}

// Counter is a column of DayStatistic.
type Counter int

// The counters of a day.
const (
	CountValid Counter = iota
	CountSpam
	CountDelayed
	CountBlocked
)

// Localization is what GeoIP knows about an address. A zero field is not known.
type Localization struct {
	ASNumber       int64
	ASOrganization string
	Country        string // ISO 3166-1 alpha-2
}

// RestrictionKind tells delays and lockouts apart. Both are global: they hold in every project.
type RestrictionKind int

// The two restrictions of an address.
const (
	Delay   RestrictionKind = iota // no new submit token for a while
	Lockout                        // no check of form data for a while
)

// Restriction is a delay or lockout of a client address.
type Restriction struct {
	ID         int64
	Kind       RestrictionKind
	IPHash     string
	StartedAt  time.Time // PHP stores the first ValidUntil here for a lockout
	Duration   int64     // seconds
	ValidUntil time.Time
}

// Settings are the stored values of a project or a guideline by name, each with its PHP type. What is not in it has its
// default. A Settings that came from a store is shared and must not be changed.
type Settings map[string]php.Value

// Bool is the setting called name, or def if it is not stored or no scalar. Other scalars than booleans count as in PHP: 0,
// "" and "0" are false.
func (s Settings) Bool(name string, def bool) bool {
	if v := s[name]; v.IsScalar() {
		return v.Truthy()
	}
	return def
}

// Int is the setting called name, or def if it is not stored or no number. A stored float is truncated, the text of a
// number counts as one.
func (s Settings) Int(name string, def int64) int64 {
	switch v := s[name]; v.Kind() {
	case php.KindInt, php.KindFloat:
		return v.Intval()
	case php.KindString:
		if t, _ := v.Str(); php.IsNumeric(t) {
			return v.Intval()
		}
	}
	return def
}

// Float is the setting called name, or def if it is not stored or no number. The text of a number counts as one.
func (s Settings) Float(name string, def float64) float64 {
	v := s[name]
	if f, ok := v.Float(); ok {
		return f
	}
	if t, ok := v.Str(); ok && php.IsNumeric(t) {
		if f, err := strconv.ParseFloat(php.Trim(t), 64); err == nil {
			return f
		}
	}
	return def
}

// Text is the setting called name, or def if it is not stored or no string.
func (s Settings) Text(name, def string) string {
	if t, ok := s[name].Str(); ok {
		return t
	}
	return def
}
