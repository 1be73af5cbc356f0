package health

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
)

// Check is one question. All checks are in this package: see Checks.
type Check interface {
	// About says what the check is for.
	About() Info
	// applies reports whether the question makes sense for d.
	applies(d *inventory.Deployment) bool
	run(ctx context.Context, s *session) Result
}

// question asks every node something of type T and judges the answers together.
type question[T any] struct {
	Info
	when  func(*inventory.Deployment) bool // nil: always
	nodes func(*inventory.Node) bool       // which nodes are asked; nil: all
	// ask gets the answer of one node. A *finding as error is the node's evidence, errNotConcerned means that there is
	// none; any other error makes it unknown. It must end soon after ctx does.
	ask func(ctx context.Context, n *node) (T, error)
	// judge adds one evidence for each answer. It may ask nodes again, through node.do.
	judge func(ctx context.Context, v *verdicts, answers []answer[T])
	// failure turns an error of ask, or of connecting, into another; nil: it stays.
	failure func(n *node, err error) error
}

// answer is what one node answered.
type answer[T any] struct {
	node  *node
	value T
	at    time.Time
	took  time.Duration
}

// errNotConcerned is the answer of a node that the question does not concern.
var errNotConcerned = errors.New("not concerned")

// finding is an answer that is a verdict already.
type finding struct {
	verdict    Verdict
	text, mend string
}

func (f *finding) Error() string { return f.text }

func failf(mend, format string, args ...any) error {
	return &finding{Fail, fmt.Sprintf(format, args...), mend}
}

func warnf(mend, format string, args ...any) error {
	return &finding{Warn, fmt.Sprintf(format, args...), mend}
}

// About says what the check is for.
func (q question[T]) About() Info { return q.Info }

func (q question[T]) applies(d *inventory.Deployment) bool { return q.when == nil || q.when(d) }

func (q question[T]) run(ctx context.Context, s *session) Result {
	v := &verdicts{session: s, info: q.Info}
	var mu sync.Mutex
	var answers []answer[T]
	var wg sync.WaitGroup
	for _, n := range s.nodes {
		if q.nodes != nil && !q.nodes(n.Node) {
			continue
		}
		wg.Go(func() {
			start := s.now()
			value, err := do(ctx, n, func(ctx context.Context) (T, error) { return q.ask(ctx, n) })
			a := answer[T]{node: n, value: value, at: s.now()}
			a.took = a.at.Sub(start)
			mu.Lock()
			defer mu.Unlock()
			if err != nil && q.failure != nil {
				err = q.failure(n, err)
			}
			if err != nil {
				v.failed(n, err, a.at, a.took)
				return
			}
			answers = append(answers, a)
			v.timed(n, a.at, a.took)
		})
	}
	wg.Wait()
	slices.SortFunc(answers, func(a, b answer[T]) int { return a.node.index - b.node.index })
	if len(answers) > 0 {
		q.judge(ctx, v, answers)
	}
	return v.result()
}

// verdicts collects the evidence of one check.
type verdicts struct {
	session *session
	info    Info
	all     string // summary when all is well

	mu       sync.Mutex
	evidence []Evidence
	when     map[string]Evidence // node -> At and Took of its answer
}

func (v *verdicts) timed(n *node, at time.Time, took time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.when == nil {
		v.when = map[string]Evidence{}
	}
	v.when[n.Name] = Evidence{At: at, Took: took}
}

