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

// resource answers /build/ and /resources/.
func (c *call) resource(path string) {
	res := c.h.o.Resources
	if c.r.Method != http.MethodGet && c.r.Method != http.MethodHead {
		c.fail(noRoute{})
		return
	}
	h := c.w.Header()
	h.Del("Content-Security-Policy")
	h.Del("X-Content-Security-Policy")
	h.Del("X-Frame-Options")
	switch path {
	case widget.ScriptPath:
		h.Set("Cache-Control", "max-age=3600, public")
		c.shared("text/javascript; charset=UTF-8", res.Assets.Script)
		return
	case widget.StylePath:
		h.Set("Cache-Control", "max-age=3600, public")
		c.shared("text/css; charset=UTF-8", res.Assets.Style)
		return
	case widget.LogoPath:
		h.Set("Cache-Control", yearLong)
		h.Set("Content-Disposition", "inline; filename=logo.svg")
		c.shared("image/svg+xml", widget.Logo(c.r.URL.Query().Get("fc") == "1", c.r.URL.Query().Get("pcs") == "d"))
		return
	}
	rest, ok := strings.CutPrefix(path, "/resources/")
	if !ok {
		c.notFoundText()
		return
	}
	uuid, file, deep := strings.Cut(rest, "/")
	if !deep {
		uuid, ok = strings.CutSuffix(uuid, ".css")
	}
	hash, style := strings.CutSuffix(file, ".css")
	if !ok || deep && !style && file != "url" {
		c.notFoundText()
		return
	}
	p, err := res.Projects.ByUUID(c.r.Context(), uuid)
	switch {
	case protection.Is(err, protection.CodeNotFound):
		c.notFoundText()
	case err != nil:
		c.fail(err)
	default:
		c.projectStyle(p, hash, deep && style, file == "url")
	}
}

func (c *call) shared(contentType, content string) {
	c.w.Header().Set("Access-Control-Allow-Origin", "*")
	c.write(http.StatusOK, contentType, []byte(content))
}

func (c *call) notFoundText() {
	c.setCacheHeaders(false)
	c.write(http.StatusNotFound, "text/html; charset=UTF-8", []byte("404 Not Found"))
}

// projectStyle answers for the style sheet of a project: the sheet itself under its hash, its address as text, or a
// redirect to it.
func (c *call) projectStyle(p *Project, hash string, wanted, address bool) {
	design := widget.NewDesign(p.Settings)
	to := c.absolute("/resources/" + p.UUID + "/" + design.Hash() + ".css")
	switch {
	case address:
		c.setCacheHeaders(true)
		c.write(http.StatusOK, "text/html; charset=UTF-8", []byte(to))
	case wanted && hash == design.Hash():
		c.w.Header().Set("Cache-Control", yearLong)
		c.shared("text/css; charset=UTF-8", c.style(p, design))
	default:
		c.w.Header().Set("Cache-Control", "no-cache, public")
		c.w.Header().Set("Location", to)
		c.write(http.StatusTemporaryRedirect, "text/html; charset=UTF-8", nil)
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
