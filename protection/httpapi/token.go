package httpapi

import (
	"context"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/crypt"
	"github.com/mosparoctl/mosparoctl/protection/message"
	"github.com/mosparoctl/mosparoctl/protection/php"
	"github.com/mosparoctl/mosparoctl/protection/security"
	"github.com/mosparoctl/mosparoctl/protection/sign"
)

// Limits of columns, in bytes.
const (
	maxFormID = 254
	maxText   = 65535
)

// settings are the security settings for a visitor of a form.
func (c *call) settings(ip, pageURL, formActionURL, formID string) security.Settings {
	v := security.Visit{IP: ip, PageURL: pageURL, FormActionURL: formActionURL, FormID: formID}
	if c.h.o.Locate != nil {
		v.Location = c.h.o.Locate(ip)
	}
	return security.Resolve(c.project.Project, c.project.Guidelines, v)
}

// invisible reports whether the project's design shows no box.
func (c *call) invisible() bool {
	return c.project.Settings.Text("designMode", "simple") == "invisible-simple"
}

// visit is what a token request says.
type visit struct {
	pageTitle, pageURL, formActionURL, formID string
	token, language, htmlLanguage             string
}

func (c *call) visit() (v visit, err error) {
	if !c.has("pageTitle") || !c.has("pageUrl") {
		return v, c.refuse("Required parameters missing.")
	}
	err = c.texts(map[string]*string{"pageTitle": &v.pageTitle, "pageUrl": &v.pageURL, "formActionUrl": &v.formActionURL,
		"formId": &v.formID, "submitToken": &v.token, "language": &v.language, "htmlLanguage": &v.htmlLanguage})
	v.pageTitle, v.pageURL, v.formActionURL = cut(v.pageTitle, maxText), cut(v.pageURL, maxText), cut(v.formActionURL, maxText)
	return v, err
}

// requestSubmitToken hands out a token, or the given one again, unless the visitor has to wait.
func (c *call) requestSubmitToken() (php.Value, error) {
	v, err := c.visit()
	if err != nil {
		return php.Null, err
	}
	ctx, now := c.r.Context(), c.h.o.Store.Now()
	set := c.settings(c.ip, v.pageURL, v.formActionURL, v.formID)
	allowed := set.Allowed(c.ip)
	ipHash := crypt.HashIP(c.ip)
	if !allowed {
		until, err := c.restrict(ctx, set.Delay, ipHash, now)
		if err != nil {
			return php.Null, err
		}
		if until != nil {
			return c.delayed(v, until, now), nil
		}
	}
	token, err := c.givenToken(ctx, v.token, now)
	if err != nil {
		return php.Null, err
	}
	again := token != nil
	if !again {
		token = &protection.SubmitToken{ProjectID: c.project.ID, IPHash: ipHash, PageTitle: v.pageTitle, PageURL: v.pageURL,
			FormActionURL: v.formActionURL, FormID: cut(v.formID, maxFormID), NoFormActionURL: c.isNull("formActionUrl"), NoFormID: c.isNull("formId"), Token: sign.NewToken(), CreatedAt: now}
	}
	var most int64
	if set.ProofOfWork.Active && !allowed {
		if most, err = c.proofOfWork(ctx, set.ProofOfWork, token, ipHash, now); err != nil {
			return php.Null, err
		}
	}
	switch {
	case !again:
		err = c.h.o.Store.CreateToken(ctx, token)
	case most > 0:
		c.h.o.Store.Forget(c.project.ID, token.Token)
		err = c.h.o.Store.SetProofOfWork(ctx, c.project.ID, token.ID, token.ProofOfWorkResult)
	}
	if err != nil {
		return php.Null, err
	}
	reply := php.Map(textPair("submitToken", token.Token), pair("messages", c.messages(v)), boolPair("invisible", c.invisible()),
		boolPair("showLogo", c.project.Settings.Bool("showMosparoLogo", true)))
	if set.HoneypotActive && !allowed {
		with(reply, textPair("honeypotFieldName", set.HoneypotName))
	}
	if most > 0 {
		with(reply, textPair("proofOfWorkResult", token.ProofOfWorkResult), intPair("proofOfWorkMaxNumber", most))
	}
	return reply, nil
}

// givenToken is the token that a form of several steps already has, nil if it has none.
func (c *call) givenToken(ctx context.Context, given string, now time.Time) (*protection.SubmitToken, error) {
	if !truthy(given) {
		return nil, nil
	}
	token, err := c.h.o.Store.Token(ctx, c.project.ID, given)
	if protection.Is(err, protection.CodeNotFound) || err == nil && !token.Usable(now) {
		return nil, c.refuse("The given submit token does not exist or has already been used.")
	}
	return token, err
}

// proofOfWork puts a new proof into token and returns the largest number it may need.
func (c *call) proofOfWork(ctx context.Context, p security.ProofOfWork, token *protection.SubmitToken, ipHash string, now time.Time) (int64, error) {
	var requests int64
	if p.Dynamic {
		if !p.ByIP {
			ipHash = ""
		}
		var err error
		if requests, err = c.h.o.Store.CountRequests(ctx, c.project.ID, ipHash, now.Add(-seconds(p.Window))); err != nil {
			return 0, fmt.Errorf("count requests: %w", err)
		}
	}
	most := p.MaxNumber(requests)
	token.ProofOfWorkResult = sign.ProofOfWork(token.Token, security.NewNumber(most))
	return most, nil
}

// restrict counts a request against a limit. It returns the delay or lockout that holds now, nil if the request may go on.
func (c *call) restrict(ctx context.Context, l security.Limit, ipHash string, now time.Time) (*protection.Restriction, error) {
	if !l.Active {
		return nil, nil
	}
	st := c.h.o.Store
	current, err := st.Restriction(ctx, l.Kind, ipHash, now)
	if err != nil {
		return nil, err
	}
	var requests int64
	if current == nil {
		if requests, err = st.CountRequests(ctx, c.project.ID, ipHash, now.Add(-seconds(l.Window))); err != nil {
			return nil, err
		}
	}
	r := l.Restrict(current, requests, ipHash, now)
	if r == nil {
		return nil, nil
	}
	return r, st.SaveRestriction(ctx, r, c.project.ID, now)
}

func (c *call) delayed(v visit, r *protection.Restriction, now time.Time) php.Value {
	reply := php.Map(boolPair("security", true), textPair("type", "delay"), intPair("forSeconds", r.Duration), timePair("now", now),
		pair("messages", c.messages(v)))
	if c.invisible() {
		with(reply, boolPair("invisible", true))
	}
	return reply
}

func (c *call) messages(v visit) php.Value {
	return c.h.o.Messages.Messages(message.Request{AcceptLanguage: c.r.Header.Get("Accept-Language"), Language: v.language,
		HTMLLanguage: v.htmlLanguage, Source: c.project.LanguageSource, Translations: c.project.Translations})
}

func seconds(n int64) time.Duration { return time.Duration(min(max(n, 0), 1<<32)) * time.Second }

// cut shortens a text to at most so many bytes, at a character.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most]
}
