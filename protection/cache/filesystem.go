package cache

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/mosparoctl/mosparoctl/protection/php"
)

// filesystem is a folder that the PHP processes of one machine share.
type filesystem struct {
	dir string // with the namespace
}

const (
	filesystemSalt  = `Symfony\Component\Cache\Adapter\FilesystemAdapter`
	filesystemSpace = "@" // the folder of the empty namespace
	oneYear         = 31556952 * time.Second
)

// NewFilesystem makes a cache in a folder, by default PHP's.
func NewFilesystem(dir string) Cache {
	if dir == "" {
		dir = filepath.Join(os.TempDir(), "symfony-cache")
	}
	return &filesystem{dir: filepath.Join(dir, filesystemSpace)}
}

// file is the path of an item.
func (f *filesystem) file(key string) string {
	sum := xxh3.HashString128(filesystemSalt + key).Bytes()
	h := strings.ReplaceAll(base64.StdEncoding.EncodeToString(sum[:]), "/", "-")
	return filepath.Join(f.dir, strings.ToUpper(h[:1]), strings.ToUpper(h[1:2]), h[2:22])
}

func (f *filesystem) Get(_ context.Context, key string) (php.Value, bool, error) {
	raw, err := os.ReadFile(f.file(key))
	if errors.Is(err, fs.ErrNotExist) {
		return php.Null, false, nil
	}
	if err != nil {
		return php.Null, false, unavailable("read cache", err)
	}
	expires, rest, ok1 := bytes.Cut(raw, []byte("\n"))
	name, value, ok2 := bytes.Cut(rest, []byte("\n"))
	if !ok1 || !ok2 {
		return php.Null, false, nil
	}
	if at := php.Intval(string(expires)); at != 0 && time.Now().Unix() >= at {
		return php.Null, false, nil
	}
	if got, err := url.PathUnescape(string(name)); err != nil || got != key {
		return php.Null, false, nil //nolint:nilerr // a file of another item is a miss
	}
	v, ok := decode(string(value))
	return v, ok, nil
}

func (f *filesystem) Set(_ context.Context, key string, v php.Value, ttl time.Duration) error {
	return unavailable("write cache", f.write(key, v, ttl))
}

func (f *filesystem) write(key string, v php.Value, ttl time.Duration) error {
	var expires int64
	mtime := time.Now().Add(oneYear)
	if ttl > 0 {
		expires = time.Now().Unix() + seconds(ttl)
		mtime = time.Unix(expires, 0)
	}
	path := f.file(key)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil { // the umask narrows it, as it does for PHP
		return err
	}
	tmp, err := os.CreateTemp(f.dir, "write-")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // gone already if all went well
	content := strconv.FormatInt(expires, 10) + "\n" + url.PathEscape(key) + "\n" + php.Serialize(v)
	if _, err = tmp.WriteString(content); err == nil {
		err = tmp.Chmod(0o666 &^ umaskLike(path))
	}
	if closed := tmp.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	if err := os.Chtimes(tmp.Name(), mtime, mtime); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return fmt.Errorf("put item in place: %w", err)
	}
	return nil
}

// umaskLike is the part of the mode that the process's umask took from the folder of path, so that files get what PHP's
// would: other processes of this machine must be able to read them.
func umaskLike(path string) fs.FileMode {
	if st, err := os.Stat(filepath.Dir(path)); err == nil {
		return 0o777 &^ st.Mode().Perm()
	}
	return 0o022
}

func (f *filesystem) Delete(_ context.Context, key string) error {
	err := os.Remove(f.file(key))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return unavailable("delete from cache", err)
}

func (f *filesystem) Close() error { return nil }
