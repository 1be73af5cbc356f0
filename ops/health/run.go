package health

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
)

// Env is what checks work with.
type Env struct {
	Deployment *inventory.Deployment
	Hosts      ops.Connector
	Nodes      []*inventory.Node // the nodes to ask; nil: all
	// OnResult takes each result as soon as it is there, one call at a time; nil: nobody waits for them.
	OnResult func(Result)
	// Redact takes each secret that was read from a node, so that a printer can mask what slips through; nil: none.
	Redact func(secret string)
	// Questions grows when somebody is asked for a passphrase and when the answer has come, as [remote.Pool.Questions]: while it is odd,
	// no node is late. nil: nobody is asked.
	Questions func() int64
	Now       func() time.Time // nil: time.Now
}

// Filter chooses checks. Empty fields choose all.
type Filter struct {
	Only     []string // names, or patterns such as "cache-*"
	Families []Family
}

// match reports whether f chooses the check.
func (f Filter) match(i Info) bool {
	if len(f.Families) > 0 && !slices.Contains(f.Families, i.Family) {
		return false
	}
	if len(f.Only) == 0 {
		return true
	}
	return slices.ContainsFunc(f.Only, func(p string) bool {
		ok, err := path.Match(p, i.Name)
		return err == nil && ok
	})
}

// validate refuses a name, pattern or family that chooses nothing.
func (f Filter) validate() error {
	for _, fam := range f.Families {
		if !slices.Contains(Families(), fam) {
			return ops.Errorf(ops.CodeUsage, "there is no family of checks called %q", fam).WithHint("one of %v", Families())
		}
	}
	for _, p := range f.Only {
		if !slices.ContainsFunc(Checks(), func(c Check) bool { return Filter{Only: []string{p}}.match(c.About()) }) {
			return ops.Errorf(ops.CodeUsage, "there is no check called %q", p).WithHint("mosparoctl check --list")
		}
	}
	return nil
}

// List describes the checks that f chooses.
func List(f Filter) ([]Info, error) {
	if err := f.validate(); err != nil {
		return nil, err
	}
	var infos []Info
	for _, c := range Checks() {
		if i := c.About(); f.match(i) {
			infos = append(infos, i)
		}
	}
	return infos, nil
}

// disabled reports whether the inventory turns the check off, by name, pattern or family.
func disabled(d *inventory.Deployment, i Info) bool {
	return slices.ContainsFunc(d.Check.Disabled, func(p string) bool {
		ok, err := path.Match(p, i.Name)
		return p == string(i.Family) || err == nil && ok
	})
}

const (
	defaultTimeout = 20 * time.Second // of one check on one node
	asksPerNode    = 6                // at once; OpenSSH allows 10 sessions on a connection
	stopGrace      = time.Second      // an ask gets this long to end after its deadline
)

// session is one run.
type session struct {
	env     Env
	nodes   []*node
	timeout time.Duration
	key     []byte // of fingerprints: they can be compared within a run and tell nothing outside it
	now     func() time.Time
}

// Run asks all checks that f chooses and the inventory does not disable, all at once, and returns when every node has
// answered or its deadline has passed. Bad answers are no error: an error means that nothing could be asked.
func Run(ctx context.Context, env Env, f Filter) (Report, error) {
	if err := f.validate(); err != nil {
		return Report{}, err
	}
	s, err := newSession(ctx, env)
	if err != nil {
		return Report{}, err
	}
	var checks []Check
	for _, c := range Checks() {
		if i := c.About(); f.match(i) && !disabled(env.Deployment, i) && c.applies(env.Deployment) {
			checks = append(checks, c)
		}
	}
	return s.run(ctx, checks), nil
}

func newSession(ctx context.Context, env Env) (*session, error) {
	s := &session{env: env, timeout: env.Deployment.Check.Timeout, key: make([]byte, 32), now: env.Now}
	if s.timeout <= 0 {
		s.timeout = defaultTimeout
	}
	if s.now == nil {
		s.now = time.Now
	}
	if _, err := rand.Read(s.key); err != nil {
		return nil, fmt.Errorf("make a key for fingerprints: %w", err)
	}
	nodes := env.Nodes
	if nodes == nil {
		nodes = env.Deployment.Nodes
	}
	for i, n := range nodes {
		s.nodes = append(s.nodes, newNode(ctx, s, n, i))
	}
	return s, nil
}

func (s *session) run(ctx context.Context, checks []Check) Report {
	r := Report{Version: ReportVersion, Deployment: s.env.Deployment.Name, Started: s.now(), Counts: map[Verdict]int{},
		Results: make([]Result, len(checks)), Nodes: []string{}}
	for _, v := range Verdicts() {
		r.Counts[v] = 0
	}
	for _, n := range s.nodes {
		r.Nodes = append(r.Nodes, n.Name)
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i, c := range checks {
		wg.Go(func() {
			res := c.run(ctx, s)
			mu.Lock()
			defer mu.Unlock()
			r.Results[i] = res
			r.Counts[res.Verdict]++
			if s.env.OnResult != nil {
				s.env.OnResult(res)
			}
		})
	}
	wg.Wait()
	r.Finished = s.now()
	return r
}

// secret tells the printer of a secret that was read.
func (s *session) secret(value string) {
	if value != "" && s.env.Redact != nil {
		s.env.Redact(value)
	}
}

// fingerprint stands for a secret: equal secrets have equal fingerprints within one run.
func (s *session) fingerprint(secret string) string {
	s.secret(secret)
	mac := hmac.New(sha256.New, s.key)
	mac.Write([]byte(secret))
	return hex.EncodeToString(mac.Sum(nil))[:12]
}

// errStuck is what is said of a node that stopped answering.
var errStuck = errors.New("the node stopped answering")

// do asks one node something: against the session's deadline, at most asksPerNode at once, and not at all after the node
// could not be connected to or has stopped answering.
func do[T any](ctx context.Context, n *node, ask func(context.Context) (T, error)) (T, error) {
	var zero T
	if err := n.connect(ctx); err != nil {
		return zero, err
	}
	select {
	case n.slots <- struct{}{}:
	case <-n.stuck:
		return zero, errStuck
	case <-ctx.Done():
		return zero, ctx.Err()
	}
	before := n.finished.Load()
	ctx, cancel := context.WithTimeoutCause(ctx, n.session.timeout, fmt.Errorf("no answer within %s", n.session.timeout))
	type reply struct {
		value T
		err   error
	}
	done := make(chan reply, 1)
	go func() {
		defer func() { <-n.slots }()
		defer cancel()
		value, err := ask(ctx)
		done <- reply{value, err}
	}()
	var r reply
	select {
	case r = <-done:
	case <-n.stuck:
		cancel()
		return zero, errStuck
	case <-ctx.Done():
		// A well-behaved ask returns now, perhaps with more to say than the deadline.
		grace := time.NewTimer(stopGrace)
		defer grace.Stop()
		select {
		case r = <-done:
		case <-grace.C:
			r.err = ctx.Err()
		}
	}
	if r.err == nil || !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		n.finished.Add(1)
		return r.value, r.err
	}
	if n.finished.Load() == before {
		n.markStuck() // nothing else got an answer in all that time either
	}
	return r.value, context.Cause(ctx)
}

// lines splits command output into lines without their ends.
func lines(out []byte) []string {
	text := strings.TrimRight(string(out), "\n")
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}
