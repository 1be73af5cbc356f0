package security

import (
	"crypto/rand"
	"math"
	"math/big"
	"time"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/php"
	"github.com/mosparoctl/mosparoctl/protection/sign"
)

const (
	// maxRestriction is the longest delay or lockout: one year.
	maxRestriction = 365 * 24 * 60 * 60
	// maxComplexity keeps the numbers of a proof of work exact in JavaScript.
	maxComplexity = 15
)

// Restrict decides about a request when so many were counted in the limit's window. current is the row of the address that
// is valid beyond now, nil if there is none. The result is the row to store (with current's id, or 0 for a new one), nil if
// the request may go on. Every request of a restricted address lengthens the restriction.
func (l Limit) Restrict(current *protection.Restriction, requests int64, ipHash string, now time.Time) *protection.Restriction {
	if !l.Active || current == nil && requests <= l.Requests {
		return nil
	}
	if current == nil {
		r := &protection.Restriction{Kind: l.Kind, IPHash: ipHash, StartedAt: now, Duration: clampDuration(float64(l.Duration))}
		r.ValidUntil = r.StartedAt.Add(time.Duration(r.Duration) * time.Second)
		if l.Kind == protection.Lockout {
			// mosparo computes the end in place, so that a lockout starts at its own end. It shows in later answers.
			r.StartedAt = r.ValidUntil
		}
		return r
	}
	r := *current
	r.Duration = clampDuration(float64(current.Duration) * l.Multiplicator)
	r.ValidUntil = r.StartedAt.Add(time.Duration(r.Duration) * time.Second)
	return &r
}

func clampDuration(seconds float64) int64 {
	if math.IsNaN(seconds) || seconds < 0 {
		return 0
	}
	return int64(min(seconds, maxRestriction))
}

// MaxNumber is the bound of the numbers that a proof of work may ask for, when so many requests were counted in the window.
// It is 2 at least, so that there is a number below it.
func (p ProofOfWork) MaxNumber(requests int64) int64 {
	most := powerOfTen(p.Complexity)
	if !p.Dynamic {
		return int64(most)
	}
	percent := 100.0
	if p.Requests > 0 { // mosparo fails when it is 0
		percent = min(100, 100/float64(p.Requests)*float64(requests))
	}
	return int64(most + (powerOfTen(p.MaxComplexity)-most)/100*percent)
}

func powerOfTen(exponent int64) float64 {
	return max(2, math.Pow10(int(min(max(exponent, 0), maxComplexity)))-1)
}

// NewNumber draws the number of a proof of work, from 1 to below most: mosparo's own widget never tries most, so that whoever
// gets it is taken for a robot. mosparo draws it all the same.
func NewNumber(most int64) int64 {
	n, err := rand.Int(rand.Reader, big.NewInt(max(1, most-1)))
	if err != nil {
		return 1 // rand.Reader never fails
	}
	return n.Int64() + 1
}

// Verification is the outcome of a general check as it is stored with a submission.
type Verification struct {
	Valid bool
	Data  php.Value
}

// Value is the stored form, {"valid": …, "data": …}.
func (v Verification) Value() php.Value {
	return php.Map(php.Pair{Key: "valid", Value: php.Bool(v.Valid)}, php.Pair{Key: "data", Value: v.Data})
}

// The keys of the general verifications of a submission.
const (
	VerificationMinimumTime = "minimumTime"
	VerificationEqual       = "equalSubmissions"
	VerificationProofOfWork = "proofOfWork"
)

// VerifyProofOfWork compares the hash of the number a visitor found with the one stored with the token, which is empty if
// the proof was asked for after the token was made; then nothing is right.
func VerifyProofOfWork(token *protection.SubmitToken, number int64) Verification {
	expected := php.Null
	if token.ProofOfWorkResult != "" {
		expected = php.String(token.ProofOfWorkResult)
	}
	generated := sign.ProofOfWork(token.Token, number)
	return Verification{
		Valid: token.ProofOfWorkResult != "" && sign.Equal(generated, token.ProofOfWorkResult),
		Data:  php.Map(php.Pair{Key: "expectedHash", Value: expected}, php.Pair{Key: "generatedHash", Value: php.String(generated)}),
	}
}

// VerifyMinimumTime compares the whole seconds since the token was made with the time that a person needs.
func (s *Settings) VerifyMinimumTime(createdAt, now time.Time) Verification {
	elapsed := int64(now.Sub(createdAt) / time.Second)
	return Verification{
		Valid: elapsed >= s.MinimumTimeSeconds,
		Data:  php.Map(php.Pair{Key: "seconds", Value: php.Int(elapsed)}, php.Pair{Key: "minimumTimeSeconds", Value: php.Int(s.MinimumTimeSeconds)}),
	}
}

// VerifyEqual compares the number of equal submissions, the current one included, with the allowed one.
func (s *Settings) VerifyEqual(count int64) Verification {
	return Verification{
		Valid: count <= s.EqualNumber,
		Data:  php.Map(php.Pair{Key: "allowed", Value: php.Int(s.EqualNumber)}, php.Pair{Key: "actual", Value: php.Int(count)}),
	}
}

// Honeypot is what became of the field that no person sees.
type Honeypot struct {
	Fields  php.Value // of the submission, the honeypot marked by its type
	Filled  bool
	Matched php.Value // the match to store in matched_rule_items, empty unless filled
}

// CheckHoneypot marks the first field of the given name, which must be a text. spamScore is the project's; a filled honeypot is rated one above.
func CheckHoneypot(fields php.Value, name string, spamScore float64) Honeypot {
	h := Honeypot{Fields: fields, Matched: php.List()}
	if fields.Kind() != php.KindArray {
		return h
	}
	for key, field := range fields.Array().All() {
		if text, ok := field.Get("name").Str(); !ok || text != name {
			continue
		}
		marked := field.Array().Clone()
		marked.SetString("type", php.String(sign.FieldHoneypot))
		list := fields.Array().Clone()
		list.Set(key, php.ArrayOf(marked))
		h.Fields = php.ArrayOf(list)
		if h.Filled = filled(field.Get("value")); h.Filled {
			h.Matched = php.Map(php.Pair{Key: protection.GroupForm + "." + protection.FieldPath(field), Value: php.List(php.Map(
				php.Pair{Key: "type", Value: php.String(sign.FieldHoneypot)}, php.Pair{Key: "value", Value: php.String("")},
				php.Pair{Key: "rating", Value: php.Float(spamScore + 1)}, php.Pair{Key: "uuid", Value: php.String("")}))})
		}
		break
	}
	return h
}

// filled is PHP's loose `!= ”`.
func filled(v php.Value) bool {
	switch v.Kind() {
	case php.KindArray, php.KindInt, php.KindFloat:
		return true
	}
	text, _ := v.Text()
	return text != ""
}
