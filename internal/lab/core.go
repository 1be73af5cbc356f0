package lab

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/cache"
	"github.com/mosparoctl/mosparoctl/protection/cleanup"
	"github.com/mosparoctl/mosparoctl/protection/crypt"
	"github.com/mosparoctl/mosparoctl/protection/php"
	"github.com/mosparoctl/mosparoctl/protection/rule"
	"github.com/mosparoctl/mosparoctl/protection/server"
	"github.com/mosparoctl/mosparoctl/protection/sign"
	"github.com/mosparoctl/mosparoctl/protection/store"
)

// SpamWord is what the lab's only rule is against.
const SpamWord = "casino"

// startCores starts the protection core on each node: they share one database and one cache, as the nodes of a real
// deployment do. One SQLite file can be shared here since all nodes are one machine.
func (l *Lab) startCores(ctx context.Context) error {
	key, err := crypt.ParseKey(encryptionKey)
	if err != nil {
		return fmt.Errorf("read the lab's key: %w", err)
	}
	database := store.Options{Path: filepath.Join(l.dir, "mosparo.sqlite"), Key: key}
	if l.project, err = seedProject(ctx, database); err != nil {
		return fmt.Errorf("make the lab's project: %w", err)
	}
	for _, n := range l.Nodes {
		n.core, err = server.Open(ctx, server.Options{
			Listen: "127.0.0.1:0", MetricsListen: "127.0.0.1:0", Version: "demo", Store: database, Cache: cache.Options{Adapter: "redis", URL: "redis://" + l.cache.Addr()},
			Settings: server.Settings{TrustedProxies: "127.0.0.1", Cleanup: cleanup.Defaults()},
		})
		if err != nil {
			return fmt.Errorf("%s: start protection core: %w", n.Name, err)
		}
		n.app.serveCore(&url.URL{Scheme: "http", Host: n.core.Addr()})
	}
	return nil
}

// seedProject makes the database with one project and one rule in it.
func seedProject(ctx context.Context, o store.Options) (_ *protection.Project, err error) {
	s, err := store.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	p := &protection.Project{UUID: protection.NewUUID(), Name: "lab", Hosts: []string{"*"}, PublicKey: sign.NewToken(), PrivateKey: sign.NewToken(),
		Active: true, SpamScore: 5, StatisticStorageLimit: protection.Forever}
	if err := s.CreateProject(ctx, p); err != nil {
		return nil, err
	}
	words := &protection.Rule{ProjectID: p.ID, UUID: protection.NewUUID(), Name: "words", Type: protection.RuleWord, Active: true}
	if err := s.SaveRule(ctx, words); err != nil {
		return nil, err
	}
	item, err := rule.NewItem(protection.ItemText, SpamWord, 10)
	if err != nil {
		return nil, err
	}
	return p, s.AddItems(ctx, p.ID, words.ID, []protection.RuleItem{item})
}

// Visit is what became of one visitor's form.
type Visit struct {
	Accepted bool
	Nodes    []string // which node answered the token, the check and the verification
}

// Visit sends a form with this message through the balancer as the widget does, and verifies it as a website does.
func (l *Lab) Visit(ctx context.Context, message string) (Visit, error) {
	var v Visit
	var token struct{ SubmitToken string }
	if err := l.post(ctx, &v, "/api/v1/frontend/request-submit-token", url.Values{"pageTitle": {"Contact"}, "pageUrl": {l.URL}}, &token); err != nil {
		return v, err
	}
	fields, err := json.Marshal(map[string]any{"fields": []map[string]string{{"name": "message", "value": message, "fieldPath": "textarea.message"}},
		"ignoredFields": []string{}})
	if err != nil {
		return v, err
	}
	var check struct {
		Valid           bool
		ValidationToken string
	}
	err = l.post(ctx, &v, "/api/v1/frontend/check-form-data", url.Values{"formData": {string(fields)}, "submitToken": {token.SubmitToken}}, &check)
	if err != nil || !check.Valid {
		return v, err
	}
	v.Accepted, err = l.verify(ctx, &v, token.SubmitToken, check.ValidationToken, message)
	return v, err
}

// post sends a form of the frontend API.
func (l *Lab) post(ctx context.Context, v *Visit, path string, form url.Values, reply any) error {
	form.Set("publicKey", l.project.PublicKey)
	return l.ask(ctx, v, path, "application/x-www-form-urlencoded", strings.NewReader(form.Encode()), "", reply)
}

func (l *Lab) verify(ctx context.Context, v *Visit, token, validation, message string) (bool, error) {
	const path = "/api/v1/verification/verify"
	key := l.project.PrivateKey
	form := php.NewArray()
	form.SetString("message", php.String(message))
	data := sign.Prepare(php.ArrayOf(form))
	formSignature, err := sign.Form(key, data)
	if err != nil {
		return false, err
	}
	body := php.Map(php.Pair{Key: "submitToken", Value: php.String(token)},
		php.Pair{Key: "validationSignature", Value: php.String(sign.HMAC(key, validation))},
		php.Pair{Key: "formSignature", Value: php.String(formSignature)}, php.Pair{Key: "formData", Value: data})
	signature, err := sign.Request(key, path, body)
	if err != nil {
		return false, err
	}
	text, err := php.EncodeJSON(body, php.Default)
	if err != nil {
		return false, err
	}
	var reply struct {
		Valid                 bool
		VerificationSignature string
	}
	login := "Basic " + base64.StdEncoding.EncodeToString([]byte(l.project.PublicKey+":"+signature))
	if err := l.ask(ctx, v, path, "application/json", strings.NewReader(text), login, &reply); err != nil {
		return false, err
	}
	return reply.Valid && sign.Equal(reply.VerificationSignature, sign.Verification(key, validation, formSignature)), nil
}

func (l *Lab) ask(ctx context.Context, v *Visit, path, contentType string, body io.Reader, login string, reply any) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.URL+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", contentType)
	if login != "" {
		req.Header.Set("Authorization", login)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return err
	}
	v.Nodes = append(v.Nodes, res.Header.Get(nodeHeader))
	if err := json.Unmarshal(bytes.TrimSpace(text), reply); err != nil {
		return fmt.Errorf("%s: status %d: %.200s", path, res.StatusCode, text)
	}
	return nil
}
