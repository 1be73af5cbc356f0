package conformance

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mosparoctl/mosparoctl/internal/lab/server"
	"github.com/mosparoctl/mosparoctl/protection/php"
	"github.com/mosparoctl/mosparoctl/protection/sign"
)

// node is a serve process, as on a machine of its own.
type node struct {
	addr    string
	argv    []string
	process *server.Process
}

// cluster is two nodes on one database and one cache, behind HAProxy.
type cluster struct {
	t       *testing.T
	project project
	nodes   [2]*node
	balance string // address of HAProxy
}

// startCluster builds the program and starts it twice on the reference database, of which each node is given its own list of servers.
func startCluster(t *testing.T, m *server.MariaDB, database, redis string, servers [2][]string) *cluster {
	t.Helper()
	c := &cluster{t: t}
	var projects map[string]project
	data, err := os.ReadFile("testdata/projects.json")
	if err == nil {
		err = json.Unmarshal(data, &projects)
	}
	if err != nil {
		t.Fatal(err)
	}
	c.project = projects["P1"]
	dir := t.TempDir()
	binary := filepath.Join(dir, "mosparoctl")
	if out, err := exec.Command("go", "build", "-o", binary, "../../cmd/mosparoctl").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	config, err := os.ReadFile("testdata/env.mosparo.php")
	if err != nil {
		t.Fatal(err)
	}
	host, port, _ := net.SplitHostPort(m.Addr)
	file := filepath.Join(dir, "env.mosparo.php")
	write := func(name, text string) {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(file, strings.NewReplacer("DATABASE_HOST", host, "DATABASE_PORT", port, "DATABASE_NAME", database, "DATABASE_USER", m.User, "DATABASE_PASSWORD", m.Pass).Replace(string(config)))
	for i := range c.nodes {
		env := filepath.Join(dir, fmt.Sprintf("%d.env", i))
		write(env, "MOSPARO_CACHE_ADAPTER=redis\nREDIS_URL=redis://"+redis+"\nMOSPAROCTL_DATABASE_SERVERS="+strings.Join(servers[i], ",")+"\n")
		addr := server.FreeAddress(t)
		c.nodes[i] = &node{addr: addr, argv: []string{binary, "serve", "--quiet", "--drain-time", "0s", "--listen", addr, "--config-file", file, "--env-file", env}}
		c.start(c.nodes[i])
	}
	return c
}

// start starts a node and waits until it is healthy.
func (c *cluster) start(n *node) {
	c.t.Helper()
	n.process = server.Start(c.t, n.argv...)
	n.process.WaitFor("serve", func(ctx context.Context) error { return healthy(ctx, n.addr) })
}

func healthy(ctx context.Context, addr string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+healthPath, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("health: %s", res.Status)
	}
	return nil
}

// startHAProxy puts HAProxy before the nodes.
func (c *cluster) startHAProxy() {
	c.t.Helper()
	c.balance = server.FreeAddress(c.t)
	file := filepath.Join(c.t.TempDir(), "haproxy.cfg")
	text := fmt.Sprintf(`defaults
  mode http
  timeout connect 1s
  timeout client 60s
  timeout server 60s
  timeout check 10s
  retries 3
  option redispatch 1
frontend f
  bind %s
  option forwardfor
  default_backend nodes
backend nodes
  balance roundrobin
  option httpchk GET /api/v1/health/check
  http-check expect status 200
  server a %s check inter 200ms fall 2 rise 1
  server b %s check inter 200ms fall 2 rise 1
`, c.balance, c.nodes[0].addr, c.nodes[1].addr)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
	p := server.Start(c.t, server.Binary(c.t, "haproxy"), "-db", "-f", file)
	p.WaitFor("haproxy", func(ctx context.Context) error { return healthy(ctx, c.balance) })
}

// errRefused means that the server answered, with a refusal.
var errRefused = errors.New("refused")

