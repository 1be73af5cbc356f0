package release

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Kind says what a release holds.
type Kind string

// The kinds.
const (
	KindMosparo Kind = "mosparo" // an installation of mosparo, with all that its updates need
	KindAny     Kind = "any"     // any tree of files: no migrations, no configuration
)

// Names at the root of every release.
const (
	infoName     = ".mosparoctl-release"  // what the release is, as JSON
	manifestName = ".mosparoctl-manifest" // every file in it, with its hash
)

// maxInfo bounds the size of an info file.
const maxInfo = 256 << 10

// Info describes a release. It lies in the release itself, so that a node can tell what it has.
type Info struct {
	ID         string    `json:"id"`
	Kind       Kind      `json:"kind"`
	Version    string    `json:"version"` // of mosparo, from src/Kernel.php; "" for KindAny
	Digest     string    `json:"digest"`  // of the content: SHA-256 in hex, the same wherever and whenever it was uploaded
	Created    time.Time `json:"created"`
	Source     string    `json:"source"` // where it came from, for people
	Files      int       `json:"files"`
	Bytes      int64     `json:"bytes"`
	Migrations []string  `json:"migrations,omitempty"` // names of the database migrations it brings, sorted
}

var (
	idPattern      = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z.+_-]{0,99}$`)
	versionPattern = regexp.MustCompile(`^[0-9][0-9A-Za-z.+-]{0,39}$`)
	digestPattern  = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// ValidID reports whether id may name a release: it is one harmless path component.
func ValidID(id string) bool { return idPattern.MatchString(id) }

// NewID makes the id of a release: version, time and the beginning of its digest.
func NewID(version, digest string, now time.Time) string {
	return fmt.Sprintf("%s-%s-%s", cmp.Or(version, "files"), now.UTC().Format("20060102T150405Z"), digest[:8])
}

// ParseInfo reads what an info file holds. It comes from a node, so nothing in it is taken for granted.
func ParseInfo(raw []byte) (Info, error) {
	var i Info
	if len(raw) > maxInfo {
		return i, fmt.Errorf("release info: %d bytes, at most %d", len(raw), maxInfo)
	}
	if err := json.Unmarshal(raw, &i); err != nil {
		return Info{}, fmt.Errorf("release info: %w", err)
	}
	switch {
	case !ValidID(i.ID):
		return Info{}, fmt.Errorf("release info: bad id %.40q", i.ID)
	case i.Kind != KindMosparo && i.Kind != KindAny:
		return Info{}, fmt.Errorf("release info: unknown kind %.40q", i.Kind)
	case i.Version != "" && !versionPattern.MatchString(i.Version), i.Kind == KindMosparo && i.Version == "":
		return Info{}, fmt.Errorf("release info: bad version %.40q", i.Version)
	case !digestPattern.MatchString(i.Digest):
		return Info{}, fmt.Errorf("release info: bad digest %.80q", i.Digest)
	case i.Files < 0 || i.Bytes < 0:
		return Info{}, fmt.Errorf("release info: negative size")
	}
	return i, nil
}

// encode is the content of the info file.
func (i Info) encode() ([]byte, error) {
	raw, err := json.MarshalIndent(i, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("release info: %w", err)
	}
	return append(raw, '\n'), nil
}

// assets is the value of mosparo_assets_version that goes with the release: 11 characters of base64url, as mosparo makes
// them. It is derived from the id, so that finishing twice, or on another day, gives the same.
func (i Info) assets() string {
	sum := sha256.Sum256([]byte("assets of " + i.ID))
	return base64.RawURLEncoding.EncodeToString(sum[:8])
}

// newMigrations lists the migrations that i brings and old doesn't.
func (i Info) newMigrations(old Info) []string {
	var list []string
	for _, m := range i.Migrations {
		if !slices.Contains(old.Migrations, m) {
			list = append(list, m)
		}
	}
	return list
}

// compareVersions orders versions by their numbers; a suffix such as "-beta.1" comes before none.
func compareVersions(a, b string) int {
	an, as, _ := strings.Cut(a, "-")
	bn, bs, _ := strings.Cut(b, "-")
	ap, bp := strings.Split(an, "."), strings.Split(bn, ".")
	for i := range max(len(ap), len(bp)) {
		if c := compareNumbers(part(ap, i), part(bp, i)); c != 0 {
			return c
		}
	}
	if (as == "") != (bs == "") {
		return cmp.Compare(len(bs), len(as))
	}
	ap, bp = strings.Split(as, "."), strings.Split(bs, ".")
	for i := range max(len(ap), len(bp)) {
		if c := compareNumbers(part(ap, i), part(bp, i)); c != 0 {
			return c
		}
	}
	return 0
}

func part(parts []string, i int) string {
	if i < len(parts) {
		return parts[i]
	}
	return ""
}

// compareNumbers compares decimal numbers of any length, and anything else as text.
func compareNumbers(a, b string) int {
	isNum := func(s string) bool { return strings.Trim(s, "0123456789") == "" }
	if isNum(a) && isNum(b) {
		a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
		return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
	}
	return cmp.Compare(a, b)
}
