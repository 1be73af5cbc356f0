package conformance

import (
	"bufio"
	"bytes"
	"database/sql"
	_ "embed"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mosparoctl/mosparoctl/internal/lab/server"
	"github.com/mosparoctl/mosparoctl/protection/php"
)

var (
	external = flag.String("address", "", "replay against a server that runs at this host:port, on a fresh reference database, instead of starting one")
	dsn      = flag.String("dsn", "", "with -address: data source name of its MySQL database, to compare what it holds")
	only     = flag.String("only", "", "replay only the cases with this in their names; GROUP/ runs only that group")
)

var emptyData = php.ArrayOf(php.NewArray())

// groups are the parts of the kit in their order; later ones rely on what earlier ones left in the database.
func groups() []struct {
	name string
	run  func(*driver)
} {
	return []struct {
		name string
		run  func(*driver)
	}{{"rst", groupToken}, {"sto", groupStore}, {"chk", groupCheck}, {"val", groupValues}, {"hp", groupHoneypot}, {"pow", groupProofOfWork},
		{"delay", groupDelay}, {"spam", groupSpam}, {"rule", groupRules}, {"mint", groupMinimumTime}, {"health", groupHealth}, {"cors", groupCORS}}
}

// exception is a case in which this server knowingly answers something else than the reference. docs/compatibility.md has
// the reasons.
type exception struct {
	Status int             `json:"status"`
	Body   json.RawMessage `json:"body"` // normalised
}

//go:embed testdata/exceptions.json
var exceptionsFile []byte

func exceptions(t *testing.T) map[string]exception {
	t.Helper()
	var list map[string]exception
	if err := json.Unmarshal(exceptionsFile, &list); err != nil {
		t.Fatal(err)
	}
	return list
}

// TestVectors replays the recorded cases of mosparo 1.5.4 and compares status, body, headers, facts and database.
func TestVectors(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 35 seconds, most of it waiting for delays to end")
	}
	d := newDriver(t, *external)
	switch {
	case *external == "":
		m := server.StartMariaDB(t)
		name, db := referenceDatabase(t, m)
		d.address, d.db = startServer(t, referenceOptions(t, m, name, server.Redis(t))).Addr(), db
	case *dsn != "":
		db, err := sql.Open("mysql", *dsn)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		d.db = db
	}
	d.replay()
	compare(t, d.recorded, *external != "")
}

func newDriver(t *testing.T, address string) *driver {
	t.Helper()
	d := &driver{t: t, address: address, only: *only, recorded: map[string]*exchange{}, run: int(time.Now().Unix() % 200)}
	data, err := os.ReadFile("testdata/projects.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &d.projects); err != nil {
		t.Fatal(err)
	}
	return d
}

// replay sends the requests of the recording, or those that -only selects.
func (d *driver) replay() {
	group, _, _ := strings.Cut(*only, "/")
	single := slices.ContainsFunc(groups(), func(g struct {
		name string
		run  func(*driver)
	}) bool {
		return g.name == group
	})
	for _, g := range groups() {
		if !single || g.name == group {
			g.run(d)
		}
	}
}

// compare compares with the recording, and fails the test for what differs and is no exception. mixed says that mosparo
// may have answered some of the exceptions itself.
func compare(t *testing.T, recorded map[string]*exchange, mixed bool) {
	t.Helper()
	known := exceptions(t)
	passed, failed, excepted := 0, 0, 0
	lines := bufio.NewScanner(bytes.NewReader(unzipped(t, "expected.jsonl.gz")))
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		want := new(exchange)
		if err := json.Unmarshal(lines.Bytes(), want); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(want.Name, *only) {
			continue
		}
		got, ok := recorded[want.Name]
		if !ok {
			failed++
			t.Errorf("%s was not sent", want.Name)
			continue
		}
		e, isException := known[want.Name]
		if isException = isException && !(mixed && len(differences(want, got)) == 0); isException {
			want.Response.Status, want.Facts, want.Database = e.Status, got.Facts, nil
			want.Response.Headers = got.Response.Headers
			want.Response.Body = string(e.Body)
			if body, _ := got.body(); body == string(compact(t, e.Body)) {
				want.Response.Body, want.Vars = got.Response.Body, got.Vars // the same once normalised
			}
		}
		found := differences(want, got)
		switch {
		case len(found) > 0:
			failed++
			t.Errorf("%s (%s)\n    %s", want.Name, want.Note, strings.Join(found, "\n    "))
		case isException:
			excepted++
		default:
			passed++
		}
	}
	fmt.Printf("%d passed, %d failed, %d differ as docs/compatibility.md says\n", passed, failed, excepted)
}

// compact writes JSON as body does.
func compact(t *testing.T, raw json.RawMessage) []byte {
	t.Helper()
	v, err := decoded(raw)
	if err != nil {
		t.Fatal(err)
	}
	return []byte(encoded(v))
}

// Every exception is explained, and nothing is explained that is none.
func TestExceptionsAreDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/compatibility.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(exceptions(t))) {
		if !bytes.Contains(doc, []byte("`"+name+"`")) {
			t.Errorf("docs/compatibility.md does not explain the exception %s", name)
		}
	}
}
