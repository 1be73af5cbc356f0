// Package exchange reads and writes projects in mosparo's export format (specifications version 7): everything but keys,
// identifiers, submissions and the contents of rule packages.
package exchange

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/php"
	"github.com/mosparoctl/mosparoctl/protection/rule"
	"github.com/mosparoctl/mosparoctl/protection/security"
	"github.com/mosparoctl/mosparoctl/protection/store"
	"github.com/mosparoctl/mosparoctl/protection/widget"
)

// Version is the version of the format that is written. Newer files are refused.
const Version = 7

func pair(key string, v php.Value) php.Pair { return php.Pair{Key: key, Value: v} }
func textPair(key, v string) php.Pair       { return pair(key, php.String(v)) }

// notExported reports settings that mosparo leaves out of its exports.
func notExported(name string) bool { return name == "fontSize" || name == "lineHeight" }

// Export writes a project as JSON.
func Export(ctx context.Context, s *store.Store, p *protection.Project, now time.Time) (string, error) {
	project := php.Map(textPair("name", p.Name), textPair("description", p.Description), pair("hosts", php.Strings(p.Hosts...)),
		pair("status", statusNumber(p.Active)), pair("spamScore", php.Float(p.SpamScore)), textPair("statisticStorageLimit", p.StatisticStorageLimit),
		pair("silentModeEnabled", php.Bool(p.SilentMode)), pair("spamDataReturned", php.Bool(p.SpamDataReturned)),
		pair("metadataAllowed", php.Bool(p.MetadataAllowed)), pair("metadataReturned", php.Bool(p.MetadataReturned)),
		pair("apiDebugMode", php.Bool(p.APIDebugMode)), pair("verificationSimulationMode", php.Bool(p.VerificationSimulationMode)),
		pair("design", effective(p.Settings, widget.Defaults())), pair("security", effective(p.Settings, security.Defaults())))
	add := func(key string, list []php.Value) { project.Array().SetString(key, php.List(list...)) }

	guidelines, err := s.Guidelines(ctx, p.ID)
	if err != nil {
		return "", err
	}
	add("securityGuidelines", each(guidelines, exportGuideline))
	translations, err := s.Translations(ctx, p.ID)
	if err != nil {
		return "", err
	}
	add("translations", each(translations, func(t protection.Translation) php.Value {
		return php.Map(pair("translationKey", php.Int(int64(t.Key))), textPair("locale", t.Locale), textPair("text", t.Text))
	}))
	submissionRules, err := s.SubmissionRules(ctx, p.ID)
	if err != nil {
		return "", err
	}
	add("submissionRules", each(submissionRules, func(r protection.SubmissionRule) php.Value {
		return php.Map(textPair("key", r.Key), pair("enabled", php.Bool(r.Enabled)), pair("configValues", byName(r.Settings)), pair("rating", php.Float(r.Rating.Effective())))
	}))
	rules, err := s.Rules(ctx, p.ID)
	if err != nil {
		return "", err
	}
	add("fieldRules", each(rules, exportRule))
	packages, err := s.Packages(ctx, p.ID)
	if err != nil {
		return "", err
	}
	add("rulePackages", each(packages, func(k protection.RulePackage) php.Value {
		source := php.Null
		if k.Source != "" {
			source = php.String(k.Source)
		}
		return php.Map(textPair("uuid", k.UUID), textPair("name", k.Name), pair("type", php.Int(int64(k.Type))), pair("source", source),
			pair("status", php.Bool(k.Active)), pair("spamRatingFactor", php.Float(k.Factor.Effective())))
	}))
	return php.EncodeJSON(php.Map(textPair("specificationsVersion", strconv.Itoa(Version)+".0"), textPair("exportedAt", now.Format(time.RFC3339)),
		pair("project", project)), php.PreserveZeroFraction)
}

func each[T any](list []T, f func(T) php.Value) []php.Value {
	out := make([]php.Value, len(list))
	for i, v := range list {
		out[i] = f(v)
	}
	return out
}

