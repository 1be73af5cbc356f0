package server

import (
	"context"
	"crypto/subtle"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/mosparoctl/mosparoctl/protection/cleanup"
	"github.com/mosparoctl/mosparoctl/protection/rulepackage"
)

// WebCron is the cron job that is triggered over HTTP, for hosts without a scheduler of their own.
type WebCron struct {
	Active    bool
	Key       string
	Interval  time.Duration // between two runs on this node
	AllowList string        // addresses that may trigger it, empty: all
	Packages  rulepackage.Fetcher
}

// webCronFor is how long a run may take, as long as PHP's default max_execution_time.
const webCronFor = 30 * time.Second

// webCron answers the trigger. Interval and lock hold for this node, as they do on a PHP node.
type webCron struct {
	server  *Server
	set     WebCron
	cleaner *cleanup.Cleaner

	mu      sync.Mutex
	running bool
	next    time.Time
}

func (w *webCron) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	answer := func(status int) {
		h := rw.Header()
		h.Set("Content-Type", "text/html; charset=UTF-8")
		h.Set("Cache-Control", "max-age=0, must-revalidate, private")
		h.Set("Expires", time.Now().UTC().Format(http.TimeFormat))
		rw.WriteHeader(status)
		if r.Method != http.MethodHead {
			_, _ = fmt.Fprintf(rw, "%d %s", status, http.StatusText(status))
		}
	}
	key, given := r.URL.Query()["key"]
	switch {
	case !given:
		answer(http.StatusBadRequest)
	case !w.set.Active || w.set.Key == "":
		answer(http.StatusForbidden)
	case subtle.ConstantTimeCompare([]byte(key[len(key)-1]), []byte(w.set.Key)) != 1:
		answer(http.StatusUnauthorized)
	default:
		if status := w.begin(); status != http.StatusOK {
			answer(status)
			return
		}
		defer w.end()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), webCronFor)
		defer cancel()
		w.work(ctx)
		answer(http.StatusOK)
	}
}

func (w *webCron) begin() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch now := time.Now(); {
	case w.running:
		return http.StatusTooManyRequests
	case now.Before(w.next):
		return http.StatusTooEarly
	default:
		w.running, w.next = true, now.Add(w.set.Interval)
		return http.StatusOK
	}
}

func (w *webCron) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.running = false
}

// work cleans up and refreshes packages. What fails is logged and stops nothing else.
func (w *webCron) work(ctx context.Context) {
	log, s := w.server.o.Log, w.server.store
	if _, err := w.cleaner.Run(ctx, cleanup.WebCron(webCronFor)); err != nil {
		log.Warn("the web cron job could not clean up", "error", err)
	}
	all, err := s.Projects(ctx)
	if err != nil {
		log.Warn("the web cron job could not refresh rule packages", "error", err)
		return
	}
	for i := range all {
		packages, err := s.Packages(ctx, all[i].ID)
		if err != nil {
			log.Warn("the web cron job could not read rule packages", "project", all[i].ID, "error", err)
			continue
		}
		for j := range packages {
			if p := &packages[j]; p.Active {
				if _, err := w.set.Packages.Refresh(ctx, s, &all[i], p, false); err != nil {
					log.Warn("a rule package could not be refreshed", "project", all[i].ID, "package", p.ID, "error", err)
				}
			}
		}
	}
}
