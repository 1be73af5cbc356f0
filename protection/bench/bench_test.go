//go:build bench

package bench

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mosparoctl/mosparoctl/internal/lab/server"
)

var (
	items    = flag.String("items", "10,10000,1000000", "numbers of rule items")
	clients  = flag.String("clients", "1,16,256", "numbers of clients at once")
	duration = flag.Duration("for", 8*time.Second, "time of the measurement of a cell, all its turns together")
	turn     = flag.Duration("turn", 2*time.Second, "length of a turn; the cells take turns")
	database = flag.String("databases", "sqlite,mariadb", "databases")
	programs = flag.String("programs", "", "programs to compare, as name=path,name=path; a path that is left out means the one built from this tree")
	settle   = flag.Duration("settle", 15*time.Second, "how long servers are left alone before their memory after load is read")
	checks   = flag.Int("checks", 500, "flows for each number of items when the growth of the check is measured")
)

// result is one measured cell.
type result struct {
	flows   int64
	took    time.Duration
	cpu     [2]time.Duration // of serve, or of the bare loop itself, and of MariaDB
	latency map[string][]time.Duration
	errors  int64
	first   error
}

// TestServe measures and prints tables. Subjects take turns, so that what else the machine does hits all of them.
func TestServe(t *testing.T) {
	list := binaries(t)
	counts := numbers(t, *clients)
	var subjects []*subject
	var loops []*bare
	var m *server.MariaDB
	for _, kind := range strings.Split(*database, ",") {
		if kind == "mariadb" {
			m = server.StartMariaDB(t)
		}
		loops = append(loops, newBare(t, kind, m))
		for _, n := range numbers(t, *items) {
			for _, p := range list {
				subjects = append(subjects, start(t, p, kind, m, n))
			}
		}
	}
	results := map[string]*result{}
	for begun := range turns() {
		for _, c := range counts {
			order := slices.Clone(subjects)
			if begun%2 == 1 { // so that nobody always comes after the same one
				slices.Reverse(order)
			}
			for _, s := range order {
				key := fmt.Sprintf("%s|%d", s.name, c)
				results[key] = results[key].add(s.load(t, c, *turn))
			}
			for _, b := range loops {
				key := fmt.Sprintf("%s|%d", b.kind, c)
				results[key] = results[key].add(b.load(t, c, *turn))
			}
		}
	}
	fmt.Printf("\n%s, %s, %d CPUs shared by servers and load generator\n\n", runtime.Version(), cpuName(), runtime.NumCPU())
	printFlows(t, subjects, counts, results)
	printBare(subjects, loops, counts, results)
	printEmpty(t, counts)
	printGrowth(t, subjects)
	printMemory(t, subjects)
}

// program is a build of mosparoctl to measure.
type program struct{ name, path string }

// binaries are the programs to measure; without a list it is the one built from this tree.
func binaries(t *testing.T) (list []program) {
	t.Helper()
	for _, entry := range strings.Split(*programs, ",") {
		name, path, _ := strings.Cut(entry, "=")
		if path == "" {
			path = filepath.Join(t.TempDir(), "mosparoctl")
			if out, err := exec.Command("go", "build", "-o", path, "../../cmd/mosparoctl").CombinedOutput(); err != nil {
				t.Fatalf("build: %v\n%s", err, out)
			}
		}
		list = append(list, program{name, path})
	}
	return list
}

func turns() int { return max(1, int(*duration / *turn)) }

