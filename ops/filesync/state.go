package filesync

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
)

// What is kept on a target, below inventory.ManageDir. Folders and files there are for their owner only, since the trash
// may hold the configuration.
const (
	stateFile   = "sync/state"   // manifest of what the last sync left
	pendingFile = "sync/pending" // manifest of what a sync that is going on, or was killed, is about to leave
	trash       = "trash"
	trashOld    = "old"   // below a generation: manifest of what was replaced and deleted
	trashNew    = "new"   // manifest of what took its place, and of what was new
	trashFiles  = "files" // the files themselves
)

// maxState bounds a manifest that is read from a node.
const maxState = 512 << 20

// stateOf is what is remembered of a tree: what is needed to see that somebody else changed it.
func stateOf(m *Manifest) *Manifest {
	s := &Manifest{}
	for e := range m.All() {
		if e.IsSpecial() {
			continue
		}
		e.UID, e.GID, e.Hash = AnyID, AnyID, ""
		if !e.IsFile() {
			e.MTime = 0
		}
		s.entries = append(s.entries, e)
	}
	return s
}

// nextState is what is to be remembered of a target: the source's tree, and of the last state what stays there though the
// source doesn't have it, since it is excluded this time or not deleted.
func nextState(source *Manifest, t Target, todo []Op) *Manifest {
	state := map[string]Entry{}
	for e := range t.State.All() {
		if _, there := t.Tree.Get(e.Path); there {
			state[e.Path] = e
		}
	}
	for _, op := range todo {
		delete(state, op.Path())
	}
	now := stateOf(source)
	for e := range now.All() {
		state[e.Path] = e
	}
	if m, err := NewManifest(slices.Collect(maps.Values(state))); err == nil {
		return m
	}
	return now // a file took the place of a folder of which something was remembered
}

// foreign reports whether somebody else made e what it is: none of the known manifests has it like that. Nothing is
// foreign where nothing is known.
func foreign(e Entry, known ...*Manifest) bool {
	some := false
	for _, m := range known {
		some = some || m != nil
		k, ok := m.Get(e.Path)
		if !ok || k.Mode.Type() != e.Mode.Type() {
			continue
		}
		if e.IsDir() || e.IsLink() && k.Target == e.Target || e.IsFile() && k.Size == e.Size && k.MTime == e.MTime {
			return false
		}
	}
	return some
}

// readSmallFile reads a file of at most limit bytes; nil if it is not there.
func readSmallFile(ctx context.Context, h ops.FileReader, name string, limit int64) ([]byte, error) {
	r, err := h.Open(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if cerr := r.Close(); err == nil {
		err = cerr
	}
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s has more than %d bytes", name, limit)
	}
	if err != nil {
		return nil, err
	}
	if data == nil {
		data = []byte{}
	}
	return data, nil
}

// readRecord reads a manifest; nil if it is not there, or damaged.
func readRecord(ctx context.Context, h ops.FileReader, name string) (m *Manifest, damaged bool, err error) {
	data, err := readSmallFile(ctx, h, name, maxState)
	if err != nil || data == nil {
		return nil, false, err
	}
	m, parseErr := Parse(bytes.NewReader(data))
	return m, parseErr != nil, nil
}

// writeState writes a manifest, for its owner only.
func writeState(ctx context.Context, h ops.FileWriter, name string, m *Manifest) error {
	var b bytes.Buffer
	if err := m.Encode(&b); err != nil {
		return err
	}
	if err := h.MkdirAll(ctx, path.Dir(name), ops.Attr{Mode: 0o700}); err != nil {
		return err
	}
	return h.WriteFile(ctx, name, &b, ops.Attr{Mode: 0o600})
}

// generations lists the generations of the trash on n, oldest first.
func generations(ctx context.Context, h ops.FileReader, n *inventory.Node) ([]string, error) {
	infos, err := h.ReadDir(ctx, n.ManagePath(trash))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var runs []string
	for _, i := range infos {
		if i.IsDir() && !strings.HasPrefix(i.Name, ops.TempPrefix) {
			runs = append(runs, i.Name)
		}
	}
	slices.Sort(runs)
	return runs, nil
}

// trashPath is the path of one of a generation's parts on n.
func trashPath(n *inventory.Node, run, part string) string {
	return n.ManagePath(path.Join(trash, run, part))
}

// checkRun refuses names of runs that lead out of the trash.
func checkRun(run string) error {
	if CheckPath(run) != nil || strings.Contains(run, "/") {
		return ops.Errorf(ops.CodeUsage, "%q is no name of a run", run).WithHint("mosparoctl sync status")
	}
	return nil
}
