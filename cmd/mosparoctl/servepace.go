package main

import (
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// mostGarbage is how much a busy server may leave behind before it collects, beside what Go's default allows: the size
	// of the live heap. Without it a server with few rules, whose heap is some 10 MB, would collect ten times a second.
	// Where a control group bounds the memory it is a quarter of that bound at most.
	mostGarbage = 64 << 20
	// busyCycle is the time between two collections below which a server counts as busy. An idle one collects every two
	// minutes, and then gives back what it held for the load.
	busyCycle = 20 * time.Second
	// collections by default let the heap grow by this percentage.
	defaultPercent = 100
)

// pacer sets how often the garbage collector runs, after each of its cycles. It costs nothing between them.
type pacer struct {
	garbage uint64
	mu      sync.Mutex
	last    time.Time // when the last cycle ended
	percent int
	ended   bool
}

// paceCollector lets a busy server collect its garbage less often, until stop is called. Whoever set GOGC or GOMEMLIMIT keeps
// what was set.
func paceCollector() (stop func()) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return func() {}
	}
	p := &pacer{garbage: min(mostGarbage, memoryMax("/")/4), last: time.Now(), percent: defaultPercent}
	p.afterCycle()
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.ended = true
		debug.SetGCPercent(defaultPercent)
	}
}

// afterCycle has adjust called after the collection that finds the marker dead.
func (p *pacer) afterCycle() {
	marker := &struct{ p *pacer }{p}
	runtime.AddCleanup(marker, (*pacer).adjust, p)
}

func (p *pacer) adjust() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return
	}
	if percent := growth(liveHeap(), p.garbage, time.Since(p.last)); percent != p.percent {
		p.percent = percent
		debug.SetGCPercent(percent)
		if percent == defaultPercent {
			debug.FreeOSMemory()
		}
	}
	p.last = time.Now()
	p.afterCycle()
}

// growth is by how many per cent the heap may grow, in steps: setting it stops the program for a moment.
func growth(live, garbage uint64, sinceLast time.Duration) int {
	if sinceLast > busyCycle {
		return defaultPercent
	}
	const step = 50
	return defaultPercent + int(garbage*100/max(live, 4<<20))/step*step
}

// liveHeap is what the last collection found to be in use, in bytes.
func liveHeap() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return sample[0].Value.Uint64()
}

// memoryMax is the smallest memory.max of the process's control group and those above it, in bytes, the largest number if
// there is none. root is where proc and sys are.
func memoryMax(root string) uint64 {
	most := uint64(math.MaxUint64)
	own, err := os.ReadFile(filepath.Join(root, "proc/self/cgroup"))
	if err != nil {
		return most
	}
	_, group, ok := strings.Cut(string(own), "0::/") // version 2
	if !ok {
		return most
	}
	group, _, _ = strings.Cut(group, "\n")
	for dir := filepath.Clean("/" + group); ; dir = filepath.Dir(dir) {
		if text, err := os.ReadFile(filepath.Join(root, "sys/fs/cgroup", dir, "memory.max")); err == nil {
			if n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64); err == nil { // or "max"
				most = min(most, n)
			}
		}
		if dir == "/" {
			return most
		}
	}
}