func (c *cluster) send(addr, path string, headers pairs, body string, into any) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	for _, h := range headers {
		req.Header.Set(h[0], h[1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s: %.200s", path, res.Status, text)
	}
	return json.Unmarshal(text, into)
}

// prepared is a checked submission that can be verified.
type prepared struct{ token, validation string }

// prepare takes a token from one node and checks a form on another.
func (c *cluster) prepare(first, second string) (p prepared, err error) {
	var reply struct {
		SubmitToken, ValidationToken, ErrorMessage string
	}
	form := pairs{{"Content-Type", formType}}
	key := url.Values{"publicKey": {c.project.PublicKey}, "pageTitle": {"Contact"}, "pageUrl": {"http://localhost/contact"}}
	if err := c.send(first, rst, form, key.Encode(), &reply); err != nil {
		return p, err
	}
	if p.token = reply.SubmitToken; p.token == "" {
		return p, fmt.Errorf("token: %w: %s", errRefused, reply.ErrorMessage)
	}
	data := url.Values{"publicKey": {c.project.PublicKey}, "submitToken": {p.token}, "formData": {formDataOf([]field{text("a", "b")}, nil)}}
	if err := c.send(second, chk, form, data.Encode(), &reply); err != nil {
		return p, err
	}
	if p.validation = reply.ValidationToken; p.validation == "" {
		return p, fmt.Errorf("check: %w: %s", errRefused, reply.ErrorMessage)
	}
	return p, nil
}

// verify reports whether a node accepts a submission.
func (c *cluster) verify(addr string, p prepared) (accepted bool, err error) {
	key := c.project.PrivateKey
	values := hashed(map[string]any{"a": "b"})
	signed, err := sign.Form(key, values)
	if err != nil {
		return false, err
	}
	data := php.Map(php.Pair{Key: "submitToken", Value: php.String(p.token)}, php.Pair{Key: "validationSignature", Value: php.String(sign.HMAC(key, p.validation))},
		php.Pair{Key: "formSignature", Value: php.String(signed)}, php.Pair{Key: "formData", Value: values})
	signature, err := sign.Request(key, verifyPath, data)
	if err != nil {
		return false, err
	}
	body, err := php.EncodeJSON(data, php.Default)
	if err != nil {
		return false, err
	}
	var reply struct {
		Valid        bool
		ErrorMessage string
	}
	authorization := "Basic " + base64.StdEncoding.EncodeToString([]byte(c.project.PublicKey+":"+signature))
	if err := c.send(addr, verifyPath, pairs{jsonType, {"Authorization", authorization}}, body, &reply); err != nil {
		return false, err
	}
	if !reply.Valid && reply.ErrorMessage != "Submit token not found or not valid." {
		return false, fmt.Errorf("verify: %w: %s", errRefused, reply.ErrorMessage)
	}
	return reply.Valid, nil
}

// TestAlternatingNodes does flows with each step on another node, and verifies one submission a hundred times at once.
func TestAlternatingNodes(t *testing.T) {
	m := server.StartMariaDB(t)
	name, _ := referenceDatabase(t, m)
	c := startCluster(t, m, name, server.Redis(t), [2][]string{{m.Addr}, {m.Addr}})
	c.alternate()
}

// alternate does flows with each step on another node, and verifies one submission a hundred times at once.
func (c *cluster) alternate() {
	t := c.t
	t.Helper()
	a, b := c.nodes[0].addr, c.nodes[1].addr
	for range 5 {
		p, err := c.prepare(a, b)
		if err != nil {
			t.Fatal(err)
		}
		if accepted, err := c.verify(a, p); err != nil || !accepted {
			t.Errorf("accepted: %v, %v", accepted, err)
		}
		if accepted, err := c.verify(b, p); err != nil || accepted {
			t.Errorf("accepted again by the other node: %v, %v", accepted, err)
		}
	}
	p, err := c.prepare(b, a)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var group sync.WaitGroup
	accepted := 0
	for i := range 100 {
		group.Go(func() {
			ok, err := c.verify(c.nodes[i%2].addr, p)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			if ok {
				accepted++
			}
		})
	}
	group.Wait()
	if accepted != 1 {
		t.Errorf("of 100 tries %d were accepted", accepted)
	}
}

// load runs whole flows through the balancer until it is stopped. Each submission is verified twice at once.
type load struct {
	c    *cluster
	quit chan struct{}
	wg   sync.WaitGroup

	mu       sync.Mutex
	cond     sync.Cond
	total    int
	accepted []string // tokens
	failed   []failedAt
}

type failedAt struct {
	at  time.Time
	err error
}

var errTwice = errors.New("a token was accepted twice")

func (c *cluster) startLoad(clients int) *load {
	l := &load{c: c, quit: make(chan struct{})}
	l.cond.L = &l.mu
	for range clients {
		l.wg.Go(func() {
			for {
				select {
				case <-l.quit:
					return
				default:
				}
				token, err := l.flow()
				l.mu.Lock()
				if err != nil {
					l.failed = append(l.failed, failedAt{time.Now(), err})
				} else if token != "" {
					l.accepted = append(l.accepted, token)
				}
				l.total++
				l.cond.Broadcast()
				l.mu.Unlock()
			}
		})
	}
	return l
}

func (l *load) flow() (string, error) {
	p, err := l.c.prepare(l.c.balance, l.c.balance)
	if err != nil {
		return "", err
	}
	var first, second bool
	var err1, err2 error
	var both sync.WaitGroup
	both.Go(func() { first, err1 = l.c.verify(l.c.balance, p) })
	second, err2 = l.c.verify(l.c.balance, p)
	both.Wait()
	switch {
	case first && second:
		return "", errTwice
	case first || second:
		return p.token, nil
	}
	return "", errors.Join(err1, err2)
}

// await waits until n more flows ended.
func (l *load) await(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for end := l.total + n; l.total < end; {
		l.cond.Wait()
	}
}

// awaitAccepted waits until n more submissions were accepted.
func (l *load) awaitAccepted(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for end := len(l.accepted) + n; len(l.accepted) < end; {
		l.cond.Wait()
	}
}

// failures are what failed outside of the given windows, and double acceptances wherever.
func (l *load) failures(windows ...[2]time.Time) (out []error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.failed {
		inside := false
		for _, w := range windows {
			inside = inside || !f.at.Before(w[0]) && f.at.Before(w[1])
		}
		if !inside || errors.Is(f.err, errTwice) {
			out = append(out, f.err)
		}
	}
	return out
}

// The documented windows: requests that a killed node was working on fail, and new ones only until the balancer noticed;
// when the primary fails, requests wait for a writable server for ten seconds and then fail.
const (
	killWindow     = 3 * time.Second
	failoverWindow = 15 * time.Second
)

// TestDisasters kills a node, redis and the primary of the database under load. No accepted submission is lost, none is
// accepted twice, and errors occur only in the documented windows.
func TestDisasters(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	primary, replica := server.StartReplicated(t)
	name, _ := referenceDatabase(t, primary)
	redis, cache := server.RedisProcess(t, server.FreeAddress(t))
	servers := []string{replica.Addr, primary.Addr}
	c := startCluster(t, primary, name, redis, [2][]string{servers, servers})
	c.startHAProxy()
	l := c.startLoad(4)
	l.await(30)

	killed := time.Now()
	c.nodes[0].process.Kill()
	l.await(30)
	c.start(c.nodes[0])
	l.await(10)
	c.nodes[1].process.Kill()
	second := time.Now()
	l.await(30)
	c.start(c.nodes[1])

	cache.Kill() // no window: nobody may notice
	l.await(30)
	server.RedisProcess(t, redis)
	l.await(30)

	failed := time.Now()
	primary.Process.Kill()
	replica.Promote(t)
	promoted := time.Now()
	l.await(30)
	close(l.quit)
	l.wg.Wait()

	for _, err := range l.failures([2]time.Time{killed, killed.Add(killWindow)}, [2]time.Time{second, second.Add(killWindow)}, [2]time.Time{failed, promoted.Add(failoverWindow)}) {
		t.Error(err)
	}
	l.isStored(replica.DB(t, name))
	t.Logf("%d flows, %d accepted, %d failed in the windows; the failover took %v", l.total, len(l.accepted), len(l.failed), promoted.Sub(failed))
}

// isStored looks for all that was accepted.
func (l *load) isStored(db *sql.DB) {
	l.c.t.Helper()
	for _, token := range l.accepted {
		var valid sql.NullBool
		err := db.QueryRowContext(l.c.t.Context(), "SELECT s.valid FROM submit_token t JOIN submission s ON s.id = t.last_submission_id WHERE t.token = ? AND t.verified_at IS NOT NULL", token).Scan(&valid)
		if err != nil || !valid.Bool {
			l.c.t.Errorf("an accepted submission is lost: %v, %v", valid, err)
		}
	}
}

// TestGalera has the nodes write to different members of a cluster of three, of which one is killed.
func TestGalera(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	one, address := server.StartGalera(t, "", "rsync")
	two, _ := server.StartGalera(t, address, "rsync")
	three, _ := server.StartGalera(t, address, "rsync")
	name, _ := referenceDatabase(t, one)
	c := startCluster(t, one, name, server.Redis(t), [2][]string{{one.Addr, two.Addr, three.Addr}, {two.Addr, three.Addr, one.Addr}})
	c.alternate()
	c.startHAProxy()
	l := c.startLoad(8)
	l.await(100)
	killed := time.Now()
	one.Process.Kill()
	l.await(100)
	close(l.quit)
	l.wg.Wait()
	for _, err := range l.failures([2]time.Time{killed, killed.Add(failoverWindow)}) {
		t.Error(err)
	}
	l.isStored(three.DB(t, name))
	t.Logf("%d flows, %d accepted, %d failed in the window", l.total, len(l.accepted), len(l.failed))
}

func execute(t *testing.T, db *sql.DB, query string) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), query); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}
