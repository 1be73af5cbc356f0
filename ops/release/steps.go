package release

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
)

// Kinds of Undo.
const (
	undoStaging = "release.staging" // remove a half-uploaded release
	undoSwitch  = "release.switch"  // back to the release before
	undoReady   = "release.ready"   // back into rotation, if code and configuration are of one version
)

// prepareSteps are what can be done on n before anybody could notice.
func (b *builder) prepareSteps(n *NodeFacts) []ops.Step {
	if n.Node.Paths.Layout == inventory.LayoutInPlace {
		return nil
	}
	var steps []ops.Step
	if b.needsUpload(n) {
		staging := stagingPath(n.Node, b.target.Digest)
		steps = append(steps,
			ops.Step{ID: stepID(n, "upload"), Node: n.Node.Name, Title: "upload release " + b.target.ID, Cancel: true,
				Changes: []ops.Change{{Path: staging, Action: "create", Detail: b.size()}},
				Undo:    &ops.Undo{Kind: undoStaging, Node: n.Node.Name, Data: map[string]string{"path": staging}},
				Do:      b.doUpload(n)},
			ops.Step{ID: stepID(n, "publish"), Node: n.Node.Name, Title: "verify and store release " + b.target.ID, Cancel: true,
				Changes: []ops.Change{{Path: b.at(n, ""), Action: "create", Detail: "verified, with links to the shared paths"}},
				Settles: []string{stepID(n, "upload")},
				Do:      b.doPublish(n)})
	} else if b.needsSwitch(n) {
		steps = append(steps, ops.Step{ID: stepID(n, "verify"), Node: n.Node.Name, Title: "verify release " + b.target.ID, Cancel: true,
			Changes: []ops.Change{{Path: b.at(n, ""), Action: "read"}}, Do: b.doVerify(n)})
	}
	if b.needsSwitch(n) && b.target.Kind == KindMosparo {
		title := "clear the compiled cache"
		if b.warms() {
			title = "compile the cache"
		}
		steps = append(steps, ops.Step{ID: stepID(n, "cache"), Node: n.Node.Name, Title: title,
			Changes: []ops.Change{{Path: b.at(n, cacheDir+"/prod"), Action: "update"}}, Do: b.doCache(n)})
	}
	return steps
}

// warms reports whether the cache is compiled before visitors come.
func (b *builder) warms() bool { return b.m.d.Release.Warm && b.configured() }

func (b *builder) size() string {
	return fmt.Sprintf("%d files, %.1f MB", b.target.Files, float64(b.target.Bytes)/1e6)
}

// nodeSteps take n out of rotation, change it and put it back.
func (b *builder) nodeSteps(n *NodeFacts) []ops.Step {
	if !b.needsWork(n) {
		return nil
	}
	var steps []ops.Step
	inPlace := n.Node.Paths.Layout == inventory.LayoutInPlace
	if b.needsSwitch(n) && !inPlace {
		steps = append(steps, b.hooks(n, "before-node", b.m.d.Release.Before.Node)...)
	}
	inRotation := b.fitAsItIs(n)
	if !inRotation {
		steps = append(steps, b.drainStep(n))
	}
	if inPlace && b.needsSwitch(n) {
		steps = append(steps, b.hooks(n, "before-node", b.m.d.Release.Before.Node)...)
		steps = append(steps, b.replaceStep(n))
	}
	if n == b.lead && b.migrate && b.configured() {
		steps = append(steps, ops.Step{ID: stepID(n, "migrate"), Node: n.Node.Name, Title: "migrate the database",
			Changes: []ops.Change{{Path: "database", Action: "run", Detail: strings.Join(migrateCommand(), " ")}},
			Do:      b.doMigrate(n)})
	}
	activate := b.activateStep(n)
	settle := []string{stepID(n, "drain")}
	if activate.Do != nil {
		steps = append(steps, activate)
		settle = append(settle, activate.ID)
	}
	if b.m.d.Release.Health && b.m.deps.Gate != nil && b.configured() && n.Node.HTTP.URL != "" {
		steps = append(steps, ops.Step{ID: stepID(n, "health"), Node: n.Node.Name, Title: "wait until mosparo is healthy", Cancel: true,
			Changes: []ops.Change{{Path: n.Node.HTTP.URL, Action: "read"}}, Do: b.doHealth(n)})
	}
	if inRotation {
		return steps
	}
	steps = append(steps, b.readyStep(n, settle))
	if b.needsSwitch(n) {
		steps = append(steps, b.hooks(n, "after-node", b.m.d.Release.After.Node)...)
	}
	return steps
}

// fitAsItIs reports whether n may stay in rotation while it is changed: it has the code and a configuration of its version, and only
// the assets version is to be written, as on the admin node after mosparo's wizard. The other nodes wait for that outside of the
// rotation, so nobody could take over from it.
func (b *builder) fitAsItIs(n *NodeFacts) bool {
	return n == b.lead && n.Hold == nil && !b.needsSwitch(n) && n.Config.Installed && n.Config.Version == b.target.Version
}

func (b *builder) drainStep(n *NodeFacts) ops.Step {
	data := map[string]string{}
	maps.Copy(data, n.Rotation)
	if n.Hold != nil && n.Hold.Balancer != nil {
		data = n.Hold.Balancer
	}
	s := ops.Step{ID: stepID(n, "drain"), Node: n.Node.Name, Title: "mark as being changed",
		Changes: []ops.Change{{Path: n.Node.ManagePath(holdName), Action: "create"}},
		Undo:    &ops.Undo{Kind: undoReady, Node: n.Node.Name, Data: data},
		Do:      b.doDrain(n, data)}
	if changes := b.rotationChanges(n, "drain"); len(changes) > 0 {
		s.Title, s.Cancel = "take out of rotation", true
		s.Changes = append(s.Changes, changes...)
	}
	return s
}

