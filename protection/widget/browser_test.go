package widget_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/mosparoctl/mosparoctl/internal/lab/server"
	"github.com/mosparoctl/mosparoctl/protection/sign"
	"github.com/mosparoctl/mosparoctl/protection/widget"
)

// stub is a server with just as much of the API as the widget talks to.
type stub struct {
	mu      sync.Mutex
	mode    string
	asked   map[string]any
	release chan struct{} // lets one held answer go
	done    chan []string
}

// hold keeps an answer back until the page asks for /release, and lets others be given meanwhile.
func (s *stub) hold(r *http.Request) {
	s.mu.Unlock()
	defer s.mu.Lock()
	select {
	case <-s.release:
	case <-r.Context().Done():
	}
}

const proofNumber = 2500 // more than one slice of the loop without a worker

func (s *stub) token(w http.ResponseWriter, r *http.Request) {
	params := map[string]string{}
	for key := range r.PostForm {
		params[key] = r.PostForm.Get(key)
	}
	s.asked["token"] = params
	messages := map[string]string{
		"locale": "xx", "label": "Label <b>", "accessibilityProtectedBy": "Protected", "accessibilityCheckingData": "Checking", "accessibilityDataValid": "Valid",
		"errorSpamDetected": "Spam", "errorLockedOut": "Locked until %datetime%", "errorDelay": "Wait %seconds%!", "errorInternalError": "Internal",
		"errorGotNoToken": "Reload",
	}
	reply := map[string]any{"messages": messages}
	if s.mode == "held" {
		s.mode = ""
		s.hold(r)
	}
	if s.mode == "delay" {
		reply["security"], reply["type"], reply["forSeconds"] = true, "delay", 2
	} else {
		reply["submitToken"], reply["showLogo"], reply["invisible"] = "token", true, s.mode == "invisible"
		if s.mode == "" {
			reply["honeypotFieldName"], reply["proofOfWorkMaxNumber"], reply["proofOfWorkResult"] = "hp", proofNumber, sign.ProofOfWork("token", proofNumber)
		}
	}
	_ = json.NewEncoder(w).Encode(reply)
}

func (s *stub) check(w http.ResponseWriter, r *http.Request) {
	s.asked["check"] = map[string]string{"extra": r.PostForm.Get("extra"), "metadata": r.PostForm.Get("metadata")}
	if r.PostForm.Get("proofOfWorkNumber") == strconv.Itoa(proofNumber) {
		s.asked["proof"] = "right"
	}
	var data struct {
		Fields []struct {
			Name  string
			Value any
		}
	}
	_ = json.Unmarshal([]byte(r.PostForm.Get("formData")), &data)
	for _, f := range data.Fields {
		if f.Name != "a" {
			continue
		}
		switch f.Value {
		case "spam":
			_, _ = io.WriteString(w, `{"valid":false,"validationToken":null}`)
		case "held":
			s.hold(r)
			_, _ = io.WriteString(w, `{"valid":false,"validationToken":null}`)
		case "used":
			_, _ = io.WriteString(w, `{"error":true,"errorMessage":"Submit token not valid."}`)
		case "lockout":
			_, _ = io.WriteString(w, `{"security":true,"type":"lockout","until":"2026-11-23T03:31:06+00:00"}`)
		case "error":
			w.WriteHeader(http.StatusInternalServerError)
		case "garbage":
			_, _ = io.WriteString(w, `<html>`)
		default:
			_, _ = io.WriteString(w, `{"valid":true,"validationToken":"validation"}`)
		}
	}
}

func (s *stub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("Cache-Control", "no-store")
	if r.Method == http.MethodPost && r.URL.Path != "/done" {
		_ = r.ParseForm()
	}
	switch r.URL.Path {
	case widget.ScriptPath:
		w.Header().Set("Content-Type", "text/javascript")
		_, _ = io.WriteString(w, widget.Own().Script)
	case "/resources/uuid-1.css":
		w.Header().Set("Content-Type", "text/css")
		_, _ = io.WriteString(w, widget.NewDesign(nil).Style(widget.Own().Style, "uuid-1", widget.LogoPath))
	case "/scenario.js", "/page.html":
		http.ServeFile(w, r, "testdata"+r.URL.Path)
	case "/api/v1/frontend/request-submit-token":
		s.token(w, r)
	case "/api/v1/frontend/check-form-data":
		s.check(w, r)
	case "/api/v1/frontend/store-form-data":
		s.asked["stored"] = r.PostForm.Get("formData")
		if s.mode == "expired" {
			_, _ = io.WriteString(w, `{"error":true,"errorMessage":"Submit token not valid."}`)
			return
		}
		_, _ = io.WriteString(w, `{"result":true}`)
	case "/release":
		s.release <- struct{}{}
		_, _ = io.WriteString(w, `{}`)
	case "/asked":
		_ = json.NewEncoder(w).Encode(s.asked)
	case "/mode":
		s.mode = r.URL.Query().Get("is")
		_, _ = io.WriteString(w, `{}`)
	case "/done":
		var steps []string
		_ = json.NewDecoder(r.Body).Decode(&steps)
		s.done <- steps
	default:
		http.NotFound(w, r)
	}
}

// browse opens the page in a headless Chromium and returns the steps that went well.
func browse(t *testing.T, handler http.Handler, done <-chan []string) []string {
	t.Helper()
	chromium := server.Binary(t, "chromium")
	site := httptest.NewServer(handler)
	t.Cleanup(site.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--remote-debugging-port=0",
		"--user-data-dir="+t.TempDir(), site.URL+"/page.html")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Wait() }()
	defer cancel()
	select {
	case steps := <-done:
		return steps
	case <-ctx.Done():
		t.Fatal("the browser did not finish")
		return nil
	}
}

// TestBrowser drives the script in Chromium through what websites and plugins rely on, once with workers and once on a
// page whose content security policy forbids them.
func TestBrowser(t *testing.T) {
	want := []string{"missing container", "build", "token", "form data", "submit gate", "keyboard", "change resets", "a field that was added", "change during the check", "a late answer",
		"a token that was sent already", "back to the page", "spam", "lockout", "server error", "form reset", "a slow token", "own texts",
		"delay", "invisible", "refused invisibly", "multi step", "second form", "design mode"}
	for name, policy := range map[string]string{"worker": "", "no worker": "worker-src 'none'"} {
		t.Run(name, func(t *testing.T) {
			s := &stub{asked: map[string]any{}, release: make(chan struct{}, 2), done: make(chan []string, 1)}
			steps := browse(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if policy != "" {
					w.Header().Set("Content-Security-Policy", policy)
				}
				s.ServeHTTP(w, r)
			}), s.done)
			for i := range want {
				if i >= len(steps) || steps[i] != want[i] {
					t.Fatalf("step %q: %v", want[i], steps[min(i, len(steps)):])
				}
			}
		})
	}
}
