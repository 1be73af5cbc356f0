// Package bench holds no code: its tests measure the protection core as a whole, with real server processes, a real MariaDB
// with durable commits, and a load generator on the same machine. They have the build tag bench and take minutes: "make
// bench-serve" runs them, docs/benchmarks.md holds figures.
package bench
