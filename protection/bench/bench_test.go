//go:build bench

package bench

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mosparoctl/mosparoctl/internal/lab/server"
	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/crypt"
	"github.com/mosparoctl/mosparoctl/protection/php"
	"github.com/mosparoctl/mosparoctl/protection/rule"
	"github.com/mosparoctl/mosparoctl/protection/sign"
	"github.com/mosparoctl/mosparoctl/protection/store"
)

var (
	items    = flag.String("items", "10,10000,1000000", "numbers of rule items")
	clients  = flag.String("clients", "1,16,256", "numbers of clients at once")
	duration = flag.Duration("for", 4*time.Second, "time of one measurement of a cell; each cell is measured twice")
	database = flag.String("databases", "sqlite,mariadb", "databases")
)

// subject is one running server with its database.
type subject struct {
	name    string // database and items
	base    string
	project *protection.Project
	serve   int   // process id
	mariadb int   // process id, 0 with SQLite
	rss     int64 // bytes of serve when it was idle
	bare    *bare
}

// result is one measured cell.
type result struct {
	flows   int64
	took    time.Duration
	cpu     [2]time.Duration // of serve and of MariaDB
	latency map[string][]time.Duration
	errors  int64
	first   error
}

// TestServe measures and prints a table. Subjects take turns, so that what else the machine does hits all of them.
func TestServe(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "mosparoctl")
	if out, err := exec.Command("go", "build", "-o", binary, "../../cmd/mosparoctl").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	var subjects []*subject
	var m *server.MariaDB
	for _, kind := range strings.Split(*database, ",") {
		for _, n := range numbers(t, *items) {
			if kind == "mariadb" && m == nil {
				m = server.StartMariaDB(t)
			}
			subjects = append(subjects, start(t, binary, kind, m, n))
		}
	}
	results := map[string]*result{}
	for range 2 {
		for _, c := range numbers(t, *clients) {
			for _, s := range subjects {
				key := fmt.Sprintf("%s|%d", s.name, c)
				results[key] = results[key].add(s.load(t, c, *duration))
			}
		}
	}
	fmt.Printf("\n%s, %s, %d CPUs shared by servers and load generator\n\n", runtime.Version(), cpuName(), runtime.NumCPU())
	fmt.Println("| database, items | clients | flows/s | server CPU per flow | of it serve | token p50/p99 | check p50/p99 | verify p50/p99 | health p50/p99 | errors |")
	fmt.Println("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
	for _, s := range subjects {
		for _, c := range numbers(t, *clients) {
			r := results[fmt.Sprintf("%s|%d", s.name, c)]
			fmt.Printf("| %s | %d | %.0f | %s | %s | %s | %s | %s | %s | %d |\n", s.name, c, float64(r.flows)/r.took.Seconds(),
				perFlow(r.cpu[0]+r.cpu[1], r.flows), perFlow(r.cpu[0], r.flows), r.percentiles("token"), r.percentiles("check"), r.percentiles("verify"),
				r.percentiles("health"), r.errors)
			if r.errors > 0 {
				t.Errorf("%s, %d clients: %d errors, the first: %v", s.name, c, r.errors, r.first)
			}
		}
	}
	fmt.Println("\n| database, items | memory of serve, idle |\n| --- | --- |")
	for _, s := range subjects {
		fmt.Printf("| %s | %.0f MB |\n", s.name, float64(s.rss)/1e6)
	}
	fmt.Println("\n| database | clients | bare SQL loop, flows/s | CPU of MariaDB per flow |\n| --- | --- | --- | --- |")
	for i, s := range subjects {
		if i > 0 && subjects[i-1].bare.kind == s.bare.kind {
			continue
		}
		for _, c := range numbers(t, *clients) {
			flows, cpu := s.bare.measure(t, c, *duration, s.mariadb)
			fmt.Printf("| %s | %d | %.0f | %s |\n", s.bare.kind, c, flows, cpu)
		}
	}
}

func numbers(t *testing.T, list string) (out []int) {
	t.Helper()
	for _, f := range strings.Split(list, ",") {
		n, err := strconv.Atoi(f)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, n)
	}
	return out
}

