package exchange

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/crypt"
	"github.com/mosparoctl/mosparoctl/protection/php"
	"github.com/mosparoctl/mosparoctl/protection/rule"
	"github.com/mosparoctl/mosparoctl/protection/sign"
	"github.com/mosparoctl/mosparoctl/protection/store"
	"github.com/mosparoctl/mosparoctl/protection/widget"
)

func openStore(t *testing.T) *store.Store {
	t.Helper()
	key, _ := crypt.GenerateKey()
	s, err := store.Open(t.Context(), store.Options{Path: filepath.Join(t.TempDir(), "x.sqlite"), Key: key})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func sample(t *testing.T) *Parsed {
	t.Helper()
	item, err := rule.NewItem(protection.ItemText, "casino", 2.5)
	if err != nil {
		t.Fatal(err)
	}
	return &Parsed{
		Project: protection.Project{Name: "Ünited", Description: "d", Hosts: []string{"example.org", "*.example.com"}, Active: true, SpamScore: 7.5,
			StatisticStorageLimit: "1Y", MetadataAllowed: true, SilentMode: true,
			Settings: protection.Settings{"delayActive": php.Bool(true), "delayMultiplicator": php.Float(2), "designMode": php.String("advanced"), "boxRadius": php.Int(4)}},
		Guidelines: []protection.Guideline{{UUID: protection.NewUUID(), Name: "office", Priority: 3, Subnets: []string{"10.0.0.0/8"},
			Settings: protection.Settings{"delayActive": php.Bool(false)}}},
		Translations:    []protection.Translation{{Key: protection.MessageLabel, Locale: "de", Text: "Hallo"}},
		SubmissionRules: []protection.SubmissionRule{{Key: rule.RandomValuesKey, Enabled: true, Rating: protection.NewFactor(4), Settings: protection.Settings{"numberOfMatchingFields": php.Int(2)}}},
		Rules: []protection.Rule{{UUID: protection.NewUUID(), Name: "words", Type: protection.RuleWord, Active: true, Factor: protection.NewFactor(1.5),
			Items: []protection.RuleItem{item}}},
		Packages: []protection.RulePackage{{UUID: protection.NewUUID(), Name: "feed", Type: protection.PackageURL, Source: "https://example.org/rules.json", Active: true, Factor: protection.NewFactor(2)}},
	}
}

// What is exported, read and created again exports as the same.
func TestRoundTrip(t *testing.T) {
	s, now := openStore(t), time.Date(2026, 11, 23, 4, 0, 0, 0, time.UTC)
	var exports []string
	in := sample(t)
	for range 2 {
		in.Project.UUID, in.Project.PublicKey, in.Project.PrivateKey = protection.NewUUID(), sign.NewToken(), sign.NewToken()
		if err := in.Create(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		p, err := s.ProjectByID(t.Context(), in.Project.ID)
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Settings) != 5 || p.Settings.Text("designConfigHash", "") != widget.NewDesign(p.Settings).Hash() || p.Settings["delayMultiplicator"].Kind() != php.KindFloat {
			t.Errorf("stored settings: %v", p.Settings)
		}
		text, err := Export(t.Context(), s, p, now)
		if err != nil {
			t.Fatal(err)
		}
		exports = append(exports, text)
		if in, err = Parse(text); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(exports[0], exports[1]); diff != "" {
		t.Error(diff)
	}
	if n := in.SubmissionRules[0].Settings.Int("numberOfMatchingFields", 3); n != 2 {
		t.Errorf("%d matching fields", n)
	}
	if in.Rules[0].Items[0].Rating.Value != 2.5 || in.Guidelines[0].Subnets[0] != "10.0.0.0/8" || in.Project.Settings["boxRadius"].Intval() != 4 {
		t.Errorf("%+v", in)
	}
}

// TestTypes has the members whose types mosparo's JSON schema prescribes, and refuses a file for.
func TestTypes(t *testing.T) {
	s, in := openStore(t), sample(t)
	in.Project.UUID, in.Project.PublicKey, in.Project.PrivateKey = protection.NewUUID(), sign.NewToken(), sign.NewToken()
	in.Packages = append(in.Packages, protection.RulePackage{UUID: protection.NewUUID(), Name: "api", Type: protection.PackageAPI, Active: true})
	in.SubmissionRules[0].Rating = protection.Factor{}
	if err := in.Create(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	text, err := Export(t.Context(), s, &in.Project, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	v, err := php.DecodeJSON(text)
	if err != nil {
		t.Fatal(err)
	}
	p := v.Get("project")
	if n, ok := p.Get("status").Int(); !ok || n != 1 {
		t.Errorf("status: %+v", p.Get("status"))
	}
	last := php.Null
	for k := range p.Get("rulePackages").Array().Values() {
		last = k
	}
	if f, ok := last.Get("spamRatingFactor").Float(); !ok || f != 1 || !last.Get("source").IsNull() {
		t.Errorf("package: %s", text)
	}
	for r := range p.Get("submissionRules").Array().Values() {
		if f, ok := r.Get("rating").Float(); !ok || f != 1 || r.Get("configValues").Get("numberOfMatchingFields").Intval() != 2 {
			t.Errorf("submission rule: %s", text)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"no JSON":      "{",
		"no project":   `{"specificationsVersion":"7.0"}`,
		"newer":        `{"specificationsVersion":"8.0","project":{"name":"x"}}`,
		"rule type":    `{"project":{"name":"x","fieldRules":[{"name":"r","type":"nope","items":[]}]}}`,
		"item type":    `{"project":{"name":"x","fieldRules":[{"name":"r","type":"word","items":[{"type":"email","value":"v"}]}]}}`,
		"bad subnet":   `{"project":{"name":"x","fieldRules":[{"name":"r","type":"ipAddress","items":[{"type":"subnet","value":"2001:db8::/45"}]}]}}`,
		"not a object": `[1]`,
	} {
		if _, err := Parse(text); !protection.Is(err, protection.CodeInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if p, err := Parse(`{"specificationsVersion":6.1,"project":{"name":"x","rules":[{"name":"r","type":"word","items":[]}]}}`); err != nil || len(p.Rules) != 1 {
		t.Errorf("an older file: %+v, %v", p, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`{"project":{"name":"x","hosts":"y","design":[1,{"name":"a"}],"fieldRules":{"a":{"type":"word","items":[[]]}}}}`)
	f.Fuzz(func(_ *testing.T, text string) { _, _ = Parse(text) })
}
