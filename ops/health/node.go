package health

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/envfile"
	"github.com/mosparoctl/mosparoctl/ops/release"
)

// fileLimit bounds every file that is read whole.
const fileLimit = 1 << 20

// node is one node during one run. What several checks need is read once and kept.
type node struct {
	*inventory.Node
	session  *session
	index    int
	slots    chan struct{}
	finished atomic.Int64 // asks that got an answer
	stuck    chan struct{}
	once     sync.Once

	connected chan struct{} // closed when host or err is set
	host      ops.Host
	err       error

	config  lazy[configFile]
	env     lazy[envFiles]
	release lazy[release.Info]
	php     lazy[phpFacts]
	db      lazy[dbFacts]
}

func newNode(ctx context.Context, s *session, n *inventory.Node, index int) *node {
	nd := &node{Node: n, session: s, index: index, slots: make(chan struct{}, asksPerNode), stuck: make(chan struct{}),
		connected: make(chan struct{})}
	go func() {
		defer close(nd.connected)
		nd.host, nd.err = s.connect(ctx, n.Name)
	}()
	return nd
}

// connect opens the connection to a node within the deadline, from which it takes the time in which somebody thinks about a passphrase.
func (s *session) connect(ctx context.Context, node string) (ops.Host, error) {
	questions := func() int64 {
		if s.env.Questions == nil {
			return 0
		}
		return s.env.Questions()
	}
	for {
		before := questions()
		attempt, cancel := context.WithTimeoutCause(ctx, s.timeout, fmt.Errorf("no connection within %s", s.timeout))
		host, err := s.env.Hosts.Host(attempt, node)
		late := attempt.Err() != nil
		cancel()
		switch now := questions(); {
		case err == nil || !late || errors.Is(err, context.Canceled):
			return host, err
		case ctx.Err() != nil || now == before && now%2 == 0:
			return nil, ops.Errorf(ops.CodeUnreachable, "%w", context.Cause(attempt))
		}
	}
}

