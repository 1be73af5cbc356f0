// Package tui is the full-screen view of a deployment: what state it is in, and what an operator may do about it.
//
// The Model does no I/O. Whatever it shows comes as messages: answers of the poller, results of checks, and the events of a
// running operation, which are the same that the commands print. Whatever it does starts as a Proposal that was shown and
// confirmed by typing the deployment's name. Layout works on lines of styled spans; only the last step paints them, so no text
// from a node can reach the terminal as a control sequence, and no line is wider than the terminal.
package tui
