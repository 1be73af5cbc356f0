package ops

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
)

// Code is the class of a failure. It decides the exit status of the command.
type Code string

// The closed list of failure classes. docs/exit-codes.md describes each for users.
const (
	CodeFailed      Code = "failed"      // something was tried and did not work
	CodeUsage       Code = "usage"       // the command line is wrong
	CodePartial     Code = "partial"     // some nodes failed, others succeeded
	CodeInvalid     Code = "invalid"     // the inventory or a configuration value is wrong
	CodeUnreachable Code = "unreachable" // a node could not be reached, logged in to or trusted
	CodeLocked      Code = "locked"      // another operator holds the lock, or the plan is stale
	CodeFindings    Code = "findings"    // a check found a problem, or a dry run found differences
	CodeConfirm     Code = "confirm"     // a confirmation is needed and there is nobody to ask
	CodeInterrupted Code = "interrupted" // stopped by a signal
)

var exitStatus = map[Code]int{
	CodeFailed: 1, CodeUsage: 2, CodePartial: 3, CodeInvalid: 4, CodeUnreachable: 5,
	CodeLocked: 6, CodeFindings: 7, CodeConfirm: 8, CodeInterrupted: 130,
}

// ExitStatus is the process exit status for c; an unknown code counts as CodeFailed.
func (c Code) ExitStatus() int {
	if s, ok := exitStatus[c]; ok {
		return s
	}
	return exitStatus[CodeFailed]
}

// Error is a failure told to a person: what was done, where, why, and what to type next.
// Inner layers wrap with fmt.Errorf("verb object: %w"); an Error is made where Code, Node or Hint become known.
type Error struct {
	Code Code
	Op   string // the operation, such as "deploy" or "read clock"
	Node string // the node's name, empty if none is concerned
	Hint string // a command to paste, or one short instruction
	Err  error
}

// Error is one line: "node: op: cause". What an Error right inside says of the same node and operation is not said again. The hint
// is left to the printer.
func (e *Error) Error() string { return e.within("", "") }

// within is the text of e inside an Error that has named node and op.
func (e *Error) within(node, op string) string {
	var parts []string
	if e.Node != "" && e.Node != node {
		parts = append(parts, e.Node)
	}
	if e.Op != "" && (e.Op != op || len(parts) > 0) {
		parts = append(parts, e.Op)
	}
	switch in := e.Err.(type) { //nolint:errorlint // only what lies right inside continues this text
	case nil:
	case *Error:
		parts = append(parts, in.within(cmp.Or(e.Node, node), cmp.Or(e.Op, op)))
	default:
		parts = append(parts, e.Err.Error())
	}
	return strings.Join(parts, ": ")
}

func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error of the given class; %w wraps.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Err: fmt.Errorf(format, args...)}
}

// On returns a copy of e that concerns node.
func (e *Error) On(node string) *Error {
	c := *e
	c.Node = node
	return &c
}

// WithHint returns a copy of e with a hint.
func (e *Error) WithHint(format string, args ...any) *Error {
	c := *e
	c.Hint = fmt.Sprintf(format, args...)
	return &c
}

// CodeOf is the class of err: that of the outermost Error in its chain, else CodeFailed. It is "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) && e.Code != "" {
		return e.Code
	}
	return CodeFailed
}

// HintOf is the first hint in err's chain, or "".
func HintOf(err error) string {
	for err != nil {
		var e *Error
		if !errors.As(err, &e) {
			return ""
		}
		if e.Hint != "" {
			return e.Hint
		}
		err = e.Err
	}
	return ""
}

// NodeError names the node in err, keeping the class and hint err already has. Nil stays nil.
func NodeError(node, op string, err error) error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) && e.Node == node && e.Op == op {
		return err
	}
	return &Error{Code: CodeOf(err), Op: op, Node: node, Hint: HintOf(err), Err: err}
}