// failed turns the error of an ask into evidence.
func (v *verdicts) failed(n *node, err error, at time.Time, took time.Duration) {
	var f *finding
	e := Evidence{Node: n.Name, Verdict: Unknown, At: at, Took: took}
	switch {
	case errors.Is(err, errNotConcerned):
		return
	case errors.As(err, &f):
		e.Verdict, e.Text, e.Mend = f.verdict, f.text, f.mend
	default:
		e.Text, e.Mend = cause(err), ops.HintOf(err)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.evidence = append(v.evidence, e)
}

// cause is err without the node's name, which stands beside it.
func cause(err error) string {
	var e *ops.Error
	if errors.As(err, &e) && e == err && e.Node != "" { //nolint:errorlint // only the outermost one
		c := *e
		c.Node = ""
		return c.Error()
	}
	return err.Error()
}

// add adds evidence about n; mend "" means the check's own.
func (v *verdicts) add(n *node, verdict Verdict, mend string, text string, figures ...Figure) {
	v.mu.Lock()
	defer v.mu.Unlock()
	e := v.when[n.Name]
	e.Node, e.Verdict, e.Text, e.Mend, e.Figures = n.Name, verdict, text, mend, figures
	v.evidence = append(v.evidence, e)
}

func (v *verdicts) ok(n *node, format string, args ...any) {
	v.add(n, OK, "", fmt.Sprintf(format, args...))
}

func (v *verdicts) warn(n *node, mend, format string, args ...any) {
	v.add(n, Warn, mend, fmt.Sprintf(format, args...))
}

func (v *verdicts) fail(n *node, mend, format string, args ...any) {
	v.add(n, Fail, mend, fmt.Sprintf(format, args...))
}

func (v *verdicts) unknown(n *node, format string, args ...any) {
	v.add(n, Unknown, "", fmt.Sprintf(format, args...))
}

// allOK sets the summary for the case that all is well.
func (v *verdicts) allOK(format string, args ...any) { v.all = fmt.Sprintf(format, args...) }

// result puts the evidence into the order of the nodes and sums it up.
func (v *verdicts) result() Result {
	order := map[string]int{}
	for i, n := range v.session.nodes {
		order[n.Name] = i
	}
	slices.SortStableFunc(v.evidence, func(a, b Evidence) int { return order[a.Node] - order[b.Node] })
	r := Result{Info: v.info, Verdict: OK, Evidence: v.evidence, At: v.session.now()}
	if r.Evidence == nil {
		r.Evidence = []Evidence{}
	}
	for i, e := range r.Evidence {
		r.Verdict = Worse(r.Verdict, e.Verdict)
		if e.At.IsZero() {
			r.Evidence[i].At = r.At
		}
	}
	var bad []Evidence
	for _, e := range r.Evidence {
		if e.Verdict == r.Verdict {
			bad = append(bad, e)
		}
	}
	switch {
	case len(r.Evidence) == 0:
		r.Summary = "nothing to check"
	case r.Verdict == OK && v.all != "":
		r.Summary = v.all
	case r.Verdict == OK && len(r.Evidence) > 1:
		r.Summary = fmt.Sprintf("fine on all %d nodes", len(r.Evidence))
	case len(bad) == 1:
		r.Summary = bad[0].Node + ": " + bad[0].Text
	default:
		r.Summary = fmt.Sprintf("%s: %s (and %d more)", bad[0].Node, bad[0].Text, len(bad)-1)
	}
	if r.Verdict != OK {
		for _, e := range bad {
			if e.Mend != "" {
				r.Mend = e.Mend
				break
			}
		}
	}
	return r
}

// compare judges answers that must be equal: key is what is compared, text what is shown. The node whose value counts
// is the admin node, else one of the largest group. An answer that differs gets verdict bad and a mend that may name the reference; it
// reports which did.
func compare[T any](v *verdicts, answers []answer[T], bad Verdict, mend func(ref *node) string, key, text func(T) string) (differ []*node) {
	ref := reference(answers, key)
	for _, a := range answers {
		if key(a.value) == key(ref.value) {
			v.ok(a.node, "%s", text(a.value))
			continue
		}
		differ = append(differ, a.node)
		v.add(a.node, bad, mend(ref.node), fmt.Sprintf("%s differs from %s (%s)", text(a.value), ref.node.Name, text(ref.value)))
	}
	return differ
}

// reference is the answer that the others are measured by.
func reference[T any](answers []answer[T], key func(T) string) answer[T] {
	count := map[string]int{}
	best := answers[0]
	for _, a := range answers {
		if a.node.Has(inventory.RoleAdmin) {
			return a
		}
		count[key(a.value)]++
	}
	for _, a := range answers {
		if count[key(a.value)] > count[key(best.value)] {
			best = a
		}
	}
	return best
}
