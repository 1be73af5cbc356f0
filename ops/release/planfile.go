package release

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
)

// planFileVersion is the version of the format of plan files.
const planFileVersion = 1

// maxPlanFile bounds the size of a plan file.
const maxPlanFile = 64 << 20

// PlanFile is a plan that is carried out later, maybe by somebody else. It holds what the plan was made of, so that the
// same plan can be made again: what is carried out is the new one, after both were found equal.
type PlanFile struct {
	Version    int        `json:"version"`
	Created    time.Time  `json:"created"`
	Deployment string     `json:"deployment"`
	Source     SourceSpec `json:"source,omitzero"`
	Options    Options    `json:"options"`
	Notes      []string   `json:"notes,omitempty"`
	Digest     string     `json:"digest"`
	Plan       *ops.Plan  `json:"plan"`
}

// SourceSpec says where a source is.
type SourceSpec struct {
	Path     string   `json:"path,omitempty"`      // folder or archive, absolute
	FromNode string   `json:"from_node,omitempty"` // or the installation on a node
	AllowAny bool     `json:"allow_any,omitempty"`
	Checksum string   `json:"checksum,omitempty"`
	Exclude  []string `json:"exclude,omitempty"`
}

// NewPlanFile makes the file of a planned deploy or rollback.
func (m *Manager) NewPlanFile(p *Planned, spec SourceSpec, o Options) *PlanFile {
	o.ID = p.Release.ID // the same release again, although time has passed
	return &PlanFile{Version: planFileVersion, Created: m.deps.Now().UTC().Truncate(time.Second), Deployment: m.d.Name, Source: spec,
		Options: o, Notes: p.Notes, Digest: p.Plan.Digest(), Plan: p.Plan}
}

// Write writes the file, readable by its owner only.
func (f *PlanFile) Write(name string) error {
	raw, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return fmt.Errorf("write plan: %w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(name), ops.TempPrefix)
	if err != nil {
		return fmt.Errorf("write plan: %w", err)
	}
	_, err = tmp.Write(append(raw, '\n'))
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), name)
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
		return fmt.Errorf("write plan: %w", err)
	}
	return nil
}

// ReadPlanFile reads a plan file and refuses one that is damaged or of another version of the format.
func ReadPlanFile(r io.Reader) (*PlanFile, error) {
	raw, err := io.ReadAll(io.LimitReader(r, maxPlanFile+1))
	if err != nil {
		return nil, fmt.Errorf("read plan: %w", err)
	}
	var f PlanFile
	switch err := json.Unmarshal(raw, &f); {
	case err != nil || len(raw) > maxPlanFile:
		return nil, ops.Errorf(ops.CodeUsage, "this is no plan file: %v", err).WithHint("mosparoctl plan --out FILE …")
	case f.Version != planFileVersion || f.Plan == nil:
		return nil, ops.Errorf(ops.CodeUsage, "the plan file is of format %d, this program reads %d", f.Version, planFileVersion).WithHint("make the plan again")
	case f.Digest != f.Plan.Digest():
		return nil, ops.Errorf(ops.CodeUsage, "the plan file is damaged: it does not match its digest").WithHint("make the plan again")
	case f.Plan.Op != OpDeploy && f.Plan.Op != OpRollback:
		return nil, ops.Errorf(ops.CodeUsage, "plans of %q can't be carried out from a file", f.Plan.Op)
	case f.Options.ID != "" && !ValidID(f.Options.ID):
		return nil, ops.Errorf(ops.CodeUsage, "the plan file is damaged: bad release id")
	}
	return &f, nil
}

// Replan makes the plan of the file again from fresh facts and returns it if it is still the same. Else the error is an
// *ops.Error with CodeLocked that names the first node and path that changed. src is nil for a rollback.
func (m *Manager) Replan(f *PlanFile, facts *Facts, src *Source) (*Planned, error) {
	if f.Deployment != m.d.Name {
		return nil, ops.Errorf(ops.CodeUsage, "the plan is for deployment %q, the inventory is of %q", f.Deployment, m.d.Name).
			WithHint("give the right --inventory")
	}
	var fresh *Planned
	var err error
	if f.Plan.Op == OpRollback {
		fresh, err = m.PlanRollback(facts, f.Options)
	} else {
		fresh, err = m.PlanDeploy(facts, src, f.Options)
	}
	if err != nil {
		return nil, err
	}
	return fresh, ops.Stale(f.Plan, fresh.Plan)
}

// FactNodes are the nodes whose facts a plan for the selected ones needs: those and the admin node, in the inventory's order.
func (m *Manager) FactNodes(selected []*inventory.Node) []*inventory.Node {
	var list []*inventory.Node
	for _, n := range m.d.Nodes {
		if n == m.lead() || slices.Contains(selected, n) {
			list = append(list, n)
		}
	}
	return list
}

// OpenSource opens the source that spec names. Close it.
func (m *Manager) OpenSource(ctx context.Context, spec SourceSpec) (*Source, error) {
	o := SourceOptions{AllowAny: spec.AllowAny, Checksum: spec.Checksum, Verify: m.d.Release.Checksum, Shared: m.d.Release.Shared, Exclude: spec.Exclude}
	if spec.FromNode == "" {
		return Open(ctx, spec.Path, o)
	}
	n := m.d.Node(spec.FromNode)
	if n == nil {
		return nil, ops.Errorf(ops.CodeUsage, "the inventory has no node %q", spec.FromNode).WithHint("mosparoctl inventory list")
	}
	host, peer, err := m.deps.Peers.At(ctx, n)
	if err != nil {
		return nil, err
	}
	return OpenNode(ctx, n, host, peer, o)
}
