//go:build bench

package bench

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mosparoctl/mosparoctl/internal/lab/server"
	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/crypt"
	"github.com/mosparoctl/mosparoctl/protection/rule"
	"github.com/mosparoctl/mosparoctl/protection/sign"
	"github.com/mosparoctl/mosparoctl/protection/store"
)

// subject is one running server with its database.
type subject struct {
	name    string // database and items, and the program if there are several
	kind    string // of database
	items   int
	program string
	base    string
	project *protection.Project
	serve   int   // process id
	mariadb int   // process id, 0 with SQLite
	rss     int64 // bytes of serve when its rules had just been read
}

// sibling is the first of the subjects that differs at most by its program.
func (s *subject) sibling(subjects []*subject) *subject {
	i := slices.IndexFunc(subjects, func(o *subject) bool { return o.kind == s.kind && o.items == s.items })
	return subjects[i]
}

// start fills a database and runs serve on it.
func start(t *testing.T, p program, kind string, m *server.MariaDB, n int) *subject {
	t.Helper()
	key, keyText := crypt.GenerateKey()
	dir := t.TempDir()
	o := store.Options{Key: key}
	config := "'database_system' => 'sqlite', 'database_path' => '" + filepath.Join(dir, "core.sqlite") + "'"
	s := &subject{name: fmt.Sprintf("%s, %d", kind, n), kind: kind, items: n, program: p.name}
	if p.name != "" {
		s.name += ", " + p.name
	}
	if kind == "mariadb" {
		name := m.Database(t)
		host, port, _ := net.SplitHostPort(m.Addr)
		o.Servers, o.User, o.Password, o.Database = []string{m.Addr}, m.User, m.Pass, name
		config = fmt.Sprintf("'database_host' => '%s', 'database_port' => '%s', 'database_name' => '%s', 'database_user' => '%s', 'database_password' => '%s'",
			host, port, name, m.User, m.Pass)
		s.mariadb = m.Process.PID()
	} else {
		o.Path = filepath.Join(dir, "core.sqlite")
	}
	fill(t, o, s, n)
	file := filepath.Join(dir, "env.mosparo.php")
	content := "<?php\nreturn array('mosparo_installed' => true, 'mosparo_installed_version' => '1.5.4', 'encryption_key' => '" + keyText + "', " + config + ");\n"
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("FILESYSTEM_CACHE_PATH", filepath.Join(dir, "cache"))
	s.run(t, p.path, file, filepath.Join(dir, "serve.log"))
	return s
}

// run starts serve and waits until it has read its rules. Its messages go to a file of which only the last are shown if the
// test fails: under load slow operations fill pages.
func (s *subject) run(t *testing.T, binary, config, log string) {
	t.Helper()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the last messages of %s:\n%s", s.name, lastMessages(log))
		}
	})
	addr := server.FreeAddress(t)
	p := server.Start(t, "/bin/sh", "-c", `exec 2>"$1"; shift; exec "$@"`, "sh", log, binary, "serve", "--quiet", "--drain-time", "0s", "--listen", addr,
		"--config-file", config)
	s.base, s.serve = "http://"+addr, p.PID()
	p.WaitFor("serve", func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.base+"/api/v1/health/check", nil)
		if err != nil {
			return err
		}
		res, err := http.DefaultClient.Do(req)
		if err == nil {
			_ = res.Body.Close()
			if res.StatusCode != http.StatusOK {
				err = fmt.Errorf("status %d", res.StatusCode)
			}
		}
		return err
	})
	c := newClient(s)
	if err := c.flow(t.Context(), 0, func(string, time.Duration) {}); err != nil { // waits for the rules
		t.Fatal(err)
	}
	c.http.CloseIdleConnections()
	s.rss = memory(t, p.PID())
}

// lastMessages are the last lines of a log that are not about slow operations.
func lastMessages(file string) string {
	data, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	lines := slices.DeleteFunc(strings.Split(strings.TrimSpace(string(data)), "\n"), func(l string) bool {
		return strings.Contains(l, "slow database operation")
	})
	return strings.Join(lines[max(0, len(lines)-20):], "\n")
}

// fill makes a project with word rules of so many literal items.
func fill(t testing.TB, o store.Options, s *subject, n int) {
	t.Helper()
	st, err := store.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	s.project = &protection.Project{UUID: protection.NewUUID(), Name: "Bench", Hosts: []string{"*"}, PublicKey: sign.NewToken(), PrivateKey: sign.NewToken(),
		Active: true, SpamScore: 5, StatisticStorageLimit: protection.Forever}
	if err := st.CreateProject(t.Context(), s.project); err != nil {
		t.Fatal(err)
	}
	r := &protection.Rule{ProjectID: s.project.ID, UUID: protection.NewUUID(), Name: "Words", Type: protection.RuleWord, Active: true}
	if err := st.SaveRule(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	for from := 0; from < n; from += 20_000 {
		var list []protection.RuleItem
		for i := from; i < min(n, from+20_000); i++ {
			kind := []protection.ItemType{protection.ItemText, protection.ItemWordExact, protection.ItemWordFull}[i%3]
			item, err := rule.NewItem(kind, fmt.Sprintf("spam%06x word%d", i*2654435761%0xffffff, i), 1)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, item)
		}
		if err := st.AddItems(t.Context(), s.project.ID, r.ID, list); err != nil {
			t.Fatal(err)
		}
	}
}

// load runs whole flows with so many clients for a while.
func (s *subject) load(t *testing.T, clients int, d time.Duration) *result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	var mu sync.Mutex
	total := &result{latency: map[string][]time.Duration{}}
	before, begun := s.cpu(t), time.Now()
	var group sync.WaitGroup
	for i := range clients {
		group.Go(func() {
			c, own := newClient(s), &result{latency: map[string][]time.Duration{}}
			defer c.http.CloseIdleConnections()
			for n := 0; ctx.Err() == nil; n++ {
				err := c.flow(context.WithoutCancel(ctx), i*1_000_000+n, func(step string, took time.Duration) {
					own.latency[step] = append(own.latency[step], took)
				})
				if err != nil {
					own.errors++
					own.first = err
					continue
				}
				own.flows++
			}
			mu.Lock()
			defer mu.Unlock()
			total.add(own)
		})
	}
	group.Wait()
	after := s.cpu(t)
	total.took, total.cpu = time.Since(begun), [2]time.Duration{after[0] - before[0], after[1] - before[1]}
	return total
}

// cpu is the processor time of serve and of MariaDB so far.
func (s *subject) cpu(t *testing.T) (used [2]time.Duration) {
	t.Helper()
	for i, pid := range []int{s.serve, s.mariadb} {
		if pid != 0 {
			used[i] = processorTime(t, pid)
		}
	}
	return used
}

// processorTime is the user and system time of a process.
func processorTime(t *testing.T, pid int) (total time.Duration) {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	for _, i := range []int{11, 12} { // in hundredths of a second
		ticks, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		total += time.Duration(ticks) * 10 * time.Millisecond
	}
	return total
}

// memory is the resident set of a process in bytes.
func memory(t *testing.T, pid int) int64 {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(data))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}
