package httpapi

import (
	"net/http"
	"strings"
	"time"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/crypt"
	"github.com/mosparoctl/mosparoctl/protection/php"
	"github.com/mosparoctl/mosparoctl/protection/security"
	"github.com/mosparoctl/mosparoctl/protection/sign"
	"github.com/mosparoctl/mosparoctl/protection/store"
)

const (
	parameterMissing   = "Required parameter missing."
	tokenNotFound      = "Submit token not found or not valid."
	submissionMissing  = "Submission does not exist."
	verificationFailed = "Verification failed."
)

func reason(text string, more ...php.Pair) []php.Pair {
	return append([]php.Pair{textPair("reason", text)}, more...)
}

// verify tells a website's back end whether what it received is what was checked here, and uses the token up.
func (c *call) verify() (php.Value, error) {
	if !c.has("submitToken") || !c.has("validationSignature") || !c.has("formSignature") {
		return php.Null, c.refuse(parameterMissing, reason("required_parameter_missing", boolPair("hasSubmitToken", c.has("submitToken")),
			boolPair("hasValidationSignature", c.has("validationSignature")), boolPair("hasFormSignature", c.has("formSignature")))...)
	}
	return c.guessing(c.verifyToken)
}

func (c *call) verifyToken(recall bool) (php.Value, error) {
	v := verification{call: c, now: c.h.o.Store.Now()}
	if err := v.open(recall); err != nil {
		return php.Null, err
	}
	if err := v.decide(); err != nil {
		return php.Null, err
	}
	if err := v.save(); err != nil {
		return php.Null, err
	}
	return v.reply()
}

// verification is the verification of one submission on its way.
type verification struct {
	*call
	now      time.Time
	token    *protection.SubmitToken
	sub      *protection.Submission
	received php.Value // hashes of what the website received
	data     *php.Array
	changed  bool // data has to be written

	general    *php.Array
	issues     *php.Array
	fields     *sign.FieldVerification
	consumed   *failure // the reply of a verification that failed as a whole
	fieldsOK   bool
	minimum    php.Value // for spamData, null if it was not measured
	equal      php.Value
	validation string // signature of a successful verification
}

// find looks up the token with its submission, or recalls them if that will do.
func (v *verification) find(given string, recall bool) (err error) {
	if recall && !v.project.MetadataAllowed { // which another node may have stored since
		if v.token, v.sub = v.h.o.Store.RecallSubmission(v.project.ID, given); v.sub != nil {
			v.guessed = true
			return nil
		}
	}
	v.token, v.sub, err = v.h.o.Store.TokenAndSubmission(v.r.Context(), v.project.ID, given)
	return err
}

func (v *verification) open(recall bool) (err error) {
	given, err := v.text("submitToken")
	if err != nil {
		return err
	}
	err = v.find(given, recall)
	switch {
	case protection.Is(err, protection.CodeNotFound):
		return v.refuse(tokenNotFound, reason("submit_token_not_found")...)
	case err != nil:
		return err
	case !v.token.Usable(v.now):
		return v.refuse(tokenNotFound, reason("submit_token_not_valid")...)
	case v.sub == nil:
		return v.refuse(submissionMissing)
	}
	metadata, _, err := v.metadata()
	if err != nil {
		return err
	}
	v.data = cloned(v.sub.Data)
	if v.changed = metadata.Truthy(); v.changed {
		mergeMetadata(v.data, metadata)
	}
	v.received, _ = v.body.Get("formData")
	v.general, v.issues = cloned(v.sub.GeneralVerifications), cloned(v.sub.Issues)
	return nil
}

