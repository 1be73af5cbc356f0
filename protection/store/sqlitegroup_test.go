package store

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mosparoctl/mosparoctl/protection"
)

// flushing is a connection that only takes its time to commit.
type flushing struct {
	mu   sync.Mutex
	seen []string
	time time.Duration
}

func (f *flushing) exec(_ context.Context, query string, _ ...any) (sql.Result, error) {
	f.mu.Lock()
	f.seen = append(f.seen, query)
	f.mu.Unlock()
	if query == "COMMIT" {
		time.Sleep(f.time)
	}
	return nil, nil
}

func (f *flushing) query(context.Context, string, ...any) (*sql.Rows, error) { return nil, nil }

func (f *flushing) row(context.Context, string, ...any) rower { return failedRow{sql.ErrNoRows} }

func (f *flushing) statements() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := strings.Join(f.seen, ";")
	f.seen = nil
	return all
}

func nothing(context.Context, querier) error { return nil }

// TestGroupGathers has a group wait for as many writes as were there at once lately, but no longer than the last took, while
// reads go on.
func TestGroupGathers(t *testing.T) {
	const flush = 2 * time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		f := &flushing{time: flush}
		g := newGroup(f)
		defer g.close()
		// writes submits n writes at once and is how long they took.
		writes := func(n int, meanwhile func()) time.Duration {
			begun := time.Now()
			var wg sync.WaitGroup
			for range n {
				wg.Go(func() {
					if err := g.write(t.Context(), nothing); err != nil {
						t.Error(err)
					}
				})
			}
			synctest.Wait()
			if meanwhile != nil {
				meanwhile()
			}
			wg.Wait()
			return time.Since(begun)
		}
		many := func() { // leaves groups of 1 and 3 behind
			if took := writes(1, func() { writes(3, nil) }); took != 2*flush {
				t.Errorf("four writes took %v", took)
			}
		}
		if took := writes(1, nil); took != flush {
			t.Errorf("one write took %v", took)
		}
		many()
		if took := writes(1, nil); took != 2*flush {
			t.Errorf("one write that had reason to wait for more took %v", took)
		}
		if took := writes(1, nil); took != flush {
			t.Errorf("one write after one took %v", took)
		}
		many()
		f.statements()
		if took := writes(1, func() { writes(3, nil) }); took != flush {
			t.Errorf("four writes that waited for each other took %v", took)
		}
		if got := f.statements(); got != "BEGIN IMMEDIATE;COMMIT" {
			t.Errorf("statements: %s", got)
		}
		if took := writes(1, nil); took != 2*flush {
			t.Errorf("one write after four took %v", took)
		}
		many()
		must(t, g.read(t.Context(), nothing)) // is no group
		took := writes(1, func() {
			begun := time.Now()
			if err := g.read(t.Context(), nothing); err != nil || time.Since(begun) != 0 {
				t.Errorf("a read among waiting writes took %v: %v", time.Since(begun), err)
			}
		})
		if took != 2*flush {
			t.Errorf("a write that a read woke took %v", took)
		}
	})
}

// TestGroupReads has reads see what is committed and nothing else, and share a transaction.
func TestGroupReads(t *testing.T) {
	s := openSQLiteFile(t)
	g := s.b.(*sqliteDB).group
	ctx := t.Context()
	count := func() (n int) {
		t.Helper()
		err := g.read(ctx, func(ctx context.Context, q querier) error {
			return q.row(ctx, "SELECT COUNT(*) FROM project_group").Scan(&n)
		})
		if err != nil {
			t.Error(err)
		}
		return n
	}
	insert := func(ctx context.Context, q querier) error {
		_, err := q.exec(ctx, "INSERT INTO project_group (uuid, name) VALUES ('a', 'a')")
		return err
	}
	must(t, g.write(ctx, insert))
	if n := count(); n != 1 {
		t.Errorf("%d rows after the first write", n)
	}
	boom := errors.New("boom")
	if err := g.write(ctx, func(ctx context.Context, q querier) error { return errors.Join(insert(ctx, q), boom) }); !errors.Is(err, boom) {
		t.Errorf("failed write: %v", err)
	}
	if n := count(); n != 1 {
		t.Errorf("%d rows after a write that failed", n)
	}
	// Whatever reads and writes meet in a group, a read must not find what its own group writes.
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			before := count()
			if err := g.write(ctx, insert); err != nil {
				t.Error(err)
			}
			if after := count(); after <= before {
				t.Errorf("%d rows before a write, %d after it", before, after)
			}
		})
	}
	wg.Wait()
	if n := count(); n != 51 {
		t.Errorf("%d rows in the end", n)
	}
}

func TestGroupPanics(t *testing.T) {
	s := openSQLiteFile(t)
	g := s.b.(*sqliteDB).group
	broken := func(context.Context, querier) error { panic("broken") }
	wantCode(t, g.read(t.Context(), broken), protection.CodeInternal)
	wantCode(t, g.write(t.Context(), broken), protection.CodeInternal)
	must(t, g.write(t.Context(), nothing))
	must(t, g.read(t.Context(), nothing))
}
