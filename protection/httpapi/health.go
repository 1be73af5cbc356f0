package httpapi

import (
	"net/http"
	"strings"

	"github.com/mosparoctl/mosparoctl/protection/php"
	"github.com/mosparoctl/mosparoctl/protection/security"
)

const healthPath = "/api/v1/health/check"

// health answers the load balancer. A node that cannot serve says so with 500, one that starts or is about to end with 503. A cache
// that is down does not stop a node from serving: the status stays 200, so that a dead cache does not take all nodes out
// at once, but the node does not call itself healthy.
func (c *call) health(slash bool) {
	if list := c.h.o.HealthAllow; strings.TrimSpace(list) != "" && !security.Listed(list, c.ip) {
		c.fail(noRoute{})
		return
	}
	switch {
	case slash && !reads(c.method):
		c.fail(noRoute{})
		return
	case slash:
		c.redirect(http.StatusMovedPermanently, c.absolute(healthPath)+c.queryString())
		return
	case !reads(c.method):
		c.fail(exception{status: http.StatusMethodNotAllowed, allow: http.MethodGet})
		return
	}
	status, healthy, database, problem := http.StatusOK, php.Bool(true), "connected", php.Null
	if c.h.o.BypassHealth {
		healthy, database, problem = php.Null, "bypassed", php.String("")
	} else {
		switch s := c.h.o.Health(c.r.Context()); {
		case s.Draining:
			status, healthy, database, problem = http.StatusServiceUnavailable, php.Bool(false), "draining", php.String("the server is about to end")
		case s.Starting:
			status, healthy, database, problem = http.StatusServiceUnavailable, php.Bool(false), "starting", php.String("the rules are being compiled")
		case s.Database != nil:
			status, healthy, database = http.StatusInternalServerError, php.Bool(false), "connection-failed"
			problem = php.String(strings.ToValidUTF8(s.Database.Error(), "\uFFFD"))
		case s.Cache != nil:
			healthy, problem = php.Bool(false), php.String(strings.ToValidUTF8("cache: "+s.Cache.Error(), "\uFFFD"))
		}
	}
	c.json(status, php.Map(textPair("service", "mosparo"), pair("healthy", healthy), textPair("databaseStatus", database), pair("error", problem),
		intPair("statusCode", int64(status))))
}
