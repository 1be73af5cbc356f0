package httpapi

import (
	"slices"
	"strings"
	"time"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/crypt"
	"github.com/mosparoctl/mosparoctl/protection/php"
	"github.com/mosparoctl/mosparoctl/protection/rule"
	"github.com/mosparoctl/mosparoctl/protection/security"
	"github.com/mosparoctl/mosparoctl/protection/sign"
)

const (
	tokenNotSet     = "Submit token not set."
	tokenNotValid   = "Submit token not valid."
	formDataInvalid = "Form data not valid."
)

// maxFields bounds the fields of one form.
const maxFields = 10_000

// openToken reads the token of a frontend request with what was collected for it. If recall is true, a token that this node
// remembers will do, as a guess.
func (c *call) openToken(now time.Time, recall bool) (*protection.SubmitToken, *protection.PartialSubmission, error) {
	if !c.has("submitToken") {
		return nil, nil, c.refuse(tokenNotSet)
	}
	given, err := c.text("submitToken")
	if err != nil {
		return nil, nil, err
	}
	if recall {
		if token := c.h.o.Store.RecallToken(c.project.ID, given); token != nil {
			c.guessed = true
			return token, nil, nil
		}
	}
	token, partial, err := c.h.o.Store.TokenAndPartial(c.r.Context(), c.project.ID, given)
	if protection.Is(err, protection.CodeNotFound) || err == nil && !token.Usable(now) {
		return nil, nil, c.refuse(tokenNotValid)
	}
	return token, partial, err
}

// formData is a visitor's form as the widget sends it.
type formData struct {
	fields  php.Value // array of fields
	ignored *php.Array
}

// formData decodes the parameter formData. Where PHP fails on the structure, it is refused as invalid: here, where it is
// merged, signed or rated.
func (c *call) formData() (f formData, err error) {
	text, err := c.rawText("formData")
	if err != nil {
		return f, err
	}
	v, err := decodeJSON(text)
	f.fields, f.ignored = v.Get("fields"), php.NewArray()
	if err != nil || f.fields.Kind() != php.KindArray || f.fields.Len() > maxFields {
		return f, c.refuse(formDataInvalid)
	}
	switch list := v.Get("ignoredFields"); {
	case list.Kind() == php.KindArray:
		f.ignored = list.Array()
	case list.Truthy():
		return f, c.refuse(formDataInvalid)
	}
	return f, nil
}

// signable reports whether PHP can make the map of names and values that is signed: every field is asked for its type, and
// those that are no honeypot for a name to index by.
func signable(fields php.Value) bool {
	for f := range fields.Array().Values() {
		if f.Kind() == php.KindString || !sign.IsHoneypot(f) && f.Get("name").Kind() == php.KindArray {
			return false
		}
	}
	return true
}

// ratable reports whether PHP can look for rules in data: values are at most one level deep.
func ratable(data php.Value) bool {
	for f := range data.Get(protection.GroupForm).Array().Values() {
		if f.Kind() == php.KindString {
			return false
		}
		for element := range f.Get("value").Array().Values() {
			if element.Kind() == php.KindArray {
				return false
			}
		}
	}
	return true
}

// named gives the empty name to fields that have none: mosparo signs them by it, and cannot show a submission with such a
// field once it is verified.
func named(fields php.Value) php.Value {
	out := fields.Array().Clone()
	for key, f := range fields.Array().All() {
		if f.Kind() != php.KindArray {
			out.Set(key, php.Map(textPair("name", "")))
		} else if name := f.Get("name"); !name.IsScalar() {
			f = f.Clone()
			f.Array().SetString("name", php.String(""))
			out.Set(key, f)
		}
	}
	return php.ArrayOf(out)
}

// metadata is the parameter metadata, null if it cannot be read. given is false if there is none or the project allows none.
func (c *call) metadata() (v php.Value, given bool, err error) {
	if !c.project.MetadataAllowed || !c.has("metadata") {
		return php.Null, false, nil
	}
	text, err := c.rawText("metadata")
	if err != nil {
		return php.Null, false, err
	}
	if v, err = decodeJSON(text); err != nil {
		return php.Null, true, nil //nolint:nilerr // mosparo takes what it cannot read for null
	}
	return v, true, nil
}

