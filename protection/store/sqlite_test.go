package store

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/php"
)

func TestSQLiteSchema(t *testing.T) {
	for _, c := range []struct{ change, want string }{
		{"DELETE FROM doctrine_migration_versions WHERE version LIKE '%20260406155235'", "needs Version20260406155235"},
		{"INSERT INTO doctrine_migration_versions (version) VALUES ('DoctrineMigrations\\Version20270101000000')", "its newest migration is Version20270101000000"},
		{"ALTER TABLE cleanup_statistic DROP COLUMN execution_time", "column cleanup_statistic.execution_time is missing"},
		{"DROP TABLE doctrine_migration_versions", "none of mosparo's migrations"},
	} {
		o := baseOptions(t)
		o.Path = filepath.Join(t.TempDir(), "data.sqlite")
		open(t, o)
		db, err := sql.Open("sqlite", o.Path)
		must(t, err)
		execute(t, db, c.change)
		must(t, db.Close())
		if _, err := Open(t.Context(), o); !protection.Is(err, protection.CodeSchema) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.change, err)
		}
	}
	dir := t.TempDir()
	o := baseOptions(t)
	o.Path = filepath.Join(dir, "text")
	must(t, os.WriteFile(o.Path, []byte(strings.Repeat("no database ", 1000)), 0o600))
	if _, err := Open(t.Context(), o); err == nil {
		t.Error("a text was opened")
	}
	o.Path = filepath.Join(dir, "text", "below")
	if _, err := Open(t.Context(), o); !protection.Is(err, protection.CodeInvalid) {
		t.Errorf("a path that cannot be: %v", err)
	}
}

func TestSQLiteMode(t *testing.T) {
	s := openSQLiteFile(t)
	st, err := os.Stat(s.o.Path)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
	p := newProject(t, s)
	again := open(t, s.o) // as the next start, or the command line beside the server
	if got, err := again.ProjectByPublicKey(t.Context(), p.PublicKey); err != nil || got.ID != p.ID {
		t.Errorf("%v, %v", got, err)
	}
}

// TestSQLiteOfPHP is a file without our triggers.
func TestSQLiteOfPHP(t *testing.T) {
	s := openSQLiteFile(t)
	must(t, s.b.write(t.Context(), "drop", func(ctx context.Context, q querier) error {
		names, err := column1(ctx, q, "SELECT name FROM sqlite_master WHERE type = 'trigger'")
		for _, n := range names {
			if _, e := q.exec(ctx, "DROP TRIGGER "+n); e != nil {
				return e
			}
		}
		if err == nil {
			_, err = q.exec(ctx, "DROP TABLE mosparoctl_change")
		}
		return err
	}))
	testRuleVersions(t, s)
}

// TestGroup lets operations of one group fail without touching the others, and one be given up while it waits.
func TestGroup(t *testing.T) {
	s := openSQLiteFile(t)
	g := s.b.(*sqliteDB).group
	ctx := t.Context()
	started, release := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := g.write(ctx, func(context.Context, querier) error { close(started); <-release; return nil }); err != nil {
			t.Error(err)
		}
	})
	<-started // everything from here on waits and becomes one group
	insert := func(name string, fail error) func(context.Context, querier) error {
		return func(ctx context.Context, q querier) error {
			if _, err := q.exec(ctx, "INSERT INTO project_group (uuid, name) VALUES (?, ?)", name, name); err != nil {
				return err
			}
			return fail
		}
	}
	boom := errors.New("boom")
	results := make([]error, 6)
	waiting := func(n int) {
		for {
			g.mu.Lock()
			have := len(g.writes)
			g.mu.Unlock()
			if have == n {
				return
			}
			runtime.Gosched()
		}
	}
	gone, cancel := context.WithCancel(ctx)
	for i, f := range []func(context.Context, querier) error{
		insert("a", nil), insert("b", boom), insert("c", nil), insert("d", nil),
		func(ctx context.Context, q querier) error {
			_, err := q.exec(ctx, "INSERT INTO nonsense VALUES (1)")
			return err
		},
		insert("e", nil),
	} {
		c := ctx
		if i == 3 {
			c = gone
		}
		wg.Go(func() { results[i] = g.write(c, f) })
		waiting(i + 1)
	}
	g.mu.Lock()
	fourth := g.writes[3]
	g.mu.Unlock()
	cancel()
	for fourth.state.Load() != jobGivenUp {
		runtime.Gosched()
	}
	close(release)
	wg.Wait()
	if results[0] != nil || !errors.Is(results[1], boom) || results[2] != nil || !errors.Is(results[3], context.Canceled) || results[4] == nil || results[5] != nil {
		t.Errorf("results: %v", results)
	}
	must(t, s.b.read(ctx, "names", func(ctx context.Context, q querier) error {
		names, err := column1(ctx, q, "SELECT name FROM project_group ORDER BY name")
		if strings.Join(names, "") != "ace" {
			t.Errorf("committed: %q", names)
		}
		return err
	}))
}

func TestClosed(t *testing.T) {
	s := openSQLiteFile(t)
	must(t, s.Close())
	wantCode(t, s.Count(t.Context(), 1, protection.CountSpam, testNow), protection.CodeUnavailable)
	if err := s.Ping(t.Context()); err == nil {
		t.Error("a closed database answers")
	}
}

func TestJSONColumns(t *testing.T) {
	for v, want := range map[string]any{`[]`: "[]", `{"a":10.0}`: `{"a":10.0}`, `"\/é"`: `"\/\u00e9"`} {
		val, err := php.DecodeJSON(v)
		must(t, err)
		if got, err := jsonText(val); err != nil || got != want {
			t.Errorf("%s: %v, %v", v, got, err)
		}
	}
	if got, err := jsonText(php.Null); got != nil || err != nil {
		t.Errorf("null: %v", got)
	}
	if got, err := jsonArray(php.Null); got != "[]" || err != nil {
		t.Errorf("null array: %v", got)
	}
}
