package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mosparoctl/mosparoctl/cmd/internal/output"
	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/cache"
	"github.com/mosparoctl/mosparoctl/protection/exchange"
	"github.com/mosparoctl/mosparoctl/protection/httpapi"
	"github.com/mosparoctl/mosparoctl/protection/php"
	"github.com/mosparoctl/mosparoctl/protection/security"
	"github.com/mosparoctl/mosparoctl/protection/store"
	"github.com/mosparoctl/mosparoctl/protection/widget"
)

// newSecurity and newDesign show and change the settings of a project. Both have the same two forms.
func newSecurity(a *app) *cobra.Command {
	return settingsCommand(a, "security", "Show or change the security settings of a project", security.Defaults(),
		`  mosparoctl security "Contact form"
  mosparoctl security "Contact form" honeypotFieldActive=true honeypotFieldName=website
  mosparoctl security "Contact form" delayActive=            # back to the default`)
}

func newDesign(a *app) *cobra.Command {
	return settingsCommand(a, "design", "Show or change the look of a project's box", widget.Defaults(),
		`  mosparoctl design "Contact form"
  mosparoctl design "Contact form" boxSize=large colorWebsiteAccent="rgb(0, 80, 60)"
  mosparoctl design "Contact form" designMode=invisible-simple`)
}

func settingsCommand(a *app, use, short string, defaults *php.Array, example string) *cobra.Command {
	var o coreOptions
	cmd := projectCommand(a, &o, use+" PROJECT [NAME=VALUE...]", short, example,
		func(ctx context.Context, a *app, s *store.Store, p *protection.Project, args []string) error {
			if len(args) == 0 {
				return showSettings(a, use, p, defaults)
			}
			return changeSettings(ctx, a, s, &o, p, defaults, args)
		})
	cmd.Args = cobra.MinimumNArgs(1)
	cmd.Long = short + `. Without NAME=VALUE all settings are shown, with a star at those that differ from
the default. An empty value takes a setting back to its default. A running server sees a change within five seconds.`
	o.addFlags(cmd)
	return cmd
}

// settingView is one setting.
type settingView struct {
	Name    string          `json:"name"`
	Value   json.RawMessage `json:"value"`
	Default bool            `json:"default"`
}

func showSettings(a *app, name string, p *protection.Project, defaults *php.Array) error {
	t, views := output.Table{Header: []string{"", "NAME", "VALUE"}}, []settingView{}
	for k, def := range defaults.All() {
		v, mark := def, ""
		if stored, ok := p.Settings[k.String()]; ok && !exchange.Same(stored, def) {
			v, mark = stored, "*"
		}
		text, err := php.EncodeJSON(v, php.Default)
		if err != nil {
			return err
		}
		views = append(views, settingView{k.String(), json.RawMessage(text), mark == ""})
		t.Rows = append(t.Rows, []string{mark, k.String(), settingText(v)})
	}
	a.printer.Table(name, t, views)
	return nil
}

func settingText(v php.Value) string {
	if b, ok := v.Bool(); ok {
		return strconv.FormatBool(b)
	}
	if v.Kind() == php.KindArray { // a length: value and unit
		value, _ := v.Get("value").Text()
		unit, _ := v.Get("unit").Text()
		return value + unit
	}
	text, _ := v.Text()
	return text
}

// changeSettings stores settings as mosparo does: only what differs from the default.
func changeSettings(ctx context.Context, a *app, s *store.Store, core *coreOptions, p *protection.Project, defaults *php.Array, args []string) error {
	settings := protection.Settings{}
	for k, v := range p.Settings {
		settings[k] = v
	}
	for _, arg := range args {
		name, text, ok := strings.Cut(arg, "=")
		def, known := defaults.Get(name)
		switch {
		case !ok:
			return ops.Errorf(ops.CodeUsage, "%q is not NAME=VALUE", arg)
		case !known:
			return ops.Errorf(ops.CodeUsage, "there is no setting %q", name).WithHint("mosparoctl help shows how to list the settings")
		case text == "":
			delete(settings, name)
			continue
		}
		v, err := parseSetting(text, def)
		if err != nil {
			return ops.Errorf(ops.CodeUsage, "%s: %w", name, err)
		}
		delete(settings, name)
		if !exchange.Same(v, def) {
			settings[name] = v
		}
	}
	before := widget.NewDesign(p.Settings).Hash()
	p.Settings = widget.Settings(settings)
	if err := s.UpdateProject(ctx, p); err != nil {
		return err
	}
	a.printer.Emit(ops.Event{Kind: ops.Summary, Message: fmt.Sprintf("Changed project %q.", p.Name)})
	if widget.NewDesign(p.Settings).Hash() == before {
		return nil
	}
	return shareStyle(ctx, a, core, p)
}

