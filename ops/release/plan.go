package release

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
)

// Operations, as they appear in plans and events.
const (
	OpDeploy   = "deploy"
	OpRollback = "rollback"
	OpPrune    = "prune"
	OpAdopt    = "adopt"
	OpUnadopt  = "adopt --undo"
)

// defaultKeep is how many releases a node keeps where the inventory doesn't say.
const defaultKeep = 5

// Options narrows and overrides a deploy or a rollback.
type Options struct {
	ID        string   `json:"id,omitempty"`         // of the release; deploy: "" makes one, rollback: "" means the previous one
	Nodes     []string `json:"nodes,omitempty"`      // names; nil: all
	Downgrade bool     `json:"downgrade,omitempty"`  // deploy an older version than the one that runs
	NoMigrate bool     `json:"no_migrate,omitempty"` // leave the database alone
	NoHooks   bool     `json:"no_hooks,omitempty"`   // run no hooks
}

// Planned is a plan with what an operator should know beside it.
type Planned struct {
	Plan    *ops.Plan
	Release Info     // what the nodes will be on
	Notes   []string // one sentence each
}

// builder puts a plan together. It does no I/O.
type builder struct {
	m       *Manager
	opts    Options
	facts   *Facts
	lead    *NodeFacts
	nodes   []*NodeFacts // selected ones, without the lead
	withAll []*NodeFacts // selected ones, the lead first
	src     *Source      // nil: the release is on all nodes already
	target  Info
	migrate bool // run migrations where the lead needs them
	planned *Planned
}

// PlanDeploy plans to bring the selected nodes to the content of src. It is pure but for the id of a new release, which
// holds the time; give Options.ID to plan the same again. The facts must be those of the selected nodes and the admin node.
func (m *Manager) PlanDeploy(f *Facts, src *Source, o Options) (*Planned, error) {
	b, err := m.builder(OpDeploy, f, o)
	if err != nil {
		return nil, err
	}
	b.src = src
	b.target = b.chooseRelease(src)
	b.migrate = m.d.Release.Migrate && !o.NoMigrate
	b.planned.Plan.Facts = append(b.planned.Plan.Facts, ops.Fact{Path: "source", Value: src.Digest})
	if old := b.lead.Config.Version; src.Kind == KindMosparo && b.lead.Config.Installed && compareVersions(src.Version, old) < 0 {
		if !o.Downgrade {
			return nil, ops.Errorf(ops.CodeUsage, "version %s is older than %s, which runs, and migrations of the database can't be taken back", src.Version, old).
				WithHint("mosparoctl rollback; or give --downgrade if the database was restored to %s", src.Version)
		}
		b.migrate = false
		b.notef("Version %s is older than %s: the database is not migrated.", src.Version, old)
	}
	return b.plan()
}

// PlanRollback plans to bring the selected nodes back to a release they all still have. It is pure.
func (m *Manager) PlanRollback(f *Facts, o Options) (*Planned, error) {
	b, err := m.builder(OpRollback, f, o)
	if err != nil {
		return nil, err
	}
	id := cmp.Or(o.ID, b.lead.Previous)
	if id == "" {
		return nil, ops.Errorf(ops.CodeUsage, "no release was active before %s", cmp.Or(b.lead.Current, "this one")).
			On(b.lead.Node.Name).WithHint("mosparoctl releases")
	}
	for _, n := range b.withAll {
		if n.Node.Paths.Layout == inventory.LayoutInPlace {
			return nil, ops.Errorf(ops.CodeUsage, "an installation in place keeps no releases to go back to").On(n.Node.Name).
				WithHint("deploy the archive of the older version with --downgrade; or mosparoctl adopt %s", n.Node.Name)
		}
		info, ok := n.Release(id)
		if !ok {
			return nil, ops.Errorf(ops.CodeFailed, "release %s is not there", id).On(n.Node.Name).WithHint("mosparoctl releases")
		}
		b.target = info
	}
	if active, ok := b.lead.Active(); ok {
		if list := active.newMigrations(b.target); len(list) > 0 {
			b.notef("The database has been migrated since %s (%s): that is not taken back. Restore a backup if the old code can't work with it.",
				id, strings.Join(list, ", "))
		}
	}
	return b.plan()
}