// start fills a database and runs serve on it.
func start(t *testing.T, binary, kind string, m *server.MariaDB, n int) *subject {
	t.Helper()
	key, keyText := crypt.GenerateKey()
	dir := t.TempDir()
	o := store.Options{Key: key}
	config := "'database_system' => 'sqlite', 'database_path' => '" + filepath.Join(dir, "core.sqlite") + "'"
	s := &subject{name: fmt.Sprintf("%s, %d", kind, n), bare: &bare{kind: kind}}
	if kind == "mariadb" {
		name := m.Database(t)
		host, port, _ := net.SplitHostPort(m.Addr)
		o.Servers, o.User, o.Password, o.Database = []string{m.Addr}, m.User, m.Pass, name
		config = fmt.Sprintf("'database_host' => '%s', 'database_port' => '%s', 'database_name' => '%s', 'database_user' => '%s', 'database_password' => '%s'",
			host, port, name, m.User, m.Pass)
		s.mariadb = m.Process.PID()
		s.bare.open = func() (string, string) { return "mysql", m.DSN(m.Database(t)) }
	} else {
		o.Path = filepath.Join(dir, "core.sqlite")
		s.bare.open = func() (string, string) { return "sqlite", "file:" + filepath.Join(t.TempDir(), "bare.sqlite") }
	}
	s.bare.options = o
	fill(t, o, s, n)
	file := filepath.Join(dir, "env.mosparo.php")
	content := "<?php\nreturn array('mosparo_installed' => true, 'mosparo_installed_version' => '1.5.4', 'encryption_key' => '" + keyText + "', " + config + ");\n"
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	addr := server.FreeAddress(t)
	t.Setenv("FILESYSTEM_CACHE_PATH", filepath.Join(dir, "cache"))
	p := server.Start(t, binary, "serve", "--quiet", "--drain-time", "0s", "--listen", addr, "--config-file", file)
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
	return s
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

func (r *result) add(o *result) *result {
	if r == nil {
		return o
	}
	r.flows, r.took, r.errors = r.flows+o.flows, r.took+o.took, r.errors+o.errors
	r.cpu[0], r.cpu[1] = r.cpu[0]+o.cpu[0], r.cpu[1]+o.cpu[1]
	if o.first != nil {
		r.first = o.first
	}
	for step, l := range o.latency {
		r.latency[step] = append(r.latency[step], l...)
	}
	return r
}

func (r *result) percentiles(step string) string {
	l := r.latency[step]
	if len(l) == 0 {
		return "-"
	}
	slices.Sort(l)
	ms := func(p float64) float64 {
		return float64(l[min(len(l)-1, int(float64(len(l))*p))].Microseconds()) / 1000
	}
	return fmt.Sprintf("%.1f / %.1f ms", ms(0.5), ms(0.99))
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

func perFlow(cpu time.Duration, flows int64) string {
	return fmt.Sprintf("%.2f ms", float64(cpu.Microseconds())/1000/float64(max(1, flows)))
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

func cpuName() string {
	data, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(data)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.Trim(name, "\t :\n")
		}
	}
	return runtime.GOARCH
}

// client does what a visitor's browser and the website's back end do.
type client struct {
	s    *subject
	http http.Client
}

func newClient(s *subject) *client {
	return &client{s: s, http: http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 1}}}
}

// flow is one whole flow. n makes its text and its address.
func (c *client) flow(ctx context.Context, n int, told func(step string, took time.Duration)) error {
	text := fmt.Sprintf("Hello, this is message number %d. I would like to know when you are open, and whether my order of last week was sent.", n)
	fields := `{"fields":[{"name":"name","value":"Ada Lovelace","fieldPath":"input[text].name"},{"name":"email","value":"ada@example.org","fieldPath":"input[email].email"},` +
		`{"name":"message","value":"` + text + `","fieldPath":"textarea.message"}],"ignoredFields":[]}`
	var token struct{ SubmitToken string }
	if err := c.post(ctx, "token", "/api/v1/frontend/request-submit-token", url.Values{"publicKey": {c.s.project.PublicKey}, "pageTitle": {"Contact"},
		"pageUrl": {"https://example.org/contact"}, "formActionUrl": {"https://example.org/send"}, "formId": {"f"}}, &token, told); err != nil {
		return err
	}
	var check struct {
		Valid           bool
		ValidationToken string
	}
	if err := c.post(ctx, "check", "/api/v1/frontend/check-form-data", url.Values{"publicKey": {c.s.project.PublicKey}, "submitToken": {token.SubmitToken},
		"formData": {fields}}, &check, told); err != nil {
		return err
	}
	if !check.Valid {
		return fmt.Errorf("check refused message %d", n)
	}
	if err := c.verify(ctx, token.SubmitToken, check.ValidationToken, text, told); err != nil {
		return err
	}
	if n%8 != 0 {
		return nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.s.base+"/api/v1/health/check", nil)
	if err != nil {
		return err
	}
	return c.do(req, "health", nil, told)
}

func (c *client) post(ctx context.Context, step, path string, form url.Values, into any, told func(string, time.Duration)) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.s.base+path, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return c.do(req, step, into, told)
}

func (c *client) verify(ctx context.Context, token, validation, text string, told func(string, time.Duration)) error {
	const path = "/api/v1/verification/verify"
	key := c.s.project.PrivateKey
	form := php.Map(php.Pair{Key: "email", Value: php.String(sign.Hash("ada@example.org"))}, php.Pair{Key: "message", Value: php.String(sign.Hash(text))},
		php.Pair{Key: "name", Value: php.String(sign.Hash("Ada Lovelace"))})
	formSignature, err := sign.Form(key, form)
	if err != nil {
		return err
	}
	data := php.Map(php.Pair{Key: "submitToken", Value: php.String(token)}, php.Pair{Key: "validationSignature", Value: php.String(sign.HMAC(key, validation))},
		php.Pair{Key: "formSignature", Value: php.String(formSignature)}, php.Pair{Key: "formData", Value: form})
	signature, err := sign.Request(key, path, data)
	if err != nil {
		return err
	}
	body, err := php.EncodeJSON(data, php.Default)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.s.base+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(c.s.project.PublicKey+":"+signature)))
	var reply struct {
		Valid                 bool
		VerificationSignature string
	}
	if err := c.do(req, "verify", &reply, told); err != nil {
		return err
	}
	if !reply.Valid || reply.VerificationSignature != sign.Verification(key, validation, formSignature) {
		return fmt.Errorf("verify refused a message")
	}
	return nil
}

func (c *client) do(req *http.Request, step string, into any, told func(string, time.Duration)) error {
	begun := time.Now()
	res, err := c.http.Do(req)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	told(step, time.Since(begun))
	switch {
	case err != nil:
		return err
	case res.StatusCode != http.StatusOK:
		return fmt.Errorf("%s: status %d: %.200s", step, res.StatusCode, body)
	case into != nil:
		return json.Unmarshal(body, into)
	}
	return nil
}