// shareStyle puts the style sheet of a changed design where PHP nodes look for it, if they share it.
func shareStyle(ctx context.Context, a *app, core *coreOptions, p *protection.Project) error {
	o, c, err := core.options()
	if err != nil || !c.PreparedCSS {
		return err
	}
	shared, err := cache.Open(o.Cache)
	if err != nil {
		return err
	}
	defer shared.Close()
	assets := widget.Own()
	if core.appDir != "" {
		if assets, err = widget.FromRelease(core.appDir); err != nil {
			return err
		}
	}
	design := widget.NewDesign(p.Settings)
	if err := httpapi.StoreStyle(ctx, shared, p.UUID, design.Hash(), design.Style(assets.Style, p.UUID, widget.LogoPath)); err != nil {
		a.printer.Emit(ops.Event{Kind: ops.Warning, Message: "the shared cache did not take the new style sheet; nodes make it when it is asked for", Error: err.Error()})
	}
	return nil
}

// parseSetting reads a value of a default's type.
func parseSetting(text string, def php.Value) (php.Value, error) {
	switch def.Kind() {
	case php.KindBool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return php.Null, fmt.Errorf("%q is neither true nor false", text)
		}
		return php.Bool(b), nil
	case php.KindInt:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 {
			return php.Null, fmt.Errorf("%q is no whole number", text)
		}
		return php.Int(n), nil
	case php.KindFloat:
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || !(f >= 0 && f < 1e9) {
			return php.Null, fmt.Errorf("%q is no number", text)
		}
		return php.Float(f), nil
	case php.KindArray:
		number := strings.TrimRight(text, "pxrem")
		f, err := strconv.ParseFloat(number, 64)
		unit := strings.TrimPrefix(text, number)
		if err != nil || unit != "px" && unit != "em" && unit != "rem" {
			return php.Null, fmt.Errorf("%q is no length in px, em or rem", text)
		}
		value := php.Float(f)
		if f == float64(int64(f)) {
			value = php.Int(int64(f))
		}
		return php.Map(php.Pair{Key: "value", Value: value}, php.Pair{Key: "unit", Value: php.String(unit)}), nil
	}
	return php.String(text), nil
}

// submissionView is a submission in lists.
type submissionView struct {
	ID          int64   `json:"id"`
	SubmittedAt string  `json:"submittedAt"`
	Spam        bool    `json:"spam"`
	Rating      float64 `json:"spamRating"`
	Threshold   float64 `json:"spamDetectionRating"`
	Valid       *bool   `json:"valid"` // null: never verified
}

func viewSubmission(s *protection.Submission) submissionView {
	v := submissionView{ID: s.ID, SubmittedAt: s.SubmittedAt.Format("2006-01-02 15:04:05"), Spam: s.Spam == protection.Yes, Rating: s.SpamRating, Threshold: s.SpamDetectionRating}
	if s.Valid != protection.Undecided {
		valid := s.Valid == protection.Yes
		v.Valid = &valid
	}
	return v
}

func newSubmissions(a *app) *cobra.Command {
	var o coreOptions
	cmd := &cobra.Command{
		Use: "submissions", Short: "Look at the submissions of a project", Annotations: exits(ops.CodeInvalid, ops.CodeUnreachable),
		Example: "  mosparoctl submissions list \"Contact form\" --spam\n  mosparoctl submissions show \"Contact form\" 4711",
	}
	var spam bool
	var limit int
	list := projectCommand(a, &o, "list PROJECT", "List the newest submissions", "  mosparoctl submissions list \"Contact form\" --limit 20",
		func(ctx context.Context, a *app, s *store.Store, p *protection.Project, _ []string) error {
			f := store.SubmissionFilter{Limit: limit}
			if spam {
				f.Spam = protection.Yes
			}
			return runSubmissionsList(ctx, a, s, p, f)
		})
	list.Flags().BoolVar(&spam, "spam", false, "list spam only")
	list.Flags().IntVar(&limit, "limit", 50, "list this `number` at most")
	show := projectCommand(a, &o, "show PROJECT ID", "Show a submission with all it holds", "  mosparoctl submissions show \"Contact form\" 4711", runSubmissionsShow)
	show.Long = "Shows a submission with its fields and the visitor's address: personal data."
	cmd.AddCommand(list, show)
	o.addFlags(cmd)
	return cmd
}

