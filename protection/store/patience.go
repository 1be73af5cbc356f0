package store

import (
	"context"
	"time"
)

// bulkTimeout bounds operations that read all rows of a table, in place of StatementTimeout. No visitor waits for them but
// the first of a project.
const bulkTimeout = time.Minute

type bulkKey struct{}

// inBulk marks operations that may take as long as bulkTimeout.
func inBulk(ctx context.Context) context.Context { return context.WithValue(ctx, bulkKey{}, true) }

// timeout is how long an operation may take on one server.
func (o *Options) timeout(ctx context.Context) time.Duration {
	if ctx.Value(bulkKey{}) != nil {
		return max(bulkTimeout, o.StatementTimeout)
	}
	return o.StatementTimeout
}

type probeKey struct{}

// asProbe marks a read that asks how the database is. It does not wait for a connection among the requests of visitors: a
// node under load is not ill.
func asProbe(ctx context.Context) context.Context { return context.WithValue(ctx, probeKey{}, true) }

func isProbe(ctx context.Context) bool { return ctx.Value(probeKey{}) != nil }
