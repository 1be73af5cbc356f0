// Package httpapi is the HTTP interface of the protection core: the routes of mosparo 1.5 with its replies, headers and
// peculiarities, so that widgets, plugins and API clients cannot tell it from PHP. Where PHP fails by accident it answers
// what a careful server would; docs/compatibility.md lists these places.
//
// Handlers are thin: they read parameters, ask the packages that decide, and write rows and replies. A *Handler is safe for
// concurrent use and keeps no state of requests.
package httpapi

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/message"
	"github.com/mosparoctl/mosparoctl/protection/php"
	"github.com/mosparoctl/mosparoctl/protection/rule"
	"github.com/mosparoctl/mosparoctl/protection/security"
	"github.com/mosparoctl/mosparoctl/protection/store"
)

// Project is a project with what its requests are answered by. It is immutable.
type Project struct {
	*protection.Project
	Guidelines   []protection.Guideline
	Translations []protection.Translation
}

// Projects finds projects and the compiled form of their rules. Errors are protection.CodeNotFound and those of the store.
type Projects interface {
	ByPublicKey(ctx context.Context, key string) (*Project, error)
	ByUUID(ctx context.Context, uuid string) (*Project, error)
	Matcher(ctx context.Context, projectID int64) (*rule.Matcher, error)
	// Refresh looks for changes of rules now, so that the next check knows them.
	Refresh(ctx context.Context) error
}

// Health is the state of what the server depends on. Each field is nil if all is well.
type Health struct {
	Database error // not reachable, not the known schema, or not of this key: the node cannot serve
	Cache    error // requests are served without it
	Starting bool  // the rules are being compiled; the first checks would wait for that
	Draining bool  // the server is about to end
}

// Options are what a Handler works with. Store, Projects, Messages and Health must be set.
type Options struct {
	Store    *store.Store
	Projects Projects
	Messages *message.Catalog
	Health   func(context.Context) Health
	Locate   func(ip string) *protection.Localization // nil: no GeoIP

	Proxies      security.Proxies
	ForwardedFor string       // name of a header that takes the place of X-Forwarded-For, empty: none
	APIAllowList string       // addresses that may use the backend APIs, empty: all
	HealthAllow  string       // addresses that may ask for health, empty: all
	BypassHealth bool         // health says nothing and is always 200
	MaxBody      int64        // bytes of a request's body, 0: DefaultMaxBody
	Resources    *Resources   // /build/ and /resources/, nil: none
	WebCron      http.Handler // /cron-jobs/execute, nil: none

	WebCronAllow string // addresses that may use it, empty: all

	Log     *slog.Logger // nil: nothing is logged; never told anything about visitors
	Observe func(route string, status int, took time.Duration)
	CutOff  func(patterns int) // told how many patterns of a check were cut off, nil: nobody
	Checked func(Outcome)      // told what became of each form that was checked, nil: nobody
}

// Outcome is what became of a form. Nothing in it is about the visitor.
type Outcome struct {
	Spam  bool
	Rules []MatchedRule // that matched, each once
}

// MatchedRule is a rule that found something in a form.
type MatchedRule struct {
	UUID string
	Name string // after the name of its package, if it is of one
}

// DefaultMaxBody is PHP's default of post_max_size.
const DefaultMaxBody = 8 << 20

// Handler answers requests.
type Handler struct {
	o        Options
	reading  *budget // bodies while they are read
	decoding *budget // what is made of queries and bodies
}

// New makes a handler.
func New(o Options) *Handler {
	if o.MaxBody == 0 {
		o.MaxBody = DefaultMaxBody
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Observe == nil {
		o.Observe = func(string, int, time.Duration) {}
	}
	return &Handler{o: o, reading: newBudget(smallBody, usualBody, usualBodies, largeBodies), decoding: newBudget(smallRequest, usualRequest, requests, requests)}
}

// call is one request on its way.
type call struct {
	h        *Handler
	w        *recorder
	r        *http.Request
	route    string
	body     *php.Array // decoded parameters, never nil
	query    *php.Array
	ip       string // client address as text, exactly as it was sent
	trusted  bool   // the peer's X-Forwarded headers are believed
	project  *Project
	debug    bool   // the project shows debugInformation
	method   string // what the framework takes for the method, see overridden
	slash    bool   // the path ends with a slash too many
	stateful bool   // replies carry the cache headers of a route with a session
	guessed  bool   // what is decided rests on a recalled token, and nothing has confirmed it yet; see guessing
}

// action answers a request whose project is known.
type action func(*call) (php.Value, error)

// route is one path of the API.
type route struct {
	name   string
	access func(*call) error // selects the project
	action action
	method string // the only one allowed, empty: any
}

// recorder notes the status of a reply.
type recorder struct {
	http.ResponseWriter
	status int
}

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// ServeHTTP answers one request. A panic becomes a 500 with a request id that the log has too.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	c := &call{h: h, w: &recorder{ResponseWriter: w}, r: r, route: "other", body: php.NewArray(), query: php.NewArray()}
	defer func() {
		if p := recover(); p != nil {
			if p == http.ErrAbortHandler { //nolint:errorlint // net/http compares it so, too
				panic(p)
			}
			c.crash(fmt.Errorf("panic: %v", p), string(debug.Stack()))
		}
		h.o.Observe(c.route, c.w.status, time.Since(start))
	}()
	c.client()
	c.method = overridden(r)
	c.serve()
}