func runSubmissionsList(ctx context.Context, a *app, s *store.Store, p *protection.Project, f store.SubmissionFilter) error {
	all, err := s.Submissions(ctx, p.ID, f)
	if err != nil {
		return err
	}
	t, views := output.Table{Header: []string{"ID", "SUBMITTED", "SPAM", "RATING", "VERIFIED"}}, []submissionView{}
	for i := range all {
		v := viewSubmission(&all[i])
		views = append(views, v)
		verified := "-"
		if v.Valid != nil {
			verified = map[bool]string{true: "valid", false: "invalid"}[*v.Valid]
		}
		t.Rows = append(t.Rows, []string{strconv.FormatInt(v.ID, 10), v.SubmittedAt, yesNo(v.Spam),
			php.FormatFloat(v.Rating) + " of " + php.FormatFloat(v.Threshold), verified})
	}
	a.printer.Table("submissions", t, views)
	return nil
}

func runSubmissionsShow(ctx context.Context, a *app, s *store.Store, p *protection.Project, args []string) error {
	id, err := strconv.ParseInt(args[0], 10, 64)
	if err != nil {
		return ops.Errorf(ops.CodeUsage, "%q is no id of a submission", args[0])
	}
	sub, err := s.Submission(ctx, p.ID, id)
	if err != nil {
		return err
	}
	all := map[string]any{"submission": viewSubmission(sub)}
	parts := []struct {
		name  string
		value php.Value
	}{{"data", sub.Data}, {"ignoredFields", sub.IgnoredFields}, {"matchedRuleItems", sub.MatchedRuleItems}, {"generalVerifications", sub.GeneralVerifications},
		{"verifiedFields", sub.VerifiedFields}, {"issues", sub.Issues}}
	if d := sub.Detection; d != nil {
		parts = append(parts, struct {
			name  string
			value php.Value
		}{"matchedFieldRuleItems", d.FieldRuleItems}, struct {
			name  string
			value php.Value
		}{"matchedSubmissionRules", d.SubmissionRules})
	}
	for _, part := range parts {
		text, err := php.EncodeJSON(part.value, php.Default)
		if err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
		all[part.name] = json.RawMessage(text)
	}
	a.printer.Result("submission", all, func(w io.Writer) {
		text, err := json.MarshalIndent(all, "", "  ")
		if err == nil {
			fmt.Fprintf(w, "%s\n", text)
		}
	})
	return nil
}

// dayView is a day of the statistic.
type dayView struct {
	Date    string `json:"date"`
	Valid   int64  `json:"valid"`
	Spam    int64  `json:"spam"`
	Delayed int64  `json:"delayed"`
	Blocked int64  `json:"blocked"`
}

func newStats(a *app) *cobra.Command {
	var o coreOptions
	var days int
	cmd := projectCommand(a, &o, "stats PROJECT", "Count submissions by day", "  mosparoctl stats \"Contact form\" --days 7",
		func(ctx context.Context, a *app, s *store.Store, p *protection.Project, _ []string) error {
			all, err := s.Statistics(ctx, p.ID, s.Now().AddDate(0, 0, 1-max(1, days)))
			if err != nil {
				return err
			}
			t, views := output.Table{Header: []string{"DATE", "VALID", "SPAM", "DELAYED", "BLOCKED"}}, []dayView{}
			for _, d := range all {
				v := dayView{d.Date.Format("2006-01-02"), d.Valid, d.Spam, d.Delayed, d.Blocked}
				views = append(views, v)
				t.Rows = append(t.Rows, []string{v.Date, fmt.Sprint(v.Valid), fmt.Sprint(v.Spam), fmt.Sprint(v.Delayed), fmt.Sprint(v.Blocked)})
			}
			a.printer.Table("stats", t, views)
			return nil
		})
	cmd.Flags().IntVar(&days, "days", 30, "count this `number` of days, today included")
	o.addFlags(cmd)
	return cmd
}
