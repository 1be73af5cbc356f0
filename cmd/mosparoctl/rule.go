package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mosparoctl/mosparoctl/cmd/internal/output"
	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/php"
	"github.com/mosparoctl/mosparoctl/protection/rule"
	"github.com/mosparoctl/mosparoctl/protection/store"
)

func newRule(a *app) *cobra.Command {
	var o coreOptions
	cmd := &cobra.Command{
		Use:   "rule",
		Short: "Manage and try the rules of a project",
		Long: `Rules rate submissions; whoever reaches the project's spam score is refused. A running server sees changes within five
seconds. PROJECT is a name, a UUID or an id; RULE is an id from "rule list".`,
		Example: `  mosparoctl rule add "Contact form" word --name Casino --item text=casino --item 'regex=/buy \d+/i'
  mosparoctl rule test "Contact form" "Visit our casino"`,
		Annotations: exits(ops.CodeInvalid, ops.CodeUnreachable),
	}
	cmd.AddCommand(newRuleAdd(a, &o), newRuleList(a, &o), newRuleImport(a, &o), newRuleDelete(a, &o), newRuleCheck(a, &o), newRuleTest(a, &o))
	o.addFlags(cmd)
	return cmd
}

type ruleAddOptions struct {
	name, description string
	factor, rating    numberFlag
	items             []string
	inactive          bool
}

func (o *ruleAddOptions) addFlags(cmd *cobra.Command) {
	o.factor, o.rating = 1, 1
	f := cmd.Flags()
	f.StringVar(&o.name, "name", "", "`name` of the rule (default: its type)")
	f.StringVar(&o.description, "description", "", "a `text` for whoever administers it")
	f.Var(&o.factor, "factor", "`number` that all ratings of the rule are multiplied by")
	f.Var(&o.rating, "rating", "`rating` of each item")
	f.StringArrayVar(&o.items, "item", nil, "an item, `TYPE=VALUE` (can be repeated)")
	f.BoolVar(&o.inactive, "inactive", false, "leave the rule switched off")
}

func newRuleAdd(a *app, core *coreOptions) *cobra.Command {
	var o ruleAddOptions
	cmd := projectCommand(a, core, "add PROJECT TYPE", "Add a rule with items", "  mosparoctl rule add \"Contact form\" email --item email=spam@example.com --rating 5",
		func(ctx context.Context, a *app, s *store.Store, p *protection.Project, args []string) error {
			return runRuleAdd(ctx, a, s, p, protection.RuleType(args[0]), o)
		})
	var types strings.Builder
	for _, t := range rule.Types() {
		fmt.Fprintf(&types, "  %-14s %s\n", t, strings.Join(names(rule.ItemTypes(t)), ", "))
	}
	cmd.Long = "Adds a rule. Types of rules with their types of items:\n\n" + strings.TrimRight(types.String(), "\n")
	o.addFlags(cmd)
	return cmd
}

func names[T ~string](list []T) []string {
	out := make([]string, len(list))
	for i, t := range list {
		out[i] = string(t)
	}
	return out
}

func runRuleAdd(ctx context.Context, a *app, s *store.Store, p *protection.Project, kind protection.RuleType, o ruleAddOptions) error {
	allowed := rule.ItemTypes(kind)
	if allowed == nil {
		return ops.Errorf(ops.CodeUsage, "there is no rule type %q", kind).WithHint("one of %s", strings.Join(names(rule.Types()), ", "))
	}
	if o.name == "" {
		o.name = string(kind)
	}
	r := &protection.Rule{ProjectID: p.ID, UUID: protection.NewUUID(), Name: o.name, Description: o.description, Type: kind, Active: !o.inactive}
	if o.factor != 1 {
		r.Factor = protection.NewFactor(float64(o.factor))
	}
	items := make([]protection.RuleItem, 0, len(o.items))
	for _, text := range o.items {
		typ, value, ok := strings.Cut(text, "=")
		if !ok {
			return ops.Errorf(ops.CodeUsage, "item %q is not TYPE=VALUE", text)
		}
		item, err := newItem(allowed, typ, value, float64(o.rating))
		if err != nil {
			return err
		}
		items = append(items, item)
	}
	if err := s.SaveRule(ctx, r); err != nil {
		return err
	}
	if err := s.AddItems(ctx, p.ID, r.ID, items); err != nil {
		return err
	}
	a.printer.Emit(ops.Event{Kind: ops.Summary, Message: fmt.Sprintf("Added rule %d %q with %s.", r.ID, r.Name, count(len(items), "item"))})
	warnOfItems(a, p, r, items)
	return nil
}

