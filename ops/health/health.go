// Package health asks a deployment the questions that show what silently goes wrong with several nodes: is each node
// there, do all run the same code with the same configuration and keys, and do all reach the same cache and database.
//
// Each check is one value in the list of Checks, in a file of its own: what is asked of every node (concurrently, each
// node against its own deadline) and how the answers are judged together. Caches and databases are reached through the
// nodes, since what counts is what a node sees. Nothing is changed on a node; the shared cache gets one short-lived key.
package health

import (
	"cmp"
	"slices"
	"time"
)

// ReportVersion is the version of the Report format. It grows when a field changes its meaning or goes.
const ReportVersion = 1

// Family groups checks.
type Family string

// The families.
const (
	FamilyNode     Family = "node"
	FamilyClock    Family = "clock"
	FamilyFiles    Family = "files"
	FamilyPHP      Family = "php"
	FamilyHTTP     Family = "http"
	FamilyCache    Family = "cache"
	FamilyDatabase Family = "database"
	FamilyBalancer Family = "balancer"
	FamilyCron     Family = "cron"
)

// Families lists all families in the order in which reports show them.
func Families() []Family {
	return []Family{FamilyNode, FamilyClock, FamilyFiles, FamilyPHP, FamilyHTTP, FamilyCache, FamilyDatabase, FamilyBalancer, FamilyCron}
}

// Verdict is the answer to a check.
type Verdict string

// The verdicts, from good to bad: see Worse.
const (
	OK      Verdict = "ok"
	Unknown Verdict = "unknown" // could not be found out
	Warn    Verdict = "warn"    // works, and will not for ever
	Fail    Verdict = "fail"    // is broken
)

// Verdicts lists all verdicts from good to bad.
func Verdicts() []Verdict { return []Verdict{OK, Unknown, Warn, Fail} }

// Worse is the worse of two verdicts.
func Worse(a, b Verdict) Verdict {
	if slices.Index(Verdicts(), a) >= slices.Index(Verdicts(), b) {
		return a
	}
	return b
}

// Info says what a check is for, in words for people.
type Info struct {
	Name   string `json:"name"`   // unique, FAMILY-WORD
	Family Family `json:"family"` // the first word of Name
	Title  string `json:"title"`  // the question
	Why    string `json:"why"`    // what happens where the answer is bad
	Mend   string `json:"mend"`   // what to do about it: a command, or one short instruction
}

// Figure is a number a check has measured.
type Figure struct {
	Name  string  `json:"name"`           // lower case, with underscores; unique among the figures of a check and node
	Value float64 `json:"value"`          //
	Unit  string  `json:"unit,omitempty"` // "s", "%", "B" or none
	Warn  float64 `json:"warn,omitempty"` // from here on it warns; 0: no such limit
	Fail  float64 `json:"fail,omitempty"` // from here on it fails; 0: no such limit
}

// Evidence is what a check found on one node.
type Evidence struct {
	Node    string        `json:"node"` // of a balancer's or database's server that is no node: its name
	Verdict Verdict       `json:"verdict"`
	Text    string        `json:"text"`           // one line, without secrets
	Mend    string        `json:"mend,omitempty"` // where it differs from the check's
	Figures []Figure      `json:"figures,omitempty"`
	At      time.Time     `json:"at"`   // when the node answered
	Took    time.Duration `json:"took"` // nanoseconds the node took to answer
}

// Result is the answer to one check.
type Result struct {
	Info
	Verdict  Verdict    `json:"verdict"` // the worst of the evidence
	Summary  string     `json:"summary"` // one sentence
	Evidence []Evidence `json:"evidence"`
	At       time.Time  `json:"at"` // when it was judged
	// Servers are the database servers of the inventory: of db-servers alone.
	Servers []DatabaseServer `json:"servers,omitempty"`
}

// On is the evidence of a node.
func (r Result) On(node string) (Evidence, bool) {
	i := slices.IndexFunc(r.Evidence, func(e Evidence) bool { return e.Node == node })
	if i < 0 {
		return Evidence{}, false
	}
	return r.Evidence[i], true
}

// Report is the answer to all checks of a run.
type Report struct {
	Version    int             `json:"version"`
	Deployment string          `json:"deployment"`
	Nodes      []string        `json:"nodes"`
	Started    time.Time       `json:"started"`
	Finished   time.Time       `json:"finished"`
	Counts     map[Verdict]int `json:"counts"`
	Results    []Result        `json:"results"` // in the order of Checks
}

// Verdict is the worst verdict of all results.
func (r Report) Verdict() Verdict {
	v := OK
	for _, res := range r.Results {
		v = Worse(v, res.Verdict)
	}
	return v
}

// Unreachable lists the nodes that could not be connected to.
func (r Report) Unreachable() []string {
	var nodes []string
	for _, res := range r.Results {
		if res.Name != NameReach {
			continue
		}
		for _, e := range res.Evidence {
			if e.Verdict == Fail {
				nodes = append(nodes, e.Node)
			}
		}
	}
	return nodes
}

// sortBad puts results in the order in which a person wants to read them: worst first, else as they are.
func sortBad(results []Result) {
	slices.SortStableFunc(results, func(a, b Result) int {
		return cmp.Compare(slices.Index(Verdicts(), b.Verdict), slices.Index(Verdicts(), a.Verdict))
	})
}
