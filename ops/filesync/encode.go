package filesync

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"
)

// The canonical text form of a manifest: one line an entry, sorted by path, between a header and a line with their number.
//
//	mosparoctl manifest 1
//	d 0755 0 1700000000 33 33 - "config"
//	f 0640 812 1700000000 33 33 9f86d081… "config/env.mosparo.php"
//	l 0777 0 1700000000 - - - "current" "releases/1"
//	end 3
//
// Paths and targets are Go string literals, so that any byte may occur in them. One tree has exactly one form.
const (
	manifestHeader = "mosparoctl manifest 1"
	// maxLine holds two quoted paths of MaxPath bytes, each byte as \xff, and the numbers before them.
	maxLine = 2*4*MaxPath + 256
)

// Encode writes the canonical form of m. Special files have none and are an error.
func (m *Manifest) Encode(w io.Writer) error {
	b := bufio.NewWriter(w) // keeps its first error for Flush
	fmt.Fprintln(b, manifestHeader)
	for e := range m.All() {
		if e.IsSpecial() {
			return fmt.Errorf("write manifest: %q is a %s", e.Path, e.kind())
		}
		fmt.Fprint(b, e.encode())
	}
	fmt.Fprintf(b, "end %d\n", m.Len())
	return b.Flush()
}

// Digest is a hash of m's canonical form: two manifests with the same digest describe the same tree.
func (m *Manifest) Digest() string {
	h := sha256.New()
	h.Write([]byte(manifestHeader + "\n"))
	for e := range m.All() {
		h.Write([]byte(e.encode()))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// encode is e's line of the canonical form, with its end.
func (e Entry) encode() string {
	kind, perm := "f", uint32(e.perm().Perm())
	switch {
	case e.IsDir():
		kind = "d"
		if e.Mode&fs.ModeSetgid != 0 {
			perm |= 0o2000
		}
	case e.IsLink():
		kind = "l"
	case e.IsSpecial():
		kind = "s"
	}
	line := fmt.Sprintf("%s %04o %d %d %s %s %s %s", kind, perm, e.Size, e.MTime,
		orDash(e.UID), orDash(e.GID), orNone(e.Hash), strconv.Quote(e.Path))
	if e.IsLink() {
		line += " " + strconv.Quote(e.Target)
	}
	return line + "\n"
}

func orDash(id int) string {
	if id == AnyID {
		return "-"
	}
	return strconv.Itoa(id)
}

func orNone(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// Parse reads the canonical form and nothing but it: Encode gives the same bytes back. It reads at most to the end line,
// and refuses paths that leave the root, duplicates, impossible values, more than MaxEntries and anything after the end.
func Parse(r io.Reader) (*Manifest, error) {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, 4096), maxLine)
	s.Split(splitAt('\n'))
	line := 1
	fail := func(err error) (*Manifest, error) {
		return nil, fmt.Errorf("read manifest: line %d: %w", line, err)
	}
	if !s.Scan() || s.Text() != manifestHeader {
		return fail(cause(s, errors.New("not a manifest of version 1")))
	}
	var entries []Entry
	for {
		line++
		if !s.Scan() {
			return fail(cause(s, errors.New("it ends too early")))
		}
		text := s.Text()
		if rest, ok := strings.CutPrefix(text, "end "); ok {
			if rest != strconv.Itoa(len(entries)) {
				return fail(fmt.Errorf("%q after %d entries", text, len(entries)))
			}
			break
		}
		if len(entries) == MaxEntries {
			return fail(fmt.Errorf("more than %d entries", MaxEntries))
		}
		e, err := parseEntry(text)
		if err != nil {
			return fail(err)
		}
		if n := len(entries); n > 0 && entries[n-1].Path >= e.Path {
			return fail(fmt.Errorf("%q does not come after %q", e.Path, entries[n-1].Path))
		}
		entries = append(entries, e)
	}
	if line++; s.Scan() {
		return fail(errors.New("something follows the end"))
	}
	if err := s.Err(); err != nil {
		return fail(err)
	}
	m, err := NewManifest(entries)
	if err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	return m, nil
}

// cause is the scanner's own error if it has one.
func cause(s *bufio.Scanner, err error) error {
	if s.Err() != nil {
		return s.Err()
	}
	return err
}

func parseEntry(line string) (Entry, error) {
	bad := fmt.Errorf("not an entry: %.100q", line)
	f := strings.SplitN(line, " ", 8)
	if len(f) != 8 {
		return Entry{}, bad
	}
	var e Entry
	var errs [5]error
	var perm uint64
	perm, errs[0] = strconv.ParseUint(f[1], 8, 16)
	e.Size, errs[1] = strconv.ParseInt(f[2], 10, 64)
	e.MTime, errs[2] = strconv.ParseInt(f[3], 10, 64)
	e.UID, errs[3] = parseID(f[4])
	e.GID, errs[4] = parseID(f[5])
	if errors.Join(errs[:]...) != nil {
		return Entry{}, bad
	}
	e.Mode = fs.FileMode(perm & 0o777)
	switch f[0] {
	case "d":
		e.Mode |= fs.ModeDir
		if perm&0o2000 != 0 {
			e.Mode |= fs.ModeSetgid
		}
	case "l":
		e.Mode |= fs.ModeSymlink
	}
	if f[6] != "-" {
		e.Hash = f[6]
	}
	quoted, err := strconv.QuotedPrefix(f[7])
	if err != nil {
		return Entry{}, bad
	}
	if e.Path, err = strconv.Unquote(quoted); err != nil {
		return Entry{}, bad
	}
	if rest := f[7][len(quoted):]; rest != "" {
		if e.Target, err = strconv.Unquote(strings.TrimPrefix(rest, " ")); err != nil {
			return Entry{}, bad
		}
	}
	if err := e.validate(); err != nil {
		return Entry{}, err
	}
	if e.encode() != line+"\n" { // one form only: no signs, leading zeros, other quotes, unknown kinds or bits
		return Entry{}, bad
	}
	return e, nil
}

func parseID(s string) (int, error) {
	if s == "-" {
		return AnyID, nil
	}
	return strconv.Atoi(s)
}