func newItem(allowed []protection.ItemType, kind, value string, rating float64) (protection.RuleItem, error) {
	if !slices.Contains(allowed, protection.ItemType(kind)) {
		return protection.RuleItem{}, ops.Errorf(ops.CodeUsage, "there is no item type %q here", kind).WithHint("one of %s", strings.Join(names(allowed), ", "))
	}
	if value == "" {
		return protection.RuleItem{}, ops.Errorf(ops.CodeUsage, "an item of type %s has no value", kind)
	}
	return rule.NewItem(protection.ItemType(kind), value, rating)
}

// warnOfItems tells which of the items can never match.
func warnOfItems(a *app, p *protection.Project, r *protection.Rule, items []protection.RuleItem) {
	probe := *r
	probe.Items = items
	for _, problem := range rule.Compile(&protection.RuleSet{ProjectID: p.ID, Rules: []protection.Rule{probe}}, rule.MySQL).Problems() {
		a.printer.Emit(ops.Event{Kind: ops.Warning, Message: fmt.Sprintf("%s %q can never match: %s", problem.ItemType, problem.Value, problem.Reason)})
	}
}

// numberFlag is a number of a rule or a project; what is none, or infinite, would spoil every sum that it comes into.
type numberFlag float64

// String is the number.
func (n *numberFlag) String() string { return strconv.FormatFloat(float64(*n), 'g', -1, 64) }

// Type names the flag's value in help texts.
func (n *numberFlag) Type() string { return "float" }

// Set reads a finite number.
func (n *numberFlag) Set(s string) error {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		return errors.New("write a number, such as 2.5")
	}
	*n = numberFlag(f)
	return nil
}

// ruleView is a rule in lists.
type ruleView struct {
	ID     int64   `json:"id"`
	UUID   string  `json:"uuid"`
	Name   string  `json:"name"`
	Type   string  `json:"type"`
	Active bool    `json:"active"`
	Factor float64 `json:"factor"`
	Items  int     `json:"items"`
}

func newRuleList(a *app, core *coreOptions) *cobra.Command {
	return projectCommand(a, core, "list PROJECT", "List the rules of a project", "  mosparoctl rule list \"Contact form\"",
		func(ctx context.Context, a *app, s *store.Store, p *protection.Project, _ []string) error {
			set, err := s.LoadRules(ctx, p.ID)
			if err != nil {
				return err
			}
			t, views := output.Table{Header: []string{"ID", "NAME", "TYPE", "ACTIVE", "FACTOR", "ITEMS"}}, []ruleView{}
			for _, r := range set.Rules {
				v := ruleView{r.ID, r.UUID, r.Name, string(r.Type), r.Active, r.Factor.Effective(), len(r.Items)}
				views = append(views, v)
				t.Rows = append(t.Rows, []string{strconv.FormatInt(v.ID, 10), v.Name, v.Type, yesNo(v.Active), php.FormatFloat(v.Factor), strconv.Itoa(v.Items)})
			}
			a.printer.Table("rules", t, views)
			return nil
		})
}

func newRuleDelete(a *app, core *coreOptions) *cobra.Command {
	return projectCommand(a, core, "delete PROJECT RULE", "Delete a rule with its items", "  mosparoctl rule delete \"Contact form\" 7 --yes",
		func(ctx context.Context, a *app, s *store.Store, p *protection.Project, args []string) error {
			id, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil {
				return ops.Errorf(ops.CodeUsage, "%q is no id of a rule", args[0]).WithHint("mosparoctl rule list %q", p.Name)
			}
			r, err := s.Rule(ctx, p.ID, id)
			if err != nil {
				return err
			}
			if err := a.confirm(fmt.Sprintf("Delete rule %q with %s?", r.Name, count(len(r.Items), "item"))); err != nil {
				return err
			}
			return s.DeleteRule(ctx, p.ID, id)
		})
}

