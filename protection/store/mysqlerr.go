package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"net"

	"github.com/go-sql-driver/mysql"

	"github.com/mosparoctl/mosparoctl/protection"
)

// trouble says what to do about an error of a MySQL or MariaDB server.
type trouble int

const (
	permanent trouble = iota // trying again gives the same
	contended                // another transaction was in the way: again, here
	elsewhere                // this server takes no writes, or cannot be reached: again, on whichever does
	unsure                   // the connection was lost after the statement was sent: it may or may not have been done
)

// classify decides by the numbers of MySQL 8 and MariaDB 10 and 11.
func classify(err error) trouble {
	var e *mysql.MySQLError
	if errors.As(err, &e) {
		switch e.Number {
		case 1213, // deadlock, also a lost certification in Galera
			1205, // lock wait timeout, also of NOWAIT in MariaDB
			3572, // NOWAIT in MySQL
			1020: // record has changed since last read (MariaDB with innodb_snapshot_isolation)
			return contended
		case 1047, // Galera: not ready for application use
			1290, 1792, 1836, 3100, // --read-only, read-only transaction, read-only mode, group replication refuses
			1040, 1203, 1226, // too many connections
			1053, 1077, 1079, 3169, // shutdown in progress, session killed
			1317, 1927, // interrupted or killed
			1180: // error during commit
			return elsewhere
		}
		return permanent
	}
	var netErr net.Error
	switch {
	case errors.Is(err, driver.ErrBadConn): // the driver says so only if nothing was sent
		return elsewhere
	case errors.As(err, new(*net.OpError)) && isDial(err):
		return elsewhere
	case errors.Is(err, mysql.ErrInvalidConn), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &netErr),
		errors.Is(err, context.DeadlineExceeded):
		return unsure
	}
	return permanent
}

func isDial(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

func mysqlCode(err error) (protection.Code, bool) {
	var e *mysql.MySQLError
	if errors.As(err, &e) {
		switch e.Number {
		case 1062, 1451, 1452: // duplicate key, foreign keys
			return protection.CodeConflict, true
		case 1406, 1366, 3140, 4025: // too long, wrong bytes for the column, invalid JSON, a CHECK failed
			return protection.CodeInvalid, true
		case 1044, 1045, 1049, 1698: // access denied, unknown database
			return protection.CodeInvalid, true
		}
	}
	switch t := classify(err); {
	case t != permanent:
		return protection.CodeUnavailable, true
	case e != nil:
		return protection.CodeInternal, true
	}
	return "", false
}
