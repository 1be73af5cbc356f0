package store

import (
	"context"
	"errors"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/mosparoctl/mosparoctl/protection"
)

const (
	setUpPatience = 60 * time.Second
	setUpPoll     = 250 * time.Millisecond
)

// errMaking says that another node is making the schema right now, or died while it did.
var errMaking = errors.New("the schema is being made")

// setUp checks the schema, and makes it in an empty database. If several nodes find the database empty at once, the one
// that makes the table of migrations first makes the rest, and the others wait for it.
func (m *mysqlDB) setUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, setUpPatience)
	defer cancel()
	for {
		err := m.setUpOnce(ctx)
		if !errors.Is(err, errMaking) {
			return err
		}
		if err := pause(ctx, setUpPoll); err != nil {
			return schemaError("it was left half made: table doctrine_migration_versions is there but lists nothing").
				WithHint("drop the database and create it empty, unless another node is still at it")
		}
	}
}

func (m *mysqlDB) setUpOnce(ctx context.Context) error {
	conn, err := m.current.Load().db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	q := direct{conn}
	f, err := inspect(ctx, q, dialectMySQL)
	if err != nil {
		return err
	}
	if _, begun := f.columns["doctrine_migration_versions"]; begun && len(f.versions) == 0 {
		return errMaking
	}
	if empty, err := f.verdict(dialectMySQL); err != nil || !empty {
		return err
	}
	if _, err := q.exec(ctx, "SET SESSION foreign_key_checks = 0"); err != nil { // two tables refer to each other
		return err
	}
	defer func() { _, _ = q.exec(context.WithoutCancel(ctx), "SET SESSION foreign_key_checks = 1") }()
	err = createSchema(ctx, q, dialectMySQL, m.o)
	var e *mysql.MySQLError
	if errors.As(err, &e) && e.Number == 1050 { // the table exists: another node was faster
		return errMaking
	}
	if err != nil {
		return protection.Errorf(protection.CodeOf(wrap("", err)), "%w", err).
			WithHint("the account needs CREATE, INDEX and REFERENCES on the database")
	}
	return nil
}
