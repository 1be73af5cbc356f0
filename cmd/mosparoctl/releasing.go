package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"strings"
	"time"

	"github.com/mosparoctl/mosparoctl/cmd/internal/output"
	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/balancer"
	"github.com/mosparoctl/mosparoctl/ops/filesync"
	"github.com/mosparoctl/mosparoctl/ops/health"
	"github.com/mosparoctl/mosparoctl/ops/release"
)

// releasing is what commands about releases work with.
type releasing struct {
	*session
	manager *release.Manager
	undoers ops.Undoers
	peers   *filesync.Peers
}

// closePeers ends what moves files on the nodes; the connections are the session's.
func (r *releasing) closePeers() { _ = r.peers.Close() }

// openReleasing opens a session for a command about releases. close ends both.
func (a *app) openReleasing(force bool) (*releasing, error) {
	s, err := a.open()
	if err != nil {
		return nil, err
	}
	r, err := s.releasing(force)
	if err != nil {
		s.close()
		return nil, err
	}
	return r, nil
}

func (r *releasing) close() {
	r.closePeers()
	r.session.close()
}

// releasing makes the manager of the deployment's releases. force lets it drain the last serving node too.
func (s *session) releasing(force bool) (*releasing, error) {
	peers := filesync.NewPeers(s.hosts, nil)
	deps := release.Deps{Hosts: s.hosts, Peers: peers, Gate: healthGate{s}}
	set, err := balancer.New(s.deployment, s.hosts, balancer.Options{Force: force})
	if err != nil {
		return nil, err
	}
	if !set.Empty() {
		deps.Rotation = set
	}
	m := release.New(s.deployment, deps)
	undoers := m.Undoers()
	maps.Copy(undoers, set.Undoers()) // of a drain that was broken off
	return &releasing{session: s, manager: m, undoers: undoers, peers: peers}, nil
}

// facts reads what plans for the selected nodes need.
func (r *releasing) facts(ctx context.Context) (*release.Facts, error) {
	return r.manager.Read(ctx, r.manager.FactNodes(r.nodes))
}

// names are the names of the selected nodes, or nil where all are.
func (r *releasing) names() []string {
	if len(r.nodes) == len(r.deployment.Nodes) {
		return nil
	}
	names := make([]string, 0, len(r.nodes))
	for _, n := range r.nodes {
		names = append(names, n.Name)
	}
	return names
}

// notes prints what an operator should know beside a plan.
func (r *releasing) notes(p *release.Planned) {
	for _, n := range p.Notes {
		r.app.printer.Emit(ops.Event{Kind: ops.Warning, Op: p.Plan.Op, Message: n})
	}
}

// carryOutOrShow is carryOut, or with dryRun shows the plan and changes nothing.
func (r *releasing) carryOutOrShow(ctx context.Context, op string, dryRun bool, plan func(context.Context) (*release.Planned, error)) error {
	if !dryRun {
		return r.carryOut(ctx, op, plan)
	}
	p, err := plan(ctx)
	if err != nil {
		return err
	}
	return r.dryRunRelease(p, nil)
}

// carryOut takes back what broken runs have left, makes the plan with fresh facts and applies it, all under the lock. When
// it fails it says which nodes are on which release.
func (r *releasing) carryOut(ctx context.Context, op string, plan func(context.Context) (*release.Planned, error)) error {
	return r.locked(ctx, op, func(ctx context.Context) error {
		if err := r.recover(ctx); err != nil {
			// A node that can't be reached now may be none of those to work on; if it is one, the plan fails by itself.
			r.app.printer.Emit(ops.Event{Kind: ops.Warning, Op: op, Message: "what an earlier run left could not be taken back",
				Error: err.Error(), Hint: "mosparoctl recover"})
		}
		p, err := plan(ctx)
		if err != nil {
			return err
		}
		r.notes(p)
		if p.Plan.Empty() {
			r.app.printer.Emit(ops.Event{Kind: ops.Summary, Op: op, Message: nothingToDo(p)})
			return nil
		}
		err = r.applyLocked(ctx, p.Plan, r.undoers)
		if err != nil {
			r.whereNow(ctx, op)
		}
		return err
	})
}

func nothingToDo(p *release.Planned) string {
	if p.Release.ID == "" {
		return "nothing to do"
	}
	return "nothing to do: all nodes are on " + p.Release.ID
}

// recover takes back what the journals of broken runs hold.
func (r *releasing) recover(ctx context.Context) error {
	dir, err := r.stateDir()
	if err != nil {
		return err
	}
	_, err = ops.Recover(ctx, dir, r.undoers, r.app.printer)
	return err
}

