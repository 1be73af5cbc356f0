package envfile

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
)

// Target is one node that Push looks after.
type Target struct {
	Node    *inventory.Node
	State   *NodeState
	Desired Desired
}

// PushOptions says what to push.
type PushOptions struct {
	Parallel   int  // nodes at once; 0: all
	SkipConfig bool // leave env.mosparo.php alone
	SkipLocal  bool // leave .env.local alone
	// Prune allows dropping keys from a .env.local that mosparoctl did not write.
	Prune bool
}

// NodeDiff is what push changes on one node, ready to be shown.
type NodeDiff struct {
	Node   string       `json:"node"`
	Config []Difference `json:"config,omitempty"`
	Local  []Difference `json:"local,omitempty"`
	// ConfigForm says that env.mosparo.php means the same but is written in another form.
	ConfigForm bool `json:"config_form,omitempty"`
}

// Push is a plan with what it is made of.
type Push struct {
	Plan     *ops.Plan
	Diffs    []NodeDiff // of all targets, also those without a difference
	Warnings map[string][]Finding
}

// PlanPush plans how env.mosparo.php of the admin node reaches the targets, and .env.local gets the desired values. It is
// pure but for the steps, which reach nodes through conn. admin may be among the targets: its env.mosparo.php is the source
// and stays. All refusals of all nodes are joined in the error.
func PlanPush(admin *NodeState, targets []Target, conn ops.Connector, o PushOptions) (*Push, error) {
	p := &pusher{conn: conn, options: o, mask: NewMasker(""), push: &Push{Plan: &ops.Plan{Op: "env push"}, Warnings: map[string][]Finding{}}}
	if !o.SkipConfig {
		if err := p.source(admin); err != nil {
			return nil, err
		}
	} else if c, err := ParsePHP(admin.Config.Content); err == nil {
		p.mask = NewMasker(c.Text("encryption_key"))
	}
	wave := ops.Wave{Name: "env files", Parallel: o.Parallel}
	var errs []error
	for _, t := range targets {
		steps, err := p.target(t)
		if err != nil {
			errs = append(errs, err)
		}
		wave.Steps = append(wave.Steps, steps...)
	}
	if len(errs) == 1 {
		return nil, errs[0]
	}
	if len(errs) > 1 {
		return nil, &ops.Error{Code: ops.CodeOf(errs[0]), Op: "plan env push", Hint: ops.HintOf(errors.Join(errs...)), Err: errors.Join(errs...)}
	}
	if len(wave.Steps) > 0 {
		p.push.Plan.Waves = []ops.Wave{wave}
	}
	p.push.Plan.SortFacts()
	return p.push, nil
}

type pusher struct {
	conn    ops.Connector
	options PushOptions
	mask    Masker
	admin   *NodeState
	config  *Config
	push    *Push
}

// source checks the admin node's file: what would leave a node open to the installer is never copied.
func (p *pusher) source(admin *NodeState) error {
	fail := func(format string, args ...any) error {
		return ops.Errorf(ops.CodeFailed, format, args...).On(admin.Node).
			WithHint("look at %s on %s: it must be the file of a finished installation", admin.Config.Path, admin.Node)
	}
	if !admin.Config.Exists {
		return fail("%s is not there: nothing to push", admin.Config.Path)
	}
	c, err := ParsePHP(admin.Config.Content)
	if err != nil {
		return fail("read %s: %w", admin.Config.Path, err)
	}
	p.admin, p.config, p.mask = admin, c, NewMasker(c.Text("encryption_key"))
	warnings, err := refuse(admin.Node, admin.Config.Path, LintConfig(c))
	p.warn(admin.Node, warnings)
	return err
}

func (p *pusher) warn(node string, found []Finding) {
	if len(found) > 0 {
		p.push.Warnings[node] = append(p.push.Warnings[node], found...)
	}
}

// target plans one node.
func (p *pusher) target(t Target) ([]ops.Step, error) {
	diff := NodeDiff{Node: t.Node.Name}
	var writes []*write
	pending := t.State.Pending
	if !p.options.SkipLocal {
		p.fact(t, t.State.Local)
		w, differences, err := p.local(t)
		if err != nil {
			return nil, err
		}
		diff.Local = differences
		if w != nil {
			writes = append(writes, w)
		}
		// .env files are read on each request, except for these, which are compiled into the container.
		if slices.ContainsFunc(differences, func(d Difference) bool { return strings.HasPrefix(d.Key, "DATABASE_MYSQL_SSL") }) {
			pending = pendingCache
		}
	}
	if p.config != nil {
		p.fact(t, t.State.Config)
		w, err := p.copyConfig(t, &diff)
		if err != nil {
			return nil, err
		}
		if w != nil {
			writes = append(writes, w)
			pending = cmp.Or(pending, pendingReload)
		}
	}
	p.push.Diffs = append(p.push.Diffs, diff)
	after, err := p.effective(t, pending)
	if err != nil {
		return nil, err
	}
	var steps []ops.Step
	for _, w := range writes {
		if len(after) > 0 {
			w.pending = pending
		}
		steps = append(steps, w.step(p.conn))
	}
	return append(steps, after...), nil
}

