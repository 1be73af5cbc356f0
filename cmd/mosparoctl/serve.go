package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/protection/cache"
	website "github.com/mosparoctl/mosparoctl/protection/demo"
	"github.com/mosparoctl/mosparoctl/protection/server"
)

type serveOptions struct {
	coreOptions
	listen, metricsListen, logFormat string
	drain                            time.Duration
	checkConfig, demo                bool
}

func (o *serveOptions) addFlags(cmd *cobra.Command) {
	o.coreOptions.addFlags(cmd)
	f := cmd.Flags()
	f.StringVar(&o.listen, "listen", "127.0.0.1:8080", "`address` to serve on: host:port, or unix:PATH")
	f.StringVar(&o.metricsListen, "metrics-listen", "", "`address` of /metrics for Prometheus (default: none)")
	f.DurationVar(&o.drain, "drain-time", 5*time.Second, "how long the health check says \"draining\" before the server stops listening; set it above the balancer's interval times its fall count")
	f.StringVar(&o.logFormat, "log-format", "text", "form of the log on the error stream: text or json")
	f.BoolVar(&o.checkConfig, "check-config", false, "check configuration, database, key and cache, and end")
	f.BoolVar(&o.demo, "demo", false, "serve a page with a protected form from a temporary folder, to look at in a browser")
}

func newServe(a *app) *cobra.Command {
	var o serveOptions
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the protection core",
		Long: `Serves mosparo's HTTP API: what websites and visitors of a mosparo node need. With --config-file it is a node of an
existing deployment and shares its database, key and cache with the PHP nodes. Without it, it stands alone on a SQLite
database in --data-dir, which is made at the first start.

SIGTERM and Ctrl-C end it: health says "draining" for --drain-time, then requests in flight end. SIGHUP reads the
configuration again; database, cache and addresses keep theirs until a restart.

Behind a proxy or balancer set TRUSTED_PROXIES, else all visitors share its address.`,
		Example: `  mosparoctl serve --demo
  mosparoctl serve --listen 127.0.0.1:8080 --data-dir /var/lib/mosparoctl
  mosparoctl serve --listen :8080 --config-file /var/www/mosparo/config/env.mosparo.php --env-file /var/www/mosparo/.env.local --metrics-listen 127.0.0.1:9180
  mosparoctl serve --check-config --config-file config/env.mosparo.php`,
		Annotations: exits(ops.CodeInvalid, ops.CodeUnreachable, ops.CodeFindings),
		Args:        cobra.NoArgs,
		RunE:        func(cmd *cobra.Command, _ []string) error { return runServe(cmd.Context(), a, o) },
	}
	o.addFlags(cmd)
	return cmd
}

func runServe(ctx context.Context, a *app, o serveOptions) error {
	log, err := o.logger(a)
	if err != nil {
		return err
	}
	if o.demo {
		return runServeDemo(ctx, a, o, log)
	}
	so, c, err := o.options()
	if err != nil {
		return err
	}
	so.Listen, so.MetricsListen, so.DrainTime, so.Log, so.Version = o.listen, o.metricsListen, o.drain, log, version
	for _, w := range c.Warnings {
		a.printer.Emit(ops.Event{Kind: ops.Warning, Message: w})
	}
	if o.checkConfig {
		return runCheckConfig(ctx, a, so)
	}
	defer paceCollector()()
	s, err := server.Open(ctx, so)
	if err != nil {
		return asCoreError("serve", err)
	}
	a.printer.Emit(ops.Event{Kind: ops.Summary, Message: "Serving on " + address(s.Addr())})
	n := newNotifier()
	n.ready("serving on " + s.Addr())
	err = o.hold(ctx, s, n, log)
	n.stopping()
	return errors.Join(err, asCoreError("end", s.Close(context.WithoutCancel(ctx))))
}

// logger writes the log to the error stream. It never holds addresses or data of visitors.
func (o *serveOptions) logger(a *app) (*slog.Logger, error) {
	level := &slog.HandlerOptions{Level: slog.LevelInfo}
	switch {
	case a.flags.verbose:
		level.Level = slog.LevelDebug
	case a.flags.quiet:
		level.Level = slog.LevelWarn
	}
	switch o.logFormat {
	case "text":
		return slog.New(slog.NewTextHandler(a.stderr, level)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(a.stderr, level)), nil
	}
	return nil, ops.Errorf(ops.CodeUsage, "unknown log format %q", o.logFormat).WithHint("--log-format text or --log-format json")
}