// whereNow prints the release of each node after a failure.
func (r *releasing) whereNow(ctx context.Context, op string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	for _, n := range r.deployment.Nodes {
		text := "on "
		facts, err := r.manager.Read(ctx, []*inventory.Node{n})
		switch {
		case err != nil:
			text = "release unknown: " + err.Error()
		case facts.Nodes[0].Current == "":
			text += "no release"
		default:
			text += facts.Nodes[0].Current
		}
		if err == nil && facts.Nodes[0].Hold != nil {
			text += ", out of rotation"
		}
		r.app.printer.Emit(ops.Event{Kind: ops.Warning, Op: op, Node: n.Name, Message: text})
	}
}

// dryRunRelease shows what a plan would do, with the content that would change.
func (r *releasing) dryRunRelease(p *release.Planned, previews []release.Preview) error {
	r.notes(p)
	if len(previews) > 0 && !p.Plan.Empty() {
		r.app.printer.Result("content", previews, func(w io.Writer) { writePreviews(w, previews) })
	}
	return r.dryRun(p.Plan)
}

// shownPaths bounds the paths listed of one kind of change.
const shownPaths = 20

func writePreviews(w io.Writer, previews []release.Preview) {
	for _, p := range previews {
		from := p.From
		if from == "" {
			from = "nothing"
		}
		fmt.Fprintf(w, "content, against %s on %s: %d added, %d changed, %d removed\n", from, strings.Join(p.Nodes, ", "),
			len(p.Added), len(p.Changed), len(p.Removed))
		if p.From == "" {
			continue
		}
		for _, l := range []struct {
			sign  string
			paths []string
		}{{"+", p.Added}, {"~", p.Changed}, {"-", p.Removed}} {
			for i, path := range l.paths {
				if i == shownPaths {
					fmt.Fprintf(w, "  %s … and %d more\n", l.sign, len(l.paths)-shownPaths)
					break
				}
				fmt.Fprintf(w, "  %s %s\n", l.sign, path)
			}
		}
		fmt.Fprint(w, p.Diff)
	}
}

// releaseTable is what the releases command prints.
func releaseTable(facts *release.Facts) (output.Table, []releaseRow) {
	t := output.Table{Header: []string{"NODE", "", "RELEASE", "VERSION", "CREATED", "FILES", "SOURCE"}}
	rows := []releaseRow{}
	for _, n := range facts.Nodes {
		for _, info := range n.Releases {
			row := releaseRow{Node: n.Node.Name, Info: info, Active: info.ID == n.Current, Previous: info.ID == n.Previous}
			mark := ""
			switch {
			case row.Active:
				mark = "active"
			case row.Previous:
				mark = "previous"
			}
			rows = append(rows, row)
			t.Rows = append(t.Rows, []string{row.Node, mark, info.ID, info.Version, info.Created.UTC().Format("2006-01-02 15:04"),
				fmt.Sprint(info.Files), info.Source})
		}
		if len(n.Releases) == 0 {
			t.Rows = append(t.Rows, []string{n.Node.Name, "none", "", "", "", "", ""})
		}
	}
	return t, rows
}

// releaseRow is one release on one node in JSON.
type releaseRow struct {
	Node     string `json:"node"`
	Active   bool   `json:"active"`
	Previous bool   `json:"previous"`
	release.Info
}

const (
	gateWait = 60 * time.Second // for mosparo to become healthy after a switch
	gatePoll = time.Second
)

// healthGate asks mosparo's health check through the node's own web server, as "check http-health" does.
type healthGate struct{ s *session }

// Healthy waits until the check is fine, at most a minute.
func (g healthGate) Healthy(ctx context.Context, n *inventory.Node, _ ops.Reporter) error {
	ctx, cancel := context.WithTimeout(ctx, gateWait)
	defer cancel()
	env := health.Env{Deployment: g.s.deployment, Hosts: g.s.hosts, Nodes: []*inventory.Node{n}, Redact: g.s.app.redactor.Add, Questions: g.s.hosts.Questions}
	poll := time.NewTicker(gatePoll)
	defer poll.Stop()
	for {
		report, err := health.Run(ctx, env, health.Filter{Only: []string{"http-health"}})
		if err != nil {
			return err
		}
		bad := ""
		for _, res := range report.Results {
			if e, ok := res.On(n.Name); ok && e.Verdict != health.OK && e.Verdict != health.Warn {
				bad = e.Text
			}
		}
		if bad == "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s", bad)
		case <-poll.C:
		}
	}
}
