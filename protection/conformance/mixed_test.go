package conformance

import (
	"database/sql"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/mosparoctl/mosparoctl/internal/lab/server"
	"github.com/mosparoctl/mosparoctl/protection/cache"
	"github.com/mosparoctl/mosparoctl/protection/cleanup"
	core "github.com/mosparoctl/mosparoctl/protection/server"
	"github.com/mosparoctl/mosparoctl/protection/store"
)

var cacheURL = flag.String("cache", "", "with -address, for TestMixed: URL of that server's shared cache, redis:… or memcached:…, as in its settings")

// mixed is a foreign node and one of ours, on one database and one shared cache.
type mixed struct {
	*driver
	foreign, own string
	shared       cache.Cache
	cleaner      *cleanup.Cleaner
	// clean makes the foreign node clean up if it thinks that it is due: mosparo does at any request for a token.
	clean func()
}

// steps sends the requests for tokens, those with form data, and those of back ends to our node where mask has the bit 1, 2
// or 4, and everything else to the foreign one.
func (m *mixed) steps(mask int) func(string) string {
	bits := map[string]int{rst: 1, sto: 2, chk: 2, verifyPath: 4}
	return func(path string) string {
		if mask&bits[path] != 0 {
			return m.own
		}
		return m.foreign
	}
}

// turns sends one request to each node in turn.
func (m *mixed) turns(ownFirst bool) func(string) string {
	own := !ownFirst
	return func(string) string {
		if own = !own; own {
			return m.own
		}
		return m.foreign
	}
}

// startMixed loads the reference database, changed by the given statements, and starts our node beside the foreign one,
// which is a second one of ours if no -address is given.
func startMixed(t *testing.T, changes ...string) *mixed {
	t.Helper()
	m := &mixed{driver: newDriver(t, *external)}
	m.only = ""
	var o core.Options
	if *external != "" {
		o = m.beside(t)
	} else {
		db := server.StartMariaDB(t)
		name, pool := referenceDatabase(t, db)
		m.db, o = pool, referenceOptions(t, db, name, server.Redis(t))
	}
	for _, change := range changes {
		execute(t, m.db, change)
	}
	o.Settings.NoCleanup = true // the test says when
	m.own = startServer(t, o).Addr()
	m.openShared(t, o)
	if m.foreign = *external; m.foreign == "" {
		m.foreign = startServer(t, o).Addr()
		m.clean = func() { _, _ = m.cleaner.Run(t.Context(), cleanup.Scheduled) }
	} else {
		m.clean = func() { m.newToken("P1", m.ip()) }
	}
	m.address = m.foreign
	return m
}

// beside are the options of a node beside the one at -address. The database is reset, therefore it must be a reference
// database already.
func (m *mixed) beside(t *testing.T) core.Options {
	t.Helper()
	if *dsn == "" || *cacheURL == "" {
		t.Fatal("-address needs -dsn and -cache: the database and the shared cache of the server there")
	}
	c, err := mysql.ParseDSN(*dsn)
	if err != nil {
		t.Fatal(err)
	}
	c.MultiStatements, c.ParseTime = true, true
	if m.db, err = sql.Open("mysql", c.FormatDSN()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.db.Close() })
	var projects int
	err = m.db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM project WHERE public_key = ?", m.key("P1")).Scan(&projects)
	if err != nil || projects != 1 {
		t.Fatalf("%s is no reference database, load testdata/reference.sql.gz into it first: %v", c.DBName, err)
	}
	var version string
	if err := m.db.QueryRowContext(t.Context(), "SELECT VERSION()").Scan(&version); err != nil {
		t.Fatal(err)
	}
	db := &server.MariaDB{Addr: c.Addr, User: c.User, Pass: c.Passwd, MySQL: !strings.Contains(version, "MariaDB")}
	db.Load(t, c.DBName, unzipped(t, "reference.sql.gz"))
	o := referenceOptions(t, db, c.DBName, "")
	adapter, _, _ := strings.Cut(*cacheURL, ":")
	o.Cache = cache.Options{Adapter: adapter, URL: *cacheURL}
	return o
}

