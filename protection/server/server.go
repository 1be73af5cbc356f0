// Package server is the protection core as a running service: it opens the database and the cache, listens, keeps projects
// and rules up to date, cleans up in the background, and ends without breaking a request. The command serve, the demo and
// the tests use the same Server.
package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/cache"
	"github.com/mosparoctl/mosparoctl/protection/cleanup"
	"github.com/mosparoctl/mosparoctl/protection/geoip"
	"github.com/mosparoctl/mosparoctl/protection/httpapi"
	"github.com/mosparoctl/mosparoctl/protection/message"
	"github.com/mosparoctl/mosparoctl/protection/rule"
	"github.com/mosparoctl/mosparoctl/protection/security"
	"github.com/mosparoctl/mosparoctl/protection/store"
	"github.com/mosparoctl/mosparoctl/protection/widget"
)

// Options say what to serve and where.
type Options struct {
	Listen        string // host:port or unix:PATH; port 0 takes a free one
	MetricsListen string // of /metrics, empty: nowhere
	Store         store.Options
	Cache         cache.Options
	Settings      Settings

	MaxConns  int           // connections at once, 0 is 4096
	DrainTime time.Duration // how long health says "draining" before Close stops listening
	Version   string        // of the program
	Log       *slog.Logger  // nil: nothing is logged
}

// Settings are what Reload can change.
type Settings struct {
	TrustedProxies string // as TRUSTED_PROXIES; empty trusts nobody
	ForwardedFor   string // name of the header that takes the place of X-Forwarded-For
	APIAllowList   string
	HealthAllow    string
	BypassHealth   bool
	MaxBody        int64
	ShareStyles    bool   // the style sheets of projects lie in the shared cache
	AppDir         string // of a mosparo release whose assets and texts are used, empty: ours
	GeoIPDir       string // folder of GeoLite2-ASN and GeoLite2-Country, see geoip.Places; empty: no GeoIP
	Cleanup        cleanup.Settings
	NoCleanup      bool
	WebCron        WebCron
}

// Timeouts and sizes that hold for every connection. With MaxConns connections, headers take at most MaxConns × 32 KB;
// bodies are bounded by httpapi.
const (
	headerTimeout  = 10 * time.Second
	readTimeout    = 30 * time.Second
	writeTimeout   = 60 * time.Second
	idleTimeout    = 75 * time.Second
	maxHeaderBytes = 32 << 10
	endTimeout     = 30 * time.Second
	geoEvery       = 30 * time.Second
	metricsConns   = 64 // connections to /metrics at once
)

// Server is a running service.
type Server struct {
	o        Options
	store    *store.Store
	cache    cache.Cache
	projects *projects
	health   *health
	metrics  *metrics
	handler  atomic.Pointer[httpapi.Handler]

	listener, metricsListener net.Listener
	http, metricsHTTP         *http.Server
	ended                     chan error // what the HTTP servers returned
	cancel                    context.CancelFunc
	background                sync.WaitGroup
	closing                   sync.Once
	closed                    error

	mu         sync.Mutex // guards geo
	geo        *geoip.Reader
	geoDamaged atomic.Bool // was told
}

// Open starts a server. When it returns, the server listens and has read the database: CodeSchema, CodeKey, CodeInvalid and
// CodeUnavailable say why not.
func Open(ctx context.Context, o Options) (*Server, error) {
	if o.MaxConns == 0 {
		o.MaxConns = 4096
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{o: o, metrics: newMetrics(o.Version), ended: make(chan error, 2)}
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(err, s.release())
	}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	s.start(run)
	return s, nil
}

func (s *Server) open(ctx context.Context) (err error) {
	s.o.Store.Observe, s.o.Store.Log = s.metrics.operation, s.o.Log
	if s.store, err = store.Open(ctx, s.o.Store); err != nil {
		return err
	}
	if err := s.store.CheckKey(ctx); err != nil {
		return fmt.Errorf("check the encryption key: %w", err)
	}
	if s.cache, err = cache.Open(s.o.Cache); err != nil {
		return fmt.Errorf("open cache: %w", err)
	}
	database := rule.MySQL
	if s.o.Store.Path != "" {
		database = rule.SQLite
	}
	s.projects = newProjects(s.store, database, s.o.Log, s.metrics)
	s.health = &health{store: s.store, cache: s.cache, metrics: s.metrics}
	if err := s.configure(s.o.Settings); err != nil {
		return err
	}
	if s.listener, err = listen(ctx, s.o.Listen); err != nil {
		return err
	}
	s.listener = &limited{Listener: s.listener, slots: make(chan struct{}, s.o.MaxConns)}
	if s.o.MetricsListen != "" {
		if s.metricsListener, err = listen(ctx, s.o.MetricsListen); err == nil {
			s.metricsListener = &limited{Listener: s.metricsListener, slots: make(chan struct{}, metricsConns)}
		}
	}
	return err
}

