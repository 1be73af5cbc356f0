package filesync

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func file(p string) Entry { return Entry{Path: p, Mode: 0o644, Size: 1, MTime: 1_700_000_000} }

func dir(p string) Entry { return Entry{Path: p, Mode: fs.ModeDir | 0o755, MTime: 1_700_000_000} }

func link(p, target string) Entry {
	return Entry{Path: p, Mode: fs.ModeSymlink | 0o777, MTime: 1_700_000_000, Target: target}
}

func manifest(t testing.TB, entries ...Entry) *Manifest {
	t.Helper()
	m, err := NewManifest(entries)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

const sampleManifest = `mosparoctl manifest 1
d 2775 0 1700000000 33 33 - "config"
f 0640 812 1700000000 33 33 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 "config/a \"b\"\n"
l 0777 0 1700000000 - - - "current" "releases/1"
f 0644 0 0 0 0 - "\xff"
end 4
`

func TestManifestRoundTrip(t *testing.T) {
	m, err := Parse(strings.NewReader(sampleManifest))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := m.Encode(&b); err != nil || b.String() != sampleManifest {
		t.Fatalf("Encode: %v\n%s", err, b.String())
	}
	e, ok := m.Get("config")
	if !ok || e.Mode != fs.ModeDir|fs.ModeSetgid|0o775 || e.UID != 33 {
		t.Errorf("config = %+v", e)
	}
	if e, _ := m.Get("current"); e.Target != "releases/1" || e.UID != AnyID {
		t.Errorf("current = %+v", e)
	}
	if _, ok := m.Get("conf"); ok {
		t.Error("found what isn't there")
	}
	if m.Bytes() != 812 || m.Files() != 3 || m.Len() != 4 {
		t.Errorf("%d bytes, %d files, %d entries", m.Bytes(), m.Files(), m.Len())
	}
	if d := m.WithOwner(1, 2).Digest(); d == m.Digest() {
		t.Error("the digest doesn't see owners")
	}
}

func TestParseRefuses(t *testing.T) {
	entry := `f 0644 1 1700000000 0 0 - "a"`
	with := func(lines ...string) string {
		return manifestHeader + "\n" + strings.Join(lines, "\n") + "\n"
	}
	for name, text := range map[string]string{
		"empty":              "",
		"other version":      "mosparoctl manifest 2\nend 0\n",
		"no end":             with(entry),
		"wrong count":        with(entry, "end 2"),
		"odd count":          with(entry, "end 01"),
		"more after the end": with(entry, "end 1", entry),
		"twice":              with(entry, entry, "end 2"),
		"unsorted":           with(strings.Replace(entry, "a", "b", 1), entry, "end 2"),
		"parent path":        with(strings.Replace(entry, `"a"`, `"../a"`, 1), "end 1"),
		"inner parent path":  with(strings.Replace(entry, `"a"`, `"a/../../b"`, 1), "end 1"),
		"absolute":           with(strings.Replace(entry, `"a"`, `"/a"`, 1), "end 1"),
		"dot":                with(strings.Replace(entry, `"a"`, `"./a"`, 1), "end 1"),
		"root":               with(strings.Replace(entry, `"a"`, `"."`, 1), "end 1"),
		"empty path":         with(strings.Replace(entry, `"a"`, `""`, 1), "end 1"),
		"trailing slash":     with(strings.Replace(entry, `"a"`, `"a/"`, 1), "end 1"),
		"NUL":                with(strings.Replace(entry, `"a"`, `"a\x00"`, 1), "end 1"),
		"long name":          with(strings.Replace(entry, `"a"`, `"`+strings.Repeat("a", 256)+`"`, 1), "end 1"),
		"long path":          with(strings.Replace(entry, `"a"`, `"`+strings.Repeat("a/", 2048)+`a"`, 1), "end 1"),
		"endless line":       with(`f ` + strings.Repeat("a", 1<<20)),
		"below a file":       with(entry, strings.Replace(entry, `"a"`, `"a/b"`, 1), "end 2"),
		"below a link":       with(`l 0777 0 1 0 0 - "a" "/etc"`, strings.Replace(entry, `"a"`, `"a/b"`, 1), "end 2"),
		"far below a file":   with(entry, strings.Replace(entry, `"a"`, `"a/b/c"`, 1), "end 2"),
		"negative size":      with(strings.Replace(entry, " 1 ", " -1 ", 1), "end 1"),
		"huge size":          with(strings.Replace(entry, " 1 ", " 9223372036854775807 ", 1), "end 1"),
		"overflow":           with(strings.Replace(entry, " 1 ", " 92233720368547758070 ", 1), "end 1"),
		"signed size":        with(strings.Replace(entry, " 1 ", " +1 ", 1), "end 1"),
		"setuid":             with(strings.Replace(entry, "0644", "4755", 1), "end 1"),
		"negative owner":     with(strings.Replace(entry, "0 0 -", "-2 0 -", 1), "end 1"),
		"short hash":         with(strings.Replace(entry, " - ", " abc ", 1), "end 1"),
		"upper hash":         with(strings.Replace(entry, " - ", " "+strings.Repeat("A", 64)+" ", 1), "end 1"),
		"hash of directory":  with(`d 0755 0 1 0 0 `+strings.Repeat("a", 64)+` "a"`, "end 1"),
		"size of directory":  with(`d 0755 1 1 0 0 - "a"`, "end 1"),
		"special":            with(`s 0644 0 1 0 0 - "a"`, "end 1"),
		"unknown kind":       with(`x 0644 0 1 0 0 - "a"`, "end 1"),
		"link without":       with(`l 0777 0 1 0 0 - "a"`, "end 1"),
		"link to nothing":    with(`l 0777 0 1 0 0 - "a" ""`, "end 1"),
		"file with target":   with(entry+` "b"`, "end 1"),
		"other quotes":       with(strings.Replace(entry, `"a"`, "`a`", 1), "end 1"),
		"escaped for no use": with(strings.Replace(entry, `"a"`, `"\x61"`, 1), "end 1"),
		"no quotes":          with(strings.Replace(entry, `"a"`, "a", 1), "end 1"),
		"no last newline":    strings.TrimSuffix(with(entry, "end 1"), "\n"),
		"CRLF":               strings.ReplaceAll(with(entry, "end 1"), "\n", "\r\n"),
	} {
		if m, err := Parse(strings.NewReader(text)); err == nil {
			t.Errorf("%s: accepted with %d entries", name, m.Len())
		}
	}
	if m, err := Parse(strings.NewReader(with(entry, "end 1"))); err != nil || m.Len() != 1 {
		t.Errorf("what the cases are made of is refused itself: %v", err)
	}
}

func TestEncodeRefusesSpecialFiles(t *testing.T) {
	m := manifest(t, Entry{Path: "p", Mode: fs.ModeNamedPipe | 0o644})
	if err := m.Encode(&bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "fifo") {
		t.Errorf("error = %v", err)
	}
}

func TestLeavesRoot(t *testing.T) {
	for _, tt := range []struct {
		path, target string
		want         bool
	}{
		{"a", "b", false}, {"a", "./b/./c", false}, {"d/a", "../b", false}, {"d/a", "..", false}, {"d/e/a", "../../b", false},
		{"a", "..", true}, {"a", "../b", true}, {"d/a", "../../b", true}, {"a", "/etc/passwd", true}, {"a", "b/../../c", true},
		{"d/a", "../../d/b", true}, // back in again, but through the outside
		{"a", "d/up/..", true},     // with d/up -> "..", see below
	} {
		if got := LeavesRoot(tt.path, tt.target); got != tt.want {
			t.Errorf("LeavesRoot(%q, %q) = %v", tt.path, tt.target, got)
		}
	}
}

// Links that each seem to stay inside lead out together, where one is gone through on the way to "..".
func TestLeavesRootThroughLinks(t *testing.T) {
	root := filepath.Join(t.TempDir(), "root")
	if err := os.MkdirAll(filepath.Join(root, "d"), 0o755); err != nil {
		t.Fatal(err)
	}
	refused := false
	for _, l := range [][2]string{{"d/up", ".."}, {"out", "d/up/d/up/../x"}} {
		refused = refused || LeavesRoot(l[0], l[1])
		if err := os.Symlink(l[1], filepath.Join(root, l[0])); err != nil {
			t.Fatal(err)
		}
	}
	secret := filepath.Join(filepath.Dir(root), "x")
	if err := os.WriteFile(secret, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if to, err := filepath.EvalSymlinks(filepath.Join(root, "out")); err != nil || to != secret {
		t.Fatalf("the links lead to %q, %v: this test shows nothing", to, err)
	}
	if !refused {
		t.Error("no link was refused")
	}
}

// FuzzParse checks that whatever is accepted has one form and stays inside of the root.
func FuzzParse(f *testing.F) {
	f.Add([]byte(sampleManifest))
	f.Add([]byte(manifestHeader + "\nend 0\n"))
	f.Add([]byte(manifestHeader + "\nf 0644 1 1 - 0 - \"a\"\nl 0777 0 1 0 0 - \"b\" \"../x\"\nend 2\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Parse(bytes.NewReader(data))
		if err != nil {
			return
		}
		var b bytes.Buffer
		if err := m.Encode(&b); err != nil {
			t.Fatalf("can't write what was read: %v", err)
		}
		if string(data) != b.String() {
			t.Fatalf("two forms:\n%q\n%q", data, b.String())
		}
		last := ""
		for e := range m.All() {
			if e.Path <= last || strings.HasPrefix(e.Path, "/") || strings.Contains("/"+e.Path+"/", "/../") {
				t.Fatalf("path %q after %q", e.Path, last)
			}
			last = e.Path
		}
	})
}
