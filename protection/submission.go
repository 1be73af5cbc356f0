package protection

import (
	"time"

	"github.com/mosparoctl/mosparoctl/protection/php"
)

// SubmitToken is one issued permission to submit a form.
type SubmitToken struct {
	ID                int64
	ProjectID         int64
	LastSubmissionID  int64
	IPHash            string // whirlpool of the client address, see protection/crypt
	PageTitle         string
	PageURL           string
	FormActionURL     string
	FormID            string
	NoFormActionURL   bool   // was not sent at all, which is stored as NULL
	NoFormID          bool   // likewise
	Token             string // 43 characters, base64url
	ProofOfWorkResult string // hex sha256, empty if no proof was asked for
	CreatedAt         time.Time
	VerifiedAt        time.Time // not zero: the token is used up
	ValidUntil        time.Time // never written by mosparo 1.5, but honoured
	Recalled          bool      // from this node's memory, not from the database; see store.RecallToken
}

// Usable reports whether the token may still be checked and verified at now.
func (t *SubmitToken) Usable(now time.Time) bool {
	return t.VerifiedAt.IsZero() && (t.ValidUntil.IsZero() || !t.ValidUntil.Before(now))
}

// The groups of a submission's data.
const (
	GroupForm     = "formData"
	GroupClient   = "client"
	GroupMetadata = "metadata"
)

// FormField is one field of a submission's data. Raw keeps every member the client sent.
type FormField struct {
	Name      string  // as text, empty if there is none
	Key       php.Key // what PHP makes of the name where it indexes by it
	FieldPath string
	Type      string // "honeypot" or empty
	Value     php.Value
	Raw       php.Value
}

// Fields are the fields of a group of data. A member that is no map is a field without name and value, as PHP reads it.
func Fields(data php.Value, group string) []FormField {
	list := data.Get(group).Array()
	fields := make([]FormField, 0, list.Len())
	for v := range list.Values() {
		name, _ := v.Get("name").Text()
		key, _ := php.OffsetKey(v.Get("name"))
		kind, _ := v.Get("type").Str()
		fields = append(fields, FormField{Name: name, Key: key, FieldPath: FieldPath(v), Type: kind, Value: v.Get("value"), Raw: v})
	}
	return fields
}

// FieldPath is the path of a field as text, of which PHP makes "Array" where it is a list.
func FieldPath(field php.Value) string {
	path, ok := field.Get("fieldPath").Text()
	if !ok {
		return "Array"
	}
	return path
}

// PartialSubmission is what store-form-data collected for a token before the final check.
type PartialSubmission struct {
	ID            int64
	ProjectID     int64
	TokenID       int64
	Data          php.Value // encrypted where it is stored
	IgnoredFields php.Value // list of names
	UpdatedAt     time.Time
}

// Submission is one checked form. JSON columns that are empty hold the empty array, except Issues, which is null.
type Submission struct {
	ID                   int64
	ProjectID            int64
	TokenID              int64
	ValidationToken      string    // empty for spam, unless silent mode is on
	Data                 php.Value // encrypted where it is stored
	Signature            string    // hex HMAC-SHA256 of the checked fields
	SubmittedAt          time.Time
	VerifiedAt           time.Time
	MatchedRuleItems     php.Value // empty, or the honeypot's match
	IgnoredFields        php.Value
	GeneralVerifications php.Value // by name: minimumTime, equalSubmissions, proofOfWork
	VerifiedFields       php.Value // "valid" or "invalid" by field name
	Issues               php.Value // null or a list
	SpamRating           float64
	SpamDetectionRating  float64 // the threshold that was applied
	Spam                 Tristate
	Valid                Tristate
	Detection            *Detection // nil if no rules ran, or if it was not loaded
}

// Detection is what the rules found in a submission.
type Detection struct {
	FieldRuleItems  php.Value // matches by field path, or the empty array
	SubmissionRules php.Value // matches by rule key, or the empty array
}

// Tristate is a boolean that may be undecided.
type Tristate int8

// The values of a Tristate.
const (
	Undecided Tristate = iota
	No
	Yes
)

// Decided makes a Tristate of a boolean.
func Decided(b bool) Tristate {
	if b {
		return Yes
	}
	return No
}

// CleanupExecutor says who ran a cleanup.
type CleanupExecutor int

// Who can run a cleanup; PHP knows no other numbers.
const (
	ExecutorUnknown CleanupExecutor = 0
	ExecutorCommand CleanupExecutor = 1
	ExecutorAPI     CleanupExecutor = 2
	ExecutorWebCron CleanupExecutor = 3
)

// CleanupStatus says how a cleanup ended.
type CleanupStatus int

// How a cleanup can end.
const (
	CleanupRunning    CleanupStatus = 0 // running, or crashed
	CleanupIncomplete CleanupStatus = 1
	CleanupComplete   CleanupStatus = 2
)

// CleanupRun is the record of one cleanup; while it runs it is the lock that all nodes see.
type CleanupRun struct {
	ID                 int64
	StartedAt          time.Time
	Executor           CleanupExecutor
	Status             CleanupStatus
	StoredTokens       int64
	DeletedTokens      int64
	StoredSubmissions  int64
	DeletedSubmissions int64
	Took               time.Duration
}

// Expiry says which submissions a cleanup deletes: all that were submitted before Submitted, and those of before Unverified
// that are no spam and were never verified.
type Expiry struct {
	Submitted, Unverified time.Time
}
