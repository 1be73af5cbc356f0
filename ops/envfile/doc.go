// Package envfile reads, checks, compares and writes the two files that configure mosparo on a node:
// config/env.mosparo.php, which mosparo itself rewrites, and .env.local, which belongs to the operator.
//
// Parsing and formatting need no PHP. Comparing masks secrets. Pushing is an ops.Plan.
package envfile
