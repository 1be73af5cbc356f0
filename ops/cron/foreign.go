package cron

import (
	"fmt"
	"path"
	"strings"
)

// misspelt are names that look like mosparo's commands and are none, with the right ones. The first is in the crontab of mosparo's Docker image.
var misspelt = map[string]string{
	"mosparo:rule-packages:refresh":     "mosparo:rule-package:refresh",
	"mosparo:rule-package:update":       "mosparo:rule-package:refresh",
	"mosparo:ruleset:refresh":           "mosparo:rule-package:refresh",
	"mosparo:cleanup":                   "mosparo:cleanup-database",
	"mosparo:database-cleanup":          "mosparo:cleanup-database",
	"mosparo:geoip:download-database":   "mosparo:geoip2:download-database",
	"mosparo:geoip2:download-databases": "mosparo:geoip2:download-database",
}

// ForeignJob is a line that runs a job of mosparo and is not ours: it keeps no distance to anything.
type ForeignJob struct {
	Node    string `json:"node"`
	File    string `json:"file"` // "/etc/cron.d/x", or "crontab of USER"
	Line    int    `json:"line"`
	Command string `json:"command"`           // the console command in it
	Correct string `json:"correct,omitempty"` // the right name, where mosparo has no such command
}

// String tells what was found, and what to do.
func (f ForeignJob) String() string {
	where := fmt.Sprintf("%s: %s, line %d", f.Node, f.File, f.Line)
	if f.Correct != "" {
		return fmt.Sprintf("%s runs %s, which mosparo does not have (it is called %s): the job has never run", where, f.Command, f.Correct)
	}
	return fmt.Sprintf("%s runs %s and keeps no distance to the jobs here: remove the line", where, f.Command)
}

// consoleJobs are the commands that count as jobs.
var consoleJobs = []string{
	"mosparo:cleanup-database", "mosparo:rule-package:refresh", "mosparo:rulesets:refresh", "mosparo:geoip2:download-database",
}

// FindForeign lists the lines of a crontab that run mosparo's jobs, also through the web cron, and stand in none of the
// blocks that managed accepts by the name of their deployment.
func FindForeign(node, file string, c *Crontab, managed func(deployment string) bool) []ForeignJob {
	var found []ForeignJob
	for _, l := range c.Lines {
		if l.Kind != Entry && l.Kind != Broken || l.Block != "" && managed(l.Block) {
			continue
		}
		if command := mosparoCommand(l.Raw); command != "" {
			found = append(found, ForeignJob{node, file, l.Number, command, misspelt[command]})
		}
	}
	return found
}

// mosparoCommand finds a job of mosparo in a line, or "".
func mosparoCommand(line string) string {
	words := strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(" \t\r\n'\";&|()<>", r) })
	for _, w := range words {
		for _, job := range consoleJobs {
			if w == job {
				return w
			}
		}
		if misspelt[w] != "" {
			return w
		}
		if strings.HasPrefix(w, "http") && strings.HasSuffix(path.Dir(strings.SplitN(w, "?", 2)[0]), "/cron-jobs") {
			return "web cron"
		}
	}
	return ""
}
