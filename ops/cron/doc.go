// Package cron plans when each node runs mosparo's jobs, proves that no two starts come closer than promised, and writes
// the schedule into crontabs without touching anybody else's lines.
//
// All reckoning is done in minutes of UTC since 1970. What a node's cron makes of it in local time, with clock changes,
// is simulated by Prove from the very fields that are written.
package cron