// openShared opens what both nodes share once more, as a third node would.
func (m *mixed) openShared(t *testing.T, o core.Options) {
	t.Helper()
	s, err := store.Open(t.Context(), o.Store)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if m.shared, err = cache.Open(o.Cache); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.shared.Close() })
	m.cleaner = cleanup.New(s, s, m.shared, o.Settings.Cleanup, s.Location(), o.Log)
}

// TestMixed lets a foreign node and one of ours serve the same visitors in turn. Without -address the foreign node is one
// of ours as well. With it, it is a mosparo with testdata/env.mosparo.php, whose database is reset many times.
func TestMixed(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute, most of it waiting for delays to end")
	}
	t.Run("replay", testMixedReplay)
	t.Run("flows", testMixedFlows)
	t.Run("cleanup", testMixedCleanup)
	t.Run("styles", testMixedStyles)
}

// testMixedReplay sends the recorded cases to both nodes in turn. With a real foreign node each step of the protocol is also
// taken by each node throughout.
func testMixedReplay(t *testing.T) {
	routes := map[string]func(*mixed) func(string) string{"turns": func(m *mixed) func(string) string { return m.turns(false) }}
	if *external != "" {
		routes["turns, own first"] = func(m *mixed) func(string) string { return m.turns(true) }
		for mask := range 8 {
			routes["steps "+strconv.Itoa(mask)] = func(m *mixed) func(string) string { return m.steps(mask) }
		}
	}
	for _, name := range slices.Sorted(maps.Keys(routes)) {
		t.Run(name, func(t *testing.T) {
			m := startMixed(t)
			m.only, m.route = *only, routes[name](m)
			m.replay()
			compare(t, m.recorded, true)
			if *only == "" {
				m.loadable(t)
			}
			if *external == "" { // mosparo stores such fields
				m.named(t)
			}
		})
	}
}

// patient are changes of settings that make what a slow machine may spoil impossible: periods of seconds become hours.
var patient = []string{
	"UPDATE project_config_value SET value = 'i:7200;' WHERE name IN ('delayDetectionTimeFrame', 'lockoutDetectionTimeFrame', 'delayTime', 'lockoutTime')",
	"UPDATE project_config_value SET value = 'i:7200;' WHERE name = 'minimumTimeSeconds' AND project_id = 7",
	"UPDATE project_config_value SET value = 'b:0;' WHERE name = 'minimumTimeActive' AND project_id = 2",
}

// testMixedFlows takes each step of whole flows by either node. What is answered and stored must be what it is when the
// foreign node takes all of them.
func testMixedFlows(t *testing.T) {
	m := startMixed(t, patient...)
	type way struct {
		name  string
		route func(string) string
	}
	ways := []way{{"steps 0", m.steps(0)}}
	for mask := 1; mask < 8; mask++ {
		ways = append(ways, way{fmt.Sprint("steps ", mask), m.steps(mask)})
	}
	ways = append(ways, way{"turns", m.turns(false)}, way{"turns, own first", m.turns(true)})
	var want map[string]*exchange
	for i, w := range ways {
		m.recorded, m.route = map[string]*exchange{}, w.route
		m.flows(i)
		if want == nil {
			want = m.recorded
			m.plausible(t, want)
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(want)) {
			got := m.recorded[name]
			if got == nil {
				t.Errorf("%s: %s was not sent", w.name, name)
			} else if found := differences(want[name], got); len(found) > 0 {
				t.Errorf("%s: %s\n    %s", w.name, name, strings.Join(found, "\n    "))
			}
		}
		if len(m.recorded) != len(want) {
			t.Errorf("%s: %d cases, expected %d", w.name, len(m.recorded), len(want))
		}
	}
	for _, project := range []string{"P1", "PN", "PD", "PL"} {
		m.statistics(t, project)
	}
}

