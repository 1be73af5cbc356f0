package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/mosparoctl/mosparoctl/ops/envfile"
	"github.com/mosparoctl/mosparoctl/ops/local"
	"github.com/mosparoctl/mosparoctl/ops/release"
)

// app stands in for mosparo on one node: it has no PHP, but it reads version and configuration of the release at "current"
// at each request, and answers the health check as mosparo does.
type app struct {
	node, current string
	listener      net.Listener
	server        *http.Server
	mux           *http.ServeMux
}

func startApp(node, current string) (*app, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	a := &app{node: node, current: current, listener: l, mux: http.NewServeMux()}
	mux := a.mux
	mux.HandleFunc("GET /api/v1/health/check", a.health)
	mux.HandleFunc("/{$}", a.home)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		http.FileServerFS(os.DirFS(filepath.Join(current, "public"))).ServeHTTP(w, r)
	})
	a.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = a.server.Serve(l) }()
	return a, nil
}

// serveCore passes what the protection core answers on to it.
func (a *app) serveCore(core *url.URL) {
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(core)
		r.Out.Header["X-Forwarded-For"] = r.In.Header["X-Forwarded-For"] // from the balancer, with the visitor's address
		r.Out.Host = r.In.Host
	}}
	for _, path := range []string{"/api/v1/frontend/", "/api/v1/verification/", "/api/v1/statistic/", "/resources/", "/build/"} {
		a.mux.Handle(path, proxy)
	}
}

func (a *app) addr() string { return a.listener.Addr().String() }

func (a *app) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return a.server.Shutdown(ctx)
}

// versions are those of the code and of the configuration; "" where there is none.
func (a *app) versions(ctx context.Context) (code, installed string) {
	// Without a release there is no version: the error says nothing more.
	code, _ = release.KernelVersion(ctx, local.New(a.node), filepath.Join(a.current, "src", "Kernel.php"))
	data, err := os.ReadFile(filepath.Join(a.current, "config", "env.mosparo.php"))
	if err != nil {
		return code, ""
	}
	config, err := envfile.ParsePHP(data)
	if err != nil {
		return code, ""
	}
	return code, config.Text("mosparo_installed_version")
}

// healthReply has the fields of mosparo's health check, in its order.
type healthReply struct {
	Service        string  `json:"service"`
	Healthy        bool    `json:"healthy"`
	DatabaseStatus string  `json:"databaseStatus"`
	Error          *string `json:"error"`
	StatusCode     int     `json:"statusCode"`
}

func (a *app) health(w http.ResponseWriter, r *http.Request) {
	code, installed := a.versions(r.Context())
	reply := healthReply{Service: "mosparo", Healthy: true, DatabaseStatus: "connected", StatusCode: http.StatusOK}
	switch {
	case installed == "":
		reply.DatabaseStatus = "test-skipped__not-configured"
	case installed != code:
		reply.DatabaseStatus = "test-skipped__update-not-finished"
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(reply)
}

func (a *app) home(w http.ResponseWriter, r *http.Request) {
	code, _ := a.versions(r.Context())
	if code == "" {
		http.Error(w, a.node+": nothing is deployed", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintf(w, "mosparo %s on %s\n", code, a.node)
}
