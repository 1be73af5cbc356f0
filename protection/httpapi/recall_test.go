package httpapi_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/php"
	"github.com/mosparoctl/mosparoctl/protection/server"
	"github.com/mosparoctl/mosparoctl/protection/sign"
	"github.com/mosparoctl/mosparoctl/protection/store"
)

// TestRecalledTokens changes tokens behind the back of the node that remembers them, as another node does: the next step must
// be answered as if it had been read from the database.
func TestRecalledTokens(t *testing.T) {
	a := start(t, func(_ *server.Options, p *protection.Project) { p.MetadataAllowed, p.MetadataReturned = false, false })
	st := a.server.Store()
	request := func() string {
		reply := a.form("/api/v1/frontend/request-submit-token", url.Values{"pageTitle": {"x"}, "pageUrl": {"https://example.org/"}})
		return reply["submitToken"].(string)
	}
	check := func(token, fields string) map[string]any {
		return a.form("/api/v1/frontend/check-form-data", url.Values{"submitToken": {token}, "formData": {fields}})
	}
	verify := func(token, validation string, form php.Value) string {
		return a.post("/api/v1/verification/verify", obj("submitToken", token, "validationSignature", sign.HMAC("privkey", validation), "formSignature", "any", "formData", form))
	}
	stored := func(token string) *protection.SubmitToken {
		if st.RecallToken(a.project.ID, token) == nil {
			t.Fatal("the node remembers nothing, so this test shows nothing")
		}
		tok, err := st.Token(t.Context(), a.project.ID, token)
		if err != nil {
			t.Fatal(err)
		}
		return tok
	}
	use := func(token string) {
		tok := stored(token)
		if err := st.Verify(t.Context(), store.Verification{ProjectID: tok.ProjectID, TokenID: tok.ID, SubmissionID: tok.LastSubmissionID, At: st.Now()}); err != nil {
			t.Fatal(err)
		}
	}

	token := request()
	use(token)
	for _, fields := range []string{oneField, "no JSON"} {
		if got := check(token, fields); got["errorMessage"] != "Submit token not valid." {
			t.Errorf("check of a used token: %v", got)
		}
	}

	token = request()
	first := php.List(obj("name", "first", "value", "1", "fieldPath", "input[text].first"))
	if err := st.SavePartial(t.Context(), &protection.PartialSubmission{ProjectID: a.project.ID, TokenID: stored(token).ID, UpdatedAt: st.Now(),
		Data: obj(protection.GroupForm, first)}); err != nil {
		t.Fatal(err)
	}
	validation, _ := check(token, oneField)["validationToken"].(string)
	if got := verify(token, validation, obj("first", sign.Hash("1"), "a", sign.Hash("b"))); !strings.HasPrefix(got, `{"valid":true`) {
		t.Errorf("verify of what two nodes collected: %s", got)
	}

	token = request()
	check(token, oneField)
	tok := stored(token)
	_, sub, err := st.TokenAndSubmission(t.Context(), a.project.ID, token)
	if err != nil {
		t.Fatal(err)
	}
	sub.ValidationToken = "of another check"
	tok.Token = "elsewhere" // so that this node does not remember the submission
	if err := st.CreateSubmission(t.Context(), tok, sub, false); err != nil {
		t.Fatal(err)
	}
	if got := verify(token, "of another check", obj("a", sign.Hash("b"))); !strings.HasPrefix(got, `{"valid":true`) {
		t.Errorf("verify of a check on another node: %s", got)
	}

	token, validation = a.submit(oneField)
	use(token)
	if got := verify(token, validation, obj("a", sign.Hash("b"))); !strings.Contains(got, `"reason":"submit_token_not_valid"`) {
		t.Errorf("verify of a used token: %s", got)
	}
}
