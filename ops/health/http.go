package health

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/mosparoctl/mosparoctl/inventory"
)

const (
	healthPath    = "/api/v1/health/check"
	connectedText = `"databaseStatus":"connected"` // the only sign that counts, as a balancer would look for it
	httpTimeout   = 10 * time.Second
	bodyLimit     = 64 << 10
)

// healthReply is what the health endpoint answered.
type healthReply struct {
	status    int
	connected bool
	state     string // databaseStatus
	message   string // error
	took      time.Duration
}

// healthEndpoint asks mosparo's own health check, through the node's own web server.
func healthEndpoint() Check {
	return question[healthReply]{
		Info: Info{
			Name: "http-health", Family: FamilyHTTP,
			Title: "Does mosparo on every node say that its database is connected?",
			Why:   "Status 200 alone proves nothing: a node that is not set up or half updated answers 200 too.",
			Mend:  "mosparoctl logs",
		},
		when:  func(d *inventory.Deployment) bool { return hasHTTP(d) },
		nodes: func(n *inventory.Node) bool { return n.HTTP.URL != "" },
		ask:   askHealth,
		judge: func(_ context.Context, v *verdicts, answers []answer[healthReply]) {
			for _, a := range answers {
				judgeHealth(v, a)
			}
			v.allOK("connected on all %d nodes", len(answers))
		},
	}
}

func hasHTTP(d *inventory.Deployment) bool {
	for _, n := range d.Nodes {
		if n.HTTP.URL != "" {
			return true
		}
	}
	return false
}

// client speaks HTTP to a node's own web server, from the node, and follows no redirect.
func (n *node) client() *http.Client {
	timeout := n.HTTP.Timeout
	if timeout <= 0 {
		timeout = httpTimeout
	}
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return n.host.Dial(ctx, "tcp", addr)
		},
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: n.HTTP.Insecure, MinVersion: tls.VersionTLS12}, //nolint:gosec // the operator's choice, for 127.0.0.1
		DisableKeepAlives: true,
	}
	if host, _, err := net.SplitHostPort(n.HTTP.Host); err == nil {
		transport.TLSClientConfig.ServerName = host
	} else {
		transport.TLSClientConfig.ServerName = n.HTTP.Host
	}
	return &http.Client{Transport: transport, Timeout: min(timeout, n.session.timeout/2),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func askHealth(ctx context.Context, n *node) (healthReply, error) {
	var r healthReply
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(n.HTTP.URL, "/")+healthPath, nil)
	if err != nil {
		return r, err
	}
	if n.HTTP.Host != "" {
		req.Host = n.HTTP.Host
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "mosparoctl")
	start := n.session.now()
	resp, err := n.client().Do(req)
	if err != nil {
		return r, failf(n.exec("systemctl", "status", "nginx"), "the web server at %s does not answer: %s", n.HTTP.URL, n.reason(err))
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, bodyLimit))
	r.took = n.session.now().Sub(start)
	if err != nil {
		return r, fmt.Errorf("read the answer: %w", err)
	}
	r.status = resp.StatusCode
	r.connected = resp.StatusCode == http.StatusOK && strings.Contains(string(body), connectedText)
	var reply struct {
		Status string `json:"databaseStatus"`
		Error  string `json:"error"`
	}
	if json.Unmarshal(body, &reply) == nil {
		r.state, r.message = reply.Status, reply.Error
	}
	return r, nil
}

// judgeHealth explains each answer that mosparo can give.
func judgeHealth(v *verdicts, a answer[healthReply]) {
	n, r := a.node, a.value
	logs := "mosparoctl logs --nodes " + n.Name
	switch {
	case r.connected:
		v.add(n, OK, "", "connected, in "+round(r.took).String(), Figure{Name: "response", Value: r.took.Seconds(), Unit: "s"})
	case r.status == http.StatusNotFound:
		v.fail(n, "add 127.0.0.1 and the balancers to MOSPARO_HEALTH_ALLOW_LIST, then: mosparoctl env push",
			"404: this address is not in MOSPARO_HEALTH_ALLOW_LIST, or the host name leads to another site")
	case r.state == "test-skipped__update-not-finished":
		v.fail(n, "mosparoctl drain "+n.Name, "200, but the update was not finished: code and configuration are of different versions")
	case r.state == "test-skipped__not-configured":
		v.fail(n, syncHint+" --nodes "+n.Name, "200, but mosparo is not set up: its configuration is missing or empty, and the installer is open")
	case r.state == "bypassed":
		v.warn(n, "remove MOSPARO_BYPASS_HEALTH_CHECK, then: mosparoctl env push", "200 without a look at the database: MOSPARO_BYPASS_HEALTH_CHECK is on")
	case r.state == "connection-failed":
		v.fail(n, "mosparoctl check --family database", "the database can't be reached or read: %s", oneLine(r.message))
	case r.status >= 300 && r.status < 400:
		v.fail(n, "set http: host: in the inventory to the name that mosparo is reached by", "a redirect (%d) instead of an answer", r.status)
	case r.status == http.StatusInternalServerError:
		v.fail(n, logs, "500 without an answer of mosparo: a PHP error, a broken var/cache, or a redis that is down and has no lazy=1")
	case r.status >= 500:
		v.fail(n, logs, "%d: the web server does not reach PHP", r.status)
	case r.status != http.StatusOK:
		v.fail(n, logs, "status %d", r.status)
	case r.state != "":
		v.fail(n, logs, "200, but the database's state is %q", oneLine(r.state))
	default:
		v.fail(n, "check http: url: and host: in the inventory", "200, but not from mosparo")
	}
}

// oneLine makes text of a node fit for a line of a table.
func oneLine(s string) string {
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }), " ")
	if r := []rune(s); len(r) > 200 {
		return string(r[:200]) + "…"
	}
	return s
}
