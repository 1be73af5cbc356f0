package metrics

import (
	"cmp"
	"math"
	"slices"

	dto "github.com/prometheus/client_model/go"
)

// maxBuckets bounds the buckets of a histogram.
const maxBuckets = 200

// Histogram counts durations by their length. It is not changed once it was made.
type Histogram struct {
	bounds []float64 // upper ends of the buckets in seconds, growing; the last may be +Inf
	counts []float64 // in each bucket, without those below it
}

// histogram reads the cumulative buckets of the text format.
func histogram(h *dto.Histogram) (Histogram, bool) {
	buckets := slices.Clone(h.GetBucket())
	if len(buckets) == 0 || len(buckets) > maxBuckets {
		return Histogram{}, false
	}
	slices.SortFunc(buckets, func(a, b *dto.Bucket) int { return cmp.Compare(a.GetUpperBound(), b.GetUpperBound()) })
	var out Histogram
	below := 0.0
	for _, b := range buckets {
		if math.IsNaN(b.GetUpperBound()) {
			return Histogram{}, false
		}
		total := max(sane(float64(b.GetCumulativeCount())), below)
		out.bounds, out.counts = append(out.bounds, b.GetUpperBound()), append(out.counts, total-below)
		below = total
	}
	return out, true
}

// Count is the number of durations.
func (h Histogram) Count() float64 {
	n := 0.0
	for _, c := range h.counts {
		n += c
	}
	return n
}

// merged is the sum of histograms. Where buckets differ, which only those of different versions do, it is the sum of those
// that are like the one with most in it.
func merged(list []Histogram) Histogram {
	if len(list) == 0 {
		return Histogram{}
	}
	like := list[0]
	if slices.ContainsFunc(list, func(h Histogram) bool { return !slices.Equal(h.bounds, like.bounds) }) {
		like = slices.MaxFunc(list, func(a, b Histogram) int { return cmp.Compare(a.Count(), b.Count()) })
	}
	sum := Histogram{like.bounds, make([]float64, len(like.counts))}
	for _, h := range list {
		if slices.Equal(h.bounds, sum.bounds) {
			for i, c := range h.counts {
				sum.counts[i] += c
			}
		}
	}
	return sum
}

// since is what was counted after before, or all of it if the counters began anew.
func (h Histogram) since(before Histogram) Histogram {
	if !slices.Equal(h.bounds, before.bounds) {
		return h
	}
	d := Histogram{h.bounds, slices.Clone(h.counts)}
	for i, c := range before.counts {
		if d.counts[i] -= c; d.counts[i] < 0 {
			return h
		}
	}
	return d
}

// Quantile is the duration in seconds below which the share q (0 to 1) of all durations is: interpolated within its bucket
// as Prometheus does it. over says that it is longer than the highest bound, which is then the value. ok is false if nothing
// was counted.
func (h Histogram) Quantile(q float64) (seconds float64, over, ok bool) {
	rank := q * h.Count()
	if rank <= 0 {
		return 0, false, false
	}
	below, low := 0.0, 0.0
	for i, c := range h.counts {
		high := h.bounds[i]
		if math.IsInf(high, 1) {
			break
		}
		if c > 0 && below+c >= rank {
			return low + (high-low)*(rank-below)/c, false, true
		}
		below, low = below+c, high
	}
	return low, true, true
}
