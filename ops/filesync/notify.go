package filesync

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fsnotify/fsnotify"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
)

// notifier notices changes of the sync paths on this machine.
type notifier struct {
	root    string
	paths   []inventory.SyncPath
	exclude *Exclude
	watcher *fsnotify.Watcher
	wake    chan struct{} // holds one: whoever comes late finds it
	done    chan struct{}
}

func newNotifier(o SyncOptions) (*notifier, error) {
	paths := o.syncPaths()
	x, err := o.excludes(paths)
	if err != nil {
		return nil, err
	}
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("watch files: %w", err)
	}
	n := &notifier{root: o.Deployment.Admin().SharedPath(""), paths: paths, exclude: x, watcher: w,
		wake: make(chan struct{}, 1), done: make(chan struct{})}
	go n.run()
	return n, nil
}

func (n *notifier) close() {
	_ = n.watcher.Close()
	<-n.done
}

func (n *notifier) run() {
	defer close(n.done)
	for {
		select {
		case e, ok := <-n.watcher.Events:
			if !ok {
				return
			}
			if n.matters(e.Name) {
				n.ring()
			}
		case _, ok := <-n.watcher.Errors:
			if !ok {
				return
			}
			n.ring() // an overflow, say: something was missed
		}
	}
}

func (n *notifier) ring() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// matters reports whether a change of name is one of a sync path, or of a folder above one.
func (n *notifier) matters(name string) bool {
	rel, err := filepath.Rel(n.root, name)
	if err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
		return true // the root itself, seen from above
	}
	rel = filepath.ToSlash(rel)
	if strings.HasPrefix(filepath.Base(rel), ops.TempPrefix) || n.exclude.Covers(rel, false) {
		return false
	}
	return rel == "." || slices.ContainsFunc(n.paths, func(p inventory.SyncPath) bool {
		return rel == p.Path || strings.HasPrefix(rel, p.Path+"/") || strings.HasPrefix(p.Path, rel+"/")
	})
}

// refresh watches every folder of the sync paths and those above them. What can't be watched is left to the interval.
func (n *notifier) refresh() {
	_ = n.watcher.Add(n.root)
	for _, p := range n.paths {
		for dir, _, ok := cutLast(p.Path); ok; dir, _, ok = cutLast(dir) {
			_ = n.watcher.Add(filepath.Join(n.root, dir))
		}
		n.add(p.Path)
	}
}

// add watches a folder, relative to the root, and all below it.
func (n *notifier) add(dir string) {
	name := filepath.Join(n.root, filepath.FromSlash(dir))
	st, err := os.Lstat(name)
	if err != nil || !st.IsDir() || n.exclude.Covers(dir, true) || n.watcher.Add(name) != nil {
		return
	}
	entries, err := os.ReadDir(name)
	if err != nil {
		return
	}
	for _, e := range entries {
		if e.IsDir() {
			n.add(dir + "/" + e.Name())
		}
	}
}

func sortedNodes(m map[string]error) []string { return slices.Sorted(maps.Keys(m)) }
