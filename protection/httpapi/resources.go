package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/cache"
	"github.com/mosparoctl/mosparoctl/protection/php"
	"github.com/mosparoctl/mosparoctl/protection/widget"
)

// yearLong is how long a browser may keep what a hash names.
const yearLong = "max-age=31536000, public"

// Resources are the files that browsers load for the widget.
type Resources struct {
	Projects Projects
	Assets   widget.Assets
	Cache    cache.Cache // shared with PHP nodes, nil: style sheets are made anew
}

// asset answers /build/, as a web server does for files.
func (c *call) asset(path string) {
	if !reads(c.method) {
		c.fail(noRoute{})
		return
	}
	h := c.w.Header()
	for _, name := range framing {
		h.Del(name)
	}
	switch path {
	case widget.ScriptPath:
		h.Set("Cache-Control", "max-age=3600, public")
		c.shared("text/javascript; charset=UTF-8", c.h.o.Resources.Assets.Script)
	case widget.StylePath:
		h.Set("Cache-Control", "max-age=3600, public")
		c.shared("text/css; charset=UTF-8", c.h.o.Resources.Assets.Style)
	default:
		setSecurityHeaders(h)
		c.fail(noRoute{})
	}
}

// resource answers /resources/, for any method.
func (c *call) resource(path string) {
	path, c.slash = withoutSlashes(path)
	f, ok := parseResource(path)
	switch {
	case !ok || c.slash && !reads(c.method):
		c.fail(noRoute{})
		return
	case c.slash:
		if f.address {
			c.setCacheHeaders(true)
		}
		c.redirect(http.StatusMovedPermanently, c.absolute(path)+c.queryString())
		return
	case f.logo:
		fc, _ := c.query.Get("fc")
		pcs, _ := c.query.Get("pcs")
		if fc.Kind() == php.KindArray || fc.Truthy() && pcs.Kind() == php.KindArray {
			c.fail(exception{status: http.StatusBadRequest})
			return
		}
		c.w.Header().Set("Cache-Control", yearLong)
		c.w.Header().Set("Content-Disposition", "inline; filename=logo.svg")
		scheme, given := pcs.Str()
		if !given {
			scheme = "l"
		}
		c.shared("image/svg+xml", c.h.o.Resources.Assets.Logo(fc.Truthy(), scheme))
		return
	}
	p, err := c.h.o.Resources.Projects.ByUUID(c.r.Context(), f.uuid)
	if lower := php.ToLower(f.uuid); lower != f.uuid && protection.Is(err, protection.CodeNotFound) { // MySQL compares without regard to case
		p, err = c.h.o.Resources.Projects.ByUUID(c.r.Context(), lower)
	}
	switch {
	case protection.Is(err, protection.CodeNotFound):
		c.notFoundText(f.address)
	case err != nil:
		c.fail(err)
	default:
		c.projectStyle(p, f)
	}
}

// resourceFile is what a path below /resources/ names.
type resourceFile struct {
	logo    bool
	uuid    string // of a project, whose style sheet is meant
	hash    string // of the style sheet, empty: the current one
	address bool   // not the style sheet, but where it is
}

func parseResource(path string) (f resourceFile, ok bool) {
	if path == widget.LogoPath {
		return resourceFile{logo: true}, true
	}
	rest, ok := strings.CutPrefix(path, "/resources/")
	if !ok {
		return f, false
	}
	uuid, file, deep := strings.Cut(rest, "/")
	if !deep {
		f.uuid, ok = strings.CutSuffix(uuid, ".css")
		return f, ok && f.uuid != ""
	}
	f.uuid, f.address = uuid, file == "url"
	if !f.address {
		f.hash, ok = strings.CutSuffix(file, ".css")
	}
	return f, ok && uuid != "" && (f.address || f.hash != "" && !strings.Contains(f.hash, "/"))
}

func (c *call) shared(contentType, content string) {
	c.w.Header().Set("Access-Control-Allow-Origin", "*")
	c.write(http.StatusOK, contentType, []byte(content))
}

func (c *call) notFoundText(stateful bool) {
	c.setCacheHeaders(stateful)
	c.write(http.StatusNotFound, "text/html; charset=UTF-8", []byte("404 Not Found"))
}

// projectStyle answers for the style sheet of a project: the sheet itself under its hash, its address as text, or a
// redirect to it.
func (c *call) projectStyle(p *Project, f resourceFile) {
	design := widget.NewDesign(p.Settings)
	to := c.absolute("/resources/" + f.uuid + "/" + design.Hash() + ".css")
	switch {
	case f.address:
		c.setCacheHeaders(true)
		c.write(http.StatusOK, "text/html; charset=UTF-8", []byte(to))
	case f.hash == design.Hash():
		c.w.Header().Set("Cache-Control", yearLong)
		c.shared("text/css; charset=UTF-8", c.style(p, design))
	default:
		c.w.Header().Set("Cache-Control", "no-cache, public")
		c.redirect(http.StatusTemporaryRedirect, to)
	}
}

// style is the project's style sheet: what a node prepared in the cache for this hash, else made now and put there.
func (c *call) style(p *Project, design *widget.Design) string {
	res, ctx := c.h.o.Resources, c.r.Context()
	if res.Cache == nil {
		return design.Style(res.Assets.Style, p.UUID, widget.LogoPath)
	}
	if css, ok := cachedText(ctx, res.Cache, cache.KeyDesignContent(p.UUID)); ok {
		if hash, ok := cachedText(ctx, res.Cache, cache.KeyDesignHash(p.UUID)); ok && hash == design.Hash() {
			return css
		}
	}
	css := design.Style(res.Assets.Style, p.UUID, widget.LogoPath)
	if err := StoreStyle(ctx, res.Cache, p.UUID, design.Hash(), css); err != nil {
		c.h.o.Log.Warn("the style sheet could not be put into the cache", "project", p.ID, "error", err)
	}
	return css
}

// StoreStyle puts a project's style sheet into the shared cache, in the order that PHP nodes rely on.
func StoreStyle(ctx context.Context, shared cache.Cache, uuid, hash, css string) error {
	if err := shared.Set(ctx, cache.KeyDesignContent(uuid), php.String(css), 0); err != nil {
		return fmt.Errorf("store style sheet: %w", err)
	}
	if err := shared.Set(ctx, cache.KeyDesignHash(uuid), php.String(hash), 0); err != nil {
		return fmt.Errorf("store hash of the style sheet: %w", err)
	}
	return nil
}

func cachedText(ctx context.Context, shared cache.Cache, key string) (string, bool) {
	v, ok, err := shared.Get(ctx, key)
	if err != nil || !ok {
		return "", false
	}
	return v.Str()
}
