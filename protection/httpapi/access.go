package httpapi

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/php"
	"github.com/mosparoctl/mosparoctl/protection/security"
	"github.com/mosparoctl/mosparoctl/protection/sign"
)

const noProject = "No project available for the sent public key."

// frontend selects the project by the public key in the body and answers for its hosts.
func (c *call) frontend() error {
	if !c.has("publicKey") {
		return refuse(http.StatusBadRequest, "No public key sent.")
	}
	key, err := c.text("publicKey")
	if err != nil {
		return err
	}
	if err := c.selectProject(key); err != nil {
		return err
	}
	if origin := c.r.Header.Get("Origin"); allowsOrigin(c.project.Hosts, origin) {
		c.w.Header().Set("Access-Control-Allow-Origin", origin)
		c.w.Header().Set("Access-Control-Allow-Methods", http.MethodPost)
	}
	return nil
}

func (c *call) selectProject(key string) error {
	p, err := c.h.o.Projects.ByPublicKey(c.r.Context(), key)
	if protection.Is(err, protection.CodeNotFound) {
		return refuse(http.StatusForbidden, noProject)
	}
	if err != nil {
		return fmt.Errorf("select project: %w", err)
	}
	c.project = p
	return nil
}

// preflight answers OPTIONS requests of an allowed origin that name a project.
func (c *call) preflight() bool {
	if c.r.Method != http.MethodOptions || c.w.Header().Get("Access-Control-Allow-Origin") == "" {
		return false
	}
	c.setCacheHeaders(true)
	c.write(http.StatusOK, "text/html; charset=UTF-8", nil)
	return true
}

// allowsOrigin compares an Origin header with the hosts of a project, which may begin with a wildcard.
func allowsOrigin(hosts []string, origin string) bool {
	host, ok := strings.CutPrefix(origin, "http://")
	if !ok {
		host = strings.TrimPrefix(origin, "https://")
	}
	if !truthy(host) {
		return false
	}
	for _, h := range hosts {
		rest, wild := strings.CutPrefix(h, "*")
		if h == host || wild && (strings.HasSuffix(host, rest) || rest != "" && rest[0] == '.' && rest[1:] == host) {
			return true
		}
	}
	return false
}

// backend selects the project by the Authorization header and checks the signature of the request.
func (c *call) backend() error {
	if list := c.h.o.APIAllowList; strings.TrimSpace(list) != "" && !security.Listed(list, c.ip) {
		return forbidden{fmt.Sprintf("Access to the API for this IP address (%s) is not allowed.", c.ip)}
	}
	header := c.r.Header.Get("Authorization")
	if !truthy(header) {
		return refuse(http.StatusBadRequest, "No authorization header found.")
	}
	key, signature, ok := sign.Authorization(header)
	if !ok {
		return refuse(http.StatusOK, "Authorization header invalid.", intPair("0", http.StatusUnauthorized))
	}
	if err := c.selectProject(key); err != nil {
		return err
	}
	c.debug = c.project.APIDebugMode
	data, path := c.signedData(), routePath(c.r.URL.Path)
	expected, err := sign.Request(c.project.PrivateKey, path, data)
	if err == nil && !c.slash && sign.Equal(expected, signature) { // mosparo expects something else from who is to be redirected
		return nil
	}
	reply := refuse(http.StatusBadRequest, "Request invalid.")
	if c.debug {
		payload := ""
		if text, err := sign.JSON(data); err == nil {
			payload = path + text
		}
		with(reply.value, pair("debugInformation", php.Map(textPair("reason", "hmac_hash_invalid"), textPair("expectedHmacHash", expected),
			textPair("receivedHmacHash", strings.ToValidUTF8(signature, "\uFFFD")), textPair("payload", payload))))
	}
	return reply
}

// routePath is a decoded path as the framework writes it into a URL.
func routePath(path string) string {
	var b strings.Builder
	for _, c := range []byte(path) {
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-_.~/@:;,=+!*|", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// signedData is what a backend client signs beside the path: the parameters of the query, some of them as numbers, then
// those of the body, merged as PHP's array_merge does.
func (c *call) signedData() php.Value {
	data := php.NewArray()
	for k, v := range c.query.All() {
		switch k.String() {
		case "range", "page", "perPage":
			v = php.Int(v.Intval())
		}
		mergeInto(data, k, v)
	}
	for k, v := range c.body.All() {
		mergeInto(data, k, v)
	}
	return php.ArrayOf(data)
}

func mergeInto(a *php.Array, k php.Key, v php.Value) {
	if _, number := k.Int(); number {
		a.Append(v)
		return
	}
	a.Set(k, v)
}

// forbidden is a refusal by address.
type forbidden struct{ message string }

func (f forbidden) Error() string { return f.message }
