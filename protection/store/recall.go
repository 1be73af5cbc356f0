package store

import (
	"database/sql"
	"sync"

	"github.com/mosparoctl/mosparoctl/protection"
)

const (
	// memoryLimit is how many tokens are remembered: those of the last half minute at 60 visitors a second.
	memoryLimit = 2048
	// memoryRow is how many bytes of text a remembered token may have at most, so that nobody fills the memory with long titles.
	memoryRow = 8 << 10
)

// memory holds the tokens that this node handed out or checked last, so that the next step of a visitor need not read what
// this node has written itself. Other nodes write too: what is recalled is a guess, and what is written upon it is written
// only if the database still holds the same. Safe for concurrent use.
type memory struct {
	mu    sync.Mutex
	of    map[tokenKey]*memorised
	order [memoryLimit]*memorised // a ring
	next  int
}

type tokenKey struct {
	projectID int64
	token     string
}

// memorised is a token, with its last submission if it was checked here. It is never changed.
type memorised struct {
	token   protection.SubmitToken
	columns []any // of insertSubmission; nil before the check
}

func (m *memory) get(k tokenKey) *memorised {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.of[k]
}

func (m *memory) forget(k tokenKey) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.of, k)
}

// put remembers r instead of what was known of its token.
func (m *memory) put(r *memorised) {
	k := tokenKey{r.token.ProjectID, r.token.Token}
	size := len(r.token.PageTitle) + len(r.token.PageURL) + len(r.token.FormActionURL)
	for _, c := range r.columns {
		if text, ok := c.(string); ok {
			size += len(text)
		}
	}
	if size > memoryRow {
		m.forget(k)
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.of == nil {
		m.of = make(map[tokenKey]*memorised, memoryLimit)
	}
	if old := m.order[m.next]; old != nil {
		if oldest := (tokenKey{old.token.ProjectID, old.token.Token}); m.of[oldest] == old {
			delete(m.of, oldest)
		}
	}
	m.of[k], m.order[m.next] = r, r
	m.next = (m.next + 1) % memoryLimit
}

// remember keeps a token as the database holds it, with the columns of its last submission.
func (s *Store) remember(t *protection.SubmitToken, submissionID int64, columns []any) {
	r := &memorised{token: *t, columns: columns}
	r.token.LastSubmissionID, r.token.Recalled = submissionID, true
	if s.timeInto(&r.token.CreatedAt).Scan(s.stamp(t.CreatedAt)) == nil {
		s.memory.put(r)
	}
}

// Forget drops what is remembered of a token, as is sensible before it is changed in a way that a recalled one must not have.
func (s *Store) Forget(projectID int64, token string) { s.memory.forget(tokenKey{projectID, token}) }

// RecallToken is a token without partial submission that this node handed out or checked itself, nil if it remembers none.
// It asks nobody, so the token may have been used since on another node: a submission that is created for it is refused with
// CodeStale then.
func (s *Store) RecallToken(projectID int64, token string) *protection.SubmitToken {
	r := s.memory.get(tokenKey{projectID, token})
	if r == nil || !s.b.recalls() {
		return nil
	}
	t := r.token
	return &t
}

// RecallSubmission is RecallToken together with the token's last submission (without detection), nil if this node has not
// checked it. Verify refuses with CodeStale what was checked or used since on another node, but does not see metadata that was stored since.
func (s *Store) RecallSubmission(projectID int64, token string) (*protection.SubmitToken, *protection.Submission) {
	r := s.memory.get(tokenKey{projectID, token})
	if r == nil || r.columns == nil || !s.b.recalls() {
		return nil, nil
	}
	t, sub := r.token, new(protection.Submission)
	var data string
	columns := append([]any{t.LastSubmissionID}, r.columns...)
	for i, dest := range s.submissionInto(sub, &data) {
		if n, ok := columns[i].(int); ok { // as drivers give it
			columns[i] = int64(n)
		}
		if dest.(sql.Scanner).Scan(columns[i]) != nil {
			return nil, nil
		}
	}
	var err error
	if sub.Data, err = s.o.Key.DecryptJSON(data); err != nil {
		return nil, nil
	}
	return &t, sub
}

// errStale is for what was decided upon a recalled token that has changed since.
func errStale() error {
	return protection.Errorf(protection.CodeStale, "another node has used the submit token meanwhile")
}

// stillUnused is the condition that a recalled token is still as it was when it is checked: neither used up nor given another
// proof to ask for nor data collected, by another node.
const stillUnused = " AND `verified_at` IS NULL AND `proof_of_work_result` IS ? " +
	"AND NOT EXISTS (SELECT 1 FROM `partial_submission` p WHERE p.`submit_token_id` = `submit_token`.`id`)"