func listen(ctx context.Context, address string) (net.Listener, error) {
	var l net.ListenConfig
	network, place := "tcp", address
	if len(address) > 5 && address[:5] == "unix:" {
		network, place = "unix", address[5:]
	}
	listener, err := l.Listen(ctx, network, place)
	if err != nil && network == "unix" && abandoned(place) && os.Remove(place) == nil {
		listener, err = l.Listen(ctx, network, place)
	}
	if err != nil {
		return nil, protection.Errorf(protection.CodeInvalid, "listen on %s: %w", address, err).WithHint("choose another address with --listen, or --metrics-listen")
	}
	return listener, nil
}

// abandoned reports whether a path is a socket that nobody listens on, as a server that was killed leaves it.
func abandoned(path string) bool {
	st, err := os.Lstat(path)
	if err != nil || st.Mode().Type() != fs.ModeSocket {
		return false
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		c.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// configure makes the handler for the given settings.
func (s *Server) configure(set Settings) error {
	proxies, unknown := security.ParseProxies(set.TrustedProxies)
	if len(unknown) > 0 {
		s.o.Log.Warn("trusted proxies that are no addresses or ranges are ignored", "proxies", unknown)
	}
	messages, assets := message.Own(), widget.Own()
	if set.AppDir != "" {
		var err error
		if messages, err = message.FromRelease(set.AppDir); err != nil {
			return protection.Errorf(protection.CodeInvalid, "%w", err)
		}
		if assets, err = widget.FromRelease(set.AppDir); err != nil {
			return protection.Errorf(protection.CodeInvalid, "%w", err)
		}
	}
	resources := &httpapi.Resources{Projects: s.projects, Assets: assets}
	if set.ShareStyles {
		resources.Cache = s.cache
	}
	o := httpapi.Options{Store: s.store, Projects: s.projects, Messages: messages, Health: s.health.state, Proxies: proxies,
		ForwardedFor: set.ForwardedFor, APIAllowList: set.APIAllowList, HealthAllow: set.HealthAllow, BypassHealth: set.BypassHealth,
		MaxBody: set.MaxBody, Resources: resources, WebCron: s.webCron(set), WebCronAllow: set.WebCron.AllowList, Log: s.o.Log, Observe: s.metrics.request,
		Checked: s.metrics.outcome, CutOff: func(n int) { s.metrics.cutOff.Add(float64(n)) }}
	var reader *geoip.Reader
	if set.GeoIPDir != "" {
		reader = geoip.New(geoip.Places(set.GeoIPDir, "GeoLite2-ASN"), geoip.Places(set.GeoIPDir, "GeoLite2-Country"))
		s.reloadGeoIP(reader)
		o.Locate = s.locate(reader)
	}
	s.mu.Lock()
	s.geo = reader
	s.mu.Unlock()
	s.handler.Store(httpapi.New(o))
	return nil
}

// webCron is the handler of the web cron job. Interval and lock start anew with it.
func (s *Server) webCron(set Settings) http.Handler {
	return &webCron{server: s, set: set.WebCron, cleaner: cleanup.New(s.store, s.store, s.cache, set.Cleanup, s.store.Location(), s.o.Log)}
}

func (s *Server) reloadGeoIP(r *geoip.Reader) {
	changed, err := r.Reload()
	if changed {
		s.o.Log.Info("GeoIP data read")
		s.geoDamaged.Store(false)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.o.Log.Warn("GeoIP data could not be read", "error", err)
	}
}

func (s *Server) locate(r *geoip.Reader) func(string) *protection.Localization {
	return func(ip string) *protection.Localization {
		l, err := r.Lookup(ip)
		if err != nil && !s.geoDamaged.Swap(true) { // once for a file, and not for each visitor
			s.o.Log.Warn("GeoIP data are damaged", "error", err)
		}
		return &l
	}
}

// start begins to serve and to work in the background.
func (s *Server) start(ctx context.Context) {
	errorLog := slog.NewLogLogger(s.o.Log.Handler(), slog.LevelDebug) // net/http tells addresses of clients
	s.http = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.handler.Load().ServeHTTP(w, r) }),
		ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeaderBytes, ErrorLog: errorLog}
	serve := func(h *http.Server, l net.Listener) {
		s.background.Go(func() {
			if err := h.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				s.ended <- err
			}
		})
	}
	serve(s.http, s.listener)
	if s.metricsListener != nil {
		s.metricsHTTP = &http.Server{Handler: s.metrics.handler(), ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
			IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes, ErrorLog: errorLog}
		serve(s.metricsHTTP, s.metricsListener)
	}
	s.background.Go(func() { s.health.watch(ctx) })
	s.background.Go(func() {
		s.projects.warm(ctx)
		s.health.warm.Store(true)
		s.projects.watch(ctx)
	})
	s.background.Go(func() { s.watchGeoIP(ctx) })
	if !s.o.Settings.NoCleanup {
		c := cleanup.New(s.store, s.store, s.cache, s.o.Settings.Cleanup, s.store.Location(), s.o.Log)
		s.background.Go(func() { c.Background(ctx) })
	}
}