// mergeMetadata puts metadata into the data of a submission. Of what can't be merged the earlier stays; mosparo fails.
func mergeMetadata(data *php.Array, metadata php.Value) {
	before, _ := data.Get(protection.GroupMetadata)
	switch {
	case before.IsNull():
		data.SetString(protection.GroupMetadata, metadata)
	case before.Kind() == php.KindArray && metadata.Kind() == php.KindArray:
		data.SetString(protection.GroupMetadata, php.ArrayOf(php.ReplaceRecursive(before.Array(), metadata.Array())))
	}
}

// guessing calls f, which may decide upon what this node remembers of a token. What was decided so is only true once it is
// written: the store writes nothing if another node has changed the token. All else is decided anew, upon what is stored.
func (c *call) guessing(f func(recall bool) (php.Value, error)) (php.Value, error) {
	reply, err := f(true)
	if c.guessed && !protection.Is(err, protection.CodeUnavailable) {
		return f(false)
	}
	return reply, err
}

// checkFormData rates a form and keeps it as a submission.
func (c *call) checkFormData() (php.Value, error) { return c.guessing(c.check) }

func (c *call) check(recall bool) (php.Value, error) {
	ctx, now := c.r.Context(), c.h.o.Store.Now()
	token, partial, err := c.openToken(now, recall)
	if err != nil {
		return php.Null, err
	}
	set := c.settings(c.ip, token.PageURL, token.FormActionURL, token.FormID)
	allowed := set.Allowed(c.ip)
	if !allowed {
		r, err := c.restrict(ctx, set.Lockout, crypt.HashIP(c.ip), now)
		if err != nil {
			return php.Null, err
		}
		if r != nil {
			c.guessed = false // it was counted, and must not be counted twice
			return c.lockedOut(r), nil
		}
	}
	if !c.has("formData") {
		return php.Null, c.refuse("Form data not set.")
	}
	form, err := c.formData()
	if err != nil {
		return php.Null, err
	}
	s := &protection.Submission{ProjectID: c.project.ID, TokenID: token.ID, SubmittedAt: now, MatchedRuleItems: php.List(),
		GeneralVerifications: php.List(), VerifiedFields: php.List()}
	if !signable(form.fields) {
		return php.Null, c.refuse(formDataInvalid)
	}
	spam, err := c.checkVisitor(s, token, &form, set, allowed)
	if err != nil {
		return php.Null, err
	}
	if err := c.collect(s, form, partial); err != nil {
		return php.Null, err
	}
	var rules []MatchedRule
	if !spam || c.project.SilentMode {
		if !ratable(s.Data) {
			return php.Null, c.refuse(formDataInvalid)
		}
		if spam, rules, err = c.rate(s, set); err != nil {
			return php.Null, err
		}
	}
	s.Spam = protection.Decided(spam)
	passes := !spam || c.project.SilentMode
	validation := php.Null
	if passes {
		s.ValidationToken = sign.NewToken()
		validation = php.String(s.ValidationToken)
	}
	if err := c.h.o.Store.CreateSubmission(ctx, token, s, spam); err != nil {
		return php.Null, err
	}
	c.guessed = false
	if c.h.o.Checked != nil {
		c.h.o.Checked(Outcome{Spam: spam, Rules: rules})
	}
	return php.Map(boolPair("valid", passes), pair("validationToken", validation)), nil
}

func (c *call) lockedOut(r *protection.Restriction) php.Value {
	reply := php.Map(boolPair("security", true), textPair("type", "lockout"), timePair("until", r.ValidUntil))
	if c.invisible() {
		with(reply, boolPair("invisible", true))
	}
	return reply
}

// checkVisitor looks at honeypot and proof of work, and signs the fields. It reports whether the visitor is a machine.
func (c *call) checkVisitor(s *protection.Submission, token *protection.SubmitToken, form *formData, set security.Settings, allowed bool) (spam bool, err error) {
	if set.HoneypotActive && !allowed {
		h := security.CheckHoneypot(form.fields, set.HoneypotName, c.project.SpamScore)
		form.fields, s.MatchedRuleItems, spam = h.Fields, h.Matched, h.Filled
	}
	if set.ProofOfWork.Active && !allowed {
		number, err := c.text("proofOfWorkNumber")
		if err != nil {
			return false, err
		}
		v := security.VerifyProofOfWork(token, php.Intval(number))
		s.GeneralVerifications = php.Map(pair(security.VerificationProofOfWork, v.Value()))
		spam = spam || !v.Valid
	}
	if spam {
		s.SpamRating, s.SpamDetectionRating = c.project.SpamScore+1, c.project.SpamScore
	}
	checked := php.Map(pair(protection.GroupForm, form.fields))
	s.Signature, err = sign.Submission(c.project.PrivateKey, protection.Fields(checked, protection.GroupForm))
	return spam, err
}

