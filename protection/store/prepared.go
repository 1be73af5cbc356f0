package store

import (
	"context"
	"database/sql"
	"sync"
)

// preparer is a *sql.DB or a *sql.Conn.
type preparer interface {
	PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
}

// prepared runs statements through a cache of prepared ones. Only constant texts and texts of a few lengths (IN lists)
// may pass, as nothing is ever dropped.
type prepared struct {
	on    preparer
	tx    *sql.Tx // nil outside of a transaction
	cache *sync.Map
}

func newPrepared(on preparer) *prepared { return &prepared{on: on, cache: new(sync.Map)} }

func (p *prepared) within(tx *sql.Tx) *prepared { return &prepared{on: p.on, tx: tx, cache: p.cache} }

func (p *prepared) stmt(ctx context.Context, query string) (*sql.Stmt, error) {
	s, ok := p.cache.Load(query)
	if !ok {
		made, err := p.on.PrepareContext(ctx, query)
		if err != nil {
			return nil, err
		}
		var raced bool
		if s, raced = p.cache.LoadOrStore(query, made); raced {
			_ = made.Close()
		}
	}
	if p.tx != nil {
		return p.tx.StmtContext(ctx, s.(*sql.Stmt)), nil
	}
	return s.(*sql.Stmt), nil
}

func (p *prepared) exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	s, err := p.stmt(ctx, query)
	if err != nil {
		return nil, err
	}
	return s.ExecContext(ctx, args...)
}

func (p *prepared) query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	s, err := p.stmt(ctx, query)
	if err != nil {
		return nil, err
	}
	return s.QueryContext(ctx, args...)
}

func (p *prepared) row(ctx context.Context, query string, args ...any) rower {
	s, err := p.stmt(ctx, query)
	if err != nil {
		return failedRow{err}
	}
	return s.QueryRowContext(ctx, args...)
}

// rower is one row of a result.
type rower interface {
	Scan(dest ...any) error
}

type failedRow struct{ err error }

func (r failedRow) Scan(...any) error { return r.err }

// direct runs statements as they come, for texts that occur once.
type direct struct {
	on interface {
		ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
		QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
		QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	}
}

func (d direct) exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return d.on.ExecContext(ctx, query, args...)
}

func (d direct) query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return d.on.QueryContext(ctx, query, args...)
}

func (d direct) row(ctx context.Context, query string, args ...any) rower {
	return d.on.QueryRowContext(ctx, query, args...)
}
