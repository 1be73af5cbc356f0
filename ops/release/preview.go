package release

import (
	"bytes"
	"context"
	"fmt"
	"path"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/filesync"
)

// Bounds of a preview: enough to see what a release changes, not a copy of it.
const (
	previewFiles = 40       // files whose content is compared
	previewSize  = 64 << 10 // bytes of the largest of them
	previewLines = 400      // lines of all differences
)

// Preview is how the content of a release differs from what some nodes have.
type Preview struct {
	Nodes   []string `json:"nodes"`
	From    string   `json:"from"` // the release they are on; "" for none
	Added   []string `json:"added,omitempty"`
	Changed []string `json:"changed,omitempty"`
	Removed []string `json:"removed,omitempty"`
	Diff    string   `json:"diff,omitempty"` // of text files, bounded, secrets masked
}

// Preview compares the source with the active release of each node; nodes that are on the same release share one.
func (m *Manager) Preview(ctx context.Context, f *Facts, src *Source) ([]Preview, error) {
	var list []Preview
	for _, n := range f.Nodes {
		if known := findPreview(list, n.Current); known != nil {
			known.Nodes = append(known.Nodes, n.Node.Name)
			continue
		}
		p, err := m.previewNode(ctx, n, src)
		if err != nil {
			return nil, ops.NodeError(n.Node.Name, "compare releases", err)
		}
		list = append(list, p)
	}
	return list, nil
}

func findPreview(list []Preview, from string) *Preview {
	for i := range list {
		if list[i].From == from {
			return &list[i]
		}
	}
	return nil
}

func (m *Manager) previewNode(ctx context.Context, n *NodeFacts, src *Source) (Preview, error) {
	p := Preview{Nodes: []string{n.Node.Name}, From: n.Current}
	host, peer, err := m.reach(ctx, n)
	if err != nil {
		return p, err
	}
	have := &filesync.Manifest{}
	dir := releasePath(n.Node, n.Current)
	if _, ok := n.Active(); ok {
		if have, err = readManifest(ctx, host, dir); err != nil {
			return p, err
		}
	}
	shared := map[string]bool{}
	for _, s := range m.sharedOf(n.Node, src.Kind) {
		shared[s.path] = true
	}
	var old, fresh []filesync.Entry // of changed and added text files, as far as the bounds allow
	for _, op := range filesync.Diff(src.Manifest.WithOwner(filesync.AnyID, filesync.AnyID), have, filesync.DiffOptions{Checksum: true, Delete: true}) {
		if op.Entry.IsDir() || shared[op.Path()] {
			continue
		}
		switch op.Action() {
		case "create":
			p.Added = append(p.Added, op.Path())
		case "update":
			p.Changed = append(p.Changed, op.Path())
			if op.Kind == filesync.OpPut && op.Old.IsFile() && len(old) < previewFiles && max(op.Entry.Size, op.Old.Size) <= previewSize {
				old, fresh = append(old, *op.Old), append(fresh, op.Entry)
			}
		case "delete":
			p.Removed = append(p.Removed, op.Path())
		}
	}
	before, err := contents(ctx, peer, dir, old)
	if err != nil {
		return p, err
	}
	after, err := contents(ctx, src.peer, src.root, fresh)
	if err != nil {
		return p, err
	}
	p.Diff = joinDiffs(fresh, before, after)
	return p, nil
}

// contents reads small files.
func contents(ctx context.Context, peer filesync.Peer, root string, files []filesync.Entry) (map[string][]byte, error) {
	all := map[string][]byte{}
	if len(files) == 0 {
		return all, nil
	}
	for c, err := range peer.Read(ctx, root, files) {
		if err != nil {
			return nil, err
		}
		var buf bytes.Buffer
		if _, err := buf.ReadFrom(c); err != nil {
			return nil, fmt.Errorf("read %s: %w", c.Path, err)
		}
		all[c.Path] = buf.Bytes()
	}
	return all, nil
}

func joinDiffs(files []filesync.Entry, before, after map[string][]byte) string {
	var b strings.Builder
	lines := 0
	for _, e := range files {
		a, c := before[e.Path], after[e.Path]
		if !isText(a) || !isText(c) {
			continue
		}
		d := unified(e.Path, maskSecrets(e.Path, string(a)), maskSecrets(e.Path, string(c)))
		if n := strings.Count(d, "\n"); lines+n > previewLines {
			fmt.Fprintf(&b, "… and more, beginning with %s\n", e.Path)
			break
		} else {
			lines += n
		}
		b.WriteString(d)
	}
	return b.String()
}

// isText reports whether a file can be shown line by line.
func isText(b []byte) bool { return utf8.Valid(b) && bytes.IndexByte(b, 0) < 0 }

var (
	secretKey = regexp.MustCompile(`(?im)^(\s*(?:export\s+)?["']?[\w.-]*(?:SECRET|PASSWORD|PASSWD|TOKEN|LICENSE_?KEY|ENCRYPTION_?KEY|PRIVATE_?KEY|DSN)[\w.-]*["']?\s*(?:=>|=|:)\s*)\S.*$`)
	secretURL = regexp.MustCompile(`(://[^/\s:@"']*:)[^@\s/"']+@`)
)

// maskSecrets hides values that look like secrets, in the kinds of file that may hold some.
func maskSecrets(name, text string) string {
	base := path.Base(name)
	if strings.HasPrefix(base, ".env") || strings.HasPrefix(name, "config/") {
		text = secretKey.ReplaceAllString(text, "${1}"+ops.Mask)
	}
	return secretURL.ReplaceAllString(text, "${1}"+ops.Mask+"@")
}
