package store

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
)

// flowWrite is one of the three things that a visitor's flow writes. The writes of many visitors go into one transaction,
// which takes a database server a fraction of the work of one transaction each.
type flowWrite struct {
	token      []any // of insertToken
	submission *submissionRow
	verify     *verifyRow

	id    int64 // of the new token or submission
	first bool  // whether verify used the token up
	stale bool  // whether the recalled token of a submission has changed
}

// groupable reports whether flow writes go in groups: rows have to be locked without waiting, so that a row that somebody
// holds delays nobody else, and the ids of rows inserted together have to be consecutive. InnoDB promises that for statements whose number of
// rows is known, in every lock mode; a Galera cluster changes the distance between ids whenever a node comes or goes.
func (s *server) groupable() bool { return s.grouping.Load() && !s.galera.Load() }

// recalls is true where there are groups, which lock the tokens and look at them.
func (m *mysqlDB) recalls() bool { return m.current.Load().groupable() }

// learnGrouping reads from the server's version whether it locks without waiting: MariaDB since 10.3, MySQL since 8.0.1.
func (s *server) learnGrouping(version string, increment int64) {
	var major, minor int
	if _, err := fmt.Sscanf(version, "%d.%d", &major, &minor); err != nil {
		return
	}
	able := major > 8 || major == 8 && !strings.HasPrefix(version, "8.0.0")
	if strings.Contains(version, "MariaDB") {
		able = major > 10 || major == 10 && minor >= 3
	}
	s.grouping.Store(able && increment == 1)
}

// group tries w together with what others write at the moment. Without success, which is told in lost if it may have been
// done nevertheless, the caller does it alone.
func (m *mysqlDB) group(ctx context.Context, w *flowWrite) (done, lost bool) {
	if !m.current.Load().groupable() {
		return false, false
	}
	err := m.writes.do(ctx, w)
	return err == nil, err != nil && classify(err) == unsure
}

// writeGroup is one transaction with the writes of a group.
func (m *mysqlDB) writeGroup(group []*flowWrite) error {
	s := m.current.Load()
	ctx, cancel := context.WithTimeout(context.Background(), m.o.StatementTimeout)
	defer cancel()
	missed, err := s.writeGroup(ctx, group)
	if err == nil {
		m.startDays(ctx, missed)
		return nil
	}
	if t := classify(err); t == elsewhere || t == unsure {
		m.o.Log.Warn("database server refused", "server", s.addr, "error", err)
		m.moveFrom(ctx, s)
	}
	return err
}

// startDays inserts the first counts of a day, which a transaction's updates missed.
func (m *mysqlDB) startDays(ctx context.Context, missed map[dayCounter]increment) {
	for k, n := range missed {
		err := m.retry(ctx, func(ctx context.Context, s *server) error { return k.insert(ctx, s.q, dialectMySQL, n) })
		if err != nil { // what was counted is done, and must not be done again
			m.o.Log.Warn("not counted in the statistics", "project", k.projectID, "counter", k.column, "error", err)
		}
	}
}

// writeGroup carries the transaction out. missed are the counts for which there is no row yet.
func (s *server) writeGroup(ctx context.Context, group []*flowWrite) (missed map[dayCounter]increment, err error) {
	if len(group) == 1 {
		switch w := group[0]; {
		case w.submission != nil && !w.submission.recalled:
			w.id, missed, err = s.createSubmission(ctx, w.submission, lockToken+" NOWAIT")
			return missed, err
		case w.verify != nil:
			w.first, missed, err = s.verify(ctx, w.verify, lockToken+" NOWAIT")
			return missed, err
		}
	}
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	g := newWriteGroup(group)
	if err = g.lock(ctx, conn); err == nil {
		err = g.write(ctx, conn)
	}
	if err != nil {
		undo(ctx, conn)
		return nil, err
	}
	return g.counted, nil
}

// writeGroup is a transaction in the making.
type writeGroup struct {
	tokens, submissions []*flowWrite
	verifies            []*flowWrite // one of each token
	rows                []any        // the ids of the tokens to be locked, ascending

	statements []string
	args       []any

	counters []dayCounter
	counted  map[dayCounter]increment // after write: those that have no row yet
}