// decide runs all checks; it does not write anything.
func (v *verification) decide() error {
	ip := clientIP(v.sub.Data)
	set := v.settings(ip, v.token.PageURL, v.token.FormActionURL, v.token.FormID)
	if set.MinimumTimeActive {
		m := set.VerifyMinimumTime(v.token.CreatedAt, v.now)
		v.general.SetString(security.VerificationMinimumTime, m.Value())
		v.minimum = m.Data
		if !m.Valid {
			v.consume(reason("minimum_time_invalid", pair("minimumTimeExpected", m.Data.Get("minimumTimeSeconds")),
				pair("minimumTimeElapsed", m.Data.Get("seconds"))))
			return nil
		}
	}
	if v.sub.ValidationToken == "" {
		// Spam that was refused has no validation token to compare with; mosparo fails here before it writes anything, and
		// clients know the failure as one of the server.
		return exception{status: http.StatusInternalServerError}
	}
	given, err := v.text("validationSignature")
	if err != nil {
		return err
	}
	if expected := sign.HMAC(v.project.PrivateKey, v.sub.ValidationToken); !sign.Equal(expected, given) {
		received, _ := v.body.Get("validationSignature") // what is no string is told as it is
		if received.Kind() == php.KindString {
			received = php.String(given)
		}
		v.consume(reason("validation_signature_invalid", textPair("expectedSignature", expected), pair("receivedSignature", received),
			textPair("signaturePayload", v.sub.ValidationToken)))
		return nil
	}
	v.fields = sign.VerifyFields(protection.Fields(v.sub.Data, protection.GroupForm), v.received)
	for _, issue := range v.fields.Issues {
		v.issues.Append(issue)
	}
	if v.fieldsOK = v.issues.Len() == 0; !v.fieldsOK {
		return nil
	}
	signature, err := sign.Form(v.project.PrivateKey, arrayOrEmpty(v.received))
	if err != nil {
		return exception{status: http.StatusBadRequest} // the signature of the request could not have been right
	}
	v.validation = sign.Verification(v.project.PrivateKey, v.sub.ValidationToken, signature)
	return v.countEqual(set, ip)
}

func (v *verification) countEqual(set security.Settings, ip string) error {
	if !set.EqualActive {
		return nil
	}
	ipHash := ""
	if set.EqualByIP && ip != "" {
		ipHash = crypt.HashIP(ip)
	}
	n, err := v.h.o.Store.CountEqual(v.r.Context(), v.project.ID, v.sub.Signature, ipHash, v.now.Add(-seconds(set.EqualSeconds)))
	if err != nil {
		return err
	}
	e := set.VerifyEqual(n)
	v.general.SetString(security.VerificationEqual, e.Value())
	v.equal = e.Data
	if !e.Valid {
		v.consume(reason("too_many_equal_submissions", pair("allowedNumberOfEqualSubmissions", e.Data.Get("allowed")),
			pair("actualNumberOfEqualSubmissions", e.Data.Get("actual"))))
	}
	return nil
}

// consume notes a failure that uses the token up. The stored issue always has the debug information, the reply only if the
// project shows it.
func (v *verification) consume(debug []php.Pair) {
	full := refuse(http.StatusOK, verificationFailed, pair("debugInformation", php.Map(debug...)))
	shown := v.refuse(verificationFailed, debug...)
	if v.project.MetadataReturned {
		with(full.value, pair("metadata", v.metadataReply()))
		with(shown.value, pair("metadata", v.metadataReply()))
	}
	v.issues.Append(full.value)
	v.consumed = &shown
}

func (v *verification) metadataReply() php.Value {
	m, _ := v.data.Get(protection.GroupMetadata)
	if m.IsNull() {
		return php.List()
	}
	return m
}

func arrayOrEmpty(v php.Value) php.Value {
	if v.Kind() != php.KindArray {
		return php.List()
	}
	return v
}

func (v *verification) spam() bool { return v.sub.Spam == protection.Yes }

func (v *verification) valid() bool { return v.consumed == nil && v.fieldsOK && !v.spam() }

