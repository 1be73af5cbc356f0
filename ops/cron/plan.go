package cron

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
)

// ProofDays is how long a schedule is simulated: more than a year, so that each clock change is in it.
const ProofDays = 400

// Overview is the whole schedule of a deployment.
type Overview struct {
	Jobs      []Job
	Phases    Phases
	Schedules []Schedule // by node, then job
	InForce   []Schedule // what of it the nodes' crontabs start now, as far as they were read; those that move are at their present times
	Proof     Proof
	Moved     []Slot // that start at another time than now
	Foreign   []ForeignJob
	Zones     []error // nodes whose clock disagrees with the inventory
}

// Lay works out the schedule of d. states holds what was read from nodes, as far as they were: their jobs keep their
// times where possible. Pure.
func Lay(d *inventory.Deployment, states map[string]*NodeState, now time.Time) (*Overview, error) {
	jobs, err := Jobs(d)
	if err != nil {
		return nil, err
	}
	keep := Phases{}
	for node, s := range states {
		for slot, phase := range s.phases(node, jobs) {
			keep[slot] = phase
		}
	}
	phases, err := Stagger(jobs, d.Cron.Distance, keep)
	if err != nil {
		return nil, err
	}
	o := &Overview{Jobs: jobs, Phases: phases}
	for _, j := range jobs {
		for _, node := range j.Nodes {
			zone, err := time.LoadLocation(d.Node(node).TZ)
			if err != nil {
				return nil, ops.Errorf(ops.CodeInvalid, "time zone %q: %w", d.Node(node).TZ, err).On(node)
			}
			slot := Slot{j.Name, node}
			s, err := NewSchedule(j, node, phases[slot], zone, now)
			if err != nil {
				return nil, ops.Errorf(ops.CodeInvalid, "%w", err).On(node)
			}
			o.Schedules = append(o.Schedules, s)
			was, ok := keep[slot]
			if ok && was != phases[slot] {
				o.Moved = append(o.Moved, slot)
				s, err = NewSchedule(j, node, was, zone, now)
			}
			if ok && err == nil { // one that could not be written today can't be drawn either
				o.InForce = append(o.InForce, s)
			}
		}
	}
	order := map[string]int{}
	for i, n := range d.Nodes {
		order[n.Name] = i
	}
	for _, list := range [][]Schedule{o.Schedules, o.InForce} {
		slices.SortStableFunc(list, func(a, b Schedule) int { return order[a.Node] - order[b.Node] })
	}
	for _, n := range d.Nodes {
		if s := states[n.Name]; s != nil {
			o.Foreign = append(o.Foreign, s.Foreign...)
			if err := s.Zone.Err(n.Name); err != nil {
				o.Zones = append(o.Zones, err)
			}
		}
	}
	o.Proof = Prove(o.Schedules, d.Cron.Distance, now, ProofDays)
	return o, nil
}

// phases reads the phases in force from the notes in the blocks.
func (s *NodeState) phases(node string, jobs []Job) Phases {
	found := Phases{}
	for _, t := range []Table{s.Crontab, s.File} {
		if t.Parsed == nil {
			continue
		}
		for line := range strings.Lines(t.Parsed.Block()) {
			name, every, phase, ok := phaseOf(line)
			same := func(j Job) bool { return j.Name == name && j.Every == every && slices.Contains(j.Nodes, node) }
			if ok && slices.ContainsFunc(jobs, same) {
				found[Slot{name, node}] = phase
			}
		}
	}
	return found
}

// NodeDiff is how one crontab of one node changes.
type NodeDiff struct {
	Node string   `json:"node"`
	Path string   `json:"path"`
	Diff []string `json:"diff"` // lines that go with "-", lines that come with "+"
}