// statusNumber is the status of a project, which is an integer in the format, where that of rules and packages is a boolean.
func statusNumber(active bool) php.Value {
	if active {
		return php.Int(1)
	}
	return php.Int(0)
}

// effective lists settings by name and value: what is stored, else the default.
func effective(s protection.Settings, defaults *php.Array) php.Value {
	out := php.NewArray()
	for k, v := range defaults.All() {
		if notExported(k.String()) {
			continue
		}
		if stored, ok := s[k.String()]; ok {
			v = stored
		}
		out.Append(php.Map(textPair("name", k.String()), pair("value", v)))
	}
	return php.ArrayOf(out)
}

func named(s protection.Settings) php.Value {
	out := php.NewArray()
	for _, name := range slices.Sorted(maps.Keys(s)) {
		out.Append(php.Map(textPair("name", name), pair("value", s[name])))
	}
	return php.ArrayOf(out)
}

// byName is the form of the settings of submission rules: an object.
func byName(s protection.Settings) php.Value {
	out := php.NewArray()
	for _, name := range slices.Sorted(maps.Keys(s)) {
		out.SetString(name, s[name])
	}
	return php.ArrayOf(out)
}

func exportGuideline(g protection.Guideline) php.Value {
	return php.Map(textPair("uuid", g.UUID), textPair("name", g.Name), textPair("description", g.Description), pair("priority", php.Int(int64(g.Priority))),
		pair("subnets", php.Strings(g.Subnets...)), pair("countryCodes", php.Strings(g.CountryCodes...)), pair("asNumbers", php.Strings(g.ASNumbers...)),
		pair("formPageUrls", php.Strings(g.FormPageURLs...)), pair("formActionUrls", php.Strings(g.FormActionURLs...)),
		pair("formIds", php.Strings(g.FormIDs...)), pair("securitySettings", named(g.Settings)))
}

func exportRule(r protection.Rule) php.Value {
	items := php.NewArray()
	for _, i := range r.Items {
		items.Append(php.Map(textPair("uuid", i.UUID), textPair("type", string(i.Type)), textPair("value", i.Value), pair("rating", php.Float(i.Rating.Effective()))))
	}
	return php.Map(textPair("uuid", r.UUID), textPair("name", r.Name), textPair("description", r.Description), textPair("type", string(r.Type)),
		pair("status", php.Bool(r.Active)), pair("spamRatingFactor", php.Float(r.Factor.Effective())), pair("items", php.ArrayOf(items)))
}

// Parsed is a project as a file describes it.
type Parsed struct {
	Project         protection.Project
	Guidelines      []protection.Guideline
	Translations    []protection.Translation
	SubmissionRules []protection.SubmissionRule
	Rules           []protection.Rule
	Packages        []protection.RulePackage
}

