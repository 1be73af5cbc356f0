package protection

import (
	"errors"
	"fmt"
)

// Code is the class of a failure inside the protection core. Adapters branch on it, never on messages.
type Code string

// The closed list of failure classes.
const (
	CodeInternal    Code = "internal"    // a defect, or data that should not exist
	CodeNotFound    Code = "not_found"   // there is no such row in the project
	CodeUsed        Code = "used"        // the submit token was verified before, or has expired
	CodeConflict    Code = "conflict"    // it exists already, or was changed meanwhile
	CodeStale       Code = "stale"       // what was decided upon had changed: read it again, and decide anew
	CodeInvalid     Code = "invalid"     // input or configuration that cannot be used
	CodeSchema      Code = "schema"      // the database has a schema this program does not know
	CodeKey         Code = "key"         // the encryption key does not open what the database holds
	CodeUnavailable Code = "unavailable" // the database or the cache cannot be reached now; trying again may help
)

// Error is a failure of a known class.
type Error struct {
	Code Code
	Op   string // what was tried, such as "create submission"
	Hint string // what a person can do about it, empty if nothing is known
	Err  error
}

// Error is one line: "op: cause".
func (e *Error) Error() string {
	switch {
	case e.Op == "" && e.Err == nil:
		return string(e.Code)
	case e.Op == "":
		return e.Err.Error()
	case e.Err == nil:
		return e.Op + ": " + string(e.Code)
	}
	return e.Op + ": " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error of a class; %w wraps.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Err: fmt.Errorf(format, args...)}
}

// WithHint returns a copy of e with a hint.
func (e *Error) WithHint(format string, args ...any) *Error {
	c := *e
	c.Hint = fmt.Sprintf(format, args...)
	return &c
}

// CodeOf is the class of err: that of the outermost Error in its chain, else CodeInternal. It is "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) && e.Code != "" {
		return e.Code
	}
	return CodeInternal
}

// Is reports whether err is of class code.
func Is(err error, code Code) bool { return CodeOf(err) == code && err != nil }