// PlanApply plans the crontabs of the nodes for the schedule o. It is pure but for the steps, which reach nodes through
// conn. It refuses a node whose clock is not in the zone that the schedule was made for, and a choice of nodes that
// leaves out one whose starts have to move.
func PlanApply(d *inventory.Deployment, o *Overview, states map[string]*NodeState, nodes []*inventory.Node, conn ops.Connector) (*ops.Plan, []NodeDiff, error) {
	if !o.Proof.OK() {
		return nil, nil, ops.Errorf(ops.CodeFailed, "the schedule does not keep its promise: %s", o.Proof)
	}
	for _, m := range o.Moved {
		if !slices.ContainsFunc(nodes, func(n *inventory.Node) bool { return n.Name == m.Node }) {
			return nil, nil, ops.Errorf(ops.CodeInvalid, "the others make room only if %s moves there too, and it is not among the chosen nodes", m.Job).
				On(m.Node).WithHint("mosparoctl cron apply")
		}
	}
	console := map[string][]string{}
	for _, j := range o.Jobs {
		console[j.Name] = j.Console
	}
	b := builder{op: "cron apply", deployment: d, conn: conn, parallel: d.Parallel}
	var errs []error
	for _, n := range nodes {
		s := states[n.Name]
		if err := s.Zone.Err(n.Name); err != nil {
			errs = append(errs, err)
			continue
		}
		var own []Schedule
		for _, sched := range o.Schedules {
			if sched.Node == n.Name {
				own = append(own, sched)
			}
		}
		if err := b.node(n, s, own, console); err != nil {
			errs = append(errs, ops.NodeError(n.Name, "", err))
		}
	}
	if len(errs) > 0 {
		return nil, nil, &ops.Error{Code: ops.CodeOf(errs[0]), Op: "plan cron apply", Hint: ops.HintOf(errs[0]), Err: errors.Join(errs...)}
	}
	return b.plan(), b.diffs, nil
}

// PlanRemove plans the removal of everything that PlanApply wrote on the nodes, but for the folder of lock files.
func PlanRemove(d *inventory.Deployment, states map[string]*NodeState, nodes []*inventory.Node, conn ops.Connector) (*ops.Plan, []NodeDiff) {
	b := builder{op: "cron remove", deployment: d, conn: conn, parallel: d.Parallel}
	for _, n := range nodes {
		b.table(n, states[n.Name], states[n.Name].Crontab, "", false)
		b.table(n, states[n.Name], states[n.Name].File, "", true)
	}
	return b.plan(), b.diffs
}

type builder struct {
	op         string
	deployment *inventory.Deployment
	conn       ops.Connector
	parallel   int
	facts      []ops.Fact
	steps      []ops.Step
	diffs      []NodeDiff
}

func (b *builder) plan() *ops.Plan {
	p := &ops.Plan{Op: b.op, Facts: b.facts}
	if len(b.steps) > 0 {
		p.Waves = []ops.Wave{{Name: "crontabs", Parallel: b.parallel, Steps: b.steps}}
	}
	p.SortFacts()
	return p
}

// node plans one node: its schedule in the one place, nothing in the other.
func (b *builder) node(n *inventory.Node, s *NodeState, own []Schedule, console map[string][]string) error {
	inFile := b.deployment.Cron.Target == inventory.CronFile
	user := ""
	if inFile {
		user = s.User
	}
	block, err := blockOf(b.deployment.Name, n, own, console, user)
	if err != nil {
		return ops.Errorf(ops.CodeInvalid, "%w", err)
	}
	if block != "" && !s.Locks {
		b.lockDir(n, s)
	}
	crontab, file := block, ""
	if inFile {
		crontab, file = "", block
	}
	// What goes comes last, so that no job is without its line in between.
	if inFile {
		b.table(n, s, s.File, file, true)
		b.table(n, s, s.Crontab, crontab, false)
	} else {
		b.table(n, s, s.Crontab, crontab, false)
		b.table(n, s, s.File, file, true)
	}
	return nil
}

