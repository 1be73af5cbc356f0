package httpapi

import (
	"context"
	"net/http"
	"time"

	"golang.org/x/sync/semaphore"
)

// What bodies may take while they are read, and what is made of them and of queries, bytes of all requests together. A body of 200 KB can be decoded to
// 20 MB, so a thousand of them must not be handled at once, nor must they hold up the forms that people send.
const (
	smallBody     = 32 << 10  // up to here a body is not counted while it is read
	usualBody     = 256 << 10 // larger ones wait for each other only
	usualBodies   = 64 << 20
	largeBodies   = 32 << 20
	smallRequest  = 32 << 10 // the same for what is made of them
	usualRequest  = 1 << 20
	requests      = 64 << 20 // of the usual ones, and of the larger ones
	bytesPerByte  = 4        // a body is copied, taken apart and put together again
	bytesPerValue = 400      // of a list, an object, a member of them, or a parameter
	patience      = 30 * time.Second
)

// budget is an amount of memory that requests share. What is small is not counted; the usual and the large are, each by themselves.
type budget struct {
	small, usual int64
	sizes        [2]int64
	shared       [2]*semaphore.Weighted
}

func newBudget(small, usual, usualShare, largeShare int64) *budget {
	return &budget{small, usual, [2]int64{usualShare, largeShare}, [2]*semaphore.Weighted{semaphore.NewWeighted(usualShare), semaphore.NewWeighted(largeShare)}}
}

// take waits until n bytes are left, or all for what is larger. The error is an exception with the status for it.
func (b *budget) take(ctx context.Context, n int64) (giveBack func(), err error) {
	if n <= b.small {
		return func() {}, nil
	}
	kind := 0
	if n > b.usual {
		kind = 1
	}
	n = min(n, b.sizes[kind])
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if b.shared[kind].Acquire(ctx, n) != nil {
		return nil, exception{status: http.StatusServiceUnavailable}
	}
	return func() { b.shared[kind].Release(n) }, nil
}

// cost is about how much memory a query or a body takes, whatever its type: values are what characters of JSON and of forms begin, also
// written with a percent sign or a backslash.
func cost[T string | []byte](raw T) int64 {
	values := 0
	for i := range len(raw) {
		switch raw[i] {
		case ',', '[', '{', '&':
			values++
		case '\\':
			if i+1 < len(raw) && raw[i+1] == 'u' {
				values++
			}
		case '%':
			if i+2 < len(raw) {
				switch string([]byte{raw[i+1], raw[i+2] &^ 0x20}) {
				case "2C", "5B", "7B":
					values++
				}
			}
		}
	}
	return bytesPerByte*int64(len(raw)) + bytesPerValue*int64(values)
}
