package store

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"sync/atomic"

	"github.com/go-sql-driver/mysql"
)

// errReadOnly is what probe says of a server that takes no writes.
var errReadOnly = &mysql.MySQLError{Number: 1290, Message: "the server is read-only"}

var errNoMajority = &mysql.MySQLError{Number: 3100, Message: "the server reaches no majority of its replication group"}

var errNotReady = &mysql.MySQLError{Number: 1047, Message: "the Galera node is not ready"}

// probe checks that s can be reached and takes writes. It does not rely on the server's refusal of a write: an account with
// administrative rights may write to a read-only replica.
func (s *server) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	var readOnly, increment int64
	var version string
	if err := s.spare.QueryRowContext(ctx, "SELECT @@global.read_only, VERSION(), @@global.auto_increment_increment").Scan(&readOnly, &version, &increment); err != nil {
		return err
	}
	s.learnGrouping(version, increment)
	if !strings.Contains(version, "MariaDB") && !strings.HasPrefix(version, "5.") {
		s.learn(&s.mysql8)
	}
	if readOnly != 0 {
		return errReadOnly
	}
	if s.mysql8.Load() {
		return s.probeGroup(ctx)
	}
	return s.probeGalera(ctx)
}

// probeGroup checks that s, if it is in a group of MySQL's Group Replication, reaches the majority of it. One that does not is not
// read-only: its writes wait without end, while the others have gone on without it. An account that may not ask takes it for well.
func (s *server) probeGroup(ctx context.Context) error {
	var members, lost int64
	err := s.spare.QueryRowContext(ctx, "SELECT COUNT(*), COUNT(CASE member_state WHEN 'UNREACHABLE' THEN 1 END) FROM performance_schema.replication_group_members").Scan(&members, &lost)
	var refused *mysql.MySQLError
	switch {
	case errors.As(err, &refused) && classify(err) == permanent: // no right, or a version without groups
		return nil
	case err != nil:
		return err
	case lost > 0 && 2*lost >= members:
		return errNoMajority
	}
	return nil
}

// probeGalera checks that s, if it is a node of a Galera cluster, is in step with the majority.
func (s *server) probeGalera(ctx context.Context) error {
	var name, ready, size string
	err := s.spare.QueryRowContext(ctx, "SHOW GLOBAL STATUS LIKE 'wsrep_ready'").Scan(&name, &ready)
	if err == nil {
		err = s.spare.QueryRowContext(ctx, "SHOW GLOBAL STATUS LIKE 'wsrep_cluster_size'").Scan(&name, &size)
	}
	switch {
	case errors.Is(err, sql.ErrNoRows), err == nil && size == "0": // not built in, or not in use
		return nil
	case err != nil:
		return err
	case !strings.EqualFold(ready, "ON"):
		return errNotReady
	}
	s.learn(&s.galera)
	return nil
}

// learn sets a fact that sessions depend on and drops those that were opened without it.
func (s *server) learn(fact *atomic.Bool) {
	if fact.CompareAndSwap(false, true) {
		s.db.SetMaxIdleConns(0)
		s.db.SetMaxIdleConns(s.conns)
	}
}