func newRuleImport(a *app, core *coreOptions) *cobra.Command {
	var o ruleAddOptions
	var itemType string
	cmd := projectCommand(a, core, "import PROJECT TYPE FILE", "Add a rule with an item for each line of a file",
		"  mosparoctl rule import \"Contact form\" word words.txt --item-type text --rating 2\n  mosparoctl rule import \"Contact form\" ipAddress - --item-type subnet < bad.txt",
		func(ctx context.Context, a *app, s *store.Store, p *protection.Project, args []string) error {
			kind := protection.RuleType(args[0])
			allowed := rule.ItemTypes(kind)
			if allowed == nil {
				return ops.Errorf(ops.CodeUsage, "there is no rule type %q", kind).WithHint("one of %s", strings.Join(names(rule.Types()), ", "))
			}
			if itemType == "" {
				itemType = string(allowed[0])
			}
			text, err := readBounded(a, args[1])
			if err != nil {
				return err
			}
			return runRuleImport(ctx, a, s, p, kind, itemType, text, o)
		})
	cmd.Long = "Adds a rule with one item for each line of a file, \"-\" for standard input. Empty lines and lines that begin with # are left out."
	o.addFlags(cmd)
	cmd.Flags().StringVar(&itemType, "item-type", "", "`type` of the items (default: the first of the rule's type)")
	return cmd
}

func runRuleImport(ctx context.Context, a *app, s *store.Store, p *protection.Project, kind protection.RuleType, itemType, text string, o ruleAddOptions) error {
	lines := bufio.NewScanner(strings.NewReader(text))
	lines.Buffer(nil, 1<<20)
	var items []protection.RuleItem
	for n := 1; lines.Scan(); n++ {
		value := strings.TrimSpace(lines.Text())
		if value == "" || value[0] == '#' {
			continue
		}
		item, err := newItem(rule.ItemTypes(kind), itemType, value, float64(o.rating))
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		items = append(items, item)
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read items: %w", err)
	}
	o.items = nil
	if o.name == "" {
		o.name = "Imported " + string(kind)
	}
	r := &protection.Rule{ProjectID: p.ID, UUID: protection.NewUUID(), Name: o.name, Description: o.description, Type: kind, Active: !o.inactive}
	if o.factor != 1 {
		r.Factor = protection.NewFactor(float64(o.factor))
	}
	if err := s.SaveRule(ctx, r); err != nil {
		return err
	}
	if err := s.AddItems(ctx, p.ID, r.ID, items); err != nil {
		return err
	}
	a.printer.Emit(ops.Event{Kind: ops.Summary, Message: fmt.Sprintf("Added rule %d %q with %s.", r.ID, r.Name, count(len(items), "item"))})
	warnOfItems(a, p, r, items)
	return nil
}

// problemView is an item that can never match.
type problemView struct {
	Rule    int64  `json:"rule"`
	Item    int64  `json:"item"`
	Package string `json:"package,omitempty"`
	Type    string `json:"type"`
	Value   string `json:"value"`
	Pos     int    `json:"pos"` // -1: none
	Reason  string `json:"reason"`
}

func newRuleCheck(a *app, core *coreOptions) *cobra.Command {
	cmd := projectCommand(a, core, "check PROJECT", "List the items that can never match", "  mosparoctl rule check \"Contact form\"",
		func(ctx context.Context, a *app, s *store.Store, p *protection.Project, _ []string) error {
			m, _, err := matcher(ctx, s, p)
			if err != nil {
				return err
			}
			t, views := output.Table{Header: []string{"RULE", "ITEM", "TYPE", "VALUE", "AT", "REASON"}}, []problemView{}
			for _, x := range m.Problems() {
				views = append(views, problemView{x.RuleID, x.ItemID, x.Package, string(x.ItemType), x.Value, x.Pos, x.Reason})
				at := ""
				if x.Pos >= 0 {
					at = strconv.Itoa(x.Pos)
				}
				t.Rows = append(t.Rows, []string{strconv.FormatInt(x.RuleID, 10), strconv.FormatInt(x.ItemID, 10), string(x.ItemType), x.Value, at, x.Reason})
			}
			a.printer.Table("problems", t, views)
			if len(views) > 0 {
				return ops.Errorf(ops.CodeFindings, "%s of %d can never match", count(len(views), "item"), len(views)+m.Len())
			}
			return nil
		})
	cmd.Long = "Lists items that mosparo's preselection can never find, and patterns that this program refuses, with the position. They are ignored when submissions are rated."
	cmd.Annotations = exits(ops.CodeInvalid, ops.CodeUnreachable, ops.CodeFindings)
	return cmd
}

