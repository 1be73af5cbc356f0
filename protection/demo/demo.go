// Package demo is a website with a protected form, as whoever uses the protection core has one: a page with the widget, and
// a back end that asks for verification. serve --demo shows it, and tests drive it in a browser.
package demo

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/php"
	"github.com/mosparoctl/mosparoctl/protection/rule"
	"github.com/mosparoctl/mosparoctl/protection/sign"
	"github.com/mosparoctl/mosparoctl/protection/store"
)

//go:embed page.html
var pageText string

// Seconds are how long a visitor of the demo must take at least.
const Seconds = 2

// HoneypotName is the name of the demo's honeypot field.
const HoneypotName = "website-address"

// Seed makes the project of the demo: a honeypot, a least time, a small proof of work, and a rule against three words.
func Seed(ctx context.Context, s *store.Store) (*protection.Project, error) {
	p := &protection.Project{UUID: protection.NewUUID(), Name: "Demo", Hosts: []string{"*"}, PublicKey: sign.NewToken(), PrivateKey: sign.NewToken(), Active: true,
		SpamScore: 5, StatisticStorageLimit: protection.Forever, Settings: protection.Settings{
			"honeypotFieldActive": php.Bool(true), "honeypotFieldName": php.String(HoneypotName),
			"minimumTimeActive": php.Bool(true), "minimumTimeSeconds": php.Int(Seconds),
			"proofOfWorkActive": php.Bool(true), "proofOfWorkComplexity": php.Int(2), "proofOfWorkDynamicComplexityActive": php.Bool(false),
		}}
	if err := s.CreateProject(ctx, p); err != nil {
		return nil, fmt.Errorf("make the demo's project: %w", err)
	}
	words := &protection.Rule{ProjectID: p.ID, UUID: protection.NewUUID(), Name: "Words", Type: protection.RuleWord, Active: true}
	if err := s.SaveRule(ctx, words); err != nil {
		return nil, fmt.Errorf("make the demo's rule: %w", err)
	}
	var items []protection.RuleItem
	for _, word := range []string{"casino", "viagra", "lottery"} {
		item, err := rule.NewItem(protection.ItemText, word, 10)
		if err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	if err := s.AddItems(ctx, p.ID, words.ID, items); err != nil {
		return nil, fmt.Errorf("fill the demo's rule: %w", err)
	}
	return p, nil
}

// Site is the website. It is safe for concurrent use.
type Site struct {
	core    string // base URL of the protection core
	project *protection.Project
	page    *template.Template
	client  http.Client
}

// NewSite makes the website of a project that is protected by the core at a base URL.
func NewSite(core string, p *protection.Project) *Site {
	return &Site{core: strings.TrimRight(core, "/"), project: p, page: template.Must(template.New("page").Parse(pageText)), client: http.Client{Timeout: 30 * time.Second}}
}

// view is what the page shows.
type view struct {
	Core, UUID, PublicKey string
	Sent                  bool
	Accepted              bool
	Reason                string
	Name, Message         string
}

// ServeHTTP shows the form, or what became of a sent one.
func (s *Site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v := view{Core: s.core, UUID: s.project.UUID, PublicKey: s.project.PublicKey}
	switch {
	case r.URL.Path != "/":
		http.NotFound(w, r)
		return
	case r.Method == http.MethodPost:
		r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
		v.Sent, v.Name, v.Message = true, r.PostFormValue("name"), r.PostFormValue("message")
		v.Accepted, v.Reason = s.verify(r)
	}
	w.Header().Set("Content-Type", "text/html; charset=UTF-8")
	var page bytes.Buffer
	if err := s.page.Execute(&page, v); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = page.WriteTo(w)
}

// reply is what verify answers.
type reply struct {
	Valid        bool   `json:"valid"`
	Signature    string `json:"verificationSignature"`
	ErrorMessage string `json:"errorMessage"`
	Issues       []struct {
		Name, Message string
	} `json:"issues"`
	VerifiedFields json.RawMessage `json:"verifiedFields"`
}

// verify asks the core about a sent form and checks its answer, as the official clients do.
func (s *Site) verify(r *http.Request) (bool, string) {
	token, validation := r.PostFormValue("_mosparo_submitToken"), r.PostFormValue("_mosparo_validationToken")
	if token == "" || validation == "" {
		return false, "The form was not checked."
	}
	form := php.NewArray()
	for name, values := range r.PostForm {
		if name != HoneypotName && !strings.HasPrefix(name, "_mosparo_") {
			form.SetString(name, php.String(values[0]))
		}
	}
	key := s.project.PrivateKey
	data := sign.Prepare(php.ArrayOf(form))
	formSignature, err := sign.Form(key, data)
	if err != nil {
		return false, err.Error()
	}
	signature := sign.HMAC(key, validation)
	got, err := s.ask(r.Context(), php.Map(php.Pair{Key: "submitToken", Value: php.String(token)}, php.Pair{Key: "validationSignature", Value: php.String(signature)},
		php.Pair{Key: "formSignature", Value: php.String(formSignature)}, php.Pair{Key: "formData", Value: data}))
	switch {
	case err != nil:
		return false, err.Error()
	case got.ErrorMessage != "":
		return false, got.ErrorMessage
	case len(got.Issues) > 0:
		return false, got.Issues[0].Name + ": " + got.Issues[0].Message
	case !got.Valid || !sign.Equal(got.Signature, sign.Verification(key, validation, formSignature)):
		return false, "The submission is not valid."
	}
	return true, ""
}

func (s *Site) ask(ctx context.Context, data php.Value) (*reply, error) {
	const path = "/api/v1/verification/verify"
	signature, err := sign.Request(s.project.PrivateKey, path, data)
	if err != nil {
		return nil, err
	}
	body, err := php.EncodeJSON(data, php.Default)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.core+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(s.project.PublicKey+":"+signature)))
	res, err := s.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask for verification: %w", err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("read verification: %w", err)
	}
	got := new(reply)
	if err := json.Unmarshal(text, got); err != nil {
		return nil, fmt.Errorf("read verification (status %d): %w", res.StatusCode, err)
	}
	return got, nil
}
