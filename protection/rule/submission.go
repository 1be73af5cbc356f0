package rule

import (
	"strings"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/php"
)

// RandomValuesKey is the key of the only submission rule that mosparo 1.5 has.
const RandomValuesKey = "random-values"

const (
	lowerLetters = "abcdefghijklmnopqrstuvwxyz"
	upperLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
)

// RandomValues is the outcome of the submission rule that looks for meaningless texts.
type RandomValues struct {
	Rating  protection.Factor
	Paths   []string // of the fields that matched
	Matches []string // what matched in them
}

func (m *Matcher) checkSubmission(fields []protection.FormField, r *Result) {
	for _, rule := range m.submissionRules {
		if rule.Key != RandomValuesKey || !rule.Enabled {
			continue
		}
		found := randomValues(rule.Settings, fields)
		if int64(len(found.Paths)) < rule.Settings.Int("numberOfMatchingFields", 3) {
			continue
		}
		found.Rating = protection.Factor{Value: finite(rule.Rating.Value), Set: rule.Rating.Set}
		r.Random = found
		r.Score += found.Rating.Value // one that is not set adds nothing
	}
}

// randomValues collects the fields with a long run of letters and digits. The stored setting is missing on a rule that
// was never saved; then mosparo looks for runs of only three characters.
func randomValues(s protection.Settings, fields []protection.FormField) *RandomValues {
	least := int(max(1, s.Int("numberOfRandomCharacters", 3)))
	textareas := s.Bool("matchTextarea", false)
	bothCases := s.Bool("requireBothCases", true)
	found := &RandomValues{}
	for _, f := range fields {
		text, ok := f.Value.Text()
		if !ok || f.Value.Kind() == php.KindArray {
			continue
		}
		text = php.Trim(text)
		match, ok := "", false
		switch {
		case strings.HasPrefix(f.FieldPath, "input[text]."):
			match, ok = text, len(text) >= least && runLength(text) == len(text)
		case textareas && strings.HasPrefix(f.FieldPath, "textarea."):
			match, ok = firstRun(text, least)
		}
		switch {
		case !ok || php.IsNumeric(match):
		case bothCases && !(strings.ContainsAny(match, lowerLetters) && strings.ContainsAny(match, upperLetters)):
		default:
			found.Paths = append(found.Paths, protection.GroupForm+"."+f.FieldPath)
			found.Matches = append(found.Matches, strings.ToValidUTF8(match, ""))
		}
	}
	return found
}

// runLength is the length of the run of ASCII letters and digits at the start of s.
func runLength(s string) int {
	n := 0
	for n < len(s) && isWord(s[n]) && s[n] != '_' {
		n++
	}
	return n
}

// firstRun finds the first run of at least so many letters and digits that is a word of its own; it comes with the bytes
// around it.
func firstRun(s string, least int) (string, bool) {
	for i := 0; i < len(s); {
		n := runLength(s[i:])
		if n > 0 && n >= least && wordAt(s, i, i+n) {
			return s[max(0, i-1):min(len(s), i+n+1)], true
		}
		i += max(1, n)
	}
	return "", false
}

// Detection returns the result as it is stored in detection_result. What did not match is the empty array.
func (r *Result) Detection() *protection.Detection {
	fields := php.NewArray()
	for _, f := range r.Fields {
		list := make([]php.Value, len(f.Matches))
		for i, m := range f.Matches {
			list[i] = php.Map(php.Pair{Key: "type", Value: php.String(string(m.Type))}, php.Pair{Key: "value", Value: php.String(m.Value)},
				php.Pair{Key: "rating", Value: php.Float(m.Rating)}, php.Pair{Key: "uuid", Value: php.String(m.RuleUUID)})
		}
		fields.SetString(f.Path, php.List(list...))
	}
	submission := php.NewArray()
	if r.Random != nil {
		rating := php.Null
		if r.Random.Rating.Set {
			rating = php.Float(r.Random.Rating.Value)
		}
		submission.SetString(RandomValuesKey, php.Map(
			php.Pair{Key: "identifier", Value: php.String(RandomValuesKey)}, php.Pair{Key: "rating", Value: rating},
			php.Pair{Key: "matchingFields", Value: php.Strings(r.Random.Paths...)}, php.Pair{Key: "matches", Value: php.Strings(r.Random.Matches...)}))
	}
	return &protection.Detection{FieldRuleItems: php.ArrayOf(fields), SubmissionRules: php.ArrayOf(submission)}
}

// IsSpam reports whether a score makes a submission of a project spam. threshold is the project's spam score, or that of a
// guideline; active is the status that goes with it.
func IsSpam(score, threshold float64, active bool) bool { return active && score >= threshold }