// Parse reads an exported project. Keys and UUID of the project are left to the caller. The error is CodeInvalid.
func Parse(text string) (*Parsed, error) {
	file, err := php.DecodeJSON(text)
	if err != nil {
		return nil, protection.Errorf(protection.CodeInvalid, "read exported project: %w", err)
	}
	version, _ := file.Get("specificationsVersion").Text()
	if n := php.Intval(strings.TrimPrefix(version, "v")); n > Version {
		return nil, protection.Errorf(protection.CodeInvalid, "the file has version %s of the format; this program reads up to %d", version, Version)
	}
	in := file.Get("project")
	if in.Kind() != php.KindArray || in.Len() == 0 {
		return nil, protection.Errorf(protection.CodeInvalid, "the file holds no project")
	}
	out := &Parsed{Project: parseProject(in)}
	out.Project.Settings = parseSettings(in)
	for v := range in.Get("securityGuidelines").Array().Values() {
		out.Guidelines = append(out.Guidelines, parseGuideline(v))
	}
	for v := range in.Get("translations").Array().Values() {
		out.Translations = append(out.Translations, protection.Translation{Key: protection.TranslationKey(v.Get("translationKey").Intval()),
			Locale: str(v, "locale"), Text: str(v, "text")})
	}
	for v := range in.Get("submissionRules").Array().Values() {
		out.SubmissionRules = append(out.SubmissionRules, protection.SubmissionRule{Key: str(v, "key"), Enabled: v.Get("enabled").Truthy(),
			Rating: parseFactor(v.Get("rating")), Settings: settingsOf(v.Get("configValues"))})
	}
	rules := in.Get("fieldRules")
	if rules.IsNull() {
		rules = in.Get("rules") // before version 7
	}
	for v := range rules.Array().Values() {
		r, err := parseRule(v)
		if err != nil {
			return nil, err
		}
		out.Rules = append(out.Rules, r)
	}
	for v := range in.Get("rulePackages").Array().Values() {
		out.Packages = append(out.Packages, protection.RulePackage{UUID: orNew(str(v, "uuid")), Name: str(v, "name"), Source: str(v, "source"),
			Type: protection.PackageType(v.Get("type").Intval()), Active: v.Get("status").Truthy(), Factor: parseFactor(v.Get("spamRatingFactor"))})
	}
	return out, nil
}

func str(v php.Value, key string) string {
	s, _ := v.Get(key).Text()
	return s
}

func orNew(uuid string) string {
	if uuid == "" {
		return protection.NewUUID()
	}
	return uuid
}

func parseFactor(v php.Value) protection.Factor {
	if f, ok := v.Float(); ok {
		return protection.NewFactor(f)
	}
	return protection.Factor{}
}

func parseProject(in php.Value) protection.Project {
	p := protection.Project{Name: str(in, "name"), Description: str(in, "description"), Hosts: texts(in.Get("hosts")),
		Active: in.Get("status").IsNull() || in.Get("status").Truthy(), SpamScore: 5, StatisticStorageLimit: str(in, "statisticStorageLimit"),
		SilentMode: in.Get("silentModeEnabled").Truthy(), SpamDataReturned: in.Get("spamDataReturned").Truthy(),
		MetadataAllowed: in.Get("metadataAllowed").Truthy(), MetadataReturned: in.Get("metadataReturned").Truthy(),
		APIDebugMode: in.Get("apiDebugMode").Truthy(), VerificationSimulationMode: in.Get("verificationSimulationMode").Truthy()}
	if f, ok := in.Get("spamScore").Float(); ok {
		p.SpamScore = f
	}
	if p.StatisticStorageLimit == "" {
		p.StatisticStorageLimit = protection.Forever
	}
	return p
}

func texts(v php.Value) (out []string) {
	for e := range v.Array().Values() {
		if s, ok := e.Text(); ok {
			out = append(out, s)
		}
	}
	return out
}

// parseSettings keeps what differs from the defaults, as mosparo stores it. Unknown names are dropped.
func parseSettings(in php.Value) protection.Settings {
	out := protection.Settings{}
	for group, defaults := range map[string]*php.Array{"design": widget.Defaults(), "security": security.Defaults()} {
		for name, v := range settingsOf(in.Get(group)) {
			def, known := defaults.Get(name)
			if known && !Same(v, def) {
				out[name] = Typed(v, def)
			}
		}
	}
	return out
}

// Typed gives a value the type of a default: JSON and command lines do not tell 1 from 1.0.
func Typed(v, def php.Value) php.Value {
	if def.Kind() == php.KindFloat {
		if f, ok := v.Float(); ok {
			return php.Float(f)
		}
	}
	return v
}

// Same reports whether a value is the default.
func Same(v, def php.Value) bool { return Typed(v, def).Identical(def) }