// printFlows prints what each subject did, and with several programs how much CPU each took in terms of the first one.
func printFlows(t *testing.T, subjects []*subject, counts []int, results map[string]*result) {
	t.Helper()
	fmt.Println("| database, items | clients | flows/s | server CPU per flow | of it serve | token p50/p99 | check p50/p99 | verify p50/p99 | health p50/p99 | errors |")
	fmt.Println("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
	for _, s := range subjects {
		for _, c := range counts {
			r := results[fmt.Sprintf("%s|%d", s.name, c)]
			fmt.Printf("| %s | %d | %.0f | %s | %s | %s | %s | %s | %s | %d |\n", s.name, c, r.rate(), milliseconds(r.total()), milliseconds(r.perFlow(0)),
				r.percentiles("token"), r.percentiles("check"), r.percentiles("verify"), r.percentiles("health"), r.errors)
			if r.errors > 0 {
				t.Errorf("%s, %d clients: %d errors, the first: %v", s.name, c, r.errors, r.first)
			}
		}
	}
	if !slices.ContainsFunc(subjects, func(s *subject) bool { return s.program != subjects[0].program }) {
		return
	}
	fmt.Printf("\n| database, items | clients | CPU of serve, of %s | in all | flows/s |\n| --- | --- | --- | --- | --- |\n", subjects[0].program)
	for _, s := range subjects {
		for _, c := range counts {
			first := results[fmt.Sprintf("%s|%d", s.sibling(subjects).name, c)]
			if r := results[fmt.Sprintf("%s|%d", s.name, c)]; r != first {
				fmt.Printf("| %s | %d | %s | %s | %s |\n", s.name, c, ratio(r.perFlow(0), first.perFlow(0)), ratio(r.total(), first.total()),
					ratio(r.rate(), first.rate()))
			}
		}
	}
}

// printBare prints what the bare loops did, and each subject in terms of the loop on its database.
func printBare(subjects []*subject, loops []*bare, counts []int, results map[string]*result) {
	fmt.Println("\n| database | clients | bare SQL loop, flows/s | CPU per flow | of it the database |\n| --- | --- | --- | --- | --- |")
	for _, b := range loops {
		for _, c := range counts {
			r := results[fmt.Sprintf("%s|%d", b.kind, c)]
			database := "-"
			if b.mariadb != 0 {
				database = milliseconds(r.perFlow(1))
			}
			fmt.Printf("| %s | %d | %.0f | %s | %s |\n", b.kind, c, r.rate(), milliseconds(r.total()), database)
		}
	}
	fmt.Println("\n| database, items | clients | flows/s, of the bare loop | CPU per flow, of the bare loop |\n| --- | --- | --- | --- |")
	for _, s := range subjects {
		for _, c := range counts {
			r, bare := results[fmt.Sprintf("%s|%d", s.name, c)], results[fmt.Sprintf("%s|%d", s.kind, c)]
			fmt.Printf("| %s | %d | %s | %s |\n", s.name, c, ratio(r.rate(), bare.rate()), ratio(r.total(), bare.total()))
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

func (r *result) add(o *result) *result {
	if r == nil {
		return o
	}
	r.flows, r.took, r.errors = r.flows+o.flows, r.took+o.took, r.errors+o.errors
	r.cpu[0], r.cpu[1] = r.cpu[0]+o.cpu[0], r.cpu[1]+o.cpu[1]
	r.first = cmp.Or(r.first, o.first)
	for step, l := range o.latency {
		r.latency[step] = append(r.latency[step], l...)
	}
	return r
}

func (r *result) rate() float64 { return float64(r.flows) / r.took.Seconds() }

// perFlow is the CPU time that a flow took of one of the two, in seconds.
func (r *result) perFlow(of int) float64 { return r.cpu[of].Seconds() / float64(max(1, r.flows)) }

func (r *result) total() float64 { return r.perFlow(0) + r.perFlow(1) }

func (r *result) percentiles(step string) string {
	return fmt.Sprintf("%s / %s ms", percentile(r.latency[step], 0.5), percentile(r.latency[step], 0.99))
}

// percentile is a quantile of times in milliseconds.
func percentile(l []time.Duration, p float64) string {
	if len(l) == 0 {
		return "-"
	}
	return strconv.FormatFloat(quantile(l, p).Seconds()*1000, 'f', 1, 64)
}

func quantile(l []time.Duration, p float64) time.Duration {
	slices.Sort(l)
	return l[min(len(l)-1, int(float64(len(l))*p))]
}

func milliseconds(seconds float64) string { return fmt.Sprintf("%.2f ms", seconds*1000) }

func ratio(a, b float64) string { return fmt.Sprintf("%.0f %%", 100*a/b) }

func cpuName() string {
	data, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(data)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.Trim(name, "\t :\n")
		}
	}
	return runtime.GOARCH
}
