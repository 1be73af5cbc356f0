package server

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/httpapi"
	"github.com/mosparoctl/mosparoctl/protection/rule"
	"github.com/mosparoctl/mosparoctl/protection/store"
)

// How old what is known about a project may get: after freshFor the next request has it read again in the background, after
// staleFor requests wait for that. So a change by any node is seen within staleFor, and an idle project costs nothing.
const (
	freshFor = 2 * time.Second
	staleFor = 5 * time.Second

	// watchEvery is how often the versions of the rules are compared.
	watchEvery = 2 * time.Second

	// readFor bounds one reading of a project in the background.
	readFor = 30 * time.Second
)

// projects keeps projects and their compiled rules in memory. It implements httpapi.Projects.
type projects struct {
	store    *store.Store
	database rule.Database
	log      *slog.Logger
	metrics  *metrics

	known   sync.Map // public key -> *entry
	loading singleflight.Group

	mu       sync.RWMutex
	matchers map[int64]*compiled
}

// entry is a project as last read.
type entry struct {
	current atomic.Pointer[snapshot]
	reading atomic.Bool
}

type snapshot struct {
	project *httpapi.Project
	readAt  time.Time
}

type compiled struct {
	matcher *rule.Matcher
	version string
}

func newProjects(s *store.Store, database rule.Database, log *slog.Logger, m *metrics) *projects {
	return &projects{store: s, database: database, log: log, metrics: m, matchers: map[int64]*compiled{}}
}

// ByPublicKey is the project with this public key.
func (p *projects) ByPublicKey(ctx context.Context, key string) (*httpapi.Project, error) {
	found, ok := p.known.Load(key)
	if !ok {
		return p.read(ctx, key)
	}
	e := found.(*entry)
	s := e.current.Load()
	switch age := time.Since(s.readAt); {
	case age < freshFor:
		return s.project, nil
	case age < staleFor:
		if e.reading.CompareAndSwap(false, true) {
			go func() {
				defer e.reading.Store(false)
				ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readFor)
				defer cancel()
				if _, err := p.read(ctx, key); err != nil && !protection.Is(err, protection.CodeNotFound) {
					p.log.Warn("a project could not be read again", "project", s.project.ID, "error", err)
				}
			}()
		}
		return s.project, nil
	}
	return p.read(ctx, key)
}

// read reads a project from the database, once for all who want it at the same time.
func (p *projects) read(ctx context.Context, key string) (*httpapi.Project, error) {
	v, err, _ := p.loading.Do("k"+key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readFor)
		defer cancel()
		now := time.Now()
		project, err := p.store.ProjectByPublicKey(ctx, key)
		if err != nil {
			if protection.Is(err, protection.CodeNotFound) {
				p.known.Delete(key)
			}
			return nil, err
		}
		made := &httpapi.Project{Project: project}
		if made.Guidelines, err = p.store.Guidelines(ctx, project.ID); err != nil {
			return nil, err
		}
		if made.Translations, err = p.store.Translations(ctx, project.ID); err != nil {
			return nil, err
		}
		e, _ := p.known.LoadOrStore(key, &entry{})
		e.(*entry).current.Store(&snapshot{made, now})
		return made, nil
	})
	if err != nil {
		return nil, err
	}
	return v.(*httpapi.Project), nil
}

// ByUUID is the project with this UUID.
func (p *projects) ByUUID(ctx context.Context, uuid string) (*httpapi.Project, error) {
	project, err := p.store.ProjectByUUID(ctx, uuid)
	if err != nil {
		return nil, err
	}
	return p.ByPublicKey(ctx, project.PublicKey)
}

// forget makes the next request of every project read it again.
func (p *projects) forget() { p.known.Clear() }

// Matcher is the compiled form of a project's rules; the first who asks waits for it.
func (p *projects) Matcher(ctx context.Context, projectID int64) (*rule.Matcher, error) {
	p.mu.RLock()
	c := p.matchers[projectID]
	p.mu.RUnlock()
	if c != nil {
		return c.matcher, nil
	}
	return p.compile(ctx, projectID)
}

func (p *projects) compile(ctx context.Context, projectID int64) (*rule.Matcher, error) {
	v, err, _ := p.loading.Do("m"+protectionID(projectID), func() (any, error) {
		start := time.Now()
		set, err := p.store.LoadRules(context.WithoutCancel(ctx), projectID)
		if err != nil {
			return nil, err
		}
		c := &compiled{matcher: rule.Compile(set, p.database), version: set.Fingerprint}
		p.mu.Lock()
		p.matchers[projectID] = c
		p.mu.Unlock()
		problems := len(c.matcher.Problems())
		p.metrics.compiled(projectID, c.matcher.Len(), problems)
		p.log.Info("rules compiled", "project", projectID, "items", c.matcher.Len(), "problems", problems, "took", time.Since(start))
		return c.matcher, nil
	})
	if err != nil {
		return nil, err
	}
	return v.(*rule.Matcher), nil
}

// watch compiles the rules of projects anew when they change, until ctx ends.
func (p *projects) watch(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := p.Refresh(ctx); err != nil && ctx.Err() == nil {
				p.log.Warn("changes of rules could not be looked for", "error", err)
			}
		}
	}
}

// Refresh compares the versions of the rules once, and compiles anew what differs.
func (p *projects) Refresh(ctx context.Context) error {
	p.mu.RLock()
	known := make(map[int64]string, len(p.matchers))
	for id, c := range p.matchers {
		known[id] = c.version
	}
	p.mu.RUnlock()
	if len(known) == 0 {
		return nil
	}
	versions, err := p.store.RuleVersions(ctx)
	if err != nil {
		return err
	}
	for id, version := range known {
		if versions[id] == version {
			continue
		}
		if _, err := p.compile(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// warm compiles the rules of all projects, so that the first visitors don't wait for it.
func (p *projects) warm(ctx context.Context) {
	all, err := p.store.Projects(ctx)
	for i := 0; err == nil && i < len(all) && ctx.Err() == nil; i++ {
		_, err = p.Matcher(ctx, all[i].ID)
	}
	if err != nil && ctx.Err() == nil {
		p.log.Warn("rules could not be compiled ahead", "error", err)
	}
}