// connect waits for the one connection that all checks share.
func (n *node) connect(ctx context.Context) error {
	select {
	case <-n.connected:
		return n.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (n *node) markStuck() { n.once.Do(func() { close(n.stuck) }) }

// file is a path below the installation.
func (n *node) file(name string) string { return path.Join(n.InstallPath(), name) }

// read reads a file whole, at most fileLimit.
func (n *node) read(ctx context.Context, name string) ([]byte, error) {
	f, err := n.host.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, fileLimit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(text) > fileLimit {
		return nil, fmt.Errorf("read %s: it is larger than %d bytes", name, fileLimit)
	}
	return text, nil
}

// stat describes name, following symlinks.
func (n *node) stat(ctx context.Context, name string) (ops.FileInfo, error) {
	for range 16 {
		info, err := n.host.Lstat(ctx, name)
		if err != nil || !info.IsLink() {
			return info, err
		}
		target, err := n.host.ReadLink(ctx, name)
		if err != nil {
			return info, err
		}
		if !path.IsAbs(target) {
			target = path.Join(path.Dir(name), target)
		}
		name = target
	}
	return ops.FileInfo{}, fmt.Errorf("%s: too many symlinks", name)
}

// reason is err as one line, without the node's name, which stands beside it.
func (n *node) reason(err error) string {
	return oneLine(strings.ReplaceAll(err.Error(), n.Name+": ", ""))
}

// output runs a command and returns what it printed.
func (n *node) output(ctx context.Context, argv ...string) ([]byte, error) {
	res, err := n.host.Run(ctx, ops.Command{Argv: argv})
	return res.Stdout, err
}

// lazy is a value that is read at its first use and kept, error included.
type lazy[T any] struct {
	mu   sync.Mutex
	done bool
	val  T
	err  error
}

// get returns the value, reading it if nobody has. A reader whose ctx ended leaves the work to the next one.
func (l *lazy[T]) get(ctx context.Context, read func(context.Context) (T, error)) (T, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.done {
		v, err := read(ctx)
		if ctx.Err() != nil {
			return v, err
		}
		l.val, l.err, l.done = v, err, true
	}
	return l.val, l.err
}

// Names at the root of a release, as ops/release writes them.
const (
	releaseInfoFile = ".mosparoctl-release"
	manifestFile    = ".mosparoctl-manifest"
)

// releaseOf reads the info of the running release; zero for an installation that no deploy has made.
func (n *node) releaseOf(ctx context.Context) (release.Info, error) {
	return n.release.get(ctx, func(ctx context.Context) (release.Info, error) {
		raw, err := n.read(ctx, n.file(releaseInfoFile))
		if errors.Is(err, fs.ErrNotExist) {
			return release.Info{}, nil
		}
		if err != nil {
			return release.Info{}, err
		}
		r, err := release.ParseInfo(raw)
		if err != nil {
			return r, failf(n.deployMend(), "%s can't be read: %v", n.file(releaseInfoFile), err)
		}
		return r, nil
	})
}

// mosparo says errNotConcerned of a node whose release is not mosparo, but any tree of files.
func (n *node) mosparo(ctx context.Context) error {
	r, err := n.releaseOf(ctx)
	if err == nil && r.Kind == release.KindAny {
		return errNotConcerned
	}
	return err
}

// configFile is a node's config/env.mosparo.php.
type configFile struct {
	path string
	raw  []byte
	*envfile.Config
}

// configuration reads the config file where mosparo on the node would.
func (n *node) configuration(ctx context.Context) (configFile, error) {
	return n.config.get(ctx, func(ctx context.Context) (configFile, error) {
		if err := n.mosparo(ctx); err != nil {
			return configFile{}, err
		}
		env, err := n.environment(ctx)
		if err != nil {
			return configFile{}, err
		}
		name := n.file("config/env.mosparo.php")
		if suffix := env.values["MOSPARO_ENV_SUFFIX"]; suffix != "" {
			name = n.file("config/env.mosparo." + suffix + ".php")
		}
		if p := env.values["MOSPARO_CONFIG_FILE_PATH"]; p != "" {
			name = p
		}
		raw, err := n.read(ctx, name)
		if errors.Is(err, fs.ErrNotExist) {
			return configFile{}, failf("mosparoctl sync --nodes "+n.Name,
				"%s is missing: mosparo looks uninstalled and its installer is open to everybody", name)
		}
		if err != nil {
			return configFile{}, err
		}
		c, err := envfile.ParsePHP(raw)
		if err != nil {
			return configFile{}, failf("", "%s can't be read: %v", name, err)
		}
		for _, e := range c.Entries() {
			if envfile.IsSecret(e.Key) {
				n.session.secret(c.Text(e.Key)) // known to the redactor before anything is said about the file
			}
		}
		return configFile{path: name, raw: raw, Config: c}, nil
	})
}

// envFiles are a node's .env files as mosparo merges them.
type envFiles struct {
	values map[string]string // effective
	local  map[string]string // of .env.local alone; nil if there is none
	dumped bool              // .env.local.php replaces them all
}

// environment reads the .env files. Variables of the web server's or the system's own are not seen from outside.
func (n *node) environment(ctx context.Context) (envFiles, error) {
	return n.env.get(ctx, n.readEnvironment)
}

func (n *node) readEnvironment(ctx context.Context) (envFiles, error) {
	e := envFiles{values: map[string]string{}}
	raw, err := n.read(ctx, n.file(".env.local.php"))
	if err == nil {
		c, err := envfile.ParsePHP(raw)
		if err != nil {
			return e, failf("", ".env.local.php can't be read: %v", err)
		}
		for _, entry := range c.Entries() {
			e.values[entry.Key] = c.Text(entry.Key)
		}
		e.dumped = true
		return e, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return e, err
	}
	layer := func(name string) (map[string]string, error) {
		raw, err := n.read(ctx, n.file(name))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		vars, err := envfile.ParseDotenv(raw, func(name string) (string, bool) { v, ok := e.values[name]; return v, ok })
		if err != nil {
			return nil, failf("", "%s can't be read: %v", name, err)
		}
		values := envfile.Values(vars)
		for k, v := range values {
			e.values[k] = v
			if envfile.IsSecret(k) {
				n.session.secret(v)
			}
		}
		return values, nil
	}
	if _, err := layer(".env"); err != nil {
		return e, err
	}
	if e.local, err = layer(".env.local"); err != nil {
		return e, err
	}
	for _, name := range []string{".env." + e.values["APP_ENV"], ".env." + e.values["APP_ENV"] + ".local"} {
		if e.values["APP_ENV"] == "" {
			break
		}
		if _, err := layer(name); err != nil {
			return e, err
		}
	}
	return e, nil
}

// setting is the effective value of a variable. One that is set to nothing is looked up in the config file, as mosparo does.
func (n *node) setting(ctx context.Context, name string) (string, error) {
	env, err := n.environment(ctx)
	if err != nil {
		return "", err
	}
	value, ok := env.values[name]
	if !ok || value != "" {
		return value, nil
	}
	c, err := n.configuration(ctx)
	if err != nil {
		return "", err
	}
	return c.Text(name), nil
}
