package store

import "time"

// gatherLimit is how long a group waits for more at most.
const gatherLimit = 5 * time.Millisecond

// crowd tells how long a group should wait for more, and for how many: for as many as were here at once lately, but no longer
// than the last group took. Fewer and larger groups cost less of the processor, here and in a database. Whoever has one
// holds a lock around its calls.
type crowd struct {
	size   int           // of the last group
	took   time.Duration // by the last group
	inside int           // so many are in the group that runs
	most   [2]int        // so many were here at once: since the last group began, and before that one
}

// came notes that somebody came, with whom so many wait.
func (c *crowd) came(waiting int) { c.most[0] = max(c.most[0], c.inside+waiting) }

// begins notes that a group of n begins to run, while so many wait.
func (c *crowd) begins(n, waiting int) {
	c.inside = n
	c.most = [2]int{n + waiting, c.most[0]}
}

// ended notes that the group of n has run.
func (c *crowd) ended(n int, took time.Duration) { c.inside, c.size, c.took = 0, n, took }

// patience is for how long and for how many a group of n should wait; 0 is not at all.
func (c *crowd) patience(n, limit int) (time.Duration, int) {
	wanted := min(max(c.most[0], c.most[1]), limit)
	if c.size <= 1 || n >= wanted {
		return 0, 0
	}
	return min(c.took, gatherLimit), wanted
}