// matcher compiles the rules of a project for the kind of database they are in. names are id and name of its own rules by UUID.
func matcher(ctx context.Context, s *store.Store, p *protection.Project) (m *rule.Matcher, names map[string]string, err error) {
	set, err := s.LoadRules(ctx, p.ID)
	if err != nil {
		return nil, nil, err
	}
	names = make(map[string]string, len(set.Rules))
	for _, r := range set.Rules {
		names[r.UUID] = fmt.Sprintf("%d %s", r.ID, r.Name)
	}
	database := rule.MySQL
	if s.Embedded() {
		database = rule.SQLite
	}
	return rule.Compile(set, database), names, nil
}

// matchView is an item that matched.
type matchView struct {
	Path   string  `json:"path"`
	Type   string  `json:"type"`
	Value  string  `json:"value"`
	Rating float64 `json:"rating"`
	Rule   string  `json:"rule"` // UUID
}

type ruleTestOptions struct{ path, ip, agent string }

func newRuleTest(a *app, core *coreOptions) *cobra.Command {
	var o ruleTestOptions
	cmd := projectCommand(a, core, "test PROJECT TEXT", "Show how the rules rate a text", "  mosparoctl rule test \"Contact form\" \"Visit our casino\"\n  mosparoctl rule test 3 https://example.com --path 'input[url].website'",
		func(ctx context.Context, a *app, s *store.Store, p *protection.Project, args []string) error {
			return runRuleTest(ctx, a, s, p, args[0], o)
		})
	f := cmd.Flags()
	f.StringVar(&o.path, "path", "textarea.message", "the field, as the widget names it: `ELEMENT[TYPE].NAME`")
	f.StringVar(&o.ip, "ip", "", "`address` of the visitor")
	f.StringVar(&o.agent, "user-agent", "", "the visitor's `browser`")
	return cmd
}

func runRuleTest(ctx context.Context, a *app, s *store.Store, p *protection.Project, text string, o ruleTestOptions) error {
	m, names, err := matcher(ctx, s, p)
	if err != nil {
		return err
	}
	field := func(path, value string) php.Value {
		return php.Map(php.Pair{Key: "name", Value: php.String(path)}, php.Pair{Key: "value", Value: php.String(value)}, php.Pair{Key: "fieldPath", Value: php.String(path)})
	}
	r := m.Check(php.Map(php.Pair{Key: protection.GroupForm, Value: php.List(field(o.path, text))},
		php.Pair{Key: protection.GroupClient, Value: php.List(field("ipAddress", o.ip), field("userAgent", o.agent))}))
	views := []matchView{}
	t := output.Table{Header: []string{"FIELD", "TYPE", "VALUE", "RATING", "RULE"}}
	for _, f := range r.Fields {
		for _, x := range f.Matches {
			views = append(views, matchView{f.Path, string(x.Type), x.Value, x.Rating, x.RuleUUID})
			t.Rows = append(t.Rows, []string{f.Path, string(x.Type), x.Value, php.FormatFloat(x.Rating), cmp.Or(names[x.RuleUUID], x.RuleUUID)})
		}
	}
	spam := rule.IsSpam(r.Score, p.SpamScore, p.Active)
	data := map[string]any{"rating": r.Score, "spamScore": p.SpamScore, "spam": spam, "matches": views, "cutOff": r.CutOff}
	a.printer.Result("rating", data, func(w io.Writer) {
		if len(t.Rows) > 0 {
			t.Write(w)
		}
		verdict := "no spam"
		if spam {
			verdict = "spam"
		}
		fmt.Fprintf(w, "rating %s of %s: %s\n", php.FormatFloat(r.Score), php.FormatFloat(p.SpamScore), verdict)
	})
	return nil
}
