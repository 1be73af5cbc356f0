package release

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mosparoctl/mosparoctl/ops"
)

// member is one entry of an archive made by a test.
type member struct {
	name, content, link string
	mode                fs.FileMode
}

func mosparoMembers(prefix string) []member {
	return []member{
		{name: prefix + "src/Kernel.php", content: "<?php class Kernel { const VERSION = \"1.5.4\"; }"},
		{name: prefix + "public/index.php", content: "<?php"}, {name: prefix + ".env", content: "APP_ENV=prod"},
		{name: prefix + "bin/console", content: "#!php", mode: 0o755}, {name: prefix + "vendor/a.php", content: "<?php"},
		{name: prefix + "vendor/b.php", link: "a.php"},
	}
}

func writeZip(t *testing.T, name string, members []member) string {
	t.Helper()
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	for _, m := range members {
		h := &zip.FileHeader{Name: m.name, Method: zip.Deflate, Modified: time.Unix(1700000000, 0)}
		mode, content := m.mode, m.content
		if mode == 0 {
			mode = 0o644
		}
		if m.link != "" {
			mode, content = fs.ModeSymlink|0o777, m.link
		}
		h.SetMode(mode)
		w, err := z.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return writeFile(t, name, buf.Bytes())
}

func writeTar(t *testing.T, name string, members []member) string {
	t.Helper()
	var buf bytes.Buffer
	gz := gzip.NewWriter(&buf)
	w := tar.NewWriter(gz)
	for _, m := range members {
		h := &tar.Header{Name: m.name, Mode: 0o644, Size: int64(len(m.content)), ModTime: time.Unix(1700000000, 0), Typeflag: tar.TypeReg}
		if m.mode != 0 {
			h.Mode = int64(m.mode.Perm())
		}
		switch {
		case m.link != "":
			h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, m.link, 0
		case m.mode&fs.ModeNamedPipe != 0:
			h.Typeflag = tar.TypeFifo
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := w.Write([]byte(m.content)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := gz.Close(); err != nil {
		t.Fatal(err)
	}
	return writeFile(t, name, buf.Bytes())
}

func writeFile(t *testing.T, name string, b []byte) string {
	t.Helper()
	p := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(p, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return p
}

// However the same release is packed, it has the same digest.
func TestArchivesOfTheSameContentAreTheSame(t *testing.T) {
	digests := map[string]string{}
	for name, p := range map[string]string{
		"zip": writeZip(t, "m.zip", mosparoMembers("")), "zip with top folder": writeZip(t, "m.zip", mosparoMembers("mosparo-1.5.4/")),
		"tar": writeTar(t, "m.tar.gz", mosparoMembers("./")), "tgz with top folder": writeTar(t, "m.tgz", mosparoMembers("x/")),
	} {
		src, err := Open(t.Context(), p, SourceOptions{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if src.Version != "1.5.4" || src.Kind != KindMosparo {
			t.Errorf("%s: %s %s", name, src.Kind, src.Version)
		}
		digests[src.Digest] = name
		if e, _ := src.Manifest.Get("bin/console"); e.Mode.Perm() != 0o755 {
			t.Errorf("%s: mode of bin/console is %v", name, e.Mode)
		}
		dir := src.root
		if err := src.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s: left behind %s", name, dir)
		}
	}
	if len(digests) != 1 {
		t.Errorf("different digests: %v", digests)
	}
}

func TestHostileArchives(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "victim")
	if err := os.Mkdir(outside, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, extra := range map[string][]member{
		"parent":              {{name: "../evil.php", content: "x"}},
		"parent in the midst": {{name: "a/../../evil.php", content: "x"}},
		"absolute":            {{name: outside + "/evil.php", content: "x"}},
		"backslashes":         {{name: `..\evil.php`, content: "x"}},
		"link out":            {{name: "out", link: "../../etc"}},
		"absolute link":       {{name: "out", link: outside}},
		"write through link":  {{name: "out", link: outside}, {name: "out/evil.php", content: "x"}},
		"link over folder":    {{name: "vendor", link: "/etc"}},
		"twice":               {{name: ".env", content: "x"}},
		"fifo":                {{name: "pipe", mode: fs.ModeNamedPipe | 0o644}},
		"nul":                 {{name: "a\x00b", content: "x"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("TMPDIR", t.TempDir())
			members := append(mosparoMembers(""), extra...)
			var archives []string
			if name != "nul" { // which the tar format can't hold
				archives = append(archives, writeTar(t, "m.tar.gz", members))
			}
			if name != "fifo" { // which the zip format can't hold
				archives = append(archives, writeZip(t, "m.zip", members))
			}
			for _, a := range archives {
				src, err := Open(t.Context(), a, SourceOptions{})
				if err == nil {
					_ = src.Close()
					t.Errorf("%s was taken", filepath.Base(a))
				}
			}
			if list, _ := os.ReadDir(outside); len(list) > 0 {
				t.Error("something was written outside")
			}
			if list, _ := filepath.Glob(filepath.Join(os.TempDir(), "mosparoctl-unpack-*")); len(list) > 0 {
				t.Errorf("left behind: %v", list)
			}
		})
	}
}

func TestArchiveBounds(t *testing.T) {
	u := &unpacker{ctx: t.Context(), bytes: maxBytes - 3}
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	u.root = root
	if err := u.member("a", 0o644, "", strings.NewReader("1234")); err == nil || !strings.Contains(err.Error(), "bytes") {
		t.Errorf("a bomb was unpacked: %v", err)
	}
	u.files = maxFiles
	if err := u.member("b", 0o644, "", strings.NewReader("")); err == nil || !strings.Contains(err.Error(), "files") {
		t.Errorf("too many files were unpacked: %v", err)
	}
}

func TestChecksums(t *testing.T) {
	p := writeZip(t, "mosparo.zip", mosparoMembers(""))
	raw, err := os.ReadFile(p)
	if err != nil {
		t.Fatal(err)
	}
	good256 := hashOf(raw)
	sum := sha512.Sum512(raw)
	good512 := hex.EncodeToString(sum[:])
	bad := strings.Repeat("0", 64)
	dir := filepath.Dir(p)
	for _, c := range []struct {
		name string
		file string
		text string
		o    SourceOptions
		want string // part of the error; "" for none
	}{
		{name: "none"},
		{name: "none but wanted", o: SourceOptions{Verify: true}, want: "none lies beside it"},
		{name: "given", o: SourceOptions{Checksum: "sha256:" + strings.ToUpper(good256), Verify: true}},
		{name: "given 512", o: SourceOptions{Checksum: good512}},
		{name: "given and wrong", o: SourceOptions{Checksum: bad}, want: "its checksum is " + good256},
		{name: "given and garbled", o: SourceOptions{Checksum: "abc"}, want: "neither"},
		{name: "given goes first", file: "SHA256SUMS", text: bad + "  mosparo.zip\n", o: SourceOptions{Checksum: good256}},
		{name: "own file", file: "mosparo.zip.sha256", text: good256 + "\n"},
		{name: "own file with name", file: "mosparo.zip.sha512", text: good512 + " *mosparo.zip\n", o: SourceOptions{Verify: true}},
		{name: "own file wrong", file: "mosparo.zip.sha256", text: bad, want: "in mosparo.zip.sha256"},
		{name: "own file empty", file: "mosparo.zip.sha256", text: "", want: "holds no checksum"},
		{name: "sums", file: "SHA256SUMS", text: bad + "  other.zip\n" + good256 + "  ./mosparo.zip\n"},
		{name: "sums wrong", file: "SHA512SUMS", text: strings.Repeat("1", 128) + "  mosparo.zip\n", want: "in SHA512SUMS"},
		{name: "sums of others", file: "SHA256SUMS", text: bad + "  other.zip\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.file != "" {
				f := filepath.Join(dir, c.file)
				if err := os.WriteFile(f, []byte(c.text), 0o644); err != nil {
					t.Fatal(err)
				}
				defer os.Remove(f)
			}
			src, err := Open(t.Context(), p, c.o)
			if err == nil {
				_ = src.Close()
			}
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestSourceMustLookLikeMosparo(t *testing.T) {
	for _, missing := range []string{"src/Kernel.php", "public/index.php", ".env", "bin/console", "vendor/"} {
		dir := t.TempDir()
		for _, m := range mosparoMembers("") {
			if strings.HasPrefix(m.name, missing) {
				continue
			}
			p := filepath.Join(dir, m.name)
			if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(p, []byte(m.content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := Open(t.Context(), dir, SourceOptions{}); err == nil || !strings.Contains(err.Error(), missing) {
			t.Errorf("without %s: %v", missing, err)
		}
		src, err := Open(t.Context(), dir, SourceOptions{AllowAny: true})
		if err != nil || src.Kind != KindAny || src.Version != "" {
			t.Errorf("allow-any without %s: %v", missing, err)
		}
	}
	for name, dir := range map[string]string{"empty": t.TempDir(), "gone": filepath.Join(t.TempDir(), "x")} {
		if _, err := Open(t.Context(), dir, SourceOptions{AllowAny: true}); err == nil {
			t.Errorf("a source that is %s was taken", name)
		}
	}
}

func TestSharedPathsAreNoPartOfASource(t *testing.T) {
	l := newLab(t, t.TempDir(), 1)
	dir := l.tree("1.5.4", 2)
	before := l.open(dir).Digest
	for _, p := range []string{"config/env.mosparo.php", ".env.local", "public/resources/x.css", "var/data/x", "var/log/prod.log",
		"var/cache/prod/App.php", ".git/config", ops.TempPrefix + "x"} {
		l.write(filepath.Join(dir, p), "secret")
	}
	src := l.open(dir)
	if src.Digest != before {
		t.Error("what is shared or local changes the digest")
	}
	if got := fmt.Sprint(src.folders); got != "[public/resources var/data var/data/geoip2 var/log]" {
		t.Errorf("folders %s", got)
	}
}

func TestVersions(t *testing.T) {
	ordered := []string{"1.4.9", "1.5.0-alpha.1", "1.5.0-beta.2", "1.5.0-beta.10", "1.5.0", "1.5.1", "1.5.10", "1.10.0", "2.0"}
	for i, a := range ordered {
		for j, b := range ordered {
			if got := compareVersions(a, b); (got < 0) != (i < j) || (got > 0) != (i > j) {
				t.Errorf("compareVersions(%s, %s) = %d", a, b, got)
			}
		}
	}
}

func FuzzParseInfo(f *testing.F) {
	good, err := Info{ID: "1.5.4-x", Kind: KindMosparo, Version: "1.5.4", Digest: strings.Repeat("a", 64), Created: time.Unix(1, 0).UTC()}.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"id":"../x","kind":"any"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		i, err := ParseInfo(raw)
		if err != nil {
			return
		}
		if !ValidID(i.ID) || strings.ContainsAny(i.ID, "/\x00") || i.ID == ".." {
			t.Fatalf("took id %q", i.ID)
		}
		again, err := i.encode()
		if err != nil {
			t.Fatal(err)
		}
		if j, err := ParseInfo(again); err != nil || j.ID != i.ID || j.Digest != i.Digest {
			t.Fatalf("round trip: %+v, %v", j, err)
		}
	})
}