func (p *pusher) fact(t Target, f File) {
	value := "absent"
	if f.Exists {
		value = fmt.Sprintf("%s %v %d:%d", p.mask.FileFingerprint(f.Content), f.Info.Mode.Perm(), f.Info.UID, f.Info.GID)
	}
	p.push.Plan.Facts = append(p.push.Plan.Facts, ops.Fact{Node: t.Node.Name, Path: f.Path, Value: value})
}

// copyConfig plans env.mosparo.php on a node other than the admin node.
func (p *pusher) copyConfig(t Target, diff *NodeDiff) (*write, error) {
	f := t.State.Config
	want := p.admin.Config.Content
	if t.Node.Name == p.admin.Node || f.Exists && bytes.Equal(f.Content, want) {
		return nil, nil
	}
	if version := p.config.Text("mosparo_installed_version"); t.State.Code != "" && version != t.State.Code {
		return nil, ops.Errorf(ops.CodeFailed, "its code is mosparo %s, the configuration of %s says %s: any visitor would start the update there",
			t.State.Code, p.admin.Node, version).On(t.Node.Name).WithHint("mosparoctl deploy --nodes %s", t.Node.Name)
	}
	old, err := ParsePHP(f.Content)
	note := ""
	if err != nil {
		old, note = &Config{}, fmt.Sprintf("the file there can't be read (%v) and is replaced\n", err)
	}
	diff.Config = DiffConfig(p.mask, old, p.config)
	diff.ConfigForm = len(diff.Config) == 0
	if diff.ConfigForm {
		note = "same values, written in another form or order"
	}
	return &write{t, f, want, note + Lines(diff.Config), ""}, nil
}

// local plans .env.local.
func (p *pusher) local(t Target) (*write, []Difference, error) {
	warnings, err := t.Desired.Lint(t.Node.Name)
	if err != nil {
		return nil, nil, err
	}
	p.warn(t.Node.Name, warnings)
	f := t.State.Local
	if len(t.Desired.Values) == 0 && (!f.Exists || !bytes.HasPrefix(f.Content, []byte(Header))) {
		return nil, nil, nil // the inventory says nothing, and the file is not ours
	}
	content, err := RenderDotenv(t.Desired.Values)
	if err != nil {
		return nil, nil, ops.Errorf(ops.CodeInvalid, "%w", err).On(t.Node.Name)
	}
	if err := p.shadowed(t); err != nil {
		return nil, nil, err
	}
	vars, err := ParseDotenv(f.Content, nil)
	if err != nil {
		return nil, nil, ops.Errorf(ops.CodeFailed, "read %s: %w", f.Path, err).On(t.Node.Name).
			WithHint("mend or remove the file, then push again")
	}
	differences := DiffEnv(p.mask, Values(vars), t.Desired.Values, t.Desired.Secret)
	if f.Exists && bytes.Equal(f.Content, content) {
		return nil, nil, nil
	}
	if !p.options.Prune && !bytes.HasPrefix(f.Content, []byte(Header)) {
		var lost []string
		for _, d := range differences {
			if d.Action == "remove" {
				lost = append(lost, d.Key)
			}
		}
		if len(lost) > 0 {
			return nil, nil, ops.Errorf(ops.CodeConfirm, "%s holds keys that the inventory does not: %s", f.Path, strings.Join(lost, ", ")).
				On(t.Node.Name).WithHint("add them to env in the inventory, or drop them with --prune")
		}
	}
	return &write{t, f, content, Lines(differences), ""}, differences, nil
}

// shadowed refuses where .env.local would have no effect, and warns where single keys have none.
func (p *pusher) shadowed(t Target) error {
	if f, ok := t.State.Shadow[dumpedEnv]; ok {
		return ops.Errorf(ops.CodeFailed, "%s replaces all .env files: %s would have no effect", f.Path, LocalPath).
			On(t.Node.Name).WithHint("remove it, it was made by composer dump-env")
	}
	for name, f := range t.State.Shadow {
		vars, err := ParseDotenv(f.Content, nil)
		if err != nil {
			continue // PHP will complain; it is not our file
		}
		for key, value := range Values(vars) {
			if own, ok := t.Desired.Values[key]; ok && own != value {
				p.warn(t.Node.Name, []Finding{{SeverityWarning, key, f.Path + " sets it too and counts more", "remove it there: " + name + " comes before " + LocalPath}})
			}
		}
	}
	return nil
}
