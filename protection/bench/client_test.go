//go:build bench

package bench

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/mosparoctl/mosparoctl/protection/php"
	"github.com/mosparoctl/mosparoctl/protection/sign"
)

// client does what a visitor's browser and the website's back end do.
type client struct {
	s    *subject
	http http.Client
}

func newClient(s *subject) *client {
	return &client{s: s, http: http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 1}}}
}

// flow is one whole flow. n makes its text and its address.
func (c *client) flow(ctx context.Context, n int, told func(step string, took time.Duration)) error {
	text := fmt.Sprintf("Hello, this is message number %d. I would like to know when you are open, and whether my order of last week was sent.", n)
	fields := `{"fields":[{"name":"name","value":"Ada Lovelace","fieldPath":"input[text].name"},{"name":"email","value":"ada@example.org","fieldPath":"input[email].email"},` +
		`{"name":"message","value":"` + text + `","fieldPath":"textarea.message"}],"ignoredFields":[]}`
	var token struct{ SubmitToken string }
	if err := c.post(ctx, "token", "/api/v1/frontend/request-submit-token", url.Values{"publicKey": {c.s.project.PublicKey}, "pageTitle": {"Contact"},
		"pageUrl": {"https://example.org/contact"}, "formActionUrl": {"https://example.org/send"}, "formId": {"f"}}, &token, told); err != nil {
		return err
	}
	var check struct {
		Valid           bool
		ValidationToken string
	}
	if err := c.post(ctx, "check", "/api/v1/frontend/check-form-data", url.Values{"publicKey": {c.s.project.PublicKey}, "submitToken": {token.SubmitToken},
		"formData": {fields}}, &check, told); err != nil {
		return err
	}
	if !check.Valid {
		return fmt.Errorf("check refused message %d", n)
	}
	if err := c.verify(ctx, token.SubmitToken, check.ValidationToken, text, told); err != nil {
		return err
	}
	if n%8 != 0 {
		return nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.s.base+"/api/v1/health/check", nil)
	if err != nil {
		return err
	}
	return c.do(req, "health", nil, told)
}

func (c *client) post(ctx context.Context, step, path string, form url.Values, into any, told func(string, time.Duration)) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.s.base+path, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return c.do(req, step, into, told)
}

func (c *client) verify(ctx context.Context, token, validation, text string, told func(string, time.Duration)) error {
	const path = "/api/v1/verification/verify"
	key := c.s.project.PrivateKey
	form := php.Map(php.Pair{Key: "email", Value: php.String(sign.Hash("ada@example.org"))}, php.Pair{Key: "message", Value: php.String(sign.Hash(text))},
		php.Pair{Key: "name", Value: php.String(sign.Hash("Ada Lovelace"))})
	formSignature, err := sign.Form(key, form)
	if err != nil {
		return err
	}
	data := php.Map(php.Pair{Key: "submitToken", Value: php.String(token)}, php.Pair{Key: "validationSignature", Value: php.String(sign.HMAC(key, validation))},
		php.Pair{Key: "formSignature", Value: php.String(formSignature)}, php.Pair{Key: "formData", Value: form})
	signature, err := sign.Request(key, path, data)
	if err != nil {
		return err
	}
	body, err := php.EncodeJSON(data, php.Default)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.s.base+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(c.s.project.PublicKey+":"+signature)))
	var reply struct {
		Valid                 bool
		VerificationSignature string
	}
	if err := c.do(req, "verify", &reply, told); err != nil {
		return err
	}
	if !reply.Valid || reply.VerificationSignature != sign.Verification(key, validation, formSignature) {
		return fmt.Errorf("verify refused a message")
	}
	return nil
}

func (c *client) do(req *http.Request, step string, into any, told func(string, time.Duration)) error {
	begun := time.Now()
	res, err := c.http.Do(req)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	told(step, time.Since(begun))
	switch {
	case err != nil:
		return err
	case res.StatusCode != http.StatusOK:
		return fmt.Errorf("%s: status %d: %.200s", step, res.StatusCode, body)
	case into != nil:
		return json.Unmarshal(body, into)
	}
	return nil
}