// hold waits for the end, and reloads at SIGHUP.
func (o *serveOptions) hold(ctx context.Context, s *server.Server, n *notifier, log *slog.Logger) error {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	alive := time.NewTicker(n.every())
	defer alive.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-s.Ended():
			return &ops.Error{Code: ops.CodeFailed, Op: "serve", Err: err}
		case <-alive.C:
			n.alive()
		case <-hup:
			n.send("RELOADING=1")
			so, _, err := o.options()
			if err == nil {
				err = s.Reload(ctx, so.Settings)
			}
			if err != nil {
				log.Error("the configuration was not reloaded; the old one stays", "error", err)
			} else {
				log.Info("configuration reloaded")
			}
			n.ready("serving on " + s.Addr())
		}
	}
}

// checkView is the outcome of --check-config.
type checkView struct {
	Part  string `json:"part"`
	OK    bool   `json:"ok"`
	Error string `json:"error,omitempty"`
}

// runCheckConfig opens everything as serve would, without listening for longer than a moment.
func runCheckConfig(ctx context.Context, a *app, so server.Options) error {
	so.Listen, so.MetricsListen, so.DrainTime, so.Log = "127.0.0.1:0", "", 0, slog.New(slog.DiscardHandler)
	so.Settings.NoCleanup = true
	var parts []checkView
	add := func(part string, err error) {
		v := checkView{Part: part, OK: err == nil}
		if err != nil {
			v.Error = err.Error()
		}
		parts = append(parts, v)
	}
	add("configuration", nil)
	c, err := cache.Open(so.Cache)
	if err == nil {
		err = errors.Join(cache.Ping(ctx, c), c.Close())
	}
	add("cache", err)
	s, openErr := server.Open(ctx, so)
	add("database, schema and key", openErr)
	if openErr == nil {
		openErr = s.Close(ctx)
	}
	a.printer.Result("check", parts, func(w io.Writer) {
		for _, p := range parts {
			if p.OK {
				fmt.Fprintf(w, "ok    %s\n", p.Part)
			} else {
				fmt.Fprintf(w, "fail  %s: %s\n", p.Part, p.Error)
			}
		}
	})
	if openErr != nil {
		return asCoreError("check configuration", openErr)
	}
	if err != nil {
		return ops.Errorf(ops.CodeFindings, "the cache cannot be used: %w", err).WithHint("check MOSPARO_CACHE_ADAPTER and its address")
	}
	return nil
}

// address is a URL for people to click on.
func address(addr string) string {
	if host, port, err := net.SplitHostPort(addr); err == nil {
		if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
			host = "localhost"
		}
		return "http://" + net.JoinHostPort(host, port)
	}
	return addr
}

// runServeDemo serves a website with a protected form, and the core that protects it, from a temporary folder.
func runServeDemo(ctx context.Context, a *app, o serveOptions, log *slog.Logger) (err error) {
	dir, err := os.MkdirTemp("", "mosparoctl-serve-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	o.configFile, o.envFile, o.dataDir = "", "", dir
	so, _, err := o.options()
	if err != nil {
		return err
	}
	so.Listen, so.MetricsListen, so.Log, so.Version = "127.0.0.1:0", o.metricsListen, log, version
	so.Cache = cache.Options{Adapter: "memory"}
	s, err := server.Open(ctx, so)
	if err != nil {
		return asCoreError("serve", err)
	}
	defer func() { err = errors.Join(err, asCoreError("end", s.Close(context.WithoutCancel(ctx)))) }()
	p, err := website.Seed(ctx, s.Store())
	if err != nil {
		return asCoreError("make the demo", err)
	}
	var l net.ListenConfig
	listener, err := l.Listen(ctx, "tcp", o.listen)
	if err != nil {
		return &ops.Error{Code: ops.CodeInvalid, Op: "listen", Err: err, Hint: "--listen 127.0.0.1:0 takes a free port"}
	}
	site := &http.Server{Handler: website.NewSite("http://"+s.Addr(), p), ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- site.Serve(listener) }()
	a.printer.Result("demo", map[string]string{"url": address(listener.Addr().String()), "core": "http://" + s.Addr()}, func(w io.Writer) {
		fmt.Fprintf(w, "A page with a protected form: %s\nThe protection core behind it:  http://%s\nCtrl-C ends both and removes their data.\n",
			address(listener.Addr().String()), s.Addr())
	})
	select {
	case <-ctx.Done():
	case err = <-ended:
	}
	shutdown, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return errors.Join(err, site.Shutdown(shutdown))
}