func (c *call) serve() {
	setSecurityHeaders(c.w.Header())
	release, err := c.read()
	if err != nil {
		c.fail(err)
		return
	}
	defer release()
	path := c.r.URL.Path
	switch {
	case c.method == "" || !validHost(c.r, c.trusted):
		c.fail(exception{status: http.StatusBadRequest})
	case strings.HasPrefix(path, "/api/"):
		c.api(path)
	case c.h.o.Resources != nil && strings.HasPrefix(path, "/build/"):
		c.route = "resources"
		c.asset(path)
	case c.h.o.Resources != nil && strings.HasPrefix(path, "/resources/"):
		c.route = "resources"
		c.resource(path)
	case c.h.o.WebCron != nil && strings.TrimRight(path, "/") == webCronPath:
		c.route = "web-cron"
		c.webCron()
	default:
		c.fail(noRoute{})
	}
}

const webCronPath = "/cron-jobs/execute"

// webCron hands the trigger of the cron job on if its client may use it.
func (c *call) webCron() {
	if path, slash := withoutSlashes(c.r.URL.Path); slash && !reads(c.method) {
		c.fail(noRoute{})
		return
	} else if slash {
		c.setCacheHeaders(true)
		c.redirect(http.StatusMovedPermanently, c.absolute(path)+c.queryString())
		return
	}
	if list := c.h.o.WebCronAllow; strings.TrimSpace(list) != "" && !security.Listed(list, c.ip) {
		c.fail(forbidden{fmt.Sprintf("Access to the web cron jobs for this IP address (%s) is not allowed.", c.ip)})
		return
	}
	r := c.r.WithContext(c.r.Context())
	r.Method = c.method
	c.h.o.WebCron.ServeHTTP(c.w, r)
}

func (c *call) api(path string) {
	path, c.slash = withoutSlashes(path)
	if path == healthPath {
		c.route = "health"
		c.health(c.slash)
		return
	}
	found, ok := c.find(path)
	if !ok || c.slash && (!reads(c.method) || !found.allows(c.method)) {
		c.fail(noRoute{})
		return
	}
	c.route = found.name
	if !found.allows(c.method) {
		c.fail(exception{status: http.StatusMethodNotAllowed, allow: found.method})
		return
	}
	c.stateful = true
	err := found.access(c)
	if err == nil && c.slash {
		c.setCacheHeaders(true)
		c.redirect(http.StatusMovedPermanently, c.absolute(path)+c.queryString())
		return
	}
	if err == nil && c.preflight() {
		return
	}
	var v php.Value
	if err == nil {
		v, err = found.action(c)
	}
	switch {
	case errors.Is(err, errReplied):
	case err != nil:
		c.fail(err)
	default:
		c.json(http.StatusOK, v)
	}
}

// withoutSlashes is a path without the slashes at its end, and whether it had any.
func withoutSlashes(path string) (string, bool) {
	trimmed := strings.TrimRight(path, "/")
	return trimmed, trimmed != path
}

// reads reports whether a method only asks for something.
func reads(method string) bool { return method == http.MethodGet || method == http.MethodHead }

// allows reports whether a route takes a method.
func (r route) allows(method string) bool {
	return r.method == "" || method == r.method || r.method == http.MethodGet && method == http.MethodHead
}

// find is the route of a path.
func (c *call) find(path string) (route, bool) {
	switch path {
	case "/api/v1/frontend/request-submit-token":
		return route{name: "request-submit-token", access: (*call).frontend, action: (*call).requestSubmitToken}, true
	case "/api/v1/frontend/store-form-data":
		return route{name: "store-form-data", access: (*call).frontend, action: (*call).storeFormData}, true
	case "/api/v1/frontend/check-form-data":
		return route{name: "check-form-data", access: (*call).frontend, action: (*call).checkFormData}, true
	case "/api/v1/verification/verify":
		return route{name: "verify", access: (*call).backend, action: (*call).verify}, true
	case "/api/v1/verification/store-metadata":
		return route{name: "store-metadata", access: (*call).backend, action: (*call).storeMetadata}, true
	case "/api/v1/statistic/by-date":
		return route{name: "statistic", access: (*call).backend, action: (*call).statistic}, true
	}
	if rest, ok := strings.CutPrefix(path, packagePath); ok {
		return findPackageRoute(rest)
	}
	return route{}, false
}

// crash answers 500 with an id that is also logged.
func (c *call) crash(err error, stack string) {
	id := rand.Text()[:12]
	c.h.o.Log.Error("request failed", "route", c.route, "request", id, "error", err, "stack", stack)
	if c.w.status != 0 {
		return // the reply has begun
	}
	c.w.Header().Set("X-Request-Id", id)
	c.problem(http.StatusInternalServerError)
}

// fail answers with the reply that belongs to err.
func (c *call) fail(err error) {
	var reply failure
	var e exception
	var missing notFound
	var denied forbidden
	switch {
	case errors.As(err, &reply):
		c.json(reply.status, reply.value)
	case errors.As(err, &missing):
		c.plainError(http.StatusNotFound, missing.message)
	case errors.As(err, &denied):
		c.plainError(http.StatusForbidden, denied.message)
	case errors.Is(err, noRoute{}):
		c.noRouteFound()
	case errors.As(err, &e):
		if e.allow != "" {
			c.w.Header().Set("Allow", e.allow)
		}
		c.problem(e.status)
	case c.r.Context().Err() != nil:
		c.problem(http.StatusServiceUnavailable) // nobody is there to read it
	default:
		c.crash(err, "")
	}
}
