//go:build bench

package bench

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mosparoctl/mosparoctl/internal/lab/server"
)

// emptyEnv holds the address at which this program, started again, is an empty HTTP server.
const emptyEnv = "BENCH_EMPTY_HTTP"

func TestMain(m *testing.M) {
	if addr := os.Getenv(emptyEnv); addr != "" {
		fmt.Fprintln(os.Stderr, serveEmpty(addr))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// serveEmpty answers every form with the same few bytes: what HTTP alone costs.
func serveEmpty(addr string) error {
	s := http.Server{Addr: addr, ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"submitToken":"x"}`)
	})}
	return s.ListenAndServe()
}

// printEmpty prints the CPU that three requests to an empty handler take: a flow through net/http cannot take less.
func printEmpty(t *testing.T, counts []int) {
	t.Helper()
	addr := server.FreeAddress(t)
	t.Setenv(emptyEnv, addr)
	p := server.Start(t, os.Args[0])
	p.WaitFor("the empty server", server.Answers("tcp", addr))
	fmt.Println("\n| clients | empty handler, three requests: CPU |\n| --- | --- |")
	for _, c := range counts {
		before := processorTime(t, p.PID())
		n := loadEmpty(t, "http://"+addr, c, *duration)
		fmt.Printf("| %d | %s |\n", c, milliseconds(3*(processorTime(t, p.PID())-before).Seconds()/float64(max(1, n))))
	}
}

// loadEmpty posts forms of the size of a check with so many clients for a while, and counts them.
func loadEmpty(t *testing.T, base string, clients int, d time.Duration) int64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	form := url.Values{"publicKey": {strings.Repeat("k", 43)}, "submitToken": {strings.Repeat("t", 43)}, "formData": {strings.Repeat("x", 400)}}.Encode()
	var requests atomic.Int64
	var group sync.WaitGroup
	for range clients {
		group.Go(func() {
			c := http.Client{Transport: &http.Transport{}}
			defer c.CloseIdleConnections()
			for ctx.Err() == nil {
				res, err := c.Post(base, "application/x-www-form-urlencoded", strings.NewReader(form))
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
				requests.Add(1)
			}
		})
	}
	group.Wait()
	return requests.Load()
}
