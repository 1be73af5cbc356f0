package cron

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	"github.com/mosparoctl/mosparoctl/ops"
)

// Slot is one job on one node.
type Slot struct{ Job, Node string }

// Phases give each slot the minute at which its job starts, counted from 1970-01-01 00:00 UTC, modulo the job's interval.
type Phases map[Slot]int

// Week is the time after which all schedules together repeat: every interval divides it.
const Week = 7 * 24 * time.Hour

// Stagger gives every job on every node its phase, so that two nodes' starts of the same job, and starts of different
// heavy jobs wherever they run, are never closer than distance (rounded up to whole minutes), at any time: phases that
// satisfy it modulo the greatest common divisor of two intervals satisfy it for ever.
//
// keep holds the phases in force. A slot keeps its phase unless that breaks the promise or leaves no room for another; so a node that joins or leaves moves
// nobody else as long as there is room. The result depends on the arguments alone. If there is no room, the error says what would fit.
func Stagger(jobs []Job, distance time.Duration, keep Phases) (Phases, error) {
	d := wholeMinutes(cmp.Or(distance, DefaultDistance))
	phases, failed := stagger(jobs, d, keep)
	if failed == nil {
		return phases, nil
	}
	return nil, noRoom(jobs, *failed, d)
}

func wholeMinutes(d time.Duration) int { return int((d + time.Minute - 1) / time.Minute) }

// placement is a slot that has its phase.
type placement struct {
	slot  Slot
	phase int
	every int // minutes
	heavy bool
}

// stagger tries to keep as much as possible, then less. It returns the first job that found no room otherwise.
func stagger(jobs []Job, distance int, keep Phases) (Phases, *Job) {
	jobs = slices.Clone(jobs)
	slices.SortFunc(jobs, func(a, b Job) int { // short intervals have the least choice
		return cmp.Or(cmp.Compare(a.Every, b.Every), cmp.Compare(a.Name, b.Name))
	})
	onGrid := Phases{}
	for s, phase := range keep {
		if phase%distance == 0 {
			onGrid[s] = phase
		}
	}
	var failed *Job
	for _, try := range []struct {
		keep   Phases
		packed bool
	}{{keep, false}, {onGrid, false}, {nil, false}, {nil, true}} {
		p := &packer{distance: distance, packed: try.packed}
		job := p.place(jobs, try.keep)
		if job == nil {
			return p.phases(), nil
		}
		failed = job
	}
	return nil, failed
}

type packer struct {
	distance int
	packed   bool // take the first free minute instead of one chosen by hash: leaves the most room
	placed   []placement
}

func (p *packer) phases() Phases {
	out := Phases{}
	for _, at := range p.placed {
		out[at.slot] = at.phase
	}
	return out
}

// place puts down what is kept, then the rest. It returns the job that finds no room, or nil.
func (p *packer) place(jobs []Job, keep Phases) *Job {
	done := map[Slot]bool{}
	for _, j := range jobs {
		nodes := slices.Clone(j.Nodes)
		slices.SortFunc(nodes, func(a, b string) int {
			return cmp.Or(cmp.Compare(keep[Slot{j.Name, a}], keep[Slot{j.Name, b}]), cmp.Compare(a, b))
		})
		for _, node := range nodes {
			s := Slot{j.Name, node}
			phase, ok := keep[s]
			at := placement{s, phase, wholeMinutes(j.Every), j.Heavy}
			if ok && phase >= 0 && phase < at.every && p.free(at) {
				p.placed = append(p.placed, at)
				done[s] = true
			}
		}
	}
	for _, j := range jobs {
		nodes := slices.Sorted(slices.Values(j.Nodes))
		for _, node := range nodes {
			s := Slot{j.Name, node}
			if !done[s] && !p.find(placement{slot: s, every: wholeMinutes(j.Every), heavy: j.Heavy}) {
				return &j
			}
		}
	}
	return nil
}

// find places at where there is room: on the grid of multiples of the distance if possible, which wastes nothing, else anywhere.
func (p *packer) find(at placement) bool {
	for _, step := range []int{p.distance, 1} {
		choices := max(at.every/step, 1)
		start := 0
		if !p.packed {
			h := fnv.New64a()
			fmt.Fprintf(h, "%s\x00%s", at.slot.Job, at.slot.Node)
			start = int(h.Sum64() % uint64(choices))
		}
		for i := range choices {
			at.phase = (start + i) % choices * step
			if p.free(at) {
				p.placed = append(p.placed, at)
				return true
			}
		}
	}
	return false
}

// free reports whether at keeps its distance to all that is placed.
func (p *packer) free(at placement) bool {
	for _, other := range p.placed {
		if tooClose(at, other, p.distance) {
			return false
		}
	}
	return true
}

// bound reports whether two slots owe each other distance.
func bound(jobA, nodeA string, heavyA bool, jobB, nodeB string, heavyB bool) bool {
	if jobA == jobB {
		return nodeA != nodeB
	}
	return heavyA && heavyB
}

func tooClose(a, b placement, distance int) bool {
	if !bound(a.slot.Job, a.slot.Node, a.heavy, b.slot.Job, b.slot.Node, b.heavy) {
		return false
	}
	// The differences between starts of a and starts of b are all numbers that equal a.phase-b.phase modulo this.
	g := gcd(a.every, b.every)
	d := mod(a.phase-b.phase, g)
	return min(d, g-d) < distance
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

func mod(a, n int) int { return ((a % n) + n) % n }

// noRoom says what would fit instead.
func noRoom(jobs []Job, failed Job, distance int) error {
	fits := func(change func(j *Job) bool, d int) bool {
		changed := slices.Clone(jobs)
		for i := range changed {
			if changed[i].Name == failed.Name && !change(&changed[i]) {
				return false
			}
		}
		_, f := stagger(changed, d, nil)
		return f == nil
	}
	same := func(*Job) bool { return true }
	var ways []string
	for n := len(failed.Nodes) - 1; n > 0; n-- {
		if fits(func(j *Job) bool { j.Nodes = j.Nodes[:n]; return true }, distance) {
			ways = append(ways, "run it on "+count(n)+" (give those the role cron)")
			break
		}
	}
	// More than this many minutes apart, that many starts don't fit into one interval.
	most := wholeMinutes(failed.Every) / max(len(failed.Nodes), 1)
	for d := min(distance-1, most); d > 0; d-- {
		if fits(same, d) {
			ways = append(ways, "set cron.distance to "+short(time.Duration(d)*time.Minute))
			break
		}
	}
	for _, every := range intervals {
		if every > failed.Every && fits(func(j *Job) bool { j.Every = every; return true }, distance) {
			ways = append(ways, "set its every to "+short(every))
			break
		}
	}
	err := ops.Errorf(ops.CodeInvalid, "cron job %s, every %s on %s, can't keep %s from the others",
		failed.Name, short(failed.Every), count(len(failed.Nodes)), short(time.Duration(distance)*time.Minute))
	if len(ways) == 0 {
		return err.WithHint("run fewer jobs, or on fewer nodes")
	}
	hint := ways[0]
	for _, w := range ways[1:] {
		hint += ", or " + w
	}
	return err.WithHint("%s", hint)
}

func count(nodes int) string {
	if nodes == 1 {
		return "1 node"
	}
	return fmt.Sprintf("%d nodes", nodes)
}
