package filesync

import (
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func opLines(ops []Op) []string {
	var lines []string
	for _, o := range ops {
		lines = append(lines, fmt.Sprintf("%s %s", o.Kind, o.Path()))
	}
	return lines
}

func with(e Entry, f func(*Entry)) Entry {
	f(&e)
	return e
}

func TestDiff(t *testing.T) {
	const h1, h2 = "1111111111111111111111111111111111111111111111111111111111111111", "2222222222222222222222222222222222222222222222222222222222222222"
	hashed := func(h string, mtime int64) Entry {
		return with(file("f"), func(e *Entry) { e.Hash, e.MTime = h, mtime })
	}
	fifo := Entry{Path: "f", Mode: fs.ModeNamedPipe | 0o644}
	tests := map[string]struct {
		src, dst []Entry
		opts     DiffOptions
		want     []string
	}{
		"equal":      {[]Entry{dir("d"), file("d/f"), link("l", "d")}, []Entry{dir("d"), file("d/f"), link("l", "d")}, DiffOptions{Delete: true}, nil},
		"both empty": {nil, nil, DiffOptions{Delete: true}, nil},
		"all new": {[]Entry{dir("d"), dir("d/e"), file("d/e/f"), link("a", "d"), file("b")}, nil, DiffOptions{},
			[]string{"mkdir d", "mkdir d/e", "put b", "put d/e/f", "symlink a"}},
		"all gone": {nil, []Entry{dir("d"), dir("d/e"), file("d/e/f"), link("a", "d")}, DiffOptions{Delete: true},
			[]string{"delete a", "delete d/e/f", "delete d/e", "delete d"}},
		"gone but not deleted": {nil, []Entry{file("f")}, DiffOptions{}, nil},
		"kept": {nil, []Entry{dir("d"), file("d/f"), file("d/keep"), dir("e"), file("e/x")},
			DiffOptions{Delete: true, Keep: func(e Entry) bool { return path.Base(e.Path) == "keep" }},
			[]string{"delete d/f", "delete e/x", "delete e"}},
		"size":              {[]Entry{file("f")}, []Entry{with(file("f"), func(e *Entry) { e.Size = 2 })}, DiffOptions{}, []string{"put f"}},
		"time":              {[]Entry{file("f")}, []Entry{with(file("f"), func(e *Entry) { e.MTime++ })}, DiffOptions{}, []string{"put f"}},
		"mode":              {[]Entry{file("f")}, []Entry{with(file("f"), func(e *Entry) { e.Mode = 0o600 })}, DiffOptions{}, []string{"setattr f"}},
		"owner":             {[]Entry{with(file("f"), func(e *Entry) { e.UID = 5 })}, []Entry{file("f")}, DiffOptions{}, []string{"setattr f"}},
		"any owner":         {[]Entry{with(file("f"), func(e *Entry) { e.UID, e.GID = AnyID, AnyID })}, []Entry{file("f")}, DiffOptions{}, nil},
		"time of directory": {[]Entry{dir("d")}, []Entry{with(dir("d"), func(e *Entry) { e.MTime++ })}, DiffOptions{}, nil},
		"mode of directory": {[]Entry{dir("d")}, []Entry{with(dir("d"), func(e *Entry) { e.Mode = fs.ModeDir | 0o700 })}, DiffOptions{}, []string{"setattr d"}},
		"target":            {[]Entry{link("l", "a")}, []Entry{link("l", "b")}, DiffOptions{}, []string{"symlink l"}},
		"mode of link":      {[]Entry{link("l", "a")}, []Entry{with(link("l", "a"), func(e *Entry) { e.MTime++; e.UID = 7 })}, DiffOptions{}, nil},
		"hash, other time":  {[]Entry{hashed(h1, 1)}, []Entry{hashed(h1, 2)}, DiffOptions{Checksum: true}, []string{"setattr f"}},
		"hash, same time":   {[]Entry{hashed(h1, 1)}, []Entry{hashed(h2, 1)}, DiffOptions{Checksum: true}, []string{"put f"}},
		"no hash":           {[]Entry{hashed("", 1)}, []Entry{hashed("", 1)}, DiffOptions{Checksum: true}, []string{"put f"}},
		"file to link":      {[]Entry{link("x", "a")}, []Entry{file("x")}, DiffOptions{}, []string{"symlink x"}},
		"link to file":      {[]Entry{file("x")}, []Entry{link("x", "a")}, DiffOptions{}, []string{"put x"}},
		"file to directory": {[]Entry{dir("x"), file("x/y")}, []Entry{file("x")}, DiffOptions{}, []string{"delete x", "mkdir x", "put x/y"}},
		"link to directory": {[]Entry{dir("x"), file("x/y")}, []Entry{link("x", "/etc")}, DiffOptions{}, []string{"delete x", "mkdir x", "put x/y"}},
		"directory to file": {[]Entry{file("x")}, []Entry{dir("x"), dir("x/y"), file("x/y/z"), file("x/a")}, DiffOptions{},
			[]string{"delete x/a", "delete x/y/z", "delete x/y", "delete x", "put x"}},
		"special in source":  {[]Entry{fifo}, []Entry{file("f")}, DiffOptions{Delete: true}, nil},
		"special in the way": {[]Entry{file("f")}, []Entry{fifo}, DiffOptions{}, []string{"delete f", "put f"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := Diff(manifest(t, tt.src...), manifest(t, tt.dst...), tt.opts)
			if d := cmp.Diff(tt.want, opLines(got)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// model is a file system in memory that is as strict as a real one about order.
type model map[string]Entry

func (m model) apply(t *testing.T, o Op) {
	t.Helper()
	parent := path.Dir(o.Path())
	if parent != "." && !m[parent].IsDir() {
		t.Fatalf("%s %s: %s is no directory", o.Kind, o.Path(), parent)
	}
	have, exists := m[o.Path()]
	if exists != (o.Old != nil) || exists && have != *o.Old {
		t.Fatalf("%s %s: old is %v, really %v", o.Kind, o.Path(), o.Old, have)
	}
	switch o.Kind {
	case OpDelete:
		for p := range m {
			if strings.HasPrefix(p, o.Path()+"/") {
				t.Fatalf("delete %s: not empty: %s", o.Path(), p)
			}
		}
		delete(m, o.Path())
		return
	case OpMkdir:
		if exists {
			t.Fatalf("mkdir %s: exists", o.Path())
		}
	case OpPut, OpSymlink:
		if exists && have.IsDir() {
			t.Fatalf("%s %s: a directory is there", o.Kind, o.Path())
		}
	case OpSetAttr:
		if !exists {
			t.Fatalf("setattr %s: nothing there", o.Path())
		}
	}
	m[o.Path()] = o.Entry
}

// randomTree is a tree with few names, so that two of them clash in every way.
func randomTree(r *rand.Rand) model {
	m := model{}
	var fill func(prefix string, depth int)
	fill = func(prefix string, depth int) {
		for _, name := range []string{"a", "a-b", "b", "c"} {
			p := prefix + name
			switch r.IntN(6) {
			case 0:
				m[p] = with(file(p), func(e *Entry) { e.MTime += int64(r.IntN(2)); e.Mode = fs.FileMode(0o600 + r.IntN(2)) })
			case 1:
				m[p] = link(p, string('x'+rune(r.IntN(2))))
			case 2, 3:
				if depth < 3 {
					m[p] = with(dir(p), func(e *Entry) { e.Mode = fs.ModeDir | fs.FileMode(0o700+r.IntN(2)) })
					fill(p+"/", depth+1)
				}
			}
		}
	}
	fill("", 0)
	return m
}

func TestDiffMakesAnyTreeLikeAnyOther(t *testing.T) {
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 1))
		a, b := randomTree(r), randomTree(r)
		src, dst := manifest(t, slices.Collect(maps.Values(a))...), manifest(t, slices.Collect(maps.Values(b))...)
		work := maps.Clone(b)
		for _, o := range Diff(src, dst, DiffOptions{Delete: true}) {
			work.apply(t, o)
		}
		after := manifest(t, slices.Collect(maps.Values(work))...)
		if d := cmp.Diff(a, work); d != "" {
			t.Fatalf("seed %d (-want +got):\n%s", seed, d)
		}
		if again := Diff(src, after, DiffOptions{Delete: true}); len(again) != 0 {
			t.Fatalf("seed %d: the second run would still %v", seed, opLines(again))
		}
	}
}
