package httpapi

import (
	"html"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mosparoctl/mosparoctl/protection/php"
)

// failure is a JSON reply that ends a request.
type failure struct {
	status int
	value  php.Value
}

func (f failure) Error() string { return "request refused" }

// exception is a reply that mosparo's framework makes.
type exception struct {
	status int
	allow  string // for 405
}

func (e exception) Error() string { return http.StatusText(e.status) }

// noRoute means that the path leads nowhere.
type noRoute struct{}

func (noRoute) Error() string { return "no route" }

// notFound means that what the path names does not exist.
type notFound struct{ message string }

func (n notFound) Error() string { return n.message }

// refuse makes the usual error reply. status is 200 for nearly all of them.
func refuse(status int, message string, more ...php.Pair) failure {
	pairs := append([]php.Pair{{Key: "error", Value: php.Bool(true)}, {Key: "errorMessage", Value: php.String(message)}}, more...)
	return failure{status, php.Map(pairs...)}
}

// refuse makes an error reply of status 200, with debugInformation if the project shows it and there is any.
func (c *call) refuse(message string, debug ...php.Pair) failure {
	if !c.debug || len(debug) == 0 {
		return refuse(http.StatusOK, message)
	}
	return refuse(http.StatusOK, message, php.Pair{Key: "debugInformation", Value: php.Map(debug...)})
}

func pair(key string, v php.Value) php.Pair { return php.Pair{Key: key, Value: v} }
func textPair(key, v string) php.Pair       { return pair(key, php.String(v)) }
func boolPair(key string, v bool) php.Pair  { return pair(key, php.Bool(v)) }
func intPair(key string, v int64) php.Pair  { return pair(key, php.Int(v)) }
func timePair(key string, t time.Time) php.Pair {
	if t.IsZero() {
		return pair(key, php.Null)
	}
	return textPair(key, t.Format("2006-01-02T15:04:05-07:00"))
}

// with adds members to a map.
func with(v php.Value, pairs ...php.Pair) {
	for _, p := range pairs {
		v.Array().SetString(p.Key, p.Value)
	}
}

const contentPolicy = "default-src 'none'; base-uri 'self'; block-all-mixed-content; connect-src 'self'; font-src 'self'; form-action 'self'; " +
	"frame-ancestors 'self'; img-src 'self'; script-src 'self'; style-src 'self'"

// framing are the headers that say what a page may load and who may show it.
var framing = [...]string{"X-Frame-Options", "Content-Security-Policy", "X-Content-Security-Policy"}

func setSecurityHeaders(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer, strict-origin-when-cross-origin")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Content-Security-Policy", contentPolicy)
	h.Set("X-Content-Security-Policy", contentPolicy)
}

// setCacheHeaders writes what the framework writes for routes with and without a session.
func (c *call) setCacheHeaders(stateful bool) {
	h := c.w.Header()
	if !stateful {
		h.Set("Cache-Control", "no-cache, private")
		return
	}
	h.Set("Cache-Control", "max-age=0, must-revalidate, private")
	h.Set("Expires", time.Now().UTC().Format(http.TimeFormat))
}

// json writes a reply as Symfony's JsonResponse does. Text that is no UTF-8 never gets here: it is replaced where it
// comes in.
func (c *call) json(status int, v php.Value) {
	body, err := php.AppendJSON(make([]byte, 0, 1024), v, php.HexAll)
	if err != nil {
		c.crash(err, "")
		return
	}
	c.setCacheHeaders(c.stateful)
	c.write(status, "application/json", body)
}