// settingsOf reads a list of names and values, or an object of values by name.
func settingsOf(list php.Value) protection.Settings {
	out := protection.Settings{}
	for k, e := range list.Array().All() {
		if !list.Array().IsList() {
			if !e.IsNull() {
				out[k.String()] = e
			}
			continue
		}
		if name := str(e, "name"); name != "" && !e.Get("value").IsNull() {
			out[name] = e.Get("value")
		}
	}
	return out
}

func parseGuideline(v php.Value) protection.Guideline {
	return protection.Guideline{UUID: orNew(str(v, "uuid")), Name: str(v, "name"), Description: str(v, "description"), Priority: int(v.Get("priority").Intval()),
		Subnets: texts(v.Get("subnets")), CountryCodes: texts(v.Get("countryCodes")), ASNumbers: texts(v.Get("asNumbers")),
		FormPageURLs: texts(v.Get("formPageUrls")), FormActionURLs: texts(v.Get("formActionUrls")), FormIDs: texts(v.Get("formIds")),
		Settings: settingsOf(v.Get("securitySettings"))}
}

func parseRule(v php.Value) (protection.Rule, error) {
	r := protection.Rule{UUID: orNew(str(v, "uuid")), Name: str(v, "name"), Description: str(v, "description"), Type: protection.RuleType(str(v, "type")),
		Active: v.Get("status").IsNull() || v.Get("status").Truthy(), Factor: parseFactor(v.Get("spamRatingFactor"))}
	kinds := rule.ItemTypes(r.Type)
	if kinds == nil {
		return r, protection.Errorf(protection.CodeInvalid, "rule %q: there is no rule type %q", r.Name, r.Type)
	}
	for e := range v.Get("items").Array().Values() {
		rating := 1.0
		if f, ok := e.Get("rating").Float(); ok {
			rating = f
		}
		item, err := rule.NewItem(protection.ItemType(str(e, "type")), str(e, "value"), rating)
		if err != nil {
			return r, fmt.Errorf("rule %q: %w", r.Name, err)
		}
		if !slices.Contains(kinds, item.Type) {
			return r, protection.Errorf(protection.CodeInvalid, "rule %q: a rule of type %s has no items of type %q", r.Name, r.Type, item.Type)
		}
		if uuid := str(e, "uuid"); uuid != "" {
			item.UUID = uuid
		}
		r.Items = append(r.Items, item)
	}
	return r, nil
}

// Create makes a new project of what a file describes; p.Project must have UUID and keys. When it fails half-way the project
// is deleted again.
func (p *Parsed) Create(ctx context.Context, s *store.Store) (err error) {
	p.Project.Settings = widget.Settings(p.Project.Settings)
	if err := s.CreateProject(ctx, &p.Project); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			if undone := s.DeleteProject(context.WithoutCancel(ctx), p.Project.ID); undone != nil {
				err = fmt.Errorf("%w; the unfinished project %d could not be deleted: %w", err, p.Project.ID, undone)
			}
		}
	}()
	id := p.Project.ID
	for i := range p.Guidelines {
		p.Guidelines[i].ProjectID = id
		if err := s.SaveGuideline(ctx, &p.Guidelines[i]); err != nil {
			return err
		}
	}
	for _, t := range p.Translations {
		t.ProjectID = id
		if err := s.SetTranslation(ctx, t); err != nil {
			return err
		}
	}
	for i := range p.SubmissionRules {
		p.SubmissionRules[i].ProjectID = id
		if err := s.SaveSubmissionRule(ctx, &p.SubmissionRules[i]); err != nil {
			return err
		}
	}
	for i := range p.Rules {
		r := &p.Rules[i]
		r.ProjectID = id
		if err := s.SaveRule(ctx, r); err != nil {
			return err
		}
		if err := s.AddItems(ctx, id, r.ID, r.Items); err != nil {
			return err
		}
	}
	for i := range p.Packages {
		p.Packages[i].ProjectID = id
		if err := s.SavePackage(ctx, &p.Packages[i]); err != nil {
			return err
		}
	}
	return nil
}
