package release

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/mosparoctl/mosparoctl/ops"
)

// maxSums bounds the size of a file with checksums.
const maxSums = 4 << 20

// verifyChecksum verifies the archive f called name against the checksum that was given, else against the one in a file
// beside it: NAME.sha512, NAME.sha256, SHA512SUMS or SHA256SUMS. It leaves f at its beginning.
func verifyChecksum(f *os.File, name string, o SourceOptions) error {
	want, where := o.Checksum, "given"
	if want == "" {
		var err error
		if want, where, err = findChecksum(name); err != nil {
			return ops.Errorf(ops.CodeFailed, "verify %s: %w", filepath.Base(name), err)
		}
	}
	if want == "" {
		if !o.Verify {
			return nil
		}
		return ops.Errorf(ops.CodeFailed, "verify %s: no checksum was given and none lies beside it", filepath.Base(name)).
			WithHint("give --checksum sha256:HEX, or put %s.sha256 beside the archive", filepath.Base(name))
	}
	want = strings.ToLower(want)
	for _, prefix := range []string{"sha256:", "sha512:"} {
		want = strings.TrimPrefix(want, prefix)
	}
	var h hash.Hash
	switch len(want) {
	case hex.EncodedLen(sha256.Size):
		h = sha256.New()
	case hex.EncodedLen(sha512.Size):
		h = sha512.New()
	}
	if _, err := hex.DecodeString(want); err != nil || h == nil {
		return ops.Errorf(ops.CodeUsage, "verify %s: the checksum %s is neither SHA-256 nor SHA-512 in hex", filepath.Base(name), where)
	}
	if _, err := io.Copy(h, f); err != nil {
		return ops.Errorf(ops.CodeFailed, "verify %s: %w", filepath.Base(name), err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != want {
		return ops.Errorf(ops.CodeFailed, "verify %s: its checksum is %s, but the one %s is %s", filepath.Base(name), got, where, want).
			WithHint("download the archive again")
	}
	_, err := f.Seek(0, io.SeekStart)
	return err
}

// findChecksum looks for a checksum beside the archive; "" if there is none. A file that is there and does not name the
// archive is an error, since somebody expects it to be verified.
func findChecksum(name string) (sum, where string, err error) {
	dir, base := filepath.Split(name)
	for _, c := range []struct {
		file string
		own  bool // belongs to this archive alone
	}{{base + ".sha512", true}, {base + ".sha256", true}, {"SHA512SUMS", false}, {"SHA256SUMS", false}} {
		raw, err := readSums(filepath.Join(dir, c.file))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", "", err
		}
		if sum := sumOf(string(raw), base, c.own); sum != "" {
			return sum, "in " + c.file, nil
		}
		if c.own {
			return "", "", fmt.Errorf("%s holds no checksum of it", c.file)
		}
	}
	return "", "", nil
}

func readSums(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxSums))
}

// sumOf finds the line of base in the form of sha256sum: "HEX  name" or "HEX *name"; a lone HEX counts where the file is
// the archive's own.
func sumOf(text, base string, own bool) string {
	for line := range strings.Lines(text) {
		sum, file, _ := strings.Cut(strings.TrimSpace(line), " ")
		file = strings.TrimPrefix(strings.TrimLeft(file, " "), "*")
		if sum != "" && (filepath.Base(file) == base && file != "" || own && file == "") {
			return sum
		}
	}
	return ""
}
