// Package release puts releases of mosparo onto nodes and switches between them.
//
// On a node a release is one folder below releases/ that never changes after it was verified. The link current names the
// active one, and what outlives releases lies below shared/. A deploy reads facts of all nodes, makes an ops.Plan of them in
// a pure function and leaves the rest to ops.Apply:
//
//	prepare  all nodes at once: upload into a temporary folder, verify every hash there, rename it into releases/. Nothing
//	         a visitor could notice.
//	admin    the admin node: drain, migrate the database, switch current, finish the configuration, reload PHP, check, ready.
//	nodes    the others, wave by wave: drain, switch, then copy the configuration, reload PHP, check, ready.
//	finish   hooks; leftovers of broken runs and releases that are too many are removed last, since deleting many files
//	         makes the file systems of nodes slow for a while.
//
// At no moment is a node in rotation whose code and configuration are of different versions: mosparo would let any visitor
// start its updater there.
package release