func (s *Server) watchGeoIP(ctx context.Context) {
	tick := time.NewTicker(geoEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		s.mu.Lock()
		r := s.geo
		s.mu.Unlock()
		if r != nil {
			s.reloadGeoIP(r)
		}
	}
}

// Addr is the address the server listens on.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// MetricsAddr is the address of /metrics, empty if there is none.
func (s *Server) MetricsAddr() string {
	if s.metricsListener == nil {
		return ""
	}
	return s.metricsListener.Addr().String()
}

// Store is the server's database, for the demo and for tests.
func (s *Server) Store() *store.Store { return s.store }

// Ready reports whether the rules of all projects have been compiled; until then health says "starting".
func (s *Server) Ready() bool { return s.health.warm.Load() }

// Ended delivers the error of a listener that failed. It is silent as long as all is well.
func (s *Server) Ended() <-chan error { return s.ended }

// Reload takes over new settings and reads all projects, rules and GeoIP files again. If it fails the old settings stay.
// Requests are not disturbed.
func (s *Server) Reload(ctx context.Context, set Settings) error {
	if err := s.configure(set); err != nil {
		return fmt.Errorf("reload settings: %w", err)
	}
	s.projects.forget()
	return s.projects.Refresh(ctx)
}

// Drain makes the health check say that the server is about to end. Everything else goes on.
func (s *Server) Drain() { s.health.draining.Store(true) }

// Close ends the server: it drains for DrainTime, stops listening, lets the requests in flight end, and closes the
// database. When ctx ends first, what still runs is cut off. Later calls return what the first did.
func (s *Server) Close(ctx context.Context) error {
	s.closing.Do(func() {
		s.Drain()
		wait := time.NewTimer(s.o.DrainTime)
		defer wait.Stop()
		select {
		case <-wait.C:
		case <-ctx.Done():
		}
		ctx, cancel := context.WithTimeout(ctx, endTimeout)
		defer cancel()
		err := s.http.Shutdown(ctx)
		if err != nil {
			err = errors.Join(fmt.Errorf("end requests: %w", err), s.http.Close())
		}
		if s.metricsHTTP != nil {
			err = errors.Join(err, s.metricsHTTP.Close())
		}
		s.cancel()
		s.background.Wait()
		s.closed = errors.Join(err, s.release())
	})
	return s.closed
}

// release closes what open opened.
func (s *Server) release() (err error) {
	for _, l := range []net.Listener{s.listener, s.metricsListener} {
		if l != nil && s.cancel == nil {
			err = errors.Join(err, l.Close())
		}
	}
	if s.cache != nil {
		err = errors.Join(err, s.cache.Close())
	}
	if s.store != nil {
		err = errors.Join(err, s.store.Close())
	}
	return err
}

// limited is a listener that accepts a bounded number of connections at a time; the others wait in the kernel's queue.
type limited struct {
	net.Listener
	slots chan struct{}
}

func (l *limited) Accept() (net.Conn, error) {
	l.slots <- struct{}{}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &counted{Conn: c, done: sync.OnceFunc(func() { <-l.slots })}, nil
}

type counted struct {
	net.Conn
	done func()
}

func (c *counted) Close() error {
	defer c.done()
	return c.Conn.Close()
}
