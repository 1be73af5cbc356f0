package rulepackage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/store"
)

// Fetcher gets the contents of packages.
type Fetcher struct {
	AllowPrivate bool   // addresses of private networks; loopback never
	Redirects    bool   // follow up to three
	Host         string // own base URL, told to the source; may be empty

	allowLoopback bool // in tests
}

// Outcome says what a refresh did.
type Outcome string

// The outcomes of a refresh.
const (
	Imported Outcome = "imported"
	UpToDate Outcome = "up to date"
	TooSoon  Outcome = "too soon"
	Manual   Outcome = "not automatic"
)

// Refresh fetches a package if it is due, or at once if force is true, and imports it. Packages that people or the API fill
// are Manual.
func (f *Fetcher) Refresh(ctx context.Context, s *store.Store, project *protection.Project, p *protection.RulePackage, force bool) (Outcome, error) {
	if p.Type != protection.PackageURL && p.Type != protection.PackageFile {
		return Manual, nil
	}
	if p.Cache != nil && !force && s.Now().Before(p.Cache.RefreshedAt.Add(p.Cache.RefreshInterval)) {
		return TooSoon, nil
	}
	content, err := f.fetch(ctx, project, p)
	if err != nil {
		return "", fmt.Errorf("fetch rule package %q: %w", p.Name, err)
	}
	c, err := Parse(content, s.Location())
	if err != nil {
		return "", fmt.Errorf("read rule package %q: %w", p.Name, err)
	}
	changed, err := s.ImportPackage(ctx, p, c)
	switch {
	case err != nil:
		return "", fmt.Errorf("import rule package %q: %w", p.Name, err)
	case changed:
		return Imported, nil
	}
	return UpToDate, nil
}

// fetch gets content and hash and compares them.
func (f *Fetcher) fetch(ctx context.Context, project *protection.Project, p *protection.RulePackage) (content []byte, err error) {
	read := func(source string, limit int64) ([]byte, error) { return readFile(source, limit) }
	if p.Type == protection.PackageURL {
		client, err := f.client(p.Source)
		if err != nil {
			return nil, err
		}
		defer client.CloseIdleConnections()
		read = func(source string, limit int64) ([]byte, error) {
			return f.download(ctx, client, source, project.UUID, limit)
		}
	}
	if content, err = read(p.Source, MaxContent); err != nil {
		return nil, err
	}
	hash, err := read(p.Source+".sha256", 4096)
	if err != nil {
		return nil, err
	}
	want, _, _ := strings.Cut(strings.TrimSpace(string(hash)), " ")
	if got := Hash(content); got != want {
		return nil, protection.Errorf(protection.CodeInvalid, "the content has the hash %s, but %s.sha256 says %.80q", got, p.Source, want)
	}
	return content, nil
}

func readFile(path string, limit int64) ([]byte, error) {
	if !filepath.IsAbs(path) {
		return nil, protection.Errorf(protection.CodeInvalid, "%q is no absolute path", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, protection.Errorf(protection.CodeInvalid, "%w", err)
	}
	defer f.Close()
	return readAll(f, path, limit)
}

func readAll(r io.Reader, source string, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, protection.Errorf(protection.CodeUnavailable, "read %s: %w", source, err)
	}
	if int64(len(data)) > limit {
		return nil, protection.Errorf(protection.CodeInvalid, "%s is larger than %d bytes", source, limit)
	}
	return data, nil
}

// client connects only where the settings allow. Addresses are checked when the connection is made, so that a name which
// resolves differently the second time gains nothing.
func (f *Fetcher) client(source string) (*http.Client, error) {
	u, err := url.Parse(source)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") == "" {
		return nil, protection.Errorf(protection.CodeInvalid, "%q is no http or https address with a path", source)
	}
	dialer := &net.Dialer{Timeout: 10 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
		ap, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		return f.allowed(ap.Addr())
	}}
	return &http.Client{Timeout: 10 * time.Minute, Transport: &http.Transport{DialContext: dialer.DialContext, TLSHandshakeTimeout: 10 * time.Second,
		ResponseHeaderTimeout: 30 * time.Second},
		CheckRedirect: func(_ *http.Request, via []*http.Request) error {
			if !f.Redirects || len(via) > 3 {
				return errors.New("the source redirects, which is not allowed; see MOSPARO_RULE_PACKAGE_ALLOW_REDIRECTS")
			}
			return nil
		}}, nil
}

// Networks that lead to IPv4 addresses, the first to those in the last bytes, the second in those after the prefix.
var (
	nat64   = netip.MustParsePrefix("64:ff9b::/96")
	sixToV4 = netip.MustParsePrefix("2002::/16")
)

// unwrap is the IPv4 address that an IPv6 address leads to, or else the address itself.
func unwrap(a netip.Addr) netip.Addr {
	raw := a.As16()
	switch {
	case nat64.Contains(a):
		return netip.AddrFrom4([4]byte(raw[12:]))
	case sixToV4.Contains(a):
		return netip.AddrFrom4([4]byte(raw[2:6]))
	}
	return a.Unmap()
}

// The networks that no public source is in, beside those that netip knows.
var (
	thisNetwork = netip.MustParsePrefix("0.0.0.0/8")
	carrier     = netip.MustParsePrefix("100.64.0.0/10")
	reserved    = netip.MustParsePrefix("240.0.0.0/4")
)

func (f *Fetcher) allowed(a netip.Addr) error {
	a = unwrap(a)
	switch {
	case a.IsLoopback() || a.IsUnspecified() || thisNetwork.Contains(a):
		if !f.allowLoopback {
			return fmt.Errorf("the source is this machine (%s), which is never asked", a)
		}
	case a.IsPrivate() || a.IsLinkLocalUnicast() || carrier.Contains(a) || reserved.Contains(a):
		if !f.AllowPrivate {
			return fmt.Errorf("the source is in a private network (%s); see MOSPARO_RULE_PACKAGE_ALLOW_PRIVATE_NETWORKS", a)
		}
	case a.IsMulticast():
		return fmt.Errorf("the source has a multicast address (%s)", a)
	}
	return nil
}

func (f *Fetcher) download(ctx context.Context, client *http.Client, source, uuid string, limit int64) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, source, nil)
	if err != nil {
		return nil, protection.Errorf(protection.CodeInvalid, "%w", err)
	}
	req.Header.Set("User-Agent", "mosparo HTTP client")
	req.Header.Set("X-mosparo-project-uuid", uuid)
	if f.Host != "" {
		req.Header.Set("X-mosparo-host", f.Host)
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, protection.Errorf(protection.CodeUnavailable, "%w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, protection.Errorf(protection.CodeUnavailable, "get %s: %s", source, res.Status)
	}
	return readAll(res.Body, source, limit)
}
