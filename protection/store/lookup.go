package store

import (
	"context"
	"math/bits"

	"github.com/mosparoctl/mosparoctl/protection"
)

// lookup finds tokens together with what is joined to them; those that are asked for at the same time with one statement.
type lookup struct {
	gatherer[sought]
	s     *Store
	query string // up to the condition
	into  func(*tokenRow) []any
}

// sought is a token that somebody looks for.
type sought struct {
	projectID int64
	token     string
	row       *tokenRow // nil: there is none
	err       error
}

// tokenRow is a token with its partial submission or its last submission. IDs are 0 where there is none.
type tokenRow struct {
	token   protection.SubmitToken
	partial protection.PartialSubmission
	sub     protection.Submission
	data    string // of either, encrypted
}

const selectToken = "SELECT " + tokenColumns

// lookups makes the store's lookups.
func (s *Store) lookups() {
	s.withPartial = &lookup{s: s,
		query: selectToken + ", p.`id`, p.`data`, p.`ignored_fields`, p.`updated_at` FROM `submit_token` t " +
			"LEFT JOIN `partial_submission` p ON p.`submit_token_id` = t.`id` AND p.`project_id` + 0 = t.`project_id` ",
		into: func(r *tokenRow) []any {
			return append(s.tokenInto(&r.token), id{&r.partial.ID}, text{&r.data}, jsonColumn{&r.partial.IgnoredFields}, s.timeInto(&r.partial.UpdatedAt))
		}}
	s.withSubmission = &lookup{s: s,
		query: selectToken + ", " + submissionColumns + " FROM `submit_token` t " +
			"LEFT JOIN `submission` s ON s.`id` = t.`last_submission_id` AND s.`project_id` = t.`project_id` ",
		into: func(r *tokenRow) []any { return append(s.tokenInto(&r.token), s.submissionInto(&r.sub, &r.data)...) }}
	for _, l := range []*lookup{s.withPartial, s.withSubmission} {
		l.run, l.limit, l.patient = l.together, groupLimit, s.b.dialect() == dialectMySQL // SQLite's own group waits already
	}
}

// find is the token of a project, CodeNotFound if there is none.
func (l *lookup) find(ctx context.Context, projectID int64, token string) (*tokenRow, error) {
	w := sought{projectID: projectID, token: token}
	err := l.do(ctx, &w)
	switch {
	case err != nil:
		return nil, wrap("read submit token", err)
	case w.err != nil:
		return nil, w.err
	case w.row == nil:
		return nil, protection.Errorf(protection.CodeNotFound, "submit token not found")
	}
	return w.row, nil
}

// orNil is the token, nil after an error.
func (r *tokenRow) orNil(err error) *protection.SubmitToken {
	if err != nil {
		return nil
	}
	return &r.token
}

// together looks for all of a group. Who looks for the same token as another gets a row of its own, by a further look.
func (l *lookup) together(group []*sought) error {
	var again []*sought
	wanted := make(map[string]*sought, len(group))
	for _, w := range group {
		if wanted[w.token] != nil {
			again = append(again, w)
			continue
		}
		wanted[w.token] = w
	}
	err := l.look(wanted)
	if err != nil && len(wanted) > 1 && !protection.Is(err, protection.CodeUnavailable) {
		err = nil // perhaps of one of them: no other has to suffer from it
		for token, w := range wanted {
			w.err = l.look(map[string]*sought{token: w})
		}
	}
	if err != nil || len(again) == 0 {
		return err
	}
	return l.together(again)
}

func (l *lookup) look(wanted map[string]*sought) error {
	tokens := make([]any, 0, 2*len(wanted))
	for token := range wanted {
		tokens = append(tokens, token)
	}
	for n := 1 << bits.Len(uint(len(tokens)-1)); len(tokens) < n; { // a few texts, which are prepared once
		tokens = append(tokens, tokens[0])
	}
	query := l.query + "WHERE t.`token` IN (" + list("?", len(tokens)) + ")"
	return l.s.b.find(context.Background(), "read submit token", func(ctx context.Context, q querier) error {
		rows, err := q.query(ctx, query, tokens...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			r := new(tokenRow)
			if err := rows.Scan(l.into(r)...); err != nil {
				return err
			}
			// MySQL's collation finds others beside the token itself.
			if w := wanted[r.token.Token]; w != nil && w.projectID == r.token.ProjectID {
				w.row = r
			}
		}
		return rows.Err()
	})
}
