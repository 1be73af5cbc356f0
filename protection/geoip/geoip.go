// Package geoip looks up which network and which country an address belongs to, in MaxMind DB files such as GeoLite2-ASN
// and GeoLite2-Country.
package geoip

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/oschwald/maxminddb-golang/v2"

	"github.com/mosparoctl/mosparoctl/protection"
)

// Reader answers look-ups from up to two files. It is safe for concurrent use; look-ups go on while a file is replaced.
type Reader struct {
	mu      sync.Mutex // guards reloading
	asn     source
	country source
}

// source is one file and what was last read of it.
type source struct {
	paths []string // where it may be; the first that exists counts
	db    atomic.Pointer[maxminddb.Reader]
	info  fs.FileInfo // of the file in db
}

// New makes a reader of two files, of which each may be in several places: the first that exists counts. No place leaves
// that part out. No file needs to exist yet: call Reload to read them.
func New(asnFiles, countryFiles []string) *Reader {
	return &Reader{asn: source{paths: asnFiles}, country: source{paths: countryFiles}}
}

// Places is where a folder has the file of a name ("GeoLite2-ASN"): in a folder of its own, as mosparo puts it, or directly, as
// geoipupdate does.
func Places(dir, name string) []string {
	return []string{filepath.Join(dir, name, name+".mmdb"), filepath.Join(dir, name+".mmdb")}
}

// Reload reads the files that changed since the last call, and reports whether any did. A file that is missing or broken
// is an error, and what was known before stays in force. Call it at the start and every few seconds or minutes.
func (r *Reader) Reload() (changed bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range []*source{&r.asn, &r.country} {
		fresh, failed := s.reload()
		changed = changed || fresh
		err = errors.Join(err, failed)
	}
	return changed, err
}

func (s *source) reload() (bool, error) {
	if len(s.paths) == 0 {
		return false, nil
	}
	var path string
	var info fs.FileInfo
	var err error
	for _, path = range s.paths {
		if info, err = os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if err != nil {
		return false, fmt.Errorf("read GeoIP file: %w", err)
	}
	if s.info != nil && os.SameFile(info, s.info) && info.Size() == s.info.Size() && info.ModTime().Equal(s.info.ModTime()) {
		return false, nil
	}
	// The file is read instead of mapped, so that one that is overwritten in place can't break a look-up.
	data, err := os.ReadFile(path)
	if err != nil {
		return false, fmt.Errorf("read GeoIP file: %w", err)
	}
	db, err := maxminddb.OpenBytes(data)
	if err != nil {
		return false, fmt.Errorf("read GeoIP file %s: %w", path, err)
	}
	s.db.Store(db)
	s.info = info
	return true, nil
}

// Active reports whether any file could be read.
func (r *Reader) Active() bool { return r.asn.db.Load() != nil || r.country.db.Load() != nil }

// Lookup returns what is known about an address; unknown parts are zero. Text that is no address is not known. The error
// is for a damaged file; what the other one says comes with it. It does not tell the address, which is a visitor's.
func (r *Reader) Lookup(ip string) (protection.Localization, error) {
	var found protection.Localization
	addr, err := netip.ParseAddr(ip)
	addr = addr.WithZone("")
	if err != nil || !addr.IsValid() {
		return found, nil //nolint:nilerr // documented: such a text is not known
	}
	var network struct {
		Number       uint32 `maxminddb:"autonomous_system_number"`
		Organization string `maxminddb:"autonomous_system_organization"`
	}
	var place struct {
		Country struct {
			ISOCode string `maxminddb:"iso_code"`
		} `maxminddb:"country"`
	}
	err = errors.Join(r.asn.lookup(addr, &network), r.country.lookup(addr, &place))
	return protection.Localization{ASNumber: int64(network.Number), ASOrganization: network.Organization, Country: place.Country.ISOCode}, err
}

func (s *source) lookup(addr netip.Addr, into any) error {
	db := s.db.Load()
	if db == nil {
		return nil
	}
	result := db.Lookup(addr)
	if err := result.Err(); err != nil {
		return err
	}
	if !result.Found() {
		return nil
	}
	return result.Decode(into)
}