func (b *builder) lockDir(n *inventory.Node, s *NodeState) {
	dir := LockDir(n)
	b.steps = append(b.steps, ops.Step{
		ID: "cron:" + n.Name + ":locks", Node: n.Name, Title: "make the folder of lock files",
		Changes: []ops.Change{{Path: dir, Action: "create"}},
		Do: func(ctx context.Context, _ ops.Reporter) error {
			h, err := b.conn.Host(ctx, n.Name)
			if err != nil {
				return err
			}
			return h.MkdirAll(ctx, dir, ops.Attr{Mode: 0o755, Owner: s.Owner})
		},
	})
}

// table plans that t holds block and nothing else of ours.
func (b *builder) table(n *inventory.Node, s *NodeState, t Table, block string, isFile bool) {
	b.facts = append(b.facts, ops.Fact{Node: n.Name, Path: t.Path, Value: t.state()})
	if t.Parsed.Block() == block {
		return
	}
	content := t.Parsed.WithBlock(block)
	diff := diffLines(t.Parsed.Block(), block)
	b.diffs = append(b.diffs, NodeDiff{n.Name, t.Path, diff})
	action := "update"
	switch {
	case block == "":
		action = "delete"
	case !t.Exists:
		action = "create"
	}
	b.steps = append(b.steps, ops.Step{
		ID: "cron:" + n.Name + ":" + t.Path, Node: n.Name, Title: action + " the schedule in " + t.Path,
		Changes: []ops.Change{{Path: t.Path, Action: action, Detail: strings.Join(diff, "\n")}},
		Do: func(ctx context.Context, _ ops.Reporter) error {
			h, err := b.conn.Host(ctx, n.Name)
			if err != nil {
				return err
			}
			return s.write(ctx, h, b.deployment.Name, t, content, isFile)
		},
	})
}

func (t Table) state() string {
	if !t.Exists {
		return "absent"
	}
	sum := sha256.Sum256(t.Content)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// write puts content in the place of t, unless somebody changed it since t was read. An empty crontab and an empty file go.
func (s *NodeState) write(ctx context.Context, h ops.Host, deployment string, t Table, content []byte, isFile bool) error {
	read := func() (Table, error) { return s.readCrontab(ctx, h, deployment, s.User) }
	if isFile {
		read = func() (Table, error) { return readTable(ctx, h, t.Path, deployment) }
	}
	now, err := read()
	if err != nil {
		return err
	}
	if now.Exists != t.Exists || !bytes.Equal(now.Content, t.Content) {
		return ops.Errorf(ops.CodeLocked, "%s changed since it was read", t.Path).On(h.Name()).WithHint("mosparoctl cron apply")
	}
	empty := len(bytes.TrimSpace(content)) == 0
	switch {
	case isFile && empty:
		return h.Remove(ctx, t.Path)
	case isFile:
		return h.WriteFile(ctx, t.Path, bytes.NewReader(content), ops.Attr{Mode: 0o644, Owner: &ops.Owner{}})
	case empty:
		_, err = h.Run(ctx, ops.Command{Argv: s.crontabArgv(s.User, "-r")})
	default:
		_, err = h.Run(ctx, ops.Command{Argv: s.crontabArgv(s.User, "-"), Stdin: bytes.NewReader(content)})
	}
	return err
}

// diffLines lists the lines of old that new lacks, then those that are new. Markers and the standing note are left out.
func diffLines(old, new string) []string {
	a, b := shownLines(old), shownLines(new)
	var out []string
	for _, l := range a {
		if !slices.Contains(b, l) {
			out = append(out, "- "+l)
		}
	}
	for _, l := range b {
		if !slices.Contains(a, l) {
			out = append(out, "+ "+l)
		}
	}
	if len(out) == 0 {
		out = append(out, "~ the order or the markers of the lines")
	}
	return out
}

func shownLines(block string) []string {
	var list []string
	for l := range strings.Lines(block) {
		l = strings.TrimRight(l, "\n")
		if !strings.HasPrefix(l, beginMarker) && !strings.HasPrefix(l, endMarker) && l != fileNote {
			list = append(list, l)
		}
	}
	return list
}