// builder selects the nodes and refuses what can't be planned.
func (m *Manager) builder(op string, f *Facts, o Options) (*builder, error) {
	b := &builder{m: m, opts: o, facts: f, planned: &Planned{Plan: &ops.Plan{Op: op}}}
	lead := m.lead()
	if lead == nil {
		return nil, ops.Errorf(ops.CodeInvalid, "the inventory has no nodes")
	}
	if b.lead = f.Of(lead.Name); b.lead == nil {
		return nil, ops.Errorf(ops.CodeFailed, "nothing is known of it").On(lead.Name)
	}
	chosen := func(n *NodeFacts) bool { return o.Nodes == nil || slices.Contains(o.Nodes, n.Node.Name) }
	if chosen(b.lead) {
		b.withAll = append(b.withAll, b.lead)
	}
	for _, n := range f.Nodes {
		if n != b.lead && chosen(n) {
			b.nodes = append(b.nodes, n)
		}
	}
	b.withAll = append(b.withAll, b.nodes...)
	for _, n := range b.withAll {
		if n.Node.Paths.Layout != inventory.LayoutInPlace && n.InPlace && n.Current == "" {
			return nil, ops.Errorf(ops.CodeFailed, "%s is itself an installation, not a folder of releases", n.Node.Paths.Root).
				On(n.Node.Name).WithHint("mosparoctl adopt %s; or set paths.layout: in-place", n.Node.Name)
		}
	}
	for _, n := range f.Nodes {
		b.planned.Plan.Facts = append(b.planned.Plan.Facts, n.list()...)
	}
	return b, nil
}

func (b *builder) notef(format string, args ...any) {
	b.planned.Notes = append(b.planned.Notes, fmt.Sprintf(format, args...))
}

// chooseRelease describes the release to make of src, or the one a node has of the same content: so a deploy that was
// broken off is gone on with, and one that was done is found to be done.
func (b *builder) chooseRelease(src *Source) Info {
	if b.opts.ID == "" {
		for _, n := range b.withAllAndLead() {
			for _, r := range n.Releases {
				if r.Digest == src.Digest && r.Kind == src.Kind {
					return r
				}
			}
		}
	}
	for _, n := range b.withAllAndLead() {
		if r, ok := n.Release(b.opts.ID); ok && r.Digest == src.Digest {
			return r
		}
	}
	now := b.m.deps.Now().UTC()
	info := Info{ID: cmp.Or(b.opts.ID, NewID(src.Version, src.Digest, now)), Kind: src.Kind, Version: src.Version, Digest: src.Digest,
		Created: now.Truncate(1e9), Source: src.Desc, Files: src.Manifest.Files(), Bytes: src.Manifest.Bytes()}
	if src.Kind == KindMosparo {
		info.Migrations = migrations(src.Manifest)
	}
	return info
}

// withAllAndLead are the selected nodes, and the lead first whether it is selected or not.
func (b *builder) withAllAndLead() []*NodeFacts { return append([]*NodeFacts{b.lead}, b.nodes...) }

// configured reports whether there is a configuration that has to go with the release.
func (b *builder) configured() bool { return b.target.Kind == KindMosparo && b.lead.Config.Installed }

// finished reports whether n's configuration goes with the target.
func (b *builder) finished(n *NodeFacts) bool {
	return !b.configured() || n.Config.Installed && n.Config.Version == b.target.Version && n.Config.Assets == b.target.assets()
}

// needsUpload reports whether n lacks the release.
func (b *builder) needsUpload(n *NodeFacts) bool {
	_, has := n.Release(b.target.ID)
	return !has
}

// needsSwitch reports whether n is on another release.
func (b *builder) needsSwitch(n *NodeFacts) bool { return n.Current != b.target.ID || b.needsUpload(n) }

// needsWork reports whether n has to be taken out of rotation.
func (b *builder) needsWork(n *NodeFacts) bool {
	return b.needsSwitch(n) || !b.finished(n) || n.Hold != nil && !b.waitsForWizard(n)
}

// waitsForWizard reports whether n stays out of rotation because mosparo is not installed yet: a visitor would find the
// installer there. The admin node is where the wizard is run.
func (b *builder) waitsForWizard(n *NodeFacts) bool {
	return n != b.lead && b.target.Kind == KindMosparo && !b.lead.Config.Installed
}

// plan makes the waves.
func (b *builder) plan() (*Planned, error) {
	p := b.planned.Plan
	b.planned.Release = b.target
	if err := b.refuse(); err != nil {
		return nil, err
	}
	b.wave("prepare", b.m.d.Parallel, b.withAll, b.prepareSteps)
	work := slices.DeleteFunc(slices.Clone(b.withAll), func(n *NodeFacts) bool { return !b.needsWork(n) })
	if len(work) > 0 {
		b.hookWave("before", b.m.d.Release.Before.Deploy)
	}
	if slices.Contains(work, b.lead) {
		b.wave("admin node", 0, []*NodeFacts{b.lead}, b.nodeSteps)
		work = work[1:]
	}
	for i, serial := 0, b.serial(); len(work) > 0; i++ {
		size := min(serial[min(i, len(serial)-1)], len(work))
		b.wave(fmt.Sprintf("nodes %d", i+1), 0, work[:size], b.nodeSteps)
		work = work[size:]
	}
	changes := p.Steps() > 0
	if changes {
		b.hookWave("after", b.m.d.Release.After.Deploy)
	}
	b.wave("finish", b.m.d.Parallel, b.withAll, b.finishSteps)
	if changes {
		b.notes()
	}
	p.SortFacts()
	return b.planned, nil
}