func (c *call) write(status int, contentType string, body []byte) {
	h := c.w.Header()
	h.Set("Content-Type", contentType)
	if c.method == http.MethodHead && c.r.Method != http.MethodHead {
		body = nil // whose length the client would wait for
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	c.w.WriteHeader(status)
	if c.method != http.MethodHead {
		_, _ = c.w.Write(body) // a client that is gone is nobody's error
	}
}

// problem writes the framework's page for an exception: a problem document for who prefers JSON, else HTML.
func (c *call) problem(status int) {
	c.w.Header().Set("Vary", "Accept")
	if !prefersJSON(c.r.Header.Get("Accept")) {
		c.setCacheHeaders(c.stateful)
		c.page(status)
		return
	}
	c.json(status, php.Map(textPair("type", "https://tools.ietf.org/html/rfc2616#section-10"), textPair("title", "An error occurred"),
		intPair("status", int64(status)), textPair("detail", http.StatusText(status))))
}

// page writes an HTML page for an error.
func (c *call) page(status int) {
	text := html.EscapeString(http.StatusText(status))
	c.write(status, "text/html; charset=UTF-8", []byte("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"UTF-8\"><title>"+text+
		"</title></head><body><h1>"+strconv.Itoa(status)+" "+text+"</h1></body></html>\n"))
}

// plainError writes an error that mosparo itself makes JSON of, for clients that accept exactly that.
func (c *call) plainError(status int, message string) {
	if c.r.Header.Get("Accept") != "application/json" {
		c.setCacheHeaders(true)
		c.page(status)
		return
	}
	c.json(status, refuse(status, message).value)
}

func (c *call) noRouteFound() {
	c.stateful = false
	path, _, _ := strings.Cut(c.r.RequestURI, "?") // as it was sent
	if !strings.HasPrefix(path, "/") {
		path = c.r.URL.EscapedPath()
	}
	message := `No route found for "` + c.method + " " + c.absolute(path) + `"`
	if from := c.r.Referer(); from != "" {
		message += ` (from "` + from + `")`
	}
	c.plainError(http.StatusNotFound, strings.ToValidUTF8(message, "\uFFFD"))
}

// redirect sends the client elsewhere. The framework gives such replies fewer headers.
func (c *call) redirect(status int, to string) {
	h := c.w.Header()
	h.Del("X-Content-Type-Options")
	for _, name := range framing {
		h.Del(name)
	}
	h.Set("Location", to)
	c.write(status, "text/html; charset=utf-8", []byte("<!DOCTYPE html>\n<html><head><meta charset=\"UTF-8\"><title>Moved</title></head></html>\n"))
}

// queryString is the query of the request with its question mark, empty if there is none.
func (c *call) queryString() string {
	if c.r.URL.RawQuery == "" {
		return ""
	}
	return "?" + c.r.URL.RawQuery
}

// absolute is the URL of a path on this server, as the client sees it.
func (c *call) absolute(path string) string {
	prefix := ""
	if c.trusted {
		prefix = strings.TrimRight(first(c.r.Header.Get("X-Forwarded-Prefix")), "/")
	}
	return BaseURL(c.r, c.trusted) + prefix + path
}

// BaseURL is scheme and host of this server as the client of r sees them, without the scheme's own port; trusted says whether
// X-Forwarded headers count.
func BaseURL(r *http.Request, trusted bool) string {
	scheme, host := "http", hostOf(r, trusted)
	if r.TLS != nil {
		scheme = "https"
	}
	if trusted {
		if p := strings.ToLower(first(r.Header.Get("X-Forwarded-Proto"))); p == "https" || p == "on" || p == "ssl" || p == "1" {
			scheme = "https"
		} else if p != "" {
			scheme = "http"
		}
	}
	host = strings.ToLower(host)
	u, err := url.Parse(scheme + "://" + host)
	if err != nil || u.Host != host {
		return scheme + "://localhost"
	}
	if port := u.Port(); port == "80" && scheme == "http" || port == "443" && scheme == "https" {
		host = strings.TrimSuffix(host, ":"+port)
	}
	return scheme + "://" + host
}

// hostOf is the host, with its port, that the client of r asked for.
func hostOf(r *http.Request, trusted bool) string {
	if trusted {
		if f := first(r.Header.Get("X-Forwarded-Host")); f != "" {
			return f
		}
	}
	return r.Host
}

// validHost reports whether the host of a request can be one. The framework refuses a request that it would have to quote.
func validHost(r *http.Request, trusted bool) bool {
	for i, c := range hostOf(r, trusted) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.ContainsRune("-_.:]", c), c == '[' && i == 0:
		default:
			return false
		}
	}
	return true
}

func first(list string) string {
	f, _, _ := strings.Cut(list, ",")
	return strings.TrimSpace(f)
}

// prefersJSON reports whether the best type of an Accept header that the framework knows is JSON.
func prefersJSON(accept string) bool {
	type item struct {
		kind string
		q    float64
	}
	var items []item
	for entry := range strings.SplitSeq(accept, ",") {
		kind, params, _ := strings.Cut(entry, ";")
		q := 1.0
		for p := range strings.SplitSeq(params, ";") {
			if name, v, ok := strings.Cut(strings.TrimSpace(p), "="); ok && name == "q" {
				q, _ = strconv.ParseFloat(v, 64)
			}
		}
		items = append(items, item{strings.TrimSpace(kind), q})
	}
	slices.SortStableFunc(items, func(a, b item) int {
		switch {
		case a.q > b.q:
			return -1
		case a.q < b.q:
			return 1
		}
		return 0
	})
	for _, i := range items {
		switch i.kind {
		case "application/json", "application/x-json":
			return true
		case "text/html", "application/xhtml+xml", "text/plain", "text/xml", "application/xml", "application/x-xml", "application/ld+json", "text/css",
			"application/javascript", "application/x-javascript", "text/javascript", "application/rdf+xml", "application/atom+xml", "application/rss+xml",
			"application/x-www-form-urlencoded", "multipart/form-data":
			return false
		}
	}
	return false
}