// collect puts together what the submission keeps: the fields of all steps, the metadata and the client.
func (c *call) collect(s *protection.Submission, form formData, partial *protection.PartialSubmission) error {
	data, ignored := php.NewArray(), form.ignored
	if partial != nil {
		data, ignored = cloned(partial.Data), joined(partial.IgnoredFields.Array(), form.ignored)
	}
	before, _ := data.Get(protection.GroupForm)
	merged, ok := sign.Merge(before, form.fields)
	if !ok {
		return c.refuse(formDataInvalid)
	}
	data.SetString(protection.GroupForm, named(merged))
	data.SetString(protection.GroupClient, c.clientData())
	metadata, given, err := c.metadata()
	if err != nil {
		return err
	}
	if given {
		mergeMetadata(data, metadata)
	}
	s.Data, s.IgnoredFields = php.ArrayOf(data), php.ArrayOf(ignored)
	return nil
}

// clientData is what a submission keeps about the visitor, as fields that rules look at.
func (c *call) clientData() php.Value {
	agent := php.Null
	if v, ok := c.r.Header["User-Agent"]; ok && len(v) > 0 {
		agent = php.String(strings.ToValidUTF8(v[0], "\uFFFD"))
	}
	data := php.List(clientField("ipAddress", php.String(c.ip)), clientField("userAgent", agent))
	if c.h.o.Locate == nil {
		return data
	}
	if l := c.h.o.Locate(c.ip); l != nil {
		number, organization, country := php.Null, php.Null, php.Null
		if l.ASNumber != 0 {
			number = php.Int(l.ASNumber)
		}
		if l.ASOrganization != "" {
			organization = php.String(l.ASOrganization)
		}
		if l.Country != "" {
			country = php.String(l.Country)
		}
		for _, f := range []php.Value{clientField("asNumber", number), clientField("asOrganization", organization), clientField("country", country)} {
			data.Array().Append(f)
		}
	}
	return data
}

func clientField(name string, v php.Value) php.Value {
	return php.Map(textPair("name", name), pair("value", v), textPair("fieldPath", name))
}

// clientIP is the address of the visitor of a stored submission, empty if there is none.
func clientIP(data php.Value) string {
	for _, f := range protection.Fields(data, protection.GroupClient) {
		if f.Name == "ipAddress" {
			ip, _ := f.Value.Text()
			return ip
		}
	}
	return ""
}

// rate lets the project's rules decide, and tells which of them matched.
func (c *call) rate(s *protection.Submission, set security.Settings) (spam bool, matched []MatchedRule, err error) {
	matcher, err := c.h.o.Projects.Matcher(c.r.Context(), c.project.ID)
	if err != nil {
		return false, nil, err
	}
	result := matcher.Check(s.Data)
	if result.CutOff > 0 {
		c.h.o.Log.Warn("patterns took too long and were cut off", "project", c.project.ID, "patterns", result.CutOff)
		if c.h.o.CutOff != nil {
			c.h.o.CutOff(result.CutOff)
		}
	}
	s.Detection = result.Detection()
	s.SpamRating, s.SpamDetectionRating = result.Score, set.SpamScore
	if c.h.o.Checked != nil {
		matched = matchedRules(matcher, result)
	}
	return rule.IsSpam(result.Score, set.SpamScore, set.Active), matched, nil
}

// matchedRules lists the rules that found something, each once.
func matchedRules(m *rule.Matcher, r *rule.Result) []MatchedRule {
	var list []MatchedRule
	for _, f := range r.Fields {
		for _, match := range f.Matches {
			if !slices.ContainsFunc(list, func(o MatchedRule) bool { return o.UUID == match.RuleUUID }) {
				list = append(list, MatchedRule{match.RuleUUID, m.RuleName(match.RuleUUID)})
			}
		}
	}
	return list
}