// refuse returns an error where the plan would break the order that keeps visitors away from a half-updated node.
func (b *builder) refuse() error {
	leadSelected := len(b.withAll) > len(b.nodes)
	if len(b.withAll) == 0 {
		return ops.Errorf(ops.CodeUsage, "no node was selected").WithHint("mosparoctl inventory list")
	}
	if !leadSelected && b.target.Kind == KindMosparo && (b.lead.Current != b.target.ID || !b.finished(b.lead)) {
		return ops.Errorf(ops.CodeUsage, "%s must be on release %s before other nodes are", b.lead.Node.Name, b.target.ID).
			WithHint("select %s too", b.lead.Node.Name)
	}
	for _, n := range b.withAll {
		if slices.Contains(n.Strange, b.target.ID) {
			return ops.Errorf(ops.CodeFailed, "%s is there, but is no release of ours", releasePath(n.Node, b.target.ID)).
				On(n.Node.Name).WithHint("move the folder away")
		}
	}
	return nil
}

// serial are the sizes of the waves; the last repeats.
func (b *builder) serial() []int {
	var sizes []int
	for _, s := range b.m.d.Release.Serial {
		if s > 0 {
			sizes = append(sizes, s)
		}
	}
	if len(sizes) == 0 {
		return []int{1}
	}
	return sizes
}

// wave adds a wave of the steps of nodes, unless there are none.
func (b *builder) wave(name string, parallel int, nodes []*NodeFacts, steps func(*NodeFacts) []ops.Step) {
	w := ops.Wave{Name: name, Parallel: parallel}
	for _, n := range nodes {
		w.Steps = append(w.Steps, steps(n)...)
	}
	if len(w.Steps) > 0 {
		b.planned.Plan.Waves = append(b.planned.Plan.Waves, w)
	}
}

func (b *builder) hookWave(when string, hooks [][]string) {
	b.wave(when, 0, []*NodeFacts{b.lead}, func(n *NodeFacts) []ops.Step { return b.hooks(n, when+"-deploy", hooks) })
}

// notes tells what an operator has to know or do beside the plan.
func (b *builder) notes() {
	if b.target.Kind != KindMosparo {
		return
	}
	if !b.lead.Config.Installed {
		b.notef("mosparo is not installed yet: run its wizard on %s, then deploy again. Until then the other nodes stay out of rotation, since every visitor would find the installer there.",
			b.lead.Node.Name)
		return
	}
	if b.lead.Config.WebCron {
		b.notef("Scheduled jobs run by web requests: don't call the cron URL on %s while it is migrated.", b.lead.Node.Name)
	}
	var silent []string
	for _, n := range b.withAll {
		if b.needsWork(n) && len(n.Node.PHP.Reload) == 0 {
			silent = append(silent, n.Node.Name)
		}
	}
	if len(silent) > 0 {
		b.notef("No php.reload is set for %s: PHP may serve the old code for two minutes, until its path cache ends.", strings.Join(silent, ", "))
	}
	if b.lead.Config.Version != b.target.Version && !b.m.d.Cache.SharedCSS {
		b.notef("Prepared style sheets of projects stay those of %s until their design is saved again on %s; run mosparoctl sync after that.",
			b.lead.Config.Version, b.lead.Node.Name)
	}
}

// surplus are the releases of n that are too many once the target is active: never that one, never the one before it.
func (b *builder) surplus(n *NodeFacts) []Info {
	previous := n.Previous
	if n.Current != b.target.ID {
		previous = n.Current
	}
	kept := 1 // the target
	return surplus(n.Releases, b.target.ID, previous, b.m.keep()-kept)
}

func (m *Manager) keep() int { return cmp.Or(m.d.Release.Keep, defaultKeep) }

// surplus lists what is left of releases (newest first) after current, previous and others up to keep are taken out.
func surplus(releases []Info, current, previous string, keep int) []Info {
	var list []Info
	if slices.ContainsFunc(releases, func(r Info) bool { return r.ID == previous && r.ID != current }) {
		keep--
	}
	for _, r := range releases {
		switch {
		case r.ID == current || r.ID == previous:
		case keep > 0:
			keep--
		default:
			list = append(list, r)
		}
	}
	return list
}

// stepID names a step: unique in a plan, and the same in two plans of the same facts.
func stepID(n *NodeFacts, verb string) string { return n.Node.Name + "/" + verb }

// at is a path in the target on n.
func (b *builder) at(n *NodeFacts, rel string) string {
	return path.Join(releasePath(n.Node, b.target.ID), rel)
}