// save records the outcome. Whoever comes second gets the reply for a used token.
func (v *verification) save() error {
	row := store.Verification{ProjectID: v.project.ID, TokenID: v.token.ID, SubmissionID: v.sub.ID, At: v.now, Valid: v.valid(), Recalled: v.token.Recalled,
		VerifiedFields: v.sub.VerifiedFields, GeneralVerifications: php.ArrayOf(v.general)}
	if v.issues.Len() > 0 {
		row.Issues = php.ArrayOf(v.issues)
	}
	if v.changed {
		row.Data = php.ArrayOf(v.data)
	}
	if v.fields != nil { // also where there are too many equal submissions
		row.VerifiedFields = php.ArrayOf(v.fields.Verified)
	}
	if v.consumed == nil {
		row.Counted, row.Counter = true, protection.CountSpam
		if row.Valid {
			row.Counter = protection.CountValid
		}
	}
	v.h.o.Store.Forget(v.project.ID, v.token.Token)
	err := v.h.o.Store.Verify(v.r.Context(), row)
	if protection.Is(err, protection.CodeUsed) {
		return v.refuse(tokenNotFound, reason("submit_token_not_valid")...)
	}
	v.guessed = v.guessed && err != nil
	return err
}

func (v *verification) reply() (php.Value, error) {
	if v.consumed != nil {
		return php.Null, *v.consumed
	}
	reply := php.Map(boolPair("valid", v.valid()), textPair("verificationSignature", v.validation), pair("verifiedFields", php.ArrayOf(v.fields.Verified)),
		pair("issues", v.shownIssues()))
	if v.project.MetadataReturned {
		with(reply, pair("metadata", v.metadataReply()))
	}
	if v.project.SpamDataReturned {
		data := php.Map(pair("spamRating", php.Float(v.sub.SpamRating)), pair("spamDetectionRating", php.Float(v.sub.SpamDetectionRating)),
			boolPair("isSpam", v.spam()), boolPair("isValid", v.valid()), timePair("submittedAt", v.sub.SubmittedAt), timePair("verifiedAt", v.now))
		if !v.minimum.IsNull() {
			with(data, pair("minimumTimeData", v.minimum))
		}
		if !v.equal.IsNull() {
			with(data, pair("equalSubmissionsData", v.equal))
		}
		with(reply, pair("spamData", data))
	}
	return reply, nil
}

// shownIssues are the issues as a client sees them.
func (v *verification) shownIssues() php.Value {
	if v.debug {
		return php.ArrayOf(v.issues)
	}
	shown := php.NewArray()
	for issue := range v.issues.Values() {
		i := cloned(issue)
		i.Delete("debugInformation")
		shown.Append(php.ArrayOf(i))
	}
	return php.ArrayOf(shown)
}

// storeMetadata adds metadata to a submission, also after it was verified.
func (c *call) storeMetadata() (php.Value, error) {
	if !c.project.MetadataAllowed {
		return php.Null, c.refuse("Metadata is not allowed in this project.")
	}
	if !c.has("submitToken") || !c.has("validationSignature") {
		return php.Null, c.refuse(parameterMissing, reason("required_parameter_missing", boolPair("hasSubmitToken", c.has("submitToken")),
			boolPair("hasValidationSignature", c.has("validationSignature")))...)
	}
	var given, signature string
	if err := c.texts(map[string]*string{"submitToken": &given, "validationSignature": &signature}); err != nil {
		return php.Null, err
	}
	_, sub, err := c.h.o.Store.TokenAndSubmission(c.r.Context(), c.project.ID, given)
	switch {
	case protection.Is(err, protection.CodeNotFound):
		return php.Null, c.refuse(tokenNotFound, reason("submit_token_not_found")...)
	case err != nil:
		return php.Null, err
	case sub == nil:
		return php.Null, c.refuse(submissionMissing)
	}
	expected := sign.HMAC(c.project.PrivateKey, sub.ValidationToken)
	if sub.ValidationToken == "" || !sign.Equal(expected, signature) {
		return php.Null, c.refuse("Validation signature invalid.", reason("validation_signature_invalid", textPair("expectedSignature", expected),
			textPair("receivedSignature", strings.ToValidUTF8(signature, "\uFFFD")), textPair("signaturePayload", sub.ValidationToken))...)
	}
	metadata, _, err := c.metadata()
	if err != nil {
		return php.Null, err
	}
	if metadata.Truthy() {
		data := cloned(sub.Data)
		mergeMetadata(data, metadata)
		if err := c.h.o.Store.SetData(c.r.Context(), c.project.ID, sub.ID, php.ArrayOf(data)); err != nil {
			return php.Null, err
		}
	}
	return php.Map(boolPair("result", true)), nil
}
