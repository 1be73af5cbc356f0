// Package remote reaches the nodes of a deployment over SSH and SFTP. A Pool is the ops.Connector of a command: it keeps
// one connection a node, made at the first call and shared by all that the command does there.
//
// Who a node is and how to log in comes from the inventory and from ~/.ssh/config, as ssh itself would read it. Host keys
// are always checked against known_hosts; a new one is learnt only by Pool.Learn. Every failure to reach, log in to or
// trust a node, and every loss of a connection, is an *ops.Error with ops.CodeUnreachable that says what to do about it.
package remote