func newWriteGroup(group []*flowWrite) *writeGroup {
	g := &writeGroup{counted: map[dayCounter]increment{}}
	var rows []int64
	using := map[[2]int64]bool{}
	for _, w := range group {
		switch {
		case w.token != nil:
			g.tokens = append(g.tokens, w)
		case w.submission != nil:
			g.submissions = append(g.submissions, w)
			rows = append(rows, w.submission.tokenID)
		case !using[w.verify.token()]: // a second one is not the first, if the transaction succeeds
			using[w.verify.token()] = true
			g.verifies = append(g.verifies, w)
			rows = append(rows, w.verify.tokenID)
		}
	}
	slices.Sort(rows)
	for _, id := range slices.Compact(rows) {
		g.rows = append(g.rows, id)
	}
	return g
}

// token is the token and the project that it has to be of.
func (r *verifyRow) token() [2]int64 { return [2]int64{r.tokenID, r.projectID} }

// unusedToken is what can have changed of a token while it is not used up.
type unusedToken struct {
	last    int64
	proof   string
	partial bool
}

// lock begins the transaction and locks the rows of all tokens, always in the order of their ids. It finds out which
// tokens are not used up yet: nobody can use them up until the transaction ends. Tokens that are only inserted are one statement and
// need neither.
func (g *writeGroup) lock(ctx context.Context, conn *sql.Conn) error {
	if len(g.rows) == 0 {
		return nil
	}
	rows, err := conn.QueryContext(ctx, "START TRANSACTION; SELECT t.`id`, t.`project_id`, t.`last_submission_id`, t.`proof_of_work_result`, "+
		"EXISTS (SELECT 1 FROM `partial_submission` p WHERE p.`submit_token_id` = t.`id`) FROM `submit_token` t FORCE INDEX (PRIMARY) "+
		"WHERE t.`id` IN ("+list("?", len(g.rows))+") AND t.`verified_at` IS NULL ORDER BY t.`id` FOR UPDATE NOWAIT", g.rows...)
	if err != nil {
		return err
	}
	defer rows.Close()
	unused := map[[2]int64]unusedToken{}
	for rows.Next() {
		var t unusedToken
		var key [2]int64
		if err := rows.Scan(&key[0], &key[1], id{&t.last}, text{&t.proof}, &t.partial); err != nil {
			return err
		}
		unused[key] = t
	}
	for _, w := range g.verifies {
		t, found := unused[w.verify.token()]
		w.first = found && (!w.verify.recalled || t.last == w.verify.submissionID)
	}
	g.verifies = slices.DeleteFunc(g.verifies, func(w *flowWrite) bool { return !w.first })
	for _, w := range g.submissions {
		t, found := unused[[2]int64{w.submission.tokenID, w.submission.projectID}]
		w.stale = w.submission.recalled && (!found || t.partial || t.proof != w.submission.proof)
	}
	g.submissions = slices.DeleteFunc(g.submissions, func(w *flowWrite) bool { return w.stale })
	return rows.Err()
}

// write sends all statements in one packet.
func (g *writeGroup) write(ctx context.Context, conn *sql.Conn) error {
	tokensAt := g.insertTokens()
	submissionsAt := g.insertSubmissions()
	g.useUp()
	countersAt := g.count()
	if len(g.rows) > 0 {
		g.add("COMMIT")
	}
	res, err := runScript(ctx, conn, strings.Join(g.statements, "; "), g.args)
	if err != nil {
		return err
	}
	for i, k := range g.counters {
		if res.affected[countersAt+i] > 0 {
			delete(g.counted, k)
		}
	}
	for i, w := range g.tokens {
		w.id = res.ids[tokensAt] + int64(i)
	}
	for i, w := range g.submissions {
		w.id = res.ids[submissionsAt] + int64(i)
	}
	return nil
}

// add adds a statement and returns its position.
func (g *writeGroup) add(statement string, args ...any) int {
	g.statements, g.args = append(g.statements, statement), append(g.args, args...)
	return len(g.statements) - 1
}

func (g *writeGroup) insertTokens() (at int) {
	if len(g.tokens) == 0 {
		return 0
	}
	var args []any
	for _, w := range g.tokens {
		args = append(args, w.token...)
	}
	return g.add(insertToken+list(tokenMarks, len(g.tokens)), args...)
}