// flows sends one set of flows; n makes its addresses and values differ from those of other sets.
func (m *mixed) flows(n int) {
	fields := []field{text("name", "John"), at("textarea", "message", "Grüezi\nmitenand")}
	m.full(flow{name: "clean", project: "P1", fields: fields, form: map[string]any{"name": "John", "message": "Grüezi\r\nmitenand"}})
	m.full(flow{name: "forged", project: "P1", fields: fields, form: map[string]any{"name": "Jane", "message": "Grüezi\nmitenand"}})
	m.full(flow{name: "spam", project: "PN", fields: []field{at("textarea", "a", "Buy VIAGRA and Casino")}})
	m.full(flow{name: "silent", project: "PR", fields: []field{at("textarea", "a", "Buy VIAGRA and Casino")}})
	m.full(flow{name: "honeypot", project: "PH", fields: append(fields, text("url_hp", "http://x"))})
	m.full(flow{name: "too fast", project: "PMT", fields: fields})
	m.full(flow{name: "allow list", project: "P2", fields: append(fields, text("hp_field_x", "not empty")), xff: fmt.Sprint("192.168.77.", n+1)})
	for name, more := range map[string]int{"work done": 0, "work not done": 1} {
		xff := m.ip()
		r := m.newToken("PW", xff)
		c := m.check(checkRequest{name: name, project: "PW", token: str(r["submitToken"]), fields: fields, xff: xff,
			extra: pairs{{"proofOfWorkNumber", strconv.Itoa(solve(r) + more)}}})
		if v := str(c["validationToken"]); v != "" {
			m.verify(name+"/verify", "PW", str(r["submitToken"]), v, valuesOf(fields), "")
		}
	}
	token := m.token("PM", m.ip())
	m.do(request{name: "stored", project: "PM", method: "POST", path: sto, vars: map[string]any{"submitToken": token},
		form: pairs{{"publicKey", m.key("PM")}, {"submitToken", token}, {"formData", formDataOf([]field{text("step1", "one")}, []string{"pw"})}, {"metadata", `{"k":{"a":1}}`}}})
	c := m.check(checkRequest{name: "stored/check", project: "PM", token: token, fields: []field{text("step2", "two")}, extra: pairs{{"metadata", `{"k":{"b":2}}`}}})
	m.verify("stored/verify", "PM", token, str(c["validationToken"]), map[string]any{"step1": "one", "step2": "two"}, "", metadataPair(`{"v":1}`))
	equal, delayed, locked := m.ip(), m.ip(), m.ip()
	for i := range 4 {
		m.full(flow{name: fmt.Sprint("equal ", i), project: "PE", fields: fields, xff: equal})
	}
	for i := range 6 {
		m.tokenCase(fmt.Sprint("delayed ", i), "PD", delayed, "")
	}
	for i := range 6 {
		m.full(flow{name: fmt.Sprint("locked out ", i), project: "PL", fields: []field{at("textarea", "a", "Buy VIAGRA and Casino")}, xff: locked})
	}
}

// plausible checks that the flows are what they are meant to be; else all nodes could be wrong alike.
func (m *mixed) plausible(t *testing.T, recorded map[string]*exchange) {
	t.Helper()
	for name, want := range map[string]string{
		"clean/verify": `"valid":true`, "forged/verify": `"valid":false`, "spam/check": `"valid":false`, "silent/verify": `"isSpam":true`, "honeypot/check": `"valid":false`,
		"too fast/verify": `minimum_time_invalid`, "allow list/verify": `"valid":true`, "work done/verify": `"valid":true`, "work not done": `"valid":false`, "stored": `"result":true`,
		"stored/verify": `"valid":true`, "equal 0/verify": `"valid":true`, "equal 3/verify": `too_many_equal_submissions`, "delayed 0": `"submitToken"`, "delayed 5": `"type":"delay"`,
		"locked out 0/check": `"valid":true`, "locked out 5/check": `"type":"lockout"`,
	} {
		e := recorded[name]
		if e == nil {
			t.Errorf("%s was not sent", name)
		} else if body := fmt.Sprint(e.Response.Body); !strings.Contains(body, want) {
			t.Errorf("%s: %d %s, expected %s", name, e.Response.Status, body, want)
		}
	}
	for name, want := range map[string]string{"equal 3/verify": `{"message":"valid","name":"valid"}`, "too fast/verify": "[]"} {
		if got := recorded[name].database()["verified_fields"]; got != want {
			t.Errorf("%s: the fields %s are stored, expected %s", name, got, want)
		}
	}
}
