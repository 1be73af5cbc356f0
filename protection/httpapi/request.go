package httpapi

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/mosparoctl/mosparoctl/protection/php"
)

// maxElements bounds the members of one JSON text, all levels together. PHP's limit is its memory.
const maxElements = 100_000

// client finds out where the request comes from.
func (c *call) client() {
	peer, _, err := net.SplitHostPort(c.r.RemoteAddr)
	if err != nil {
		peer = c.r.RemoteAddr
	}
	c.trusted = c.h.o.Proxies.Trusts(peer)
	forwarded := strings.Join(c.r.Header.Values("X-Forwarded-For"), ",")
	if name := c.h.o.ForwardedFor; name != "" {
		if v := c.r.Header.Get(name); v != "" {
			forwarded = v
		}
	}
	c.ip = c.h.o.Proxies.ClientIP(peer, forwarded)
}

// overridden is the method of a request as the framework takes it: a POST may name another one in a header. It is empty if
// that is none. PHP itself, and what reads bodies and answers to preflights, go by the method that was sent.
func overridden(r *http.Request) string {
	names := r.Header["X-Http-Method-Override"]
	if r.Method != http.MethodPost || len(names) == 0 {
		return r.Method
	}
	name := strings.ToUpper(names[0])
	for _, c := range []byte(name) {
		if c < 'A' || c > 'Z' {
			return ""
		}
	}
	return name
}

// read reads and decodes query and body, within the memory that requests share; release gives it back.
func (c *call) read() (release func(), err error) {
	release = func() {}
	if c.r.ContentLength > c.h.o.MaxBody {
		return release, c.tooLarge()
	}
	raw, read, err := c.readRaw()
	if err != nil {
		return release, c.bodyError(err)
	}
	decoded, err := c.h.decoding.take(c.r.Context(), cost(c.r.URL.RawQuery)+cost(raw))
	if err != nil {
		read()
		return release, err
	}
	release = func() { decoded(); read() }
	c.query = php.ParseForm(c.r.URL.RawQuery)
	if c.hasBody() {
		if err := c.decode(raw); err != nil {
			release()
			return func() {}, c.bodyError(err)
		}
	}
	return release, nil
}

func (c *call) hasBody() bool { return c.r.Body != nil && c.r.ContentLength != 0 }

// bodyError is the reply to a body that can't be read or decoded.
func (c *call) bodyError(err error) error {
	var known exception
	var reply failure
	if errors.As(err, &known) || errors.As(err, &reply) {
		return err
	}
	return exception{status: http.StatusBadRequest} // the client broke off
}

// readRaw reads the body. Beyond its beginning it counts with the size that was announced, or the largest one.
func (c *call) readRaw() (raw []byte, release func(), err error) {
	if !c.hasBody() {
		return nil, func() {}, nil
	}
	if n := c.r.ContentLength; n > 0 && n <= smallBody {
		raw = make([]byte, n)
		_, err = io.ReadFull(c.r.Body, raw)
		return raw, func() {}, err
	}
	if raw, err = io.ReadAll(io.LimitReader(c.r.Body, smallBody+1)); err != nil || len(raw) <= smallBody {
		return raw, func() {}, err
	}
	announced := c.r.ContentLength
	if announced < 0 {
		announced = c.h.o.MaxBody
	}
	if release, err = c.h.reading.take(c.r.Context(), announced); err != nil {
		return nil, nil, err
	}
	if raw, err = c.readLarge(raw); err != nil {
		release()
		return nil, nil, err
	}
	return raw, release, nil
}

func (c *call) readLarge(begun []byte) ([]byte, error) {
	buf := bytes.NewBuffer(begun)
	n, err := io.Copy(buf, io.LimitReader(c.r.Body, c.h.o.MaxBody+1-int64(len(begun))))
	if err != nil {
		return nil, err
	}
	if n > c.h.o.MaxBody-int64(len(begun)) {
		return nil, c.tooLarge()
	}
	return buf.Bytes(), nil
}

// tooLarge ends the connection, since what is left of the body is not read.
func (c *call) tooLarge() error {
	c.w.Header().Set("Connection", "close")
	return exception{status: http.StatusRequestEntityTooLarge}
}

const formType = "application/x-www-form-urlencoded"

// decode turns a body into parameters as PHP and mosparo's JSON decoding do.
func (c *call) decode(raw []byte) error {
	header := c.r.Header.Get("Content-Type")
	if c.r.Method == http.MethodPost {
		// PHP itself reads these, whatever their case.
		switch kind, _, _ := strings.Cut(strings.NewReplacer(",", ";", " ", ";").Replace(header), ";"); strings.ToLower(kind) {
		case formType:
			c.body = php.ParseForm(string(raw))
		case "multipart/form-data":
			c.body = php.ParseMultipart(string(raw), header)
		}
	}
	// The rest is read by the framework, which compares exactly.
	kind, _, _ := strings.Cut(header, ";")
	switch strings.TrimSpace(kind) {
	case "application/json", "application/x-json", "application/ld+json":
		text := string(raw)
		if text == "" || text == "0" {
			return nil
		}
		v, err := decodeJSON(text)
		if err != nil {
			return failure{http.StatusBadRequest, php.Map(textPair("message", err.Error()))}
		}
		if v.Kind() == php.KindArray {
			c.body = v.Array()
		}
	default:
		switch c.r.Method {
		case http.MethodPut, http.MethodPatch, http.MethodDelete:
			if strings.HasPrefix(header, formType) {
				c.body = php.ParseForm(string(raw))
			}
		}
	}
	return nil
}

// decodeJSON is json_decode with a bound on the number of members, so that a small text cannot take much memory.
func decodeJSON(text string) (php.Value, error) {
	if structure(text) > maxElements {
		return php.Null, errTooMany
	}
	return php.DecodeJSON(text)
}

var errTooMany = errors.New("Maximum number of elements exceeded") //nolint:revive,staticcheck // a client sees it, written as PHP's are

// structure counts the characters of a JSON text that begin or separate members.
func structure(text string) int {
	n, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ',' || c == '[' || c == '{'):
			n++
		}
	}
	return n
}

// has reports whether the body has a parameter, empty and null included.
func (c *call) has(name string) bool { return c.body.Has(name) }

// isNull reports whether a parameter is null or not there.
func (c *call) isNull(name string) bool {
	v, _ := c.body.Get(name)
	return v.IsNull()
}

// text is a scalar parameter of the body: null and a missing one are "", numbers and booleans are written as PHP writes
// them. Bytes that are no UTF-8 are replaced, since the database would refuse them. An array is a 400.
func (c *call) text(name string) (string, error) {
	s, err := c.rawText(name)
	return strings.ToValidUTF8(s, "\uFFFD"), err
}

// rawText is text with the bytes as they were sent, for what is decoded further.
func (c *call) rawText(name string) (string, error) {
	v, _ := c.body.Get(name)
	s, ok := v.Text()
	if !ok {
		return "", exception{status: http.StatusBadRequest}
	}
	return s, nil
}

// texts reads several parameters into their places.
func (c *call) texts(into map[string]*string) error {
	for name, to := range into {
		s, err := c.text(name)
		if err != nil {
			return err
		}
		*to = s
	}
	return nil
}

// truthy is PHP's view of a text: "0" is as good as nothing.
func truthy(s string) bool { return s != "" && s != "0" }