func (b *builder) readyStep(n *NodeFacts, settles []string) ops.Step {
	s := ops.Step{ID: stepID(n, "ready"), Node: n.Node.Name, Title: "mark as done", Settles: settles, Do: b.doReady(n),
		Changes: []ops.Change{{Path: n.Node.ManagePath(holdName), Action: "delete"}}}
	switch {
	case len(n.Rotation) == 0:
	case b.waitsForWizard(n):
		s.Title, s.Changes = "leave out of rotation until mosparo is installed", nil
		s.Do = b.doStayOut(n)
	default:
		s.Title = "mark as done, and leave it out of rotation as it was"
		if changes := b.rotationChanges(n, "ready"); len(changes) > 0 {
			s.Title = "put back into rotation"
			s.Changes = append(s.Changes, changes...)
		}
	}
	return s
}

// rotationChanges are those at the balancers at which n was in rotation before: an operator's drain is left as it is.
func (b *builder) rotationChanges(n *NodeFacts, action string) []ops.Change {
	var list []ops.Change
	for _, f := range n.list() {
		name, ok := strings.CutPrefix(f.Path, "balancer ")
		if !ok {
			continue
		}
		before := f.Value
		if n.Hold != nil && n.Hold.Balancer != nil {
			before = n.Hold.Balancer[name]
		}
		if before != stateDrain && before != stateMaint {
			list = append(list, ops.Change{Path: f.Path, Action: action})
		}
	}
	return list
}

// activateStep switches n to the target and gives it the configuration that goes with it. Its Do is nil where n has both.
func (b *builder) activateStep(n *NodeFacts) ops.Step {
	s := ops.Step{ID: stepID(n, "activate"), Node: n.Node.Name, Title: "activate release " + b.target.ID}
	inPlace := n.Node.Paths.Layout == inventory.LayoutInPlace
	if b.needsSwitch(n) && !inPlace {
		from := n.Current
		if from == "" {
			from = "nothing"
		}
		s.Changes = append(s.Changes, ops.Change{Path: n.Node.InstallPath(), Action: "switch", Detail: from + " -> " + b.target.ID})
	}
	switch {
	case !b.finished(n) && n == b.lead:
		s.Changes = append(s.Changes, ops.Change{Path: configPath(n.Node), Action: "update",
			Detail: fmt.Sprintf("mosparo_installed_version %s, mosparo_assets_version %s", b.target.Version, b.target.assets())})
	case b.configured() && (!b.finished(n) || n.Config.Hash != b.lead.Config.Hash):
		s.Changes = append(s.Changes, ops.Change{Path: configPath(n.Node), Action: "update", Detail: "copy from " + b.lead.Node.Name})
	}
	if len(s.Changes) == 0 {
		return ops.Step{}
	}
	if len(n.Node.PHP.Reload) > 0 {
		s.Changes = append(s.Changes, ops.Change{Path: "PHP-FPM", Action: "run", Detail: strings.Join(n.Node.PHP.Reload, " ")})
	}
	if !inPlace && !b.fitAsItIs(n) {
		s.Undo = &ops.Undo{Kind: undoSwitch, Node: n.Node.Name, Data: map[string]string{"release": b.target.ID, "from": n.Current,
			"version": n.Config.Version, "assets": n.Config.Assets, "previous": n.Previous}}
	}
	s.Do = b.doActivate(n)
	return s
}

// hooks are steps that run the operator's own commands.
func (b *builder) hooks(n *NodeFacts, when string, commands [][]string) []ops.Step {
	if b.opts.NoHooks {
		return nil
	}
	var steps []ops.Step
	for i, argv := range commands {
		if len(argv) == 0 {
			continue
		}
		steps = append(steps, ops.Step{ID: stepID(n, fmt.Sprintf("hook-%s-%d", when, i+1)), Node: n.Node.Name,
			Title:   "hook " + strings.ReplaceAll(when, "-", " ") + ": " + path.Base(argv[0]),
			Changes: []ops.Change{{Path: "hook", Action: "run", Detail: strings.Join(argv, " ")}}, Cancel: true,
			Do: b.doHook(n, when, argv)})
	}
	return steps
}

// finishSteps clean n up. They come last: after deleting many files, file systems are slow at making new ones for a while.
func (b *builder) finishSteps(n *NodeFacts) []ops.Step {
	var steps []ops.Step
	if leftovers := b.leftovers(n); len(leftovers) > 0 {
		steps = append(steps, b.m.sweepStep(n, leftovers))
	}
	if n.Node.Paths.Layout != inventory.LayoutInPlace && b.planned.Plan.Steps() > 0 {
		if list := b.surplus(n); len(list) > 0 {
			steps = append(steps, b.m.pruneStep(n, list))
		}
	}
	return steps
}

// leftovers are what broken runs left on n, without what this very plan goes on with.
func (b *builder) leftovers(n *NodeFacts) []string {
	return slices.DeleteFunc(slices.Clone(n.temps), func(t string) bool {
		return b.src != nil && b.needsUpload(n) && t == stagingPath(n.Node, b.target.Digest)
	})
}
