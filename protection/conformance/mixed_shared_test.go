package conformance

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mosparoctl/mosparoctl/protection/cache"
	"github.com/mosparoctl/mosparoctl/protection/cleanup"
	"github.com/mosparoctl/mosparoctl/protection/crypt"
	"github.com/mosparoctl/mosparoctl/protection/php"
)

// get asks one of the nodes.
func (m *mixed) get(t *testing.T, node, path string, headers ...[2]string) (status int, location, body string) {
	t.Helper()
	m.route = func(string) string { return node }
	status, h, body, err := m.send("GET", path, append(m.baseHeaders(request{}), headers...), nil)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return status, h.Get("Location"), body
}

// statistics sees that both nodes count the same. Each flow was taken as often by either.
func (m *mixed) statistics(t *testing.T, project string) {
	t.Helper()
	const path = "/api/v1/statistic/by-date"
	auth := m.authorization(project, path, emptyData)
	_, _, foreign := m.get(t, m.foreign, path, auth)
	_, _, own := m.get(t, m.own, path, auth)
	if own != foreign || !strings.Contains(own, `"numbersByDate":{`) {
		t.Errorf("statistics of %s: %s, expected %s", project, own, foreign)
	}
}

// loadable sees that no column holds what mosparo's classes cannot be made of: null, or an empty text for encrypted data.
func (m *mixed) loadable(t *testing.T) {
	t.Helper()
	for table, columns := range map[string]string{
		"submission":         "data, matched_rule_items, ignored_fields, verified_fields, general_verifications",
		"partial_submission": "data, ignored_fields",
		"detection_result":   "matched_field_rule_items, matched_submission_rules",
	} {
		for column := range strings.SplitSeq(columns, ", ") {
			var all, bad int
			err := m.db.QueryRowContext(t.Context(), fmt.Sprintf("SELECT COUNT(*), COALESCE(SUM(%s IS NULL OR %[1]s IN ('', 'null')), 0) FROM %s", column, table)).Scan(&all, &bad)
			if err != nil || all == 0 || bad > 0 {
				t.Errorf("%s.%s: %d of %d rows cannot be loaded by mosparo, %v", table, column, bad, all, err)
			}
		}
	}
}

// named sees that our nodes store no field without a name: mosparo cannot show one once it is verified.
func (m *mixed) named(t *testing.T) {
	t.Helper()
	key, err := crypt.ParseKey(referenceKey)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := m.db.QueryContext(t.Context(), "SELECT data FROM submission")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	fields := 0
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			t.Fatal(err)
		}
		data, err := key.DecryptJSON(text)
		if err != nil {
			t.Fatal(err)
		}
		for field := range data.Get("formData").Array().Values() {
			if fields++; field.Get("name").IsNull() {
				t.Errorf("a field without a name is stored: %s", php.Serialize(data))
			}
		}
	}
	if err := rows.Err(); err != nil || fields == 0 {
		t.Errorf("%d fields, %v", fields, err)
	}
}

// testMixedCleanup lets either node clean up and sees that the other one honours its schedule, and the lock of a third.
func testMixedCleanup(t *testing.T) {
	m := startMixed(t)
	m.route = m.steps(0)
	runs := func() (n int) {
		t.Helper()
		if err := m.db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM cleanup_statistic WHERE cleanup_status = 2").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	own := func(want cleanup.Result) {
		t.Helper()
		if r, err := m.cleaner.Run(t.Context(), cleanup.Scheduled); err != nil || r != want {
			t.Errorf("our node: %v, %v, expected %v", r, err, want)
		}
	}
	foreign := func(want int) {
		t.Helper()
		before := runs()
		if m.clean(); runs()-before != want {
			t.Errorf("the foreign node cleaned up %d times, expected %d", runs()-before, want)
		}
	}
	set := func(key string, at time.Time) {
		t.Helper()
		if err := cache.SetTime(t.Context(), m.shared, key, at); err != nil {
			t.Fatal(err)
		}
	}
	read := func(key string) time.Time {
		t.Helper()
		at, err := cache.Time(t.Context(), m.shared, key)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	due := func() {
		t.Helper()
		set(cache.KeyNextCleanup, time.Now().Add(-48*time.Hour))
		execute(t, m.db, "UPDATE submit_token SET created_at = '2020-01-01'")
	}
	nothingLeft := func() {
		t.Helper()
		var left int
		if err := m.db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM submit_token WHERE created_at < '2020-01-02'").Scan(&left); err != nil || left > 0 {
			t.Errorf("%d old tokens are left, %v", left, err)
		}
		if next := time.Until(read(cache.KeyNextCleanup)); next < 5*time.Hour || next > 7*time.Hour {
			t.Errorf("the next cleanup is in %v, expected 6h", next)
		}
		if at := read(cache.KeyCleanupStarted); !at.IsZero() {
			t.Errorf("the lock is still there: %v", at)
		}
	}
	set(cache.KeyAdditionalCleanup, time.Time{})
	m.token("P1", m.ip())
	due()
	set(cache.KeyCleanupStarted, time.Now())
	foreign(0)
	own(cleanup.Running)

	set(cache.KeyCleanupStarted, time.Time{})
	foreign(1)
	nothingLeft()
	own(cleanup.NotYet)

	m.token("P1", m.ip())
	due()
	own(cleanup.Completed)
	nothingLeft()
	foreign(0)

	set(cache.KeyAdditionalCleanup, time.Now().Add(-time.Minute)) // a follow-up comes before the schedule
	foreign(1)
	own(cleanup.NotYet)
}

// testMixedStyles sees that a node serves the style sheet that the other one prepared in the shared cache.
func testMixedStyles(t *testing.T) {
	m := startMixed(t)
	uuid := m.projects["P1"].UUID
	_, location, _ := m.get(t, m.own, "/resources/"+uuid+".css")
	path, ok := strings.CutPrefix(location, "http://"+m.address)
	if _, other, _ := m.get(t, m.foreign, "/resources/"+uuid+".css"); !ok || other != location {
		t.Fatalf("redirected to %q and %q", location, other)
	}
	for _, nodes := range [][2]string{{m.own, m.foreign}, {m.foreign, m.own}} {
		for _, key := range []string{cache.KeyDesignContent(uuid), cache.KeyDesignHash(uuid)} {
			if err := m.shared.Delete(t.Context(), key); err != nil {
				t.Fatal(err)
			}
		}
		if status, _, _ := m.get(t, nodes[0], path); status == 307 { // mosparo prepares, then redirects to the same address
			m.get(t, nodes[0], path)
		}
		v, _, err := m.shared.Get(t.Context(), cache.KeyDesignContent(uuid))
		prepared, _ := v.Str()
		if err != nil || prepared == "" {
			t.Fatalf("%s prepared nothing: %v", nodes[0], err)
		}
		for _, node := range nodes {
			if status, _, css := m.get(t, node, path); status != 200 || css != prepared {
				t.Errorf("%s: %d, %s", node, status, fmt.Sprintf("%d bytes, expected %d", len(css), len(prepared)))
			}
		}
	}
}