// insertSubmissions inserts submissions, makes each the last one of its token, and inserts the detections. Until a detection
// is inserted, LAST_INSERT_ID() is the id of the first submission.
func (g *writeGroup) insertSubmissions() (at int) {
	if len(g.submissions) == 0 {
		return 0
	}
	var columns, detections, tokens []any
	var ids cases
	var detectionRows []string
	for i, w := range g.submissions {
		r, id := w.submission, fmt.Sprintf("LAST_INSERT_ID() + %d", i)
		columns = append(columns, r.columns...)
		ids.when(r.tokenID, id)
		tokens = append(tokens, r.tokenID)
		if r.detection != nil {
			detectionRows = append(detectionRows, "(?, ?, "+id+", ?)")
			detections = append(detections, r.detection[0], r.detection[1], r.projectID)
		}
		if r.spam {
			g.increase(dayCounter{countSpam, r.projectID, r.day}, r.now)
		}
	}
	at = g.add(insertSubmission+list(submissionMarks, len(g.submissions)), columns...)
	g.add("UPDATE `submit_token` SET `last_submission_id` = "+ids.of("`id`")+" WHERE `id` IN ("+list("?", len(tokens))+")", append(ids.args, tokens...)...)
	if len(detectionRows) > 0 {
		g.add(insertDetection+strings.Join(detectionRows, ", "), detections...)
	}
	return at
}

// useUp marks the tokens that are the first of theirs, and records the outcomes.
func (g *writeGroup) useUp() {
	if len(g.verifies) == 0 {
		return
	}
	var at, data cases
	set := make([]cases, len(verifiedColumns))
	var tokens, submissions []any
	for _, w := range g.verifies {
		r := w.verify
		tokens, submissions = append(tokens, r.tokenID), append(submissions, r.submissionID)
		at.when(r.tokenID, "?", r.at)
		for i, v := range r.columns {
			set[i].when(r.submissionID, "?", v)
		}
		if r.data != "" {
			data.when(r.submissionID, "?", r.data)
		}
		if r.counter != "" {
			g.increase(dayCounter{r.counter, r.projectID, r.day}, r.at)
		}
	}
	g.add("UPDATE `submit_token` SET `verified_at` = "+at.of("`id`")+" WHERE `id` IN ("+list("?", len(tokens))+")", append(at.args, tokens...)...)
	var parts []string
	var args []any
	for i, column := range verifiedColumns {
		parts, args = append(parts, column+" = "+set[i].of("`id`")), append(args, set[i].args...)
	}
	if len(data.args) > 0 {
		data.text.WriteString(" ELSE `data`")
		parts, args = append(parts, "`data` = "+data.of("`id`")), append(args, data.args...)
	}
	g.add("UPDATE `submission` SET "+strings.Join(parts, ", ")+" WHERE `id` IN ("+list("?", len(submissions))+")", append(args, submissions...)...)
}

// increase counts one up, in the statements that count adds.
func (g *writeGroup) increase(k dayCounter, at string) {
	if _, known := g.counted[k]; !known {
		g.counters = append(g.counters, k)
	}
	g.counted[k] = increment{g.counted[k].by + 1, max(g.counted[k].at, at)}
}

// count comes last and in one order: every transaction of a day wants the row of the day's counters.
func (g *writeGroup) count() (at int) {
	slices.SortFunc(g.counters, func(a, b dayCounter) int {
		return cmp.Or(cmp.Compare(a.projectID, b.projectID), cmp.Compare(a.day, b.day), cmp.Compare(a.column, b.column))
	})
	at = len(g.statements)
	for _, k := range g.counters {
		g.add(k.update(), k.updateArgs(g.counted[k])...)
	}
	return at
}

// cases is a CASE expression that gives rows their values by id.
type cases struct {
	text strings.Builder
	args []any
}

func (c *cases) when(id int64, expression string, values ...any) {
	c.text.WriteString(" WHEN ? THEN " + expression)
	c.args = append(append(c.args, id), values...)
}

func (c *cases) of(column string) string { return "CASE " + column + c.text.String() + " END" }

// list is so many of the same, separated by commas.
func list(one string, n int) string { return strings.TrimSuffix(strings.Repeat(one+", ", n), ", ") }
